"""A real rabbitmq-server of Debian for tests: everything in a folder of its own, on free loopback ports, with a
port mapper (epmd) of its own, ended by id. Standard library only."""
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import alive, free_port, wait_for

SERVER = shutil.which("rabbitmq-server") or "/usr/sbin/rabbitmq-server"
BIN = next(iter(sorted(pathlib.Path("/usr/lib/rabbitmq").glob("bin"))), None)


def descendants(pid):
    """Ids of a process and all below it."""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        try:
            for t in pathlib.Path(f"/proc/{p}/task").iterdir():
                todo += map(int, (t / "children").read_text().split())
        except OSError:
            pass
    return out


class RabbitMQ:
    def __init__(self, more=""):
        """`more`: lines of rabbitmq.conf."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-rabbit-"))
        self.port, dist, epmd = free_port(), free_port(), free_port()
        (self.dir / ".erlang.cookie").write_text(secrets.token_hex(16))
        (self.dir / ".erlang.cookie").chmod(0o400)
        (self.dir / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\ndisk_free_limit.absolute = 10MB\n"
            f"log.console = false\nlog.file.level = warning\nvm_memory_high_watermark.absolute = 512MB\n{more}")
        (self.dir / "enabled_plugins").write_text("[].\n")
        (self.dir / "advanced.config").write_text("[].\n")
        self.env = {
            "PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.dir), "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": f"hg{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist), "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.dir / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "env.conf"), "RABBITMQ_BASE": str(self.dir),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "data"), "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }
        self.epmd = subprocess.Popen(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], env=self.env,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.child = None
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    def said(self):
        """What it wrote into its logs."""
        return "".join(f.read_text(errors="replace") for f in sorted((self.dir / "log").glob("*.log")))

    def written(self, queue):
        """RabbitMQ 3.10 writes down which files belong to a queue half a second after the queue is made; killed
        before, it begins the queue anew, empty and without a leader. What is wanted is in its files after this."""
        name = f"%2F_{queue}".encode() + b"m"  # in the external format of terms the next one, a binary, begins with m

        def there():
            """the broker has written down the queue"""
            return any(name in f.read_bytes() for f in self.dir.glob("data/*/quorum/*/names.dets"))
        wait_for(there, 60, 0.1)

    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self, wait=True):
        with open(self.dir / "out", "ab") as out:
            self.child = subprocess.Popen([BIN / "rabbitmq-server"], env=self.env, cwd=self.dir, stdout=out, stderr=out,
                                          stdin=subprocess.DEVNULL)
        if wait:
            wait_for(self.ready, 120, 0.1)  # an Erlang that starts on a machine that is busy takes long
        return self

    def ready(self):
        """the broker answers a greeting of AMQP"""
        if self.child.poll() is not None:
            raise AssertionError(f"rabbitmq ended: {(self.dir / 'out').read_text()[-3000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.settimeout(2)
                s.sendall(b"AMQP\0\0\x09\x01")
                return s.recv(1) == b"\x01"
        except OSError:
            return False

    def kill(self):
        """As when its machine goes."""
        pids = descendants(self.child.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait(10)
        wait_for(lambda: not any(alive(p) for p in pids), 10)

    def ctl(self, *argv):
        done = subprocess.run([BIN / "rabbitmqctl", "-q", "-n", self.env["RABBITMQ_NODENAME"], *argv], env=self.env,
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        return done.stdout

    def queues(self):
        """{name: (messages, type)}"""
        out = {}
        for line in self.ctl("list_queues", "--no-table-headers", "name", "messages", "type").splitlines():
            name, messages, kind = line.split("\t")
            out[name] = (int(messages), kind)
        return out

    def remove(self):
        if self.child and self.child.poll() is None:
            self.kill()
        if self.epmd.poll() is None:
            self.epmd.kill()
            self.epmd.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
