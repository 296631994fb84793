#!/usr/bin/env python3
"""What the documents tell people to type works: every headgate command in README.md and docs/ is
run against a scratch platform, every verb has its help, and the manual page renders."""
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, FEEDBACK, ROOT, Platform, alive, kill, main

HEADGATE = str(BUILD / "headgate")
GOALS = FEEDBACK.replace("    routes:", """    slo:
      availability: {{objective: 99.95%, good: 2xx 3xx 404}}
      latency: {{objective: 95%, faster_than: 100ms}}
    routes:""")

# Words in the documents that stand for something of the reader's.
PLACEHOLDERS = {"APP": "feedback", "FILE": "headgate.yaml", "KEY": "apps.*.replicas", "COMMAND": "status",
                "HGnnnn": "HG1401"}

# Verbs with a test of their own because they do not end, or need a folder or a reader.
ELSEWHERE = {
    "run": "first_look_test: test_run_needs_no_file",
    "up": "every end-to-end test begins with it",
    "down": "runs last, see below",
    "demo": "terminal_test: test_the_demo_runs_shows_a_death_and_stops_by_ctrl_c",
    "open": "dashboard_api_test, operate_test: --browser would start one",
    "logs -f": "does not end",
    "query test": "query_test",
    "certs renew": "acme_test: test_before_the_first_one_nobody_is_deceived",
    **{verb: "alerts_test" for verb in ("alerts test-receiver", "alerts silence", "secret set")},
    **{f"incidents {verb}": "goals_test: test_from_the_first_bad_answer_to_the_document_after_it"
       for verb in ("show", "ack", "assign", "resolve", "report")},
    **{verb: "unit face/cli/deploy_test: what they answer depends on a rollout that runs"
       for verb in ("deploy", "plan", "rollouts", "promote", "abort", "rollback")},
}

# Statuses that are an answer: doctor found something, status says degraded, a rollout would go back or wait.
ANSWERS = {"status": (0, 7), "doctor": (0, 6, 7), "simulate": (0, 4, 5)}


def documents():
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/howto/*.md")),
            *sorted(ROOT.glob("docs/runbooks/*.md"))]


def commands():
    """(place, command) of every headgate command line or inline command in the documents."""
    for path in documents():
        fence = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place = f"{path.relative_to(ROOT)}:{number}"
            if line.startswith("```"):
                fence = None if fence is not None else line[3:].strip()
                continue
            if fence == "sh" or (fence is None and line.startswith("    ")):
                found = [line.strip().removeprefix("$ ")]
            elif fence is None:
                found = re.findall(r"`([^`]+)`", line)
            else:
                continue
            for text in found:
                m = re.match(r"(?:build/)?headgate ([a-z].*)", text)
                if m:
                    yield place, m.group(1)


def argv_of(text):
    """A command ends at a comment, a pipe, a redirection or the next command, but not within quotes."""
    words = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    words.whitespace_split, words.commenters = True, ""
    argv = []
    for word in words:
        if word[0] in "#;<>|&":
            break
        argv.append(PLACEHOLDERS.get(word, word))
    return argv


def verbs():
    """As `headgate help` lists them."""
    out = subprocess.run([HEADGATE, "help"], capture_output=True, text=True, check=True).stdout
    found = [v for v in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", out, re.M) if not v.startswith("headgate")]
    assert len(found) > 15, out
    return found


def rule_files(folder):
    """The rule file and its test, as the document has them."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/howto/alert-rules.md").read_text(), re.M | re.S)
    (folder / "alerts").mkdir()
    for name, start in (("shop.yml", "groups:"), ("shop_test.yml", "rule_files:")):
        (folder / "alerts" / name).write_text(next(b for b in blocks if b.startswith(start)))


class Docs(unittest.TestCase):
    def test_the_commands_of_the_documents_do_what_they_say(self):
        listed = {v.split()[0] for v in verbs()}
        ran, elsewhere, wrong, seen = 0, 0, [], set()
        with Platform(GOALS) as p:
            p.up()
            rule_files(p.dir)
            for place, text in commands():
                try:
                    argv = argv_of(text)
                except ValueError as e:
                    wrong.append(f"{place}: headgate {text}: {e}")
                    continue
                if argv[0] not in listed:
                    wrong.append(f"{place}: headgate {text}: no such command")
                    continue
                if argv[0] in ELSEWHERE or " ".join(argv[:2]) in ELSEWHERE:
                    elsewhere += 1
                    continue
                if argv == argv[:1] and argv[0] in ("config", "token", "explain"):
                    continue  # the text speaks of a group of commands
                if tuple(argv) in seen:
                    continue
                seen.add(tuple(argv))
                ran += 1
                with tempfile.TemporaryDirectory() as empty:
                    cwd = empty if argv[0] == "init" else p.dir
                    done = subprocess.run([HEADGATE, "--data", str(p.data), *argv], cwd=cwd, text=True,
                                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                if done.returncode not in ANSWERS.get(argv[0], (0,)):
                    wrong.append(f"{place}: headgate {text}: ended with {done.returncode}\n"
                                 f"{done.stdout[-300:]}{done.stderr[-500:]}")
            pids = p.everyone()
            p.run("down")
            self.assertEqual([pid for pid in pids if alive(pid)], [])
        print(f"# {ran} different commands run, {elsewhere} tested elsewhere", flush=True)
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreater(ran, 8)

    def test_down_after_the_wardens_death_as_the_runbook_has_it(self):
        with Platform() as p:
            p.up()
            pids = p.everyone()
            kill(p.pids("warden")[0])
            self.assertEqual(p.get()[0], 200)  # the edge and the replicas serve on
            p.run("down")
            self.assertEqual([pid for pid in pids if alive(pid)], [])
            p.up()
            self.assertEqual(p.get()[0], 200)

    def test_every_command_has_its_help(self):
        wrong = []
        for verb in verbs():
            for argv in ([*verb.split(), "--help"], ["help", *verb.split()]):
                done = subprocess.run([HEADGATE, *argv], capture_output=True, text=True, timeout=10)
                if done.returncode != 0 or "headgate " + verb not in done.stdout:
                    wrong.append((argv, done.returncode, done.stdout[:200], done.stderr))
        self.assertEqual(wrong, [])

    def test_links_between_the_documents_lead_somewhere(self):
        for path in documents():
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
                self.assertTrue((path.parent / target).exists(), f"{path.relative_to(ROOT)}: {target}")

    def test_the_manual_page_renders(self):
        page = ROOT / "packaging/headgate.1"
        if shutil.which("man"):
            done = subprocess.run(["man", "--warnings", "-l", str(page)], capture_output=True, text=True, timeout=30,
                                  env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        elif shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", str(page)], capture_output=True, text=True,
                                  timeout=30)
        else:
            self.skipTest("neither man nor groff is installed")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("NAME", "SYNOPSIS", "headgate"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
