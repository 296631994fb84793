#!/usr/bin/env python3
"""From the first bad answer to the webhook, with the settings that are there when nothing is said: a rule of five
minutes' kind over the last minute, and the alert of an error budget. usage: bench/detect.py BUILD [--write] [--trials N]

200 requests a second, of which none fails; after 75 s 4.3 % of them do, at once. Each trial has a platform of its own,
so that the phases of looks, rules and groups are as they come."""
import argparse
import os
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("build")
parser.add_argument("--write", action="store_true")
parser.add_argument("--trials", type=int, default=5)
args = parser.parse_args()
os.environ["BUILD"] = str(pathlib.Path(args.build).resolve())
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "e2e")]

import common  # noqa: E402
from goals_test import APP  # noqa: E402
from harness import Load, Platform, wait_for  # noqa: E402
from webhook_server import Receiver  # noqa: E402

GOOD_S, GOOD, BAD = 75, 200, 9  # seconds, requests a second
CONFIG = """version: 1
project: detect
edge: {{workers: {workers}, listen: {{http: "127.0.0.1:{port}"}}}}
apps:
  shop:
    command: python3 app.py $PORT
    dir: {dir}
    replicas: 1
    health: /health
    protect: {{retries: 0}}
    routes: [{{host: "*", path: /}}]
    slo: {{availability: {{objective: 99.95%, window: 30d}}}}
alerts:
  rules:
    - {{alert: HighErrorRate, expr: "headgate:error_ratio:1m > 0.01", severity: critical}}
  receivers: {{hook: {{webhook: HOOK_URL}}}}
  route: {{critical: hook}}
"""


def trial():
    """Seconds to the first message of each alert."""
    hook = Receiver(tls=False)

    def told():
        """both alerts"""
        at = {}
        for delivery in list(hook.got):
            for alert in delivery.json["alerts"]:
                at.setdefault(alert["labels"]["alertname"], delivery.at)
        return at

    with Platform(CONFIG) as p:
        (p.dir / "app.py").write_text(APP.replace("self.path[1:]", 'self.path[1:].split("?")[0]'))
        p.run("secret", "set", "HOOK_URL", input=f"http://127.0.0.1:{hook.port}/hook")
        p.up()
        good = Load(p.port, rate=GOOD, seconds=GOOD_S + 200, posts=0, connections=8, path="/200")
        time.sleep(GOOD_S)
        assert not told(), told()
        began = time.monotonic()
        bad = Load(p.port, rate=BAD, seconds=200, posts=0, connections=2, path="/500")
        wait_for(lambda: len(told()) == 2, 180, 0.01)
        for load in (bad, good):
            load.stop().child.wait(30)
    hook.close()
    return {name: at - began for name, at in told().items()}


def main():
    trials = [trial() for _ in range(args.trials)]
    rows = ["| alert | least | median | most |", "| --- | ---: | ---: | ---: |"]
    for name in sorted(trials[0]):
        s = [t[name] for t in trials]
        rows.append(f"| {name} | {min(s):.1f} s | {statistics.median(s):.1f} s | {max(s):.1f} s |")
    text = (f"`bench/detect.py`: {GOOD} requests a second, of which 4.3 % begin to fail at once; {args.trials} trials. "
            "Everything as it is when nothing is said.\n\n" + "\n".join(rows))
    print(text)
    if args.write:
        common.write_section("From the first bad answer to the webhook", text)


if __name__ == "__main__":
    main()
