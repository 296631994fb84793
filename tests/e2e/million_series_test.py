"""A million active series in a whole platform, with users at the edge meanwhile: what a series takes of memory,
and how long the edge let somebody wait. Only for `make test-long`."""
import threading
import time
import unittest

from harness import FEEDBACK, LONG, Platform, free_port, main, request
from prometheus import snappy, write, write_request

SERIES, BATCH, ROUNDS = (1_000_000 if LONG else 20_000), 5000, 2


def anonymous(pid):
    """Bytes of memory of its own."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


class Users(threading.Thread):
    """One after the other asks the edge, and notes how long it took."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.seconds, self.failed = port, False, [], 0

    def run(self):
        while not self.over:
            at = time.monotonic()
            status, _, _ = request(self.port, path="/health")
            self.seconds.append(time.monotonic() - at)
            self.failed += status != 200
            time.sleep(0.005)


def labels(i):
    return {"__name__": f"requests_{i % 20}_total", "job": "many", "instance": f"10.0.{i // 50000}.{i // 250 % 200}:9100",
            "path": f"/api/v1/path/{i}", "code": str(200 + i % 5), "method": "GET", "zone": f"z{i % 3}"}


class Many(unittest.TestCase):
    def test_a_million_series_leave_the_edge_alone(self):
        admin = free_port()
        with Platform(FEEDBACK + f"""observe:
  receive: true
  memory: 2Gi
  series_per_app: {2 * SERIES}
admin: {{{{listen: "127.0.0.1:{admin}"}}}}
""", replicas=1) as hg:
            hg.up()
            hg.wait_ready(1)
            token = hg.run("token", "create", "sender", "--role", "deployer").stdout.split()[-1]
            observe = hg.pids("observe")[0]
            before = anonymous(observe)
            users = Users(hg.port)
            users.start()
            time.sleep(5)
            alone = len(users.seconds)
            begun = time.monotonic()
            now = int(time.time() * 1000)
            for k in range(ROUNDS):
                for i in range(0, SERIES, BATCH):
                    body = write_request([(labels(j), [(now + k * 1000, float(j + k))]) for j in range(i, i + BATCH)])
                    self.assertEqual(write(admin, snappy(body), Authorization=f"Bearer {token}")[0], 204)
            took = time.monotonic() - begun
            users.over = True
            users.join()
            each = (anonymous(observe) - before) / SERIES
            print(f"# {SERIES:,} series: {each:.0f} bytes of memory each; {took:.0f} s for {ROUNDS * SERIES:,} samples",
                  flush=True)
            for what, of in (("before", users.seconds[:alone]), ("meanwhile", users.seconds[alone:])):
                worst = sorted(of)
                print(f"# the edge {what}: {len(worst):,} answers, p99 {worst[len(worst) * 99 // 100] * 1e3:.1f} ms, "
                      f"longest {worst[-1] * 1e3:.1f} ms", flush=True)
            self.assertIn(str(SERIES), hg.run("query", 'count({job="many"})').stdout.replace(",", ""))
            self.assertEqual(users.failed, 0)
            self.assertEqual(hg.pids("observe"), [observe])  # the same process all the while
            self.assertLess(each, 2000)


if __name__ == "__main__":
    main()
