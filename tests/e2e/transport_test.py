#!/usr/bin/env python3
"""PROXY protocol with real senders: who the client is, for the log, for the app, and for replicas that want to
be told themselves."""
import shutil
import socket
import subprocess
import sys
import time
import unittest

from harness import Platform, free_port, kill, main, request, wait_for

# Answers with the request's head, and with the line that came before it if `--proxy` is given.
REPLICA = '''
import socket, sys, threading
def serve(c):
    f = c.makefile("rb")
    first = f.readline().decode().strip() if "--proxy" in sys.argv else "-"
    if "--proxy" in sys.argv and not first.startswith("PROXY "):
        return c.close()
    while True:
        head = []
        while (line := f.readline().decode().strip()):
            head.append(line)
        if not head:
            return c.close()
        body = (first + "\\n" + "\\n".join(head) + "\\n").encode()
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
'''

CONFIG = """version: 1
project: e2e
edge:
  workers: 2
  listen: {{http: "127.0.0.1:{port}", proxy_protocol: PROXY}}
  trusted_proxies: [TRUSTED]
apps:
  plain:
    command: %s replica.py $PORT
    probes: {{readiness: {{http: /, every: 500ms}}}}
    routes: [{{host: "*", path: /}}]
  told:
    command: %s replica.py $PORT --proxy
    proxy_protocol: v1
    probes: {{readiness: {{http: /, every: 500ms}}}}
    routes: [{{host: "*", path: /told}}]
""" % (sys.executable, sys.executable)


class Site(Platform):
    def __init__(self, proxy="true", trusted="127.0.0.0/8"):
        super().__init__(CONFIG.replace("PROXY", proxy).replace("TRUSTED", trusted))
        (self.dir / "replica.py").write_text(REPLICA)

    def curl(self, *argv, path="/"):
        return subprocess.run(["curl", "-sS", "-m", "10", *argv, f"http://127.0.0.1:{self.port}{path}"],
                              capture_output=True, text=True)

    def change(self, old, new):
        self.file.write_text(self.file.read_text().replace(old, new))
        self.run("reload", "-f", self.file)


class Proxies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.site.__enter__()
        cls.site.up()
        cls.site.wait_ready(1, "told")

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.site.port), 10) as s:
            s.sendall(data)
            got = b""
            while part := s.recv(65536):
                got += part
                if b"\r\n\r\n" in got:
                    break
            return got.decode()

    def test_01_curl_says_who_it_is(self):
        done = self.site.curl("--haproxy-protocol")
        self.assertIn("X-Forwarded-For: 127.0.0.1", done.stdout)
        self.assertIn(self.site.curl().returncode, (52, 56))  # closed: it has to say it

    def test_02_the_client_reaches_app_and_log(self):
        got = self.raw(b"PROXY TCP4 192.0.2.33 10.0.0.1 4711 80\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn("X-Forwarded-For: 192.0.2.33", got)

        def logged():
            out = self.site.run("logs", "edge", check=False).stdout
            return "192.0.2.33" in out
        wait_for(logged, 10)

    def test_03_replicas_that_want_it_are_told(self):
        self.assertEqual(self.site.ready("told"), 1)  # its probes say PROXY UNKNOWN
        got = self.raw(b"PROXY TCP4 192.0.2.34 10.0.0.1 4711 80\r\nGET /told HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn("\nPROXY TCP4 192.0.2.34 10.0.0.1 4711 80\n", got)

    @unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed")
    def test_04_haproxy_in_front(self):
        for version in ("send-proxy", "send-proxy-v2", "send-proxy-v2 crc32c-opt"):
            if "crc" in version:
                version = "send-proxy-v2 proxy-v2-options crc32c,unique-id"
            port = free_port()
            conf = self.site.dir / "haproxy.cfg"
            conf.write_text("defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n"
                            f"frontend f\n  bind 127.0.0.1:{port}\n  unique-id-format x%rt\n  default_backend b\n"
                            f"backend b\n  server s 127.0.0.1:{self.site.port} {version}\n")
            proxy = subprocess.Popen(["haproxy", "-f", conf, "-db"], stderr=subprocess.DEVNULL)
            try:
                def served():
                    try:
                        return request(port)[0] == 200
                    except OSError:
                        return False
                wait_for(served, 10)
                self.assertIn("X-Forwarded-For: 127.0.0.1", request(port)[2].decode())
            finally:
                proxy.terminate()
                proxy.wait()

    def test_05_counted(self):
        self.site.curl()
        admin = self.site.status()["listeners"]["admin"]
        text = subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True).stdout
        total = {name: sum(float(row.split()[-1]) for row in text.splitlines() if row.startswith(name + "{"))
                 for name in ("headgate_edge_proxy_headers_total", "headgate_edge_proxy_refused_total")}
        self.assertGreater(total["headgate_edge_proxy_headers_total"], 2)
        self.assertGreater(total["headgate_edge_proxy_refused_total"], 0)

    def test_06_who_is_trusted_changes_live(self):
        self.site.change("trusted_proxies: [127.0.0.0/8]", "trusted_proxies: [192.0.2.0/24]")
        wait_for(lambda: "X-Forwarded-For: 127.0.0.1" in self.site.curl().stdout, 10)
        self.assertIn(" 400 ", self.raw(b"PROXY TCP4 192.0.2.33 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\n\r\n"))


MTLS = """version: 1
project: e2e
edge:
  workers: 2
  listen: {{http: "127.0.0.1:{port}", https: "127.0.0.1:HTTPS"}}
  tls:
    certificates: [{{cert: one.pem, key: one.key}}]
    client_ca: {{partners: {{file: partners.pem, crl: partners.crl}}, staff: staff.pem}}
apps:
  plain:
    command: %s replica.py $PORT
    probes: {{readiness: {{http: /, every: 500ms}}}}
    routes:
      - {{host: open.example, path: /}}
      - {{host: closed.example, path: /, client_certificate: {{mode: required, ca: [partners]}}}}
""" % sys.executable


class ClientCertificates(unittest.TestCase):
    """An authority made by the openssl command, curl as the client."""

    @classmethod
    def setUpClass(cls):
        cls.site = Platform(MTLS.replace("HTTPS", str(https := free_port())))
        cls.site.https = https
        cls.site.__enter__()
        (cls.site.dir / "replica.py").write_text(REPLICA)
        cls.authority("partners"), cls.authority("staff"), cls.authority("one")
        for name, ca in (("good", "partners"), ("lost", "partners"), ("other", "staff")):
            cls.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=Example/CN={name}")
            (cls.site.dir / "ext").write_text(f"subjectAltName=URI:spiffe://example/{name}\n")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                        "-CAcreateserial", "-days", "3", "-extfile", "ext", "-out", f"{name}.pem")
        cls.revoke()
        cls.site.up()
        cls.site.wait_ready(1, "plain")

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    @classmethod
    def openssl(cls, *argv):
        return subprocess.run(["openssl", *argv], cwd=cls.site.dir, check=True, capture_output=True, text=True).stdout

    @classmethod
    def authority(cls, name):
        cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    f"{name}.key", "-out", f"{name}.pem", "-days", "30", "-subj", f"/CN={name}")

    @classmethod
    def revoke(cls, *names):
        """A new revocation list with these certificates."""
        (cls.site.dir / "index.txt").write_text("")
        (cls.site.dir / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\n"
                                             "default_crl_days=3\n")
        base = ("ca", "-config", "ca.cnf", "-cert", "partners.pem", "-keyfile", "partners.key")
        for name in names:
            cls.openssl(*base, "-revoke", f"{name}.pem")
        cls.openssl(*base, "-gencrl", "-out", "partners.crl.new")
        (cls.site.dir / "partners.crl.new").rename(cls.site.dir / "partners.crl")

    def curl(self, host, who=None, *argv):
        shown = ["--cert", self.site.dir / f"{who}.pem", "--key", self.site.dir / f"{who}.key"] if who else []
        url = f"https://{host}:{self.site.https}/"
        done = subprocess.run(["curl", "-sS", "-k", "-m", "10", "-w", "%{http_code}", "--resolve",
                               f"{host}:{self.site.https}:127.0.0.1", *shown, *argv, url], capture_output=True, text=True)
        return done.stdout[-3:], done.stdout[:-3] + done.stderr

    def test_01_the_route_decides(self):
        self.assertEqual(self.curl("open.example")[0], "200")
        code, text = self.curl("closed.example")
        self.assertEqual((code, text), ("403", "a client certificate is required\n"))
        self.assertEqual(self.curl("closed.example", "good")[0], "200")
        code, text = self.curl("closed.example", "other")
        self.assertEqual((code, text), ("403", "the client certificate is of another authority\n"))

    def test_02_the_app_is_told_and_cannot_be_fooled(self):
        _, text = self.curl("closed.example", "good", "-H", "X-Client-Cert-Subject: CN=root")
        self.assertIn("X-Client-Cert-Subject: CN=good,O=Example\n", text)
        self.assertIn("X-Client-Cert-San-Uri: spiffe://example/good\n", text)
        shown = self.openssl("x509", "-in", "good.pem", "-noout", "-fingerprint", "-sha256")
        self.assertIn("X-Client-Cert-Fingerprint: " + shown.split("=")[1].strip().replace(":", "").lower(), text)
        self.assertNotIn("root", text)
        _, text = self.curl("open.example", None, "-H", "X-Client-Cert-Subject: CN=root", "-H", "Client-Cert: :AA==:")
        self.assertNotIn("Cert", text)

    def test_03_a_host_header_opens_no_door(self):
        code, text = self.curl("open.example", "good", "-H", "Host: closed.example")
        self.assertEqual((code, text), ("421", "this connection was made for another host\n"))

    def test_04_revocation_is_taken_live(self):
        self.assertEqual(self.curl("closed.example", "lost")[0], "200")
        self.revoke("lost")
        self.site.run("reload", "-f", self.site.file)
        wait_for(lambda: self.curl("closed.example", "lost")[0] == "403", 10)
        self.assertIn("certificate revoked", self.curl("closed.example", "lost")[1])
        self.assertEqual(self.curl("closed.example", "good")[0], "200")

    def test_05_control_may_die(self):
        old = self.site.pids("control")[0]
        (self.site.dir / "partners.pem").chmod(0)  # what was handed over is kept
        kill(old)
        wait_for(lambda: self.site.pids("control") not in ([], [old]), 20)
        self.assertEqual(self.curl("closed.example", "good")[0], "200")
        self.assertEqual(self.curl("closed.example", "lost")[0], "403")
        (self.site.dir / "partners.pem").chmod(0o644)

    def test_06_what_cannot_be_used_changes_nothing(self):
        good = (self.site.dir / "partners.crl").read_text()
        (self.site.dir / "partners.crl").write_text((self.site.dir / "staff.pem").read_text())
        done = self.site.run("reload", "-f", self.site.file, check=False)
        (self.site.dir / "partners.crl").write_text(good)
        self.assertEqual(done.returncode, 3)
        self.assertIn("HG1250", done.stderr)
        self.assertIn("the revocation list cannot be read", done.stderr)
        self.assertEqual(self.curl("closed.example", "good")[0], "200")

    def test_07_metrics(self):
        admin = self.site.status()["listeners"]["admin"]
        text = subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True).stdout
        row = next(r for r in text.splitlines() if r.startswith('headgate_client_ca_expires_timestamp_seconds{ca="staff"'))
        self.assertAlmostEqual(float(row.split()[-1]), time.time() + 30 * 86400, delta=600)
        row = next(r for r in text.splitlines() if r.startswith("headgate_client_ca_crl_expires_timestamp_seconds"))
        self.assertAlmostEqual(float(row.split()[-1]), time.time() + 3 * 86400, delta=600)
        for name in ("asked", "shown", "invalid", "refused"):
            rows = [float(r.split()[-1]) for r in text.splitlines() if r.startswith(f"headgate_edge_client_{name}_total{{")]
            self.assertGreater(sum(rows), 0, name)


if __name__ == "__main__":
    main()
