"""Our PromQL beside a real Prometheus: the same samples by the same requests of remote write, random
expressions (promql_random.py), the same answers within 1e-6."""
import math
import os
import pathlib
import re
import unittest

from harness import LONG, main
from prometheus import MISSING, Drive, Prometheus, installed, number, snappy, write_request
from promql_random import COUNT, START, STEP, Writer, series

HAND = pathlib.Path(__file__).with_name("promql_hand.txt")
LONG_NAME = "a_metric_whose_name_takes_half_of_a_line:rate5m"
# What random expressions do not have.
WRITTEN = [
    '{__name__="foo",a="b"}', '{__name__=~"foo"}', "foo{}", "SUM(x) BY (a)", "sum by () (x)", "sum without () (x)",
    "-x", "+x", "- - x", "-1", "+1", "1e21", "999999", "1000000", "123456789.5", "0.0001", "0.00001", "0x10", "1.50", "nan", "-inf", "'a\"b'", "`a\\b`", '"\\n\\t"', "x offset -5m",
    "x @ 5.5 offset 90s", "x offset 1d @ end()", "x[86400s]", "x[8d]", "x[1y]", "x[5m:]", "x[90m:10s] offset 1w @ start()",
    "a + on () b", "a + ignoring () b", "a * on (x, y) group_left () b", "a == bool b", "x # a comment", "((x))",
    f"-({LONG_NAME} + {LONG_NAME} * {LONG_NAME})", f"-{LONG_NAME} ^ {LONG_NAME} ^ {LONG_NAME}",
    f"max_over_time(({LONG_NAME} - {LONG_NAME} % {LONG_NAME})[5m:1m] @ start() offset 1m)",
    f"(({LONG_NAME} unless on (a) {LONG_NAME} or {LONG_NAME}))[1h:5m]",
    f"{LONG_NAME} + {LONG_NAME} * {LONG_NAME} - {LONG_NAME}[5m]", f"time() == bool {LONG_NAME * 2}",
    f"rate({LONG_NAME}[5m])[1h:5m] offset 5m", f"label_join({', '.join([LONG_NAME] + [chr(34) + 'x' * 20 + chr(34)] * 6)})",
    f"{LONG_NAME} * on (a, b) group_right (c) sum by (d) (rate({LONG_NAME}[5m])) > bool 3",
]
SEED = int(os.environ.get("PROMQL_SEED", "1"))
INSTANT, RANGE = (40000, 10000) if LONG else (2000, 500)


def same(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    return abs(a - b) <= max(1e-6 * max(abs(a), abs(b)), 1e-7)


def name(metric):
    """As labels_print has it."""
    metric = dict(metric)
    first = metric.pop("__name__", "")
    rest = ", ".join(f'{k}="{v}"' for k, v in sorted(metric.items()))
    return first + (f"{{{rest}}}" if rest or not first else "")


def theirs(answer):
    """(type, {series: {t_ms: value}}) or (None, the error)"""
    if answer["status"] != "success":
        return None, answer["error"]
    kind, result = answer["data"]["resultType"], answer["data"]["result"]
    if kind == "scalar":
        return kind, {"": {0: number(result[1])}}
    out = {}
    for s in result:
        points = s["values"] if kind == "matrix" else [s["value"]]
        out[name(s["metric"])] = {round(float(t) * 1000) if kind == "matrix" else 0: number(v) for t, v in points}
    return kind, out


def indented(mine, other):
    """A short subquery within something long stands at the left edge in 2.x; ours is indented as the rest."""
    return mine if mine.lstrip(" ") == other and re.search(r"\[\w+:\w*\]", other) else other


KINDS = {"instant vector": "vector", "range vector": "matrix", "scalar": "scalar"}


def value(text):
    return math.nan if "nan" in text else float.fromhex(text)


def ours(lines):
    if lines[0].startswith("error"):
        return None, lines[0]
    kind = KINDS[lines[0]]
    if kind == "scalar":
        return kind, {"": {0: value(lines[1])}}
    out = {}
    for line in lines[1:]:
        labels, *points = line.split("\t")
        out[labels] = {int(t) if kind == "matrix" else 0: value(v) for t, v in (p.split(" ") for p in points)}
    return kind, out


def difference(a, b):
    """None, or what is different between ours and theirs."""
    if a[0] != b[0]:
        return f"type {a[0]} ({str(a[1])[:200]}) against {b[0]} ({str(b[1])[:200]})"
    if a[0] is None:
        return None  # both refuse it, each in its words
    if a[1].keys() != b[1].keys():
        return f"only ours {sorted(a[1].keys() - b[1].keys())[:3]}, only theirs {sorted(b[1].keys() - a[1].keys())[:3]}"
    for k, mine in a[1].items():
        other = b[1][k]
        if mine.keys() != other.keys():
            return f"{k}: times {sorted(mine.keys() ^ other.keys())[:3]}"
        for t, v in mine.items():
            if not same(v, other[t]):
                return f"{k} at {t}: {v!r} against {other[t]!r}"
    return None


@unittest.skipUnless(installed(), MISSING)
class Beside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prometheus = Prometheus()
        cls.addClassCleanup(cls.prometheus.stop)
        cls.drive = Drive()
        cls.addClassCleanup(cls.drive.stop)
        data = series()
        # In order of time: who takes nothing old gets nothing old.
        for part in range(0, COUNT, 120):
            low, high = START + part * STEP, START + (part + 120) * STEP
            body = snappy(write_request([(ls, [s for s in samples if low <= s[0] < high]) for ls, samples in data]))
            for to in (cls.prometheus, cls.drive):
                status, text = to.write(body)
                assert status in (200, 204), (status, text)

    def compare(self, questions):
        found, refused = [], 0
        for expr, ask, line in questions:
            mine, other = ours(self.drive.ask(f"{line} {expr}")), theirs(ask(expr))
            refused += other[0] is None
            what = difference(mine, other)
            if what:
                found.append(f"{line} {expr}\n    {what}")
        for f in found[:20]:
            print("# " + f.replace("\n", "\n# "))
        self.assertEqual(len(found), 0, f"{len(found)} of {len(questions)} answers differ (PROMQL_SEED={SEED})")
        # An expression that both refuse compares little: there must not be many.
        self.assertLess(refused, len(questions) * 0.15)

    def test_both_have_the_same_samples(self):
        for selector in ("c_total", "h_bucket", "odd", "late", "ended"):
            expr, t = f"{selector}[3h]", START + (COUNT + 10) * STEP
            a = ours(self.drive.ask(f"query {t} {expr}"))
            b = theirs(self.prometheus.query(expr, t))
            self.assertEqual(a[0], "matrix")
            self.assertIsNone(difference(a, b), selector)
            self.assertGreater(len(a[1]), 0)

    def test_instant_queries(self):
        questions = []
        for i in range(INSTANT):
            w = Writer(SEED * 1_000_000 + i)
            expr, t = w.expression(), w.time()
            questions.append((expr, lambda e, t=t: self.prometheus.query(e, t), f"query {t}"))
        self.compare(questions)

    def test_range_queries(self):
        questions = []
        for i in range(RANGE):
            w = Writer(SEED * 1_000_000 + 500_000 + i)
            expr, start = w.expression(), w.time()
            step = w.pick(15, 30, 60, 300) * 1000
            end = start + step * w.r.randrange(1, 30)
            questions.append((expr, lambda e, a=start, b=end, s=step: self.prometheus.query_range(e, a, b, s),
                              f"range {start} {end} {step}"))
        self.compare(questions)

    def test_expressions_by_hand(self):
        """promql_hand.txt: what random ones do not have; a line an expression, also as range queries."""
        t = START + STEP // 2 + 200 * STEP
        bounds, questions = (t - 20 * STEP, t + 60 * STEP, 4 * STEP), []
        for expr in HAND.read_text().splitlines():
            questions.append((expr, lambda e: self.prometheus.query(e, t), f"query {t}"))
            questions.append((expr, lambda e: self.prometheus.query_range(e, *bounds), "range %d %d %d" % bounds))
        self.compare(questions)

    def test_a_query_is_written_the_same(self):
        """format_query, also of what is so long that it is broken over lines."""
        broken, expressions = 0, [
            *WRITTEN, *(f"{'x' * n}{{a=\"b\"}} + y" for n in range(86, 92)), *(f"sum({'x' * n})" for n in range(93, 98))]
        for i in range(INSTANT):
            w = Writer(SEED * 1_000_000 + 700_000 + i)
            expressions.append(w.vector(w.pick(1, 4, 5)) + w.pick("", " / ", " and on (a) ", " + bool ") + w.vector(3))
        for expr in expressions:
            mine, other = (api.get("/api/v1/format_query", query=expr) for api in (self.drive, self.prometheus))
            if other["status"] != "success":
                self.assertNotEqual(mine["status"], "success", expr)
                continue
            broken += "\n" in other["data"]
            lines = zip(mine["data"].splitlines(), other["data"].splitlines(), strict=True)
            self.assertEqual(mine["data"], "\n".join(indented(a, b) for a, b in lines), expr)
            again = self.drive.get("/api/v1/format_query", query=mine["data"])
            self.assertEqual(again["data"], mine["data"], expr)
        self.assertGreater(broken, len(expressions) // 10)


if __name__ == "__main__":
    main()
