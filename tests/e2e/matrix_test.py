#!/usr/bin/env python3
"""The owner's cases and the contract of the Feedback App (api_test.py) in every combination of AUTH, database,
Redis and broker: real servers, and after each case every create's mail has gone through the broker. Here two of
them; HEADGATE_TEST_LONG=1: all 36."""
import json
import pathlib
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/apps/feedback"))
import api_test  # noqa: E402
from harness import LONG, main, wait_for  # noqa: E402
from postgres import Postgres  # noqa: E402
from rabbitmq import RabbitMQ  # noqa: E402
from redis_server import Redis  # noqa: E402

OPERATOR = "operator-key-0123456789"
SERVERS = {}


def server(name, make):
    """One of each for all cases: they take seconds to start."""
    if name not in SERVERS:
        SERVERS[name] = make()
    return SERVERS[name]


class Pair:
    """A primary with a streaming replica that has applied what was acknowledged: the cases read at once what
    they have written, and not all of them carry cookies (failover_test.py has replicas that lag)."""

    def __init__(self):
        self.primary = Postgres(max_connections=200)
        self.standby = None
        try:
            self.standby = self.primary.replica(name="standby", max_connections=200)
            self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            self.primary.sql("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
            self.primary.sql("SELECT pg_reload_conf()")
            wait_for(lambda: self.primary.sql("SELECT sync_state FROM pg_stat_replication") == [["sync"]], 60, every=0.1)
        except BaseException:
            self.remove()
            raise

    def remove(self):
        self.primary.remove()
        if self.standby:
            self.standby.remove()


def tearDownModule():
    for s in SERVERS.values():
        s.remove()


class Combination:
    """What a case runs on: `auth`, `database` (file, server), `cache` (Redis or not), `broker`."""
    number = 0

    @classmethod
    def setUpClass(cls):
        cls.cases = cls.mails = 0
        cls.began = time.monotonic()
        cls.vhost = f"v{time.monotonic_ns()}"
        if cls.broker == "RabbitMQ":
            rabbit = server("rabbit", RabbitMQ)
            rabbit.ctl("add_vhost", cls.vhost)
            rabbit.ctl("set_permissions", "-p", cls.vhost, "guest", ".*", ".*", ".*")

    @classmethod
    def tearDownClass(cls):
        print(f"# AUTH={cls.auth}, {cls.database}, {cls.cache}, jobs through {cls.broker}: {cls.cases} cases, {cls.mails} "
              f"mails, in {time.monotonic() - cls.began:.0f} s", flush=True)

    def make_database(self):
        self.env = {"AUTH": self.auth, "ADMIN_KEY": OPERATOR, "WORKERS": "inline", "FEEDBACK_FAULT": "jobs",
                    "EXPORT_DIR": "exports", "NOTIFY_EMAIL": "admin@example.com"}
        if self.database != "SQLite":
            Combination.number += 1
            pair, self.name = server("pair", Pair), f"t{Combination.number}"
            pair.primary.sql(f"CREATE DATABASE {self.name}")
            self.env.update(DATABASE_URL=pair.primary.url(self.name), DATABASE_REPLICAS=pair.standby.url(self.name))
        if self.cache == "Redis":
            redis = server("redis", Redis)
            redis.ask("FLUSHALL")
            self.env["REDIS_URL"] = redis.url(1)
        if self.broker == "Redis Streams":
            redis = server("redis", Redis)
            redis.ask("FLUSHALL")
            self.env["QUEUE_URL"] = redis.url(2)
        if self.broker == "RabbitMQ":
            self.env["QUEUE_URL"] = f"{server('rabbit', RabbitMQ).url()}/{self.vhost}"

    def app(self, env=None, **more):
        a = super().app(env, **more)
        if self.auth != "off":
            a.headers = {"Authorization": f"Bearer {OPERATOR}"}
        return a

    def jobs(self):
        """[(state, how many)]"""
        text = "SELECT state, count(*) FROM jobs GROUP BY state"
        if self.database != "SQLite":
            return [(s, int(n)) for s, n in server("pair", Pair).primary.sql(text, self.name)]
        with sqlite3.connect(f"{self.dir}/feedback.db", timeout=10) as db:
            return db.execute(text).fetchall()

    def mailed(self):
        """every create's job is done"""
        return all(state == "done" for state, _ in self.jobs())

    def tearDown(self):
        try:
            if any(a.child.poll() is None for a in self.apps):
                wait_for(self.mailed, 60, every=0.1)
                done = sum(n for _, n in self.jobs())
                log = pathlib.Path(self.dir, "exports/jobs.log")
                lines = log.read_text().splitlines() if log.exists() else []
                self.assertEqual(len({json.loads(x.split(" ", 4)[4])["feedback_id"] for x in lines}), done)
                type(self).mails += done
            type(self).cases += 1
        finally:
            super().tearDown()


def combinations():
    if not LONG:
        yield "required", "PostgreSQL with a replica", "Redis", "RabbitMQ"
        yield "optional", "SQLite", "no Redis", "Redis Streams"
        return
    for auth in ("off", "optional", "required"):
        for database in ("SQLite", "PostgreSQL with a replica"):
            for cache in ("no Redis", "Redis"):
                for broker in ("the database", "Redis Streams", "RabbitMQ"):
                    yield auth, database, cache, broker


for _i, _row in enumerate(combinations()):
    # The contract on a server in these modes is in modes_test.py already.
    for _base in (api_test.Owner, api_test.Contract) if LONG or _row[1] == "SQLite" else (api_test.Owner,):
        _name = f"C{_i:02}_{'_'.join(_row).replace(' ', '_')}_{_base.__name__}"
        globals()[_name] = type(_name, (Combination, _base), dict(zip(("auth", "database", "cache", "broker"), _row)))
del _base

if __name__ == "__main__":
    main()
