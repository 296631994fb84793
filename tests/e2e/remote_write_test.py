"""Remote write beside a real Prometheus, both ways, and a kill -9 of each in the middle."""
import time
import unittest

from harness import FEEDBACK, Platform, free_port, main, wait_for
from prometheus import MISSING, Drive, Prometheus, installed, number, snappy, write, write_request


def exporter_scrape(port):
    return f"scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"


def samples_of(prometheus, expr, t_ms):
    """{(metric, t): value} of a range query at one time"""
    out = {}
    for s in prometheus.query(expr, t_ms)["data"]["result"]:
        key = tuple(sorted(s["metric"].items()))
        out |= {(key, round(float(t) * 1000)): number(v) for t, v in s["values"]}
    return out


@unittest.skipUnless(installed(), MISSING)
class Sending(unittest.TestCase):
    def test_prometheus_receives_what_we_have_through_kills_of_both(self):
        prometheus = Prometheus()
        self.addCleanup(prometheus.stop)
        drive = Drive(send=f"http://127.0.0.1:{prometheus.port}/api/v1/write", batch_ms=300)
        self.addCleanup(drive.stop)
        sent = {}

        def feed(seconds):
            end = time.time() + seconds
            while time.time() < end:
                t = int(time.time() * 1000)
                n = len(sent)
                body = [({"__name__": "fed_total", "i": str(i)}, [(t, float(n + i))]) for i in range(50)]
                self.assertEqual(drive.write(snappy(write_request(body)))[0], 204)
                sent.update({(i, t): float(n + i) for i in range(50)})
                time.sleep(0.05)

        def arrived():
            """every sample is at the receiver"""
            got = samples_of(prometheus, "fed_total[10m]", time.time() * 1000)
            have = {(int(dict(k)["i"]), t): v for (k, t), v in got.items()}
            return have == sent

        feed(1.5)
        wait_for(arrived, 30)
        # What was answered with 204 is ours to deliver, whoever dies.
        feed(1)
        drive.kill()
        drive.start()
        feed(0.5)
        prometheus.kill()
        feed(1)
        prometheus.start()
        feed(0.5)
        wait_for(arrived, 30)
        self.assertEqual(drive.metrics()["headgate_remote_failing"], 0)


@unittest.skipUnless(installed(), MISSING)
class Receiving(unittest.TestCase):
    def test_we_receive_what_prometheus_has_through_our_kill(self):
        port = free_port()
        drive = Drive(port=port)
        self.addCleanup(drive.stop)
        own = free_port()
        prometheus = Prometheus(
            scrape=exporter_scrape(own), interval="1s",
            remote_write=f"remote_write: [{{url: 'http://127.0.0.1:{port}/api/v1/write', "
                         "queue_config: {batch_send_deadline: 300ms, min_backoff: 30ms, max_backoff: 200ms}}]\n")
        self.addCleanup(prometheus.stop)

        def ours(expr, t):
            out = {}
            for line in drive.ask(f"query {t} {expr}")[1:]:
                labels, *points = line.split("\t")
                out |= {(labels, int(p.split()[0])): float.fromhex(p.split()[1]) for p in points}
            return out

        def some(n):
            """samples have come"""
            return len(ours("scrape_duration_seconds[10m]", int(time.time() * 1000))) >= n

        wait_for(lambda: some(2), 60)
        drive.kill()
        time.sleep(1.5)
        drive.start()
        have = len(ours("scrape_duration_seconds[10m]", int(time.time() * 1000)))
        self.assertGreaterEqual(have, 2)
        wait_for(lambda: some(have + 3), 60)
        # What stands in Prometheus now will stand here, kill or not: up is 0 (nobody listens there).
        t = int(time.time() * 1000)
        theirs = {v: number for v, number in
                  ((round(float(t) * 1000), number(v)) for s in prometheus.query("up[10m]", t)["data"]["result"]
                   for t, v in s["values"])}

        def all_here():
            """every sample of `up` is here"""
            mine = {at: v for (_, at), v in ours("up[10m]", t).items()}
            return theirs.items() <= mine.items()

        wait_for(all_here, 30)
        self.assertGreater(len(theirs), 0)


@unittest.skipUnless(installed(), MISSING)
class Whole(unittest.TestCase):
    def test_a_platform_sends_to_a_prometheus_and_takes_from_others(self):
        prometheus = Prometheus()
        self.addCleanup(prometheus.stop)
        admin = free_port()
        with Platform(FEEDBACK + f"""observe:
  receive: true
  labels: {{{{site: here}}}}
  remote_write:
    - name: central
      url: http://127.0.0.1:{prometheus.port}/api/v1/write
      token: CENTRAL_TOKEN
      relabel: [{{{{action: drop, source_labels: [__name__], regex: 'headgate_judge_.*'}}}}]
admin: {{{{listen: "127.0.0.1:{admin}"}}}}
""", replicas=1) as hg:
            hg.up()
            hg.wait_ready(1)

            def there():
                """our series are at the receiver"""
                return prometheus.query('headgate_requests_total{site="here", app="feedback"}', time.time() * 1000)[
                    "data"]["result"]

            wait_for(there, 60)
            self.assertEqual(prometheus.query('{__name__=~"headgate_judge_.*"}', time.time() * 1000)["data"]["result"], [])
            token = hg.run("token", "create", "sender", "--role", "deployer").stdout.split()[-1]
            viewer = hg.run("token", "create", "looker", "--role", "viewer").stdout.split()[-1]
            body = snappy(write_request([({"__name__": "from_outside", "a": "b"}, [(int(time.time() * 1000), 42.0)])]))
            self.assertEqual(write(admin, body)[0], 401)
            self.assertEqual(write(admin, body, Authorization=f"Bearer {viewer}")[0], 403)
            self.assertEqual(write(admin, body, Authorization=f"Bearer {token}")[0], 204)
            self.assertIn("42", hg.run("query", 'from_outside{a="b"}').stdout)
            self.assertEqual(write(admin, b"no snappy", Authorization=f"Bearer {token}")[0], 400)
            # What came by remote write goes on by remote write.
            wait_for(lambda: prometheus.query('from_outside{site="here"}', time.time() * 1000)["data"]["result"], 60)


if __name__ == "__main__":
    main()
