#!/usr/bin/env python3
"""tools/again.py over a small project of its own: what passes alone counts as passed, what fails twice,
crashes or was found by a sanitizer has failed."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as ET

TOOLS = pathlib.Path(__file__).resolve().parents[3] / "tools"
# How a program ends, the first time and afterwards.
ENDS = {"steady": ("0", "0"), "once": ("1", "0"), "twice": ("1", "1"), "crash": ("kill", "0"),
        "finding": ("found", "0"), "beside": ("1", "stands")}
PROGRAM = """import os, pathlib, sys
mark = pathlib.Path({mark!r})
how = {after!r} if mark.exists() else {first!r}
mark.touch()
if how == "kill": os.kill(os.getpid(), 11)
if how == "found": sys.exit("ERROR: AddressSanitizer: heap-use-after-free")
if how == "stands":
    state = pathlib.Path("/proc/" + os.environ["HEADGATE_BESIDE"] + "/stat").read_text().rsplit(")", 1)[1].split()[0]
    sys.exit(state != "T")
if how == "1": print("it was the machine")
sys.exit(int(how))
"""


class Again(unittest.TestCase):
    def run_all(self, *names):
        """The exit status of a second attempt and who is failed in the report then."""
        with tempfile.TemporaryDirectory() as dir_:
            at = pathlib.Path(dir_)
            lines = ["project('p')", "python = find_program('python3')"]
            for n in names:
                first, after = ENDS[n.rstrip("0123456789")]
                (at / f"{n}.py").write_text(PROGRAM.format(mark=f"{dir_}/{n}.was", first=first, after=after))
                lines.append(f"test('{n}', python, args : files('{n}.py'), suite : 'unit')")
            (at / "meson.build").write_text("\n".join(lines) + "\n")
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(["meson", "setup", at / "b", at], check=True, **quiet)
            subprocess.run(["meson", "test", "-C", at / "b"], **quiet)
            path = at / "unit.xml"
            path.write_bytes((at / "b/meson-logs/testlog.junit.xml").read_bytes())
            for script in (["junit.py", at / "b/meson-logs/testlog.json", path], ["again.py", at / "b", path, "--suite", "unit"]):
                done = subprocess.run([sys.executable, "-B", TOOLS / script[0], *script[1:]], text=True,
                                      capture_output=True)
            root = ET.parse(path).getroot()
            bad = [c for c in root.iter("testcase") if c.find("failure") is not None or c.find("error") is not None]
            return done, sorted(c.get("name") for c in bad), len(list(root.iter("testcase")))

    def test_who_passes_alone_has_passed_and_is_named(self):
        done, bad, cases = self.run_all("steady", "once")
        self.assertEqual((done.returncode, bad, cases), (0, [], 2), done.stdout)
        self.assertIn("passed when run alone: once", done.stdout)
        self.assertIn("ended with 1 after", done.stdout)
        self.assertIn("\n    it was the machine\n", done.stdout)

    def test_who_fails_twice_has_failed(self):
        done, bad, cases = self.run_all("once", "twice")
        self.assertEqual((done.returncode, bad, cases), (1, ["twice"], 2), done.stdout)

    def test_crashes_and_findings_are_not_repeated(self):
        for n in ("crash", "finding"):
            done, bad, _ = self.run_all(n, "once")
            self.assertEqual((done.returncode, bad), (1, [n]), done.stdout)
            self.assertIn(f"not repeated: {n}", done.stdout)
            self.assertIn("passed when run alone: once", done.stdout)  # who shares the run with it loses nothing

    def test_more_than_three_are_the_changes_fault(self):
        done, bad, _ = self.run_all("once1", "once2", "once3", "once4")
        self.assertEqual((done.returncode, len(bad), done.stdout), (1, 4, ""))

    def test_what_uses_idle_time_stands_still_meanwhile(self):
        other = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        with unittest.mock.patch.dict(os.environ, HEADGATE_BESIDE=str(other.pid)):
            done, bad, _ = self.run_all("beside")
        self.assertEqual((done.returncode, bad), (0, []), done.stdout)
        state = pathlib.Path(f"/proc/{other.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        self.assertEqual(state, "S")  # and goes on


if __name__ == "__main__":
    unittest.main()
