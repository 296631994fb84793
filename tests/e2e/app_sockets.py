"""A replica for tests: HTTP/1.1 on the inherited listener (sd_listen_fds(3)), on a unix socket or on a port.

GET /            its version, pid and what it inherited, as JSON
GET /sse         an event every 50 ms until the client goes
GET /ws          a WebSocket that sends back what it gets, behind the version
usage: app_sockets.py VERSION [--port N | --socket PATH]
"""
import base64
import hashlib
import http.server
import json
import os
import socket
import socketserver
import stat
import struct
import sys
import time

VERSION = sys.argv[1]


def inherited():
    """What is open beyond the standard descriptors."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2:
                found[fd] = "socket" if stat.S_ISSOCK(os.fstat(fd).st_mode) else "other"
        except OSError:
            pass  # the folder itself
    return found


INHERITED = inherited()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def do_GET(self):
        {"/sse": self.events, "/ws": self.websocket}.get(self.path, self.plain)()

    def plain(self):
        body = json.dumps({"version": VERSION, "pid": os.getpid(), "fds": INHERITED,
                           "env": {k: v for k, v in os.environ.items() if k in ("LISTEN_FDS", "LISTEN_PID", "SOCKET", "PORT")}}
                          ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(f"data: {VERSION}\n\n".encode())
                time.sleep(0.05)
        except OSError:
            pass

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            mask = self.rfile.read(4)
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(head[1] & 127)))
            text = VERSION.encode() + b":" + text
            self.wfile.write(struct.pack("!BB", 0x81, len(text)) + text)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def __init__(self, sock):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock

    def get_request(self):
        return self.socket.accept()[0], ("unix", 0)


def listener():
    if "--port" in sys.argv:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
        s.listen(512)
        return s
    if "--socket" in sys.argv:
        s = socket.socket(socket.AF_UNIX)
        s.bind(sys.argv[sys.argv.index("--socket") + 1])
        s.listen(512)
        return s
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise SystemExit("no listener for this process")
    return socket.socket(fileno=3)


Server(listener()).serve_forever()
