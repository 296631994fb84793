#!/usr/bin/env python3
"""The queue of the Feedback App with real processes, on a file and on a PostgreSQL server: what a create
leaves to be done, workers in processes of their own and beside the API, the dead-letter queue, schedules,
unique jobs, exports, and how workers stop."""
import csv
import io
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
import api_test  # noqa: E402
from harness import BUILD, free_port, main, request, wait_for  # noqa: E402
from postgres import Postgres, metric  # noqa: E402

KEY = "an-admin-key-of-some-length"
SERVER = []


def setUpModule():
    SERVER.append(Postgres())


def tearDownModule():
    SERVER.pop().remove()


class Worker:
    """feedback-app worker with a port for /health and /metrics."""

    def __init__(self, folder, env, *args):
        self.port, self.dir = free_port(), pathlib.Path(folder)
        self.log = self.dir / f"worker-{self.port}"
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([BUILD / "feedback-app", "worker", "--port", str(self.port), *map(str, args)],
                                          cwd=folder, stdout=out, stderr=out, env={**clean, "HOST": "127.0.0.1", **env})
        wait_for(self.healthy, 20)

    def healthy(self):
        """the worker answers /health"""
        if self.child.poll() is not None:
            raise AssertionError(f"ended with {self.child.returncode}: {self.log.read_text()}")
        try:
            return request(self.port, "GET", "/health")[0] == 200
        except OSError:
            return False

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        return self.child.wait(40)


class Case(api_test.Case):
    def setUp(self):
        super().setUp()
        self.env = {"DATABASE_URL": "sqlite:feedback.db", **self.env, "FEEDBACK_FAULT": "jobs", "EXPORT_DIR": "exports",
                    "ADMIN_KEY": KEY, "JOB_LEASE": "2"}
        self.workers = []

    def tearDown(self):
        codes = [w.stop() for w in self.workers if w.child.returncode is None]
        super().tearDown()
        self.assertEqual([c for c in codes if c], [])

    def worker(self, *args, **env):
        w = Worker(self.dir, {**self.env, **env}, *args)
        self.workers.append(w)
        return w

    def cli(self, *args, check=True):
        done = subprocess.run([BUILD / "feedback-app", "jobs", *map(str, args)], cwd=self.dir, capture_output=True,
                              text=True, timeout=30, env={**self.env, "PATH": os.environ["PATH"]})
        if check and done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout if check else (done.returncode, done.stderr)

    def put(self, kind="test", **args):
        options = [x for k in ("queue", "in", "unique", "priority", "attempts") if k in args
                   for x in (f"--{k}", args.pop(k))]
        out = self.cli("put", "--kind", kind, "--args", json.dumps(args), *options)
        return int(out.split()[0])

    def show(self, job):
        return json.loads(self.cli("show", job))

    def until_state(self, job, state, seconds=20):
        def there():
            return self.show(job)["state"] == state
        there.__doc__ = f"job {job} is {state}"
        wait_for(there, seconds, every=0.1)
        return self.show(job)

    def done(self):
        """(kind, key, attempt, arguments) of what was written down, in its order"""
        path = pathlib.Path(self.dir) / "exports/jobs.log"
        rows = [line.split(" ", 4) for line in path.read_text().splitlines()] if path.exists() else []
        return [(k, key, int(attempt), json.loads(args)) for k, key, attempt, _, args in rows]

    def admin(self, app, method, path, body=None):
        return app.call(method, path, body, headers={"Authorization": f"Bearer {KEY}"})


class Queue(Case):
    def test_a_create_leaves_the_mail_and_a_worker_does_it(self):
        a = self.app({"NOTIFY_EMAIL": "admin@example.com"})
        made = a.create("hello")
        rows = self.sql("SELECT queue, kind, state FROM jobs")
        self.assertEqual([list(r) for r in rows], [["notification-queue", "send_email_notification", "available"]])
        self.worker()
        wait_for(lambda: len(self.done()) == 1)
        kind, key, attempt, args = self.done()[0]
        self.assertEqual((kind, attempt, args), ("send_email_notification", 1,
                                                 {"feedback_id": made["id"], "to": "admin@example.com"}))
        self.assertRegex(key, r"^job-\d+-[0-9a-f]+$")

    def test_one_job_for_each_webhook_that_is_enabled(self):
        a = self.app({"WEBHOOKS": "on"})
        a.create("before there is any")
        for i, on in ((1, 1), (2, 0), (3, 1)):
            self.sql(f"INSERT INTO webhooks (id, url, secret, enabled, created_at) VALUES ({i}, 'https://x', 's', {on}, 1)")
        made = a.create("told")
        got = [json.loads(r[0]) for r in self.sql("SELECT args FROM jobs WHERE kind = 'send_webhook' ORDER BY id")]
        self.assertEqual(got, [{"feedback_id": made["id"], "webhook_id": i} for i in (1, 3)])

    def test_without_configuration_a_create_leaves_nothing(self):
        a = self.app()
        self.sql("INSERT INTO webhooks (url, secret, created_at) VALUES ('https://x', 's', 1)")
        a.create("quiet")
        self.assertEqual(self.cli("list"), "no jobs\n")

    def test_the_same_key_leaves_one_job(self):
        a = self.app({"NOTIFY_EMAIL": "a@b.example", "WEBHOOKS": "on"})
        for _ in range(3):
            a.call("POST", "/feedback", {"message": "x"}, headers={"Idempotency-Key": "k"})
        self.assertEqual(len(self.sql("SELECT id FROM jobs")), 1)

    def test_serving_and_working_in_one_process(self):
        a = self.app({"NOTIFY_EMAIL": "a@b.example", "WORKERS": "inline"})
        start = time.monotonic()
        a.create("x")
        wait_for(lambda: len(self.done()) == 1)
        self.assertLess(time.monotonic() - start, 2)
        text = request(a.port, "GET", "/metrics")[2].decode()
        wait_for(lambda: metric(request(a.port, "GET", "/metrics")[2].decode(), "jobs_finished_total",
                                kind="send_email_notification", outcome="done") == 1)
        self.assertEqual(metric(text, "jobs_slots"), 8)

    def test_poison_goes_to_the_dead_letter_queue_and_back(self):
        self.app()
        w = self.worker()
        bad = self.put(do="fail", attempts=2)
        worse = self.put(do="give up")
        row = self.until_state(bad, "dead")
        self.assertEqual((row["attempt"], row["error"]), (2, "attempt 2 fails, as it was asked to"))
        self.assertEqual(self.until_state(worse, "dead")["attempt"], 1)
        listed = self.cli("list", "--state", "dead")
        self.assertEqual([line.split()[0] for line in listed.splitlines()[1:]], [str(worse), str(bad)])
        text = request(w.port, "GET", "/metrics")[2].decode()
        self.assertEqual(metric(text, "queue_size", queue_name="feedback-tasks", state="dead"), 2)
        self.assertEqual(metric(text, "jobs_finished_total", kind="test", outcome="dead"), 2)
        self.assertEqual(self.cli("retry", bad), "1 to be tried again\n")
        self.until_state(bad, "dead")
        self.assertEqual(self.cli("purge", "--state", "dead", "--queue", "notification-queue"), "0 deleted\n")
        self.assertEqual(self.cli("purge", bad), "1 deleted\n")
        self.assertEqual(self.cli("purge", "--state", "dead"), "1 deleted\n")
        self.assertEqual(self.cli("list"), "no jobs\n")
        self.assertEqual(self.cli("show", bad, check=False)[0], 2)

    def test_what_fails_is_tried_again_under_the_same_key(self):
        self.app()
        self.worker()
        job = self.put(fails=2)
        row = self.until_state(job, "done")
        self.assertEqual((row["attempt"], row["result"]), (3, "written down"))
        self.assertEqual([d[2] for d in self.done()], [3])

    def test_later_and_only_once_at_a_time(self):
        self.app()
        self.worker()
        later = self.put(**{"in": 2}, unique="daily")
        self.assertEqual(self.put(unique="daily"), later)
        self.assertEqual(self.show(later)["state"], "available")
        start = time.monotonic()
        self.until_state(later, "done")
        self.assertGreater(time.monotonic() - start, 1)
        self.assertNotEqual(self.put(unique="daily"), later)

    def test_priority_goes_first(self):
        self.app()
        jobs = {p: self.put(n=p, priority=p) for p in (0, 1, 2)}
        self.worker("--concurrency", 1)
        self.until_state(jobs[0], "done")
        self.assertEqual([d[3]["n"] for d in self.done()], [2, 1, 0])

    def test_a_worker_takes_only_from_its_queues(self):
        self.app()
        mine, other = self.put(queue="feedback-tasks"), self.put(queue="other")
        self.worker("--queues", "feedback-tasks")
        self.until_state(mine, "done")
        time.sleep(0.3)
        self.assertEqual(self.show(other)["state"], "available")

    def test_a_stop_finishes_what_runs_and_takes_no_more(self):
        self.app()
        w = self.worker("--concurrency", 1)
        running, waiting = self.put(ms=1500), self.put()
        self.until_state(running, "running")
        start = time.monotonic()
        self.assertEqual(w.stop(), 0)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.show(running)["state"], "done")
        self.assertEqual(self.show(waiting)["state"], "available")

    def test_a_stop_gives_back_what_does_not_end_in_time(self):
        self.app()
        w = self.worker(DRAIN_SECONDS="1")
        long = self.put(ms=60000)
        self.until_state(long, "running")
        self.assertEqual(w.stop(), 0)
        row = self.show(long)
        self.assertEqual((row["state"], row["attempt"], row["error"]), ("available", 0, None))
        self.assertEqual(self.done(), [])

    def test_the_api_for_people(self):
        a = self.app()
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            self.assertEqual(a.call("GET", "/admin/jobs", headers=headers)[0], 401, headers)
            self.assertEqual(a.call("POST", "/exports", {"format": "csv"}, headers=headers)[0], 401, headers)
        jobs = [self.put(n=i) for i in range(3)]
        status, _, got = self.admin(a, "GET", "/admin/jobs?state=available&queue=feedback-tasks&limit=2")
        self.assertEqual((status, [j["id"] for j in got["jobs"]], got["next"]), (200, [jobs[2], jobs[1]], jobs[1]))
        self.assertEqual(got["jobs"][0]["args"], {"n": 2})
        got = self.admin(a, "GET", f"/admin/jobs?before={got['next']}&limit=2")[2]
        self.assertEqual(([j["id"] for j in got["jobs"]], got["next"]), ([jobs[0]], None))
        self.assertEqual(self.admin(a, "GET", "/admin/jobs/stats")[2]["queues"][0]["jobs"], 3)
        self.assertEqual(self.admin(a, "POST", f"/admin/jobs/{jobs[0]}/retry")[0], 409)
        self.sql("UPDATE jobs SET state = 'dead', finished_at = 1, error = 'x'")
        status, _, got = self.admin(a, "POST", f"/admin/jobs/{jobs[0]}/retry")
        self.assertEqual((status, got["state"], got["error"]), (200, "available", "x"))
        self.assertEqual(self.admin(a, "POST", "/admin/jobs/retry?state=dead&queue=other")[2], {"retried": 0})
        self.assertEqual(self.admin(a, "DELETE", f"/admin/jobs/{jobs[1]}")[2], {"deleted": 1})
        self.assertEqual(self.admin(a, "DELETE", "/admin/jobs?state=dead")[2], {"deleted": 1})
        self.assertEqual(self.admin(a, "GET", f"/admin/jobs/{jobs[1]}")[0], 404)
        for method, path in (("DELETE", "/admin/jobs"), ("DELETE", "/admin/jobs?state=running"),
                             ("POST", "/admin/jobs/retry"), ("GET", "/admin/jobs?state=lost"),
                             ("GET", "/admin/jobs?queue=a%20b"), ("GET", "/admin/jobs?limit=0")):
            status, _, got = self.admin(a, method, path)
            self.assertEqual((status, list(got)), (400, ["error"]), path)
        self.assertEqual(self.admin(a, "PUT", "/admin/jobs")[0], 405)

    def test_an_admin_key_that_is_not_set_opens_nothing(self):
        a = self.app({"ADMIN_KEY": ""})
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {KEY}"}):
            self.assertEqual(a.call("GET", "/admin/jobs", headers=headers)[0], 403)

    def export(self, a, form):
        status, headers, job = self.admin(a, "POST", "/exports", {"format": form})
        self.assertEqual((status, headers["Location"]), (202, f"/exports/{job['id']}"))
        auth = {"Authorization": f"Bearer {KEY}"}
        wait_for(lambda: request(a.port, "GET", headers["Location"], headers=auth)[0] == 200)
        status, headers, data = request(a.port, "GET", headers["Location"], headers=auth)
        self.assertIn(f'filename="feedback-{job["id"]}.{form}"', headers["Content-Disposition"])
        return data.decode(), job["id"]

    def test_exports_are_whole_and_harmless(self):
        a = self.app({"WORKERS": "inline"})
        texts = ["plain", 'say "hi", then\nleave', "=HYPERLINK(1)", "Grüße ☃"]
        made = [a.create(t) for t in texts]
        self.sql("INSERT INTO feedback (message, created_at, updated_at) SELECT 'row', created_at, created_at FROM "
                 "feedback, (SELECT 1 UNION ALL SELECT 2) x WHERE message = 'plain'")
        data, job = self.export(a, "json")
        rows = json.loads(data)
        fresh = {"votes": 0, "status": "open"}
        self.assertEqual(rows[:4], [{**m, **fresh} for m in made])
        self.assertEqual([list(r) for r in rows], [list(made[0]) + ["votes", "status"]] * 6)
        data, job = self.export(a, "csv")
        rows = list(csv.reader(io.StringIO(data, newline="")))
        self.assertEqual(rows[0], ["id", "message", "created_at", "updated_at", "votes", "status"])
        self.assertEqual([r[1] for r in rows[1:5]], [texts[0], texts[1], "'" + texts[2], texts[3]])
        self.assertEqual(rows[1], [str(made[0]["id"]), "plain", made[0]["created_at"], made[0]["updated_at"], "0",
                                   "open"])
        self.assertEqual([p.name for p in pathlib.Path(self.dir, "exports").glob("*.part")], [])
        pathlib.Path(self.dir, f"exports/feedback-{job}.csv").unlink()
        self.assertEqual(self.admin(a, "GET", f"/exports/{job}")[0], 410)
        self.assertEqual(self.admin(a, "GET", "/exports/99999")[0], 404)
        self.assertEqual(self.admin(a, "GET", f"/exports/{self.put()}")[0], 404)  # a job of another kind
        self.assertEqual(self.admin(a, "POST", "/exports", {"format": "xml"})[0], 400)

    def test_a_large_export_comes_whole(self):
        a = self.app({"WORKERS": "inline"})
        a.create("first")
        self.sql("INSERT INTO feedback (message, created_at, updated_at) SELECT "
                 + ("repeat('x', 400)" if self.env["DATABASE_URL"].startswith("postgres") else "printf('%.400c', 'x')")
                 + ", f.created_at, f.created_at FROM feedback f, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                 "FROM n WHERE i < 12000) SELECT i FROM n) n")
        data, _ = self.export(a, "json")
        self.assertEqual(len(json.loads(data)), 12001)

    def test_an_empty_export_is_still_one(self):
        a = self.app({"WORKERS": "inline"})
        self.assertEqual(json.loads(self.export(a, "json")[0]), [])
        self.assertEqual(self.export(a, "csv")[0], "id,message,created_at,updated_at,votes,status\r\n")

    def test_exports_have_votes_and_statuses(self):
        a = self.app({"WORKERS": "inline"})
        one, two = a.create("one")["id"], a.create("two")["id"]
        for voter in range(3):
            self.assertEqual(a.call("PUT", f"/v2/feedback/{two}/vote", {},
                                    headers={"Cookie": f"feedback_voter={voter:032x}"})[0], 200)
        self.assertEqual(self.admin(a, "PUT", f"/v2/feedback/{two}/status", {"status": "in_progress"})[0], 200)
        want = [(one, 0, "open"), (two, 3, "in_progress")]
        rows = json.loads(self.export(a, "json")[0])
        self.assertEqual([(r["id"], r["votes"], r["status"]) for r in rows], want)
        rows = list(csv.DictReader(io.StringIO(self.export(a, "csv")[0], newline="")))
        self.assertEqual([(int(r["id"]), int(r["votes"]), r["status"]) for r in rows], want)
        # a status that a newer release knows is one that this release's API gives too: open
        self.sql(f"UPDATE feedback SET status = 'shipped' WHERE id = {two}")
        self.assertEqual([r["status"] for r in json.loads(self.export(a, "json")[0])], ["open", "open"])
        self.assertTrue(self.export(a, "csv")[0].endswith(",3,open\r\n"))


class OnFile(Queue):
    # What is about time is the same on a server (tests/unit/jobs/server_test.py).

    def test_a_job_that_kills_its_worker_is_dead_in_the_end_and_takes_no_other_with_it(self):
        self.app()
        bad = self.put(do="crash", attempts=2)
        good = self.put(ms=10)
        deadline = time.monotonic() + 30
        while self.show(bad)["state"] != "dead" and time.monotonic() < deadline:
            try:
                w = Worker(self.dir, self.env, "--concurrency", 1)
                while w.child.poll() is None and self.show(bad)["state"] != "dead":
                    time.sleep(0.05)
                w.stop()
            except AssertionError:
                pass  # it died at once
        row = self.show(bad)
        self.assertEqual((row["state"], row["attempt"]), ("dead", 2))
        self.assertIn("was not heard of before its lease was over", row["error"])
        self.assertEqual(self.show(good)["state"], "done")

    def test_a_job_longer_than_its_lease_is_run_once(self):
        self.app()
        self.worker()
        self.worker()
        long = self.put(ms=3500)
        row = self.until_state(long, "done")
        self.assertEqual(row["attempt"], 1)
        self.assertEqual(len(self.done()), 1)

    def test_a_worker_that_slept_over_its_lease_does_not_end_the_job_of_another(self):
        self.app()
        first = self.worker()
        job = self.put(ms=1000)
        self.until_state(job, "running")
        first.child.send_signal(signal.SIGSTOP)
        try:
            second = self.worker()
            row = self.until_state(job, "done")
        finally:
            first.child.send_signal(signal.SIGCONT)
        self.assertEqual(row["attempt"], 2)
        self.assertEqual(row["worker"].split(":")[1], str(second.child.pid))
        wait_for(lambda: any("another's" in x["message"] for x in first.lines()))
        self.assertEqual(self.show(job)["attempt"], 2)
        self.assertEqual(len(self.done()), 1)  # it was broken off before it did it a second time

    def sql(self, text):
        c = sqlite3.connect(pathlib.Path(self.dir) / "feedback.db", timeout=10, isolation_level=None)
        try:
            return c.execute(text).fetchall()
        finally:
            c.close()


class OnServer(Queue):
    number = 0

    def make_database(self):
        OnServer.number += 1
        self.database = f"t{OnServer.number}"
        SERVER[0].sql(f"CREATE DATABASE {self.database}")
        self.env = {"DATABASE_URL": SERVER[0].url(self.database)}

    def sql(self, text):
        return SERVER[0].sql(text, self.database)

    def test_a_server_that_is_away_is_waited_for(self):
        a = self.app({"NOTIFY_EMAIL": "a@b.example"})
        w = self.worker()
        running = self.put(ms=1500)
        self.until_state(running, "running")
        SERVER[0].stop()
        time.sleep(2)
        SERVER[0].start()
        wait_for(lambda: a.call("GET", "/health")[0] == 200)
        made = a.create("x")
        wait_for(lambda: any(d[0] == "send_email_notification" for d in self.done()))
        row = self.until_state(running, "done")
        self.assertEqual(len([d for d in self.done() if d[0] == "test"]), row["attempt"])
        self.assertEqual([d[3]["feedback_id"] for d in self.done() if d[0] != "test"], [made["id"]])
        said = [x["message"] for x in w.lines() if x["name"] == "feedback.jobs"]
        self.assertIn("the queue's database does not answer", said)
        self.assertIn("the queue's database answers again", said)


    def test_a_move_takes_what_is_still_to_be_done_along(self):
        server, self.env["DATABASE_URL"] = self.env["DATABASE_URL"], "sqlite:feedback.db"
        a = self.app({"NOTIFY_EMAIL": "a@b.example"})
        made = a.create("x")
        bad = self.put(do="give up")
        self.assertEqual(a.stop(), 0)
        subprocess.run([BUILD / "feedback-app", "move", "--from", f"sqlite:{self.dir}/feedback.db", "--to", server],
                       check=True, capture_output=True, timeout=60)
        self.env["DATABASE_URL"] = server
        self.worker()
        wait_for(lambda: [d[3]["feedback_id"] for d in self.done()] == [made["id"]])
        self.until_state(bad, "dead")
        self.assertGreater(self.put(), bad)


class Redis:
    """redis-server on a free port, with nothing on the disk; started again it is empty."""

    def __init__(self, folder):
        self.port, self.dir = free_port(), folder
        self.start()

    def start(self):
        self.child = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                       "--appendonly", "no", "--dir", self.dir], stdout=subprocess.DEVNULL)
        wait_for(self.up, 10)

    def up(self):
        """redis answers"""
        return self.cli("PING") == "PONG"

    def cli(self, *args):
        return subprocess.run(["redis-cli", "-p", str(self.port), *args], capture_output=True, text=True,
                              check=False).stdout.strip()

    def stop(self, sig=signal.SIGKILL):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        return self.child.wait(10)


class OnRedis(OnFile):
    """A part of the same through Redis Streams."""

    def make_database(self):
        self.redis = Redis(self.dir)
        self.env = {"QUEUE_URL": f"redis://127.0.0.1:{self.redis.port}", "QUEUE_LEASE": "2"}

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            self.redis.stop()

    def test_jobs_go_through_the_stream_and_leave_nothing_there(self):
        a = self.app({"NOTIFY_EMAIL": "a@b.example"})
        w = self.worker()
        for _ in range(50):
            a.create("x")
        wait_for(lambda: len(self.done()) == 50)
        wait_for(lambda: self.sql("SELECT count(*) FROM jobs WHERE state = 'done' AND attempt = 1")[0][0] == 50)
        self.assertEqual(int(self.redis.cli("XINFO", "STREAM", "jobs:notification-queue").split("entries-added")[1].split()[0]), 50)
        wait_for(lambda: self.redis.cli("XLEN", "jobs:notification-queue") == "0")
        text = request(w.port, "GET", "/metrics")[2].decode()
        self.assertEqual(metric(text, "queue_relayed_total"), 50)
        self.assertEqual(metric(text, "queue_broker_up"), 1)

    def test_a_broker_that_lost_everything_loses_no_job(self):
        a = self.app({"NOTIFY_EMAIL": "a@b.example"})
        w = self.worker()
        w.child.send_signal(signal.SIGTERM)
        w.child.wait(20)
        relay = self.worker("--concurrency", 1)
        blocker = self.put(ms=1200, queue="notification-queue", priority=2)
        self.until_state(blocker, "running")
        for _ in range(20):
            a.create("x")
        wait_for(lambda: "sent" in self.cli("stats"))
        self.redis.stop()
        time.sleep(0.3)
        self.redis.start()
        wait_for(lambda: len(self.done()) == 21, 30)
        self.assertEqual({d[2] for d in self.done()}, {1})
        self.assertEqual(relay.child.poll(), None)

    def test_a_broker_that_is_away_stops_nothing_but_jobs(self):
        self.redis.stop()
        a = self.app({"NOTIFY_EMAIL": "a@b.example"})
        self.worker()
        a.create("x")
        time.sleep(1)
        self.assertEqual(self.sql("SELECT state FROM jobs"), [("available",)])
        self.redis.start()
        wait_for(lambda: len(self.done()) == 1, 20)

    def test_a_broker_that_is_not_known_is_said(self):
        done = subprocess.run([BUILD / "feedback-app", "worker"], cwd=self.dir, capture_output=True, text=True, timeout=20,
                              env={**self.env, "QUEUE_URL": "kafka://x", "PATH": os.environ["PATH"]})
        self.assertEqual(done.returncode, 2)
        self.assertIn("QUEUE_URL names no broker that is known", done.stderr)


# What is the same for both, and slow, is shown once.
for name in [n for n in dir(Queue) if n.startswith("test_")] + [n for n in vars(OnFile) if n.startswith("test_")]:
    if name not in vars(OnRedis) and name not in (
            "test_poison_goes_to_the_dead_letter_queue_and_back", "test_what_fails_is_tried_again_under_the_same_key",
            "test_later_and_only_once_at_a_time", "test_serving_and_working_in_one_process",
            "test_a_stop_gives_back_what_does_not_end_in_time"):
        setattr(OnRedis, name, None)
del Queue

if __name__ == "__main__":
    main()
