#!/usr/bin/env python3
"""The same configuration, the same alerts, Debian's Alertmanager and Headgate side by side: who is told of what,
in which groups, when, and what the API shows. Routes, matchers, silences and inhibitions are random, in the long test
of a new seed each time; it is printed, HEADGATE_TEST_SEED repeats one. What is different on purpose is in docs/howto/get-notified.md.

Both look at groups half a second after whole seconds, and alerts come and go on whole seconds, so that neither
is asked to decide at the very moment at which something happens."""
import collections
import contextlib
import http.server
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

from harness import Platform, free_port, main, request, wait_for

ALERTMANAGER = shutil.which("prometheus-alertmanager")
LONG = bool(os.environ.get("HEADGATE_TEST_LONG"))
SEED = int(os.environ.get("HEADGATE_TEST_SEED") or (random.SystemRandom().randrange(1 << 30) if LONG else 1))
NAMES = ["severity", "team", "env", "host", "zone"]
VALUES = {"severity": ["critical", "warning", "info", ""], "team": ["db", "web", 'q"uo', "back\\slash", ""],
          "env": ["prod", "dev", "test", ""], "host": ["db-1", "db-2", "web-1", "üml", ""], "zone": ["a,b", "{x}", "a b", ""]}


class Sink:
    """Takes webhooks of both: (side, receiver, seconds, body)."""

    def __init__(self):
        self.got, self.port = [], free_port()
        me = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                at = time.time()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                _, side, receiver = self.path.split("/")
                me.got.append((side, receiver, at, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size, daemon_threads = 512, True

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Matcher:
    def __init__(self, rnd, name=None):
        self.name = name or rnd.choice(NAMES)
        self.op = rnd.choice(["=", "=", "!=", "=~", "!~"])
        value = rnd.choice(VALUES[self.name])
        if "~" in self.op:
            value = rnd.choice(["db.*", "web|db", ".*", ".+", "", "prod|", "(crit|warn).*", "[^a]+", "a.b", "db-[12]", "W.*",
                                "q\"uo", "back\\\\slash", "back.slash", "d", "x{0}.*", "ü?ml"])
        self.value = value

    def text(self):
        return self.name + self.op + '"' + self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    def api(self):
        return {"name": self.name, "value": self.value, "isRegex": "~" in self.op, "isEqual": self.op[0] == "="}


class Config:
    """A random one, in both languages. `receivers` names; routes two levels deep below the root."""

    def __init__(self, rnd, wait="1500ms", interval="2s", repeat="1m1s", times=None):
        self.rnd, self.receivers = rnd, [f"r{i}" for i in range(5)]
        self.wait, self.interval, self.repeat, self.times = wait, interval, repeat, times or {}
        self.quiet = "r4"  # does not want ends
        self.routes = [self.route(1) for _ in range(rnd.randrange(2, 7))]
        self.inhibit = []
        for _ in range(rnd.randrange(0, 4)):
            self.inhibit.append({"source": [Matcher(rnd).text() for _ in range(rnd.randrange(1, 3))],
                                 "target": [Matcher(rnd).text() for _ in range(rnd.randrange(1, 3))],
                                 "equal": rnd.sample(NAMES + ["nowhere"], rnd.randrange(0, 3))})

    def route(self, level):
        rnd = self.rnd
        r = {"match": [Matcher(rnd).text() for _ in range(rnd.randrange(1, 3))], "continue": rnd.random() < 0.4}
        if rnd.random() < 0.8:
            r["to"] = rnd.choice(self.receivers)
        if rnd.random() < 0.5:
            r["group_by"] = rnd.choice([["..."], ["alertname"], ["alertname", "env"], ["team", "nowhere"], NAMES])
        if self.times and rnd.random() < 0.5:
            r[rnd.choice(["mute", "active"])] = rnd.sample(list(self.times), 1)
        if level == 1:
            r["routes"] = [self.route(2) for _ in range(rnd.randrange(0, 4))]
        return r

    def ours_route(self, r):
        out = {"match": r["match"], "continue": r["continue"]}
        out.update({k: r[k] for k in ("to", "group_by", "mute", "active") if k in r})
        if r.get("routes"):
            out["routes"] = [self.ours_route(x) for x in r["routes"]]
        return out

    def their_route(self, r):
        out = {"matchers": r["match"], "continue": r["continue"]}
        for ours, theirs in (("to", "receiver"), ("group_by", "group_by"), ("mute", "mute_time_intervals"),
                             ("active", "active_time_intervals")):
            if ours in r:
                out[theirs] = r[ours]
        out["routes"] = [self.their_route(x) for x in r.get("routes", [])]
        return out

    def ours(self, admin):
        alerts = {"settle": "0s", "receivers": {n: {"webhook": n.upper(), "resolved": n != self.quiet} for n in self.receivers},
                  "route": {"to": "r0", "group_by": ["alertname"], "wait": self.wait, "interval": self.interval,
                            "repeat": self.repeat, "routes": [self.ours_route(r) for r in self.routes]},
                  "inhibit": self.inhibit, "times": {n: dict(t) for n, t in self.times.items()}}
        return json.dumps({"version": 1, "project": "diff", "admin": {"listen": f"127.0.0.1:{admin}"},
                           "edge": {"workers": 1, "listen": {"http": free_port()}},
                           "apps": {"sleeper": {"command": "sleep 1000", "replicas": 1}}, "alerts": alerts}, indent=1)

    def theirs(self, sink):
        times = []
        for name, t in self.times.items():
            one = {"times": [dict(zip(("start_time", "end_time"), at.split("-"))) for at in t["at"]]} if "at" in t else {}
            for ours, theirs in (("weekdays", "weekdays"), ("days", "days_of_month"), ("months", "months"), ("years", "years")):
                if ours in t:
                    one[theirs] = t[ours]
            if "zone" in t:
                one["location"] = t["zone"]
            times.append({"name": name, "time_intervals": [one]})
        return json.dumps({
            "route": {"receiver": "r0", "group_by": ["alertname"], "group_wait": self.wait, "group_interval": self.interval,
                      "repeat_interval": self.repeat, "routes": [self.their_route(r) for r in self.routes]},
            "receivers": [{"name": n, "webhook_configs": [{"url": f"http://127.0.0.1:{sink}/theirs/{n}",
                                                           "send_resolved": n != self.quiet}]} for n in self.receivers],
            "inhibit_rules": [{"source_matchers": i["source"], "target_matchers": i["target"], "equal": i["equal"]}
                              for i in self.inhibit],
            "time_intervals": times}, indent=1)


def labels_of(rnd, name):
    return {"alertname": name, **{n: v for n in NAMES if (v := rnd.choice(VALUES[n]))}}


def rfc3339(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def instant(text):
    """One form of a time: with fractions as far as there are any"""
    return text.removesuffix("Z").rstrip("0").rstrip(".") if "." in text else text.removesuffix("Z")


def key(labels):
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


@unittest.skipUnless(ALERTMANAGER, "prometheus-alertmanager is not installed")
class Differential(unittest.TestCase):
    def setUp(self):
        self.sink, self.admin, self.their_port = Sink(), free_port(), free_port()
        self.p, self.them = Platform(), None
        self.p.__enter__()
        self.log = (self.p.dir / "am.log").open("w")

    def tearDown(self):
        if self.them:
            self.them.kill()
            self.them.wait()
        self.log.close()
        self.p.__exit__(None, None, None)
        self.sink.stop()

    def start(self, config):
        """Both with the configuration, the first time; later they read it anew."""
        self.p.file.write_text(config.ours(self.admin))
        theirs = self.p.dir / "am.yml"
        theirs.write_text(config.theirs(self.sink.port))
        if self.them:
            self.p.run("reload", "-f", self.p.file)
            status, _, text = request(self.their_port, "POST", "/-/reload")
            self.assertEqual(status, 200, text)
            return
        for n in config.receivers:
            self.p.run("secret", "set", n.upper(), input=f"http://127.0.0.1:{self.sink.port}/ours/{n}")
        self.p.up()
        self.token = self.p.run("token", "create", "ci", "--role", "deployer").stdout.split()[-1]
        self.them = subprocess.Popen(
            [ALERTMANAGER, f"--config.file={theirs}", f"--storage.path={self.p.dir}/am",
             f"--web.listen-address=127.0.0.1:{self.their_port}", "--cluster.listen-address="],
            stdout=subprocess.DEVNULL, stderr=self.log)
        wait_for(self.their_ready, 20)

    def their_ready(self):
        try:
            return request(self.their_port, "GET", "/-/ready")[0] == 200
        except OSError:
            return self.them.poll() is not None and self.fail((self.p.dir / "am.log").read_text())

    def call(self, side, method, path, body=None):
        ours = side == "ours"
        status, _, text = request(self.admin if ours else self.their_port, method, path, body,
                                  {"Authorization": f"Bearer {self.token}"} if ours else None)
        return status, json.loads(text) if text else None

    def both(self, method, path, body=None):
        """(ours, theirs); their statuses are alike"""
        ours, theirs = self.call("ours", method, path, body), self.call("theirs", method, path, body)
        self.assertEqual(ours[0] // 100, theirs[0] // 100, f"seed {SEED} {method} {path} {body}: {ours} {theirs}")
        return ours[1], theirs[1]

    # ---- what the API shows ----

    def shown(self, side, query=""):
        """What each alert is: its receivers, state, and by how many silences, whether inhibited."""
        out = {}
        for a in self.call(side, "GET", "/api/v2/alerts" + query)[1]:
            s = a["status"]
            out[key(a["labels"])] = (sorted({r["name"] for r in a["receivers"]}), s["state"].replace("unprocessed", "active"),
                                     len(s["silencedBy"]), bool(s["inhibitedBy"]), a["fingerprint"], key(a["annotations"]),
                                     a["startsAt"])
        return out

    def groups(self, side, query=""):
        return sorted((key(g["labels"]), g["receiver"]["name"], sorted(key(a["labels"]) for a in g["alerts"]))
                      for g in self.call(side, "GET", "/api/v2/alerts/groups" + query)[1])

    def same(self, what, ours, theirs):
        if ours == theirs:
            return
        if isinstance(ours, dict):
            one = next(k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k))
            self.fail(f"seed {SEED} {what}: {one}\nours   {ours.get(one)}\ntheirs {theirs.get(one)}")
        first = next((x for x in ours + theirs if ours.count(x) != theirs.count(x)), None)
        self.fail(f"seed {SEED} {what}: {len(ours)} and {len(theirs)}, one has {first}")

    def test_routes_silences_and_inhibitions_are_the_same(self):
        print(f"# seed {SEED}")
        for round_ in range(12 if LONG else 4):
            rnd = random.Random(SEED * 100 + round_)
            self.start(Config(rnd, wait="30s", interval="5m", repeat="4h"))
            now = time.time()
            alerts = [{"labels": labels_of(rnd, f"A{round_}_{i % 7}"), "annotations": {"n": str(i)},
                       "startsAt": rfc3339(now - 60), "endsAt": rfc3339(now + 3600)} for i in range(200)]
            alerts[0]["labels"]["empty"] = ""
            self.both("POST", "/api/v2/alerts", alerts)
            for i in range(6):
                body = {"matchers": [Matcher(rnd).api() for _ in range(rnd.randrange(1, 3))], "comment": "c", "createdBy": "me",
                        "startsAt": rfc3339(now), "endsAt": rfc3339(now + rnd.choice([3600, 7200]))}
                self.both("POST", "/api/v2/silences", body)
            mine = "?filter=" + urllib.parse.quote(f'alertname=~"A{round_}_.*"')
            with contextlib.suppress(AssertionError):  # theirs hears of alerts by the way; what differs then is said below
                wait_for(lambda: self.shown("ours", mine) == self.shown("theirs", mine) and
                         self.groups("ours", mine) == self.groups("theirs", mine), 15, 0.2)
            self.same("alerts", self.shown("ours", mine), self.shown("theirs", mine))
            for more in ["", "&silenced=false", "&inhibited=false", "&active=false", "&receiver=r1", "&receiver=r[23]"]:
                self.same("alerts" + more, self.shown("ours", mine + more), self.shown("theirs", mine + more))
                if "receiver" in more or not more:
                    self.same("groups" + more, self.groups("ours", mine + more), self.groups("theirs", mine + more))
            for i in range(25):
                query = "?filter=" + urllib.parse.quote(Matcher(rnd).text())
                self.same("filter " + query, self.shown("ours", mine + query.replace("?", "&")),
                          self.shown("theirs", mine + query.replace("?", "&")))
                ours, theirs = self.both("GET", "/api/v2/silences" + query)
                text = [sorted(json.dumps([s["matchers"], s["status"]["state"]], sort_keys=True) for s in side)
                        for side in (ours, theirs)]
                self.same("silences " + query, *text)
            for side in ("ours", "theirs"):
                for s in self.call(side, "GET", "/api/v2/silences")[1]:
                    if s["status"]["state"] == "active":
                        self.call(side, "DELETE", f"/api/v2/silence/{s['id']}")
            for a in alerts:
                a["startsAt"], a["endsAt"] = rfc3339(now - 60), rfc3339(time.time())
            self.both("POST", "/api/v2/alerts", alerts)


    # ---- who is told when ----

    def posted(self, what, body, path="/api/v2/alerts"):
        ours, theirs = self.both("POST", path, body)
        return ours, theirs, what

    def told(self, side, t0, late):
        """(receiver, group): [(number of the look, status, what fires, what is over, the rest)]. Late are groups whose
        looks the machine moved towards what happens on whole seconds: they tell nothing."""
        out = collections.defaultdict(list)
        for who, receiver, at, b in sorted(self.sink.got, key=lambda g: g[2]):
            if who != side:
                continue
            alerts = {s: sorted(key({k: instant(v) if k.endswith("At") else v for k, v in a.items()})
                                for a in b["alerts"] if a["status"] == s) for s in ("firing", "resolved")}
            slot = round((at - t0 - 1.5) / 2)
            if abs(at - t0 - 1.5 - 2 * slot) > 0.4:
                late.add((receiver, b["groupKey"]))
            rest = {k: b[k] for k in ("version", "groupLabels", "commonLabels", "commonAnnotations", "truncatedAlerts", "receiver")}
            out[receiver, b["groupKey"]].append((slot, b["status"], alerts["firing"], alerts["resolved"], key(rest)))
        return out

    def times(self, begin):
        def at(minutes):
            return time.strftime("%H:%M", time.gmtime(begin + 60 * minutes))
        today = time.strftime("%A", time.gmtime(begin)).lower()
        next_minute = f"{at(1)}-{at(2)}" if at(1) < at(2) else f"{at(1)}-24:00"
        zurich = subprocess.run(["date", "-d", f"@{int(begin) + 60}", "+%H"], capture_output=True, text=True,
                                env={**os.environ, "TZ": "Asia/Kolkata"}, check=True).stdout.strip()
        return {"next": {"at": [next_minute]}, "always": {"weekdays": [today]}, "never": {"years": ["2001:2002"]},
                "days": {"days": ["-31:-1"]}, "month": {"months": ["january:december"], "days": ["1:-1"]},
                "there": {"zone": "Asia/Kolkata", "at": [f"{zurich}:00-{int(zurich) + 1:02d}:00"]}}

    def life(self, rnd, i, seconds):
        """[(second, body)]: fires, is over, fires again, or ends by itself."""
        labels, out, at = {**labels_of(rnd, f"A{i % 9}"), "i": str(i)}, [], 2 * rnd.randrange(0, 12)
        steady = rnd.random() < 0.3
        while at < seconds:
            until = at + 2 * rnd.choice([1, 2, 3, 8, 15]) if not steady else seconds + 600
            by_itself = rnd.random() < 0.3
            one = {"labels": labels, "annotations": {"summary": f"{i % 3}"}, "generatorURL": f"http://g/{i}"}
            out.append((at, one, at, until if by_itself else seconds + 600))
            if not by_itself and until < seconds:
                out.append((until, one, at, until))
            at = until + 2 * rnd.choice([0, 1, 2, 10, 20])
        return out

    def play(self, t0, plan, silences, seconds):
        ids = {}
        for second in range(0, seconds, 2):
            time.sleep(max(0, t0 + second - time.time()))
            batch = {}
            for at, one, starts, ends in plan:
                if at == second:  # the last word of a second counts
                    batch[key(one["labels"])] = {**one, "startsAt": rfc3339(t0 + starts), "endsAt": rfc3339(t0 + ends)}
            for i, (at, matchers, ends, expire) in enumerate(silences):
                if at == second:
                    body = {"matchers": matchers, "comment": "c", "createdBy": "me", "startsAt": rfc3339(t0 + at),
                            "endsAt": rfc3339(t0 + ends)}
                    made = self.both("POST", "/api/v2/silences", body)
                    if all("silenceID" in x for x in made):  # else both refuse it: its matchers match what is not there
                        ids[i] = [x["silenceID"] for x in made]
                if expire == second and i in ids:
                    for side, one in zip(("ours", "theirs"), ids[i]):
                        self.call(side, "DELETE", f"/api/v2/silence/{one}")
            if batch:
                self.both("POST", "/api/v2/alerts", list(batch.values()))

    def test_the_same_people_are_told_the_same_at_the_same_looks(self):
        print(f"# seed {SEED}")
        rnd, seconds = random.Random(SEED + 7), 100
        config = Config(rnd, times=self.times(time.time() // 60 * 60 + 20))
        self.start(config)
        t0 = time.time() // 2 * 2 + 4
        plan = [e for i in range(80) for e in self.life(rnd, i, seconds - 20)]
        silences = []
        for _ in range(6):
            at = 2 * rnd.randrange(0, 25)
            ends = at + 2 * rnd.randrange(2, 15)
            silences.append((at, [Matcher(rnd).api() for _ in range(2)], ends, rnd.choice([None, at + 2 * rnd.randrange(1, 10)])))
        self.play(t0, plan, silences, seconds)
        late = set()
        ours, theirs = self.told("ours", t0, late), self.told("theirs", t0, late)
        self.assertGreater(len(theirs), 5)
        print(f"# {sum(map(len, theirs.values()))} notifications of {len(theirs)} groups, {len(late)} of them late")
        self.assertLessEqual(len(late), len(theirs) // 2, "the machine is too busy for this test")
        for k in sorted({*ours, *theirs} - late):
            for a, b in zip([*ours[k], None], [*theirs[k], None]):
                if a != b:
                    self.fail(f"seed {SEED} {k}:\nours   {a}\ntheirs {b}\nlooks: {[(x[0], len(x[2]), len(x[3])) for x in ours[k]]}"
                              f"\n{[(x[0], len(x[2]), len(x[3])) for x in theirs[k]]}")

if __name__ == "__main__":
    main()
