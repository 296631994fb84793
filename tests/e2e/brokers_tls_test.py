#!/usr/bin/env python3
"""Redis and RabbitMQ by TLS, real ones with certificates of an authority of their own: the app's cache, its
queue through both, the edge's rate limits; and what is refused: another authority, another name, no TLS at all."""
import itertools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/apps/feedback"))
import jobs_test  # noqa: E402
import rate_limits_test  # noqa: E402
from harness import free_port, main, wait_for  # noqa: E402
from postgres import BIN, Postgres, metric  # noqa: E402
from rabbitmq import BIN as RABBIT, RabbitMQ  # noqa: E402
from redis_server import Redis  # noqa: E402

KEYS = []
REDIS, AWAY = [], "is not there"


def openssl(*argv):
    subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)


class Authority:
    """An authority and certificates of it, in a folder that servers may read."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-ca-"))
        self.dir.chmod(0o755)
        self.ca = self.make("ca")
        self.other = self.make("other")

    def make(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                f"/CN={name}", "-keyout", self.dir / f"{name}.key", "-out", self.dir / f"{name}.pem")
        return self.dir / f"{name}.pem"

    def certificate(self, name, names):
        """(certificate, key) for the names, of the authority"""
        key, csr, cert = (self.dir / f"{name}.{end}" for end in ("key", "csr", "crt"))
        (self.dir / "ext").write_text(f"subjectAltName = {names}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                key, "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.dir / "ca.key", "-CAcreateserial", "-days", "1",
                "-extfile", self.dir / "ext", "-out", cert)
        key.chmod(0o644)
        return cert, key


def setUpModule():
    KEYS.append(Authority())


def tearDownModule():
    for r in REDIS:
        r.remove()
    shutil.rmtree(KEYS.pop().dir, ignore_errors=True)


def redis_with(name, names, password=""):
    """A Redis with a plain port for the test, and one of TLS: (it, its port with TLS)"""
    cert, key = KEYS[0].certificate(name, names)
    port = free_port()
    r = Redis(password, **{"tls-port": port, "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": KEYS[0].ca,
                           "tls-auth-clients": "no"})
    REDIS.append(r)
    return r, port


class Queues(jobs_test.Case):
    """On a file: the broker alone is what matters."""

    def worker_by(self, url, **env):
        return self.worker(QUEUE_URL=url, NOTIFY_EMAIL="admin@example.com", **env)

    def said(self, worker):
        return worker.log.read_text()

    def one_job_comes_through(self, a, w, messages):
        before = len(self.done())
        for m in messages:
            a.create(m)
        wait_for(lambda: len(self.done()) == before + len(messages), 30)

    def refused(self, url, words):
        """A worker by this address runs, and has no broker."""
        w = self.worker_by(url)

        def told():
            """the worker says why it has no broker"""
            return words in self.said(w)
        try:
            wait_for(told, 30)
        except AssertionError:
            self.fail(f"{url}: {self.said(w)}")
        self.assertNotIn('"connected"', self.said(w))

    def test_jobs_through_redis(self):
        r, port = redis_with("redis", "DNS:localhost,IP:127.0.0.1", "s3cret")
        a = self.app({"NOTIFY_EMAIL": "admin@example.com"})
        w = self.worker_by(f"rediss://:s3cret@127.0.0.1:{port}/1?ca={KEYS[0].ca}")
        self.one_job_comes_through(a, w, ["one", "x" * 500, "three"])
        self.assertIn("db=1", r.ask("CLIENT", "LIST"))
        self.assertGreater(int(dict(line.split(":") for line in r.ask("INFO", "commandstats").split() if ":" in line)
                               ["cmdstat_xadd"].split("=")[1].split(",")[0]), 0)
        self.assertNotIn("s3cret", self.said(w))
        # by its name too, and again after it was away
        w.stop()
        w = self.worker_by(f"rediss://:s3cret@localhost:{port}/1?ca={KEYS[0].ca}")
        self.one_job_comes_through(a, w, ["four"])
        r.kill()
        r.start()
        self.one_job_comes_through(a, w, ["five"])

    def test_a_redis_that_is_not_the_one_meant_gets_no_password(self):
        good, port = redis_with("good", "DNS:localhost,IP:127.0.0.1")
        bad, bad_port = redis_with("bad", "DNS:elsewhere.example")
        ca = KEYS[0]
        self.app()
        for url, words in ((f"rediss://:s3cret@127.0.0.1:{bad_port}?ca={ca.ca}", "mismatch"),
                           (f"rediss://:s3cret@localhost:{bad_port}?ca={ca.ca}", "mismatch"),
                           (f"rediss://:s3cret@localhost:{port}?ca={ca.other}", "certificate"),
                           (f"rediss://:s3cret@localhost:{port}", "certificate"),
                           (f"rediss://:s3cret@localhost:{good.port}?ca={ca.ca}", "no connection within")):
            self.refused(url, words)
        for r in (good, bad):
            self.assertNotIn("cmdstat_auth", r.ask("INFO", "commandstats"))

    @unittest.skipUnless(RABBIT, "no RabbitMQ here")
    def test_jobs_through_rabbitmq(self):
        cert, key = KEYS[0].certificate("rabbit", "DNS:localhost")
        port = free_port()
        broker = RabbitMQ(f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {KEYS[0].ca}\n"
                          f"ssl_options.certfile = {cert}\nssl_options.keyfile = {key}\nssl_options.verify = verify_none\n"
                          "ssl_options.fail_if_no_peer_cert = false\n")
        self.addCleanup(broker.remove)
        a = self.app({"NOTIFY_EMAIL": "admin@example.com"})
        w = self.worker_by(f"amqps://guest:guest@localhost:{port}?ca={KEYS[0].ca}")
        self.one_job_comes_through(a, w, ["one", "two", "three"])
        wait_for(lambda: broker.queues().get("notification-queue") == (0, "quorum"), 30)
        w.stop()
        for url in (f"amqps://guest:guest@localhost:{port}?ca={KEYS[0].other}", f"amqps://guest:guest@localhost:{port}",
                    f"amqps://guest:guest@127.0.0.1:{port}?ca={KEYS[0].ca}",
                    f"amqps://guest:guest@localhost:{broker.port}?ca={KEYS[0].ca}"):
            self.refused(url, AWAY)

    def test_addresses_that_cannot_be_are_refused_at_the_start(self):
        for url, words in (("amqps://h?ca=/nowhere", "/nowhere"), ("amqps://h?verify=none", "?ca=FILE"),
                           ("rediss://h?ca=/nowhere", "/nowhere"), ("rediss://h?verify=no", "?ca=FILE")):
            with self.assertRaises(AssertionError) as e:
                self.worker_by(url)
            self.assertIn(words, str(e.exception), url)


@unittest.skipUnless(BIN, "no PostgreSQL here")
class Cache(jobs_test.Case):
    def make_database(self):
        self.pg = Postgres()
        self.addCleanup(self.pg.remove)
        self.env = {"DATABASE_URL": self.pg.url()}

    def test_lists_are_shared_through_it(self):
        _, port = redis_with("lists", "DNS:localhost,IP:127.0.0.1")
        self.env = {**self.env, "DATABASE_URL": self.pg.url(), "REDIS_TIMEOUT_MS": "2000",
                    "REDIS_URL": f"rediss://127.0.0.1:{port}?ca={KEYS[0].ca}"}
        a, b = self.app(), self.app()
        for app in (a, b):
            wait_for(lambda: metric(jobs_test.request(app.port, "GET", "/metrics")[2].decode(), "redis_up") == 1, 20)
        for n in range(200):
            a.create(f"{n} " + "\u2603" * 400)
        rounds = itertools.count()

        def through_redis():
            """the other process has a list from Redis"""
            # A new list each time: one that the database was asked for itself, because its stamp came late, is not shared.
            a.create(f"round {next(rounds)}")
            first = a.call("GET", "/feedback?limit=200")[2]  # more than a record of TLS holds
            self.assertEqual(len(first), 200)
            self.assertEqual(b.call("GET", "/feedback?limit=200")[2], first)
            text = jobs_test.request(b.port, "GET", "/metrics")[2].decode()
            return metric(text, "cache_requests_total", result="redis")
        wait_for(through_redis, 60)


class Machine(rate_limits_test.Machine):
    """A machine whose Redis is spoken to by TLS."""

    def __init__(self, port, ca):
        rates = '{{redis: "rediss://127.0.0.1:%d", password_file: redis.password, ca_file: "%s", timeout: 1s}}' % (port, ca)
        super().__init__(rates=rates)


class Limits(unittest.TestCase):
    def test_two_machines_count_together(self):
        r, port = redis_with("limits", "IP:127.0.0.1", rate_limits_test.PASSWORD)
        machines = [Machine(port, KEYS[0].ca) for _ in range(2)]
        for m in machines:
            self.addCleanup(m.__exit__, None, None, None)
            m.start()
        wait_for(lambda: r.ask("CLIENT", "LIST").count("headgate-edge") >= 2, 30)
        passed = [m.ask("/names", rate_limits_test.hs(rate_limits_test.SECRET, sub="ann"))[0]
                  for _ in range(30) for m in machines].count(200)
        self.assertEqual(passed, 40)
        text = machines[0].file.read_text()
        machines[0].file.write_text(text.replace(str(KEYS[0].ca), "jwt.secret"))
        done = machines[0].run("reload", "-f", machines[0].file, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("HG1252", done.stdout + done.stderr)


if __name__ == "__main__":
    main()
