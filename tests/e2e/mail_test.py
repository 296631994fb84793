#!/usr/bin/env python3
"""Mail that leaves the Feedback App: to a real SMTP server with TLS and sign-in, from jobs written in the
transaction of the feedback, on SQLite and on PostgreSQL; the server fails in every way it can, and
processes are killed."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import BUILD, ROOT, alive, free_port, main, request, wait_for
from postgres import Postgres
from smtp_server import Smtp

sys.path.insert(0, str(ROOT / "tests/unit/apps/feedback"))
from api_test import App  # noqa: E402

ADMIN = {"Authorization": "Bearer an-admin-key-for-tests"}


def run(*argv, env=None, cwd=None, check=True):
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    done = subprocess.run([str(BUILD / "feedback-app"), *map(str, argv)], capture_output=True, text=True, timeout=60,
                          cwd=cwd, env={**clean, **(env or {})})
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Worker:
    """feedback-app worker, ended by id."""

    def __init__(self, folder, env):
        self.dir, self.port = pathlib.Path(folder), free_port()
        self.log = self.dir / f"worker-{self.port}"
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([BUILD / "feedback-app", "worker", "--port", str(self.port)], cwd=folder,
                                          stdout=out, stderr=out, env={**clean, "HOST": "127.0.0.1", **env})

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        return self.child.wait(40)


class Case(unittest.TestCase):
    """A folder, a database, and whatever is started in it."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-mail-"))
        self.started, self.env = [], {"DATABASE_URL": f"sqlite:{self.dir}/feedback.db", "JOB_LEASE": "2",
                                      "ADMIN_KEY": "an-admin-key-for-tests", "WORKERS": "inline"}

    def tearDown(self):
        for p in self.started:
            p.stop(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def app(self, **env):
        self.started.append(App(self.dir, {**self.env, **env}))
        return self.started[-1]

    def worker(self, **env):
        self.started.append(Worker(self.dir, {**self.env, **env}))
        return self.started[-1]

    def jobs(self, app, state=None):
        status, _, found = app.call("GET", "/admin/jobs" + (f"?state={state}" if state else ""), headers=ADMIN)
        assert status == 200, (status, found)
        return found["jobs"] if isinstance(found, dict) else found

    def arrived(self, smtp, count, seconds=30):
        def enough():
            return len(smtp.mails) >= count
        enough.__doc__ = f"{count} mails arrive"
        wait_for(enough, seconds)
        return smtp.mails


class Sending(Case):
    def check_created(self, smtp, database=None):
        self.env.update(smtp.env())
        if database:
            self.env["DATABASE_URL"] = database
        app = self.app()
        text = "Grüße, 日本!\nA second line.\n.\nFrom me"
        made = app.create(text)
        mail = self.arrived(smtp, 1)[0]
        self.assertEqual(mail.sender, "feedback@example.com")
        self.assertEqual(mail.recipients, ["admin@example.com"])
        self.assertEqual(mail["Subject"], "New Feedback")
        self.assertEqual(mail["To"], "admin@example.com")
        self.assertEqual(mail["From"], "Feedback App <feedback@example.com>")
        self.assertTrue(mail["Message-ID"].endswith("@example.com>"))
        self.assertIsNotNone(mail["Date"].datetime)
        self.assertEqual(mail.text(), text)
        self.assertTrue(mail.tls)
        wait_for(lambda: self.jobs(app, "done"), 10)
        job = self.jobs(app, "done")[0]
        self.assertEqual(job["kind"], "send_email_notification")
        self.assertEqual(job["args"]["feedback_id"], made["id"])
        self.assertIn("queued as", job["result"])
        self.assertEqual(len(smtp.mails), 1)

    def test_a_created_feedback_is_mailed_from_a_file(self):
        with Smtp() as smtp:
            self.check_created(smtp)

    def test_a_created_feedback_is_mailed_from_a_server_of_postgresql_by_tls_from_the_start(self):
        pg = Postgres()
        try:
            with Smtp(tls="implicit") as smtp:
                self.check_created(smtp, pg.url())
        finally:
            pg.remove()

    def test_messages_cannot_add_recipients_or_fields(self):
        with Smtp() as smtp:
            self.env.update(smtp.env())
            app = self.app()
            app.create("x\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<victim@example.com>\r\nBcc: victim@example.com")
            mail = self.arrived(smtp, 1)[0]
            self.assertEqual(mail.recipients, ["admin@example.com"])
            self.assertNotIn("Bcc", mail.message)
            self.assertIn("Bcc: victim@example.com", mail.text())

    def test_a_refused_recipient_is_a_dead_letter_with_the_dialogue_and_can_be_sent_again(self):
        with Smtp() as smtp:
            self.env.update(smtp.env())
            smtp.fault = ("rcpt", "550 5.1.1 no such user here")
            app = self.app()
            app.create("hello")
            dead = wait_for(lambda: self.jobs(app, "dead"), 20)[0]
            self.assertEqual(dead["attempt"], 1)
            self.assertIn("C: RCPT TO:<admin@example.com>", dead["error"])
            self.assertIn("S: 550 5.1.1 no such user here", dead["error"])
            self.assertNotIn("correct-horse", dead["error"])
            smtp.fault = None
            self.assertEqual(app.call("POST", f"/admin/jobs/{dead['id']}/retry", headers=ADMIN)[0] // 100, 2)
            self.arrived(smtp, 1)

    def test_a_server_that_says_later_is_asked_again(self):
        with Smtp() as smtp:
            self.env.update(smtp.env())
            smtp.fault = ("rcpt", "451 4.7.1 greylisted, try later")
            app = self.app()
            app.create("hello")
            job = wait_for(lambda: self.jobs(app, "retryable"), 20)[0]
            self.assertEqual(job["attempt"], 1)
            self.assertIn("451 4.7.1 greylisted", job["error"])
            smtp.fault = None
            app.call("POST", f"/admin/jobs/{job['id']}/retry", headers=ADMIN)
            self.arrived(smtp, 1)

    def test_a_mail_that_was_taken_and_not_acknowledged_comes_again_with_the_same_message_id(self):
        with Smtp() as smtp:
            self.env.update(smtp.env())
            smtp.fault = ("text", "taken, then cut")
            app = self.app()
            app.create("twice")
            job = wait_for(lambda: self.jobs(app, "retryable"), 20)[0]
            smtp.fault = None
            app.call("POST", f"/admin/jobs/{job['id']}/retry", headers=ADMIN)
            first, second = self.arrived(smtp, 2)[:2]
            self.assertEqual(first["Message-ID"], second["Message-ID"])
            self.assertEqual(first.data, second.data)

    def test_a_server_that_is_away_stalls_and_comes_back_loses_nothing(self):
        with Smtp() as smtp:
            self.env.update(smtp.env(SMTP_TIMEOUT="1000"))
            smtp.stop()
            app = self.app()
            for i in range(5):
                app.create(f"while it is away {i}")
            wait_for(lambda: len(self.jobs(app, "retryable")) == 5, 20)
            smtp.start()
            smtp.fault = ("text", "stall")
            began = time.monotonic()
            for i in range(3):
                app.create(f"while it stalls {i}")
            self.assertLess(time.monotonic() - began, 2)  # nobody who writes waits for it
            wait_for(lambda: len(self.jobs(app, "retryable")) == 8, 20)
            smtp.fault = None
            app.call("POST", "/admin/jobs/retry?state=retryable", headers=ADMIN)
            for j in self.jobs(app, "retryable"):
                app.call("POST", f"/admin/jobs/{j['id']}/retry", headers=ADMIN)
            mails = self.arrived(smtp, 8)
            self.assertEqual(len({m.text() for m in mails}), 8)


class Killed(Case):
    def check_kills(self, database=None, rounds=12):
        """The app dies right after a 201, workers die in the middle of mails: every feedback is mailed."""
        with Smtp() as smtp:
            self.env.update(smtp.env(), WORKERS="off", JOB_LEASE="1")
            if database:
                self.env["DATABASE_URL"] = database
            answered = []
            worker = self.worker()
            for i in range(rounds):
                app = self.app()
                for k in range(4):
                    answered.append(app.create(f"{i}.{k}")["message"])
                app.stop(signal.SIGKILL)
                if i % 3 == 2:
                    worker.stop(signal.SIGKILL)
                    worker = self.worker()
            wait_for(lambda: set(answered) <= {m.text() for m in smtp.mails}, 60)
            texts = [m.text() for m in smtp.mails]
            twice = len(texts) - len(set(texts))
            print(f"# {len(answered)} answered, 0 lost, {twice} mailed twice, {rounds} apps and {rounds // 3} workers killed")
            ids = {}
            for m in smtp.mails:
                ids.setdefault(m.text(), set()).add(m["Message-ID"])
            self.assertTrue(all(len(v) == 1 for v in ids.values()))
            self.assertLessEqual(twice, 8 * (rounds // 3))  # what a worker had under way

    def test_after_the_201_the_mail_arrives_whoever_dies_on_a_file(self):
        self.check_kills()

    def test_after_the_201_the_mail_arrives_whoever_dies_on_a_server_of_postgresql(self):
        pg = Postgres()
        try:
            self.check_kills(pg.url(), rounds=6)
        finally:
            pg.remove()


class Trial(Case):
    """The self-test: what an administrator sees when mail does not work."""

    def test_the_command_shows_the_dialogue_of_a_success(self):
        with Smtp() as smtp:
            done = run("mail", "test", "someone@example.com", env=smtp.env(), cwd=self.dir)
            for line in ("S: 220 mail.test ESMTP", "C: STARTTLS", "C: AUTH PLAIN", "C: ***",
                         "C: RCPT TO:<someone@example.com>", "sent to someone@example.com"):
                self.assertIn(line, done.stdout)
            self.assertNotIn("correct-horse", done.stdout)
            self.assertEqual(smtp.mails[0].recipients, ["someone@example.com"])

    def test_what_is_wrong_with_the_settings_is_said(self):
        with Smtp() as smtp:
            good = smtp.env()
            for change, want in (
                    ({"SMTP_PASSWORD": "wrong-horse"}, "535 5.7.8 authentication failed"),
                    ({"SMTP_CA": ""}, "certificate"),
                    ({"SMTP_URL": f"smtp://127.0.0.1:{free_port()}"}, "connect"),
                    ({"SMTP_URL": f"smtps://127.0.0.1:{smtp.port}", "SMTP_TIMEOUT": "2000"}, "* "),
                    ({"SMTP_USER": "", "SMTP_PASSWORD": ""}, "530 5.7.0 Authentication required"),
                    ({"SMTP_URL": ""}, "SMTP_URL is not set"),
                    ({"MAIL_FROM": ""}, "MAIL_FROM"),
                    ({"MAIL_FROM": "a@b, c@d"}, "MAIL_FROM"),
                    ({"SMTP_URL": "mail.example.com"}, "SMTP_URL"),
                    ({"SMTP_STARTTLS": "maybe"}, "SMTP_STARTTLS")):
                done = run("mail", "test", "a@example.com", env={**good, **change}, cwd=self.dir, check=False)
                self.assertNotEqual(done.returncode, 0, change)
                self.assertIn(want.lower(), (done.stdout + done.stderr).lower(), change)
                self.assertNotIn("-horse", done.stdout + done.stderr)
            self.assertEqual(smtp.mails, [])

    def test_nothing_is_sent_without_tls_unless_it_is_switched_off(self):
        with Smtp(tls="none") as smtp:
            done = run("mail", "test", "a@b", env=smtp.env(SMTP_STARTTLS="required"), cwd=self.dir, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn("C: AUTH", done.stdout)
            self.assertEqual(smtp.mails, [])
            run("mail", "test", "a@b", env=smtp.env(SMTP_STARTTLS="try"), cwd=self.dir)
            run("mail", "test", "a@b", env=smtp.env(SMTP_STARTTLS="off"), cwd=self.dir)
            self.assertEqual(len(smtp.mails), 2)

    def test_the_api_sends_shows_the_dialogue_and_is_for_administrators(self):
        with Smtp() as smtp:
            app = self.app(**smtp.env())
            self.assertIn(app.call("POST", "/admin/mail/test", {"to": "a@b"})[0], (401, 403))
            status, _, got = app.call("POST", "/admin/mail/test", {"to": "a@b"}, headers=ADMIN)
            self.assertEqual((status, got["ok"]), (200, True))
            self.assertIn("C: RCPT TO:<a@b>", got["dialogue"])
            smtp.fault = ("rcpt", "550 no")
            status, _, got = app.call("POST", "/admin/mail/test", {"to": "a@b"}, headers=ADMIN)
            self.assertEqual((status, got["ok"]), (200, False))
            self.assertIn("S: 550 no", got["dialogue"])
            self.assertTrue(got["error"])
            for body in ({"to": "nobody"}, {"to": 7}, {}, [], {"to": "a@b\r\nRCPT TO:<c@d>"}):
                self.assertEqual(app.call("POST", "/admin/mail/test", body, headers=ADMIN)[0], 400, body)
            self.assertEqual(len(smtp.mails), 1)
            # The app answers others while a mail is stuck.
            smtp.fault = ("text", "stall")
            slow = threading.Thread(target=lambda: app.call("POST", "/admin/mail/test", {"to": "a@b"}, headers=ADMIN,
                                                            timeout=60))
            slow.start()
            time.sleep(0.3)
            self.assertEqual(app.call("GET", "/feedback")[0], 200)
            self.assertTrue(slow.is_alive())
            smtp.stop()
            slow.join(40)


if __name__ == "__main__":
    main()
