#!/usr/bin/env python3
"""A release runs from its own copy of the artifact, whatever is built in the artifact's place."""
import os
import tempfile
import unittest

from harness import Platform, alive, kill, main, wait_for

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


if __name__ == "__main__":
    main()
