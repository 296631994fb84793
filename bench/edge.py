#!/usr/bin/env python3
"""CPU per request of the edge against HAProxy and nginx (one worker each) and a bare byte relay.

Same run, same upstream. Proxies are pinned to CPU 0; upstream and load generator to CPU 1. Rounds
are interleaved, figures are medians over the rounds. CPU is user + system time of the proxy's own
processes: for Headgate the edge worker, and in a second column everything it runs (warden, control,
observe, which stores the access log).

usage: bench/edge.py [BUILD] [--rounds N] [--seconds N] [--write]
"""
import argparse
import json
import pathlib
import socket
import subprocess
import tempfile
import time

from common import (ROOT, Process, cpu_ns, free_port, median, need, rss_kib, wait_port, wrk, write_section)


def haproxy(dir_, port, upstream):
    (dir_ / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 9900
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  option forwardfor
  default_backend b
backend b
  server s 127.0.0.1:{upstream} pool-max-conn 2000
""")
    return Process(["haproxy", "-db", "-f", dir_ / "haproxy.cfg"], cpu=0)


def nginx(dir_, port, upstream):
    (dir_ / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; error_log /dev/null; pid {dir_}/nginx.pid;
events {{ worker_connections 19500; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {dir_}/b; proxy_temp_path {dir_}/p; fastcgi_temp_path {dir_}/f;
  uwsgi_temp_path {dir_}/u; scgi_temp_path {dir_}/s;
  upstream u {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
}}""")
    return Process(["nginx", "-c", dir_ / "nginx.conf"], cpu=0)


class Headgate:
    """The real platform with one edge worker, in front of the same upstream through `run`'s file."""

    def __init__(self, build, dir_, port, body, https=None):
        self.data = dir_ / "data"
        config = dir_ / "headgate.yaml"
        config.write_text(f"""version: 1
project: bench
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"{f', https: "127.0.0.1:{https}"' if https else ''}}}
  {'tls: {certificates: [{cert: cert.pem, key: key.pem}]}' if https else ''}
apps:
  up:
    command: {build.resolve()}/bench/upstream --port $PORT --body {body}
    dir: {dir_}
    replicas: 1
    probes: {{readiness: {{tcp: true}}}}
    routes: [{{host: "*", path: /}}]
""")
        self.command = [build / "headgate", "--data", self.data]
        subprocess.run([*self.command, "up", "--detach", "-f", config], check=True, stdout=subprocess.DEVNULL)
        status = json.loads(subprocess.run([*self.command, "status", "--json"], check=True,
                                           capture_output=True, text=True).stdout)
        self.edge = [p["pid"] for p in status["processes"] if p["role"] == "edge"]
        self.all = [p["pid"] for p in status["processes"]]
        for pid in self.all:
            subprocess.run(["taskset", "-cp", "0", str(pid)], stdout=subprocess.DEVNULL)
        for replica in (r for a in status["apps"] for r in a["replicas"]):
            subprocess.run(["taskset", "-cp", "1", str(replica["pid"])], stdout=subprocess.DEVNULL)

    def stop(self):
        subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL)


def start(build, dir_, body):
    """name → (port, pids whose CPU counts, stop)."""
    upstream = free_port()
    origin = Process([build / "bench/upstream", "--port", upstream, "--body", body], cpu=1)
    wait_port(upstream)
    proxies, stops = {}, [origin.stop]
    for name, make in (("haproxy", haproxy), ("nginx", nginx)):
        port = free_port()
        process = make(dir_, port, upstream)
        stops.append(process.stop)
        proxies[name] = (port, process.tree)
    port = free_port()
    floor = Process([build / "bench/relay", "--port", port, "--to", upstream], cpu=0)
    stops.append(floor.stop)
    proxies["relay"] = (port, floor.tree)
    port = free_port()
    ours = Headgate(build, dir_, port, body)
    stops.append(ours.stop)
    proxies["headgate"] = (port, lambda: ours.edge)
    proxies["headgate, all processes"] = (port, lambda: ours.all)
    for port, _ in proxies.values():
        wait_port(port)
    return proxies, stops


def slice_of(proxy, connections, seconds):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    result = wrk(f"http://127.0.0.1:{port}/", connections, seconds)
    result["cpu_us"] = (cpu_ns(ids) - before) / 1e3 / max(1, result["requests"])
    return result


def measure(build, body, connections, rounds, seconds):
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        proxies, stops = start(build, dir_, body)
        results = {n: [] for n in proxies}
        try:
            for proxy in proxies.values():
                slice_of(proxy, connections, 1)
            for _ in range(rounds):
                for n, proxy in proxies.items():
                    results[n].append(slice_of(proxy, connections, seconds))
        finally:
            for stop in reversed(stops):
                stop()
        return {n: {k: median([r[k] for r in rows]) for k in rows[0]} for n, rows in results.items()}


def idle_memory(build, count=9500):
    """KiB of resident memory per idle keep-alive connection."""
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        proxies, stops = start(build, dir_, 128)
        try:
            for n in ("haproxy", "nginx", "headgate"):
                port, pids = proxies[n]
                slice_of(proxies[n], 64, 1)
                before, socks = rss_kib(pids()), []
                for i in range(count):
                    # Source addresses are spread, so that one pair of addresses does not run out of ports.
                    socks.append(socket.create_connection(
                        ("127.0.0.1", port), 5, source_address=(f"127.0.{1 + i // 5000}.1", 0)))
                for s in socks:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                for s in socks:
                    s.recv(4096)
                time.sleep(1)
                rows[n] = (rss_kib(pids()) - before) / count
                for s in socks:
                    s.close()
        finally:
            for stop in reversed(stops):
                stop()
    return rows


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=2)
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("haproxy", "nginx", "wrk", "taskset")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream", "bench/relay"], check=True)
    lines = ["| body | connections | proxy | CPU µs/request | against HAProxy | requests/s | p50 µs | p99 µs | errors |",
             "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for body in (128, 16384):
        for connections in (1, 64, 512):
            table = measure(build, body, connections, args.rounds, args.seconds)
            base = table["haproxy"]["cpu_us"]
            for n, r in table.items():
                lines.append(f"| {body} | {connections} | {n} | {r['cpu_us']:.1f} | {r['cpu_us'] / base:.2f} | "
                             f"{r['rps']:.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | {r['errors']:.0f} |")
                print(lines[-1], flush=True)
    lines += ["", "Resident memory per idle keep-alive connection, 9,500 of them (the descriptor limit of the peers here): " + ", ".join(
        f"{n} {kib:.2f} KiB" for n, kib in idle_memory(build).items()) + "."]
    print(lines[-1])
    versions = [subprocess.run(c, capture_output=True, text=True) for c in (["haproxy", "-v"], ["nginx", "-v"])]
    peers = "; ".join((v.stdout or v.stderr).splitlines()[0] for v in versions)
    lines += ["", f"Peers: {peers}. Medians of {args.rounds} interleaved rounds of {args.seconds} s. HAProxy and nginx "
              "write no access log here; Headgate's edge writes its own, always."]
    if args.write:
        write_section("Edge: CPU per request", "\n".join(lines))


if __name__ == "__main__":
    main()
