"""The client's side of the framing suite: says a case, hears what comes back and what the replica saw."""
import json
import socket
import time

from recorder import head_end, send

MODES = ("whole", "bytes", "middle", "cr")
PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


class Report:
    """What the recording replica tells."""

    def __init__(self, port, seconds=10):
        end = time.monotonic() + seconds
        while True:
            try:
                self.sock = socket.create_connection(("127.0.0.1", port), 5)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.sock.makefile("rb")
        self.sock.settimeout(20)

    def events(self):
        """All since the last call that had reached the replica when it was called."""
        self.sock.sendall(b"sync\n")
        out = []
        for line in self.lines:
            event = json.loads(line)
            if event.get("sync"):
                return out
            out.append(event)
        raise AssertionError("the recording replica has ended")

    def close(self):
        self.lines.close()
        self.sock.close()


class Heard:
    """Answers on one connection, read as a strict client does."""

    def __init__(self, sock):
        self.sock, self.buf, self.ended = sock, bytearray(), False

    def more(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            data = b""
        self.ended = not data
        self.buf += data
        return bool(data)

    def answer(self, method="GET", timeout=5.0):
        """(status, body, whole) of the next final answer; None: none came."""
        while True:
            while head_end(self.buf) < 0:
                if not self.more(timeout):
                    return None
            end = head_end(self.buf)
            lines = bytes(self.buf[:end - 4]).split(b"\r\n")
            del self.buf[:end]
            status = int(lines[0].split(b" ")[1])
            if status >= 200:
                break
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        if method == "HEAD" or status in (204, 304):
            return status, b"", True
        if b"transfer-encoding" in fields:
            return (status, *self.chunked(timeout))
        if b"content-length" not in fields:
            while self.more(timeout):
                pass
            body, self.buf = bytes(self.buf), bytearray()
            return status, body, self.ended
        size = int(fields[b"content-length"])
        while len(self.buf) < size and self.more(timeout):
            pass
        body = bytes(self.buf[:size])
        del self.buf[:size]
        return status, body, len(body) == size

    def line(self, timeout):
        while b"\r\n" not in self.buf:
            if not self.more(timeout):
                return None
        at = self.buf.index(b"\r\n")
        text = bytes(self.buf[:at])
        del self.buf[:at + 2]
        return text

    def chunked(self, timeout):
        body = b""
        while True:
            line = self.line(timeout)
            if line is None:
                return body, False
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                return body, False
            if size == 0:
                break
            while len(self.buf) < size + 2 and self.more(timeout):
                pass
            if len(self.buf) < size + 2 or self.buf[size:size + 2] != b"\r\n":
                return body, False
            body += bytes(self.buf[:size])
            del self.buf[:size + 2]
        while True:
            line = self.line(timeout)
            if not line:
                return body, line is not None

    def rest(self, timeout=5.0):
        """What is left until the connection closes; None: it does not close."""
        while self.more(timeout):
            pass
        return bytes(self.buf) if self.ended else None


def dial(port):
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def requests_of(events):
    return [tuple(e["request"]) for e in events if "request" in e]


def wrong_fields(case, events):
    """What the replica's first request has of case.has and case.has_not that it should not have."""
    fields = next((e["fields"] for e in events if "request" in e), [])
    out = []
    for name, value in case.has:
        seen = [v for n, v in fields if n.lower() == name.lower()]
        if len(seen) != 1 or (value is not None and seen != [value]):
            out.append(f"{name}: {seen}, not {value}")
    for name in case.has_not:
        out += [f"{name} reached the replica" for n, _ in fields if n.lower() == name.lower()]
    return out


def expected(case):
    """(requests the replica must see, answers the client must get) of a request case."""
    want = case.want
    seen = [(m, t, b.decode("latin-1")) for m, t, b in want.get("requests", [])]
    answers = [(200, r[0]) for r in seen]
    if want["do"] == "answered":
        answers.insert(0, (want["status"], "GET"))
    elif want["do"] in ("refused", "cut"):
        answers.append((want["status"], "GET"))
    elif want.get("then"):
        answers.append((want["then"], "GET"))
    return seen, answers


def run_request(port, report, case, mode):
    """None when the case went as it must; else what was wrong."""
    want = case.want
    seen, answers = expected(case)
    with dial(port) as s:
        send(s, case.raw, mode)
        heard = Heard(s)
        for status, method in answers:
            got = heard.answer(method)
            if got is None or got[0] != status or not got[2]:
                return f"the client got {got}, not {status}; then {bytes(heard.buf[:200])!r}"
        open_ = want["do"] == "answered" or (want["do"] == "forwarded" and want["keep"])
        if open_:
            send(s, PING, "whole")
            got = heard.answer()
            if got != (200, b"ok", True):
                return f"after it the client got {got}: where the next request begins was lost"
            seen = seen + [("GET", "/ping", "")]
        elif want["do"] == "waits":
            if heard.more(0.03):
                return f"the client got {bytes(heard.buf[:200])!r} before the request was complete"
        else:
            rest = heard.rest()
            if rest != b"":
                return f"the connection did not close, or said more: {rest!r}"
        events = report.events()
    got = requests_of(events)
    if got != seen:
        return f"the replica saw {got}, not {seen}"
    wrong = [e["wrong"] for e in events if "wrong" in e]
    if wrong:
        return f"the replica got something malformed: {wrong}"
    if want["do"] == "refused" and any("raw" in e for e in events):
        return f"the replica got {[e['raw'] for e in events if 'raw' in e]}"
    fields = wrong_fields(case, events)
    return "; ".join(fields) or None


def run_reply(port, report, reply, mode, number):
    """The same for a hostile reply."""
    want, method = reply.want, reply.ask.decode()
    own = b"GET /own/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
    with dial(port) as s:
        send(s, b"%s /r/%s?%s HTTP/1.1\r\nHost: a\r\n\r\n" % (reply.ask, reply.id.encode(), mode.encode()), "whole")
        heard = Heard(s)
        got = heard.answer(method)
        if want["do"] == "broken":
            if got is not None and (got[0] != want["status"] or got[2]):
                return f"the client got {got} as if it were whole"
            if got is not None and heard.rest() is None:
                return "the connection did not close"
        else:
            status = 502 if want["do"] == "bad" else want["status"]
            if got is None or got[0] != status or not got[2]:
                return f"the client got {got}, not {status}"
            if want["do"] == "passed" and got[1] != want["body"]:
                return f"the body was {got[1]!r}"
            # The same client, and then another one, must get answers of their own.
            if not heard.more(0.002):
                send(s, own, "whole")
                got = heard.answer()
                if got is not None and got != (200, b"%d" % number, True) or (got is None and not heard.ended):
                    return f"the next request on the connection got {got}"
            elif not heard.ended:
                return f"the client got more: {bytes(heard.buf[:200])!r}"
    with dial(port) as s:
        send(s, own, "whole")
        got = Heard(s).answer()
        if got != (200, b"%d" % number, True):
            return f"another client's request got {got}"
    report.events()
    return None
