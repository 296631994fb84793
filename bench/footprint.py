#!/usr/bin/env python3
"""Memory of the idle platform with the demo, and the times a person waits for.

usage: bench/footprint.py [BUILD] [--write]
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time
import urllib.request

from common import ROOT, free_port, median, pss_kib, write_section


def timed(argv, runs=21):
    times = []
    for _ in range(runs):
        begin = time.monotonic()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        times.append((time.monotonic() - begin) * 1000)
    return median(times)


def first_answer(port, begin):
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/feedback", timeout=1) as r:
                if r.status == 200:
                    return (time.monotonic() - begin) * 1000
        except OSError:
            pass
        if time.monotonic() - begin > 30:
            raise SystemExit("no answer within 30 s")
        time.sleep(0.005)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--write", action="store_true")
    args = args.parse_args()
    build = (ROOT / args.build).resolve()
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        port = free_port()
        text = (ROOT / "headgate.yaml").read_text()
        config = dir_ / "headgate.yaml"
        config.write_text(text.replace("build/feedback-app", f"{build}/feedback-app").replace("8080", str(port)))
        command = [build / "headgate", "--data", dir_ / "hg"]
        begin = time.monotonic()
        up = subprocess.Popen([*map(str, command), "up", "--detach", "-f", str(config)], stdout=subprocess.DEVNULL)
        first_ms = first_answer(port, begin)
        up.wait()
        try:
            time.sleep(5)
            status = json.loads(subprocess.run([*command, "status", "--json"], check=True, capture_output=True,
                                               text=True).stdout)
            roles = [(p["role"], pss_kib([p["pid"]])) for p in status["processes"]]
            status_ms = timed([*command, "status"])
            version_ms = timed([build / "headgate", "version"])
        finally:
            subprocess.run([*command, "down"], stdout=subprocess.DEVNULL)
    total = sum(kib for _, kib in roles) / 1024
    lines = ["| what | measured | promise |", "| --- | ---: | ---: |",
             f"| idle platform with the demo, PSS without replicas | {total:.1f} MB | 40 MB |",
             f"| `up` to the first answered request | {first_ms:.0f} ms | 1000 ms |",
             f"| `headgate version` | {version_ms:.1f} ms | 10 ms |",
             f"| `headgate status` | {status_ms:.1f} ms | 100 ms |", "",
             "PSS by process: " + ", ".join(f"{role} {kib / 1024:.1f} MB" for role, kib in roles) + "."]
    print("\n".join(lines))
    if args.write:
        write_section("Footprint", "\n".join(lines))


if __name__ == "__main__":
    main()
