#!/usr/bin/env python3
"""What somebody on duty does with a running platform by hand, and what he is told when it is wrong."""
import json
import re
import subprocess
import unittest

from harness import BUILD, Platform, main, request

HANGS = f"command: [python3, -c, \"import time; time.sleep(600)\", $PORT]"


class Operate(unittest.TestCase):
    def setUp(self):
        self.p = Platform(replicas=2)
        self.addCleanup(lambda: self.p.__exit__(None, None, None))

    def refused(self, status, *argv):
        """The message of a command that must end with that status."""
        done = self.p.run(*argv, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"error HG\d{4}: ")
        return done.stderr

    def admin(self, token, method="GET", path="/v1/status", body=None):
        port = int(self.p.status()["listeners"]["admin"].rsplit(":", 1)[1])
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, answer = request(port, method, path, body, headers)
        return status, json.loads(answer) if answer else None

    def test_scale_and_restart_wait_until_it_is_so(self):
        p = self.p.up()
        done = p.run("scale", "feedback=3", "--wait")
        self.assertRegex(done.stdout, r"feedback: 2 \S+ 3 replicas")
        self.assertIn("feedback is running", done.stderr)
        self.assertEqual(p.ready(), 3)

        self.assertIn("nothing was changed", p.run("scale", "feedback=9", "--dry-run").stdout)
        self.assertIn("nothing was changed", p.run("restart", "feedback", "--dry-run").stdout)
        before = {r["pid"] for r in p.replicas()}
        self.assertEqual(len(before), 3)
        done = p.run("restart", "feedback", "--wait", "--timeout", "60s")
        self.assertIn("3 replicas are replaced one by one", done.stdout)
        after = {r["pid"] for r in p.replicas() if r["state"] == "ready"}
        self.assertEqual((len(after), after & before), (3, set()))

        self.assertIn('did you mean "feedback"', self.refused(2, "status", "feedbak").lower())
        self.refused(2, "scale", "nobody=2")
        self.refused(2, "restart", "nobody")
        self.refused(2, "scale", "feedback=-1")

    def test_waiting_ends_when_the_time_is_over_and_says_what_goes_on(self):
        self.p.file.write_text(re.sub(r"command: .*", HANGS, self.p.file.read_text()))
        said = self.refused(5, "up", "--detach", "--timeout", "1s", "-f", self.p.file)
        self.assertIn("0/2 ready", said)
        self.assertRegex(self.refused(5, "scale", "feedback=1", "--wait", "--timeout", "1s"),
                         r'"feedback" is still \w+ after 1 s')
        self.assertEqual(self.p.app()["desired"], 1)

    def test_a_token_does_what_its_role_may_until_it_is_revoked(self):
        p = self.p.up()
        viewer = json.loads(p.run("token", "create", "eyes", "--json").stdout)["token"]
        deployer = p.run("token", "create", "hands", "--role", "deployer").stdout.split()[-1]
        self.assertEqual(self.admin(None)[0], 401)
        self.assertEqual(self.admin("nonsense")[0], 401)
        status, seen = self.admin(viewer)
        self.assertEqual((status, seen["apps"][0]["name"]), (200, "feedback"))
        self.assertEqual(self.admin(viewer, "POST", "/v1/apps/feedback/scale", {"replicas": 1})[0], 403)
        self.assertEqual(p.app()["desired"], 2)
        self.assertEqual(self.admin(deployer, "POST", "/v1/apps/feedback/scale", {"replicas": 1})[0], 200)
        self.assertEqual(p.app()["desired"], 1)
        self.assertEqual(self.admin(deployer, "POST", "/v1/tokens", {"name": "more", "role": "admin"})[0], 403)

        listed = p.run("token", "list").stdout
        self.assertRegex(listed, r"(?m)^eyes +viewer")
        self.assertRegex(listed, r"(?m)^hands +deployer")
        self.assertNotIn(viewer, listed)
        self.refused(6, "token", "create", "eyes")
        self.assertIn("eyes", p.run("token", "revoke", "eyes", "--dry-run").stderr)
        self.assertEqual(self.admin(viewer)[0], 200)
        p.run("token", "revoke", "eyes")
        self.assertEqual(self.admin(viewer)[0], 401)
        self.refused(2, "token", "revoke", "eyes")

        # Who did what is in the audit, which is for the admin's eyes.
        self.assertEqual(self.admin(deployer, path="/v1/audit")[0], 403)
        admin = json.loads(p.run("token", "create", "all", "--role", "admin", "--json").stdout)["token"]
        entries = self.admin(admin, path="/v1/audit?limit=50")[1]["entries"]
        self.assertTrue([e for e in entries if "hands" in e["who"] and e["target"] == "feedback"], entries)
        self.assertEqual(len(self.admin(admin, path="/v1/audit?limit=2")[1]["entries"]), 2)
        self.assertEqual(self.admin(admin, path="/v1/audit?limit=abc")[0], 400)

    def test_the_api_answers_for_one_app_and_for_the_configuration(self):
        p = self.p.up()
        eyes = json.loads(p.run("token", "create", "eyes", "--json").stdout)["token"]
        token = json.loads(p.run("token", "create", "all", "--role", "admin", "--json").stdout)["token"]
        self.assertEqual(self.admin(eyes, path="/v1/config")[0], 403)  # it has the environment of the apps
        status, answer = self.admin(eyes, path="/v1/apps/feedback")
        self.assertEqual((status, answer["app"]["desired"]), (200, 2))
        self.assertEqual(self.admin(token, path="/v1/apps/nobody")[0], 404)
        self.assertEqual([a["name"] for a in self.admin(token, path="/v1/apps")[1]["apps"]], ["feedback"])
        config = self.admin(token, path="/v1/config")[1]
        self.assertEqual(config["text"], p.file.read_text())
        self.assertIn("replicas: 2", config["effective"])
        self.assertEqual(p.run("config", "show").stdout, config["effective"])

    def test_open_says_where_everything_is(self):
        p = self.p.up()
        admin = p.status()["listeners"]["admin"]
        self.assertRegex(p.run("open", env={}).stdout, rf"^http://{admin}/#/login\?code=hgc_[0-9a-f]+\n$")
        self.refused(2, "open", "feedback", "--role", "viewer")
        self.assertEqual(p.run("open", "feedback", env={}).stdout, f"http://127.0.0.1:{p.port}/\n")
        self.assertEqual(p.run("open", "--admin", env={}).stdout, f"http://{admin}\n")
        self.refused(2, "open", "nobody")
        p.file.write_text(p.file.read_text().replace('host: "*", path: /', "host: app.example, path: /x"))
        p.run("reload", "-f", p.file)
        self.assertEqual(p.run("open", "feedback", env={}).stdout, f"http://app.example:{p.port}/x\n")

    def test_a_reload_is_all_or_nothing_and_can_be_tried(self):
        p = self.p.up()
        good = p.file.read_text()
        p.file.write_text(good.replace("replicas: 2", "replicas: 3"))
        done = p.run("reload", "--dry-run", "-f", p.file)
        self.assertIn("replicas", done.stdout)
        self.assertIn("1 change (dry run", done.stderr)
        self.assertEqual(p.app()["desired"], 2)
        p.file.write_text(good.replace("replicas: 2", "replicas: 3").replace("grace: 10s", "grace: soon"))
        said = self.refused(3, "reload", "-f", p.file)
        self.assertIn("headgate.yaml:", said)
        self.assertEqual(p.app()["desired"], 2)
        p.file.write_text(good)
        self.assertIn("nothing changes", p.run("reload", "-f", p.file).stderr)
        p.file.write_text(good.replace("replicas: 2", "replicas: 3"))
        self.assertEqual(len(json.loads(p.run("reload", "--json", "-f", p.file).stdout)["changes"]), 1)
        p.wait_ready(3)

    def test_nothing_is_done_by_a_dry_run(self):
        p = self.p
        done = p.run("up", "--dry-run", "-f", p.file)
        self.assertIn("feedback: 2 replicas", done.stdout)
        self.assertFalse((p.data / "run").exists())
        self.assertIn("would start", p.run("demo", "--dry-run").stderr)
        p.up()
        self.assertIn("would stop", p.run("down", "--dry-run").stderr)
        self.assertEqual(p.ready(), 2)

    def test_a_port_that_is_taken_is_said_by_number_and_nothing_is_left_behind(self):
        p = self.p.up()
        with Platform(replicas=1) as other:
            other.file.write_text(other.file.read_text().replace(str(other.port), str(p.port)))
            done = other.run("up", "--detach", "-f", other.file, check=False)
            self.assertEqual(done.returncode, 6, done.stderr)
            self.assertIn(str(p.port), done.stderr)
            self.assertEqual(other.run("status", check=False).returncode, 6)
        self.assertEqual(p.get("/health")[0], 200)

    def test_doctor_knows_the_platform_that_runs_and_the_file_that_is_wrong(self):
        p = self.p.up()
        checks = json.loads(p.run("doctor", "--json", "-f", p.file, check=False).stdout)["checks"]
        self.assertGreater(len(checks), 8)
        p.run("down")
        p.file.write_text("app: [")
        done = subprocess.run([str(BUILD / "headgate"), "--data", str(p.data), "doctor", "-f", str(p.file)],
                              capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("headgate.yaml cannot be used", done.stdout)
        self.assertIn("config check", done.stdout)


if __name__ == "__main__":
    main()
