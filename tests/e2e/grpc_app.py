#!/usr/bin/env python3
"""A gRPC server whose messages are bytes, and a client that tries it; needs python3-grpcio.
usage: grpc_app.py serve ADDRESS | call TARGET WHAT [ARGUMENT]   (the outcome is printed as JSON)"""
import json
import os
import queue
import signal
import sys
import threading
import time
from concurrent import futures

import grpc


def unary(q, ctx):
    if q == b"not-found":
        ctx.abort(grpc.StatusCode.NOT_FOUND, "none such")
    if q == b"fail" or os.environ.get("FAIL"):
        ctx.abort(grpc.StatusCode.UNAVAILABLE, "gone")
    if q == b"slow":
        time.sleep(5)
    ctx.set_trailing_metadata((("x-end", "yes"), ("x-te", dict(ctx.invocation_metadata()).get("x-forwarded-proto", ""))))
    return b"hello " + q


def server(q, ctx):
    for i in range(int(q)):
        yield b"message %d" % i


def client(messages, ctx):
    return b"%d" % sum(len(m) for m in messages)


def bidi(messages, ctx):
    for m in messages:
        yield b"re:" + m


class App(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        return {"/t.T/Unary": grpc.unary_unary_rpc_method_handler(unary),
                "/t.T/Server": grpc.unary_stream_rpc_method_handler(server),
                "/t.T/Client": grpc.stream_unary_rpc_method_handler(client),
                "/t.T/Bidi": grpc.stream_stream_rpc_method_handler(bidi)}.get(details.method)

    def check(self, q, ctx):
        if q not in (b"", b"\x0a\x03t.T"):
            ctx.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x01"


def serve(address):
    s = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    s.add_generic_rpc_handlers((App(),))
    assert s.add_insecure_port(address)
    s.start()
    s.wait_for_termination()


class Calls:
    def __init__(self, target):
        ch = grpc.insecure_channel(target)
        self.unary, self.server = ch.unary_unary("/t.T/Unary"), ch.unary_stream("/t.T/Server")
        self.client, self.bidi = ch.stream_unary("/t.T/Client"), ch.stream_stream("/t.T/Bidi")
        self.none = ch.unary_unary("/t.T/None")

    def code(self, call, *more, **named):
        try:
            call(*more, **named)
        except grpc.RpcError as e:
            return [e.code().name, e.details()]
        return ["OK", ""]

    def all(self):
        """Every kind of call once."""
        answer, call = self.unary.with_call(b"bob", timeout=10)
        out = {"unary": answer.decode(), "trailers": dict(call.trailing_metadata()),
               "not_found": self.code(self.unary, b"not-found", timeout=10), "fail": self.code(self.unary, b"fail", timeout=10),
               "none": self.code(self.none, b"", timeout=10)[0],
               "deadline": self.code(self.unary, b"slow", timeout=0.5)[0],
               "server": len(list(self.server(b"500", timeout=20))),
               "client": self.client((b"x" * 10000 for _ in range(200)), timeout=20).decode(),
               "large": len(self.unary(b"y" * 2000000, timeout=20))}
        q = queue.Queue()
        talk, heard = self.bidi(iter(q.get, None), timeout=20), []
        for i in range(5):  # each is answered before the next is said
            q.put(b"%d" % i)
            heard.append(next(talk).decode())
            time.sleep(0.05)
        q.put(None)
        out["bidi"] = heard + [m.decode() for m in talk]
        given_up = self.bidi(iter(q.get, None))
        q.put(b"a")
        next(given_up)
        given_up.cancel()
        out["cancelled"] = given_up.code().name
        return out

    def many(self, n):
        """So many calls at the same time."""
        calls = [self.unary.future(b"%d" % i, timeout=60) for i in range(n)]
        return sum(c.result() == b"hello %d" % i for i, c in enumerate(calls))

    def talks(self, n):
        """So many conversations at the same time, as far as the server's threads go."""
        qs = [queue.Queue() for _ in range(n)]
        talks = [self.bidi(iter(q.get, None), timeout=60) for q in qs]
        good = 0
        for _ in range(3):
            for q in qs:
                q.put(b"a")
            good += sum(next(t) == b"re:a" for t in talks)
        for q in qs:
            q.put(None)
        return good

    def load(self, seconds):
        """Codes of unary calls from 8 threads, until SIGTERM or for as long as that."""
        codes, lock, end, over = {}, threading.Lock(), time.monotonic() + seconds, threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: over.set())

        def run():
            while time.monotonic() < end and not over.wait(0.02):  # there are neighbours
                code = self.code(self.unary, b"load", timeout=10)[0]
                with lock:
                    codes[code] = codes.get(code, 0) + 1
        threads = [threading.Thread(target=run) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        return codes


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        calls = Calls(sys.argv[2])
        print(json.dumps(getattr(calls, sys.argv[3])(*(int(a) for a in sys.argv[4:]))))
