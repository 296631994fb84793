#!/usr/bin/env python3
"""Votes and statuses of the Feedback App as its clients meet them: the second version's lists and objects,
who may, many at once, order and filter, what is written down and told; and that the first version is as
it was, byte for byte. Real program, both engines."""
import concurrent.futures
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
import postgres_test  # noqa: E402
from harness import main, request  # noqa: E402
from people_test import OPERATOR, Client, PeopleCase  # noqa: E402

setUpModule, tearDownModule = postgres_test.setUpModule, postgres_test.tearDownModule
AT = "'2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'"


def voter(n):
    return {"Cookie": f"a=b; feedback_voter={n:032x}"}


class Votes(PeopleCase):
    """On a file; OnServer has the same on PostgreSQL."""

    def add(self, app, *texts):
        return [self.operator(app).call("POST", "/v2/feedback", {"message": text})[1]["id"] for text in texts]

    def pages(self, client, query):
        """Follows the Links: ([(id, votes)], how many pages)"""
        seen, path, n = [], f"/v2/feedback?{query}", 0
        while path:
            status, items = client.call("GET", path)
            self.assertEqual(status, 200, (path, items))
            seen += [(i["id"], i["votes"]) for i in items]
            link = re.fullmatch(r'<([^>]+)>; rel="next"', client.answer.get("Link", ""))
            path, n = link and link.group(1), n + 1
            self.assertLess(n, 30)
        return seen, n

    def test_the_second_version_has_both_and_the_first_is_as_it_was(self):
        self.mode = "off"
        a, b = self.start(), self.start()  # with the cache, two processes of one database
        status, made = Client(a).call("POST", "/v2/feedback", {"message": "one"})
        self.assertEqual((status, made["votes"], made["status"], len(made)), (201, 0, "open", 6))
        path = f"/feedback/{made['id']}"
        old = {k: made[k] for k in ("id", "message", "created_at", "updated_at")}
        first = json.dumps([old], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        tags = {}
        for app in (a, b, a, b):  # made, found, made, found
            for prefix in ("", "/api", "/v1", "/api/v1"):
                self.assertEqual(request(app.port, "GET", f"{prefix}/feedback")[2], first, prefix)
                self.assertEqual(request(app.port, "GET", f"{prefix}{path}")[2], first[1:-2] + b"\n", prefix)
            for prefix in ("/v2", "/api/v2"):
                status, head, data = request(app.port, "GET", f"{prefix}/feedback")
                self.assertEqual((json.loads(data), head["X-Total-Count"]), ([made], "1"))
                self.assertEqual(json.loads(request(app.port, "GET", f"{prefix}{path}")[2]), made)
            tags = {v: request(app.port, "GET", f"/{v}/feedback")[1]["ETag"] for v in ("v1", "v2")}
            self.assertNotEqual(tags["v1"], tags["v2"])
        # what one has is no answer to what the other is asked
        self.assertEqual(request(a.port, "GET", "/v2/feedback", headers={"If-None-Match": tags["v1"]})[0], 200)
        self.assertEqual(request(a.port, "GET", "/v2/feedback", headers={"If-None-Match": tags["v2"]})[0], 304)
        # there is nothing new below the first version, and its lists take no notice of new words
        for method, more in (("PUT", "/vote"), ("DELETE", "/vote"), ("PUT", "/status")):
            self.assertEqual(request(a.port, method, f"/v1{path}{more}", {}, voter(1))[0], 404)
        self.assertEqual(request(a.port, "GET", "/v1/feedback/votes")[2], b'{"error":"Feedback not found"}\n')
        for query in ("sort=votes", "sort=x", "status=done", "status=x"):
            for prefix in ("", "/v1"):
                self.assertEqual(request(a.port, "GET", f"{prefix}/feedback?{query}")[2], first)
        status, changed = Client(a).call("PUT", f"/v2{path}", {"message": "two"})
        self.assertEqual((status, changed["message"], changed["votes"], changed["status"]), (200, "two", 0, "open"))
        # a create that is sent again under its key gets its first answer
        key = {"Idempotency-Key": "k"}
        status, once = Client(a).call("POST", "/v2/feedback", {"message": "x"}, headers=key)
        Client(a).call("PUT", f"/v2/feedback/{once['id']}/vote", headers=voter(1))
        self.assertEqual(Client(b).call("POST", "/v2/feedback", {"message": "x"}, headers=key), (201, once))

    def test_one_vote_of_a_person_given_twice_is_one_and_seen_at_once_everywhere(self):
        a, b = self.start(), self.start()
        first, second = self.add(a, "one", "two")
        ann, bob = self.signed_in(a, "ann@example.org"), self.signed_in(b, "bob@example.org")
        path = f"/v2/feedback/{first}/vote"

        def shown():
            return {tuple((i["id"], i["votes"]) for i in Client(app).call("GET", "/v2/feedback")[1]) for app in (a, b)}
        self.assertEqual(shown(), {((second, 0), (first, 0))})
        for _ in range(3):
            self.assertEqual(ann.call("PUT", path), (200, {"id": first, "votes": 1, "voted": True}))
            self.assertEqual(shown(), {((second, 0), (first, 1))})
        self.assertEqual(bob.call("PUT", f"/feedback/{first}/vote"), (200, {"id": first, "votes": 2, "voted": True}))
        self.assertEqual(shown(), {((second, 0), (first, 2))})
        self.assertEqual(Client(b).call("GET", f"/v2/feedback/{first}")[1]["votes"], 2)
        for _ in range(2):
            self.assertEqual(ann.call("DELETE", path), (200, {"id": first, "votes": 1, "voted": False}))
            self.assertEqual(shown(), {((second, 0), (first, 1))})
        # which ones they were is told to each alone
        self.assertEqual(ann.call("GET", "/feedback/votes"), (200, {"ids": [], "next": None}))
        self.assertEqual(bob.call("GET", "/v2/feedback/votes"), (200, {"ids": [first], "next": None}))
        bob.call("PUT", f"/v2/feedback/{second}/vote")
        self.assertEqual(bob.call("GET", "/feedback/votes?limit=1"), (200, {"ids": [second], "next": second}))
        self.assertEqual(bob.call("GET", f"/feedback/votes?before={second}"), (200, {"ids": [first], "next": None}))
        self.assertIn("Cookie, Authorization", bob.answer.get_all("Vary"))
        self.assertEqual(bob.call("GET", "/feedback/votes?limit=1001")[0], 400)
        # a message that is changed keeps them; one that is deleted takes them along
        root = self.signed_in(a, "root@example.org", "admin")
        root.call("PUT", f"/v2/feedback/{first}", {"message": "other"})
        self.assertEqual(Client(a).call("GET", f"/v2/feedback/{first}")[1]["votes"], 1)
        root.call("DELETE", f"/feedback/{first}")
        self.assertEqual(self.rows_of("SELECT count(*) FROM feedback_votes"), [["1"]])
        for method in ("PUT", "DELETE"):
            for gone in (first, 999, "x"):
                self.assertEqual(ann.call(method, f"/v2/feedback/{gone}/vote"), (404, {"error": "Feedback not found"}))

    def test_who_may_vote_and_who_may_decide(self):
        a = self.start()
        ident, = self.add(a, "one")
        vote, status = f"/v2/feedback/{ident}/vote", f"/v2/feedback/{ident}/status"
        guest, ann = Client(a), self.signed_in(a, "ann@example.org")
        only, root = self.signed_in(a, "g@example.org", "guest"), self.signed_in(a, "root@example.org", "admin")
        # who has shown nothing: 401; who is known and may not: 403; a cookie of one's own making is nothing here
        for c, more, want in ((guest, {}, 401), (guest, voter(1), 401), (only, {}, 403)):
            for method in ("PUT", "DELETE"):
                self.assertEqual(c.call(method, vote, headers=more)[0], want)
            self.assertEqual(c.call("GET", "/feedback/votes", headers=more)[0], want)
        for c, want in ((guest, 401), (only, 403), (ann, 403), (root, 200)):
            self.assertEqual(c.call("PUT", status, {"status": "planned"})[0], want)
        # the operator and services are no people
        got = self.operator(a).call("PUT", vote)
        self.assertEqual((got[0], got[1]["error"]), (403, "Forbidden"))
        self.assertIn("person", got[1]["reason"])
        self.assertEqual(self.operator(a).call("PUT", status, {"status": "done"})[0], 200)
        # a key votes for its owner, if it may
        for scopes, want in ((["feedback:read"], 403), (["feedback:read", "feedback:vote"], 200)):
            key = ann.call("POST", "/auth/keys", {"name": "k", "scopes": scopes})[1]["key"]
            self.assertEqual(Client(a, Authorization=f"Bearer {key}").call("PUT", vote)[0], want)
        self.assertEqual(ann.call("GET", "/feedback/votes")[1]["ids"], [ident])
        # forged: another site's page, or without the session's token
        for c, path, body in ((ann, vote, None), (root, status, {"status": "open"})):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"X-CSRF-Token": "x"}):
                got = c.call("PUT", path, body, headers=headers)
                self.assertEqual((got[0], got[1]["error"]), (403, "Forbidden"), headers)
        got = Client(a).call("GET", f"/v2/feedback/{ident}")[1]
        self.assertEqual((got["votes"], got["status"]), (1, "done"))
        for method, path, allow in (("POST", vote, "DELETE, OPTIONS, PUT"), ("GET", status, "OPTIONS, PUT"),
                                    ("PUT", "/feedback/votes", "GET, HEAD, OPTIONS")):
            self.assertEqual(root.call(method, path, {})[0], 405)
            self.assertEqual(root.answer["Allow"], allow)

    def test_without_people_a_vote_is_a_browsers(self):
        self.mode = "off"
        a = self.start()
        c = Client(a)
        ident = c.call("POST", "/v2/feedback", {"message": "x"})[1]["id"]
        path = f"/v2/feedback/{ident}/vote"
        for bad in ({}, {"Cookie": "feedback_voter=short"}, {"Cookie": "feedback_voter=" + "x" * 65},
                    {"Cookie": "feedback_voter=no-dots.0123456789abc"}):
            got = c.call("PUT", path, headers=bad)
            self.assertEqual((got[0], got[1]["error"]), (403, "Forbidden"))
            self.assertIn("feedback_voter", got[1]["reason"])
            self.assertEqual(c.call("GET", "/feedback/votes", headers=bad), (200, {"ids": [], "next": None}))
        for n in (1, 2, 1):
            self.assertEqual(c.call("PUT", path, headers=voter(n))[0], 200)
        self.assertEqual(c.call("DELETE", path, headers=voter(1)), (200, {"id": ident, "votes": 1, "voted": False}))
        self.assertEqual(c.call("GET", "/feedback/votes", headers=voter(2))[1]["ids"], [ident])
        # a page elsewhere cannot use it, whatever the browser sends along
        for origin in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            self.assertEqual(c.call("PUT", path, headers={**voter(3), **origin})[0], 403)
        # who decides shows the operator's key
        self.assertEqual(c.call("PUT", f"/v2/feedback/{ident}/status", {"status": "done"})[0], 401)
        self.assertEqual(self.operator(a).call("PUT", f"/v2/feedback/{ident}/status", {"status": "done"})[0], 200)
        self.assertEqual(c.call("GET", f"/v2/feedback/{ident}")[1]["status"], "done")

    def test_votes_at_one_moment_are_all_counted_and_each_once(self):
        self.mode = "off"
        apps = [self.start(), self.start()]
        ids = [Client(apps[0]).call("POST", "/v2/feedback", {"message": "x"})[1]["id"] for _ in range(2)]

        def one(turn):
            n, method = turn // 4, "PUT"
            if turn % 4 == 3 and n % 2:
                method = "DELETE"  # half of them take it back, and may do so before they give it
            return method, n, Client(apps[turn % 2]).call(method, f"/v2/feedback/{ids[0]}/vote", headers=voter(n))
        with concurrent.futures.ThreadPoolExecutor(16) as ex:
            got = list(ex.map(one, range(160)))
        self.assertEqual({g[2][0] for g in got}, {200})
        count = int(self.rows_of("SELECT count(*) FROM feedback_votes")[0][0])
        self.assertEqual(self.rows_of(f"SELECT votes FROM feedback WHERE id = {ids[0]}"), [[str(count)]])
        self.assertTrue(20 <= count <= 40, count)
        # by distinct people from two processes at once: every answer a number of its own
        with concurrent.futures.ThreadPoolExecutor(16) as ex:
            got = list(ex.map(lambda n: Client(apps[n % 2]).call("PUT", f"/v2/feedback/{ids[1]}/vote", headers=voter(n))[1],
                              range(100)))
        self.assertEqual(sorted(g["votes"] for g in got), list(range(1, 101)))
        for app in apps:
            shown = {i["id"]: i["votes"] for i in Client(app).call("GET", "/v2/feedback")[1]}
            self.assertEqual(shown, {ids[0]: count, ids[1]: 100})

    def test_sorted_by_votes_pages_meet_while_others_vote(self):
        a = self.start()
        want = []
        for i in range(1, 61):
            self.run_sql(f"INSERT INTO feedback (id, message, created_at, updated_at) VALUES ({i}, 'm{i % 4}', {AT})")
            votes = (i * 7) % 5 if i % 3 else 0  # 0 to 4: many with as many
            for n in range(votes):
                self.run_sql(f"INSERT INTO feedback_votes (voter, feedback_id, created_at) VALUES ({n + 1}, {i}, 1)")
            want.append((i, votes))
        self.run_sql("UPDATE feedback SET status = 'planned' WHERE id % 10 = 0")
        self.run_sql("UPDATE feedback SET status = 'done' WHERE id = 7")
        c = Client(a)
        want.sort(key=lambda row: (-row[1], -row[0]))
        for limit, pages in ((100, 1), (60, 1), (7, 9)):
            self.assertEqual(self.pages(c, f"sort=votes&limit={limit}"), (want, pages), limit)
        self.assertEqual(c.call("GET", "/v2/feedback?sort=votes&limit=3")[0], 200)
        self.assertEqual(c.answer["X-Total-Count"], "60")
        self.assertIsNone(c.answer["Cache-Status"])
        self.assertEqual(self.pages(c, "sort=newest&limit=1000")[0], sorted(want, reverse=True))
        self.assertEqual(c.answer["X-Total-Count"], "60")
        # with a filter, or two: nothing is lost on the way from those with votes to those without
        for query, chosen in (("status=planned", lambda i: i % 10 == 0), ("status=done", lambda i: i == 7),
                              ("status=declined", lambda i: False), ("q=m1", lambda i: i % 4 == 1),
                              ("status=open&q=m1", lambda i: i % 4 == 1 and i % 10 and i != 7)):
            rows = [row for row in want if chosen(row[0])]
            for limit in (2, 100):
                self.assertEqual(self.pages(c, f"sort=votes&{query}&limit={limit}")[0], rows, query)
                self.assertEqual(self.pages(c, f"{query}&limit={limit}")[0], sorted(rows, reverse=True), query)
        # rows that others vote for meanwhile: those that nobody touches come once each, in their order
        status, items = c.call("GET", "/v2/feedback?sort=votes&limit=10")
        follow = c.answer["Link"].split(">")[0][1:]
        self.assertRegex(follow, r"^/v2/feedback\?limit=10&before=\d+&votes=\d+&sort=votes$")
        last = (items[-1]["votes"], items[-1]["id"])
        self.run_sql(f"DELETE FROM feedback_votes WHERE feedback_id = {last[1]}")  # the one the Link was made of
        moved = [r for r in want if (r[1], r[0]) < last][3][0]
        self.run_sql(f"INSERT INTO feedback_votes (voter, feedback_id, created_at) SELECT id + 100, {moved}, 1 FROM feedback")
        self.run_sql(f"INSERT INTO feedback (id, message, created_at, updated_at) VALUES (99, 'new', {AT})")
        rest = [r[0] for r in want if (r[1], r[0]) < last and r[0] != moved]
        got = [i for i, _ in self.pages(c, follow.split("?")[1])[0]]
        self.assertEqual([i for i in got if i not in (99, last[1])], rest)
        for bad in ("sort=", "sort=x", "status=", "status=x", "status=Done", "sort=votes&votes=x&before=1", "sort=votes&votes=-1"):
            self.assertEqual(c.call("GET", f"/v2/feedback?{bad}")[0], 400, bad)

    def test_a_status_is_one_of_five_and_kept(self):
        a, b = self.start(), self.start()
        ident, = self.add(a, "one")
        root, path = self.signed_in(a, "root@example.org", "admin"), f"/feedback/{ident}/status"
        before = root.call("GET", f"/v2/feedback/{ident}")[1]
        for word in ("planned", "in_progress", "done", "declined", "open"):
            self.assertEqual(root.call("PUT", path, {"status": word}), (200, {**before, "status": word}))
            for app in (a, b):
                self.assertEqual(Client(app).call("GET", "/v2/feedback")[1], [{**before, "status": word}])
        for body, error in (({"status": "x"}, "must be open, planned"), ({"status": 1}, "must be"), ({}, "is required"),
                            ([], "must be a JSON object"), ({"status": "Done"}, "must be")):
            status, got = root.call("PUT", path, body)
            self.assertEqual(status, 400)
            self.assertIn(error, got["error"])
        self.assertEqual(root.call("PUT", path)[0], 400)
        self.assertEqual(a.call("PUT", path, b'{"status":"done"}', headers={
            "Authorization": f"Bearer {OPERATOR}", "Content-Type": "text/plain"})[0], 415)
        self.assertEqual(root.call("PUT", "/feedback/999/status", {"status": "done"})[0], 404)

    def test_what_was_done_is_written_down_counted_and_told_and_nothing_else(self):
        self.env["WEBHOOKS"] = "on"
        a = self.start()
        ident, = self.add(a, "one")
        self.run_sql("INSERT INTO webhooks (url, secret, created_at) VALUES ('https://x', 's', 1)")
        self.run_sql("INSERT INTO webhooks (url, secret, enabled, created_at) VALUES ('https://y', 's', 0, 1)")
        ann, root = self.signed_in(a, "ann@example.org"), self.signed_in(a, "root@example.org", "admin")
        for _ in range(2):
            ann.call("PUT", f"/v2/feedback/{ident}/vote")
        for _ in range(2):
            ann.call("DELETE", f"/v2/feedback/{ident}/vote")
        ann.call("PUT", "/v2/feedback/999/vote")
        for _ in range(2):
            root.call("PUT", f"/v2/feedback/{ident}/status", {"status": "in_progress"}, headers={"X-Request-Id": "r-1"})
        root.call("PUT", "/v2/feedback/999/status", {"status": "done"})
        got = [(e["action"], e["name"], e["via"], e["object"], e["detail"]) for e in self.audit(a)
               if e["action"] in ("feedback.vote", "feedback.unvote", "feedback.status")]
        self.assertEqual(got, [("feedback.status", "root@example.org", "session", f"feedback:{ident}", "in_progress"),
                               ("feedback.unvote", "ann@example.org", "session", f"feedback:{ident}", ""),
                               ("feedback.vote", "ann@example.org", "session", f"feedback:{ident}", "")])
        self.assertEqual([e["request_id"] for e in self.audit(a) if e["action"] == "feedback.status"], ["r-1"])
        jobs = [json.loads(row[0]) for row in self.rows_of("SELECT args FROM jobs ORDER BY id")]
        self.assertEqual(jobs, [{"feedback_id": ident, "webhook_id": 1, "event": "feedback.status_changed",
                                 "status": "in_progress"}])
        text = request(a.port, "GET", "/metrics")[2].decode()
        for line in ('feedback_operations_total{operation="vote"} 2', 'feedback_operations_total{operation="status"} 1',
                     'http_requests_total{method="PUT",endpoint="/feedback/:id/vote",status="200"} 2',
                     'http_requests_total{method="PUT",endpoint="/feedback/:id/status",status="404"} 1'):
            self.assertIn(f"\n{line}\n", text)

    def test_whoever_writes_to_the_tables_the_counts_are_right(self):
        a = self.start()
        one, two = self.add(a, "one", "two")
        c = Client(a)

        def counts():
            return [i["votes"] for i in c.call("GET", "/v2/feedback")[1]]
        self.run_sql(f"INSERT INTO feedback_votes (voter, feedback_id, created_at) SELECT id, {one}, 1 FROM feedback")
        self.assertEqual(counts(), [0, 2])
        self.run_sql(f"DELETE FROM feedback_votes WHERE voter = {two}")
        self.assertEqual(counts(), [0, 1])
        self.run_sql(f"DELETE FROM feedback WHERE id = {one}")
        self.assertEqual((counts(), self.rows_of("SELECT count(*) FROM feedback_votes")), ([0], [["0"]]))


class OnServer(postgres_test.OnPostgres, Votes):
    """The same on PostgreSQL."""

    def rows_of(self, sql):
        return self.sql(sql)

    def run_sql(self, sql):
        self.sql(sql)

    def make_database(self):
        postgres_test.OnPostgres.make_database(self)

    def test_a_table_that_is_emptied_takes_its_votes_along(self):
        a = self.start()
        one, _ = self.add(a, "one", "two")
        self.sql(f"INSERT INTO feedback_votes (voter, feedback_id, created_at) SELECT n, {one}, 1 FROM generate_series(1, 5) n")
        self.assertEqual([i["votes"] for i in Client(a).call("GET", "/v2/feedback")[1]], [0, 5])
        self.sql("TRUNCATE feedback_votes")
        self.assertEqual([i["votes"] for i in Client(a).call("GET", "/v2/feedback")[1]], [0, 0])
        self.sql(f"INSERT INTO feedback_votes (voter, feedback_id, created_at) VALUES (1, {one}, 1)")
        self.sql("TRUNCATE feedback")
        self.assertEqual(self.sql("SELECT count(*) FROM feedback_votes"), [["0"]])

    def test_a_vote_while_its_feedback_is_deleted_leaves_nothing(self):
        self.mode = "off"
        apps = [self.start(), self.start()]
        for turn in range(30):
            ident = Client(apps[0]).call("POST", "/feedback", {"message": "x"})[1]["id"]
            with concurrent.futures.ThreadPoolExecutor(8) as ex:
                got = list(ex.map(lambda n: Client(apps[n % 2]).call(*(
                    ("DELETE", f"/feedback/{ident}") if n == 4 else ("PUT", f"/v2/feedback/{ident}/vote")),
                    headers=voter(n))[0], range(8)))
            self.assertLessEqual(set(got), {200, 404})
        self.assertEqual(self.sql("SELECT count(*) FROM feedback_votes"), [["0"]])


if __name__ == "__main__":
    main()
