#!/usr/bin/env python3
"""Gates that ask a service over HTTP, with real processes and a service that does what it is told."""
import http.server
import json
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from harness import FEEDBACK, Platform, kill, main, wait_for
from releases_test import Deploy, wait_end

CONFIG = FEEDBACK + """    rollout:
      strategy: canary
      steps: [{{weight: 30%, wait: 1s}}, {{weight: 100%, wait: 1s}}]
      inconclusive: promote
      inconclusive_after: 1s
      progress_deadline: 20s
      after_promote: {{watch: 1s, keep_previous: 0s}}
      gates:
GATES
"""


def config(*gates):
    return CONFIG.replace("GATES", "\n".join("        - {{" + gate + "}}" for gate in gates))


class Service:
    """Answers each request with the next of `answers`, the last one for ever: (status, headers, body),
    bytes that are sent as they are, or a number of seconds in which nothing is said."""

    def __init__(self, *answers, tls=None):
        self.answers = list(answers)
        self.asked = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                service.asked.append({"method": self.command, "path": self.path, "headers": dict(self.headers),
                                      "body": json.loads(body) if body else None, "at": time.monotonic()})
                answer = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
                if isinstance(answer, (int, float)):
                    service.stopped.wait(answer)
                    self.close_connection = True
                elif isinstance(answer, bytes):
                    self.wfile.write(answer)
                    self.close_connection = True
                else:
                    status, headers, text = answer
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.stopped = threading.Event()
        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def gate(self, when, more="timeout: 20s", scheme="http", path="/gate"):
        return f'when: {when}, http: "{scheme}://127.0.0.1:{self.port}{path}", {more}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()


OK = (200, {}, b"fine")


class Gates(unittest.TestCase):
    def deploy(self, service, *gates, code=None, then=None):
        """One deploy; its end. `then` is called with the platform while it is under way."""
        with Platform(config(*gates), replicas=1) as p:
            p.up()
            child = Deploy(p, "--env", "ENVIRONMENT=next")
            if then:
                then(p)
            have, doc, err = child.result()
            if code is not None:
                self.assertEqual(have, code, f"{err}\n{json.dumps(doc)}")
            end = wait_end(p, doc["id"])
            why = p.run("rollouts", "why", doc["id"]).stdout
            self.assertEqual(p.ready(), 1)
            return end, why

    def test_a_service_is_asked_at_each_gate_and_agrees(self):
        with Service(OK) as s:
            end, _ = self.deploy(s, s.gate("before", path="/{{app}}?r={{release}}&p={{previous}}&w={{weight}}"),
                                 s.gate('"30%"', "method: GET, headers: {{X-Team: payments}}"), s.gate("promote"),
                                 s.gate("after"), s.gate("rollback"), code=0)
            self.assertEqual(end["outcome"], "promoted")
            self.assertEqual([g["state"] for g in end["gates"][:4]], ["passed"] * 4)
            self.assertEqual([(a["method"], a["path"]) for a in s.asked],
                             [("POST", "/feedback?r=2&p=1&w=0"), ("GET", "/gate"), ("POST", "/gate"), ("POST", "/gate")])
            body = s.asked[0]["body"]
            self.assertEqual((body["schema"], body["app"], body["release"], body["previous"], body["rollout"],
                              body["strategy"], body["when"], body["weight"]),
                             ("headgate.gate/1", "feedback", 2, 1, end["id"], "canary", "before", 0))
            self.assertEqual(s.asked[2]["body"]["when"], "promote")
            self.assertEqual(s.asked[1]["headers"]["X-Team"], "payments")
            keys = [a["headers"]["Idempotency-Key"] for a in s.asked]
            self.assertEqual(len(set(keys)), 4)
            self.assertEqual(keys[0], f'"{body["key"]}"')

    def test_a_refusal_before_the_first_request_ends_it_and_is_quoted(self):
        with Service((403, {}, b"the tests are red\n"), OK) as s:
            end, why = self.deploy(s, s.gate("before"), s.gate("rollback"), code=4)
            self.assertEqual((end["outcome"], end["cause"]), ("rolled_back", "gate"))
            self.assertEqual(end["users"]["requests_new"], 0)
            self.assertEqual([g["state"] for g in end["gates"]], ["failed", "passed"])
            self.assertEqual((end["gates"][0]["status"], end["gates"][0]["note"]), (403, "HTTP 403: the tests are red"))
            self.assertIn("HTTP 403: the tests are red", " ".join(why.split()))
            self.assertEqual([a["body"]["when"] for a in s.asked], ["before", "rollback"])

    def test_a_refusal_at_a_weight_takes_the_release_back(self):
        with Service(OK, (418, {}, b"")) as s:
            end, why = self.deploy(s, s.gate("before"), s.gate('"30%"'), code=4)
            self.assertEqual((end["outcome"], end["cause"]), ("rolled_back", "gate"))
            self.assertEqual([g["state"] for g in end["gates"]], ["passed", "failed"])
            self.assertAlmostEqual(s.asked[1]["body"]["weight"], 0.3)
            self.assertIn("HTTP 418", why)

    def test_trouble_is_asked_again_and_redirects_are_not_followed(self):
        with Service((503, {"Retry-After": "1"}, b""), (202, {"Retry-After": "1"}, b"queued"), OK) as s:
            end, _ = self.deploy(s, s.gate("before"), code=0)
            self.assertEqual(end["outcome"], "promoted")
            self.assertEqual(len(s.asked), 3)
            self.assertEqual(len({a["headers"]["Idempotency-Key"] for a in s.asked}), 1)
            self.assertEqual(s.asked[0]["body"], s.asked[2]["body"])
        with Service(OK) as other, Service((302, {"Location": f"http://127.0.0.1:{other.port}/"}, b"")) as s:
            end, why = self.deploy(s, s.gate("before"), code=4)
            self.assertIn("HTTP 302", why)
            self.assertEqual((len(s.asked), len(other.asked)), (1, 0))

    def test_one_that_hangs_fails_at_its_timeout_and_nothing_else_waits(self):
        with Service(30) as s:
            asked = []

            def then(p):
                wait_for(lambda: s.asked)
                for _ in range(5):
                    began = time.monotonic()
                    p.run("status")
                    asked.append(time.monotonic() - began)

            end, why = self.deploy(s, s.gate("before", "timeout: 4s"), code=4, then=then)
            self.assertEqual(end["gates"][0]["state"], "failed")
            self.assertGreaterEqual(end["gates"][0]["took_ms"], 4000)
            self.assertLess(end["gates"][0]["took_ms"], 15000)  # it hangs for 30 s
            self.assertIn("no agreement within 4 s", " ".join(why.split()))
            self.assertLess(max(asked), 3)  # with the gate they would have waited for nearly four

    def test_what_is_no_answer_of_http_fails_at_once(self):
        with Service(b"220 mail.example.com ESMTP\r\n") as s:
            end, _ = self.deploy(s, s.gate("before"), code=4)
            self.assertEqual(len(s.asked), 1)
            self.assertEqual(end["gates"][0]["status"], -1)
            self.assertTrue(end["gates"][0]["note"])

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder) / "both.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
                            "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out",
                            Path(folder) / "cert"], check=True, capture_output=True)
            pem.write_text(pem.read_text() + (Path(folder) / "cert").read_text())
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(pem)
            with Service(OK, tls=tls) as s:
                end, why = self.deploy(s, s.gate("before", scheme="https"), code=4)
                self.assertEqual(s.asked, [])
                self.assertIn("certificate", end["gates"][0]["note"])

    def test_a_control_that_is_killed_while_it_asks_asks_again_with_the_same_key(self):
        with Service(20, OK) as s:
            def then(p):
                wait_for(lambda: s.asked)
                kill(p.pids("control")[0])

            end, _ = self.deploy(s, s.gate("before", "timeout: 30s"), then=then)
            self.assertEqual(end["outcome"], "promoted")
            self.assertEqual(end["gates"][0]["state"], "passed")
            self.assertEqual(len(s.asked), 2)
            self.assertEqual(s.asked[0]["headers"]["Idempotency-Key"], s.asked[1]["headers"]["Idempotency-Key"])
            self.assertEqual(s.asked[0]["body"], s.asked[1]["body"])


if __name__ == "__main__":
    main()
