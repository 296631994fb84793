#!/usr/bin/env python3
"""ACME end to end, against a strict authority of our own and, where it is installed, against pebble: the first
certificate, renewal under load, faults of the authority, and control that is killed at every step."""
import json
import os
import pathlib
import shutil
import ssl
import socket
import subprocess
import threading
import time
import unittest

from acme_server import Authority
from harness import Platform, free_port, kill, main, wait_for
from https_test import Visitors

# The others take minutes together: for `make test-long`.
LONG = unittest.skipUnless(os.environ.get("HEADGATE_TEST_LONG") == "1", "one of the long cases")

CONFIG = """version: 1
project: e2e
edge:
  workers: 2
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls:
    acme: {{email: ops@a.example, MORE}}
apps:
  feedback:
    command: {build}/feedback-app --port $PORT
    dir: {dir}
    replicas: {replicas}
    env: {{DATABASE_URL: "sqlite:data/feedback.db", LOG_LEVEL: "{log_level}"}}
    probes: {{readiness: {{http: /health, every: 500ms}}}}
    sandbox: {{writable: [{writable}]}}
    routes: [{{host: www.a.example, path: /}}, {{host: localhost, path: /}}, {{host: "*", path: /}}]
"""


class Site(Platform):
    """A platform and the authorities it asks, which are there before it."""

    def __init__(self, more="challenge: http-01", authorities=("one",), **options):
        self.https = free_port()
        ports = {name: free_port() for name in authorities}
        urls = {name: f"https://localhost:{port}/dir" for name, port in ports.items()}
        listed = [u for name, u in urls.items() if name != "staging"]
        more += f", directory: [{', '.join(listed)}], retry: 1s, ca_file: roots.pem"
        if "staging" in urls:
            more += f", staging: \"{urls['staging']}\""
        super().__init__(CONFIG.replace("HTTPS", str(self.https)).replace("MORE", more), replicas=2, workers=2)
        self.by_name = {name: Authority(self.dir, self.port, self.https, port, name, **options)
                        for name, port in ports.items()}
        self.authority = self.by_name[authorities[0]]
        (self.dir / "roots.pem").write_text("".join((a.dir / "root.pem").read_text() for a in self.by_name.values()))

    def __exit__(self, kind, value, trace):
        for a in self.by_name.values():
            a.close()
        if kind:
            print("#", json.dumps(self.certs()), "\n#", self.authority.violations)
        super().__exit__(kind, value, trace)

    def certs(self):
        done = self.run("certs", "--json", check=False)
        return json.loads(done.stdout)["certificates"] if done.returncode == 0 else []

    def cert(self):
        found = [c for c in self.certs() if c["source"] == "acme"]
        return found[0] if found else {"state": "unknown", "not_after_ms": None}

    def wait_served(self, seconds=30):
        def served():
            """a certificate by ACME"""
            return self.cert()["not_after_ms"] is not None
        wait_for(served, seconds, 0.1)
        return self.cert()

    def serial(self, host="www.a.example"):
        context = ssl.create_default_context(cafile=str(self.dir / "roots.pem"))
        with context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 10), server_hostname=host) as s:
            return s.getpeercert()["serialNumber"]

    def curl(self, path="/feedback", host="www.a.example"):
        return subprocess.run(["curl", "-sS", "-m", "10", "--cacert", self.dir / "roots.pem", "--resolve",
                               f"{host}:{self.https}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_code}",
                               f"https://{host}:{self.https}{path}"], capture_output=True, text=True)

    def journal(self):
        admin = self.data / "control.sock"
        out = subprocess.run(["curl", "-s", "-m", "1", "--unix-socket", admin, "http://x/v1/events?after=0"],
                             capture_output=True, text=True).stdout
        return [json.loads(row[6:]) for row in out.splitlines() if row.startswith("data: ")]

    def metrics(self):
        return subprocess.run(["curl", "-s", "--unix-socket", self.data / "control.sock", "http://x/metrics"],
                              capture_output=True, text=True).stdout


class First(unittest.TestCase):
    def obtain(self, challenge):
        with Site(f"challenge: {challenge}") as site:
            site.authority.faults["bad_nonce"] = 2
            site.up()
            cert = site.wait_served()
            self.assertEqual(cert["names"], ["www.a.example"])
            self.assertEqual(site.curl().stdout, "200")  # the root is checked
            self.assertEqual([v[0] for v in site.authority.validations], [challenge])
            self.assertEqual(site.authority.violations, [])
            self.assertEqual([a["contact"] for a in site.authority.accounts.values()], [["mailto:ops@a.example"]])
            return site, self.after(site)

    def after(self, site):
        kept = site.data / "certs/acme.json"
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        secrets = [json.loads(kept.read_text())["key"], json.loads(kept.read_text())["certificates"][0]["key"]]
        lines = [s.splitlines()[2] for s in secrets]
        shown = (site.run("certs", "--json").stdout + site.run("config", "show", "-f", site.file).stdout +
                 json.dumps(site.journal()) + site.platform_log() + site.run("logs", "control", check=False).stdout)
        for line in lines:
            self.assertNotIn(line, shown)
        m = site.metrics()
        self.assertIn("headgate_acme_orders_total 1\n", m)
        self.assertIn("headgate_acme_order_failures_total 0\n", m)
        self.assertRegex(m, r'headgate_acme_next_attempt_timestamp_seconds\{host="www.a.example"\} 1\d{9}')
        self.assertRegex(m, r'headgate_certificate_expires_timestamp_seconds\{file="acme",host="www.a.example"\} 1\d{9}')
        # What is no challenge of ours is the application's affair.
        self.assertEqual(site.get("/.well-known/acme-challenge/unknown", headers={"Host": "www.a.example"})[0], 308)

    def test_http_01(self):
        self.obtain("http-01")

    def test_tls_alpn_01(self):
        self.obtain("tls-alpn-01")

    def test_before_the_first_one_nobody_is_deceived(self):
        with Site() as site:
            site.authority.faults["invalid"] = 1000
            site.up()
            wait_for(lambda: site.cert()["state"] == "failing" and site.cert(), 20)
            self.assertEqual(site.curl().returncode, 60)  # not trusted
            done = site.run("certs")
            self.assertIn("unauthorized: www.a.example: told to", done.stdout)
            self.assertIn("nobody trusts", done.stderr)
            self.assertIn("there is no certificate yet", json.dumps(site.status()["certificates"]))
            site.authority.faults.clear()
            site.run("certs", "renew", "www.a.example")
            site.wait_served()
            self.assertEqual(site.curl().stdout, "200")
            self.assertNotIn("certificates", site.status())
            done = site.run("certs", "renew", "other.example", check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("no certificate by ACME for \"other.example\"", done.stderr)

    def test_dns_01_by_a_hook_obtains_a_wildcard(self):
        more = "challenge: dns-01, domains: [\"a.example *.a.example\"], dns_hook: \"./hook\""
        with Site(more) as site:
            (site.dir / "hook").write_text(
                "#!/bin/sh\nexec curl -sSkf -G -d action=$ACME_ACTION -d name=$ACME_NAME -d value=$ACME_VALUE "
                f"https://localhost:{site.authority.port}/dns\n")
            (site.dir / "hook").chmod(0o755)
            site.up()
            site.wait_served()
            self.assertEqual(site.curl(host="any.a.example").stdout, "200")
            wait_for(lambda: len(site.authority.dns_log) == 4, 10)
            self.assertEqual([row[0] for row in site.authority.dns_log], ["set", "set", "clear", "clear"])
            self.assertEqual({row[1] for row in site.authority.dns_log}, {"_acme-challenge.a.example"})

    def test_external_account_binding(self):
        secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
        with Site("eab: {{kid: customer-7, hmac_file: hmac}}", eab=("customer-7", secret)) as site:
            (site.dir / "hmac").write_text(secret + "\n")
            (site.dir / "hmac").chmod(0o600)
            site.up()
            site.wait_served()
            self.assertNotIn(secret, site.run("config", "show", "-f", site.file).stdout)


class Renewal(unittest.TestCase):
    def test_short_lived_certificates_are_renewed_under_load(self):
        with Site(lifetime=20, ari=False) as site:  # of which a busy machine has seven for an order
            site.up()
            site.wait_served()
            site.wait_ready(2)
            visitors = Visitors(site)
            self.addCleanup(visitors.stop)
            serials = set()

            def renewed_twice():
                """two certificates after the first one"""
                serials.add(site.serial())
                return len(serials) >= 3
            wait_for(renewed_twice, 60, 0.2)
            visitors.stop()
            self.assertEqual(visitors.errors, [])
            self.assertGreater(visitors.count, 100)
            self.assertEqual(site.authority.violations, [])

    def test_the_authority_pulls_a_renewal_forward(self):
        with Site(lifetime=75) as site:  # renewal information is asked for every tenth of it
            site.up()
            site.wait_served()
            first = site.serial()
            self.assertGreater(site.cert()["renew_ms"], time.time() * 1000 + 30_000)
            site.authority.window = (time.time() - 100, time.time() - 50)
            wait_for(lambda: site.serial() != first, 25, 0.2)
            replaces = [o["replaces"] for o in site.authority.orders.values()]
            self.assertIsNone(replaces[0])
            self.assertEqual(int.from_bytes(__import__("base64").urlsafe_b64decode(
                replaces[1].split(".")[1] + "=="), "big"), int(first, 16))
            site.authority.window = None


class Faults(unittest.TestCase):
    """Each is got over, and none costs more orders than it must."""

    def survive(self, fault, count=1, orders=1, more="challenge: http-01", prepare=None, seconds=30):
        with Site(more) as site:
            site.authority.faults[fault] = count
            if prepare:
                prepare(site.authority)
            site.up()
            site.wait_served(seconds)
            self.assertEqual(site.curl().stdout, "200")
            self.assertEqual(site.authority.violations, [])
            self.assertEqual(len(site.authority.orders), orders)
            return site.authority

    @LONG
    def test_five_hundreds(self):
        self.survive("500", 3)

    def test_bad_nonces(self):
        self.survive("bad_nonce", 5)

    @LONG
    def test_cut_after_new_order(self):
        self.survive("cut_new_order", orders=2)  # that there was one cannot be known

    @LONG
    def test_processing(self):
        self.survive("processing")

    @LONG
    def test_not_ready(self):
        self.survive("not_ready")

    @LONG
    def test_slow_validation(self):
        self.survive("none", prepare=lambda a: setattr(a, "validate_seconds", 4))

    def test_invalid_then_valid(self):
        self.survive("invalid", orders=2)

    def test_a_chain_that_is_not_ours_is_not_served(self):
        self.survive("wrong_chain", orders=2)

    def test_rate_limited_is_obeyed(self):
        began = time.monotonic()
        a = self.survive("rate_limited")
        self.assertGreater(time.monotonic() - began, a.retry_after)

    @LONG
    def test_the_next_authority_is_asked(self):
        with Site(authorities=("one", "two")) as site:
            site.by_name["one"].faults["rejected"] = 1000
            site.up()
            cert = site.wait_served()
            self.assertIn(str(site.by_name["two"].port), cert["authority"])
            self.assertEqual(len(site.by_name["one"].orders), 0)

    def test_staging_first(self):
        with Site(authorities=("one", "staging")) as site:
            site.by_name["staging"].faults["invalid"] = 2
            site.up()
            site.wait_served(40)
            self.assertEqual(len(site.by_name["staging"].orders), 3)
            self.assertEqual(len(site.by_name["one"].orders), 1)
            self.assertEqual([v[2] for v in site.by_name["one"].validations], ["valid"])

    def test_orders_in_an_hour_are_limited(self):
        with Site("orders_per_hour: 2") as site:
            site.authority.faults["invalid"] = 1000
            site.up()
            # The second one is on its way: of one whose answer is not there yet control cannot know that it exists.
            wait_for(lambda: len(site.authority.validations) == 2, 20)
            kill(site.pids("control")[0])
            time.sleep(6)  # back-off alone would have tried twice by now
            self.assertEqual(len(site.authority.orders), 2)
            self.assertGreater(site.cert()["next_ms"], 0)


class Deaths(unittest.TestCase):
    """kill -9 of control while the authority carries out a request, and the one order goes on."""

    def die_at(self, step, nth):
        with Site() as site:
            seen, killed = [], []

            def hook(name):
                seen.append(name)
                if not killed and seen.count(step) == nth:
                    killed.append(name)
                    kill(control)
                    time.sleep(0.2)

            site.authority.faults["processing"] = 1
            site.authority.validate_seconds = 0.5
            go = threading.Event()
            site.authority.hook = lambda name: go.wait(20) and hook(name)
            site.up()
            control = site.pids("control")[0]
            go.set()
            site.wait_served(40)
            self.assertEqual(killed, [step])
            self.assertEqual(site.curl().stdout, "200")
            self.assertEqual(len(site.authority.accounts), 1)
            # An order whose answer nobody has seen cannot be gone on with.
            self.assertEqual(len(site.authority.orders), 2 if step == "new-order" else 1)
            self.assertEqual({v[2] for v in site.authority.validations}, {"valid"})
            self.assertEqual(site.authority.violations, [])

    @LONG
    def test_new_account_1(self):
        self.die_at("new-account", 1)

    def test_new_order_1(self):
        self.die_at("new-order", 1)

    @LONG
    def test_auth_1(self):
        self.die_at("auth", 1)

    @LONG
    def test_challenge_1(self):
        self.die_at("challenge", 1)

    @LONG
    def test_auth_2(self):
        self.die_at("auth", 2)

    @LONG
    def test_auth_3(self):
        self.die_at("auth", 3)

    @LONG
    def test_order_1(self):
        self.die_at("order", 1)

    def test_finalize_1(self):
        self.die_at("finalize", 1)

    @LONG
    def test_order_2(self):
        self.die_at("order", 2)

    def test_cert_1(self):
        self.die_at("cert", 1)


@unittest.skipUnless(shutil.which("pebble") and shutil.which("pebble-challtestsrv"), "pebble is not installed")
class Pebble(unittest.TestCase):
    def obtain(self, challenge):
        https, directory, management, dns, dns_management = (free_port() for _ in range(5))
        more = f"challenge: {challenge}, directory: \"https://localhost:{directory}/dir\", ca_file: tls.pem, retry: 1s"
        site = Platform(CONFIG.replace("HTTPS", str(https)).replace("MORE", more).replace("a.example,", "a.example.com,"),
                        replicas=1, workers=2)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", site.dir / "tls.key", "-out", site.dir / "tls.pem", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        (site.dir / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{directory}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(site.dir / "tls.pem"), "privateKey": str(site.dir / "tls.key"),
            "httpPort": site.port, "tlsPort": https, "externalAccountBindingRequired": False}}))
        log = open(site.dir / "pebble.log", "wb")
        started = [subprocess.Popen(argv, stdout=log, stderr=log, env={
            **os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"}) for argv in (
            ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}",
             "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{dns_management}"],
            ["pebble", "-strict", "-config", site.dir / "pebble.json", "-dnsserver", f"127.0.0.1:{dns}"])]
        try:
            wait_for(lambda: subprocess.run(["curl", "-sk", f"https://127.0.0.1:{directory}/dir"],
                                            capture_output=True).returncode == 0, 10, 0.1)
            with site:
                site.up()
                wait_for(lambda: "served" in site.run("certs").stdout, 40, 0.2)
                root = subprocess.run(["curl", "-sk", f"https://127.0.0.1:{management}/roots/0"], capture_output=True)
                (site.dir / "root.pem").write_bytes(root.stdout)
                done = subprocess.run(["curl", "-sS", "--cacert", site.dir / "root.pem", "--resolve",
                                       f"www.a.example.com:{https}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_code}",
                                       f"https://www.a.example.com:{https}/feedback"], capture_output=True, text=True)
                self.assertEqual(done.stdout, "200", done.stderr)
        finally:
            for p in started:
                p.terminate()
                p.wait()
            log.close()

    def test_http_01(self):
        self.obtain("http-01")

    def test_tls_alpn_01(self):
        self.obtain("tls-alpn-01")


if __name__ == "__main__":
    main()
