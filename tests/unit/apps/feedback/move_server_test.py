#!/usr/bin/env python3
"""migrate and move: the schema up and down on both engines, and a file's rows to a server, killed on
the way, verified, the file untouched."""
import hashlib
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
import api_test  # noqa: E402
from harness import BUILD, ROOT, main, wait_for  # noqa: E402
from postgres import Postgres  # noqa: E402

SERVER = []
# The steps that there are: every number but those that are kept for later.
STEPS = sorted(int(p.name[:4]) for p in (ROOT / "apps/feedback/migrations").glob("0*.sql")
               if not p.name.endswith(".down.sql"))
ALL, LAST = len(STEPS), STEPS[-1]


def setUpModule():
    SERVER.append(Postgres())


def tearDownModule():
    SERVER.pop().remove()


class Case(unittest.TestCase):
    number = 0

    def setUp(self):
        Case.number += 1
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="feedback-move-"))
        self.file = self.dir / "feedback.db"
        self.pg, self.database = SERVER[0], f"m{Case.number}"
        self.pg.sql(f"CREATE DATABASE {self.database}")
        self.url = self.pg.url(self.database)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def sql(self, text):
        return self.pg.sql(text, self.database)

    def run_app(self, *argv, env=None):
        return subprocess.run([BUILD / "feedback-app", *argv], cwd=self.dir, capture_output=True, text=True,
                              timeout=60, env={"PATH": os.environ["PATH"], **(env or {})})


class Migrate(Case):
    def both(self):
        return (f"sqlite:{self.file}", self.url)

    def test_up_status_and_down_on_both_engines(self):
        for url in self.both():
            env = {"DATABASE_URL": url}
            done = self.run_app("migrate", "up", env=env)
            self.assertEqual((done.returncode, done.stdout), (0, f"applied {ALL} migrations; the schema is at {LAST}\n"), done)
            self.assertEqual(self.run_app("migrate", "up", "--database", url).stdout,
                             f"applied 0 migrations; the schema is at {LAST}\n")
            self.assertNotIn("pending", self.run_app("migrate", "status", env=env).stdout)
            self.assertEqual(self.run_app("migrate", "down", "--steps", str(ALL - 1), env=env).stdout,
                             f"took back {ALL - 1} migrations; the schema is at 1\n")
            lines = self.run_app("migrate", "status", env=env).stdout.splitlines()
            self.assertEqual([("pending" in line) for line in lines], [False] + [True] * (ALL - 1), lines)
            self.assertEqual(self.run_app("migrate", "down", env=env).returncode, 0)
            self.assertNotEqual(self.run_app("migrate", "down", env=env).returncode, 0)  # nothing is left
            self.assertEqual(self.run_app("migrate", "up", env=env).returncode, 0)

    def test_an_edited_step_is_refused_and_shown(self):
        self.run_app("migrate", "up", env={"DATABASE_URL": self.url})
        self.sql("UPDATE schema_migrations SET checksum = 'x' WHERE version = 2")
        done = self.run_app("migrate", "up", env={"DATABASE_URL": self.url})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('migration 2 "total" was changed after it was applied', done.stderr)
        self.assertIn("CHANGED", self.run_app("migrate", "status", env={"DATABASE_URL": self.url}).stdout)

    def test_ten_at_once_apply_each_step_once(self):
        runs = [subprocess.Popen([BUILD / "feedback-app", "migrate", "up"], cwd=self.dir, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, env={"DATABASE_URL": self.url}) for _ in range(10)]
        out = [r.communicate(timeout=60) for r in runs]
        self.assertEqual({r.returncode for r in runs}, {0}, out)
        self.assertEqual(sorted(o[0] for o in out)[-1], f"applied {ALL} migrations; the schema is at {LAST}\n")
        self.assertEqual(sum(f"applied {ALL}" in o[0] for o in out), 1)

    def test_off_waits_for_somebody_else_to_do_it(self):
        for url in self.both():
            env = {"DATABASE_URL": url, "DATABASE_MIGRATE": "off", "PORT": "0"}
            done = self.run_app(env=env)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(f"lacks {ALL} migrations", done.stderr)


class Move(Case):
    def fill(self, rows=3000):
        """Rows as the first app and ours have written them, with holes, and the odd character."""
        self.run_app("migrate", "up", env={"DATABASE_URL": f"sqlite:{self.file}"})
        with sqlite3.connect(self.file) as db:
            for i in range(1, rows + 1):
                time = ("2026-11-21T07:12:23.109149", "2026-11-21T07:12:23.5Z", "2026-11-21T07:12:23+02:00",
                        "2000-02-29T23:59:59.999999Z")[i % 4]
                db.execute("INSERT INTO feedback (message, created_at, updated_at) VALUES (?, ?, ?)",
                           (f"message {i} \"quoted\" \\ \u00e4 \U0001f30a\n\u0001", time, "2026-11-22T00:00:00.000001Z"))
            db.execute("DELETE FROM feedback WHERE id % 10 = 0")
            db.execute("DELETE FROM feedback WHERE id > ?", (rows - 5,))
            db.execute("INSERT INTO feedback_keys VALUES ('key', 1, 'm', '2026-11-22T00:00:00.000001Z')")
        db.close()
        self.count = sqlite3.connect(self.file).execute("SELECT count(*) FROM feedback").fetchone()[0]

    def digest(self):
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def move(self, *more):
        return self.run_app("move", "--from", f"sqlite:{self.file}", "--to", self.url, *more)

    def test_every_row_arrives_as_it_was_and_ids_go_on(self):
        self.fill()
        before = self.digest()
        done = self.move()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"moved {self.count} rows; both read again and equal", done.stdout)
        self.assertEqual(self.digest(), before)
        want = sqlite3.connect(self.file).execute("SELECT id, message FROM feedback ORDER BY id").fetchall()
        have = self.sql("SELECT id, encode(convert_to(message, 'UTF8'), 'hex') FROM feedback ORDER BY id")
        self.assertEqual([(int(i), bytes.fromhex(m).decode()) for i, m in have], want)
        self.assertEqual(self.sql("SELECT id, created_at AT TIME ZONE 'UTC' FROM feedback WHERE id < 5 ORDER BY id"),
                         [["1", "2026-11-21 07:12:23.5"], ["2", "2026-11-21 05:12:23"],
                          ["3", "2000-02-29 23:59:59.999999"], ["4", "2026-11-21 07:12:23.109149"]])
        self.assertEqual(self.sql("SELECT key, feedback_id FROM feedback_keys"), [["key", "1"]])
        self.assertEqual(self.sql("SELECT sum(total) FROM feedback_total"), [[str(self.count)]])
        # moved again, it is only compared; an id that the file had given is not given again
        self.assertIn(f"moved {self.count} rows", self.move().stdout)
        a = api_test.App(self.dir, {"DATABASE_URL": self.url})
        try:
            self.assertEqual(a.create("new")["id"], 3001)
        finally:
            a.stop()
        # and now the two differ, which is said
        done = self.move()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("not the same", done.stderr)

    def test_people_keys_and_the_audit_log_come_along(self):
        env = {"DATABASE_URL": f"sqlite:{self.file}", "AUTH": "optional", "PATH": os.environ["PATH"]}
        subprocess.run([BUILD / "feedback-app", "user", "add", "ann@example.org"], input="correct horse battery\n",
                       text=True, check=True, capture_output=True, env=env, cwd=self.dir)
        with sqlite3.connect(self.file) as db:
            db.execute("INSERT INTO feedback (message, created_at, updated_at, owner) VALUES ('hers',"
                       " '2026-11-21T07:12:23Z', '2026-11-21T07:12:23Z', 1)")
            db.executemany("INSERT INTO audit (at, action, user_id, name, via, object, detail, address, request_id)"
                           " VALUES (?, 'x', NULL, '\u00e4\"\\', '', '', '', '', '')", [(i,) for i in range(2500)])
            db.execute("INSERT INTO recovery_codes VALUES (1, 'h')")
            db.execute("INSERT INTO api_keys VALUES (7, 1, 'k', 'h', 'hash', 'feedback:read', 1, NULL, 5)")
        done = self.move()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.sql("SELECT owner, message FROM feedback"), [["1", "hers"]])
        self.assertEqual(self.sql("SELECT email, role, issuer IS NULL FROM users"), [["ann@example.org", "user", "t"]])
        self.assertEqual(self.sql("SELECT count(*), max(id), count(user_id) FROM audit"), [["2501", "2501", "0"]])
        self.assertEqual(self.sql("SELECT name FROM audit ORDER BY id DESC LIMIT 1"), [["\u00e4\"\\"]])
        self.assertEqual(self.sql("SELECT id, expires_at IS NULL, used_at FROM api_keys"), [["7", "t", "5"]])
        self.assertEqual(self.move().returncode, 0)
        # ids go on behind those of the file
        self.assertEqual(self.sql("INSERT INTO users (email, role, created_at, updated_at) VALUES ('b', 'user', 1, 1)"
                                  " RETURNING id"), [["2"]])
        self.assertIn("users has 1 rows in the file, 2 on the server", self.move().stderr)

    def test_votes_and_statuses_come_along_and_are_compared(self):
        self.fill(50)
        with sqlite3.connect(self.file) as db:
            db.executemany("INSERT INTO feedback_votes (voter, feedback_id, created_at) VALUES (?, ?, ?)",
                           [(v, f, 1000 + v) for f in range(1, 45) if f % 10 for v in range(-3, f % 7) if v])
            db.execute("DELETE FROM feedback_votes WHERE voter = -2")  # holes, as life makes them
            db.execute("UPDATE feedback SET status = 'planned' WHERE id % 9 = 0")
        want = [[str(v) for v in row] for row in
                db.execute("SELECT id, votes, status FROM feedback ORDER BY id").fetchall()]
        votes = db.execute("SELECT count(*), sum(voter * feedback_id), sum(created_at) FROM feedback_votes").fetchone()
        self.assertGreater(votes[0], 100)
        before = self.digest()
        done = self.move()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"moved {self.count} rows; both read again and equal", done.stdout)
        self.assertEqual(self.digest(), before)
        self.assertEqual(self.sql("SELECT id, votes, status FROM feedback ORDER BY id"), want)
        self.assertEqual(self.sql("SELECT count(*), sum(voter * feedback_id), sum(created_at) FROM feedback_votes"),
                         [[str(v) for v in votes]])
        # each of them is looked at when the two are compared
        for change, back, why in (
                ("UPDATE feedback SET status = 'done' WHERE id = 9", "UPDATE feedback SET status = 'planned' WHERE id = 9",
                 f"the two are not the same: {self.count} rows"),
                ("UPDATE feedback SET votes = votes + 1 WHERE id = 3", "UPDATE feedback SET votes = votes - 1 WHERE id = 3",
                 f"the two are not the same: {self.count} rows"),
                ("INSERT INTO feedback_votes VALUES (77, 999, 1)", "DELETE FROM feedback_votes WHERE voter = 77",
                 f"feedback_votes has {votes[0]} rows in the file, {votes[0] + 1} on the server")):
            self.sql(change)
            self.assertIn(why, self.move().stderr)
            self.sql(back)
            self.assertEqual(self.move().returncode, 0)

    def test_a_file_from_before_votes_is_moved_as_it_is(self):
        self.fill(20)
        env = {"DATABASE_URL": f"sqlite:{self.file}"}
        self.assertEqual(self.run_app("migrate", "down", env=env).stdout,
                         f"took back 1 migration; the schema is at {STEPS[-2]}\n")
        done = self.move()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.sql("SELECT DISTINCT votes, status FROM feedback"), [["0", "open"]])

    def test_kill_9_on_the_way_and_the_next_run_goes_on(self):
        self.fill(6000)
        before, kills, seen = self.digest(), 0, 0
        for _ in range(4):
            child = subprocess.Popen([BUILD / "feedback-app", "move", "--from", f"sqlite:{self.file}", "--to", self.url,
                                      "--batch", "20"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

            def further():
                """some batches were moved"""
                if child.poll() is not None:
                    return True
                at = self.pg.sql("SELECT moved FROM feedback_move", self.database, check=False)
                return at and int(at[0][0]) > seen + 100
            wait_for(further, 30, every=0)
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
            seen = int(self.sql("SELECT count(*) FROM feedback")[0][0])
            self.assertEqual(self.sql("SELECT moved FROM feedback_move"), [[str(seen)]])
        self.assertGreater(kills, 1)
        done = self.move()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on behind row", done.stdout)
        self.assertIn(f"moved {self.count} rows; both read again and equal", done.stdout)
        self.assertEqual(self.digest(), before)
        print(f"# {self.count} rows moved over {kills} kills, none lost, none twice", flush=True)

    def test_a_target_with_other_rows_is_refused(self):
        self.fill(10)
        self.run_app("migrate", "up", env={"DATABASE_URL": self.url})
        self.sql("INSERT INTO feedback (message, created_at, updated_at) VALUES ('x', now(), now())")
        done = self.move()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the target has rows that are not from this file", done.stderr)
        self.assertEqual(self.sql("SELECT count(*) FROM feedback"), [["1"]])

    def test_bad_arguments_and_a_row_that_cannot_be_read_are_named(self):
        self.assertIn("--from", self.run_app("move").stderr)
        self.assertIn("from sqlite:PATH to postgres://", self.run_app("move", "--from", "a", "--to", "b").stderr)
        self.fill(10)
        with sqlite3.connect(self.file) as db:
            db.execute("UPDATE feedback SET created_at = 'yesterday' WHERE id = 3")
        done = self.move()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("row 3 of the file: it has a time that cannot be read", done.stderr)
        self.assertEqual(self.sql("SELECT count(*) FROM feedback"), [["0"]])


if __name__ == "__main__":
    main()
