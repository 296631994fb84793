#!/usr/bin/env python3
"""HTTPS at the edge with real clients: certificates by name, renewal and death of control and worker
under load without a failed request, who may read the key, and what is refused."""
import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from harness import BUILD, Platform, free_port, kill, main, wait_for

CONFIG = """version: 1
project: e2e
edge:
  workers: 2
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls: {{certificates: [{{cert: one.pem, key: one.key}}, {{cert: two.pem, key: two.key}}], hsts: 365d}}
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LOG_LEVEL: "{log_level}"}}
    probes: {{readiness: {{http: /health, every: 500ms}}}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: "*", path: /}}]
"""


def certificate(folder, name, hosts, days=30, rsa=False):
    kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", folder / f"{name}.key.new",
                    "-out", folder / f"{name}.pem.new", "-days", str(days), "-subj", f"/CN={hosts[0]}",
                    "-addext", "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts)],
                   check=True, capture_output=True)
    (folder / f"{name}.key.new").chmod(0o600)
    for suffix in ("key", "pem"):
        os.replace(folder / f"{name}.{suffix}.new", folder / f"{name}.{suffix}")


class Site(Platform):
    def __init__(self):
        self.https = free_port()
        super().__init__(CONFIG.replace("HTTPS", str(self.https)), replicas=2, workers=2)
        certificate(self.dir, "one", ["a.example", "www.a.example"])
        certificate(self.dir, "two", ["*.b.example"], rsa=True)

    def shown(self, host, **more):
        """(certificate as DER, connection's socket) for a host name."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for key, value in more.items():
            setattr(context, key, value)
        s = context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 10), server_hostname=host)
        return s.getpeercert(True), s

    def names(self, host):
        der, s = self.shown(host)
        s.close()
        text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-ext", "subjectAltName"],
                              input=der, capture_output=True, check=True).stdout.decode()
        return sorted(part.strip().removeprefix("DNS:") for part in text.splitlines()[-1].split(","))

    def curl(self, *argv):
        return subprocess.run(["curl", "-sS", "-k", "-m", "10", *argv], capture_output=True, text=True)


class Visitors:
    """Keep-alive and fresh connections by turns until stopped; every failure is kept."""

    def __init__(self, site):
        self.site, self.count, self.errors, self.on = site, 0, [], True
        self.threads = [threading.Thread(target=self.visit) for _ in range(4)]
        for t in self.threads:
            t.start()

    def visit(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        while self.on:
            try:
                c = http.client.HTTPSConnection("127.0.0.1", self.site.https, timeout=10, context=context)
                for _ in range(10):
                    c.request("GET", "/feedback")
                    r = c.getresponse()
                    r.read()
                    self.count += 1
                    if r.status != 200:
                        self.errors.append(r.status)
                    time.sleep(0.01)  # they share an interpreter with whoever else a test plays
                c.close()
            except OSError as e:
                self.errors.append(repr(e))

    def stop(self):
        self.on = False
        for t in self.threads:
            t.join()
        return self


class Https(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def test_01_real_clients_are_served_and_told_to_stay(self):
        done = self.site.curl("-i", "--resolve", f"a.example:{self.site.https}:127.0.0.1",
                              f"https://a.example:{self.site.https}/feedback")
        self.assertRegex(done.stdout, "^HTTP/2 200")
        self.assertIn("strict-transport-security: max-age=31536000", done.stdout.lower())
        status = self.site.status()
        self.assertEqual(status["listeners"]["edge"][0], f"https://127.0.0.1:{self.site.https}")

    def test_02_the_name_chooses_the_certificate(self):
        self.assertEqual(self.site.names("www.a.example"), ["a.example", "www.a.example"])
        self.assertEqual(self.site.names("x.b.example"), ["*.b.example"])
        self.assertEqual(self.site.names("unknown.example"), ["a.example", "www.a.example"])

    def test_03_plain_http_leads_to_https(self):
        done = self.site.curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}",
                              f"http://127.0.0.1:{self.site.port}/feedback?x=1")
        self.assertEqual(done.stdout, f"308 https://127.0.0.1:{self.site.https}/feedback?x=1")
        done = self.site.curl("-L", "-o", "/dev/null", "-w", "%{http_code}", "-d", '{"message": "moved"}',
                              "-H", "Content-Type: application/json", f"http://127.0.0.1:{self.site.port}/feedback")
        self.assertEqual(done.stdout, "201")  # 308 keeps method and body

    def test_04_old_versions_are_refused(self):
        done = self.site.curl("--tlsv1.2", "--tls-max", "1.2", f"https://127.0.0.1:{self.site.https}/")
        self.assertEqual(done.returncode, 35)

    def test_05_sessions_are_resumed_by_every_worker(self):
        _, s = self.site.shown("a.example")
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n")
        s.recv(4096)
        session, context = s.session, s.context
        s.close()
        resumed = 0
        for _ in range(20):
            with context.wrap_socket(socket.create_connection(("127.0.0.1", self.site.https), 10),
                                     server_hostname="a.example", session=session) as again:
                resumed += again.session_reused
        self.assertEqual(resumed, 20)

    def test_06_renewal_and_deaths_fail_nobody(self):
        visitors = Visitors(self.site)
        time.sleep(1)
        certificate(self.site.dir, "one", ["renewed.example"])
        self.site.run("reload", "-f", self.site.file)
        wait_for(lambda: self.site.names("a.example") == ["renewed.example"], 10)
        kill(self.site.pids("control")[0])
        time.sleep(1)
        wait_for(lambda: self.site.run("status", check=False).returncode in (0, 7), 20)
        visitors.stop()
        self.assertEqual(visitors.errors, [])
        self.assertGreater(visitors.count, 100)
        # A worker that is replaced while control is away has the certificates too.
        control = self.site.pids("control")[0]
        edges = self.site.pids("edge")
        kill(control, signal.SIGSTOP)
        try:
            for pid in edges:
                kill(pid)
            wait_for(lambda: self.site.curl(f"https://127.0.0.1:{self.site.https}/feedback").returncode == 0, 10)
            self.assertEqual(self.site.names("a.example"), ["renewed.example"])
        finally:
            kill(control, signal.SIGCONT)

    def test_07_a_bad_renewal_changes_nothing_and_is_explained(self):
        good = (self.site.dir / "one.key").read_text()
        (self.site.dir / "one.key").write_text((self.site.dir / "two.key").read_text())
        done = self.site.run("reload", "-f", self.site.file, check=False)
        (self.site.dir / "one.key").write_text(good)
        self.assertEqual(done.returncode, 3)
        self.assertIn("HG1250", done.stderr)
        self.assertIn("the private key belongs to another certificate", done.stderr)
        self.assertEqual(self.site.names("a.example"), ["renewed.example"])

    def test_08_expiry_is_a_metric_and_a_warning(self):
        admin = self.site.status()["listeners"]["admin"]
        metrics = subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True).stdout
        line = next(row for row in metrics.splitlines()
                    if row.startswith("headgate_certificate_expires_timestamp_seconds") and "two.pem" in row)
        self.assertAlmostEqual(float(line.split()[-1]), time.time() + 30 * 86400, delta=600)
        self.assertRegex(metrics, r'headgate_edge_tls_handshakes_total\{worker="[01]"\} [1-9]')
        certificate(self.site.dir, "two", ["*.b.example"], days=5)
        done = self.site.run("config", "check", "-f", self.site.file)
        self.assertIn("expires in", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "only root has files that Headgate's own user may not read")
    def test_09_the_key_is_read_by_who_runs_up_alone(self):
        kept = self.site.data / "certs/kept.json"
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        for pid in self.site.pids("edge"):
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            self.assertIn("\nUid:\t59900", text)


if __name__ == "__main__":
    main()
