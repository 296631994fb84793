"""The framing suite: what a client or a replica may send, and what must come of it.

A request case is case(id, class, bytes, outcome, why). Outcomes:
  refused(status)  one answer with this status, then the connection closes; the replica sees no byte
  answered(status) one answer by the edge itself; the replica sees no byte, the connection goes on
  forwarded(req…)  the replica sees exactly these requests, each (method, target, body), each is answered;
                   keep=False: then the connection closes; then=status: then one more answer of the edge
                   itself with this status, and the connection closes
  cut(status)      a body that breaks the rules behind a head that was right: the replica never sees a
                   complete request; the client gets `status` and the connection closes
  waits()          not complete: nothing is answered and nothing complete reaches the replica
`has` and `has_not` are fields of the first request as the replica sees it.

A response case is reply(id, class, bytes of a hostile replica, outcome, why): the client asks with
`ask`, then asks a second time on a connection of its own; the second answer must always be its own.
  bad()            502 by the edge
  passed(status, body)   this and nothing else reaches the client
  broken(status)   the head was right: the client gets it and sees the connection end before the body does
All text is ours; the ideas come from published classes of attacks (RFC 9112 section 11, CVE numbers
where one exists)."""
import collections
import pathlib
import sys

Case = collections.namedtuple("Case", "id kind raw want why has has_not")
Reply = collections.namedtuple("Reply", "id kind raw want why ask close")
REQUESTS, REPLIES = [], []


def refused(status):
    return {"do": "refused", "status": status}


def answered(status):
    return {"do": "answered", "status": status}


def forwarded(*requests, keep=True, then=0):
    return {"do": "forwarded", "requests": list(requests), "keep": keep and not then, "then": then}


def cut(status=400):
    return {"do": "cut", "status": status}


def waits():
    return {"do": "waits"}


def bad():
    return {"do": "bad"}


def passed(status, body=b""):
    return {"do": "passed", "status": status, "body": body}


def broken(status):
    return {"do": "broken", "status": status}


def case(id_, kind, raw, want, why, has=(), has_not=()):
    REQUESTS.append(Case(id_, kind, raw, want, why, tuple(has), tuple(has_not)))


def reply(id_, kind, raw, want, why, ask=b"GET", close=False):
    REPLIES.append(Reply(id_, kind, raw, want, why, ask, close))


def get(fields=b"", target=b"/", method=b"GET", version=b"HTTP/1.1", host=b"Host: a\r\n"):
    return method + b" " + target + b" " + version + b"\r\n" + host + fields + b"\r\n"


def post(fields, body=b"", host=b"Host: a\r\n", version=b"HTTP/1.1"):
    return b"POST / " + version + b"\r\n" + host + fields + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = get(target=b"/next")          # a harmless second request
EVIL = get(target=b"/evil")          # what an attacker would like the replica to see
END = b"0\r\n\r\n"
GET, POST = ("GET", "/", b""), ("POST", "/", b"")


# ---- Content-Length with Transfer-Encoding: RFC 9112 section 6.1, 6.3 rule 3, 11.2
def cl_te():
    k, why = "CL+TE", "RFC 9112 6.3: both fields are an attempt at smuggling"
    case("cl-te", k, post(b"Content-Length: 6\r\n" + CHUNKED, END + b"G"), refused(400), why)
    case("te-cl", k, post(CHUNKED + b"Content-Length: 4\r\n", b"1d\r\n" + EVIL[:29] + b"\r\n" + END), refused(400), why)
    case("cl0-te", k, post(b"Content-Length: 0\r\n" + CHUNKED, END), refused(400), why)
    case("te-cl0", k, post(CHUNKED + b"Content-Length: 0\r\n", END), refused(400), why)
    case("cl-te-agree", k, post(b"Content-Length: 5\r\n" + CHUNKED, END), refused(400), why)
    case("cl-te-get", k, get(b"Content-Length: 5\r\n" + CHUNKED) + END, refused(400), why)
    case("cl-te-apart", k, post(b"Content-Length: 6\r\nX-A: b\r\nX-B: c\r\n" + CHUNKED, END + b"G"), refused(400), why)
    case("cl-te-10", k, post(b"Content-Length: 5\r\n" + CHUNKED, END, version=b"HTTP/1.0"), refused(400),
         "RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing")
    case("cl-te-identity", k, post(b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", b"hello"), refused(400),
         "RFC 9112 6.1, 7: identity is no coding any more, the end of the body is not certain")
    case("cl-empty-te", k, post(b"Content-Length: 5\r\nTransfer-Encoding:\r\n", b"hello"), refused(400), "RFC 9112 6.1: empty list")
    case("cl-te-connection", k, post(b"Connection: Content-Length\r\nContent-Length: 6\r\n" + CHUNKED, END + b"G"), refused(400),
         "RFC 9110 7.6.1: naming a framing field as hop-by-hop removes no ambiguity")
    case("cl-te-expect", k, post(b"Expect: 100-continue\r\nContent-Length: 6\r\n" + CHUNKED, END + b"G"), refused(400), why)


# ---- Transfer-Encoding, disguised
def te_te():
    k = "TE disguised"
    body = b"5\r\nhello\r\n" + END
    fine = [
        ("te-case", b"Transfer-Encoding: CHUNKED\r\n", "RFC 9112 7: codings are case-insensitive"),
        ("te-name-case", b"tRANSFER-eNCODING: chunked\r\n", "RFC 9110 5.1: names are case-insensitive"),
        ("te-spaces", b"Transfer-Encoding:   chunked  \r\n", "RFC 9110 5.5: white space around a value is no part of it"),
        ("te-tabs", b"Transfer-Encoding:\tchunked\t\r\n", "RFC 9110 5.5: OWS is space or tab"),
        ("te-no-space", b"Transfer-Encoding:chunked\r\n", "RFC 9112 5: OWS is optional"),
    ]
    for id_, field, why in fine:
        case(id_, k, post(field, body), forwarded(("POST", "/", b"hello")), why, has=[("Transfer-Encoding", "chunked")])
    wrong = [
        ("te-xchunked", b"Transfer-Encoding: xchunked\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-chunkedx", b"Transfer-Encoding: chunkedx\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-identity", b"Transfer-Encoding: identity\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-gzip", b"Transfer-Encoding: gzip\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-gzip-chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501, "RFC 9112 6.1: a coding that is not understood is 501"),
        ("te-chunked-gzip", b"Transfer-Encoding: chunked, gzip\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-chunked-chunked", b"Transfer-Encoding: chunked, chunked\r\n", 400, "RFC 9112 6.1: chunked at most once"),
        ("te-chunked-identity", b"Transfer-Encoding: chunked, identity\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-identity-chunked", b"Transfer-Encoding: identity, chunked\r\n", 501, "RFC 9112 7: unknown coding"),
        ("te-comma-end", b"Transfer-Encoding: chunked,\r\n", 501, "RFC 9110 5.6.1: empty list elements; no sender writes them"),
        ("te-comma-first", b"Transfer-Encoding: ,chunked\r\n", 400, "RFC 9110 5.6.1: empty list elements; no sender writes them"),
        ("te-two-fields", CHUNKED + CHUNKED, 400, "RFC 9112 6.1: chunked at most once"),
        ("te-two-differ", CHUNKED + b"Transfer-Encoding: identity\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-two-differ-2", b"Transfer-Encoding: identity\r\n" + CHUNKED, 400, "RFC 9112 6.3"),
        ("te-two-x", CHUNKED + b"Transfer-Encoding: x\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
        ("te-empty", b"Transfer-Encoding: \r\n", 400, "RFC 9112 6.1: no coding"),
        ("te-quoted", b"Transfer-Encoding: \"chunked\"\r\n", 400, "RFC 9112 7: a coding is a token"),
        ("te-single-quoted", b"Transfer-Encoding: 'chunked'\r\n", 400, "RFC 9112 7: not chunked"),
        ("te-param", b"Transfer-Encoding: chunked;q=1\r\n", 400, "RFC 9112 7.1: chunked has no parameters"),
        ("te-space-colon", b"Transfer-Encoding : chunked\r\n", 400, "RFC 9112 5.1: white space before the colon"),
        ("te-tab-colon", b"Transfer-Encoding\t: chunked\r\n", 400, "RFC 9112 5.1: white space before the colon"),
        ("te-leading-space", b" Transfer-Encoding: chunked\r\n", 400, "RFC 9112 2.2: white space before the first field"),
        ("te-vt", b"Transfer-Encoding: \x0bchunked\r\n", 400, "RFC 9110 5.5: a control byte"),
        ("te-ff", b"Transfer-Encoding: \x0cchunked\r\n", 400, "RFC 9110 5.5: a control byte"),
        ("te-nul", b"Transfer-Encoding: chunked\x00\r\n", 400, "RFC 9110 5.5: NUL"),
        ("te-nul-inside", b"Transfer-Encoding: chun\x00ked\r\n", 400, "RFC 9110 5.5: NUL"),
        ("te-cr", b"Transfer-Encoding:\rchunked\r\n", 400, "RFC 9112 2.2: bare CR"),
        ("te-cr-end", b"Transfer-Encoding: chunked\r\r\n", 400, "RFC 9112 2.2: bare CR"),
        ("te-lf-value", b"Transfer-Encoding:\nchunked\r\n", 400, "RFC 9112 2.2: bare LF"),
        ("te-fold", b"Transfer-Encoding:\r\n chunked\r\n", 400, "RFC 9112 5.2: obs-fold"),
        ("te-fold-after", b"Transfer-Encoding: chunked\r\n , identity\r\n", 400, "RFC 9112 5.2: obs-fold"),
        ("te-fold-in-x", b"X: y\r\n Transfer-Encoding: chunked\r\n", 400, "RFC 9112 5.2: obs-fold"),
        ("te-bare-lf-before", b"X: y\nTransfer-Encoding: chunked\r\n", 400, "RFC 9112 2.2: bare LF"),
        ("te-bare-cr-before", b"X: y\rTransfer-Encoding: chunked\r\n", 400, "RFC 9112 2.2: bare CR"),
        ("te-latin1", b"Transfer-Encoding: chunked\xff\r\n", 400, "RFC 9112 7: a coding is a token"),
        ("te-nbsp", b"Transfer-Encoding: \xa0chunked\r\n", 400, "RFC 9112 7: a coding is a token"),
        ("te-kelvin", b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", 400, "no Unicode case folding: U+212A is no k"),
        ("te-semicolon-name", b"Transfer-Encoding;: chunked\r\n", 400, "RFC 9110 5.6.2: no token"),
        ("te-name-nul", b"Transfer-Encoding\x00: chunked\r\n", 400, "RFC 9110 5.6.2: no token"),
        ("te-name-latin1", b"Transfer-Encoding\xff: chunked\r\n", 400, "RFC 9110 5.6.2: no token"),
        ("te-dot", b"Transfer-Encoding: chunked.\r\n", 400, "RFC 9112 6.3: the last coding is not chunked"),
    ]
    for id_, field, status, why in wrong:
        case(id_, k, post(field, body), refused(status), why)
    case("te-10", k, post(CHUNKED, body, version=b"HTTP/1.0"), refused(400), "RFC 9112 6.1: Transfer-Encoding in HTTP/1.0")
    case("te-10-alive", k, post(b"Connection: keep-alive\r\n" + CHUNKED, body, version=b"HTTP/1.0"), refused(400), "RFC 9112 6.1")
    case("te-underscore", k, post(b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", b"hello"),
         forwarded(("POST", "/", b"hello")), "a name with _ is another name; replicas that turn both into one must not see it",
         has=[("Content-Length", "5")], has_not=["Transfer_Encoding"])
    case("te-prefix", k, post(b"X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"hello"),
         forwarded(("POST", "/", b"hello")), "another name", has=[("X-Transfer-Encoding", "chunked")])


# ---- Content-Length
def lengths():
    k = "Content-Length"
    for id_, value, why in [
            ("plus", b"+5", "a sign"), ("minus", b"-5", "a sign"), ("minus0", b"-0", "a sign"), ("hex", b"0x5", "not decimal"),
            ("hex-digit", b"a", "not decimal"), ("space-inside", b"5 5", "two numbers"), ("tab-inside", b"5\t5", "two numbers"),
            ("comma-same", b"5, 5", "a list"), ("comma-differ", b"5, 6", "a list"), ("comma-empty", b"5,", "a list"),
            ("comma-first", b",5", "a list"), ("semicolon", b"5;", "not a number"), ("dot", b"5.0", "not a number"),
            ("exponent", b"5e0", "not a number"), ("underscore", b"0_5", "not a number"), ("empty", b"", "not a number"),
            ("quoted", b"\"5\"", "not a number"), ("latin1-digit", b"\xb2", "not an ASCII digit"),
            ("arabic-digit", b"\xd9\xa5", "not an ASCII digit"), ("nul", b"5\x00", "NUL"), ("vt", b"\x0b5", "a control byte"),
            ("u64", b"18446744073709551616", "2^64 overflows"), ("u64-5", b"18446744073709551621", "2^64 + 5 must not become 5"),
            ("u32-huge", b"4294967301" * 3, "an overflow must not wrap"), ("x100", b"9" * 100, "an overflow must not wrap"),
            ("word", b"five", "not a number"), ("nan", b"NaN", "not a number"), ("trailing-cr", b"5\r", "bare CR")]:
        case("cl-" + id_, k, post(b"Content-Length: " + value + b"\r\n", b"hello" + EVIL), refused(400),
             "RFC 9110 8.6, RFC 9112 6.3: " + why)
    for id_, fields, why in [
            ("two-differ", b"Content-Length: 5\r\nContent-Length: 6\r\n", "two values"),
            ("two-differ-zero", b"Content-Length: 0\r\nContent-Length: 5\r\n", "two values"),
            ("two-differ-apart", b"Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n", "two values"),
            ("two-spelled", b"Content-Length: 5\r\nContent-Length: 05\r\n", "two spellings of one value are not the same field"),
            ("space-colon", b"Content-Length : 5\r\n", "white space before the colon"),
            ("fold", b"Content-Length:\r\n 5\r\n", "obs-fold"), ("fold-digit", b"Content-Length: 5\r\n 0\r\n", "obs-fold"),
            ("lf", b"Content-Length: 5\nX: y\r\n", "bare LF"), ("cr-name", b"X: y\rContent-Length: 5\r\n", "bare CR")]:
        case("cl-" + id_, k, post(fields, b"hello" + EVIL), refused(400), "RFC 9112 6.3, 5: " + why)
    two = ("POST", "/", b"hello")
    case("cl", k, post(b"Content-Length: 5\r\n", b"hello" + NEXT), forwarded(two, ("GET", "/next", b"")), "the plain case")
    case("cl-twice", k, post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello" + NEXT), forwarded(two, ("GET", "/next", b"")),
         "RFC 9112 6.3 rule 5 lets equal values pass; the replica sees one field", has=[("Content-Length", "5")])
    case("cl-zeros", k, post(b"Content-Length: 0000005\r\n", b"hello" + NEXT), forwarded(two, ("GET", "/next", b"")),
         "RFC 9110 8.6: 1*DIGIT; the replica sees it rewritten", has=[("Content-Length", "5")])
    case("cl-ows", k, post(b"Content-Length: \t 5 \t\r\n", b"hello" + NEXT), forwarded(two, ("GET", "/next", b"")),
         "RFC 9110 5.5", has=[("Content-Length", "5")])
    case("cl-zero", k, post(b"Content-Length: 0\r\n", NEXT), forwarded(POST, ("GET", "/next", b"")), "no body")
    case("cl-none-post", k, post(b"", NEXT), forwarded(POST, ("GET", "/next", b"")), "RFC 9112 6.3 rule 7: no body without a length")
    case("cl-get-body", k, get(b"Content-Length: 5\r\n") + b"hello" + NEXT, forwarded(("GET", "/", b"hello"), ("GET", "/next", b"")),
         "RFC 9110 9.3.1: a body of GET has no meaning but a length")
    case("cl-head-body", k, get(b"Content-Length: 5\r\n", method=b"HEAD") + b"hello" + NEXT,
         forwarded(("HEAD", "/", b"hello"), ("GET", "/next", b"")), "RFC 9110 9.3.2")
    case("cl-delete-body", k, get(b"Content-Length: 5\r\n", method=b"DELETE") + b"hello" + NEXT,
         forwarded(("DELETE", "/", b"hello"), ("GET", "/next", b"")), "RFC 9110 9.3.5")
    case("cl-underscore-name", k, post(b"Content_Length: 60\r\nContent-Length: 5\r\n", b"hello" + NEXT), forwarded(two, ("GET", "/next", b"")),
         "replicas that turn _ into - must not see a second length", has=[("Content-Length", "5")], has_not=["Content_Length"])
    for bits in (31, 32, 63):
        case(f"cl-2^{bits}", k, post(b"Content-Length: %d\r\n" % (1 << bits), b"hello" + NEXT), waits(),
             "a length is 64 bits wide: the bytes after it are body, not a request")
    case("cl-u64-max", k, post(b"Content-Length: 18446744073709551615\r\n", b"hello" + NEXT), waits(), "2^64-1 is a length")
    case("cl-short", k, post(b"Content-Length: 50\r\n", b"hello"), waits(), "RFC 9112 8: an incomplete request")
    case("cl-10", k, post(b"Content-Length: 5\r\n", b"hello" + EVIL, version=b"HTTP/1.0"), forwarded(two, keep=False),
         "RFC 9112 9.3: HTTP/1.0 closes; what follows is no request")


# ---- chunked
def chunks():
    k = "chunked"
    ok = [
        ("plain", b"5\r\nhello\r\n" + END, b"hello", "RFC 9112 7.1"),
        ("empty", END, b"", "RFC 9112 7.1"),
        ("upper", b"A\r\n0123456789\r\n" + END, b"0123456789", "hex digits of both cases"),
        ("lower", b"a\r\n0123456789\r\n" + END, b"0123456789", "hex digits of both cases"),
        ("zeros", b"0005\r\nhello\r\n000\r\n\r\n", b"hello", "leading zeros"),
        ("ext", b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello", "RFC 9112 7.1.1: extensions are ignored"),
        ("ext-quoted", b"5;a=\"b;c\"\r\nhello\r\n" + END, b"hello", "RFC 9112 7.1.1"),
        ("ext-space", b"5 ; a = b\r\nhello\r\n" + END, b"hello", "RFC 9112 7.1.1: BWS"),
        ("ext-crlf-text", b"5;a=\"\\r\\n\"\r\nhello\r\n" + END, b"hello", "the letters, not the bytes"),
        ("looks-like-end", b"5\r\n0\r\n\r\n\r\n" + END, b"0\r\n\r\n", "data that looks like the end is data"),
        ("request-inside", b"%x\r\n%s\r\n" % (len(EVIL), EVIL) + END, EVIL, "data that looks like a request is data"),
        ("trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello", "RFC 9112 7.1.2"),
    ]
    for id_, body, data, why in ok:
        case("chunk-" + id_, k, post(CHUNKED, body + NEXT), forwarded(("POST", "/", data), ("GET", "/next", b"")), why)
    wrong = [
        ("0x", b"0x5\r\nhello\r\n" + END, "0x is no hex digit"), ("plus", b"+5\r\nhello\r\n" + END, "a sign"),
        ("minus", b"-5\r\nhello\r\n" + END, "a sign"), ("space-first", b" 5\r\nhello\r\n" + END, "white space before the size"),
        ("space-after", b"5 \r\nhello\r\n" + END, "white space and no extension"), ("tab-after", b"5\t\r\nhello\r\n" + END, "white space and no extension"),
        ("space-inside", b"0 5\r\nhello\r\n" + END, "two numbers"), ("empty-size", b"\r\nhello\r\n" + END, "no size"),
        ("g", b"g\r\nhello\r\n" + END, "no hex digit"), ("comma", b"5,5\r\nhello\r\n" + END, "no hex digit"),
        ("nul", b"5\x00\r\nhello\r\n" + END, "NUL"), ("underscore", b"0_5\r\nhello\r\n" + END, "no hex digit"),
        ("lf", b"5\nhello\r\n" + END, "bare LF"), ("lf-data", b"5\r\nhello\n" + END, "bare LF"),
        ("lf-all", b"5\nhello\n0\n\n", "bare LF"), ("lf-last", b"5\r\nhello\r\n0\n\r\n", "bare LF"),
        ("lf-final", b"5\r\nhello\r\n0\r\n\n", "bare LF"), ("cr", b"5\rhello\r\n" + END, "bare CR"),
        ("cr-data", b"5\r\nhello\r" + END, "bare CR"), ("crcrlf", b"5\r\r\nhello\r\n" + END, "bare CR"),
        ("missing-crlf", b"5\r\nhello0\r\n\r\n", "no CRLF after the data"), ("too-long-data", b"5\r\nhello!\r\n" + END, "data beyond the size"),
        ("short-data", b"6\r\nhello\r\n" + END, "data before the size"),
        ("overflow-64", b"10000000000000005\r\nhello\r\n" + END, "2^64 + 5 must not become 5"),
        ("overflow-63", b"8000000000000005\r\nhello\r\n" + END, "sizes stay below 2^60"),
        ("overflow-zeros", b"0" * 40 + b"5\r\nhello\r\n" + END, "more digits than any size has"),
        ("huge-line", b"5;" + b"x" * 300 + b"\r\nhello\r\n" + END, "an extension line is limited"),
        ("ext-lf", b"5;\nhello\r\n" + END, "bare LF in an extension (TERM.EXT)"), ("ext-cr", b"5;a\rb\r\nhello\r\n" + END, "bare CR in an extension"),
        ("ext-lf-quoted", b"5;a=\"\n\"\r\nhello\r\n" + END, "LF in a quoted extension"), ("ext-nul", b"5;\x00\r\nhello\r\n" + END, "NUL"),
        ("ext-crlf-quoted", b"5;a=\"\r\n\"\r\nhello\r\n" + END, "CRLF ends the line also within quotes"),
        ("ext-bad-start", b"5 a=b\r\nhello\r\n" + END, "an extension begins with ;"),
        ("trailer-colon", b"0\r\nX Y: 1\r\n\r\n", "no token"), ("trailer-none", b"0\r\nX\r\n\r\n", "no colon"),
        ("trailer-empty-name", b"0\r\n: x\r\n\r\n", "empty name"), ("trailer-space-colon", b"0\r\nX : 1\r\n\r\n", "white space before the colon"),
        ("trailer-fold", b"0\r\nX: 1\r\n y\r\n\r\n", "obs-fold"), ("trailer-lf", b"0\r\nX: 1\n\r\n", "bare LF"),
        ("trailer-cr", b"0\r\nX: 1\ry\r\n\r\n", "bare CR"), ("trailer-nul", b"0\r\nX: \x00\r\n\r\n", "NUL"),
        ("trailer-huge", b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n", "trailers are limited"),
    ]
    for id_, body, why in wrong:
        case("chunk-" + id_, k, post(CHUNKED, body + NEXT), cut(), "RFC 9112 7.1, 2.2: " + why)
    for name in (b"Content-Length: 50", b"Transfer-Encoding: chunked", b"Host: b", b"Connection: close", b"Authorization: x",
                 b"Cookie: a=b", b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=1.2.3.4", b"X-Forwarded-Proto: https",
                 b"Expect: 100-continue", b"Content-Encoding: gzip", b"Content-Type: text/html", b"X-Request-Id: 1",
                 b"content_length: 50", b"X-Real-IP: 1.2.3.4", b"X_Forwarded_Port: 1", b"X-Client-Cert-Subject: CN=root",
                 b"Client-Cert: :YQ==:", b"X-Forwarded-Prefix-Of-Some-Length: /a", b"traceparent: 00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01"):
        case("trailer-" + name.split(b":")[0].decode().lower(), "trailers", post(CHUNKED, b"0\r\n" + name + b"\r\n\r\n" + NEXT), cut(),
             "RFC 9110 6.5.1: fields for framing, routing, identity or content never come in trailers")
    case("chunk-only-size", k, post(CHUNKED, b"5\r\n"), waits(), "not complete")
    case("chunk-no-end", k, post(CHUNKED, b"5\r\nhello\r\n"), waits(), "not complete")
    case("chunk-get", k, get(CHUNKED) + b"5\r\nhello\r\n" + END + NEXT, forwarded(("GET", "/", b"hello"), ("GET", "/next", b"")), "RFC 9112 6")


# ---- bytes that end or begin lines
def line_bytes():
    k = "CR, LF, NUL"
    for id_, raw, why in [
            ("lf-only", b"GET / HTTP/1.1\nHost: a\n\n", "LF alone as line end"),
            ("lf-line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", "LF alone as line end"),
            ("lf-field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", "LF alone as line end"),
            ("lf-end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", "LF alone as line end"),
            ("lf-lf-smuggle", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n" + EVIL + b"\r\n", "LF LF is no end of a head"),
            ("cr-only", b"GET / HTTP/1.1\rHost: a\r\r", "CR alone"), ("cr-line", b"GET / HTTP/1.1\rX: y\r\nHost: a\r\n\r\n", "CR alone"),
            ("cr-value", get(b"X: a\rb\r\n"), "bare CR in a value"), ("cr-value-inject", get(b"X: a\rTransfer-Encoding: chunked\r\n"), "bare CR"),
            ("cr-name", get(b"X\rY: a\r\n"), "bare CR in a name"), ("cr-cr-lf", get(b"X: a\r\r\n"), "bare CR"),
            ("cr-end", b"GET / HTTP/1.1\r\nHost: a\r\n\rX", "bare CR"), ("lf-cr", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r", "LF CR"),
            ("nul-value", get(b"X: a\x00b\r\n"), "NUL in a value"), ("nul-name", get(b"X\x00Y: a\r\n"), "NUL in a name"),
            ("nul-target", get(target=b"/\x00"), "NUL in the target"), ("nul-method", b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", "NUL"),
            ("nul-first", b"\x00" + get(), "NUL"), ("nul-version", b"GET / HTTP/1.1\x00\r\nHost: a\r\n\r\n", "NUL"),
            ("ctl-value", get(b"X: a\x01b\r\n"), "a control byte"), ("del-value", get(b"X: a\x7fb\r\n"), "DEL"),
            ("esc-value", get(b"X: \x1b[2J\r\n"), "a control byte"), ("bs-value", get(b"X: a\x08b\r\n"), "a control byte"),
            ("space-first", b" " + get(), "white space before the request line"), ("lf-first", b"\n" + get(), "LF before the request line"),
            ("three-crlf", b"\r\n\r\n\r\n" + get(), "more empty lines than a robust server skips"),
            ("cr-first", b"\r" + get(), "bare CR")]:
        case("byte-" + id_, k, raw, refused(400), "RFC 9112 2.2, RFC 9110 5.5: " + why)
    case("byte-crlf-first", k, b"\r\n" + get(), forwarded(GET), "RFC 9112 2.2: one empty line is skipped")
    case("byte-two-crlf-first", k, b"\r\n\r\n" + get(), forwarded(GET), "RFC 9112 2.2: at least one")
    case("byte-latin1-value", k, get(b"X: \xe9t\xe9\r\n"), forwarded(GET), "RFC 9110 5.5: obs-text is opaque", has=[("X", "\xe9t\xe9")])
    case("byte-tab-value", k, get(b"X: a\tb\r\n"), forwarded(GET), "RFC 9110 5.5: tab within a value", has=[("X", "a\tb")])


# ---- field lines
def field_lines():
    k = "field lines"
    for id_, fields, why in [
            ("space-colon", b"X : y\r\n", "white space before the colon"), ("tab-colon", b"X\t: y\r\n", "white space before the colon"),
            ("no-colon", b"X\r\n", "no colon"), ("empty-name", b": y\r\n", "empty name (CVE-2023-25725)"),
            ("empty-name-te", b": x\r\n" + CHUNKED, "empty name before a framing field (CVE-2023-25725)"),
            ("fold", b"X: y\r\n z\r\n", "obs-fold"), ("fold-tab", b"X: y\r\n\tz\r\n", "obs-fold"), ("fold-empty", b"X: y\r\n \r\n", "obs-fold"),
            ("space-name", b"X Y: z\r\n", "space in a name"), ("latin1-name", b"X\xe9: y\r\n", "no token"),
            ("paren-name", b"X(: y\r\n", "no token"), ("at-name", b"X@Y: z\r\n", "no token"), ("slash-name", b"X/Y: z\r\n", "no token"),
            ("quote-name", b"\"X\": y\r\n", "no token"), ("equals-name", b"X=Y\r\n", "no token"), ("backslash-name", b"X\\: y\r\n", "no token"),
            ("bracket-name", b"[X]: y\r\n", "no token"), ("brace-name", b"{X}: y\r\n", "no token"), ("second-request-line", b"GET /evil HTTP/1.1\r\n", "space in a name")]:
        case("field-" + id_, k, get(fields), refused(400), "RFC 9112 5, 5.1, 5.2: " + why)
    case("field-first-space", k, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", refused(400), "RFC 9112 2.2: white space before the first field")
    case("field-first-space-2", k, b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", refused(400), "RFC 9112 2.2")
    case("field-hundred", k, get(b"X: y\r\n" * 99), forwarded(GET), "a hundred fields are the limit")
    case("field-hundred-one", k, get(b"X: y\r\n" * 100), refused(431), "RFC 6585 5: too many fields")
    case("field-thousand", k, get(b"X: y\r\n" * 1000), refused(431), "RFC 6585 5: too many fields")
    case("field-64k", k, get(b"X: " + b"y" * 65536 + b"\r\n"), refused(431), "RFC 6585 5: too large")
    case("field-name-270", k, post(b"Content-Length0" + b"a" * 255 + b":\r\nContent-Length: 5\r\n", b"hello" + NEXT),
         forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "the length of a name spills into nothing (CVE-2021-40346)",
         has=[("Content-Length", "5")])
    case("field-name-64k", k, get(b"a" * 65536 + b": x\r\n"), refused(431), "RFC 6585 5: too large (CVE-2021-40346)")
    case("field-name-270-te", k, post(b"Transfer-Encoding0" + b"a" * 252 + b": chunked\r\nContent-Length: 5\r\n", b"hello" + NEXT),
         forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "a long name is no Transfer-Encoding")
    case("field-empty-value", k, get(b"X:\r\nY: z\r\n"), forwarded(GET), "RFC 9110 5.5: a value may be empty", has=[("X", ""), ("Y", "z")])
    case("field-colon-value", k, get(b"X: a: b\r\n"), forwarded(GET), "the first colon ends the name", has=[("X", "a: b")])
    case("field-odd-token", k, get(b"!#$%&'*+-.^_`|~: x\r\n"), forwarded(GET), "RFC 9110 5.6.2: all of these are token bytes")


# ---- the request line
def request_lines():
    k = "request line"
    for id_, line, status, why in [
            ("two-spaces", b"GET  / HTTP/1.1", 400, "exactly one space"), ("two-spaces-2", b"GET /  HTTP/1.1", 400, "exactly one space"),
            ("tab", b"GET\t/ HTTP/1.1", 400, "a tab is no space"), ("tab-2", b"GET /\tHTTP/1.1", 400, "a tab is no space"),
            ("space-end", b"GET / HTTP/1.1 ", 400, "bytes after the version"), ("space-target", b"GET /a b HTTP/1.1", 400, "a space in the target"),
            ("extra-word", b"GET / HTTP/1.1 HTTP/1.1", 400, "bytes after the version"), ("no-target", b"GET HTTP/1.1", 400, "no target"),
            ("no-version", b"GET /", 400, "HTTP/0.9"), ("no-version-space", b"GET / ", 400, "HTTP/0.9"), ("only-method", b"GET", 400, "no target"),
            ("0.9", b"GET / HTTP/0.9", 505, "another major version"), ("1.2", b"GET / HTTP/1.2", 505, "a version we do not speak"),
            ("1.9", b"GET / HTTP/1.9", 505, "a version we do not speak"), ("2.0", b"GET / HTTP/2.0", 505, "another major version"),
            ("3.0", b"GET / HTTP/3.0", 505, "another major version"), ("1.10", b"GET / HTTP/1.10", 400, "one digit"),
            ("01.1", b"GET / HTTP/01.1", 400, "one digit"), ("1.", b"GET / HTTP/1.", 400, "one digit"), ("1", b"GET / HTTP/1", 400, "one digit"),
            ("1,1", b"GET / HTTP/1,1", 400, "a dot"), ("lower", b"GET / http/1.1", 400, "the name is case-sensitive"),
            ("mixed", b"GET / Http/1.1", 400, "the name is case-sensitive"), ("https", b"GET / HTTPS/1.1", 400, "another protocol"),
            ("icy", b"GET / ICY/1.1", 400, "another protocol"), ("no-slash", b"GET / HTTP 1.1", 400, "no slash"),
            ("plus", b"GET / HTTP/+1.1", 400, "a digit"), ("fragment", b"GET /#a HTTP/1.1", 400, "a target has no fragment"),
            ("fragment-2", b"GET /a?b#c HTTP/1.1", 400, "a target has no fragment"), ("latin1", b"GET /\xe9 HTTP/1.1", 400, "not ASCII"),
            ("utf8", b"GET /\xc3\xa9 HTTP/1.1", 400, "not ASCII"), ("del", b"GET /\x7f HTTP/1.1", 400, "a control byte"),
            ("relative", b"GET a HTTP/1.1", 400, "none of the four forms"), ("dots", b"GET ../a HTTP/1.1", 400, "none of the four forms"),
            ("star-get", b"GET * HTTP/1.1", 400, "* only with OPTIONS"), ("star-more", b"OPTIONS *a HTTP/1.1", 400, "none of the four forms"),
            ("query-only", b"GET ?a HTTP/1.1", 400, "none of the four forms"), ("backslash-first", b"GET \\a HTTP/1.1", 400, "none of the four forms"),
            ("method-paren", b"G(T / HTTP/1.1", 400, "no token"), ("method-colon", b"GET: / HTTP/1.1", 400, "no token"),
            ("method-latin1", b"G\xc9T / HTTP/1.1", 400, "no token"), ("empty-method", b" / HTTP/1.1", 400, "no method"),
            ("authority-get", b"GET a:80 HTTP/1.1", 400, "authority-form only with CONNECT"), ("ftp", b"GET ftp://a/ HTTP/1.1", 400, "no scheme of ours"),
            ("file", b"GET file:///etc/passwd HTTP/1.1", 400, "no scheme of ours"), ("one-slash", b"GET http:/a/ HTTP/1.1", 400, "no authority"),
            ("no-authority", b"GET http:/// HTTP/1.1", 400, "no authority"), ("no-authority-2", b"GET http:// HTTP/1.1", 400, "no authority"),
            ("userinfo", b"GET http://u@a/ HTTP/1.1", 400, "RFC 9110 4.2.4: userinfo"), ("userinfo-2", b"GET http://a:b@a/ HTTP/1.1", 400, "RFC 9110 4.2.4: userinfo"),
            ("abs-other-host", b"GET http://b/ HTTP/1.1", 400, "Host differs from the target"), ("abs-port", b"GET http://a:81/ HTTP/1.1", 400, "Host differs from the target"),
            ("abs-bad-port", b"GET http://a:x/ HTTP/1.1", 400, "a port is a number"), ("abs-big-port", b"GET http://a:65536/ HTTP/1.1", 400, "a port ends at 65535"),
            ("abs-space", b"GET http://a /evil HTTP/1.1", 400, "a space in the target"), ("abs-backslash", b"GET http://a\\b/ HTTP/1.1", 400, "no host"),
            ("long-target", b"GET /" + b"a" * 9000 + b" HTTP/1.1", 414, "RFC 9110 15.5.15"), ("pri", b"PRI * HTTP/2.0", 505, "the preface of HTTP/2"),
            ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "a TLS hello on a plain port"),
            ("proxy-v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2", 400, "the PROXY protocol, where it is not configured")]:
        case("line-" + id_, k, line + b"\r\nHost: a\r\n\r\n", refused(status), "RFC 9112 3, 2.3: " + why)
    for id_, target, seen, why in [
            ("abs", b"http://a/x?y", "/x?y", "RFC 9112 3.2.2: absolute-form becomes origin-form"),
            ("abs-case", b"HTTP://A/x", "/x", "scheme and host are case-insensitive"), ("abs-https", b"https://a/x", "/x", "RFC 9112 3.2.2"),
            ("abs-no-path", b"http://a", "/", "RFC 9110 4.2.3: an empty path is /"), ("abs-query", b"http://a?x", "/?x", "an empty path is /"),
            ("encoded-slash", b"/a%2fb", "/a%2fb", "passed as it came"), ("encoded-dots", b"/%2e%2e/a", "/%2e%2e/a", "passed as it came"),
            ("encoded-nul", b"/a%00b", "/a%00b", "passed as it came"), ("encoded-crlf", b"/a%0d%0aX:y", "/a%0d%0aX:y", "three letters each, no line end"),
            ("double-encoded", b"/%252e", "/%252e", "passed as it came"), ("backslash", b"/a\\b", "/a\\b", "passed as it came"),
            ("two-slashes", b"//b/x", "//b/x", "a path, not an authority"), ("dot-segments", b"/a/../b", "/a/../b", "passed as it came"),
            ("semicolon", b"/a;b=c", "/a;b=c", "RFC 3986 3.3"), ("url-in-path", b"/http://b/", "/http://b/", "a path"),
            ("pipe", b"/a|b", "/a|b", "laxer than RFC 3986, as all browsers need"), ("query-question", b"/a?b?c", "/a?b?c", "RFC 3986 3.4")]:
        case("target-" + id_, k, get(target=target), forwarded(("GET", seen, b"")), why)
    case("method-lower", k, get(method=b"get"), forwarded(("get", "/", b"")), "RFC 9110 9.1: methods are case-sensitive, and any token")
    case("method-odd", k, get(method=b"M-SEARCH"), forwarded(("M-SEARCH", "/", b"")), "any token")
    case("options-star", k, get(method=b"OPTIONS", target=b"*"), forwarded(("OPTIONS", "*", b"")), "RFC 9112 3.2.4")
    case("options-abs", k, get(method=b"OPTIONS", target=b"http://a"), forwarded(("OPTIONS", "*", b"")), "RFC 9112 3.2.4")
    case("connect", k, get(method=b"CONNECT", target=b"a:443"), answered(405), "no proxy for others")
    case("connect-path", k, get(method=b"CONNECT", target=b"/"), refused(400), "RFC 9112 3.2.3: host and port")
    case("connect-no-port", k, get(method=b"CONNECT", target=b"a"), refused(400), "RFC 9112 3.2.3: host and port")
    case("connect-body", k, get(b"Content-Length: 5\r\n", method=b"CONNECT", target=b"a:443") + b"hello", refused(400), "RFC 9110 9.3.6: no body")
    case("connect-lower", k, get(method=b"connect", target=b"a:443"), refused(400), "no CONNECT, and then no form")
    case("trace", k, get(method=b"TRACE"), answered(405), "RFC 9110 9.3.8: it would show what we add")
    case("trace-body", k, get(b"Content-Length: 5\r\n", method=b"TRACE") + b"hello", refused(400), "RFC 9110 9.3.8: no body")


# ---- Host
def hosts():
    k = "Host"
    for id_, host, why in [
            ("none", b"", "no Host"), ("two", b"Host: a\r\nHost: b\r\n", "two Host fields"), ("two-same", b"Host: a\r\nHost: a\r\n", "two Host fields"),
            ("two-apart", b"Host: a\r\nX: y\r\nhost: b\r\n", "two Host fields"), ("empty", b"Host:\r\n", "empty where the target names none"),
            ("space", b"Host: a b\r\n", "no host"), ("userinfo", b"Host: u@a\r\n", "no host"), ("path", b"Host: a/b\r\n", "no host"),
            ("url", b"Host: http://a\r\n", "no host"), ("query", b"Host: a?b\r\n", "no host"), ("fragment", b"Host: a#b\r\n", "no host"),
            ("backslash", b"Host: a\\b\r\n", "no host"), ("port-word", b"Host: a:b\r\n", "a port is a number"), ("port-minus", b"Host: a:-1\r\n", "a port is a number"),
            ("port-big", b"Host: a:65536\r\n", "a port ends at 65535"), ("two-ports", b"Host: a:1:2\r\n", "one port"), ("only-port", b"Host: :80\r\n", "no name"),
            ("port-space", b"Host: a: 80\r\n", "no host"), ("ip6-open", b"Host: [::1\r\n", "no address"), ("ip6-bad", b"Host: [::g]\r\n", "no address"),
            ("ip6-bare", b"Host: ::1\r\n", "an address in brackets"), ("ip6-after", b"Host: [::1]x\r\n", "bytes after the address"),
            ("latin1", b"Host: \xe9\r\n", "not ASCII"), ("nul", b"Host: a\x00b\r\n", "NUL"), ("percent", b"Host: a%\r\n", "half an escape"),
            ("quote", b"Host: \"a\"\r\n", "no host"), ("angle", b"Host: <script>\r\n", "no host"), ("space-colon", b"Host : a\r\n", "white space before the colon"),
            ("fold", b"Host: a\r\n b\r\n", "obs-fold"), ("tab-inside", b"Host: a\tb\r\n", "no host")]:
        case("host-" + id_, k, get(host=host), refused(400), "RFC 9112 3.2, RFC 9110 7.2: " + why)
    for id_, host in [("port", "a:8080"), ("ip4", "127.0.0.1"), ("ip6", "[::1]"), ("ip6-port", "[::1]:80"), ("dot", "a."), ("upper", "A.Example"),
                      ("underscore", "a_b"), ("percent", "a%41")]:
        case("host-ok-" + id_, k, get(host=b"Host: " + host.encode() + b"\r\n"), forwarded(GET), "RFC 9110 7.2: uri-host [\":\" port]", has=[("Host", host)])
    case("host-ows", k, get(host=b"Host: \t a \r\n"), forwarded(GET), "RFC 9110 5.5", has=[("Host", "a")])
    case("host-long", k, get(host=b"Host: " + b"a" * 300 + b"\r\n"), answered(400), "no name is longer than 255")
    case("host-10-none", k, get(host=b"", version=b"HTTP/1.0"), forwarded(GET, keep=False), "HTTP/1.0 needs no Host; the replica gets one")
    case("host-10-two", k, get(host=b"Host: a\r\nHost: b\r\n", version=b"HTTP/1.0"), refused(400), "two Host fields")
    case("host-abs-wins", k, b"GET http://a/ HTTP/1.0\r\n\r\n", forwarded(GET, keep=False), "RFC 9112 3.2.2", has=[("Host", "a")])
    case("host-forwarded", k, get(b"X-Forwarded-Host: evil\r\nForwarded: host=evil\r\n"), forwarded(GET), "nobody in front of us is trusted", has=[("X-Forwarded-Host", "a")])


# ---- Connection, Upgrade, Expect, TE
def hops():
    k = "hop by hop"
    def conn(id_, fields, why, has=(), has_not=(), want=None):
        case("hop-" + id_, k, get(fields), want or forwarded(GET), why, has, has_not)
    conn("host", b"Connection: Host\r\n", "RFC 9110 7.6.1: Host is end to end", has=[("Host", "a")])
    conn("xff", b"Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n", "ours stays", has=[("X-Forwarded-For", "127.0.0.1")])
    conn("request-id", b"Connection: X-Request-Id\r\n", "ours stays", has=[("X-Request-Id", None)])
    conn("traceparent", b"Connection: traceparent\r\n", "ours stays", has=[("traceparent", None)])
    conn("via", b"Connection: Via\r\n", "ours stays", has=[("Via", None)])
    conn("named", b"Connection: X-A\r\nX-A: b\r\nX-B: c\r\n", "RFC 9110 7.6.1: what it names is removed", has=[("X-B", "c")], has_not=["X-A"])
    conn("named-case", b"Connection: x-a\r\nX-A: b\r\n", "names are case-insensitive", has_not=["X-A"])
    conn("named-before", b"X-A: b\r\nConnection: X-A\r\n", "also before it", has_not=["X-A"])
    conn("named-list", b"Connection: ,, X-A , keep-alive,X-B\r\nX-A: b\r\nX-B: c\r\n", "a list", has_not=["X-A", "X-B"])
    conn("two-fields", b"Connection: X-A\r\nConnection: X-B\r\nX-A: b\r\nX-B: c\r\n", "two fields are one list", has_not=["X-A", "X-B", "Connection"])
    conn("options-many", b"Connection: " + b"a," * 40 + b"a\r\n", "more options than anybody has a use for", want=refused(400))
    conn("keep-alive", b"Keep-Alive: timeout=5\r\n", "RFC 9110 7.6.1", has_not=["Keep-Alive"])
    conn("proxy-connection", b"Proxy-Connection: close\r\n", "RFC 9110 7.6.1", has_not=["Proxy-Connection"])
    conn("te", b"TE: trailers, gzip\r\n", "RFC 9110 10.1.4", has_not=["TE"])
    conn("trailer", b"Trailer: X\r\n", "no chunks, no trailers", has_not=["Trailer"])
    conn("proxy-auth", b"Proxy-Authorization: Basic x\r\n", "RFC 9110 11.7.2: ours, not the next one's", has_not=["Proxy-Authorization"])
    conn("mirror", b"X-Headgate-Mirror: 1\r\n", "a mark of ours", has_not=["X-Headgate-Mirror"])
    conn("forwarded", b"Forwarded: for=1.2.3.4\r\n", "nobody in front of us is trusted", has=[("Forwarded", "for=127.0.0.1;proto=http;host=\"a\"")])
    conn("proto", b"X-Forwarded-Proto: https\r\n", "nobody in front of us is trusted", has=[("X-Forwarded-Proto", "http")])
    for name in ("X_Forwarded_For", "X-Forwarded_For", "x_forwarded_proto", "X_Forwarded_Host", "X_Request_Id", "X_Headgate_Mirror", "Transfer_Encoding",
                 "Proxy_Authorization"):
        conn("underscore-" + name.lower(), name.encode() + b": 1\r\n", "replicas that turn _ into - must not take it for ours", has_not=[name])
    for name in ("X-Real-IP", "X_Real_IP", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "x_forwarded_server"):
        conn("identity-" + name.lower(), name.encode() + b": 1\r\n", "nobody in front of us is trusted", has_not=[name])
    conn("identity-own", b"X-Forward: 1\r\nX-Real-IPs: 2\r\n", "other names pass", has=[("X-Forward", "1"), ("X-Real-IPs", "2")])
    conn("underscore-own", b"X_My_Field: 1\r\n", "other names pass", has=[("X_My_Field", "1")])
    case("hop-cl", k, post(b"Connection: Content-Length\r\nContent-Length: 5\r\n", b"hello" + NEXT),
         forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "the framing stays", has=[("Content-Length", "5")])
    case("hop-te-field", k, post(b"Connection: Transfer-Encoding\r\n" + CHUNKED, b"5\r\nhello\r\n" + END + NEXT),
         forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "the framing stays", has=[("Transfer-Encoding", "chunked")])
    case("hop-close", k, get(b"Connection: close\r\n") + EVIL, forwarded(GET, keep=False), "RFC 9112 9.6: what follows close is no request")
    case("hop-close-list", k, get(b"Connection: keep-alive, close\r\n") + EVIL, forwarded(GET, keep=False), "RFC 9112 9.3: close wins")
    case("hop-close-case", k, get(b"Connection: CLOSE\r\n") + EVIL, forwarded(GET, keep=False), "case-insensitive")
    case("hop-close-second", k, get(b"Connection: x\r\nConnection: close\r\n") + EVIL, forwarded(GET, keep=False), "two fields are one list")
    case("hop-10", k, get(version=b"HTTP/1.0") + EVIL, forwarded(GET, keep=False), "RFC 9112 9.3: HTTP/1.0 closes")
    case("hop-10-alive", k, get(b"Connection: keep-alive\r\n", version=b"HTTP/1.0") + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 9112 9.3")
    case("hop-10-te", k, get(b"Connection: keep-alive, close\r\n", version=b"HTTP/1.0") + EVIL, forwarded(GET, keep=False), "close wins")
    k = "Upgrade"
    ws = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"
    case("upgrade-ws", k, get(ws) + NEXT, forwarded(GET, ("GET", "/next", b"")), "a replica that says 200 has not upgraded: what follows is a request",
         has=[("Upgrade", "websocket"), ("Connection", "upgrade")])
    case("upgrade-alone", k, get(b"Upgrade: websocket\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 9110 7.8: without Connection it is nothing", has_not=["Upgrade"])
    case("upgrade-no-field", k, get(b"Connection: Upgrade\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 9110 7.8", has_not=["Upgrade", "Connection"])
    case("upgrade-10", k, get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", version=b"HTTP/1.0") + EVIL, forwarded(GET, keep=False), "RFC 9110 7.8: not in HTTP/1.0", has_not=["Upgrade"])
    case("upgrade-body", k, post(ws + b"Content-Length: 5\r\n", b"hello" + NEXT), forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")),
         "a body and a tunnel on one connection is asking for confusion: no upgrade", has_not=["Upgrade"])
    h2c = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    gone = ["Upgrade", "HTTP2-Settings", "Connection"]
    case("upgrade-h2c", k, get(b"Connection: Upgrade, HTTP2-Settings\r\n" + h2c) + NEXT, forwarded(GET, ("GET", "/next", b"")),
         "RFC 9113 3.1: obsolete; through a proxy it opens a tunnel past all rules", has_not=gone)
    case("upgrade-h2c-half", k, get(b"Connection: Upgrade\r\n" + h2c) + NEXT, forwarded(GET, ("GET", "/next", b"")), "also without the second option", has_not=["Upgrade"])
    case("upgrade-h2c-list", k, get(b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "also in a list", has_not=["Upgrade"])
    case("upgrade-h2c-two", k, get(b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "also in a second field", has_not=["Upgrade"])
    case("upgrade-h2c-case", k, get(b"Connection: Upgrade\r\nUpgrade: H2C\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "case-insensitive", has_not=["Upgrade"])
    case("upgrade-h2", k, get(b"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "another HTTP is no tunnel", has_not=["Upgrade"])
    case("upgrade-tls", k, get(b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 2817 needs the server itself", has_not=["Upgrade"])
    k = "Expect"
    case("expect", k, post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello" + NEXT), forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "RFC 9110 10.1.1")
    case("expect-case", k, post(b"Expect: 100-Continue\r\nContent-Length: 5\r\n", b"hello" + NEXT), forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "case-insensitive")
    case("expect-no-body", k, get(b"Expect: 100-continue\r\n") + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 9110 10.1.1: ignored without a body", has_not=["Expect"])
    case("expect-10", k, post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", version=b"HTTP/1.0"), forwarded(("POST", "/", b"hello"), keep=False), "ignored in HTTP/1.0", has_not=["Expect"])
    for id_, value in [("other", b"200-ok"), ("list", b"100-continue, x"), ("param", b"100-continue;a"), ("y", b"y"), ("empty", b""), ("space", b"100 -continue"), ("obfuscated", b"y 100-continue")]:
        case("expect-" + id_, k, post(b"Expect: " + value + b"\r\nContent-Length: 5\r\n", b"hello" + EVIL), refused(417), "RFC 9110 10.1.1: an expectation that is not understood")
    case("expect-fold", k, post(b"Expect:\r\n 100-continue\r\nContent-Length: 5\r\n", b"hello"), refused(417), "RFC 9112 5.2: obs-fold; the empty value is met first")


# ---- several on one connection
def pipelines():
    k = "pipelining"
    case("pipe-two", k, get() + NEXT, forwarded(GET, ("GET", "/next", b"")), "RFC 9112 9.3.2")
    case("pipe-twenty", k, NEXT * 20, forwarded(*[("GET", "/next", b"")] * 20), "RFC 9112 9.3.2: in order")
    case("pipe-bad-second", k, get() + b"BAD\r\n\r\n" + EVIL, forwarded(GET, then=400), "after an error nothing is read as a request")
    case("pipe-bad-first", k, b"BAD\r\n\r\n" + EVIL, refused(400), "after an error nothing is read as a request")
    case("pipe-cl-te-second", k, get() + post(b"Content-Length: 5\r\n" + CHUNKED, END) + EVIL, forwarded(GET, then=400), "after an error nothing is read as a request")
    case("pipe-405-goes-on", k, get(method=b"TRACE") + NEXT, {**answered(405), "requests": [("GET", "/next", b"")]}, "an answer of ours with a known end")
    case("pipe-crlf-between", k, post(b"Content-Length: 5\r\n", b"hello\r\n" + NEXT), forwarded(("POST", "/", b"hello"), ("GET", "/next", b"")), "RFC 9112 2.2: old clients send CRLF after a body")
    case("pipe-junk-between", k, post(b"Content-Length: 5\r\n", b"hello!" + NEXT), forwarded(("POST", "/", b"hello"), ("!GET", "/next", b"")), "RFC 9110 9.1: ! is a token byte: another method, and no GET")
    case("pipe-body-is-request", k, post(b"Content-Length: %d\r\n" % len(EVIL), EVIL + NEXT), forwarded(("POST", "/", EVIL), ("GET", "/next", b"")), "a body is a body")
    case("pipe-close-then", k, get() + get(b"Connection: close\r\n", target=b"/last") + EVIL, forwarded(GET, ("GET", "/last", b""), keep=False), "RFC 9112 9.6")
    case("pipe-chunk-bad-second", k, get() + post(CHUNKED, b"z\r\n") + EVIL, {**cut(400), "requests": [GET]}, "RFC 9112 7.1")
    case("pipe-half", k, get() + b"GET /half HTTP/1.1\r\nHost: a\r\n", {**waits(), "requests": [GET]}, "not complete")


# ---- a hostile replica
def replies():
    ok = b"HTTP/1.1 200 OK\r\n"
    k = "response framing"
    why = "RFC 9112 6.3: both fields are an attempt at splitting"
    reply("r-cl-te", k, ok + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n" + END, bad(), why)
    reply("r-te-cl", k, ok + CHUNKED + b"Content-Length: 5\r\n\r\n" + END, bad(), why)
    reply("r-two-cl", k, ok + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", bad(), "RFC 9112 6.3 rule 5")
    reply("r-same-cl", k, ok + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", passed(200, b"ab"), "RFC 9112 6.3 rule 5: equal values")
    reply("r-list-cl", k, ok + b"Content-Length: 2, 2\r\n\r\nab", bad(), "a list")
    reply("r-minus-cl", k, ok + b"Content-Length: -2\r\n\r\nab", bad(), "a sign")
    reply("r-plus-cl", k, ok + b"Content-Length: +2\r\n\r\nab", bad(), "a sign")
    reply("r-overflow-cl", k, ok + b"Content-Length: 18446744073709551618\r\n\r\nab", bad(), "2^64 + 2 must not become 2")
    reply("r-te-gzip", k, ok + b"Transfer-Encoding: gzip\r\n\r\nab", bad(), "not understood", close=True)
    reply("r-te-list", k, ok + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END, bad(), "not understood")
    reply("r-te-twice", k, ok + CHUNKED + CHUNKED + b"\r\n" + END, bad(), "RFC 9112 6.1: at most once")
    reply("r-te-10", k, b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + END, bad(), "RFC 9112 6.1")
    reply("r-chunked", k, ok + CHUNKED + b"\r\n2\r\nab\r\n" + END, passed(200, b"ab"), "the plain case")
    reply("r-chunk-bad", k, ok + CHUNKED + b"\r\n2\r\nab\r\nzz\r\n", broken(200), "RFC 9112 7.1")
    reply("r-chunk-lf", k, ok + CHUNKED + b"\r\n2\nab\n0\n\n", broken(200), "bare LF")
    reply("r-chunk-overflow", k, ok + CHUNKED + b"\r\n10000000000000002\r\nab\r\n" + END, broken(200), "2^64 + 2 must not become 2")
    reply("r-chunk-short", k, ok + CHUNKED + b"\r\n5\r\nab", broken(200), "the end is missing", close=True)
    reply("r-cl-short", k, ok + b"Content-Length: 5\r\n\r\nab", broken(200), "RFC 9112 8: the end is missing", close=True)
    reply("r-until-close", k, ok + b"\r\nab", passed(200, b"ab"), "RFC 9112 6.3 rule 8", close=True)
    reply("r-trailer-cl", k, ok + CHUNKED + b"\r\n2\r\nab\r\n0\r\nContent-Length: 5\r\n\r\n", broken(200), "RFC 9110 6.5.1: never in trailers")
    reply("r-trailer-te", k, ok + CHUNKED + b"\r\n2\r\nab\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", broken(200), "RFC 9110 6.5.1: never in trailers")
    reply("r-trailer-ok", k, ok + CHUNKED + b"\r\n2\r\nab\r\n0\r\ngrpc-status: 0\r\n\r\n", passed(200, b"ab"), "RFC 9112 7.1.2")
    k = "response bytes"
    for id_, raw, why in [
            ("lf", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare LF"), ("lf-field", ok + b"Content-Length: 0\n\r\n", "bare LF"),
            ("cr", ok + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", "bare CR: splitting"), ("nul", ok + b"X: a\x00\r\nContent-Length: 0\r\n\r\n", "NUL"),
            ("fold", ok + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", "obs-fold"), ("space-colon", ok + b"Content-Length : 0\r\n\r\n", "RFC 9112 5.1: white space before the colon"),
            ("empty-name", ok + b": x\r\nContent-Length: 0\r\n\r\n", "empty name"), ("no-colon", ok + b"X\r\nContent-Length: 0\r\n\r\n", "no colon"),
            ("ctl", ok + b"X: \x01\r\nContent-Length: 0\r\n\r\n", "a control byte"), ("reason-ctl", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", "a control byte"),
            ("reason-cr", b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", "bare CR")]:
        reply("r-" + id_, k, raw, bad(), "RFC 9112 2.2, 5: " + why)
    k = "status line"
    for id_, line, why in [
            ("000", b"HTTP/1.1 000 X", "no status"), ("099", b"HTTP/1.1 099 X", "no status"), ("99", b"HTTP/1.1 99 X", "three digits"),
            ("1000", b"HTTP/1.1 1000 X", "three digits"), ("600", b"HTTP/1.1 600 X", "RFC 9110 15: outside 100-599"), ("999", b"HTTP/1.1 999 X", "RFC 9110 15: outside 100-599"),
            ("word", b"HTTP/1.1 abc X", "digits"), ("minus", b"HTTP/1.1 -20 X", "digits"), ("version-2", b"HTTP/2.0 200 OK", "another major version"),
            ("version-12", b"HTTP/1.2 200 OK", "a version we do not speak"), ("lower", b"http/1.1 200 OK", "the name is case-sensitive"), ("two-spaces", b"HTTP/1.1  200 OK", "one space"),
            ("tab", b"HTTP/1.1\t200 OK", "a tab is no space"), ("space-first", b" HTTP/1.1 200 OK", "white space first"), ("icy", b"ICY 200 OK", "another protocol"),
            ("junk", b"hello", "no status line"), ("hex", b"HTTP/1.1 0xc8 OK", "digits")]:
        reply("s-" + id_, k, line + b"\r\nContent-Length: 0\r\n\r\n", bad(), "RFC 9112 4: " + why)
    reply("s-no-reason", k, b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", passed(200, b"ab"), "RFC 9112 4: many servers leave the space out")
    reply("s-0.9", k, b"<html>hello</html>", bad(), "HTTP/0.9", close=True)
    reply("s-nothing", k, b"", bad(), "closed without an answer", close=True)
    reply("s-half", k, b"HTTP/1.1 200 OK\r\nContent-Le", bad(), "closed within the head", close=True)
    reply("s-crlf-first", k, b"\r\n" + ok + b"Content-Length: 0\r\n\r\n", bad(), "RFC 9112 4: an answer begins with its status line")
    k = "response queue"
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Evil: 1\r\n\r\npoison"
    reply("q-two", k, ok + b"Content-Length: 2\r\n\r\nab" + second, passed(200, b"ab"), "RFC 9112 9.2: the second answer belongs to nobody")
    reply("q-head-body", k, ok + b"Content-Length: 6\r\n\r\npoison", passed(200, b""), "RFC 9110 9.3.2: no body to HEAD", ask=b"HEAD")
    reply("q-head-two", k, ok + b"Content-Length: 6\r\n\r\n" + second, passed(200, b""), "RFC 9110 9.3.2", ask=b"HEAD")
    reply("q-204-body", k, b"HTTP/1.1 204 No Content\r\n\r\npoison", passed(204, b""), "RFC 9110 15.3.5: no body")
    reply("q-204-cl", k, b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", passed(204, b""), "RFC 9110 8.6: no length either")
    reply("q-204-te", k, b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"\r\n" + END, bad(), "RFC 9112 6.1: no Transfer-Encoding with 204")
    reply("q-304-body", k, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", passed(304, b""), "RFC 9110 15.4.5: no body")
    reply("q-100-flood", k, b"HTTP/1.1 100 Continue\r\n\r\n" * 200 + ok + b"Content-Length: 2\r\n\r\nab", bad(), "more 1xx than anybody sends")
    reply("q-103-flood", k, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 200 + ok + b"Content-Length: 2\r\n\r\nab", bad(), "more 1xx than anybody sends")
    reply("q-103", k, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + b"Content-Length: 2\r\n\r\nab", passed(200, b"ab"), "RFC 8297")
    reply("q-102-body", k, b"HTTP/1.1 102 Processing\r\nContent-Length: 6\r\n\r\n" + ok + b"Content-Length: 2\r\n\r\nab", passed(200, b"ab"), "RFC 9110 15.2: no body after 1xx, its length is dropped")
    reply("q-1xx-te", k, b"HTTP/1.1 103 X\r\n" + CHUNKED + b"\r\n" + END + ok + b"Content-Length: 0\r\n\r\n", bad(), "RFC 9112 6.1: no Transfer-Encoding with 1xx")
    reply("q-101-unasked", k, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\npoison", bad(), "RFC 9110 15.2.2: nobody asked")
    reply("q-only-100", k, b"HTTP/1.1 100 Continue\r\n\r\n", bad(), "closed after it", close=True)
    reply("q-close", k, ok + b"Connection: close\r\nContent-Length: 2\r\n\r\nab" + second, passed(200, b"ab"), "RFC 9112 9.6")
    k = "response head size"
    reply("h-64k", k, ok + b"X: " + b"y" * 65536 + b"\r\nContent-Length: 0\r\n\r\n", bad(), "a head is limited")
    reply("h-fields", k, ok + b"X: y\r\n" * 1000 + b"Content-Length: 0\r\n\r\n", bad(), "fields are limited")
    reply("h-endless", k, ok + b"X: y\r\n" * 20000, bad(), "a head without an end")
    reply("h-reason-64k", k, b"HTTP/1.1 200 " + b"y" * 65536 + b"\r\nContent-Length: 0\r\n\r\n", bad(), "a head is limited")


for part in (cl_te, te_te, lengths, chunks, line_bytes, field_lines, request_lines, hosts, hops, pipelines, replies):
    part()
assert len({c.id for c in REQUESTS + REPLIES}) == len(REQUESTS) + len(REPLIES), "every case has a name of its own"



def seeds(folder):
    """The cases as inputs of the fuzz targets: FOLDER/{http1_request,http1_response,edge}/ID."""
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    rows = [("http1_request", c.id, c.raw) for c in REQUESTS] + [("edge", c.id, c.raw + b"\n====\n" + plain) for c in REQUESTS]
    rows += [("http1_response", r.id, (b"H" if r.ask == b"HEAD" else b"G") + r.raw) for r in REPLIES]
    rows += [("edge", r.id, get(method=r.ask) + b"\n====\n" + r.raw + (b"!" if r.close else b"")) for r in REPLIES]
    for target, id_, raw in rows:
        if len(raw) > 8000:
            continue
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / id_).write_bytes(raw)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--seeds":
        seeds(pathlib.Path(sys.argv[2]))
    print(f"{len(REQUESTS)} request cases, {len(REPLIES)} response cases")
