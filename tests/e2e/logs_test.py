#!/usr/bin/env python3
"""Log lines: captured with their labels, searchable, and none lost when observe is killed."""
import json
import subprocess
import time
import unittest

from harness import Platform, kill, main, wait_for

COUNTER = """version: 1
project: e2e
edge: {{listen: {{http: "127.0.0.1:{port}"}}}}
apps:
  counter:
    command: [sh, -c, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo done; exec sleep 1000"]
    dir: {dir}
    replicas: 1
"""


def lines(p, *argv, check=False):
    out = p.run("logs", "--json", "--app", "counter", "--limit", 100000, *argv, check=check).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


class Logs(unittest.TestCase):
    def test_no_line_is_lost_or_doubled_while_observe_is_killed_again_and_again(self):
        with Platform(COUNTER) as p:
            p.up()
            for _ in range(5):
                try:
                    kill(p.pids("observe")[0])
                except (IndexError, ProcessLookupError):
                    pass
                time.sleep(0.1)
            wait_for(lambda: any(e.get("text", e.get("message", "")) == "done" for e in lines(p, "--grep", "done")))
            texts = [e.get("text", e.get("message", "")) for e in lines(p, "--grep", "line ", check=True)]
            numbers = sorted(int(t.split()[1]) for t in texts if t.startswith("line "))
            self.assertEqual(numbers, list(range(20000)))

    def test_entries_carry_app_release_and_replica(self):
        with Platform(COUNTER) as p:
            p.up()
            wait_for(lambda: lines(p, "--grep", "done"))
            entry = lines(p, "--grep", "done")[-1]
            self.assertEqual((entry["app"], entry["release"], entry["replica"]), ("counter", 1, 1))

    def test_lines_are_counted_by_level_and_time(self):
        def volume(query):
            out = subprocess.run(["curl", "-s", "--unix-socket", p.data / "control.sock", f"http://x/v1/logs/volume?{query}"],
                                 capture_output=True, text=True, check=True).stdout
            return json.loads(out)

        with Platform(COUNTER) as p:
            p.up()
            wait_for(lambda: lines(p, "--grep", "done"))
            all_lines = volume("app=counter&buckets=24&since=10m")
            self.assertEqual((all_lines["schema"], all_lines["n"]), ("headgate.log_volume/1", 24))
            self.assertEqual(sum(all_lines["info"]), 20001)
            self.assertEqual(sum(all_lines["error"] + all_lines["warn"] + all_lines["debug"]), 0)
            self.assertEqual(sum(volume("app=counter&grep=line+1999")["info"]), 11)
            self.assertEqual(sum(volume("app=counter&release=2")["info"]), 0)
            self.assertEqual(volume("limit=5")["status"], 400)


if __name__ == "__main__":
    main()
