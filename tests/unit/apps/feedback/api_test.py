#!/usr/bin/env python3
"""The Feedback App as its clients meet it: the real program on free ports, its API by the owner's
contract, several processes on one database, and what it does when it is killed."""
import http.client
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
from harness import BUILD, free_port, main, request, wait_for  # noqa: E402

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


class App:
    """One process; `dir` holds the database and may be shared."""

    def __init__(self, folder, env=None, args=(), port=None):
        self.port = port or free_port()
        self.headers = {}  # with every call
        self.dir = pathlib.Path(folder)
        self.log = self.dir / f"log-{self.port}"
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [BUILD / "feedback-app", *args], cwd=folder, stdout=out, stderr=out,
                env={**clean, "PORT": str(self.port), "HOST": "127.0.0.1",
                     "DATABASE_URL": "sqlite:feedback.db", **(env or {})})
        try:
            wait_for(self.healthy, 20)
        except AssertionError:
            self.child.kill()
            raise AssertionError(self.log.read_text())

    def healthy(self):
        """the app answers /health"""
        if self.child.poll() is not None:
            raise AssertionError(f"ended with {self.child.returncode}: {self.log.read_text()}")
        try:
            request(self.port, "GET", "/health")
            return True
        except OSError:
            return False

    def call(self, method, path, body=None, headers=None, **more):
        status, headers, data = request(self.port, method, path, body, {**self.headers, **(headers or {})}, **more)
        return status, headers, json.loads(data) if data else None

    def create(self, message):
        status, _, made = self.call("POST", "/feedback", {"message": message})
        assert status == 201, (status, made)
        return made

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        return self.child.wait(30)


class Case(unittest.TestCase):
    """A database of its own for each test: here a file, in postgres_test.py one on a server."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="feedback-test-")
        self.apps, self.env = [], {}
        self.make_database()

    def make_database(self):
        pass

    def tearDown(self):
        codes = [a.stop() for a in self.apps if a.child.returncode is None]
        shutil.rmtree(self.dir, ignore_errors=True)
        self.assertEqual([c for c in codes if c], [])

    def app(self, env=None, **more):
        a = App(self.dir, {**self.env, **(env or {})}, **more)
        self.apps.append(a)
        return a


class Owner(Case):
    """The owner's unit and integration cases."""

    def test_create_feedback(self):
        status, headers, made = self.app().call("POST", "/feedback", {"message": "Test feedback"})
        self.assertEqual(status, 201)
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(sorted(made), ["created_at", "id", "message", "updated_at"])
        self.assertEqual(made["message"], "Test feedback")
        self.assertRegex(made["created_at"], ISO)
        self.assertEqual(made["created_at"], made["updated_at"])

    def test_get_all_feedback(self):
        a = self.app()
        a.create("Feedback 1")
        a.create("Feedback 2")
        status, _, items = a.call("GET", "/feedback")
        self.assertEqual(status, 200)
        self.assertEqual([i["message"] for i in items], ["Feedback 2", "Feedback 1"])

    def test_full_life_of_a_feedback(self):
        a = self.app()
        made = a.create("Integration test")
        path = f"/feedback/{made['id']}"
        self.assertEqual(a.call("GET", path)[0::2], (200, made))
        status, _, changed = a.call("PUT", path, {"message": "Updated"})
        self.assertEqual((status, changed["message"], changed["created_at"]), (200, "Updated", made["created_at"]))
        self.assertGreater(changed["updated_at"], made["updated_at"])
        self.assertEqual(a.call("GET", path)[2], changed)
        self.assertEqual(a.call("DELETE", path)[0::2], (200, {"message": "Feedback deleted successfully"}))
        for method, body in (("GET", None), ("DELETE", None), ("PUT", {"message": "x"})):
            self.assertEqual(a.call(method, path, body)[0::2], (404, {"error": "Feedback not found"}), method)


class Contract(Case):
    def test_every_bad_body_is_a_clear_4xx(self):
        a = self.app()
        cases = [
            (b"{}", 400, "Request body is required"),
            (b"", 400, "Request body is required"),
            (b'{"message": ""}', 400, "Message field is required and cannot be empty"),
            (b'{"message": "  \\n "}', 400, "Message field is required and cannot be empty"),
            (b'{"text": "x"}', 400, "Message field is required and cannot be empty"),
            (b'{"message": 5}', 400, "Message must be a string"),
            (b'{"message": ', 400, "Request body is not valid JSON"),
            (b'{"message": "\xff"}', 400, "Request body is not valid JSON"),
            (json.dumps({"message": "x" * 501}).encode(), 400, "Message cannot exceed 500 characters"),
        ]
        made = a.create("good")
        for method, path in (("POST", "/feedback"), ("PUT", f"/feedback/{made['id']}")):
            for body, status, error in cases:
                got = a.call(method, path, body, headers={"Content-Type": "application/json"})
                self.assertEqual(got[0::2], (status, {"error": error}), (method, body))
            for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"):
                self.assertEqual(a.call(method, path, b"message=x", headers={"Content-Type": kind})[0], 415)
        big = a.call("POST", "/feedback", b" " * 70000, headers={"Content-Type": "application/json"})
        self.assertEqual(big[0], 413)
        self.assertIn("error", big[2])
        self.assertEqual(a.call("GET", "/feedback")[2], [made])

    def test_any_utf8_comes_back_as_it_went_in(self):
        a = self.app()
        for text in ("ünïcödé", "日本語 🌊", "\u202ertl", "a\tb\nc", '<b>"&\\', "🌊" * 500, "\u0001\u007f"):
            self.assertEqual(a.create(f"  {text} ")["message"], text)
            self.assertEqual(a.call("GET", "/feedback?limit=1")[2][0]["message"], text)

    def test_pages_meet_and_the_array_stays_bare(self):
        a = self.app()
        ids = [a.create(f"entry {i}")["id"] for i in range(230)]
        status, headers, items = a.call("GET", "/feedback")
        self.assertEqual([i["id"] for i in items], ids[:-101:-1])
        self.assertEqual(headers["X-Total-Count"], "230")
        seen, path = [], "/v1/feedback?limit=100"
        while path:
            status, headers, items = a.call("GET", path)
            self.assertEqual(status, 200)
            seen += [i["id"] for i in items]
            link = re.fullmatch(r'<([^>]+)>; rel="next"', headers.get("Link", ""))
            path = link and link.group(1)
            self.assertTrue(path is None or path.startswith("/v1/feedback?"))
        self.assertEqual(seen, ids[::-1])
        self.assertEqual(len(a.call("GET", "/feedback?limit=1000")[2]), 230)
        for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "before=x", "before=0"):
            status, _, body = a.call("GET", f"/feedback?{query}")
            self.assertEqual((status, list(body)), (400, ["error"]), query)

    def test_versions_and_api_prefix_are_the_same_data(self):
        a = self.app()
        made = a.create("one")
        for prefix in ("", "/v1", "/v2", "/api", "/api/v1"):
            more = {"votes": 0, "status": "open"} if prefix == "/v2" else {}  # votes_test.py
            self.assertEqual(a.call("GET", f"{prefix}/feedback")[2], [{**made, **more}], prefix)
            self.assertEqual(a.call("GET", f"{prefix}/feedback/{made['id']}")[2], {**made, **more}, prefix)

    def test_unknown_paths_and_methods_get_json(self):
        a = self.app()
        for path in ("/nope", "/feedback/1/2", "/static/none.js", "/v3/feedback"):
            self.assertEqual(a.call("GET", path)[0::2], (404, {"error": "Not found"}), path)
        self.assertEqual(a.call("GET", "/feedback/abc")[0::2], (404, {"error": "Feedback not found"}))
        status, headers, body = a.call("PATCH", "/feedback")
        self.assertEqual((status, body), (405, {"error": "Method not allowed"}))
        self.assertEqual(headers["Allow"], "GET, HEAD, OPTIONS, POST")
        self.assertEqual(a.call("POST", "/feedback/1", {"message": "x"})[0], 405)
        self.assertEqual(a.call("DELETE", "/")[0], 405)

    def test_a_request_sent_again_under_its_key_is_carried_out_once(self):
        one, other = self.app(), self.app()  # of one database, as behind the edge
        key = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
        status, _, made = one.call("POST", "/feedback", {"message": "once"}, headers=key)
        self.assertEqual(status, 201)
        again = other.call("POST", "/feedback", {"message": " once "}, headers=key)
        self.assertEqual((again[0], again[2]), (201, made))
        status, _, body = other.call("POST", "/feedback", {"message": "twice"}, headers=key)
        self.assertEqual((status, body), (422, {"error": "This Idempotency-Key was used for another message"}))
        self.assertEqual(len(one.call("GET", "/feedback")[2]), 1)
        for bad in ("", '""', "x" * 129, "a b", "a\\b"):
            status, _, body = one.call("POST", "/feedback", {"message": "x"}, headers={"Idempotency-Key": bad})
            self.assertEqual(status, 400, bad)
            self.assertIn("Idempotency-Key", body["error"])
        self.assertEqual(len(one.call("GET", "/feedback")[2]), 1)
        metrics = request(one.port, "GET", "/metrics")[2].decode() + request(other.port, "GET", "/metrics")[2].decode()
        self.assertEqual(metrics.count('feedback_operations_total{operation="create"} 1'), 1)

    def test_cors_is_as_in_the_first_app(self):
        a = self.app()
        self.assertEqual(a.call("GET", "/feedback")[1]["Access-Control-Allow-Origin"], "*")
        _, headers, _ = a.call("GET", "/feedback", headers={"Origin": "https://example.com"})
        self.assertEqual(headers["Access-Control-Allow-Origin"], "https://example.com")
        self.assertIn("Origin", headers["Vary"])
        status, headers, _ = a.call("OPTIONS", "/feedback/1", headers={
            "Origin": "https://example.com", "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type"})
        self.assertEqual(status, 204)
        self.assertIn("PUT", headers["Access-Control-Allow-Methods"])
        self.assertEqual(headers["Access-Control-Allow-Headers"], "content-type")

    def test_the_page_and_its_files_have_types_hashes_and_a_policy(self):
        a = self.app()
        status, headers, body = request(a.port, "GET", "/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertNotIn("unsafe-inline", headers["Content-Security-Policy"])
        types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        self.assertEqual(request(a.port, "GET", "/", headers={"If-None-Match": headers["ETag"]})[0], 304)
        links = re.findall(r'(?:href|src)="(/static/[^"]+\.[0-9a-f]{16}\.(\w+))"', body.decode())
        self.assertEqual({ext for _, ext in links}, set(types))
        for url, ext in links:
            status, headers, data = request(a.port, "GET", url)
            self.assertEqual(status, 200)
            self.assertTrue(headers["Content-Type"].startswith(types[ext]))
            self.assertIn("immutable", headers["Cache-Control"])
            self.assertEqual(request(a.port, "GET", url, headers={"If-None-Match": headers["ETag"]})[0], 304)
            # as earlier pages name it: by a query, or with nothing that says which version
            name, version, _ = url.rsplit(".", 2)
            plain = request(a.port, "GET", f"{name}.{ext}")
            self.assertEqual((plain[2], plain[1]["Cache-Control"]), (data, "no-cache"))
            self.assertIn("immutable", request(a.port, "GET", f"{name}.{ext}?v={version}")[1]["Cache-Control"])
            # a page of another release: this one's file, but never kept under that name
            other = request(a.port, "GET", f"{name}.{'0' * 16}.{ext}")
            self.assertEqual((other[0], other[2], other[1]["Cache-Control"]), (200, data, "no-cache"))
            for path in (f"{name}.{version[:15]}.{ext}", f"{name}.{version.upper()}.{ext}", f"{name}.{version}"):
                if path != f"{name}.{version}.{ext}":
                    self.assertEqual(request(a.port, "GET", path)[0], 404, path)

    def test_files_are_sent_compressed_to_who_takes_that(self):
        a = self.app()
        _, plain, data = request(a.port, "GET", "/static/js/app.js")
        _, packed, small = request(a.port, "GET", "/static/js/app.js", headers={"Accept-Encoding": "br, gzip"})
        self.assertEqual((plain.get("Content-Encoding"), packed["Content-Encoding"]), (None, "gzip"))
        self.assertEqual((plain["Vary"], packed["Vary"]), ("Accept-Encoding", "Accept-Encoding"))
        self.assertEqual(gzip.decompress(small), data)
        self.assertLess(len(small), len(data) / 2)
        self.assertNotEqual(plain["ETag"], packed["ETag"])
        for accept, want in (("br", None), ("gzip;q=0", None), ("gzip; q=0.000, br", None), ("identity", None), ("", None),
                             ("gzip;q=0.1", "gzip"), ("br;q=1, GZIP ; Q=1.0", "gzip"), ("x-gzip", None)):
            got = request(a.port, "GET", "/static/js/app.js", headers={"Accept-Encoding": accept})[1]
            self.assertEqual(got.get("Content-Encoding"), want, accept)

    def test_health_and_metrics_count_what_happened(self):
        a = self.app()
        made = a.create("one")
        a.call("GET", "/feedback")
        a.call("GET", f"/feedback/{made['id']}")
        a.call("GET", "/feedback/999")
        _, _, health = a.call("GET", "/health")
        self.assertEqual((health["status"], health["feedback_count"]), ("healthy", 1))
        self.assertRegex(health["timestamp"], ISO)
        status, headers, text = request(a.port, "GET", "/metrics")
        text = text.decode()
        self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        for line in ('http_requests_total{method="POST",endpoint="/feedback",status="201"} 1',
                     'http_requests_total{method="GET",endpoint="/feedback/:id",status="404"} 1',
                     'http_request_duration_seconds_count{method="GET",endpoint="/feedback"} 1',
                     'feedback_operations_total{operation="create"} 1',
                     'feedback_operations_total{operation="read"} 2', "feedback_count 1",
                     'errors_total{error_type="database"} 0'):
            self.assertIn(f"\n{line}\n", text)
        self.assertRegex(text, r"\nprocess_resident_memory_bytes \d+\n")

    def test_the_log_is_json_with_the_trace_of_the_caller(self):
        a = self.app()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        a.call("GET", "/feedback?limit=3", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01",
                                                    "X-Request-Id": "abc-1"})
        self.assertEqual(a.stop(), 0)
        line = next(x for x in a.lines() if x["name"] == "feedback.access" and x.get("trace_id"))
        self.assertRegex(line["asctime"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}$")
        self.assertEqual((line["levelname"], line["message"], line["status"]), ("INFO", "GET /feedback 200", 200))
        self.assertEqual((line["trace_id"], line["request_id"]), (trace, "abc-1"))
        self.assertEqual(line["path"], "/feedback?limit=3")
        self.assertEqual(a.lines()[-1]["message"], "stopped")


class Settings(Case):
    def test_dotenv_socket_and_inherited_listener(self):
        pathlib.Path(self.dir, ".env").write_text("LOG_LEVEL=WARNING\nDATABASE_PATH=sub/folder/x.db\n")
        path = f"{self.dir}/app.sock"
        a = self.app({"SOCKET": path, "DATABASE_URL": ""})
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertIn(b"healthy", s.recv(4096))
        self.assertTrue(pathlib.Path(self.dir, "sub/folder/x.db").exists())
        self.assertEqual(a.stop(), 0)
        self.assertEqual(a.log.read_text(), "")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(16)
            child = subprocess.Popen(
                ["bash", "-c", f'exec 3<&{s.fileno()}; exec "$0"', str(BUILD / "feedback-app")], cwd=self.dir,
                pass_fds=[s.fileno()], env={"LISTEN_FDS": "1", "PATH": os.environ["PATH"]})
            try:
                self.assertEqual(request(s.getsockname()[1], "GET", "/health")[0], 200)
            finally:
                child.terminate()
                self.assertEqual(child.wait(20), 0)

    def test_a_wrong_setting_or_database_ends_it_with_a_message(self):
        for env, words in (({"PORT": "x"}, "PORT"), ({"DATABASE_URL": "sqlite:/proc/nope/x.db"}, "/proc/nope/x.db"),
                           ({"DATABASE_URL": "postgres://h/d?nonsense=1"}, "the address of the database: invalid"),
                           ({"DATABASE_REPLICAS": "postgres://h/d"}, "DATABASE_URL is not postgres://"),
                           ({"FEEDBACK_FAULT": "boom"}, "FEEDBACK_FAULT")):
            done = subprocess.run([BUILD / "feedback-app"], cwd=self.dir, capture_output=True, text=True, timeout=20,
                                  env={"PORT": str(free_port()), "DATABASE_URL": "sqlite:x.db", **env})
            self.assertNotEqual(done.returncode, 0, env)
            self.assertIn(words, done.stderr)

    def test_a_port_in_use_is_named(self):
        a = self.app()
        done = subprocess.run([BUILD / "feedback-app", "--port", str(a.port)], cwd=self.dir, capture_output=True,
                              text=True, timeout=20, env={"HOST": "127.0.0.1"})
        self.assertIn(f"127.0.0.1:{a.port}: Address already in use", done.stderr)


class Faults(Case):
    def test_each_kind_of_fault_does_what_it_says_and_spares_probes(self):
        a = self.app({"FEEDBACK_FAULT": "errors"})
        self.assertEqual(a.call("GET", "/feedback")[0::2], (500, {"error": "Internal server error"}))
        self.assertEqual(a.call("GET", "/health")[0], 200)
        self.assertIn(b'errors_total{error_type="fault"} 1', request(a.port, "GET", "/metrics")[2])
        a = self.app({"FEEDBACK_FAULT": "slow:100%:300ms"})
        start = time.monotonic()
        self.assertEqual(a.call("POST", "/feedback", {"message": "x"})[0], 201)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        a = self.app({"FEEDBACK_FAULT": "hang"})
        self.assertRaises(TimeoutError, request, a.port, "GET", "/feedback", timeout=0.5)
        a = self.app({"FEEDBACK_FAULT": "close"})
        self.assertRaises(http.client.RemoteDisconnected, request, a.port, "GET", "/feedback")
        a = self.app({"FEEDBACK_FAULT": "unhealthy"})
        self.assertEqual(a.call("GET", "/health")[2]["status"], "unhealthy")
        self.assertEqual(a.call("GET", "/feedback")[0], 200)
        a = self.app({"FEEDBACK_FAULT": "crash"})
        self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError), request, a.port, "GET", "/feedback")
        self.assertEqual(a.child.wait(20), -signal.SIGABRT)
        self.apps.remove(a)
        a = self.app({"FEEDBACK_FAULT": "errors:50%"})
        codes = {a.call("GET", "/feedback")[0] for _ in range(60)}
        self.assertEqual(codes, {200, 500})


class Load(threading.Thread):
    """Writes until told to stop; `acked` are the ids whose 201 was read whole."""

    def __init__(self, app, name):
        super().__init__()
        self.app, self.tag, self.acked, self.bad, self.over = app, name, {}, [], threading.Event()

    def run(self):
        c, n = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=20), 0
        while not self.over.is_set():
            n += 1
            text = f"{self.tag}-{n}"
            try:
                c.request("POST", "/feedback", json.dumps({"message": text}), {"Content-Type": "application/json"})
                r = c.getresponse()
                body = json.loads(r.read())
                if r.status == 201:
                    self.acked[body["id"]] = text
                else:
                    self.bad.append((r.status, body))
            except (OSError, http.client.HTTPException, ValueError):
                return


class Durability(Case):
    def rows(self):
        with sqlite3.connect(f"{self.dir}/feedback.db") as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            rows = dict(db.execute("SELECT id, message FROM feedback"))
            self.assertEqual(db.execute("SELECT total FROM feedback_total").fetchone(), (len(rows),))
            return rows

    def test_three_processes_share_a_database_and_no_client_sees_it(self):
        apps = [self.app() for _ in range(3)]
        loads = [Load(a, f"{i}{k}") for i, a in enumerate(apps) for k in range(4)]
        for x in loads:
            x.start()
        time.sleep(3)
        for x in loads:
            x.over.set()
        for x in loads:
            x.join()
        acked = {id_: text for x in loads for id_, text in x.acked.items()}
        self.assertEqual([b for x in loads for b in x.bad], [])
        self.assertEqual(len(acked), sum(len(x.acked) for x in loads))
        self.assertTrue(all(len(x.acked) > 5 for x in loads), [len(x.acked) for x in loads])
        self.assertEqual(self.rows(), acked)
        # what one wrote, the others read at once
        made = apps[0].create("seen by all")
        for a in apps:
            self.assertEqual(a.call("GET", "/feedback?limit=1")[2][0], made)
        print(f"# {len(acked)} writes by 12 clients through 3 processes, none lost", flush=True)

    def test_kill_9_while_writing_loses_no_acknowledged_write(self):
        acked = {}
        for turn in range(5):
            apps = [App(self.dir, self.env), App(self.dir, self.env)]
            loads = [Load(a, f"{turn}{i}{k}") for i, a in enumerate(apps) for k in range(4)]
            for x in loads:
                x.start()
            wait_for(lambda: sum(len(x.acked) for x in loads) > 40, 20)
            for a in apps:
                a.stop(signal.SIGKILL)
            for x in loads:
                x.over.set()
                x.join()
                self.assertEqual(x.bad, [])
                acked.update(x.acked)
        rows = self.rows()
        self.assertEqual({k: rows.get(k) for k in acked}, acked)
        print(f"# {len(acked)} acknowledged writes, 10 processes killed, none lost", flush=True)

    def test_sigterm_under_load_answers_what_is_in_flight(self):
        a = self.app()
        loads = [Load(a, f"{k}") for k in range(8)]
        for x in loads:
            x.start()
        wait_for(lambda: sum(len(x.acked) for x in loads) > 40, 20)
        self.assertEqual(a.stop(), 0)
        for x in loads:
            x.over.set()
            x.join()
            self.assertEqual(x.bad, [])
        acked = {id_: text for x in loads for id_, text in x.acked.items()}
        self.assertEqual(self.rows(), acked)


if __name__ == "__main__":
    main()
