#!/usr/bin/env python3
"""headgate simulate: a rollout played from a file alone, its exit codes, what it refuses, and how fast."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, SANITIZED, main

FILE = """version: 1
project: e2e
apps:
  feedback:
    command: ./feedback --port $PORT
    health: /health
    replicas: 3
    rollout:
      strategy: canary
      steps: [{weight: 10%, wait: 1s}, {weight: 50%, wait: 1s}, {weight: 100%, wait: 1s}]
      abort_when: {error_rate: 5%, p95: 2s}
      after_promote: {watch: 20s, keep_previous: 5s}
environments:
  staging: {apps: {feedback: {replicas: 2, rollout: recreate}}}
"""


class Simulate(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-simulate-"))
        (self.dir / "headgate.yaml").write_text(FILE)

    def tearDown(self):
        # It wrote nothing, not even a data folder.
        self.assertEqual([p.name for p in self.dir.iterdir()], ["headgate.yaml"])
        shutil.rmtree(self.dir)

    def run_it(self, *argv, status=0, env=None):
        done = subprocess.run([str(BUILD / "headgate"), "simulate", *map(str, argv)], cwd=self.dir, text=True,
                              capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
                              env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def json(self, *argv, status=0):
        doc = json.loads(self.run_it("feedback", "--json", *argv, status=status).stdout)
        self.assertEqual((doc["schema"], doc["exit"]), ("headgate.simulation/1", status))
        return doc

    def test_the_exit_code_tells_the_end(self):
        good = self.json()
        self.assertEqual((good["outcome"], [s["proof"] for s in good["steps"]]), ("promoted", ["evidence"] * 3))
        bad = self.json("--fault", "errors", status=4)
        self.assertEqual((bad["outcome"], bad["cause"], bad["found_by"]), ("rolled_back", "evidence", "edge"))
        self.assertLess(bad["weight_zero_ms"] - bad["first_request_ms"], 500)
        self.assertEqual(bad["failures"]["new"], bad["failures"]["rescued"])
        self.assertEqual(bad["failures"]["seen"], 0)
        self.assertEqual(self.json("--fault", "quiet+1500ms", status=5)["outcome"], "waiting")

    def test_the_timeline_names_time_event_weight_and_evidence_and_the_next_command(self):
        done = self.run_it("feedback", "--version", "bad", "--fault", "errors", status=4)
        for words in ("feedback → bad   canary   3 replicas", "step 1 of 3: 10 %", "weight 0 with this response",
                      "taken back: proven bad", "✖ would be rolled back", "failures answered by the old"):
            self.assertIn(words, done.stdout)
        trip = next(line for line in done.stdout.splitlines() if "weight 0 with this response" in line)
        self.assertRegex(trip, r"^ +\d\.\d{3}s +0 %  \S+ +the proof is complete")
        self.assertEqual(done.stderr.splitlines()[-1],
                         "next: headgate simulate feedback --runs 100, with the same flags")

    def test_no_line_is_wider_than_a_terminal_and_nothing_is_said_by_colour_alone(self):
        faults = ["errors:5%+1500ms..10s", "slow:3x", "crash#200", "outage:40%+1500ms", "control-dies+2s..1m"]
        for argv in ([], *(["--fault", f] for f in faults), ["--runs", "20", "--fault", "errors"],
                     ["--traffic", "ramp 2m to 100 users think 1s; hold 5m; ramp 2m to 200; hold 5m; ramp 2m to 0"]):
            for plain in ([], ["--plain"]):
                done = subprocess.run([str(BUILD / "headgate"), "simulate", "feedback", *argv, *plain], cwd=self.dir,
                                      text=True, capture_output=True, timeout=120,
                                      env={**os.environ, "LC_ALL": "C.UTF-8"})
                self.assertIn(done.returncode, (0, 4, 5))
                wide = [line for line in done.stdout.splitlines() if len(line) > 80]
                self.assertEqual(wide, [], argv)
                self.assertNotIn("\x1b", done.stdout)
                if plain:
                    self.assertTrue(done.stdout.isascii(), done.stdout)
                self.assertRegex(done.stdout, r"would (be promoted|be rolled back|wait)|of 20 runs")

    def test_the_same_seed_gives_the_same_bytes(self):
        argv = ("feedback", "--fault", "errors:5%", "--traffic", "300 users think 500ms", "--json")
        first = self.run_it(*argv, "--seed", 7, status=4).stdout
        self.assertEqual(self.run_it(*argv, "--seed", 7, status=4).stdout, first)
        self.assertNotEqual(self.run_it(*argv, "--seed", 8, status=4).stdout, first)

    def test_many_runs_give_medians_and_ranges(self):
        doc = self.json("--fault", "errors", "--baseline", "0%:1ms/4ms", "--runs", 500, status=4)
        self.assertEqual(doc["ended"], {"promoted": 0, "rolled_back": 500, "waiting": 0})
        self.assertLessEqual(doc["requests_until_zero"]["median"], 50)
        self.assertLessEqual(doc["failures_new"]["median"], 5)
        self.assertLessEqual(doc["failures_new"]["low"], doc["failures_new"]["high"])
        text = self.run_it("feedback", "--fault", "errors", "--runs", 50, status=4).stdout
        self.assertRegex(text, r"rolled back +50 of 50 runs +100 %")
        self.assertIn("MEDIAN", text)

    def test_a_million_users_take_seconds_at_most(self):
        began = time.monotonic()
        doc = self.json("--traffic", "1M users think 200ms")
        self.assertGreater(doc["traffic_most"]["requests_per_second"], 4e6)
        self.assertEqual(doc["traffic_most"]["users"], 1000000)
        self.json("--traffic", "1M users think 200ms", "--fault", "errors:1%", status=4)
        self.json("--traffic", "5M/s", "--fault", "outage:40%+1500ms..1m", status=5)
        took = time.monotonic() - began
        print(f"# three runs of up to 5,000,000 requests/s: {took:.2f} s", flush=True)
        self.assertLess(took, 60 if SANITIZED else 15)

    def test_file_environment_and_strategy_are_those_of_a_deploy(self):
        self.assertEqual(self.json("--environment", "staging")["strategy"], "recreate")
        self.assertEqual(self.json("--environment", "staging")["replicas"], 2)
        doc = self.json("--strategy", "blue-green")
        self.assertEqual((doc["strategy"], doc["steps"]), ("blue-green", []))
        (self.dir / "headgate.yaml").rename(self.dir / "other.yaml")
        self.json("-f", "other.yaml")
        (self.dir / "other.yaml").rename(self.dir / "headgate.yaml")

    def test_what_is_wrong_is_refused_with_its_place_and_a_hint(self):
        for argv, status, words in (
                (("feedback", "--fault", "erors:5%"), 2, '--fault:1:1: error HG1600: there is no fault "erors"'),
                (("feedback", "--fault", "erors:5%"), 2, 'did you mean "errors"?'),
                (("feedback", "--fault", "errors:5x"), 2, "--fault:1:8:"),
                (("feedback", "--traffic", "10/s; hold 5"), 2, "--traffic:1:12:"),
                (("feedback", "--baseline", "20ms/10ms"), 2, "--baseline:1:6:"),
                (("feedback", "--runs", "0"), 2, "--runs is 1 to"),
                (("feedback", "--runs", "many"), 2, "HG1600"),
                (("feedback", "--strategy", "magic"), 2, "HG1600"),
                (("feedback", "more"), 2, "one argument too many"),
                ((), 2, "needs APP"),
                (("feedbak",), 2, 'did you mean "feedback"?'),
                (("feedback", "-f", "none.yaml"), 2, "could not read"),
                (("feedback", "--environment", "moon"), 3, "moon")):
            done = self.run_it(*argv, status=status)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stdout, "")
        (self.dir / "headgate.yaml").write_text(FILE.replace("strategy: canary", "strategy: canry"))
        self.assertRegex(self.run_it("feedback", status=3).stderr, r"headgate\.yaml:9:\d+: error HG")

    def test_help_lists_every_fault(self):
        text = self.run_it("--help").stdout
        for fault in ("errors", "slow", "hang", "close", "crash", "unhealthy", "never-ready", "slow-start",
                      "gate-fails", "outage", "old-unhealthy", "quiet", "control-dies"):
            self.assertRegex(text, rf"\b{re.escape(fault)}\b")
            self.run_it("feedback", "--until", "30s", "--fault", fault, "--json",
                        status=self.json_status("--until", "30s", "--fault", fault))

    def json_status(self, *argv):
        done = subprocess.run([str(BUILD / "headgate"), "simulate", "feedback", "--json", *argv], cwd=self.dir,
                              text=True, capture_output=True, timeout=60)
        self.assertIn(done.returncode, (0, 4, 5), done.stderr)
        return done.returncode


if __name__ == "__main__":
    main()
