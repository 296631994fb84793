#!/usr/bin/env python3
"""The tests of the queue's rows and of its worker once more, on a PostgreSQL server."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
from harness import BUILD, main  # noqa: E402
from postgres import Postgres  # noqa: E402


class OnServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = Postgres()

    @classmethod
    def tearDownClass(cls):
        cls.pg.remove()

    def same(self, name):
        done = subprocess.run([BUILD / f"tests/unit/unit_jobs_{name}"], capture_output=True, text=True, timeout=100,
                              env={**os.environ, "JOBS_TEST_DATABASE": self.pg.url(), "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("ok ", done.stdout)

    def test_rows(self):
        self.same("store")

    def test_worker(self):
        self.same("worker")


if __name__ == "__main__":
    main()
