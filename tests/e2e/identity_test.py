#!/usr/bin/env python3
"""Who may use an app, by real processes: forged tokens over HTTP/1.1 and HTTP/2, fields that nobody but the edge
may send, roles and methods, keys that rotate while their issuer is dead, API keys taken back, limits by user."""
import base64
import hashlib
import hmac
import http.server
import json
import subprocess
import threading
import time
import unittest

from harness import Platform, free_port, kill, main, request, wait_for

SECRET = "0123456789abcdef0123456789abcdef"
REPLICA = """import http.server, json, os, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(n)
        body = json.dumps({"method": self.command, "fields": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_GET
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""
CONFIG = """version: 1
project: identity
edge:
  workers: 1
  h2c: true
  listen: {{http: "127.0.0.1:{port}"}}
apps:
  shop:
    command: python3 {dir}/replica.py $PORT
    replicas: 1
    probes: {{readiness: {{http: /health, every: 250ms, timeout: 5s}}}}
    identity:
      jwt: {{issuer: "https://id.example", audience: shop, jwks: "http://127.0.0.1:JWKS/keys", refresh: 1m, refetch: 1s, cookie: token}}
      keys:
KEYS
    routes:
      - {{path: /}}
      - {{path: /open, access: off}}
      - {{path: /mixed, access: optional}}
      - {{path: /admin, access: {{roles: admin}}}}
      - path: /feedback
        access:
          roles: [user, admin]
          rules:
            - {{methods: GET, require: optional}}
            - {{methods: DELETE, roles: admin}}
            - {{methods: PUT, scopes: "feedback:update"}}
      - {{path: /limited, rate_limit: [3/h per user, 1000/h per ip]}}
      - {{path: /bykey, rate_limit: 2/h per key}}
  svc:
    command: python3 {dir}/replica.py $PORT
    replicas: 1
    probes: {{readiness: {{http: /health, every: 250ms, timeout: 5s}}}}
    identity: {{jwt: {{issuer: me, audience: svc, secret_file: jwt.secret}}, forward: true, user_header: X-Forwarded-User}}
    routes: [{{host: svc.example, path: /}}]
  multi:
    command: python3 {dir}/replica.py $PORT
    replicas: 1
    probes: {{readiness: {{http: /health, every: 250ms, timeout: 5s}}}}
    identity:
      issuers:
        - {{issuer: "https://id.example", audience: shop, jwks: "http://127.0.0.1:JWKS/keys", refetch: 1s}}
        - {{issuer: partner, audience: multi, secret_file: jwt.secret, user_claim: email, roles_claim: groups}}
        - {{issuer: away, audience: multi, jwks: "http://127.0.0.1:1/keys"}}
      keys:
KEYS
    routes:
      - {{host: multi.example, path: /}}
      - {{host: multi.example, path: /staff, access: {{issuers: "https://id.example"}}}}
      - {{host: multi.example, path: /partners, access: {{issuers: partner, rules: [{{methods: DELETE, issuers: partner, roles: gold}}]}}}}
      - {{host: multi.example, path: /limited, rate_limit: 2/h per user}}
  plain:
    command: python3 {dir}/replica.py $PORT
    replicas: 1
    probes: {{readiness: {{http: /health, every: 250ms, timeout: 5s}}}}
    routes: [{{host: plain.example, path: /}}]
"""


def b64(data):
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*argv, text=b""):
    return subprocess.run(["openssl", *map(str, argv)], input=text, capture_output=True, check=True).stdout


class Key:
    """An RSA key of the issuer."""

    def __init__(self, folder, kid):
        self.kid, self.file = kid, folder / f"{kid}.pem"
        openssl("genrsa", "-out", self.file, "2048")
        self.pem = openssl("rsa", "-in", self.file, "-pubout")
        self.der = openssl("rsa", "-in", self.file, "-pubout", "-outform", "DER")
        modulus = openssl("rsa", "-in", self.file, "-modulus", "-noout").decode().split("=")[1].strip()
        self.jwk = {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "e": "AQAB", "n": b64(bytes.fromhex(modulus))}

    def token(self, claims=None, head=None, **more):
        head = {"alg": "RS256", "kid": self.kid, **(head or {})}
        body = claims if claims is not None else {"iss": "https://id.example", "aud": "shop", "sub": "ann",
                                                  "exp": int(time.time()) + 600, **more}
        text = b64(json.dumps(head)) + "." + b64(json.dumps(body) if isinstance(body, dict) else body)
        return text + "." + b64(openssl("dgst", "-sha256", "-sign", self.file, text=text.encode()))


def hs(secret, head=None, **more):
    secret = secret.encode() if isinstance(secret, str) else secret
    body = {"iss": "https://id.example", "aud": "shop", "sub": "ann", "exp": int(time.time()) + 600, **more}
    text = b64(json.dumps({"alg": "HS256", **(head or {})})) + "." + b64(json.dumps(body))
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


class Issuer:
    """Serves a set of keys, and counts who asks."""

    def __init__(self):
        self.keys, self.asked, self.status, self.port = [], 0, 200, free_port()
        self.start()

    def start(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                body = json.dumps({"keys": [k.jwk for k in issuer.keys]}).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "public, max-age=3600")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Identity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.platform = p = Platform("x")
        cls.lines, cls.secrets = {}, {}
        for name, more in (("bob", ["--roles", "user", "--scopes", "feedback:update"]), ("root", ["--roles", "admin"]),
                           ("old", ["--expires", "2020-01-31"])):
            made = json.loads(p.run("key", "make", name, "--json", *more).stdout)
            cls.lines[name], cls.secrets[name] = made["line"], made["key"]
        cls.one, cls.two = Key(p.dir, "one"), Key(p.dir, "two")
        cls.issuer.keys = [cls.one]
        (p.dir / "replica.py").write_text(REPLICA)
        (p.dir / "jwt.secret").write_text(SECRET + "\n")
        cls.write(cls.lines.values())
        p.up()
        for app in ("shop", "svc", "multi", "plain"):
            p.wait_ready(1, app)
        good = cls.one.token()
        wait_for(lambda: cls.get("/", good)[0] == 200)

    @classmethod
    def tearDownClass(cls):
        said = cls.platform.run("logs", "edge", "-n", "2000", check=False).stdout + cls.platform.platform_log()
        cls.platform.__exit__(None, None, None)
        assert "Sanitizer" not in said and "runtime error" not in said, said
        cls.issuer.stop()

    @classmethod
    def write(cls, lines):
        p = cls.platform
        text = CONFIG.replace("JWKS", str(cls.issuer.port)).format(port=p.port, dir=p.dir)
        p.file.write_text(text.replace("KEYS", "\n".join("        " + line for line in lines)))

    @classmethod
    def get(cls, path="/", token=None, method="GET", **fields):
        headers = {k.replace("__", "-"): v for k, v in fields.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return request(cls.platform.port, method, path, headers=headers)

    def h2(self, path="/", token=None, *fields, host="x"):
        """(status, fields of the answer in lower case, body) over HTTP/2."""
        argv = ["curl", "-sS", "-i", "--http2-prior-knowledge", "-m", "20", "-H", f"Host: {host}"]
        for f in [*fields, *([f"Authorization: Bearer {token}"] if token else [])]:
            argv += ["-H", f]
        out = subprocess.run([*argv, f"http://127.0.0.1:{self.platform.port}{path}"], capture_output=True, check=True).stdout
        head, body = out.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body

    def seen(self, answer):
        """What the replica was sent: [(name, value)], names in lower case."""
        self.assertEqual(answer[0], 200, answer)
        return [(k.lower(), v) for k, v in json.loads(answer[2])["fields"]]

    def metric(self, name):
        import http.client
        import socket

        class Unix(http.client.HTTPConnection):
            def connect(c):
                c.sock = socket.socket(socket.AF_UNIX)
                c.sock.connect(str(self.platform.data / "control.sock"))
        c = Unix("x")
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        c.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    # ---- attacks ----

    def test_forged_tokens_are_refused_over_both_protocols(self):
        one, now = self.one, int(time.time())
        good = one.token()
        head, claims, sig = good.split(".")
        stranger = Key(self.platform.dir, "stranger")
        base = {"iss": "https://id.example", "aud": "shop", "sub": "ann", "exp": now + 600}
        attacks = {
            "HS256 by the public PEM": hs(one.pem, {"kid": "one"}),
            "HS256 by the PEM without its end": hs(one.pem.rstrip(), {"kid": "one"}),
            "HS256 by the DER": hs(one.der, {"kid": "one"}),
            "HS256 by the modulus": hs(one.jwk["n"], {"kid": "one"}),
            "HS256 without a kid": hs(one.pem),
            "none": b64('{"alg":"none"}') + f".{claims}.",
            "None with a signature": b64('{"alg":"None"}') + f".{claims}.{sig}",
            "tampered claims": f"{head}.{b64(json.dumps({**base, 'sub': 'root'}))}.{sig}",
            "tampered head": f"{b64(json.dumps({'alg': 'RS256', 'kid': 'one', 'x': 1}))}.{claims}.{sig}",
            "cut signature": good[:-4],
            "no signature": f"{head}.{claims}.",
            "a stranger's key": stranger.token(head={"kid": "one"}),
            "a key of its own": stranger.token(head={"jwk": stranger.jwk}),
            "a set of its own": stranger.token(head={"jku": f"http://127.0.0.1:{self.issuer.port}/evil"}),
            "expired": one.token(exp=now - 120),
            "not yet": one.token(nbf=now + 300),
            "another audience": one.token(aud="other"),
            "another issuer": one.token(iss="https://id.example.evil"),
            "no end": one.token(claims={k: v for k, v in base.items() if k != "exp"}),
            "no subject": one.token(claims={k: v for k, v in base.items() if k != "sub"}),
            "twice": one.token(claims=json.dumps(base)[:-1] + ', "sub": "root"}'),
            "kid is a path": hs("", {"kid": "../../../dev/null"}),
            "kid is SQL": one.token(head={"kid": "' OR 1=1 --"}),
            "critical": one.token(head={"crit": ["exp"]}),
            "huge": one.token(x="y" * 9000),
            "no token": "x", "padded": good + "=", "a word": "a.b.c",
        }
        before = self.metric("headgate_identity_refused_total")
        for name, token in attacks.items():
            for path in ("/", "/mixed"):
                answer = self.get(path, token)
                self.assertEqual(answer[0], 401, f"{name} {path}: {answer}")
                self.assertIn('error="invalid_token"', answer[1]["WWW-Authenticate"], name)
                self.assertEqual(json.loads(answer[2]), {"error": "Unauthorized"})
            status, fields, _ = self.h2("/", token)
            self.assertEqual(status, 401, name)
            self.assertIn('bearer realm="shop"', fields["www-authenticate"])
        self.assertEqual(self.metric("headgate_identity_refused_total") - before, 3 * len(attacks))
        self.assertEqual(self.get("/", good)[0], 200)
        self.assertEqual(self.h2("/", good)[0], 200)
        # Nobody fetched what a token named, and no token is in a log.
        self.assertEqual(self.metric('headgate_identity_jwks_failures_total{app="shop"}'), 0)
        logs = self.platform.run("logs", "--plain", "-n", "500", check=False).stdout + self.platform.platform_log()
        self.assertNotIn(sig[:40], logs)

    def test_a_token_counts_by_the_keys_of_the_issuer_it_names_and_of_no_other(self):
        one = self.one
        partner = {"iss": "partner", "aud": "multi", "email": "ann"}
        good = {"the first": (one.token(), "https://id.example"), "the second": (hs(SECRET, **partner), "partner")}
        wait_for(lambda: self.get("/", one.token(), Host="multi.example")[0] == 200)
        for name, (token, issuer) in good.items():
            told = dict(self.seen(self.get("/", token, Host="multi.example", X__Auth__Issuer="root", x_auth_issuer="root")))
            self.assertEqual((told["x-auth-user"], told["x-auth-issuer"]), ("ann", issuer), name)
            self.assertNotIn("x_auth_issuer", told)
        told = dict(self.seen(self.get("/", Host="multi.example", X__Api__Key=self.secrets["bob"], X__Auth__Issuer="partner")))
        self.assertEqual((told["x-auth-user"], told.get("x-auth-issuer")), ("bob", None))
        attacks = {
            "a secret for the keys of another": hs(SECRET),
            "the public key as the secret of another": hs(one.pem, **partner),
            "the keys of another": one.token(**partner),
            "the keys of another, named": one.token(head={"kid": "one"}, **partner),
            "the audience of another": one.token(aud="multi"),
            "an audience that the other takes": hs(SECRET, **{**partner, "aud": "shop"}),
            "a claim that the other is known by": hs(SECRET, **{k: v for k, v in partner.items() if k != "email"}),
            "an unknown issuer": hs(SECRET, **{**partner, "iss": "partners"}),
            "an issuer in capitals": hs(SECRET, **{**partner, "iss": "PARTNER"}),
            "two issuers": hs(SECRET, **{**partner, "iss": ["partner", "https://id.example"]}),
            "no issuer": hs(SECRET, **{**partner, "iss": None}),
            "an issuer that ends": hs(SECRET, **{**partner, "iss": "partner\0"}),
            "none": b64('{"alg":"none"}') + "." + b64(json.dumps({**partner, "exp": 4000000000})) + ".",
            "expired": hs(SECRET, **partner, exp=int(time.time()) - 120),
        }
        for name, token in attacks.items():
            answer = self.get("/", token, Host="multi.example")
            self.assertEqual(answer[0], 401, f"{name}: {answer}")
            self.assertIn('error="invalid_token"', answer[1]["WWW-Authenticate"], name)
            self.assertEqual(self.h2("/", token, host="multi.example")[0], 401, name)
        # whose keys are not there yet is not forged, and not believed
        self.assertEqual(self.get("/", hs(SECRET, **{**partner, "iss": "away"}), Host="multi.example")[0], 503)
        self.assertGreater(self.metric('headgate_identity_jwks_failures_total{app="multi",issuer="away"}'), 0)
        self.assertEqual(self.metric('headgate_identity_jwks_keys{app="multi",issuer="https://id.example"}'),
                         len(self.issuer.keys))
        # routes may take less
        staff, other = good["the first"][0], good["the second"][0]
        gold = hs(SECRET, **partner, groups=["gold"])
        for path, method, token, want in (
                ("/staff", "GET", staff, 200), ("/staff", "GET", other, 401), ("/staff", "GET", None, 401),
                ("/partners", "GET", other, 200), ("/partners", "GET", staff, 401), ("/partners", "DELETE", other, 403),
                ("/partners", "DELETE", gold, 200), ("/partners", "DELETE", one.token(roles=["gold"]), 401)):
            self.assertEqual(self.get(path, token, method, Host="multi.example")[0], want, (path, method))
        self.assertEqual(self.get("/staff", Host="multi.example", X__Api__Key=self.secrets["root"])[0], 401)
        # two people of one name do not share their limits
        for _ in range(2):
            self.assertEqual([self.get("/limited", t, Host="multi.example")[0] for t in (staff, other)], [200, 200])
        self.assertEqual([self.get("/limited", t, Host="multi.example")[0] for t in (staff, other)], [429, 429])

    def test_two_credentials_are_none(self):
        p, token = self.platform, self.one.token()
        self.assertEqual(self.get("/", token, **{"X__Api__Key": self.secrets["bob"]})[0], 400)
        out = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
                              "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{p.port}/"], capture_output=True).stdout
        self.assertEqual(out, b"400")

    # ---- what replicas are told ----

    def test_only_the_edge_says_who_somebody_is(self):
        lies = {"X__Auth__User": "root", "x_auth_user": "root", "X_Auth__Roles": "admin", "X__AUTH__ROLES": "admin",
                "x__auth__scopes": "all", "X__Auth_Scopes": "all"}
        token = self.one.token(roles=["user", "x,admin"], scope="a b")
        for path, want in (("/open", []), ("/mixed", []), ("/", None)):
            answers = [self.get(path, token if want is None else None, **lies)]
            fields = [f"{k.replace('__', '-')}: {v}" for k, v in lies.items()]
            answers.append(self.h2(path, token if want is None else None, *fields))
            for answer in answers:
                told = [(k.replace("_", "-"), v) for k, v in self.seen(answer) if k.replace("_", "-").startswith("x-auth")]
                if want is None:
                    want = [("x-auth-user", "ann"), ("x-auth-roles", "user,x%2Cadmin"), ("x-auth-scopes", "a b")]
                self.assertEqual(told, want, path)
        # What it was proved by stays at the edge, unless it is wanted; an app without identity is left alone.
        self.assertNotIn("authorization", dict(self.seen(self.get("/", token))))
        self.assertEqual(dict(self.seen(self.get("/", token, Host="plain.example", X__Auth__User="me")))["x-auth-user"], "me")
        svc = hs(SECRET, iss="me", aud="svc", sub="a\r\nX-Evil: 1 \u00e9")
        told = dict(self.seen(self.get("/", svc, Host="svc.example")))
        self.assertEqual(told["x-forwarded-user"], "a%0D%0AX-Evil:%201%20%C3%A9")
        self.assertEqual(told["authorization"], f"Bearer {svc}")
        self.assertNotIn("x-evil", told)

    def test_trailers_say_nothing_of_it(self):
        out = self.raw(b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                       b"1\r\na\r\n0\r\nX_Auth_User: root\r\n\r\n")
        self.assertTrue(out.startswith(b"HTTP/1.1 400 "), out[:80])

    def raw(self, data):
        import socket
        with socket.create_connection(("127.0.0.1", self.platform.port), timeout=10) as s:
            s.sendall(data)
            out = b""
            while got := s.recv(65536):
                out += got
        return out

    # ---- who may what ----

    def test_roles_scopes_and_methods(self):
        user, admin = self.one.token(roles="user"), self.one.token(roles=["admin"])
        nobody, guest = None, self.one.token(roles=["guest"])
        able = self.one.token(scope="feedback:update other")
        table = [
            # path, method, who, status
            ("/open", "GET", nobody, 200), ("/mixed", "GET", nobody, 200), ("/", "GET", nobody, 401), ("/", "GET", guest, 200),
            ("/admin", "GET", nobody, 401), ("/admin", "GET", user, 403), ("/admin", "GET", admin, 200),
            ("/admin/deep", "POST", user, 403), ("/admin/../admin", "GET", user, 403), ("/%61dmin", "GET", user, 403),
            ("/feedback", "GET", nobody, 200), ("/feedback", "HEAD", nobody, 200), ("/feedback", "POST", nobody, 401),
            ("/feedback", "POST", guest, 403), ("/feedback", "POST", user, 200), ("/feedback/1", "DELETE", user, 403),
            ("/feedback/1", "DELETE", admin, 200), ("/feedback/1", "PUT", user, 403), ("/feedback/1", "PUT", able, 200),
            ("/feedback", "PATCHY", user, 200), ("/feedback", "PATCHY", nobody, 401), ("/", "OPTIONS", nobody, 401),
        ]
        for path, method, who, want in table:
            if method == "PATCHY":  # a method without a name of its own has the rule of all others
                out = self.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() +
                               (f"Authorization: Bearer {who}\r\n".encode() if who else b"") + b"\r\n")
                self.assertIn(int(out.split()[1]), {want, 501} if want == 200 else {want}, (path, method))
                continue
            answer = self.get(path, who, method)
            self.assertEqual(answer[0], want, f"{method} {path}: {answer}")
            if want == 403:
                self.assertEqual(json.loads(answer[2]), {"error": "Forbidden"})
                self.assertIn('error="insufficient_scope"', answer[1]["WWW-Authenticate"])
        self.assertIn('scope="feedback:update"', self.get("/feedback/1", user, "PUT")[1]["WWW-Authenticate"])
        # A preflight brings nothing with it.
        self.assertEqual(self.get("/admin", None, "OPTIONS", Origin="http://a", **{
            "Access__Control__Request__Method": "GET"})[0], 200)

    def test_cookies_are_not_sent_by_other_sites(self):
        cookie = {"Cookie": f"a=b; token={self.one.token()}"}
        self.assertIn(("x-auth-user", "ann"), self.seen(self.get("/", **cookie)))
        self.assertEqual(self.get("/", None, "POST", **cookie)[0], 200)
        self.assertEqual(self.get("/", None, "POST", Sec__Fetch__Site="same-origin", **cookie)[0], 200)
        self.assertEqual(self.get("/", None, "POST", Sec__Fetch__Site="cross-site", **cookie)[0], 403)
        self.assertEqual(self.get("/", None, "POST", Origin="https://evil.example", **cookie)[0], 403)
        self.assertEqual(self.get("/", None, "DELETE", Origin="null", **cookie)[0], 403)
        self.assertEqual(self.get("/", None, "POST", Host="shop.example", Origin="https://shop.example", **cookie)[0], 200)

    # ---- API keys ----

    def test_a_key_is_taken_back_by_reload(self):
        p, bob = self.platform, self.secrets["bob"]
        told = dict(self.seen(self.get("/", X__Api__Key=bob)))
        self.assertEqual((told["x-auth-user"], told["x-auth-roles"]), ("bob", "user"))
        self.assertNotIn("x-api-key", told)
        self.assertEqual(self.get("/", bob)[0], 200)  # as a bearer, too
        self.assertEqual(self.get("/admin", X__Api__Key=bob)[0], 403)
        self.assertEqual(self.get("/admin", X__Api__Key=self.secrets["root"])[0], 200)
        self.assertEqual(self.get("/", X__Api__Key=bob[:-1] + ("0" if bob[-1] != "0" else "1"))[0], 401)
        self.assertIn("expired", self.get("/", X__Api__Key=self.secrets["old"])[1]["WWW-Authenticate"])
        self.write([self.lines["root"]])
        p.run("reload", "-f", p.file)
        wait_for(lambda: self.get("/", X__Api__Key=bob)[0] == 401)
        self.assertEqual(self.get("/admin", X__Api__Key=self.secrets["root"])[0], 200)
        self.write(self.lines.values())
        p.run("reload", "-f", p.file)
        wait_for(lambda: self.get("/", X__Api__Key=bob)[0] == 200)
        kept = (p.data / "certs/identities.json").stat()
        self.assertEqual(kept.st_mode & 0o777, 0o600)
        for file in p.data.rglob("*"):
            if file.is_file() and file.stat().st_size < 5 << 20:
                self.assertNotIn(bob.encode(), file.read_bytes(), file)

    def test_no_request_meets_rules_without_their_provider(self):
        p, token, codes, stop = self.platform, hs(SECRET, iss="me", aud="svc"), [], threading.Event()
        whole = p.file.read_text()

        def ask():
            while not stop.is_set():
                codes.append(self.get("/", token, Host="svc.example")[0])
                codes.append(self.get("/", None, Host="svc.example")[0])
        thread = threading.Thread(target=ask)
        thread.start()
        # Identity is taken from an app and given back, again and again, while it is asked.
        line = next(x for x in whole.splitlines(True) if "secret_file" in x)
        for text in (whole.replace(line, ""), whole) * 3:
            p.file.write_text(text)
            p.run("reload", "-f", p.file)
            time.sleep(0.2)
        stop.set()
        thread.join()
        self.assertEqual(set(codes), {200, 401})
        self.assertEqual(self.get("/", None, Host="svc.example")[0], 401)

    # ---- limits ----

    def test_limits_count_who_was_verified(self):
        ann, eve = self.one.token(sub="ann-l"), self.one.token(sub="eve-l")
        for _ in range(3):
            self.assertEqual(self.get("/limited", ann)[0], 200)
        # Another token of the same user is no new user.
        refused = self.get("/limited", self.one.token(sub="ann-l", jti="2"))
        self.assertEqual(refused[0], 429)
        self.assertGreater(int(refused[1]["Retry-After"]), 0)
        self.assertIn('"user-hour";q=3;w=3600', refused[1]["RateLimit-Policy"])
        self.assertIn('"user-hour";r=0', refused[1]["RateLimit"])
        self.assertEqual(self.get("/limited", eve)[0], 200)
        # Made-up tokens are all of one address, whatever they say.
        codes = [self.get("/limited", hs("x" * 32, sub=f"u{i}"))[0] for i in range(6)]
        self.assertEqual(codes, [401] * 3 + [429] * 3)
        self.assertEqual(self.get("/limited", eve)[0], 200)
        keyed = [self.get("/bykey", X__Api__Key=self.secrets["bob"])[0] for _ in range(3)]
        self.assertEqual(keyed, [200, 200, 429])
        self.assertEqual(self.get("/bykey", X__Api__Key=self.secrets["root"])[0], 200)

    # ---- the issuer ----

    def test_z_keys_rotate_and_the_issuer_dies(self):
        p, one, two = self.platform, self.one, self.two
        old, new = one.token(), two.token()
        self.assertEqual((self.get("/", old)[0], self.get("/", new)[0]), (200, 401))
        self.issuer.keys = [one, two]
        # A key nobody knows has the set read again, by itself.
        wait_for(lambda: self.get("/", new)[0] == 200, 15, 0.2)
        self.assertEqual(self.get("/", old)[0], 200)
        # … but not as often as somebody wishes.
        time.sleep(1.2)
        asked, start = self.issuer.asked, time.monotonic()
        for i in range(50):
            self.assertEqual(self.get("/", one.token(head={"kid": f"x{i}"}))[0], 401)
        # once a second, whatever a busy machine takes for it
        self.assertLessEqual(self.issuer.asked - asked, 3 + (time.monotonic() - start))
        self.issuer.stop()
        time.sleep(1.5)
        self.assertEqual(self.get("/", one.token(head={"kid": "y"}))[0], 401)
        # Dead, and control and edge die too: what was good is good, from the disk.
        kill(p.pids("control")[0])
        kill(p.pids("edge")[0])
        wait_for(lambda: self.safe(old) == 200)
        self.assertEqual((self.get("/", old)[0], self.get("/", new)[0]), (200, 200))
        wait_for(lambda: len(p.pids("control")) == 1)
        self.assertEqual((self.get("/", old)[0], self.get("/", new)[0]), (200, 200))
        # It comes back without the first key: tokens of that are over, those that were seen too.
        self.issuer.keys = [two]
        self.issuer.start()
        wait_for(lambda: self.get("/", two.token(head={"kid": "z"}))[0] and self.get("/", old)[0] == 401, 40, 0.3)
        self.assertEqual(self.get("/", new)[0], 200)
        # Rubbish in place of a set changes nothing.
        self.issuer.keys, asked = [], self.issuer.asked
        wait_for(lambda: self.get("/", one.token(head={"kid": "w"})) and self.issuer.asked > asked, 15, 0.3)
        time.sleep(0.5)
        self.assertEqual(self.get("/", new)[0], 200)

    def safe(self, token):
        try:
            return self.get("/", token)[0]
        except OSError:
            return None


if __name__ == "__main__":
    main()
