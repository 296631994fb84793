"""A replica that answers with what it was asked, and writes that on its log. usage: shop.py PORT [WORD…]
FAIL=1: every answer but that of /health is an error."""
import http.server
import os
import sys

MARKUP = """<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script> & 'single' "double\""""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body go in one piece

    def do_GET(self):
        failed = os.environ.get("FAIL") and self.path != "/health"
        if self.path != "/health":
            print(f"asked for {self.path} {MARKUP}", flush=True)
        body = f"{self.path} {MARKUP}".encode()
        self.send_response(500 if failed else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
