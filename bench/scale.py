#!/usr/bin/env python3
"""Does the cost of a request grow with what else there is? CPU per request of the edge with 1 and
10,000 routes, 1 and 1,000 apps, 1 and 1,000 replicas, and with 0 and 15,000 idle connections in the
same worker. Requests go to all of them in turn. Both sides of a pair run in the same rounds.

usage: bench/scale.py [BUILD] [--rounds N] [--seconds N] [--only PAIR] [--write]
"""
import argparse
import contextlib
import json
import pathlib
import socket
import subprocess
import tempfile
import time

from common import ROOT, cpu_ns, free_port, median, need, rss_kib, user_system, wait_port, wrk, write_section

IDLE = 15000


def lua(hosts, paths):
    """Requests that go through `hosts` names and `paths` paths in turn."""
    return (ROOT / "bench/report.lua").read_text() + f"""
local n = 0
request = function()
  n = n + 1
  return "GET /p" .. (n * 7919 % {paths}) .. "/x HTTP/1.1\\r\\nHost: h" .. (n * 104729 % {hosts}) .. ".example.com\\r\\n\\r\\n"
end
"""


class Shape:
    """A platform with so many apps, routes and replicas of each."""

    def __init__(self, build, dir_, name, apps=1, routes=1, replicas=1, idle=0):
        self.apps, self.routes, self.idle, self.dir, self.name = apps, routes, idle, dir_, name
        self.port, self.socks = free_port(), []
        text = [f"""version: 1
project: scale
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{self.port}"}}
  access_log: {{to: "off"}}
apps:"""]
        for i in range(apps):
            rows = "\n".join(f"      - {{host: h{i}.example.com, path: /p{k}}}" for k in range(routes // apps or 1))
            text.append(f"""  a{i}:
    command: {build}/bench/upstream --socket $SOCKET --body 128
    dir: {dir_}
    replicas: {replicas}
    probes: {{readiness: {{tcp: true, every: 10m}}}}
    routes:
{rows}""")
        config = dir_ / f"{name}.yaml"
        config.write_text("\n".join(text) + "\n")
        self.command = [build / "headgate", "--data", dir_ / name]
        begin = time.monotonic()
        done = subprocess.run([*self.command, "up", "--detach", "-f", config], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        self.up_s = time.monotonic() - begin
        status = json.loads(subprocess.run([*self.command, "status", "--json"], check=True,
                                           capture_output=True, text=True).stdout)
        self.edge = [p["pid"] for p in status["processes"] if p["role"] == "edge"]
        for p in status["processes"]:
            subprocess.run(["taskset", "-cp", "0", str(p["pid"])], stdout=subprocess.DEVNULL)
        for replica in (r for a in status["apps"] for r in a["replicas"]):
            subprocess.run(["taskset", "-cp", "1", str(replica["pid"])], stdout=subprocess.DEVNULL)
        (dir_ / f"{name}.lua").write_text(lua(apps, routes // apps or 1))
        wait_port(self.port)

    def connect_idle(self):
        for i in range(self.idle):
            self.socks.append(socket.create_connection(
                ("127.0.0.1", self.port), 5, source_address=(f"127.0.{1 + i // 5000}.1", 0)))
            self.socks[-1].sendall(b"GET /p0 HTTP/1.1\r\nHost: h0.example.com\r\n\r\n")
            self.socks[-1].recv(4096)

    def slice(self, seconds):
        before, user = cpu_ns(self.edge), user_system(self.edge)
        r = wrk(f"http://127.0.0.1:{self.port}/", 64, seconds, script=self.dir / f"{self.name}.lua")
        r["cpu_us"] = (cpu_ns(self.edge) - before) / 1e3 / max(1, r["requests"])
        ticks = [b - a for a, b in zip(user, user_system(self.edge))]
        r["user_us"] = r["cpu_us"] * ticks[0] / max(1, sum(ticks))
        return r

    def stop(self):
        for s in self.socks:
            s.close()
        subprocess.run([*self.command, "down"], capture_output=True)


PAIRS = {
    "routes": ("10,000 routes", {"routes": 10000}),
    "apps": ("1,000 apps, a route each", {"apps": 1000, "routes": 1000}),
    "replicas": ("1,000 replicas", {"replicas": 1000}),
    "idle": (f"{IDLE:,} idle connections", {"idle": IDLE}),
}


def pair(build, title, more, rounds, seconds):
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        shapes = {}
        for key, what in (("one", {}), ("many", more)):
            shapes[key] = Shape(build, dir_, key, **what)
            stack.callback(shapes[key].stop)
        shapes["many"].connect_idle()
        rows = {k: [] for k in shapes}
        for _ in range(rounds + 1):
            for k, shape in shapes.items():
                rows[k].append(shape.slice(seconds))
        at = {k: {f: median([r[f] for r in found[1:]]) for f in found[0]} for k, found in rows.items()}
        ratio = median([m["cpu_us"] / o["cpu_us"] for o, m in zip(rows["one"][1:], rows["many"][1:])])
        line = (f"| {title} | {at['one']['cpu_us']:.1f} | {at['many']['cpu_us']:.1f} | {ratio:.2f} | "
                f"{at['one']['user_us']:.1f} | {at['many']['user_us']:.1f} | "
                f"{at['one']['p99_us']:.0f} | {at['many']['p99_us']:.0f} | {at['many']['errors']:.0f} | "
                f"{shapes['many'].up_s:.1f} | {rss_kib(shapes['many'].edge) / 1024:.1f} |")
        print(line, flush=True)
        return line


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=2)
    args.add_argument("--only", choices=sorted(PAIRS))
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("wrk", "taskset")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream"], check=True)
    lines = ["| with | CPU µs/request, one | with many | ratio | of it user, one | with many | p99 µs, one | with many | errors | `up` s | edge MiB |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for key, (title, more) in PAIRS.items():
        if args.only in (None, key):
            lines.append(pair(build, title, more, args.rounds, args.seconds))
    lines += ["", f"Replicas on unix sockets, 64 connections, 128 B, medians of {args.rounds} rounds of {args.seconds} s in turn."]
    if args.write:
        write_section("Edge: what a request costs when there is much else", "\n".join(lines))


if __name__ == "__main__":
    main()
