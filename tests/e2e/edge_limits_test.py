#!/usr/bin/env python3
"""Limits at the edge with real processes: two workers share a rate limit, which outlives reloads and
workers; who is refused costs no replica anything; lists of networks are live by reload."""
import concurrent.futures
import http.client
import re
import signal
import time
import unittest

from harness import Platform, kill, main, wait_for

CONFIG = """version: 1
project: e2e
edge:
  workers: {workers}
  listen: {{http: "127.0.0.1:{port}"}}
  rate_limit_exempt: [127.0.0.77]
EDGE
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LOG_LEVEL: "{log_level}"}}
    probes: {{readiness: {{http: /health, every: 500ms}}}}
    sandbox: {{writable: [{writable}]}}
    routes:
      - {{host: "*", path: /}}
      - {{host: limited, path: /, rate_limit: RATE}}
      - {{host: inner, path: /, allow: [127.0.0.5]}}
"""


def ask(port, host="limited", path="/feedback", source="127.0.0.1", method="GET", **headers):
    """(status, headers) on a connection of its own, from this address."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
    try:
        c.request(method, path, headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
        r = c.getresponse()
        r.read()
        return r.status, {k.lower(): v for k, v in r.getheaders()}
    finally:
        c.close()


class Site(Platform):
    def __init__(self, rate="50/h per ip"):
        super().__init__(CONFIG, replicas=1, workers=2)
        self.template, self.rate, self.edge = self.file.read_text(), rate, ""
        self.write()

    def write(self):
        self.file.write_text(self.template.replace("RATE", self.rate).replace("EDGE", self.edge))

    def reload(self, rate=None, edge=None):
        self.rate = rate or self.rate
        self.edge = self.edge if edge is None else edge
        self.write()
        self.run("reload", "-f", self.file)

    def metric(self, pattern):
        text = self.run("metrics", check=False).stdout or self.api_metrics()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(pattern, line))

    def api_metrics(self):
        import socket
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(self.data / "control.sock"))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        out = b""
        while more := s.recv(65536):
            out += more
        s.close()
        return out.decode()


def many(site, count, **more):
    """Statuses of so many requests, each on its own connection, so that both workers get some."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return [s for s, _ in pool.map(lambda _: ask(site.port, **more), range(count))]


class EdgeLimits(unittest.TestCase):
    rounds = 0  # of 200 requests, each from an address of its own

    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def test_01_two_workers_share_a_limit_exactly(self):
        def accepted():
            return [self.site.metric(rf'headgate_edge_accepted_total{{worker="{w}"}}') for w in (0, 1)]

        def shared():
            """both had some of 200 requests at once; on a busy machine one may take them all"""
            EdgeLimits.rounds += 1
            source, before = f"127.0.{EdgeLimits.rounds - 1}.1", accepted()
            statuses = many(self.site, 200, source=source)
            self.assertEqual((statuses.count(200), statuses.count(429)), (50, 150))
            wait_for(lambda: self.site.metric(r"headgate_edge_rate_limited_total") == 150 * EdgeLimits.rounds)
            return all(now > old for now, old in zip(accepted(), before))
        wait_for(shared, 60)

    def test_02_who_is_refused_asks_no_replica_and_is_told_when_to_come_back(self):
        status, headers = ask(self.site.port)
        self.assertEqual(status, 429)
        self.assertTrue(0 < int(headers["retry-after"]) <= 72)
        self.assertEqual(headers["ratelimit-policy"], '"ip-hour";q=50;w=3600')
        self.assertRegex(headers["ratelimit"], r'^"ip-hour";r=0;t=\d+$')
        by_replicas = self.site.metric(r'headgate_requests_total\{.*release="[1-9].*route="limited/".*')
        self.assertEqual(by_replicas, 50 * self.rounds)
        self.assertEqual(self.site.metric(r'headgate_requests_total\{.*code="429".*'), 150 * self.rounds + 1)

    def test_03_other_clients_health_and_the_exempt_are_served(self):
        status, headers = ask(self.site.port, source="127.0.0.9")
        self.assertEqual((status, headers["ratelimit"][:14]), (200, '"ip-hour";r=49'))
        for _ in range(5):
            self.assertEqual(ask(self.site.port, path="/health")[0], 200)
        self.assertEqual(set(many(self.site, 60, source="127.0.0.77")), {200})

    def test_04_a_reload_and_the_death_of_workers_and_control_keep_what_was_used(self):
        self.site.reload(edge="  deny: [203.0.113.0/24]")
        self.assertEqual(ask(self.site.port)[0], 429)
        for pid in self.site.pids("edge"):
            kill(pid)
        wait_for(lambda: self.refused())
        kill(self.site.pids("control")[0])
        self.assertEqual(ask(self.site.port)[0], 429)

    def refused(self):
        try:
            return ask(self.site.port)[0] == 429
        except OSError:
            return False

    def test_05_another_rule_begins_anew(self):
        wait_for(lambda: self.site.run("status", check=False).returncode == 0)
        self.site.reload(rate='["3/h per user", "10/h per ip"]')
        answers = [ask(self.site.port, Authorization="Bearer one")[0] for _ in range(4)]
        self.assertEqual(answers, [200, 200, 200, 429])
        self.assertEqual([ask(self.site.port, Authorization="Bearer two")[0] for _ in range(3)], [200] * 3)
        self.assertEqual([ask(self.site.port, Cookie="session=x")[0] for _ in range(3)], [200] * 3)
        # Ten of the address are used up by nine of three users and this one.
        self.assertEqual([ask(self.site.port)[0] for _ in range(2)], [200, 429])
        self.assertEqual(ask(self.site.port, source="127.0.0.10", Authorization="Bearer one")[0], 429)

    def test_06_lists_of_networks_are_live_by_reload(self):
        port = self.site.port
        self.assertEqual(ask(port, host="inner", source="127.0.0.5")[0], 200)
        self.assertEqual(ask(port, host="inner", source="127.0.0.6")[0], 403)
        self.site.reload(edge="  deny: [127.0.0.0/24]\n  allow: [127.0.0.5, 127.0.0.1]")
        self.assertEqual([self.denied("127.0.0.6") for _ in range(12)], [True] * 12)  # by both workers, at once
        self.assertEqual(ask(port, host="x", source="127.0.0.5")[0], 200)
        wait_for(lambda: self.site.metric("headgate_edge_denied_total") >= 1)
        self.site.reload(edge="")
        self.assertEqual([self.denied("127.0.0.6") for _ in range(12)], [False] * 12)

    def test_06b_a_reload_is_over_when_every_worker_has_it(self):
        def newest():
            text = self.site.api_metrics()
            return max(map(int, re.findall(r"(?m)^headgate_edge_snapshot_generation\S* (\d+)$", text)))
        slow, before = self.site.pids("edge")[0], newest()
        kill(slow, signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                reload = pool.submit(self.site.reload, edge="  deny: [127.0.0.6]")
                wait_for(lambda: newest() > before, 10)  # the other one has it
                time.sleep(0.1)  # … and that is not enough
                self.assertFalse(reload.done())
                kill(slow, signal.SIGCONT)
                reload.result()
                self.assertEqual([self.denied("127.0.0.6") for _ in range(12)], [True] * 12)
            # One that hangs does not keep anybody from changing things.
            kill(slow, signal.SIGSTOP)
            began = time.monotonic()
            self.site.reload(edge="")
            self.assertGreater(time.monotonic() - began, 1)
            wait_for(lambda: re.search(rf"edge\.takes_long .*pid={slow}\b", self.site.run("logs", "control").stdout), 10)
        finally:
            kill(slow, signal.SIGCONT)

    def denied(self, source):
        try:
            self.assertEqual(ask(self.site.port, host="x", source=source)[0], 200)
        except (http.client.RemoteDisconnected, ConnectionError):
            return True
        return False

    def test_07_ten_thousand_networks_are_taken(self):
        nets = ", ".join(f"10.{i // 250}.{i % 250}.0/25" for i in range(10000))
        self.site.reload(edge=f"  deny: [{nets.replace(', ', ',' + chr(10) + '    ')}, 127.0.0.8]")
        self.assertEqual(ask(self.site.port, host="x")[0], 200)
        self.assertEqual([self.denied("127.0.0.8") for _ in range(12)], [True] * 12)
        self.site.reload(edge="")

    def test_08_a_trusted_proxy_says_who_the_client_is(self):
        self.site.reload(rate="2/h per ip", edge="  trusted_proxies: 127.0.0.20")
        made_up = {"X_Forwarded_For": "192.0.2.1"}
        self.assertEqual([ask(self.site.port, **made_up)[0] for _ in range(3)], [200, 200, 429])
        told = [ask(self.site.port, source="127.0.0.20", X_Forwarded_For=f"9.9.9.{i}, 192.0.2.1")[0] for i in range(3)]
        self.assertEqual(told, [200, 200, 429])
        self.assertEqual(ask(self.site.port, source="127.0.0.20", X_Forwarded_For="192.0.2.2")[0], 200)

    def test_09_connections_of_an_address_are_counted_over_workers_and_their_deaths(self):
        def held(count, source="127.0.0.30"):
            out = []
            for _ in range(count):
                c = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=5, source_address=(source, 0))
                c.request("GET", "/health", headers={"Host": "x"})
                r = c.getresponse()
                r.read()
                out.append((r.status, c))
            return out
        self.site.reload(edge="  connections_per_ip: 12\n  limits: {fields: 20}")
        conns = held(16)
        self.assertEqual([s for s, _ in conns], [200] * 12 + [503] * 4)
        self.assertEqual(held(1, source="127.0.0.31")[0][0], 200)
        for pid in self.site.pids("edge"):
            kill(pid)
        def again():
            """twelve connections again, to the workers that replaced the dead ones"""
            try:
                fresh = held(13)
            except OSError:
                return False
            answers = [s for s, _ in fresh]
            for _, c in fresh:
                c.close()
            return answers == [200] * 12 + [503]
        wait_for(again, every=0.3)
        fields = {f"X_{i}": "1" for i in range(20)}
        wait_for(lambda: ask(self.site.port, host="x", path="/health", **fields)[0] == 431)
        self.site.reload(edge="")

    def test_10_maintenance_outlives_every_process(self):
        site = self.site
        page = site.dir / "pages" / "503.html"
        page.parent.mkdir()
        page.write_text("<h1>one moment</h1>" + "." * 60000)
        site.template = site.template.replace("    dir: ", "    error_pages: {503: pages/503.html, 4xx: pages/503.html}\n    dir: ")
        site.reload(rate="1000/s")
        done = site.run("maintenance", "feedback", "on", "--for", "10m", "--message", "back at noon",
                        "--allow", "127.0.0.40", "--json")
        self.assertIn('"on": true', done.stdout)

        def down():
            """answered by the edge for everybody"""
            try:
                return ask(site.port, host="x")[0] == 503
            except OSError:
                return False
        wait_for(down)
        status, headers = ask(site.port, host="x")
        self.assertTrue(500 < int(headers["retry-after"]) <= 600, headers)
        c = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
        c.request("GET", "/feedback", headers={"Host": "x", "Accept": "text/html"})
        r = c.getresponse()
        self.assertEqual((r.status, r.getheader("content-type")), (503, "text/html; charset=utf-8"))
        self.assertEqual(r.read().decode(), page.read_text())
        c.close()
        self.assertEqual(ask(site.port, host="x", source="127.0.0.40")[0], 200)
        self.assertEqual(ask(site.port, host="x", path="/health")[0], 200)
        for role in ("control", "edge"):
            for pid in site.pids(role):
                kill(pid)
            wait_for(down)
            wait_for(lambda: site.run("status", check=False).returncode == 0)
            self.assertEqual(ask(site.port, host="x")[0], 503)
        self.assertIn("in maintenance", site.run("status").stdout)
        site.run("down", timeout=120)
        site.up()
        self.assertEqual(ask(site.port, host="x")[0], 503)
        self.assertEqual(ask(site.port, host="x", source="127.0.0.40")[0], 200)
        site.run("maintenance", "feedback", "off")
        wait_for(lambda: ask(site.port, host="x")[0] == 200)

    def test_11_maintenance_ends_by_itself(self):
        site = self.site
        site.run("maintenance", "feedback", "on", "--for", "2s")
        wait_for(lambda: ask(site.port, host="x")[0] == 503)
        wait_for(lambda: ask(site.port, host="x")[0] == 200, 10)
        wait_for(lambda: not site.app()["maintenance"], 10)
        import sqlite3
        db = sqlite3.connect(f"file:{site.data}/store/headgate.db?mode=ro", uri=True)
        rows = [r[0] for r in db.execute("SELECT text FROM event WHERE kind='app.maintenance' ORDER BY id")]
        db.close()
        self.assertIn('"on":true', rows[-2])
        self.assertIn('"on":false', rows[-1])

    def test_12_a_page_that_is_not_there_is_told_at_reload_and_not_applied(self):
        site = self.site
        (site.dir / "pages" / "503.html").unlink()
        done = site.run("reload", "-f", site.file, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("pages/503.html", done.stderr)
        # A control that starts again goes on without it.
        kill(site.pids("control")[0])
        wait_for(lambda: site.run("status", check=False).returncode == 0)
        self.assertEqual(ask(site.port, host="x")[0], 200)
        (site.dir / "pages" / "503.html").write_text("x" * 70000)
        self.assertIn("64 KiB", site.run("reload", "-f", site.file, check=False).stderr)
        (site.dir / "pages" / "503.html").write_text("fine")
        site.reload()

    def test_13_mistakes_are_refused_with_their_place(self):
        for rate, edge, want in (("10/fortnight", "", "after \"/\" comes a period"),
                                 ("[1/s, 2/s, 3/s, 4/s, 5/s]", "", "at most 4"),
                                 ("1/s", "  deny: [10.0.0.1/8]", "bits behind the prefix"),
                                 ("1/s", "  allow: [example.com]", "not looked up")):
            self.site.rate, self.site.edge = rate, edge
            self.site.write()
            done = self.site.run("reload", "-f", self.site.file, check=False)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(want, done.stderr)
            self.assertRegex(done.stderr, r"headgate\.yaml:\d+:\d+")


if __name__ == "__main__":
    main()
