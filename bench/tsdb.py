#!/usr/bin/env python3
"""The metrics store and the scraper beside Debian's Prometheus, in one run over one exporter.

usage: bench/tsdb.py BUILD [--write] [--seconds N] [--quick] [--written]
--written: only bytes written in the long run, which no other work on the machine changes.
Both scrape 10,000 series a second, first as one target, then as 200, at the same time; then both are
killed (-9) and started again, and two hours at 15 s are back-filled and asked. Ours is
tests/e2e/metrics_drive (loop, scraper, store, PromQL, API, remote write: what the process observe runs)."""
import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("--write", action="store_true")
parser.add_argument("--seconds", type=int, default=180)
parser.add_argument("--quick", action="store_true", help="one target for a few seconds; no figures to keep")
parser.add_argument("--written", action="store_true", help="only bytes written in the long run")
args = parser.parse_args()
import common  # noqa: E402

BUILD = common.ROOT / args.build
os.environ["BUILD"] = str(BUILD)
import prometheus  # noqa: E402

SERIES, WARM = 10000, 15
FROM = 1_700_006_400  # a multiple of two hours
LONG_STEPS = 900  # of a second, for Prometheus, whose bytes of a sample do not change after the first minutes
STEPS, STEP_MS = 480, 15000


BEGUN = time.monotonic()


def say(what):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {what}", file=sys.stderr, flush=True)


def tree_bytes(path):
    return sum(f.stat().st_size for f in pathlib.Path(path).rglob("*") if f.is_file())


def wchar(pid):
    return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text()).group(1))


def anonymous_kib(pid):
    return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


class Figures:
    """CPU, memory and bytes of a process over a while."""

    def __init__(self, pid):
        self.pid = pid
        self.cpu, self.wchar = common.cpu_ns([pid]), wchar(pid)
        self.rss, self.pss, self.anon = [], [], []

    def look(self):
        self.rss.append(common.rss_kib([self.pid]) / 1024)
        self.pss.append(common.pss_kib([self.pid]) / 1024)
        self.anon.append(anonymous_kib(self.pid) / 1024)

    def end(self):
        self.cpu_s = (common.cpu_ns([self.pid]) - self.cpu) / 1e9
        self.wchar = wchar(self.pid) - self.wchar
        return self


def restart(process, times=3):
    """kill -9 and start: seconds until it answers, the least and the median."""
    seconds = []
    for _ in range(times):
        process.kill()
        process.start()
        seconds.append(process.ready_s)
    return min(seconds), statistics.median(seconds)


def scrape_config(port, targets):
    if targets == 1:
        jobs = [f"{{job_name: bench, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"]
    else:
        paths = "".join(f"{{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /t/{k}, "
                        f"instance: target-{k}}}}}, " for k in range(targets))
        jobs = [f"{{job_name: bench, static_configs: [{paths}]}}"]
    return "scrape_configs: [" + ", ".join(jobs) + "]\n"


def appended(theirs):
    """Samples that Prometheus has taken."""
    return sum(float(m) for m in re.findall(r"^prometheus_tsdb_head_samples_appended_total(?:{[^}]*})? (\S+)",
                                            theirs.get("/metrics", raw=True).decode(), re.M))


def live(targets, seconds):
    port = common.free_port()
    mix = common.Process([BUILD / "bench/tsdb-mix", "serve", f"127.0.0.1:{port}"])
    common.wait_port(port)
    theirs = ours = None
    try:
        theirs = prometheus.Prometheus(scrape=scrape_config(port, targets), interval="1s")
        ours = prometheus.Drive(scrape=f"127.0.0.1:{port}", targets=targets)
        say(f"{targets} target(s): warming up, then {seconds} s")
        time.sleep(WARM)
        figures = [Figures(theirs.child.pid), Figures(ours.child.pid)]
        before, their_before = ours.stats(), appended(theirs)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(5, max(0.1, end - time.monotonic())))
            for f in figures:
                f.look()
        for f in figures:
            f.end()
        stats = ours.stats()
        samples = stats["samples"]
        data = theirs.dir / "data"
        their_samples = appended(theirs)
        out = {"targets": targets, "figures": figures, "ours": stats, "samples": samples, "their_samples": their_samples,
               "their_wal": tree_bytes(data / "wal") / their_samples,
               "their_chunks": tree_bytes(data / "chunks_head") / their_samples,
               "written": stats["written"] / samples,
               "io": (figures[1].wchar / (samples - before["samples"]),
                      figures[0].wchar / (their_samples - their_before)),
               "rate": (samples - before["samples"]) / seconds}
        snapshot = theirs.get("/api/v1/admin/tsdb/snapshot", raw=False, skip_head="false")
        if snapshot["status"] != "success":
            raise SystemExit(f"no snapshot: {snapshot}")
        out["their_block"] = tree_bytes(data / "snapshots" / snapshot["data"]["name"]) / their_samples
        shutil.rmtree(data / "snapshots")
        say("kill -9 and start, three times each")
        out["restart"] = restart(theirs), restart(ours)
        stats = ours.stats()
        out["replayed"] = stats["replayed"]
        closed = {k: float(v) for k, v in (line.split() for line in ours.ask("close"))}
        # It was scraping on: a sample of ours is what the store had when it was closed.
        out["kept"] = closed["disk"] / (stats["samples"] + stats["replayed"])
        return out
    finally:
        for p in (theirs, ours, mix):
            if p:
                p.stop()


QUERIES = [
    ("sum by (service)(rate(x[5m])), 5,000 series", "instant", 100,
     "sum by (service) (rate(http_requests_total[5m]))"),
    ("histogram_quantile(0.95, sum by (le)(rate(b[5m]))), 1,000 buckets", "instant", 100,
     "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
    ("the same by service", "instant", 100,
     "histogram_quantile(0.95, sum by (le, service) (rate(http_request_duration_seconds_bucket[5m])))"),
    ("5xx ratio, 1,000 over 5,000 series", "instant", 100,
     'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'),
    ("topk(5, rate(x[5m]))", "instant", 100, "topk(5, rate(http_requests_total[5m]))"),
    ("one series", "instant", 200, 'http_requests_total{path="/api/v1/path/77"}'),
    ("sum rate by label, 5,000 series", "range", 10, "sum by (service) (rate(http_requests_total[5m]))"),
    ("histogram_quantile", "range", 10,
     "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
    ("5xx ratio", "range", 10,
     'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'),
    ("rate of one series", "range", 50, 'rate(http_requests_total{path="/api/v1/path/77"}[5m])'),
]


class Asker:
    """One question again and again over one connection: the request is written in one piece, and the
    answer is only looked at as far as to see where it ends. http.client takes 0.1 ms a question, as
    much as an answer does, and hides what is measured."""

    def __init__(self, port, kind, expr, t, start):
        asked = {"query": expr, "time": f"{t / 1000:.3f}"} if kind == "instant" else \
            {"query": expr, "start": f"{start / 1000:.3f}", "end": f"{t / 1000:.3f}", "step": f"{STEP_MS / 1000:.3f}"}
        body = urllib.parse.urlencode(asked).encode()
        path = "/api/v1/query" if kind == "instant" else "/api/v1/query_range"
        self.request = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\n"
                        "Content-Type: application/x-www-form-urlencoded\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        self.room = bytearray(1 << 24)
        self.view = memoryview(self.room)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        """How many bytes the head of the answer has, and the whole of it, in self.room."""
        self.socket.sendall(self.request)
        have = head = 0
        while True:
            n = self.socket.recv_into(self.view[have:])
            have += n
            if not n:
                raise SystemExit(f"cut off, or larger than {len(self.room)}: {self.room[:200]}")
            if not head:
                head = self.room.find(b"\r\n\r\n", 0, have) + 4
                if head < 4:
                    head = 0
                    continue
                length = re.search(rb"content-length: *(\d+)", self.room[:head].lower())
            if have >= head + int(length.group(1)) if length else self.room.endswith(b"\r\n0\r\n\r\n", 0, have):
                return head, have

    def close(self):
        self.socket.close()


def ask(process, kind, n, expr, t, start):
    """Least and median wall time and CPU time of n questions over one connection, in ms."""
    asker, times = Asker(process.port, kind, expr, t, start), []
    _, have = asker.ask()
    answer = bytes(asker.room[:have])
    if not answer.startswith(b"HTTP/1.1 200") or b'"result":[]' in answer:
        raise SystemExit(f"no answer to {expr}: {answer}")
    cpu = common.cpu_ns([process.child.pid])
    for _ in range(n):
        at = time.perf_counter()
        asker.ask()
        times.append((time.perf_counter() - at) * 1e3)
    asker.close()
    return min(times), statistics.median(times), (common.cpu_ns([process.child.pid]) - cpu) / 1e6 / n


def backfilled(quick):
    box = pathlib.Path(tempfile.mkdtemp(prefix="hg-bench-tsdb-"))
    theirs = ours = None
    try:
        say("two hours for both: ours")
        mix, steps = BUILD / "bench/tsdb-mix", 40 if quick else STEPS
        made = subprocess.run([mix, "store", box / "metrics", str(FROM), str(steps), str(STEP_MS)],
                              capture_output=True, text=True, check=True).stdout
        own = {k: float(v) for k, v in (line.split() for line in made.splitlines())}
        say("two hours for both: promtool")
        with open(box / "text", "wb") as f:
            subprocess.run([mix, "openmetrics", str(FROM), str(steps), str(STEP_MS)], stdout=f, check=True)
        theirs = prometheus.Prometheus(retention="100y")
        theirs.kill()
        shutil.rmtree(theirs.dir / "data")
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", box / "text", theirs.dir / "data"],
                       stdout=subprocess.DEVNULL, check=True)
        (box / "text").unlink()
        block = tree_bytes(theirs.dir / "data") / own["samples"]
        theirs.start()
        ours = prometheus.Drive(dir=box / "metrics")
        closed = {k: float(v) for k, v in (line.split() for line in ours.ask("close"))}
        out = {"written": own["written"] / own["samples"], "their_block": block, "kept": closed["disk"] / own["samples"],
               "all_written": (own["written"] + closed["written"]) / own["samples"], "cpu": own["cpu"], "queries": []}
        say("queries")
        t = (FROM + steps * STEP_MS // 1000) * 1000 - STEP_MS // 2
        start = t - (600_000 if quick else 3_600_000)
        for name, kind, n, expr in QUERIES:
            n = max(3, n // 20) if quick else n
            mine = ask(ours, kind, n, expr, t, start)
            other = ask(theirs, kind, n, expr, t, start)
            out["queries"].append((name, kind, mine, other))
        out["memory"] = [(common.rss_kib([p.child.pid]) / 1024, common.pss_kib([p.child.pid]) / 1024)
                         for p in (theirs, ours)]
        return out
    finally:
        for p in (theirs, ours):
            if p:
                p.stop()
        shutil.rmtree(box, ignore_errors=True)


def label_bytes(name):
    """Labels of a series as the text formats write it, as fields of prometheus.TimeSeries."""
    metric, _, rest = name.partition("{")
    pairs = [("__name__", metric)] + re.findall(r'([a-z_]+)="([^"]*)"', rest)
    return b"".join(prometheus.field(1, prometheus.field(1, k.encode()) + prometheus.field(2, v.encode()))
                    for k, v in sorted(pairs))


def remote_filled(steps, step_ms):
    """The samples of `mix` by remote write, a request a step: what Prometheus writes of them."""
    theirs = prometheus.Prometheus(retention="100y")
    mix = subprocess.Popen([BUILD / "bench/tsdb-mix", "openmetrics", str(FROM), str(steps), str(step_ms)],
                           stdout=subprocess.PIPE, text=True, bufsize=1 << 20)
    try:
        before, heads = wchar(theirs.child.pid), {}
        for step in range(steps):
            tail, body = b"\x10" + prometheus.varint(FROM * 1000 + step * step_ms), []
            for _ in range(SERIES):
                name, value, _ = mix.stdout.readline().split(" ")
                head = heads.get(name)
                if head is None:
                    labels = label_bytes(name)
                    sample = b"\x12" + prometheus.varint(9 + len(tail)) + b"\x09"
                    size = len(labels) + len(sample) + 8 + len(tail)
                    head = heads[name] = b"\x0a" + prometheus.varint(size) + labels + sample
                body.append(head + struct.pack("<d", float(value)) + tail)
            status, text = theirs.write(prometheus.snappy(b"".join(body)))
            if status != 204:
                raise SystemExit(f"Prometheus answers {status}: {text}")
        n, data = steps * SERIES, theirs.dir / "data"
        out = {"io": (wchar(theirs.child.pid) - before) / n, "wal": tree_bytes(data / "wal") / n,
               "chunks": tree_bytes(data / "chunks_head") / n}
        snapshot = theirs.get("/api/v1/admin/tsdb/snapshot", raw=False, skip_head="false")
        out["block"] = tree_bytes(data / "snapshots" / snapshot["data"]["name"]) / n
        return out
    finally:
        mix.kill()
        mix.wait()
        theirs.stop()


def long_written():
    """Rows: step, ours until all windows are closed, Prometheus."""
    rows = []
    for step_ms, steps, their_steps in ((1000, 7200, LONG_STEPS), (STEP_MS, STEPS, STEPS)):
        box = pathlib.Path(tempfile.mkdtemp(prefix="hg-bench-tsdb-"))
        try:
            say(f"two virtual hours, a sample each {step_ms} ms: ours, then {their_steps} samples to Prometheus")
            made = subprocess.run([BUILD / "bench/tsdb-mix", "close", box / "metrics", str(FROM), str(steps), str(step_ms)],
                                  capture_output=True, text=True, check=True).stdout
            own = {k: float(v) for k, v in (line.split() for line in made.splitlines())}
            rows.append((step_ms, own["written"] / own["samples"], own["disk"] / own["samples"],
                         remote_filled(their_steps, step_ms)))
        finally:
            shutil.rmtree(box, ignore_errors=True)
    return rows


def long_text(rows):
    t = ["Two virtual hours, 10,000 series, a commit a step, until every window is closed: all that is written, by "
         "/proc/PID/io (journal, chunks, names, index). Prometheus got the same samples by remote write, a request a step "
         f"({LONG_STEPS} of them at 1 s); its log and chunks by /proc/PID/io, the block of two hours by a snapshot.\n",
         "| B/sample | ours | Prometheus: log | log and chunks | with the block | to the log alone (≤ 0.3×) | to all |",
         "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for step_ms, written, _, p in rows:
        every = p["io"] + p["block"]
        t.append(f"| every {step_ms // 1000} s | {written:.2f} | {p['wal']:.2f} | {p['io']:.2f} | {every:.2f} | "
                 f"{written / p['wal']:.2f}× | {written / every:.2f}× |")
    return "\n".join(t) + "\n"


def ratio(ours, theirs, bar):
    return f"{ours / theirs:.2f}× (≤ {bar}×)"


def live_rows(one, seconds):
    theirs, ours = one["figures"]
    rows = [("CPU s", ours.cpu_s, theirs.cpu_s, "{:.2f}", "0.5"),
            ("RSS MiB, most", max(ours.rss), max(theirs.rss), "{:.1f}", "0.4"),
            ("PSS MiB, most", max(ours.pss), max(theirs.pss), "{:.1f}", "0.4"),
            ("anonymous MiB, most", max(ours.anon), max(theirs.anon), "{:.1f}", "0.4"),
            ("written, B/sample (theirs: log alone)", one["written"], one["their_wal"], "{:.2f}", "0.3"),
            ("written with what is kept, B/sample (theirs: log and chunks)", one["written"],
             one["their_wal"] + one["their_chunks"], "{:.2f}", "0.3"),
            ("written by /proc/PID/io (theirs: also requests)", *one["io"], "{:.2f}", "0.3"),
            ("kept, B/sample, closed (theirs: block of a snapshot)", one["kept"], one["their_block"], "{:.2f}", "0.6")]
    text = [f"| {name} | {f.format(a)} | {f.format(b)} | {ratio(a, b, bar)} |" for name, a, b, f, bar in rows]
    (their_least, their_middle), (our_least, our_middle) = one["restart"]
    text.append(f"| ready after kill -9, wall s: least, median of 3 | {our_least:.3f}, {our_middle:.3f} | "
                f"{their_least:.3f}, {their_middle:.3f} | (≤ 0.2 s) |")
    return text


def text_of(results, back, rows, seconds):
    t = ["`bench/tsdb.py`: one exporter (`bench/tsdb/mix.c`, 10,000 series, a new value each second), scraped by both in "
         f"the same {seconds} s after {WARM} s of warm-up. Ours is the observe process' rooms on one loop "
         "(`tests/e2e/metrics_drive.c`).\n"]
    for one in results:
        what = "one target" if one["targets"] == 1 else f"{one['targets']} targets"
        t += [f"| 10,000 series/s, {what} | ours | Prometheus | ratio (bar) |", "| --- | ---: | ---: | ---: |"]
        t += live_rows(one, seconds)
        t += ["", f"{one['rate']:.0f} samples/s taken; {one['ours']['scrapes_failed']:.0f} scrapes failed; longest commit "
              f"{one['ours']['worst_commit_ms']:.0f} ms; {one['replayed']:.0f} samples replayed at the last restart.\n"]
    if rows:
        t.append(long_text(rows))
    t += [f"Two hours at 15 s, back-filled ({STEPS} samples a series): written with index {back['all_written']:.2f} B/sample, "
          f"kept {back['kept']:.2f}, Prometheus' block (promtool) {back['their_block']:.2f}: "
          f"{ratio(back['kept'], back['their_block'], '0.6')}. Memory after the queries, RSS (PSS) MiB: ours "
          f"{back['memory'][1][0]:.0f} ({back['memory'][1][1]:.0f}), Prometheus {back['memory'][0][0]:.0f} "
          f"({back['memory'][0][1]:.0f}).\n",
          "| query over it | ours: least / median / CPU ms | Prometheus | ratio (≤ 0.3×): least / median / CPU |",
          "| --- | ---: | ---: | ---: |"]
    for name, kind, mine, other in back["queries"]:
        t.append(f"| {kind} {'1 h step 15 s, ' if kind == 'range' else ''}{name} | {mine[0]:.2f} / {mine[1]:.2f} / "
                 f"{mine[2]:.2f} | {other[0]:.2f} / {other[1]:.2f} / {other[2]:.2f} | {mine[0] / other[0]:.2f}× / {mine[1] / other[1]:.2f}× / {mine[2] / other[2]:.2f}× |")
    t.append("\nBoth over HTTP on one connection: from the first byte of a request, sent as one piece, to the last byte of its "
             "JSON.")
    return "\n".join(t)


def main():
    common.need("prometheus", "promtool")
    subprocess.run(["ninja", "-C", str(BUILD), "--quiet", "bench/tsdb-mix", "tests/e2e/metrics_drive"], check=True)
    if args.written:
        print(long_text(long_written()))
        return
    seconds = 10 if args.quick else args.seconds
    results = [live(targets, seconds) for targets in ((1,) if args.quick else (1, 200))]
    text = text_of(results, backfilled(args.quick), [] if args.quick else long_written(), seconds)
    print(text)
    if args.write and not args.quick:
        common.write_section("Metrics beside Prometheus", text)


if __name__ == "__main__":
    main()
