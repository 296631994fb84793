#!/usr/bin/env python3
"""What protects an app and its clients when replicas are slow, fail, or are gone, with real processes:
every number is counted by the clients."""
import collections
import contextlib
import http.client
import re
import signal
import socket
import threading
import time
import unittest

from harness import Platform, kill, main, wait_for

# Answers with its port and pid; does what the file DIR/mode says, or DIR/mode.PORT for one replica.
APP = r'''
import http.server, os, random, sys, threading, time
four = threading.Semaphore(4)
port, folder = int(sys.argv[1]), sys.argv[2]
def mode():
    for name in ("mode.%d" % port, "mode"):
        try:
            return open(os.path.join(folder, name)).read().strip()
        except OSError:
            pass
    return ""
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one write an answer, or the second waits for an acknowledgement
    def do_GET(self):
        what = "" if self.path == "/health" else mode()
        if what.startswith("slow:"):
            time.sleep(float(what[5:]))
        if what.startswith("knee:"):  # four at a time, the rest waits in here
            with four:
                time.sleep(float(what[5:]))
        status = 500 if what == "500" else 200
        if what.startswith("fail:"):
            status = 500 if random.random() < float(what[5:]) else 200
        text = b"%d %d %s" % (port, os.getpid(), os.environ.get("RELEASE", "1").encode())
        if what == "told":
            text += b" " + (self.headers.get("X-Left-Ms") or "nothing").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
Server(("127.0.0.1", port), Handler).serve_forever()
'''

CONFIG = """version: 1
project: e2e
edge:
  workers: {{workers}}
  listen: {{{{http: "127.0.0.1:{{port}}"}}}}
apps:
  web:
    command: /usr/bin/python3 {{dir}}/app.py $PORT {{dir}}
    dir: {{dir}}
    replicas: {{replicas}}
    env: {{{{RELEASE: "1"}}}}
    probes:
      startup: {{{{http: /health, every: 100ms, failures: 300}}}}
    shutdown: {{{{grace: 2s}}}}
{more}
"""


@contextlib.contextmanager
def platform(more, **kw):
    p = Platform(CONFIG.format(more=more), **kw)
    (p.dir / "app.py").write_text(APP)
    with p:
        p.up()
        p.wait_ready(kw.get("replicas", 3), "web")
        yield p


def mode(p, what, port=None):
    path = p.dir / (f"mode.{port}" if port else "mode")
    temp = path.with_suffix(".new")
    temp.write_text(what)
    temp.rename(path)


def metric(p, name):
    """The sum of a family over its labels."""
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(10)
        c.connect(str(p.data / "control.sock"))
        c.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: c.recv(65536), b"")).decode()
    found = re.findall(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)$", text, re.M)
    assert found, name
    return sum(float(v) for v in found)


def say(text):
    print("# " + text, flush=True)


class Clients:
    """So many clients, each with one request at a time, for some seconds."""

    def __init__(self, port, count, seconds, pause=0.0, path="/"):
        self.port, self.pause, self.path = port, pause, path
        self.status, self.by_port = collections.Counter(), collections.Counter()
        self.seconds, self.when, self.whom, self.lock = [], [], [], threading.Lock()
        self.begin = time.monotonic()
        self.end = self.begin + seconds
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for t in self.threads:
            t.start()

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while (at := time.monotonic()) < self.end:
            c.request("GET", self.path)
            r = c.getresponse()
            body = r.read()
            with self.lock:
                self.status[r.status] += 1
                self.seconds.append(time.monotonic() - at)
                self.when.append((at - self.begin, r.status))
                port = int(body.split()[0]) if body[:1].isdigit() else None  # nobody's: an answer of the edge
                self.whom.append(port)
                if r.status == 200:
                    self.by_port[port] += 1
            if self.pause:
                time.sleep(self.pause)
        c.close()

    def stop(self):
        self.end = time.monotonic()
        return self

    def result(self):
        for t in self.threads:
            t.join()
        self.total = len(self.seconds)
        return self

    def quantile(self, q):
        return sorted(self.seconds)[min(int(self.total * q), self.total - 1)]


class Resilience(unittest.TestCase):
    def test_a_breaker_opens_spares_the_app_and_closes(self):
        with platform("""    protect:
      retries: 0
      circuit_breaker: {{errors: 50%, over: 5s, open_for: 1s, min_requests: 10, probes: 2}}
    routes: [{{host: "*", path: /}}]""", replicas=2) as p:
            self.assertEqual(p.get("/")[0], 200)
            mode(p, "500")
            seen = [p.get("/")[0] for _ in range(40)]
            self.assertIn(503, seen)
            opened = seen.index(503)
            self.assertLessEqual(opened, 12)
            self.assertEqual(set(seen[:opened]), {500})
            self.assertEqual(set(seen[opened:]), {503})
            status, head, _ = p.get("/")
            self.assertEqual((status, head["Retry-After"]), (503, "1"))

            def shown():
                """the status says so"""
                return "circuit breaker" in p.app("web")["reason"]
            wait_for(shown)
            self.assertEqual(metric(p, "headgate_edge_breaker_open"), 1)
            self.assertGreaterEqual(metric(p, "headgate_edge_breaker_refused_total"), 40 - opened)
            mode(p, "")

            def well():
                """it closed"""
                return p.get("/")[0] == 200
            wait_for(well, 5)
            self.assertEqual([p.get("/")[0] for _ in range(50)], [200] * 50)

    def visit(self, p, cookie):
        """(port and release of the replica that answered, the client's cookie from now on)"""
        status, head, body = p.get("/", headers={"Cookie": cookie} if cookie else {})
        self.assertEqual(status, 200)
        port, _, release = body.decode().split()
        new = re.search(r"(hg=[0-9a-f]+);", head.get("Set-Cookie", ""))
        return (int(port), release), new.group(1) if new else cookie

    def numbers(self, p):
        """{pid: (release, number)} of the ready replicas"""
        return {r["pid"]: (r["release"], r["replica"]) for r in p.replicas("web") if r["state"] == "ready"}

    def test_a_client_keeps_its_replica_through_a_restart_and_a_canary(self):
        with platform("""    protect: {{retries: 2, retry_budget: 100%}}
    rollout:
      strategy: canary
      steps: [{{weight: 50%, wait: 1h}}]
      inconclusive: wait
    routes: [{{host: "*", path: /, affinity: {{cookie: hg, ttl: 1h}}}}]""") as p:
            def serving(cookie):
                _, head, body = p.get("/", headers={"Cookie": cookie} if cookie else {})
                found = re.search(r"(hg=[0-9a-f]+);", head.get("Set-Cookie", ""))
                return self.numbers(p).get(int(body.split()[1])), found.group(1) if found else cookie
            clients = {}
            for k in range(12):
                where, cookie = serving(None)
                clients[k] = [where, cookie]
            self.assertGreater(len({c[0] for c in clients.values()}), 1)
            for where, cookie in clients.values():
                self.assertEqual(serving(cookie), (where, cookie))
            # The replica of the first client is killed: away for a moment, then back by its number.
            victim = clients[0][0]
            pid = next(pid for pid, n in self.numbers(p).items() if n == victim)
            kill(pid)

            def back():
                """the replica with that number is ready again"""
                return any(n == victim and q != pid for q, n in self.numbers(p).items())
            wait_for(back)
            p.wait_ready(3, "web")
            for where, cookie in clients.values():
                self.assertEqual(serving(cookie), (where, cookie))
            # A canary: half of the requests, by chance; in each release the same replica.
            p.run("deploy", "web", "--env", "RELEASE=2", "--detach")

            def split():
                """the new release gets requests"""
                return any(r["release"] == 2 and r["state"] == "ready" for r in p.replicas("web")) and \
                    any(self.visit(p, None)[0][1] == "2" for _ in range(10))
            wait_for(split)
            where, cookie = clients[1]
            seen = {"1": set(), "2": set()}
            count = {"1": 0, "2": 0}
            for _ in range(120):
                (port, release), cookie = self.visit(p, cookie)
                seen[release].add(port)
                count[release] += 1
            self.assertEqual((len(seen["1"]), len(seen["2"])), (1, 1))
            self.assertGreater(min(count.values()), 25, count)

    def test_a_replica_that_stands_still_and_one_that_is_slow_cost_nobody_a_failure(self):
        with platform("""    protect:
      timeout: 2s
      retries: 2
      retry_budget: 100%
      slow_start: 2s
    routes: [{{host: "*", path: /}}]""") as p:
            ports = {int(r["address"].rsplit(":", 1)[1]): r["pid"] for r in p.replicas("web")}
            slow, still, _ = sorted(ports)
            mode(p, "slow:0.005")
            mode(p, "slow:0.5", slow)  # a hundred times the others
            seen = Clients(p.port, 8, 4).result()
            self.assertEqual(set(seen.status), {200})
            # Fewer in flight win: eight clients keep it busy with one or two requests at a time.
            self.assertLess(seen.by_port[slow] / seen.total, 0.10, seen.by_port)
            self.assertLess(seen.quantile(0.5), 0.05)
            clients = Clients(p.port, 8, 6)
            time.sleep(1)
            kill(ports[still], signal.SIGSTOP)
            seen = clients.result()
            kill(ports[still], signal.SIGCONT)
            self.assertEqual(set(seen.status), {200}, seen.status)
            # The first attempt waits half of the time, then another replica answers.
            self.assertLess(max(seen.seconds), 2.5)
            self.assertLess(seen.quantile(0.5), 0.1)

    def ports(self, p):
        return {int(r["address"].rsplit(":", 1)[1]): r["pid"] for r in p.replicas("web")}

    def test_an_attempt_that_takes_too_long_is_made_elsewhere(self):
        with platform("""    protect:
      timeout: 5s
      retries: {{max: 2, per_try_timeout: 200ms}}
      retry_budget: 100%
      outlier: {{consecutive_errors: never}}
    routes: [{{host: "*", path: /}}]""") as p:
            still = sorted(self.ports(p).items())[0][1]
            kill(still, signal.SIGSTOP)
            seen = Clients(p.port, 4, 3).result()
            kill(still, signal.SIGCONT)
            self.assertEqual(set(seen.status), {200}, seen.status)
            self.assertGreater(metric(p, "headgate_upstream_retries_total"), 0)
            say(f"a replica stands still, 200 ms an attempt: slowest of {seen.total} requests {max(seen.seconds):.3f} s")
            self.assertLess(max(seen.seconds), 1.5)  # 2.5 s would be half of the time-out

    def test_a_second_attempt_beside_a_slow_one_cuts_the_tail(self):
        """Round robin, so that a quarter of the first attempts goes to the replica that is slow."""
        tail, asked = {}, {}
        for hedge in ("", ", hedge: 30ms"):
            with platform(f"""    balance: round-robin
    protect:
      timeout: 5s
      retries: {{{{max: 1{hedge}}}}}
      retry_budget: 50%
    routes: [{{{{host: "*", path: /}}}}]""", replicas=4) as p:
                mode(p, "slow:0.5", sorted(self.ports(p))[0])
                seen = Clients(p.port, 4, 4, pause=0.02).result()
                self.assertEqual(set(seen.status), {200}, seen.status)
                tail[hedge] = seen.quantile(0.95)
                asked[hedge] = metric(p, "headgate_edge_hedges_total") / seen.total
                if hedge:
                    self.assertGreater(metric(p, "headgate_edge_hedges_won_total"), 0)
                    self.assertGreater(metric(p, "headgate_replica_overtaken_total"), 0)
        say(f"one replica of four takes 500 ms: p95 {tail['']:.3f} s, with a second attempt after 30 ms "
            f"{tail[', hedge: 30ms']:.3f} s for {asked[', hedge: 30ms']:.0%} more attempts")
        self.assertGreater(tail[""], 0.45)
        self.assertLess(tail[", hedge: 30ms"], 0.4)
        self.assertEqual(asked[""], 0)
        self.assertLess(asked[", hedge: 30ms"], 0.55)

    def test_a_request_whose_time_is_over_is_told_so(self):
        with platform("""    protect:
      timeout: 3s
      retries: {{max: 1}}
      deadline: {{header: X-Left-Ms, from: anybody}}
    routes: [{{host: "*", path: /}}]""") as p:
            mode(p, "told")
            self.assertIn(int(self.ask(p)[1].split()[3]), range(1500, 3001))
            self.assertIn(int(self.ask(p, "900")[1].split()[3]), range(300, 901))
            mode(p, "slow:1")
            began = time.monotonic()
            self.assertEqual(self.ask(p, "200")[0], 504)
            self.assertLess(time.monotonic() - began, 0.9)
            self.assertEqual(metric(p, "headgate_edge_deadline_passed_total"), 1)

    @staticmethod
    def ask(p, left=None):
        c = http.client.HTTPConnection("127.0.0.1", p.port, timeout=20)
        c.request("GET", "/", headers={"X-Left-Ms": left} if left else {})
        r = c.getresponse()
        answer = r.status, r.read().decode()
        c.close()
        return answer

    def test_replicas_that_differ_from_the_others_are_left_out(self):
        """One stands still, one takes a hundred times as long, one fails in three of ten requests."""
        with platform("""    balance: round-robin
    protect:
      timeout: 5s
      retries: {{max: 2, per_try_timeout: 300ms}}
      retry_budget: 100%
      outlier: {{error_rate_above_peers: 10%, p50_vs_peers: 5x, min_requests: 10, eject_for: 60s}}
    routes: [{{host: "*", path: /}}]""", replicas=6) as p:
            still, slow, bad = sorted(self.ports(p))[:3]
            mode(p, "slow:0.002")
            before = Clients(p.port, 6, 2, pause=0.01).result()
            mode(p, "slow:0.2", slow)
            mode(p, "fail:0.3", bad)
            kill(self.ports(p)[still], signal.SIGSTOP)
            seen = Clients(p.port, 6, 18, pause=0.01).result()
            kill(self.ports(p)[still], signal.SIGCONT)
            early = sorted(s for s, (at, _) in zip(seen.seconds, seen.when) if at < 2)
            late = sorted(s for s, (at, _) in zip(seen.seconds, seen.when) if at > 14)
            p99 = [v[int(len(v) * 0.99)] for v in (sorted(before.seconds), early, late)]
            say("p99 with six good replicas %.3f s; with one that stands still, one slow, one that fails: "
                "%.3f s at first, %.3f s after 14 s" % tuple(p99))
            failed = [s for at, s in seen.when if at > 14 and s != 200]
            self.assertEqual(failed, [])
            self.assertGreater(sum(s != 200 for _, s in seen.when), 0)
            self.assertGreater(p99[1], 0.19)
            # Whatever else the machine does to the times: hardly anybody is answered by one of the three any more.
            whom = [port for (at, _), port in zip(seen.when, seen.whom) if at > 14]
            self.assertGreater(len(whom), 100)
            self.assertLess(sum(port in (still, slow, bad) for port in whom) / len(whom), 0.01)
            # … nor waits for the one that stands still before another answers.
            self.assertLess(sum(s > 0.29 for s in late) / len(late), 0.01)
            self.assertGreaterEqual(metric(p, "headgate_edge_ejected_failing_total"), 1)
            self.assertGreaterEqual(metric(p, "headgate_edge_ejected_slow_total"), 1)

    def test_all_replicas_dead_and_back(self):
        with platform("""    protect: {{retries: 2, retry_budget: 100%}}
    routes: [{{host: "*", path: /}}]""") as p:
            clients = Clients(p.port, 4, 60, pause=0.01)
            time.sleep(1)
            dead = {r["pid"] for r in p.replicas("web")}
            for pid in dead:
                kill(pid)

            def back():
                """three others are ready"""
                ready = {r["pid"] for r in p.replicas("web") if r["state"] == "ready"}
                return len(ready) == 3 and not ready & dead
            wait_for(back)

            def served():
                """the edge has learned of all three"""
                return all(p.get("/")[0] == 200 for _ in range(12))
            wait_for(served, 20)
            well = time.monotonic() - clients.begin
            time.sleep(1)
            seen = clients.stop().result()
            self.assertLessEqual(set(seen.status), {200, 502, 503})
            self.assertGreater(seen.status[503] + seen.status[502], 0)
            late = [s for at, s in seen.when if at > well]
            self.assertGreater(len(late), 20)
            self.assertEqual(late, [200] * len(late))

    def test_more_than_the_replicas_can_do_waits_in_turn_or_is_told_to_come_again(self):
        with platform("""    protect:
      timeout: 5s
      max_in_flight_per_replica: 4
      queue: {{max: 40, timeout: 3s}}
    routes: [{{host: "*", path: /}}]""", replicas=2, workers=2) as p:
            mode(p, "slow:0.1")  # 2 replicas of 4 at a time: 80 a second
            seen = Clients(p.port, 24, 4).result()
            self.assertEqual(set(seen.status), {200})
            rate = seen.total / 4
            say(f"24 clients: {rate:.0f} requests/s of 80, p99 {seen.quantile(0.99) * 1000:.0f} ms")
            self.assertGreater(rate, 50)
            self.assertLess(seen.quantile(0.99), 3)  # at which who waits is told to come again
            self.assertGreater(metric(p, "headgate_edge_queue_entered_total"), 100)
            # Four times as many as may run and wait: the rest is told so at once.
            seen = Clients(p.port, 160, 4, pause=0.1).result()
            self.assertEqual(set(seen.status), {200, 503})
            self.assertGreater(seen.status[200] / 4, 50)
            good = sorted(t for t, s in zip(seen.seconds, (s for _, s in seen.when)) if s == 200)
            self.assertLess(good[int(len(good) * 0.99)], 3.5)
            say(f"160 clients: {seen.status[200] / 4:.0f} served/s, p99 {good[int(len(good) * 0.99)] * 1000:.0f} ms")

            def empty():
                """nobody waits"""
                return metric(p, "headgate_edge_queue_waiting") == 0
            wait_for(empty)
            self.assertEqual([p.get("/")[0] for _ in range(20)], [200] * 20)

    def test_an_app_with_more_to_do_than_it_can_sheds_early_and_the_less_important_first(self):
        with platform("""    protect: {{timeout: 20s, adaptive: true}}
    routes: [{{host: "*", path: /}}, {{host: "*", path: /batch, priority: low}}]""", replicas=1) as p:
            mode(p, "knee:0.05")  # 80 a second, however many ask
            batch = Clients(p.port, 30, 12, pause=0.02, path="/batch")
            shop = Clients(p.port, 10, 12, pause=0.02)
            batch, shop = batch.result(), shop.result()
            self.assertEqual({*batch.status, *shop.status}, {200, 503})
            # The last eight seconds: it has found out by then.
            late = [(t, s) for c in (batch, shop) for (at, s), t in zip(c.when, c.seconds) if at > 4]
            good = sorted(t for t, s in late if s == 200)
            shed = [s for c in (batch, shop) for at, s in c.when if at > 4].count(503)
            p99 = good[int(len(good) * 0.99)]
            say(f"{len(good) / 8:.0f} served/s of 80, {shed / 8:.0f} shed/s, median "
                f"{good[len(good) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
            self.assertGreater(len(good) / 8, 50)
            # Without it: 40 clients of 80/s wait half a second each.
            self.assertLess(good[len(good) // 2], 0.25)
            self.assertLess(p99, 0.6)
            lost = [sum(s == 503 for at, s in c.when if at > 4) / sum(at > 4 for at, _ in c.when) for c in (batch, shop)]
            say(f"turned away: {lost[0]:.0%} of low priority, {lost[1]:.0%} of normal")
            self.assertGreater(lost[0], lost[1])
            self.assertGreater(metric(p, "headgate_edge_shed_total"), 50)
            self.assertGreater(metric(p, "headgate_edge_adaptive_limit"), 0)


if __name__ == "__main__":
    main()
