#!/usr/bin/env python3
"""Adds up JUnit files and prints the closing line `N passed, N failed[, N skipped]`."""
import sys
import xml.etree.ElementTree as ET


def main():
    passed, failed, skipped = 0, [], 0
    for path in sys.argv[1:]:
        cases = list(ET.parse(path).getroot().iter("testcase"))
        if not cases:
            failed.append(f"{path}: ran no test")
        for case in cases:
            name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
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
