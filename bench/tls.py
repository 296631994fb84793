#!/usr/bin/env python3
"""CPU per request and per handshake of the edge with TLS 1.3, against HAProxy and nginx (one worker
each, the same ECDSA certificate, the same upstream, X25519, TLS_AES_128_GCM_SHA256) and, for handshakes,
OpenSSL alone, without a proxy. Rounds are interleaved, figures are medians. usage: bench/tls.py [BUILD] [--rounds N] [--seconds N] [--write]"""
import argparse
import json
import pathlib
import re
import socket
import ssl
import subprocess
import tempfile
import time

from common import ROOT, Process, cpu_ns, free_port, median, need, rss_kib, wait_port, wrk, write_section
from edge import Headgate


# What Headgate takes by itself; the peers would take TLS_AES_256_GCM_SHA384, which costs more.
SUITE = "TLS_AES_128_GCM_SHA256"


FLOOR = "OpenSSL alone, no proxy"


def certificate(dir_):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", dir_ / "key.pem", "-out", dir_ / "cert.pem", "-days", "30", "-subj", "/CN=x",
                    "-addext", "subjectAltName=DNS:x"], check=True, capture_output=True)
    (dir_ / "both.pem").write_text((dir_ / "cert.pem").read_text() + (dir_ / "key.pem").read_text())


def haproxy(dir_, port, upstream):
    (dir_ / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 9900
  ssl-default-bind-curves X25519:P-256
  ssl-default-bind-ciphersuites {SUITE}
  tune.ssl.cachesize 20000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:{port} ssl crt {dir_}/both.pem ssl-min-ver TLSv1.3 alpn http/1.1
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
  ssl_certificate {dir_}/cert.pem; ssl_certificate_key {dir_}/key.pem;
  ssl_protocols TLSv1.3; ssl_ecdh_curve X25519:P-256; ssl_session_tickets on;
  ssl_conf_command Ciphersuites {SUITE};
  upstream u {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} ssl backlog=4096;
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
}}""")
    return Process(["nginx", "-c", dir_ / "nginx.conf"], cpu=0)


def start(build, dir_, body):
    """name → (port, pids whose CPU counts), stops."""
    certificate(dir_)
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
    bare = Process([build / "bench/tls_floor", dir_ / "cert.pem", dir_ / "key.pem", "--serve", port], cpu=0)
    stops.append(bare.stop)
    proxies[FLOOR] = (port, bare.tree)
    port = free_port()
    ours = Headgate(build, dir_, free_port(), body, https=port)
    stops.append(ours.stop)
    proxies["headgate"] = (port, lambda: ours.edge)
    proxies["headgate, all processes"] = (port, lambda: ours.all)
    for port, _ in proxies.values():
        wait_port(port)
    return proxies, stops


def requests(proxy, connections, seconds):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    r = wrk(f"https://127.0.0.1:{port}/", connections, seconds)
    r["cpu_us"] = (cpu_ns(ids) - before) / 1e3 / max(1, r["requests"])
    return r


def handshakes(build, proxy, count, resume):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    argv = ["taskset", "-c", "1", build / "bench/handshake", port, count] + (["resume"] if resume else [])
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True)
    done, us = map(int, re.search(r"DONE (\d+) (\d+)", out.stdout).groups())
    return {"cpu_us": (cpu_ns(ids) - before) / 1e3 / done, "rps": done / (us / 1e6), "errors": len(out.stderr)}


def table(build, what, body, rounds, one, floor=False):
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        proxies, stops = start(build, dir_, body)
        if not floor:
            del proxies[FLOOR]
        rows = {n: [] for n in proxies}
        try:
            for _ in range(rounds + 1):
                for n, proxy in proxies.items():
                    rows[n].append(one(proxy))
        finally:
            for stop in reversed(stops):
                stop()
    out = []
    base = median([r["cpu_us"] for r in rows["haproxy"][1:]])
    for n, found in rows.items():
        r = {k: median([f[k] for f in found[1:]]) for k in found[0]}
        p99 = f"{r['p99_us']:.0f}" if "p99_us" in r else ""
        out.append(f"| {what} | {n} | {r['cpu_us']:.1f} | {r['cpu_us'] / base:.2f} | {r['rps']:.0f} | {p99} | "
                   f"{r['errors']:.0f} |")
        print(out[-1], flush=True)
    return out


def idle_memory(build, count=3000):
    """KiB of resident memory per idle TLS connection that has had one request."""
    rows = {}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        proxies, stops = start(build, dir_, 128)
        try:
            for n in ("haproxy", "nginx", "headgate"):
                port, pids = proxies[n]
                requests(proxies[n], 64, 1)
                before, socks = rss_kib(pids()), []
                for _ in range(count):
                    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    s.recv(4096)
                    socks.append(s)
                time.sleep(1)
                rows[n] = (rss_kib(pids()) - before) / count
                for s in socks:
                    s.close()
        finally:
            for stop in reversed(stops):
                stop()
    return rows


def floor(build):
    """KiB that OpenSSL alone holds of an established session."""
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        certificate(dir_)
        return float(subprocess.run([build / "bench/tls_floor", dir_ / "cert.pem", dir_ / "key.pem"], check=True,
                                    capture_output=True, text=True).stdout)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=2)
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("haproxy", "nginx", "wrk", "taskset", "openssl")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream", "bench/handshake",
                    "bench/tls_floor"], check=True)
    lines = ["| what | proxy | CPU µs each | against HAProxy | each second | p99 µs | errors |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for body in (128, 16384):
        lines += table(build, f"request, {body} B, 64 connections", body, args.rounds,
                       lambda p: requests(p, 64, args.seconds))
    for name, resume in (("full handshake and a request", False), ("resumed handshake and a request", True)):
        lines += table(build, name, 128, args.rounds,
                       lambda p, resume=resume: handshakes(build, p, 600, resume), floor=not resume)
    idle = ", ".join(f"{n} {kib:.1f} KiB" for n, kib in idle_memory(build).items())
    lines += ["", f"Resident memory per idle TLS connection, 3,000 of them: {idle}. What OpenSSL alone holds of "
              f"a session, without any proxy around it: {floor(build):.1f} KiB.", "",
              f"TLS 1.3, ECDSA P-256, X25519, {SUITE} on all sides; medians of {args.rounds} interleaved rounds. No access log on "
              "any side; Headgate counts and measures every request."]
    print("\n".join(lines[-3:]))
    if args.write:
        write_section("Edge: TLS", "\n".join(lines))


if __name__ == "__main__":
    main()
