#!/usr/bin/env python3
"""People in the Feedback App as its clients meet it: signing in, sessions, roles and ownership, the
second factor, API keys, the audit log; and what attackers try. Real program, both engines."""
import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import re
import sqlite3
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
import api_test  # noqa: E402
import postgres_test  # noqa: E402
from harness import BUILD, main, request, wait_for  # noqa: E402

OPERATOR = "operator-key-0123456789"
SECRET = "correct horse battery"
setUpModule, tearDownModule = postgres_test.setUpModule, postgres_test.tearDownModule


def totp(secret, step):
    mac = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6:06}"


class Client:
    """A browser: cookies, and the token that goes with them."""

    def __init__(self, app, host="localhost", **headers):
        self.app, self.cookies, self.csrf = app, {}, None
        self.headers = {"Host": host, **headers}

    def call(self, method, path, body=None, headers=None):
        h = dict(self.headers)
        if self.cookies:
            h["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if self.csrf and method != "GET":
            h["X-CSRF-Token"] = self.csrf
        h.update(headers or {})
        c = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=20)
        try:
            if body is not None:
                h["Content-Type"] = "application/json"
            c.request(method, path, json.dumps(body) if body is not None else None, h)
            r = c.getresponse()
            data = r.read()
            self.set_cookie = r.headers.get_all("Set-Cookie") or []
            self.answer = r.headers
        finally:
            c.close()
        for line in self.set_cookie:
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return r.status, json.loads(data) if data else None

    def login(self, email, password=SECRET, **more):
        status, body = self.call("POST", "/auth/login", {"email": email, "password": password, **more})
        if status == 200:
            self.csrf = body["csrf"]
        return status, body

    @property
    def session(self):
        return self.cookies.get("session") or self.cookies.get("__Host-session")


class PeopleCase(api_test.Case):
    mode = "optional"

    def make_database(self):
        self.env = {"DATABASE_URL": f"sqlite:{self.dir}/feedback.db"}

    def start(self, **env):
        self.env.update({"AUTH": self.mode, "ADMIN_KEY": OPERATOR})
        return self.app(env)

    def user(self, email, role="user", *action, password=SECRET):
        argv = [BUILD / "feedback-app", "user", *(action or ("add",)), email]
        if not action:
            argv += ["--role", role]
        done = subprocess.run(argv, input=password + "\n", capture_output=True, text=True, timeout=60, cwd=self.dir,
                              env={"PATH": "/usr/bin:/bin", **self.env})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def signed_in(self, app, email, role="user"):
        self.user(email, role)
        c = Client(app)
        self.assertEqual(c.login(email)[0], 200)
        return c

    def operator(self, app):
        return Client(app, Authorization=f"Bearer {OPERATOR}")

    def rows_of(self, sql):
        with sqlite3.connect(f"{self.dir}/feedback.db") as db:
            return [[str(v) for v in row] for row in db.execute(sql)]

    def run_sql(self, sql):
        with sqlite3.connect(f"{self.dir}/feedback.db") as db:
            db.execute(sql)

    def audit(self, app):
        status, body = self.operator(app).call("GET", "/admin/audit?limit=1000")
        self.assertEqual(status, 200)
        return body["entries"]


class People(PeopleCase):
    """On a file; OnServer has the same on PostgreSQL."""

    def test_guests_read_users_write_their_own_and_admins_all(self):
        a = self.start()
        guest, ann, bob, root = (Client(a), self.signed_in(a, "ann@example.org"), self.signed_in(a, "bob@example.org"),
                                 self.signed_in(a, "root@example.org", "admin"))
        status, body = guest.call("POST", "/feedback", {"message": "x"})
        self.assertEqual((status, body), (401, {"error": "Unauthorized"}))
        self.assertIn("Bearer", guest.answer["WWW-Authenticate"])
        status, made = ann.call("POST", "/feedback", {"message": "of Ann", "owner": 1, "id": 77})
        self.assertEqual((status, sorted(made)), (201, ["created_at", "id", "message", "updated_at"]))
        path = f"/feedback/{made['id']}"
        self.assertNotEqual(made["id"], 77)
        for c in (guest, ann, bob, root):
            self.assertEqual(c.call("GET", path), (200, made))
            self.assertEqual(c.call("GET", "/feedback"), (200, [made]))
        for method, more in (("PUT", {"message": "of Bob", "owner": 2}), ("DELETE", None)):
            self.assertEqual(bob.call(method, path, more), (403, {"error": "Forbidden", "reason": "it is not yours"}))
            self.assertEqual(guest.call(method, path, more)[0], 401)
            self.assertEqual(bob.call(method, "/feedback/999", more)[0], 404)
        self.assertEqual(ann.call("PUT", path, {"message": "changed"})[0], 200)
        self.assertEqual(root.call("PUT", path, {"message": "by root"})[0], 200)
        self.assertEqual(ann.call("PUT", path, {"message": "still hers"})[0], 200)
        self.assertEqual(ann.call("DELETE", path)[0], 200)
        old = self.operator(a).call("POST", "/feedback", {"message": "nobody's"})[1]
        self.assertEqual(self.rows_of("SELECT count(*) FROM feedback WHERE owner IS NULL"), [["1"]])
        self.assertEqual(ann.call("PUT", f"/feedback/{old['id']}", {"message": "x"})[0], 403)
        self.assertEqual(root.call("PUT", f"/feedback/{old['id']}", {"message": "x"})[0], 200)
        self.assertEqual(ann.call("GET", "/admin/users")[0], 403)
        self.assertEqual(guest.call("GET", "/admin/users")[0], 401)
        self.assertEqual(root.call("GET", "/admin/users")[0], 200)

    def test_a_page_is_told_what_is_ones_own_beside_the_lists(self):
        a = self.start()
        ann, bob = self.signed_in(a, "ann@example.org"), self.signed_in(a, "bob@example.org")
        ids = [c.call("POST", "/feedback", {"message": f"{n}"})[1]["id"]
               for n, c in enumerate((ann, bob, ann, ann, bob, ann))]
        mine = [ids[n] for n in (5, 3, 2, 0)]
        self.assertEqual(ann.call("GET", "/auth/own"), (200, {"ids": mine, "next": None}))
        self.assertEqual(ann.call("GET", "/auth/own?limit=4"), (200, {"ids": mine, "next": None}))
        self.assertEqual(ann.call("GET", "/auth/own?limit=2"), (200, {"ids": mine[:2], "next": mine[1]}))
        self.assertEqual(ann.call("GET", f"/auth/own?limit=2&before={mine[1]}"), (200, {"ids": mine[2:], "next": None}))
        self.assertEqual(ann.answer["Cache-Control"], "no-store")
        self.assertEqual(Client(a).call("GET", "/auth/own")[0], 401)
        self.assertEqual(ann.call("GET", "/auth/own?limit=1001")[0], 400)

    def test_lists_can_be_searched_and_be_of_ones_own(self):
        a = self.start()
        ann, guest = self.signed_in(a, "ann@example.org"), Client(a)
        texts = ["Search is slow", "100% of it", "under_score", "back\\slash", "SEARCH, again", "Straße 日本", "search me"]
        made = [(ann if n % 2 else self.operator(a)).call("POST", "/feedback", {"message": text})[1]
                for n, text in enumerate(texts)]

        def find(query, who=guest):
            status, got = who.call("GET", "/feedback?" + query)
            self.assertEqual(status, 200, got)
            for item in got:
                self.assertIn(item, made)  # the same bytes as ever
            return [item["message"] for item in got]
        self.assertEqual(find("q=search"), ["search me", "SEARCH, again", "Search is slow"])
        self.assertEqual(find("q=%20search%20&limit=2"), ["search me", "SEARCH, again"])
        follow = guest.answer["Link"]
        self.assertRegex(follow, r'^</feedback\?limit=2&before=\d+&q=search>; rel="next"$')
        self.assertEqual(find(follow.split(">")[0].split("?")[1]), ["Search is slow"])
        self.assertIsNone(guest.answer["Link"])
        self.assertIsNone(guest.answer["X-Total-Count"])
        for q, want in (("%25", texts[1]), ("_", texts[2]), ("%5C", texts[3]), ("%E6%97%A5", texts[5]), ("stra%C3%9Fe", texts[5])):
            self.assertEqual(find("q=" + q), [want], q)
        for q in ("%25%25", "'", "%27%20OR%201=1--", "zzz"):
            self.assertEqual(find("q=" + q), [], q)
        self.assertEqual(find("mine=1", ann), [texts[5], texts[3], texts[1]])
        self.assertEqual(find("mine=1&q=S", ann), [texts[5], texts[3]])
        self.assertIn("Cookie", ann.answer["Vary"] + str(ann.answer.get_all("Vary")))
        self.assertEqual(len(find("q=")), len(texts))
        for bad in ("q=" + "x" * 101, "q=" + "x" * 5000, "q=%FF", "mine=2", "mine=", "mine=1", "q=x&limit=0"):
            self.assertEqual(guest.call("GET", "/feedback?" + bad)[0], 400, bad)
        # a rare word costs a window at a time, whatever there is
        self.run_sql("INSERT INTO feedback (id, message, created_at, updated_at) VALUES "
                     "(45000, 'far on', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')")
        query, seen = "q=slow", []
        for windows in range(1, 9):
            status, got = guest.call("GET", "/feedback?" + query)
            seen += [item["message"] for item in got]
            if not guest.answer["Link"]:
                break
            query = guest.answer["Link"].split(">")[0].split("?")[1]
        self.assertEqual((seen, windows), (["Search is slow"], 3))

    def test_the_same_key_of_two_people_makes_two_rows(self):
        a = self.start()
        ann, bob = self.signed_in(a, "ann@example.org"), self.signed_in(a, "bob@example.org")
        key = {"Idempotency-Key": "k" * 128}
        one = ann.call("POST", "/feedback", {"message": "same"}, headers=key)
        self.assertEqual(one[0], 201)
        self.assertEqual(ann.call("POST", "/feedback", {"message": "same"}, headers=key), one)
        other = bob.call("POST", "/feedback", {"message": "same"}, headers=key)
        self.assertEqual(other[0], 201)
        self.assertNotEqual(other[1]["id"], one[1]["id"])

    # ---- sessions

    def test_a_session_is_new_at_each_sign_in_and_over_at_the_end(self):
        a = self.start()
        self.user("ann@example.org")
        c = Client(a)
        c.cookies["session"] = "A" * 43  # fixed by somebody else
        self.assertEqual(c.call("GET", "/auth/session")[1]["user"], None)
        status, body = c.login(" Ann@Example.ORG ")
        self.assertEqual(status, 200)
        self.assertEqual(body["user"]["email"], "ann@example.org")
        self.assertEqual(body["roles"], ["user"])
        self.assertIn("feedback:create", body["permissions"])
        self.assertEqual(c.call("GET", "/auth/session")[1], body)
        first = c.session
        self.assertNotEqual(first, "A" * 43)
        self.assertEqual(c.login("ann@example.org")[0], 200)
        self.assertNotEqual(c.session, first)
        old = Client(a)
        old.cookies["session"] = first
        self.assertIsNone(old.call("GET", "/auth/session")[1]["user"])
        again = Client(a)
        again.cookies = dict(c.cookies)
        self.assertEqual(c.call("POST", "/auth/logout")[0], 204)
        self.assertIsNone(c.session)
        self.assertIsNone(again.call("GET", "/auth/session")[1]["user"])

    def test_cookies_are_out_of_reach_of_scripts_and_of_plain_connections(self):
        a = self.start()
        self.user("ann@example.org")
        c = Client(a)
        c.login("ann@example.org")
        line = next(x for x in c.set_cookie if x.startswith("session="))
        for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
            self.assertIn(word, line)
        self.assertNotIn("Secure", line)
        safe = Client(a, host="app.example.org", **{"X-Forwarded-Proto": "https"})
        self.assertEqual(safe.login("ann@example.org")[0], 200)
        for line in safe.set_cookie:
            self.assertTrue(line.startswith("__Host-"), line)
            self.assertIn("Secure", line)
            self.assertNotIn("Domain", line)
        self.assertEqual(safe.call("GET", "/auth/session")[1]["user"]["email"], "ann@example.org")
        # one kind is not taken for the other
        mixed = Client(a, host="app.example.org", **{"X-Forwarded-Proto": "https"})
        mixed.cookies["session"] = c.session
        self.assertIsNone(mixed.call("GET", "/auth/session")[1]["user"])
        plain = Client(a, host="app.example.org")
        self.assertEqual(plain.login("ann@example.org")[0], 403)

    def test_sessions_end_by_age_by_idleness_and_everywhere(self):
        a = self.start(SESSION_IDLE="600", SESSION_MAX="3600")
        c = self.signed_in(a, "ann@example.org")
        b = self.start(SESSION_IDLE="600", SESSION_MAX="3600")  # has looked nothing up yet
        there = Client(b)
        there.cookies = dict(c.cookies)
        self.run_sql("UPDATE sessions SET seen_at = seen_at - 700000")
        self.assertIsNone(there.call("GET", "/auth/session")[1]["user"])
        self.assertEqual(self.rows_of("SELECT count(*) FROM sessions"), [["0"]])
        c = Client(a)
        self.assertEqual(c.login("ann@example.org")[0], 200)
        self.run_sql("UPDATE sessions SET created_at = created_at - 3700000")
        there.cookies = dict(c.cookies)
        self.assertIsNone(there.call("GET", "/auth/session")[1]["user"])
        one, two = Client(a), Client(a)
        one.login("ann@example.org")
        two.login("ann@example.org")
        self.assertEqual(one.call("POST", "/auth/logout", {"everywhere": True})[0], 204)
        self.assertIsNone(two.call("GET", "/auth/session")[1]["user"])

    def test_another_process_knows_of_the_end_within_its_bound(self):
        a, b = self.start(), self.start()
        c = self.signed_in(a, "ann@example.org")
        there = Client(b)
        there.cookies, there.csrf = dict(c.cookies), c.csrf
        self.assertEqual(there.call("POST", "/feedback", {"message": "x"})[0], 201)
        start = time.monotonic()
        self.assertEqual(c.call("POST", "/auth/logout")[0], 204)
        self.assertEqual(c.call("POST", "/feedback", {"message": "x"})[0], 401)  # here at once
        wait_for(lambda: there.call("POST", "/feedback", {"message": "x"})[0] == 401, 7, 0.1)
        self.assertLess(time.monotonic() - start, 6)

    def test_a_request_with_a_session_does_not_ask_the_database_each_time(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        c.call("GET", "/feedback")
        self.run_sql("DELETE FROM sessions")
        for _ in range(5):
            self.assertEqual(c.call("POST", "/feedback", {"message": "x"})[0], 201)
        self.assertIn(b"\nsessions_cached 1\n", request(a.port, "GET", "/metrics")[2])

    def test_forged_requests_are_refused(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        token, c.csrf = c.csrf, None
        made = {"message": "forged"}
        cases = [({}, "X-CSRF-Token"), ({"X-CSRF-Token": "0" * 32}, "X-CSRF-Token"), ({"X-CSRF-Token": ""}, "CSRF"),
                 ({"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"}, "another site"),
                 ({"X-CSRF-Token": token, "Sec-Fetch-Site": "same-site"}, "another site"),
                 ({"X-CSRF-Token": token, "Origin": "https://evil.example"}, "another origin"),
                 ({"X-CSRF-Token": token, "Origin": "null"}, "another origin")]
        for headers, why in cases:
            status, body = c.call("POST", "/feedback", made, headers=headers)
            self.assertEqual((status, body["error"]), (403, "Forbidden"), headers)
            self.assertIn(why, body["reason"])
        self.assertEqual(c.call("GET", "/feedback")[1], [])
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}, {}):
            self.assertEqual(c.call("POST", "/feedback", made, headers={"X-CSRF-Token": token, **headers})[0], 201)
        # signing somebody in as somebody else is a forgery as well
        fresh = Client(a, **{"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(fresh.login("ann@example.org")[0], 403)
        # who shows a key needs no token
        self.assertEqual(self.operator(a).call("POST", "/feedback", made, headers={
            "Origin": "https://evil.example"})[0], 201)

    # ---- passwords

    def test_unknown_people_and_wrong_passwords_look_the_same(self):
        a = self.start()
        self.user("ann@example.org")
        times = {}
        for email in ("ann@example.org", "nobody@example.org"):
            times[email] = []
            for _ in range(4):
                start = time.monotonic()
                got = Client(a).login(email, "wrong wrong wrong")
                times[email].append(time.monotonic() - start)
                self.assertEqual(got, (401, {"error": "E-mail address or password is wrong"}))
        known, unknown = min(times["ann@example.org"]), min(times["nobody@example.org"])
        self.assertLess(abs(known - unknown), 0.75 * max(known, unknown), times)
        self.user("ann@example.org", None, "disable")
        self.assertEqual(Client(a).login("ann@example.org")[0], 401)

    def test_guessing_gets_slower_and_does_not_lock_the_owner_out(self):
        a = self.start()
        self.user("ann@example.org")
        owner = Client(a)
        self.assertEqual(owner.login("ann@example.org")[0], 200)
        owner.call("POST", "/auth/logout")
        # What is free comes at once; then each try doubles the wait, which a slow machine outlasts at first.
        codes = []
        while 429 not in codes and len(codes) < 16:
            thief = Client(a, **{"X-Forwarded-For": f"203.0.113.{len(codes)}"})  # of a crowd
            codes.append(thief.login("ann@example.org", f"guess number {len(codes)}")[0])
        self.assertEqual((codes[:5], codes[5:]), ([401] * 5, [401] * (len(codes) - 6) + [429]))
        self.assertGreaterEqual(int(thief.answer["Retry-After"]), 1)
        # After ten more it is a quarter of an hour, longer than any machine takes for what follows.
        self.run_sql("UPDATE login_attempts SET failures = failures + 10 WHERE key = 'account:ann@example.org'")
        for i in range(2):
            crowd = Client(a, **{"X-Forwarded-For": f"203.0.113.{50 + i}"})
            self.assertEqual(crowd.login("ann@example.org", f"more guesses {i}")[0], 429)
            self.assertGreater(int(crowd.answer["Retry-After"]), 600)
        # even with the right password: no guess tells anything
        self.assertEqual(Client(a, **{"X-Forwarded-For": "203.0.113.99"}).login("ann@example.org")[0], 429)
        # but a browser she has signed in from before is not the crowd's
        owner.csrf = None
        self.assertEqual(owner.login("ann@example.org")[0], 200)
        # a second process counts on
        b = self.start()
        self.assertEqual(Client(b, **{"X-Forwarded-For": "203.0.113.98"}).login("ann@example.org")[0], 429)
        self.assertIn(b'sign_ins_total{outcome="throttled"} 4', request(a.port, "GET", "/metrics")[2])

    def test_one_address_cannot_try_all_accounts(self):
        a = self.start()
        codes = [Client(a, **{"X-Forwarded-For": "10.0.0.9, 2001:db8:1:2::%x" % i}).login(
            f"u{i}@example.org", "123 123 123 123")[0] for i in range(34)]
        self.assertEqual(codes[:30], [401] * 30)
        self.assertIn(429, codes[30:])

    def test_a_flood_of_sign_ins_is_bounded_and_the_app_answers_meanwhile(self):
        a = self.start()
        codes = []

        def try_one(i):
            codes.append(Client(a, **{"X-Forwarded-For": f"198.51.100.{i}"}).login(f"f{i}@example.org", "x" * 20)[0])
        threads = [threading.Thread(target=try_one, args=(i,)) for i in range(90)]
        for t in threads:
            t.start()
        slowest, most = 0, 0
        while any(t.is_alive() for t in threads):
            start = time.monotonic()
            self.assertEqual(request(a.port, "GET", "/feedback")[0], 200)
            slowest = max(slowest, time.monotonic() - start)
            rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{a.child.pid}/status").read_text())[1])
            most = max(most, rss)
        self.assertLessEqual(set(codes), {401, 503})
        self.assertIn(401, codes)
        print(f"# {codes.count(401)} checked, {codes.count(503)} told to come again; slowest other answer "
              f"{slowest * 1e3:.0f} ms, {most / 1024:.0f} MiB at most", flush=True)
        if "asan" not in str(BUILD):
            self.assertLess(most, 100 << 10)
        self.assertLess(slowest, 2)

    def test_bad_sign_ins_are_clear_4xx(self):
        a = self.start()
        c = Client(a)
        for body, words in (({}, "email and password"), ({"email": "a@b", "password": 5}, "must be texts"),
                            ({"email": "nobody", "password": "x"}, "not an e-mail"),
                            ({"email": "a@b", "password": "x", "role": "admin"}, "not known here"),
                            ({"email": "a@b", "password": "x" * 257}, "too long"),
                            ({"email": "a@b\u0000", "password": "x"}, "must be texts"), ([], "object")):
            status, answer = c.call("POST", "/auth/login", body)
            self.assertEqual(status, 400, body)
            self.assertIn(words, answer["error"])
        self.assertEqual(c.call("GET", "/auth/login")[0], 405)
        self.assertEqual(c.answer["Allow"], "POST")
        self.assertEqual(c.call("GET", "/auth/nothing")[0], 404)
        self.assertEqual(c.call("POST", "/auth/logout")[0], 401)
        self.assertIn("no-store", c.answer["Cache-Control"])
        self.assertNotIn("Access-Control-Allow-Origin", c.answer)

    def test_registering_is_by_choice_and_makes_users_alone(self):
        closed = self.start()
        who = {"email": "new@example.org", "password": SECRET}
        self.assertEqual(Client(closed).call("POST", "/auth/register", who)[0], 403)
        a = self.start(REGISTER="open")
        c = Client(a)
        for extra in ({"role": "admin"}, {"roles": ["admin"]}, {"id": 1}, {"disabled": False}):
            self.assertEqual(c.call("POST", "/auth/register", {**who, **extra})[0], 400)
        for weak in ("short", "password12", "aaaaaaaaaaaa", "new@example.org", "1234567890"):
            self.assertEqual(c.call("POST", "/auth/register", {**who, "password": weak})[0], 400, weak)
        status, body = c.call("POST", "/auth/register", who)
        self.assertEqual((status, body["roles"]), (201, ["user"]))
        c.csrf = body["csrf"]
        self.assertEqual(c.call("POST", "/feedback", {"message": "mine"})[0], 201)
        self.assertEqual(Client(a).call("POST", "/auth/register", who)[0], 409)
        self.assertEqual(self.rows_of("SELECT email, role FROM users"), [["new@example.org", "user"]])

    def test_a_new_password_ends_all_other_sessions(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        other = Client(a)
        other.login("ann@example.org")
        status, body = c.call("POST", "/auth/password", {"password": "another long one"})
        self.assertEqual(status, 200)
        c.csrf = body["csrf"]
        self.assertIsNone(other.call("GET", "/auth/session")[1]["user"])
        self.assertEqual(c.call("GET", "/auth/session")[1]["user"]["email"], "ann@example.org")
        self.assertEqual(Client(a).login("ann@example.org")[0], 401)
        self.assertEqual(Client(a).login("ann@example.org", "another long one")[0], 200)
        # what changes how to sign in needs a sign-in that is not old
        self.run_sql("UPDATE sessions SET created_at = created_at - 1000000")
        b = self.start()
        there = Client(b)
        there.cookies, there.csrf = dict(c.cookies), c.csrf
        status, body = there.call("POST", "/auth/password", {"password": "yet another one"})
        self.assertEqual(status, 403)
        self.assertIn("sign in again", body["reason"])

    # ---- administration

    def test_administrators_change_people_but_not_themselves(self):
        a = self.start()
        root, ann = self.signed_in(a, "root@example.org", "admin"), self.signed_in(a, "ann@example.org")
        people = root.call("GET", "/admin/users")[1]
        self.assertEqual([p["email"] for p in people], ["ann@example.org", "root@example.org"])
        self.assertEqual(sorted(people[0]), ["created_at", "disabled", "email", "id", "role", "totp"])
        ids = {p["email"]: p["id"] for p in people}
        hers, his = f"/admin/users/{ids['ann@example.org']}", f"/admin/users/{ids['root@example.org']}"
        for body in ({}, {"role": "root"}, {"disabled": "yes"}, {"id": 5}, {"totp": True}, {"email": "x@y"}):
            self.assertEqual(root.call("PUT", hers, body)[0], 400, body)
        self.assertEqual(root.call("PUT", his, {"role": "user"})[0], 409)
        self.assertEqual(root.call("PUT", his, {"disabled": True})[0], 409)
        self.assertEqual(root.call("PUT", "/admin/users/999", {"role": "user"})[0], 404)
        self.assertEqual(ann.call("PUT", hers, {"role": "admin"})[0], 403)
        status, body = root.call("PUT", hers, {"role": "guest"})
        self.assertEqual((status, body["role"]), (200, "guest"))
        # at once, in this process: her session is over, and the next one may less
        self.assertEqual(ann.call("POST", "/feedback", {"message": "x"})[0], 401)
        ann.csrf = None
        self.assertEqual(ann.login("ann@example.org")[0], 200)
        self.assertEqual(ann.call("POST", "/feedback", {"message": "x"}), (403, {"error": "Forbidden"}))
        self.assertEqual(root.call("PUT", hers, {"disabled": True})[0], 200)
        self.assertEqual(Client(a).login("ann@example.org")[0], 401)
        self.assertEqual(root.call("PUT", hers, {"disabled": False, "password": "given by root"})[0], 200)
        self.assertEqual(Client(a).login("ann@example.org", "given by root")[0], 200)
        made = root.call("POST", "/admin/users", {"email": "c@example.org", "role": "admin", "password": SECRET})
        self.assertEqual((made[0], made[1]["role"]), (201, "admin"))
        self.assertEqual(Client(a).login("c@example.org")[0], 200)

    def test_the_command_line_makes_the_first_administrator_and_helps(self):
        self.env.update({"AUTH": "required"})
        self.assertIn("root@example.org is admin now", self.user("Root@example.org", "admin"))
        self.assertRegex(self.user("", None, "list", password=""), r"(?m)^\s+1  root@example.org +admin$")
        a = self.start()
        for action, words in (("disable", "disable"), ("enable", "enable"), ("totp-off", "totp-off")):
            self.assertIn(words, self.user("root@example.org", None, action))
        self.user("root@example.org", None, "password", password="by command line")
        self.assertEqual(Client(a).login("root@example.org", "by command line")[0], 200)
        argv = [BUILD / "feedback-app", "user"]
        env = {"PATH": "/usr/bin:/bin", **self.env}
        for more, words in ((["add", "root@example.org"], "already"), (["add", "x"], "not an e-mail"),
                            (["role", "nobody@example.org", "user"], "no user"), (["fly", "x@y"], "user add"),
                            (["add", "x@y", "--role", "king"], "admin, user or guest"), ([], "user add")):
            done = subprocess.run([*argv, *more], input=SECRET + "\n", capture_output=True, text=True, timeout=30,
                                  cwd=self.dir, env=env)
            self.assertNotEqual(done.returncode, 0, more)
            self.assertIn(words, done.stderr)
        names = {(e["action"], e["name"][:12]) for e in self.audit(a)}
        self.assertIn(("user.add", "command line"), names)

    # ---- the second factor

    def enroll(self, c):
        status, body = c.call("POST", "/auth/totp/enroll")
        self.assertEqual(status, 200)
        self.assertIn(f"secret={body['secret']}", body["uri"])
        step = int(time.time()) // 30
        status, codes = c.call("POST", "/auth/totp/confirm", {"code": totp(body["secret"], step - 1)})
        self.assertEqual(status, 200)
        self.assertEqual(len(set(codes["recovery_codes"])), 10)
        return body["secret"], step, codes["recovery_codes"]

    def test_a_second_factor_is_asked_for_and_each_code_counts_once(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        self.assertEqual(c.call("POST", "/auth/totp/confirm", {"code": "123456"})[0], 400)
        secret, step, recovery = self.enroll(c)
        self.assertTrue(c.call("GET", "/auth/session")[1]["user"]["totp"])
        d = Client(a)
        self.assertEqual(d.login("ann@example.org"), (401, {"error": "A code is needed", "totp_required": True}))
        self.assertIsNone(d.session)
        self.assertEqual(d.login("ann@example.org", code=totp(secret, step + 9))[0], 401)
        # the one that confirmed is used up, the next is good, once
        self.assertEqual(d.login("ann@example.org", code=totp(secret, step - 1))[0], 401)
        code = totp(secret, step)
        self.assertEqual(d.login("ann@example.org", code=code)[0], 200)
        self.assertEqual(Client(a).login("ann@example.org", code=code)[0], 401)
        self.assertEqual(Client(a).login("ann@example.org", "wrong password", code=totp(secret, step + 1))[0], 401)
        again = Client(a)
        self.assertEqual(again.login("ann@example.org", code=recovery[0].upper().replace("-", " "))[0], 200)
        self.assertEqual(Client(a).login("ann@example.org", code=recovery[0])[0], 401)
        self.assertIn("totp.recovery", {e["action"] for e in self.audit(a)})
        self.assertEqual(c.call("POST", "/auth/totp/enroll")[0], 409)

    def test_of_two_with_one_code_at_one_moment_one_is_in(self):
        apps = [self.start(), self.start()]
        secret, step, _ = self.enroll(self.signed_in(apps[0], "ann@example.org"))
        code, got = totp(secret, step), []

        def try_one(app):
            got.append(Client(app).login("ann@example.org", code=code)[0])
        threads = [threading.Thread(target=try_one, args=(apps[i % 2],)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got.count(200), 1, got)

    def test_guessing_codes_is_slowed_down_although_the_password_is_right(self):
        a = self.start()
        self.enroll(self.signed_in(a, "ann@example.org"))
        codes = []
        for i in range(12):
            codes.append(Client(a).login("ann@example.org", code=f"{i:06}")[0])
            codes.append(Client(a).login("ann@example.org")[0])  # gives nothing back for it
        self.assertLessEqual(codes[0::2].count(401), 6)
        self.assertIn(429, codes)

    def test_it_is_ended_by_a_code_or_by_an_administrator(self):
        a = self.start()
        ann, root = self.signed_in(a, "ann@example.org"), self.signed_in(a, "root@example.org", "admin")
        _, _, recovery = self.enroll(ann)
        self.assertEqual(ann.call("POST", "/auth/totp/disable", {"code": "000000"})[0], 400)
        status, body = ann.call("POST", "/auth/totp/disable", {"code": recovery[3]})
        self.assertEqual((status, body["user"]["totp"]), (200, False))
        self.assertEqual(Client(a).login("ann@example.org")[0], 200)
        ann.csrf = body["csrf"]
        self.enroll(ann)
        self.assertEqual(Client(a).login("ann@example.org")[0], 401)
        hers = next(p for p in root.call("GET", "/admin/users")[1] if p["email"] == "ann@example.org")
        self.assertTrue(hers["totp"])
        self.assertEqual(root.call("PUT", f"/admin/users/{hers['id']}", {"totp": False})[0], 200)
        self.assertEqual(Client(a).login("ann@example.org")[0], 200)
        self.assertEqual(self.rows_of("SELECT count(*) FROM recovery_codes"), [["0"]])

    # ---- keys

    def test_a_key_is_shown_once_scoped_and_ends(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        for body in ({}, {"name": " "}, {"name": "x", "scopes": ["users:admin"]}, {"name": "x", "scopes": "all"},
                     {"name": "x", "scopes": ["fly"]}, {"name": "x", "days": 0}, {"name": "x", "user_id": 1},
                     {"name": "x" * 81}):
            self.assertEqual(c.call("POST", "/auth/keys", body)[0], 400, body)
        status, made = c.call("POST", "/auth/keys", {"name": "reader", "scopes": ["feedback:read"], "days": 1})
        self.assertEqual((status, made["scopes"]), (201, ["feedback:read"]))
        self.assertTrue(made["key"].startswith(made["hint"]))
        full = c.call("POST", "/auth/keys", {"name": "writer"})[1]
        listed = c.call("GET", "/auth/keys")[1]
        self.assertEqual([k["name"] for k in listed], ["writer", "reader"])
        self.assertNotIn(made["key"], json.dumps(listed))
        reader, writer = (Client(a, Authorization=f"Bearer {k['key']}") for k in (made, full))
        self.assertEqual(reader.call("GET", "/feedback")[0], 200)
        self.assertEqual(reader.call("POST", "/feedback", {"message": "x"}), (403, {"error": "Forbidden"}))
        self.assertEqual(writer.call("POST", "/feedback", {"message": "x"})[0], 201)
        self.assertEqual(self.rows_of("SELECT count(*) FROM feedback WHERE owner = (SELECT min(id) FROM users)"), [["1"]])
        # a key is no session: it makes no further keys, and does not sign out
        for method, path, body in (("POST", "/auth/keys", {"name": "x"}), ("GET", "/auth/keys", None),
                                   ("POST", "/auth/logout", None), ("POST", "/auth/totp/enroll", None)):
            self.assertEqual(writer.call(method, path, body)[0], 403, path)
        wait_for(lambda: all(k["used_at"] for k in c.call("GET", "/auth/keys")[1]), 5)
        self.assertEqual(c.call("DELETE", f"/auth/keys/{full['id']}")[0], 204)
        self.assertEqual(writer.call("POST", "/feedback", {"message": "x"})[0], 401)
        self.assertIn("invalid_token", writer.answer["WWW-Authenticate"])
        self.assertEqual(c.call("DELETE", f"/auth/keys/{full['id']}")[0], 404)
        bob = self.signed_in(a, "bob@example.org")
        self.assertEqual(bob.call("DELETE", f"/auth/keys/{made['id']}")[0], 404)
        self.run_sql("UPDATE api_keys SET expires_at = 1")
        b = self.start()
        self.assertEqual(Client(b, Authorization=f"Bearer {made['key']}").call("GET", "/feedback")[0], 401)

    def test_what_is_no_key_is_401_everywhere_but_where_nobody_is_asked(self):
        a = self.start()
        for shown in ("Bearer x", "Bearer " + "A" * 300, "Basic YTpi", "Bearer fbk_" + "0" * 49, "Bearer a.b.c",
                      f"Bearer {OPERATOR}x", f"Bearer {OPERATOR[:-1]}"):
            c = Client(a, Authorization=shown)
            self.assertEqual(c.call("GET", "/feedback")[0], 401, shown)
            self.assertEqual(c.call("GET", "/admin/users")[0], 401, shown)
            self.assertEqual(request(a.port, "GET", "/health", headers={"Authorization": shown})[0], 200)
            self.assertEqual(request(a.port, "GET", "/", headers={"Authorization": shown})[0], 200)

    # ---- what must not leak, and what is written down

    def test_secrets_are_hashes_in_the_database_and_nowhere_in_the_log(self):
        a = self.start(LOG_LEVEL="DEBUG")
        c = self.signed_in(a, "ann@example.org")
        key = c.call("POST", "/auth/keys", {"name": "k"})[1]["key"]
        Client(a, Authorization=f"Bearer {key}").call("GET", "/feedback")
        self.operator(a).call("GET", "/admin/users")
        _, _, recovery = self.enroll(c)
        Client(a).login("ann@example.org", "a wrong password")
        tables = ("secrets", "users", "sessions", "api_keys", "recovery_codes", "login_attempts", "audit")
        dump = "\n".join(" ".join(row) for t in tables for row in self.rows_of(f"SELECT * FROM {t}"))
        self.assertIn("$argon2id$", dump)
        self.assertIn(hashlib.sha256(key.encode()).hexdigest(), dump)
        for text, where in ((dump, "database"), (a.log.read_text(), "log"), (json.dumps(self.audit(a)), "audit")):
            for secret in (SECRET, key, c.session, OPERATOR, recovery[0], "a wrong password", c.csrf):
                self.assertNotIn(secret, text, where)

    def test_the_audit_log_says_who_when_and_from_where_and_is_only_added_to(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        said = {"X-Request-Id": "req-17", "X-Forwarded-For": "192.0.2.7"}
        made = c.call("POST", "/feedback", {"message": "x"}, headers={**said, "Idempotency-Key": "k"})[1]
        c.call("POST", "/feedback", {"message": "x"}, headers={**said, "Idempotency-Key": "k"})
        c.call("PUT", f"/feedback/{made['id']}", {"message": "y"}, headers=said)
        c.call("DELETE", f"/feedback/{made['id']}", headers=said)
        c.call("DELETE", f"/feedback/{made['id']}", headers=said)
        Client(a, **said).login("ann@example.org", "wrong wrong")
        Client(a).login("nobody@example.org", "wrong wrong")
        entries = self.audit(a)
        actions = [e["action"] for e in entries][::-1]
        self.assertEqual(actions, ["user.add", "login", "feedback.create", "feedback.update", "feedback.delete",
                                   "login.failed", "login.failed"])
        for e in entries:
            self.assertRegex(e["at"], api_test.ISO)
            if e["action"].startswith("feedback."):
                self.assertEqual((e["name"], e["via"], e["object"], e["address"], e["request_id"]),
                                 ("ann@example.org", "session", f"feedback:{made['id']}", "192.0.2.7", "req-17"))
        self.assertIsNone(entries[0]["user"])
        self.assertEqual(entries[0]["name"], "nobody@example.org")
        page = self.operator(a).call("GET", "/admin/audit?limit=3")[1]
        rest = self.operator(a).call("GET", f"/admin/audit?limit=1000&before={page['next']}")[1]
        self.assertEqual(page["entries"] + rest["entries"], entries)
        self.assertIsNone(rest["next"])
        self.assertEqual(c.call("GET", "/admin/audit")[0], 403)
        for sql in ("UPDATE audit SET name = 'x'", "DELETE FROM audit"):
            self.assertRaises(Exception, self.run_sql, sql)
        self.assertEqual(self.audit(a), entries)

    def test_messages_stay_text_whoever_wrote_them(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        text = "x');window.__p=1;//<img src=x onerror=alert(1)>"
        c.call("POST", "/feedback", {"message": text})
        c.call("POST", "/auth/keys", {"name": "<script>alert(1)</script>"})
        status, headers, body = request(a.port, "GET", "/feedback")
        self.assertEqual(json.loads(body)[0]["message"], text)
        self.assertEqual((headers["Content-Type"], headers["X-Content-Type-Options"]), ("application/json", "nosniff"))
        _, keys = c.call("GET", "/auth/keys")
        self.assertEqual(keys[0]["name"], "<script>alert(1)</script>")
        self.assertEqual((c.answer["Content-Type"], c.answer["X-Content-Type-Options"]), ("application/json", "nosniff"))
        self.assertNotIn("unsafe-inline", request(a.port, "GET", "/")[1]["Content-Security-Policy"])


class Modes(PeopleCase):
    """What differs between the modes."""

    def test_off_is_as_ever_and_admin_needs_the_operators_key(self):
        self.mode = "off"
        a = self.start()
        self.assertEqual(a.call("POST", "/feedback", {"message": "x"}, headers={"Authorization": "Bearer nonsense"})[0], 201)
        self.assertEqual(a.call("GET", "/auth/session")[2]["auth"], "off")
        self.assertEqual(a.call("POST", "/auth/login", {"email": "a@b", "password": "x"})[0], 404)
        self.assertEqual(a.call("GET", "/admin/users")[0], 401)
        self.assertEqual(self.operator(a).call("GET", "/admin/users"), (200, []))
        self.assertEqual(self.operator(a).call("GET", "/admin/audit")[1]["entries"], [])
        bare = self.app({"ADMIN_KEY": ""})
        self.assertEqual(bare.call("GET", "/admin/users")[0::2], (403, {"error": "Forbidden"}))

    def test_required_shows_guests_the_page_and_nothing_else(self):
        self.mode = "required"
        a = self.start()
        for path in ("/feedback", "/feedback/1", "/v1/feedback", "/api/feedback", "/admin/users"):
            self.assertEqual(a.call("GET", path)[0], 401, path)
        for path in ("/", "/health", "/metrics", "/static/js/app.js"):
            self.assertEqual(request(a.port, "GET", path)[0], 200, path)
        self.assertEqual(a.call("GET", "/auth/session")[2]["permissions"], [])
        c = self.signed_in(a, "ann@example.org")
        self.assertEqual(c.call("GET", "/feedback")[0], 200)
        self.assertEqual(c.answer["Cache-Control"], "private, no-cache")

    def test_wrong_settings_are_named_without_their_secrets(self):
        for env, words in (({"AUTH": "maybe"}, "off, optional or required"), ({"ADMIN_KEY": "short-secret"}, "ADMIN_KEY"),
                           ({"REGISTER": "x"}, "open or closed"), ({"AUDIT_DAYS": "5"}, "AUDIT_DAYS")):
            done = subprocess.run([BUILD / "feedback-app"], cwd=self.dir, capture_output=True, text=True, timeout=20,
                                  env={"PORT": "0", "DATABASE_URL": "sqlite:x.db", **env})
            self.assertNotEqual(done.returncode, 0, env)
            self.assertIn(words, done.stderr)
            self.assertNotIn("short-secret", done.stderr)


class OnServer(postgres_test.OnPostgres, People):
    """The same on PostgreSQL."""

    def rows_of(self, sql):
        return self.sql(sql)

    def run_sql(self, sql):
        self.sql(sql)

    def make_database(self):
        postgres_test.OnPostgres.make_database(self)

    def test_a_server_that_is_away_is_503_and_found_again(self):
        a = self.start()
        c = self.signed_in(a, "ann@example.org")
        key = c.call("POST", "/auth/keys", {"name": "k"})[1]["key"]
        program = Client(a, Authorization=f"Bearer {key}")
        self.assertEqual(program.call("GET", "/feedback")[0], 200)
        self.pg.stop()
        try:
            time.sleep(5.1)  # what was looked up counts no more
            for call, within in ((lambda: c.call("GET", "/auth/session"), 7),
                                 (lambda: program.call("POST", "/feedback", {"message": "x"}), 2),
                                 (lambda: Client(a).login("ann@example.org"), 2)):  # nobody waits in vain
                start = time.monotonic()
                self.assertEqual(call()[0], 503)
                self.assertLess(time.monotonic() - start, within)
        finally:
            self.pg.start()
        wait_for(lambda: c.call("GET", "/auth/session")[0] == 200, 15, 0.2)
        self.assertEqual(c.call("GET", "/auth/session")[1]["user"]["email"], "ann@example.org")
        wait_for(lambda: program.call("POST", "/feedback", {"message": "x"})[0] == 201, 15, 0.2)


# What no statement of the database has a part in is tried on the file alone.
for name in ("a_flood_of_sign_ins_is_bounded_and_the_app_answers_meanwhile", "bad_sign_ins_are_clear_4xx",
             "unknown_people_and_wrong_passwords_look_the_same", "one_address_cannot_try_all_accounts",
             "forged_requests_are_refused", "messages_stay_text_whoever_wrote_them",
             "cookies_are_out_of_reach_of_scripts_and_of_plain_connections",
             "what_is_no_key_is_401_everywhere_but_where_nobody_is_asked",
             "a_request_with_a_session_does_not_ask_the_database_each_time",
             "guessing_codes_is_slowed_down_although_the_password_is_right"):
    assert hasattr(People, f"test_{name}")
    setattr(OnServer, f"test_{name}", None)


if __name__ == "__main__":
    main()
