#!/usr/bin/env python3
"""The disk of the data folder becomes full under the whole platform: somebody is told before it is and when it is, users
are served, and with room again everything goes on without a restart, with the samples of that time."""
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

from disk_full_test import may_mount
from faults_test import Disk
from harness import FEEDBACK, Load, Platform, alive, main, wait_for
from webhook_server import Receiver

CONFIG = FEEDBACK + """alerts:
  settle: 0s
  receivers: {{hook: {{webhook: HOOK_URL}}}}
  route: {{wait: 0s, interval: 1s, warning: hook, critical: hook}}
"""


@unittest.skipUnless(may_mount(), "no file system can be mounted here")
class StoreFull(unittest.TestCase):
    def setUp(self):
        self.hook = Receiver(tls=False)
        self.addCleanup(self.hook.close)

    def told(self, name, status):
        """Messages about an alert, by what they say of it."""
        return [a for d in list(self.hook.got) for a in d.json["alerts"]
                if a["labels"]["alertname"] == name and a["status"] == status]

    def query(self, expr, *argv):
        return json.loads(self.p.run("query", expr, "--json", *argv).stdout)["data"]["result"]

    def test_it_is_told_and_users_do_not_notice(self):
        # The last of these is undone first: the platform ends while its data folder is there.
        folder = pathlib.Path(tempfile.mkdtemp(prefix="hg-full-"))
        folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        disk = Disk(folder / "disk", "96m")
        self.addCleanup(disk.close)
        self.p = p = Platform(CONFIG, data=disk.path / "hg")
        self.addCleanup(lambda: p.__exit__(None, None, None))
        p.run("secret", "set", "HOOK_URL", input=f"http://127.0.0.1:{self.hook.port}/hook")
        p.up()
        load = Load(p.port, rate=100, seconds=380, posts=0)
        self.addCleanup(load.stop)
        wait_for(lambda: self.query('headgate_tsdb_state{state="well"} == 1'), 60)

        # Little room is left: somebody is told while there is time.
        space = os.statvfs(disk.path)
        with open(disk.path / "ballast", "wb") as f:
            f.write(b"x" * int(space.f_bavail * space.f_frsize - 0.03 * space.f_blocks * space.f_frsize))
        wait_for(lambda: self.told("HeadgateDiskNearlyFull", "firing"), 90, 0.2)
        summary = self.told("HeadgateDiskNearlyFull", "firing")[0]["annotations"]["summary"]
        self.assertRegex(summary, r"^[0-9.]+% of the disk of \S+ is free$")

        # None at all: samples stay in memory, and that is an alert as well.
        full = time.time()
        disk.fill()
        wait_for(lambda: any(r["metric"]["alertname"] == "HeadgateDiskFull" for r in
                             self.query('ALERTS{alertstate="firing"}')), 120, 0.5)
        self.assertTrue(load.running(), "the load was over before the disk was full")
        time.sleep(5)

        disk.empty()
        (disk.path / "ballast").unlink()
        again = time.time()
        wait_for(lambda: self.query('headgate_tsdb_state{state="well"} == 1'), 60, 0.5)
        for name in ("HeadgateDiskFull", "HeadgateDiskNearlyFull"):
            wait_for(lambda n=name: self.told(n, "resolved"), 120, 0.2)
        self.assertTrue(self.told("HeadgateDiskFull", "firing"))

        # No gap of more than two looks, from before it was full to after it.
        (series,) = self.query("sum(headgate_requests_total)", "--range", "5m", "--step", "5s")
        times = [t for t, _ in series["values"] if full - 10 < t < again + 10]
        self.assertGreater(len(times), 3)
        self.assertLessEqual(max(b - a for a, b in zip(times, times[1:])), 10)
        pids = p.everyone()
        result = load.stop().result()
        self.assertEqual((result["failed_get"], result["connect_errors"], result["ok"]), (0, 0, result["requests"]), result)
        p.run("down")
        self.assertEqual([pid for pid in pids if alive(pid)], [])


if __name__ == "__main__":
    main()
