#!/usr/bin/env python3
"""Receivers as bad as they come, one for each alert: answers that trickle, break off, have no end or lead elsewhere,
no TLS, no name, mail servers that say later or never. Counted is what arrived: what may go better is tried again,
what will not waits for the next look, nothing is lost, and nothing that was taken is sent twice. And what people are
shown is of the last attempt."""
import email.utils
import json
import socket
import ssl
import tempfile
import threading
import time
import unittest

from harness import Platform, free_port, main, request, wait_for
from smtp_server import Smtp, certificate

LOOK = 20  # seconds between two looks at a group


class Receiver:
    """Raw sockets; `script[path]` has what each request gets. Kept: (path, seconds, id, what)."""

    def __init__(self, context=None):
        self.got, self.script, self.context, self.handshakes = [], {}, context, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s:
                if self.context:
                    self.handshakes += 1
                    s = self.context.wrap_socket(s, server_side=True)
                self.answer(s)
        except OSError:
            pass

    def answer(self, s):
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(65536) or self.gone()
        head, body = data.split(b"\r\n\r\n", 1)
        fields = {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in head.decode().split("\r\n")[1:])}
        while len(body) < int(fields["content-length"]):
            body += s.recv(65536) or self.gone()
        path = head.split(b" ")[1].decode()
        todo = self.script.get(path, [])
        what = todo.pop(0) if todo else "200"
        self.got.append((path, time.monotonic(), fields.get("webhook-id"), what))
        getattr(self, "do_" + what.split(" ")[0].replace("-", "_"), self.do_status)(s, what)

    def gone(self):
        raise OSError

    def do_status(self, s, what):
        status, *more = what.split(" ", 1)
        s.sendall(f"HTTP/1.1 {status} x\r\n{''.join(m + chr(13) + chr(10) for m in more)}Content-Length: 0\r\n\r\n".encode())

    def do_date(self, s, what):
        self.do_status(s, "429 Retry-After: " + email.utils.formatdate(time.time() + 5, usegmt=True))

    def do_endless(self, s, what):
        s.sendall(b"HTTP/1.1 200 x\r\n\r\n")
        while True:
            s.sendall(b"x" * 65536)

    def do_trickle_body(self, s, what):
        self.trickle(s, b"HTTP/1.1 200 x\r\nContent-Length: 1000\r\n\r\n", b"x" * 100)

    def do_trickle_head(self, s, what):
        self.trickle(s, b"", b"HTTP/1.1 200 x\r\n" + b"X: y\r\n" * 100)

    def trickle(self, s, at_once, slowly):
        s.sendall(at_once)
        for c in slowly:
            s.sendall(bytes([c]))
            time.sleep(0.3)

    def do_cut_body(self, s, what):
        s.sendall(b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nhalf")

    def do_cut_head(self, s, what):
        s.sendall(b"HTTP/1.1 200 x\r\nContent-Le")

    def do_garbage(self, s, what):
        s.sendall(b"\x00\xffnot http\r\n\r\n")

    def do_nothing(self, s, what):
        pass

    def of(self, path):
        return [g for g in self.got if g[0] == path]

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


# What it does, one after the other; how many requests it gets before the second look.
CASES = {
    "fails": (["500", "503", "200"], 3),
    "seconds": (["429 Retry-After: 4", "200"], 2),
    "date": (["date", "200"], 2),
    "refuses": (["400"] * 99, 1),
    "gone": (["410"] * 99, 1),
    "redirects": (["302 Location: /trap", "307 Location: /trap"], 1),
    "endless": (["endless"], 1),
    "slow": (["trickle-body"], 1),
    "halfway": (["cut-body"], 1),
    "headless": (["cut-head", "garbage", "nothing", "200"], 4),
    "dozes": (["trickle-head", "200"], 2),
    "fine": (["200"], 1),
}


class Receivers(unittest.TestCase):
    def setUp(self):
        self.r, self.admin, self.smtp = Receiver(), free_port(), Smtp(tls="none", auth=False)
        self.p = Platform()
        self.tls = tempfile.TemporaryDirectory()
        _, chain, keys = certificate(self.tls.name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, keys)
        self.untrusted = Receiver(context)

    def tearDown(self):
        self.p.__exit__(None, None, None)
        for one in (self.r, self.untrusted):
            one.stop()
        self.smtp.remove()
        self.tls.cleanup()

    def up(self, urls, mail=False):
        receivers = {n: {"webhook": n.upper()} for n in urls}
        if mail:
            receivers["mail"] = {"email": ["ops@example.com"]}
        routes = [{"match": [f"case={n}"], "to": n} for n in receivers]
        alerts = {"settle": "0s", "receivers": receivers, "mail": {
            "server": f"smtp://127.0.0.1:{self.smtp.port}", "from": "alerts@example.com", "tls": "off"},
            "route": {"to": next(iter(receivers)), "group_by": ["case"], "wait": "0s", "interval": f"{LOOK}s", "routes": routes}}
        self.p.file.write_text(json.dumps({
            "version": 1, "project": "r", "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "edge": {"workers": 1, "listen": {"http": free_port()}},
            "apps": {"sleeper": {"command": "sleep 1000", "replicas": 1}}, "alerts": alerts}))
        self.p.__enter__()
        for n, url in urls.items():
            self.p.run("secret", "set", n.upper(), input=url)
        self.p.up()
        self.token = self.p.run("token", "create", "ci", "--role", "deployer").stdout.split()[-1]

    def api(self, method, path, body=None):
        status, _, text = request(self.admin, method, path, body, {"Authorization": f"Bearer {self.token}"})
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def fire(self, *cases):
        self.api("POST", "/api/v2/alerts", [{"labels": {"alertname": "A", "case": c}} for c in cases])
        return time.monotonic()

    def shown(self):
        return {g["receiver"]["name"]: (g["last"], g.get("lastError", ""))
                for g in self.api("GET", "/api/v2/alerts/groups")}

    def test_what_arrives_is_counted(self):
        urls = {n: f"http://127.0.0.1:{self.r.port}/{n}" for n in CASES}
        urls["untrusted"] = f"https://127.0.0.1:{self.untrusted.port}/untrusted"
        urls["nameless"] = "http://no-such-host.invalid/nameless"
        urls["plain"] = f"https://127.0.0.1:{self.r.port}/plain"
        self.r.script = {"/" + n: list(script) for n, (script, _) in CASES.items()}
        self.up(urls)
        t0 = self.fire(*urls)
        wait_for(lambda: len(self.r.of("/fine")) == 1, 10)
        wait_for(lambda: self.untrusted.handshakes >= 2, 15)  # tried again
        wait_for(lambda: all(self.shown()[n][0] == "failed" for n in ("nameless", "plain")), 15)
        shown = self.shown()
        self.assertEqual(shown["fine"], ("sent", ""))
        self.assertEqual(shown["refuses"], ("failed", "status 400"))
        self.assertEqual(shown["redirects"][0], "failed")
        self.assertEqual(shown["untrusted"][0], "failed")
        self.assertRegex(shown["untrusted"][1], "(?i)certificate|ssl")
        self.assertRegex(shown["nameless"][1], "(?i)resolve")
        self.assertIn("refuses/webhook: status 400 (attempt 1)", self.p.run("alerts").stdout)
        refused = next(g for g in self.api("GET", "/api/v2/alerts/groups") if g["receiver"]["name"] == "refuses")
        self.assertEqual(refused["nextAttempt"], refused["nextFlush"], "given up until the next look")
        self.assertLess(refused["failingSince"], refused["nextAttempt"])
        time.sleep(max(0, t0 + LOOK - 1.5 - time.monotonic()))
        self.assertEqual({n: len(self.r.of("/" + n)) for n in CASES}, {n: count for n, (_, count) in CASES.items()})
        for n in CASES:
            self.assertEqual(len({g[2] for g in self.r.of("/" + n)}), 1, f"{n}: all attempts are one message")
        for n, least in (("seconds", 4), ("date", 3.9)):  # a date has whole seconds
            first, second = self.r.of("/" + n)
            self.assertGreaterEqual(second[1] - first[1], least, n)
        # The second look: what was refused is asked once more, what was taken never again.
        wait_for(lambda: len(self.r.of("/refuses")) == 2 and len(self.r.of("/redirects")) == 2, 10)
        time.sleep(3)
        again = {n: count + (n in ("refuses", "gone", "redirects")) for n, (_, count) in CASES.items()}
        self.assertEqual({n: len(self.r.of("/" + n)) for n in CASES}, again)
        self.assertEqual(self.r.of("/trap"), [])
        self.assertEqual(self.untrusted.got, [])
        shown = self.shown()
        for n in ("fails", "seconds", "date", "endless", "slow", "halfway", "headless", "dozes", "fine"):
            self.assertEqual(shown[n], ("nothing new", ""), n)
        # It takes it again: the third look tells it, and says so.
        self.r.script["/refuses"] = []
        wait_for(lambda: self.shown()["refuses"] == ("sent", ""), LOOK + 5)
        self.assertEqual(len({g[2] for g in self.r.of("/refuses")}), 1)

    def test_mail_is_counted(self):
        self.up({"hook": f"http://127.0.0.1:{self.r.port}/hook"}, mail=True)
        self.smtp.fault = ("rcpt", "451 4.7.1 later")
        self.fire("mail")
        wait_for(lambda: self.smtp.connections >= 2, 15)
        self.assertEqual(self.shown()["mail"][0], "failed")
        self.assertIn("451", self.shown()["mail"][1])
        self.assertEqual(self.smtp.mails, [])
        self.smtp.fault = None
        wait_for(lambda: self.smtp.mails, 15)
        wait_for(lambda: self.shown()["mail"][0] in ("sent", "nothing new"), 5)
        self.assertEqual(len(self.smtp.mails), 1)
        # Never: not before the next look. Its end is another message, which is taken then.
        self.smtp.fault, before = ("rcpt", "550 5.1.1 nobody here"), self.smtp.connections
        self.api("POST", "/api/v2/alerts", [{"labels": {"alertname": "B", "case": "mail"}}])
        wait_for(lambda: self.smtp.connections > before, LOOK + 5)
        wait_for(lambda: self.shown()["mail"][0] == "failed", 5)
        time.sleep(LOOK / 2)
        self.assertEqual(self.smtp.connections, before + 1)
        self.assertIn("550", self.shown()["mail"][1])
        # Taken, and then no answer: it may come twice, and is the same mail.
        self.smtp.fault = ("text", "taken, then cut")
        wait_for(lambda: len(self.smtp.mails) == 2, LOOK + 5)
        self.smtp.fault = None
        wait_for(lambda: len(self.smtp.mails) == 3, 15)
        self.assertEqual(self.smtp.mails[1]["Message-ID"], self.smtp.mails[2]["Message-ID"])
        time.sleep(3)
        self.assertEqual(len(self.smtp.mails), 3)


if __name__ == "__main__":
    main()
