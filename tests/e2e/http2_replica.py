#!/usr/bin/env python3
"""A replica that speaks HTTP/1.1 and says what it saw. usage: http2_replica.py PORT"""
import base64
import hashlib
import json
import select
import socket
import struct
import sys
import threading
import time

SEEN, PEERS = [], []
# Says what protocol the browser used, and what it heard from a WebSocket.
PAGE = b"""<!doctype html><script>
const s = new WebSocket(`wss://${location.host}/ws`), heard = [];
const by = performance.getEntriesByType("navigation")[0].nextHopProtocol;
s.onopen = () => { s.send("one"); s.send("x".repeat(300)); };
s.onmessage = (m) => { heard.push(m.data.length); if (heard.length == 2) s.close(1000); };
s.onclose = (e) => fetch(`/report?by=${by}&heard=${heard}&clean=${e.wasClean}`);
</script>"""


class Peer:
    def __init__(self, s):
        self.s, self.buf, self.reading, self.told = s, b"", False, False

    def more(self):
        self.reading = True
        got = self.s.recv(65536)
        self.reading = False
        if not got:
            raise EOFError
        self.buf += got

    def until(self, mark):
        while mark not in self.buf:
            self.more()
        head, self.buf = self.buf.split(mark, 1)
        return head

    def take(self, n):
        while len(self.buf) < n:
            self.more()
        got, self.buf = self.buf[:n], self.buf[n:]
        return got

    def request(self):
        """(method, path, fields, body, trailers)"""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        names = {name.lower(): value for name, value in fields}
        body, trailers = b"", []
        if names.get("expect") == "100-continue":
            self.s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "content-length" in names:
            body = self.take(int(names["content-length"]))
        elif "transfer-encoding" in names:
            while size := int(self.until(b"\r\n"), 16):
                body += self.take(size)
                self.take(2)
            while line := self.until(b"\r\n").decode("latin-1"):
                trailers.append(line)
        return method, path, fields, body, trailers

    def say(self, *parts):
        self.s.sendall(b"".join(p.encode() if isinstance(p, str) else p for p in parts))

    def answer(self, body, status="200 OK", more=""):
        self.say(f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n", body)

    def chunk(self, data):
        self.say(f"{len(data):x}\r\n", data, "\r\n")


def websocket(peer, fields):
    names = {name.lower(): value for name, value in fields}
    accept = hashlib.sha1((names["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
    peer.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: " + base64.b64encode(accept.digest()).decode() + "\r\n\r\n")
    while True:  # every frame comes back as a text frame without a mask
        first, length = peer.take(2)
        n = length & 127
        if n == 126:
            n, = struct.unpack(">H", peer.take(2))
        mask = peer.take(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(peer.take(n)))
        if first & 15 == 8:
            peer.say(bytes([0x88, len(data)]), data)
            return
        head = bytes([0x81, n]) if n < 126 else b"\x81\x7e" + struct.pack(">H", n)
        peer.say(head, data)


def unread(s):
    return bool(select.select([s], [], [], 0)[0])


def settled(listener):
    """Whether all that has come stands in SEEN: nobody waits to be accepted, and of each connection the request
    was written down, or is waited for."""
    return not unread(listener) and all(p.told or p.reading and not unread(p.s) for p in list(PEERS))


def serve(peer, listener):
    while True:
        peer.told = False
        method, path, fields, body, trailers = peer.request()
        if path not in ("/seen", "/health"):
            SEEN.append({"method": method, "path": path, "fields": fields, "body": body.decode("latin-1"),
                         "trailers": trailers})
        peer.told = True
        if path == "/seen":
            while not settled(listener):
                time.sleep(0.001)
            peer.answer(json.dumps(SEEN).encode())
            SEEN.clear()
            continue
        if path == "/health":
            peer.answer(b"ok")
            continue
        if path == "/ws":
            websocket(peer, fields)
            return
        if path == "/ws-wrong":
            peer.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n")
            return
        if path == "/ws-no":
            peer.answer(b"no", "403 Forbidden")
            continue
        if path == "/trailers":  # as gRPC answers
            peer.say("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(3):
                peer.chunk(b"message%d" % i)
                time.sleep(0.05)
            peer.say("0\r\nGrpc-Status: 0\r\nGrpc-Message: fine\r\n\r\n")
        elif path == "/page":
            peer.answer(PAGE, more="Content-Type: text/html\r\n")
        elif path.startswith("/bytes/"):
            peer.answer(b"x" * int(path[7:]))
        elif path == "/hints":
            peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            time.sleep(0.05)
            peer.answer(b"hinted")
        elif path == "/slow":
            time.sleep(1)
            peer.answer(b"slow")
        elif path == "/cut":
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            return
        elif path == "/cookies":
            peer.answer(b"", more="Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: x\r\nX: hop\r\n"
                                  "Keep-Alive: timeout=5\r\n")
        elif path == "/204":
            peer.say("HTTP/1.1 204 No Content\r\n\r\n")
        elif method == "HEAD":
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        else:
            peer.answer(body or b"=")


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    while True:
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(s)
        PEERS.append(peer)

        def run(peer=peer):
            try:
                serve(peer, listener)
            except (EOFError, OSError):
                pass
            finally:
                PEERS.remove(peer)
                peer.s.close()
        threading.Thread(target=run, daemon=True).start()


main()
