#!/usr/bin/env python3
"""Turns the rows under schema/ into C. One source of truth: nothing is described twice.

usage: gen.py KIND SCHEMA OUTPUT
Each generator is a function `gen_KIND(rows) -> text`; OUTPUT is written only when it changes.
"""
import pathlib
import sys
import tomllib


def c_str(text):
    out = []
    for ch in text:
        if ch in '"\\':
            out.append("\\" + ch)
        elif ch == "\n":
            out.append("\\n")
        elif ord(ch) < 0x20:
            out.append(f"\\{ord(ch):03o}")
        else:
            out.append(ch)
    return '"' + "".join(out) + '"'


HEAD = "/* Generated from {} by tools/gen.py; do not edit. */\n"


def errors_checked(doc):
    rows = sorted(doc["error"], key=lambda r: r["number"])
    for key in ("number", "name"):
        seen = [r[key] for r in rows]
        twice = {v for v in seen if seen.count(v) > 1}
        if twice:
            sys.exit(f"schema/errors.toml: {key} used twice: {sorted(twice)}")
    return rows


def gen_errors(doc):
    rows = errors_checked(doc)
    body = "".join(f"\tHG_E_{r['name']} = -{r['number']}, /* {r['summary']} */\n" for r in rows)
    return (HEAD.format("schema/errors.toml") + "#ifndef HG_GEN_ERRORS_H\n#define HG_GEN_ERRORS_H\n"
            "enum hg_rc {\n\tHG_OK = 0,\n" + body + "};\n#endif\n")


def gen_errors_table(doc):
    rows = errors_checked(doc)
    body = "".join(
        f"\t{{HG_E_{r['name']}, \"HG{r['number']}\", \"HG_E_{r['name']}\", {c_str(r['summary'])},\n"
        f"\t\t{c_str(r['page'])}, {r['exit']}, {r['http']}}},\n" for r in rows)
    return (HEAD.format("schema/errors.toml") +
            "static const struct hg_rc_info hg_rc_rows[] = {\n" + body + "};\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    kind, schema, output = sys.argv[1:]
    doc = tomllib.loads(pathlib.Path(schema).read_text())
    make = globals().get("gen_" + kind)
    if make is None:
        import gen_face  # the rows of command line and API

        make = getattr(gen_face, "gen_" + kind)
    pathlib.Path(output).write_text(make(doc))


if __name__ == "__main__":
    main()
