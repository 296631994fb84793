"""headgate query: metrics of a store, and files of Prometheus' PromQL test language, through the command line."""
import contextlib
import glob
import json
import os
import signal
import subprocess
import tempfile
import unittest

import harness

HEADGATE = os.path.join(harness.BUILD, "headgate")
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "promql")


def query_test(*files):
    return subprocess.run([HEADGATE, "query", "test", *files], capture_output=True, text=True,
                          timeout=120)


class QueryTest(unittest.TestCase):
    def test_prometheus_own_files_pass(self):
        files = sorted(glob.glob(os.path.join(DATA, "*.test")))
        self.assertEqual(len(files), 7)
        done = query_test(*files)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertEqual(lines[-1], "312 passed, 0 failed, 36 skipped")
        self.assertEqual(len(lines), 348 + 1)  # a line an eval
        for line in lines[:-1]:
            self.assertRegex(line, r"\.test:\d+: (ok|skipped: a native histogram is (selected|expected))$")

    def test_a_failure_is_shown_and_told_by_the_exit_status(self):
        with tempfile.NamedTemporaryFile("w", suffix=".test") as f:
            f.write("load 1m\n  m 1 2 3\n\neval instant at 2m m * 2\n  {} 7\n\neval instant at 0 1 + 1\n  2\n")
            f.flush()
            done = query_test(f.name)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout.splitlines(), [
                f"{f.name}:4: FAIL: m * 2", "    {} at 120.000: expected 7, got 6", f"{f.name}:7: ok",
                "1 passed, 1 failed, 0 skipped"])

    def test_a_file_that_is_not_there_is_an_error(self):
        done = query_test("/nonexistent.test")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("HG1005", done.stderr)


NOW = 1700000000
SAMPLES = """# TYPE up gauge
up{instance="a:1",job="web"} 1 1700000000
up{instance="b:1",job="web-of-another-name"} 0 1700000000
# TYPE requests counter
""" + "".join(f'requests_total{{path="/é"}} {k * k} {NOW - 3600 + 15 * k}\n' for k in range(241)) + "# EOF\n"


@contextlib.contextmanager
def store():
    """The API of a store where the command line looks for control."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "samples.om")
        with open(path, "w") as f:
            f.write(SAMPLES)
        p = subprocess.Popen([os.path.join(harness.BUILD, "tests/e2e/metrics_server"), "--listen",
                              f"unix:{folder}/control.sock", "--load", path, "--now", str(NOW * 1000)],
                             stdout=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline().startswith("ready ")
            yield folder
        finally:
            p.terminate()
            p.wait(timeout=30)
            p.stdout.close()


class Without(unittest.TestCase):
    """Control is dead or hangs: observe is asked itself."""

    def test_a_query_is_answered_without_control(self):
        text = (f"version: 1\nproject: q\nadmin: {{{{listen: 127.0.0.1:{harness.free_port()}}}}}\n"
                "edge: {{listen: {{http: {port}}}}}\napps: {{a: {{command: sleep 1000}}}}\n")
        with harness.Platform(text) as p:
            p.up()
            harness.wait_for(lambda: p.run("query", "vector(42)", check=False).returncode == 0, 30)
            with_control = p.run("query", "vector(42)")
            self.assertEqual(with_control.stderr, "")
            control = p.pids("control")[0]
            harness.kill(control, signal.SIGSTOP)  # accepts, and says nothing
            try:
                done = p.run("query", "vector(42)")
                self.assertEqual(done.stdout, with_control.stdout)
                self.assertIn("observe was asked itself", done.stderr)
                self.assertIn("42", p.run("query", "--json", "vector(42)").stdout)
                # A mistake is told as it is with control.
                done = p.run("query", "sum(vector(1)) by (a) + on (b) group_left foo", check=False)
                self.assertNotIn("42", done.stdout)
            finally:
                harness.kill(control, signal.SIGCONT)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([HEADGATE, "--data", folder, "query", "1"], capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no Headgate runs", done.stderr)


class AskTest(unittest.TestCase):
    def query(self, folder, *words, env=None):
        done = subprocess.run([HEADGATE, "--data", folder, "query", *words], capture_output=True, text=True,
                              timeout=60, env={**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(env or {})})
        return done.returncode, done.stdout, done.stderr

    def test_people_get_a_table(self):
        at = ("--time", str(NOW))
        with store() as folder:
            code, out, err = self.query(folder, "up", *at)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(out.splitlines(), [
                'SERIES                                         VALUE',
                'up{instance="a:1", job="web"}                  1',
                'up{instance="b:1", job="web-of-another-name"}  0'])
            self.assertEqual(self.query(folder, "run", "sum(up)", *at), (0, "SERIES  VALUE\n{}      1\n", ""))
            self.assertEqual(self.query(folder, "1 + 1", *at), (0, "2\n", ""))
            self.assertEqual(self.query(folder, '"a\033[2Jb"', *at)[1].count("\033"), 0)
            code, out, _ = self.query(folder, "nothing_has_this_name", *at)
            self.assertEqual(code, 0)
            self.assertIn("no series", out)
            code, out, _ = self.query(folder, "requests_total[1m]", *at)
            self.assertEqual(out.splitlines()[1].split(), ['requests_total{path="/é"}', "4", "57600"])
            code, _, err = self.query(folder, "rate(up[5m])", *at)
            self.assertEqual(code, 0)
            self.assertIn("note: PromQL info: metric might not be a counter", err)

    def test_a_range_is_a_line_with_its_course(self):
        ask = ("requests_total", "--time", str(NOW), "--range", "1h")
        with store() as folder:
            code, out, err = self.query(folder, *ask)
            self.assertEqual((code, err), (0, ""))
            head, line, foot = out.splitlines()
            self.assertEqual(head.split(), ["SERIES", "MIN", "MAX", "LAST", "COURSE"])
            name, low, high, last, course = line.split(maxsplit=4)
            self.assertEqual((name, low, high, last), ('requests_total{path="/é"}', "0", "5.76e+04", "5.76e+04"))
            self.assertEqual((len(course), course[0], course[-1]), (40, "▁", "█"))
            self.assertEqual(list(course), sorted(course))
            self.assertEqual(foot, "2023-11-14 21:13 to 2023-11-14 22:13 UTC, a point every 30s")
            _, out, _ = self.query(folder, *ask, "--step", "10m", "--plain")
            self.assertRegex(out.splitlines()[1], r" \.[ .:=+*#@-]+@$")
            self.assertIn("a point every 600s", out)

    def test_machines_get_json(self):
        with store() as folder:
            code, out, _ = self.query(folder, "up", "--time", "2023-11-14T22:13:20Z", "--json")
            doc = json.loads(out)
            self.assertEqual((code, doc["schema"], doc["status"]), (0, "headgate.query/1", "success"))
            self.assertEqual([s["value"] for s in doc["data"]["result"]], [[NOW, "1"], [NOW, "0"]])
            _, out, _ = self.query(folder, "up", "--time", f"{NOW}.123", "--range", "1s", "--json")
            self.assertIn("1700000000.123", out)

    def test_an_error_shows_the_place(self):
        with store() as folder:
            self.assertEqual(self.query(folder, "rte(up[5m])"), (2, "", (
                'query:1:1: error HG1420: unknown function with name "rte"\n'
                "     1 | rte(up[5m])\n"
                "       | ^\n"
                '  hint: did you mean "rate"?\n'
                "next: headgate help HG1420\n")))
            code, _, err = self.query(folder, 'up{a="é"} +\nsum(')
            self.assertEqual(code, 2)
            self.assertEqual([line for line in err.splitlines() if "|" in line], ["     2 | sum(", "       |     ^"])
            code, _, err = self.query(folder, 'up{a="é"} + é')
            self.assertEqual([line for line in err.splitlines() if "|" in line],
                             ['     1 | up{a="é"} + é', "       |             ^"])
            code, _, err = self.query(folder, "x" * 150 + " + ) + " + "y" * 150)
            caret = [line for line in err.splitlines() if "|" in line]
            self.assertEqual(caret[0][caret[1].index("^")], ")")
            code, _, err = self.query(folder, "up[5m]", "--range", "1h")
            self.assertEqual(code, 2)
            self.assertIn("has no course", err)
            code, _, err = self.query(folder, "up + on(job) group_left up", "--time", str(NOW))
            self.assertEqual(code, 0)
            code, _, err = self.query(folder, "up + on() up", "--time", str(NOW))
            self.assertEqual(code, 1)
            self.assertIn("HG1421", err)
            for words in (("up", "--time", "yesterday"), ("up", "--step", "5s"), ("up", "--range", "0s"), ()):
                self.assertEqual(self.query(folder, *words)[0], 2, words)


if __name__ == "__main__":
    harness.main()
