#!/usr/bin/env python3
"""A replica that speaks HTTP/1.1 by TLS and says what it saw of the connection.
usage: tls_replica.py PORT|SOCKET CERT KEY [CLIENT_CA]. CERT and KEY are read again when they change. MODE in the
environment: plain (no TLS), silent (takes connections and says nothing)."""
import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import sys
import threading

WHERE, CERT, KEY = sys.argv[1:4]
CLIENT_CA = sys.argv[4] if len(sys.argv) > 4 else None
MODE = os.environ.get("MODE", "")
NAMES = {}  # what the hello asked for, by connection
LOCK = threading.Lock()


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(CERT, KEY)
    c.set_alpn_protocols(["http/1.1"])
    c.sni_callback = lambda s, name, _: NAMES.__setitem__(id(s), name)
    if CLIENT_CA:
        c.verify_mode = ssl.CERT_REQUIRED
        c.load_verify_locations(CLIENT_CA)
    return c


class Contexts:
    stamp, now = None, None

    def get(self):
        with LOCK:
            stamp = os.stat(CERT).st_mtime_ns
            if stamp != self.stamp:
                self.stamp, self.now = stamp, context()
            return self.now


CONTEXTS = Contexts()


def head_of(s, buf):
    while b"\r\n\r\n" not in buf:
        got = s.recv(65536)
        if not got:
            return None, b""
        buf += got
        if buf[0] == 22:  # a hello that was not expected
            s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return None, b""
    head, rest = buf.split(b"\r\n\r\n", 1)
    return head.decode(), rest


def answer(s, body, more=""):
    s.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)


def websocket(s, key):
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:  # echoes bytes as they come, until the end
        got = s.recv(65536)
        if not got:
            break
        s.sendall(got)
    s.sendall(b"bye")


def serve(s, about):
    buf = b""
    while True:
        head, buf = head_of(s, buf)
        if head is None:
            return
        lines = head.split("\r\n")
        path = lines[0].split()[1]
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        left = int(fields.get("content-length", 0)) - len(buf)
        while left > 0:
            left -= len(s.recv(min(left, 65536)))
        buf = b""
        path = "/" + path.rsplit("/", 1)[-1]
        if path == "/ws":
            return websocket(s, fields["sec-websocket-key"])
        if path in ("/end", "/cut"):  # only the end of the connection ends it
            s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000)
            if path == "/cut" or MODE == "plain":
                return None
            s.unwrap()
            return None
        if path == "/goodbye":  # closes without being asked to, with a word or without one
            answer(s, b"{}")
            return None
        if path == "/big":
            answer(s, b"b" * 5_000_000)
            continue
        answer(s, json.dumps({**about, "pid": os.getpid(), "got": int(fields.get("content-length", 0))}).encode())


def talk(s):
    try:
        about = {}
        if MODE == "silent":
            s.recv(65536)
            threading.Event().wait()
        if MODE != "plain":
            s = CONTEXTS.get().wrap_socket(s, server_side=True)
            peer = s.getpeercert() or {}
            about = {"version": s.version(), "alpn": s.selected_alpn_protocol(), "resumed": s.session_reused,
                     "name": NAMES.pop(id(s), None),
                     "client": dict(x[0] for x in peer.get("subject", ())).get("commonName")}
        serve(s, about)
    except (OSError, ssl.SSLError, ValueError):
        pass
    finally:
        s.close()


def main():
    if WHERE.isdigit():
        listener = socket.create_server(("127.0.0.1", int(WHERE)), backlog=512)
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(WHERE)
        listener.listen(512)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        s, _ = listener.accept()
        threading.Thread(target=talk, args=(s,), daemon=True).start()


main()
