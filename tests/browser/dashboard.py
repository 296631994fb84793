#!/usr/bin/env python3
"""The dashboard in Chromium, of a platform that has traffic, releases to try and an alert that fires.
usage: tests/browser/run --dashboard [test name pattern]; BUILD and JUNIT as there.
       dashboard.py --run COMMAND…   starts COMMAND instead of the tests, with the same environment"""
import json
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = (HERE.parent.parent / os.environ.get("BUILD", "build")).resolve()
os.environ["BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import FEEDBACK, Load, Platform, free_port  # noqa: E402: the harness reads BUILD

# `shop` stays on its first step until somebody acts; what `market` says and is called is markup.
CONFIG = FEEDBACK + """    rollout:
      strategy: canary
      steps: [{{weight: 10%, wait: 12s}}, {{weight: 50%, wait: 5s}}, {{weight: 100%}}]
      abort_when: {{error_rate: 5%, p95: 1s}}
      after_promote: {{watch: 4s, keep_previous: 4s}}
    slo:
      availability: {{objective: 99.5%, window: 30d}}
    versions:
      bad: {{env: {{FEEDBACK_FAULT: "errors:50%"}}}}
      slow: {{env: {{FEEDBACK_FAULT: slow}}}}
      good: {{env: {{ENVIRONMENT: demo}}}}
  shop:
    command: /usr/bin/python3 -B SHOP $PORT
    dir: {dir}
    replicas: 1
    env: {{VERSION: "1"}}
    probes: PROBES
    routes: [{{host: "*", path: /shop}}]
    rollout: {{strategy: canary, steps: [{{weight: 10%, wait: 30m}}, {{weight: 50%, wait: 30m}}, {{weight: 100%}}], progress_deadline: 2h}}
  market:
    command: [/usr/bin/python3, -B, SHOP, $PORT, "<img src=x onerror=window.hacked=1>", "</script><b>bold</b>"]
    dir: {dir}
    replicas: 1
    env: {{NOTE: "<img src=x onerror=window.hacked=1>"}}
    probes: PROBES
    routes: [{{host: "*", path: /market}}]
    rollout: {{strategy: canary, steps: [{{weight: 50%, wait: 10m}}]}}
    versions:
      v1-amp: {{env: {{FAIL: "1"}}}}
alerts:
  every: 2s
  settle: 1s
  receivers: {{team: {{webhook: TEAM}}, oncall: {{webhook: ONCALL}}}}
  route: {{routes: [{{match: ["alertname=~Page.*"], to: [team, oncall], wait: 0s, interval: 10s}}]}}
  rules:
    - alert: Markup
      expr: headgate_app_replicas_ready{{app="market"}} >= 0
      severity: critical
      summary: "<img src=x onerror=window.hacked=1> & \\"quotes\\""
admin: {{listen: "127.0.0.1:ADMIN"}}
"""
PROBES = ("{{startup: {{http: /health, every: 250ms, failures: 120}}, "
          "readiness: {{http: /health, every: 1s, timeout: 5s, failures: 5}}}}")
RATE = 24  # a second; of what a new release is sent of it on its first step, half fails if it is bad


def token(p, role):
    return json.loads(p.run("token", "create", f"test-{role}", "--role", role, "--json").stdout)["token"]


def stage(config, argv, hosts=("localhost",), rate=RATE, **more):
    """Starts a platform with traffic for each of `hosts`, then `argv` with what it needs to know of it. Its receivers
    `team` and `oncall` are webhooks to /team and /oncall of HG_HOOK, where nobody listens yet."""
    admin, hook = free_port(), f"http://127.0.0.1:{free_port()}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped all the same
    with Platform(config.replace("ADMIN", str(admin))) as p:
        for name in ("team", "oncall"):
            p.run("secret", "set", name.upper(), input=f"{hook}/{name}")
        p.up()
        loads = [Load(p.port, rate=rate, seconds=1800, posts=0, host=host) for host in hosts]
        try:
            env = {**os.environ, **more, "HEADGATE": str(BUILD / "headgate"), "HG_DATA": str(p.data),
                   "HG_ADMIN": f"http://127.0.0.1:{admin}", "HG_EDGE": f"http://127.0.0.1:{p.port}", "HG_HOOK": hook,
                   **{f"HG_TOKEN_{r.upper()}": token(p, r) for r in ("viewer", "deployer", "admin")}}
            return subprocess.call(argv, env=env)
        finally:
            for load in loads:
                load.stop().result()


def main():
    argv = sys.argv[2:] if sys.argv[1:2] == ["--run"] else [str(HERE / "run"), *sys.argv[1:]]
    return stage(CONFIG.replace("SHOP", str(HERE / "dashboard/shop.py")).replace("PROBES", PROBES), argv,
                 SUITE="dashboard", TESTS="dashboard/lib.test.js dashboard/all.test.js")


if __name__ == "__main__":
    sys.exit(main())
