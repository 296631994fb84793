#!/usr/bin/env python3
"""Rate limits that two machines keep together, through a real Redis: exactly as many pass as over one, by address
and by verified user; and nobody is refused or kept waiting because Redis is killed, stopped or started again."""
import concurrent.futures
import http.client
import re
import socket
import threading
import time
import unittest

from harness import Load, Platform, main, request, wait_for
from identity_test import REPLICA, hs
from redis_server import Redis

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = """version: 1
project: shared
edge:
  workers: 2
  h2c: true
  listen: {{http: "127.0.0.1:{port}"}}
  rate_limits: RATES
apps:
  api:
    command: python3 {dir}/replica.py $PORT
    replicas: 1
    probes: {{readiness: {{http: /health, every: 250ms, timeout: 5s}}}}
    identity: {{jwt: {{issuer: "https://id.example", audience: shop, secret_file: jwt.secret}}}}
    routes:
      - {{path: /, access: off}}
      - {{path: /user, rate_limit: [1000/min per user, 50000/h per user, 2000/5m per ip]}}
      - {{path: /few, rate_limit: [40/h per user, 100/h per ip], access: optional}}
      - {{path: /guess, rate_limit: [100/h per user, 100/h per ip], access: optional}}
      - {{path: /killed, rate_limit: [40/h per user, 100/h per ip], access: optional}}
      - {{path: /still, rate_limit: [40/h per user, 100/h per ip], access: optional}}
      - {{path: /names, rate_limit: 40/h per user}}
      - {{path: /local, access: off, rate_limit: 5/h per ip local}}
      - {{path: /quick, access: off, rate_limit: 10/s per ip burst 50}}
      - {{path: /wide, access: off, rate_limit: 500000/s per ip}}
"""
PASSWORD = "Pass word+1"


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Machine(Platform):
    """One machine of those that share a Redis; each is a platform of its own."""

    def __init__(self, redis=None, timeout="250ms", rates=None):
        rates = rates or "{{{{redis: \"redis://127.0.0.1:{}\", password_file: redis.password, timeout: {}}}}}".format(
            redis.port, timeout)
        super().__init__(CONFIG.replace("RATES", rates))
        (self.dir / "replica.py").write_text(REPLICA)
        (self.dir / "jwt.secret").write_text(SECRET)
        (self.dir / "redis.password").write_text(PASSWORD + "\n")

    def start(self):
        self.up()
        self.wait_ready(1, "api")
        return self

    def ask(self, path, token=None):
        return request(self.port, "GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})

    def counted(self, name):
        c = Unix("headgate")
        c.path = str(self.data / "control.sock")
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        c.close()
        return sum(int(float(v)) for v in re.findall(rf"^headgate_edge_{name}_total{{[^}}]*}} (\S+)$", text, re.M))


def burst(machines, path, n, token=None, threads=8):
    """n requests, spread over the machines; how often each status came, and the last answer of each."""
    seen, lock = {}, threading.Lock()

    def one(i):
        status, fields = machines[i % len(machines)].ask(path, token)[:2]
        with lock:
            seen.setdefault(status, []).append(fields)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(n)))
    return {s: len(f) for s, f in seen.items()}, {s: f[-1] for s, f in seen.items()}


class Together(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.redis = Redis(password=PASSWORD)
        cls.addClassCleanup(cls.redis.remove)
        cls.machines = []
        for _ in range(2):
            m = Machine(cls.redis)
            m.__enter__()
            cls.addClassCleanup(m.__exit__, None, None, None)
            cls.machines.append(m.start())

    def setUp(self):
        if self.redis.child.poll() is not None:
            self.redis.start()
        self.redis.ask("FLUSHALL")
        # Each machine finds it again at once or a little later; then nothing is decided alone.
        wait_for(self.both_ask, 20, 0.1)

    def both_ask(self):
        """both machines ask Redis"""
        for m in self.machines:
            before = m.counted("rate_asked")
            m.ask("/wide")
            if m.counted("rate_asked") == before:
                return False
        return True

    def test_exactly_as_many_pass_over_two_machines_as_over_one(self):
        seen, last = burst(self.machines, "/few", 150, hs(SECRET, sub="exact"))
        self.assertEqual(seen, {200: 40, 429: 110})
        self.assertIn('"user-hour";q=40;w=3600', last[429]["RateLimit-Policy"])
        self.assertIn('"user-hour";r=0', last[429]["RateLimit"])
        self.assertGreater(int(last[429]["Retry-After"]), 0)
        # Another user has his own; of the address only what was let through was counted.
        seen, last = burst(self.machines, "/few", 100, hs(SECRET, sub="other"))
        self.assertEqual(seen, {200: 40, 429: 60})
        self.assertIn('"ip-hour";r=19', last[429]["RateLimit"])
        # What is left is the same on both, whichever is asked.
        seen, _ = burst(self.machines[:1], "/few", 30, hs(SECRET, sub="third"))
        self.assertEqual(seen, {200: 20, 429: 10})
        # Forged tokens are of the address, and it has nothing left on either.
        self.assertEqual(burst(self.machines, "/few", 4, hs("x" * 32))[0], {429: 4})

    def test_401_counts_the_address_on_all_machines(self):
        seen, last = burst(self.machines, "/guess", 130, hs("y" * 32))
        self.assertEqual(seen, {401: 100, 429: 30})
        self.assertIn("Bearer", last[401]["WWW-Authenticate"])

    def test_the_three_limits_of_one_route(self):
        alone = [m.counted("rate_alone") for m in self.machines]
        # 1000/min per user: so many at once, and one every 60 ms.
        start = time.monotonic()
        seen, last = burst(self.machines, "/user", 1300, hs(SECRET, sub="heavy"), 16)
        most = 1000 + int((time.monotonic() - start) / 0.06) + 1
        self.assertGreaterEqual(seen[200], 1000)
        self.assertLessEqual(seen[200], most)
        for name in ('"user-min";q=1000;w=60', '"user-hour";q=50000;w=3600', '"ip-300s";q=2000;w=300'):
            self.assertIn(name, last[429]["RateLimit-Policy"])
        # 2000/5m per address: what the first left of it, whoever asks.
        more, last = burst(self.machines, "/user", 1300, hs(SECRET, sub="other"), 16)
        most = 2000 + int((time.monotonic() - start) / 0.15) + 1
        self.assertGreaterEqual(seen[200] + more[200], 2000)
        self.assertLessEqual(seen[200] + more[200], most)
        self.assertIn('"ip-300s";r=0', last[429]["RateLimit"])
        self.assertEqual([m.counted("rate_alone") for m in self.machines], alone)
        self.assertLess(int(re.search(r'"user-hour";r=(\d+)', last[429]["RateLimit"])[1]), 50000 - 900)

    def test_local_limits_are_each_machines_own(self):
        self.assertEqual(burst(self.machines, "/local", 20)[0], {200: 10, 429: 10})

    def test_nothing_personal_stands_in_redis_and_it_goes_by_itself(self):
        m = self.machines[0]
        self.assertEqual(m.ask("/names", hs(SECRET, sub="ann.smith@example.com"))[0], 200)
        self.assertEqual(burst([m], "/quick", 10)[0], {200: 10})
        keys = self.redis.ask("KEYS", "*")
        for key in keys:
            self.assertRegex(key, r"^hg:rate:[0-9a-f]{16}$")
            self.assertRegex(self.redis.ask("GET", key), r"^\d+$")
            self.assertGreater(int(self.redis.ask("PTTL", key)[1:]), 0)
        wait_for(lambda: len(self.redis.ask("KEYS", "*")) < len(keys), 10)
        # The password is in no argument, no log and no answer.
        self.assertNotIn(PASSWORD, m.platform_log() + m.run("status", "--json", check=False).stdout)

    def loads(self, seconds):
        return [Load(m.port, rate=150, seconds=seconds, posts=0, connections=16, path="/wide") for m in self.machines]

    @staticmethod
    def asked(redis):
        found = re.search(r"evalsha:calls=(\d+)", redis.ask("INFO", "commandstats"))
        return int(found[1]) if found else 0

    @staticmethod
    def failed(got):
        return sum(got[k] for k in ("failed_get", "connect_errors", "closed", "timeouts", "status_5xx"))

    def whole(self, loads, seconds):
        for load in loads:
            got = load.result()
            self.assertEqual(self.failed(got), 0, got)
            self.assertEqual(list(got["status"]), ["200"], got)
            self.assertGreater(got["ok"], 100 * seconds)

    def test_redis_is_killed_and_started_again_under_load(self):
        alone = [m.counted("rate_alone") for m in self.machines]
        loads = self.loads(8)
        time.sleep(1)
        self.redis.kill()
        time.sleep(1)
        # A machine by itself keeps what was used, and the limit: twice in all, at most.
        seen, _ = burst(self.machines, "/killed", 200, hs(SECRET, sub="killed"))
        self.assertEqual(seen, {200: 80, 429: 120})
        time.sleep(1)
        self.redis.start()
        self.whole(loads, 8)
        for m, before in zip(self.machines, alone):
            self.assertGreater(m.counted("rate_alone"), before)
            wait_for(lambda m=m: "connection was lost" in m.run(
                "logs", "edge", "--grep", "edge.rate_limits_redis", check=False).stdout)
        wait_for(self.both_ask, 20, 0.1)

    def test_redis_stands_still_under_load(self):
        for m in self.machines:
            self.assertEqual(m.ask("/still", hs(SECRET, sub="still"))[0], 200)
        loads = self.loads(8)
        time.sleep(1)
        self.redis.freeze()
        try:
            start = time.monotonic()
            seen, _ = burst(self.machines, "/still", 160, hs(SECRET, sub="still"))
            took = time.monotonic() - start
            time.sleep(1)
        finally:
            self.redis.freeze(False)
        # Of 40, one machine knew of one request and the other of two.
        self.assertEqual(seen, {200: 39 + 38, 429: 83})
        self.assertLess(took, 10)
        self.whole(loads, 8)
        wait_for(self.both_ask, 20, 0.1)

    def test_a_reload_moves_to_another_redis_under_load(self):
        m = self.machines[0]
        other = Redis(password=PASSWORD)
        # Of a user who may do no more than is needed.
        other.ask("ACL", "SETUSER", "edge", "on", ">" + PASSWORD, "~hg:rate:*",
                  *"+evalsha +eval +get +set +time +ping +client|setname +select".split())
        text = m.file.read_text()
        try:
            load = Load(m.port, rate=150, seconds=8, posts=0, connections=16, path="/wide")
            time.sleep(1)
            m.file.write_text(text.replace(f"127.0.0.1:{self.redis.port}\"", f"127.0.0.1:{other.port}/1\", user: edge"))
            m.run("reload", "-f", m.file)
            wait_for(lambda: self.asked(other) > 100, 10)
            # A unix socket, by a path that the edge's own user may enter.
            other.dir.chmod(0o755)
            (other.dir / "socket").chmod(0o777)
            m.file.write_text(text.replace(f"redis://127.0.0.1:{self.redis.port}", f"unix:{other.dir}/socket?db=2"))
            m.run("reload", "-f", m.file)
            before = self.asked(other)
            wait_for(lambda: self.asked(other) > before + 100, 10)
            m.file.write_text(text)
            m.run("reload", "-f", m.file)
            self.whole([load], 8)
        finally:
            m.file.write_text(text)
            m.run("reload", "-f", m.file)
            other.remove()

    def test_errors_say_what_to_do(self):
        m = self.machines[0]
        text = m.file.read_text()
        line = next(n for n, l in enumerate(text.splitlines(), 1) if "rate_limits:" in l)
        for put, code, words in (
                ("redis://:secret@127.0.0.1", "HG1102", "password_file"), ("http://127.0.0.1", "HG1102", "redis://"),
                ("rediss://127.0.0.1?ca=x", "HG1102", "ca_file")):
            m.file.write_text(re.sub(r'redis: "[^"]*"', f'redis: "{put}"', text))
            done = m.run("config", "check", "-f", m.file, check=False)
            self.assertNotEqual(done.returncode, 0, put)
            self.assertIn(words, done.stdout + done.stderr)
            self.assertIn(f":{line}:", done.stdout + done.stderr)
        m.file.write_text(text.replace("redis.password", "nowhere"))
        done = m.run("reload", "-f", m.file, check=False)
        m.file.write_text(text)
        self.assertIn("HG1252", done.stdout + done.stderr)
        self.assertIn("nowhere", done.stdout + done.stderr)


if __name__ == "__main__":
    main()
