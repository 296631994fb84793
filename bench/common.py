"""What the benchmarks share: processes that are stopped again, CPU time of a process tree, medians,
and the tables in docs/benchmarks.md (a section is replaced, the others stay)."""
import datetime
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

# A benchmark that is ended stops what it started: `finally` runs.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    """Below the kernel's source ports: polling a port nobody listens on yet could connect to itself."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_port(port, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


class Process:
    """A child in its own session, optionally pinned to a CPU; stopped by id, never by name."""

    def __init__(self, argv, cpu=None, **more):
        if cpu is not None:
            argv = ["taskset", "-c", str(cpu)] + [str(a) for a in argv]
        more.setdefault("stdout", subprocess.DEVNULL)
        more.setdefault("stderr", subprocess.DEVNULL)
        self.child = subprocess.Popen([str(a) for a in argv], start_new_session=True, **more)
        self.pid = self.child.pid

    def tree(self):
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    queue += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except OSError:
                pass
        return found

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.child.wait()


def cpu_ns(pids):
    """User and system time of the processes; the scheduler's own clock, in nanoseconds."""
    total = 0
    for pid in pids:
        try:
            total += sum(int(pathlib.Path(f"/proc/{pid}/task/{t}/schedstat").read_text().split()[0])
                         for t in os.listdir(f"/proc/{pid}/task"))
        except OSError:
            pass
    return total


def user_system(pids):
    """User and system time of the processes so far, in clock ticks of the kernel."""
    user = system = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        except OSError:
            pass
    return user, system


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


def rss_kib(pids):
    total = 0
    for pid in pids:
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
        except (OSError, AttributeError):
            pass
    return total


def wrk(url, connections, seconds, cpu=1, script=None):
    """Runs wrk and returns {rps, requests, p50_us, p95_us, p99_us, errors}."""
    lua = ROOT / "bench/report.lua"
    argv = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s",
            "-s", str(script or lua), url]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", out)
    if not found:
        raise SystemExit(f"wrk printed no result:\n{out}")
    requests, us, errors, p50, p95, p99 = map(int, found.groups())
    return {"requests": requests, "rps": requests / (us / 1e6), "errors": errors,
            "p50_us": p50, "p95_us": p95, "p99_us": p99}


def median(values):
    return statistics.median(values)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return (f"{datetime.date.today()}, {os.cpu_count()} CPUs ({model.group(1) if model else platform.machine()}), "
            f"kernel {platform.release()}, Debian {pathlib.Path('/etc/debian_version').read_text().strip()}")


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        raise SystemExit(f"this benchmark needs: {' '.join(missing)} (packages haproxy, nginx-light, wrk)")


def write_section(title, text):
    """Replaces the section `## title` of docs/benchmarks.md, or adds it."""
    path = ROOT / "docs/benchmarks.md"
    page = path.read_text() if path.exists() else (
        "# Benchmarks\n\nMeasured by the programs under `bench/`, side by side with the peers in one run. "
        "Ratios within a\nrun can be trusted; absolute figures move with the machine.\n")
    section = f"## {title}\n\n{machine()}.\n\n{text.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.M | re.S)
    page = page[:found.start()] + section + "\n" + page[found.end():] if found else page.rstrip() + "\n\n" + section
    path.write_text(page.rstrip() + "\n")
