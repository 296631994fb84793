#!/usr/bin/env python3
"""A replica that speaks HTTP/2 by hand and does what the file `behaviour` beside it says; what the edge tells it goes
to the file `heard`, a line each. usage: http2_hostile.py FOLDER PORT"""
import pathlib
import socket
import struct
import sys
import threading
import time

from http2_frames import (ACK, CALM, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INTERNAL, PING,
                          PREFACE, PUSH_PROMISE, REFUSED, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, headers,
                          integer, settings, text, u32)

FOLDER = pathlib.Path(sys.argv[1])
OK = [(":status", "200"), ("x-from", "replica")]
LOCK = threading.Lock()


def hear(*what):
    with LOCK, (FOLDER / "heard").open("a") as f:
        f.write(" ".join(map(str, what)) + "\n")


def once(name):
    """True the first time since the test began."""
    with LOCK:
        mark = FOLDER / ("once-" + name)
        new = not mark.exists()
        mark.touch()
        return new


def head(stream, *fields, end=True):
    return headers(stream, list(fields), END_HEADERS | (END_STREAM if end else 0))


def data(stream, payload, end=True):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def bomb(stream):
    """One field of 4000 bytes in the table, and then by its number, a byte each."""
    first = b"\x88" + b"\x40" + text("x-bomb") + text("a" * 4000)
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, first + b"\xbe" * 16000)


def flood(peer, make, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peer.send(make * 100)


def long_head(stream, size):
    return b"".join([headers(stream, block(OK), END_STREAM)] +
                    [frame(CONTINUATION, END_HEADERS if i == size - 1 else 0, stream, block([(f"x-{i}", "v" * 8000)]))
                     for i in range(size)])


BEHAVIOURS = {
    "ok": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"hello")),
    "head-too-large": lambda p, s: p.send(long_head(s, 7)),
    "bomb": lambda p, s: p.send(bomb(s)),
    "continuation-flood": lambda p, s: (p.send(headers(s, block(OK), END_STREAM)),
                                        flood(p, frame(CONTINUATION, 0, s, block([("x", "y")])))),
    "continuation-empty": lambda p, s: (p.send(headers(s, block(OK), END_STREAM)), flood(p, frame(CONTINUATION, 0, s))),
    "head-never-ends": lambda p, s: p.send(headers(s, block(OK), END_STREAM)),
    "ping-flood": lambda p, s: flood(p, frame(PING, 0, 0, b"8" * 8)),
    "settings-flood": lambda p, s: flood(p, settings((4, 70000))),
    "update-flood": lambda p, s: flood(p, frame(WINDOW_UPDATE, 0, 0, u32(1))),
    "empty-flood": lambda p, s: (p.send(head(s, *OK, end=False)), flood(p, data(s, b"", False))),
    "unknown-flood": lambda p, s: flood(p, frame(77, 0, 0, b"")),
    "beyond-the-window": lambda p, s: p.send(head(s, *OK, end=False), *[data(s, b"x" * 16384, False)] * 2000),
    "long": lambda p, s: p.long(s),
    "splitting": lambda p, s: p.send(head(s, *OK, ("x", "a\r\nset-cookie: evil=1"))),
    "nul": lambda p, s: p.send(head(s, *OK, ("x", "a\0b"))),
    "name-splitting": lambda p, s: p.send(head(s, *OK, ("x: a\r\nset-cookie", "evil=1"))),
    "upper-case": lambda p, s: p.send(head(s, *OK, ("Set-Cookie", "evil=1"))),
    "no-status": lambda p, s: p.send(head(s, ("x", "y"))),
    "two-statuses": lambda p, s: p.send(head(s, *OK[:1], *OK)),
    "status-late": lambda p, s: p.send(head(s, ("x", "y"), *OK)),
    "status-odd": lambda p, s: p.send(head(s, (":status", "2 0"))),
    "status-600": lambda p, s: p.send(head(s, (":status", "600"))),
    "status-101": lambda p, s: p.send(head(s, (":status", "101"), end=False)),
    "pseudo": lambda p, s: p.send(head(s, *OK[:1], (":path", "/"))),
    "connection": lambda p, s: p.send(head(s, *OK, ("connection", "close"))),
    "transfer-encoding": lambda p, s: p.send(head(s, *OK, ("transfer-encoding", "chunked"))),
    "lengths": lambda p, s: p.send(head(s, *OK, ("content-length", "3"), ("content-length", "5"), end=False),
                                   data(s, b"abc")),
    "interim-ends": lambda p, s: p.send(head(s, (":status", "103"))),
    "data-first": lambda p, s: p.send(data(s, b"hello")),
    "push": lambda p, s: p.send(frame(PUSH_PROMISE, END_HEADERS, s, u32(2) + block(OK))),
    "frame-too-large": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"x" * 20000)),
    "not-http2": lambda p, s: p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    "bad-hpack": lambda p, s: p.send(frame(HEADERS, END_HEADERS | END_STREAM, s, b"\xff\xff\xff\xff\xff")),
    "wrong-stream": lambda p, s: p.send(head(s + 100, *OK)),
    "closes": lambda p, s: p.close(),
    "reset": lambda p, s: p.send(frame(RST_STREAM, 0, s, u32(INTERNAL))),
    "interims": lambda p, s: p.send(*[head(s, (":status", "103"), ("link", "</a>"), end=False)] * 40),
    # what is no attack
    "short": lambda p, s: p.send(head(s, *OK, ("content-length", "10"), end=False), data(s, b"abc")),
    "cut-cancel": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"abc", False), frame(RST_STREAM, 0, s, u32(CANCEL))),
    "cut-calm": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"abc", False), frame(RST_STREAM, 0, s, u32(CALM))),
    "early-end": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"early"), frame(RST_STREAM, 0, s, u32(0))),
    "silent": lambda p, s: None,
    "refuse-once": lambda p, s: p.send(frame(RST_STREAM, 0, s, u32(REFUSED)) if once("refuse") else
                                       head(s, *OK, end=False) + data(s, b"second")),
    "goaway-once": lambda p, s: (p.send(frame(GOAWAY, 0, 0, u32(0) + u32(0))), p.close()) if once("goaway") else
    p.send(head(s, *OK, end=False), data(s, b"second")),
    "goaway-after": lambda p, s: p.send(frame(GOAWAY, 0, 0, u32(s) + u32(0)), head(s, *OK, end=False), data(s, b"last")),
    "slow": lambda p, s: (time.sleep(0.3), p.send(head(s, *OK, end=False), data(s, b"slow"))),
    "hints": lambda p, s: p.send(head(s, (":status", "103"), ("link", "</a.css>"), end=False), head(s, *OK, end=False),
                                 data(s, b"hinted")),
    "trailers": lambda p, s: p.send(head(s, *OK, end=False), data(s, b"body", False), head(s, ("x-end", "yes"))),
    "empty-body": lambda p, s: p.send(head(s, *OK)),
    "no-content": lambda p, s: p.send(head(s, (":status", "204"))),
}


class Peer:
    def __init__(self, s):
        self.s, self.buf, self.lock = s, b"", threading.Lock()
        self.initial, self.given, self.spent = 65535, {}, {}

    def send(self, *parts):
        with self.lock:
            self.s.sendall(b"".join(parts))

    def long(self, stream):
        """32 MiB as the window allows."""
        self.send(head(stream, *OK, end=False))
        for _ in range(2000):
            end = time.monotonic() + 1
            while self.open_to(stream) < 16384:
                if time.monotonic() > end:
                    hear("stuck")
                    end = 1e12
                time.sleep(0.01)
            self.spent[stream] = self.spent.get(stream, 0) + 16384
            self.send(data(stream, b"x" * 16384, False))

    def open_to(self, stream):
        return self.initial + self.given.get(stream, 0) - self.spent.get(stream, 0)

    def close(self):
        self.s.shutdown(socket.SHUT_RDWR)

    def take(self, n):
        while len(self.buf) < n:
            got = self.s.recv(65536)
            if not got:
                raise EOFError
            self.buf += got
        got, self.buf = self.buf[:n], self.buf[n:]
        return got

    def serve(self):
        how = (FOLDER / "behaviour").read_text().strip()
        most = int(how.split(":")[1]) if how.startswith("most:") else 100
        tunnels = how == "tunnel"
        if self.take(len(PREFACE)) != PREFACE:
            return
        hear("connection")
        self.send(settings((3, most), *([(8, 1)] if tunnels else [])))
        if how == "no-window":
            self.send(settings((4, 0)))
        while True:
            length = self.take(9)
            n, (kind, flags, stream) = int.from_bytes(length[:3], "big"), struct.unpack(">BBI", length[3:])
            payload = self.take(n)
            if kind == SETTINGS and not flags & ACK:
                for i in range(0, n, 6):
                    k, v = struct.unpack(">HI", payload[i:i + 6])
                    self.initial = v if k == 4 else self.initial
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == WINDOW_UPDATE:
                self.given[stream] = self.given.get(stream, 0) + struct.unpack(">I", payload)[0]
            elif kind == PING and not flags & ACK:
                hear("ping")
                if (FOLDER / "behaviour").read_text().strip() != "dead":
                    self.send(frame(PING, ACK, 0, payload))
            elif kind == RST_STREAM:
                hear("reset", stream, struct.unpack(">I", payload)[0])
            elif kind == GOAWAY:
                hear("goaway", struct.unpack(">I", payload[4:8])[0])
            elif kind == DATA:
                hear("data", stream, n, int(bool(flags & END_STREAM)))
                if how == "tunnel":
                    self.send(frame(DATA, flags & END_STREAM, stream, payload))
                elif how != "no-window" and n:
                    self.send(frame(WINDOW_UPDATE, 0, 0, u32(n)), *([] if flags & END_STREAM else
                                                                    [frame(WINDOW_UPDATE, 0, stream, u32(n))]))
            elif kind == HEADERS:
                hear("request", stream)
                self.answer(stream)

    def answer(self, stream):
        how = (FOLDER / "behaviour").read_text().strip()
        if how == "tunnel":
            self.send(head(stream, (":status", "200"), end=False))
            return
        if how in ("dead", "no-window"):
            return
        act = BEHAVIOURS["slow" if how.startswith("most:") else how]

        def run():
            try:
                act(self, stream)
            except OSError:
                pass
        threading.Thread(target=run, daemon=True).start()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=256)
    while True:
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def run(s=s):
            try:
                Peer(s).serve()
            except (EOFError, OSError):
                pass
            hear("end")
            s.close()
        threading.Thread(target=run, daemon=True).start()


if __name__ == "__main__":
    main()
