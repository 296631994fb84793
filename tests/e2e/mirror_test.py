#!/usr/bin/env python3
"""Copies of requests to a release that no client sees: whatever it does with them, clients have no
failure and wait no longer, the counts are exact, and what differs is told."""
import json
import statistics
import time
import unittest

from harness import FEEDBACK, SANITIZED, Platform, main, request, wait_for
from releases_test import Deploy, say

REQUESTS = 60 if SANITIZED else 300

# The first step has 0 %: copies and nothing else.
SHADOW = FEEDBACK + """    rollout:
      strategy: canary
      steps: [{{weight: 0%, wait: WAIT}}, {{weight: 50%, wait: 1s}}]
      mirror: {{share: SHARE, ignore: [IGNORE]}}
      after_promote: {{watch: 1s, keep_previous: 1s}}
"""


def config(wait="10m", share="100%", ignore=""):
    return SHADOW.replace("WAIT", wait).replace("SHARE", share).replace("IGNORE", ignore)


def shown(p, rollout=1):
    return json.loads(p.run("rollouts", "show", rollout, "--json").stdout)


def lasting(p, n, **more):
    """Milliseconds of each of so many requests, all of them answered 200."""
    took = []
    for _ in range(n):
        since = time.perf_counter()
        status, _, body = p.get(**more)
        took.append((time.perf_counter() - since) * 1000)
        assert status == 200, (status, body)
    return took


class Shadow(unittest.TestCase):
    def under(self, p, *env):
        """A rollout in its first step, with the slot of its trial known to the edge."""
        argv = [word for e in env for word in ("--env", e)]
        p.run("deploy", "feedback", "--detach", *argv)
        def begun():
            """the first step"""
            doc = shown(p)
            return doc["phase"] == "step" and doc["new"]["ready"] >= 1
        wait_for(begun, 60)
        time.sleep(1)

    def counted(self, p, n, differs=False):
        def whole():
            """every copy has ended"""
            m = shown(p)["mirror"]
            return m["copied"] + m["dropped"] >= n
        wait_for(whole, 40)
        # The first differences are read when the state is saved, every 5 s: by then there are some, or none.
        if differs:
            wait_for(lambda: shown(p)["first_differences"], 20)
        else:
            time.sleep(5.5)
        doc = shown(p)
        self.assertEqual(doc["mirror"]["copied"] + doc["mirror"]["dropped"], n, doc["mirror"])
        self.assertEqual(doc["phase"], "step")
        self.assertEqual(doc["weight"]["set"], 0)
        self.assertEqual(doc["users"]["requests_new"], 0)
        self.assertEqual(doc["evidence"]["e"], 1)
        return doc

    def post(self, p, message):
        status, _, body = request(p.port, "POST", "/feedback", {"message": message})
        self.assertEqual(status, 201, body)

    def case(self, *env, ignore="", post=False, n=REQUESTS, differs=False):
        with Platform(config(ignore=ignore)) as p:
            p.up()
            if post:
                self.post(p, "only in the old database")
            before = lasting(p, n)
            self.under(p, *env)
            after = lasting(p, n)
            doc = self.counted(p, n, differs)
            text = p.run("rollouts", "why", 1).stdout
            say(json.dumps({"env": env, "mirror": doc["mirror"], "median_ms_before": round(statistics.median(before), 3),
                            "median_ms_with_copies": round(statistics.median(after), 3),
                            "slowest_ms_with_copies": round(max(after), 1),
                            "first": [(d["kind"], d["at"], d["cause"], d["status_new"]) for d in doc["first_differences"]]}))
            # A hang is 5 s long, slow is 2 s: neither reaches a client. Wide, for a machine at work.
            self.assertLess(statistics.median(after), statistics.median(before) * 3 + 5)
            self.assertLess(max(after), 1500)
            return doc, text

    def test_the_same_release_answers_the_same(self):
        doc, _ = self.case("ENVIRONMENT=next", post=True)
        self.assertEqual(doc["mirror"]["differs"], 0, doc["first_differences"])
        self.assertEqual(doc["first_differences"], [])
        self.assertEqual(doc["mirror"]["share"], 1)

    def test_another_answer_is_told_with_its_place(self):
        doc, text = self.case("DATABASE_URL=sqlite:data/other.db", post=True, differs=True)
        m, first = doc["mirror"], doc["first_differences"]
        self.assertEqual((m["differs"], m["failed"]), (m["copied"], 0))
        self.assertEqual([(d["kind"], d["at"], d["method"], d["path"]) for d in first],
                         [("json", "$[0]", "GET", "/feedback")])
        self.assertIn(f"{m['copied']} answered differently", text)
        self.assertIn("GET /feedback: body at $[0], request", " ".join(text.split()))

    def test_what_may_differ_is_ignored(self):
        doc, _ = self.case("DATABASE_URL=sqlite:data/other.db", post=True, ignore='"$[*]"')
        self.assertEqual(doc["mirror"]["differs"], 0, doc["first_differences"])

    def test_errors_of_the_new_release_reach_no_client(self):
        doc, text = self.case("FEEDBACK_FAULT=errors", differs=True)
        m, first = doc["mirror"], doc["first_differences"]
        self.assertEqual((m["differs"], m["failed"]), (m["copied"], 0))
        self.assertEqual([(d["kind"], d["status_old"], d["status_new"]) for d in first], [("status", 200, 500)])
        self.assertIn("200 became 500", text)

    def test_a_hang_of_the_new_release_reaches_no_client_and_is_bounded(self):
        doc, text = self.case("FEEDBACK_FAULT=hang", differs=True)
        m, first = doc["mirror"], doc["first_differences"]
        # 32 at a time in a worker, 5 s each: the rest is left out.
        self.assertEqual((m["differs"], m["failed"]), (m["copied"], m["copied"]))
        self.assertGreater(m["copied"], 0)
        self.assertGreater(m["dropped"], 0)
        self.assertEqual([(d["kind"], d["cause"]) for d in first], [("no_answer", "timeout")])
        self.assertIn("no answer (timeout)", text)

    def test_what_writes_is_not_done_twice(self):
        with Platform(config()) as p:
            p.up()
            self.under(p, "ENVIRONMENT=next")
            for i in range(20):
                self.post(p, f"once {i}")
            status, headers, _ = p.get()
            self.assertEqual((status, headers["X-Total-Count"]), (200, "20"))
            self.counted(p, 1)

    def test_a_step_of_0_percent_passes_after_its_wait_and_the_rest_is_judged(self):
        with Platform(config(wait="3s", share="50%")) as p:
            p.up()
            deploy = Deploy(p, "--env", "ENVIRONMENT=next")
            seen = set()
            deadline = time.monotonic() + 60
            while deploy.child.poll() is None and time.monotonic() < deadline:
                lasting(p, 20)
                try:
                    doc = shown(p)
                except (AssertionError, ValueError):
                    continue
                seen.add((doc["phase"], doc["weight"]["set"]))
            code, doc, err = deploy.result()
            self.assertEqual(code, 0, err)
            self.assertEqual([s["proof"] for s in doc["steps"]], ["shadow", "evidence"])
            self.assertEqual([s["unproven"] for s in doc["steps"]], [False, False])
            self.assertIn(("step", 0), seen)
            self.assertGreater(doc["mirror"]["copied"], 0)
            self.assertEqual(doc["mirror"]["differs"], 0, doc["first_differences"])
            self.assertEqual(doc["users"]["seen"], 0)


if __name__ == "__main__":
    main()
