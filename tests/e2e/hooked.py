"""What tests of alerts stand on: a platform whose messages go to a receiver of webhooks, and a process that
exposes metrics as the test says."""
import http.server
import threading
import unittest

from harness import Platform
from webhook_server import Receiver


class Exporter:
    """Metrics at a port: what `text`, a function, gives. `scrapes` counts."""

    def __init__(self, text):
        self.scrapes, me = 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                me.scrapes += 1
                body = text(me).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Hooked(unittest.TestCase):
    """`start` brings the platform up; secrets are addresses of `self.hook`, by their paths."""

    exporter = None

    def start(self, text, secrets, files=None):
        self.hook, self.p = Receiver(tls=False), Platform()
        self.p.file.write_text(text)
        for name, content in (files or {}).items():
            path = self.p.file.parent / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        self.p.__enter__()
        for name, path in secrets.items():
            self.p.run("secret", "set", name, input=self.hook.url(path, "127.0.0.1"))
        self.p.up()

    def tearDown(self):
        self.p.__exit__(None, None, None)
        self.hook.close()
        if self.exporter:
            self.exporter.close()

    def viewer(self):
        return self.p.run("token", "create", "viewer", "--role", "viewer").stdout.split()[-1]

    def told(self, name):
        """(status, labels, annotations) of each message about an alert, in order"""
        return [(a["status"], a["labels"], a["annotations"]) for d in list(self.hook.got)
                for a in d.json["alerts"] if a["labels"]["alertname"] == name]

    def pid(self, role):
        try:
            return next(iter(self.p.pids(role)), None)
        except (AssertionError, ValueError):
            return None
