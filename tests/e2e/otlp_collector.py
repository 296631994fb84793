"""A receiver of OTLP/HTTP (JSON) for tests: judges every request by the letter of the specification and keeps
the spans; what is wrong with one is in `wrong`. It can be taken away and brought back on the same port."""
import http.server
import json
import re
import threading
import time

ID = {"traceId": re.compile(r"[0-9a-f]{32}"), "spanId": re.compile(r"[0-9a-f]{16}")}
VALUES = {"stringValue": str, "intValue": str, "boolValue": bool, "doubleValue": (int, float)}
FIELDS = {"traceId", "spanId", "parentSpanId", "traceState", "flags", "name", "kind", "startTimeUnixNano",
          "endTimeUnixNano", "attributes", "status", "events", "links"}


class Span:
    def __init__(self, raw, resource):
        self.raw, self.resource = raw, resource
        self.name, self.kind = raw["name"], raw["kind"]
        self.trace, self.id, self.parent = raw["traceId"], raw["spanId"], raw.get("parentSpanId")
        self.start, self.end = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
        self.error = raw.get("status", {}).get("code") == 2
        self.attributes = attributes(raw["attributes"])
        self.service = resource.get("service.name")

    def __repr__(self):
        return f"<{self.service}: {self.name} {self.id} of {self.parent} {self.attributes}>"


def attributes(pairs):
    out = {}
    for p in pairs:
        assert set(p) == {"key", "value"} and p["key"] and p["key"] not in out, p
        (kind, value), = p["value"].items()
        assert isinstance(value, VALUES[kind]), p
        out[p["key"]] = int(value) if kind == "intValue" else value
    return out


def check(raw):
    """Raises unless it is a span as proto3's JSON and the specification of OTLP have it."""
    assert set(raw) <= FIELDS, set(raw) - FIELDS
    for field in ("traceId", "spanId") + (("parentSpanId",) if "parentSpanId" in raw else ()):
        pattern = ID["traceId" if field == "traceId" else "spanId"]
        assert pattern.fullmatch(raw[field]) and raw[field].strip("0"), (field, raw[field])
    assert raw["name"] and raw["kind"] in (1, 2, 3, 4, 5), raw
    for field in ("startTimeUnixNano", "endTimeUnixNano"):
        assert isinstance(raw[field], str) and re.fullmatch(r"[0-9]{19}", raw[field]), raw[field]
    start, end = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
    assert start <= end and abs(end / 1e9 - time.time()) < 600, (start, end)
    assert raw.get("status", {}).get("code", 0) in (0, 1, 2)
    attributes(raw["attributes"])


class Collector:
    def __init__(self):
        self.spans, self.wrong, self.posts, self.refuse = [], [], 0, None
        self.lock, self.port, self.server = threading.Lock(), 0, None
        self.start()

    def start(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector.take(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Connections are refused from now on."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def take(self, path, headers, body):
        with self.lock:
            self.posts += 1
            if self.refuse:
                return self.refuse
            try:
                assert path == "/v1/traces", path
                assert headers["Content-Type"] == "application/json", headers["Content-Type"]
                root = json.loads(body)
                assert set(root) == {"resourceSpans"}, set(root)
                for rs in root["resourceSpans"]:
                    resource = attributes(rs["resource"]["attributes"])
                    assert resource["service.name"], resource
                    for scope in rs["scopeSpans"]:
                        assert scope["scope"]["name"]
                        for raw in scope["spans"]:
                            check(raw)
                            self.spans.append(Span(raw, resource))
                return 200
            except (AssertionError, KeyError, ValueError, TypeError) as e:
                self.wrong.append(f"{e!r} in {body[:2000]!r}")
                return 400

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace):
        with self.lock:
            return [s for s in self.spans if s.trace == trace]

    def named(self, name, trace=None):
        with self.lock:
            return [s for s in self.spans if s.name == name and (trace is None or s.trace == trace)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
