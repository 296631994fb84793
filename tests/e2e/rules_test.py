#!/usr/bin/env python3
"""Rules: the same verdicts as promtool's over files of our own; and an alert of headgate.yaml that reaches a
webhook, over kill -9 of observe and of control, told once."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
from harness import free_port, kill, main, request, wait_for
from hooked import Exporter, Hooked

HEADGATE = os.path.join(harness.BUILD, "headgate")
DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "rules"


def run(*args):
    return subprocess.run(args, capture_output=True, text=True, timeout=120, cwd=DATA)


class Files(unittest.TestCase):
    def setUp(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed")

    def test_tests_of_rules_have_the_verdicts_of_promtool(self):
        verdicts = {}
        for path in sorted(DATA.glob("*_test.yml")):
            theirs, ours = run("promtool", "test", "rules", path.name), run(HEADGATE, "alerts", "test", path.name)
            self.assertEqual(ours.returncode, theirs.returncode, f"{path.name}\n{theirs.stdout}{theirs.stderr}"
                             f"\n--- ours:\n{ours.stdout}{ours.stderr}")
            verdicts.setdefault(ours.returncode, []).append(path.name)
            self.assertTrue(ours.stdout.startswith(f"Unit Testing:  {path.name}\n"))
            self.assertIn("SUCCESS" if ours.returncode == 0 else "FAILED:", ours.stdout)
        self.assertGreaterEqual(len(verdicts[0]), 6)
        self.assertGreaterEqual(len(verdicts[1]), 6)

    def test_what_differs_is_told_as_promtool_tells_it(self):
        ours = run(HEADGATE, "alerts", "test", "bad_late_test.yml").stdout
        self.assertIn("alertname: Held, time: 8m", ours)
        self.assertRegex(ours, r'exp:\[\s+0:\s+Labels:\{alertname="Held", i="a", kind="held"\}\s+Annotations:\{\}')
        self.assertRegex(ours, r"got:\[\]")

    def test_rule_files_have_the_verdicts_of_promtool(self):
        for path in sorted(DATA.glob("*.yml")):
            if path.name.endswith("_test.yml"):
                continue
            theirs, ours = run("promtool", "check", "rules", path.name), run(HEADGATE, "alerts", "lint", path.name)
            self.assertEqual(ours.returncode == 0, theirs.returncode == 0, f"{path.name}\n{theirs.stdout}"
                             f"{theirs.stderr}\n--- ours:\n{ours.stdout}{ours.stderr}")
            if theirs.returncode == 0:
                count = re.search(r"(\d+) rules found", theirs.stdout)[1]
                self.assertTrue(ours.stdout.startswith(f"{count} rule"), (count, ours.stdout))


class Lint(unittest.TestCase):
    def test_three_of_the_architects_seven_rules_are_told_with_what_was_meant(self):
        done = run(HEADGATE, "alerts", "lint", "architect.yml")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "7 rules, 3 notes\n")
        self.assertEqual(re.findall(r"^architect\.yml:(\d+):\d+: warning HG1708: (\w+)", done.stderr, re.M),
                         [("7", "HighErrorRate"), ("21", "HighLatency"), ("27", "HighCPU")])
        self.assertIn("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
                      done.stderr)
        self.assertEqual(run(HEADGATE, "alerts", "lint", "--strict", "architect.yml").returncode, 3)
        # A lint that is wrong about rules that are right is not read twice.
        done = run(HEADGATE, "alerts", "lint", "--strict", "sane.yml")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "275 rules, 0 notes\n", ""))
        self.assertEqual(run(HEADGATE, "alerts", "lint", "broken.yml").returncode, 3)


PLAY = """
version: 1
project: x
apps: {a: {command: sleep 100, replicas: 1}}
alerts:
  rules:
    - {alert: High, expr: 'x > 5', for: 2m, severity: critical}
    - {alert: Low, expr: 'x > 1', severity: warning}
    - {alert: Never, expr: 'count(up == 1) < 1'}
  receivers: {team: {slack: S}, oncall: {pagerduty: P, repeat: 30m}}
  route: {warning: team, critical: [team, oncall]}
  inhibit: [{source: ['severity="critical"'], target: ['severity="warning"']}]
"""
SERIES = "tests:\n  - interval: 1m\n    input_series: [{series: 'x{app=\"shop\"}', values: '0 2 9x10 0x5'}]\n"


class Play(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-rules-"))
        (self.dir / "headgate.yaml").write_text(PLAY)
        (self.dir / "series.yml").write_text(SERIES)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def headgate(self, *args):
        return subprocess.run([HEADGATE, *args], capture_output=True, text=True, timeout=60, cwd=self.dir)

    def test_who_is_told_and_when_is_shown_without_telling_anybody(self):
        done = self.headgate("alerts", "simulate", "alertname=High,severity=critical,app=shop")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split()[:3] for line in done.stdout.splitlines()], [
            ["+30s", "oncall/pagerduty", "firing"], ["+30s", "team/slack", "firing"],
            ["+30m30s", "oncall/pagerduty", "firing"],  # repeat
            ["+1h30s", "oncall/pagerduty", "resolved"], ["+1h30s", "team/slack", "resolved"]])

    def test_series_are_played_through_the_rules_of_the_configuration(self):
        done = self.headgate("alerts", "simulate", "--series", "series.yml")
        self.assertEqual([line.split()[:4] for line in done.stdout.splitlines()], [
            ["+1m30s", "team/slack", "firing", "Low"],
            ["+4m30s", "oncall/pagerduty", "firing", "High"], ["+4m30s", "team/slack", "firing", "High"],
            ["+14m30s", "oncall/pagerduty", "resolved", "High"], ["+14m30s", "team/slack", "resolved", "High"],
            ["+16m30s", "team/slack", "resolved", "Low"]])  # looked at earlier it was inhibited

    def test_an_alert_that_nobody_is_told_of_says_why(self):
        done = self.headgate("alerts", "simulate", "alertname=X,severity=info")
        self.assertEqual(done.stdout, "")
        self.assertIn("no route that takes it names a receiver", done.stderr)

    def test_config_check_shows_notes_and_refuses_mistakes_of_rules_with_their_place(self):
        done = self.headgate("config", "check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"headgate\.yaml:9:\d+: warning HG1708: Never: can never be true")
        (self.dir / "headgate.yaml").write_text(PLAY.replace("x > 5", "x >> 5"))
        done = self.headgate("config", "check")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"headgate\.yaml:7:\d+: error HG1420")
        (self.dir / "headgate.yaml").write_text(PLAY.replace("  receivers", "  import: [none.yml]\n  receivers"))
        done = self.headgate("config", "check")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"headgate\.yaml:10:\d+: error HG\d+.*none\.yml")
        (self.dir / "none.yml").write_text("groups:\n- name: a\n  rules:\n  - alert: A\n    exp: up\n")
        done = self.headgate("config", "check")
        self.assertRegex(done.stderr, r'none\.yml:5:5: error HG1705: unknown key "exp"')

    def test_config_check_refuses_what_control_would_with_its_place(self):
        more = ("  mail: {server: 'smtp://127.0.0.1:25', from: a@example.com}\n"
                "  times: {night: {zone: Europe/Zurich,\n    at: ['22:00-24:00', '00:00-06:00']}}\n")
        good = PLAY + more
        (self.dir / "headgate.yaml").write_text(good)
        self.assertEqual(self.headgate("config", "check").returncode, 0)
        for was, now, caret, what in (  # the place is that of `caret` in the file
                ("['severity=\"warning\"']", "['severity=\"warning\"', 'a~b']", "'a~b'", "a~b"),
                ("['severity=\"critical\"']", "['severity=~\"(\"']", "'severity=~", "severity=~"),
                ("slack: S", "slack: S, text: '{{ .Nope'", "'{{ .Nope'", "template `text` of receiver"),
                ("slack: S", "email: [a@b.ch, nobody]", "nobody", "is no address"),
                ("Europe/Zurich", "Europe/Zurig", "Europe/Zurig", "no time zone"),
                ("00:00-06:00", "06:00-00:00", "'06:00-00:00'", "no time of the day"),
                ("a@example.com", "nobody", "nobody", "is no address"),
                ("warning: team", "routes: [{match: ['a=b', '=x'], to: team}]", "'=x'", "no matcher"),
                ("smtp://127.0.0.1:25", "http://x", "'http://x'", "alerts.mail.server")):
            self.assertIn(was, good)
            text = good.replace(was, now)
            (self.dir / "headgate.yaml").write_text(text)
            done = self.headgate("config", "check")
            before = text[:text.index(caret)]
            place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
            with self.subTest(now):
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertRegex(done.stderr, rf"headgate\.yaml:{place}: error HG\d+: .*{what}")
                told = json.loads(self.headgate("config", "check", "--json").stdout)
                self.assertFalse(told["valid"])
                self.assertEqual([f"{e['line']}:{e['column']}" for e in told["errors"]], [place])
        # All that is wrong at once: a receiver's and a rule's.
        (self.dir / "headgate.yaml").write_text(good.replace("x > 5", "x >> 5").replace("a@example.com", "nobody"))
        told = json.loads(self.headgate("config", "check", "--json").stdout)
        self.assertEqual([e["line"] for e in told["errors"]], [13, 7])


def config(admin, more=""):
    return f"""
version: 1
project: rules
admin: {{listen: 127.0.0.1:{admin}}}
edge: {{workers: 1, listen: {{http: {free_port()}}}}}
apps:
  sleeper: {{command: sleep 1000, replicas: 1}}
alerts:
  settle: 0s
  every: 1s
  rules:
    - alert: SleeperIsUp
      expr: headgate_replica_up{{app="sleeper"}} == 1
      severity: critical
      summary: 'a replica of {{{{ $labels.app }}}} is up, value {{{{ $value }}}}'
  import: [rules/*.yml]
  receivers: {{hooks: {{webhook: HOOK_URL}}}}
  route: {{wait: 0s, interval: 1s, repeat: 1h, critical: hooks, warning: hooks}}
{more}"""


class Alert(Hooked):
    def setUp(self):
        self.admin = free_port()
        own = ("groups:\n- name: own\n  interval: 1s\n  rules:\n"
               "  - {alert: Imported, expr: vector(7), labels: {severity: warning}}\n")
        self.start(config(self.admin), {"HOOK_URL": "/hook"}, {"rules/own.yml": own})
        self.token = self.viewer()

    def api(self, path):
        status, _, text = request(self.admin, "GET", path, headers={"Authorization": f"Bearer {self.token}"})
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def evaluated(self):
        """both alerts fire in the observe process that runs now"""
        try:
            return len(self.api("/api/v1/alerts")["data"]["alerts"]) == 2
        except (AssertionError, OSError):
            return False  # one of the two is being replaced

    def test_alerts_of_rules_are_told_once_over_kills(self):
        wait_for(lambda: self.told("SleeperIsUp") and self.told("Imported"), 60)
        status, labels, notes = self.told("SleeperIsUp")[0]
        self.assertEqual(status, "firing")
        self.assertEqual((labels["app"], labels["severity"]), ("sleeper", "critical"))
        self.assertEqual(notes["summary"], "a replica of sleeper is up, value 1")
        groups = self.api("/api/v1/rules")["data"]["groups"]
        self.assertEqual({g["file"] for g in groups}, {"headgate", "headgate.yaml", "rules/own.yml"})
        rule = next(g for g in groups if g["file"] == "headgate.yaml")["rules"][0]
        self.assertEqual((rule["name"], rule["state"], rule["health"], rule["type"]),
                         ("SleeperIsUp", "firing", "ok", "alerting"))
        self.assertEqual({a["labels"]["alertname"] for a in self.api("/api/v1/alerts")["data"]["alerts"]},
                         {"SleeperIsUp", "Imported"})
        for role in ("observe", "control", "observe"):
            before = self.pid(role)
            kill(before)
            wait_for(lambda: self.pid(role) not in (None, before), 60)
            # it is evaluated again, and control has not forgotten it
            wait_for(self.evaluated, 60)
            wait_for(lambda: "SleeperIsUp" in self.p.run("alerts", check=False).stdout, 60)
        time.sleep(3)  # for a message that must not come
        # The critical one is an incident, of its app, and one only; the warning is none.
        found = json.loads(self.p.run("incidents", "--json").stdout)["incidents"]
        self.assertEqual([(i["app"], i["priority"], i["title"]) for i in found],
                         [("sleeper", "P1", "a replica of sleeper is up, value 1")])
        self.assertEqual(len(self.told("SleeperIsUp")), 1, self.told("SleeperIsUp"))
        self.assertEqual(len(self.told("Imported")), 1)
        # It ends, and that is told as well, once.
        self.p.file.write_text(self.p.file.read_text().replace("== 1", "== 2"))
        self.p.run("reload", "-f", self.p.file)
        wait_for(lambda: len(self.told("SleeperIsUp")) == 2, 60)
        self.assertEqual(self.told("SleeperIsUp")[1][0], "resolved")


ENDS = """
version: 1
project: ends
admin: {{listen: 127.0.0.1:{admin}}}
edge: {{workers: 1, listen: {{http: {http}}}}}
apps:
  sleeper: {{command: sleep 1000, replicas: 1}}
observe:
  targets: [{{job: own, address: "127.0.0.1:{port}", every: 1s}}]
alerts:
  settle: 0s
  import: [rules.yml]
  receivers: {{hooks: {{webhook: HOOK_URL}}}}
  route: {{wait: 0s, interval: 1s, repeat: 1h, to: hooks}}
"""
ENDS_RULES = """groups:
- name: slow
  interval: 10s
  rules:
  - {alert: Broken, expr: broken > 0}
- name: fast
  interval: 1s
  rules:
  - {alert: Working, expr: 'rate(work_total[3s]) > 0'}
  - {alert: Waits, expr: 'stuck > 0', for: 2s}
"""


class End(Hooked):
    """An alert that ends while observe is away."""

    def setUp(self):
        self.admin, self.lines = free_port(), "broken 1\nstuck 1\n"
        self.exporter = Exporter(lambda e: f"{self.lines}work_total {e.scrapes}\n")
        self.start(ENDS.format(admin=self.admin, http=free_port(), port=self.exporter.port),
                   {"HOOK_URL": "/hook"}, {"rules.yml": ENDS_RULES})
        self.token = self.viewer()

    def statuses(self, name):
        return [status for status, _, _ in self.told(name)]

    def evaluated(self):
        _, _, text = request(self.admin, "GET", "/api/v1/rules", headers={"Authorization": f"Bearer {self.token}"})
        return {g["name"]: g["lastEvaluation"] for g in json.loads(text)["data"]["groups"]}["slow"]

    def kill(self, *roles):
        """All of them at once, right after the slow group was evaluated."""
        before = self.evaluated()
        wait_for(lambda: self.evaluated() != before, 60)
        gone = {r: self.pid(r) for r in roles}
        for pid in gone.values():
            kill(pid)
        return gone

    def test_it_is_told_at_once_when_observe_knows_all_that_fires(self):
        wait_for(lambda: all(self.statuses(n) for n in ("Broken", "Working", "Waits")), 60)
        gone = self.kill("observe")
        self.lines = "broken 0\nstuck 1\n"
        began = time.monotonic()
        wait_for(lambda: len(self.statuses("Broken")) == 2, 60)
        self.assertEqual(self.statuses("Broken"), ["firing", "resolved"])
        self.assertNotEqual(self.pid("observe"), gone["observe"])
        # Not before it has looked long enough: two rounds of what comes every 5 s.
        self.assertGreater(time.monotonic() - began, 8)
        # What goes on was never over: not while rates could not be told, not while `for` was waited for.
        for name in ("Working", "Waits"):
            self.assertEqual(self.statuses(name), ["firing"])
        # The same when control is killed with it: what it was told of is in its store.
        self.lines = "broken 1\nstuck 1\n"
        wait_for(lambda: len(self.statuses("Broken")) == 3, 60)
        self.kill("observe", "control")
        self.lines = "broken 0\nstuck 1\n"
        wait_for(lambda: len(self.statuses("Broken")) == 4, 60)
        self.assertEqual(self.statuses("Broken"), ["firing", "resolved"] * 2)
        for name in ("Working", "Waits"):
            self.assertEqual(self.statuses(name), ["firing"])


if __name__ == "__main__":
    main()
