"""HTTP/2 by hand, for what no real client would send: frames as bytes, header lists without compression."""
import socket
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIO = 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a")]
POST = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a")]
DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6",
          "011101": "7", "011110": "8", "011111": "9"}
STATIC = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first=0):
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out, value = [first | top], value - top
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + [value])


def text(s):
    s = s.encode("latin-1") if isinstance(s, str) else s
    return integer(len(s), 7) + s


def block(fields):
    """Literals that are not indexed, names and values as they are."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields)


def headers(stream, fields, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, fields if isinstance(fields, bytes) else block(fields))


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def u32(n):
    return struct.pack(">I", n)


def status_of(payload):
    """Of a header block made without a dynamic table: the first field is :status."""
    at = 0
    while payload[at] & 0xe0 == 0x20:  # size updates
        at += 1
        while payload[at - 1] & 0x1f == 0x1f and payload[at] & 0x80:
            at += 1
    first = payload[at]
    if first & 0x80:
        return STATIC.get(first & 0x7f, "?")
    length = payload[at + 1]
    raw = payload[at + 2:at + 2 + (length & 127)]
    if not length & 128:
        return raw.decode()
    bits, out = "".join(f"{b:08b}" for b in raw), ""
    while len(out) < 3:
        code = next(c for c in DIGITS if bits.startswith(c))
        out, bits = out + DIGITS[code], bits[len(code):]
    return out


class Client:
    def __init__(self, port, begin=True, first=(), wrap=None):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrap:
            self.s = wrap(self.s)
        self.buf, self.frames, self.ended = b"", [], False
        if begin:
            self.send(PREFACE + settings((1, 0), *first))  # no dynamic table for us

    def send(self, *parts):
        try:
            self.s.sendall(b"".join(parts))
        except OSError:
            self.ended = True

    def frame(self, seconds=20):
        """(kind, flags, stream, payload), or None at the end."""
        self.s.settimeout(seconds)
        while len(self.buf) < 9 or len(self.buf) < 9 + int.from_bytes(self.buf[:3], "big"):
            try:
                got = self.s.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                got = b""
            if not got:
                self.ended = True
                return None
            self.buf += got
        n = int.from_bytes(self.buf[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buf[3:9])
        payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
        self.frames.append((kind, flags, stream, payload))
        return self.frames[-1]

    def outcome(self, stream=1, seconds=20):
        """What became of a stream: ("status", "200", body), ("reset", code), ("goaway", code), ("closed",) or
        ("silence",)."""
        status, body, end = None, b"", time.monotonic() + seconds
        while True:
            try:
                f = self.frame(max(0.01, end - time.monotonic()))
            except TimeoutError:
                return ("silence",)
            if f is None:
                return ("closed",)
            kind, flags, at, payload = f
            if kind == GOAWAY and struct.unpack(">I", payload[4:8])[0] != NO_ERROR:
                return ("goaway", struct.unpack(">I", payload[4:8])[0])
            if at != stream:
                continue
            if kind == RST_STREAM:
                return ("reset", struct.unpack(">I", payload)[0])
            if kind == HEADERS and status is None:
                status = status_of(payload)
                status = None if status[0] == "1" else status
            if kind == DATA:
                body += payload
            if kind in (HEADERS, DATA) and flags & END_STREAM and status:
                return ("status", status, body)

    def until(self, what):
        """Reads until what() is true."""
        while not what():
            assert self.frame() is not None, f"the connection ended; before: {self.frames}"
        return self

    def data(self, stream=1):
        """The body of a stream, as far as it has come."""
        return b"".join(f[3] for f in self.frames if f[0] == DATA and f[2] == stream)

    def drain(self, seconds=0.2):
        """Reads what comes until nothing did for so long: for what must not come."""
        try:
            while self.frame(seconds):
                pass
        except TimeoutError:
            pass
        return self

    def close(self):
        self.s.close()
