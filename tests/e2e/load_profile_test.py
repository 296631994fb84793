#!/usr/bin/env python3
"""The owner's load test: 16 minutes, up to 200 users, through the edge on three replicas. Each user
lists, waits a second, creates, waits a second. The limits are his: P95 under 500 ms, less than 1 %
failures. Without HEADGATE_TEST_LONG the stages are shortened; users and their waits are not."""
import asyncio
import json
import time
import unittest

from harness import LONG, SANITIZED, Platform, main

# (seconds, users at the end of the stage), from the owner's script.
STAGES = [(120, 100), (300, 100), (120, 200), (300, 200), (120, 0)]
SCALE = 1.0 if LONG else 45 / sum(seconds for seconds, _ in STAGES)
THINK_S = 1.0
TIMEOUT_S = 10.0


def users_at(t):
    """How many users there are t seconds after the beginning; -1 when it is over."""
    before = 0
    for seconds, users in STAGES:
        seconds *= SCALE
        if t < seconds:
            return before + (users - before) * t / seconds
        t -= seconds
        before = users
    return -1


class Run:
    def __init__(self, port):
        self.port = port
        self.latency_s = []
        self.failed = 0
        self.created = 0
        self.wanted = 0
        self.over = False
        self.most = 0

    async def exchange(self, reader, writer, data):
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        status = int(head[9:12])
        if b"\r\ntransfer-encoding: chunked" in lower:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(int(lower.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))
        return status, b"\r\nconnection: close" in lower

    async def timed(self, link, data, expected):
        """One request; returns the connection for the next one, or none."""
        begin = time.perf_counter()
        ok = closing = False
        try:
            if link is None:
                link = await asyncio.open_connection("127.0.0.1", self.port)
            status, closing = await asyncio.wait_for(self.exchange(*link, data), TIMEOUT_S)
            ok = status == expected
        except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            closing = True
        self.latency_s.append(time.perf_counter() - begin)
        self.failed += not ok
        if closing and link:
            link[1].close()
            link = None
        return link, ok

    async def user(self, number):
        link, turn = None, 0
        listing = b"GET /feedback HTTP/1.1\r\nHost: localhost\r\n\r\n"
        while not self.over and number < self.wanted:
            link, _ = await self.timed(link, listing, 200)
            await asyncio.sleep(THINK_S)
            body = json.dumps({"message": f"user {number} turn {turn}"}).encode()
            link, ok = await self.timed(
                link, b"POST /feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body), 201)
            self.created += ok
            turn += 1
            await asyncio.sleep(THINK_S)
        if link:
            link[1].close()

    async def main(self):
        begin, tasks = time.monotonic(), {}
        while (now := users_at(time.monotonic() - begin)) >= 0:
            self.wanted = now
            for number in range(int(now) + (now > int(now))):
                if number not in tasks or tasks[number].done():
                    tasks[number] = asyncio.create_task(self.user(number))
            self.most = max(self.most, sum(not t.done() for t in tasks.values()))
            await asyncio.sleep(0.05)
        self.over = True
        await asyncio.gather(*tasks.values())
        return self


class LoadProfile(unittest.TestCase):
    def test_the_owners_load_profile_keeps_his_limits(self):
        with Platform() as p:
            p.up()
            run = asyncio.run(Run(p.port).main())
            n = len(run.latency_s)
            run.latency_s.sort()
            q = {k: run.latency_s[min(int(n * k / 100), n - 1)] * 1000 for k in (50, 95, 99)}
            print(f"# {sum(s for s, _ in STAGES) * SCALE:.0f} s, at most {run.most} users, {n} requests, "
                  f"{run.failed} failed, {run.created} created; p50 {q[50]:.1f} ms, p95 {q[95]:.1f} ms, "
                  f"p99 {q[99]:.1f} ms, max {run.latency_s[-1] * 1000:.1f} ms", flush=True)
            self.assertGreaterEqual(run.most, 200)
            self.assertLess(run.failed, n / 100)
            if not SANITIZED:  # times under a sanitizer say nothing about the product
                self.assertLess(q[95], 500)
            self.assertEqual(int(p.get("/feedback?limit=1")[1]["X-Total-Count"]), run.created)
            self.assertEqual(p.ready(), 3)


if __name__ == "__main__":
    main()
