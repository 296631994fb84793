#!/usr/bin/env python3
"""Adds up JUnit files and prints why tests failed, their names, and the closing line
`N passed, N failed[, N skipped]`."""
import sys
import xml.etree.ElementTree as ET


LINES, TOLD = 12, 5  # of what a test said, and of how many: the rest is in the reports


def reason(why):
    """A few lines; the last ones of a test's words say most."""
    text = [line for line in (why.text or "").splitlines() if line.strip()]
    return [why.get("message") or "failed", *text[-LINES:]]


def main():
    passed, failed, skipped, told = 0, [], 0, 0
    for path in sys.argv[1:]:
        cases = list(ET.parse(path).getroot().iter("testcase"))
        if not cases:
            failed.append(f"{path}: ran no test")
        for case in cases:
            name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
            why = next((e for e in case if e.tag in ("failure", "error")), None)
            if why is not None:
                failed.append(name)
                told += 1
                for line in [name, *reason(why)] if told <= TOLD else []:
                    print(f"  | {line[:300]}")
            elif case.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
    for name in failed:
        print(f"failed: {name}")
    if passed + len(failed) == 0:
        failed.append("no test was executed")
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
