#!/usr/bin/env python3
"""Objectives, error budgets and incidents with real processes: an app that fails burns its budget, wakes
somebody, freezes deployments and opens an incident; kill -9 of control in between changes none of it."""
import http.client
import json
import socket
import time
import unittest

from alerts_test import Hostile
from harness import Platform, kill, main, request, wait_for

APP = r'''
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/cut":  # a length that never comes
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.close_connection = True
            return
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        if os.environ.get("BAD") and self.path != "/health":
            status = 500
        body = b"x"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
'''

CONFIG = """version: 1
project: e2e
edge: {{workers: {workers}, listen: {{http: "127.0.0.1:{port}"}}}}
apps:
  shop:
    command: python3 app.py $PORT
    dir: {dir}
    replicas: 1
    probes:
      startup: {{http: /health, every: 250ms, failures: 240}}
      readiness: {{http: /health, every: 1s, timeout: 5s, failures: 5}}
    protect: {{retries: 0}}
    routes: [{{host: "*", path: /}}]
    rollout:
      strategy: canary
      steps: [{{weight: 50%, wait: 5m}}]
    versions:
      bad: {{env: {{BAD: "1"}}}}
    slo:
      availability: {{objective: 99%, window: 30d, good: 2xx 3xx 404}}
      latency: {{objective: 50%, faster_than: 7s}}
      error_budget: {{freeze_deploys_below: 10%}}
      runbook: docs/runbooks/errors.md
alerts:
  settle: 0s
  receivers: {{hook: {{webhook: HOOK_URL}}}}
  route: {{wait: 0s, interval: 1s, critical: hook}}
"""


class Goals(unittest.TestCase):
    def setUp(self):
        self.p = Platform(CONFIG, workers=2)
        (self.p.dir / "app.py").write_text(APP)
        self.hook = Hostile()
        self.addCleanup(self.hook.stop)

    def slo(self):
        out = self.p.run("slo", "shop", "--json").stdout
        return {o["slo"]: o for o in json.loads(out)["objectives"]}

    def ask(self, path, n):
        for _ in range(n):
            try:
                request(self.p.port, "GET", path)
            except Exception:  # noqa: BLE001: a cut answer is what was asked for
                if path != "/cut":
                    raise

    def counted(self, bad, total):
        def there():
            a = self.slo()["availability"]
            return (a["bad"], a["total"]) == (bad, total) and a
        there.__doc__ = f"{bad} of {total} counted, have {self.slo()['availability']}"
        return wait_for(there, 60, 0.5)

    def incidents(self):
        return json.loads(self.p.run("incidents", "--json").stdout)["incidents"]

    def test_from_the_first_bad_answer_to_the_document_after_it(self):
        with self.p as p:
            p.run("secret", "set", "HOOK_URL", input=f"http://127.0.0.1:{self.hook.port}/hook")
            p.up()
            self.ask("/200", 150)
            self.ask("/404", 10)  # good, as the file says
            self.ask("/429", 20)  # neither
            a = self.counted(0, 160)
            self.assertEqual((a["budget"]["left"], a["alerts"], a["frozen"]), (1, [], False))
            wait_for(lambda: self.slo()["latency"]["total"] == 180, 60, 0.5)  # … but answered
            self.assertEqual(self.slo()["availability"]["total"], 160)
            self.assertEqual(self.slo()["latency"]["bad"], 0)  # 7 s is an edge of its own: the edge has counted
            self.assertEqual(self.incidents(), [])

            # An error, a cut answer, and control dies: what it had not looked at is not lost.
            began = time.monotonic()
            self.ask("/500", 20)
            self.ask("/cut", 10)
            kill(p.pids("control")[0])
            self.ask("/503", 10)
            wait_for(lambda: p.run("slo", check=False).returncode == 0, 60)
            a = self.counted(40, 200)
            self.assertEqual({x["severity"] for x in a["alerts"]}, {"critical", "warning"})
            print(f"# alerts {time.monotonic() - began:.1f} s after the first bad answer", flush=True)
            told = wait_for(lambda: self.hook.of("/hook"), 60, 0.1)
            print(f"# somebody is told {time.monotonic() - began:.1f} s after it", flush=True)
            body = told[0][1]
            self.assertEqual((body["status"], body["groupLabels"]), ("firing", {"alertname": "ErrorBudgetBurn", "app": "shop"}))
            alert = body["alerts"][0]
            self.assertEqual((alert["labels"]["severity"], alert["labels"]["slo"]), ("critical", "availability"))
            self.assertEqual(alert["annotations"]["runbook_url"], "docs/runbooks/errors.md")
            self.assertIn("times what the objective allows", alert["annotations"]["summary"])
            self.assertAlmostEqual(a["budget"]["left"], 1 - 40 / (200 * 0.01))
            self.assertTrue(a["frozen"])
            metrics = self.api("/metrics").decode()
            for line in ('headgate_slo_window_events{app="shop",slo="availability",result="bad"} 40',
                         'headgate_slo_deploys_frozen{app="shop"} 1', 'headgate_incidents_open{priority="P1"} 1',
                         'headgate_responses_broken_total{app="shop",release="1"} 10'):
                self.assertIn(line + "\n", metrics)
            self.assertRegex(metrics, r'duration_seconds_bucket{app="shop",release="1",le="7"} \d+\n')

            # Frozen: no deploy without a reason, and the reason is audited.
            no = p.run("deploy", "shop", "--env", "X=1", "--detach", check=False)
            self.assertEqual(no.returncode, 6, no.stderr)
            self.assertIn("HG1530", no.stderr)
            self.assertIn("error budget", no.stderr)
            p.run("deploy", "shop", "--version", "bad", "--override", "it cannot wait", "--detach")
            audit = json.loads(self.api("/v1/audit"))["entries"]
            self.assertEqual([e["details"]["override"] for e in audit if e["result"] == "ok"], ["it cannot wait"])
            self.assertEqual([e["result"] for e in audit if e["result"] != "ok"], ["HG1530"])

            # The release is bad: taken back, and it joins the incident that the budget opened.
            def taken_back():
                self.ask("/200", 20)
                rows = json.loads(p.run("rollouts", "--json").stdout)["rollouts"]
                return rows and rows[0]["state"] == "aborted"
            wait_for(taken_back, 90, 0.2)
            self.assertEqual(len(self.incidents()), 1)
            i = self.incidents()[0]
            self.assertEqual((i["priority"], i["state"], i["runbook"]), ("P1", "open", "docs/runbooks/errors.md"))
            p.run("incidents", "ack", i["id"], "--note", "looking")
            kill(p.pids("control")[0])
            wait_for(lambda: p.run("incidents", check=False).returncode == 0, 60)
            p.run("incidents", "assign", i["id"], "kim")
            p.run("incidents", "resolve", i["id"], "--note", "was the disk")
            again = p.run("incidents", "ack", i["id"], check=False)
            self.assertEqual(again.returncode, 6)
            self.assertIn("HG1532", again.stderr)
            shown = p.run("incidents", "show", i["id"]).stdout
            for text in ("incident opened as P1", "was taken back", "the budget is left", "by unix:", "looking",
                         "assigned to kim", "was the disk", "rollout.override", "it cannot wait"):
                self.assertIn(text, shown)
            report = p.run("incidents", "report", i["id"]).stdout
            for text in (f"# Incident {i['id']}: ", "| in time | yes |", "## Root cause", "## Timeline", "kim"):
                self.assertIn(text, report)
            self.assertEqual(self.incidents()[0]["state"], "resolved")
            self.assertIn("burns", p.run("slo").stdout)
            # Told once, over two kills of control and however often it was looked at.
            ids = [h["webhook-id"] for h, b, _ in self.hook.of("/hook") if b["status"] == "firing"]
            self.assertEqual(len(set(ids)), 1, ids)

    def api(self, path):
        class Unix(http.client.HTTPConnection):
            def connect(c):
                c.sock = socket.socket(socket.AF_UNIX)
                c.sock.connect(str(self.p.data / "control.sock"))
        c = Unix("localhost")
        c.request("GET", path)
        return c.getresponse().read()


if __name__ == "__main__":
    main()
