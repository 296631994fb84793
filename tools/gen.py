#!/usr/bin/env python3
"""Turns the rows under schema/ into C. One source of truth: nothing is described twice.

usage: gen.py KIND SCHEMA OUTPUT
Each generator is a function `gen_KIND(rows) -> text`; OUTPUT is written only when it changes.
"""
import json
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


# ---- the configuration: schema/config.toml ----

UNITS = {
    "duration": {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000},
    "size": {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "": 1},
    "ratio": {"%": 10000, "": 1000000},
    "factor": {"x": 1000000},
    "cpu": {"m": 1, "": 1000},
    "int": {"": 1},
}
# kind: suffix of the field, its C type
FIELDS = {
    "string": ("", "struct hg_str"), "command": ("", "struct hg_str"), "bool": ("", "bool"),
    "int": ("", "uint32_t"), "duration": ("_ms", "uint64_t"), "size": ("_bytes", "uint64_t"),
    "ratio": ("_ppm", "uint32_t"), "factor": ("_ppm", "uint32_t"), "cpu": ("_milli", "uint32_t"),
    "address": ("", "struct spec_address"), "share": ("", "struct spec_share"),
    "strings": ("", "struct hg_str *"), "pairs": ("", "struct spec_pair *"),
}
LIMITS = {
    "int": "0..4294967295", "duration": "0s..3650d", "size": "0..64Ti", "ratio": "0%..100%",
    "factor": "0x..1000x", "cpu": "0..1024",
}
WORDS = {
    "string": "text", "command": "command", "bool": "true or false", "int": "whole number",
    "duration": "duration", "size": "size", "ratio": "ratio", "factor": "factor", "cpu": "CPU",
    "address": "port or address:port", "share": "count or ratio", "strings": "list of texts",
    "pairs": "mapping of names to texts", "enum": "word", "overlays": "mapping of overlays",
}
C_KEYWORDS = {"for", "continue", "default", "if", "do", "switch", "auto", "register",
              "set"}  # every struct has a member of that name
TABLE = "schema/config.toml"


def number(kind, text):
    """The value of `5s`, `256Mi`, `5%` … in the unit the program counts in."""
    for unit, factor in UNITS[kind].items():
        digits = text[:len(text) - len(unit)] if text.endswith(unit) else ""
        if digits.replace(".", "", 1).isdigit():
            return round(float(digits) * factor)
    sys.exit(f"{TABLE}: {text!r} is no {kind}")


def singular(name):
    return name[:-1] if name.endswith("s") else name


def unquote(text):
    return text[1:-1] if text[:1] == '"' else text


def groups_of(doc):
    """The groups as {name: (attributes, {key: row})}, every row complete, and checked."""
    groups = {}
    for group, entries in doc.items():
        attrs = {k: v for k, v in entries.items() if not isinstance(v, dict)}
        keys = {k: dict(v) for k, v in entries.items() if isinstance(v, dict)}
        for name, row in keys.items():
            where = f"{TABLE}: [{group}.{name}]"
            row["kind"], _, row["of"] = row["type"].partition(" ")
            row["available"] = row.get("available", attrs.get("available", False))
            row["apply"] = row.get("apply", attrs.get("apply"))
            if row["apply"] not in ("live", "release", "restart"):
                sys.exit(f"{where}: apply {row['apply']!r}")
            if "doc" not in row or ("default" not in row) != bool(row.get("required")):
                sys.exit(f"{where}: needs doc, and either required or a default")
            if row["of"] and row["of"] not in doc:
                sys.exit(f"{where}: no group {row['of']!r}")
            if row["kind"] in LIMITS:
                row["limits"] = [number(row["kind"], t)
                                 for t in row.get("range", LIMITS[row["kind"]]).split("..")]
                default = row.get("default", "none")
                if default not in ("none", *row.get("words", {})):
                    if not row["limits"][0] <= number(row["kind"], default) <= row["limits"][1]:
                        sys.exit(f"{where}: default out of range")
            row["doc"] = row["doc"].replace("\n", " ")
        groups[group] = (attrs, keys)
    return groups


def children_first(groups):
    done = []

    def visit(name):
        for row in groups[name][1].values():
            if row["of"] and row["of"] not in done:
                visit(row["of"])
        if name not in done:
            done.append(name)

    visit("environment")
    visit("root")
    for name in groups:
        if name not in done:
            sys.exit(f"{TABLE}: group {name!r} is not used")
    return done


def c_group(name):
    return "spec" if name == "root" else "spec_" + name


def c_field(group, name, row):
    """(name, type, name of the count or "") of the struct member for a key."""
    field = name + "_" if name in C_KEYWORDS and row["kind"] not in ("duration", "size") else name
    count = row.get("one", singular(name)) + "_count"
    if row["kind"] == "enum":
        return field, f"enum {c_group(group)}_{name}", ""
    if row["kind"] == "group":
        return field, f"struct {c_group(row['of'])}", ""
    if row["kind"] in ("map", "list"):
        return field, f"struct {c_group(row['of'])} *", count
    if row["kind"] == "overlays":
        return field, "struct spec_environment *", count
    suffix, ctype = FIELDS[row["kind"]]
    return field + suffix, ctype, count if ctype.endswith("*") else ""


def named_groups(groups):
    return {row["of"] for _, keys in groups.values() for row in keys.values()
            if row["kind"] == "map"} | {"environment"}


def c_enum(group, name, row):
    prefix = f"{c_group(group)}_{name}".upper()
    values = ", ".join(f"{prefix}_{c.upper().replace('-', '_').replace('.', '_')}"
                       for c in row["choices"])
    return f"enum {c_group(group)}_{name} {{ {values} }};\n"


def gen_config_types(doc):
    groups = groups_of(doc)
    out = [HEAD.format(TABLE), "#ifndef HG_GEN_SPEC_TYPES_H\n#define HG_GEN_SPEC_TYPES_H\n"]
    for group in children_first(groups):
        attrs, keys = groups[group]
        out += [c_enum(group, n, r) for n, r in keys.items() if r["kind"] == "enum"]
        out.append(f"/* {attrs['doc']} */\nstruct {c_group(group)} {{\n"
                   "\tbool set; /* written in the file, or by a shorthand */\n")
        if group == "root":
            out.append("\tconst struct spec_origin *origin; /* for show and diff */\n")
        if group in named_groups(groups):
            out.append("\tstruct hg_str name;\n")
        for name, row in keys.items():
            field, ctype, count = c_field(group, name, row)
            out.append(f"\t{ctype}{'' if ctype.endswith('*') else ' '}{field};\n")
            if count:
                out.append(f"\tuint32_t {count};\n")
        out.append("};\n")
    return "".join(out) + "#endif\n"


def c_row(group, name, row):
    struct = f"struct {c_group(group)}"
    field, _, count = c_field(group, name, row)
    of = "environment" if row["kind"] == "overlays" else row["of"]
    parts = [f".name = {c_str(name)}", f".kind = SPEC_K_{row['kind'].upper()}",
             f".at = offsetof({struct}, {field})", f".apply = SPEC_APPLY_{row['apply'].upper()}",
             f".doc = {c_str(row['doc'])}"]
    if count:
        parts.append(f".count_at = offsetof({struct}, {count})")
    if of:
        parts.append(f".of = &group_{of}")
    if "check" in row:
        parts.append(f".check = SPEC_C_{row['check'].upper()}")
    if "choices" in row:
        words = ", ".join(c_str(c) for c in row["choices"])
        parts.append(f".choices = (const char *const[]){{{words}, NULL}}")
    if "later" in row:
        words = ", ".join(c_str(c) for c in row["later"])
        parts.append(f".later = (const char *const[]){{{words}, NULL}}")
    if "limits" in row:
        parts.append(f".min = {row['limits'][0]}u, .max = {row['limits'][1]}u")
        low, high = row.get("range", LIMITS[row["kind"]]).split("..")
        parts.append(f".low = {c_str(low)}, .high = {c_str(high)}")
    for word, value in row.get("words", {}).items():
        parts.append(f".word = {c_str(word)}, .word_value = {value}")
    if row.get("default", "none") != "none":
        parts.append(f".fallback = {c_str(unquote(row['default']))}")
    if "example" in row:
        parts.append(f".example = {c_str(row['example'])}")
    for flag in ("required", "available", "single", "expands"):
        if row.get(flag):
            parts.append(f".{flag} = true")
    return "\t{" + ",\n\t\t".join(parts) + "},\n"


def gen_config_table(doc):
    groups = groups_of(doc)
    out = [HEAD.format(TABLE)]
    for group in children_first(groups):
        attrs, keys = groups[group]
        out.append(f"static const struct spec_key keys_{group}[] = {{\n")
        out += [c_row(group, n, r) for n, r in keys.items()]
        out.append("};\n")
        if "alias" in attrs:
            out.append(f"static const struct spec_alias aliases_{group}[] = {{\n")
            out += [f"\t{{{c_str(n)}, {c_str(say)}}},\n" for names, say in attrs["alias"]
                    for n in names]
            out.append("};\n")
        struct = f"struct {c_group(group)}"
        out.append(f"static const struct spec_group group_{group} = {{\n"
                   f"\t.name = {c_str(group)}, .doc = {c_str(attrs['doc'])},\n"
                   f"\t.size = sizeof({struct}), .keys = keys_{group}, "
                   f".key_count = HG_COUNT(keys_{group}),\n")
        if "alias" in attrs:
            out.append(f"\t.aliases = aliases_{group}, "
                       f".alias_count = HG_COUNT(aliases_{group}),\n")
        if "short" in attrs:
            out.append(f"\t.shorthand = {c_str(attrs['short'])},\n")
        if group in named_groups(groups):
            out.append(f"\t.named = true, .name_at = offsetof({struct}, name),\n")
        out.append("};\n")
    return "".join(out)


# ---- JSON Schema ----

PATTERNS = {
    "duration": r"^([0-9]+(ms|s|m|h|d))+$|^0$", "size": r"^[0-9]+(Ki|Mi|Gi|Ti)?$",
    "ratio": r"^[0-9]+(\.[0-9]+)?%$|^0(\.[0-9]+)?$", "factor": r"^[0-9]+(\.[0-9]+)?x$",
    "cpu": r"^[0-9]+m$|^[0-9]+(\.[0-9]+)?$",
}


def js_scalar(row):
    kind = row["kind"]
    if kind == "bool":
        return {"type": "boolean"}
    if kind == "int":
        low, high = row["limits"]
        number_type = {"type": "integer", "minimum": low, "maximum": high}
        words = list(row.get("words", {}))
        return {"anyOf": [number_type, {"enum": words}]} if words else number_type
    if kind == "enum":
        return {"enum": row["choices"]}
    if kind in PATTERNS:
        return {"type": ["string", "number"], "pattern": PATTERNS[kind]}
    if kind in ("address", "share"):
        return {"type": ["string", "integer"]}
    if kind == "command":
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return {"type": ["string", "number", "boolean"]}


def js_value(groups, row, suffix):
    kind = row["kind"]
    if kind in ("strings",):
        item = {"enum": row["choices"]} if "choices" in row else {"type": "string"}
        array = {"type": "array", "items": item}
        return {"anyOf": [array, item]} if row.get("single") else array
    if kind == "pairs":
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    if kind == "overlays":
        return {"type": "object", "additionalProperties": {"$ref": "#/$defs/overlay"}}
    if kind in ("group", "map", "list"):
        ref = {"$ref": f"#/$defs/{row['of']}{suffix}"}
        short = groups[row["of"]][0].get("short")
        if short and kind != "list":
            ref = {"anyOf": [ref, js_scalar(groups[row["of"]][1][short])]}
        if kind == "group":
            return ref
        if kind == "list":
            return {"type": "array", "items": ref}
        return {"type": "object", "additionalProperties": ref}
    return js_scalar(row)


def js_group(groups, name, suffix):
    out = {"type": "object", "additionalProperties": False, "properties": {}}
    attrs, keys = groups[name]
    for key, row in keys.items():
        if suffix and row["kind"] == "overlays":
            continue
        value = dict(js_value(groups, row, suffix), description=row["doc"])
        if row.get("default", "none") not in ("none", "[]", "{}"):
            value["default"] = unquote(row["default"])
        out["properties"][key] = value
    required = [k for k, r in keys.items() if r.get("required")]
    if required and not suffix:
        out["required"] = required
    return dict(out, description=attrs["doc"])


def gen_config_schema(doc):
    groups = groups_of(doc)
    names = [g for g in children_first(groups) if g != "root"]
    defs = {n: js_group(groups, n, "") for n in names if n != "environment"}
    defs |= {n + "_overlay": js_group(groups, n, "_overlay") for n in names if n != "environment"}
    root = js_group(groups, "root", "")
    app = js_group(groups, "app", "")["properties"]
    root["properties"] |= {k: v for k, v in app.items() if k not in root["properties"]}
    overlay = js_group(groups, "root", "_overlay")
    overlay["properties"] |= js_group(groups, "environment", "_overlay")["properties"]
    overlay["properties"] |= js_group(groups, "app", "_overlay")["properties"]
    defs["overlay"] = overlay
    root.pop("description")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema",
                       "title": "Headgate configuration", **root, "$defs": defs}, indent=1) + "\n"


def gen_config_schema_c(doc):
    lines = gen_config_schema(doc).splitlines()
    return (HEAD.format(TABLE) + "static const char spec_schema_text[] =\n"
            + "\n".join(f"\t{c_str(line.strip() + ' ')}" for line in lines) + ";\n")


# ---- reference pages ----


def paths_of(groups):
    """Every group with the places it stands at: {group: ["apps.NAME.probes.startup", …]}."""
    places = {}

    def visit(group, at):
        places.setdefault(group, []).append(at)
        for name, row in groups[group][1].items():
            below = f"{at}.{name}" if at else name
            below += {"map": ".NAME", "overlays": ".NAME", "list": "[]"}.get(row["kind"], "")
            if row["kind"] == "overlays":
                places.setdefault("environment", []).append(below)
            elif row["of"]:
                visit(row["of"], below)

    visit("root", "")
    return places


def md_type(row):
    text = WORDS.get(row["kind"], "")
    if row["of"] or row["kind"] == "overlays":
        text = {"group": "mapping", "map": "mapping by name", "list": "list of mappings",
                "overlays": "mapping by name"}[row["kind"]]
    if "choices" in row:
        text += ": " + ", ".join(f"`{c}`" + (" †" if c in row.get("later", []) else "") for c in row["choices"])
    if "range" in row:
        text += ", {} to {}".format(*row["range"].split(".."))
    for word in row.get("words", {}):
        text += f", or `{word}`"
    return text


def md_cell(text):
    return text.replace("|", "\\|")


APPLY = {"live": "at once", "release": "new release", "restart": "restart"}


def gen_config_md(doc):
    groups = groups_of(doc)
    places = paths_of(groups)
    out = ["# Configuration reference\n\n<!-- Generated from schema/config.toml by tools/gen.py; "
           "do not edit. -->\n\nEvery key of `headgate.yaml`. *Reload*: how `headgate reload` takes "
           "a change — at once, by rolling out a new release of the app, or only by a restart. Keys "
           "marked † are checked, but their feature is not available in this release: `up` refuses "
           "them.\n\nDurations: `500ms` `5s` `15m` `1h` `30d` `1h30m`. Sizes: `256Mi` `1Gi`. "
           "Ratios: `5%` or `0.05`. CPU: `500m` or `2`.\n"]
    order = ["root"]
    for group in order:
        order += [r["of"] for r in groups[group][1].values() if r["of"] and r["of"] not in order]
    order.append("environment")
    for group in order:
        attrs, keys = groups[group]
        where = ", ".join(f"`{p}`" for p in places[group] if p) or "Top level"
        out.append(f"\n## {where}\n\n{attrs['doc']}")
        if "short" in attrs:
            out.append(f" A bare value stands for `{attrs['short']}`.")
        out.append("\n\n| key | type | default | reload | |\n| --- | --- | --- | --- | --- |\n")
        for name, row in keys.items():
            default = "required" if row.get("required") else f"`{row['default']}`"
            if default == "`none`":
                default = "none"
            example = f" Example: `{row['example']}`." if "example" in row else ""
            out.append(f"| `{name}`{'' if row['available'] else ' †'} | {md_cell(md_type(row))} | "
                       f"{default} | {APPLY[row['apply']]} | {md_cell(row['doc'] + example)} |\n")
        if "alias" in attrs:
            out.append("\nComing from elsewhere:\n\n")
            for names, say in attrs["alias"]:
                out.append("- " + ", ".join(f"`{n}`" for n in names) + f": {say}\n")
    return "".join(out)


def gen_errors_md(doc):
    out = ["# Errors\n\n<!-- Generated from schema/errors.toml by tools/gen.py; do not edit. -->\n\n"
           "Every message of Headgate carries one of these codes; `headgate help HGnnnn` shows the "
           "same text offline.\n"]
    for row in errors_checked(doc):
        out.append(f"\n## HG{row['number']}: {row['summary']}\n\n{row['page']}\n\n"
                   f"Exit status {row['exit']}, HTTP status {row['http']}.\n")
    return "".join(out)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    kind, schema, output = sys.argv[1:]
    doc = tomllib.loads(pathlib.Path(schema).read_text())
    make = globals().get("gen_" + kind)
    if make is None and kind.startswith("panels"):
        import gen_panels  # the rows of the dashboards

        make = getattr(gen_panels, "gen_" + kind)
    elif make is None:
        import gen_face  # the rows of command line and API

        make = getattr(gen_face, "gen_" + kind)
    pathlib.Path(output).write_text(make(doc))


if __name__ == "__main__":
    main()
