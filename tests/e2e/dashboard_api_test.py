#!/usr/bin/env python3
"""What the dashboard stands on: its files, how a browser signs in, and the history of releases."""
import gzip
import http.client
import json
import re
import time
import unittest
import urllib.parse

from harness import Platform, kill, main, request, wait_for

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.p = Platform(replicas=1)
        self.addCleanup(lambda: self.p.__exit__(None, None, None))
        self.p.up()
        self.port = int(self.p.status()["listeners"]["admin"].rsplit(":", 1)[1])

    def ask(self, method, path, token=None, body=None, **fields):
        """(status, document) of the admin listener."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, answer = request(self.port, method, path, body, {**headers, **fields})
        return status, json.loads(answer)

    def refused(self, status, code, method, path, token=None, body=None, **fields):
        got = self.ask(method, path, token, body, **fields)
        self.assertEqual((got[0], got[1].get("code")), (status, code), got)

    def code(self, *argv):
        """The code in the link that `headgate open` prints."""
        done = self.p.run("open", *argv)
        link = urllib.parse.urlsplit(done.stdout.strip())
        self.assertEqual((link.scheme, link.netloc, link.path, link.query),
                         ("http", f"127.0.0.1:{self.port}", "/", ""))
        self.assertIn("once, within five minutes", done.stderr)
        # Behind the "#": no browser sends it, no log has it.
        return re.fullmatch(r"/login\?code=(hgc_[0-9a-f]{32,})", link.fragment).group(1)

    def sign_in(self, *argv):
        status, session = self.ask("POST", "/v1/session", body={"code": self.code(*argv)})
        self.assertEqual(status, 201, session)
        return session

    def token(self, name, *argv):
        return json.loads(self.p.run("token", "create", name, "--json", *argv).stdout)["token"]

    def test_a_browser_gets_the_page_and_a_program_a_text(self):
        status, plain, body = request(self.port, headers=HTML)
        self.assertEqual((status, plain["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(plain["Content-Security-Policy"], POLICY)
        self.assertEqual(plain["Cache-Control"], "no-cache")
        for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                            ("Cross-Origin-Opener-Policy", "same-origin"),
                            ("Cross-Origin-Resource-Policy", "same-origin")):
            self.assertEqual(plain[name], value)
        self.assertIn("camera=()", plain["Permissions-Policy"])
        self.assertNotIn("Set-Cookie", plain)
        status, _, again = request(self.port, headers={**HTML, "If-None-Match": plain["ETag"]})
        self.assertEqual((status, again), (304, b""))

        for url in ["/", "/favicon.svg", *re.findall(r'"\.?(/assets/[^"]+)"', body.decode())]:
            _, headers, whole = request(self.port, path=url, headers=HTML)
            status, packed, small = request(self.port, path=url, headers={**HTML, "Accept-Encoding": "gzip"})
            self.assertEqual((status, headers.get("Content-Encoding")), (200, None), url)
            self.assertEqual(headers["Content-Security-Policy"], POLICY)
            if packed.get("Content-Encoding") == "gzip":  # the smallest files gain nothing
                small = gzip.decompress(small)
                self.assertNotEqual(packed["ETag"], headers["ETag"])
            self.assertEqual(small, whole, url)
            keeps = "public, max-age=31536000, immutable" if url.startswith("/assets/") else "no-cache"
            self.assertEqual((headers["Cache-Control"], packed["Cache-Control"]), (keeps, keeps))
            status, _, nothing = request(self.port, "HEAD", url, headers=HTML)
            self.assertEqual((status, nothing), (200, b""))

        status, headers, body = request(self.port)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
        self.assertIn(b"headgate open", body)
        self.refused(404, "HG1610", "GET", "/assets/none.js")
        self.refused(421, "HG1613", "GET", "/", Host="evil.example", **HTML)
        self.refused(421, "HG1613", "POST", "/v1/session", body={"code": "x"}, Host="evil.example")

    def test_a_link_signs_in_once_with_the_role_it_was_made_for(self):
        code = self.code("--role", "deployer")
        status, session = self.ask("POST", "/v1/session", body={"code": code})
        self.assertEqual((status, session["role"]), (201, "deployer"))
        self.refused(401, "HG1621", "POST", "/v1/session", body={"code": code})
        self.refused(401, "HG1621", "POST", "/v1/session", body={"code": "hgc_" + "0" * 64})
        status, me = self.ask("GET", "/v1/session", session["token"])
        self.assertEqual((me["name"], me["role"], me["expires_ms"], me["login"]),
                         (session["name"], "deployer", session["expires_ms"], True))
        self.assertEqual(self.ask("GET", "/v1/status", session["token"])[0], 200)
        self.refused(403, "HG1612", "GET", "/v1/config", session["token"])
        self.refused(403, "HG1612", "POST", "/v1/logins", session["token"], {"role": "admin"})
        self.refused(403, "HG1009", "POST", "/v1/session", body={"code": self.code()},
                     **{"Sec-Fetch-Site": "same-site"})  # a page of an app on another port of this machine
        # A phone, from the session in the browser; signing out there leaves the browser's.
        status, login = self.ask("POST", "/v1/logins", session["token"], {"role": "viewer"})
        phone = self.ask("POST", "/v1/session", body={"code": login["code"]})[1]["token"]
        self.refused(403, "HG1612", "POST", "/v1/apps/feedback/scale", phone, {"replicas": 2})
        self.assertEqual(self.ask("DELETE", "/v1/session", phone)[0], 200)
        self.refused(401, "HG1611", "GET", "/v1/status", phone)
        self.assertEqual(self.ask("GET", "/v1/status", session["token"])[0], 200)

        admin = self.sign_in()
        self.assertEqual(admin["role"], "admin")
        trail = self.ask("GET", "/v1/audit?limit=200", admin["token"])[1]["entries"]
        opened = next(e for e in trail if e["target"] == session["name"])
        self.assertRegex(opened["who"], r"^unix:\d+$")
        for secret in (code, session["token"], admin["token"], login["code"]):
            self.assertNotIn(secret, json.dumps(trail))
            self.assertNotIn(secret, self.p.platform_log())
            for path in self.p.data.glob("store/headgate.db*"):
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
        listed = self.p.run("token", "list").stdout
        self.assertRegex(listed, rf"(?m)^{session['name']} +deployer .* 20\d\d-\d\d-\d\d \d\d:\d\d$")
        self.p.run("token", "revoke", session["name"])
        self.refused(401, "HG1611", "GET", "/v1/status", session["token"])

    def test_a_token_ends_when_it_was_said_to_and_so_do_its_sessions(self):
        token = self.token("brief", "--expires", "6s")
        login = self.ask("POST", "/v1/logins", token, {})[1]
        session = self.ask("POST", "/v1/session", body={"code": login["code"]})[1]
        ends_ms = self.ask("GET", "/v1/session", token)[1]["expires_ms"]
        self.assertEqual(session["expires_ms"], ends_ms)
        waits = self.ask("POST", "/v1/logins", token, {})[1]["code"]
        for one in (token, session["token"]):
            wait_for(lambda one=one: self.ask("GET", "/v1/status", one)[0] == 401, 20)
            self.refused(401, "HG1620", "GET", "/v1/status", one)
        self.refused(401, "HG1621", "POST", "/v1/session", body={"code": waits})
        self.assertRegex(self.p.run("token", "list").stdout, r"(?m)^brief +viewer .* expired$")
        ever = self.token("ever")
        self.assertIsNone(self.ask("GET", "/v1/session", ever)[1]["expires_ms"])
        self.refused(409, "HG1623", "DELETE", "/v1/session", ever)
        for bad in ("soon", "0s", "2020-01-31", "30"):
            self.assertEqual(self.p.run("token", "create", "x", "--expires", bad, check=False).returncode, 2)

    def stream(self, path, token):
        """An open answer that never ends by itself, and its connection; the first bytes were read."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(c.close)
        c.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "text/event-stream"})
        answer = c.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.read1())
        return answer

    def until_over(self, answer):
        end = time.monotonic() + 20
        try:
            while answer.read1():
                self.assertLess(time.monotonic(), end, "the stream goes on")
        except http.client.IncompleteRead:
            pass  # what is not whole is cut

    def test_streams_end_with_their_token(self):
        brief, gone, kept = self.token("brief", "--expires", "8s"), self.token("gone"), self.token("kept")
        wait_for(lambda: self.p.run("logs", "--limit", "1").stdout)
        streams = [self.stream(path, token) for path in ("/v1/events", "/v1/live", "/v1/logs?follow=1")
                   for token in (brief, gone)]
        stays = self.stream("/v1/live", kept)
        self.p.run("token", "revoke", "gone")
        for answer in streams:
            self.until_over(answer)
        seen = stays.read1()
        self.assertTrue(seen, "the stream of another token ended as well")

    def test_a_session_outlives_control_and_a_code_does_not(self):
        session, code = self.sign_in(), self.code()
        was = self.p.pids("control")[0]
        kill(was)

        def back():
            try:
                return self.p.pids("control")[0] != was and self.ask("GET", "/v1/status", session["token"])[0] == 200
            except (OSError, AssertionError, IndexError, ValueError):
                return False
        wait_for(back, 30)
        self.refused(401, "HG1621", "POST", "/v1/session", body={"code": code})

    def test_wrong_codes_are_slowed_down_and_leave_few_lines(self):
        code = self.code()
        answers = [self.ask("POST", "/v1/session", body={"code": f"hgc_{i:064x}"})[0] for i in range(150)]
        self.assertEqual({401, 429}, set(answers))

        def signed_in():
            return self.ask("POST", "/v1/session", body={"code": code})[0] == 201
        wait_for(signed_in, 10)  # those that waited used nothing up
        trail = json.loads(self.p.run("token", "list", "--json").stdout)
        self.assertEqual(sum(t["login"] for t in trail["tokens"]), 1)
        admin = self.sign_in()["token"]
        lines = self.ask("GET", "/v1/audit?limit=1000", admin)[1]["entries"]
        self.assertLess(sum(e["who"] == "nobody" for e in lines), 80)

    def test_the_history_of_an_app_and_what_differs(self):
        p = self.p
        p.run("deploy", "feedback", "--version", "blue", "--env", "BANNER=s3cret", "--strategy", "recreate",
              timeout=120)
        eyes, admin = self.token("eyes"), self.token("all", "--role", "admin")
        status, seen = self.ask("GET", "/v1/apps/feedback/releases", eyes)
        self.assertEqual(status, 200, seen)
        new, old = seen["releases"]
        self.assertEqual((new["number"], new["version"], new["serving"], old["number"], old["serving"]),
                         (2, "blue", True, 1, False))
        self.assertEqual((seen["serving"], old["rollout"], old["quarantined_by"]), (2, None, None))
        self.assertEqual(self.ask("GET", f"/v1/rollouts/{new['rollout']}", eyes)[1]["new"]["release"], 2)
        page = self.ask("GET", "/v1/apps/feedback/releases?limit=1&before=2", eyes)[1]["releases"]
        self.assertEqual([r["number"] for r in page], [1])

        change = {"what": "env.BANNER", "change": "added", "old": None, "new": None, "hidden": True}
        status, diff = self.ask("GET", "/v1/apps/feedback/releases/1/diff/2", eyes)
        self.assertEqual((status, diff["changes"], diff["lines"]), (200, [change], ["+ env.BANNER"]))
        self.assertNotIn("s3cret", json.dumps(diff))
        diff = self.ask("GET", "/v1/apps/feedback/releases/1/diff/2", admin)[1]
        self.assertEqual(diff["lines"], ["+ env.BANNER: s3cret"])
        back = self.ask("GET", "/v1/apps/feedback/releases/2/diff/1", admin)[1]
        self.assertEqual((back["old"], back["new"], back["lines"]), (2, 1, ["- env.BANNER: s3cret"]))
        self.refused(404, "HG1005", "GET", "/v1/apps/feedback/releases/1/diff/9", eyes)
        self.refused(401, "HG1611", "GET", "/v1/apps/feedback/releases")


if __name__ == "__main__":
    main()
