"""An SMTP server for tests: real sockets, STARTTLS or TLS from the start, AUTH PLAIN and LOGIN, and faults on
demand. `Smtp()` keeps what it took over in `mails`; `fault = (phase, what)` makes it fail: what is a reply
("451 later"), "stall" or "cut"; phases are connect, ehlo, starttls, auth, mail, rcpt, data, text, quit.
Standard library only; the certificate is openssl's."""
import base64
import email
import email.policy
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

USER, PASSWORD = "feedback-app", "correct-horse"


class Mail:
    def __init__(self, sender, recipients, data, tls):
        self.sender, self.recipients, self.data, self.tls = sender, recipients, data, tls
        self.message = email.message_from_bytes(data, policy=email.policy.default)
        self.at = time.monotonic()

    def __getitem__(self, field):
        return self.message[field]

    def text(self):
        return self.message.get_content().replace("\r\n", "\n").rstrip("\n")


def certificate(folder, name="localhost"):
    """(ca file, chain file, key file): an authority and a certificate for 127.0.0.1 and `name`."""
    d = pathlib.Path(folder)
    run = dict(check=True, capture_output=True, cwd=d)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2"], **run)
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "server.key", "-out", "server.csr", "-subj", f"/CN={name}"], **run)
    (d / "ext").write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
    subprocess.run(["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "ext"], **run)
    return d / "ca.pem", d / "server.pem", d / "server.key"


class Smtp:
    def __init__(self, tls="starttls", auth=True, port=0):
        """tls: "starttls", "implicit" or "none"."""
        self.tls, self.auth = tls, auth
        self.mails, self.connections, self.fault = [], 0, None
        self.dir = tempfile.mkdtemp(prefix="hg-smtp-")
        self.ca = ""
        if tls != "none":
            self.ca, chain, key = certificate(self.dir)
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(chain, key)
        self.port, self.listener, self.live = port, None, set()
        self.lock = threading.Lock()
        self.start()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As when its machine goes: nothing listens, connections end."""
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self.lock:
            for s in list(self.live):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def env(self, **more):
        """Settings of the app that send mail here."""
        out = {"SMTP_URL": f"{'smtps' if self.tls == 'implicit' else 'smtp'}://127.0.0.1:{self.port}/app.test",
               "MAIL_FROM": "Feedback App <feedback@example.com>", "NOTIFY_EMAIL": "admin@example.com"}
        if self.tls == "none":
            out["SMTP_STARTTLS"] = "off"
        else:
            out["SMTP_CA"] = str(self.ca)
        if self.auth:
            out.update(SMTP_USER=USER, SMTP_PASSWORD=PASSWORD)
        return {**out, **more}

    def accept(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with self.lock:
            self.connections += 1
            self.live.add(s)
        session = Session(self, s)
        try:
            session.run()
        except (OSError, ssl.SSLError, EOFError):
            pass
        finally:
            with self.lock:
                self.live -= {s, session.s}
            session.s.close()


class Session:
    def __init__(self, server, s):
        self.server, self.s = server, s
        s.settimeout(120)
        self.secure = False
        self.signed_in = not server.auth
        self.buffer = b""

    def line(self):
        while b"\n" not in self.buffer:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def say(self, phase, usual):
        """False: the fault was said instead."""
        fault = self.server.fault
        if fault and fault[0] == phase:
            what = fault[1]
            if what == "cut":
                raise EOFError
            if what == "stall":
                while self.s.recv(65536):
                    pass
                raise EOFError
            self.s.sendall(what.encode() + b"\r\n")
            return False
        self.s.sendall(usual.encode() + b"\r\n")
        return True

    def upgrade(self):
        old, self.s = self.s, self.server.context.wrap_socket(self.s, server_side=True)
        with self.server.lock:
            self.server.live.discard(old)
            self.server.live.add(self.s)
        self.secure, self.buffer = True, b""

    def run(self):
        if self.server.tls == "implicit":
            self.upgrade()
        if not self.say("connect", "220 mail.test ESMTP"):
            return
        sender, recipients = None, []
        while True:
            line = self.line()
            word = line.split(" ")[0].upper()
            if word in ("EHLO", "HELO"):
                offers = ["mail.test", "8BITMIME", "SIZE 10000000"]
                if self.server.tls == "starttls" and not self.secure:
                    offers.append("STARTTLS")
                elif self.server.auth:
                    offers.append("AUTH PLAIN LOGIN")
                self.say("ehlo", "\r\n".join(f"250{'-' if o != offers[-1] else ' '}{o}" for o in offers))
            elif word == "STARTTLS" and self.server.tls == "starttls" and not self.secure:
                if self.say("starttls", "220 go on"):
                    self.upgrade()
            elif word == "AUTH":
                self.sign_in(line)
            elif word == "MAIL":
                if not self.signed_in:
                    self.s.sendall(b"530 5.7.0 Authentication required\r\n")
                elif self.say("mail", "250 2.1.0 Ok"):
                    sender, recipients = line.split("<", 1)[1].split(">")[0], []
            elif word == "RCPT":
                if self.say("rcpt", "250 2.1.5 Ok"):
                    recipients.append(line.split("<", 1)[1].split(">")[0])
            elif word == "DATA":
                if self.say("data", "354 go on"):
                    self.text(sender, recipients)
            elif word == "QUIT":
                self.say("quit", "221 bye")
                return
            else:
                self.s.sendall(b"502 5.5.1 what?\r\n")

    def text(self, sender, recipients):
        lines = []
        while True:
            line = self.line()
            if line == ".":
                break
            lines.append(line[1:] if line.startswith(".") else line)
        # A cut behind the text is the worst case: it was taken over, and nobody was told.
        keep = self.server.fault in (None, ("text", "taken, then cut")) or self.server.fault[0] == "quit"
        if keep:
            data = "\r\n".join(lines).encode("latin-1") + b"\r\n"
            with self.server.lock:
                self.server.mails.append(Mail(sender, recipients, data, self.secure))
        if self.server.fault == ("text", "taken, then cut"):
            raise EOFError
        self.say("text", f"250 2.0.0 Ok: queued as {len(self.server.mails):06d}")

    def sign_in(self, line):
        parts = line.split(" ")
        if parts[1].upper() == "PLAIN":
            if len(parts) < 3:
                self.s.sendall(b"334 \r\n")
                parts.append(self.line())
            _, user, password = base64.b64decode(parts[2]).decode().split("\0")
        else:
            self.s.sendall(b"334 VXNlcm5hbWU6\r\n")
            user = base64.b64decode(self.line()).decode()
            self.s.sendall(b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self.line()).decode()
        if (user, password) != (USER, PASSWORD):
            self.s.sendall(b"535 5.7.8 authentication failed\r\n")
        elif self.say("auth", "235 2.7.0 welcome"):
            self.signed_in = True
