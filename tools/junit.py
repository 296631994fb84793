#!/usr/bin/env python3
"""Puts into meson's JUnit file what meson leaves out: a test that timed out, was killed, or ended badly
after its last line is written there as passed, or not at all.

usage: tools/junit.py meson-logs/testlog.json FILE.xml
"""
import json
import sys
import xml.etree.ElementTree as ET

GOOD = ("OK", "SKIP", "EXPECTEDFAIL")


def failed(case):
    return case.find("failure") is not None or case.find("error") is not None


def mend(root, results):
    """Adds a failure for each (name, result) that is bad and has none."""
    for name, result in results:
        if result in GOOD:
            continue
        suites = [s for s in root.iter("testsuite") if s.get("name", "").endswith(name)]
        cases = [c for c in root.iter("testcase") if c.get("name") == name]
        if any(failed(c) for c in cases + [c for s in suites for c in s.iter("testcase")]):
            continue
        if not cases:
            suite = suites[0] if suites else ET.SubElement(root, "testsuite", name=name)
            cases = [ET.SubElement(suite, "testcase", classname=name, name="the program as a whole")]
            suite.set("tests", str(int(suite.get("tests", 0)) + 1))
        ET.SubElement(cases[0], "failure", message=result)
        for node in [root, *root.iter("testsuite")]:
            if node is root or cases[0] in list(node):
                node.set("failures", str(int(node.get("failures", 0)) + 1))


def main():
    log, path = sys.argv[1:]
    with open(log) as f:
        results = [(row["name"], row["result"]) for row in map(json.loads, f)]
    tree = ET.parse(path)
    mend(tree.getroot(), results)
    tree.write(path, encoding="utf-8", xml_declaration=True)


if __name__ == "__main__":
    main()
