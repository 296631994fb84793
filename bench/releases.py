#!/usr/bin/env python3
"""What a bad release costs: real processes, 1,000 requests a second through the edge, 10 % canary.
Prints the table of docs/benchmarks.md. usage: releases.py BUILD"""
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ["BUILD"] = sys.argv[1] if len(sys.argv) > 1 else "build"
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bench")]

from common import write_section  # noqa: E402
from harness import BUILD, Load, Platform  # noqa: E402
from limits_test import GROWS, config as limited  # noqa: E402
from releases_test import CANARY, Deploy, config, failed  # noqa: E402

RATE = 1000
SHORT = CANARY.replace("progress_deadline: 20s", "progress_deadline: 5s")
# With 256 MiB for a replica and time enough for it to reach them.
LIMITED = limited("memory: 90%, error_rate: 5%, p95: 2s", wait="40s")
CASES = [
    ("always 500", ["--version", "bad"], CANARY, {}),
    ("5 % errors", ["--env", "FEEDBACK_FAULT=errors:5%"], CANARY, {}),
    ("closes connections", ["--env", "FEEDBACK_FAULT=close"], CANARY, {}),
    ("hangs", ["--env", "FEEDBACK_FAULT=hang"], CANARY, {}),
    ("slower by 5 ms", ["--env", "FEEDBACK_FAULT=slow:5ms"], CANARY, {}),
    ("crashes after 200 requests", ["--env", "FEEDBACK_FAULT=crash:#200"], CANARY, {}),
    ("never ready", ["--env", "FEEDBACK_FAULT=unhealthy"], SHORT, {}),
    ("wrong port", ["--command", f"{BUILD}/feedback-app --port 1 # $PORT"], SHORT, {}),
    ("grows to its memory limit, answers well", ["--command", GROWS], LIMITED, {}),
    ("always 500; POST with a key", ["--version", "bad"], CANARY, {"posts": 100, "keys": True}),
    ("always 500; POST without a key", ["--version", "bad"], CANARY, {"posts": 100}),
]


def one(argv, rollout, load):
    with Platform(rollout if rollout == LIMITED else config(rollout)) as p:
        p.up()
        load = Load(p.port, rate=RATE, seconds=120, **{"posts": 0, **load})
        time.sleep(3)
        code, doc, err = Deploy(p, *argv).result()
        time.sleep(1)
        return code, doc, load.stop().result()


COMPUTED = """
One that hangs is found when its first requests time out (2.5 s here, half of `protect.timeout`): the old release answers
them, late. Before a tick's latency had a limit (see [judge.md](judge.md)) it took 0.8 s, and the slower one 57 requests.

Beside it, not measured but computed, from the code and documents of others, for a release that fails every request at
10 % and 1,000 requests/s, that is 100 failed requests a second, until their loop sees it (time of
scraping left out):

| system, setting | until weight 0 | failed requests that users see |
| --- | ---: | ---: |
| Flagger, defaults of the code (60 s, threshold 1) | 120 s | 12,000 |
| Flagger, example of its documents (1 min, threshold 10) | 660 s | 66,000 |
| Flagger, the fastest it takes (10 s, threshold 1) | 20 s | 2,000 |
| Argo Rollouts, no analysis (the default) | never | 100 a second |
| Argo Rollouts, inline analysis of its documents | 300 s | 30,000 |
| Kayenta, 50 points of a minute | 50 min | 300,000 |
"""


def main():
    out = [f"{RATE} requests/s through the edge (open loop), canary of 10 %, three replicas, "
           "`abort_when: {error_rate: 5%, p95: 2s}`; GETs unless said otherwise.", "",
           "| the new release | taken back by | requests to it | of these failed | from the first to weight 0 | "
           "failures that clients saw |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for name, argv, rollout, load in CASES:
        code, doc, result = one(argv, rollout, load)
        back, saw = doc.get("back") or {}, f"{failed(result)} of {result['requests']:,}"
        if code != 4:
            out.append(f"| {name} | **not found** (exit {code}) | | | | {saw} |")
        else:
            out.append(f"| {name} | {doc['cause'].replace('_', ' ')} | {back['requests']} | {back['failures']} | "
                       f"{back['took_ms'] / 1000:.2f} s | {saw} |")
        print(out[-1], flush=True)
    if "--write" in sys.argv:
        write_section("Bad releases", "\n".join(out) + "\n" + COMPUTED)


if __name__ == "__main__":
    main()
