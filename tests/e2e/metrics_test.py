#!/usr/bin/env python3
"""What the metrics store knows, asked as people ask it: exact counts of the edge, replicas' own metrics over their
sockets, the machine and Headgate's processes; and that deaths of observe and control cost nobody a count."""
import json
import os
import socket
import time
import unittest

from harness import Load, Platform, ROOT, kill, main, wait_for

CONFIG = """version: 1
project: e2e
edge:
  workers: 2
  listen: {{http: "127.0.0.1:{port}"}}
observe:
  targets: [{{job: edge-of-nowhere, address: "127.0.0.1:1", every: 1s, timeout: 500ms, labels: {{zone: a}}}}]
apps:
  feedback:
    command: {build}/feedback-app --socket $SOCKET
    dir: {dir}
    replicas: 3
    metrics: {{scrape: /metrics, every: 1s, timeout: 900ms}}
    env: {{DATABASE_URL: "sqlite:data/feedback.db"}}
    probes:
      startup: {{http: /health, every: 250ms, failures: 120}}
      readiness: {{http: /health, every: 500ms, timeout: 2s, failures: 2}}
    slo: {{latency: {{objective: 95%, faster_than: 130ms}}}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
"""


class Store(unittest.TestCase):
    def ask(self, p, query):
        """{labels: value} of an instant query."""
        done = p.run("query", query, "--json", check=False)
        if done.returncode != 0:
            return {}
        rows = json.loads(done.stdout)["data"]["result"]
        return {tuple(sorted(r["metric"].items())): float(r["value"][1]) for r in rows}

    def one(self, p, query):
        rows = self.ask(p, query)
        return next(iter(rows.values())) if len(rows) == 1 else None

    def wait_value(self, p, query, want, seconds=60):
        def there():
            return self.one(p, query) == want
        there.__doc__ = f"{query} is {want}"
        try:
            wait_for(there, seconds, every=0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {self.ask(p, query)}") from None

    def wait_successor(self, p, role, pid):
        def there():
            try:
                now = p.pids(role)
            except (AssertionError, json.JSONDecodeError):
                return False  # control is being replaced
            return now and now[0] and now[0] != pid
        there.__doc__ = f"another {role}"
        wait_for(there, 30)

    def test_counts_are_exact_and_survive_the_deaths_of_observe_and_control(self):
        with Platform(CONFIG) as p:
            p.up()
            p.wait_ready(3)
            count = 'sum(headgate_requests_total{app="feedback"})'
            # There from the start, with 0.
            for query in (count, 'headgate_request_duration_seconds_bucket{app="feedback",release="1",le="0.13"}',
                          'sum(headgate_upstream_attempts_total{app="feedback"})',
                          'sum(headgate_replica_restarts_total{app="feedback"})'):
                self.wait_value(p, query, 0)
            # Every replica is asked, through its socket; what does not answer is told of.
            self.wait_value(p, 'count(up{job="feedback"} == 1)', 3)
            self.wait_value(p, 'up{job="edge-of-nowhere",zone="a"}', 0)
            self.assertEqual(self.one(p, 'count(count by (instance) ({job="feedback",instance=~"feedback/[123]"}))'), 3)
            # Observe dies again and again while requests come: they are answered, and all of them are counted.
            load = Load(p.port, rate=200, seconds=120, posts=5)
            for _ in range(3):
                time.sleep(0.3)
                pid = p.pids("observe")[0]
                kill(pid)
                self.wait_successor(p, "observe", pid)
            time.sleep(0.3)
            self.assertTrue(load.running(), "there was load to the end")
            done = load.stop().result()
            self.assertEqual(done["failed_get"] + done["failed_post"], 0, done)
            self.wait_value(p, count, done["requests"])
            # Each of them steps back behind those that serve.
            nice = {role: os.getpriority(os.PRIO_PROCESS, p.pids(role)[0]) for role in ("edge", "observe")}
            self.assertEqual(nice["observe"], min(19, nice["edge"] + 5))
            # The last one was told by the warden what to ask, while control had nothing to do.
            self.wait_value(p, f'count(timestamp(up{{job="feedback"}} == 1) > {time.time():.0f})', 3)
            # increase() sees no reset in any of it.
            self.assertEqual(self.ask(p, 'resets(headgate_requests_total{app="feedback"}[5m]) > 0'), {})
            self.assertEqual(self.one(p, 'sum(headgate_replica_requests_total{app="feedback"})'), done["requests"])
            # Control dies: what it alone knows has no gap.
            pid = p.pids("control")[0]
            kill(pid)
            self.wait_successor(p, "control", pid)
            p.wait_ready(3)
            self.wait_value(p, 'count(headgate_replica_up == 1)', 3)
            # The machine and Headgate itself.
            for query in ('count(node_cpu_seconds_total{mode="iowait"}) > 0', 'node_memory_MemAvailable_bytes > 0',
                          'node_filesystem_avail_bytes > 0', 'count(node_network_receive_bytes_total) > 0',
                          'headgate_process_resident_memory_bytes{process="observe"} > 0',
                          'headgate_process_cpu_seconds_total{process="edge-1"} >= 0',
                          'headgate_process_threads{process="control"} > 0',
                          'headgate_tsdb_state{state="well"} == 1', 'headgate_slo_objective_ratio > 0'):
                wait_for(lambda: self.one(p, query) is not None, 30)
            # What they mean, and what is asked: of the edge, of the machine, of control and of the app's own page.
            def api(path):
                with socket.socket(socket.AF_UNIX) as c:
                    c.connect(str(p.data / "control.sock"))
                    c.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                    head, _, body = b"".join(iter(lambda: c.recv(65536), b"")).partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
                if b"chunked" in head.lower():
                    body = b"".join(x for x in body.split(b"\r\n")[1::2])
                return json.loads(body)["data"]
            meant = api("/api/v1/metadata")
            for name, kind in (("headgate_requests_total", "counter"), ("headgate_replica_duration_seconds", "histogram"),
                               ("node_memory_MemAvailable_bytes", "gauge"), ("headgate_slo_objective_ratio", "gauge"),
                               ("headgate_tsdb_state", "gauge")):
                self.assertEqual([m["type"] for m in meant[name]], [kind], name)
                self.assertTrue(meant[name][0]["help"], name)
            of_app = api("/api/v1/targets/metadata?match_target=%7Bjob%3D%22feedback%22%7D&limit=5")
            self.assertEqual(len(of_app), 5)
            self.assertEqual({m["target"]["job"] for m in of_app}, {"feedback"})
            self.assertIn(of_app[0]["metric"], meant)
            yaml = api("/api/v1/status/config")["yaml"]
            self.assertIn('- job_name: "edge-of-nowhere"\n', yaml)
            self.assertIn('- job_name: "feedback"\n', yaml)
            # Whatever there is without being asked for is in the page about it.
            page = (ROOT / "docs/howto/metrics.md").read_text()
            done = p.run("query", 'count by (__name__) ({__name__=~"(headgate|node)_.+"})', "--json")
            names = {r["metric"]["__name__"] for r in json.loads(done.stdout)["data"]["result"]}
            ends = ("_bucket", "_sum", "_count")
            lost = [n for n in names if f"`{n}`" not in page and not (
                n.endswith(ends) and f"`{n.rsplit('_', 1)[0]}`" in page)]
            self.assertEqual(lost, [])


if __name__ == "__main__":
    main()
