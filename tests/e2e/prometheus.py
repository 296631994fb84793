"""A real Prometheus for tests and benchmarks: in a folder of its own, on a free loopback port, ended by
id; the messages of remote write; and tests/e2e/metrics_drive.c. Standard library only."""
import http.client
import json
import math
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import BUILD, free_port, wait_for

MISSING = "prometheus is not installed (the package prometheus)"
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def installed():
    return bool(shutil.which("prometheus"))


class Api:
    """Prometheus' HTTP API at 127.0.0.1:self.port."""
    client = None

    def get(self, path, raw=False, **query):
        """The answer's body; parsed unless `raw`. One connection for all: thousands are asked."""
        data = urllib.parse.urlencode(query) if query else None
        for attempt in (1, 2):
            try:
                if not self.client:
                    self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.client.request("POST" if data else "GET", path, data,
                                    {"Content-Type": "application/x-www-form-urlencoded"} if data else {})
                r = self.client.getresponse()
                body = r.read()
                break
            except (OSError, http.client.HTTPException):
                self.client = None
                if attempt == 2 or raw:
                    raise OSError(f"nobody answers {path} on port {self.port}") from None
        if raw:
            return body if r.status == 200 else None
        return json.loads(body)

    def query(self, expr, t_ms):
        return self.get("/api/v1/query", query=expr, time=f"{t_ms / 1000:.3f}")

    def query_range(self, expr, start, end, step):
        return self.get("/api/v1/query_range", query=expr, start=f"{start / 1000:.3f}", end=f"{end / 1000:.3f}",
                        step=f"{step / 1000:.3f}")


class Prometheus(Api):
    def __init__(self, *flags, scrape="", remote_write="", interval="15s", retention="15d"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-prometheus-"))
        self.port, self.child, self.flags = free_port(), None, flags
        (self.dir / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n" + scrape + remote_write)
        self.retention = retention
        self.start()

    def start(self):
        argv = ["prometheus", f"--config.file={self.dir}/prometheus.yml", f"--storage.tsdb.path={self.dir}/data",
                f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
                "--web.enable-admin-api", f"--storage.tsdb.retention.time={self.retention}", *self.flags]
        self.started = time.monotonic()
        with open(self.dir / "log", "ab") as log:
            self.child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.dir)
        wait_for(self.ready, 60, every=0.005)
        self.ready_s = time.monotonic() - self.started
        return self

    def ready(self):
        """prometheus is ready"""
        try:
            return self.get("/-/ready", raw=True) is not None
        except OSError:
            return False

    def write(self, body):
        return write(self.port, body)

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Drive(Api):
    """tests/e2e/metrics_drive.c"""

    def __init__(self, **options):
        self.port = options.pop("port", None) or free_port()
        self.box = pathlib.Path(tempfile.mkdtemp(prefix="hg-drive-"))
        self.options = {"dir": self.box / "metrics", **options}
        self.start()

    def start(self):
        argv = [str(BUILD / "tests/e2e/metrics_drive"), "--listen", f"127.0.0.1:{self.port}"]
        for k, v in self.options.items():
            argv += ["--" + k.replace("_", "-"), str(v)]
        self.started = time.monotonic()
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True)
        self.opened = self.child.stderr.readline().split()  # the store is there
        assert self.opened[:1] == ["open_ms"], self.opened + self.child.stderr.readlines()
        self.stats()  # it answers
        self.ready_s = time.monotonic() - self.started
        return self

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return self.read()

    def read(self):
        lines = []
        while True:
            line = self.child.stdout.readline()
            assert line, f"metrics_drive ended: {self.child.stderr.read()}"
            if line == ".\n":
                return lines
            lines.append(line.rstrip("\n"))

    def stats(self):
        return {k: float(v) for k, v in (line.split() for line in self.ask("stats"))}

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as r:
            lines = r.read().decode().splitlines()
        return {k.split("{")[0]: float(v) for k, v in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    def write(self, body, **headers):
        return write(self.port, body, **headers)

    def kill(self):
        """kill -9; start() begins again with what is on the disk"""
        self.child.send_signal(signal.SIGKILL)
        self.close()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.close()
        shutil.rmtree(self.box, ignore_errors=True)
        return self.child.returncode

    def close(self):
        self.child.wait(60)
        for f in (self.child.stdin, self.child.stdout, self.child.stderr):
            try:
                f.close()
            except OSError:
                pass


# ---------------------------------------------------------------- remote write

SMALL = [bytes([n]) for n in range(128)]


def varint(n):
    if 0 <= n < 128:
        return SMALL[n]
    out = b""
    n &= (1 << 64) - 1
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def write_request(series):
    """prometheus.WriteRequest of [(labels, [(t_ms, value)])]"""
    out = []
    for labels, samples in series:
        body = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in sorted(labels.items()))
        body += b"".join(field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + varint(t)) for t, v in samples)
        out.append(field(1, body))
    return b"".join(out)


def snappy(raw):
    """A block that is all literals: right, if not small."""
    out = [varint(len(raw))]
    for i in range(0, len(raw), 65536):
        part = raw[i:i + 65536]
        out.append(bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part)
    return b"".join(out)


def write(port, body, **headers):
    """(status, body) of a request of remote write; `body` as it travels"""
    all_headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                   "X-Prometheus-Remote-Write-Version": "0.1.0",
                   **{k.replace("_", "-"): v for k, v in headers.items()}}
    r = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/write", body, all_headers)
    try:
        with urllib.request.urlopen(r, timeout=60) as a:
            return a.status, a.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def number(text):
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}.get(text) if text in ("NaN", "+Inf", "-Inf") \
        else float(text)
