#include "control/rollout/conf_priv.h"

#include <string.h>

#include "spec/spec.h"

static enum hg_rc too_long(const struct spec_app *s, const char *what, struct hg_err *err)
{
	return hg_err_set(err, HG_E_TOO_LARGE, "%s of the rollout of app \"%.*s\" is too long",
	        what, HG_STR_ARG(s->name));
}

static bool hook_read(const struct spec_gate *g, struct ro_gate_conf *to)
{
	struct hg_out headers = hg_out_over(to->headers, sizeof to->headers - 1);
	if (!g->http.n) return true;
	for (uint32_t i = 0; i < g->header_count; i++)
		hg_out_fmt(&headers, "%.*s: %.*s\n", HG_STR_ARG(g->headers[i].name),
		        HG_STR_ARG(g->headers[i].value));
	to->headers[headers.n] = 0;
	to->retries = (uint32_t)g->retries;
	return !headers.failed && hg_str_copy(g->http, to->http, sizeof to->http) &&
	       hg_str_copy(g->expect, to->expect, sizeof to->expect) &&
	       hg_str_copy(hg_str(g->method == SPEC_GATE_METHOD_GET ? "GET" : "POST"), to->method,
	               sizeof to->method);
}

static enum hg_rc gates_read(const struct spec_app *s, struct ro_conf *c, struct hg_err *err)
{
	const struct spec_rollout *r = &s->rollout;
	for (uint32_t i = 0; i < c->rules.gate_count; i++) {
		const struct spec_gate *g = &r->gates[i];
		struct ro_gate_conf *to = &c->gate[i];
		to->timeout_ms = (uint32_t)HG_MIN(g->timeout_ms, (uint64_t)UINT32_MAX);
		if (!hg_str_copy(g->run, to->run, sizeof to->run) ||
		        !hg_str_copy(g->when, to->when, sizeof to->when) || !hook_read(g, to))
			return too_long(s, "a gate", err);
	}
	return HG_OK;
}

static bool match_add(struct ro_conf *c, enum snap_match_kind kind, struct hg_str text, char sep)
{
	struct snap_match *m = &c->match[c->match_count];
	struct hg_str value = text, name = hg_str_cut(&value, sep);
	if (text.n == 0) return true;
	m->kind = kind;
	c->match_count++;
	return hg_str_copy(hg_str_trim(name), m->name, sizeof m->name) &&
	       hg_str_copy(hg_str_trim(value), m->value, sizeof m->value);
}

/* A line each. The check of the configuration has seen that they are paths, and not too many. */
static bool ignore_read(const struct spec_mirror *m, struct ro_conf *c)
{
	struct hg_out o = hg_out_over(c->ignore, sizeof c->ignore);
	for (uint32_t i = 0; i < m->ignore_count; i++) {
		hg_out_str(&o, m->ignore[i]);
		hg_out_byte(&o, '\n');
	}
	c->ignore_n = (uint32_t)o.n;
	return !hg_out_failed(&o);
}

enum hg_rc ro_conf_read(const struct spec_app *s, struct ro_conf *ret_conf, struct hg_err *err)
{
	struct ro_conf *c = ret_conf;
	const struct spec_match *m = &s->rollout.match;
	*c = (struct ro_conf){0};
	if (!hg_str_copy(s->name, c->app, sizeof c->app)) return too_long(s, "the name", err);
	ro_rules_read(s, &c->rules, &c->latency);
	c->sticky_s = (uint32_t)HG_MIN(s->rollout.sticky_ms / 1000, (uint64_t)UINT32_MAX);
	if (!match_add(c, SNAP_MATCH_HEADER, m->header, ':') ||
	        !match_add(c, SNAP_MATCH_COOKIE, m->cookie, '=') ||
	        !match_add(c, SNAP_MATCH_QUERY, m->query, '='))
		return too_long(s, "match", err);
	if (!ignore_read(&s->rollout.mirror, c)) return too_long(s, "mirror.ignore", err);
	return gates_read(s, c, err);
}

/* ---- for the store ---- */

static json_t *gate_json(const struct ro_gate_conf *g)
{
	json_t *o = json_pack("{s:s,s:s,s:I}", "run", g->run, "when", g->when, "timeout_ms",
	        (json_int_t)g->timeout_ms);
	json_t *hook = g->http[0] ? json_pack("{s:s,s:s,s:s,s:s,s:i}", "url", g->http, "method",
	                                    g->method, "expect", g->expect, "headers", g->headers,
	                                    "retries", (int)g->retries)
	                          : NULL;
	if (!g->http[0] || (hook && json_object_set_new(o, "http", hook) == 0)) return o;
	json_decref(o);
	return NULL;
}

json_t *ro_conf_json(const struct ro_conf *c)
{
	json_t *gates = json_array(), *match = json_array();
	for (uint32_t i = 0; i < c->rules.gate_count; i++)
		if (json_array_append_new(gates, gate_json(&c->gate[i])) < 0) goto out;
	for (uint32_t i = 0; i < c->match_count; i++)
		json_array_append_new(
		        match, json_pack("{s:i,s:s,s:s}", "kind", (int)c->match[i].kind, "name",
		                       c->match[i].name, "value", c->match[i].value));
	return json_pack("{s:s,s:o,s:o,s:i,s:I,s:f,s:s%}", "app", c->app, "gates", gates, "match",
	        match, "sticky_s", (int)c->sticky_s, "p95_ns", (json_int_t)c->latency.p95_ns,
	        "p95_ratio", c->latency.p95_ratio, "ignore", c->ignore, (size_t)c->ignore_n);
out:
	json_decref(gates);
	json_decref(match);
	return NULL;
}

static bool text(const json_t *o, const char *key, char *to, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s && hg_str_copy(hg_str(s), to, cap);
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));
	return n > 0 ? (uint64_t)n : 0;
}

static bool gate_load(const json_t *g, struct ro_gate_conf *to)
{
	const json_t *hook = json_object_get(g, "http");
	to->timeout_ms = (uint32_t)number(g, "timeout_ms");
	if (!text(g, "run", to->run, sizeof to->run) || !text(g, "when", to->when, sizeof to->when))
		return false;
	if (!hook) return true;
	to->retries = (uint32_t)number(hook, "retries");
	return text(hook, "url", to->http, sizeof to->http) &&
	       text(hook, "method", to->method, sizeof to->method) &&
	       text(hook, "expect", to->expect, sizeof to->expect) &&
	       text(hook, "headers", to->headers, sizeof to->headers);
}

bool ro_conf_load(const json_t *j, struct ro_conf *ret_conf)
{
	struct ro_conf *c = ret_conf;
	const json_t *gates = json_object_get(j, "gates"), *match = json_object_get(j, "match");
	bool ok = text(j, "app", c->app, sizeof c->app);
	for (size_t i = 0; ok && i < json_array_size(gates) && i < RO_GATES_MAX; i++)
		ok = gate_load(json_array_get(gates, i), &c->gate[i]);
	for (size_t i = 0; ok && i < json_array_size(match) && i < SNAP_TRIAL_MATCHES; i++) {
		const json_t *m = json_array_get(match, i);
		ok = text(m, "name", c->match[i].name, sizeof c->match[i].name) &&
		     text(m, "value", c->match[i].value, sizeof c->match[i].value);
		c->match[i].kind = (uint32_t)number(m, "kind");
		c->match_count = (uint32_t)i + 1;
	}
	/* Rollouts of a Headgate that could not mirror have none. */
	const json_t *ignore = json_object_get(j, "ignore");
	size_t ignore_n = json_string_length(ignore);
	ok = ok && ignore_n <= sizeof c->ignore;
	c->ignore_n = ok ? (uint32_t)ignore_n : 0;
	if (c->ignore_n) memcpy(c->ignore, json_string_value(ignore), c->ignore_n);
	c->sticky_s = (uint32_t)number(j, "sticky_s");
	c->latency.p95_ns = number(j, "p95_ns");
	c->latency.p95_ratio = json_real_value(json_object_get(j, "p95_ratio"));
	return ok;
}
