"""A receiver of webhooks for tests, by https with an authority of its own: keeps what it was sent, verifies
each signature by a reading of the specification that is not the app's, and answers as it is told."""
import base64
import hashlib
import hmac
import http.server
import json
import shutil
import ssl
import tempfile
import threading
import time

from smtp_server import certificate


def verify(secret, headers, body, now=None):
    """The signatures that fit (0 or more); raises when the timestamp is not of now."""
    ident, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs((now or time.time()) - int(stamp)) > 300:
        raise AssertionError(f"timestamp {stamp}")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    want = base64.b64encode(hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    return sum(hmac.compare_digest(s, f"v1,{want}") for s in headers["webhook-signature"].split(" "))


class Delivery:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.json, self.at = json.loads(body), time.monotonic()


class Receiver:
    def __init__(self, tls=True):
        self.got, self.answers, self.tls = [], [], tls  # answers: (status, headers, body) or "stall", oldest first
        self.dir = tempfile.mkdtemp(prefix="hg-hook-")
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(Delivery(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                answer = receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
                if answer == "stall":
                    time.sleep(60)
                    return
                status, headers, text = answer
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port, self.ca = self.server.server_address[1], ""
        if tls:
            self.ca, chain, key = certificate(self.dir)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path="/hook", host="localhost"):
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def env(self, **more):
        return {"WEBHOOKS": "on", "WEBHOOK_ALLOW": "127.0.0.0/8,::1", "WEBHOOK_CA": str(self.ca), **more}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
