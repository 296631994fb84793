#!/usr/bin/env python3
"""How PostgreSQL finds what the Feedback App asks for when there are 200,000 of them: the server itself writes
down the plan of every statement that the program sends (auto_explain), with its own parameters and often enough
that a plan for all parameters may take over. A statement that reads a large table from its beginning to its end
fails, and one that goes through more rows than a search may, by whatever index; triggers included."""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
from harness import main, request, wait_for  # noqa: E402
from people_test import OPERATOR, PeopleCase  # noqa: E402
from postgres import Postgres  # noqa: E402

ROWS = 200000
LARGE = ("feedback", "feedback_votes", "feedback_keys", "audit", "jobs")
WINDOW = 20000  # rows that one request may look at: SEARCH_WINDOW of search.c
TIMES = 7  # a prepared statement is planned anew five times before one plan may serve for all
CATALOGUE = pathlib.Path(__file__).resolve().parents[4] / "apps/feedback/store_pg.c"
FILL = f"""
SET session_replication_role = replica;
INSERT INTO feedback (message, created_at, updated_at, owner, votes, status)
	SELECT 'entry ' || i || CASE WHEN i % 1000 = 0 THEN ' of a rare kind' ELSE ' as they come' END,
		now() - (i || ' s')::interval, now(), CASE WHEN i % 50 = 0 THEN 1 + i % 7 END,
		CASE WHEN i % 20 = 0 THEN 1 + i % 11 ELSE 0 END,
		CASE WHEN i % 25 = 0 AND i < {ROWS // 2} THEN (ARRAY['planned', 'in_progress', 'done', 'declined'])[1 + i % 4] ELSE 'open' END
	FROM generate_series(1, {ROWS}) AS i;
INSERT INTO feedback_votes SELECT -v, id, 0 FROM feedback, generate_series(1, 11) v WHERE v <= votes;
INSERT INTO feedback_keys SELECT 'key-' || id, id, message, now() - (id % 20 || ' h')::interval FROM feedback
	WHERE id % 4 = 0;
INSERT INTO audit (at, action, user_id, name, via, object, detail, address, request_id)
	SELECT (extract(epoch FROM now()) * 1000)::bigint, 'feedback.create', 1, 'x', 'session', 'feedback:' || id, '', '', ''
	FROM feedback WHERE id % 4 = 0;
INSERT INTO jobs (queue, kind, args, state, run_at, created_at, finished_at)
	SELECT 'notification-queue', 'send_email_notification', '{{}}', 'done', t, t, t FROM feedback,
	(SELECT (extract(epoch FROM now()) * 1000)::bigint AS t) n WHERE id % 4 = 0;
UPDATE feedback_total SET total = {ROWS} WHERE slot = 0;
ANALYZE;
"""


class Plans(PeopleCase):
    def make_database(self):
        more = {f"auto_explain.log_{k}": v for k, v in (("min_duration", 0), ("nested_statements", "on"),
                                                        ("analyze", "on"), ("timing", "off"))}
        self.pg = Postgres(session_preload_libraries="auto_explain", log_min_messages="log", log_statement="all",
                           log_line_prefix="%a|", **more)
        self.addCleanup(self.pg.remove)
        self.env = {"DATABASE_URL": self.pg.url(), "DATABASE_POOL": "1"}

    def fill(self):
        self.pg.sql(FILL)
        self.since = self.pg.log.stat().st_size  # migrations count all rows, and may

    def ask_everything(self, a, ann):
        """Each of them once."""
        good = {200, 201, 202}

        def ask(who, method, path, body=None, **more):
            status, got = who.call(method, path, body, **more)
            self.assertIn(status, good, (method, path, got))
            return got
        for prefix in ("/v1", "/v2"):
            for query in ("", "", "?limit=1000", f"?before={ROWS // 2}", "?before=3", "?q=they", "?q=rare+kind",
                          f"?q=nowhere&before={ROWS // 2}", "?mine=1", "?mine=1&q=they"):
                ask(ann, "GET", f"{prefix}/feedback{query}")
        for status in ("open", "planned", "done"):
            for query in ("", f"&before={ROWS // 2}", "&q=they", "&mine=1", "&sort=votes", "&sort=votes&q=rare"):
                ask(ann, "GET", f"/v2/feedback?status={status}{query}")
        for query in ("", "&q=they", "&q=nowhere", "&mine=1", "&before=5&votes=3", f"&before={ROWS // 2}&votes=0",
                      "&limit=1000"):
            ask(ann, "GET", f"/v2/feedback?sort=votes{query}")
        for path in ("/auth/own", f"/auth/own?before={ROWS // 2}", "/v2/feedback/votes", "/feedback/17"):
            ask(ann, "GET", path)
        made = ask(ann, "POST", "/feedback", {"message": "one more"})["id"]
        key = {"Idempotency-Key": f"key-of-{made}"}
        again = ask(ann, "POST", "/feedback", {"message": "once"}, headers=key)
        self.assertEqual(ask(ann, "POST", "/feedback", {"message": "once"}, headers=key), again)
        ask(ann, "PUT", f"/feedback/{made}", {"message": "other"})
        ask(ann, "PUT", f"/v2/feedback/{made}/vote", {})
        ask(ann, "DELETE", f"/v2/feedback/{made}/vote")
        root = self.operator(a)
        ask(root, "PUT", f"/v2/feedback/{made}/status", {"status": "done"})
        ask(root, "DELETE", f"/feedback/{made}")
        for path in ("/admin/audit", "/admin/audit?before=1000", "/admin/jobs?limit=50", "/admin/users"):
            ask(root, "GET", path)
        for path in ("/health", "/metrics"):
            self.assertEqual(request(a.port, "GET", path)[0], 200)

    def plans(self):
        """[(text of the statement, plan)] of the app's connections, and the names of what was prepared."""
        found, names = [], set()
        text = self.pg.log.read_bytes()[self.since:].decode()
        entries = re.split(r"^(?=[^\t\n]*\|[A-Z]+:)", text, flags=re.M)
        for entry in entries:
            head, _, rest = entry.partition("\n")
            who, _, what = head.partition("|")
            if who not in ("feedback-app", "headgate"):
                continue
            if m := re.search(r"execute (\w+):", what):
                names.add(m[1])
            if "  plan:" in what:
                # the text may have lines of its own: a plan begins with a node and its cost
                at = re.search(r"^\t\S.*\(cost=", rest, re.M)
                found.append((" ".join(rest[:at.start()].split()), rest[at.start():]))
        return found, names

    def too_much(self, plan):
        """Does it read a large table as a whole, or more rows of one than it may?"""
        for node in re.split(r"^\s*(?:->|SubPlan|CTE|InitPlan)", plan, flags=re.M):
            m = re.search(r"(Seq )?Scan.* on (?:public\.)?(\w+)\b.*actual rows=(\d+)", node)
            if not m or m[2] not in LARGE:
                continue
            removed = re.search(r"Rows Removed by Filter: (\d+)", node)
            if m[1] or int(m[3]) + int(removed[1] if removed else 0) > WINDOW:
                return True
        return False

    def test_no_statement_reads_a_large_table_from_its_beginning_to_its_end(self):
        a = self.start(NOTIFY_EMAIL="admin@example.com", WEBHOOKS="on", CACHE_TTL_S="0")
        b = self.start(NOTIFY_EMAIL="", WEBHOOKS="off")  # its cache asks whether a list is still right
        users = {app: self.signed_in(app, f"ann{i}@example.org") for i, app in enumerate((a, b))}
        self.fill()
        for _ in range(TIMES):
            for app, ann in users.items():
                self.ask_everything(app, ann)
        job = self.operator(a).call("POST", "/exports", {"format": "csv"})[1]["id"]
        self.env["EXPORT_DIR"] = f"{self.dir}/exports"
        self.start(WORKERS="inline")  # mails and webhooks that have nowhere to go, the export, and what a worker asks
        wait_for(lambda: self.pg.sql(f"SELECT state FROM jobs WHERE id = {job}") == [["done"]], 60)
        for app in self.apps:
            app.stop()
        plans, names = self.plans()
        self.assertEqual(sorted(set(re.findall(r'^\s+\[\w+\] = \{"(\w+)",', CATALOGUE.read_text(), re.M)) - names), [],
                         "not all of the catalogue was asked")
        bad = {text: plan for text, plan in plans if self.too_much(plan)}
        seen = {t: sum(f" on {t}" in p for _, p in plans) for t in LARGE}
        print("#", len(plans), "plans,", json.dumps(seen), flush=True)
        self.assertGreater(min(seen.values()), TIMES)
        self.assertEqual([f"{text}\n{plan}" for text, plan in bad.items()], [])

    def test_it_would_be_noticed(self):
        """Without an index the same questions fail: the test can tell."""
        a = self.start()
        ann = self.signed_in(a, "ann@example.org")
        self.fill()
        self.pg.sql("DROP INDEX feedback_by_status; DROP INDEX feedback_by_votes")
        for query in ("status=planned", "sort=votes"):
            self.assertEqual(ann.call("GET", f"/v2/feedback?{query}")[0], 200)
        a.stop()
        bad = [text for text, plan in self.plans()[0] if self.too_much(plan)]
        for part in ("AND status =", "ORDER BY votes DESC"):
            self.assertTrue(any(part in text for text in bad), bad)


if __name__ == "__main__":
    main()
