#!/usr/bin/env python3
"""Traces from the edge to the app to the database and on to the worker, as a receiver of OTLP sees them: one
POST is one trace with the right parents; what is kept; whose trace is believed; a receiver that is away."""
import json
import re
import signal
import socket
import time
import unittest

from harness import Platform, SANITIZED, kill, main, request, wait_for
from mail_test import Case, run
from otlp_collector import Collector
from webhook_server import Receiver

CONFIG = """version: 1
project: e2e
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
  trusted_proxies: <TRUSTED>
  traces: {{to: "<COLLECTOR>", sample: <SHARE>, slow: 0s}}
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    health: /health
    env: {{DATABASE_URL: "sqlite:data/feedback.db", NOTIFY_EMAIL: ops@example.com, WORKERS: inline,
          SMTP_URL: "smtp://127.0.0.1:1", SMTP_STARTTLS: "off", MAIL_FROM: app@example.com,
          OTEL_EXPORTER_OTLP_ENDPOINT: "<COLLECTOR>", OTEL_TRACES_SAMPLER: parentbased_traceidratio,
          OTEL_TRACES_SAMPLER_ARG: "0", OTEL_BSP_SCHEDULE_DELAY: "100"}}
    <MORE>
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
"""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"


def platform(collector, sample="100%", trusted="[]", more="protect: {{retries: 2}}"):
    config = CONFIG.replace("<COLLECTOR>", collector.url()).replace("<SHARE>", sample).replace("<TRUSTED>", trusted)
    config = config.replace("<MORE>", more)
    return Platform(config, replicas=1)


def metric(port, name):
    for line in request(port, path="/metrics")[2].decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


class Whole(unittest.TestCase):
    def post(self, p, message, **headers):
        status, _, body = request(p.port, "POST", "/feedback", {"message": message}, headers=headers)
        self.assertEqual(status, 201, body)
        return json.loads(body)

    def logged(self, p, what):
        """Lines of the edge's access log and of the app with this in them."""
        lines = p.run("logs", "--json", "--limit", "1000", check=False).stdout.splitlines()
        return [line for line in lines if what in line]

    def test_one_post_is_one_trace_from_the_edge_to_the_job(self):
        with Collector() as collector, platform(collector) as p:
            p.up()
            p.wait_ready(1)
            made = self.post(p, "Grüße")
            job = wait_for(lambda: collector.named("send_email_notification"), 60)[0]
            wait_for(lambda: len(collector.of(job.trace)) >= 6, 30)
            by = {s.name: s for s in collector.of(job.trace)}
            edge = next(s for s in by.values() if s.kind == 2 and s.service == "headgate-edge")
            attempt, create = by["POST"], by["create_feedback"]
            insert, queue = by["database.insert"], by["send notification-queue"]
            # The chain of parents.
            self.assertIsNone(edge.parent)
            self.assertEqual([attempt.parent, create.parent, insert.parent, queue.parent, job.parent],
                             [edge.id, attempt.id, create.id, insert.id, queue.id])
            self.assertEqual([s.kind for s in (edge, attempt, create, insert, queue, job)], [2, 3, 2, 3, 4, 5])
            self.assertEqual([edge.service, create.service], ["headgate-edge", "feedback-app"])
            self.assertEqual(len({s.id for s in by.values()}), len(by))
            # What they say.
            self.assertEqual(edge.attributes["http.request.method"], "POST")
            self.assertEqual(edge.attributes["http.response.status_code"], 201)
            self.assertEqual(edge.attributes["url.path"], "/feedback")
            self.assertEqual(edge.attributes["headgate.app"], "feedback")
            self.assertEqual(create.attributes["feedback.id"], made["id"])
            self.assertEqual(create.attributes["feedback.message_length"], 5)
            self.assertEqual(create.attributes["http.route"], "/feedback")
            self.assertEqual(insert.attributes["db.system.name"], "sqlite")
            self.assertEqual(insert.attributes["db.operation.name"], "INSERT")
            self.assertEqual(job.attributes["messaging.destination.name"], "notification-queue")
            self.assertEqual(job.attributes["job.outcome"], "retried")  # no SMTP server there
            self.assertTrue(job.error)
            self.assertFalse(any(s.error for s in (edge, attempt, create, insert, queue)))
            # Times: each within its parent, but for jobs, which come after.
            for inner, outer in ((attempt, edge), (insert, create)):
                self.assertGreaterEqual(inner.start, outer.start - 5_000_000)
                self.assertLessEqual(inner.end, outer.end + 5_000_000)
            # The same id is in the edge's access log and in the app's.
            wait_for(lambda: len(self.logged(p, job.trace)) >= 2, 20)
            lines = self.logged(p, job.trace)
            self.assertTrue(any("feedback.access" in line for line in lines), lines)
            # A list: cache and database.
            p.get("/feedback")
            found = wait_for(lambda: collector.named("cache.lookup"), 20)[-1]
            wait_for(lambda: collector.named("list_feedback", found.trace), 20)
            self.assertEqual(found.parent, collector.named("list_feedback", found.trace)[0].id)
            self.assertEqual(found.attributes["cache.result"], "miss")
            self.assertEqual(collector.wrong, [])

    def test_of_what_was_not_drawn_errors_are_kept_and_named_in_the_answer(self):
        with Collector() as collector, platform(collector, sample="0%", more="protect: {{timeout: 5s, retries: 0}}") as p:
            p.up()
            p.wait_ready(1)
            self.post(p, "not drawn")
            status, headers, body = request(p.port, path="/none", headers={"Accept": "application/json"})
            self.assertEqual(status, 404, body)
            self.assertRegex(headers["X-Trace-Id"], "^[0-9a-f]{32}$")
            # The app's only process stands still.
            pid = p.replicas()[0]["pid"]
            kill(pid, signal.SIGSTOP)
            try:
                status, headers, body = request(p.port, path="/feedback", timeout=60,
                                                headers={"Accept": "application/json"})
            finally:
                kill(pid, signal.SIGCONT)
            self.assertEqual(status, 504, body)
            trace = json.loads(body)["trace_id"]
            self.assertEqual(headers["X-Trace-Id"], trace)
            wait_for(lambda: len(collector.of(trace)) >= 2, 30)
            edge = next(s for s in collector.of(trace) if s.kind == 2)
            attempt = next(s for s in collector.of(trace) if s.kind == 3)
            self.assertTrue(edge.error and attempt.error)
            self.assertEqual([edge.parent, attempt.parent], [None, edge.id])
            self.assertEqual(edge.attributes["http.response.status_code"], 504)
            self.assertEqual(attempt.attributes["error.type"], "response_timeout")
            self.assertEqual(edge.raw["flags"] & 1, 0)
            # Nothing else was kept, and the app was told so.
            self.assertEqual({s.trace for s in collector.spans}, {trace})
            self.assertEqual([s for s in collector.spans if s.service == "feedback-app"], [])
            self.assertEqual(collector.wrong, [])

    def test_a_trace_goes_on_only_for_those_who_are_believed(self):
        with Collector() as collector:
            for trusted, goes_on in (("[127.0.0.1]", True), ("[192.0.2.1]", False)):
                with platform(collector, sample="0%", trusted=trusted) as p:
                    p.up()
                    p.wait_ready(1)
                    self.post(p, "with a parent", traceparent=PARENT + "01", tracestate="a=b")
                    if goes_on:
                        wait_for(lambda: len(collector.of(PARENT[3:35])) >= 5, 30)
                        edge = next(s for s in collector.of(PARENT[3:35]) if s.service == "headgate-edge" and s.kind == 2)
                        self.assertEqual(edge.parent, PARENT[36:52])
                        collector.spans.clear()
                        self.post(p, "and not kept", traceparent=PARENT + "00")
                    self.post(p, "without")
                    time.sleep(1.5)
                    self.assertEqual(collector.spans, [])
            self.assertEqual(collector.wrong, [])

    def test_without_the_receiver_nothing_waits_and_afterwards_it_is_told(self):
        with Collector() as collector, platform(collector) as p:
            collector.stop()
            p.up()
            p.wait_ready(1)
            times = []
            for i in range(200):
                t = time.monotonic()
                self.post(p, f"message {i}")
                times.append(time.monotonic() - t)
            # Not the machine's speed is asked, but that no time-out of an export is in it.
            self.assertLess(sorted(times)[100], 1.0 if SANITIZED else 0.5, times)
            log = p.data / "logs/observe.log"
            wait_for(lambda: "traces.export_failing" in log.read_text(), 30)
            collector.start()
            wait_for(lambda: len(collector.named("create_feedback")) == 200, 90)
            wait_for(lambda: len([s for s in collector.spans if s.kind == 2 and s.service == "headgate-edge"
                                  and s.attributes.get("http.response.status_code") == 201]) == 200, 90)
            wait_for(lambda: "traces.export_works" in log.read_text(), 30)
            self.assertEqual(collector.wrong, [])


class App(Case):
    """The app alone."""

    def setUp(self):
        super().setUp()
        self.collector = Collector()
        self.env.update(OTEL_EXPORTER_OTLP_ENDPOINT=self.collector.url(), OTEL_BSP_SCHEDULE_DELAY="100",
                        OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES="team=a%20b,service.name=no")

    def tearDown(self):
        super().tearDown()
        self.collector.stop()
        self.assertEqual(self.collector.wrong, [])

    def test_metrics_have_exemplars_for_those_who_ask_for_openmetrics(self):
        app = self.app()
        app.create("x")
        span = wait_for(lambda: self.collector.named("create_feedback"), 20)[0]
        self.assertEqual(span.resource["team"], "a b")
        self.assertEqual(span.service, "shop")
        plain = request(app.port, path="/metrics")
        self.assertNotIn(b"trace_id", plain[2])
        self.assertNotIn(b"# EOF", plain[2])
        status, headers, body = request(app.port, path="/metrics", headers={
            "Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.3"})
        text = body.decode()
        self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"))
        self.assertTrue(text.endswith("\n# EOF\n"))
        line = next(k for k in text.splitlines() if "trace_id" in k)
        match = re.fullmatch(r'http_request_duration_seconds_bucket\{method="POST",endpoint="/feedback",le="[^"]+"\} 1 '
                             r'# \{trace_id="([0-9a-f]{32})"\} ([0-9.]+) ([0-9.]+)', line)
        self.assertTrue(match, line)
        self.assertEqual(match[1], span.trace)
        self.assertLess(abs(float(match[3]) - time.time()), 600)
        self.assertIn("# TYPE http_requests counter\n", text)
        self.assertNotIn("_total counter", text)

    def test_what_is_no_request_has_no_span(self):
        app = self.app()
        for text in (b"\x00nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", app.port), 10) as s:
                s.sendall(text)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
        app.create("it is alive")
        wait_for(lambda: self.collector.named("create_feedback"), 20)
        self.assertEqual({s.name for s in self.collector.spans} & {"GET -", "OTHER -"}, set())

    def test_webhooks_go_on_with_the_trace(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            run("webhooks", "add", receiver.url(), env=self.env, cwd=self.dir)
            app = self.app(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
            app.call("POST", "/feedback", {"message": "told"}, headers={"traceparent": PARENT + "01"})
            got = wait_for(lambda: receiver.got, 20)[0]
            self.assertTrue(got.headers["traceparent"].startswith(PARENT[:36]), got.headers)
            job = wait_for(lambda: self.collector.named("send_webhook"), 20)[0]
            self.assertEqual(got.headers["traceparent"][36:52], job.id)
            self.assertEqual(job.attributes["job.outcome"], "done")
            queue = wait_for(lambda: self.collector.named("send notification-queue"), 20)[0]
            self.assertEqual(job.parent, queue.id)
            # An error says which trace it was.
            status, headers, _ = app.call("GET", "/feedback/999999", headers={"traceparent": PARENT + "00"})
            self.assertEqual((status, headers.get("X-Trace-Id")), (404, PARENT[3:35]))

    def test_what_finds_no_receiver_is_counted(self):
        self.collector.stop()
        app = self.app()
        app.create("x")

        def failures():
            return metric(app.port, "traces_export_failures_total")
        wait_for(failures, 20)
        self.assertGreater(metric(app.port, "traces_spans_queued"), 0)
        self.collector.refuse = 400
        self.collector.start()
        wait_for(lambda: metric(app.port, "traces_spans_dropped_total") >= 2, 30)
        self.collector.refuse = None
        app.create("y")
        wait_for(lambda: metric(app.port, "traces_spans_exported_total") >= 2, 30)


if __name__ == "__main__":
    main()
