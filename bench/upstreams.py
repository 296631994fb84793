#!/usr/bin/env python3
"""CPU per request of the edge where the leg to the replica is TLS 1.3, HTTP/2 in the clear, or HTTP/2 over TLS,
against HAProxy and nginx (one worker each; nginx speaks no HTTP/2 to upstreams). Clients speak HTTP/1.1 in the
clear, 64 connections; the replica is an nginx for all.
Rounds are interleaved, figures are medians. usage: bench/upstreams.py [BUILD] [--rounds N] [--seconds N] [--write]"""
import argparse
import json
import pathlib
import subprocess
import tempfile

from common import ROOT, Process, cpu_ns, free_port, median, need, wait_port, wrk, write_section
from tls import certificate

# what, how HAProxy asks, what Headgate's app says, nginx takes part
LEGS = {
    "TLS 1.3": ("ssl ca-file {dir}/cert.pem verify required sni str(x) verifyhost x",
                "{{tls: {{ca: {dir}/cert.pem, name: x}}}}", True),
    "HTTP/2": ("proto h2", "{{protocol: http2}}", False),
    "HTTP/2 over TLS": ("ssl ca-file {dir}/cert.pem verify required sni str(x) verifyhost x alpn h2",
                        "{{protocol: http2, tls: {{ca: {dir}/cert.pem, name: x}}}}", False),
}


LISTEN = {"TLS 1.3": "ssl", "HTTP/2": "http2", "HTTP/2 over TLS": "ssl http2"}


def replica(dir_, leg):
    """A script that serves 128 B on the port that it is given, from nginx."""
    certificate(dir_)
    (dir_ / "key.pem").chmod(0o644)  # replicas run as somebody else
    (dir_ / "origin.conf").write_text(f"""
daemon off; master_process off; error_log stderr crit; pid FOLDER/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; http2_max_concurrent_streams 256;
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f;
  uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
  ssl_certificate {dir_}/cert.pem; ssl_certificate_key {dir_}/key.pem; ssl_protocols TLSv1.3;
  server {{ listen 127.0.0.1:PORT {LISTEN[leg]}; location / {{ return 200 "{"x" * 128}"; }} }}
}}""")
    script = dir_ / "origin"
    script.write_text(f"""#!/bin/sh
folder=$(mktemp -d)
sed "s|PORT|$1|g; s|FOLDER|$folder|g" {dir_}/origin.conf >$folder/conf
exec nginx -c $folder/conf
""")
    script.chmod(0o755)
    return script


def haproxy(dir_, port, upstream, how):
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
  server s 127.0.0.1:{upstream} pool-max-conn 2000 {how.format(dir=dir_)}
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
    location / {{ proxy_pass https://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_ssl_trusted_certificate {dir_}/cert.pem; proxy_ssl_verify on; proxy_ssl_name x;
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
}}""")
    return Process(["nginx", "-c", dir_ / "nginx.conf"], cpu=0)


class Headgate:
    """The real platform with one edge worker; its replica is the same program, on a port of its own."""

    def __init__(self, build, dir_, leg, port):
        (dir_ / "headgate.yaml").write_text(f"""version: 1
project: bench
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
  access_log: {{to: "off"}}
apps:
  up:
    command: {dir_}/origin $PORT
    dir: {dir_}
    replicas: 1
    upstream: {LEGS[leg][1].format(dir=dir_)}
    probes: {{readiness: {{tcp: true}}}}
    routes: [{{host: "*", path: /}}]
""")
        self.command = [build / "headgate", "--data", dir_ / "data"]
        subprocess.run([*self.command, "up", "--detach", "-f", dir_ / "headgate.yaml"], check=True,
                       stdout=subprocess.DEVNULL)
        status = json.loads(subprocess.run([*self.command, "status", "--json"], check=True,
                                           capture_output=True, text=True).stdout)
        self.edge = [p["pid"] for p in status["processes"] if p["role"] == "edge"]
        for pid in [p["pid"] for p in status["processes"]]:
            subprocess.run(["taskset", "-cp", "0", str(pid)], stdout=subprocess.DEVNULL)
        for one in (r for a in status["apps"] for r in a["replicas"]):
            subprocess.run(["taskset", "-acp", "1", str(one["pid"])], stdout=subprocess.DEVNULL)

    def stop(self):
        subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def one_slice(proxy, seconds):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    got = wrk(f"http://127.0.0.1:{port}/", 64, seconds)
    got["cpu_us"] = (cpu_ns(ids) - before) / 1e3 / max(1, got["requests"])
    return got


def table(build, leg, rounds, seconds):
    how, _, with_nginx = LEGS[leg]
    with tempfile.TemporaryDirectory() as name:
        dir_, stops, proxies = pathlib.Path(name), [], {}
        dir_.chmod(0o755)
        upstream = free_port()
        stops.append(Process([replica(dir_, leg), upstream], cpu=1).stop)
        wait_port(upstream)
        try:
            for peer, make in [("haproxy", lambda p: haproxy(dir_, p, upstream, how)),
                               ("nginx", lambda p: nginx(dir_, p, upstream))][:2 if with_nginx else 1]:
                port = free_port()
                process = make(port)
                stops.append(process.stop)
                proxies[peer] = (port, process.tree)
            port = free_port()
            ours = Headgate(build, dir_, leg, port)
            stops.append(ours.stop)
            proxies["headgate"] = (port, lambda: ours.edge)
            rows = {n: [] for n in proxies}
            for port, _ in proxies.values():
                wait_port(port)
            for _ in range(rounds + 1):  # the first one warms
                for n, proxy in proxies.items():
                    rows[n].append(one_slice(proxy, seconds))
        finally:
            for stop in reversed(stops):
                stop()
    rows = {n: {k: median([r[k] for r in found[1:]]) for k in found[0]} for n, found in rows.items()}
    out = []
    for n, r in rows.items():
        assert r["requests"] > 0 and r["errors"] == 0, (leg, n, r)
        out.append(f"| {leg} | {n} | {r['cpu_us']:.1f} | {r['cpu_us'] / rows['haproxy']['cpu_us']:.2f} | {r['rps']:.0f} | "
                   f"{r['p50_us']:.0f} | {r['p99_us']:.0f} | {r['errors']:.0f} |")
        print(out[-1], flush=True)
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=2)
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("haproxy", "nginx", "wrk", "taskset", "openssl")
    build = (ROOT / args.build).resolve()
    lines = ["| to the replica | proxy | CPU µs a request | against HAProxy | requests/s | p50 µs | p99 µs | errors |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for leg in LEGS:
        lines += table(build, leg, args.rounds, args.seconds)
    lines += ["", f"128 B, 64 connections of clients that speak HTTP/1.1 in the clear; certificates are checked on all "
              f"sides; medians of {args.rounds} interleaved rounds of {args.seconds} s. No access log on any side; Headgate "
              "counts and measures every request. nginx 1.22 speaks no HTTP/2 to upstreams."]
    if args.write:
        write_section("Edge: TLS and HTTP/2 to replicas", "\n".join(lines))


if __name__ == "__main__":
    main()
