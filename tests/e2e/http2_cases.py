"""RFC 9113 and RFC 7541, section by section: what is sent after the connection's preface and settings, and what
must become of it. `want`: ("reset", code), ("goaway", code), ("status", code), ("any",): one of the first two or a
4xx; where the RFC leaves the choice between a stream's and the connection's end, a set of those allowed.
`seen`: what may reach a replica; None: nothing."""
from http2_frames import (ACK, CALM, CANCEL, CLOSED, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW, GET,
                          GOAWAY, HEADERS, PADDED, PING, POST, PRIO, PRIORITY, PROTOCOL, PUSH_PROMISE, RST_STREAM,
                          SETTINGS, SIZE, WINDOW_UPDATE, block, frame, headers, integer, settings, text, u32)

OPEN = headers(1, POST, END_HEADERS)  # a request whose body is to come
DONE = headers(1, GET)
OK = ("status", "200")


def reset(code):
    return {("reset", code)}


def goaway(*codes):
    return {("goaway", c) for c in codes} | {("closed",)}


def either(code):
    return reset(code) | goaway(code)


BAD = {("reset", PROTOCOL), ("goaway", PROTOCOL), ("status", "400")}


def fields(*more, base=GET):
    return headers(1, [*base, *more])


def without(name, base=GET):
    return headers(1, [f for f in base if f[0] != name])


def replaced(name, value):
    return headers(1, [(n, value if n == name else v) for n, v in GET])


def posted(length, *datas, end=True):
    out = headers(1, [*POST, ("content-length", length)], END_HEADERS)
    for i, d in enumerate(datas):
        out += frame(DATA, END_STREAM if end and i == len(datas) - 1 else 0, 1, d)
    return out


PRI5 = u32(0) + b"\x10"
CASES = [
    # ---- RFC 9113 section 4: frames
    ("4.1 unknown types are ignored", frame(0x42, 0xff, 0, b"abc") + frame(0x42, 0, 1, b"abc") + DONE, {OK}),
    ("4.1 undefined flags are ignored", frame(HEADERS, END_HEADERS | END_STREAM | 0xc2 & ~PADDED & ~PRIO, 1,
                                              block(GET)), {OK}),
    ("4.1 the reserved bit is ignored", frame(HEADERS, 5, 1 | 1 << 31, block(GET)), {OK}),
    ("4.2 a DATA frame beyond the maximum", OPEN + frame(DATA, 0, 1, b"x" * 16385), either(SIZE), "any"),
    ("4.2 a HEADERS frame beyond the maximum", headers(1, block(GET) + block([("x", "y" * 16400)])), goaway(SIZE)),
    ("4.2 an unknown frame beyond the maximum", frame(0x42, 0, 0, b"x" * 16385), goaway(SIZE)),
    ("4.2 a RST_STREAM of 3 bytes", OPEN + frame(RST_STREAM, 0, 1, b"abc"), goaway(SIZE), "any"),
    ("4.2 a PRIORITY of 4 bytes", frame(PRIORITY, 0, 1, b"abcd") + DONE, either(SIZE)),
    ("4.2 a PING of 7 bytes", frame(PING, 0, 0, b"abcdefg"), goaway(SIZE)),
    ("4.2 a WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"abc"), goaway(SIZE)),
    ("4.2 a GOAWAY of 4 bytes", frame(GOAWAY, 0, 0, u32(0)), goaway(SIZE)),
    ("4.2 SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, b"abcde"), goaway(SIZE)),
    ("4.3 a header block that does not decode", headers(1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
     goaway(COMPRESSION)),
    ("4.3 another frame within a header block", frame(HEADERS, END_STREAM, 1, block(GET)) + frame(PING, 0, 0, b"8" * 8),
     goaway(PROTOCOL)),
    ("4.3 another stream's frame within a header block",
     frame(HEADERS, END_STREAM, 1, block(GET)) + headers(3, GET), goaway(PROTOCOL)),
    ("4.3 an unknown frame within a header block", frame(HEADERS, END_STREAM, 1, block(GET)) + frame(0x42, 0, 1),
     goaway(PROTOCOL)),
    # ---- section 5: streams
    ("5.1 DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), goaway(PROTOCOL)),
    ("5.1 RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, u32(CANCEL)), goaway(PROTOCOL)),
    ("5.1 WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, u32(1)), goaway(PROTOCOL)),
    ("5.1 CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, block(GET)), goaway(PROTOCOL)),
    ("5.1 DATA after END_STREAM", headers(1, [*GET[:2], (":path", "/slow"), GET[3]]) + frame(DATA, 0, 1, b"x"),
     either(CLOSED), "any"),
    ("5.1 HEADERS after END_STREAM", headers(1, [*GET[:2], (":path", "/slow"), GET[3]]) + headers(1, [("a", "b")]),
     either(CLOSED), "any"),
    ("5.1 PRIORITY in any state", frame(PRIORITY, 0, 1, PRI5[:3] + b"\x07\x10") + frame(PRIORITY, 0, 9, PRI5) + DONE, {OK}),
    ("5.1.1 an even stream", headers(2, GET), goaway(PROTOCOL)),
    ("5.1.1 HEADERS on stream 0", headers(0, GET), goaway(PROTOCOL)),
    # One that may have been closed: nobody can tell, and it is not served.
    ("5.1.1 a stream number below an earlier one", headers(5, GET) + headers(3, GET), goaway(PROTOCOL, CLOSED) | {OK}),
    ("5.3.1 a stream that depends on itself", frame(HEADERS, 5 | PRIO, 1, u32(1) + b"\x10" + block(GET)),
     BAD | {OK}, "any"),
    ("5.5 an unknown setting is ignored", settings((0x4242, 7)) + DONE, {OK}),
    # ---- section 6.1 DATA
    ("6.1 DATA on stream 0", frame(DATA, 0, 0, b"x"), goaway(PROTOCOL)),
    ("6.1 padding longer than the frame", OPEN + frame(DATA, PADDED, 1, b"\x09abc"), goaway(PROTOCOL), "any"),
    ("6.1 padding is not part of the body", posted("3") + frame(DATA, PADDED | END_STREAM, 1, b"\x04abc\0\0\0\0"), {OK},
     "abc"),
    ("6.1 nothing but padding", posted("0") + frame(DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0"), {OK}, ""),
    # ---- 6.2 HEADERS
    ("6.2 padding longer than the frame", frame(HEADERS, 5 | PADDED, 1, b"\xffabc"), goaway(PROTOCOL, SIZE)),
    ("6.2 padded, with a priority", frame(HEADERS, 5 | PADDED | PRIO, 1, b"\x02" + PRI5 + block(GET) + b"\0\0"), {OK}),
    ("6.2 the priority cut short", frame(HEADERS, 5 | PRIO, 1, b"abc"), goaway(PROTOCOL, SIZE)),
    # ---- 6.3 … 6.10
    ("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, PRI5), goaway(PROTOCOL)),
    ("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, u32(0)), goaway(PROTOCOL)),
    ("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1), goaway(PROTOCOL)),
    ("6.5 an acknowledgement with a payload", frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"), goaway(SIZE)),
    ("6.5.2 ENABLE_PUSH 2", settings((2, 2)), goaway(PROTOCOL)),
    ("6.5.2 a window beyond 2^31-1", settings((4, 1 << 31)), goaway(FLOW)),
    ("6.5.2 a frame size below 16384", settings((5, 16383)), goaway(PROTOCOL)),
    ("6.5.2 a frame size beyond 2^24-1", settings((5, 1 << 24)), goaway(PROTOCOL)),
    ("6.5.2 NO_RFC7540_PRIORITIES 2", settings((9, 2)), goaway(PROTOCOL)),
    ("6.5.3 settings count in their order", settings((4, 1), (4, 65535)) + DONE, {OK}),
    ("6.6 PUSH_PROMISE from a client", frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + block(GET)), goaway(PROTOCOL)),
    ("6.6 PUSH_PROMISE on an open stream", OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + block(GET)),
     goaway(PROTOCOL), "any"),
    ("6.7 PING on a stream", frame(PING, 0, 1, b"8" * 8), goaway(PROTOCOL)),
    ("6.7 an answer to no PING is ignored", frame(PING, ACK, 0, b"8" * 8) + DONE, {OK}),
    ("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, u32(0) + u32(0)), goaway(PROTOCOL)),
    ("6.8 a client that says goodbye gets its answer", DONE + frame(GOAWAY, 0, 0, u32(0) + u32(0)), {OK}),
    ("7 an unknown error code is none of ours", DONE + frame(GOAWAY, 0, 0, u32(0) + u32(0x4321)), {OK}),
    ("6.9 a window grows by 0", frame(WINDOW_UPDATE, 0, 0, u32(0)), goaway(PROTOCOL)),
    ("6.9 a stream's window grows by 0", OPEN + frame(WINDOW_UPDATE, 0, 1, u32(0)), either(PROTOCOL), "any"),
    ("6.9.1 the window overflows", frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)), goaway(FLOW)),
    ("6.9.1 a stream's window overflows", OPEN + frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff)), either(FLOW), "any"),
    ("6.9.2 a setting overflows a stream's window",
     OPEN + frame(WINDOW_UPDATE, 0, 1, u32(0x7fff0000)) + settings((4, 0x7fffffff)), either(FLOW), "any"),
    ("6.10 CONTINUATION after a whole header block",
     headers(1, [*GET[:2], (":path", "/slow"), GET[3]]) + frame(CONTINUATION, END_HEADERS, 1, block([("a", "b")])),
     goaway(PROTOCOL), "any"),
    ("6.10 CONTINUATION on stream 0", frame(HEADERS, END_STREAM, 1, block(GET)) + frame(CONTINUATION, 4, 0), goaway(PROTOCOL)),
    ("6.10 a header block in five pieces",
     frame(HEADERS, END_STREAM, 1, block(GET)[:7]) + frame(CONTINUATION, 0, 1, block(GET)[7:9]) +
     frame(CONTINUATION, 0, 1) + frame(CONTINUATION, 0, 1, block(GET)[9:]) + frame(CONTINUATION, END_HEADERS, 1), {OK}),
    # ---- section 8.1: messages
    ("8.1 trailers without END_STREAM", OPEN + headers(1, [("a", "b")], END_HEADERS), BAD, "any"),
    ("8.1 trailers reach the replica", OPEN + frame(DATA, 0, 1, b"abc") + headers(1, [("a", "b")]), {OK}, "abc"),
    ("8.1 a pseudo field among trailers", OPEN + frame(DATA, 0, 1, b"x") + headers(1, [(":path", "/y")]), BAD, "any"),
    ("8.1 an upper-case name among trailers", OPEN + frame(DATA, 0, 1, b"x") + headers(1, [("A", "b")]), BAD, "any"),
    ("8.1 a line end among trailers", OPEN + frame(DATA, 0, 1, b"x") + headers(1, [("a", "b\r\nc: d")]), BAD, "any"),
    ("8.1 transfer-encoding among trailers",
     OPEN + frame(DATA, 0, 1, b"x") + headers(1, [("transfer-encoding", "chunked")]), BAD, "any"),
    ("8.1 what is ours is taken from trailers", OPEN + frame(DATA, 0, 1, b"abc") + headers(1, [
        ("x-real-ip", "evil"), ("x-forwarded-for", "evil"), ("client-cert", "evil"), ("traceparent", "evil")]), {OK}, "abc"),
    ("8.1.1 less than the content-length", posted("4", b"abc"), BAD, "any"),
    ("8.1.1 more than the content-length", posted("2", b"abc"), BAD, "any"),
    ("8.1.1 more in a second frame", posted("3", b"abc", b"d"), BAD | {OK}, "abc"),
    ("8.1.1 content-length without a body", headers(1, [*POST, ("content-length", "3")]), BAD),
    ("8.1.1 content-length 0 without a body", headers(1, [*POST, ("content-length", "0")]), {OK}, ""),
    ("8.1.1 two content-lengths that differ",
     headers(1, [*POST, ("content-length", "3"), ("content-length", "4")], 4) + frame(DATA, 1, 1, b"abc"), BAD),
    ("8.1.1 two content-lengths alike",
     headers(1, [*POST, ("content-length", "3"), ("content-length", "3")], 4) + frame(DATA, 1, 1, b"abc"), BAD),
    ("8.1.1 content-length +3", posted("+3", b"abc"), BAD),
    ("8.1.1 content-length 3,3", posted("3,3", b"abc"), BAD),
    ("8.1.1 an empty content-length", posted("", b"abc"), BAD),
    ("8.1.1 content-length 0x3", posted("0x3", b"abc"), BAD),
    ("8.1.1 content-length beyond 2^64", posted("18446744073709551619", b"abc"), BAD),
    ("8.1.1 a body without a length", OPEN + frame(DATA, 0, 1, b"ab") + frame(DATA, END_STREAM, 1, b"c"), {OK}, "abc"),
    ("8.1.1 an empty DATA ends it", OPEN + frame(DATA, 0, 1, b"abc") + frame(DATA, END_STREAM, 1), {OK}, "abc"),
    # ---- 8.2: fields; what would become something else on the way down to HTTP/1.1
    ("8.2 an upper-case name", fields(("X-Up", "1")), BAD),
    ("8.2.1 a space in a name", fields(("a b", "1")), BAD),
    ("8.2.1 a colon in a name", fields(("a:b", "1")), BAD),
    ("8.2.1 a line end in a name", fields(("a\r\nb", "1")), BAD),
    ("8.2.1 a line feed in a name", fields(("a\nb", "1")), BAD),
    ("8.2.1 NUL in a name", fields(("a\0b", "1")), BAD),
    ("8.2.1 an empty name", fields(("", "1")), BAD),
    ("8.2.1 DEL in a name", fields(("a\x7f", "1")), BAD),
    ("8.2.1 a byte beyond ASCII in a name", fields(("a\xe4", "1")), BAD),
    ("8.2.1 a tab in a name", fields(("a\t", "1")), BAD),
    ("8.2.1 a field line as a name", fields(("transfer-encoding: chunked\r\nx", "1")), BAD),
    ("8.2.1 a line end in a value", fields(("a", "b\r\nx: y")), BAD),
    ("8.2.1 a line feed in a value", fields(("a", "b\nx: y")), BAD),
    ("8.2.1 a carriage return in a value", fields(("a", "b\rx: y")), BAD),
    ("8.2.1 NUL in a value", fields(("a", "b\0c")), BAD),
    ("8.2.1 a request in a value", fields(("a", "b\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")), BAD),
    ("8.2.1 a control byte in a value", fields(("a", "b\x01c")), BAD),
    ("8.2.1 a value that begins with a space", fields(("a", " b")), BAD),
    ("8.2.1 a value that ends with a tab", fields(("a", "b\t")), BAD),
    ("8.2.1 an empty value", fields(("a", "")), {OK}),
    ("8.2.1 bytes beyond ASCII in a value pass", fields(("a", "\xe4\xff")), {OK}),
    ("8.2.2 connection", fields(("connection", "close")), BAD),
    ("8.2.2 keep-alive", fields(("keep-alive", "timeout=5")), BAD),
    ("8.2.2 proxy-connection", fields(("proxy-connection", "keep-alive")), BAD),
    ("8.2.2 transfer-encoding", headers(1, [*POST, ("transfer-encoding", "chunked")], 4) + frame(DATA, 1, 1, b"0\r\n\r\n"),
     BAD),
    ("8.2.2 transfer-encoding identity", fields(("transfer-encoding", "identity")), BAD),
    ("8.2.2 upgrade", fields(("upgrade", "h2c")), BAD),
    ("8.2.2 upgrade websocket", fields(("upgrade", "websocket"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")), BAD),
    ("8.2.2 te: gzip", fields(("te", "gzip")), BAD),
    ("8.2.2 te: trailers, gzip", fields(("te", "trailers, gzip")), BAD),
    ("8.2.2 te: trailers passes", fields(("te", "trailers")), {OK}),
    ("8.2.3 crumbs of cookies become one", fields(("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")), {OK}),
    # ---- 8.3: pseudo fields
    ("8.3 an unknown one", fields((":x", "y")), BAD),
    ("8.3 :status in a request", fields((":status", "200")), BAD),
    ("8.3 one behind a field", headers(1, [*GET[:3], ("a", "b"), GET[3]]), BAD),
    ("8.3 upper case", headers(1, [(":Method", "GET"), *GET[1:]]), BAD),
    ("8.3 nothing but a colon", fields((":", "y")), BAD),
    ("8.3.1 no :method", without(":method"), BAD),
    ("8.3.1 no :scheme", without(":scheme"), BAD),
    ("8.3.1 no :path", without(":path"), BAD),
    ("8.3.1 neither :authority nor host", without(":authority"), BAD),
    ("8.3.1 host alone", headers(1, [*GET[:3], ("host", "a")]), {OK}),
    ("8.3.1 two :method", headers(1, [GET[0], *GET]), BAD),
    ("8.3.1 two :path", headers(1, [*GET, (":path", "/y")]), BAD),
    ("8.3.1 two :authority", headers(1, [*GET, (":authority", "b")]), BAD),
    ("8.3.1 two :scheme", headers(1, [*GET, (":scheme", "https")]), BAD),
    ("8.3.1 an empty :path", replaced(":path", ""), BAD),
    ("8.3.1 an empty :method", replaced(":method", ""), BAD),
    ("8.3.1 an empty :authority", replaced(":authority", ""), BAD),
    ("8.3.1 :path without a slash", replaced(":path", "x"), BAD),
    ("8.3.1 :path * of GET", replaced(":path", "*"), BAD),
    ("8.3.1 :path * of OPTIONS", headers(1, [(":method", "OPTIONS"), GET[1], (":path", "*"), GET[3]]), {OK}),
    ("8.3.1 an absolute :path", replaced(":path", "http://evil/x"), BAD),
    ("8.3.1 a space in :path", replaced(":path", "/x HTTP/1.1"), BAD),
    ("8.3.1 a request in :path", replaced(":path", "/x HTTP/1.1\r\nHost: evil\r\n\r\nGET /y"), BAD),
    ("8.3.1 a line feed in :path", replaced(":path", "/x\nb"), BAD),
    ("8.3.1 NUL in :path", replaced(":path", "/x\0"), BAD),
    ("8.3.1 a fragment in :path", replaced(":path", "/x#y"), BAD),
    ("8.3.1 bytes beyond ASCII in :path", replaced(":path", "/\xe4"), BAD),
    ("8.3.1 a tab in :path", replaced(":path", "/\t"), BAD),
    ("8.3.1 a space in :method", replaced(":method", "GET /evil"), BAD),
    ("8.3.1 a line end in :method", replaced(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"), BAD),
    ("8.3.1 no token in :method", replaced(":method", "G(T"), BAD),
    ("8.3.1 a line end in :authority", replaced(":authority", "a\r\nX: y"), BAD),
    ("8.3.1 a space in :authority", replaced(":authority", "a b"), BAD),
    ("8.3.1 a user in :authority", replaced(":authority", "user@a"), BAD),
    ("8.3.1 a path in :authority", replaced(":authority", "a/x"), BAD),
    ("8.3.1 a port that is none in :authority", replaced(":authority", "a:x"), BAD),
    ("8.3.1 a line end in :scheme", replaced(":scheme", "http\r\nX: y"), BAD),
    ("8.3.1 a request in :scheme", replaced(":scheme", "http://evil/x HTTP/1.1\r\n"), BAD),
    ("8.3.1 a scheme that is not HTTP's", replaced(":scheme", "ftp"), BAD),
    ("8.3.1 host differs from :authority", fields(("host", "b")), BAD),
    ("8.3.1 host as :authority", fields(("host", "A")), {OK}),
    ("8.3.1 two hosts", fields(("host", "a"), ("host", "a")), BAD),
    ("8.3.1 two hosts and no :authority", headers(1, [*GET[:3], ("host", "a"), ("host", "b")]), BAD),
    ("8.5 CONNECT with :path", headers(1, [(":method", "CONNECT"), GET[2], GET[3]]), BAD),
    ("8.5 CONNECT is not served", headers(1, [(":method", "CONNECT"), (":authority", "a:80")], END_HEADERS),
     BAD | {("status", "405")}),
    ("8.5 CONNECT without a port", headers(1, [(":method", "CONNECT"), GET[3]], END_HEADERS), BAD),
    ("8.5 :protocol without CONNECT", headers(1, [*GET, (":protocol", "websocket")]), BAD),
    ("8.5 :protocol without :scheme", headers(1, [(":method", "CONNECT"), GET[2], GET[3], (":protocol", "websocket")], 4),
     BAD),
    ("8441 a length of what is no body", headers(1, [(":method", "CONNECT"), *GET[1:], (":protocol", "websocket"),
                                                     ("content-length", "3")], 4), BAD),
    ("8441 a protocol other than websocket", headers(1, [(":method", "CONNECT"), *GET[1:], (":protocol", "tcp")], 4),
     {("status", "501")}),
    ("an expectation nobody knows", headers(1, [*POST, ("expect", "magic"), ("content-length", "1")], 4),
     BAD | {("status", "417")}),
    ("TRACE is not served", replaced(":method", "TRACE"), {("status", "405")}),
    ("a request that has passed here before", fields(("via", "1.1 headgate")), {("status", "508")}),
    ("http2-settings is no field of HTTP/2", fields(("http2-settings", "AAMAAABk")), BAD),
    # ---- RFC 7541
    ("7541 2.3.2 a field of the dynamic table", headers(1, block(GET) + b"\x40" + text("x-a") + text("1") + b"\xbe"), {OK}),
    ("7541 2.3.2 its name alone", headers(1, block(GET) + b"\x40" + text("x-a") + text("1") + b"\x7e" + text("2")), {OK}),
    ("7541 2.3.3 an entry beyond the newest", headers(1, block(GET) + b"\x40" + text("x-a") + text("1") + b"\xbf"),
     goaway(COMPRESSION)),
    ("7541 2.3.3 index 0", headers(1, b"\x80"), goaway(COMPRESSION)),
    ("7541 2.3.3 an index beyond the tables", headers(1, b"\xff\x00"), goaway(COMPRESSION)),
    ("7541 2.3.3 a name's index beyond the tables", headers(1, b"\x7f\x20" + text("x")), goaway(COMPRESSION)),
    ("7541 4.2 a size update behind a field", headers(1, block(GET) + b"\x20"), goaway(COMPRESSION)),
    ("7541 4.2 a size update beyond the setting", headers(1, integer(65536, 5, 0x20) + block(GET)), goaway(COMPRESSION)),
    ("7541 4.2 a size update to 0", headers(1, b"\x20" + block(GET)), {OK}),
    ("7541 4.2 two size updates", headers(1, b"\x20" + integer(4096, 5, 0x20) + block(GET)), {OK}),
    ("7541 4.3 a smaller table forgets", headers(1, integer(4096, 5, 0x20) + block(GET) + b"\x40" + text("x-a") + text("1")) +
     headers(3, b"\x20" + block(GET) + b"\xbe"), goaway(COMPRESSION), "any"),
    ("7541 4.4 a field larger than the table empties it", headers(1, integer(64, 5, 0x20) + block(GET) + b"\x40" + text("x-a") +
     text("1") + b"\x40" + text("x-b") + text("2" * 64) + b"\xbe"), goaway(COMPRESSION)),
    ("7541 4.4 the oldest goes first", headers(1, integer(80, 5, 0x20) + block(GET) + b"\x40" + text("x-a") + text("1") + b"\x40" +
     text("x-b") + text("2") + b"\x40" + text("x-c") + text("3") + b"\xbe\xbf"), {OK}),
    ("7541 4.4 … and is gone", headers(1, integer(80, 5, 0x20) + block(GET) + b"\x40" + text("x-a") + text("1") + b"\x40" +
     text("x-b") + text("2") + b"\x40" + text("x-c") + text("3") + b"\xc0"), goaway(COMPRESSION)),
    ("7541 5.1 an integer without an end", headers(1, b"\x00\x7f" + b"\x80" * 12), goaway(COMPRESSION)),
    ("7541 5.1 an integer that overflows", headers(1, b"\x00\x7f\xff\xff\xff\xff\xff\x7f"), goaway(COMPRESSION)),
    ("7541 5.2 a string longer than the block", headers(1, b"\x00\x05ab"), goaway(COMPRESSION)),
    ("7541 5.2 Huffman padding of a whole byte", headers(1, b"\x00" + text("a") + b"\x82\xff\xff"), goaway(COMPRESSION)),
    ("7541 5.2 Huffman padding of zeros", headers(1, b"\x00" + text("a") + b"\x81\x00"), goaway(COMPRESSION)),
    ("7541 5.2 EOS in a Huffman string", headers(1, b"\x00" + text("a") + b"\x84\xff\xff\xff\xff"), goaway(COMPRESSION)),
    ("7541 6.1 indexed fields", headers(1, b"\x82\x86\x84\x41" + text("a")), {OK}),
    ("7541 6.2.1 a name of the static table", headers(1, b"\x82\x86\x84\x41" + text("a") + b"\x53" + text("text/html")), {OK}),
    ("7541 6.2.2 not indexed, name by its number", headers(1, b"\x82\x86\x01" + text("a") + b"\x04" + text("/x")), {OK}),
    # What may be empty in a request: not content-length, expect, host and transfer-encoding.
    ("7541 A the static table", headers(1, b"\x82\x86\x84\x41" + text("a") +
                                        bytes(0x80 | i for i in range(15, 62) if i not in (28, 35, 38, 57))), {OK}),
    ("7541 B a value in Huffman's code", headers(1, b"\x82\x86\x84\x41\x82\x18\xff"), {OK}),
    ("7541 6.2.3 never indexed", headers(1, block(GET) + b"\x10" + text("a") + text("b")), {OK}),
    ("7541 8 a line end by Huffman", headers(1, block(GET) + b"\x00" + text("a") +
                                             b"\x88" + ((0x3ffffffd << 30 | 0x3ffffffc) << 4 | 15).to_bytes(8, "big")), BAD),
]
__all__ = ["CASES", "CALM"]
