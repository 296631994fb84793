#!/usr/bin/env python3
"""Real clients through the edge: curl, wrk, Chromium with a hundred objects and a WebSocket over HTTPS,
and a large upload and download while the edge's memory does not grow. HEADGATE_TEST_LONG=1: 2 GB each way."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import unittest

from harness import LONG, ROOT, SANITIZED, Platform, free_port, main
from https_test import certificate

CONFIG = """version: 1
project: clients
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls: {{certificates: [{{cert: one.pem, key: one.key}}], redirect: false}}
apps:
  site:
    command: node ROOT/tests/e2e/site.mjs $PORT
    dir: {dir}
    replicas: {replicas}
    probes: {{readiness: {{http: /, every: 250ms, timeout: 5s}}}}
    routes: [{{host: "*", path: /}}]
"""
SIZE = 2_000_000_000 if LONG else 256_000_000
BROWSER = ROOT / "tests/browser"


def memory(pid, what="VmHWM"):
    return int(re.search(rf"{what}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.https = free_port()
        cls.platform = Platform(CONFIG.replace("HTTPS", str(cls.https)).replace("ROOT", str(ROOT)), replicas=2)
        certificate(cls.platform.dir, "one", ["localhost"])
        cls.platform.__enter__().up()
        cls.platform.wait_ready(2, "site")
        cls.plain, cls.secure = f"http://127.0.0.1:{cls.platform.port}", f"https://localhost:{cls.https}"

    @classmethod
    def tearDownClass(cls):
        cls.platform.__exit__(None, None, None)

    def curl(self, *argv, **more):
        done = subprocess.run(["curl", "-sS", "-k", "--http1.1", "-m", "600", *argv], capture_output=True, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_curl_asks_in_every_way(self):
        for url in (self.plain, self.secure):
            for argv in ([], ["-0"], ["--http1.1"]):
                self.assertEqual(self.curl(*argv, f"{url}/object/7"), b"object 7")
            self.assertEqual(self.curl("-I", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/x"), b"200")
            # Two on one connection, and a body that is announced by Expect.
            many = self.curl("-w", "%{num_connects} ", f"{url}/object/1", f"{url}/object/2").decode()
            self.assertEqual(many, "object 11 object 20 ")
            body = b"x" * 3_000_000
            said = self.curl("--data-binary", "@-", "-H", "Expect: 100-continue", f"{url}/sink", input=body)
            self.assertEqual(said.decode().split(), [str(len(body)), hashlib.sha256(body).hexdigest()])
            said = self.curl("-T", "-", "-H", "Transfer-Encoding: chunked", f"{url}/sink", input=body)
            self.assertEqual(said.decode().split(), [str(len(body)), hashlib.sha256(body).hexdigest()])

    @unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
    def test_wrk_has_no_errors(self):
        for url in (self.plain, self.secure):
            out = subprocess.run(["wrk", "-t1", "-c32", "-d2s", f"{url}/object/1"], capture_output=True, text=True).stdout
            self.assertNotIn("errors", out)
            self.assertNotIn("Non-2xx", out)
            self.assertGreater(int(re.search(r"(\d+) requests in", out).group(1)), 50)

    @unittest.skipUnless(shutil.which("chromium"), "chromium is not installed")
    def test_chromium_loads_a_hundred_objects_and_talks_over_a_websocket(self):
        if not (BROWSER / "node_modules/.package-lock.json").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=BROWSER, check=True)
        for url in (self.secure, self.plain):
            done = subprocess.run(["node", "visit.js", url], cwd=BROWSER, capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout), {"objects": 100, "echoes": [3, 70000, 5], "code": 1000, "problems": []})

    @unittest.skipIf(SANITIZED, "sanitizers keep freed memory")
    def test_large_bodies_take_no_memory(self):
        edge = self.platform.pids("edge")[0]
        for url in (self.plain, self.secure):
            self.curl("-o", "/dev/null", f"{url}/source?3000000")
            self.curl("--data-binary", "@-", f"{url}/sink", input=b"x" * 3_000_000)
        before = memory(edge)
        for url in (self.plain, self.secure):
            got = self.curl("-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"{url}/source?{SIZE}")
            self.assertEqual(got.decode(), f"200 {SIZE}")
            with subprocess.Popen(["head", "-c", str(SIZE), "/dev/zero"], stdout=subprocess.PIPE) as zeros:
                said = self.curl("-T", "-", "-H", "Expect:", f"{url}/sink", stdin=zeros.stdout)
            self.assertEqual(said.decode().split()[0], str(SIZE))
        # The most it ever used, not what is left now.
        grown = memory(edge) - before
        self.assertLess(grown, 1024, f"{grown} KiB more at the most than before {SIZE} bytes each way")


if __name__ == "__main__":
    main()
