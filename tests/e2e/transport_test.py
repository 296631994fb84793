#!/usr/bin/env python3
"""PROXY protocol with real senders: who the client is, for the log, for the app, and for replicas that want to
be told themselves."""
import shutil
import socket
import subprocess
import sys
import unittest

from harness import Platform, free_port, main, request, wait_for

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


if __name__ == "__main__":
    main()
