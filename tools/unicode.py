#!/usr/bin/env python3
"""Writes src/wire/re_unicode.c: general categories and simple case orbits, from Python's unicodedata.

usage: tools/unicode.py > src/wire/re_unicode.c && clang-format -i src/wire/re_unicode.c
The result is kept in the tree, so that two builds with different Pythons match alike.
"""
import sys
import unicodedata

LAST = 0x10FFFF
CATEGORIES = ("Cc Cf Cn Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So "
              "Zl Zp Zs").split()
TURKISH = (0x130, 0x131)  # their folding depends on the language: none, as CaseFolding.txt has it


def category_rows():
    rows, before = [], None
    for c in range(LAST + 1):
        now = unicodedata.category(chr(c))
        if now != before:
            rows.append(c << 5 | CATEGORIES.index(now))
            before = now
    return rows


def orbits():
    parent = {}

    def root(c):
        while parent.get(c, c) != c:
            c = parent[c]
        return c

    for c in range(LAST + 1):
        if c in TURKISH or 0xD800 <= c <= 0xDFFF:
            continue
        for other in (chr(c).lower(), chr(c).upper()):
            if len(other) == 1 and ord(other) != c and ord(other) not in TURKISH:
                a, b = root(c), root(ord(other))
                if a != b:
                    parent[max(a, b)] = min(a, b)
    groups = {}
    for c in sorted(set(parent) | set(parent.values())):
        groups.setdefault(root(c), []).append(c)
    return [g for g in groups.values() if len(g) > 1]


def fold_rows():
    """(low, high, step, delta): c becomes c + delta, the next one of its orbit."""
    to = {}
    for group in orbits():
        for i, c in enumerate(group):
            to[c] = group[(i + 1) % len(group)] - c
    rows = []
    for c in sorted(to):
        for i in range(len(rows) - 1, max(len(rows) - 3, -1), -1):  # upper and lower alternate
            low, high, step, delta = rows[i]
            gap = c - high
            if delta == to[c] and gap in (1, 2) and step in (0, gap):
                rows[i] = (low, c, gap, delta)
                break
        else:
            rows.append((c, c, 0, to[c]))
    return [(low, high, step or 1, delta) for low, high, step, delta in rows]


def main():
    out = sys.stdout
    out.write("/* Written by tools/unicode.py from Unicode %s; do not edit. */\n"
              % unicodedata.unidata_version)
    out.write('#include "wire/re_priv.h"\n\n')
    out.write("const char re_category_names[][3] = {%s};\n\n"
              % ", ".join('"%s"' % c for c in CATEGORIES))
    rows = category_rows()
    out.write("/* first code point << 5 | category, ascending */\n")
    out.write("const uint32_t re_categories[] = {%s};\n\n" % ", ".join("0x%x" % r for r in rows))
    out.write("const size_t re_category_count = HG_COUNT(re_category_names);\n")
    out.write("const size_t re_categories_n = HG_COUNT(re_categories);\n\n")
    folds = fold_rows()
    out.write("const struct re_fold re_folds[] = {%s};\n\n"
              % ", ".join("{0x%x, 0x%x, %d, %d}" % f for f in folds))
    out.write("const size_t re_folds_n = HG_COUNT(re_folds);\n")
    print("%d category rows, %d fold rows" % (len(rows), len(folds)), file=sys.stderr)


main()
