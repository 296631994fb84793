#!/usr/bin/env python3
"""tools/junit.py: what ended badly is a failure in the JUnit file, once."""
import pathlib
import sys
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tools"))
import junit  # noqa: E402

# As meson 1.0 writes it: a program by its exit status, a TAP program by its lines.
XML = """<testsuites tests="3" errors="0" failures="0">
<testsuite name="headgate" tests="1" errors="0" failures="0">
  <testcase name="headgate:sim / fleet_sim" classname="headgate"/></testsuite>
<testsuite name="headgate.headgate:unit+base / base/str" tests="2" errors="0" failures="0">
  <testcase name="1 - a" classname="base/str"/><testcase name="2 - b" classname="base/str"/></testsuite>
</testsuites>"""
SIM, STR = "headgate:sim / fleet_sim", "headgate:unit+base / base/str"


class Junit(unittest.TestCase):
    def mended(self, *results, xml=XML):
        root = ET.fromstring(xml)
        junit.mend(root, [{"name": r[0], "result": r[1], **(r[2] if r[2:] else {})} for r in results])
        return root, [c.get("name") for c in root.iter("testcase") if junit.failed(c)]

    def test_what_is_good_stays_as_it_is(self):
        root, failed = self.mended((SIM, "OK"), (STR, "OK"))
        self.assertEqual(ET.tostring(root, "unicode"), ET.tostring(ET.fromstring(XML), "unicode"))
        self.assertEqual(failed, [])

    def test_a_program_that_timed_out_failed(self):
        root, failed = self.mended((SIM, "TIMEOUT"), (STR, "OK"))
        self.assertEqual(failed, [SIM])
        self.assertEqual(root.get("failures"), "1")
        self.assertEqual([s.get("failures") for s in root.iter("testsuite")], ["1", "0"])

    def test_a_tap_program_that_was_killed_after_good_lines_failed_as_a_whole(self):
        root, failed = self.mended((SIM, "OK"), (STR, "ERROR"))
        self.assertEqual(failed, ["the program as a whole"])
        self.assertEqual([s.get("tests") for s in root.iter("testsuite")], ["1", "3"])

    def test_a_program_without_a_line_failed_too(self):
        self.assertEqual(self.mended(("headgate:e2e / e2e/logs", "TIMEOUT"))[1], ["the program as a whole"])

    def test_a_failure_that_is_there_already_is_not_counted_twice(self):
        xml = XML.replace('<testcase name="2 - b" classname="base/str"/>',
                          '<testcase name="2 - b" classname="base/str"><failure/></testcase>')
        self.assertEqual(self.mended((STR, "FAIL"), xml=xml)[1], ["2 - b"])

    def why(self, *results, xml=XML):
        found = [f for f in self.mended(*results, xml=xml)[0].iter("failure")]
        self.assertEqual(len(found), 1)
        return found[0].get("message"), found[0].text

    def test_the_failure_says_how_the_program_ended_and_what_it_said_last(self):
        self.assertEqual(self.why((SIM, "ERROR", {"returncode": -9, "duration": 3.4, "stdout": "a\n", "stderr": "b\x07\n"})),
                         ("ERROR: ended by SIGKILL after 3 s", "a\nb?\n"))
        self.assertEqual(self.why((SIM, "FAIL", {"returncode": 2, "duration": 0.2}))[0], "FAIL: ended with 2 after 0 s")
        self.assertEqual(self.why((SIM, "TIMEOUT", {"returncode": -9, "duration": 180}))[0], "TIMEOUT: not over after 180 s")
        self.assertEqual(self.why((SIM, "FAIL", {"returncode": -77, "duration": 1}))[0], "FAIL: ended by signal 77 after 1 s")

    def test_a_failed_line_of_tap_is_explained_by_the_lines_behind_it(self):
        xml = XML.replace('<testcase name="2 - b" classname="base/str"/>',
                          '<testcase name="2 - b" classname="base/str"><failure/></testcase>')
        out = "not ok 1 - z\n# other\nok 12\nnot ok 2 - b\n# Traceback:\n#   x\nok 3 - c\n"
        self.assertEqual(self.why((STR, "FAIL", {"returncode": 1, "duration": 2, "stdout": out}), xml=xml),
                         ("ended with 1 after 2 s", "Traceback:\n  x\n"))


if __name__ == "__main__":
    unittest.main()
