#!/usr/bin/env python3
"""Webhooks of the Feedback App: signed by Standard Webhooks (verified by npm's library and by a reading of
our own), tried again, disabled by 410, and never sent to where they must not go."""
import calendar
import http.client
import json
import signal
import subprocess
import threading
import time

from harness import ROOT, main, wait_for
from mail_test import ADMIN, Case, run
from postgres import Postgres
from webhook_server import Receiver, verify

BROWSER = ROOT / "tests/browser"  # its package has the libraries of npm that tests use
VERIFY = """
const { Webhook } = require('standardwebhooks');
const { secret, headers, body } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
"""


def npm_verify(secret, headers, body):
    """What npm's standardwebhooks makes of it; raises unless the signature is good."""
    if not (BROWSER / "node_modules/standardwebhooks").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=BROWSER, check=True, timeout=120)
    done = subprocess.run(["node", "--input-type=commonjs", "-e", VERIFY], cwd=BROWSER, text=True, capture_output=True,
                          timeout=60, input=json.dumps({"secret": secret, "headers": headers, "body": body.decode()}))
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Webhooks(Case):
    def add(self, url, *more):
        """(id, secret) of a new one, by the command line."""
        out = run("webhooks", "add", url, *more, env=self.env, cwd=self.dir).stdout
        first, second = out.splitlines()
        return int(first.split()[1].rstrip(":")), second.removeprefix("secret: ")

    def delivered(self, receiver, count, seconds=20):
        def enough():
            return len(receiver.got) >= count
        enough.__doc__ = f"{count} deliveries"
        wait_for(enough, seconds)
        return receiver.got


class Telling(Webhooks):
    def check_told(self, receiver):
        ident, secret = self.add(receiver.url())
        app = self.app()
        made = app.create("Grüße, 日本 \"quoted\"")
        got = self.delivered(receiver, 1)[0]
        self.assertEqual(got.path, "/hook")
        self.assertEqual(got.headers["content-type"], "application/json")
        self.assertEqual(got.json["type"], "feedback.created")
        self.assertEqual(got.json["data"], made)
        self.assertTrue(got.json["timestamp"].endswith("Z"))
        self.assertEqual(verify(secret, got.headers, got.body), 1)
        self.assertEqual(npm_verify(secret, got.headers, got.body)["data"]["id"], made["id"])
        # Neither another body nor another key fits.
        self.assertEqual(verify(secret, got.headers, got.body + b" "), 0)
        with self.assertRaises(AssertionError):
            npm_verify(secret, got.headers, got.body + b" ")
        job = wait_for(lambda: [j for j in self.jobs(app, "done") if j["kind"] == "send_webhook"], 10)[0]
        self.assertEqual(job["args"], {"feedback_id": made["id"], "webhook_id": ident})
        self.assertTrue(job["result"].startswith("200 from 127.0.0.1 after ") or job["result"].startswith("200 from ::1"))
        self.assertEqual(len(receiver.got), 1)
        # a new status is told too, as it was when it was set; the same once more is nothing new
        for _ in range(2):
            changed = app.call("PUT", f"/feedback/{made['id']}/status", {"status": "planned"}, headers=ADMIN)[2]
        got = self.delivered(receiver, 2)[1]
        self.assertEqual((got.json["type"], got.json["data"]), ("feedback.status_changed", {**changed, "status": "planned"}))
        self.assertEqual(verify(secret, got.headers, got.body), 1)
        # the receiver has it before the job is done; nothing else waits, and nothing more comes
        wait_for(lambda: len(self.jobs(app, "done")) == 2, 10)
        self.assertEqual(self.jobs(app, "available") + self.jobs(app, "running"), [])
        self.assertEqual(len(receiver.got), 2)

    def test_a_created_feedback_is_told_and_signed_from_a_file(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            self.check_told(receiver)

    def test_a_created_feedback_is_told_and_signed_from_a_server_of_postgresql(self):
        pg = Postgres()
        try:
            with Receiver() as receiver:
                self.env.update(receiver.env(), DATABASE_URL=pg.url())
                self.check_told(receiver)
        finally:
            pg.remove()

    def test_while_a_secret_is_changed_both_sign(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            ident, old = self.add(receiver.url())
            out = run("webhooks", "rotate", ident, env=self.env, cwd=self.dir).stdout
            new = out.splitlines()[1].removeprefix("secret: ")
            self.assertNotEqual(old, new)
            self.app().create("x")
            got = self.delivered(receiver, 1)[0]
            self.assertEqual(len(got.headers["webhook-signature"].split(" ")), 2)
            for secret in (old, new):
                self.assertEqual(verify(secret, got.headers, got.body), 1)
                npm_verify(secret, got.headers, got.body)

    def test_a_receiver_that_flaps_gets_the_same_message_again(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            _, secret = self.add(receiver.url())
            receiver.answers = [(503, {}, b"later\n\x1b[31m please")]
            app = self.app()
            app.create("again")
            first, second = self.delivered(receiver, 2)[:2]
            self.assertEqual(first.headers["webhook-id"], second.headers["webhook-id"])
            self.assertEqual(first.body, second.body)
            self.assertGreater(second.at - first.at, 4.0)  # 5 s, ± 10 %
            self.assertLess(second.at - first.at, 8.0)
            self.assertEqual(verify(secret, second.headers, second.body), 1)
            job = wait_for(lambda: self.jobs(app, "done"), 10)[0]
            self.assertEqual(job["attempt"], 2)

    def test_only_2xx_counts_redirects_are_not_followed_and_retry_after_is_heard(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            self.add(receiver.url())
            app = self.app()
            receiver.answers = [(302, {"Location": receiver.url("/elsewhere")}, b"")]
            app.create("redirected")
            job = wait_for(lambda: self.jobs(app, "retryable"), 10)[0]
            self.assertIn("302 from ", job["error"])
            receiver.answers = [(429, {"Retry-After": "600"}, b"x" * 100000)]
            app.call("POST", f"/admin/jobs/{job['id']}/retry", headers=ADMIN)
            job = wait_for(lambda: [j for j in self.jobs(app, "retryable") if "429" in j["error"]], 10)[0]
            self.assertLess(len(job["error"]), 400)
            at = time.strptime(job["run_at"][:19], "%Y-%m-%dT%H:%M:%S")
            self.assertGreater(calendar.timegm(at) - time.time(), 500)
            self.assertEqual([d.path for d in receiver.got], ["/hook", "/hook"])

    def test_410_disables_it_and_it_can_be_enabled_again(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            ident, _ = self.add(receiver.url())
            app = self.app()
            receiver.answers = [(410, {}, b"not any more")]
            app.create("gone")
            dead = wait_for(lambda: self.jobs(app, "dead"), 10)[0]
            self.assertIn("410 from", dead["error"])
            out = run("webhooks", "list", env=self.env, cwd=self.dir).stdout
            self.assertIn("disabled", out)
            self.assertIn("410", out)
            app.create("nobody is told")
            time.sleep(0.7)
            self.assertEqual(len(receiver.got), 1)
            run("webhooks", "enable", ident, env=self.env, cwd=self.dir)
            app.create("told again")
            self.delivered(receiver, 2)

    def test_a_stalling_receiver_costs_its_time_out_and_keeps_nobody_else_waiting(self):
        with Receiver() as slow, Receiver() as good:
            self.env.update(slow.env(WEBHOOK_TIMEOUT="1000"))
            (self.dir / "cas").write_text(slow.ca.read_text() + good.ca.read_text())
            self.env["WEBHOOK_CA"] = str(self.dir / "cas")
            self.add(slow.url())
            self.add(good.url())
            slow.answers = ["stall"] * 50
            app = self.app()
            for i in range(3):
                app.create(f"{i}")
            self.delivered(good, 3, 3)
            job = wait_for(lambda: self.jobs(app, "retryable"), 10)[0]
            self.assertIn("no answer", job["error"])


class Guarded(Webhooks):
    def test_addresses_of_this_machine_and_its_network_are_never_asked(self):
        """The receiver listens on loopback; nothing is allowed; each spelling must not reach it."""
        with Receiver() as receiver:
            self.env.update(receiver.env())
            names = [f"https://localhost:{receiver.port}/", f"https://127.1:{receiver.port}/",
                     f"https://0x7f000001:{receiver.port}/", f"https://2130706433:{receiver.port}/"]
            ids = [self.add(n)[0] for n in names]
            self.env["WEBHOOK_ALLOW"] = ""
            app = self.app()
            app.create("x")
            jobs = wait_for(lambda: len(self.jobs(app, "retryable")) == len(names) and self.jobs(app, "retryable"), 15)
            for job in jobs:
                self.assertIn("loopback address, which is not allowed", job["error"])
            for ident in ids:
                done = run("webhooks", "test", ident, env=self.env, cwd=self.dir, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("not allowed", done.stdout)
            self.assertEqual(receiver.got, [])
            for bad in (f"https://127.0.0.1:{receiver.port}/", "https://169.254.169.254/latest", "https://[::1]/",
                        f"http://localhost:{receiver.port}/", "https://10.0.0.1/"):
                done = run("webhooks", "add", bad, env=self.env, cwd=self.dir, check=False)
                self.assertEqual(done.returncode, 2, (bad, done.stdout, done.stderr))

    def test_a_certificate_nobody_vouches_for_gets_nothing(self):
        with Receiver() as receiver:
            self.env.update(receiver.env(WEBHOOK_CA=""))
            ident, _ = self.add(receiver.url())
            done = run("webhooks", "test", ident, env=self.env, cwd=self.dir, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("certificate", done.stdout)
            self.assertEqual(receiver.got, [])

    def test_without_https_only_named_networks_are_told(self):
        with Receiver(tls=False) as receiver:
            self.env.update(receiver.env())
            ident, secret = self.add(receiver.url(host="127.0.0.1"))
            run("webhooks", "test", ident, env=self.env, cwd=self.dir)
            got = receiver.got[0]
            self.assertEqual(got.json["type"], "webhook.test")
            self.assertEqual(verify(secret, got.headers, got.body), 1)


class Api(Webhooks):
    def test_administrators_add_list_rotate_try_and_remove(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            app = self.app()
            self.assertIn(app.call("GET", "/admin/webhooks")[0], (401, 403))
            status, _, made = app.call("POST", "/admin/webhooks", {"url": receiver.url()}, headers=ADMIN)
            self.assertEqual(status, 201)
            secret = made["secret"]
            self.assertTrue(secret.startswith("whsec_"))
            status, headers, text = app.call("GET", "/admin/webhooks", headers=ADMIN)
            self.assertEqual([h["url"] for h in text["webhooks"]], [receiver.url()])
            self.assertNotIn("whsec_", json.dumps(text))
            status, _, tried = app.call("POST", f"/admin/webhooks/{made['id']}/test", headers=ADMIN)
            self.assertEqual((status, tried["ok"]), (200, True))
            self.assertEqual(verify(secret, receiver.got[0].headers, receiver.got[0].body), 1)
            receiver.answers = [(500, {}, b"no")]
            status, _, tried = app.call("POST", f"/admin/webhooks/{made['id']}/test", headers=ADMIN)
            self.assertEqual((status, tried["ok"]), (200, False))
            self.assertIn("500 from", tried["told"])
            status, _, turned = app.call("POST", f"/admin/webhooks/{made['id']}/rotate", headers=ADMIN)
            self.assertNotEqual(turned["secret"], secret)
            given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            status, _, second = app.call("POST", "/admin/webhooks", {"url": receiver.url("/two"), "secret": given},
                                         headers=ADMIN)
            self.assertEqual((status, second["secret"]), (201, given))
            for body, why in (({"url": "ftp://x/"}, "https"), ({"url": "https://10.0.0.1/"}, "private"), ({}, "url"),
                              ({"url": receiver.url(), "secret": "hunter2"}, "secret"), ([], "object"),
                              ({"url": 7}, "url")):
                status, _, said = app.call("POST", "/admin/webhooks", body, headers=ADMIN)
                self.assertEqual(status, 400, body)
                self.assertIn(why, said["error"])
            self.assertEqual(app.call("DELETE", f"/admin/webhooks/{made['id']}", headers=ADMIN)[0], 204)
            self.assertEqual(app.call("DELETE", f"/admin/webhooks/{made['id']}", headers=ADMIN)[0], 404)
            self.assertEqual(app.call("POST", "/admin/webhooks/77/test", headers=ADMIN)[0], 404)
            self.assertEqual(app.call("PUT", "/admin/webhooks", {}, headers=ADMIN)[0], 405)
            self.assertEqual(app.call("GET", "/admin/webhooks/x", headers=ADMIN)[0], 404)

    def test_there_are_32_at_most(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            app = self.app()
            for i in range(32):
                self.assertEqual(app.call("POST", "/admin/webhooks", {"url": receiver.url(f"/{i}")}, headers=ADMIN)[0], 201)
            self.assertEqual(app.call("POST", "/admin/webhooks", {"url": receiver.url("/33")}, headers=ADMIN)[0], 409)

    def test_what_is_being_tried_out_ends_with_the_app(self):
        with Receiver() as receiver:
            self.env.update(receiver.env())
            app = self.app()
            ident = app.call("POST", "/admin/webhooks", {"url": receiver.url()}, headers=ADMIN)[2]["id"]
            receiver.answers = ["stall"]
            ends = []
            t = threading.Thread(target=lambda: ends.append(self.cut_off(app, ident)))
            t.start()
            wait_for(lambda: receiver.got, 10)
            app.child.send_signal(signal.SIGTERM)
            wait_for(lambda: '"draining"' in app.log.read_text(), 10)
            app.child.send_signal(signal.SIGTERM)  # at once
            began = time.monotonic()
            self.assertEqual(app.child.wait(10), 0)
            self.assertLess(time.monotonic() - began, 5)
            t.join(10)
            self.assertGreaterEqual(ends[0], 500)

    @staticmethod
    def cut_off(app, ident):
        """How the request ended: 5xx, or without an answer."""
        try:
            return app.call("POST", f"/admin/webhooks/{ident}/test", headers=ADMIN)[0]
        except (OSError, http.client.HTTPException):
            return 500


if __name__ == "__main__":
    main()
