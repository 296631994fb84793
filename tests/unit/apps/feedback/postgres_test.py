#!/usr/bin/env python3
"""The contract of the Feedback App on PostgreSQL: the same cases as on a file, on a real server; and
what only a server has: it is restarted, hangs, is full, ends a connection."""
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
import api_test  # noqa: E402
from harness import BUILD, main, request, wait_for  # noqa: E402
from postgres import Postgres, metric  # noqa: E402

SERVER = []


def setUpModule():
    SERVER.append(Postgres())


def tearDownModule():
    SERVER.pop().remove()


class OnPostgres:
    """A database of its own for each test, on one server."""
    number = 0

    def make_database(self):
        OnPostgres.number += 1
        self.pg, self.database = SERVER[0], f"t{OnPostgres.number}"
        self.pg.sql(f"CREATE DATABASE {self.database}")
        self.env = {"DATABASE_URL": self.pg.url(self.database)}

    def sql(self, text, **more):
        return self.pg.sql(text, self.database, **more)

    def rows(self):
        # in one statement: what was in flight at a kill may still be on its way
        self.assertEqual(self.sql("SELECT count(*) - (SELECT sum(total) FROM feedback_total) FROM feedback"), [["0"]])
        return {int(i): m for i, m in self.sql("SELECT id, message FROM feedback")}

    def metric(self, app, name, **labels):
        return metric(request(app.port, "GET", "/metrics")[2].decode(), name, **labels)


class Owner(OnPostgres, api_test.Owner):
    pass


class Contract(OnPostgres, api_test.Contract):
    pass


class Faults(OnPostgres, api_test.Faults):
    pass


class Durability(OnPostgres, api_test.Durability):
    pass


class Server(OnPostgres, api_test.Case):
    def backends(self):
        return [int(r[0]) for r in self.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'feedback-app'"
                                            f" AND datname = '{self.database}' ORDER BY backend_start")]

    def many(self, app, n, method="GET", body=None, timeout=20):
        """n requests at once: [(status, seconds)]"""
        def one(_):
            start = time.monotonic()
            status = request(app.port, method, "/feedback", body, timeout=timeout)[0]
            return status, time.monotonic() - start
        with concurrent.futures.ThreadPoolExecutor(n) as ex:
            return list(ex.map(one, range(n)))

    def test_two_at_once_under_one_key_make_one_row(self):
        apps = [self.app(), self.app()]
        for turn in range(20):
            key = {"Idempotency-Key": f"k{turn}"}
            with concurrent.futures.ThreadPoolExecutor(8) as ex:
                made = list(ex.map(lambda i: apps[i % 2].call("POST", "/feedback", {"message": "x"}, headers=key),
                                   range(8)))
            self.assertEqual({m[0] for m in made}, {201})
            self.assertEqual(len({m[2]["id"] for m in made}), 1, made)
        self.assertEqual(len(self.rows()), 20)

    def test_a_key_is_free_again_after_a_day_and_old_ones_leave(self):
        a = self.app()
        for i in range(10):
            a.call("POST", "/feedback", {"message": "x"}, headers={"Idempotency-Key": f"k{i}"})
        self.sql("UPDATE feedback_keys SET created_at = created_at - interval '25 hours'")
        status, _, made = a.call("POST", "/feedback", {"message": "new"}, headers={"Idempotency-Key": "k0"})
        self.assertEqual((status, made["message"]), (201, "new"))
        self.assertEqual(len(self.rows()), 11)
        self.assertEqual(self.sql("SELECT count(*) FROM feedback_keys"), [["2"]])  # 8 a time

    def test_the_total_is_right_whoever_writes(self):
        a = self.app()
        a.create("one")
        self.sql("INSERT INTO feedback (message, created_at, updated_at) SELECT 'x', now(), now() FROM "
                 "generate_series(1, 5)")
        self.assertEqual(a.call("GET", "/health")[2]["feedback_count"], 6)
        self.sql("DELETE FROM feedback WHERE id > 3")
        self.assertEqual(a.call("GET", "/feedback")[1]["X-Total-Count"], "3")
        self.sql("TRUNCATE feedback")
        self.assertEqual(a.call("GET", "/feedback")[2], [])
        self.assertEqual(a.call("GET", "/feedback")[1]["X-Total-Count"], "0")

    def test_a_connection_that_is_ended_is_made_again_and_reads_do_not_see_it(self):
        a = self.app()
        a.create("x")
        for _ in range(5):
            self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'feedback-app'"
                     f" AND datname = '{self.database}'")
            self.assertEqual(a.call("GET", "/feedback")[0], 200)
        self.assertGreaterEqual(self.metric(a, "database_connections_lost_total", server="primary"), 1)

    def test_a_backend_that_hangs_costs_its_requests_their_time_and_nobody_else(self):
        a = self.app({"DATABASE_TIMEOUT": "1500", "DATABASE_POOL": "4"})
        a.create("x")
        self.many(a, 16)
        pid = self.backends()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            got = self.many(a, 12) + self.many(a, 12)
        finally:
            os.kill(pid, signal.SIGCONT)
        slow = [g for g in got if g[1] > 1]
        self.assertLessEqual(len(slow), 8, got)  # as many as a connection takes
        self.assertTrue(all(s == 200 for s, t in got if t <= 1), got)
        self.assertTrue(all(t < 2.5 for _, t in got), got)
        wait_for(lambda: {s for s, _ in self.many(a, 8)} == {200}, 10)

    def test_a_server_that_hangs_is_503_in_time_and_health_says_why(self):
        a = self.app({"DATABASE_TIMEOUT": "1000", "DATABASE_CONNECT_TIMEOUT": "500"})
        a.create("x")
        self.pg.freeze()
        try:
            got = self.many(a, 8) + self.many(a, 8, "POST", {"message": "y"})
            self.assertEqual({s for s, _ in got}, {503})
            self.assertTrue(all(t < 4 for _, t in got), got)  # 5 s without the setting
            status, _, body = a.call("GET", "/health")
            self.assertEqual((status, body["status"]), (503, "unhealthy"))
            self.assertTrue(body["error"])
            # when it has been away for longer than a request may wait, it is said at once
            wait_for(lambda: self.many(a, 1)[0][1] < 0.4, 10)
            status, headers, body = a.call("GET", "/feedback")
            self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        finally:
            self.pg.freeze(False)
        wait_for(lambda: a.call("GET", "/health")[0] == 200, 10)
        self.assertEqual(a.call("POST", "/feedback", {"message": "z"})[0], 201)

    def test_a_restart_of_the_server_is_waited_out(self):
        a = self.app()
        made = a.create("x")
        with concurrent.futures.ThreadPoolExecutor(1) as ex:
            self.pg.stop()
            later = ex.submit(a.call, "GET", "/feedback", timeout=20)
            time.sleep(0.3)
            self.pg.start()
            self.assertEqual(later.result()[0::2], (200, [made]))
        self.assertEqual(a.call("POST", "/feedback", {"message": "y"})[0], 201)
        self.assertIn("the database answers again", [x["message"] for x in a.lines()])

    def test_a_server_without_free_connections_is_shared_with_what_there_is(self):
        a, role = self.app(), f"small{self.number}"
        a.create("x")
        self.assertEqual(a.stop(), 0)
        # as in production: somebody who may not change the schema
        self.sql(f"ALTER DATABASE {self.database} CONNECTION LIMIT 1; CREATE ROLE {role} LOGIN;"
                 f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        b = self.app({"DATABASE_URL": self.pg.url(self.database).replace("feedback@", f"{role}@"),
                      "DATABASE_POOL": "8", "DATABASE_MIGRATE": "off"})
        got = [g for _ in range(3) for g in self.many(b, 24)]
        self.assertEqual({s for s, _ in got}, {200}, got)
        self.assertGreater(self.metric(b, "database_connections_refused_total", server="primary"), 0)

    def test_a_schema_that_changes_under_it_is_no_error(self):
        a = self.app()
        self.many(a, 24)
        # prepared statements were planned for the old type
        self.sql("ALTER TABLE feedback ALTER message TYPE varchar(2000)")
        self.assertEqual({s for s, _ in self.many(a, 24) + self.many(a, 24, "POST", {"message": "x"})}, {200, 201})
        self.sql("ALTER TABLE feedback ALTER message TYPE text")
        self.assertEqual({s for s, _ in self.many(a, 24)}, {200})

    def test_what_a_statement_may_not_do_is_said_and_the_next_one_works(self):
        a = self.app({"DATABASE_TIMEOUT": "1000"})
        a.create("x")
        # a row that somebody else holds
        holder = threading.Thread(target=self.sql, args=(
            "BEGIN; UPDATE feedback SET message = 'held'; SELECT pg_sleep(2.5); COMMIT",))
        holder.start()
        time.sleep(0.5)
        status, _, body = a.call("PUT", "/feedback/1", {"message": "y"})
        self.assertEqual((status, "error" in body), (503, True))
        self.assertEqual(a.call("GET", "/feedback/1")[0], 200)
        holder.join()
        self.assertEqual(a.call("PUT", "/feedback/1", {"message": "y"})[2]["message"], "y")
        # the server said no by itself: no connection was lost over it
        self.assertEqual(self.metric(a, "database_connections_lost_total", server="primary"), 0)

    def test_a_host_may_be_a_name_and_one_of_several(self):
        with open("/etc/hosts") as f:
            if "localhost" not in f.read():
                self.skipTest("localhost is no name here")
        a = self.app({"DATABASE_URL": f"postgres://feedback@no-such-host.invalid:1,localhost:{self.pg.port}/"
                                      f"{self.database}"})
        self.assertEqual(a.call("POST", "/feedback", {"message": "x"})[0], 201)

    def test_the_log_and_the_errors_never_have_the_password(self):
        url = self.pg.url(self.database).replace("feedback@", "feedback:s3cr3t@")
        a = self.app({"DATABASE_URL": url, "LOG_LEVEL": "DEBUG"})
        a.create("x")
        self.assertEqual(a.stop(), 0)
        self.assertIn("feedback:***@", a.log.read_text())
        self.assertNotIn("s3cr3t", a.log.read_text())


class Tls(api_test.Case):
    def test_over_tls_with_a_password_and_a_certificate_that_is_verified(self):
        cert, key = f"{self.dir}/server.crt", f"{self.dir}/server.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        with Postgres() as pg:
            pg.sql("SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN SUPERUSER PASSWORD 'p@ss:w'")
            pg.stop()
            for name in (cert, key):
                to = pg.data / pathlib.Path(name).name
                shutil.copy(name, to)
                to.chmod(0o600)
                if pg.user:
                    os.chown(to, *pg.user)
            (pg.data / "pg_hba.conf").write_text("local all all trust\nhost all feedback all trust\n"
                                                 "hostssl all app all scram-sha-256\n")
            pg.options["ssl"] = "on"
            pg.start()
            url = f"postgres://app:p%40ss%3Aw@localhost:{pg.port}/postgres?sslmode=verify-full&sslrootcert={cert}"
            a = self.app({"DATABASE_URL": url})
            for _ in range(60):
                a.create("x" * 500)
            self.assertEqual(len(a.call("GET", "/feedback?limit=1000")[2]), 60)
            self.assertEqual({r[0] for r in pg.sql(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'")}, {"t"})
            self.assertEqual(a.stop(), 0)
            # a certificate that nobody has signed, or a wrong password, is said
            for wrong, words in ((url.replace(f"&sslrootcert={cert}", "&sslrootcert=/dev/null"), "certificate"),
                                 (url.replace("p%40ss", "other"), "password authentication failed")):
                done = subprocess.run([BUILD / "feedback-app", "migrate", "status"], capture_output=True, text=True,
                                      cwd=self.dir, timeout=30, env={"DATABASE_URL": wrong})
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)
                self.assertNotIn("p%40ss", done.stderr)


if __name__ == "__main__":
    if shutil.which("psql") is None:
        sys.exit("psql is needed: ./test installs it")
    main()
