#!/usr/bin/env python3
"""Random patterns and texts: src/wire/re.c must agree with Python's re on what both understand.

usage: re_python.py DRIVER [COUNT] [SEED]
Left out because the two differ by design: "$" before a last line feed, repetition of what may be
empty (Python keeps other captures), \\w and \\d beyond ASCII, which Python is told with re.ASCII, and
\\B in an empty text, where it holds in Go.
"""
import random
import re
import subprocess
import sys

ATOMS = ["a", "b", "c", "ä", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\W", r"\s", r"\b", r"\B",
         "1", "_", " ", "\n", r"\.", "[^ä]", "[x-ö]", "\U0001F600", r"[\d_]", "K"]
NULLABLE = {r"\b", r"\B"}
LETTERS = "abcABC1_ .äÄ\nxyzö\U0001F600kK"
ANCHORED, DOTALL, FOLD = 1, 2, 4


def pattern(rnd, depth):
    """A pattern, and whether it may match nothing."""
    parts, empty = [], True
    for _ in range(rnd.randint(1, 4)):
        roll = rnd.random()
        if depth and roll < 0.35:
            inner, nothing = alternation(rnd, depth - 1)
            part = rnd.choice(["(%s)", "(?:%s)"]) % inner
        else:
            part = rnd.choice(ATOMS)
            nothing = part in NULLABLE
        if rnd.random() < 0.4 and not nothing:
            times = rnd.choice(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"])
            part += times + rnd.choice(["", "", "?"])
            nothing = times[0] in "*?" or times == "{0,2}"
        parts.append(part)
        empty = empty and nothing
    return "".join(parts), empty


def alternation(rnd, depth):
    arms = [pattern(rnd, depth) for _ in range(rnd.choice([1, 1, 1, 2, 3]))]
    return "|".join(a for a, _ in arms), any(e for _, e in arms)


def expected(source, flags, text):
    how = re.ASCII
    if flags & DOTALL:
        how |= re.DOTALL
    if flags & FOLD:
        how = (how & ~re.ASCII) | re.IGNORECASE
    compiled = re.compile(source, how)
    found = compiled.fullmatch(text) if flags & ANCHORED else compiled.search(text)
    if not found:
        return "0 0"
    size = lambda at: len(text[:at].encode())
    words = ["1 1"]
    for i in range(compiled.groups + 1):
        from_, to = found.span(i)
        words.append("-" if from_ < 0 else "%d,%d" % (size(from_), size(to)))
    return " ".join(words)


def cases(rnd, count):
    while count:
        source, _ = alternation(rnd, 3)
        flags = rnd.randrange(8)
        if flags & FOLD and re.search(r"\\[wWdsbB]", source):
            continue  # Python would take Unicode's, and cannot fold beyond ASCII with re.ASCII
        for _ in range(4):
            least = 1 if r"\B" in source else 0
            text = "".join(rnd.choice(LETTERS) for _ in range(rnd.randint(least, 12)))
            yield flags, source, text
            count -= 1
            if not count:
                return


def main():
    driver = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    all_cases = list(cases(random.Random(seed), count))
    lines = "".join("%d x%s x%s\n" % (f, p.encode().hex(), t.encode().hex())
                    for f, p, t in all_cases)
    got = subprocess.run([driver], input=lines, capture_output=True, text=True, check=True)
    answers = got.stdout.splitlines()
    assert len(answers) == len(all_cases), (len(answers), len(all_cases), got.stderr)
    wrong = matched = 0
    for (flags, source, text), answer in zip(all_cases, answers):
        want = expected(source, flags, text)
        matched += want != "0 0"
        if want != answer:
            wrong += 1
            if wrong <= 10:
                print("flags %d pattern %r text %r: want %s, have %s"
                      % (flags, source, text, want, answer))
    print("%d cases, %d of them match, %d differ" % (len(all_cases), matched, wrong))
    return 1 if wrong or matched < count // 10 else 0


sys.exit(main())
