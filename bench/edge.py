#!/usr/bin/env python3
"""CPU per request of the edge against HAProxy and nginx (one worker each) and a bare byte relay.

Same run, same upstream program; "unix socket": replicas that listen on one. Proxies are pinned to
CPU 0; upstream and load generator to CPU 1. Rounds are interleaved, figures are medians over the
rounds. CPU is user + system time of the proxy's own processes: for Headgate the edge worker, and in
a second row everything it runs (warden, control, observe, which stores the access log).

usage: bench/edge.py [BUILD] [--rounds N] [--seconds N] [--only CASE] [--write]
"""
import argparse
import json
import pathlib
import socket
import subprocess
import tempfile
import time

from common import (ROOT, Process, cpu_ns, free_port, median, need, rss_kib, wait_port, wrk, write_section)


# Per case: what each side does beside relaying. "log": access log, forwarded address, request id and a
# rate limit by client address, which never refuses here.
HAPROXY_LOG = """
  log stdout format raw local0
  option httplog
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  stick-table type ip size 100k expire 60s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }"""


def haproxy(dir_, port, server, case="plain"):
    """`server`: "127.0.0.1:N", or "unix@PATH"."""
    config = dir_ / f"haproxy-{port}.cfg"
    config.write_text(f"""
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
  option forwardfor{HAPROXY_LOG if case == "log" else ""}
  default_backend b
backend b
  server s {server} pool-max-conn 2000
""")
    with open(dir_ / "haproxy.log" if case == "log" else "/dev/null", "ab") as out:
        return Process(["haproxy", "-db", "-f", config], cpu=0, stdout=out)


NGINX_LOG = ("log_format j escape=json '{{\"ts\":\"$time_iso8601\",\"path\":\"$request_uri\",\"status\":$status,"
             "\"duration\":$request_time,\"bytes\":$body_bytes_sent,\"client\":\"$remote_addr\","
             "\"request_id\":\"$request_id\"}}'; access_log {dir_}/nginx.log j buffer=64k flush=1s; "
             "limit_req_zone $binary_remote_addr zone=z:10m rate=1000000r/s; limit_req zone=z burst=100000 nodelay;")


def nginx(dir_, port, server, case="plain"):
    config = dir_ / f"nginx-{port}.conf"
    log = NGINX_LOG.format(dir_=dir_) if case == "log" else "access_log off;"
    config.write_text(f"""
daemon off; worker_processes 1; error_log /dev/null; pid {dir_}/nginx-{port}.pid;
events {{ worker_connections 19500; }}
http {{
  {log} keepalive_requests 1000000000;
  client_body_temp_path {dir_}/b; proxy_temp_path {dir_}/p; fastcgi_temp_path {dir_}/f;
  uwsgi_temp_path {dir_}/u; scgi_temp_path {dir_}/s;
  upstream u {{ server {server.replace("unix@", "unix:")}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      {"proxy_set_header X-Request-Id $request_id;" if case == "log" else ""}
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
}}""")
    return Process(["nginx", "-c", config], cpu=0)


class Headgate:
    """The real platform with one edge worker, in front of replicas that are the same upstream program."""

    def __init__(self, build, dir_, port, body, https=None, case="plain", unix=False, name="data"):
        self.data = dir_ / name
        config = dir_ / f"{name}.yaml"
        route = '{host: "*", path: /' + (', rate_limit: "1000000/s per ip"' if case == "log" else "") + "}"
        config.write_text(f"""version: 1
project: bench
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"{f', https: "127.0.0.1:{https}"' if https else ''}}}
  access_log: {{to: {'file' if case == "log" else '"off"'}}}
  {'tls: {certificates: [{cert: cert.pem, key: key.pem}]}' if https else ''}
apps:
  up:
    command: {build.resolve()}/bench/upstream {'--socket $SOCKET' if unix else '--port $PORT'} --body {body}
    dir: {dir_}
    replicas: 1
    probes: {{readiness: {{tcp: true}}}}
    routes: [{route}]
""")
        self.command = [build / "headgate", "--data", self.data]
        subprocess.run([*self.command, "up", "--detach", "-f", config], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status = json.loads(subprocess.run([*self.command, "status", "--json"], check=True,
                                           capture_output=True, text=True).stdout)
        self.edge = [p["pid"] for p in status["processes"] if p["role"] == "edge"]
        self.all = [p["pid"] for p in status["processes"]]
        for pid in self.all:
            subprocess.run(["taskset", "-cp", "0", str(pid)], stdout=subprocess.DEVNULL)
        for replica in (r for a in status["apps"] for r in a["replicas"]):
            subprocess.run(["taskset", "-cp", "1", str(replica["pid"])], stdout=subprocess.DEVNULL)

    def stop(self):
        subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Field:
    """All proxies of one case, ready: name → (port, pids whose CPU counts)."""

    def __init__(self, build, dir_, body, case):
        self.build, self.dir, self.case = build, dir_, case
        self.proxies, self.stops = {}, []
        self.tcp = free_port()
        self.origin("--port", self.tcp, body)
        wait_port(self.tcp)
        self.peer("haproxy", haproxy, f"127.0.0.1:{self.tcp}")
        self.peer("nginx", nginx, f"127.0.0.1:{self.tcp}")
        if case == "plain":
            self.floor()
        self.ours("headgate", body)
        if case == "plain":
            path = dir_ / "up.sock"
            self.origin("--socket", path, body)
            time.sleep(0.2)
            path.chmod(0o777)
            self.peer("haproxy, unix socket", haproxy, f"unix@{path}")
            self.peer("nginx, unix socket", nginx, f"unix@{path}")
            self.ours("headgate, unix socket", body, unix=True)
        for port, _ in self.proxies.values():
            wait_port(port)

    def origin(self, flag, where, body):
        process = Process([self.build / "bench/upstream", flag, where, "--body", body], cpu=1)
        self.stops.append(process.stop)

    def peer(self, name, make, server):
        port = free_port()
        process = make(self.dir, port, server, self.case)
        self.stops.append(process.stop)
        self.proxies[name] = (port, process.tree)

    def floor(self):
        port = free_port()
        process = Process([self.build / "bench/relay", "--port", port, "--to", self.tcp], cpu=0)
        self.stops.append(process.stop)
        self.proxies["relay"] = (port, process.tree)

    def ours(self, name, body, unix=False):
        port = free_port()
        one = Headgate(self.build, self.dir, port, body, case=self.case, unix=unix, name=f"hg-{port}")
        self.stops.append(one.stop)
        self.proxies[name] = (port, lambda: one.edge)
        self.proxies[f"{name}, all processes"] = (port, lambda: one.all)

    def stop(self):
        for stop in reversed(self.stops):
            stop()


def slice_of(proxy, connections, seconds):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    result = wrk(f"http://127.0.0.1:{port}/", connections, seconds)
    result["cpu_us"] = (cpu_ns(ids) - before) / 1e3 / max(1, result["requests"])
    return result


def measure(build, body, connections, case, rounds, seconds):
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        field = Field(build, dir_, body, case)
        results = {n: [] for n in field.proxies}
        try:
            for proxy in field.proxies.values():
                slice_of(proxy, connections, 1)
            for _ in range(rounds):
                for n, proxy in field.proxies.items():
                    results[n].append(slice_of(proxy, connections, seconds))
        finally:
            field.stop()
        return {n: {k: median([r[k] for r in rows]) for k in rows[0]} for n, rows in results.items()}


def idle_memory(build, count=9500):
    """KiB of resident memory per idle keep-alive connection, and MiB resident under load before."""
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        field = Field(build, dir_, 128, "plain")
        try:
            for n in ("haproxy", "nginx", "headgate"):
                port, pids = field.proxies[n]
                slice_of(field.proxies[n], 64, 1)
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
                rows[n] = ((rss_kib(pids()) - before) / count, before / 1024)
                for s in socks:
                    s.close()
        finally:
            field.stop()
    return rows


# case, body, connections
CASES = [("plain", 128, 1), ("plain", 128, 64), ("plain", 128, 512), ("plain", 16384, 64), ("log", 128, 64)]


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=2)
    args.add_argument("--only", help="cases whose name CASE-BODY-CONNECTIONS has this in it; no memory figures")
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("haproxy", "nginx", "wrk", "taskset")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream", "bench/relay"], check=True)
    lines = ["| case | body | connections | proxy | CPU µs/request | against HAProxy | requests/s | p50 µs | p99 µs | errors |",
             "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for case, body, connections in [c for c in CASES if not args.only or args.only in "-".join(map(str, c))]:
        table = measure(build, body, connections, case, args.rounds, args.seconds)
        base = table["haproxy"]["cpu_us"]
        for n, r in table.items():
            lines.append(f"| {case} | {body} | {connections} | {n} | {r['cpu_us']:.1f} | {r['cpu_us'] / base:.2f} | "
                         f"{r['rps']:.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | {r['errors']:.0f} |")
            print(lines[-1], flush=True)
    if not args.only:
        idle = idle_memory(build)
        lines += ["", "Resident memory per idle keep-alive connection, 9,500 of them (the descriptor limit of the peers "
                  "here): " + ", ".join(f"{n} {kib:.2f} KiB" for n, (kib, _) in idle.items()) + "; of the whole proxy "
                  "under load before: " + ", ".join(f"{n} {mib:.1f} MiB" for n, (_, mib) in idle.items()) + "."]
        print(lines[-1])
    versions = [subprocess.run(c, capture_output=True, text=True) for c in (["haproxy", "-v"], ["nginx", "-v"])]
    peers = "; ".join((v.stdout or v.stderr).splitlines()[0] for v in versions)
    lines += ["", f"Peers: {peers}. Medians of {args.rounds} interleaved rounds of {args.seconds} s. \"plain\": no "
              "access log on any side; \"log\": access log, X-Forwarded-For, request id and a rate limit by client address "
              "on every side. Headgate counts and measures every request in all cases."]
    if args.write:
        write_section("Edge: CPU per request", "\n".join(lines))


if __name__ == "__main__":
    main()
