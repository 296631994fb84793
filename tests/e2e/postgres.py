"""Real PostgreSQL servers of Debian for tests: each in a folder of its own, on a free loopback port,
ended by id; as root they run as the user `postgres`, which the server insists on. Standard library only."""
import atexit
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness import alive, free_port, wait_for

BIN = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), default=None)
TEMPLATE = []
OPTIONS = {"listen_addresses": "127.0.0.1", "max_connections": 100, "shared_buffers": "16MB",
           "wal_level": "replica", "max_wal_senders": 8, "hot_standby": "on", "logging_collector": "off",
           "log_min_messages": "fatal", "max_wal_size": "256MB"}


class Postgres:
    """One server. `Postgres()` makes a new database; `primary.replica()` a streaming standby of one."""

    def __init__(self, durable=False, source=None, name="", port=None, **options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-pg-"))
        self.user = None
        if os.geteuid() == 0:
            p = pwd.getpwnam("postgres")
            self.user = (p.pw_uid, p.pw_gid)
            os.chown(self.dir, *self.user)
        self.data, self.port, self.log = self.dir / "data", port or free_port(), self.dir / "log"
        self.options = {**OPTIONS, "port": self.port, "unix_socket_directories": str(self.dir), **options}
        if not durable:  # nothing here is about power cuts
            self.options.update(fsync="off", full_page_writes="off")
        self.child, self.name = None, name
        try:
            if source:
                self.run("pg_basebackup", "-h", "127.0.0.1", "-p", source.port, "-U", "feedback", "-D", self.data,
                         "-R", "-X", "stream", "-c", "fast", "--no-sync")
                if name:  # its name for synchronous_standby_names
                    with open(self.data / "postgresql.auto.conf", "a") as f:
                        f.write(f"primary_conninfo = 'host=127.0.0.1 port={source.port} user=feedback "
                                f"application_name={name}'\n")
            else:
                self.new_database()
            self.start()
        except BaseException:
            self.remove()
            raise

    def new_database(self):
        """initdb takes seconds: once a program, then copies."""
        if not TEMPLATE:
            folder = tempfile.mkdtemp(prefix="hg-pg-template-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            if self.user:
                os.chown(folder, *self.user)
            self.run("initdb", "-D", f"{folder}/data", "-U", "feedback", "-A", "trust", "--no-sync", "-E", "UTF8",
                     "--locale", "C")
            TEMPLATE.append(f"{folder}/data")
        subprocess.run(["cp", "-a", TEMPLATE[0], self.data], check=True)

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user[0], "group": self.user[1], "extra_groups": []}

    def run(self, program, *argv):
        done = subprocess.run([BIN / program, *map(str, argv)], capture_output=True, text=True, timeout=60,
                              cwd=self.dir, **self.as_user())
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, wait=True):
        argv = [BIN / "postgres", "-D", self.data]
        for k, v in self.options.items():
            argv += ["-c", f"{k}={v}"]
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.dir, **self.as_user())
        if wait:
            wait_for(self.ready, 30)
        return self

    def ready(self):
        """the server takes connections"""
        if self.child.poll() is not None:
            raise AssertionError(f"postgres ended: {self.log.read_text()[-2000:]}")
        return subprocess.run([BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              check=False).returncode == 0

    def replica(self, name="", **options):
        return Postgres(source=self, name=name, **options)

    def url(self, database="postgres"):
        return f"postgres://feedback@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="postgres", check=True):
        """Rows as lists of strings."""
        done = subprocess.run([BIN / "psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d",
                               self.url(database), "-c", text], capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise AssertionError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def backends(self):
        """Process ids of the feedback app's connections."""
        return [int(r[0]) for r in self.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'feedback-app'")]

    def tree(self):
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def kill(self):
        """As when its machine goes: everything at once, no last word."""
        pids = self.tree()
        for pid in pids:  # the parent first, so that it does not tidy up
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait(10)
        wait_for(lambda: not any(alive(p) for p in pids), 10)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self, sig=signal.SIGINT):
        """SIGINT is a fast shutdown."""
        if self.child and self.child.poll() is None:
            self.child.send_signal(sig)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def freeze(self, frozen=True):
        for pid in self.tree():
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def promote(self):
        self.sql("SELECT pg_promote(true, 30)")
        wait_for(lambda: self.sql("SELECT pg_is_in_recovery()") == [["f"]], 30)

    def caught_up(self, primary):
        want = primary.sql("SELECT pg_current_wal_lsn()")[0][0]
        wait_for(lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{want}'::pg_lsn") == [["t"]], 20)

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def metric(text, name, **labels):
    """The value of one line of a Prometheus text; None when it is not there."""
    for line in text.splitlines():
        m = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if m and all(f'{k}="{v}"' in (m.group(1) or "") for k, v in labels.items()):
            return float(m.group(2))
    return None


def until(what, seconds=20.0):
    """Seconds until what() was true."""
    start = time.monotonic()
    wait_for(what, seconds)
    return time.monotonic() - start
