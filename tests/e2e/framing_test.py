#!/usr/bin/env python3
"""Every case of tests/framing/cases.py against the real edge and a recording replica: whole, byte by
byte, in two halves, and cut after every CR."""
import sys
import unittest

from harness import ROOT, Platform, free_port, main

sys.path.insert(0, str(ROOT / "tests/framing"))

import cases  # noqa: E402: found only now
from dialogue import MODES, Report, run_reply, run_request  # noqa: E402

CONFIG = """version: 1
project: framing
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
apps:
  replica:
    command: python3 -B ROOT/tests/framing/recorder.py --port $PORT --report REPORT
    dir: {dir}
    replicas: {replicas}
    probes: {{readiness: {{tcp: true}}}}
    protect: {{timeout: 5s, retries: 0}}
    routes: [{{host: "*", path: /}}]
"""


class Framing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.platform = Platform(CONFIG.replace("ROOT", str(ROOT)).replace("REPORT", str(port)), replicas=1)
        cls.platform.__enter__().up()
        cls.platform.wait_ready(1, "replica")
        cls.report = Report(port)

    @classmethod
    def tearDownClass(cls):
        cls.report.close()
        cls.platform.__exit__(None, None, None)

    def all_of(self, rows, run):
        wrong = []
        for number, row in enumerate(rows):
            for mode in MODES:
                self.report.events()  # what is left of the one before
                said = run(row, mode, number)
                if said:
                    wrong.append(f"{row.id} ({mode}; {row.why}): {said}")
        if wrong:
            self.fail("\n".join(wrong[:40]))

    def requests(self, *kinds):
        rows = [c for c in cases.REQUESTS if c.kind in kinds]
        self.assertTrue(rows)
        self.all_of(rows, lambda c, mode, _: run_request(self.platform.port, self.report, c, mode))

    def test_the_suite_is_as_large_as_its_documentation_says(self):
        kinds = {c.kind for c in cases.REQUESTS}
        covered = {"CL+TE", "TE disguised", "Content-Length", "chunked", "trailers", "CR, LF, NUL", "field lines",
                   "request line", "Host", "hop by hop", "Upgrade", "Expect", "pipelining"}
        self.assertEqual(kinds, covered)
        self.assertGreaterEqual(len(cases.REQUESTS), 300)
        self.assertGreaterEqual(len(cases.REPLIES), 60)

    def test_length_and_coding_together_are_refused(self):
        self.requests("CL+TE")

    def test_a_disguised_transfer_encoding_is_seen_or_refused(self):
        self.requests("TE disguised")

    def test_a_content_length_is_one_number_or_refused(self):
        self.requests("Content-Length")

    def test_chunks_end_where_their_sizes_say_or_the_replica_sees_no_request(self):
        self.requests("chunked")

    def test_trailers_cannot_carry_what_belongs_into_the_head(self):
        self.requests("trailers")

    def test_line_ends_are_CR_LF_and_control_bytes_are_refused(self):
        self.requests("CR, LF, NUL")

    def test_field_lines_are_well_formed_or_refused(self):
        self.requests("field lines")

    def test_request_lines_are_well_formed_or_refused(self):
        self.requests("request line")

    def test_there_is_one_valid_host(self):
        self.requests("Host")

    def test_hop_by_hop_fields_end_here_and_remove_nothing_of_ours(self):
        self.requests("hop by hop")

    def test_only_what_may_become_a_tunnel_is_upgraded(self):
        self.requests("Upgrade")

    def test_expectations_are_understood_or_refused(self):
        self.requests("Expect")

    def test_after_an_error_or_a_close_nothing_is_read_as_a_request(self):
        self.requests("pipelining")

    def test_what_a_hostile_replica_says_reaches_nobody_else(self):
        self.all_of(cases.REPLIES, lambda r, mode, n: run_reply(self.platform.port, self.report, r, mode, n))


if __name__ == "__main__":
    main()
