"""What the end-to-end tests share: a platform in a folder of its own on ports chosen free, load with
exact counts, and processes that are ended by id. Standard library only."""
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
LONG = bool(os.environ.get("HEADGATE_TEST_LONG"))
FLAGS = (BUILD / "compile_commands.json").read_text() if (BUILD / "compile_commands.json").exists() else ""
SANITIZED = "-fsanitize=" in FLAGS
# The app writes its line counts beside its objects when it ends; nothing else of the sandbox changes.
WRITABLE = f"data/, {BUILD}" if "-DHG_COVERAGE" in FLAGS else "data/"


MARKS = []  # a socket for each port that this process was given: their names keep other tests from them


def free_port():
    """One that nobody listens on and no test that runs now was given, however late it is used and how often its
    server starts anew. Below the kernel's source ports, since polling a port nobody listens on yet could connect
    to itself, and below 10240, from where on Headgate takes ports for replicas."""
    while True:
        port = random.randrange(4096, 10240)
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0headgate-test-port-{port}")  # abstract: goes with the process
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        MARKS.append(mark)
        return port


def wait_for(what, seconds=30.0, every=0.02):
    """Waits until what() is true and returns its value; says what it waited for when it is not."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {getattr(what, '__doc__', None) or what}")
        time.sleep(every)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def request(port, method="GET", path="/", body=None, headers=None, timeout=10, host="127.0.0.1"):
    """(status, headers, body) of one request on a connection of its own."""
    c = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **(headers or {})}
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()
    finally:
        c.close()


class Load:
    """tests/e2e/load.c in the background; result() waits for it and returns its counts."""

    def __init__(self, port, rate=500, seconds=10, posts=20, connections=64, acked=None, path="/feedback", **more):
        argv = [BUILD / "tests/e2e/load", "--port", port, "--rate", rate, "--seconds", seconds, "--posts", posts,
                "--connections", connections, "--path", path]
        if acked:
            argv += ["--acked", acked]
        for name, value in more.items():
            argv += ["--" + name.replace("_", "-")] + ([] if value is True else [value])
        self.child = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True)
        self.until = time.monotonic() + seconds

    def running(self, spare=0.0):
        return self.child.poll() is None and time.monotonic() < self.until - spare

    def stop(self):
        """No further requests from here on."""
        if self.child.poll() is None:
            self.child.terminate()
        return self

    def result(self):
        out, _ = self.child.communicate(timeout=300)
        assert self.child.returncode == 0, f"load ended with {self.child.returncode}"
        return json.loads(out)


FEEDBACK = """version: 1
project: e2e
edge:
  workers: {workers}
  listen: {{http: "127.0.0.1:{port}"}}
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LOG_LEVEL: "{log_level}"}}
    probes:
      startup: {{http: /health, every: 250ms, failures: 120}}
      readiness: {{http: /health, every: 500ms, timeout: 2s, failures: 2}}
    shutdown: {{grace: 10s}}
    protect: {{timeout: 5s, retries: 2, retry_budget: 100%}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
"""


class Platform:
    """Headgate in a temporary folder. Use as a context manager: `down` and the folder's end are sure."""

    def __init__(self, config=None, replicas=3, workers=1, log_level="INFO", data=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-e2e-"))
        self.dir.chmod(0o755)
        self.port = free_port()
        self.data = pathlib.Path(data) if data else self.dir / "hg"
        self.file = self.dir / "headgate.yaml"
        text = (config or FEEDBACK).format(port=self.port, build=BUILD, dir=self.dir, replicas=replicas,
                                           workers=workers, log_level=log_level, writable=WRITABLE)
        self.file.write_text(text)

    def run(self, *argv, check=True, timeout=60, **more):
        done = subprocess.run([str(BUILD / "headgate"), "--data", str(self.data), *map(str, argv)],
                              capture_output=True, text=True, timeout=timeout, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"headgate {' '.join(map(str, argv))} ended with {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}{self.platform_log()}")
        return done

    def platform_log(self):
        out = ""
        for path in sorted(self.data.glob("run/*.log")) + sorted(self.data.glob("logs/*.log")):
            out += f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}\n"
        return out

    def up(self, *more):
        self.run("up", "--detach", "-f", self.file, *more)
        return self

    def status(self):
        done = self.run("status", "--json", check=False)
        if done.returncode not in (0, 7):  # 7: degraded, which a test may well want
            raise AssertionError(f"status ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def pids(self, role):
        return [p["pid"] for p in self.status()["processes"] if p["role"] == role]

    def app(self, name="feedback"):
        return next(a for a in self.status()["apps"] if a["name"] == name)

    def replicas(self, name="feedback"):
        return self.app(name)["replicas"]

    def ready(self, name="feedback"):
        return sum(1 for r in self.replicas(name) if r["state"] == "ready")

    def wait_ready(self, count, name="feedback", seconds=30):
        def enough():
            try:
                return self.ready(name) == count
            except (AssertionError, json.JSONDecodeError):
                return False  # control is being replaced
        enough.__doc__ = f"{count} ready replicas of {name}"
        wait_for(enough, seconds)

    def get(self, path="/feedback", **more):
        return request(self.port, "GET", path, **more)

    def everyone(self):
        s = self.status()
        return [p["pid"] for p in s["processes"]] + [r["pid"] for a in s["apps"] for r in a["replicas"] if r["pid"]]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind:
                sys.stderr.write(self.platform_log())
            self.run("down", check=False, timeout=120)
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


def kill(pid, sig=signal.SIGKILL):
    assert pid > 0, f"{pid} is no process (0: one that is being started anew)"  # to kill(2) it is this test's group
    os.kill(pid, sig)


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0

    def line(self, ok, test, note=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} - {test.id().split('.', 1)[1]}{note}", flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def addSkip(self, test, reason):
        self.line(True, test, f" # SKIP {reason}")

    def show(self, test, err):
        super().addFailure(test, err)
        self.line(False, test)
        print("# " + self.failures[-1][1].replace("\n", "\n# "), flush=True)

    addFailure = show
    addError = show

    def addSubTest(self, test, subtest, err):
        if err:
            self.show(subtest, err)


def main():
    """Runs the calling module's tests and prints TAP, which the build's runner counts."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    print(f"1..{suite.countTestCases()}", flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
