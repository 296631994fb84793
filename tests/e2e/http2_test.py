#!/usr/bin/env python3
"""HTTP/2 at the edge: RFC 9113 and 7541 section by section on raw frames, where no replica may see what is
malformed; attacks, after which the edge lives and has its memory; and real clients."""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from harness import ROOT, SANITIZED, Platform, free_port, main, request, wait_for
from https_test import certificate
from http2_cases import CASES
from http2_frames import (CALM, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, POST,
                          PREFACE, PRIORITY, REFUSED, RST_STREAM, SETTINGS, WINDOW_UPDATE, Client, block, frame, headers,
                          settings, status_of, text, u32)

CONFIG = """version: 1
project: e2e
edge:
  workers: 1
  h2c: true
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls: {{certificates: [{{cert: one.pem, key: one.key}}], redirect: false}}
  access_log: {{sample: 100%}}
apps:
  r:
    command: python3 REPLICA $PORT
    dir: {dir}
    replicas: 1
    probes: {{readiness: {{http: /health, every: 500ms}}}}
    routes: [{{host: "*", path: /}}]
"""
PATH = GET[2][0]


def to(path, base=GET, *more):
    return [(n, path if n == ":path" else v) for n, v in base] + list(more)


class Site(Platform):
    def __init__(self):
        self.https = free_port()
        super().__init__(CONFIG.replace("HTTPS", str(self.https)).replace(
            "REPLICA", str(ROOT / "tests/e2e/http2_replica.py")))
        certificate(self.dir, "one", ["a.example"])

    def seen(self):
        """Requests that the replica has got since it was last asked."""
        status, _, body = request(self.port, path="/seen")
        assert status == 200, status
        return json.loads(body)

    def metric(self, name):
        admin = self.status()["listeners"]["admin"]
        out = subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True).stdout
        return sum(int(float(line.split()[-1])) for line in out.splitlines() if line.startswith(name + "{"))

    def edge_rss_kib(self):
        text = pathlib.Path(f"/proc/{self.pids('edge')[0]}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def url(self, path):
        return f"https://127.0.0.1:{self.https}{path}"

    def curl(self, *argv):
        return subprocess.run(["curl", "-sS", "-k", "-m", "20", "--http2", *map(str, argv)], capture_output=True, text=True)


class Conformance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()
        cls.site.wait_ready(1, "r")

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def test_01_section_by_section(self):
        self.maxDiff = None
        self.assertGreater(len(CASES), 150)
        self.site.seen()
        wrong = []
        for name, sent, want, *may in CASES:
            c = Client(self.site.port)
            c.send(sent)
            got = c.outcome(5 if sent[:9] == headers(5, GET)[:9] else 1)
            c.close()
            if may:
                time.sleep(0.05)  # what was begun and given up reaches the replica late
            seen = self.site.seen()
            if got[:2] not in want:
                wrong.append(f"{name}: {got}, want one of {sorted(want)}")
            served = ("status", "200") in want and got[:2] == ("status", "200")
            if seen and not may and not served:
                wrong.append(f"{name}: the replica saw {seen}")
            if served and len(seen) != 1:
                wrong.append(f"{name}: the replica saw {len(seen)} requests")
            if may and may[0] != "any" and served and seen[0]["body"] != may[0]:
                wrong.append(f"{name}: the replica saw the body {seen[0]['body']!r}")
            for r in seen:  # of whatever came: one request, and its fields are those that were sent
                if r["path"] not in ("/x", "/", "/slow", "*") or any("evil" in v for f in r["fields"] for v in f):
                    wrong.append(f"{name}: smuggled {r}")
        self.assertEqual(wrong, [])

    def test_02_the_preface(self):
        for bytes_ in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings(), b"PRI * HTTP/3.0\r\n\r\n",
                       PREFACE + frame(PING, 0, 0, b"8" * 8), PREFACE + headers(1, GET)):
            c = Client(self.site.port, begin=False)
            c.send(bytes_)
            while c.frame() is not None:
                pass
            c.close()
        self.assertEqual(self.site.seen(), [])
        self.assertIn(b"HTTP/1.1 200", self.raw(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
        self.assertIn(b"HTTP/1.1 200", self.raw(b"P /x HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.assertEqual([r["method"] for r in self.site.seen()], ["PUT", "P"])

    def raw(self, request_):
        c = Client(self.site.port, begin=False)
        for i in range(len(request_)):
            c.send(request_[i:i + 1])
        got = c.s.recv(4096)
        c.close()
        return got

    def test_03_what_is_announced(self):
        c = Client(self.site.port)
        kind, _, stream, payload = c.frame()
        self.assertEqual((kind, stream), (SETTINGS, 0))
        said = dict(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
        self.assertEqual(said[3], 128)
        self.assertEqual(said[9], 1)
        self.assertGreater(said[6], 8000)
        c.send(frame(PING, 0, 0, b"12345678"))
        c.until(lambda: (PING, 1, 0, b"12345678") in c.frames)
        self.assertIn((SETTINGS, 1, 0, b""), c.frames, "RFC 9113 6.5.3")
        c.close()

    def test_04_one_header_list_is_one_head(self):
        c = Client(self.site.port)
        c.send(headers(1, to("/x?q=1", GET, ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("te", "trailers"),
                             ("cookie", "c=3"), ("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6"))))
        self.assertEqual(c.outcome()[1], "200")
        c.send(headers(3, to("/x", POST), END_HEADERS), frame(DATA, 0, 3, b"abc"),
               headers(3, [("checksum", "900150983cd24fb0"), ("expect", "evil"), ("range", "evil")]))
        self.assertEqual(c.outcome(3), ("status", "200", b"abc"))
        c.send(headers(5, to("/x", POST)))
        self.assertEqual(c.outcome(5)[1], "200")
        first, second, third = self.site.seen()
        fields = [(n.lower(), v) for n, v in first["fields"]]
        self.assertEqual([v for n, v in fields if n == "cookie"], ["a=1; b=2; c=3"])
        self.assertEqual([v for n, v in fields if n == "te"], ["trailers"])
        self.assertEqual([v for n, v in fields if n == "host"], ["a"])
        self.assertEqual([v for n, v in fields if n == "via"], ["2.0 headgate"])
        self.assertEqual([v for n, v in fields if n == "x-forwarded-for"], ["127.0.0.1"])
        self.assertNotIn("6.6.6.6", str(first))
        self.assertEqual(second["trailers"], ["checksum: 900150983cd24fb0"])
        self.assertIn(["Content-Length", "0"], third["fields"])
        c.close()

    def test_05_windows_are_kept(self):
        c = Client(self.site.port, first=[(4, 10)])
        c.send(headers(1, to("/bytes/100")))
        c.until(lambda: len(c.data()) >= 10).drain()
        self.assertEqual(len(c.data()), 10)
        c.send(frame(WINDOW_UPDATE, 0, 1, u32(5)))
        c.until(lambda: len(c.data()) >= 15).drain()
        self.assertEqual(len(c.data()), 15)
        c.send(settings((4, 200)))
        c.until(lambda: any(f[0] == DATA and f[1] & END_STREAM for f in c.frames))
        self.assertEqual(len(c.data()), 100)
        # A body may fill its window, and not more. The window that the edge grants is in force when we say so.
        c.send(frame(SETTINGS, 1, 0), headers(3, to("/x", POST), END_HEADERS))
        for _ in range(15):
            c.send(frame(DATA, 0, 3, b"x" * 16384))
        c.until(lambda: any(f[0] == WINDOW_UPDATE and f[2] == 3 for f in c.frames))  # comes as the replica takes them
        c.close()

    def test_06_more_streams_than_allowed_are_refused(self):
        c = Client(self.site.port)
        c.frame()  # what is allowed
        c.send(frame(SETTINGS, 1, 0), *[headers(1 + 2 * i, to("/slow")) for i in range(140)])
        while not any(f[0] == GOAWAY or f[0] == RST_STREAM and f[3] == u32(REFUSED) for f in c.frames):
            if c.frame() is None:
                break
        c.drain(1.5)
        c.close()
        self.assertLessEqual(len(self.site.seen()), 128)

    def test_07_a_replica_that_breaks_off_is_a_reset(self):
        c = Client(self.site.port)
        c.send(headers(1, to("/cut")))
        self.assertEqual(c.outcome(), ("reset", 2))
        c.send(headers(3, to("/x")))
        self.assertEqual(c.outcome(3), ("status", "200", b"="))
        c.close()
        self.site.seen()

    def test_08_limits_have_their_own_status(self):
        c = Client(self.site.port)
        long = block(to("/x", GET, *[(f"x{i}", "y" * 4000) for i in range(9)]))
        c.send(frame(HEADERS, 1, 1, long[:16384]), frame(CONTINUATION, 0, 1, long[16384:32768]),
               frame(CONTINUATION, END_HEADERS, 1, long[32768:]))
        self.assertEqual(c.outcome()[:2], ("status", "431"))
        c.send(headers(3, to("/" + "y" * 9000)))
        self.assertEqual(c.outcome(3)[:2], ("status", "414"))
        c.send(headers(5, to("/x", GET, *[(f"x{i}", "y") for i in range(150)])))
        self.assertEqual(c.outcome(5)[:2], ("status", "431"))
        c.close()
        self.assertEqual(self.site.seen(), [])

    def test_09_interim_answers(self):
        c = Client(self.site.port)
        c.send(headers(1, to("/hints")))
        self.assertEqual(c.outcome(), ("status", "200", b"hinted"))
        self.assertEqual(len([f for f in c.frames if f[0] == HEADERS]), 2)
        c.send(headers(3, to("/x", POST, ("expect", "100-continue"), ("content-length", "3")), END_HEADERS))
        c.until(lambda: any(f[0] == HEADERS and f[2] == 3 for f in c.frames)).drain()
        self.assertEqual(len([f for f in c.frames if f[0] == HEADERS and f[2] == 3]), 1)
        c.send(frame(DATA, 1, 3, b"abc"))
        c.until(lambda: any(f[0] == DATA and f[1] & END_STREAM and f[2] == 3 for f in c.frames))
        self.assertEqual(c.data(3), b"abc")
        c.close()
        self.site.seen()


class Attacks(unittest.TestCase):
    """After each of them the edge serves others, and has not grown by more than a few MiB."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()
        cls.site.wait_ready(1, "r")
        c = Client(cls.site.port)
        c.send(*[headers(1 + 2 * i, to("/x")) for i in range(100)])
        c.until(lambda: sum(f[0] == DATA and f[1] & END_STREAM for f in c.frames) == 100)
        c.close()
        cls.pid = cls.site.pids("edge")[0]
        cls.rss = cls.site.edge_rss_kib()

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def tearDown(self):
        done = self.site.curl(self.site.url("/x"))
        self.assertEqual((done.returncode, done.stdout), (0, "="))
        self.assertEqual(self.site.pids("edge")[0], self.pid)
        if not SANITIZED:
            self.assertLess(self.site.edge_rss_kib(), self.rss + 12 * 1024)
        wait_for(lambda: self.site.metric("headgate_edge_connections") <= 1, 15)
        self.site.seen()

    def assault(self, *parts, times=1):
        """Sends until the edge has had enough; the error code of its GOAWAY, None: it closed without."""
        c = Client(self.site.port)
        alarm = {}

        def listen():
            try:
                while f := c.frame(10):
                    if f[0] == GOAWAY:
                        alarm.setdefault("code", struct.unpack(">I", f[3][4:8])[0])
            except (TimeoutError, OSError):
                pass
        t = threading.Thread(target=listen)
        t.start()
        for _ in range(times):
            c.send(*parts)
            if c.ended:
                break
        t.join(15)
        self.assertFalse(t.is_alive())
        self.assertTrue(c.ended)
        c.close()
        return alarm.get("code")

    def test_01_rapid_reset(self):
        before = self.site.metric("headgate_edge_h2_calmed_total")
        flood = b"".join(headers(1 + 2 * i, to("/slow")) + frame(RST_STREAM, 0, 1 + 2 * i, u32(CANCEL))
                         for i in range(5000))
        self.assertEqual(self.assault(flood), CALM)
        self.assertEqual(self.site.metric("headgate_edge_h2_calmed_total"), before + 1)
        self.assertLess(len(self.site.seen()), 110)

    def test_02_resets_that_we_are_made_to_send(self):
        flood = b"".join(headers(1 + 2 * i, to("/slow")) + frame(WINDOW_UPDATE, 0, 1 + 2 * i, u32(0))
                         for i in range(2000))
        self.assertIn(self.assault(flood), (CALM, 1))
        flood = b"".join(headers(1 + 2 * i, to("/x", GET, ("connection", "close"))) for i in range(2000))
        self.assertEqual(self.assault(flood), CALM)

    def test_03_continuation_without_an_end(self):
        more = frame(CONTINUATION, 0, 1, b"\x00" + text("x") + text("y" * 1000))
        code = self.assault(frame(HEADERS, 1, 1, block(GET)), *[more] * 1000, times=20)
        self.assertIn(code, (CALM, 1, 2, None))
        code = self.assault(frame(HEADERS, 1, 1, block(GET)), *[frame(CONTINUATION, 0, 1)] * 1000, times=20)
        self.assertIn(code, (CALM, 1, 2, None))

    def test_04_a_header_bomb(self):
        big = b"\x40" + text("x") + text("y" * 4000)  # kept in the table; then one byte brings it back
        bomb = block(GET) + big + b"\xbe" * 12000
        before = self.edge_cpu_s()
        for _ in range(8):
            self.assertEqual(self.assault(headers(1, bomb)), CALM)
        each = (self.edge_cpu_s() - before) / 8
        # The same with a byte at its end that no field may have.
        before = self.edge_cpu_s()
        bomb = block(GET) + b"\x40" + text("x") + text("y" * 4000 + "\x01") + b"\xbe" * 12000
        for _ in range(8):
            c = Client(self.site.port)
            c.send(headers(1, bomb))
            self.assertEqual(c.outcome(1)[:2], ("reset", 1))
            c.close()
        each = max(each, (self.edge_cpu_s() - before) / 8)
        # 48 MB of fields in 16 KB: nobody looks at them once they are too many.
        if not SANITIZED:
            self.assertLess(each, 0.012, "CPU seconds for each")

    def edge_cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_05_floods_of_what_moves_nothing(self):
        wrong = []
        for name, one in (("PING", frame(PING, 0, 0, b"8" * 8)), ("SETTINGS", settings()), ("unknown", frame(0x42, 0, 0)),
                          ("PRIORITY", frame(PRIORITY, 0, 1, u32(0) + b"\x10")),
                          ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, u32(1)))):
            code = self.assault(one * 5000, times=200)
            wrong += [(name, code)] if code not in (CALM, None) else []
        self.assertEqual(wrong, [])

    def test_06_empty_data(self):
        self.assertEqual(self.assault(headers(1, to("/x", POST), END_HEADERS), frame(DATA, 0, 1) * 5000), CALM)

    def test_07_floods_of_a_client_that_does_not_read(self):
        c = Client(self.site.port)
        c.s.settimeout(3)
        try:
            for _ in range(2000):
                c.s.sendall(frame(PING, 0, 0, b"8" * 8) * 1000)
        except OSError:
            pass
        c.close()

    def test_08_windows_that_stay_shut(self):
        clients = []
        for _ in range(8):
            c = Client(self.site.port, first=[(4, 0)])
            c.send(*[headers(1 + 2 * i, to("/bytes/100000")) for i in range(100)])
            clients.append(c)
        time.sleep(1)
        if not SANITIZED:  # what was asked for waits in the replicas' sockets, not here
            self.assertLess(self.site.edge_rss_kib(), self.rss + 8 * 100 * 48 + 12 * 1024)
        self.assertEqual(self.site.curl(self.site.url("/x")).stdout, "=")
        for c in clients:
            c.close()
        # The buffers' pages go back to the kernel by and by.
        wait_for(lambda: SANITIZED or self.site.edge_rss_kib() < self.rss + 12 * 1024, 30)

    def test_09_a_head_that_does_not_end(self):
        c = Client(self.site.port)
        c.send(frame(HEADERS, 1, 1, block(GET)[:5]))
        begin = time.monotonic()
        while c.frame(20) is not None:
            pass
        self.assertLess(time.monotonic() - begin, 15)
        c.close()


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()
        cls.site.wait_ready(1, "r")

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def test_01_curl(self):
        done = self.site.curl("-i", self.site.url("/cookies"))
        self.assertIn("HTTP/2 200", done.stdout)
        self.assertIn("set-cookie: a=1\r\nset-cookie: b=2", done.stdout.replace("\n", "\r\n").replace("\r\r", "\r"))
        self.assertNotIn("keep-alive", done.stdout)
        self.assertNotIn("x: hop", done.stdout)
        self.assertIn("HTTP/2 103", self.site.curl("-i", self.site.url("/hints")).stdout)
        self.assertIn("HTTP/2 204", self.site.curl("-i", self.site.url("/204")).stdout)
        head = self.site.curl("-I", self.site.url("/x")).stdout
        self.assertIn("content-length: 1000", head)

    def test_02_http_1_1_is_still_spoken(self):
        done = subprocess.run(["curl", "-sSk", "--http1.1", "-i", self.site.url("/x")], capture_output=True, text=True)
        self.assertIn("HTTP/1.1 200", done.stdout)

    def test_03_bodies_both_ways(self):
        big = self.site.dir / "big"
        big.write_bytes(bytes(range(256)) * 40000)
        got = subprocess.run(["curl", "-sSk", "--http2", "-T", big, self.site.url("/up")], capture_output=True).stdout
        self.assertEqual(len(got), 256 * 40000)
        with open(big, "rb") as f:  # without a length
            got = subprocess.run(["curl", "-sSk", "--http2", "-X", "POST", "-T", "-", self.site.url("/up")], stdin=f,
                                 capture_output=True).stdout
        self.assertEqual(len(got), 256 * 40000)

    def test_04_trailers_as_grpc_uses_them(self):
        done = self.site.curl("-v", "-H", "te: trailers", "-H", "content-type: application/grpc", "--data-binary", "abc",
                              self.site.url("/trailers"))
        self.assertEqual(done.stdout, "message0message1message2")
        self.assertRegex(done.stderr, r"< grpc-status: 0\s+< grpc-message: fine")

    def test_05_nghttp(self):
        urls = [self.site.url(f"/bytes/{n}") for n in (1, 70000, 300000)]
        done = subprocess.run(["nghttp", "-nv", *urls], capture_output=True, text=True)
        self.assertEqual(done.stdout.count(":status: 200"), 3)

    @unittest.skipUnless(shutil.which("h2load"), "h2load is not installed")
    def test_06_h2load_without_an_error(self):
        for argv in (["-c4", "-m16"], ["-c48", "-m1"], ["-c1", "-m100", "-w", "12"]):
            done = subprocess.run(["h2load", "-n2000", *argv, self.site.url("/bytes/2000")], capture_output=True, text=True)
            self.assertIn("2000 succeeded, 0 failed, 0 errored", done.stdout)

    def test_07_a_stream_is_seen_as_it_comes(self):
        def spread():
            """the three messages, sent 50 ms after each other, come apart"""
            c = Client(self.site.port)
            c.send(headers(1, to("/trailers")))
            times = []
            while f := c.frame():
                if f[0] == DATA:
                    times.append(time.monotonic())
                if f[1] & END_STREAM and f[2] == 1:
                    break
            self.assertEqual(f[0], HEADERS)  # the trailers
            c.close()
            return times[-1] - times[0] > 0.06
        wait_for(spread)  # who reads late on a busy machine finds them together

    def connect(self, path, *more):
        c = Client(self.site.port)
        c.send(headers(1, [(":method", "CONNECT"), GET[1], (":path", path), GET[3], (":protocol", "websocket"),
                           ("sec-websocket-version", "13"), ("origin", "http://a"), *more], END_HEADERS))
        return c

    def body(self, c, n):
        """The first n bytes of stream 1's body."""
        return c.until(lambda: len(c.data()) >= n).data()

    def test_10_websocket(self):
        c = self.connect("/ws", ("sec-websocket-key", "evil"), ("sec-websocket-protocol", "chat"))
        c.send(frame(DATA, 0, 1, b"\x81\x85\0\0\0\0early"))
        self.assertEqual(self.body(c, 7), b"\x81\x05early")
        head = next(f for f in c.frames if f[0] == HEADERS)
        self.assertEqual((status_of(head[3]), head[1] & 1), ("200", 0))
        self.assertNotIn(b"accept", head[3])
        for i in range(50):
            c.send(frame(DATA, 0, 1, b"\x81\xfe\x03\xe8\0\0\0\0" + b"%d" % (i % 10) * 1000))
        self.assertEqual(len(self.body(c, 7 + 50 * 1004)), 7 + 50 * 1004)
        c.send(frame(DATA, 0, 1, b"\x88\x80\0\0\0\0"))
        c.until(lambda: any(f[0] == DATA and f[1] & END_STREAM for f in c.frames))
        c.close()
        asked = {n.lower(): v for n, v in self.site.seen()[-1]["fields"]}
        self.assertEqual((asked["upgrade"], asked["connection"], asked["sec-websocket-version"],
                          asked["sec-websocket-protocol"], asked["origin"]),
                         ("websocket", "upgrade", "13", "chat", "http://a"))
        self.assertRegex(asked["sec-websocket-key"], r"^[A-Za-z0-9+/]{22}==$")

    def test_11_what_is_no_websocket(self):
        for path, status in (("/ws-wrong", "502"), ("/x", "502"), ("/ws-no", "403")):
            c = self.connect(path)
            self.assertEqual(c.outcome()[:2], ("status", status), path)
            c.close()

    def test_12_a_websocket_ends_with_its_client(self):
        c = self.connect("/ws")
        c.send(frame(DATA, 0, 1, b"\x81\x81\0\0\0\0x"))
        self.body(c, 3)
        c.send(frame(RST_STREAM, 0, 1, u32(CANCEL)))
        c.send(headers(3, to("/x")))
        self.assertEqual(c.outcome(3)[1], "200")
        c.close()
        wait_for(lambda: self.site.metric("headgate_edge_connections") <= 1, 10)

    @unittest.skipUnless(shutil.which("chromium"), "chromium is not installed")
    def test_13_chromium_and_its_websocket(self):
        self.site.seen()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            child = subprocess.Popen(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--ignore-certificate-errors", "--remote-debugging-port=0", f"--user-data-dir={profile}",
                 self.site.url("/page")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            asked = []

            def report():
                asked.extend(self.site.seen())
                return next((r["path"] for r in asked if r["path"].startswith("/report")), None)
            try:
                self.assertEqual(wait_for(report, 60, 0.2), "/report?by=h2&heard=3,300&clean=true")
            finally:
                child.terminate()
                child.wait()
        ws = next(r for r in asked if r["path"] == "/ws")
        # By the same connection: HTTP/1.1 would have said so in Via.
        self.assertIn(["Via", "2.0 headgate"], ws["fields"])

    def test_08_switched_off(self):
        text_ = self.site.file.read_text()
        self.site.file.write_text(text_.replace("h2c: true", "http2: false"))
        self.site.run("reload", "-f", self.site.file)
        wait_for(lambda: "HTTP/1.1 200" in self.site.curl("-i", self.site.url("/x")).stdout, 10)
        self.site.file.write_text(text_)
        self.site.run("reload", "-f", self.site.file)
        wait_for(lambda: "HTTP/2 200" in self.site.curl("-i", self.site.url("/x")).stdout, 10)

    def test_99_goodbye_is_said(self):
        c = Client(self.site.port)
        c.send(headers(1, to("/x")))
        c.outcome()
        c.send(headers(3, to("/slow")))
        time.sleep(0.2)
        threading.Thread(target=self.site.run, args=("down",), kwargs={"check": False, "timeout": 120}).start()
        while c.frame(20) is not None:
            pass
        ends = [f for f in c.frames if f[0] == GOAWAY]
        self.assertEqual([struct.unpack(">I", f[3][:4])[0] for f in ends], [0x7fffffff, 3])
        self.assertIn(b"slow", [f[3] for f in c.frames if f[0] == DATA])  # what was on its way was served
        c.close()


if __name__ == "__main__":
    main()
