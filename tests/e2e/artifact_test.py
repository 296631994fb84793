#!/usr/bin/env python3
"""A release runs from its own copy of the artifact, whatever is built in the artifact's place."""
import os
import signal
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, SANITIZED, Platform, alive, kill, main, wait_for

CONFIG = """version: 1
project: e2e
edge: {{workers: {workers}, listen: {{http: "127.0.0.1:{port}"}}}}
apps:
  built:
    command: server $PORT
    artifact: build
    dir: {dir}
    replicas: {replicas}
    probes: {{readiness: {{http: /, every: 200ms}}}}
    sandbox: {{read_only_root: true, private_tmp: true}}
    routes: [{{host: "*", path: /}}]
    rollout:  # nobody asks anything here that would prove a release
      strategy: canary
      steps: [{{weight: 50%, wait: 1s}}, {{weight: 100%, wait: 1s}}]
      inconclusive: promote
      inconclusive_after: 1s
      after_promote: {{watch: 0s, keep_previous: 0s}}
"""

SERVER = """#!/usr/bin/env python3
import http.server, pathlib, sys
TEXT = (pathlib.Path(__file__).resolve().parent / "text" / "here").read_bytes()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Artifact(unittest.TestCase):
    def build(self, p, text):
        """Into the same files, as a careless build does it."""
        (p.dir / "build/text").mkdir(parents=True, exist_ok=True)
        (p.dir / "build/server").write_text(SERVER)
        (p.dir / "build/server").chmod(0o755)
        (p.dir / "build/text/here").write_text(text)

    def answer(self, p):
        status, _, body = p.get("/")
        self.assertEqual(status, 200)
        return body.decode()

    def check(self, p):
        self.build(p, "one")
        p.up()
        p.wait_ready(2, "built")
        self.assertEqual(self.answer(p), "one")
        self.build(p, "two")
        victim = p.replicas("built")[0]["pid"]
        kill(victim)
        wait_for(lambda: victim not in [r["pid"] for r in p.replicas("built")])
        p.wait_ready(2, "built")
        # Nor does a control that is replaced while somebody builds.
        control = p.pids("control")[0]
        kill(control)
        wait_for(lambda: not alive(control))
        p.wait_ready(2, "built")
        self.assertEqual(p.app("built")["release"], 1)
        for _ in range(20):
            self.assertEqual(self.answer(p), "one")
        p.run("reload", "-f", p.file)
        wait_for(lambda: [r["release"] for r in p.replicas("built") if r["state"] == "ready"] == [2, 2])
        for _ in range(20):
            self.assertEqual(self.answer(p), "two")

    def test_a_rebuild_changes_neither_a_restarted_replica_nor_a_restarted_control(self):
        # Compiled with coverage or sanitizers nothing changes here: the app is a script.
        with Platform(CONFIG, replicas=2) as p:
            self.check(p)

    @unittest.skipIf(os.getuid() != 0, "needs root")
    def test_an_app_reaches_its_artifact_below_a_folder_that_only_root_may_enter(self):
        with tempfile.TemporaryDirectory(prefix="hg-e2e-closed-") as closed:
            os.chmod(closed, 0o700)
            with Platform(CONFIG, replicas=2, data=closed + "/hg") as p:
                self.check(p)


LARGE = 100 if SANITIZED else 400  # MiB


class Large(unittest.TestCase):
    """Reading and copying takes seconds: beside everything else, and not half done."""

    def up(self, p):
        (p.dir / "build/text").mkdir(parents=True)
        (p.dir / "build/server").write_text(SERVER)
        (p.dir / "build/server").chmod(0o755)
        (p.dir / "build/text/here").write_text("one")
        p.up()
        p.wait_ready(1, "built")
        with open(p.dir / "build/large", "wb") as f:
            f.truncate(LARGE << 20)

    def deploy(self, p):
        return subprocess.Popen([str(BUILD / "headgate"), "--data", str(p.data), "deploy", "built", "--detach"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def copies(self, p):
        return sorted(os.listdir(p.data / "releases/built"))

    def wait_reading(self, p):
        wait_for(lambda: [r for r in p.status()["reading"] if r["app"] == "built" and r["bytes"] > 0])

    def test_control_answers_while_a_large_artifact_is_read(self):
        with Platform(CONFIG, replicas=1) as p:
            self.up(p)
            child, longest, began = self.deploy(p), 0, time.monotonic()
            self.wait_reading(p)
            while child.poll() is None:
                at = time.monotonic()
                p.status()
                longest = max(longest, time.monotonic() - at)
            took = time.monotonic() - began
            print(f"# {LARGE} MiB: deploy {took:.1f} s, longest status {longest * 1000:.0f} ms", flush=True)
            self.assertEqual(child.returncode, 0, child.communicate()[1])
            child.communicate()
            self.assertLess(longest, max(took / 2, 0.5))
            wait_for(lambda: [r["release"] for r in p.replicas("built") if r["state"] == "ready"] == [2])
            self.assertEqual(p.status()["reading"], [])

    def test_who_interrupts_a_deploy_gets_no_release(self):
        with Platform(CONFIG, replicas=1) as p:
            self.up(p)
            child = self.deploy(p)
            self.wait_reading(p)
            child.send_signal(signal.SIGINT)
            child.communicate()
            wait_for(lambda: len(self.copies(p)) == 1)
            self.assertEqual(p.run("rollouts", "list", "--json").stdout.count('"id"'), 0)
            self.assertEqual(self.deploy(p).wait(60), 0)
            wait_for(lambda: p.app("built")["release"] == 2)

    def test_a_control_that_is_killed_while_it_copies_leaves_no_half_release(self):
        with Platform(CONFIG, replicas=1) as p:
            self.up(p)
            child, control = self.deploy(p), p.pids("control")[0]
            self.wait_reading(p)
            wait_for(lambda: len(self.copies(p)) == 2)
            kill(control)
            self.assertNotEqual(child.wait(60), 0)
            child.communicate()
            wait_for(lambda: not alive(control))
            p.wait_ready(1, "built")
            self.assertEqual(p.app("built")["release"], 1)
            self.assertEqual(self.deploy(p).wait(60), 0)
            wait_for(lambda: len(self.copies(p)) == 2 and not any(c.startswith(".") for c in self.copies(p)))


if __name__ == "__main__":
    main()
