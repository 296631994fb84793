#!/usr/bin/env python3
"""TLS to replicas with real processes: whom the edge believes and whom it does not, what it shows, how
responses end, and changes of everything under load without a failed request."""
import base64
import http.client
import json
import os
import re
import socket
import subprocess
import time
import unittest

from harness import ROOT, Load, Platform, kill, main, request, wait_for

REPLICA = f"/usr/bin/python3 -B {ROOT}/tests/e2e/tls_replica.py"
# node, which knows HTTP/2: PORT CERT KEY as the replica above.
TWO = f"node {ROOT}/tests/e2e/tls_two.mjs"
APP = """  {name}:
    command: {command}
    dir: {{dir}}
    replicas: {replicas}
    env: {{{{MODE: "{mode}"}}}}
    probes: {{{{readiness: {{{{{probe}, every: 200ms, timeout: 2s}}}}}}}}
    protect: {{{{retries: 2, retry_budget: 100%}}}}
    upstream: {{{{tls: {tls}}}}}
    routes: [{{{{host: "*", path: /{name}}}}}]
"""


def app(name, tls, cert="good", port="$PORT", probe="tcp: true", replicas=1, mode="", more=""):
    command = f"{REPLICA} {port} {{dir}}/{cert}.pem {{dir}}/{cert}.key {more}"
    return APP.format(name=name, tls=tls.replace("{", "{{").replace("}", "}}"), command=command.strip(),
                      probe=probe, replicas=replicas, mode=mode)


class Authority:
    """Signs by openssl; files appear whole."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.call("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  folder / f"{name}.key", "-out", folder / f"{name}.pem", "-days", "30", "-subj", f"/CN={name}",
                  "-addext", "basicConstraints=critical,CA:TRUE")

    @staticmethod
    def call(*argv):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)

    def sign(self, name, san="DNS:localhost", days=30):
        at = self.folder
        self.call("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  at / f"{name}.key.new", "-out", at / f"{name}.csr", "-subj", f"/CN={name}")
        (at / f"{name}.ext").write_text(f"subjectAltName={san}\n" if san else "")
        argv = ["x509", "-req", "-in", at / f"{name}.csr", "-CA", at / f"{self.name}.pem", "-CAkey",
                at / f"{self.name}.key", "-CAcreateserial", "-out", at / f"{name}.pem.new", "-extfile",
                at / f"{name}.ext", "-days", str(days)]
        self.call(*argv)
        for suffix in ("key", "pem"):
            (at / f"{name}.{suffix}.new").chmod(0o644)  # the replica's own user reads them
            os.replace(at / f"{name}.{suffix}.new", at / f"{name}.{suffix}")


class Site(Platform):
    def __init__(self, apps, workers=1, edge=""):
        listen = "  listen: {{http: \"127.0.0.1:{port}\"}}\n"
        super().__init__("version: 1\nproject: e2e\nedge:\n  workers: {workers}\n" + (edge or listen) +
                         "apps:\n" + apps, workers=workers)
        self.ca, self.other = Authority(self.dir, "ca"), Authority(self.dir, "other")
        self.ca.sign("good")
        self.ca.sign("second")
        self.other.sign("stranger")
        self.ca.sign("named", san="DNS:shop.internal,IP:127.0.0.9")
        self.ca.sign("expired", days=-1)
        self.other.sign("edge")

    def lines(self, event):
        done = self.run("logs", "--json", "--since", "10m", "--grep", event, "--limit", "1000", check=False)
        return [json.loads(json.loads(x)["text"]) for x in done.stdout.splitlines()]

    def ask(self, path, **more):
        status, fields, body = self.get(path, **more)
        return status, (json.loads(body) if status == 200 else body.decode())


class Believed(unittest.TestCase):
    """One platform with an app for each way a replica may be."""

    @classmethod
    def setUpClass(cls):
        cls.site = Site(
            app("good", "{ca: ca.pem}", probe="http: /", replicas=2) +
            app("own", "{ca: good.pem}", probe="http: /") +
            app("unix", "{ca: ca.pem}", port="$SOCKET", probe="http: /") +
            app("named", "{ca: ca.pem, name: shop.internal}", cert="named", probe="http: /") +
            app("address", "{ca: ca.pem, name: 127.0.0.9}", cert="named", probe="http: /") +
            app("shown", "{ca: ca.pem, certificate: edge.pem, key: edge.key}", probe="http: /", more="{dir}/other.pem") +
            app("unverified", "{verify: false}", cert="stranger", probe="http: /") +
            app("stranger", "{ca: ca.pem}", cert="stranger") +
            app("misnamed", "{ca: ca.pem}", cert="named") +
            app("expired", "{ca: ca.pem}", cert="expired") +
            app("system", "true") +
            app("unshown", "{ca: ca.pem}", more="{dir}/other.pem") +
            app("plain", "{ca: ca.pem}", mode="plain") +
            app("silent", "{ca: ca.pem}", mode="silent") +
            app("two", "{ca: ca.pem}, protocol: http2", probe="http: /").replace(REPLICA, TWO) +
            app("onlyone", "{ca: ca.pem}, protocol: http2"))
        cls.site.__enter__().up()
        for name in "two good own unix named address shown unverified".split():
            cls.site.wait_ready(2 if name == "good" else 1, name)
        for name in "stranger misnamed expired system unshown plain silent onlyone".split():
            cls.site.wait_ready(1, name)

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def refused(self, name, reason, status=502):
        got, body = self.site.ask(f"/{name}")
        self.assertEqual(got, status, body)
        def said():
            return [x for x in self.site.lines("upstream.tls_failed") if x["app"] == name]
        said.__doc__ = f"a line that says why {name} failed"
        line = wait_for(said, 10)[-1]
        self.assertIn(reason, line["reason"])
        self.assertEqual((line["who"], line["replica"], line["release"]), ("edge", 1, 1))

    def test_01_a_replica_with_the_right_certificate_is_spoken_to_by_tls_1_3(self):
        status, about = self.site.ask("/good/x")
        self.assertEqual((status, about["version"], about["alpn"], about["name"]),
                         (200, "TLSv1.3", "http/1.1", "localhost"))
        self.assertEqual(self.site.ask("/own")[0], 200)
        status, about = self.site.ask("/named")
        self.assertEqual((status, about["name"]), (200, "shop.internal"))
        self.assertEqual(self.site.ask("/address")[1]["name"], None)  # an address is no SNI
        self.assertEqual(self.site.ask("/unverified")[0], 200)

    def test_02_a_unix_socket_speaks_it_too(self):
        self.assertEqual(self.site.ask("/unix")[1]["version"], "TLSv1.3")
        self.assertEqual(self.site.get("/unix/big")[2], b"b" * 5_000_000)

    def test_03_the_edge_shows_its_certificate_when_asked(self):
        self.assertEqual(self.site.ask("/shown")[1]["client"], "edge")

    def test_04_who_is_not_believed_is_refused_with_the_reason_in_the_log(self):
        self.refused("stranger", "unable to get local issuer certificate")
        self.refused("misnamed", "hostname mismatch")
        self.refused("expired", "certificate has expired")
        self.refused("system", "unable to get local issuer certificate")
        self.refused("plain", "wrong version number")

    def test_05_a_replica_that_wants_a_certificate_and_gets_none_is_said_to_want_one(self):
        self.refused("unshown", "certificate required")
        # Its application has not seen the request: even a POST is answered, and counted as not sent.
        self.assertEqual(request(self.site.port, "POST", "/unshown", body={"x": 1})[0], 502)

    def test_06_a_handshake_that_never_ends_ends_with_the_connect_time_out(self):
        begun = time.monotonic()
        self.refused("silent", "did not end in time", status=504)
        self.assertLess(time.monotonic() - begun, 10)

    def test_07_probes_speak_it_and_say_why_they_fail(self):
        more = app("probed", "{ca: ca.pem}", cert="stranger", probe="http: /").format(dir=self.site.dir)
        self.site.file.write_text(self.site.file.read_text() + more)
        self.site.run("reload")

        def reason():
            return "unable to get local issuer" in json.dumps(self.site.replicas("probed"))
        wait_for(reason)
        self.assertEqual(self.site.ready("probed"), 0)

    def test_08_connections_are_kept_and_sessions_taken_up_again(self):
        pids = {self.site.ask("/good")[1]["pid"] for _ in range(40)}
        self.assertEqual(len(pids), 2)
        # Many at once need more connections than are kept: later ones resume.
        for _ in range(3):
            Load(self.site.port, rate=400, seconds=1, posts=0, connections=64, path="/good").result()
        self.assertTrue(any(self.site.ask("/good/goodbye")[0] == 200 and self.site.ask("/good")[1]["resumed"]
                            for _ in range(20)))

    def test_09_bodies_in_both_directions(self):
        status, _, body = request(self.site.port, "POST", "/good/x", body=b"u" * 3_000_000)
        self.assertEqual((status, json.loads(body)["got"]), (200, 3_000_000))
        self.assertEqual(self.site.get("/good/big")[2], b"b" * 5_000_000)

    def test_10_a_response_without_length_is_whole_only_with_a_goodbye(self):
        self.assertEqual(self.site.get("/good/end")[2], b"x" * 1000)
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            self.site.get("/good/cut")
        wait_for(lambda: self.site.lines("upstream.tls_cut"), 10)

    def test_11_websocket_goes_through_and_ends_half_by_half(self):
        s = socket.create_connection(("127.0.0.1", self.site.port), 10)
        s.sendall(b"GET /good/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"0" * 16) + b"\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            got += s.recv(4096)
        self.assertTrue(got.startswith(b"HTTP/1.1 101"), got)
        data = os.urandom(300_000)
        back = got.split(b"\r\n\r\n", 1)[1]
        sent = 0
        s.settimeout(10)
        while len(back) < len(data):
            if sent < len(data):
                sent += s.send(data[sent:sent + 30_000])
            back += s.recv(65536)
        self.assertEqual(back, data)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(s.recv(64), b"bye")
        s.close()

    def test_12_http2_to_a_replica_by_tls(self):
        got = [self.site.get("/two") for _ in range(5)]
        self.assertEqual([(x[0], x[2]) for x in got], [(200, b"2.0 TLSv1.3")] * 5)
        self.refused("onlyone", "it does not agree on HTTP/2 (ALPN)")

    def test_13_what_is_kept_is_for_nobody_else_to_read(self):
        kept = self.site.data / "certs/upstreams.json"
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        self.assertEqual(kept.parent.stat().st_mode & 0o777, 0o700)
        self.assertIn("PRIVATE KEY", kept.read_text())
        self.assertNotIn("PRIVATE KEY", self.site.run("config", "show").stdout)


def change(site, old, new):
    """The file says something else, and Headgate is told."""
    text = site.file.read_text()
    assert old in text, text
    site.file.write_text(text.replace(old, new))
    return site.run("reload").stdout


SHORT = """    rollout:
      strategy: canary
      steps: [{weight: 50%, wait: 3s}, {weight: 100%, wait: 1s}]
      inconclusive: promote
      inconclusive_after: 3s
      after_promote: {watch: 0s, keep_previous: 0s}
"""


class Changed(unittest.TestCase):
    """Everything changes while clients ask; not one of them may notice."""

    def setUp(self):
        self.site = Site(app("good", "{ca: ca.pem}", probe="http: /", replicas=3), workers=2)
        self.site.__enter__().up()
        self.addCleanup(self.site.__exit__, None, None, None)
        self.site.wait_ready(3, "good")

    def load(self, rate=300):
        return Load(self.site.port, rate=rate, seconds=150, posts=0, connections=32, path="/good")

    def unharmed(self, load):
        time.sleep(1)
        self.assertTrue(load.running(), "there was load to the end")
        said = load.stop().result()
        self.assertEqual((said["failed_get"], said["ok"] > 100), (0, True), said)

    def test_authorities_and_certificates_change_without_a_failed_request(self):
        site, load = self.site, self.load()
        both = (site.dir / "ca.pem").read_text() + (site.dir / "other.pem").read_text()
        (site.dir / "both.pem").write_text(both)
        self.assertIn("upstream.tls.ca", change(site, "{ca: ca.pem}", "{ca: both.pem}"))
        site.other.sign("good")  # replicas show it from now on
        for pid in [r["pid"] for r in site.replicas("good")]:
            kill(pid)
            wait_for(lambda pid=pid: pid not in [r["pid"] for r in site.replicas("good")])
            site.wait_ready(3, "good")
        change(site, "{ca: both.pem}", "{ca: other.pem}")
        self.unharmed(load)
        # A replica that was killed in the middle of a handshake is no one that was not believed.
        self.assertEqual([x for x in site.lines("upstream.tls_failed") if "certificate" in x["reason"]], [])
        # What is not believed any more is refused from here on, by new connections.
        site.ca.sign("good")
        kill(site.replicas("good")[0]["pid"])
        wait_for(lambda: site.ready("good") == 2)
        wait_for(lambda: any("local issuer" in json.dumps(r) for r in site.replicas("good")))

    def test_a_release_from_plain_to_tls_and_back(self):
        site = self.site
        # So few that the judge cannot prove TLS in Python to be slower than none, which it is.
        load = self.load(rate=15)
        for mode, tls, version, release in (("plain", "false", None, 2), ("", "{ca: ca.pem}", "TLSv1.3", 1)):
            # Replicas of the release before are spoken to as they know it until they are gone.
            text = re.sub('MODE: "[a-z]*"', f'MODE: "{mode}"', site.file.read_text())
            if "rollout:" not in text:  # no step waits for a proof that so few requests do not give
                text += SHORT
            site.file.write_text(re.sub("tls: .*}$", f"tls: {tls}}}", text, flags=re.M))
            site.run("reload")
            wait_for(lambda: {r["release"] for r in site.replicas("good")} == {release}, 60, every=0.2)
            for _ in range(10):
                self.assertEqual(site.ask("/good")[1].get("version"), version)
        self.unharmed(load)

    def test_replicas_die_and_releases_roll_without_a_failed_request(self):
        site, load = self.site, self.load()
        for _ in range(3):
            kill(next(r["pid"] for r in site.replicas("good") if r["state"] == "ready"))
            wait_for(lambda: site.ready("good") < 3)
            site.wait_ready(3, "good")
        change(site, 'MODE: ""', 'MODE: "x"')
        wait_for(lambda: site.app("good")["release"] == 2 and site.ready("good") == 3)
        self.unharmed(load)

    def test_control_and_a_worker_that_start_again_know_the_settings(self):
        site = self.site
        os.rename(site.dir / "ca.pem", site.dir / "away.pem")
        before = site.pids("control")
        kill(before[0])
        wait_for(lambda: site.pids("control") not in ([], before))
        before = site.pids("edge")
        for pid in before:
            kill(pid)
        wait_for(lambda: len(set(site.pids("edge")) - set(before)) == 2)
        for _ in range(20):
            self.assertEqual(site.ask("/good")[0], 200)
        kill(site.replicas("good")[0]["pid"])  # the next one is probed by what was kept
        site.wait_ready(3, "good")


class Refused(unittest.TestCase):
    """What the configuration names must be there and fit, or nothing begins."""

    def setUp(self):
        self.site = Site(app("a", "TLS"))
        self.addCleanup(self.site.__exit__, None, None, None)

    def check(self, tls):
        text = self.site.file.read_text()
        self.site.file.write_text(text.replace("TLS}", tls + "}"))
        done = self.site.run("config", "check", self.site.file, check=False)
        self.site.file.write_text(text)
        line = next(i for i, x in enumerate(text.splitlines(), 1) if "TLS}" in x)
        return done.returncode, done.stderr, f"headgate.yaml:{line}:"

    def test_files_that_are_missing_or_wrong_are_named_with_their_place(self):
        (self.site.dir / "empty.pem").write_text("nothing\n")
        for tls, why, column in (
                ("{ca: missing.pem}", "No such file or directory", 26),
                ("{ca: empty.pem}", "there is no certificate in it", 26),
                ("{ca: good.key}", "there is no certificate in it", 26),
                ("{certificate: edge.pem, key: missing.key}", "No such file or directory", 50),
                ("{certificate: edge.pem, key: good.key}", "belongs to another certificate", 50),
                ("{certificate: empty.pem, key: good.key}", "there is no certificate in it", 35)):
            status, said, place = self.check(tls)
            self.assertEqual(status, 3, said)
            self.assertIn(why, said)
            self.assertIn(f"{place}{column}: ", said)
            self.assertIn("hint", said)

    def test_what_is_not_verified_is_warned_of(self):
        status, said, place = self.check("{verify: false}")
        self.assertEqual(status, 0, said)
        self.assertIn("warning", said)
        self.assertIn(place, said)


if __name__ == "__main__":
    main()
