#!/usr/bin/env python3
"""The completion scripts in the real shells, against a platform that runs. A shell that is not installed
is skipped; bash always is."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, Platform, main

# What is typed, and what must be offered for the last word.
ASKED = [
    ("headgate stat", {"status"}),
    ("headgate config ", {"check", "show", "fmt", "schema"}),
    ("headgate token create --role ", {"viewer", "deployer", "admin"}),
    ("headgate up --det", {"--detach"}),
    ("headgate completion ", {"bash", "zsh", "fish"}),
    ("headgate --data {data} restart ", {"feedback"}),
    ("headgate --data {data} logs --app fee", {"feedback"}),
    ("headgate --data {data} rollouts why ", {"1"}),
    ("headgate --data {data} rollback feedback --to ", {"1", "2", "1.0.1"}),
    ("headgate --data {data} rollback nobody --to ", set()),
    ("headgate --data /nonexistent restart ", set()),
    ("headgate --data /nonexistent promote ", set()),
    ("headgate config check -f {dir}/headg", {"{dir}/headgate.yaml"}),
]


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = Platform(replicas=1)
        cls.platform.__enter__()
        cls.platform.up()
        cls.platform.run("deploy", "feedback", "--version", "1.0.1", "--env", "A=$(exit)", "--detach")
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="hg-shell-"))
        cls.env = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(cls.dir),
                   "TERM": "dumb", "LC_ALL": "C.UTF-8"}

    @classmethod
    def tearDownClass(cls):
        cls.platform.__exit__(None, None, None)
        shutil.rmtree(cls.dir, ignore_errors=True)

    def script(self, shell, name):
        """The script as a file; it must parse in the shell it is for."""
        if not shutil.which(shell):
            self.skipTest(f"there is no {shell}")
        path = self.dir / name
        path.write_text(self.platform.run("completion", shell).stdout)
        subprocess.run([shell, "-n", path], check=True, timeout=20)
        return path

    def fill(self, text):
        return text.format(data=self.platform.data, dir=self.platform.dir)

    def asked(self):
        return [(self.fill(line), {self.fill(w) for w in words}) for line, words in ASKED]

    def run_in(self, argv):
        done = subprocess.run(argv, env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split("\n")) - {""}

    def test_bash(self):
        path = self.script("bash", "headgate.bash")
        for line, wanted in self.asked():
            offered = self.run_in(["bash", "--norc", "-c", f"""
                source {path}
                IFS=' ' read -r -a COMP_WORDS <<<"$1"
                [[ $1 == *' ' ]] && COMP_WORDS+=('')
                COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
                _headgate
                printf '%s\\n' "${{COMPREPLY[@]}}" """, "bash", line])
            self.assertEqual(offered, wanted, line)

    def test_fish(self):
        path = self.script("fish", "headgate.fish")
        for line, wanted in self.asked():
            offered = self.run_in(["fish", "--no-config", "-c", f"source {path}; complete -C \"$argv[1]\"", line])
            self.assertEqual({o.split("\t")[0] for o in offered}, wanted, line)

    def test_zsh(self):
        """zsh completes only while a line is edited: typed on a terminal, from a folder of $fpath"""
        self.script("zsh", "_headgate")
        master, slave = pty.openpty()
        child = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=self.env,
                                 cwd=self.dir, start_new_session=True)
        os.close(slave)
        said = ""

        def answer(text, until, seconds=20):
            nonlocal said
            os.write(master, text.encode())
            said, end = "", time.monotonic() + seconds
            while not re.search(until, said):
                left = end - time.monotonic()
                if left < 0 or not select.select([master], [], [], left)[0]:
                    self.fail(f"after {text!r}: no {until!r} in {said!r}")
                said += re.sub("\033\\[[0-9;?]*[A-Za-z]|[\a\r]", "", os.read(master, 65536).decode(errors="replace"))
            return said

        try:
            # The list of what fits is printed by Ctrl-X Ctrl-L, between two words of ours.
            answer(f"PS1='> '; fpath=({self.dir} $fpath); autoload -U compinit; compinit -u -D; "
                   "show() { compstate[insert]=; print -r -- \"<${(j:,:)seen}>\" }; "
                   "note() { local -a seen; compadd() { "
                   "if [[ ${@[(I)-[OAD]]} == 0 ]]; then local -a got; builtin compadd -O got \"$@\"; "
                   "seen+=(\"${got[@]}\"); fi; builtin compadd \"$@\" }; _main_complete; "
                   "unfunction compadd; show }; "
                   "zle -C note complete-word note; bindkey '^X' note; print re''ady\n", "ready")
            for line, wanted in self.asked():
                got = answer(line + "\x18", r"<[^<>]*>\s*$|<[^<>]*>")
                offered = set(re.search("<([^<>]*)>", got).group(1).split(",")) - {""}
                self.assertEqual({pathlib.Path(o).name for o in offered},
                                 {pathlib.Path(w).name for w in wanted}, line)
                answer("\x15print ne''xt\n", "next")
        finally:
            child.kill()
            child.wait()
            os.close(master)


if __name__ == "__main__":
    main()
