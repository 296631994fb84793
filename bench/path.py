#!/usr/bin/env python3
"""User instructions of the edge per request, by function, and its system calls: the same on a busy
machine as on a quiet one. An edge alone (bench/path.c) under callgrind, 64 connections, 128 B.

usage: bench/path.py [BUILD] [--log | --identity | --analytics | --trace PPM] [--apps N] [--replicas N] [--seconds N] [--cache]
"""
import argparse
import base64
import hashlib
import hmac
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from common import ROOT, Process, free_port, need, wait_port, wrk


def host_script(dir_, apps):
    path = dir_ / "hosts.lua"
    path.write_text((ROOT / "bench/report.lua").read_text() + f"""
local n = 0
request = function()
  n = n + 1
  return "GET / HTTP/1.1\\r\\nHost: h" .. (n * 104729 % {apps}) .. ".example.com\\r\\n\\r\\n"
end
""")
    return path


def token_script(dir_):
    """Every request with the same token, as a client sends it until it ends."""
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    text = b64(b'{"alg":"HS256","typ":"JWT"}') + b"." + b64(
        b'{"iss":"me","sub":"ann@example.com","roles":["user"],"scope":"openid profile","exp":4102444800}')
    mac = hmac.new(b"0123456789abcdef0123456789abcdef", text, hashlib.sha256).digest()
    path = dir_ / "token.lua"
    path.write_text((ROOT / "bench/report.lua").read_text() +
                    f'\nwrk.headers["Authorization"] = "Bearer {(text + b"." + b64(mac)).decode()}"\n')
    return path


def run(build, args, tool, dir_):
    """(requests, what the tool left behind)."""
    port, upstream = free_port(), free_port()
    origin = Process([build / "bench/upstream", "--port", upstream, "--body", 128])
    wait_port(upstream)
    edge = subprocess.Popen([*tool, str(build / "bench/path"), str(port), str(upstream),
                             "log" if args.log else "identity" if args.identity else "top" if args.analytics else f"trace{args.trace}" if args.trace else "-",
                             str(args.apps), str(args.replicas)],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_port(port)
        script = host_script(dir_, args.apps) if args.apps > 1 else token_script(dir_) if args.identity else None
        wrk(f"http://127.0.0.1:{port}/", 64, 2, script=script)
        if tool[0] == "valgrind":
            edge.send_signal(signal.SIGUSR1)  # only what follows counts
            time.sleep(0.2)
        wrk(f"http://127.0.0.1:{port}/", 64, args.seconds, script=script)
    finally:
        edge.send_signal(signal.SIGTERM)
        out, _ = edge.communicate(timeout=60)
        origin.stop()
    return int(out.split()[0])


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--log", action="store_true")
    args.add_argument("--identity", action="store_true", help="each request has a token that is known already")
    args.add_argument("--analytics", action="store_true", help="of an app that has them")
    args.add_argument("--trace", type=int, default=0, metavar="PPM", help="spans, of so many in a million requests")
    args.add_argument("--apps", type=int, default=1)
    args.add_argument("--replicas", type=int, default=1)
    args.add_argument("--seconds", type=int, default=5)
    args.add_argument("--cache", action="store_true", help="simulate caches: misses of data per request, too")
    args = args.parse_args()
    need("wrk", "valgrind", "strace", "callgrind_annotate")
    build = (ROOT / args.build).resolve()
    subprocess.run(["ninja", "-C", str(build), "--quiet", "bench/upstream", "bench/path"], check=True)
    with tempfile.TemporaryDirectory() as name:
        dir_ = pathlib.Path(name)
        out = dir_ / "callgrind"
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no",
                f"--callgrind-out-file={out}"]
        if args.cache:
            tool += ["--cache-sim=yes", "--LL=4194304,16,64"]
        n = run(build, args, tool, dir_)
        text = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=97", str(out)], capture_output=True,
                              text=True, check=True).stdout
        found = re.search(r"^Events shown: +(.*)$", text, re.M).group(1).split()
        total = re.search(r"^(.*) PROGRAM TOTALS", text, re.M).group(1)
        per = [int(v.replace(",", "")) / n for v in re.findall(r"([\d,]+) \([\d. ]+%\)", total)]
        print(f"{n} requests; each: " + ", ".join(f"{v:.1f} {e}" for e, v in zip(found, per)))
        for line in text.splitlines():
            cells = re.findall(r"([\d,]+) \([ \d.]+%\)", line)
            if "PROGRAM TOTALS" in line or not cells:
                continue
            what = re.sub(r"\.\./|\[.*\]|\S*/(?=[^/]*:)", "", re.sub(r"^.*%\) +", "", line)).strip()
            print(f"{int(cells[0].replace(',', '')) / n:8.1f}  {what}" + (
                f"   misses {sum(int(c.replace(',', '')) for c in cells[4:6]) / n:.2f}" if len(cells) > 6 else ""))
        out = dir_ / "strace"
        n = run(build, args, ["strace", "-D", "-c", "-o", str(out)], dir_)
        print("\nsystem calls per request:")
        for line in out.read_text().splitlines():
            cells = line.split()
            if len(cells) >= 5 and cells[3].isdigit() and int(cells[3]) > n / 100:
                print(f"{int(cells[3]) / n:8.2f}  {cells[-1]}")


if __name__ == "__main__":
    main()
