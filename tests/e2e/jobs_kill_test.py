#!/usr/bin/env python3
"""kill -9 of workers, of the app and of Redis at random moments under load, on a file and on PostgreSQL: every create
that was acknowledged has its mail written down, and at most one of them twice for each kill."""
import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/apps/feedback"))
import api_test  # noqa: E402
import jobs_test  # noqa: E402
from harness import LONG, main, wait_for  # noqa: E402
from postgres import Postgres  # noqa: E402

KILLS = 50 if LONG else 10


class Creator(threading.Thread):
    """Creates as fast as it is answered; what is not answered is nobody's."""

    def __init__(self, ports):
        super().__init__()
        self.ports, self.acked, self.over = ports, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            c = http.client.HTTPConnection("127.0.0.1", random.choice(self.ports), timeout=10)
            try:
                c.request("POST", "/feedback", json.dumps({"message": "x"}), {"Content-Type": "application/json"})
                r = c.getresponse()
                body = json.loads(r.read())
                if r.status == 201:
                    self.acked.append(body["id"])
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)
            finally:
                c.close()
            time.sleep(0.004)


class Kills(unittest.TestCase):
    def setUp(self):
        self.dir, self.alive = tempfile.mkdtemp(prefix="jobs-test-"), []

    def tearDown(self):
        for p in self.alive:
            p.stop(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def written(self):
        path = pathlib.Path(self.dir) / "exports/jobs.log"
        if not path.exists():
            return collections.Counter()
        return collections.Counter(json.loads(line.split(" ", 4)[4])["feedback_id"]
                                   for line in path.read_text().splitlines())

    def kill_under_load(self, url, broker=None):
        env = {"DATABASE_URL": url, "FEEDBACK_FAULT": "jobs", "EXPORT_DIR": "exports", "JOB_LEASE": "1",
               "NOTIFY_EMAIL": "admin@example.com"}
        if broker:
            env.update(QUEUE_URL=f"redis://127.0.0.1:{broker.port}", QUEUE_LEASE="3")
        apps = [api_test.App(self.dir, env) for _ in range(2)]
        workers = [jobs_test.Worker(self.dir, env, "--concurrency", 1) for _ in range(3)]
        self.alive = apps + workers
        creators = [Creator([a.port for a in apps]) for _ in range(4)]
        for c in creators:
            c.start()
        try:
            for n in range(KILLS):
                time.sleep(random.uniform(0.05, 0.6))
                if broker and n % 4 == 1:
                    broker.stop()
                    broker.start()
                elif n % 4 == 3:
                    victim = apps.pop(0)
                    victim.stop(signal.SIGKILL)
                    apps.append(api_test.App(self.dir, env, port=victim.port))
                else:
                    workers.pop(0).stop(signal.SIGKILL)
                    workers.append(jobs_test.Worker(self.dir, env, "--concurrency", 1))
                self.alive = apps + workers
        finally:
            for c in creators:
                c.over.set()
            for c in creators:
                c.join()
        acked = {i for c in creators for i in c.acked}
        self.assertGreater(len(acked), 200)
        def all_written():
            """every create that was acknowledged has its mail"""
            return acked <= set(self.written())
        wait_for(all_written, 150 if LONG else 40, every=0.2)  # they are made faster than they are done
        time.sleep(1.5)  # a lease: whatever would come twice has come
        twice = sum(n - 1 for n in self.written().values())
        print(f"# {len(acked)} acknowledged, {KILLS} kills, none lost, {twice} twice", flush=True)
        self.assertLessEqual(twice, KILLS)

    def test_on_a_file(self):
        self.kill_under_load("sqlite:feedback.db")

    def test_on_a_server(self):
        with Postgres() as pg:
            self.kill_under_load(pg.url())

    def test_through_redis_that_is_killed_too(self):
        broker = jobs_test.Redis(self.dir)
        try:
            with Postgres() as pg:
                self.kill_under_load(pg.url(), broker)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
