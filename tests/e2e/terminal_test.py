#!/usr/bin/env python3
"""What a person sees on a real terminal: the live view of up and demo, and top. A pseudo terminal with a
small screen model behind it; what is asserted is on the screen, not in the bytes."""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from harness import BUILD, Load, Platform, free_port, kill, main, request, wait_for


class Screen:
    """As much of a terminal as Headgate uses. `history` holds what was scrolled out at the top."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [""] * rows, 0, 0
        self.wrapped = 0
        self.modes = set()
        self.rest = b""

    def put(self, data):
        text = (self.rest + data).decode(errors="ignore")
        tail = re.search("\033(\\[[0-9?;]*)?$", text)
        self.rest = tail.group().encode() if tail else b""
        text = text[:tail.start()] if tail else text
        for m in re.finditer("\033\\[([0-9?;]*)([A-Za-z])|[^\033]", text):
            if m.group(2):
                self.command(m.group(1), m.group(2))
            else:
                self.letter(m.group())

    def command(self, numbers, letter):
        if letter == "A":
            self.row = max(self.row - int(numbers or 1), 0)
        elif letter == "H":
            self.row = self.column = 0
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif letter == "J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            self.lines[self.row + 1:] = [""] * (self.rows - self.row - 1)
        elif letter in "hl":
            (self.modes.add if letter == "h" else self.modes.discard)(numbers)
        elif letter != "m":
            raise AssertionError(f"unknown to the screen: ESC [ {numbers} {letter}")

    def letter(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.down()
        else:
            if self.column == self.columns:
                self.column = 0
                self.wrapped += 1
                self.down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + c + line[self.column + 1:]
            self.column += 1

    def down(self):
        if self.row == self.rows - 1:
            self.lines = self.lines[1:] + [""]
        else:
            self.row += 1

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class Terminal:
    """headgate on a terminal of that size."""

    def __init__(self, *argv, columns=100, rows=30, cwd="/"):
        self.screen = Screen(columns, rows)
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.child = subprocess.Popen(
            [str(BUILD / "headgate"), *map(str, argv)], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, cwd=cwd, env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.screen.put(os.read(self.master, 65536))
            seconds = 0

    def shows(self, *wanted, seconds=30):
        def seen():
            self.read()
            return all(re.search(w, self.screen.text()) for w in wanted)
        seen.__doc__ = f"a screen with {wanted}"
        try:
            wait_for(seen, seconds, 0)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen:\n{self.screen.text()}") from None

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self, seconds=60):
        """Waits for the program's end and returns its status."""
        def ended():
            self.read()
            return self.child.poll() is not None
        wait_for(ended, seconds, 0)
        self.read(0.2)
        return self.child.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.end()
            finally:
                if self.child.poll() is None:
                    self.child.kill()
                    self.child.wait()
        os.close(self.master)
        os.close(self.slave)


def killed(p, replica=0):
    """Kills a replica that runs; what the screen shows when it is back. On a busy machine some had to be started
    more than once before, and another start may be needed now."""
    wait_for(lambda: p.replicas()[replica]["state"] == "ready", 60)
    restarts = p.app()["restarts"]
    kill(p.replicas()[replica]["pid"])
    return rf"feedback +1 +3/3 +({'|'.join(str(restarts + n) for n in range(1, 20))}) "


class OnATerminal(unittest.TestCase):
    def test_the_demo_runs_shows_a_death_and_stops_by_ctrl_c(self):
        with Platform(data=None) as p:
            where = p.dir / "demo"
            p.data = where / ".headgate"  # for down, should the test end early
            port = free_port()
            with Terminal("demo", "--listen", f"127.0.0.1:{port}", "--dir", where) as t:
                t.shows(r"headgate \d.*running", r"feedback +1 +3/3 +0 ", "Ctrl-C stops everything")
                self.assertEqual(request(port, "POST", "/feedback", {"message": "from the demo"})[0], 201)
                t.shows(killed(p) + ".*running", r"replica\.died")
                self.assertEqual(t.screen.text().count("READY"), 1, t.screen.text())
                self.assertIn(f"demo in {where}", t.screen.text())
                t.type("\x03")
                self.assertEqual(t.end(), 0)
                self.assertIn("stopped", t.screen.text())
                self.assertNotIn("READY", t.screen.text())
                # What is said to be next works as it stands.
                joined = t.screen.text().replace("\n", "")
                self.assertIn(f"next: headgate --data {where}/.headgate up -f {where}/headgate.yaml", joined)

    def test_the_live_view_fits_a_small_screen(self):
        with Platform() as p, Terminal("--data", p.data, "up", "-f", p.file, columns=50, rows=8) as t:
            t.shows(r"feedback +1 +3/3 +[0-9] ", r"Ctrl-C stops everything")
            for _ in range(2):
                t.shows(killed(p))
            self.assertEqual(t.screen.wrapped, 0)
            self.assertEqual(t.screen.text().count("READY"), 1, t.screen.text())
            self.assertEqual(t.screen.text().count("Ctrl-C"), 1, t.screen.text())

    def test_top_shows_every_replica_and_leaves_the_terminal_as_it_was(self):
        with Platform() as p:
            p.up()
            with Terminal("--data", p.data, "top") as t:
                load = Load(p.port, rate=100, seconds=20, posts=0, path="/health")
                self.addCleanup(lambda: load.stop().result())
                t.shows(r"feedback +1 +3/3 ", r"(?m)^\*/ +\d+ +0 % +\S+ ms ", "q quit",
                        r"(?m)^feedback/3 release 1 +\d+ +0 % +\S+ ms .*ready")
                self.assertEqual(t.screen.modes, {"?1049"})  # the other screen, and no cursor on it
                t.shows(killed(p, 2))
                t.type("q")
                self.assertEqual(t.end(5), 0)
                self.assertEqual(t.screen.modes, {"?25"})
                self.assertEqual(termios.tcgetattr(t.slave), t.before)

    def test_top_fits_a_small_screen_and_ends_when_the_platform_does(self):
        with Platform() as p:
            p.up()
            with Terminal("--data", p.data, "top", columns=40, rows=9) as t:
                t.shows(r"^headgate ", "q quit")
                self.assertEqual(t.screen.wrapped, 0)
                p.run("down")
                self.assertEqual(t.end(10), 6)
                self.assertEqual(termios.tcgetattr(t.slave), t.before)

    def test_a_second_ctrl_c_stops_a_program_that_does_not_want_to(self):
        with Platform() as p:
            p.file.write_text(p.file.read_text().replace(
                f"command: {BUILD}/feedback-app --port $PORT",
                "command: [python3, -c, \"import signal, http.server as h, sys; signal.signal(15, signal.SIG_IGN); "
                "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()\", "
                "$PORT]").replace("http: /health", "tcp: true").replace("replicas: 3", "replicas: 1")
                .replace("grace: 10s", "grace: 10m"))
            with Terminal("--data", p.data, "up", "-f", p.file) as t:
                t.shows(r"feedback +1 +1/1 ")
                # A busy warden comes to both of them at once, and must not take them for one.
                warden = p.pids("warden")[0]
                kill(warden, signal.SIGSTOP)
                t.type("\x03")
                t.shows("stopping; Ctrl-C again stops faster")
                t.type("\x03")

                def both():
                    """two signals wait for the warden"""
                    t.read()
                    waiting = re.search(r"ShdPnd:\s+(\w+)", pathlib.Path(f"/proc/{warden}/status").read_text())[1]
                    return int(waiting, 16).bit_count() == 2
                try:
                    wait_for(both, 10)
                    self.assertIsNone(t.child.poll())
                finally:
                    kill(warden, signal.SIGCONT)
                began = time.monotonic()
                self.assertEqual(t.end(), 0)
                self.assertLess(time.monotonic() - began, 30)


if __name__ == "__main__":
    main()
