#!/usr/bin/env python3
"""A replica that tells what it sees. Requests are answered "ok"; /own/N is answered N; /r/ID?MODE is
answered with the bytes of that hostile reply of cases.py, split as MODE says.

usage: recorder.py --port PORT --report PORT. On the report port one JSON object a line comes for all
bytes and for every complete request; a line "sync" is answered when all that had arrived was read."""
import argparse
import json
import selectors
import socket
import time

import cases

BY_ID = {r.id: r for r in cases.REPLIES}


def head_end(buf):
    at = buf.find(b"\r\n\r\n")
    return -1 if at < 0 else at + 4


def parse(buf):
    """(method, target, fields, body, bytes used) of one request; None: not complete; ValueError."""
    end = head_end(buf)
    if end < 0:
        return None
    lines = bytes(buf[:end - 4]).split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ValueError(f"request line {lines[0]!r}")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise ValueError(f"field line {line!r}")
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    body, used = b"", end
    codings = [v for n, v in fields if n.lower() == "transfer-encoding"]
    lengths = [v for n, v in fields if n.lower() == "content-length"]
    if codings:
        while True:
            line = buf.find(b"\r\n", used)
            if line < 0:
                return None
            size = int(bytes(buf[used:line]).split(b";")[0], 16)
            used = line + 2
            if size == 0:
                break
            if len(buf) < used + size + 2:
                return None
            body += bytes(buf[used:used + size])
            used += size + 2
        while True:
            line = buf.find(b"\r\n", used)
            if line < 0:
                return None
            empty, used = line == used, line + 2
            if empty:
                break
    elif lengths:
        size = int(lengths[0])
        if len(buf) < used + size:
            return None
        body, used = bytes(buf[used:used + size]), used + size
    return words[0].decode("latin-1"), words[1].decode("latin-1"), fields, body, used


def pieces(raw, mode):
    """The bytes as they are sent: whole, byte by byte, in two halves, cut after every CR."""
    if mode == "bytes":
        step = 1 if len(raw) <= 3000 else len(raw) // 64
        return [raw[i:i + step] for i in range(0, len(raw), step)]
    if mode == "middle":
        return [raw[:len(raw) // 2], raw[len(raw) // 2:]]
    if mode == "cr":
        parts = [p + b"\r" for p in raw.split(b"\r", 40)]
        parts[-1] = parts[-1][:-1]
        return [p for p in parts if p]
    return [raw]


def send(sock, raw, mode):
    """False when the peer went away meanwhile."""
    try:
        for n, piece in enumerate(pieces(raw, mode)):
            if n and mode != "bytes":
                time.sleep(0.0005)
            sock.sendall(piece)
        return True
    except OSError:
        return False


class Recorder:
    def __init__(self, port, report):
        self.select = selectors.DefaultSelector()
        self.reporters, self.number, self.kept = [], 0, {}
        for where, what in ((port, self.accept), (report, self.accept_report)):
            s = socket.create_server(("127.0.0.1", where), backlog=256)
            self.select.register(s, selectors.EVENT_READ, what)

    def tell(self, **event):
        for r in self.reporters:
            r.sendall(json.dumps(event).encode() + b"\n")

    def accept_report(self, listener):
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reporters.append(s)
        self.select.register(s, selectors.EVENT_READ, self.on_report)

    def on_report(self, s):
        if not s.recv(64):
            self.select.unregister(s)
            self.reporters.remove(s)
            s.close()
            return
        # Everything that is here already comes before the answer.
        while self.turn(0, but=s):
            pass
        s.sendall(b'{"sync": true}\n')

    def accept(self, listener):
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number += 1
        self.kept[s] = [self.number, bytearray(), False]
        self.select.register(s, selectors.EVENT_READ, self.on_bytes)

    def close(self, s):
        self.select.unregister(s)
        del self.kept[s]
        s.close()

    def on_bytes(self, s):
        number, buf, _ = kept = self.kept[s]
        try:
            data = s.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.tell(conn=number, end=True)
            return self.close(s)
        buf += data
        self.tell(conn=number, raw=data.decode("latin-1"))
        while buf:
            try:
                got = parse(buf)
            except ValueError as wrong:
                self.tell(conn=number, wrong=str(wrong))
                return self.close(s)
            if got is None:
                end = head_end(buf)
                if end > 0 and b"100-continue" in bytes(buf[:end]).lower() and not kept[2]:
                    kept[2] = True
                    s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                return None
            method, target, fields, body, used = got
            del buf[:used]
            kept[2] = False
            self.tell(conn=number, request=[method, target, body.decode("latin-1")], fields=fields)
            if not self.answer(s, method, target):
                return self.close(s)
        return None

    def answer(self, s, method, target):
        path, _, mode = target.partition("?")
        known = BY_ID.get(path[3:]) if path.startswith("/r/") else None
        if known:
            return send(s, known.raw, mode) and not known.close
        body = path[5:].encode() if path.startswith("/own/") else b"ok"
        text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + (b"" if method == "HEAD" else body)
        try:
            s.sendall(text)
        except OSError:
            return False
        return True

    def turn(self, timeout, but=None):
        ready = [(k.data, k.fileobj) for k, _ in self.select.select(timeout) if k.fileobj is not but]
        for what, sock in ready:
            if sock.fileno() >= 0:
                what(sock)
        return ready


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--port", type=int, required=True)
    args.add_argument("--report", type=int, required=True)
    args = args.parse_args()
    recorder = Recorder(args.port, args.report)
    while True:
        recorder.turn(None)
