#!/usr/bin/env python3
"""Releases under load, with real processes: each strategy clean to the end without a failed request,
and bad releases that are taken back before the clients notice. Exact counts, printed."""
import json
import random
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, FEEDBACK, LONG, SANITIZED, Load, Platform, kill, main, request, wait_for

RATE = 60 if SANITIZED else 1000 if LONG else 300

CONFIG = FEEDBACK + """    versions:
      bad: {{env: {{FEEDBACK_FAULT: errors}}}}
      slow: {{env: {{FEEDBACK_FAULT: slow}}}}
    rollout:
ROLLOUT
"""

CANARY = """      strategy: canary
      steps: [{{weight: FIRST, wait: 1s}}, {{weight: 50%, wait: 1s}}, {{weight: 100%, wait: 1s}}]
      abort_when: {{error_rate: 5%, p95: 2s}}
      progress_deadline: 20s
      after_promote: {{watch: 2s, keep_previous: 1s}}"""


def config(rollout):
    # With little traffic a tenth of it would prove nothing for a minute.
    return CONFIG.replace("ROLLOUT", rollout).replace("FIRST", "30%" if SANITIZED else "10%")


def say(text):
    print("# " + text, flush=True)


def failed(result):
    return result["failed_get"] + result["failed_post"]


class Deploy:
    """`headgate deploy … --json` in the background; result() is (exit status, document)."""

    def __init__(self, p, *argv, timeout=180):
        self.timeout = timeout
        self.child = subprocess.Popen(
            [str(BUILD / "headgate"), "--data", str(p.data), "deploy", "feedback", "--json", *map(str, argv)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self):
        out, err = self.child.communicate(timeout=self.timeout)
        return self.child.returncode, json.loads(out or "{}"), err


def rollouts(p):
    return json.loads(p.run("rollouts", "list", "--json").stdout)["rollouts"]


def wait_end(p, rollout, seconds=150):
    def ended():
        """the rollout's end"""
        try:
            doc = json.loads(p.run("rollouts", "show", rollout, "--json", check=False).stdout or "{}")
        except json.JSONDecodeError:
            return None
        return doc if doc.get("outcome") else None
    return wait_for(ended, seconds)


# Sanitized, a part of the cases runs: they go the same ways, and each takes five times as long.
fully = unittest.skipIf(SANITIZED, "runs without sanitizers")


class Clean(unittest.TestCase):
    def deploy(self, rollout, *argv, replicas=3):
        with Platform(config(rollout), replicas=replicas) as p, tempfile.NamedTemporaryFile() as acked:
            p.up()
            load = Load(p.port, rate=RATE, seconds=180, acked=acked.name)
            time.sleep(1)
            code, doc, err = Deploy(p, "--env", "ENVIRONMENT=next", *argv).result()
            self.assertEqual(code, 0, f"{err}\n{json.dumps(doc)}")
            self.assertEqual(doc["outcome"] or "promoted", "promoted")
            end = wait_end(p, doc["id"])
            self.assertEqual(end["outcome"], "promoted")
            result = load.stop().result()
            say(json.dumps({"strategy": doc["strategy"], "failed": failed(result), "requests": result["requests"]}))
            self.assertEqual(failed(result), 0, json.dumps(result))
            self.assertEqual(result["finished"], result["requests"])
            wait_for(lambda: {r["release"] for r in p.replicas()} == {doc["new"]["release"]} and p.ready() == replicas)
            return end

    def test_canary_goes_to_the_end_without_a_failed_request(self):
        end = self.deploy(CANARY)
        self.assertEqual([s["state"] for s in end["steps"]], ["done"] * 3)

    def test_rolling_goes_to_the_end_without_a_failed_request(self):
        self.deploy("      strategy: rolling\n      max_surge: 1\n      max_unavailable: 0\n"
                    "      after_promote: {{watch: 1s, keep_previous: 0s}}")

    @fully
    def test_blue_green_goes_to_the_end_without_a_failed_request(self):
        self.deploy("      strategy: blue-green\n      after_promote: {{watch: 2s, keep_previous: 1s}}")

    def test_a_change_of_the_file_starts_a_rollout(self):
        with Platform(config(CANARY)) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=120)
            p.file.write_text(p.file.read_text().replace('LOG_LEVEL: "INFO"', 'LOG_LEVEL: "WARNING"'))
            p.run("reload", "-f", p.file)
            wait_for(lambda: rollouts(p))
            end = wait_end(p, rollouts(p)[0]["id"])
            self.assertEqual(end["outcome"], "promoted")
            self.assertEqual(end["who"], "file")
            self.assertEqual(failed(load.stop().result()), 0)


class Bad(unittest.TestCase):
    """What each kind of bad release costs. Replayable requests: none is seen to fail."""

    def bad(self, *argv, posts=0, seconds=120, rollout=CANARY, cause=None, keys=False, seen=0):
        with Platform(config(rollout)) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=seconds, posts=posts, **({"keys": True} if keys else {}))
            time.sleep(1)
            code, doc, err = Deploy(p, *argv).result()
            self.assertEqual(code, 4, f"{err}\n{json.dumps(doc)}")
            self.assertEqual(doc["outcome"], "rolled_back")
            if cause:
                self.assertIn(doc["cause"], cause)
            time.sleep(1)
            result = load.stop().result()
            say(json.dumps({"release": " ".join(map(str, argv)), "cause": doc["cause"], "back": doc["back"],
                            "users": doc["users"], "clients_failed": failed(result),
                            "requests": result["requests"]}))
            self.assertLessEqual(failed(result), seen, json.dumps(result))
            self.assertTrue(all(r["release"] == doc["old"]["release"] for r in p.replicas() if r["state"] == "ready"))
            self.assertEqual(p.ready(), 3)
            return doc

    def test_always_500_is_gone_in_the_response_that_proves_it(self):
        doc = self.bad("--version", "bad", cause=["evidence"])
        self.assertLessEqual(doc["back"]["failures"], 10)
        self.assertEqual(doc["users"]["seen"], 0)
        first = doc["first_failures"][0]
        self.assertEqual((first["status"], first["path"]), (500, "/feedback"))
        self.assertIn("error", first["body"])

    @fully
    def test_five_percent_errors_are_found(self):
        self.bad("--env", "FEEDBACK_FAULT=errors:5%", cause=["evidence"])

    def test_closed_connections_are_not_seen(self):
        self.bad("--env", "FEEDBACK_FAULT=close", cause=["evidence"])

    @fully
    def test_a_hanging_release_is_not_seen(self):
        self.bad("--env", "FEEDBACK_FAULT=hang", cause=["evidence"])

    @fully
    def test_a_slow_release_is_found_by_its_latency(self):
        self.bad("--version", "slow", cause=["evidence"])

    @fully
    def test_a_release_that_is_never_ready_gets_no_request(self):
        rollout = CANARY.replace("progress_deadline: 20s", "progress_deadline: 4s")
        doc = self.bad("--env", "FEEDBACK_FAULT=unhealthy", rollout=rollout, cause=["deadline", "start_failed"])
        self.assertEqual(doc["users"]["requests_new"], 0)

    @fully
    def test_a_wrong_port_is_never_served(self):
        rollout = CANARY.replace("progress_deadline: 20s", "progress_deadline: 4s")
        doc = self.bad("--command", f"{BUILD}/feedback-app --port 1 # $PORT", rollout=rollout,
                       cause=["deadline", "start_failed", "crash_loop"])
        self.assertEqual(doc["users"]["requests_new"], 0)

    def test_a_release_that_crashes_after_requests_is_taken_back(self):
        self.bad("--env", "FEEDBACK_FAULT=crash:#20", cause=["evidence", "no_ready_replica", "crash_loop"])

    @fully
    def test_keyed_posts_are_rescued_too(self):
        doc = self.bad("--version", "bad", posts=50, keys=True, cause=["evidence"])
        self.assertEqual(doc["users"]["seen"], 0)

    @fully
    def test_posts_without_a_key_cost_at_most_a_few(self):
        doc = self.bad("--version", "bad", posts=100, cause=["evidence"], seen=10)
        self.assertLessEqual(doc["users"]["seen"], 10)

    @fully
    def test_a_release_that_turns_bad_after_promotion_is_taken_back_in_the_watch(self):
        rollout = CANARY.replace("watch: 2s", "watch: 60s").replace("keep_previous: 1s", "keep_previous: 5s")
        with Platform(config(rollout)) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=150, posts=0)
            # A person has it promoted, long before it turns bad, whatever else the machine does.
            deploy = Deploy(p, "--env", "FEEDBACK_FAULT=errors:+15s")
            wait_for(lambda: rollouts(p) and rollouts(p)[0]["phase"] == "step")
            p.run("rollouts", "promote", rollouts(p)[0]["id"], "--full")
            code, doc, err = deploy.result()
            self.assertEqual(code, 0, err)
            end = wait_end(p, doc["id"])
            self.assertEqual(end["outcome"], "rolled_back", json.dumps(end))
            result = load.stop().result()
            say(json.dumps({"after promotion": end["back"], "clients_failed": failed(result)}))
            self.assertEqual(failed(result), 0)


class People(unittest.TestCase):
    def test_abort_pause_promote_and_rollback(self):
        slow_steps = CANARY.replace("wait: 1s", "wait: 10m")
        with Platform(config(slow_steps)) as p:
            p.up()
            load = Load(p.port, rate=RATE // 2, seconds=120, posts=0)
            p.run("deploy", "feedback", "--env", "ENVIRONMENT=next", "--detach")
            wait_for(lambda: rollouts(p)[0]["phase"] == "step")
            rid = rollouts(p)[0]["id"]
            p.run("rollouts", "pause", rid)
            self.assertEqual(rollouts(p)[0]["state"], "paused")
            p.run("rollouts", "resume", rid)
            p.run("rollouts", "promote", rid, "--full")
            wait_for(lambda: rollouts(p)[0]["phase"] in ("watch", "end"))
            wait_end(p, rid)
            began = time.monotonic()
            done = p.run("rollback", "feedback", "--wait", check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            say(f"rollback took {time.monotonic() - began:.2f} s")
            wait_end(p, rollouts(p)[0]["id"])
            self.assertEqual({r["release"] for r in p.replicas() if r["state"] == "ready"}, {1})
            p.run("deploy", "feedback", "--env", "ENVIRONMENT=third", "--detach")
            wait_for(lambda: rollouts(p)[0]["phase"] == "step")
            p.run("rollouts", "abort", rollouts(p)[0]["id"])
            end = wait_end(p, rollouts(p)[0]["id"])
            self.assertEqual((end["outcome"], end["cause"]), ("rolled_back", "person"))
            self.assertEqual(failed(load.stop().result()), 0)

    def test_the_same_release_and_a_quarantined_one_are_refused(self):
        with Platform(config(CANARY)) as p:
            p.up()
            done = p.run("deploy", "feedback", check=False)
            self.assertEqual(done.returncode, 6)
            self.assertIn("HG1520", done.stderr)
            load = Load(p.port, rate=RATE, seconds=60, posts=0)
            self.assertEqual(p.run("deploy", "feedback", "--version", "bad", check=False).returncode, 4)
            done = p.run("deploy", "feedback", "--version", "bad", check=False)
            self.assertEqual(done.returncode, 6)
            self.assertIn("HG1521", done.stderr)
            load.stop().result()

    @fully
    def test_header_match_and_the_rest_by_weight(self):
        match = CANARY.replace("wait: 1s", "wait: 10m").replace(
            "      progress_deadline", "      match: {{header: \"canary: true\"}}\n      progress_deadline")
        with Platform(config(match)) as p:
            p.up()
            p.run("deploy", "feedback", "--env", "FEEDBACK_FAULT=errors:0%", "--detach")
            wait_for(lambda: rollouts(p)[0]["phase"] == "step")
            for _ in range(20):
                self.assertEqual(p.get(headers={"canary": "true"})[0], 200)
            for _ in range(400):
                self.assertEqual(p.get()[0], 200)
            doc = json.loads(p.run("rollouts", "show", rollouts(p)[0]["id"], "--json").stdout)
            self.assertEqual(doc["users"]["forced"], 20)
            share = doc["weight"]["actual"]  # of 400 draws: four standard deviations around 10 %
            self.assertTrue(0.04 < share < 0.16, share)


class Killed(unittest.TestCase):
    def test_control_killed_again_and_again_leaves_a_legal_state(self):
        """At random moments of rollouts; every one ends, and no replayable request fails."""
        rounds = 200 if LONG else 9
        rng = random.Random(11)
        with Platform(config(CANARY)) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=280, posts=0)
            kills, n = 0, 0
            while kills < rounds and load.running(spare=20):
                n += 1
                p.run("deploy", "feedback", "--env", f"ENVIRONMENT=n{n}", "--detach", check=False)
                for _ in range(3):
                    time.sleep(rng.random() * 1.5)
                    try:
                        kill(p.pids("control")[0])
                        kills += 1
                    except (AssertionError, IndexError, ProcessLookupError, json.JSONDecodeError):
                        pass

                def answers():
                    """control answers again"""
                    return p.run("rollouts", "list", "--json", check=False).returncode == 0
                wait_for(answers)
                way = rng.choice([None, ["promote", "--full"], ["abort"]])
                if way:
                    p.run("rollouts", way[0], rollouts(p)[0]["id"], *way[1:], check=False)
                end = wait_end(p, rollouts(p)[0]["id"], 150)
                self.assertIn(end["outcome"], ("promoted", "rolled_back"), json.dumps(end))
            result = load.stop().result()
            say(f"{kills} kills of control in {n} rollouts: {failed(result)} of {result['requests']} requests failed")
            self.assertEqual(failed(result), 0, json.dumps(result))
            p.wait_ready(3)


if __name__ == "__main__":
    main()
