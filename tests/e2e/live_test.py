#!/usr/bin/env python3
"""GET /v1/live and POST /v1/columns on a real platform: a canary that is taken back while it is watched,
a control that is killed under its readers, a reader that is slow, and columns beside query_range."""
import http.client
import json
import socket
import threading
import time
import unittest
import urllib.parse

from harness import FEEDBACK, Load, Platform, free_port, kill, main, request, wait_for

CONFIG = FEEDBACK + """    versions:
      bad: {{env: {{FEEDBACK_FAULT: errors}}}}
    slo:
      availability: {{objective: 99%, window: 30d}}
    rollout:
      strategy: canary
      steps: [{{weight: 2%, wait: 10m}}]
      abort_when: {{error_rate: 5%}}
      progress_deadline: 20s
      after_promote: {{watch: 2s, keep_previous: 2s}}
admin: {{listen: "127.0.0.1:ADMIN"}}
"""
RATE = 60  # of which one a second tries the new release: a bad one is proven in some seconds


class Stream:
    """Reads a stream of server-sent events on a thread of its own; resumes it when it is cut."""

    def __init__(self, port, token, path="/v1/live", resume=True):
        self.port, self.token, self.path, self.resume = port, token, path, resume
        self.events, self.last, self.opened, self.over, self.pause = [], None, 0, False, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.connect()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        fields = {"Authorization": "Bearer " + self.token, "Accept": "text/event-stream"}
        if self.last is not None:
            fields["Last-Event-ID"] = self.last
        c.request("GET", self.path, headers=fields)
        r = c.getresponse()
        if r.status != 200:
            raise OSError(f"answered with {r.status}")
        assert r.getheader("Content-Type") == "text/event-stream"
        self.opened += 1
        return r

    def run(self):
        while not self.over:
            try:
                self.read(self.connect())
            except (OSError, http.client.HTTPException):
                if not self.resume:
                    return
            time.sleep(0.1)

    def read(self, r):
        name, data, ident = None, "", None
        while not self.over:
            line = r.readline()
            if not line:
                return
            time.sleep(self.pause)
            line = line.decode().rstrip("\n")
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data = value
            elif key == "id":
                ident = value
            elif not line and name:
                self.last = ident or self.last
                self.events.append((name, ident, json.loads(data)))
                name, data, ident = None, "", None

    def of(self, name):
        return [data for kind, _, data in list(self.events) if kind == name]

    def journal(self):
        return [data["id"] for data in self.of("event")]

    def rows(self):
        """Apps as a page would have them."""
        rows = {}
        for e in self.of("apps"):
            if e["all"]:
                rows = {}
            for a in e["apps"]:
                before = rows.get(a["name"], {})
                rows[a["name"]] = {**before, **a, "replicas": self.replicas(before, a)}
            for name in e["gone"]:
                rows.pop(name)
        return rows

    @staticmethod
    def replicas(before, row):
        """An app's replicas after a row that has those that changed, by number."""
        by = {r["replica"]: r for r in before.get("replicas", []) + row.get("replicas", [])}
        for number in row.get("replicas_gone", []):
            by.pop(number)
        return [by[number] for number in sorted(by)]

    def trace(self):
        """The columns of a rollout as a page would have them."""
        whole = None
        for e in self.of("trace"):
            if e["all"]:
                whole = json.loads(json.dumps(e))
                continue
            for name, column in e.items():
                if isinstance(column, list):
                    whole[name] += column
                elif isinstance(column, dict):
                    for k, v in column.items():
                        whole[name][k] += v
        return whole

    def close(self):
        self.over = True
        self.thread.join(timeout=30)


class Live(unittest.TestCase):
    def platform(self, replicas=2):
        self.admin = free_port()
        p = Platform(CONFIG.replace("ADMIN", str(self.admin)), replicas=replicas)
        return p

    def token(self, p, role="viewer"):
        return json.loads(p.run("token", "create", "t-" + role, "--role", role, "--json").stdout)["token"]

    def stream(self, *arguments, **more):
        s = Stream(self.admin, self.viewer, *arguments, **more)
        self.addCleanup(s.close)
        return s

    def ask(self, method, path, body=None, headers=None):
        status, _, text = request(self.admin, method, path, body,
                                  {"Authorization": "Bearer " + self.viewer, **(headers or {})}, timeout=60)
        return status, json.loads(text)

    def journal_after(self, ident):
        return [e["id"] for e in self.ask("GET", f"/v1/events?after={ident}&limit=1000")[1]["events"]]

    def test_a_canary_that_is_taken_back_is_seen_as_it_happens(self):
        with self.platform() as p:
            p.up()
            self.viewer = self.token(p)
            self.assertEqual(request(self.admin, "GET", "/v1/live")[0], 401)
            self.assertEqual(self.ask("GET", "/v1/live?rollout=999")[0], 404)
            everything = self.stream()
            wait_for(lambda: everything.of("apps") and everything.of("counts") and everything.of("platform"), 10)
            self.assertEqual([name for name, _, _ in everything.events][0], "hello")
            hello = everything.of("hello")[0]
            self.assertEqual((hello["role"], hello["who"]), ("viewer", "token:t-viewer"))
            self.assertEqual(everything.of("platform")[0]["state"], "running")
            self.assertEqual({x["role"] for x in everything.of("platform")[0]["processes"]},
                             {"warden", "control", "observe", "edge"})
            row = everything.rows()["feedback"]
            status = p.app()
            for key in ("release", "phase", "desired", "ready", "total", "routes"):
                self.assertEqual(row[key], status[key], key)
            self.assertEqual([r["pid"] for r in row["replicas"]], [r["pid"] for r in status["replicas"]])
            self.one_replica_is_replaced_and_one_goes(p, everything)
            self.assertEqual((row["rollout"], row["slo"][0]["name"], row["slo"][0]["objective"]),
                             (None, "availability", 0.99))

            load = Load(p.port, rate=RATE, seconds=120)
            wait_for(lambda: everything.rows()["feedback"]["rate"] > RATE / 2, 20)
            wait_for(lambda: everything.rows()["feedback"]["p95_seconds"], 20)
            doc = json.loads(p.run("deploy", "feedback", "--env", "ENVIRONMENT=next", "--detach", "--json").stdout)
            ident = doc["id"]
            watch = self.stream(f"/v1/live?rollout={ident}")
            wait_for(lambda: watch.of("rollout"), 10)
            wait_for(lambda: (everything.rows()["feedback"]["rollout"] or {}).get("id") == ident, 10)

            def split():
                """the split of the rollout as it is asked for and as it is"""
                t = watch.trace()
                return t and len(t["t_ms"]) > 5 and t["set"][-1] == 0.02 and 0 < (t["actual"][-1] or 0) < 0.2 and t["new"]["p95"][-1]
            wait_for(split, 40, 0.2)
            t = watch.trace()
            self.assertGreater(t["old"]["rate"][-1], t["new"]["rate"][-1])
            self.assertEqual({x for x in t["new"]["error_ratio"]} - {None}, {0})
            steps = [b - a for a, b in zip(t["t_ms"], t["t_ms"][1:])]
            # One a second; a busy machine may skip some, and never writes two for one moment.
            self.assertTrue(all(0 < s < 10000 for s in steps) and 900 < sorted(steps)[len(steps) // 2] < 1500, steps)
            shown = everything.rows()["feedback"]["rollout"]
            self.assertEqual((shown["state"], shown["strategy"], shown["weight_set"], shown["step"], shown["steps"]),
                             ("running", "canary", 0.02, 1, 1))

            # A bad one takes its place, and is taken back.
            bad = json.loads(p.run("deploy", "feedback", "--version", "bad", "--detach", "--json").stdout)["id"]
            watch = self.stream(f"/v1/live?rollout={bad}")

            def over():
                """the end of the bad rollout"""
                docs = watch.of("rollout")
                return docs and docs[-1]["outcome"]
            self.assertEqual(wait_for(over, 90, 0.1), "rolled_back")
            load.stop().result()
            wait_for(lambda: watch.trace()["set"][-1] == 0, 10)
            last = watch.of("rollout")[-1]
            t = watch.trace()
            self.assertEqual(last["cause"], "evidence")
            # It climbs: the first point knows a second's requests, of which some may have failed already.
            self.assertLess(t["evidence"][0], last["evidence"]["threshold"])
            self.assertGreaterEqual(t["evidence"][-1], last["evidence"]["threshold"])
            self.assertGreater(len(t["t_ms"]), 2)
            self.assertEqual(max(t["set"]), 0.02)
            self.assertEqual(t["set"][-1], 0)
            self.assertEqual(max(x for x in t["new"]["error_ratio"] if x is not None), 1)
            self.assertEqual(t["rescued"][-1], last["users"]["rescued"])
            self.assertEqual(t["seen"][-1], last["users"]["seen"])
            wait_for(lambda: everything.rows()["feedback"]["rollout"] is None, 10)
            # The trace is kept: who comes later is given it whole.
            late = self.stream(f"/v1/live?rollout={bad}")
            wait_for(lambda: late.of("trace"), 10)
            self.assertEqual(late.of("trace")[0], watch.trace() | {"all": True})

            # Every entry of the journal, once and in order, as it is in the list.
            since = next(i for name, i, _ in everything.events if name == "hello")
            want = self.journal_after(since)
            wait_for(lambda: len(everything.journal()) >= len(want), 10)
            self.assertEqual(everything.journal(), want)
            kinds = {e["kind"] for e in everything.of("event")}
            self.assertTrue(any(k.startswith("rollout.") for k in kinds), kinds)
            wait_for(lambda: everything.of("tick"), 10)
            print(f"# {len(everything.events)} events, {len(t['t_ms'])} points, {len(want)} entries", flush=True)

    def one_replica_is_replaced_and_one_goes(self, p, stream):
        """Of three replicas the one that is started again is sent alone, and of the one that goes its number."""
        p.run("scale", "feedback=3")
        p.wait_ready(3)

        def replicas():
            return stream.rows()["feedback"]["replicas"]

        def settled():
            """all replicas of the stream as in the status"""
            return [(r["pid"], r["state"]) for r in replicas()] == [(r["pid"], r["state"]) for r in p.app()["replicas"]]
        wait_for(settled, 20)
        old = [r["pid"] for r in replicas()]
        seen = len(stream.of("apps"))
        kill(old[1])
        wait_for(lambda: settled() and replicas()[1]["pid"] not in (0, old[1]) and replicas()[1]["state"] == "ready", 30)
        self.assertEqual([replicas()[0]["pid"], replicas()[2]["pid"]], [old[0], old[2]])
        p.run("scale", "feedback=2")
        wait_for(lambda: len(replicas()) == 2 and settled(), 30)
        later = [e["apps"][0] for e in stream.of("apps")[seen:] if e["apps"]]
        self.assertEqual([n for a in later for n in a.get("replicas_gone", [])],
                         [n for n in (1, 2, 3) if n not in [r["replica"] for r in replicas()]])
        self.assertIn([2], [[r["replica"] for r in a.get("replicas", [])] for a in later])

    def test_readers_of_a_control_that_is_killed_lose_and_repeat_nothing(self):
        with self.platform() as p:
            p.up()
            self.viewer = self.token(p)
            quick, slow = self.stream(), self.stream()
            slow.pause = 0.05
            wait_for(lambda: quick.of("apps") and slow.of("apps"), 20)
            since = next(i for n, i, _ in quick.events if n == "hello")
            for n in (3, 1, 3, 2):
                p.run("scale", f"feedback={n}")
                pid = p.pids("control")[0]
                opened = quick.opened
                kill(pid)
                wait_for(lambda: quick.opened > opened and slow.opened == quick.opened, 60)
                wait_for(lambda: p.run("status", check=False).returncode in (0, 7) and p.pids("control") != [pid], 60)
            p.wait_ready(2)
            self.assertGreaterEqual(quick.opened, 5)
            slow.pause = 0

            def same():
                """the same entries on both streams as in the journal"""
                want = self.journal_after(since)
                return want and quick.journal() == want and slow.journal() == want
            wait_for(same, 30, 0.2)
            for s in (quick, slow):
                wait_for(lambda s=s: (s.rows()["feedback"]["desired"], s.rows()["feedback"]["ready"]) == (2, 2), 10)
                self.assertEqual(len(s.rows()["feedback"]["replicas"]), 2)
            self.assertTrue(all(e["all"] for e in quick.of("apps")[:1]))
            self.assertEqual(sum(e["all"] for e in quick.of("apps")), quick.opened)
            print(f"# {len(quick.journal())} entries over {quick.opened} connections", flush=True)


QUERIES = ["sum by (code) (rate(headgate_requests_total[30s]))", "headgate_app_replicas_ready",
           "histogram_quantile(0.95, sum by (le, app) (rate(headgate_request_duration_seconds_bucket[30s])))",
           "headgate_replica_memory_bytes", "1", "vector(time())", "headgate_requests_total > 0",
           "topk(2, headgate_replica_cpu_seconds_total)", "headgate_requests_total offset 10s", "absent(nothing)",
           "0 * vector(1) / 0"]


class Columns(Live):
    test_a_canary_that_is_taken_back_is_seen_as_it_happens = None
    test_readers_of_a_control_that_is_killed_lose_and_repeat_nothing = None

    def columns(self, queries, **span):
        body = urllib.parse.urlencode([("query", q) for q in queries] + list(span.items()))
        return self.ask("POST", "/v1/columns", body, {"Content-Type": "application/x-www-form-urlencoded"})

    def test_columns_have_the_values_of_query_range(self):
        with self.platform() as p:
            p.up()
            self.viewer = self.token(p)
            load = Load(p.port, rate=50, seconds=25)
            load.result()
            end = int(time.time()) // 5 * 5 - 5
            span = {"start": end - 60, "end": end, "step": 5}
            status, got = self.columns([*QUERIES[:5], "sum(", *QUERIES[5:]], **span)
            self.assertEqual(status, 200, got)
            self.assertEqual((got["schema"], got["start_ms"], got["step_ms"], got["n"]),
                             ("headgate.columns/1", span["start"] * 1000, 5000, 13))
            bad = got["results"].pop(5)
            self.assertIn("parse error", bad["error"])
            self.assertEqual(bad["series"], [])
            values = 0
            for query, result in zip(QUERIES, got["results"], strict=True):
                self.assertIsNone(result["error"], query)
                path = "/api/v1/query_range?" + urllib.parse.urlencode({"query": query, **span})
                series = self.ask("GET", path)[1]["data"]["result"]
                self.assertTrue(series, query)
                self.assertEqual([s["labels"] for s in result["series"]], [s["metric"] for s in series], query)
                for a, b in zip(result["series"], series, strict=True):
                    want = dict(b["values"])
                    column = [want.get(span["start"] + i * 5) for i in range(13)]
                    column = [None if v in (None, "NaN", "+Inf", "-Inf") else float(v) for v in column]
                    self.assertEqual(a["values"], column, query)
                    values += sum(v is not None for v in column)
            self.assertGreater(values, 100)
            status, problem = self.columns(["1"] * 25, **span)
            self.assertEqual((status, problem["status"]), (400, 400))
            self.assertIn("25 times", problem["detail"])
            status, problem = self.columns(["1"], start=1, end=2)
            self.assertEqual(status, 400)
            self.assertIn("step", problem["detail"])
            self.assertEqual(request(self.admin, "POST", "/v1/columns", "query=1")[0], 401)
            print(f"# {len(QUERIES)} queries, {values} values", flush=True)


if __name__ == "__main__":
    main()
