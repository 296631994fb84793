#!/usr/bin/env python3
"""kill -9 of every process, in turn and in pairs, while a load generator runs: exact counts."""
import itertools
import json
import signal
import tempfile
import time
import unittest

from harness import LONG, SANITIZED, Load, Platform, alive, kill, main, request, wait_for

RATE = 100 if SANITIZED else 1000 if LONG else 400


def stored(port):
    """All messages the app holds, by walking the pages."""
    found, before = set(), ""
    while True:
        _, _, body = request(port, "GET", f"/feedback?limit=1000{before}", timeout=30)
        page = json.loads(body)
        found.update(row["message"] for row in page)
        if len(page) < 1000:
            return found
        before = f"&before={page[-1]['id']}"


class CrashDomains(unittest.TestCase):
    def check(self, p, result, acked, edges=0):
        print("# " + json.dumps(result), flush=True)
        self.assertEqual(result["finished"], result["requests"])
        self.assertEqual(result["connect_errors"], 0)
        if edges == 0:
            self.assertEqual(result["failed_get"], 0)
            self.assertEqual(result["status_5xx"] - result["failed_post"] + result["closed"] +
                             result["timeouts"] <= result["failed_post"], True)
        lost = set(open(acked).read().split()) - stored(p.port)
        self.assertEqual(lost, set(), "acknowledged writes were lost")

    def test_control_observe_and_replicas_die_in_turn_and_in_pairs(self):
        with Platform() as p, tempfile.NamedTemporaryFile() as acked:
            p.up()
            victims = ["control", "observe", "replica"]
            rounds = [(v,) for v in victims] + list(itertools.combinations(victims, 2))
            load = Load(p.port, rate=RATE, seconds=150, acked=acked.name)
            for names in rounds:
                time.sleep(0.5)
                pids = [p.replicas()[0]["pid"] if n == "replica" else p.pids(n)[0] for n in names]
                for pid in pids:
                    kill(pid)
                for n, pid in zip(names, pids):
                    if n != "replica":
                        def replaced(n=n, pid=pid):
                            """a replacement of the killed role"""
                            try:
                                now = p.pids(n)
                            except AssertionError:
                                return False
                            return now and pid not in now
                        wait_for(replaced)
                p.wait_ready(3)
            time.sleep(0.5)
            self.assertTrue(load.running(), "there was load to the end")
            self.check(p, load.stop().result(), acked.name)

    def test_a_killed_edge_worker_fails_at_most_what_was_in_flight_on_it(self):
        with Platform(workers=2) as p, tempfile.NamedTemporaryFile() as acked:
            p.up()
            connections = 32
            load = Load(p.port, rate=RATE, seconds=150, acked=acked.name, connections=connections)
            kills = 4
            for n in range(kills):
                time.sleep(1)
                victim = p.pids("edge")[n % 2]
                kill(victim)
                wait_for(lambda: len([x for x in p.pids("edge") if x != victim and alive(x)]) == 2)
            time.sleep(1)
            self.assertTrue(load.running(), "there was load to the end")
            result = load.stop().result()
            self.assertEqual(result["connect_errors"], 0)
            self.assertLessEqual(result["failed_get"] + result["failed_post"], kills * connections)
            print(f"# {kills} workers killed", flush=True)
            self.check(p, result, acked.name, edges=kills)

    def test_a_replica_that_hangs_is_taken_out_and_comes_back(self):
        with Platform() as p, tempfile.NamedTemporaryFile() as acked:
            p.up()
            load = Load(p.port, rate=RATE // 2, seconds=150, acked=acked.name, posts=0, timeout_ms=20000)
            time.sleep(1)
            victim = p.replicas()[0]["pid"]
            kill(victim, signal.SIGSTOP)
            try:
                p.wait_ready(2)
                time.sleep(2)
            finally:
                kill(victim, signal.SIGCONT)
            p.wait_ready(3)
            time.sleep(1)
            self.assertTrue(load.running(), "there was load to the end")
            self.check(p, load.stop().result(), acked.name)

    def test_scaling_reloading_and_restarting_lose_no_request(self):
        with Platform() as p, tempfile.NamedTemporaryFile() as acked:
            p.up()
            load = Load(p.port, rate=RATE, seconds=150, acked=acked.name)
            p.run("scale", "feedback=5")
            p.wait_ready(5)
            p.run("scale", "feedback=2")
            wait_for(lambda: len(p.replicas()) == 2)
            before = {r["pid"] for r in p.replicas()}
            p.run("restart", "feedback")
            wait_for(lambda: p.ready() >= 2 and not before & {r["pid"] for r in p.replicas()})
            release = p.app()["release"]
            p.file.write_text(p.file.read_text().replace('LOG_LEVEL: "INFO"', 'LOG_LEVEL: "WARNING"'))
            p.run("reload", "-f", p.file)
            wait_for(lambda: p.app()["release"] > release and
                     all(r["release"] == p.app()["release"] and r["state"] == "ready" for r in p.replicas()))
            self.assertTrue(load.running(), "there was load to the end")
            result = load.stop().result()
            self.check(p, result, acked.name)
            self.assertEqual(result["failed_get"] + result["failed_post"], 0)


if __name__ == "__main__":
    main()
