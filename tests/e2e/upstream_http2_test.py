#!/usr/bin/env python3
"""HTTP/2 from the edge to replicas: one that does whatever a test says, nghttpd, and gRPC end to end."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import ROOT, SANITIZED, Platform, kill, main, request, wait_for
from http2_frames import (CALM, CANCEL, DATA, END_STREAM, HEADERS, POST, RST_STREAM, Client, frame, headers, u32)

CONFIG = """version: 1
project: e2e
edge:
  workers: 1
  h2c: true
  listen: {{http: "127.0.0.1:{port}"}}
  access_log: {{sample: 100%}}
apps:
  r:
    command: python3 REPLICA data $PORT
    dir: {dir}
    replicas: 1
    sandbox: {{writable: [data/]}}
    upstream: {{protocol: http2}}
    probes: {{startup: {{tcp: true, every: 500ms}}}}
    protect: {{timeout: 2s, retries: 2, outlier: {{consecutive_errors: never}}}}
    routes: [{{host: "*", path: /}}]
"""
GRPC = """version: 1
project: e2e
edge:
  workers: 1
  h2c: true
  listen: {{http: "127.0.0.1:{port}"}}
  access_log: {{sample: 100%}}
apps:
  g:
    command: PYTHON APP serve ADDRESS
    dir: {dir}
    replicas: {replicas}
    env: {{VERSION: one}}
    upstream: {{protocol: http2}}
    probes:
      startup: {{grpc: "", every: 250ms, timeout: 3s, failures: 120}}
      readiness: {{grpc: t.T, every: 500ms, timeout: 3s}}
    protect: {{timeout: 10s, retries: 2, retry_budget: 100%}}
    shutdown: {{grace: 10s}}
    routes: [{{host: "*", path: /}}]
    rollout: {{strategy: rolling, after_promote: {{watch: 0s}}}}
"""


def grpc_python():
    """An interpreter that has grpcio: Debian's, as a rule."""
    for p in ("/usr/bin/python3", "python3"):
        if subprocess.run([p, "-c", "import grpc"], capture_output=True).returncode == 0:
            return p
    return None


class Site(Platform):
    def log_lines(self):
        """Of the access log."""
        lines = self.run("logs", "edge", "--json", check=False).stdout.splitlines()
        return [json.loads(json.loads(line)["text"]) for line in lines if '"access' in line]

    def metrics(self):
        admin = self.status()["listeners"]["admin"]
        return subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True).stdout

    def metric(self, start):
        return sum(float(line.split()[-1]) for line in self.metrics().splitlines() if line.startswith(start))

    def edge_rss_kib(self):
        text = pathlib.Path(f"/proc/{self.pids('edge')[0]}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def curl(self, *argv, path="/x"):
        out = subprocess.run(["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *argv,
                              f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True)
        body, _, status = out.stdout.rpartition("\n")
        return int(status or 0), body, out.returncode


class Hostile(unittest.TestCase):
    """What comes from a replica may be anything."""
    @classmethod
    def setUpClass(cls):
        cls.site = Site(CONFIG.replace("REPLICA", str(ROOT / "tests/e2e/http2_hostile.py")))
        cls.site.__enter__()
        (cls.site.dir / "data").mkdir()
        cls.behave("ok")
        for path in (cls.site.dir / "data", cls.site.dir / "data/heard"):
            path.chmod(0o777)  # the replica may have a user of its own
        cls.site.up()
        cls.site.wait_ready(1, "r")

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    @classmethod
    def behave(cls, how):
        (cls.site.dir / "data/behaviour").write_text(how)
        (cls.site.dir / "data/heard").write_text("")
        for mark in cls.site.dir.glob("data/once-*"):
            mark.unlink()

    def heard(self):
        return (self.site.dir / "data/heard").read_text().splitlines()

    def hears(self, line, seconds=5):
        wait_for(lambda: any(re.fullmatch(line, h) for h in self.heard()), seconds)

    def fresh(self):
        """As it behaves well again, the edge works again: on a new connection if need be."""
        self.behave("ok")
        self.assertEqual(self.site.curl()[:2], (200, "hello"))

    def test_01_no_answer_that_is_none(self):
        """Each is 502 for whoever asked, over HTTP/1.1 and HTTP/2, and the next request is served."""
        edge, before = self.site.pids("edge"), self.site.edge_rss_kib()
        wrong = []
        for how in ("head-too-large", "bomb", "continuation-flood", "continuation-empty", "ping-flood", "settings-flood",
                    "update-flood", "unknown-flood", "splitting", "nul", "name-splitting", "upper-case", "no-status",
                    "two-statuses", "status-late", "status-odd", "status-600", "status-101", "pseudo", "connection",
                    "transfer-encoding", "lengths", "interim-ends", "data-first", "push", "not-http2", "bad-hpack",
                    "wrong-stream", "closes", "reset", "interims"):
            for protocol in ("--http1.1", "--http2-prior-knowledge"):
                self.behave(how)
                status, body, _ = self.site.curl(protocol, "-i")
                if status != 502 or "evil" in body:
                    wrong.append(f"{how} {protocol}: {status} {body[:200]}")
                self.fresh()
        self.assertEqual(wrong, [])
        self.assertEqual(self.site.pids("edge"), edge)
        if not SANITIZED:
            self.assertLess(self.site.edge_rss_kib(), before + 4096)

    def test_02_answers_that_go_wrong_on_their_way(self):
        for how in ("empty-flood", "frame-too-large", "short", "cut-cancel"):
            for protocol in ("--http1.1", "--http2-prior-knowledge"):
                self.behave(how)
                status, _, code = self.site.curl(protocol)
                self.assertTrue(code != 0 or status == 502, (how, protocol, status, code))
                self.fresh()

    def test_03_time_is_up(self):
        for how in ("silent", "head-never-ends"):
            self.behave(how)
            self.assertEqual(self.site.curl()[0], 504, how)
            self.hears(r"(reset \d+ 8|end)")
            self.fresh()

    def test_04_what_was_not_begun_is_done_elsewhere(self):
        """RFC 9113 section 8.7: whatever the method, if all of it is still here."""
        for how in ("refuse-once", "goaway-once"):
            for argv in ((), ("-d", "some")):
                self.behave(how)
                if how == "refuse-once":  # on the only replica: a refusal is its failure, as far as retries go
                    self.assertIn(self.site.curl(*argv)[0], (200, 502))
                else:
                    self.assertEqual(self.site.curl(*argv)[:2], (200, "second"), how)
                self.fresh()

    def test_05_goaway_lets_the_last_request_end(self):
        self.fresh()
        self.behave("goaway-after")
        for _ in range(3):
            self.assertEqual(self.site.curl()[:2], (200, "last"))
        self.assertGreaterEqual(self.heard().count("connection"), 2)
        self.fresh()

    def test_06_as_many_as_the_replica_takes(self):
        self.behave("closes")
        self.site.curl()  # a new connection, which is told
        self.behave("most:2")
        self.assertEqual(self.site.curl()[:2], (200, "slow"))
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.site.curl()[:2])) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(got, [(200, "slow")] * 8)
        heard, open_, most = self.heard(), 0, 0
        self.assertGreaterEqual(heard.count("connection"), 3)
        self.fresh()

    def test_07_parts_of_a_message(self):
        self.behave("hints")
        out = subprocess.run(["curl", "-s", "-i", "--http2-prior-knowledge", f"http://127.0.0.1:{self.site.port}/"],
                             capture_output=True, text=True).stdout
        self.assertIn("HTTP/2 103", out)
        self.assertIn("link: </a.css>", out)
        self.assertIn("hinted", out)
        self.behave("trailers")
        out = subprocess.run(["curl", "-s", "-i", "--raw", f"http://127.0.0.1:{self.site.port}/"], capture_output=True,
                             text=True).stdout
        self.assertIn("body", out)
        self.assertIn("x-end: yes", out)
        c = Client(self.site.port)
        c.send(headers(1, POST))
        self.assertEqual(c.outcome(1), ("status", "200", b"body"))
        kind, flags = c.frames[-1][:2]
        self.assertEqual((kind, flags & END_STREAM), (HEADERS, END_STREAM))
        self.behave("empty-body")
        self.assertEqual(self.site.curl()[:2], (200, ""))
        self.behave("no-content")
        self.assertEqual(self.site.curl()[:2], (204, ""))

    def test_08_codes_both_ways(self):
        for how, code in (("cut-cancel", CANCEL), ("cut-calm", CALM)):
            self.behave(how)
            c = Client(self.site.port)
            c.send(headers(1, POST))
            self.assertEqual(c.outcome(1), ("reset", code), how)
            c.close()
        self.behave("silent")
        c = Client(self.site.port)
        c.send(headers(1, POST))
        self.hears(r"request \d+")
        c.send(frame(RST_STREAM, 0, 1, u32(CANCEL)))
        self.hears(rf"reset \d+ {CANCEL}")
        c.close()
        self.behave("silent")
        s = subprocess.Popen(["curl", "-s", f"http://127.0.0.1:{self.site.port}/"])
        self.hears(r"request \d+")
        s.kill()  # a client of HTTP/1.1 that went away
        s.wait()
        self.hears(rf"reset \d+ {CANCEL}")
        self.fresh()

    def test_09_an_answer_before_the_end_of_the_question(self):
        self.behave("early-end")
        c = Client(self.site.port)
        c.send(headers(1, POST, 4), frame(DATA, 0, 1, b"x" * 1000))
        self.assertEqual(c.outcome(1), ("status", "200", b"early"))
        c.close()
        self.fresh()

    def test_10_a_replica_that_takes_nothing(self):
        """Its window stays shut: what waits here is bounded, and its time is up."""
        self.behave("closes")
        self.site.curl()
        self.behave("no-window")
        big = self.site.dir / "big"
        big.write_bytes(b"x" * 4000000)
        before = self.site.edge_rss_kib()
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.site.curl("--data-binary", f"@{big}")[0]))
                   for _ in range(8)]
        [t.start() for t in threads]
        time.sleep(1)
        if not SANITIZED:
            self.assertLess(self.site.edge_rss_kib() - before, 8 * 200 + 2048)
        [kill(pid) for pid in []]
        self.behave("ok")
        c = Client(self.site.port)
        c.send(headers(1, POST))
        self.assertEqual(c.outcome(1)[0:2], ("status", "200"))  # nobody else waits for them
        c.close()
        pids = [r["pid"] for r in self.site.replicas("r")]
        kill(pids[0])
        [t.join() for t in threads]
        self.site.wait_ready(1, "r")
        self.assertTrue(all(s in (502, 503, 504) for s in got), got)
        self.fresh()

    def test_11_a_slow_client_holds_nobody_up(self):
        """What it does not take stays in the replica, whose connection serves the others; a replica that sends it
        all the same has broken the rules."""
        for how in ("long", "beyond-the-window"):
            self.fresh()
            self.behave(how)
            c = Client(self.site.port, begin=False)
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            if how == "long":
                wait_for(lambda: "stuck" in self.heard())
                self.behave("ok")
                self.assertEqual(self.site.curl()[:2], (200, "hello"))
                self.assertNotIn("connection", self.heard())  # by the same one
            else:
                self.hears(r"(reset \d+ 3|goaway (3|11))", 15)
            c.close()
        self.fresh()

    def test_12_websocket(self):
        for how, want in (("tunnel", 101), ("ok", 501)):
            self.behave("closes")
            self.site.curl()
            self.behave(how)
            c = Client(self.site.port, begin=False)
            c.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            got = b""
            while b"\r\n\r\n" not in got:
                got += c.s.recv(4096)
            self.assertIn(f"HTTP/1.1 {want}".encode(), got)
            if want == 101:
                self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", got)  # RFC 6455 section 1.3
                for _ in range(3):
                    c.send(b"ping" * 1000)
                    back = b""
                    while len(back) < 4000:
                        back += c.s.recv(4096)
                    self.assertEqual(back, b"ping" * 1000)
                c.close()
                self.hears(r"(data \d+ 0 1|reset .*)")
            else:
                self.assertIn(b"WebSocket", got)
                c.close()
        self.fresh()

    def test_13_the_silent_are_asked_before_they_are_used(self):
        """Ten seconds without a word, and then no answer to a PING: the request goes by another connection."""
        if SANITIZED:
            self.skipTest("the same as without")
        self.fresh()
        time.sleep(10.5)
        self.behave("dead")
        status = self.site.curl()[0]
        self.assertIn("ping", self.heard())
        self.assertEqual(self.heard().count("connection"), 1)  # and there the request went
        self.assertEqual(status, 504)
        self.fresh()

    def test_14_large_bodies(self):
        nghttpd = shutil.which("nghttpd")
        if not nghttpd:
            self.skipTest("nghttpd is not there")
        site = Site(CONFIG.replace("python3 REPLICA data $PORT", f"{nghttpd} --no-tls -d {{dir}} $PORT"))
        big = site.dir / "big"
        big.write_bytes(os.urandom(20 << 20))
        with site:
            site.up()
            site.wait_ready(1, "r")
            for protocol in ("--http1.1", "--http2-prior-knowledge"):
                url = f"http://127.0.0.1:{site.port}/big"
                got = subprocess.run(["curl", "-s", protocol, url], capture_output=True).stdout
                self.assertEqual(got, big.read_bytes())
                slow = subprocess.Popen(["curl", "-s", protocol, "--limit-rate", "10k", "-o", "/dev/null", url])
                up = subprocess.run(["curl", "-s", protocol, "-o", "/dev/null", "-w", "%{http_code}", "--data-binary",
                                     f"@{big}", url], capture_output=True, text=True).stdout
                self.assertEqual(up, "200")
                slow.kill()
                slow.wait()
            if not SANITIZED:
                self.assertLess(site.edge_rss_kib(), 24 * 1024)
            h2load = shutil.which("h2load")
            out = subprocess.run([h2load, "-n", "5000", "-c", "4", "-m", "50", f"http://127.0.0.1:{site.port}/headgate.yaml"],
                                 capture_output=True, text=True).stdout
            self.assertIn("5000 succeeded, 0 failed", out)


@unittest.skipUnless(grpc_python(), "python3-grpcio is not there")
class Grpc(unittest.TestCase):
    ADDRESS = '"127.0.0.1:$PORT"'

    def setUp(self):
        app = ROOT / "tests/e2e/grpc_app.py"
        self.python = grpc_python()
        self.site = Site(GRPC.replace("PYTHON", self.python).replace("APP", str(app)).replace("ADDRESS", self.ADDRESS),
                         replicas=2)
        self.site.__enter__()
        self.addCleanup(self.site.__exit__, None, None, None)
        self.site.up()
        self.site.wait_ready(2, "g", 60)

    def start(self, *argv):
        return subprocess.Popen([self.python, str(ROOT / "tests/e2e/grpc_app.py"), "call", f"127.0.0.1:{self.site.port}",
                                 *map(str, argv)], stdout=subprocess.PIPE, text=True)

    def call(self, *argv):
        p = self.start(*argv)
        out, _ = p.communicate(timeout=120)
        self.assertEqual(p.returncode, 0)
        return json.loads(out)

    def load(self, seconds):
        load = self.start("load", seconds)
        wait_for(lambda: self.site.metric('headgate_requests_total{app="g"') > 50)
        return load

    def ended(self, load):
        """{code: calls} of load that is told to end"""
        self.assertIsNone(load.poll(), "there was load to the end")
        load.terminate()
        return json.loads(load.communicate(timeout=60)[0])

    def test_01_every_kind_of_call(self):
        got = self.call("all")
        self.assertEqual(got["unary"], "hello bob")
        self.assertEqual(got["trailers"], {"x-end": "yes", "x-te": "http"})
        self.assertEqual(got["not_found"], ["NOT_FOUND", "none such"])
        self.assertEqual(got["fail"], ["UNAVAILABLE", "gone"])
        self.assertEqual((got["none"], got["deadline"], got["cancelled"]), ("UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED"))
        self.assertEqual((got["server"], got["client"], got["large"]), (500, "2000000", 2000006))
        self.assertEqual(got["bidi"], [f"re:{i}" for i in range(5)])
        # by the statuses behind the answers, as HTTP would have said it
        def counted():
            return self.site.metric('headgate_requests_total{app="g",release="1",route="*/",code="503"}') == 1
        wait_for(counted)
        self.assertEqual(self.site.metric('headgate_requests_total{app="g",release="1",route="*/",code="404"}'), 1)
        wait_for(lambda: {5, 14, 12} <= {r.get("grpc_status") for r in self.site.log_lines()})

    def test_02_many_at_a_time(self):
        self.assertEqual(self.call("many", 1000), 1000)
        self.assertEqual(self.call("talks", 50), 150)

    def test_03_a_rolling_release_loses_nothing(self):
        load = self.load(120)
        self.site.run("deploy", "g", "--env", "VERSION=two", "--wait", timeout=90)
        codes = self.ended(load)
        self.assertEqual(list(codes), ["OK"], codes)
        self.assertGreater(codes["OK"], 100)

    def test_04_a_replica_dies(self):
        load = self.load(120)
        dead = self.site.replicas("g")[0]["pid"]
        kill(dead)
        wait_for(lambda: dead not in [r["pid"] for r in self.site.replicas("g")])
        self.site.wait_ready(2, "g", 60)
        time.sleep(1)
        codes = self.ended(load)
        # What it was working on cannot be repeated by anybody but the client: 8 calls at most.
        self.assertLessEqual(sum(n for code, n in codes.items() if code != "OK"), 8, codes)
        self.assertLessEqual(set(codes), {"OK", "UNAVAILABLE"})

    def test_05_a_bad_release_is_found_by_what_stands_behind_its_answers(self):
        text = self.site.file.read_text().replace(
            "strategy: rolling,", "strategy: canary, steps: [{weight: 20%, wait: 60s}, {weight: 100%}], abort_when: "
            "{error_rate: 5%},")
        self.site.file.write_text(text)
        self.site.run("reload", "-f", self.site.file)
        load = self.load(150)
        done = self.site.run("deploy", "g", "--env", "FAIL=1", "--wait", timeout=120, check=False)
        time.sleep(1)
        codes = self.ended(load)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertLess(codes.get("UNAVAILABLE", 0), 40, codes)
        self.assertGreater(codes["OK"], 100)
        why = self.site.run("rollouts", "list").stdout
        self.assertTrue(why)


class GrpcBySocket(Grpc):
    ADDRESS = "unix:$SOCKET"

    test_03_a_rolling_release_loses_nothing = test_04_a_replica_dies = None
    test_05_a_bad_release_is_found_by_what_stands_behind_its_answers = None


if __name__ == "__main__":
    main()
