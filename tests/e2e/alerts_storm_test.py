#!/usr/bin/env python3
"""A storm: one rule fires for ten thousand series at once, and ends for all of them at once. Who is told by shard
gets a message a shard and no more, over kill -9 of control while they are sent; who is told of all in one message
gets one that fits, and the number of those that it does not list. 3,000 in `make test`, 10,000 in `make test-long`."""
import os
import time

from harness import LONG, free_port, kill, main, wait_for
from hooked import Exporter, Hooked

ALERTS, SHARDS = (10_000, 50) if LONG else (3_000, 30)
# Seconds: how long nobody may be told anything, and how long it is looked at what the storm costs as it goes on.
QUIET, MEASURED = (10, 30) if LONG else (7, 3)
CONFIG = """
version: 1
project: storm
admin: {{listen: 127.0.0.1:{admin}}}
edge: {{workers: 1, listen: {{http: {http}}}}}
apps:
  sleeper: {{command: sleep 1000, replicas: 1}}
observe:
  series_per_app: 100000
  targets: [{{job: storm, address: "127.0.0.1:{port}", every: 2s}}]
alerts:
  settle: 0s
  every: 2s
  rules:
    - alert: Storm
      expr: storm > 0
      severity: warning
      summary: 'series {{{{ $labels.i }}}} of shard {{{{ $labels.shard }}}} is at {{{{ $value }}}}'
  receivers: {{shards: {{webhook: SHARDS_URL}}, all: {{webhook: ALL_URL}}}}
  route:
    wait: 1s
    interval: 3s
    repeat: 1h
    routes:
      - {{match: ['alertname="Storm"'], to: shards, group_by: [alertname, shard], continue: true}}
      - {{match: ['alertname="Storm"'], to: all, group_by: [alertname]}}
"""


def used(pid):
    """seconds of CPU, MiB at most"""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as f:
        peak = next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM:"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak


class Storm(Hooked):
    def setUp(self):
        self.value = 0  # of all series of the storm
        self.exporter = Exporter(lambda _: "".join(
            f'storm{{i="{i}",shard="{i % SHARDS}"}} {self.value}\n' for i in range(ALERTS)))
        self.start(CONFIG.format(admin=free_port(), http=free_port(), port=self.exporter.port),
                   {"SHARDS_URL": "/shards", "ALL_URL": "/all"})

    def messages(self, path, status):
        """one of each webhook-id, which receivers look at"""
        return list({d.headers["webhook-id"]: d.json for d in list(self.hook.got)
                     if d.path == path and d.json["status"] == status}.values())

    def storm(self, status):
        """All of it begins or ends; control is killed as soon as a few have heard of it."""
        began, control = time.monotonic(), self.pid("control")
        self.value = int(status == "firing")
        wait_for(lambda: len(self.messages("/shards", status)) >= 3, 60)
        first = time.monotonic() - began
        kill(control)
        wait_for(lambda: self.pid("control") not in (None, control), 60)
        wait_for(lambda: sum(len(m["alerts"]) for m in self.messages("/shards", status)) >= ALERTS, 120)
        wait_for(lambda: self.messages("/all", status), 60)
        print(f"# {status}: the first message after {first:.1f} s, all of them after {time.monotonic() - began:.1f} s",
              flush=True)

    def check(self, status):
        told = self.messages("/shards", status)
        self.assertEqual(len(told), SHARDS, sorted(m["groupKey"] for m in told))
        self.assertEqual(len({m["groupKey"] for m in told}), SHARDS)
        prints = [a["fingerprint"] for m in told for a in m["alerts"] if a["status"] == status]
        self.assertEqual((len(prints), len(set(prints))), (ALERTS, ALERTS))
        self.assertEqual(sum(m["truncatedAlerts"] for m in told), 0)
        told = self.messages("/all", status)
        self.assertEqual(len(told), 1)
        listed = len(told[0]["alerts"])
        self.assertEqual(listed + told[0]["truncatedAlerts"], ALERTS)
        self.assertGreater(listed, 500)
        self.assertLess(max(len(d.body) for d in self.hook.got), 1 << 20)

    def test_each_group_is_told_once_of_its_beginning_and_once_of_its_end(self):
        wait_for(lambda: str(ALERTS) in self.p.run("query", "count(storm)", check=False).stdout, 60)
        self.storm("firing")
        time.sleep(QUIET)  # for messages that must not come: two intervals and more
        self.check("firing")
        control, observe = self.pid("control"), self.pid("observe")
        before, at = (used(control)[0], used(observe)[0]), time.monotonic()
        time.sleep(MEASURED)
        spent = time.monotonic() - at
        print("# while {} alerts fire: control {:.1f} % of a core, {:.0f} MiB at most; observe {:.1f} %, {:.0f} MiB".format(
            ALERTS, 100 * (used(control)[0] - before[0]) / spent, used(control)[1],
            100 * (used(observe)[0] - before[1]) / spent, used(observe)[1]), flush=True)
        self.check("firing")
        self.storm("resolved")
        time.sleep(QUIET)
        self.check("resolved")
        self.check("firing")
        for role in ("control", "observe"):
            self.assertLess(used(self.pid(role))[1], 500, role)


if __name__ == "__main__":
    main()
