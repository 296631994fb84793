#!/usr/bin/env python3
"""Our parser against llhttp (node's, strict) on the framing cases, the fuzz corpora and mutations of both:
the same messages with the same method, target, fields and body, or we are the stricter one for a reason
that is listed here. Anything else is a failure. HEADGATE_TEST_LONG=1: two million inputs."""
import collections
import os
import pathlib
import random
import re
import struct
import subprocess
import sys

import cases

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD", HERE.parent.parent / "build")).resolve()
COUNT = 2_000_000 if os.environ.get("HEADGATE_TEST_LONG") else 30_000
SEED = int(os.environ.get("SEED", "1"))
BATCH = 20_000

# What we refuse and llhttp takes: the reason our parser gives → why that is right.
STRICTER = {
    "no Host field": "RFC 9112 3.2; llhttp leaves it to the server",
    "two Host fields": "RFC 9112 3.2; llhttp leaves it to the server",
    "Host is malformed": "RFC 9112 3.2; llhttp leaves it to the server",
    "Host differs from the request target": "RFC 9112 3.2.2; we refuse instead of choosing",
    "malformed authority in the request target": "RFC 9110 4.2: userinfo, ports beyond 65535, no host",
    "malformed request target": "RFC 9112 3.2: none of the four forms; llhttp leaves it to the server",
    "request target is too long": "RFC 9110 15.5.15",
    "CONNECT without host and port": "RFC 9112 3.2.3",
    "a body in a CONNECT or TRACE request": "RFC 9110 9.3.6, 9.3.8",
    "malformed method": "RFC 9110 9.1",
    "malformed HTTP version": "RFC 9112 2.3: llhttp waits for more of it, or takes other protocols",
    "an HTTP version other than 1.0 and 1.1": "RFC 9110 15.6.6; llhttp also takes 0.9 and 2.0",
    "bytes after the HTTP version": "RFC 9112 3",
    "too many empty lines before the request": "RFC 9112 2.2: at least one is skipped; llhttp skips any number",
    "line feed without carriage return": "RFC 9112 2.2: we take no bare LF; llhttp skips those before a message",
    "carriage return without line feed": "RFC 9112 2.2: we take no bare CR; llhttp skips those before a message",
    "zero byte in the head": "RFC 9110 5.5",
    "control byte in a field value": "RFC 9110 5.5",
    "control byte in the status line": "RFC 9112 4",
    "malformed status code": "RFC 9110 15: three digits from 100",
    "malformed status line": "RFC 9112 4",
    "an expectation other than 100-continue": "RFC 9110 10.1.1: 417",
    "too many connection options": "a limit of ours",
    "too many fields": "a limit of ours; node counts bytes",
    "Content-Length is not a number": "RFC 9110 8.6; llhttp takes an empty one for none",
    "two Content-Length fields that differ": "RFC 9112 6.3",
    "Content-Length with Transfer-Encoding": "RFC 9112 6.1; llhttp takes it in some answers",
    "Transfer-Encoding in HTTP/1.0": "RFC 9112 6.1",
    "Transfer-Encoding is malformed": "RFC 9112 6.1, also where an answer has no body",
    "Transfer-Encoding does not end in one chunked": "RFC 9112 6.3, also where an answer has no body",
    "Transfer-Encoding where no body may be": "RFC 9112 6.1: 1xx and 204",
    "two Transfer-Encoding fields": "RFC 9112 6.1",
    "a transfer coding other than chunked": "RFC 9112 6.1: 501",
    "chunked body": "sizes stay below 2^60, lines and trailers are limited, no framing or identity in trailers (RFC 9110 6.5.1)",
    "white space before the colon": "RFC 9112 5.1",
    "folded field line": "RFC 9112 5.2",
    "empty field name": "RFC 9112 5",
    "a byte in a field name that is no token": "RFC 9110 5.1",
}
# What llhttp refuses and we take.
OTHER_METHOD = re.compile(rb"(^|[\r\n])[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
EXTENSION = re.compile(rb"\n[0-9a-f]+[ \t]*;[^\r\n]*", re.I)
TAB_BEHIND = "a tab behind the transfer coding of an answer"
# What it was must be seen in the bytes: a reason of llhttp's that is met for another cause is a failure.
LAXER = {
    "Invalid method encountered": ("RFC 9110 9.1: a method is any token", OTHER_METHOD),
    "Expected space after method": ("RFC 9110 9.1: a method is any token", OTHER_METHOD),
    "Expected HTTP/2 Connection Preface": ("RFC 9110 9.1: a method is any token, with any target but *", re.compile(rb"PRI ")),
    "Duplicate Content-Length": ("RFC 9112 6.3 rule 5: equal values, and the next hop sees one",
                                 re.compile(rb"content-length:[ \t]*(\d+)[ \t]*\r\n(.*\r\n)?content-length:[ \t]*\1[ \t]*\r\n",
                                            re.I | re.S)),
    "Invalid character in Content-Length": ("RFC 9110 5.5: a tab is white space too",
                                            re.compile(rb"content-length:([ \t]*\t[ \t]*\d+[ \t]*|[ \t]*\d+[ \t]*\t[ \t]*)\r\n", re.I)),
    "Request has invalid `Transfer-Encoding`": ("RFC 9110 5.5: a tab is white space too",
                                                re.compile(rb"transfer-encoding:[ \t]*chunked[ \t]*\r\n", re.I)),
    "Invalid character in chunk size": ("RFC 9112 7.1.1: white space before an extension", re.compile(rb"\n[0-9a-f]+[ \t]+(;|$)", re.I)),
    "Data after `Connection: close`": ("Proxy-Connection is no field of HTTP; llhttp takes it for Connection", re.compile(rb"proxy-connection", re.I)),
    TAB_BEHIND: ("RFC 9110 5.5: a tab is white space too; in an answer llhttp then knows no coding and reads on to the end",
                 re.compile(rb"transfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n", re.I)),
    **{f"Invalid {what}": ("RFC 9112 7.1.1: extensions are ignored, whatever they hold but line ends", EXTENSION) for what in (
        "character in chunk extensions", "character in chunk extensions name", "character in chunk extensions value",
        "character in chunk extensions quoted value", "character in chunk extensions quote value",
        "quoted-pair in chunk extensions quoted value")},
}
WORDS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"5", b"a", b"-", b"+", b"_", b"\xff", b"\r\n\r\n", b"\r\n ",
         b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Host: a\r\n",
         b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n",
         b"X: y\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"HTTP/1.1", b"chunked", b"hello", b"0x", b";a=b",
         b"18446744073709551616", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"204", b"304"]


def seeds():
    out = [(b"Q", c.raw) for c in cases.REQUESTS if len(c.raw) < 2000]
    out += [(b"H" if r.ask == b"HEAD" else b"R", r.raw) for r in cases.REPLIES if len(r.raw) < 2000]
    corpus = HERE.parent / "fuzz/corpus"
    out += [(b"Q", p.read_bytes()) for p in sorted((corpus / "http1_request").iterdir())]
    out += [(b"R", p.read_bytes()[1:]) for p in sorted((corpus / "http1_response").iterdir())]
    return [(k, raw[:4000]) for k, raw in out]


def mutate(rng, raw, other):
    raw = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(raw) + 1)
        what = rng.randrange(7)
        if what == 0:
            raw[at:at] = rng.choice(WORDS)
        elif what == 1:
            raw[at:at + rng.choice((1, 1, 2, 8))] = b""
        elif what == 2:
            raw[at:at + 1] = bytes([rng.randrange(256)])
        elif what == 3:
            raw[at:at + 1] = rng.choice(WORDS)
        elif what == 4:
            cut = rng.randrange(len(other) + 1)
            raw[at:] = other[cut:]
        elif what == 5:
            lines = raw.split(b"\r\n")
            a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[a], lines[b] = lines[b], lines[a]
            raw = bytearray(b"\r\n".join(lines))
        else:
            raw[at:at] = raw[at:at + rng.randrange(1, 40)]
    return bytes(raw[:4000])


def inputs():
    rng, base = random.Random(SEED), seeds()
    yield from base
    for _ in range(COUNT - len(base)):
        kind, raw = rng.choice(base)
        yield kind, mutate(rng, raw, rng.choice(base)[1])


def understood(argv, records):
    done = subprocess.run(argv, input=records, stdout=subprocess.PIPE, check=True)
    return [line.split("\t") for line in done.stdout.decode("latin-1").splitlines()]


def messages(text):
    return text.split(" ")[1:]


def compare(ours, theirs):
    """None, or (kind of difference, reason)."""
    end, why, text = ours[0], ours[1], messages(ours[2])
    ref_end, ref_why, ref = theirs[0], theirs[1], messages(theirs[2])
    flags = theirs[3]
    # Where llhttp begins a tunnel it reads no further, and neither do we where we close.
    if "u" in flags:
        ref = ref[:flags.index("u") + 1]
        text = text[:len(ref)]
        if len(text) == len(ref) and text == ref:
            return None
    n = min(len(text), len(ref))
    for a, b in zip(text[:n - 1], ref[:n - 1]):
        if a != b:
            return "differs", f"{a} / {b}"
    if n:
        a, b = text[n - 1], ref[n - 1]
        a_open = len(text) == n and end in ("bad-body", "more-body")
        b_open = len(ref) == n and ref_end in ("bad-body", "more-body")
        if a_open or b_open:  # how much of a broken body was passed on is not compared
            a, b = a.rsplit(":", 1)[0], b.rsplit(":", 1)[0]
        if a != b:
            return "differs", f"{a} / {b}"
        if a_open != b_open or (a_open and end != ref_end):
            if end == "bad-body":
                return "stricter", why
            if b_open and ref_end == "bad-body":
                return "laxer", ref_why
            if end == "close" and not a_open:
                return None
            return "differs", f"the body ended {end} / {ref_end}"
    if len(text) > len(ref):
        return "laxer", ref_why
    if len(text) < len(ref):
        return None if end in ("close", "upgrade") else ("stricter", why or end)
    if ref_end.startswith("bad") and end in ("done", "more-body"):
        return "laxer", ref_why
    if end.startswith("bad") and ref_end == "done":
        return "stricter", why
    return None


def main():
    print("1..2")
    meaning = BUILD / "tests/framing/meaning"
    found, examples, total = collections.Counter(), {}, 0
    batch = []

    def run():
        records = b"".join(k + struct.pack(">I", len(raw)) + raw for k, raw in batch)
        ours = understood([str(meaning)], records)
        theirs = understood(["node", str(HERE / "reference.js")], records)
        assert len(ours) == len(theirs) == len(batch), (len(ours), len(theirs), len(batch))
        for (kind, raw), a, b in zip(batch, ours, theirs):
            what = compare(a, b)
            if what and what[0] == "differs" and kind != b"Q" and b[0] == "more-body" and LAXER[TAB_BEHIND][1].search(raw):
                what = "laxer", TAB_BEHIND
            if what and what[0] == "laxer" and what[1] in LAXER and not LAXER[what[1]][1].search(raw):
                what = "differs", f"refused by llhttp: {what[1]}"
            if what:
                key = what if what[0] != "differs" else ("differs", "")
                found[key] += 1
                if key not in examples or len(raw) < len(examples[key][1]):
                    examples[key] = (kind, raw, what[1], a[:2], b[:2])
        batch.clear()

    for item in inputs():
        batch.append(item)
        total += 1
        if len(batch) == BATCH:
            run()
    if batch:
        run()
    unknown = [k for k in found if k[0] == "differs" or k[1] not in (STRICTER if k[0] == "stricter" else LAXER)]
    stricter = sum(n for k, n in found.items() if k[0] == "stricter")
    print(f"# {total} inputs, seed {SEED}: {stricter} refused by us alone, "
          f"{sum(n for k, n in found.items() if k[0] == 'laxer')} by llhttp alone")
    if "-v" in sys.argv:
        for key, n in sorted(found.items(), key=lambda x: (x[0][0], -x[1])):
            print("#", n, key, *examples[key])
    for key in unknown:
        print("#", found[key], key, *examples[key])
    print(f"{'not ok' if unknown else 'ok'} 1 - our parser and llhttp understand the same, or we are stricter for a known reason")
    # A comparison that found nothing to compare would be no test.
    lively = stricter > total // 50 and total == COUNT
    print(f"{'ok' if lively else 'not ok'} 2 - the inputs are many and not all of them are agreed upon")
    return 1 if unknown or not lively else 0


if __name__ == "__main__":
    sys.exit(main())
