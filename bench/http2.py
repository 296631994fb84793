#!/usr/bin/env python3
"""CPU per request of the edge with HTTP/2 over TLS 1.3, against HAProxy and nginx (one worker each, the same
certificate, the same upstream by HTTP/1.1), with h2load. Rounds are interleaved, figures are medians.
usage: bench/http2.py [BUILD] [--rounds N] [--requests N] [--write]"""
import argparse
import pathlib
import re
import socket
import ssl
import subprocess
import tempfile
import time

import tls
from common import ROOT, cpu_ns, median, need, rss_kib, write_section

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
GET = b"\0\0\x0b\1\5\0\0\0\1" + b"\x82\x87\x84\x41\x01x" + b"\x00\x01a\x01b"  # https://x/ and a field


class H2(tls.Process):
    """The peers of bench/tls.py, told to speak h2."""

    def __init__(self, argv, **more):
        for path in map(pathlib.Path, map(str, argv)):
            if path.suffix in (".cfg", ".conf"):
                text = path.read_text().replace("alpn http/1.1", "alpn h2,http/1.1")
                path.write_text(text.replace("ssl backlog", "ssl http2 backlog"))
        super().__init__(argv, **more)


def h2load(proxy, connections, streams, requests):
    port, pids = proxy
    ids = pids()
    before = cpu_ns(ids)
    out = subprocess.run(["taskset", "-c", "1", "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-n{requests}",
                          f"https://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    used = cpu_ns(ids) - before
    rps = float(re.search(r"([\d.]+) req/s", out).group(1))
    good = int(re.search(r"(\d+) 2xx", out).group(1))
    assert "Application protocol: h2" in out, out
    return {"cpu_us": used / 1e3 / requests, "rps": rps, "errors": requests - good}


def idle_memory(build, count=2000):
    """KiB of resident memory per idle HTTP/2 connection that has had one request."""
    rows = {}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        dir_.chmod(0o755)
        proxies, stops = tls.start(build, dir_, 128)
        try:
            for n in ("haproxy", "nginx", "headgate"):
                port, pids = proxies[n]
                h2load(proxies[n], 64, 1, 2000)
                before, socks = rss_kib(pids()), []
                for _ in range(count):
                    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
                    s.sendall(PREFACE + GET)
                    got = b""
                    while b"x" * 128 not in got and len(got) < 180:
                        got += s.recv(4096)
                    socks.append(s)
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
    args.add_argument("--requests", type=int, default=20000)
    args.add_argument("--idle", action="store_true", help="memory of idle connections as well")
    args.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = args.parse_args()
    need("haproxy", "nginx", "h2load", "taskset", "openssl")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream"], check=True)
    tls.Process, made = H2, tls.Process
    lines = ["| what | proxy | CPU µs each | against HAProxy | each second | p99 µs | errors |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for body in (128, 16384):
        for connections, streams in ((8, 32), (64, 1)):
            lines += tls.table(build, f"{body} B, {connections} connections × {streams}", body, args.rounds,
                               lambda p, c=connections, m=streams: h2load(p, c, m, args.requests))
    if args.idle or args.write:
        idle = ", ".join(f"{n} {kib:.1f} KiB" for n, kib in idle_memory(build).items())
        lines += ["", f"Resident memory per idle HTTP/2 connection, 2,000 of them: {idle}."]
        print(lines[-1])
    tls.Process = made
    lines += ["", f"TLS 1.3; medians of {args.rounds} interleaved rounds of {args.requests} requests. No access log on "
              "any side; Headgate counts and measures every request."]
    if args.write:
        write_section("Edge: HTTP/2", "\n".join(lines))


if __name__ == "__main__":
    main()
