#!/usr/bin/env python3
"""tools/count.py: the closing line, and why what failed did."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

COUNT = pathlib.Path(__file__).resolve().parents[3] / "tools/count.py"


class Count(unittest.TestCase):
    def count(self, *cases):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
            f.write(f"<testsuites><testsuite name='s'>{''.join(cases)}</testsuite></testsuites>")
            f.flush()
            done = subprocess.run([sys.executable, "-B", COUNT, f.name], text=True, capture_output=True)
            return done.returncode, done.stdout.replace(f.name, "FILE").splitlines()

    def test_good_and_left_out(self):
        self.assertEqual(self.count("<testcase name='a'/>", "<testcase name='b'><skipped/></testcase>"),
                         (0, ["1 passed, 0 failed, 1 skipped"]))

    def test_a_failure_is_told_with_its_last_words(self):
        words = "\n".join(f"line {i}" for i in range(40))
        code, out = self.count("<testcase name='a'/>", f"<testcase classname='c' name='b'><failure message='ended with 1'>{words}"
                               "</failure></testcase>")
        self.assertEqual(code, 1)
        self.assertEqual(out, ["  | c b", "  | ended with 1", *(f"  | line {i}" for i in range(28, 40)),
                               "failed: c b", "1 passed, 1 failed"])

    def test_of_many_only_the_first_are_told_and_all_are_named(self):
        _, out = self.count(*(f"<testcase name='t{i}'><error/></testcase>" for i in range(8)))
        self.assertEqual([line for line in out if line.startswith("  |")], [x for i in range(5) for x in (f"  | t{i}", "  | failed")])
        self.assertEqual(out[-9:], [*(f"failed: t{i}" for i in range(8)), "0 passed, 8 failed"])

    def test_no_test_is_no_success(self):
        self.assertEqual(self.count(), (1, ["failed: FILE: ran no test", "0 passed, 1 failed"]))


if __name__ == "__main__":
    unittest.main()
