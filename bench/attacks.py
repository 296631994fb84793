#!/usr/bin/env python3
"""What normal clients notice of attacks and of failing replicas: an open loop of requests through the edge,
its p99 and failures before, during and after each attack, and the memory of the edge.

The attackers run on the same machine, so what they take of its CPUs is in the figures. A replica that is
black-holed is stopped (its kernel still accepts); one that is 100 times slower runs 1 ms of every 100.

usage: bench/attacks.py [BUILD] [--seconds N] [--rate N] [--workers N] [--idle N] [--only NAME …] [--write]"""
import argparse
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time

from common import ROOT, Process, free_port, rss_kib, wait_port, write_section
from tls import certificate

CONFIG = """version: 1
project: attacks
edge:
  workers: {workers}
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:{https}"}}
  tls: {{certificates: [{{cert: cert.pem, key: key.pem}}], redirect: false}}
apps:
  up:
    command: {build}/bench/upstream --port $PORT --body 128
    dir: {dir}
    replicas: 3
    probes: {{readiness: {{http: /, every: 1s, timeout: 1s, failures: 2}}}}
    protect: {{timeout: 2s, retries: 1, outlier: {{consecutive_errors: 3, eject_for: 5s}}}}
    routes: [{{host: "*", path: /}}]
  big:
    command: {build}/bench/upstream --port $PORT --body 1000000
    dir: {dir}
    replicas: 1
    probes: {{readiness: {{tcp: true}}}}
    routes: [{{host: "*", path: /big}}]
  sink: # waits for whole bodies
    command: python3 -B {root}/tests/framing/recorder.py --port $PORT --report {report}
    dir: {dir}
    replicas: 1
    probes: {{readiness: {{tcp: true}}}}
    routes: [{{host: "*", path: /sink}}]
"""


class Site:
    def __init__(self, build, dir_, workers):
        self.build, self.dir = build, dir_
        self.port, self.https = free_port(), free_port()
        certificate(dir_)
        (dir_ / "key.pem").chmod(0o600)
        (dir_ / "headgate.yaml").write_text(CONFIG.format(workers=workers, port=self.port, https=self.https,
                                                          build=build, dir=dir_, root=ROOT, report=free_port()))
        self.command = [str(build / "headgate"), "--data", str(dir_ / "data")]
        subprocess.run([*self.command, "up", "--detach", "-f", str(dir_ / "headgate.yaml")], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.port)
        wait_port(self.https)

    def status(self):
        return json.loads(subprocess.run([*self.command, "status", "--json"], capture_output=True, text=True).stdout)

    def edges(self):
        return [p["pid"] for p in self.status()["processes"] if p["role"] == "edge"]

    def replicas(self):
        return [r["pid"] for a in self.status()["apps"] if a["name"] == "up" for r in a["replicas"] if r["pid"]]

    def load(self, rate, seconds):
        return subprocess.Popen([str(self.build / "tests/e2e/load"), "--port", str(self.port), "--rate", str(rate),
                                 "--seconds", str(seconds), "--posts", "0", "--path", "/", "--connections", "64"],
                                stdout=subprocess.PIPE, text=True)

    def stop(self):
        subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Clients:
    """bench/attack processes: several, so that no one of them needs more descriptors than it may have."""

    def __init__(self, site, mode, connections, processes=1, wait=30, **more):
        argv = ["--port", site.port, "--connections", connections // processes]
        for name, value in more.items():
            argv += [f"--{name}", value]
        self.made = [Process([site.build / "bench/attack", mode, *argv], stdout=subprocess.PIPE, text=True)
                     for _ in range(processes)]
        limit = threading.Timer(wait, self.give_up)
        limit.start()
        self.ready = all(p.child.stdout.readline().strip() == "READY" for p in self.made)
        limit.cancel()

    def give_up(self):
        for p in self.made:
            p.child.terminate()

    def stop(self):
        self.give_up()
        said = [json.loads(p.child.communicate()[0].strip().splitlines()[-1]) for p in self.made]
        sums = {k: sum(s[k] for s in said) for k in said[0]}
        each_second = sums["begun"] * 1000 / max(1, said[0]["ms"])
        return f"{sums['up']:,} open at the end, {sums['begun']:,} begun ({each_second:,.0f}/s)"


class Floods:
    """bench/h2_flood.py processes: each begins anew when it is thrown out."""

    def __init__(self, site, kind, processes=4):
        self.made = [Process(["python3", "-B", ROOT / "bench/h2_flood.py", site.https, kind], stdout=subprocess.PIPE, text=True)
                     for _ in range(processes)]
        for p in self.made:
            p.child.stdout.readline()

    def stop(self):
        for p in self.made:
            p.child.terminate()
        said = [json.loads(p.child.communicate()[0].strip().splitlines()[-1]) for p in self.made]
        seconds = max(s["ms"] for s in said) / 1000
        return (f"{sum(s['begun'] for s in said):,} connections ({sum(s['begun'] for s in said) / seconds:,.0f}/s), "
                f"{sum(s['bytes'] for s in said) / 1e6 / seconds:,.1f} MB/s")


class Replicas:
    """Something happens to the replicas, until stop()."""

    def __init__(self, site, what):
        self.site, self.what, self.over = site, what, threading.Event()
        pids = site.replicas()
        self.pid = pids[0]
        self.thread = threading.Thread(target=self.slow)
        if what == "black-holed":
            os.kill(self.pid, signal.SIGSTOP)
        elif what == "slow":
            self.thread.start()
        else:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    def slow(self):
        while not self.over.is_set():
            os.kill(self.pid, signal.SIGSTOP)
            time.sleep(0.099)
            os.kill(self.pid, signal.SIGCONT)
            time.sleep(0.001)

    def stop(self):
        self.over.set()
        if self.what == "slow":
            self.thread.join()
        if self.what != "dead":
            os.kill(self.pid, signal.SIGCONT)
        return {"black-holed": "1 of 3", "slow": "1 of 3", "dead": "all 3 killed once"}[self.what]


def client_hello(path):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    path.write_bytes(outgoing.read())
    return path


def attacks(site, args):
    hello = client_hello(site.dir / "hello")
    https = type("Https", (), {"build": site.build, "port": site.https})()
    idle = args.idle
    return {
        "slow heads": lambda: Clients(site, "heads", 2000),
        "slow bodies": lambda: Clients(site, "bodies", 2000, path="/sink"),
        "slow readers": lambda: Clients(site, "reads", 500, path="/big"),
        "idle connections": lambda: Clients(site, "idle", idle, processes=1 + idle // 15000, wait=90),
        "TLS hellos": lambda: Clients(https, "bytes", 200, bytes=hello, rate=2000),
        "heads of 64 KiB": lambda: Clients(site, "bomb", 50, rate=2000),
        "heads of 1000 fields": lambda: Clients(site, "fields", 50, rate=2000),
        "connection churn": lambda: Clients(site, "churn", 200, rate=5000),
        "pipelining": lambda: Clients(site, "pipe", 20),
        "HTTP/2 rapid reset": lambda: Floods(site, "reset"),
        "HTTP/2 CONTINUATION without an end": lambda: Floods(site, "continuation"),
        "HTTP/2 pings": lambda: Floods(site, "ping"),
        "HTTP/2 settings": lambda: Floods(site, "settings"),
        "HTTP/2 header bombs": lambda: Floods(site, "bomb"),
        "a replica black-holed": lambda: Replicas(site, "black-holed"),
        "a replica 100 times slower": lambda: Replicas(site, "slow"),
        "all replicas killed": lambda: Replicas(site, "dead"),
    }


def measured(process):
    result = json.loads(process.communicate(timeout=120)[0])
    return {"p99": result["p99_us"] / 1000, "failed": result["failed_get"], "requests": result["gets"]}


def peak(site, stop, found):
    pids = site.edges()
    while not stop.wait(0.2):
        found.append(rss_kib(pids))


def one(site, make, args):
    before = measured(site.load(args.rate, args.seconds))
    memory = rss_kib(site.edges())
    over, sizes = threading.Event(), [memory]
    watcher = threading.Thread(target=peak, args=(site, over, sizes))
    watcher.start()
    try:
        # Failing replicas are met with requests under way.
        attack, load = None, None
        if make is not None:
            load = site.load(args.rate, args.seconds + 1) if make.__code__.co_names[0] == "Replicas" else None
            time.sleep(0.5 if load else 0)
            attack = make()
        during = measured(load or site.load(args.rate, args.seconds))
        size = attack.stop()
    finally:
        over.set()
        watcher.join()
    time.sleep(1)
    after = measured(site.load(args.rate, args.seconds))
    return before, during, after, size, memory, max(sizes), rss_kib(site.edges())


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--seconds", type=int, default=8)
    args.add_argument("--rate", type=int, default=500)
    args.add_argument("--workers", type=int, default=4)
    args.add_argument("--idle", type=int, default=50000)
    args.add_argument("--only", nargs="*", default=[])
    args.add_argument("--write", action="store_true")
    args = args.parse_args()
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream", "bench/attack", "tests/e2e/load"], check=True)
    lines = ["| attack | its size | p99 before, ms | during | after | failed of normal requests | edge memory before, MiB | most | after |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as where:
        dir_ = pathlib.Path(where)
        dir_.chmod(0o755)
        site = Site(build, dir_, args.workers)
        try:
            for name, make in attacks(site, args).items():
                if args.only and not any(re.search(o, name) for o in args.only):
                    continue
                before, during, after, size, m0, m1, m2 = one(site, make, args)
                failed = sum(x["failed"] for x in (before, during, after))
                total = sum(x["requests"] for x in (before, during, after))
                lines.append(f"| {name} | {size} | {before['p99']:.1f} | {during['p99']:.1f} | {after['p99']:.1f} | "
                             f"{failed} of {total:,} | {m0 / 1024:.1f} | {m1 / 1024:.1f} | {m2 / 1024:.1f} |")
                print(lines[-1], flush=True)
        finally:
            site.stop()
    lines += ["", f"{args.workers} edge workers, {args.rate} requests/s of normal clients over 64 connections in an open loop for "
              f"{args.seconds} s each before, during and after; attackers, replicas and clients on the same CPUs. Memory is the "
              "resident memory of all edge workers together, which counts what they share more than once."]
    print("\n".join(lines))
    if args.write:
        write_section("Attacks under normal load", "\n".join(lines))


if __name__ == "__main__":
    main()
