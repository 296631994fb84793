#!/usr/bin/env python3
"""What a person sees first: two commands, the app in three replicas, a killed replica nobody notices."""
import json
import signal
import subprocess
import unittest

from harness import BUILD, Platform, alive, free_port, kill, main, request, wait_for


class FirstLook(unittest.TestCase):
    def test_three_replicas_are_served_and_a_killed_one_is_not_noticed(self):
        with Platform() as p:
            p.up()
            self.assertEqual(p.ready(), 3)
            status, _, body = p.get("/")
            self.assertEqual(status, 200)
            self.assertIn(b"Feedback App", body)
            status, _, body = request(p.port, "POST", "/feedback", {"message": "first"})
            self.assertEqual(status, 201)
            made = json.loads(body)
            victim = p.replicas()[0]["pid"]
            kill(victim)
            for _ in range(300):
                status, _, body = p.get()
                self.assertEqual(status, 200)
                self.assertEqual(json.loads(body)[0]["id"], made["id"])
            p.wait_ready(3)
            self.assertNotIn(victim, [r["pid"] for r in p.replicas()])

    def test_down_stops_everything_it_started_and_nothing_else(self):
        bystander = subprocess.Popen(["sleep", "60"])
        try:
            with Platform() as p:
                p.up()
                pids = p.everyone()
                self.assertGreaterEqual(len(pids), 7)
                p.run("down")
                self.assertEqual([pid for pid in pids if alive(pid)], [])
                self.assertIsNone(bystander.poll())
                with self.assertRaises(OSError):
                    p.get()
        finally:
            bystander.terminate()
            bystander.wait()

    def test_up_twice_is_a_reload_and_status_without_a_platform_says_so(self):
        with Platform(replicas=1) as p:
            p.up()
            before = p.pids("warden")
            p.file.write_text(p.file.read_text().replace("replicas: 1", "replicas: 2"))
            p.run("up", "--detach", "-f", p.file)
            p.wait_ready(2)
            self.assertEqual(p.pids("warden"), before)
            p.file.write_text(p.file.read_text().replace("replicas: 2", "replicas: 3"))
            self.assertIn(str(p.file), p.run("reload", cwd="/").stderr)
            p.wait_ready(3)
            scaled = json.loads(p.run("scale", "feedback=1", "--json").stdout)
            self.assertEqual(scaled["apps"], [{"app": "feedback", "was": 3, "replicas": 1}])
            p.run("down")
            done = p.run("status", check=False)
            self.assertEqual(done.returncode, 6)
            self.assertIn("HG", done.stderr)

    def test_run_needs_no_file(self):
        with Platform() as p:
            port = free_port()
            child = subprocess.Popen(
                [str(BUILD / "headgate"), "--data", str(p.data), "run", "--listen", f"127.0.0.1:{port}", "--",
                 "/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"],
                cwd=p.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                def answered():
                    """a program that knows nothing of Headgate answers through the edge"""
                    try:
                        return request(port, "GET", "/headgate.yaml")[0] == 200
                    except OSError:
                        return False
                wait_for(answered)
                child.send_signal(signal.SIGINT)
                out, _ = child.communicate(timeout=60)
                self.assertIn(child.returncode, (0, 130), out)
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait()

    def test_a_key_that_is_not_built_yet_is_refused_by_name_and_place(self):
        with Platform() as p:
            p.file.write_text(p.file.read_text() + "    autoscale: {min: 2, max: 4, cpu: 70%}\n")
            self.assertEqual(p.run("config", "check", "-f", p.file, check=False).returncode, 0)
            done = p.run("up", "--detach", "-f", p.file, check=False)
            self.assertEqual(done.returncode, 3)
            self.assertIn("autoscale", done.stderr)
            self.assertIn("headgate.yaml:", done.stderr)
            self.assertIn("not available yet", done.stderr)

    def test_a_program_that_dies_at_once_is_reported_with_its_last_words(self):
        with Platform() as p:
            p.file.write_text(p.file.read_text().replace(
                f"command: {BUILD}/feedback-app --port $PORT",
                "command: [sh, -c, \"echo last words on $PORT >&2; exit 42\"]"))
            done = p.run("up", "--detach", "--timeout", "5s", "-f", p.file, check=False)
            self.assertIn(done.returncode, (5, 7), done.stdout + done.stderr)
            self.assertIn("42", done.stdout + done.stderr)
            self.assertIn("last words", done.stdout + done.stderr)


if __name__ == "__main__":
    main()
