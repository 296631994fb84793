#!/usr/bin/env python3
"""kill -9 of workers, of the app, of the broker (Redis, RabbitMQ) and of the PostgreSQL primary at random
moments under load: every create that was acknowledged is there and has its mail written down, and what is
written down twice is counted and bounded. A worker that is killed may have done what it could not yet say:
at most the jobs that it had under way, so one for each slot. Here a few kills of everything together;
HEADGATE_TEST_LONG=1: 50 of each alone."""
import collections
import http.client
import json
import pathlib
import random
import shutil
import signal
import sqlite3
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
from rabbitmq import RabbitMQ  # noqa: E402

KILLS = 50 if LONG else 10


class Creator(threading.Thread):
    """Creates as fast as it is answered, or every `pause` seconds; what is not answered is nobody's."""

    def __init__(self, ports, name, pause):
        super().__init__()
        self.ports, self.tag, self.pause = ports, name, pause
        self.acked, self.refused, self.unanswered, self.over = {}, collections.Counter(), 0, threading.Event()

    def run(self):
        n = 0
        while not self.over.is_set():
            n += 1
            text = f"{self.tag}-{n}"
            c = http.client.HTTPConnection("127.0.0.1", random.choice(self.ports), timeout=30)
            try:
                c.request("POST", "/feedback", json.dumps({"message": text}), {"Content-Type": "application/json"})
                r = c.getresponse()
                body = json.loads(r.read())
                if r.status == 201:
                    self.acked[body["id"]] = text
                else:
                    self.refused[r.status] += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered += 1
                time.sleep(0.02)
            finally:
                c.close()
            time.sleep(self.pause)


class File:
    """A database that nobody can kill."""

    def __init__(self, folder):
        self.path = f"{folder}/feedback.db"
        self.url = "sqlite:feedback.db"

    def rows(self):
        with sqlite3.connect(self.path, timeout=30) as db:
            return dict(db.execute("SELECT id, message FROM feedback"))

    def remove(self):
        pass


class Server(File):
    def __init__(self):
        self.pg = Postgres()
        self.url = self.pg.url()

    def rows(self):
        return {int(i): m for i, m in self.pg.sql("SELECT id, message FROM feedback")}

    def remove(self):
        self.pg.remove()


class Pair(Server):
    """A primary with a synchronous standby, which takes its place when it dies; what is left of the dead one
    becomes the standby of the next, at the same address."""

    def __init__(self):
        self.pg = Postgres()
        try:
            self.standby = self.pg.replica(name="standby")
        except BaseException:
            self.pg.remove()
            raise
        self.url = f"postgres://feedback@127.0.0.1:{self.pg.port},127.0.0.1:{self.standby.port}/postgres"
        self.synchronous()

    def synchronous(self):
        self.pg.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.pg.sql("SELECT pg_reload_conf()")
        wait_for(lambda: self.pg.sql("SELECT sync_state FROM pg_stat_replication") == [["sync"]], 60, every=0.1)

    def kill(self):
        dead, self.pg = self.pg, self.standby
        dead.kill()
        self.pg.promote()
        dead.remove()
        self.standby = Postgres(source=self.pg, name="standby", port=dead.port)
        self.synchronous()

    def remove(self):
        self.pg.remove()
        self.standby.remove()


class RedisBroker(jobs_test.Redis):
    def __init__(self, folder):
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}"

    def kill(self):
        """It keeps nothing: what it had is lost."""
        self.stop()
        self.start()

    def remove(self):
        self.stop()


class RabbitBroker:
    def __init__(self, _):
        self.rabbit = RabbitMQ()
        self.url = self.rabbit.url()

    def kill(self):
        self.rabbit.written("notification-queue")
        self.rabbit.kill()
        self.rabbit.start()

    def remove(self):
        self.rabbit.remove()


class Kills(unittest.TestCase):
    def setUp(self):
        self.dir, self.apps, self.workers, self.parts = tempfile.mkdtemp(prefix="jobs-test-"), [], [], []
        self.broker = None

    def tearDown(self):
        for p in self.apps + self.workers:
            p.stop(signal.SIGKILL)
        for p in self.parts:
            p.remove()
        shutil.rmtree(self.dir, ignore_errors=True)

    def part(self, made):
        self.parts.append(made)
        return made

    def written(self):
        path = pathlib.Path(self.dir) / "exports/jobs.log"
        if not path.exists():
            return collections.Counter()
        return collections.Counter(json.loads(line.split(" ", 4)[4])["feedback_id"]
                                   for line in path.read_text().splitlines())

    def new_worker(self):
        return jobs_test.Worker(self.dir, self.env, "--concurrency", self.slots)

    def kill_worker(self):
        self.workers.pop(0).stop(signal.SIGKILL)
        self.workers.append(self.new_worker())

    def kill_app(self):
        victim = self.apps.pop(0)
        victim.stop(signal.SIGKILL)
        self.apps.append(api_test.App(self.dir, self.env, port=victim.port))

    def kill_broker(self):
        self.broker.kill()

    def kill_database(self):
        self.database.kill()

    def kill_under_load(self, name, database, victims, broker=None, slots=1, lease=1, pause=0.004, rest=0.6, twice=None):
        """`victims` in turn, KILLS in all; `twice`: how many mails may come a second time."""
        self.database, self.broker, self.slots = self.part(database), broker and self.part(broker), slots
        self.env = {"DATABASE_URL": database.url, "FEEDBACK_FAULT": "jobs", "EXPORT_DIR": "exports",
                    "JOB_LEASE": str(lease), "NOTIFY_EMAIL": "admin@example.com"}
        if broker:
            self.env.update(QUEUE_URL=broker.url, QUEUE_LEASE="3")
        self.apps = [api_test.App(self.dir, self.env) for _ in range(2)]
        self.workers = [self.new_worker() for _ in range(3)]
        creators = [Creator([a.port for a in self.apps], str(i), pause) for i in range(4)]
        for c in creators:
            c.start()
        start = time.monotonic()
        try:
            wait_for(lambda: len(self.written()) > 20, 60, every=0.1)
            for n in range(KILLS):
                time.sleep(random.uniform(0.05, rest))
                victims[n % len(victims)]()
            wait_for(lambda: sum(len(c.acked) for c in creators) > 200, 60, every=0.1)
        finally:
            for c in creators:
                c.over.set()
            for c in creators:
                c.join()
        took = time.monotonic() - start
        acked = {i: text for c in creators for i, text in c.acked.items()}
        rows = self.database.rows()
        self.assertEqual({i: rows.get(i) for i in acked}, acked)

        def all_written():
            """every create that was acknowledged has its mail"""
            return acked.keys() <= self.written().keys()
        wait_for(all_written, 600 if LONG else 60, every=0.5)  # they are made faster than they are done
        time.sleep(1.5 * lease)  # whatever would come twice has come
        double = sum(n - 1 for n in self.written().values())
        refused = sum((c.refused for c in creators), collections.Counter())
        print(f"# {name}: {KILLS} kills in {took:.0f} s, {len(acked)} creates acknowledged, 0 lost, 0 mails lost, {double} "
              f"twice; {sum(c.unanswered for c in creators)} without an answer, refused {dict(refused)}", flush=True)
        self.assertLessEqual(double, KILLS * slots if twice is None else twice)

    def test_on_a_file(self):
        self.kill_under_load("workers and apps, SQLite", File(self.dir),
                             [self.kill_worker, self.kill_worker, self.kill_worker, self.kill_app])

    def test_on_a_server(self):
        self.kill_under_load("workers and apps, PostgreSQL", Server(),
                             [self.kill_worker, self.kill_worker, self.kill_worker, self.kill_app])

    def test_through_redis_that_is_killed_too(self):
        self.kill_under_load("workers, apps and Redis, PostgreSQL", Server(),
                             [self.kill_worker, self.kill_broker, self.kill_worker, self.kill_app], RedisBroker(self.dir))


@unittest.skipUnless(LONG, "make test-long")
class Alone(Kills):
    def test_workers_that_do_one_thing_at_a_time(self):
        self.kill_under_load("workers, one slot, SQLite", File(self.dir), [self.kill_worker])

    def test_workers_that_do_eight_things_at_a_time(self):
        self.kill_under_load("workers, eight slots, PostgreSQL", Server(), [self.kill_worker], slots=8)

    def test_apps(self):
        self.kill_under_load("apps, SQLite", File(self.dir), [self.kill_app], twice=0)

    def test_apps_on_a_server(self):
        self.kill_under_load("apps, PostgreSQL", Server(), [self.kill_app], twice=0)

    def test_redis(self):
        self.kill_under_load("Redis as broker, PostgreSQL", Server(), [self.kill_broker], RedisBroker(self.dir), slots=8,
                             twice=KILLS)

    def test_rabbitmq(self):
        self.kill_under_load("RabbitMQ as broker, PostgreSQL", Server(), [self.kill_broker], RabbitBroker(self.dir),
                             slots=8, pause=0.05, rest=3.0, twice=KILLS)

    def test_the_primary(self):
        self.kill_under_load("PostgreSQL primary, synchronous standby promoted", Pair(), [self.kill_database], slots=8,
                             lease=10, pause=0.05, rest=2.0, twice=KILLS)


for _name in [n for n in vars(Kills) if n.startswith("test_")]:  # they are shown once
    setattr(Alone, _name, None)

if __name__ == "__main__":
    main()
