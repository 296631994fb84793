#!/usr/bin/env python3
"""The dashboards: every panel's every query is put to a platform that has been used, with a release on trial in
its past, and what `headgate export grafana` writes is what Grafana can draw."""
import contextlib
import http.client
import http.server
import json
import math
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from harness import BUILD, ROOT, Load, Platform, free_port, main, wait_for
from https_test import certificate
from releases_test import Deploy, wait_end

HEADGATE = str(BUILD / "headgate")
# What exporters and a backup job would say; {n} rises.
EXPORTED = """pg_up 1
pg_replication_lag_seconds 0.5
pg_stat_activity_count{{state="active"}} 7
pg_settings_max_connections 100
redis_keyspace_hits_total {n}
redis_keyspace_misses_total {n}
rabbitmq_queue_messages{{queue="feedback-tasks"}} 3
rabbitmq_queue_messages{{queue="feedback-dead"}} 1
backup_verified_timestamp_seconds {now}
"""
COUNTS = {"application": 12, "canary": 10, "infrastructure": 8}

CONFIG = """version: 1
project: e2e
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls: {{certificates: [{{cert: one.pem, key: one.key}}], redirect: false}}
observe: {{targets: [{{job: exporters, address: "127.0.0.1:EXPORTER", every: 2s, timeout: 1s}}]}}
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    metrics: {{scrape: /metrics, every: 2s, timeout: 1s}}
    env: {{DATABASE_URL: "sqlite:data/feedback.db"}}
    probes:
      startup: {{http: /health, every: 250ms, failures: 120}}
      readiness: {{http: /health, every: 500ms, timeout: 2s, failures: 2}}
    resources: {{limits: {{memory: 256Mi, cpu: 1000m}}}}
    slo:
      availability: {{objective: 99.95%, good: 2xx 3xx 404}}
      latency: {{objective: 95%, faster_than: 100ms}}
    rollout:
      strategy: canary
      steps: [{{weight: 30%, wait: 15s}}, {{weight: 100%, wait: 1s}}]
      progress_deadline: 60s
      after_promote: {{watch: 10s, keep_previous: 10s}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("headgate", timeout=60)
        self.unix = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.unix)


class Exporter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        now = time.time()
        text = EXPORTED.format(n=int(now), now=now).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def exporter():
    """The port of one."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def filled(text, window):
    return text.replace("$app", ".*").replace("$window", window)


def alone():
    """True where there is no network but the machine's own."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def queries(doc):
    for d in doc["dashboards"]:
        for p in d["panels"]:
            for q in p["queries"]:
                yield d, p, q


class Live(unittest.TestCase):
    def api(self, path, **form):
        c = Unix(self.p.data / "control.sock")
        try:
            if form:
                c.request("POST", path, urllib.parse.urlencode(form),
                          {"Content-Type": "application/x-www-form-urlencoded"})
            else:
                c.request("GET", path)
            r = c.getresponse()
            return r.status, json.loads(r.read())
        finally:
            c.close()

    def course(self, expr, since, step=5):
        """The series of the expression since then that have a number somewhere."""
        status, doc = self.api("/api/v1/query_range", query=expr, start=since, end=time.time(), step=step)
        self.assertEqual((status, doc["status"]), (200, "success"), f"{expr}: {doc}")
        rows = doc["data"]["result"]
        return [r for r in rows if any(math.isfinite(float(v)) for _, v in r["values"])]

    def use(self, since):
        """Load, with a canary of a new release in the middle of it."""
        load = Load(self.p.port, rate=100, seconds=120, posts=5)
        try:
            found = wait_for(lambda: self.course("rate(headgate_replica_requests_total[1m]) > 0", since), 60, every=0.5)
            self.assertTrue(found)
            code, doc, err = Deploy(self.p, "--env", "ENVIRONMENT=next").result()
            self.assertEqual(code, 0, err)
            self.assertEqual(wait_end(self.p, doc["id"])["outcome"], "promoted")
            wait_for(lambda: self.course('headgate_app_release{arm="serving"} == 2', since), 60, every=0.5)
        finally:
            load.stop().result()

    def test_every_query_of_every_panel_answers(self):
        config = CONFIG.replace("HTTPS", str(free_port()))
        with exporter() as port, Platform(config.replace("EXPORTER", str(port)), replicas=3) as self.p:
            certificate(self.p.dir, "one", ["a.example"])
            since = time.time()
            self.p.up()
            self.p.wait_ready(3)
            self.use(since)
            status, doc = self.api("/v1/panels")
            self.assertEqual((status, doc["schema"]), (200, "headgate.panels/1"))
            empty, legends = [], {}
            for d, p, q in queries(doc):
                expr = filled(q["expr"], "1m")
                rows = self.course(expr, since)
                place = f"{d['id']}.{p['id']}"
                if not rows and not (p["id"] == "network" and alone()):
                    empty.append(f"{place}: {expr}")
                named = legends.setdefault(place, [])
                if p["kind"] in ("heatmap", "table"):
                    continue  # told apart by the bucket, or by the row
                named += [re.sub(r"\{\{(\w+)\}\}", lambda m: r["metric"][m[1]], q["legend"]) for r in rows]
            print(f"# {len(list(queries(doc)))} queries asked", flush=True)
            self.assertEqual(empty, [], "\n" + "\n".join(empty))
            for place, named in legends.items():
                self.assertEqual(len(set(named)), len(named), f"{place}: {sorted(named)}")
            self.check_markers(doc, since)
            self.check_trial(doc, since)
            self.check_grafana(doc)

    def check_markers(self, doc, since):
        """Release 2 is marked when its rollout begins and when it serves, each time once; 1 when it came to serve."""
        for d in doc["dashboards"]:
            def points():
                _, got = self.api("/api/v1/query_range", query=filled(d["markers"], "1m"), start=since - since % 15,
                                  end=time.time(), step="15")
                return sorted((r["metric"]["release"], r["metric"]["arm"], len(r["values"])) for r in got["data"]["result"])
            wait_for(lambda: ("2", "serving", 1) in points(), 40, every=0.5)
            self.assertEqual(points(), [("1", "serving", 1), ("2", "new", 1), ("2", "serving", 1)], d["id"])

    def check_trial(self, doc, since):
        """What the queries say of the rollout is what happened: the new release was given three tenths of the traffic,
        and was called new also when it served already and the old one stood by."""
        wanted, actual = (q["expr"] for _, p, q in queries(doc) if p["id"] == "traffic_share")
        for expr in (wanted, actual):
            # The whole traffic is its own for some 11 s, and what is asked for comes every 5 s.
            rows = self.course(filled(expr, "10s"), since, step=1)
            self.assertLessEqual({(r["metric"]["arm"], r["metric"]["release"]) for r in rows},
                                 {("serving", "1"), ("old", "1"), ("new", "2"), ("serving", "2")})
            new = [float(v) for r in rows if r["metric"]["arm"] == "new" for _, v in r["values"]]
            self.assertTrue(any(0.2 < v < 0.4 for v in new), f"{expr}: {new}")
        self.assertTrue(any(v > 0.9 for v in new), new)  # of those it got

    def check_grafana(self, doc):
        """Its expressions are the page's, and our parser takes them."""
        out = self.p.dir / "grafana"
        self.p.run("export", "grafana", "--output", out)
        have = {q["expr"] for _, _, q in queries(doc)}
        for d in doc["dashboards"]:
            board = json.loads((out / f"headgate-{d['id']}.json").read_text())
            exprs = [t["expr"] for p in board["panels"] for t in p["targets"]]
            self.assertEqual(set(exprs), {q["expr"] for p in d["panels"] for q in p["queries"]})
            self.assertLessEqual(set(exprs), have)
            exprs += [a["expr"] for a in board["annotations"]["list"] if "expr" in a]
            for expr in exprs:
                status, got = self.api("/api/v1/format_query", query=filled(expr, "5m"))
                self.assertEqual((status, got["status"]), (200, "success"), f"{expr}: {got}")


class Written(unittest.TestCase):
    """Without a platform."""

    def export(self, *words):
        return subprocess.run([HEADGATE, "export", "grafana", *map(str, words)], capture_output=True, text=True, timeout=30)

    def board(self, name):
        done = self.export("--dashboard", name)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        board = json.loads(done.stdout)
        self.assertEqual(json.loads(json.dumps(board)), board)
        return board

    def test_panels_lie_beside_each_other_and_have_what_grafana_asks_for(self):
        for name, count in COUNTS.items():
            board = self.board(name)
            self.assertEqual((board["uid"], board["id"], board["schemaVersion"]), (f"headgate-{name}", None, 39))
            ids = [p["id"] for p in board["panels"]]
            self.assertEqual(len(set(ids)), len(ids))
            self.assertGreaterEqual(len(ids), count)
            taken = set()
            for p in board["panels"]:
                g = p["gridPos"]
                cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
                self.assertFalse(cells & taken, p["title"])
                self.assertLessEqual(g["x"] + g["w"], 24)
                taken |= cells
                self.assertIn(p["type"], ("timeseries", "heatmap", "table", "stat", "state-timeline"))
                self.assertTrue(p["description"])
                refs = [t["refId"] for t in p["targets"]]
                self.assertEqual(refs, [chr(ord("A") + i) for i in range(len(refs))])
                values = [s["value"] for s in p["fieldConfig"]["defaults"]["thresholds"]["steps"]]
                self.assertIsNone(values[0])
                self.assertEqual(values[1:], sorted(values[1:]))
                for o in p["fieldConfig"]["overrides"]:
                    if o["matcher"]["id"] == "byFrameRefID":
                        self.assertIn(o["matcher"]["options"], refs)
                self.assertEqual({json.dumps(x["datasource"]) for x in [p, *p["targets"]]},
                                 {'{"type": "prometheus", "uid": "${datasource}"}'})

    def test_evidence_grows_by_factors_and_is_drawn_so(self):
        scales = {p["title"]: p["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]
                  for p in self.board("canary")["panels"] if p["type"] == "timeseries"}
        self.assertEqual({title for title, s in scales.items() if s == {"type": "log", "log": 10}},
                         {"Evidence against the new release"})

    def test_variables_are_those_that_are_used(self):
        for name in COUNTS:
            board = self.board(name)
            declared = {v["name"] for v in board["templating"]["list"]}
            used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(board)))
            self.assertLessEqual(used, declared)
            self.assertEqual("app" in declared, name != "infrastructure")
            for v in board["templating"]["list"]:
                if v["name"] == "app":
                    self.assertEqual((v["query"]["query"], v["allValue"]),
                                     ("label_values(headgate_app_replicas_desired, app)", ".*"))

    def test_files_are_the_same_each_time_and_replace_older_ones(self):
        with tempfile.TemporaryDirectory() as folder:
            to = pathlib.Path(folder) / "a/b"
            for _ in range(2):
                done = self.export("--output", to)
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sorted(f.name for f in to.iterdir()), [f"headgate-{n}.json" for n in sorted(COUNTS)])
            for n in COUNTS:
                self.assertEqual((to / f"headgate-{n}.json").read_text(), self.export("--dashboard", n).stdout)
            one = pathlib.Path(folder) / "one"
            self.assertEqual(self.export("-o", one, "--dashboard", "canary").returncode, 0)
            self.assertEqual([f.name for f in one.iterdir()], ["headgate-canary.json"])
            (to / "file").write_text("")
            done = self.export("--output", to / "file" / "below")
            self.assertEqual(done.returncode, 1)
            self.assertIn("HG1002", done.stderr)

    def test_three_on_one_standard_output_are_refused(self):
        done = self.export()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("--output DIR", done.stderr)
        self.assertEqual(self.export("--dashboard", "other").returncode, 2)

    def test_series_are_those_of_the_documents(self):
        page = (ROOT / "docs/howto/metrics.md").read_text()
        for name in COUNTS:
            board = self.board(name)
            for p in board["panels"]:
                for t in p["targets"]:
                    for series in re.findall(r"\b(?:headgate|node)_\w+", t["expr"]):
                        self.assertIn(f"`{series.removesuffix('_bucket')}`", page, p["title"])


if __name__ == "__main__":
    main()
