#!/usr/bin/env python3
"""The edge as a gateway from the configuration on: CORS, fields, paths, redirects and versions with real
processes, over HTTP/1.1 and HTTP/2; mistakes are refused with their place; reload takes it all."""
import http.client
import json
import shutil
import subprocess
import unittest

from harness import Platform, main, wait_for

# Answers with what it was asked, as JSON; some paths say more.
APP = r'''
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        n = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(n)
        body = json.dumps({"method": self.command, "path": self.path,
                           "headers": [[k.lower(), v] for k, v in self.headers.items()]}).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Server", "echo/1")
        self.send_header("X-Powered-By", "python")
        self.send_header("Access-Control-Allow-Origin", "*")
        if self.command == "POST":
            self.send_header("Location", "/things/7")
            self.send_header("Set-Cookie", "s=1; Path=/; HttpOnly")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
S(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
'''

CONFIG = """version: 1
project: e2e
edge:
  workers: {workers}
  listen: {{http: "127.0.0.1:{port}"}}
  h2c: true
apps:
  echo:
    command: /usr/bin/python3 {dir}/echo.py $PORT
    dir: {dir}
    replicas: {replicas}
    health: /health
    sandbox: {{writable: [{writable}]}}
    ANALYTICS
    routes:
      - {{host: plain, path: /}}
      - host: api
        path: /v2
        rate_limit: 3/h per ip
        version: v2
        rewrite: {{strip_prefix: /v2, cookies: true}}
        cors:
          origins: ["https://shop.example", "https://*.partner.example"]
          credentials: true
          expose: X-Total
        request_headers:
          set: {{X-Real-IP: $client_ip, X-Asked: "$method $host$path"}}
          remove: X-Debug
          rename: {{X-Old: X-New}}
        response_headers:
          set: {{X-Content-Type-Options: nosniff, X-Served-By: $app/$release}}
          remove: [Server, X-Powered-By]
      - host: api
        path: /v1
        version: {{name: v1, deprecated: 2026-01-01, sunset: 2050-01-01, link: "https://example.com/c"}}
        rewrite: {{replace: {{from: /v1, to: /old}}}}
      - host: api
        path: /v0
        version: {{name: v0, sunset: 2020-01-01, after_sunset: gone}}
      - {{host: api, path: /by, version: "1"}}
      - {{host: api, path: /by, version: {{name: "2", header: API-Version}}, rewrite: {{replace: {{from: /by, to: /two}}}}}}
      - {{host: www, redirect: "https://example.com"}}
"""


def ask(port, host, path="/", method="GET", body=None, **headers):
    """(status, fields, body) on a connection of its own."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        c.request(method, path, body=body,
                  headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
        r = c.getresponse()
        text = r.read()
        head = {}
        for k, v in r.getheaders():
            head[k.lower()] = f"{head[k.lower()]}, {v}" if k.lower() in head else v
        return r.status, head, text
    finally:
        c.close()


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Platform(CONFIG, replicas=1, workers=2)
        (cls.site.dir / "echo.py").write_text(APP)
        cls.template = cls.site.file.read_text()
        cls.write()
        cls.site.up()
        wait_for(lambda: ask(cls.site.port, "plain")[0] == 200)

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None, None, None)

    @classmethod
    def write(cls, analytics="analytics: network", more=""):
        cls.site.file.write_text(cls.template.replace("ANALYTICS", analytics) + more)

    def test_1_preflights_cost_no_limit_and_refusals_can_be_read(self):
        port, page = self.site.port, "https://shop.example"
        for _ in range(5):
            status, head, _ = ask(port, "api", "/v2/x", "OPTIONS", Origin=page,
                                  Access_Control_Request_Method="PUT")
            self.assertEqual((status, head["access-control-allow-origin"]), (204, page))
            self.assertIn("PUT", head["access-control-allow-methods"])
        self.assertEqual(ask(port, "api", "/v2/x", "OPTIONS", Origin="https://evil.example",
                             Access_Control_Request_Method="PUT")[0], 403)
        status, head, _ = ask(port, "api", "/v2/x", Origin="https://a.partner.example")
        self.assertEqual((status, head["access-control-allow-origin"]), (200, "https://a.partner.example"))
        self.assertEqual(head["access-control-expose-headers"], "X-Total")
        self.assertEqual(head["vary"], "Origin")

    def test_2_fields_and_paths(self):
        status, head, body = ask(self.site.port, "api", "/v2/a/../things?x=%2f", "POST", body="hi", X_Debug="1",
                                 X_Old="o", X_New="n", X_Real_IP="6.6.6.6")
        seen = json.loads(body)
        names = dict(seen["headers"])
        self.assertEqual((status, seen["path"]), (201, "/things?x=%2f"))
        self.assertEqual(names["x-real-ip"], "127.0.0.1")
        self.assertEqual(names["x-asked"], "POST api/v2/a/../things")
        self.assertEqual(names["x-forwarded-prefix"], "/v2")
        self.assertEqual([v for k, v in seen["headers"] if k == "x-new"], ["o"])
        self.assertNotIn("x-debug", names)
        self.assertEqual(head["location"], "/v2/things/7")
        self.assertEqual(head["set-cookie"], "s=1; Path=/v2; HttpOnly")
        self.assertEqual(head["x-content-type-options"], "nosniff")
        self.assertRegex(head["x-served-by"], r"^echo/\d+$")
        self.assertNotIn("server", head)
        self.assertNotIn("access-control-allow-origin", head)
        self.assertEqual(ask(self.site.port, "api", "/v2/..%2fadmin")[0], 400)

    def test_3_versions(self):
        port = self.site.port
        status, head, body = ask(port, "api", "/v1/x")
        self.assertEqual((status, json.loads(body)["path"]), (200, "/old/x"))
        self.assertEqual(head["deprecation"], "@1767225600")
        self.assertEqual(head["sunset"], "Sat, 01 Jan 2050 00:00:00 GMT")
        self.assertIn('rel="deprecation"', head["link"])
        self.assertIn('rel="sunset"', head["link"])
        status, head, _ = ask(port, "api", "/v0/x")
        self.assertEqual((status, head["sunset"]), (410, "Wed, 01 Jan 2020 00:00:00 GMT"))
        for version, path in ((None, "/by"), ("1", "/by"), ("2", "/two")):
            more = {"API_Version": version} if version else {}
            status, head, body = ask(port, "api", "/by", **more)
            self.assertEqual((json.loads(body)["path"], head["vary"]), (path, "API-Version"))
        metrics = wait_for(lambda: (m := self.metrics()) and 'route="api/by@2"' in m and m)
        self.assertIn('route="api/v1"', metrics)

    def metrics(self):
        c = self.site.dir / "metrics"
        subprocess.run(["curl", "-s", "--unix-socket", str(self.site.data / "control.sock"), "-o", str(c),
                        "http://x/metrics"], check=True)
        return c.read_text()

    def test_4_redirects(self):
        status, head, _ = ask(self.site.port, "www", "/a?b")
        self.assertEqual((status, head["location"]), (308, "https://example.com/a?b"))

    def test_7_who_asks_most_is_known_by_route_and_network(self):
        for n in range(20):
            ask(self.site.port, "api", f"/v1/users/{n}")
        ask(self.site.port, "api", "/v2/..%2fadmin")

        def rows():
            out = json.loads(self.site.run("top", "--consumers", "echo", "--json").stdout)
            return {(r["route"], r.get("consumer") or r["path"]): r for r in out["consumers"] + out["paths"]}
        wait_for(lambda: rows().get(("api/v1", "/v1/users/:id"), {}).get("requests") == 20)
        have = rows()
        self.assertGreaterEqual(have["api/v1", "127.0.0.0/24"]["requests"], 20)
        self.assertGreaterEqual(have["api/v2", "127.0.0.0/24"]["refused"], 1)
        self.assertEqual(have["api/v1", "127.0.0.0/24"]["over"], 0)
        text = self.site.run("top", "--consumers", "echo").stdout
        self.assertRegex(text, r"127\.0\.0\.0/24 +api/v1 +2\d")
        self.assertIn("no app", self.site.run("top", "--consumers", "nobody", check=False).stderr)

    @unittest.skipUnless(shutil.which("curl"), "needs curl")
    def test_5_over_http2(self):
        out = subprocess.run(["curl", "-s", "-i", "--http2-prior-knowledge", "-H", "Host: api", "-H", "X-Old: 1",
                              "-H", "Origin: https://shop.example", f"http://127.0.0.1:{self.site.port}/v2/h2"],
                             capture_output=True, text=True, check=True).stdout
        head, body = out.replace("\r\n", "\n").split("\n\n", 1)
        self.assertTrue(head.startswith("HTTP/2 200"), out)
        self.assertEqual(head.count("access-control-allow-origin: https://shop.example"), 1)
        self.assertIn("x-content-type-options: nosniff", head)
        self.assertEqual(json.loads(body)["path"], "/h2")

    def test_6_mistakes_are_refused_with_their_place_and_nothing_is_applied(self):
        more = "      - {path: /x, cors: {origins: ['*'], credentials: true}}\n"
        self.write(more=more)
        done = self.site.run("reload", "-f", self.site.file, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("HG1108", done.stderr)
        self.assertRegex(done.stderr, r"headgate\.yaml:\d+:\d+")
        self.write(more="      - {host: new, redirect: {to: https://example.org, code: 302}}\n")
        self.site.run("reload", "-f", self.site.file)
        self.assertEqual(wait_for(lambda: ask(self.site.port, "new")[0] == 302), True)


if __name__ == "__main__":
    main()
