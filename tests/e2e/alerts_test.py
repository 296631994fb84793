#!/usr/bin/env python3
"""Alerts reach people: through receivers that time out, answer 500, 429, garbage or nothing, over kill -9 of
control between a message and its answer, and by amtool. Counted is what a receiver got: nothing is lost, and
nothing is doubled but what was cut off, which has the same id."""
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

from harness import Platform, free_port, kill, main, request, wait_for  # noqa: E402
from smtp_server import Smtp
from webhook_server import verify

KEY = "whsec_" + "bXktc2VjcmV0LWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM="


class Hostile:
    """Plain HTTP; `script` has what each path does next: a status, "stall", "close", "garbage"."""

    def __init__(self):
        self.got, self.script, self.port = [], {}, free_port()
        me = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                todo = me.script.get(self.path, [])
                what = todo.pop(0) if todo else 200
                me.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body, what))
                if what == "stall":
                    time.sleep(40)
                elif what == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif what == "garbage":
                    self.wfile.write(b"\x00\xffnot http at all\r\n\r\n")
                    self.close_connection = True
                else:
                    self.send_response(what)
                    if what == 429:
                        self.send_header("Retry-After", "2")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, path):
        return [(h, json.loads(b), w) for p, h, b, w in list(self.got) if p == path]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def config(admin, smtp, more=""):
    return f"""
version: 1
project: alerts
admin: {{listen: 127.0.0.1:{admin}}}
edge: {{workers: 1, listen: {{http: {free_port()}}}}}
apps:
  sleeper: {{command: sleep 1000, replicas: 1}}
alerts:
  settle: 1s
  mail: {{server: "smtp://127.0.0.1:{smtp}", from: "Headgate <alerts@example.com>", tls: off}}
  receivers:
    hooks: {{webhook: HOOK_URL, webhook_key: HOOK_KEY}}
    chat:  {{slack: CHAT_URL}}
    pager: {{pagerduty: PAGER_KEY, pagerduty_url: "http://127.0.0.1:{{PORT}}/pager"}}
    post:  {{email: [ops@example.com], text: "{{{{ .CommonLabels.app }}}} {{{{ .NoSuchField }}}}"}}
  route:
    wait: 1s
    interval: 10s
    warning: hooks
    critical: [hooks, chat, pager, post]
{more}"""


class Alerts(unittest.TestCase):
    def setUp(self):
        self.hostile, self.smtp, self.admin = Hostile(), Smtp(tls="none", auth=False), free_port()
        text = config(self.admin, self.smtp.port).replace("{PORT}", str(self.hostile.port))
        self.p = Platform()
        self.p.file.write_text(text)
        self.p.__enter__()
        base = f"http://127.0.0.1:{self.hostile.port}"
        for name, value in (("HOOK_URL", base + "/hook"), ("CHAT_URL", base + "/chat"), ("HOOK_KEY", KEY),
                            ("PAGER_KEY", "R0UT1NG")):
            self.p.run("secret", "set", name, input=value)
        self.p.up()
        self.token = self.p.run("token", "create", "ci", "--role", "deployer").stdout.split()[-1]

    def tearDown(self):
        self.p.__exit__(None, None, None)
        self.hostile.stop()
        self.smtp.remove()

    def api(self, method, path, body=None):
        status, _, text = request(self.admin, method, path, body, {"Authorization": f"Bearer {self.token}"})
        return status, json.loads(text or b"null")

    def fire(self, name, severity="warning", **more):
        labels = {"alertname": name, "severity": severity, "app": "shop", **more}
        status, answer = self.api("POST", "/api/v2/alerts", [
            {"labels": labels, "annotations": {"summary": "x"}, "generatorURL": "http://g/"}])
        self.assertEqual(status, 200, answer)

    def accepted(self, path, name):
        """ids of the messages about an alert that the receiver took"""
        return [h["webhook-id"] for h, b, w in self.hostile.of(path)
                if w == 200 and b["groupLabels"].get("alertname") == name]

    def test_hostile_receivers_lose_and_double_nothing(self):
        self.hostile.script["/hook"] = [500, 429, "garbage", "close", 503]
        self.fire("Hostile")
        wait_for(lambda: self.accepted("/hook", "Hostile"), 60)
        tries = self.hostile.of("/hook")
        self.assertEqual([w for _, _, w in tries], [500, 429, "garbage", "close", 503, 200])
        self.assertEqual(len({h["webhook-id"] for h, _, _ in tries}), 1)
        headers, body, _ = tries[-1]
        raw = [b for p, _, b, w in self.hostile.got if p == "/hook"][-1]
        self.assertEqual(verify(KEY, headers, raw), 1)
        self.assertEqual(body["version"], "4")
        self.assertEqual(body["groupKey"], '{}/{severity="warning"}:{alertname="Hostile", app="shop"}')
        self.assertEqual(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z")
        # refused for good: not tried again before the group is looked at
        self.hostile.script["/hook"] = [400]
        self.fire("Refused")
        wait_for(lambda: any(w == 400 for _, _, w in self.hostile.of("/hook")))
        wait_for(lambda: self.accepted("/hook", "Refused"), 60)
        self.assertEqual(len(self.accepted("/hook", "Hostile")), 1)
        seen = [h["webhook-id"] for h, b, _ in self.hostile.of("/hook") if b["groupLabels"]["alertname"] == "Refused"]
        self.assertEqual(len(seen), 2)

    def test_control_dies_between_message_and_answer(self):
        self.hostile.script["/hook"] = ["stall"]
        self.fire("Cut")
        first = wait_for(lambda: self.hostile.of("/hook"), 30)[0]
        kill(self.p.pids("control")[0])
        wait_for(lambda: self.accepted("/hook", "Cut"), 60)
        self.assertEqual(self.accepted("/hook", "Cut"), [first[0]["webhook-id"]])
        # Told once: the next control tells nobody again, and knows alert and silence.
        silence = self.p.run("alerts", "silence", "add", "app=shop", "--comment", "work").stdout.strip()
        kill(self.p.pids("control")[0])
        wait_for(lambda: self.p.run("alerts", check=False).returncode == 0, 30)
        self.assertIn("silenced", self.p.run("alerts").stdout)
        self.assertIn(silence, self.p.run("alerts", "silence", "list").stdout)
        self.fire("Later")
        time.sleep(4)
        self.assertEqual([(b["groupLabels"], b["status"], h["webhook-id"]) for h, b, _ in self.hostile.of("/hook")[2:]], [])
        self.p.run("alerts", "silence", "expire", silence)
        wait_for(lambda: self.accepted("/hook", "Later"), 60)
        self.assertEqual(len(self.accepted("/hook", "Cut")), 1)

    def test_every_kind_of_receiver(self):
        self.fire("All", "critical")
        wait_for(lambda: self.hostile.of("/chat") and self.hostile.of("/pager") and self.smtp.mails
                 and self.accepted("/hook", "All"), 60)
        chat = self.hostile.of("/chat")[0][1]["attachments"][0]
        self.assertEqual(chat["title"], "[FIRING:1] All shop")
        self.assertEqual(chat["color"], "danger")
        pager = self.hostile.of("/pager")[0][1]
        self.assertEqual((pager["event_action"], pager["routing_key"], pager["payload"]["severity"]),
                         ("trigger", "R0UT1NG", "critical"))
        self.assertRegex(pager["dedup_key"], "^[0-9a-f]{64}$")
        # The template of this receiver fails while it runs: the text is a plain one.
        mail = self.smtp.mails[0]
        self.assertEqual(mail["Subject"], "[FIRING:1] All shop")
        self.assertIn('alertname="All"', mail.text())
        log = (pathlib.Path(self.p.data) / "store/headgate.db").read_bytes() + self.p.platform_log().encode()
        for secret in (KEY, "R0UT1NG"):
            self.assertNotIn(secret.encode(), log)
        out = self.p.run("alerts", "test-receiver", "hooks").stdout
        self.assertIn("hooks/webhook: delivered (status 200)", out)
        self.hostile.script["/hook"] = [404]
        bad = self.p.run("alerts", "test-receiver", "hooks", check=False)
        self.assertEqual(bad.returncode, 6, bad.stderr)
        self.assertIn("404", bad.stderr)

    @unittest.skipUnless(shutil.which("amtool"), "amtool is not installed")
    def test_amtool(self):
        http = pathlib.Path(self.p.data) / "amtool.yml"
        http.write_text(f"authorization: {{credentials: {self.token}}}\n")
        env = {**os.environ, "HOME": str(self.p.data)}

        def amtool(*argv):
            done = subprocess.run(["amtool", f"--alertmanager.url=http://127.0.0.1:{self.admin}",
                                   f"--http.config.file={http}", *argv], env=env, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        amtool("alert", "add", "ByTool", "severity=warning", "app=shop", "--annotation=summary=hello")
        wait_for(lambda: self.accepted("/hook", "ByTool"), 60)
        self.assertIn("ByTool", amtool("alert", "query"))
        self.assertNotIn("ByTool", amtool("alert", "query", "app=other"))
        silence = amtool("silence", "add", "alertname=ByTool", "--comment=work", "--author=me").strip()
        self.assertIn(silence, amtool("silence", "query"))
        self.assertNotIn("ByTool", amtool("alert", "query"))
        self.assertIn("ByTool", amtool("alert", "query", "--silenced"))
        amtool("silence", "expire", silence)
        self.assertNotIn(silence, amtool("silence", "query"))
        self.assertIn("headgate", amtool("config", "show") or "headgate")


if __name__ == "__main__":
    main()
