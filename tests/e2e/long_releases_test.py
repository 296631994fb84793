#!/usr/bin/env python3
"""Releases in long and hostile runs, with real processes and exact counts, printed: control and edge
workers killed at random moments of rollouts, rollouts of what is the same, and a release that fails
late. Each part runs alone, and shorter, with

    HEADGATE_LONG_RATE=500 HEADGATE_LONG_KILLS=20 HEADGATE_LONG_AA=10 HEADGATE_LONG_LATE=1m \\
        python3 tests/e2e/long_releases_test.py [ControlKilled | EdgeKilled | Same | Late]

Without HEADGATE_TEST_LONG the short figures are the default."""
import collections
import http.client
import json
import os
import pathlib
import random
import re
import socket
import sys
import time
import unittest

from harness import FEEDBACK, LONG, Load, Platform, TapResult, kill, wait_for
from releases_test import Deploy, failed, rollouts, say, wait_end


def figure(name, long, short):
    return type(long)(os.environ.get("HEADGATE_LONG_" + name, long if LONG else short))


RATE = figure("RATE", 500, 300)
CONTROL_KILLS = figure("KILLS", 200, 10)
EDGE_KILLS = figure("EDGE_KILLS", 100, 6)
SAME = figure("AA", 200, 4)
SAME_RATE = figure("AA_RATE", 1000, 500)
LATE = figure("LATE", "15m", "20s")
LATE_RATE = figure("LATE_RATE", 200, 200)
SEED = figure("SEED", 20261126, 1)
CONNECTIONS = 64

ROLLOUT = """    rollout:
      strategy: canary
      steps: [STEPS]
      abort_when: {{error_rate: 5%, p95: 2s}}
      progress_deadline: 60s
      after_promote: {{watch: 1s, keep_previous: 1s}}
"""
SHORT_STEPS = "{{weight: 10%, wait: 1s}}, {{weight: 50%, wait: 1s}}, {{weight: 100%, wait: 1s}}"


def config(steps=SHORT_STEPS):
    return FEEDBACK + ROLLOUT.replace("STEPS", steps)


class Local(http.client.HTTPConnection):
    """HTTP on control's unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def metrics(p):
    """{(name, labels text): value} of /metrics; None while control is being replaced."""
    c = Local(p.data / "control.sock")
    try:
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        c.close()
    found = re.findall(r"^([a-z0-9_:]+)(?:\{(.*)\})? (\S+)$", text, re.M)
    return {(name, labels): float(value) for name, labels, value in found}


def show(p, rollout):
    """A rollout's document; None while control is being replaced."""
    done = p.run("rollouts", "show", rollout, "--json", check=False)
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except json.JSONDecodeError:
        return None


def control_answers(p):
    def answers():
        """control answers again"""
        return p.run("rollouts", "list", "--json", check=False).returncode == 0
    wait_for(answers, 60)


class Moments:
    """Rollouts one after another, good and bad ones, by all strategies, and random moments in them."""

    def __init__(self, p, case):
        self.p, self.case = p, case
        self.rng = random.Random(SEED)
        self.n = 0
        self.ends = collections.Counter()

    def deploy(self):
        """Begins the next rollout; (id, whether it deserves promotion, its name)."""
        self.n += 1
        good = self.rng.random() < 0.5
        strategy = self.rng.choice(["canary", "rolling", "blue-green"])
        argv = ["deploy", "feedback", "--detach", "--strategy", strategy, "--env", f"ENVIRONMENT=n{self.n}"]
        if not good:
            argv += ["--env", "FEEDBACK_FAULT=" + self.rng.choice(["errors", "errors:20%", "close"])]
        before = {r["id"] for r in rollouts(self.p)}
        wait_for(lambda: self.begins(argv, before), 60)
        return rollouts(self.p)[0]["id"], good, ("good " if good else "bad ") + strategy

    def begins(self, argv, before):
        """a rollout that has begun"""
        self.p.run(*argv, check=False)
        done = self.p.run("rollouts", "list", "--json", check=False)
        return done.returncode == 0 and {r["id"] for r in json.loads(done.stdout)["rollouts"]} - before

    def settle(self, rid, good, name):
        """Its end is the one it deserves, and what serves is what the end says."""
        end = wait_end(self.p, rid, 180)
        because = f"{name}, rollout {rid}: {end['outcome']}, {end['cause']}, {end['why']}"
        self.case.assertEqual(end["outcome"], "promoted" if good else "rolled_back", because)
        if not good:
            self.case.assertIn(end["cause"], ("evidence", "no_ready_replica", "crash_loop"), because)
        serves = end["new" if good else "old"]["release"]

        def alone():
            """three replicas of the release that serves, and nothing else"""
            doc = status(self.p)
            return doc and sorted(r["release"] for r in doc if r["state"] == "ready") == [serves] * 3 == \
                [r["release"] for r in doc]
        wait_for(alone, 60)
        seen = wait_for(lambda: metrics(self.p))
        left = [labels for name, labels in seen if name == "headgate_split_weight"]
        self.case.assertEqual(left, [], because)
        self.ends[name] += 1


def status(p):
    """The replicas; None while control is being replaced."""
    try:
        return p.replicas()
    except (AssertionError, json.JSONDecodeError):
        return None


class ControlKilled(unittest.TestCase):
    def weight_is_legal(self, p, rid):
        """What is in the shared memory is what the store says, or 0."""
        def same():
            """the weight in force is the stored one, or 0"""
            doc, seen = show(p, rid), metrics(p)
            if not doc or seen is None:
                return None
            new = f'release="{doc["new"]["release"]}"'
            in_force = [v for (name, labels), v in seen.items() if name == "headgate_split_weight" and new in labels]
            return doc["outcome"] or not in_force or in_force[0] == 0 or \
                abs(in_force[0] - doc["weight"]["set"]) < 1e-5
        return wait_for(same, 30)

    def test_control_killed_at_random_moments_of_rollouts(self):
        with Platform(config()) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=3 * 3600, posts=0, connections=CONNECTIONS)
            moments, kills = Moments(p, self), 0
            while kills < CONTROL_KILLS:
                rid, good, name = moments.deploy()
                for _ in range(4):
                    time.sleep(moments.rng.random() * 1.5)
                    pids = self.control(p)
                    if (show(p, rid) or {}).get("outcome") or not pids or kills == CONTROL_KILLS:
                        break
                    kill(pids[0])
                    kills += 1
                    control_answers(p)
                    self.weight_is_legal(p, rid)
                moments.settle(rid, good, name)
                self.assertTrue(load.running())
            result = load.stop().result()
            say(json.dumps({"control killed": kills, "rollouts": moments.n, "ends": moments.ends,
                            "requests": result["requests"], "failed": failed(result)}))
            self.assertEqual(failed(result), 0, json.dumps(result))
            self.assertEqual(result["finished"], result["requests"])
            self.assertEqual(p.ready(), 3)

    @staticmethod
    def control(p):
        try:
            return p.pids("control")
        except (AssertionError, json.JSONDecodeError):
            return []


def clients_of(pid, port):
    """Connections from clients that a process holds."""
    held = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(fd))
        except OSError:
            pass
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for r in rows if r[1].endswith(f":{port:04X}") and r[3] == "01" and f"socket:[{r[9]}]" in held)


class EdgeKilled(unittest.TestCase):
    def test_edge_workers_killed_at_random_moments_of_rollouts(self):
        with Platform(config(), workers=2) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=3 * 3600, posts=0, connections=CONNECTIONS)
            moments, kills, held = Moments(p, self), 0, 0
            while kills < EDGE_KILLS:
                rid, good, name = moments.deploy()
                for _ in range(4):
                    time.sleep(moments.rng.random() * 1.5)
                    workers = p.pids("edge")
                    if show(p, rid)["outcome"] or kills == EDGE_KILLS:
                        break
                    victim = moments.rng.choice(workers)
                    held += clients_of(victim, p.port)
                    kill(victim)
                    kills += 1
                    wait_for(lambda: victim not in p.pids("edge") and len(p.pids("edge")) == 2)
                moments.settle(rid, good, name)
                self.assertTrue(load.running())
            result = load.stop().result()
            say(json.dumps({"edge workers killed": kills, "rollouts": moments.n, "ends": moments.ends,
                            "requests": result["requests"], "connections on them": held,
                            "failed in flight on them": result["closed"], "failed otherwise": failed(result) - result["closed"],
                            "connections closed while idle": result["closed_idle"],
                            "failed connects": result["connect_errors"]}))
            self.assertEqual(result["connect_errors"], 0)
            # One request at a time on a connection: what failed was in flight on the worker that died.
            self.assertEqual(failed(result), result["closed"], json.dumps(result))
            self.assertLessEqual(result["closed"], held)
            self.assertEqual(result["finished"], result["requests"])
            self.assertEqual(p.ready(), 3)


class Same(unittest.TestCase):
    def test_rollouts_of_the_same_are_never_taken_back(self):
        with Platform(config(), replicas=5) as p:
            p.up()
            load = Load(p.port, rate=SAME_RATE, seconds=2 * 3600, posts=0, connections=CONNECTIONS)
            time.sleep(2)
            back, paused, evidence, times, began = [], [], [], [], time.monotonic()
            for n in range(SAME):
                code, doc, err = Deploy(p, "--env", f"ENVIRONMENT=same{n}", "--timeout", "5m", timeout=400).result()
                end = wait_end(p, doc["id"], 60) if code in (0, 4) else doc
                if end.get("state") == "paused":
                    paused.append(end)
                    p.run("abort", str(doc["id"]))
                    wait_end(p, doc["id"], 60)
                elif end["outcome"] != "promoted":
                    back.append(end)
                    say("taken back: " + json.dumps(end))
                    keep(p)
                self.assertIn(code, (0, 4, 5), err)
                evidence.append(end["evidence"]["e"])
                times.append((end["ended_ms"] - end["created_ms"]) / 1000)
                if n % 10 == 9:
                    say(f"{n + 1} rollouts, {len(back)} taken back, {len(paused)} paused, "
                        f"{time.monotonic() - began:.0f} s")
            result = load.stop().result()
            times.sort()
            say(json.dumps({"rollouts of the same": SAME, "taken back": len(back), "paused": len(paused),
                            "most evidence at the end of one": round(max(evidence), 2),
                            "seconds": {"median": times[len(times) // 2], "most": times[-1]},
                            "requests": result["requests"], "failed": failed(result),
                            "p50_us": result["p50_us"], "p95_us": result["p95_us"], "p99_us": result["p99_us"]}))
            self.assertEqual([e["why"] for e in back], [])
            self.assertEqual([e["why"] for e in paused], [])
            self.assertEqual(failed(result), 0, json.dumps(result))


def keep(p):
    """What the replicas logged last, into the folder HEADGATE_LONG_KEEP, for who looks into it."""
    folder = os.environ.get("HEADGATE_LONG_KEEP")
    if not folder:
        return
    out = p.run("logs", "--json", "--app", "feedback", "--limit", 100000, check=False).stdout
    (pathlib.Path(folder) / f"{os.getpid()}-{time.time():.0f}.log").write_text(out)


def seconds_of(text):
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


class Late(unittest.TestCase):
    def test_a_release_that_fails_late_is_taken_back_at_once(self):
        steps = "{{weight: 10%, wait: 1h}}, {{weight: 100%, wait: 1s}}"
        with Platform(config(steps), replicas=5) as p:
            p.up()
            load = Load(p.port, rate=LATE_RATE, seconds=3600, posts=0, connections=CONNECTIONS)
            time.sleep(2)
            began = time.monotonic()
            deploy = Deploy(p, "--env", f"FEEDBACK_FAULT=errors:+{LATE}", timeout=seconds_of(LATE) + 120)
            code, doc, err = deploy.result()
            took = time.monotonic() - began
            if doc.get("cause") != "evidence" or took < seconds_of(LATE):
                say("not as meant: " + json.dumps(doc))
                keep(p)
            self.assertEqual((code, doc["outcome"], doc["cause"]), (4, "rolled_back", "evidence"), err)
            time.sleep(2)
            result = load.stop().result()
            # The app's own log, as a witness that does not belong to the judge.
            out = p.run("logs", "--json", "--app", "feedback", "--grep", "FEEDBACK_FAULT=errors",
                        "--limit", 10000, check=False).stdout
            lines = [json.loads(x) for x in out.splitlines() if x.startswith("{")]
            say(json.dumps({"fails after": LATE, "rollout seconds": round(took, 1), "back": doc["back"],
                            "users": doc["users"], "failures in the app's log": len(lines),
                            "requests": result["requests"], "clients failed": failed(result), "why": doc["why"]}))
            self.assertEqual(failed(result), 0, json.dumps(result))
            self.assertGreaterEqual(took, seconds_of(LATE))
            self.assertLessEqual(doc["back"]["failures"], 20)
            self.assertLessEqual(doc["back"]["took_ms"], 5000)


def main():
    loader, module = unittest.defaultTestLoader, sys.modules["__main__"]
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    print(f"1..{suite.countTestCases()}", flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
