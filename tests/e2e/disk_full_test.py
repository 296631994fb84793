#!/usr/bin/env python3
"""The disk is full under the Feedback App: under its database and its queue, under the PostgreSQL server that
it asks, and under an export. What is refused is refused clearly (503, a code in the log), reads go on, nothing
that was acknowledged is lost, no mail either, and when there is room again all goes on without a restart."""
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
from postgres import BIN, Postgres  # noqa: E402


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


class SmallPostgres(Postgres):
    """One whose database, and its log of changes (`wal`) if asked for, is on a small file system."""

    def __init__(self, wal, size):
        self.wal, self.size = wal, size
        super().__init__(durable=True, autovacuum="off", log_min_messages="log", min_wal_size="2MB",
                         max_wal_size="8MB", wal_keep_size=0, checkpoint_timeout="30s")

    def new_database(self):
        super().new_database()  # beside its place
        whole = self.dir / "whole"
        self.data.rename(whole)
        self.run("pg_resetwal", "-f", "--wal-segsize=1", whole)
        self.disk = Disk(self.data, self.size)
        subprocess.run(["chown", f"{self.user[0]}:{self.user[1]}", self.data], check=True)
        self.data.chmod(0o700)
        subprocess.run(["cp", "-a", f"{whole}/.", self.data], check=True)
        if not self.wal:
            subprocess.run(["mv", self.data / "pg_wal", self.dir / "wal"], check=True)
            (self.data / "pg_wal").symlink_to(self.dir / "wal")
        shutil.rmtree(whole)

    def remove(self):
        self.stop()
        self.disk.close()
        super().remove()


@unittest.skipUnless(BIN and may_mount(), "no PostgreSQL here, or no file system can be mounted")
class ServerFull(jobs_test.Case):
    def serve(self, **small):
        self.pg = SmallPostgres(**small)
        self.addCleanup(self.pg.remove)
        self.env = {**self.env, "DATABASE_URL": self.pg.url(), "NOTIFY_EMAIL": "admin@example.com"}
        return self.app(), self.worker()

    def create(self, app, acked, refused):
        text = f"{len(acked) + len(refused)} " + "x" * 400
        status, headers, body = app.call("POST", "/feedback", {"message": text})
        if status == 201:
            acked[body["id"]] = text
        else:
            refused.append((status, headers.get("Retry-After"), body["error"]))
        return status

    def check_kept(self, app, worker, acked):
        """All that was acknowledged is there, and was mailed; what was not may be or not."""
        def all_mailed():
            """every create that was acknowledged has its mail"""
            return acked.keys() <= {args["feedback_id"] for _, _, _, args in self.done()}
        wait_for(all_mailed, 60, every=0.2)
        self.assertEqual((app.child.poll(), worker.child.poll()), (None, None))
        rows = {int(i): m for i, m in self.pg.sql("SELECT id, message FROM feedback")}
        self.assertEqual({i: rows.get(i) for i in acked}, acked)
        self.assertEqual(self.pg.sql("SELECT sum(total) FROM feedback_total"), [[str(len(rows))]])
        return len(rows) - len(acked)

    def test_no_room_for_rows_is_said_and_both_go_on(self):
        a, w = self.serve(wal=False, size="48m")
        acked, refused = {}, []
        for _ in range(100):
            self.assertEqual(self.create(a, acked, refused), 201)
        self.pg.disk.fill()
        wait_for(lambda: self.create(a, acked, refused) != 201, 60, every=0)
        for _ in range(30):
            self.create(a, acked, refused)
        self.assertEqual(set(refused), {(503, "1", "The database has no room left")})
        self.assertEqual(a.call("GET", "/feedback?limit=1000")[0], 200)
        self.assertEqual(a.call("GET", f"/feedback/{next(iter(acked))}")[0], 200)
        self.assertEqual(a.call("GET", "/health")[2]["status"], "healthy")
        self.pg.disk.empty()
        start = time.monotonic()
        wait_for(lambda: self.create(a, acked, refused) == 201, 60, every=0.05)
        print(f"# writes again {time.monotonic() - start:.2f} s after there was room", flush=True)
        for _ in range(50):
            self.assertEqual(self.create(a, acked, refused), 201)
        self.assertIsNone(self.pg.child.poll())
        self.assertEqual(self.check_kept(a, w, acked), 0)  # what was refused was not written
        print(f"# {len(acked)} creates acknowledged, {len(refused)} refused, 0 lost, 0 mails lost", flush=True)
        said = [x for x in a.lines() if x["message"] == "The database has no room left"]
        self.assertEqual(len(said), len(refused))
        self.assertIn("53100", said[0]["reason"])

    def test_no_room_for_the_servers_log_ends_the_server_and_the_app_waits_for_it(self):
        """The server gives up (PANIC) and cannot start before there is room; whoever looks after it starts it then."""
        a, w = self.serve(wal=True, size="48m")
        acked, refused = {}, []
        for _ in range(100):
            self.assertEqual(self.create(a, acked, refused), 201)
        self.pg.disk.fill()

        def down():
            """the server has ended, or refuses"""
            self.create(a, acked, refused)
            return self.pg.child.poll() is not None
        wait_for(down, 60, every=0)
        for _ in range(5):
            self.assertEqual(self.create(a, acked, refused), 503)
        self.assertEqual({r[:2] for r in refused}, {(503, "1")})
        self.assertLessEqual({r[2] for r in refused}, {"The database has no room left",
                                                       "The database is busy, please try again"})
        self.assertEqual(a.call("GET", "/health")[0], 503)
        self.pg.disk.empty()
        self.pg.start()
        start = time.monotonic()
        wait_for(lambda: self.create(a, acked, refused) == 201, 60, every=0.05)
        print(f"# writes again {time.monotonic() - start:.2f} s after the server was there", flush=True)
        for _ in range(50):
            self.assertEqual(self.create(a, acked, refused), 201)
        more = self.check_kept(a, w, acked)
        print(f"# {len(acked)} creates acknowledged, {len(refused)} refused, {more} of them written though, 0 lost, "
              "0 mails lost", flush=True)


if __name__ == "__main__":
    main()
