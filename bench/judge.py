#!/usr/bin/env python3
"""What the judge costs per request, per failure and per look.

usage: bench/judge.py [BUILD] [--write]
"""
import argparse
import subprocess

from common import ROOT, write_section


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--write", action="store_true")
    args = args.parse_args()
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", build, "--quiet", "bench/judge-cost"], check=True)
    text = subprocess.run([build / "bench/judge-cost"], check=True, capture_output=True, text=True).stdout
    print(text, end="")
    if args.write:
        write_section("The judge", text)


if __name__ == "__main__":
    main()
