#!/usr/bin/env python3
"""The disk is full under the Feedback App: under its database and its queue, and under an export. What is
refused is refused clearly (503, a code in the log), reads go on, nothing that was acknowledged is lost, no
mail either, and when there is room again all goes on without a restart."""
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/apps/feedback"))
import jobs_test  # noqa: E402
from faults_test import Disk  # noqa: E402
from harness import main, wait_for  # noqa: E402


def may_mount():
    folder = tempfile.mkdtemp(prefix="hg-mount-")
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "hg-mount", folder], capture_output=True,
                          check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True
    except FileNotFoundError:
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@unittest.skipUnless(may_mount(), "no file system can be mounted here")
class DiskFull(jobs_test.Case):
    def make_database(self):
        pathlib.Path(self.dir).chmod(0o755)
        self.disk = Disk(f"{self.dir}/disk", "6m")
        self.addCleanup(self.disk.close)

    def tearDown(self):
        self.disk.empty()
        super().tearDown()

    def test_what_is_refused_is_said_and_what_was_acknowledged_is_kept(self):
        self.env = {**self.env, "DATABASE_URL": "sqlite:disk/feedback.db", "NOTIFY_EMAIL": "admin@example.com"}
        a = self.app()
        w = self.worker()
        acked, refused = {}, []

        def create(n):
            text = f"{n} " + "x" * 400
            status, headers, body = a.call("POST", "/feedback", {"message": text})
            if status == 201:
                acked[body["id"]] = text
            else:
                refused.append((status, headers.get("Retry-After"), body))
            return status

        for n in range(200):
            self.assertEqual(create(n), 201)
        self.disk.fill()
        wait_for(lambda: create(len(acked)) != 201, 30, every=0)
        for n in range(100):  # some may still fit into what the journal has
            create(n)
        self.assertEqual({r[:2] for r in refused}, {(503, "1")})
        self.assertEqual({json.dumps(r[2]) for r in refused}, {'{"error": "The database has no room left"}'})
        self.assertEqual(a.call("GET", "/feedback?limit=1000")[0], 200)
        self.assertEqual(a.call("GET", "/health")[2]["status"], "healthy")
        self.assertEqual(a.call("GET", f"/feedback/{next(iter(acked))}")[0], 200)
        time.sleep(1)  # the workers meet it as well
        self.disk.empty()
        start = time.monotonic()
        wait_for(lambda: create(len(acked)) == 201, 30, every=0.05)
        print(f"# writes again {time.monotonic() - start:.2f} s after there was room", flush=True)
        for n in range(50):
            self.assertEqual(create(n), 201)

        def all_mailed():
            """every create that was acknowledged has its mail"""
            return acked.keys() <= {args["feedback_id"] for _, _, _, args in self.done()}
        wait_for(all_mailed, 60, every=0.2)
        self.assertEqual((a.child.poll(), w.child.poll()), (None, None))
        with sqlite3.connect(f"{self.dir}/disk/feedback.db", timeout=10) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            rows = dict(db.execute("SELECT id, message FROM feedback"))
            self.assertEqual(db.execute("SELECT total FROM feedback_total").fetchone(), (len(rows),))
        self.assertEqual(rows, acked)  # not more either: what was refused was not written
        twice = len(self.done()) - len({args["feedback_id"] for _, _, _, args in self.done()})
        print(f"# {len(acked)} creates acknowledged, {len(refused)} refused, 0 lost, 0 mails lost, {twice} twice", flush=True)
        said = [x for x in a.lines() if x["message"] == "The database has no room left"]
        self.assertEqual(len(said), len(refused))
        self.assertRegex(said[0]["code"], r"^HG\d{4}$")

    def test_an_export_without_room_fails_clearly_and_is_made_when_there_is_some(self):
        self.env = {**self.env, "EXPORT_DIR": "disk/exports"}
        a = self.app()
        self.worker()
        a.create("first")
        with sqlite3.connect(f"{self.dir}/feedback.db", timeout=10) as db:
            db.execute("INSERT INTO feedback (message, created_at, updated_at) SELECT printf('%.400c', 'x'), f.created_at, "
                       "f.created_at FROM feedback f, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                       "WHERE i < 20000) SELECT i FROM n) n")
        job = self.admin(a, "POST", "/exports", {"format": "json"})[2]["id"]
        row = self.until_state(job, "retryable")
        self.assertIn("No space left on device", row["error"])
        status, _, body = self.admin(a, "GET", f"/exports/{job}")
        self.assertEqual((status, body["state"]), (202, "retryable"))
        self.assertEqual(list(pathlib.Path(self.dir, "disk/exports").glob("*")), [])  # no half of it stays
        self.assertEqual(a.call("POST", "/feedback", {"message": "meanwhile"})[0], 201)
        subprocess.run(["mount", "-o", "remount,size=32m", self.disk.path], check=True)
        self.cli("retry", job)
        self.until_state(job, "done", 40)
        files = list(pathlib.Path(self.dir, "disk/exports").glob("*"))
        self.assertEqual([f.name for f in files], [f"feedback-{job}.json"])
        self.assertEqual(len(json.loads(files[0].read_text())), 20002)


if __name__ == "__main__":
    main()
