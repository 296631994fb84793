#!/usr/bin/env python3
"""A second attempt, alone, for the few tests that failed while others ran beside them: many of ours
measure time with real processes, and one in some thousand loses it to a neighbour. What fails twice has
failed. What passes is said, so that nobody takes it for well. Never repeated: a crash, a finding of a
sanitizer, and more than three programs at once (then it is the change, not the machine).

usage: tools/again.py BUILD FILE.xml [meson test's options]    after meson test; exits with 0 when all is well
       HEADGATE_BESIDE=PGID: a group of processes that use the time tests leave; it stands still meanwhile
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

from junit import GOOD, end_of, mend, rows_of, said_by

MOST = 3
LINES = 12  # of what a test said
# A test that fails leaves what it holds: leaks say nothing then, and a leak of its own comes again.
FINDINGS = ("ERROR: AddressSanitizer", "ThreadSanitizer", "runtime error:")

# What a program does to itself; other signals come from somebody else (who ran out of memory, say).
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP)


def log_of(build):
    return rows_of(pathlib.Path(build) / "meson-logs/testlog.json")


def may_be_repeated(row):
    said = (row.get("stdout") or "") + (row.get("stderr") or "")
    return -row.get("returncode", 0) not in CRASHES and not any(f in said for f in FINDINGS)


def replace(root, again, name):
    """Puts what `again` says of the test `name` in the place of what was said of it before. A program that
    speaks TAP has a suite of its own, the others are cases of one that they share."""
    for suite in again.iter("testsuite"):
        for old in [s for s in root.iter("testsuite") if s.get("name") == suite.get("name")]:
            if old.get("name", "").endswith(name):
                root.remove(old)
                root.append(suite)
                continue
            for case in suite.iter("testcase"):
                for gone in [c for c in old.iter("testcase") if c.get("name") == case.get("name")]:
                    old.remove(gone)
                old.append(case)


def say_why(row):
    """Why it failed beside others: whoever reads of it wants to know whether it was the machine."""
    first = re.search(r"(?m)^not ok (\d+ - .*)", row.get("stdout") or "")
    case = ET.Element("testcase", name=first[1] if first else "")
    for line in [case.get("name"), *said_by(row, case).splitlines()[-LINES:]]:
        if line.strip():
            print(f"    {line[:300]}", flush=True)


def attempt(build, row, options):
    """Runs it alone; what it has become, and meson's report of it."""
    name = row["name"].split(" / ", 1)[-1]
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--quiet", "--print-errorlogs",
                    *options, "--num-processes", "1", name])
    tree = ET.parse(pathlib.Path(build) / "meson-logs/testlog.junit.xml")
    rows = log_of(build)
    mend(tree.getroot(), rows)
    return [r["result"] for r in rows], tree.getroot()


@contextlib.contextmanager
def nobody_beside():
    """Idle priority takes no time of a test, but its caches, its disk and the other half of its core."""
    group = int(os.environ.get("HEADGATE_BESIDE", 0))

    def tell(what):
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(group, what)
    tell(signal.SIGSTOP)
    try:
        yield
    finally:
        tell(signal.SIGCONT)


def main():
    build, path, *options = sys.argv[1:]
    bad = [r for r in log_of(build) if r["result"] not in GOOD]
    if len(bad) > MOST:
        return 1
    tree, well = ET.parse(path), True
    for row in bad:
        if not may_be_repeated(row):
            print(f"not repeated: {row['name']} ({row['result']}: {end_of(row)})", flush=True)
            well = False
            continue
        print(f"again, alone: {row['name']} ({row['result']}: {end_of(row)})", flush=True)
        say_why(row)
        with nobody_beside():
            results, report = attempt(build, row, options)
        if results and all(r in GOOD for r in results):
            replace(tree.getroot(), report, row["name"])
            print(f"passed when run alone: {row['name']}; beside others: {row['result']}")
        else:
            well = False
    tree.write(path, encoding="utf-8", xml_declaration=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
