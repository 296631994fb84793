"""Generators of the command line (schema/cli.toml) and the HTTP API (schema/routes.toml).

Called by gen.py, which finds `gen_KIND` here when it has none of its own.
"""
import sys

from gen import HEAD, c_str

WIDTH = 80
TYPES = {"text", "file", "dir", "duration", "count", "choice", "release"}
ROLES = {"none", "viewer", "deployer", "admin"}


def c_name(text):
    return text.upper().replace(" ", "_").replace("-", "_")


def die(where, what):
    sys.exit(f"{where}: {what}")


# ---- command line -------------------------------------------------------------------------------


def cli_checked(doc):
    """Fills defaults in and refuses rows that would make a bad help page."""
    groups = {g["name"] for g in doc["group"]}
    meaning = {}
    for row in doc["verb"]:
        here = f"schema/cli.toml: {row['name']}"
        row.setdefault("complete", "")
        row.setdefault("default", False)
        if row["group"] not in groups:
            die(here, f"unknown group {row['group']}")
        if len(row["name"]) + len(row["summary"]) > 76:
            die(here, "name and summary do not fit on one line")
        shorts = set()
        for flag in row["flags"] + doc["flag"]:
            flag.setdefault("short", "")
            flag.setdefault("arg", "")
            flag.setdefault("type", "text" if flag["arg"] else "")
            flag.setdefault("choices", [])
            flag.setdefault("repeat", False)
            if flag["arg"] and flag["type"] not in TYPES:
                die(here, f"--{flag['name']} has an unknown type")
            if flag["short"] and flag["short"] in shorts:
                die(here, f"-{flag['short']} is used twice")
            shorts.add(flag["short"])
            was = meaning.setdefault(flag["name"], (flag["arg"], flag["type"]))
            if was != (flag["arg"], flag["type"]):
                die(here, f"--{flag['name']} means something else elsewhere: {was}")
        for line in row["text"].splitlines() + [c for c, _ in row["examples"]]:
            if len(line) > WIDTH - 2:
                die(here, f"wider than 78 columns: {line}")
    return doc


def cli_flag_names(doc):
    names = []
    for flag in doc["flag"] + [f for v in doc["verb"] for f in v["flags"]]:
        if flag["name"] not in names:
            names.append(flag["name"])
    return names


def gen_cli_verbs(doc):
    cli_checked(doc)
    verbs = "".join(f"\tCLI_{c_name(v['name'])},\n" for v in doc["verb"])
    flags = "".join(f"\tCLI_F_{c_name(n)},\n" for n in cli_flag_names(doc))
    return (HEAD.format("schema/cli.toml") + "#ifndef HG_GEN_CLI_VERBS_H\n#define HG_GEN_CLI_VERBS_H\n"
            "enum cli_verb {\n" + verbs + "\tCLI_VERBS\n};\n"
            "enum cli_flag_id {\n" + flags + "\tCLI_FLAGS\n};\n#endif\n")


def c_flags(name, flags):
    rows = ""
    for f in flags:
        short = f"'{f['short']}'" if f["short"] else "0"
        kind = f"CLI_T_{(f['type'] or 'switch').upper()}"
        choices = c_str(" ".join(f["choices"]))
        rows += (f"\t{{CLI_F_{c_name(f['name'])}, {c_str(f['name'])}, {short}, {kind}, "
                 f"{c_str(f['arg'])}, {choices}, {c_str(f['help'])}, "
                 f"{str(f['repeat']).lower()}}},\n")
    return f"static const struct cli_flag {name}[] = {{\n{rows}\t{{.name = NULL}},\n}};\n"


def gen_cli_rows(doc):
    cli_checked(doc)
    out = HEAD.format("schema/cli.toml")
    out += c_flags("cli_flags_all", doc["flag"])
    rows = ""
    for v in doc["verb"]:
        low = v["name"].replace(" ", "_").replace("-", "_")
        out += c_flags(f"cli_flags_{low}", v["flags"])
        pairs = "".join(f"{{{c_str(c)}, {c_str(t)}}}, " for c, t in v["examples"])
        out += f"static const struct cli_example cli_examples_{low}[] = {{{pairs}{{NULL, NULL}}}};\n"
        exits = "".join(f"{n}, " for n in v["exits"])
        out += f"static const int cli_exits_{low}[] = {{{exits}-1}};\n"
        rows += (f"\t{{CLI_{c_name(v['name'])}, {c_str(v['name'])}, {c_str(v['group'])}, "
                 f"{c_str(v['summary'])},\n\t\t{c_str(v['args'])}, {v['min']}, {v['max']}, "
                 f"{c_str(v['complete'])}, {c_str(v['text'].strip(chr(10)))},\n"
                 f"\t\tcli_flags_{low}, cli_examples_{low}, cli_exits_{low}, "
                 f"{str(v['default']).lower()}}},\n")
    out += f"static const struct cli_verb_row cli_verb_rows[] = {{\n{rows}}};\n"
    later = "".join(f"\t{{{c_str(r['name'])}, {c_str(r['group'])}, {c_str(r['summary'])}}},\n"
                    for r in doc["later"])
    out += f"static const struct cli_later cli_later_rows[] = {{\n{later}}};\n"
    groups = "".join(f"\t{{{c_str(g['name'])}, {c_str(g['title'])}}},\n" for g in doc["group"])
    out += f"static const struct cli_group cli_group_rows[] = {{\n{groups}}};\n"
    exits = "".join(f"\t{{{e['status']}, {c_str(e['meaning'])}}},\n" for e in doc["exit"])
    out += f"static const struct cli_exit cli_exit_rows[] = {{\n{exits}}};\n"
    env = "".join(f"\t{{{c_str(e['name'])}, {c_str(e['meaning'])}}},\n" for e in doc["environment"])
    out += f"static const struct cli_env cli_env_rows[] = {{\n{env}}};\n"
    out += f"static const char cli_summary[] = {c_str(doc['program']['summary'])};\n"
    return out


def flag_text(f):
    short = f"-{f['short']}, " if f["short"] else ""
    return f"{short}--{f['name']}" + (f" {f['arg']}" if f["arg"] else "")


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


def gen_cli_man(doc):
    cli_checked(doc)
    name = doc["program"]["name"]
    out = ['.\\" Generated from schema/cli.toml by tools/gen.py; do not edit.',
           '.TH HEADGATE 1 "" "headgate" "User Commands"', ".SH NAME",
           f"{name} \\- {roff(doc['program']['summary'])}", ".SH SYNOPSIS",
           f".B {name}", ".I COMMAND", "[ARGUMENTS] [FLAGS]", ".SH COMMANDS"]
    for group in doc["group"]:
        verbs = [v for v in doc["verb"] if v["group"] == group["name"]]
        if not verbs:
            continue
        out += [f".SS {group['title']}"]
        for v in verbs:
            out += [".TP", f".B {name} {roff(v['name'])} {roff(v['args'])}".rstrip(),
                    roff(v["summary"][0].upper() + v["summary"][1:] + "."), ".RS", ".PP", ".nf",
                    roff(v["text"].strip("\n")), ".fi"]
            for f in v["flags"]:
                out += [".TP", f".B {roff(flag_text(f))}", roff(f["help"])]
            out += [".RE"]
    out += [".SH FLAGS OF EVERY COMMAND"]
    for f in doc["flag"]:
        out += [".TP", f".B {roff(flag_text(f))}", roff(f["help"])]
    out += [".SH EXIT STATUS"]
    for e in doc["exit"]:
        out += [".TP", f".B {e['status']}", roff(e["meaning"])]
    out += [".SH ENVIRONMENT"]
    for e in doc["environment"]:
        out += [".TP", f".B {e['name']}", roff(e["meaning"])]
    out += [".SH EXAMPLES"]
    for v in doc["verb"]:
        for command, what in v["examples"]:
            out += [".TP", f".B {roff(command)}", roff(what)]
    return "\n".join(out) + "\n"


def gen_cli_md(doc):
    cli_checked(doc)
    out = ["<!-- Generated from schema/cli.toml by tools/gen.py; do not edit. -->", "",
           "# Command line", "",
           "`headgate COMMAND [ARGUMENTS] [FLAGS]`. Results go to standard output, messages to "
           "standard error. Every reading command has `--json` with a `schema` field, every "
           "changing command `--dry-run`.", "", "## Exit codes", "", "| code | meaning |",
           "| --- | --- |"]
    out += [f"| {e['status']} | {e['meaning']} |" for e in doc["exit"]]
    out += ["", "## Environment", "", "| variable | meaning |", "| --- | --- |"]
    out += [f"| `{e['name']}` | {e['meaning']} |" for e in doc["environment"]]
    out += ["", "## Flags of every command", "", "| flag | meaning |", "| --- | --- |"]
    out += [f"| `{flag_text(f)}` | {f['help']} |" for f in doc["flag"]]
    for group in doc["group"]:
        verbs = [v for v in doc["verb"] if v["group"] == group["name"]]
        later = [v for v in doc["later"] if v["group"] == group["name"]]
        out += ["", f"## {group['title']}"]
        for v in verbs:
            out += ["", f"### headgate {v['name']}", "",
                    f"`headgate {v['name']} {v['args']}".replace("|", "\\|").rstrip() + "`: "
                    + v["summary"] + ".", "", "```text", v["text"].strip("\n"), "```"]
            if v["flags"]:
                out += ["", "| flag | meaning |", "| --- | --- |"]
                out += [f"| `{flag_text(f)}` | {f['help']} |" for f in v["flags"]]
            out += [""] + [f"- `{c}`: {t}" for c, t in v["examples"]]
            if v["exits"]:
                out += ["", "Exit codes besides 0, 1 and 2: " + ", ".join(map(str, v["exits"])) + "."]
        if later:
            out += ["", "Not available in this version: "
                    + ", ".join(f"`{v['name']}` ({v['summary']})" for v in later) + "."]
    return "\n".join(out) + "\n"


# ---- HTTP API -----------------------------------------------------------------------------------


def api_checked(doc):
    seen = set()
    for row in doc["route"]:
        here = f"schema/routes.toml: {row['method']} {row['path']}"
        if row["role"] not in ROLES:
            die(here, f"unknown role {row['role']}")
        if (row["method"], row["path"]) in seen:
            die(here, "twice")
        seen.add((row["method"], row["path"]))
        row.setdefault("change", False)
        row.setdefault("text", "")
        row.setdefault("answer", "application/json")
        row.setdefault("query", [])
        row.setdefault("body", [])
        for p in row["query"] + row["body"]:
            p.setdefault("required", False)
    return doc


def operation_id(doc, row):
    """The handler's name, where it has one path only."""
    if sum(r["handler"] == row["handler"] for r in doc["route"]) == 1:
        return row["handler"].removeprefix("api_")
    words = "".join(c if c.isalnum() else "_" for c in row["path"]).split("_")
    return "_".join([row["method"].lower()] + [w for w in words if w])


def openapi(doc):
    paths = {}
    for row in doc["route"]:
        op = {"operationId": operation_id(doc, row), "summary": row["summary"],
              "x-role": row["role"]}
        if row["text"]:
            op["description"] = row["text"]
        params = [{"name": s.strip("{}"), "in": "path", "required": True,
                   "schema": {"type": "string"}}
                  for s in row["path"].split("/") if s.startswith("{")]
        params += [{"name": p["name"], "in": "query", "required": p["required"],
                    "description": p["help"], "schema": {"type": p["type"]}} for p in row["query"]]
        if params:
            op["parameters"] = params
        if row["body"]:
            op["requestBody"] = {"required": True, "content": {"application/json": {"schema": {
                "type": "object", "additionalProperties": False,
                "required": [p["name"] for p in row["body"] if p["required"]],
                "properties": {p["name"]: {"type": p["type"], "description": p["help"]}
                               for p in row["body"]}}}}}
        op["responses"] = {"200": {"description": "done", "content": {row["answer"]: {}}},
                           "default": {"$ref": "#/components/responses/problem"}}
        if row["role"] == "none":
            op["security"] = []
        paths.setdefault(row["path"], {})[row["method"].lower()] = op
    problem = {"type": "object", "required": ["type", "title", "status", "code"], "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "code": {"type": "string", "example": "HG1610"},
        "hint": {"type": "string"}, "place": {"type": "object"}}}
    return {"openapi": "3.1.0", "info": {
                "title": "Headgate", "version": "1",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                "description": "On the admin listener (bearer token) and on control.sock in the "
                               "data folder (its owner needs no token)."},
            "security": [{"token": []}], "paths": paths,
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                "responses": {"problem": {"description": "RFC 9457 problem", "content": {
                    "application/problem+json": {"schema": problem}}}}}}


def gen_api_handlers(doc):
    api_checked(doc)
    declared = "".join(f"enum hg_rc {h}(struct api_request *r, struct hg_err *err);\n"
                       for h in dict.fromkeys(r["handler"] for r in doc["route"]))
    return (HEAD.format("schema/routes.toml") + "#ifndef HG_GEN_API_HANDLERS_H\n"
            "#define HG_GEN_API_HANDLERS_H\n" + declared + "#endif\n")


def gen_api_routes(doc):
    import json

    api_checked(doc)
    rows = "".join(
        f"\t{{HTTP1_{r['method']}, {c_str(r['path'])}, API_{r['role'].upper()}, "
        f"{str(r['change']).lower()}, {r['handler']}}},\n" for r in doc["route"])
    text = json.dumps(openapi(doc), separators=(",", ":"))
    pieces = "\n".join("\t" + c_str(text[i:i + 80]) for i in range(0, len(text), 80))
    return (HEAD.format("schema/routes.toml") +
            f"static const struct api_route api_routes[] = {{\n{rows}}};\n"
            f"static const char api_openapi[] =\n{pieces};\n")


def gen_api_md(doc):
    api_checked(doc)
    out = ["<!-- Generated from schema/routes.toml by tools/gen.py; do not edit. -->", "",
           "# HTTP API", "",
           "On the admin listener (`admin.listen`, default `127.0.0.1:4323`) and on the unix socket "
           "`control.sock` in the data folder. Over TCP every request but those marked `none` needs "
           "`Authorization: Bearer TOKEN`; `headgate token create` makes one. On the socket the "
           "owner of the data folder and root are admin. Failures are RFC 9457 problems "
           "(`application/problem+json`) with a `code`; `headgate help CODE` explains it. Every "
           "change is written to the audit trail.", "",
           "| method | path | role | what |", "| --- | --- | --- | --- |"]
    out += [f"| {r['method']} | `{r['path']}` | {r['role']} | {r['summary']} |" for r in doc["route"]]
    for r in doc["route"]:
        if not (r["text"] or r["query"] or r["body"]):
            continue
        out += ["", f"## {r['method']} {r['path']}", "", (r["summary"][0].upper() + r["summary"][1:])
                + "." + (" " + r["text"] if r["text"] else "")]
        for title, params in (("query", r["query"]), ("body", r["body"])):
            if params:
                out += ["", f"| {title} | type | |", "| --- | --- | --- |"]
                out += [f"| `{p['name']}` | {p['type']}{', required' if p['required'] else ''} | "
                        f"{p['help']} |" for p in params]
    return "\n".join(out) + "\n"
