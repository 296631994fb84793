"""A million active series in a whole platform, with users at the edge meanwhile: what a series takes of memory,
what observe takes of the CPU, and how long the edge lets somebody wait while they come, are written to and are asked
about. Only for `make test-long`, and only on a machine that has nothing else to do: where others
make users wait while observe sleeps, nothing is said about times."""
import multiprocessing
import os
import pathlib
import socket
import time
import unittest

from harness import FEEDBACK, LONG, Platform, free_port, main
from prometheus import snappy, varint, write, write_request

SERIES, BATCH, ROUNDS = (1_000_000 if LONG else 20_000), 5000, 3
EVERY_S = 0.005   # a user
STALL_S = 0.100   # nobody may wait so long
SHARE = 0.1       # of a core; had observe less of it while somebody waited, the wait was not its doing
AGAIN_S = 15      # between two samples of a series


def anonymous(pid):
    """Bytes of memory of its own."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answer(connection, host):
    """Status of one request on a connection that stays."""
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    got = b""
    while True:
        head, end, body = got.partition(b"\r\n\r\n")
        if end:
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(body) >= length:
                return int(head.split(b" ", 2)[1])
        more = connection.recv(65536)
        if not more:
            raise OSError("the edge closed the connection")
        got += more


def users(port, observe, over, results):
    """A request every 5 ms at its time, whatever became of those before: a stall is felt by all whose time it was.
    A process of its own, before all others where that is allowed: what it measures is not its own waiting."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass
    cpu_clock = ~observe << 3 | 2  # of all its threads: clock_getcpuclockid(3)
    seen, failed, due, cpu = [], 0, time.monotonic(), time.clock_gettime(cpu_clock)
    connection = socket.create_connection(("127.0.0.1", port))
    while not over.is_set():
        time.sleep(max(0, due - time.monotonic()))
        try:
            failed += answer(connection, f"127.0.0.1:{port}".encode()) != 200
        except OSError:
            failed += 1
            connection = socket.create_connection(("127.0.0.1", port))
        wait, was, cpu = time.monotonic() - due, cpu, time.clock_gettime(cpu_clock)
        seen.append((due, wait, cpu - was >= SHARE * wait))
        due += EVERY_S
    results.put((seen, failed))


def labels(i):
    return {"__name__": f"requests_{i % 20}_total", "job": "many", "instance": f"10.0.{i // 50000}.{i // 250 % 200}:9100",
            "path": f"/api/v1/path/{i}", "code": str(200 + i % 5), "method": "GET", "zone": f"z{i % 3}"}


def requests(t_ms):
    """Made before anything is measured: making them takes this language longer than us taking them."""
    return [write_request([(labels(j), [(t_ms, float(j))]) for j in range(i, i + BATCH)]) for i in range(0, SERIES, BATCH)]


class Many(unittest.TestCase):
    def send(self, admin, token, made, was_ms):
        """A sample for every series, with the time of now."""
        now = b"\x10" + varint(int(time.time() * 1000))
        for body in made:
            body = body.replace(b"\x10" + varint(was_ms), now)
            self.assertEqual(write(admin, snappy(body), Authorization=f"Bearer {token}")[0], 204)

    def measure(self, hg, admin, token, made, was_ms):
        """Phases: [(name, begun, CPU seconds of observe)], what users saw, and bytes of memory a series."""
        observe = hg.pids("observe")[0]
        before = anonymous(observe)
        over, results = multiprocessing.Event(), multiprocessing.Queue()
        them = multiprocessing.Process(target=users, args=(hg.port, observe, over, results), daemon=True)
        them.start()
        phases = []

        def phase(name):
            phases.append((name, time.monotonic(), cpu_s(observe)))

        phase("alone")
        time.sleep(10)
        phase("the series come")
        self.send(admin, token, made, was_ms)
        for _ in range(1, ROUNDS):
            phase("they stay")
            time.sleep(AGAIN_S if LONG else 1)
            phase("they get a sample")
            self.send(admin, token, made, was_ms)
        each = (anonymous(observe) - before) / SERIES
        phase("they are asked about")
        for _ in range(3):
            count = hg.run("query", 'count({job="many"})').stdout
            self.assertIn(str(SERIES), count.replace(",", ""))
            hg.run("query", 'sum by (zone) (rate(requests_3_total[1m]))')
        phase("")
        over.set()
        seen, failed = results.get(timeout=60)
        them.join()
        self.assertEqual(failed, 0)
        self.assertEqual(hg.pids("observe"), [observe])  # the same process all the while
        return phases, seen, each

    def report(self, phases, seen):
        for (name, begun, cpu), (_, end, cpu_end) in zip(phases, phases[1:]):
            waits = sorted(wait for due, wait, _ in seen if begun <= due < end)
            beside = max((wait for due, wait, busy in seen if busy and begun <= due < end), default=0)
            print(f"# {name}: {end - begun:.1f} s, observe {cpu_end - cpu:.1f} s of CPU; {len(waits):,} answers of the edge, "
                  f"p50 {waits[len(waits) // 2] * 1e3:.2f}, p99 {waits[len(waits) * 99 // 100] * 1e3:.1f}, "
                  f"p99.9 {waits[len(waits) * 999 // 1000] * 1e3:.1f}, longest {waits[-1] * 1e3:.1f} ms, beside a busy observe "
                  f"{beside * 1e3:.1f}", flush=True)
        return tuple(max((wait for _, wait, busy in seen if busy == kind), default=0) for kind in (True, False))

    def test_a_million_series_leave_the_edge_alone(self):
        admin, was_ms = free_port(), int(time.time() * 1000)
        made = requests(was_ms)
        print("# requests are made", flush=True)
        with Platform(FEEDBACK + f"""observe:
  receive: true
  memory: 2Gi
  series_per_app: {2 * SERIES}
admin: {{{{listen: "127.0.0.1:{admin}"}}}}
""", replicas=1) as hg:
            hg.up()
            hg.wait_ready(1)
            token = hg.run("token", "create", "sender", "--role", "deployer").stdout.split()[-1]
            phases, seen, each = self.measure(hg, admin, token, made, was_ms)
            longest, without = self.report(phases, seen)
            print(f"# {SERIES:,} series of seven labels, {ROUNDS} samples each: {each:.0f} bytes of memory each", flush=True)
            self.assertLess(each, 2000)
            if LONG and longest >= STALL_S and without >= STALL_S:
                self.skipTest(f"somebody waited {without * 1e3:.0f} ms while observe did nothing: the machine is busy")
            if LONG:
                self.assertLess(longest, STALL_S)


if __name__ == "__main__":
    main()
