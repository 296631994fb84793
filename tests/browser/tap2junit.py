#!/usr/bin/env python3
"""Prints the failures and the sum of node's TAP output, and makes a JUnit file of it.

usage: tap2junit.py TAP [JUNIT [SUITE]]
"""
import re
import sys
import xml.etree.ElementTree as ET

LINE = re.compile(r"^(\s*)(not ok|ok) \d+ - (.*?)(?: # (SKIP|TODO)\b.*)?$")


def cases(text):
    """Leaves only: a suite's own line comes behind its tests, less indented. But when what it does before or
    after them failed, only that line says why."""
    found, lines = [], text.splitlines()
    for number, line in enumerate(lines):
        m = LINE.match(line)
        if not m:
            continue
        diagnosis = []
        for after in lines[number + 1:]:
            if LINE.match(after) or after.strip().startswith(("# Subtest", "1..")):
                break
            diagnosis.append(after)
        hook = any(re.match(r"\s*failureType: 'hookFailed'", d) for d in diagnosis)
        if any(re.match(r"\s*type: 'suite'", d) for d in diagnosis) and not hook:
            continue
        skipped = m.group(4) == "SKIP"
        seconds = next((float(d.split(":")[1]) / 1000 for d in diagnosis if "duration_ms:" in d), 0)
        found.append((m.group(3), m.group(2) == "ok", skipped, seconds, "\n".join(diagnosis)))
    return found


def main():
    tests = cases(open(sys.argv[1], encoding="utf-8").read())
    failed = [t for t in tests if not t[1]]
    skipped = [t for t in tests if t[2]]
    for name, good, _, seconds, diagnosis in tests:
        print(f"{'ok  ' if good else 'FAIL'} {name} ({seconds:.1f} s)")
        if not good:
            print(diagnosis)
    if len(sys.argv) > 2:
        name_of_suite = sys.argv[3] if len(sys.argv) > 3 else "browser"
        suite = ET.Element("testsuite", name=name_of_suite, tests=str(len(tests)), failures=str(len(failed)),
                           skipped=str(len(skipped)))
        for name, good, skip, seconds, diagnosis in tests:
            case = ET.SubElement(suite, "testcase", classname=name_of_suite, name=name, time=f"{seconds:.3f}")
            if skip:
                ET.SubElement(case, "skipped")
            elif not good:
                ET.SubElement(case, "failure", message="failed").text = diagnosis
        ET.ElementTree(suite).write(sys.argv[2], encoding="utf-8", xml_declaration=True)
    passed = len(tests) - len(failed) - len(skipped)
    print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
