#!/usr/bin/env python3
"""The Feedback App's cache of lists: what it gives is never older than the request, whoever wrote through
which process, on a file and on PostgreSQL, with Redis and without; and Redis that is killed, stopped and
started again under load, which nobody may notice."""
import concurrent.futures
import itertools
import json
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/apps/feedback"))
import api_test  # noqa: E402
from harness import SANITIZED, Load, main, request, wait_for  # noqa: E402
from postgres import Postgres, metric  # noqa: E402
from redis_server import Redis  # noqa: E402

SERVERS = {}
TIMEOUT_MS = 20


def setUpModule():
    SERVERS.update(pg=Postgres(), redis=Redis(password="s3cret"))


def tearDownModule():
    for s in SERVERS.values():
        s.remove()


class Case(unittest.TestCase):
    names = itertools.count()

    def setUp(self):
        self.dir, self.apps = tempfile.mkdtemp(prefix="cache-test-"), []
        self.pg, self.redis = SERVERS["pg"], SERVERS["redis"]

    def tearDown(self):
        codes = [a.stop() for a in self.apps]
        shutil.rmtree(self.dir, ignore_errors=True)
        self.assertEqual([c for c in codes if c], [])

    def start(self, n, server=True, redis=True, **env):
        """n processes on one new database"""
        if server:
            database = f"c{next(Case.names)}"
            self.pg.sql(f"CREATE DATABASE {database}")
            env["DATABASE_URL"] = self.pg.url(database)
            self.database = database
        if redis:
            env["REDIS_URL"] = self.redis.url(3)
        env.setdefault("REDIS_TIMEOUT_MS", str(TIMEOUT_MS))
        apps = [api_test.App(self.dir, env) for _ in range(n)]
        self.apps += apps
        if server and redis:
            for a in apps:
                wait_for(lambda: self.metric(a, "redis_up") == 1, 10)
        return apps

    def metric(self, app, name, **labels):
        return metric(request(app.port, "GET", "/metrics")[2].decode(), name, **labels)

    def results(self, app):
        text = request(app.port, "GET", "/metrics")[2].decode()
        return {r: metric(text, "cache_requests_total", result=r)
                for r in ("hit", "redis", "coalesced", "miss", "stale", "bypass")}

    def answer(self, app, path="/feedback", method="GET"):
        """(status, fields, body) that the cache was asked for. When the database does not say within 0.1 s what is
        the newest, as on a busy machine, the cache is passed by and stays as it is: then it is asked again."""
        def asked():
            """an answer by way of the cache"""
            got = request(app.port, method, path)
            return got[1]["Cache-Status"] != "feedback; fwd=bypass" and got
        status, fields, data = wait_for(asked)
        return status, fields, json.loads(data) if data else None

    def status(self, app, path="/feedback"):
        return self.answer(app, path)[1]["Cache-Status"]


class Answers(Case):
    def contract(self, server):
        a, b = self.start(2, server, redis=False)
        self.assertEqual(self.status(a), "feedback; fwd=uri-miss; stored")
        self.assertEqual(self.status(a), "feedback; hit")
        made = a.create("one")
        self.assertEqual(self.status(a), "feedback; fwd=uri-miss; stored")
        status, headers, items = self.answer(a)
        self.assertEqual((status, items, headers["X-Total-Count"]), (200, [made], "1"))
        # a change by another process is no secret
        for change in (lambda: b.call("PUT", f"/feedback/{made['id']}", {"message": "other"}),
                       lambda: b.create("two"), lambda: b.call("DELETE", f"/feedback/{made['id']}")):
            change()
            want = b.call("GET", "/feedback")[2]
            self.assertEqual(self.answer(a)[2], want)
            self.assertEqual(self.status(a), "feedback; hit")
        # pages are kept apart, and Link is made for each path anew
        b.create("three")
        self.assertNotIn("hit", self.status(a, "/feedback?limit=1"))
        for path in ("/feedback?limit=1", "/v1/feedback?limit=1"):
            status, headers, items = self.answer(a, path)
            self.assertEqual((len(items), headers["Cache-Status"]), (1, "feedback; hit"))
            self.assertTrue(headers["Link"].startswith(f"<{path.split('?')[0]}?limit=1&before="), headers["Link"])
        status, headers, data = self.answer(a, "/feedback?limit=1", "HEAD")
        self.assertEqual((status, data, headers["Cache-Status"]), (200, None, "feedback; hit"))

    def test_on_a_file(self):
        self.contract(server=False)

    def test_on_a_server(self):
        self.contract(server=True)

    def validators(self, server, **env):
        a, b = self.start(2, server, redis=False, **env)
        made = a.create("one")
        _, headers, _ = a.call("GET", "/feedback")
        tag = headers["ETag"]
        self.assertRegex(tag, r'^"[0-9a-f]{16}"$')
        for have in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            for app in (a, b):
                status, headers, body = app.call("GET", "/feedback", headers={"If-None-Match": have})
                self.assertEqual((status, body, headers["ETag"], headers["Cache-Control"], headers["Vary"]),
                                 (304, None, tag, "no-cache", "Origin"), have)
                self.assertNotIn("Content-Type", headers)
        self.assertEqual(a.call("GET", "/feedback?limit=5", headers={"If-None-Match": tag})[0], 200)
        b.call("PUT", f"/feedback/{made['id']}", {"message": "x"})
        status, headers, items = a.call("GET", "/feedback", headers={"If-None-Match": tag})
        self.assertEqual((status, items[0]["message"]), (200, "x"))
        self.assertNotEqual(headers["ETag"], tag)

    def test_a_client_that_has_the_list_gets_304_on_a_file(self):
        self.validators(server=False)

    def test_a_client_that_has_the_list_gets_304_on_a_server(self):
        self.validators(server=True)

    def test_without_a_cache_validators_are_the_same_and_nothing_is_kept(self):
        self.validators(server=True, CACHE_TTL_S="0")
        _, headers, _ = self.apps[0].call("GET", "/feedback")
        self.assertNotIn("Cache-Status", headers)
        self.assertIsNone(self.metric(self.apps[0], "cache_entries"))

    def test_what_is_kept_is_bounded_and_ends_with_its_time(self):
        a, = self.start(1, server=False, redis=False, CACHE_TTL_S="1", CACHE_SIZE="64K")
        for i in range(40):
            a.create(f"entry {i}")
        for i in range(2, 40):
            self.answer(a, f"/feedback?before={i}")
        text = request(a.port, "GET", "/metrics")[2].decode()
        self.assertLessEqual(metric(text, "cache_bytes"), 65536)
        self.assertEqual(metric(text, "cache_bytes_max"), 65536)
        self.assertGreater(metric(text, "cache_evictions_total"), 0)
        wait_for(lambda: self.status(a, "/feedback?limit=3") == "feedback; hit", 10)  # two requests within a second
        time.sleep(1.05)
        self.assertEqual(self.status(a, "/feedback?limit=3"), "feedback; fwd=uri-miss; stored")

    def test_settings_that_make_no_sense_are_refused(self):
        for env in ({"CACHE_SIZE": "1K"}, {"CACHE_SIZE": "lots"}, {"CACHE_TTL_S": "x"}, {"REDIS_URL": "http://x"},
                    {"REDIS_URL": "redis://x?ca=/nowhere"}, {"REDIS_TIMEOUT_MS": "0"}):
            with self.assertRaises(AssertionError) as refused:
                api_test.App(self.dir, env)
            self.assertIn(list(env)[0], str(refused.exception))


class Freshness(Case):
    """Whoever has been answered sees his write in the next list, through whatever process."""

    def hammer(self, apps, seconds=2.5, threads=6):
        over, errors, turns = time.monotonic() + seconds, [], [0] * threads

        def one(t):
            n = 0
            while time.monotonic() < over and not errors:
                n += 1
                write, read = apps[n % len(apps)], apps[(n // 2 + t) % len(apps)]
                made = write.create(f"t{t} n{n}")
                items = {i["id"]: i["message"] for i in read.call("GET", "/feedback?limit=100")[2]}
                if items.get(made["id"]) != made["message"]:
                    errors.append(f"created {made['id']}, read {max(items, default=0)}")
                write.call("PUT", f"/feedback/{made['id']}", {"message": "changed"})
                items = {i["id"]: i["message"] for i in read.call("GET", "/feedback?limit=100")[2]}
                if items.get(made["id"]) != "changed":
                    errors.append(f"changed {made['id']}, read {items.get(made['id'])}")
                write.call("DELETE", f"/feedback/{made['id']}")
                _, headers, items = read.call("GET", "/feedback?limit=100")
                if made["id"] in [i["id"] for i in items]:
                    errors.append(f"deleted {made['id']} is there: {headers['Cache-Status']}")
                turns[t] = n

        def reader():  # makes hits, flights and waiters
            while time.monotonic() < over:
                for a in apps:
                    a.call("GET", "/feedback?limit=100")

        everybody = [threading.Thread(target=one, args=(t,)) for t in range(threads)]
        everybody += [threading.Thread(target=reader) for _ in range(3)]
        for t in everybody:
            t.start()
        for t in everybody:
            t.join()
        self.assertEqual(errors[:3], [])
        self.assertGreater(sum(turns), threads)
        return {k: sum(self.results(a)[k] for a in apps) for k in self.results(apps[0])}

    def test_two_processes_on_one_file(self):
        got = self.hammer(self.start(2, server=False))
        self.assertGreater(got["hit"], 0)

    def test_two_processes_on_one_server(self):
        got = self.hammer(self.start(2, redis=False))
        self.assertGreater(got["hit"] + got["coalesced"], 0)

    def test_two_processes_with_redis_that_comes_and_goes(self):
        apps, over = self.start(2), threading.Event()

        def chaos():
            while not over.wait(0.3):
                self.redis.freeze()
                over.wait(0.25)
                self.redis.freeze(False)
                over.wait(0.3)
                self.redis.kill()
                self.redis.start()

        t = threading.Thread(target=chaos)
        t.start()
        try:
            self.hammer(apps, 4.0)
        finally:
            over.set()
            t.join()

    def test_a_database_that_is_restored_does_not_bring_old_lists_back(self):
        a, = self.start(1)
        a.create("one")
        self.pg.sql("CREATE TABLE kept AS TABLE feedback; CREATE TABLE kept_total AS TABLE feedback_total", self.database)
        one = a.call("GET", "/feedback")[2]
        a.create("two")
        self.assertEqual(len(a.call("GET", "/feedback")[2]), 2)
        # back to the copy, then another change: never the number that "two" had
        self.pg.sql("DELETE FROM feedback; INSERT INTO feedback SELECT * FROM kept; DELETE FROM feedback_total;"
                    "INSERT INTO feedback_total SELECT * FROM kept_total", self.database)
        self.assertEqual(a.call("GET", "/feedback")[2], one)
        a.create("three")
        self.assertEqual([i["message"] for i in a.call("GET", "/feedback")[2]], ["three", "one"])


class Shared(Case):
    def test_one_process_fetches_for_all_and_hears_of_changes(self):
        a, b = self.start(2)
        rounds = itertools.count()

        def through_redis():
            """what one process fetched is given by the other"""
            # A new list each time: one that Redis, which has 20 ms, gave too late is the other's own from then on.
            a.create(f"round {next(rounds)}")
            self.assertEqual(self.status(a), "feedback; fwd=uri-miss; stored")
            return self.status(b) == "feedback; hit; detail=redis"
        wait_for(through_redis, 60)
        self.assertEqual(self.status(b), "feedback; hit")
        self.assertEqual(b.call("GET", "/feedback")[2], a.call("GET", "/feedback")[2])
        heard = self.metric(b, "cache_changes_heard_total")

        def hears():
            """the other process hears of a change; what Redis is told may be lost"""
            a.create(f"round {next(rounds)}")
            return self.metric(b, "cache_changes_heard_total") > heard
        wait_for(hears, 30, 0.2)
        # what is kept there ends with its time, and is of this build only
        names = self.redis_keys()
        self.assertTrue(any(name.endswith(":0:100:v1") for name in names), names)
        for name in names:
            self.assertRegex(name, r"^feedback:list:[0-9a-f]{16}:[0-9a-f]{16}:\d+:\d+:v1$")

    def redis_keys(self):
        import socket
        with socket.create_connection(("127.0.0.1", self.redis.port), 5) as s:
            f = s.makefile("rb")
            for words in (("AUTH", self.redis.password), ("SELECT", "3"), ("KEYS", "feedback:list:*")):
                s.sendall(self.redis.encode(*words))
                got = self.redis.read(f)
            return got

    def test_what_somebody_else_wrote_there_is_not_believed(self):
        a, b = self.start(2)
        a.create("one")
        want = self.answer(a)[2]
        import socket
        for name in wait_for(self.redis_keys):
            with socket.create_connection(("127.0.0.1", self.redis.port), 5) as s:
                f = s.makefile("rb")
                for words in (("AUTH", self.redis.password), ("SELECT", "3"), ("SET", name, "1 0 99\n[]\n")):
                    s.sendall(self.redis.encode(*words))
                    self.redis.read(f)
        self.assertEqual(b.call("GET", "/feedback")[2], want)

    def test_many_who_ask_at_once_are_one_question(self):
        a, = self.start(1, redis=False)
        for i in range(50):
            a.create(f"entry {i}")

        def counted():
            return self.metric(a, "database_query_seconds_count", server="primary"), self.results(a)

        def at_once():
            """320 questions, none of which the database kept waiting so long that the cache was passed by"""
            asked, before = counted()
            with concurrent.futures.ThreadPoolExecutor(32) as ex:
                self.assertEqual(set(ex.map(lambda _: len(a.call("GET", "/feedback")[2]), range(320))), {50})
            asked, by = counted()[0] - asked, {k: n - before[k] for k, n in self.results(a).items()}
            return by["bypass"] == 0 and (asked, by)
        asked, by = wait_for(at_once, 60)
        self.assertLess(asked, 300)  # each would have been one, and were checks shared by nobody, 320
        self.assertGreater(by["hit"] + by["coalesced"], 300)


class Faults(Case):
    def under_load(self, fault, seconds=5):
        a, b = self.start(2)
        for i in range(20):
            a.create(f"entry {i}")
        quiet = Load(a.port, rate=150, seconds=1, posts=10, connections=16).result()
        load = Load(a.port, rate=150, seconds=seconds, posts=10, connections=16)
        time.sleep(0.5)
        try:
            fault()
        finally:
            got = load.result()
        after = Load(a.port, rate=150, seconds=1, posts=10, connections=16).result()
        self.assertEqual((got["failed_get"], got["failed_post"], got["connect_errors"]), (0, 0, 0), got)
        self.assertEqual(set(got["status"]), {"200", "201"})
        by = self.results(a)
        found = sum(by[r] for r in ("hit", "redis", "coalesced"))
        print(f"# {got['requests']} requests, a tenth of them creates, 0 failed; lists from the cache "
              f"{100 * found / sum(by.values()):.0f} %; p95 {got['p95_us'] / 1000:.1f} ms, longest "
              f"{got['max_us'] / 1000:.0f} ms (without a fault {quiet['max_us'] / 1000:.0f} ms)", flush=True)
        # Nobody waited for Redis longer than its time, give or take what a busy machine does anyway, before and
        # afterwards: it was away for 2 and for 3 s of 5.
        if not SANITIZED:
            anyway = max(quiet["p95_us"], after["p95_us"])
            self.assertLess(got["max_us"], 1000000, (quiet, got, after))
            self.assertLess(got["p95_us"], TIMEOUT_MS * 1000 + 3 * anyway + 100000, (quiet, got, after))
        return a

    def test_redis_is_killed_and_comes_back(self):
        def fault():
            self.redis.kill()
            time.sleep(2)
            self.redis.start()
        a = self.under_load(fault)
        wait_for(lambda: self.metric(a, "redis_up") == 1, 15)
        self.assertGreaterEqual(self.metric(a, "redis_connections_lost_total"), 1)

    def test_redis_stops_answering_and_goes_on(self):
        def fault():
            self.redis.freeze()
            time.sleep(3)
            self.redis.freeze(False)
        a = self.under_load(fault)
        wait_for(lambda: self.metric(a, "redis_up") == 1, 15)
        late = self.metric(a, "redis_timeouts_total")
        self.assertGreaterEqual(late, 1)
        self.assertLess(late, 30)  # of some 400 requests meanwhile: the others did not wait

    def test_a_redis_that_was_never_there_costs_nothing(self):
        a, = self.start(1, redis=False, REDIS_URL="redis://127.0.0.1:1/0")
        a.create("one")
        for _ in range(20):
            start = time.monotonic()
            self.assertEqual(a.call("GET", "/feedback")[0], 200)
            self.assertLess(time.monotonic() - start, 1)
        self.assertEqual((self.metric(a, "redis_up"), self.metric(a, "redis_timeouts_total")), (0, 0))
        self.assertIn("feedback.redis", [line["name"] for line in a.lines()])

    def test_a_database_that_hangs_is_not_waited_for_by_the_check_alone(self):
        a, = self.start(1, redis=False, DATABASE_TIMEOUT="1500")
        a.create("one")
        self.assertEqual(len(a.call("GET", "/feedback")[2]), 1)
        self.pg.freeze()
        try:
            start = time.monotonic()
            status, _, body = a.call("GET", "/feedback")
            self.assertEqual(status, 503, body)
            self.assertLess(time.monotonic() - start, 6)
        finally:
            self.pg.freeze(False)
        wait_for(lambda: a.call("GET", "/feedback")[0] == 200, 15)


if __name__ == "__main__":
    main()
