#!/usr/bin/env python3
"""The edge in use: replicas on unix sockets and on inherited listeners; reload and release with very many
connections open; WebSockets and event streams stay with their release."""
import base64
import json
import multiprocessing
import os
import pathlib
import re
import socket
import struct
import time
import unittest

from harness import BUILD, Load, Platform, main, request, wait_for

LONG = os.environ.get("HEADGATE_TEST_LONG") == "1"
APP = pathlib.Path(__file__).resolve().with_name("app_sockets.py")
PER_PROCESS = 14000  # descriptors of a client process, and connections of an edge worker

CONFIG = """version: 1
project: e2e
edge:
  workers: {workers}
  listen: {{http: "127.0.0.1:{port}"}}
  limits: {{keepalive: 10m}}
apps:
  web:
    command: python3 %s v1 {listen}
    dir: {dir}
    replicas: {replicas}
    env: {env}
    probes: {{readiness: {{http: /health, every: 250ms}}}}
    shutdown: {{grace: 4s}}
    protect: {{retries: 2, retry_budget: 100%%}}
    rollout: {{strategy: rolling}}
    routes: [{{host: "*", path: /}}]
""" % APP


def config(listen="", env="{}"):
    return CONFIG.replace("{listen}", listen).replace("{env}", env.replace("{", "{{").replace("}", "}}"))


class Replicas(unittest.TestCase):
    def serve(self, listen="", env="{}"):
        p = Platform(config(listen, env), replicas=2)
        self.addCleanup(lambda: p.__exit__(None, None, None))
        p.up()
        status, _, body = p.get("/")
        self.assertEqual(status, 200)
        return p, json.loads(body)

    def replaced_under_load(self, p):
        """All replicas are replaced while requests run: none fails."""
        before = {r["pid"] for r in p.replicas("web")}
        load = Load(p.port, rate=200, seconds=20, posts=0, connections=8, path="/")
        time.sleep(0.5)
        p.run("restart", "web", "--wait", "--timeout", "60s")
        after = {r["pid"] for r in p.replicas("web") if r["state"] == "ready"}
        self.assertFalse(before & after)
        r = load.stop().result()
        self.assertGreater(r["ok"], 50)
        self.assertEqual(r["failed_get"], 0, r)

    def test_replicas_are_reached_by_a_unix_socket(self):
        p, told = self.serve("--socket $SOCKET")
        self.assertTrue(told["env"]["SOCKET"].startswith(str(p.data)), told)
        self.assertNotIn("PORT", told["env"])
        self.replaced_under_load(p)

    def test_replicas_inherit_their_listener(self):
        p, told = self.serve(env='{LISTEN_FDS: "1"}')
        self.assertEqual(told["env"], {"LISTEN_FDS": "1", "LISTEN_PID": str(told["pid"])})
        self.assertEqual(told["fds"], {"3": "socket"}, "nothing else of ours is inherited")
        self.replaced_under_load(p)

    def test_a_program_takes_its_listener_when_its_command_names_it(self):
        p, told = self.serve("$LISTEN_FDS")
        self.assertEqual(told["env"], {"LISTEN_FDS": "1", "LISTEN_PID": str(told["pid"])})

    def test_another_number_of_listeners_is_refused(self):
        p = Platform(config(env='{LISTEN_FDS: "2"}'))
        self.addCleanup(lambda: p.__exit__(None, None, None))
        done = p.run("config", "check", "-f", p.file, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("LISTEN_FDS must be 1: a replica inherits one listener", done.stderr)

    def test_the_feedback_app_takes_over_a_listener(self):
        p = Platform("""version: 1
project: e2e
edge: {{workers: 1, listen: {{http: "127.0.0.1:{port}"}}}}
apps:
  feedback:
    command: {build}/feedback-app
    dir: {dir}
    replicas: {replicas}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LISTEN_FDS: "1"}}
    probes: {{readiness: {{http: /health, every: 250ms}}}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
""", replicas=2)
        self.addCleanup(lambda: p.__exit__(None, None, None))
        p.up()
        self.assertEqual(p.get("/feedback")[0], 200)
        self.assertEqual(request(p.port, "POST", "/feedback", {"message": "over a socket"})[0], 201)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def ask(s):
    """One request on a connection; the status, or None when it is gone."""
    try:
        s.sendall(GET)
        head = b""
        while b"\r\n\r\n" not in head:
            part = s.recv(4096)
            if not part:
                return None
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        left = int(re.search(rb"(?i)content-length: (\d+)", head).group(1)) - len(body)
        while left > 0:
            left -= len(s.recv(left))
        return int(head.split()[1])
    except OSError:
        return None


def hold(port, count, address, pipe):
    """Opens connections, asks once on each, and again when told; says how many got which answer."""
    socks, answers = [], {}
    for i in range(count):
        s = socket.socket()
        s.settimeout(60)
        s.bind((f"127.{address}.{1 + i // 5000}.1", 0))
        s.connect(("127.0.0.1", port))
        socks.append(s)
        status = ask(s)
        answers[status] = answers.get(status, 0) + 1
    pipe.send(answers)
    while pipe.recv() == "ask":
        answers = {}
        for s in socks:
            status = ask(s)
            answers[status] = answers.get(status, 0) + 1
        pipe.send(answers)


class Holders:
    """`count` keep-alive connections, in as many processes as that takes."""

    def __init__(self, port, count):
        self.parts = []
        for i in range(0, count, PER_PROCESS):
            ours, theirs = multiprocessing.Pipe()
            child = multiprocessing.Process(target=hold, args=(port, min(PER_PROCESS, count - i), 1 + i // PER_PROCESS,
                                                               theirs), daemon=True)
            child.start()
            self.parts.append((child, ours))

    def answers(self):
        total = {}
        for _, pipe in self.parts:
            if not pipe.poll(300):
                raise AssertionError("a client did not report")
            for status, n in pipe.recv().items():
                total[status] = total.get(status, 0) + n
        return total

    def ask(self):
        for _, pipe in self.parts:
            pipe.send("ask")
        return self.answers()

    def stop(self):
        for child, pipe in self.parts:
            pipe.send("stop")
            child.join(30)


class WebSocket:
    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall(f"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.s.recv(1)
        assert b" 101 " in head.split(b"\r\n")[0], head

    def say(self, text):
        """What comes back; None when the connection is over."""
        mask = os.urandom(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(text.encode()))
        try:
            self.s.sendall(struct.pack("!BB", 0x81, 0x80 | len(data)) + mask + data)
            head = self.s.recv(2)
            return self.s.recv(head[1]).decode() if len(head) == 2 else None
        except OSError:
            return None


class Open(unittest.TestCase):
    """Reload and release while much is open."""

    def setUp(self):
        self.count = 100000 if LONG else 2000
        workers = 8 if LONG else 2
        self.p = Platform(config("--port $PORT"), replicas=2, workers=workers)
        self.addCleanup(lambda: self.p.__exit__(None, None, None))
        # The many ask a program that is quick; the long-lived connections one that knows them.
        text = self.p.file.read_text().replace('[{host: "*", path: /}]', "[{host: \"*\", path: /ws}, {host: \"*\", path: /sse}]")
        text += f"""  fast:
    command: {BUILD}/feedback-app --port $PORT
    dir: {self.p.dir}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LOG_LEVEL: WARN}}
    replicas: 2
    probes: {{readiness: {{http: /health, every: 500ms}}}}
    sandbox: {{writable: [data/]}}
    protect: {{retries: 2, retry_budget: 100%}}
    routes: [{{host: "*", path: /}}]
"""
        self.p.file.write_text(text)
        self.p.up()

    def edit(self, what, to):
        text = self.p.file.read_text()
        self.assertIn(what, text)
        self.p.file.write_text(text.replace(what, to))

    def events(self):
        s = socket.create_connection(("127.0.0.1", self.p.port), 10)
        s.sendall(b"GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
        return s

    def affordable(self, wish):
        """Clients, replicas and edge share the machine: of what it can do without anything else, half."""
        begin = time.monotonic()
        r = Load(self.p.port, rate=wish, seconds=4, posts=0, connections=64, path="/health").result()
        can = r["ok"] / (time.monotonic() - begin)
        print(f"# with nothing but the crowd open: {can:.0f} requests/s")
        return min(wish, int(can / 2))

    def test_no_connection_is_lost_by_reload_and_release(self):
        p, ws, sse = self.p, WebSocket(self.p.port), self.events()
        begin = time.monotonic()
        crowd = Holders(p.port, self.count)
        self.addCleanup(crowd.stop)
        self.assertEqual(crowd.answers(), {200: self.count})
        opened = time.monotonic() - begin
        rate = self.affordable(10000) if LONG else 500
        load = Load(p.port, rate=rate, seconds=240 if LONG else 60, posts=0, connections=64, path="/health")
        slowest, since = 0, time.monotonic()
        for i in range(3):
            self.edit("retries: 2" if i == 0 else f"timeout: {i}0s, retries: 2", f"timeout: {i + 1}0s, retries: 2")
            t = time.monotonic()
            p.run("reload", "-f", p.file)
            slowest = max(slowest, time.monotonic() - t)
            self.assertEqual(ws.say(f"round {i}"), f"v1:round {i}")
        self.assertEqual(crowd.ask(), {200: self.count})

        # A new release: open streams stay where they are until its grace is over.
        self.edit("app_sockets.py v1", "app_sockets.py v2")
        p.run("reload", "-f", p.file, timeout=120)
        wait_for(lambda: WebSocket(p.port).say("new") == "v2:new", 60)
        self.assertEqual(ws.say("still"), "v1:still")
        sse.settimeout(10)
        self.assertIn(b"data: v1", sse.recv(65536))
        over = time.monotonic()
        while ws.say("until the drain limit") is not None and time.monotonic() - over < 60:
            time.sleep(0.2)
        self.assertLess(time.monotonic() - over, 60, "the old release is ended in the end")

        self.assertEqual(crowd.ask(), {200: self.count}, "the crowd noticed nothing of it")
        took = min(time.monotonic(), load.until) - since
        r = load.stop().result()
        self.assertEqual(r["failed_get"], 0, r)
        self.assertGreater(r["ok"], 500)
        served = r["ok"] / took
        self.assertGreater(served, 0.9 * rate, r)
        print(f"# {self.count} connections opened in {opened:.1f} s; {r['ok']} requests beside them, "
              f"{served:.0f}/s of {rate} asked for, {r['late']} late, p99 {r['p99_us'] / 1000:.1f} ms, none failed; "
              f"the slowest reload took {slowest:.2f} s")


if __name__ == "__main__":
    main()
