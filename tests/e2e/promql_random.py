"""Random PromQL over a fixed set of series, for the comparison with a real Prometheus.

Everything is made of a seed. Debian's Prometheus is 2.x; what is different there is left out by rule, not
by hand, here:
 1. ranges and the lookback were closed on the left: samples stand at 5 s past a quarter of a minute and
    questions are asked half an interval away; ranges and offsets are multiples of 15 s, steps of
    subqueries too, so that no edge of any window meets a sample, and no subquery stands in another,
    where the edge of the inner one would meet its steps;
 2. what 3.x has anew (experimental functions, fill, anchored, smoothed, arithmetic in durations, quoted
    names, histogram_fraction of classic buckets, native histograms) is not written;
 3. rate() of a counter that begins near zero behind a gap is bounded in another order: counters that
    have gaps do not fall back to zero, a series that begins late begins high, and no gauge is a counter;
 4. sums were not compensated: what jumps with the last bit of its argument (floor, ==, %, changes, ties
    of topk, values of count_values) is asked of samples as they are, not of something computed;
 5. averages and deviations of infinities and of NaN went another way: the odd series stand in operators
    and simple functions only;
 6. predict_linear of a range with @ moved the range along with the steps of a range query: it has none;
 7. atan2 kept the metric's name: it is asked where names go.
"""
import math
import random

from prometheus import STALE

START = 1_700_000_000_000  # 5 s past a quarter of a minute
STEP = 15_000
COUNT = 480  # two hours


def series():
    """[(labels, [(t_ms, value)])]"""
    r = random.Random(7)
    out = []

    def add(name, values, every=1, **labels):
        out.append(({"__name__": name, **labels}, [(START + i * STEP, v) for i, v in enumerate(values)
                                                   if v is not None and i % every == 0]))

    def gap(values, marked):
        for _ in range(3):
            at, n = r.randrange(20, COUNT - 60), r.randrange(4, 40)
            values[at:at + n] = [None] * n
            if marked:
                values[at] = STALE
        return values

    def counter(rate, resets):
        value, values = r.randrange(1_000_000, 2_000_000), []
        for _ in range(COUNT):
            value = 0 if resets and r.random() < 0.01 else value + r.randrange(int(2 * rate) + 1)
            values.append(float(value))
        return values

    for job in ("api", "db"):
        for instance in ("a:1", "b:2", "c:3"):
            for code in ("200", "404", "500"):
                values = counter({"200": 300, "404": 9, "500": 2}[code], resets=instance == "a:1")
                if instance == "b:2":
                    values = gap(values, marked=code == "200")
                add("c_total", values, job=job, instance=instance, code=code)
            walk, v = [], r.uniform(-50, 50)
            for _ in range(COUNT):
                v += r.gauss(0, 3)
                walk.append(v)
            add("g", gap(walk, True) if instance == "c:3" else walk, job=job, instance=instance)
            add("n", [float(r.randrange(-4, 5)) for _ in range(COUNT)], job=job, instance=instance)
            add("slow", [r.uniform(0, 10) for _ in range(COUNT)], every=4, job=job, instance=instance)
            add("target_info", [1.0] * COUNT, job=job, instance=instance, version=f"1.{len(out) % 3}")
            counts, total, seconds = [0] * 5, 0, 0.0
            buckets = [[] for _ in counts]
            sums, totals = [], []
            for i in range(COUNT):
                if instance == "a:1" and i in (100, 333):
                    counts, total, seconds = [0] * 5, 0, 0.0
                for _ in range(r.randrange(40)):
                    x = r.expovariate(2)
                    counts = [n + (x <= le) for n, le in zip(counts, (0.1, 0.25, 0.5, 1, 2.5))]
                    total, seconds = total + 1, seconds + x
                for b, n in zip(buckets, counts):
                    b.append(float(n) + 5000)
                totals.append(float(total) + 5000)
                sums.append(seconds + 5000)
            for b, le in zip(buckets + [totals], ("0.1", "0.25", "0.5", "1", "2.5", "+Inf")):
                add("h_bucket", b, job=job, instance=instance, le=le)
            add("h_sum", sums, job=job, instance=instance)
            add("h_count", totals, job=job, instance=instance)
    add("odd", [(math.nan, math.inf, -math.inf, -0.0, 1e300, 1e-300, 3.0)[i % 7] for i in range(COUNT)], kind="all")
    add("odd", [1.0 if i % 5 else math.nan for i in range(COUNT)], kind="some")
    add("late", [None] * 200 + counter(50, False)[200:], job="api")
    add("ended", counter(50, False)[:150] + [STALE] + [None] * (COUNT - 151), job="api")
    return out


RANGES = ["30s", "45s", "1m", "2m", "5m", "10m", "15m", "1h"]
LABELS = ["job", "instance", "code", "le", "version", "kind", "missing"]
COUNTERS = ["c_total", "h_bucket", "h_sum", "h_count", "late", "ended"]
GAUGES = ["g", "n", "slow", "g", "target_info"]
OVER_TIME = ["avg", "min", "max", "sum", "count", "stddev", "stdvar", "last", "present"]


class Writer:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.inside = False  # a subquery

    def pick(self, *of):
        return self.r.choice(of)

    def number(self):
        return self.pick("0.3", "1.7", "2", "10", "-4.5", "100", "0x1F", "1e3", "0.07", "-0.5")

    def matchers(self, name):
        of = []
        if self.r.random() < 0.4:
            of.append(self.pick('job="api"', 'job=~"api|db"', 'job!="db"', 'job!~"d.*"', 'job=~".+"', 'job=""'))
        if self.r.random() < 0.3:
            of.append(self.pick('instance=~"[ab]:.*"', 'instance="a:1"', 'instance!~"(a|c):[0-9]"', 'instance=~"b.?2|"'))
        if name == "c_total" and self.r.random() < 0.4:
            of.append(self.pick('code="500"', 'code=~"4..|5.."', 'code!="200"'))
        if name == "h_bucket" and self.r.random() < 0.2:
            of.append(self.pick('le="1"', 'le=~"0.*"', 'le!="+Inf"'))
        return "{" + ", ".join(of) + "}" if of or self.r.random() < 0.1 else ""

    def modifiers(self):
        x = self.r.random()
        if x < 0.12:
            return " offset " + self.pick("15s", "1m", "5m", "-30s", "-2m", "1h")
        if x < 0.18:
            return f" @ {(START + STEP // 2 + self.r.randrange(-20, COUNT) * STEP) / 1000:.3f}"
        if x < 0.21:
            return self.pick(" @ start()", " @ end()", " @ start() offset 1m")
        return ""

    def selector(self, *names):
        name = self.pick(*(names or COUNTERS + GAUGES))
        return name + self.matchers(name) + self.modifiers()

    def window(self, *names, modifiers=True):
        name = self.pick(*names)
        return f"{name}{self.matchers(name)}[{self.pick(*RANGES)}]{self.modifiers() if modifiers else ''}"

    def subquery(self, depth):
        self.inside = True
        inner = self.vector(depth - 1)
        self.inside = False
        if self.r.random() < 0.5:
            inner = self.selector(*GAUGES)
        elif self.r.random() < 0.5:
            inner = self.rate()
        step = self.pick("15s", "30s", "1m", "2m", "")
        return f"({inner})[{self.pick('1m', '2m', '5m', '15m')}:{step}]{self.modifiers()}"

    def rate(self):
        f = self.pick("rate", "rate", "rate", "increase", "irate")
        return f"{f}({self.window(*COUNTERS)})"

    def leaf(self):
        x = self.r.random()
        if x < 0.30:
            return self.selector()
        if x < 0.55:
            return self.rate()
        if x < 0.70:
            return f"{self.pick(*OVER_TIME)}_over_time({self.window(*GAUGES)})"
        if x < 0.78:
            return f"{self.pick('delta', 'idelta', 'deriv')}({self.window('g', 'slow')})"
        if x < 0.82:
            return f"{self.pick('changes', 'resets')}({self.window('n', 'c_total', 'g')})"
        if x < 0.86:
            return f"predict_linear({self.window('g', 'c_total', modifiers=False)}, {self.number()})"
        if x < 0.90:
            return f"quantile_over_time({self.pick('0.5', '0.95', '0', '1', '0.3')}, {self.window('g', 'slow')})"
        if x < 0.93:
            return self.pick(f"absent({self.selector('nothing', 'g', 'late', 'ended')})",
                             f"absent_over_time({self.window('nothing', 'late', 'ended')})")
        if x < 0.97:
            by = self.pick("", "sum by (le) ", "sum by (le, job) ")
            inner = f"rate(h_bucket{self.pick('', '{job=' + chr(34) + 'api' + chr(34) + '}')}[{self.pick(*RANGES[2:])}])"
            return f"histogram_quantile({self.pick('0.5', '0.9', '0.99', '0.1', '1', '0')}, {by}({inner}))"
        return self.pick("vector(time())", "vector(3)", "time()", "scalar(sum(g))", "pi()", self.number())

    def grouping(self):
        if self.r.random() < 0.35:
            return ""
        names = self.r.sample(LABELS, self.r.randrange(0, 3))
        return f"{self.pick('by', 'without')} ({', '.join(names)}) "

    def aggregation(self, depth):
        x = self.r.random()
        if x < 0.63:
            return f"{self.pick('sum', 'avg', 'min', 'max', 'count', 'group')} {self.grouping()}({self.vector(depth - 1)})"
        if x < 0.75:
            return f"{self.pick('stddev', 'stdvar')} {self.grouping()}({self.pick(self.selector(), self.rate())})"
        if x < 0.82:
            return f"quantile {self.grouping()}({self.pick('0.5', '0.9', '0', '1')}, {self.vector(depth - 1)})"
        if x < 0.92:
            return f"{self.pick('topk', 'bottomk')} {self.grouping()}({self.pick('1', '2', '5')}, {self.selector('g', 'slow')})"
        return f"count_values {self.grouping()}({chr(34)}v{chr(34)}, {self.selector('n', 'target_info')})"

    def function(self, depth):
        v = self.vector(depth - 1)
        x = self.r.random()
        if x < 0.35:
            return f"{self.pick('abs', 'sqrt', 'ln', 'log2', 'log10', 'exp')}({v})"
        if x < 0.5:
            f = self.pick("ceil", "floor", "sgn", "round", "sin", "cos", "atan", "deg", "rad", "timestamp", "tanh")
            return f"{f}({self.selector('g', 'n', 'slow', 'odd')})"
        if x < 0.55:
            return f"round({self.selector('g')}, {self.pick('0.3', '10', '0.01')})"
        if x < 0.7:
            low, high = sorted(self.r.sample(range(-20, 200), 2))
            return self.pick(f"clamp({v}, {low}, {high})", f"clamp_min({v}, {low})", f"clamp_max({v}, {high})")
        if x < 0.8:
            return self.pick(f'label_replace({v}, "x", "$1-$2", "instance", "(.):(.)")',
                             f'label_join({v}, "x", "/", "job", "instance")',
                             f'label_replace({v}, "job", "", "", "")')
        if x < 0.88:
            f = self.pick("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "month", "year", "days_in_month")
            return self.pick(f"{f}()", f"{f}({self.selector('c_total')} * 1000)")
        if x < 0.94:
            return f"{self.pick('sort', 'sort_desc')}({v})"
        return f"vector(scalar({v}))"

    def operator(self, depth):
        x = self.r.random()
        if x < 0.2:
            op = self.pick("+", "-", "*", "/")
            return self.pick(f"{self.vector(depth - 1)} {op} {self.number()}", f"{self.number()} {op} {self.vector(depth - 1)}")
        if x < 0.28:
            return f"{self.vector(depth - 1)} {self.pick('>', '<', '>=', '<=')} {self.pick('', 'bool ')}{self.pick('0.37', '3.3', '77.7')}"
        if x < 0.34:
            raw = self.selector("n", "target_info", "odd")
            return f"{raw} {self.pick('==', '!=')} {self.pick('', 'bool ')}{self.pick('1', '0', '-3')}"
        if x < 0.38:
            return f"{self.selector('c_total')} % {self.pick('7', '10', '1000')}"
        if x < 0.41:
            return f"{self.selector('g', 'slow')} ^ {self.pick('2', '0.5')}"
        if x < 0.55:
            job = '{job="api"}'
            return self.pick(
                f"{self.vector(depth - 1)} {self.pick('and', 'or', 'unless')} {self.vector(depth - 1)}",
                f"{self.selector('g', 'n')} {self.pick('and', 'unless')} on (job, instance) {self.rate()}",
                f"{self.vector(depth - 1)} or vector({self.number()})",
                f"g{job} or ignoring (instance) slow")
        if x < 0.75:
            op, w = self.pick("+", "-", "*", "/", ">", "<"), self.pick(*RANGES[2:])
            return self.pick(
                f"sum by (job) (rate(c_total{self.matchers('c_total')}[{w}])) {op} sum by (job) (rate(c_total[{w}]))",
                f"{self.selector('g')} {op} {self.selector('slow')}",
                f"rate(h_sum[{w}]) {op} rate(h_count[{w}])",
                f"avg without (code) (rate(c_total[{w}])) {op} on (job, instance) {self.selector('g')}")
        if x < 0.9:
            return self.pick(
                f"{self.rate()} * on (job, instance) group_left (version) target_info",
                f"c_total{self.matchers('c_total')} / ignoring (code) group_left sum without (code) (c_total)",
                f"target_info * on (job, instance) group_right (version) {self.selector('g')}",
                f"{self.selector('c_total')} - on (instance) group_left {self.selector('g')}")
        if x < 0.95:
            return f"-{self.vector(depth - 1)}"
        odd, n = self.selector("odd", "g"), self.pick("2", "0", "-1", "Inf", "NaN")
        return self.pick(f"{odd} {self.pick('+', '-', '*', '/')} {n}", f"abs({odd} atan2 {n})")

    def over_subquery(self, depth):
        x = self.r.random()
        if x < 0.7:
            return f"{self.pick('avg', 'min', 'max', 'sum', 'count', 'last')}_over_time({self.subquery(depth)})"
        if x < 0.85:
            return f"quantile_over_time(0.5, {self.subquery(depth)})"
        f, of = self.pick(("rate", "c_total"), ("increase", "c_total"), ("deriv", "g"), ("delta", "g"))
        return f"{f}(({self.selector(of)})[{self.pick('5m', '10m')}:{self.pick('15s', '1m')}])"

    def vector(self, depth):
        if depth <= 0:
            return self.leaf()
        x = self.r.random()
        if x < 0.2 or (x >= 0.92 and self.inside):
            return self.leaf()
        if x < 0.45:
            return self.aggregation(depth)
        if x < 0.65:
            return self.function(depth)
        if x < 0.92:
            return f"({self.operator(depth)})"
        return self.over_subquery(depth)

    def expression(self):
        return self.vector(self.pick(0, 1, 2, 2, 3))

    def time(self):
        return START + STEP // 2 + self.r.randrange(0, COUNT + 25) * STEP
