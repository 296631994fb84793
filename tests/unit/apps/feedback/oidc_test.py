#!/usr/bin/env python3
"""Signing in to the Feedback App at a real OpenID Connect provider (npm's oidc-provider), end to end:
who comes back is known here, and what was not begun in this browser is refused."""
import http.client
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import ROOT, free_port, main, request, wait_for  # noqa: E402
from people_test import Client, PeopleCase  # noqa: E402

FOLDER = ROOT / "tests/oidc"
STATE = {}


class Provider:
    def __init__(self, redirect, port=None):
        self.port, self.redirect = port or free_port(), redirect
        self.child = subprocess.Popen(["node", "provider.mjs", str(self.port), redirect], cwd=FOLDER,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.child.stdout.readline() == "ready\n"
        self.issuer = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def login(self, url, name):
        """What a browser does there; the address it is sent back to."""
        cookies, body = {}, None
        for _ in range(12):
            u = urllib.parse.urlsplit(urllib.parse.urljoin(self.issuer, url))
            if u.port != self.port:
                return url
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            head = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
            if body:
                head["Content-Type"] = "application/x-www-form-urlencoded"
            c.request("POST" if body else "GET", u.path + (f"?{u.query}" if u.query else ""), body, head)
            r = c.getresponse()
            text = r.read().decode()
            for line in r.headers.get_all("Set-Cookie") or []:
                key, value = line.split(";")[0].split("=", 1)
                cookies[key] = value
            c.close()
            body = None
            if r.status in (302, 303):
                url = r.headers["Location"]
                continue
            if name == "nobody":
                return urllib.parse.urljoin(url, re.search(r'href="([^"]+/abort)"', text)[1])
            url = re.search(r'action="([^"]+)"', text)[1]
            body = urllib.parse.urlencode({"prompt": "login", "login": name, "password": "x"})
        raise AssertionError("the provider goes round in circles")


def setUpModule():
    if not (FOLDER / "node_modules/.package-lock.json").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=FOLDER, check=True)
    STATE["port"] = free_port()
    STATE["provider"] = Provider(f"http://localhost:{STATE['port']}/auth/oidc/callback")


def tearDownModule():
    STATE["provider"].stop()


class Oidc(PeopleCase):
    def start(self, **env):
        self.provider = STATE["provider"]
        self.env.update(OIDC_ISSUER=self.provider.issuer, OIDC_CLIENT_ID="feedback", OIDC_NAME="The company",
                        OIDC_CLIENT_SECRET="a secret with / and :", OIDC_REDIRECT=self.provider.redirect)
        a = super().start(**env)
        wait_for(lambda: "unreachable" not in self.begin(a)[1], 20)
        return a

    def begin(self, app):
        """A browser, and where it is sent to."""
        c = Client(app)
        self.assertEqual(c.call("GET", "/auth/oidc/start")[0], 303)
        return c, c.answer["Location"]

    def come_back(self, c, url, **change):
        u = urllib.parse.urlsplit(url)
        query = {**dict(urllib.parse.parse_qsl(u.query)), **change}
        query = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
        status, _ = c.call("GET", f"{u.path}?{query}")
        self.assertEqual(status, 303)
        return c.answer["Location"]

    def whole(self, app, name):
        c, url = self.begin(app)
        return c, self.come_back(c, self.provider.login(url, name))

    def who(self, c):
        return c.call("GET", "/auth/session")[1]

    def test_who_comes_back_is_signed_in_with_the_providers_role(self):
        a = self.start()
        c, url = self.begin(a)
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        self.assertEqual((asked["code_challenge_method"], asked["response_type"]), ("S256", "code"))
        self.assertEqual(len({asked["state"], asked["nonce"], asked["code_challenge"]}), 3)
        self.assertIn("HttpOnly", c.set_cookie[0])
        self.assertEqual(self.who(c)["providers"], [{"name": "The company", "start": "/auth/oidc/start"}])
        self.assertEqual(self.come_back(c, self.provider.login(url, "ann")), "/")
        self.assertNotIn("oidc", c.cookies)
        me = self.who(c)
        self.assertEqual((me["user"]["email"], me["roles"]), ("ann@example.org", ["user"]))
        c.csrf = me["csrf"]
        self.assertEqual(c.call("POST", "/feedback", {"message": "of Ann"})[0], 201)
        again, _ = self.whole(a, "ann")
        self.assertEqual(self.who(again)["user"]["id"], me["user"]["id"])
        self.assertNotEqual(again.session, c.session)
        for name, role in (("root", "admin"), ("guest", "guest"), ("plain", "user")):
            c, home = self.whole(a, name)
            self.assertEqual((home, self.who(c)["roles"]), ("/", [role]), name)
        actions = [(e["action"], e["detail"]) for e in self.audit(a)]
        self.assertEqual(actions.count(("login", "oidc")), 5)
        # she has no password here, so no word is hers
        self.assertEqual(Client(a).login("ann@example.org", "")[0], 400)
        self.assertEqual(Client(a).login("ann@example.org", "any password")[0], 401)
        for secret in ("a secret with", "code=", asked["state"], c.session):
            self.assertNotIn(secret, a.log.read_text())

    def test_an_account_that_is_there_already_is_joined_by_a_verified_address_alone(self):
        a = self.start()
        self.user("ann@example.org", "admin")
        c, home = self.whole(a, "liar")  # says ann's address, which nobody has verified
        self.assertEqual((home, self.who(c)["user"]), ("/?sign_in=refused", None))
        c, home = self.whole(a, "ann")
        me = self.who(c)
        self.assertEqual((me["user"]["email"], me["roles"]), ("ann@example.org", ["user"]))
        self.assertEqual(self.rows_of("SELECT count(*) FROM users"), [["1"]])
        self.user("ann@example.org", None, "disable")
        self.assertEqual(self.whole(a, "ann")[1], "/?sign_in=refused")

    def test_what_was_not_begun_in_this_browser_is_refused(self):
        a = self.start()
        mine, url = self.begin(a)
        back = self.provider.login(url, "ann")
        for c, change, word in ((Client(a), {}, "expired"), (self.begin(a)[0], {}, "failed"),
                                (mine, {"state": "x"}, "failed")):
            self.assertEqual(self.come_back(c, back, **change), f"/?sign_in={word}")
            self.assertIsNone(self.who(c)["user"])
        for change, word in (({"state": None}, "failed"), ({"iss": "https://evil.example"}, "failed"),
                             ({"iss": None}, "failed"), ({"code": None}, "failed"), ({"code": "x"}, "failed"),
                             ({"error": "access_denied", "code": None}, "denied")):
            c, url = self.begin(a)
            self.assertEqual(self.come_back(c, self.provider.login(url, "ann"), **change), f"/?sign_in={word}", change)
            self.assertIsNone(self.who(c)["user"])
        # a code of another sign-in, with this one's state: the verifier and the nonce are not its
        one, url = self.begin(a)
        other, other_url = self.begin(a)
        stolen = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.provider.login(other_url, "root")).query))["code"]
        self.assertEqual(self.come_back(one, self.provider.login(url, "ann"), code=stolen), "/?sign_in=failed")
        # the same code twice
        c, url = self.begin(a)
        back, cookies = self.provider.login(url, "ann"), dict(c.cookies)
        self.assertEqual(self.come_back(c, back), "/")
        c.cookies = cookies
        self.assertEqual(self.come_back(c, back), "/?sign_in=failed")
        # a session from before does not become hers
        c = Client(a)
        c.cookies["session"] = "A" * 43
        self.assertEqual(c.call("GET", "/auth/oidc/start")[0], 303)
        self.assertEqual(self.come_back(c, self.provider.login(c.answer["Location"], "ann")), "/")
        self.assertNotEqual(c.session, "A" * 43)
        # a cookie that was made up
        c, url = self.begin(a)
        c.cookies["oidc"] = "B" * 43
        self.assertEqual(self.come_back(c, self.provider.login(url, "ann")), "/?sign_in=expired")

    def test_another_process_ends_what_one_has_begun(self):
        a = self.start()
        b = self.start()
        c, url = self.begin(a)
        c.app = b
        self.assertEqual(self.come_back(c, self.provider.login(url, "ann")), "/")
        self.assertEqual(self.who(c)["user"]["email"], "ann@example.org")

    def test_a_provider_that_is_away_is_asked_again_and_nothing_else_waits(self):
        provider = STATE["provider"]
        port = free_port()
        self.env.update(OIDC_ISSUER=f"http://127.0.0.1:{port}", OIDC_CLIENT_ID="feedback",
                        OIDC_CLIENT_SECRET="a secret with / and :", OIDC_REDIRECT=provider.redirect)
        a = PeopleCase.start(self)
        self.assertEqual(self.begin(a)[1], "/?sign_in=unreachable")
        self.assertEqual(request(a.port, "GET", "/health")[0], 200)
        late = Provider(provider.redirect, port)
        self.addCleanup(late.stop)
        wait_for(lambda: self.begin(a)[1].startswith(late.issuer), 20, 0.2)
        c, url = self.begin(a)
        self.assertEqual(self.come_back(c, late.login(url, "ann")), "/")
        for env, words in (({"OIDC_ISSUER": "http://id.example.org"}, "must be https"),
                           ({"OIDC_REDIRECT": ""}, "OIDC_REDIRECT")):
            self.assertRaisesRegex(AssertionError, words, self.app, env)


if __name__ == "__main__":
    os.environ.setdefault("NODE_NO_WARNINGS", "1")
    main()
