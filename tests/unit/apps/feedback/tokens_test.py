#!/usr/bin/env python3
"""Tokens of services through the real Feedback App: what is good, and the list of attacks on JWT. Keys
and signatures are openssl's, the set of keys comes from a server of this test."""
import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import main, request, wait_for  # noqa: E402
from people_test import PeopleCase  # noqa: E402

ISSUER, AUDIENCE = "https://id.example.org", "feedback"


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, folder, kid):
        self.kid, self.pem = kid, f"{folder}/{kid}.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.pem, "2048"], check=True, capture_output=True)
        run = lambda *argv: subprocess.run(["openssl", "rsa", "-in", self.pem, *argv], check=True,  # noqa: E731
                                           capture_output=True).stdout
        self.public, self.der = run("-pubout"), run("-pubout", "-outform", "DER")
        self.n = bytes.fromhex(run("-modulus", "-noout").decode().strip().split("=")[1])
        self.jwk = {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": b64(self.n), "e": "AQAB"}

    def sign(self, claims, **head):
        body = f"{b64({'alg': 'RS256', 'kid': self.kid, **head})}.{b64(claims)}"
        sig = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.pem], input=body.encode(), check=True,
                             capture_output=True).stdout
        return f"{body}.{b64(sig)}"


def claims(**more):
    now = int(time.time())
    all_ = {"sub": "service", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 600, "iat": now, "roles": ["user"], **more}
    return {k: v for k, v in all_.items() if v is not None}


def hs256(secret, payload, **head):
    body = f"{b64({'alg': 'HS256', **head})}.{b64(payload)}"
    return f"{body}.{b64(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


class Authority:
    """Publishes a set of keys."""

    def __init__(self, *keys):
        self.keys, self.asked, self.broken = list(keys), 0, False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                body = b"{" if outer.broken else json.dumps({"keys": [k.jwk for k in outer.keys]}).encode()
                self.send_response(500 if outer.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Tokens(PeopleCase):
    mode = "required"

    def start(self, **env):
        return super().start(JWT_ISSUER=ISSUER, JWT_AUDIENCE=AUDIENCE, **env)

    def status(self, app, token, method="GET", body=None):
        return app.call(method, "/feedback", body, headers={"Authorization": f"Bearer {token}"})[0]

    def test_a_secret_of_the_environment_makes_services_known(self):
        secret = b"0123456789abcdef0123456789abcdef"
        a = self.start(JWT_SECRET=secret.decode())
        good = hs256(secret, claims())
        self.assertEqual([self.status(a, good) for _ in range(3)], [200] * 3)
        self.assertEqual(self.status(a, good, "POST", {"message": "of a service"}), 201)
        self.assertEqual(self.rows_of("SELECT count(*) FROM feedback WHERE owner IS NULL"), [["1"]])
        entry = next(e for e in self.audit(a) if e["action"] == "feedback.create")
        self.assertEqual((entry["name"], entry["via"], entry["user"]), ("service", "token", None))
        # its role, and of that only what its scope names
        for more, get, post in (({"roles": ["guest"]}, 200, 403), ({"roles": None}, 200, 403), ({"roles": ["boss"]}, 200, 403),
                                ({"roles": "admin user"}, 200, 201), ({"scope": "feedback:read"}, 200, 403),
                                ({"scope": "openid email"}, 200, 201), ({"scope": "feedback:create"}, 403, 201)):
            token = hs256(secret, claims(**more))
            self.assertEqual((self.status(a, token), self.status(a, token, "POST", {"message": "x"})), (get, post), more)
        # what it wrote is nobody's: only administrators change it
        item = a.call("PUT", "/feedback/1", {"message": "y"}, headers={"Authorization": f"Bearer {good}"})
        self.assertEqual(item[0], 403)
        self.assertEqual(a.call("GET", "/admin/users", headers={"Authorization": f"Bearer {good}"})[0], 403)
        self.assertIn(b'tokens_verified_total{verdict="good"}', request(a.port, "GET", "/metrics")[2])
        self.assertNotIn(secret.decode(), a.log.read_text())

    def test_every_attack_of_the_list_is_401(self):
        ours, other = Key(self.dir, "ours"), Key(self.dir, "other")
        authority = Authority(ours)
        self.addCleanup(authority.stop)
        a = self.start(JWT_KEYS=authority.url)
        good = ours.sign(claims())
        wait_for(lambda: self.status(a, good) == 200, 10)
        head, payload, sig = good.split(".")
        now = int(time.time())
        stolen = Key(self.dir, "stolen")
        stolen.kid = "ours"
        attacks = {
            "confusion: PEM": hs256(ours.public, claims(), kid="ours"),
            "confusion: PEM without its last line feed": hs256(ours.public.strip(), claims(), kid="ours"),
            "confusion: DER": hs256(ours.der, claims(), kid="ours"),
            "confusion: modulus": hs256(ours.n, claims(), kid="ours"),
            "confusion: JWK": hs256(json.dumps(ours.jwk).encode(), claims(), kid="ours"),
            "an empty secret": hs256(b"", claims(), kid="ours"),
            **{f"none as {n!r}": f"{b64({'alg': n, 'kid': 'ours'})}.{payload}.{s}"
               for n in ("none", "None", "NONE", "nOnE", "") for s in ("", sig)},
            "no algorithm": f"{b64({'kid': 'ours'})}.{payload}.{sig}",
            "without a signature": f"{head}.{payload}.",
            "without a third part": f"{head}.{payload}",
            "a fourth part": f"{good}.x",
            "tampered claims": f"{head}.{b64(claims(roles=['admin']))}.{sig}",
            "tampered head": f"{b64({'alg': 'RS256', 'kid': 'ours', 'x': 1})}.{payload}.{sig}",
            "tampered signature": f"{head}.{payload}.{('A' if sig[0] != 'A' else 'B') + sig[1:]}",
            "expired": ours.sign(claims(exp=now - 61)),
            "not yet": ours.sign(claims(nbf=now + 120)),
            "no end": ours.sign(claims(exp=None)),
            "an end that is no number": ours.sign(claims(exp="never")),
            "for another": ours.sign(claims(aud="shop")),
            "for nobody": ours.sign(claims(aud=None)),
            "of another issuer": ours.sign(claims(iss="https://id.example.org.evil")),
            "of no issuer": ours.sign(claims(iss=None)),
            "another key under the same name": stolen.sign(claims()),
            "a key of its own in its head": other.sign(claims(), jwk=other.jwk),
            "an address of keys in its head": other.sign(claims(), jku="http://127.0.0.1:1/jwks"),
            "a certificate in its head": other.sign(claims(), x5u="http://127.0.0.1:1/c", x5c=["MIIB"]),
            "a path as the key's name": other.sign(claims(), kid="../../../../dev/null"),
            "SQL as the key's name": other.sign(claims(), kid="x' UNION SELECT 'a"),
            "a critical extension": ours.sign(claims(), crit=["exp"]),
            "another algorithm of the key": ours.sign(claims(), alg="RS512"),
            "encrypted": f"{b64({'alg': 'RSA-OAEP', 'enc': 'A128GCM'})}.a.b.c.d",
            "huge": ours.sign(claims(x="x" * 9000)),
            "spaces": good.replace(".", ". ", 1),
        }
        for what, token in attacks.items():
            self.assertEqual(self.status(a, token), 401, what)
        self.assertEqual(self.status(a, good), 200)
        log = a.log.read_text()
        for token in (good, *attacks.values()):
            if len(token) > 40:
                self.assertNotIn(token, log)
        print(f"# {len(attacks)} attacks refused", flush=True)

    def test_keys_are_rotated_while_both_count_and_stay_while_the_authority_is_away(self):
        old, new, unknown = Key(self.dir, "old"), Key(self.dir, "new"), Key(self.dir, "unknown")
        authority = Authority(old)
        self.addCleanup(authority.stop)
        a = self.start(JWT_KEYS=authority.url)
        wait_for(lambda: self.status(a, old.sign(claims())) == 200, 10)
        self.assertEqual(authority.asked, 1)
        authority.keys.append(new)
        self.assertEqual(self.status(a, new.sign(claims())), 401)  # asks, beside the request
        wait_for(lambda: self.status(a, new.sign(claims())) == 200, 10)
        self.assertEqual(self.status(a, old.sign(claims())), 200)
        authority.broken = True
        for _ in range(5):
            self.assertEqual(self.status(a, unknown.sign(claims())), 401)
        time.sleep(0.3)
        self.assertEqual(authority.asked, 2)  # once in five minutes, whoever asks
        self.assertEqual(self.status(a, new.sign(claims())), 200)

    def test_an_authority_that_is_away_at_the_start_is_asked_again(self):
        key = Key(self.dir, "k")
        authority = Authority(key)
        self.addCleanup(authority.stop)
        authority.broken = True
        a = self.start(JWT_KEYS=authority.url)
        token = key.sign(claims())
        wait_for(lambda: authority.asked, 10)
        self.assertEqual(self.status(a, token), 401)
        authority.broken = False
        wait_for(lambda: self.status(a, token) == 200, 10, 0.2)
        self.assertEqual(a.call("GET", "/health")[0], 200)

    def test_keys_come_from_a_file_too_and_wrong_settings_are_named(self):
        key = Key(self.dir, "k")
        file = pathlib.Path(self.dir, "keys.json")
        file.write_text(json.dumps({"keys": [key.jwk]}))
        a = self.start(JWT_KEYS=str(file))
        self.assertEqual(self.status(a, key.sign(claims())), 200)
        file.write_text("{}")
        for env, words in (({"JWT_KEYS": str(file)}, "JWT_KEYS"), ({"JWT_KEYS": "/nowhere"}, "/nowhere"),
                           ({"JWT_SECRET": "short"}, "JWT_SECRET"), ({"JWT_ISSUER": "", "JWT_KEYS": "x"}, "JWT_ISSUER"),
                           ({"JWT_SECRET": "x" * 32, "JWT_KEYS": "x"}, "exclude each other")):
            self.assertRaisesRegex(AssertionError, words, self.app, {**env, "AUTH": "required"} if "JWT_ISSUER" in env else
                                   {"AUTH": "required", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, **env})


if __name__ == "__main__":
    main()
