#!/usr/bin/env python3
"""Puts into meson's JUnit file what meson leaves out: a test that timed out, was killed, or ended badly
after its last line is written there as passed, or not at all; and no failure says why.

usage: tools/junit.py meson-logs/testlog.json FILE.xml
"""
import json
import re
import signal
import sys
import xml.etree.ElementTree as ET

GOOD = ("OK", "SKIP", "EXPECTEDFAIL")
WORDS = 20000  # as much of what a program said is kept


def failed(case):
    return case.find("failure") is not None or case.find("error") is not None


def end_of(row):
    """How the program ended, in words."""
    after, code = f" after {row.get('duration', 0):.0f} s", row.get("returncode", 0)
    if row["result"] == "TIMEOUT":
        return "not over" + after
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}" + after
        except ValueError:
            return f"ended by signal {-code}" + after
    return f"ended with {code}" + after


def said_by(row, case):
    """What explains the failure of a case: the lines behind its "not ok", else the last of all."""
    out = row.get("stdout") or ""
    number = re.match(r"(\d+) - ", case.get("name", ""))
    found = number and re.search(rf"(?m)^not ok {number[1]}\b.*\n((?:#.*\n?)*)", out)
    if found and found[1]:
        return re.sub(r"(?m)^# ?", "", found[1])[-WORDS:]
    return (out + (row.get("stderr") or ""))[-WORDS:]


def clean(text):
    """Without what XML cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def cases_of(root, name):
    """Those of a program that speaks TAP are a suite of its own, the others are cases of one they share."""
    suites = [s for s in root.iter("testsuite") if s.get("name", "").endswith(name)]
    cases = [c for c in root.iter("testcase") if c.get("name") == name]
    return suites, cases, cases + [c for s in suites for c in s.iter("testcase")]


def mend(root, rows):
    """Adds a failure for each row of testlog.json that is bad and has none, and says in each why."""
    for row in rows:
        name, result = row["name"], row["result"]
        if result in GOOD:
            continue
        suites, cases, everything = cases_of(root, name)
        if not any(failed(c) for c in everything):
            if not cases:
                suite = suites[0] if suites else ET.SubElement(root, "testsuite", name=name)
                cases = [ET.SubElement(suite, "testcase", classname=name, name="the program as a whole")]
                suite.set("tests", str(int(suite.get("tests", 0)) + 1))
            everything += [] if cases[0] in everything else cases
            ET.SubElement(cases[0], "failure", message=f"{result}: {end_of(row)}")
            for node in [root, *root.iter("testsuite")]:
                if node is root or cases[0] in list(node):
                    node.set("failures", str(int(node.get("failures", 0)) + 1))
        for case in filter(failed, everything):
            for why in (*case.iter("failure"), *case.iter("error")):
                why.set("message", why.get("message") or end_of(row))
                why.text = why.text or clean(said_by(row, case))


def rows_of(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def main():
    log, path = sys.argv[1:]
    tree = ET.parse(path)
    mend(tree.getroot(), rows_of(log))
    tree.write(path, encoding="utf-8", xml_declaration=True)


if __name__ == "__main__":
    main()
