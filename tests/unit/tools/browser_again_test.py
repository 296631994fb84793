#!/usr/bin/env python3
"""The second attempt of tests/browser/run: what passes then has passed and is named, what fails twice has failed,
and so has a run in which more than three failed. With tests of its own in place of the browser's."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET

BROWSER = pathlib.Path(__file__).resolve().parents[2] / "browser"
# The name says how many times it fails.
TEST = """import {{ existsSync, writeFileSync, readFileSync }} from "node:fs";
import test from "node:test";
const marks = {marks!r};
for (const [name, bad] of {tests})
  test(name, () => {{
    const mark = `${{marks}}/${{name.replace(/ /g, "-")}}`;
    const had = existsSync(mark) ? Number(readFileSync(mark)) : 0;
    writeFileSync(mark, String(had + 1));
    if (had < bad) throw new Error(`attempt ${{had + 1}}`);
  }});
"""


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class BrowserAgain(unittest.TestCase):
    def run_all(self, **bad):
        """The exit status, the output, who is failed in the report, and how often each was run."""
        with tempfile.TemporaryDirectory() as folder:
            at = pathlib.Path(folder) / "tests/browser"
            (at / "node_modules").mkdir(parents=True)
            for name in ("package-lock.json", "node_modules/.package-lock.json"):
                (at / name).write_text("{}")
            for name in ("run", "tap2junit.py"):
                shutil.copy(BROWSER / name, at / name)
            names = [[name.replace("_", " "), times] for name, times in bad.items()]
            (at / "own.test.mjs").write_text(TEST.format(marks=folder, tests=names))
            done = subprocess.run([at / "run"], capture_output=True, text=True, cwd="/", env={
                **os.environ, "TESTS": "own.test.mjs", "JUNIT": f"{folder}/out.xml", "BUILD": folder})
            root = ET.parse(f"{folder}/out.xml").getroot()
            failed = [c.get("name") for c in root.iter("testcase") if c.find("failure") is not None]
            turns = {name: int((pathlib.Path(folder) / name.replace("_", "-")).read_text()) for name in bad}
            return done.returncode, done.stdout, failed, turns

    def test_what_passes_the_second_time_has_passed_and_is_named(self):
        status, said, failed, turns = self.run_all(always_well=0, once_bad=1)
        self.assertEqual((status, failed), (0, []), said)
        self.assertIn("FAIL once bad", said)
        self.assertIn("again: once bad\n", said)
        self.assertIn("passed the second time: once bad\n", said)
        self.assertEqual(turns, {"always_well": 2, "once_bad": 2})  # one may rely on what is before it

    def test_what_fails_twice_has_failed(self):
        status, said, failed, turns = self.run_all(once_bad=1, twice_bad=2)
        self.assertEqual((status, failed), (1, ["twice bad"]), said)
        self.assertNotIn("passed the second time", said)
        self.assertEqual(turns["twice_bad"], 2)

    def test_more_than_three_are_the_changes_fault(self):
        status, said, failed, turns = self.run_all(a=1, b=1, c=1, d=1)
        self.assertEqual((status, len(failed), set(turns.values())), (1, 4, {1}), said)
        self.assertNotIn("again:", said)

    def test_who_passes_is_run_once(self):
        status, said, failed, turns = self.run_all(always_well=0)
        self.assertEqual((status, failed, turns), (0, [], {"always_well": 1}), said)


if __name__ == "__main__":
    unittest.main()
