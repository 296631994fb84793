"""A real Redis for tests: in a folder of its own, on a free loopback port, ended by id. Standard library only."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import free_port, wait_for


class Redis:
    def __init__(self, password="", **options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-redis-"))
        self.port, self.password, self.child = free_port(), password, None
        self.options = {"bind": "127.0.0.1", "port": self.port, "save": "", "appendonly": "no", "dir": self.dir,
                        "unixsocket": self.dir / "socket", **({"requirepass": password} if password else {}),
                        **options}
        self.start()

    def start(self):
        argv = ["redis-server"]
        for k, v in self.options.items():
            argv += [f"--{k}", str(v)]
        with open(self.dir / "log", "ab") as log:
            self.child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.dir)
        wait_for(self.ready, 15)
        return self

    def ready(self):
        """redis answers PING"""
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def ask(self, *words, timeout=5):
        """The first line of the reply; of a string the string; of an array its strings."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            f = s.makefile("rb")
            if self.password:
                s.sendall(self.encode("AUTH", self.password))
                f.readline()
            s.sendall(self.encode(*words))
            return self.read(f)

    @staticmethod
    def encode(*words):
        words = [str(w).encode() for w in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def read(self, f):
        line = f.readline().decode().rstrip("\r\n")
        if line.startswith("$"):
            n = int(line[1:])
            return f.read(n + 2)[:-2].decode() if n >= 0 else None
        if line.startswith("*"):
            return [self.read(f) for _ in range(int(line[1:]))]
        return line

    def url(self, db=0):
        return f"redis://{':' + self.password + '@' if self.password else ''}127.0.0.1:{self.port}/{db}"

    def kill(self, sig=signal.SIGKILL):
        if self.child.poll() is None:
            os.kill(self.child.pid, signal.SIGCONT)
            self.child.send_signal(sig)
        self.child.wait(10)

    def freeze(self, frozen=True):
        os.kill(self.child.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
