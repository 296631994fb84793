#!/usr/bin/env python3
"""The reference systems' ways of releasing, with real processes under load: the `rollout:` of
examples/NAME/headgate.yaml as it stands there, with shorter times, run with the Feedback App in the
place of the system's own. Which rule took a release back is read from `rollouts why --json`."""
import json
import re
import subprocess
import threading
import time
import unittest

from harness import BUILD, FEEDBACK, ROOT, SANITIZED, Load, Platform, main, wait_for
from long_releases_test import Local, show
from releases_test import Deploy, failed, rollouts, say, wait_end

RATE = 80 if SANITIZED else 600
RULES = ("error_rate", "p95_limit", "error_rate_above_stable", "p95_vs_stable")

# Five tests, at once: one argument for the port, then the headers that lead to the new release.
SMOKE = """import concurrent.futures, http.client, sys
def one(path_and_status):
    path, want = path_and_status
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    c.request("GET", path, headers=dict(h.split(": ") for h in sys.argv[2:]))
    return c.getresponse().status == want
tests = [("/feedback", 200), ("/feedback?limit=1", 200), ("/feedback/999999999", 404), ("/health", 200), ("/", 200)]
with concurrent.futures.ThreadPoolExecutor(5) as pool:
    sys.exit(0 if all(pool.map(one, tests)) else 1)
"""


def rollout_of(name, app, **shorter):
    """The `rollout:` of an app in an example, as text; {what: instead}: a pattern and a text."""
    text = (ROOT / "examples" / name / "headgate.yaml").read_text()
    block = re.search(rf"^  {app}:\n(?:    .*\n|\n)*?(    rollout:\n(?:      .*\n)+)", text, re.M).group(1)
    # What is not available in this release, which `up` would refuse.
    block = re.sub(r"^ +(memory|cpu): .*\n|, open_incident: true|^ +after_abort: \{open_incident: true\}\n", "",
                   block, flags=re.M)
    block = block.replace("{weight: 100%}", "{weight: 100%, wait: 1s}")  # it would be 10 s
    for what, instead in shorter.items():
        block, n = re.subn(rf"\b{what}: [^,}}\n]+", f"{what}: {instead}", block)
        assert n, f"{name} has no {what}"
    return block.replace("{", "{{").replace("}", "}}")


class Workflow(unittest.TestCase):
    def platform(self, rollout, headers="", fault=""):
        smoke = "'/usr/bin/python3 {dir}/smoke.py {port} " + headers + "'"
        rollout = re.sub(r"run: \./[a-z]+\.sh( [a-z]+)?", "run: " + smoke, rollout)
        config = FEEDBACK.replace('LOG_LEVEL: "{log_level}"', 'LOG_LEVEL: "{log_level}"' + fault) + rollout
        p = Platform(config)
        (p.dir / "smoke.py").write_text(SMOKE)
        return p


class Devops(Workflow):
    """Canary 10 → 25 → 50 → 100 % with five smoke tests, taken back by each of four triggers."""

    def run_it(self, env, fault="", rate=RATE, warm=3.0, wait="1s"):
        rollout = rollout_of("devops", "backend", wait=wait, watch="1s", keep_previous="1s")
        with self.platform(rollout, '"X-Canary: always"', fault) as p:
            p.up()
            load = Load(p.port, rate=rate, seconds=120, posts=0, connections=64 if rate == RATE else 1000)
            time.sleep(warm)
            code, doc, err = Deploy(p, "--env", env).result()
            why = json.loads(p.run("rollouts", "why", str(doc["id"]), "--json").stdout)["rollout"]
            if code == 0:
                wait_end(p, doc["id"])
            result = load.stop().result()
            self.assertEqual(failed(result), 0, json.dumps(result))
            return code, why, result, err

    def triggered(self, rule, *argv, comparison=None, **more):
        """Taken back by `rule`, or by the comparison with the old release that asks for less than it."""
        code, why, result, err = self.run_it(*argv, **more)
        self.assertEqual((code, why["cause"]), (4, "evidence"), err)
        metrics = [m for m in why["evidence"]["metrics"] if m["enabled"]]
        e = {m["metric"]: m["e"] for m in metrics}
        first = max(metrics, key=lambda m: m["share"] * m["e"])["metric"]
        say(json.dumps({"trigger": rule, "why": why["why"], "back": why["back"], "rules": {r: e[r] for r in RULES},
                        "clients_failed": failed(result), "requests": result["requests"]}))
        self.assertEqual(max(RULES, key=lambda r: e[r]), rule, json.dumps(why["evidence"]))
        self.assertIn(first, (rule, *(comparison or ())))
        self.assertTrue(why["why"].startswith(first + ": "), why["why"])
        self.assertEqual(why["users"]["seen"], 0)
        return why

    def test_clean_to_100_percent(self):
        code, why, result, err = self.run_it("ENVIRONMENT=next")
        self.assertEqual(code, 0, err)
        self.assertEqual([(s["weight"], s["proof"]) for s in why["steps"][:3]],
                         [(w, "evidence") for w in (0.1, 0.25, 0.5)])
        self.assertEqual([g["state"] for g in why["gates"]], ["passed"])
        say(json.dumps({"steps": [s["took_ms"] for s in why["steps"]], "requests": result["requests"]}))

    def test_error_rate_above_5_percent(self):
        self.triggered("error_rate", "FEEDBACK_FAULT=errors")

    @unittest.skipIf(SANITIZED, "needs traffic")
    def test_p95_above_2_s(self):
        # The old release is nearly as slow: only the limit is broken, not 1.5 times the old one.
        self.triggered("p95_limit", "FEEDBACK_FAULT=slow:2100ms", fault=', FEEDBACK_FAULT: "slow:1800ms"', rate=150,
                       warm=4.0)

    @unittest.skipIf(SANITIZED, "needs traffic")
    def test_error_rate_3_points_above_stable(self):
        # By then enough is known of the old release, and its rate + 3 points is less than 5 %. That the
        # new one is worse at all is known sooner.
        self.triggered("error_rate_above_stable", "FEEDBACK_FAULT=errors:+5s", wait="10s", comparison=["errors"])

    def test_latency_above_1_5_times_stable(self):
        why = self.triggered("p95_vs_stable", "FEEDBACK_FAULT=slow:100ms", comparison=["p50", "p95", "p99"])
        self.assertEqual(why["users"]["failed_new"], 0)

    def test_a_failed_smoke_test_takes_it_back(self):
        # One of the five; the users see nothing wrong.
        rollout = rollout_of("devops", "backend", wait="1s", watch="1s", keep_previous="1s")
        with self.platform(rollout, '"X-Canary: always"') as p:
            (p.dir / "smoke.py").write_text(SMOKE.replace('("/", 200)', '("/", 201)'))
            p.up()
            load = Load(p.port, rate=RATE, seconds=60, posts=0)
            code, doc, err = Deploy(p, "--env", "ENVIRONMENT=next").result()
            self.assertEqual((code, doc["cause"]), (4, "gate"), err)
            self.assertEqual(failed(load.stop().result()), 0)


class Architect(Workflow):
    def journal(self, p, kind):
        c = Local(p.data / "control.sock")
        c.request("GET", "/v1/events?after=0&limit=1000")
        found = json.loads(c.getresponse().read())
        c.close()
        return [e for e in found["events"] if e["kind"] == kind]

    def test_blue_green_with_approval_and_the_way_back(self):
        rollout = rollout_of("architect", "api", keep_previous="60s", watch="60s")
        green = {"Host": "green.api.architect.example.com"}
        with self.platform(rollout, '"Host: green.api.architect.example.com"') as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=120, posts=0)
            self.assertEqual(p.get(headers=green)[0], 503)  # there is no green yet
            p.run("deploy", "feedback", "--env", "ENVIRONMENT=green", "--detach")
            rid = rollouts(p)[0]["id"]
            wait_for(lambda: rollouts(p)[0]["state"] == "waiting")
            doc = show(p, rid)
            self.assertEqual([g["state"] for g in doc["gates"]], ["passed"] * 3 + ["waiting"])
            # Everybody sees blue, who knows the address sees green.
            self.assertEqual(p.get(headers=green)[0], 200)
            self.assertEqual(doc["users"]["requests_new"], 0)
            self.assertEqual(doc["weight"]["set"], 0)
            began = time.monotonic()
            p.run("promote")
            wait_for(lambda: rollouts(p)[0]["phase"] == "watch")
            switched = time.monotonic() - began
            wait_for(lambda: show(p, rid)["evidence"]["metrics"][0]["new"]["n"] > 200)
            weights = [e["evidence"]["weight"] for e in self.journal(p, "rollout.weight")]
            self.assertEqual(set(weights), {0.0, 1.0}, weights)
            self.assertEqual(weights.count(1.0), 1, "one switch")
            began = time.monotonic()
            done = p.run("rollback", "feedback", "--wait", check=False)
            back = time.monotonic() - began
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertLess(back, 30)
            wait_for(lambda: {r["release"] for r in p.replicas()} == {doc["old"]["release"]})
            result = load.stop().result()
            say(json.dumps({"switch s": round(switched, 2), "rollback s": round(back, 2),
                            "clients_failed": failed(result), "requests": result["requests"]}))
            self.assertEqual(failed(result), 0, json.dumps(result))


class Watcher(threading.Thread):
    """Counts ready and living replicas as fast as control answers."""

    def __init__(self, p):
        super().__init__(daemon=True)
        self.p, self.done = p, threading.Event()
        self.samples, self.least, self.most = 0, 99, 0

    def run(self):
        c = Local(self.p.data / "control.sock")
        while not self.done.is_set():
            c.request("GET", "/v1/status")
            states = [r["state"] for r in json.loads(c.getresponse().read())["apps"][0]["replicas"]]
            self.samples += 1
            self.least = min(self.least, states.count("ready"))
            # One that drains has been told to go: it is neither surge nor available.
            self.most = max(self.most, sum(s not in ("draining", "stopping", "ending") for s in states))
            time.sleep(0.002)
        c.close()


class Merchant(Workflow):
    def test_a_rolling_update_never_has_fewer_ready_replicas(self):
        rollout = rollout_of("merchant", "api", watch="1s", keep_previous="0s")
        with self.platform(rollout) as p:
            p.up()
            p.wait_ready(3)
            load = Load(p.port, rate=RATE, seconds=120, posts=0)
            watch = Watcher(p)
            watch.start()
            code, doc, err = Deploy(p, "--env", "ENVIRONMENT=next").result()
            self.assertEqual(code, 0, err)
            wait_end(p, doc["id"])
            watch.done.set()
            watch.join()
            result = load.stop().result()
            say(json.dumps({"samples": watch.samples, "least ready": watch.least, "most": watch.most,
                            "clients_failed": failed(result), "requests": result["requests"]}))
            self.assertGreater(watch.samples, 100)
            self.assertEqual((watch.least, watch.most), (3, 4))
            self.assertEqual(failed(result), 0, json.dumps(result))


class Feedback(Workflow):
    def test_header_routing_the_split_and_the_way_back(self):
        rollout = rollout_of("feedback", "feedback", wait="6s", watch="1s", keep_previous="1s", keep_canary="1s")
        with self.platform(rollout) as p:
            p.up()
            load = Load(p.port, rate=RATE, seconds=120, posts=0)
            time.sleep(1)
            p.run("deploy", "feedback", "--env", "ENVIRONMENT=next", "--detach")
            rid = rollouts(p)[0]["id"]
            wait_for(lambda: (show(p, rid) or {}).get("weight", {}).get("set") == 0.1)
            for _ in range(30):
                self.assertEqual(p.get(headers={"canary": "true"})[0], 200)
                self.assertEqual(p.get(headers={"canary": "truer"})[0], 200)  # exact: this one is drawn
            self.assertEqual(show(p, rid)["users"]["forced"], 30)
            wait_for(lambda: show(p, rid)["evidence"]["metrics"][0]["old"]["n"] > 4 * RATE)
            errors = show(p, rid)["evidence"]["metrics"][0]
            new, n = errors["new"]["n"], errors["new"]["n"] + errors["old"]["n"]
            self.assertLess(abs(new - 0.1 * n), 4 * (n * 0.09) ** 0.5, f"{new} of {n}")
            self.assertEqual(wait_end(p, rid)["outcome"], "promoted")
            code, doc, err = Deploy(p, "--env", "FEEDBACK_FAULT=errors:3%").result()
            self.assertEqual((code, doc["cause"]), (4, "evidence"), err)
            result = load.stop().result()
            say(json.dumps({"drawn to the new release": new, "of": n, "3 % errors": doc["back"], "why": doc["why"],
                            "clients_failed": failed(result), "requests": result["requests"]}))
            self.assertEqual(failed(result), 0, json.dumps(result))


class Files(unittest.TestCase):
    def test_the_examples_are_valid_in_every_environment(self):
        for file in sorted((ROOT / "examples").glob("*/headgate.yaml")):
            environments = re.search(r"^environments:\n((?: .*\n|\n)*)", file.read_text() + "\n", re.M)
            names = re.findall(r"^  ([a-z-]+):", environments.group(1), re.M) if environments else []
            for more in [[], *(["--environment", name] for name in names)]:
                done = subprocess.run([str(BUILD / "headgate"), "config", "check", "-f", file, *more],
                                      capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, f"{file} {more}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
