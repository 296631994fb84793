"""headgate query test: files of Prometheus' PromQL test language, through the command line."""
import glob
import os
import subprocess
import tempfile
import unittest

import harness

HEADGATE = os.path.join(harness.BUILD, "headgate")
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "promql")


def query_test(*files):
    return subprocess.run([HEADGATE, "query", "test", *files], capture_output=True, text=True,
                          timeout=120)


class QueryTest(unittest.TestCase):
    def test_prometheus_own_files_pass(self):
        files = sorted(glob.glob(os.path.join(DATA, "*.test")))
        self.assertEqual(len(files), 7)
        done = query_test(*files)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertEqual(lines[-1], "312 passed, 0 failed, 36 skipped")
        self.assertEqual(len(lines), 348 + 1)  # a line an eval
        for line in lines[:-1]:
            self.assertRegex(line, r"\.test:\d+: (ok|skipped: a native histogram is (selected|expected))$")

    def test_a_failure_is_shown_and_told_by_the_exit_status(self):
        with tempfile.NamedTemporaryFile("w", suffix=".test") as f:
            f.write("load 1m\n  m 1 2 3\n\neval instant at 2m m * 2\n  {} 7\n\neval instant at 0 1 + 1\n  2\n")
            f.flush()
            done = query_test(f.name)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout.splitlines(), [
                f"{f.name}:4: FAIL: m * 2", "    {} at 120.000: expected 7, got 6", f"{f.name}:7: ok",
                "1 passed, 1 failed, 0 skipped"])

    def test_a_file_that_is_not_there_is_an_error(self):
        done = query_test("/nonexistent.test")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("HG1005", done.stderr)


if __name__ == "__main__":
    harness.main()
