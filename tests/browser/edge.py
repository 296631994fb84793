#!/usr/bin/env python3
"""The browser tests once more, through the edge: three replicas on a fresh database, one of them
killed while the tests run. usage: tests/browser/run --edge [test name pattern]; BUILD and JUNIT as there."""
import os
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
os.environ["BUILD"] = str((HERE.parent.parent / os.environ.get("BUILD", "build")).resolve())
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import Platform, alive, kill  # noqa: E402: the harness reads BUILD


def main():
    with Platform() as p:
        p.up()
        victim = p.replicas()[0]["pid"]
        over = threading.Event()

        def misfortune():
            if not over.wait(6):  # the browser has started, the tests are under way
                kill(victim)
        killer = threading.Thread(target=misfortune)
        env = {**os.environ, "BASE_URL": f"http://127.0.0.1:{p.port}", "SUITE": "browser through the edge"}
        tests = subprocess.Popen([str(HERE / "run"), *sys.argv[1:]], env=env)
        killer.start()
        status = tests.wait()
        over.set()
        killer.join()
        if alive(victim):
            print("the tests were over before a replica was killed", file=sys.stderr)
            return status or (0 if len(sys.argv) > 1 else 1)
        p.wait_ready(3)
        return status


if __name__ == "__main__":
    sys.exit(main())
