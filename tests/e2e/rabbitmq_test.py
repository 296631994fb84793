#!/usr/bin/env python3
"""RabbitMQ behind the queue: a real broker that is killed under load, queues that are deleted, messages that
are not ours; nothing that was confirmed is lost, and what comes twice is counted."""
import json
import random
import signal
import subprocess
import threading
import time
import unittest

from harness import BUILD, LONG, main, wait_for
import mail_test
from rabbitmq import RabbitMQ
from smtp_server import Smtp

DRIVE = BUILD / "tests/e2e/amqp_drive"
BROKER = []


def broker():
    """One for all tests: it takes seconds to start."""
    if not BROKER:
        BROKER.append(RabbitMQ())
    return BROKER[0]


def tearDownModule():
    for b in BROKER:
        b.remove()


class Drive:
    def __init__(self, url, queue, n, seconds, rate, *more):
        self.child = subprocess.Popen([str(a) for a in (DRIVE, url, queue, n, seconds, rate, *more)],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.notes = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.child.stderr:
            self.notes += line

    def wait_connected(self, times):
        wait_for(lambda: self.notes.count("the broker is there") >= times, 60)

    def result(self):
        out = self.child.stdout.read()
        self.reader.join(10)
        assert self.child.wait(10) == 0, (self.child.returncode, self.notes)
        return json.loads(out)


class Broker(unittest.TestCase):
    def test_what_is_published_is_confirmed_delivered_once_and_acknowledged(self):
        r = broker()
        got = Drive(r.url(), "plain", 2000, 60, 0).result()
        self.assertEqual((got["confirmed"], got["lost"], got["twice"], got["losses"]), (2000, 0, 0, 0))
        wait_for(lambda: r.queues()["plain"] == (0, "quorum"), 30)
        self.assertEqual(r.queues()["plain-dlq"], (0, "quorum"))
        print(f"# 2000 messages confirmed and acknowledged in {got['ms']} ms")

    def test_what_was_not_acknowledged_is_delivered_to_another(self):
        r = broker()
        got = Drive(r.url(), "handed-on", 20, 2, 0, "mute").result()
        self.assertEqual(got["confirmed"], 20)
        wait_for(lambda: r.queues()["handed-on"][0] == 20, 30)  # it counts every few seconds
        got = Drive(r.url(), "handed-on", 20, 30, 0).result()
        self.assertEqual((got["confirmed"], got["lost"]), (20, 0))
        wait_for(lambda: r.queues()["handed-on"][0] == 40 - got["delivered"], 30)

    def test_a_queue_that_is_deleted_is_made_anew_and_its_messages_count_as_not_kept(self):
        r = broker()
        drive = Drive(r.url(), "deleted", 1000000, 200, 700, "mute")
        drive.wait_connected(1)
        r.ctl("delete_queue", "deleted")
        drive.wait_connected(2)
        time.sleep(1.0)
        drive.child.send_signal(signal.SIGTERM)
        got = drive.result()
        self.assertGreater(got["confirmed"], 700)
        self.assertEqual(got["open"], 0, got)
        self.assertGreaterEqual(got["losses"], 1)

    def test_a_message_that_is_not_ours_goes_to_the_dead_letters(self):
        r = broker()
        Drive(r.url(), "strange", 1, 30, 0).result()
        self.publish(r, "strange", "hello")
        drive = Drive(r.url(), "strange", 100, 60, 0)
        got = drive.result()
        self.assertEqual((got["confirmed"], got["lost"], got["twice"]), (100, 0, 0))
        self.assertIn("not ours", drive.notes)
        wait_for(lambda: r.queues()["strange-dlq"][0] == 1, 30)

    @staticmethod
    def publish(r, queue, text):
        """By the broker's own client, without the properties that our messages have."""
        r.ctl("eval", 'Q = rabbit_misc:r(<<"/">>, exchange, <<>>), '
                      f'M = rabbit_basic:message(Q, <<"{queue}">>, [], <<"{text}">>), '
                      'rabbit_basic:publish(rabbit_basic:delivery(false, false, M, undefined)).')

    def test_a_broker_that_confirms_nothing_is_left_and_what_it_was_given_is_sent_again(self):
        r = broker()
        drive = Drive(r.url(), "alarm", 1000000, 120, 20)
        drive.wait_connected(1)
        r.ctl("set_vm_memory_high_watermark", "absolute", "1")
        try:
            wait_for(lambda: "it has not confirmed a message for 20 s" in drive.notes, 60)
        finally:
            r.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
        drive.wait_connected(2)
        drive.child.send_signal(signal.SIGTERM)
        got = drive.result()
        self.assertEqual((got["lost"], got["open"]), (0, 0), got)
        self.assertGreater(got["unsure"], 0)

    def test_a_wrong_password_and_no_broker_are_said_and_tried_again(self):
        r = broker()
        wrong = Drive(r.url().replace("guest:guest", "guest:wrong"), "none", 1, 2, 0)
        self.assertEqual(wrong.result()["confirmed"], 0)
        self.assertIn("sign-in", wrong.notes)
        away = Drive("amqp://guest:guest@127.0.0.1:1", "none", 1, 2, 0)
        self.assertEqual(away.result()["confirmed"], 0)
        self.assertGreaterEqual(away.notes.count("the broker is not there"), 2)
        for url, why in (("http://x", "amqp://"), ("x", "amqp://"), ("amqp://x?ca=f", "amqp://"),
                         ("amqps://x?verify=no", "ca=FILE"), ("amqps://x?ca=/nowhere", "could not read")):
            done = subprocess.run([DRIVE, url, "q", "1", "1", "0"], capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 2, url)
            self.assertIn(why, done.stderr)


class Mailed(mail_test.Case):
    def test_jobs_go_through_it_and_outlive_its_death(self):
        """create → outbox → RabbitMQ → worker → mail; the broker dies in between and every mail arrives once."""
        r = broker()
        with Smtp() as smtp:
            self.env.update(smtp.env(), QUEUE_URL=r.url(), QUEUE_LEASE="5", WORKERS="off")
            app = self.app()
            self.worker()
            texts = [app.create(f"through the broker {i}")["message"] for i in range(20)]
            self.arrived(smtp, 20)
            self.assertIn("notification-queue", r.queues())
            r.written("notification-queue")
            r.kill()
            texts += [app.create(f"while it is away {i}")["message"] for i in range(10)]
            r.start()
            texts += [app.create(f"when it is back {i}")["message"] for i in range(10)]
            wait_for(lambda: set(texts) <= {m.text() for m in smtp.mails}, 60)
            wait_for(lambda: len(self.jobs(app, "done")) == 40, 30)
            print(f"# 40 jobs, {len(smtp.mails)} mails")
            self.assertEqual(len(smtp.mails), 40)


class Killed(unittest.TestCase):
    def test_kill_9_under_load_loses_nothing_that_was_confirmed(self):
        r = broker()
        kills = 10 if LONG else 2
        # It ends by itself while somebody can still be told what it waited for.
        drive = Drive(r.url(), "killed", 1000000, 600 if LONG else 200, 400)
        drive.wait_connected(1)
        r.written("killed")
        for i in range(kills):
            drive.wait_connected(i + 1)
            time.sleep(random.uniform(0.5, 3.0))
            r.kill()
            r.start()
        drive.wait_connected(kills + 1)
        time.sleep(1.0)
        drive.child.send_signal(signal.SIGTERM)
        got = drive.result()
        print(f"# {kills} kills: {got['confirmed']} confirmed, {got['lost']} lost, {got['twice']} twice, "
              f"{got['unsure']} published again, connected {got['connects']} times")
        self.assertGreater(got["confirmed"], 400 * kills, f"{drive.notes[-2000:]}\n{r.said()[-6000:]}")
        self.assertEqual((got["lost"], got["open"]), (0, 0), got)
        self.assertGreaterEqual(got["connects"], kills + 1)


if __name__ == "__main__":
    main()
