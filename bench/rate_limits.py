#!/usr/bin/env python3
"""What limits over several machines cost: the same platform asked without a limit, with a limit that it keeps alone
and with one that it keeps through a Redis on this machine, in alternating rounds.

usage: bench/rate_limits.py [BUILD] [--rounds N] [--seconds N]
"""
import argparse
import pathlib
import re
import subprocess
import tempfile
import time

from common import Process, cpu_ns, free_port, median, need, wait_port, wrk

CONFIG = """version: 1
project: bench
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
  access_log: {{sample: 0%}}
  rate_limits: {{redis: "redis://127.0.0.1:{redis}", timeout: 100ms}}
apps:
  a:
    command: {build}/bench/upstream --port $PORT --body 128
    probes: {{readiness: {{tcp: true}}}}
    routes:
      - {{path: /}}
      - {{path: /alone, rate_limit: 900000/s per ip local}}
      - {{path: /one, rate_limit: 900000/s per ip}}
      - {{path: /three, rate_limit: [900000/s per ip, 50000000/min per user, 50000000/h per ip]}}
"""


def calls(port):
    out = subprocess.run(["redis-cli", "-p", str(port), "info", "commandstats"], capture_output=True, text=True).stdout
    found = re.search(r"cmdstat_evalsha:calls=(\d+),usec=(\d+)", out)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", nargs="?", default="build")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=2)
    args = p.parse_args()
    need("wrk", "redis-server")
    build = pathlib.Path(args.build).resolve()
    port, redis_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as d:
        redis = Process(["redis-server", "--port", redis_port, "--save", "", "--appendonly", "no", "--dir", d], cpu=1)
        wait_port(redis_port)
        file = pathlib.Path(d) / "headgate.yaml"
        pathlib.Path(d).chmod(0o755)
        file.write_text(CONFIG.format(port=port, redis=redis_port, build=build))
        headgate = [build / "headgate", "--data", f"{d}/hg"]
        subprocess.run([*headgate, "up", "--detach", "-f", file], check=True, stdout=subprocess.DEVNULL)
        try:
            wait_port(port)
            status = subprocess.run([*headgate, "status", "--json"], capture_output=True, text=True).stdout
            edge = [int(x) for x in re.findall(r'"role":\s*"edge"[^}]*?"pid":\s*(\d+)', status) or
                    re.findall(r'"pid":\s*(\d+)[^}]*?"role":\s*"edge"', status)]
            time.sleep(1)
            rows = {}
            for _ in range(args.rounds):
                for path in ("/", "/alone", "/one", "/three"):
                    for n in (1, 64):
                        before, cpu = calls(redis_port), cpu_ns(edge)
                        got = wrk(f"http://127.0.0.1:{port}{path}", n, args.seconds)
                        after = calls(redis_port)
                        asked = after[0] - before[0]
                        rows.setdefault((path, n), []).append(
                            (got["rps"], got["p50_us"], got["p99_us"], (cpu_ns(edge) - cpu) / 1000 / got["requests"],
                             asked / got["requests"], (after[1] - before[1]) / asked if asked else 0, got["errors"]))
            print("| route | connections | requests/s | p50 µs | p99 µs | edge CPU µs | asked of Redis | µs of Redis | errors |")
            print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            for (path, n), got in rows.items():
                m = [median(column) for column in zip(*got)]
                print(f"| {path} | {n} | {m[0]:.0f} | {m[1]:.0f} | {m[2]:.0f} | {m[3]:.1f} | {m[4]:.3f} | {m[5]:.1f} | "
                      f"{sum(g[6] for g in got)} |")
        finally:
            subprocess.run([*headgate, "down"], stdout=subprocess.DEVNULL)
            redis.stop()


if __name__ == "__main__":
    main()
