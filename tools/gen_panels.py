"""Generators of the dashboards (schema/panels.toml): the page's JSON, Grafana's, and the reference.

Called by gen.py, which finds `gen_KIND` here when it has none of its own.
"""
import json
import re
import sys

from gen import HEAD, c_str

TABLE = "schema/panels.toml"
# What a unit is called in Grafana.
UNITS = {"ratio": "percentunit", "seconds": "s", "requests_per_second": "reqps", "per_second": "ops",
         "per_minute": "opm", "bytes": "bytes", "bytes_per_second": "Bps", "count": "short",
         "cores": "none", "days": "d", "factor": "none", "release": "none"}
# What a kind of panel is called in Grafana.
KINDS = {"lines": "timeseries", "stacked": "timeseries", "heatmap": "heatmap", "table": "table",
         "stat": "stat", "timeline": "state-timeline"}
HEIGHT, COLUMNS = 8, 24
WINDOWS = ["1m", "5m", "15m", "1h"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLOURS = {"yellow", "red"}
SCALES = {"linear", "log"}
KEYS = {"dashboard", "id", "title", "help", "kind", "unit", "scale", "width", "thresholds", "links", "queries"}


def die(where, what):
    sys.exit(f"{TABLE}: {where}: {what}")


# ---- the rows, complete and checked -------------------------------------------------------------


def expand(let, text, where):
    """{{name}} becomes the row of [let], which may name others in turn."""
    for _ in range(8):
        names = re.findall(r"\{\{(\w+)\}\}", text)
        if not names:
            return text
        for name in names:
            if name not in let:
                die(where, f"no {name} in [let]")
            text = text.replace("{{" + name + "}}", let[name])
    die(where, "[let] goes round in circles")


def query_checked(let, panel, q, variables, where):
    expr = expand(let, q["expr"], where)
    used = set(re.findall(r"\$([a-z]+)", expr))
    if used - set(variables):
        die(where, f"unknown variables {sorted(used - set(variables))}")
    unit, needs = q.get("unit", panel["unit"]), q.get("needs")
    if set(q) - {"expr", "legend", "unit", "needs"}:
        die(where, f"unknown keys of a query: {sorted(q)}")
    if unit not in UNITS:
        die(where, f"unknown unit {unit}")
    # The page says in the panel's own words why it is empty.
    if needs and not needs.startswith("headgate_") and needs.removesuffix("_bucket") not in panel["help"]:
        die(where, f"help does not name {needs}")
    return {"expr": expr, "legend": q["legend"], "unit": unit, "needs": needs}


def dashboards(doc):
    """[{id, title, help, variables, window, markers, panels: [{…, queries: […]}]}]"""
    out = []
    for d in doc["dashboard"]:
        if d["window"] not in WINDOWS:
            die(d["id"], f"window {d['window']} is not one of {WINDOWS}")
        rows = [p for p in doc["panel"] if p["dashboard"] == d["id"]]
        panels = []
        for p in rows:
            where = f"{d['id']}.{p['id']}"
            if p["kind"] not in KINDS or p["unit"] not in UNITS or set(p) - KEYS:
                die(where, f"unknown kind, unit or key: {p['kind']} {p['unit']} {set(p) - KEYS}")
            scale = p.get("scale", "linear")
            if scale not in SCALES or (scale == "log" and p["kind"] != "lines"):
                die(where, f"a scale is one of {sorted(SCALES)}, and only lines have another than linear")
            values = [t["value"] for t in p.get("thresholds", [])]
            if values != sorted(values) or {t["colour"] for t in p.get("thresholds", [])} - COLOURS:
                die(where, "thresholds rise, and are yellow or red")
            panels.append({
                "id": p["id"], "title": p["title"], "help": p["help"], "kind": p["kind"],
                "unit": p["unit"], "scale": scale, "width": p.get("width", 12),
                "thresholds": p.get("thresholds", []),
                "links": p.get("links", []),
                "queries": [query_checked(doc["let"], p, q, d["variables"], where)
                            for q in p["queries"]]})
        if len({p["id"] for p in panels}) != len(panels):
            die(d["id"], "an id is used twice")
        out.append({"id": d["id"], "title": d["title"], "help": d["help"],
                    "variables": d["variables"], "window": d["window"], "markers": expand(doc["let"], d["markers"], d["id"]),
                    "panels": panels})
    if sum(len(d["panels"]) for d in out) != len(doc["panel"]):
        die("panel", "one of them is of no dashboard")
    return out


def c_text(name, text):
    pieces = "\n".join("\t" + c_str(text[i:i + 80]) for i in range(0, len(text), 80))
    return f"static const char {name}[] =\n{pieces};\n"


def gen_panels(doc):
    text = json.dumps({"schema": "headgate.panels/1", "windows": WINDOWS,
                       "dashboards": dashboards(doc)}, separators=(",", ":"))
    return HEAD.format(TABLE) + c_text("panels_json", text + "\n")


# ---- Grafana ------------------------------------------------------------------------------------


def target(q, at, **more):
    return {"datasource": DATASOURCE, "editorMode": "code", "expr": q["expr"],
            "legendFormat": q["legend"], "range": True, "instant": False,
            "refId": chr(ord("A") + at)} | more


def field_config(panel):
    steps = [{"color": "green", "value": None}]
    steps += [{"color": t["colour"], "value": t["value"]} for t in panel["thresholds"]]
    custom = {}
    if panel["kind"] in ("lines", "stacked"):
        stacked = panel["kind"] == "stacked"
        custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 0,
                  "showPoints": "never", "spanNulls": False,
                  "scaleDistribution": {"type": "log", "log": 10} if panel["scale"] == "log" else {"type": "linear"},
                  "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
                  "thresholdsStyle": {"mode": "line" if panel["thresholds"] else "off"}}
    elif panel["kind"] == "timeline":
        custom = {"fillOpacity": 70, "lineWidth": 0}
    return {"defaults": {"color": {"mode": "palette-classic"}, "custom": custom, "mappings": [],
                         "thresholds": {"mode": "absolute", "steps": steps},
                         "unit": UNITS[panel["unit"]]},
            "overrides": overrides(panel)}


def overrides(panel):
    """Queries with another unit than the panel's, on an axis of their own."""
    out = []
    for at, q in enumerate(panel["queries"]):
        if panel["kind"] == "table":
            out.append({"matcher": {"id": "byName", "options": q["legend"]},
                        "properties": [{"id": "unit", "value": UNITS[q["unit"]]}]})
        elif q["unit"] != panel["unit"]:
            properties = [{"id": "unit", "value": UNITS[q["unit"]]}]
            if panel["kind"] == "lines":
                properties.append({"id": "custom.axisPlacement", "value": "right"})
            out.append({"matcher": {"id": "byFrameRefID", "options": chr(ord("A") + at)},
                        "properties": properties})
    return out


LEGEND = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}
OPTIONS = {
    "timeseries": {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "heatmap": {"calculate": False, "cellGap": 1, "filterValues": {"le": 1e-9},
                "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64,
                          "reverse": False, "fill": "dark-orange"},
                "legend": {"show": True}, "rowsFrame": {"layout": "auto"}, "showValue": "never",
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": False},
                "yAxis": {"axisPlacement": "left", "reverse": False}},
    "table": {"showHeader": True, "cellHeight": "sm",
              "sortBy": [{"displayName": "Rate", "desc": True}]},
    "stat": {"colorMode": "value", "graphMode": "area", "justifyMode": "auto",
             "orientation": "auto", "textMode": "value_and_name", "wideLayout": True,
             "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
    "state-timeline": {"alignValue": "left", "mergeValues": True, "rowHeight": 0.9,
                       "showValue": "auto", "legend": LEGEND,
                       "tooltip": {"mode": "single", "sort": "none"}},
}


def grafana_panel(panel, title, queries, number, grid):
    kind = KINDS[panel["kind"]]
    more, options = {}, OPTIONS[kind]
    if kind == "heatmap":
        more = {"format": "heatmap"}
        options = options | {"yAxis": options["yAxis"] | {"unit": UNITS[panel["unit"]]}}
        # Grafana takes an upper edge from the legend.
        queries = [q | {"legend": "{{le}}"} for q in queries]
    elif kind == "table":
        more = {"format": "table", "instant": True, "range": False}
    out = {"id": number, "type": kind, "title": title, "description": panel["help"],
           "datasource": DATASOURCE, "gridPos": grid, "fieldConfig": field_config(panel),
           "options": options,
           "links": [{"title": l["title"], "targetBlank": True, "url": f"${{headgate}}/#/{l['route']}"}
                     for l in panel["links"]],
           "targets": [target(q, at, **more) for at, q in enumerate(queries)]}
    if kind == "table":
        names = {f"Value #{chr(ord('A') + at)}": q["legend"] for at, q in enumerate(queries)}
        out["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True, "endpoint": True},
                                           "indexByName": {}, "renameByName": names}}]
    return out


def grafana_panels(panels):
    """From left to right, a new row where one is full. A heatmap has one query: it is cut in parts."""
    out, x, y = [], 0, 0
    for p in panels:
        parts = [p["queries"]]
        if p["kind"] == "heatmap":
            parts = [[q] for q in p["queries"]]
        width = p["width"] // len(parts)
        for queries in parts:
            if x + width > COLUMNS:
                x, y = 0, y + HEIGHT
            title = p["title"] + (f": {queries[0]['legend']}" if len(parts) > 1 else "")
            grid = {"h": HEIGHT, "w": width, "x": x, "y": y}
            out.append(grafana_panel(p, title, queries, len(out) + 1, grid))
            x += width
    return out


def grafana_variables(dashboard):
    out = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [],
            "refresh": 1, "regex": ""}]
    if "app" in dashboard["variables"]:
        values = "label_values(headgate_app_replicas_desired, app)"
        out.append({"name": "app", "label": "App", "type": "query", "datasource": DATASOURCE,
                    "definition": values, "query": {"qryType": 1, "query": values,
                                                    "refId": "PrometheusVariableQueryEditor-VariableQuery"},
                    "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0,
                    "includeAll": True, "allValue": ".*", "multi": True, "options": [], "refresh": 2,
                    "regex": "", "sort": 1})
    now = dashboard["window"]
    out.append({"name": "window", "label": "Window", "type": "interval", "auto": False, "hide": 0,
                "query": ",".join(WINDOWS), "refresh": 2,
                "current": {"selected": True, "text": now, "value": now},
                "options": [{"selected": w == now, "text": w, "value": w} for w in WINDOWS]})
    address = "http://127.0.0.1:4323"
    out.append({"name": "headgate", "label": "Headgate", "type": "textbox", "hide": 2,
                "query": address, "current": {"selected": True, "text": address, "value": address},
                "options": [{"selected": True, "text": address, "value": address}]})
    return out


def grafana(dashboard):
    return {
        "annotations": {"list": [
            {"name": "Annotations & Alerts", "type": "dashboard", "builtIn": 1, "enable": True,
             "hide": True, "iconColor": "rgba(0, 211, 255, 1)",
             "datasource": {"type": "grafana", "uid": "-- Grafana --"}},
            {"name": "Releases", "datasource": DATASOURCE, "enable": True, "hide": False,
             "expr": dashboard["markers"], "step": "15s", "iconColor": "blue",
             "tagKeys": "app,arm,release", "titleFormat": "{{app}}: release {{release}}",
             "textFormat": "{{arm}}"}]},
        "description": dashboard["help"], "editable": True, "fiscalYearStartMonth": 0,
        "graphTooltip": 1, "id": None, "links": [], "liveNow": False,
        "panels": grafana_panels(dashboard["panels"]), "refresh": "15s", "schemaVersion": 39,
        "tags": ["headgate"], "templating": {"list": grafana_variables(dashboard)},
        "time": {"from": "now-1h", "to": "now"}, "timepicker": {}, "timezone": "",
        "title": f"Headgate: {dashboard['title']}", "uid": f"headgate-{dashboard['id']}", "version": 1,
        "weekStart": ""}


def gen_panels_grafana(doc):
    out, rows = HEAD.format(TABLE), ""
    for d in dashboards(doc):
        out += c_text(f"grafana_{d['id']}", json.dumps(grafana(d), indent=1) + "\n")
        rows += f"\t{{{c_str(d['id'])}, {c_str(d['title'])}, grafana_{d['id']}}},\n"
    return (out + "static const struct {\n\tconst char *id, *title, *json;\n} grafana_rows[] = {\n"
            + rows + "};\n")


# ---- the reference ------------------------------------------------------------------------------


def gen_panels_md(doc):
    out = [f"<!-- Generated from {TABLE} by tools/gen.py; do not edit. -->", "", "# Panels", "",
           "The three dashboards, as `GET /v1/panels` and `headgate export grafana` have them. `$app` "
           "is a regular expression over the names of apps, `$window` the span that rates are taken "
           "over. *Needs*: the series is there only with what the panel's text names."]
    for d in dashboards(doc):
        out += ["", f"## {d['title']}", "", d["help"]]
        for at, p in enumerate(d["panels"], 1):
            limits = ", ".join(f"{t['text']} ({t['colour']})" for t in p["thresholds"])
            out += ["", f"### {at}. {p['title']}", "", f"{p['help']}"
                    + (f" Lines at {limits}." if limits else ""), "",
                    f"`{p['id']}`, {p['kind']}" + (", on a logarithmic scale" if p["scale"] == "log" else "") + ".", "", "```promql"]
            for q in p["queries"]:
                needs = f", needs {q['needs']}" if q["needs"] else ""
                out += [f"# {q['legend']}: {q['unit']}{needs}", q["expr"]]
            out += ["```"]
    return "\n".join(out) + "\n"
