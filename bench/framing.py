#!/usr/bin/env python3
"""The framing suite (tests/framing/cases.py) against Headgate's edge, HAProxy and nginx: what each lets
through that the suite wants refused, and where we are the laxer one. Default settings of all three.

usage: bench/framing.py [BUILD] [--write]    --write: the tables of docs/framing.md"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

from common import ROOT, Process, free_port, machine, need, wait_port
from edge import haproxy, nginx

sys.path.insert(0, str(ROOT / "tests/framing"))

import cases  # noqa: E402: found only now
from dialogue import Heard, Report, dial, requests_of  # noqa: E402

PROXIES = ("headgate", "haproxy", "nginx")
QUIET = 0.25  # seconds without a byte: nothing more comes


class Headgate:
    def __init__(self, build, dir_, port, report):
        (dir_ / "headgate.yaml").write_text(f"""version: 1
project: framing
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
apps:
  replica:
    command: python3 -B {ROOT}/tests/framing/recorder.py --port $PORT --report {report}
    dir: {dir_}
    replicas: 1
    probes: {{readiness: {{tcp: true}}}}
    protect: {{timeout: 5s, retries: 0}}
    routes: [{{host: "*", path: /}}]
""")
        self.command = [build / "headgate", "--data", dir_ / "data"]
        subprocess.run([*self.command, "up", "--detach", "-f", dir_ / "headgate.yaml"], check=True,
                       stdout=subprocess.DEVNULL)

    def stop(self):
        subprocess.run([*self.command, "down"], stdout=subprocess.DEVNULL)


def start(build, dir_, name):
    """(port, Report, stops)"""
    port, report, stops = free_port(), free_port(), []
    if name == "headgate":
        stops.append(Headgate(build, dir_, port, report).stop)
    else:
        origin = free_port()
        stops.append(Process([sys.executable, "-B", ROOT / "tests/framing/recorder.py", "--port", origin,
                              "--report", report]).stop)
        wait_port(origin)
        stops.append({"haproxy": haproxy, "nginx": nginx}[name](dir_, port, f"127.0.0.1:{origin}").stop)
    wait_port(port)
    return port, Report(report), stops


def say(port, raw):
    """Everything that comes back, as bytes, and whether the connection was closed."""
    with dial(port) as s:
        try:
            s.sendall(raw)
        except OSError:
            pass
        heard = Heard(s)
        while heard.more(QUIET):
            pass
        return bytes(heard.buf), heard.ended


def judge_request(port, report, case):
    """"" as the suite wants it, or what is different: passes, other, leaks, refuses."""
    report.events()
    say(port, case.raw)
    events = report.events()
    seen = [(m, b) for m, _, b in requests_of(events)]
    raw = any("raw" in e for e in events)
    want = [(m, b.decode("latin-1")) for m, _, b in case.want.get("requests", [])]
    do = case.want["do"]
    if do in ("refused", "answered") and not want:
        return "passes" if raw else ""
    if len(seen) > len(want):
        return "passes"
    if do != "forwarded" or case.want["then"]:
        return "" if seen == want else "refuses"
    if len(seen) < len(want):
        return "refuses"
    if seen != want:
        return "other"
    fields = next((e["fields"] for e in events if "request" in e), [])
    return "leaks" if any(n.lower() == x.lower() for n, _ in fields for x in case.has_not) else ""


def judge_reply(port, report, reply, number):
    own = b"GET /own/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
    method, want = reply.ask.decode(), reply.want
    with dial(port) as s:
        s.sendall(b"%s /r/%s?whole HTTP/1.1\r\nHost: a\r\n\r\n" % (reply.ask, reply.id.encode()))
        heard = Heard(s)
        try:
            got = heard.answer(method, 1.0)
        except (ValueError, IndexError):
            return "passes"
        if got and not got[2]:  # cut short, and the client can see it
            return "" if want["do"] in ("bad", "broken") else "refuses"
        # What follows on this connection must be the next answer and nothing else.
        poisoned = bool(heard.buf) or heard.more(0.05)
        if not heard.ended and not poisoned:
            s.sendall(own)
            try:
                second = heard.answer("GET", 1.0)
            except (ValueError, IndexError):
                second = (0, b"", False)
            poisoned = second is not None and second != (200, b"%d" % number, True) and second[0] not in (502, 504)
    report.events()
    if poisoned:
        return "passes"
    if want["do"] == "bad":
        return "passes" if got and got[0] not in (502, 503, 504) and got[2] else ""
    if want["do"] == "broken":
        return "passes" if got and got[0] == want["status"] and got[2] else ""
    return "" if got and got[0] == want["status"] else "refuses"


def run(build, name):
    with tempfile.TemporaryDirectory() as where:
        dir_ = pathlib.Path(where)
        dir_.chmod(0o755)
        port, report, stops = start(build, dir_, name)
        try:
            out = {c.id: judge_request(port, report, c) for c in cases.REQUESTS}
            out.update({r.id: judge_reply(port, report, r, n) for n, r in enumerate(cases.REPLIES)})
            return out
        finally:
            report.close()
            for stop in reversed(stops):
                stop()


def must_stop(row):
    """Is this one that must not get through, in whole or in part?"""
    return row.want["do"] in ("refused", "answered", "cut", "waits", "bad", "broken") or bool(row.want.get("then"))


def tables(results):
    rows = cases.REQUESTS + cases.REPLIES
    kinds = list(dict.fromkeys(r.kind for r in rows))
    lines = ["| class | cases | to be stopped | " + " | ".join(f"let through by {p}" for p in PROXIES) +
             " | to pass | " + " | ".join(f"refused by {p}" for p in PROXIES) + " |",
             "| --- | ---: | ---: | " + "---: | " * 3 + "---: | " + "---: | " * 3]
    total = collections.Counter()
    for kind in kinds:
        of = [r for r in rows if r.kind == kind]
        stop, go = [r for r in of if must_stop(r)], [r for r in of if not must_stop(r)]
        through = [sum(results[p][r.id] in ("passes", "other") for r in stop) +
                   sum(results[p][r.id] in ("passes", "other", "leaks") for r in go) for p in PROXIES]
        refused = [sum(results[p][r.id] == "refuses" for r in go) for p in PROXIES]
        cells = [len(of), len(stop) + sum(bool(getattr(r, "has_not", ())) for r in go), *through, len(go), *refused]
        for n, v in enumerate(cells):
            total[n] += v
        lines.append(f"| {kind} | " + " | ".join(map(str, cells)) + " |")
    lines.append("| **all** | " + " | ".join(f"**{total[n]}**" for n in range(len(cells))) + " |")
    lines += ["", "Where Headgate lets through what a peer refuses, and why:", ""]
    laxer = [(r, [p for p in PROXIES[1:] if results[p][r.id] == "refuses"]) for r in rows
             if not must_stop(r) and results["headgate"][r.id] == ""]
    lines += [f"- `{r.id}` ({', '.join(by)}): {r.why}" for r, by in laxer if by]
    for peer in PROXIES[1:]:
        ids = [r.id for r in rows if results[peer][r.id] in ("passes", "other", "leaks")]
        lines += ["", f"{len(ids)} let through by {peer}: " + ", ".join(f"`{i}`" for i in ids) + "."]
    return "\n".join(lines)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("build", nargs="?", default="build")
    args.add_argument("--write", action="store_true")
    args.add_argument("--json", help="also write what was seen to this file")
    args = args.parse_args()
    need("haproxy", "nginx")
    results = {p: run((ROOT / args.build).resolve(), p) for p in PROXIES}
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))
    versions = [subprocess.run(c, capture_output=True, text=True) for c in (["haproxy", "-v"], ["nginx", "-v"])]
    peers = "; ".join((v.stdout or v.stderr).splitlines()[0] for v in versions)
    text = f"{machine()}. {peers}.\n\n{tables(results)}\n"
    print(text)
    ours = [i for i, r in results["headgate"].items() if r]
    if args.write:
        path = ROOT / "docs/framing.md"
        page = path.read_text()
        head, _, rest = page.partition("<!-- measured: bench/framing.py --write -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        path.write_text(f"{head}<!-- measured: bench/framing.py --write -->\n\n{text}\n<!-- end -->{tail}")
    if ours:
        raise SystemExit(f"Headgate differs from the suite: {', '.join(ours)}")


if __name__ == "__main__":
    main()
