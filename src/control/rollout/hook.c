#include "control/rollout/hook_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rollout/rollout_priv.h"
#include "fetch/fetch.h"
#include "os/clock.h"
#include "spec/spec.h"
#include "wire/url.h"

#define BUSY_MS  1000u /* too many requests are under way */
#define URL_MAX  4096u
#define BODY_MAX 4096u

struct ro_hook {
	struct loop_timer timer;
	struct fetch_call *call;
	struct ro_run *run;
	uint32_t gate, asks, failures;
	uint64_t began_ms; /* CLOCK_MONOTONIC */
	char *url, *body;
	char key[RO_NAME_MAX + 80]; /* the field Idempotency-Key */
};

static const struct ro_gate_conf *conf_of(const struct ro_hook *h)
{
	return &h->run->conf.gate[h->gate];
}

static uint64_t elapsed(const struct ro_hook *h)
{
	return clock_mono_ms() - h->began_ms;
}

/* ---- words ---- */

void ro_hook_name(const char *method, const char *url, char *to, size_t cap)
{
	(void)snprintf(to, cap, "%s %.*s", method, (int)strcspn(url, "?"), url);
}

/* Without the character that the cut at the limit went through. */
static struct hg_str beginning(struct hg_str body, bool *ret_utf8)
{
	struct hg_str s = {body.p, HG_MIN(body.n, (size_t)RO_HOOK_BODY_MAX)};
	*ret_utf8 = hg_utf8_valid(s);
	for (size_t cut = 1; !*ret_utf8 && body.n > s.n && cut < 4; cut++) {
		struct hg_str less = {s.p, s.n - cut};
		if (!hg_utf8_valid(less)) continue;
		*ret_utf8 = true;
		return less;
	}
	return s;
}

void ro_hook_text(struct hg_out *to, struct hg_str body)
{
	bool utf8, gap = false, any = false;
	struct hg_str s = beginning(body, &utf8);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		/* U+0080 to U+009F are control characters too. */
		bool c1 = utf8 && c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
		if (c <= 0x20 || c == 0x7f || c1) {
			gap = true;
			i += c1;
			continue;
		}
		if (gap && any) hg_out_byte(to, ' ');
		gap = false;
		any = true;
		hg_out_byte(to, c >= 0x80 && !utf8 ? '?' : (char)c);
	}
}

static void note_answer(struct ro_hook *h, const struct fetch_answer *a)
{
	struct ro_gate_run *g = &h->run->gate[h->gate];
	struct hg_out o = hg_out_over(g->note, sizeof g->note - 1);
	if (a->result != FETCH_ANSWERED) {
		ro_hook_text(&o, hg_str(a->why));
	} else {
		hg_out_fmt(&o, "HTTP %d", a->status);
		if (a->body.n) hg_out_cstr(&o, ": ");
		ro_hook_text(&o, a->body);
	}
	g->note[HG_MIN(o.n, sizeof g->note - 1)] = 0;
}

/* "…; asked 3 times within 30s" where there is room. */
static void note_late(struct ro_hook *h)
{
	struct ro_gate_run *g = &h->run->gate[h->gate];
	size_t n = strlen(g->note);
	struct hg_out o = hg_out_over(g->note + n, sizeof g->note - 1 - n);
	hg_out_fmt(&o, "; no agreement within %u s, asked %u %s", conf_of(h)->timeout_ms / 1000,
	        h->asks, h->asks == 1 ? "time" : "times");
	g->note[n + (o.failed ? 0 : o.n)] = 0;
}

/* ---- the result ---- */

static void hook_free(struct ro_hook *h)
{
	loop_timer_stop(h->run->all->o.loop, &h->timer);
	fetch_cancel(h->call);
	free(h->url);
	free(h->body);
	free(h);
}

void ro_hook_stop(struct ro_run *run, uint32_t i)
{
	if (run->gate[i].hook) hook_free(run->gate[i].hook);
	run->gate[i].hook = NULL;
}

static void result(struct ro_hook *h, enum ro_gate_state state, int status)
{
	struct ro_run *run = h->run;
	struct ro_gate_run *g = &run->gate[h->gate];
	g->took_ms = elapsed(h);
	g->status = status;
	g->state = state;
	if (state == RO_GATE_FAILED && run->all->o.log)
		hg_log(run->all->o.log, HG_WARN, "rollout.gate", HG_S("app", run->conf.app),
		        HG_I("rollout", (int64_t)run->kept.id), HG_S("error", g->note));
	ro_hook_stop(run, h->gate);
	run->next_ms = 0;
	ro_kick(run->all);
}

/* ---- asking ---- */

static void ask(struct ro_hook *h);

static void on_time(struct loop *l, struct loop_timer *t)
{
	(void)l;
	ask(HG_CONTAINER(t, struct ro_hook, timer));
}

static void wait(struct ro_hook *h, uint64_t ms)
{
	if (loop_timer_start(h->run->all->o.loop, &h->timer, ms, on_time) < 0)
		result(h, RO_GATE_FAILED, -1);
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct ro_hook *h = arg;
	const struct ro_gate_conf *c = conf_of(h);
	struct ro_hook_rules rules = {
	        .expect = c->expect, .timeout_ms = c->timeout_ms, .retries = c->retries};
	struct ro_hook_seen seen = {.status = a->status,
	        .hopeless = a->result == FETCH_REFUSED,
	        .retry_after_ms = a->retry_after_ms};
	h->call = NULL;
	h->asks++;
	note_answer(h, a);
	struct ro_hook_next next = ro_hook_decide(&rules, &seen, &h->failures, elapsed(h));
	if (next.late) note_late(h);
	if (next.verdict == RO_HOOK_AGAIN)
		wait(h, next.wait_ms);
	else
		result(h, next.verdict == RO_HOOK_PASSED ? RO_GATE_PASSED : RO_GATE_FAILED,
		        a->status ? a->status : -1);
}

/* "Name: value\n" each, in place. */
static uint32_t headers_split(char *text, const char **to, uint32_t n)
{
	for (char *end; n < FETCH_HEADERS_MAX && (end = strchr(text, '\n')); text = end + 1) {
		*end = 0;
		to[n++] = text;
	}
	return n;
}

static void ask(struct ro_hook *h)
{
	const struct ro_gate_conf *c = conf_of(h);
	const char *headers[FETCH_HEADERS_MAX] = {h->key, "Accept: application/json, */*"};
	char own[sizeof c->headers];
	struct hg_err err = {0};
	uint32_t n = 2;
	uint64_t gone = elapsed(h);
	if (h->body[0]) headers[n++] = "Content-Type: application/json";
	memcpy(own, c->headers, sizeof own);
	struct fetch_request r = {.method = c->method,
	        .url = h->url,
	        .headers = headers,
	        .header_count = headers_split(own, headers, n),
	        .body = hg_str(h->body),
	        .timeout_ms = gone < c->timeout_ms ? c->timeout_ms - (uint32_t)gone : 1};
	enum hg_rc rc = fetch_start(h->run->all->o.fetch, &r, on_answer, h, &h->call, &err);
	if (rc == HG_OK) return;
	struct ro_gate_run *g = &h->run->gate[h->gate];
	(void)snprintf(g->note, sizeof g->note, "%.300s", err.message);
	if (rc == HG_E_AGAIN && gone < c->timeout_ms)
		wait(h, BUSY_MS);
	else
		result(h, RO_GATE_FAILED, -1);
}

/* ---- what is asked ---- */

struct word {
	const char *name;
	char value[RO_NAME_MAX];
};

static char *url_of(const char *from, const struct word *words, size_t n)
{
	struct hg_buf to;
	struct hg_str rest = hg_str(from);
	hg_buf_init(&to, URL_MAX);
	while (rest.n) {
		/* The check of the configuration has seen that each has its end and is known. */
		hg_buf_str(&to, hg_str_cut(&rest, '{'));
		if (!rest.n) break;
		struct hg_str name = hg_str_cut(&rest, '}');
		for (size_t i = 0; i < n; i++)
			if (hg_str_eq(name, hg_str(words[i].name)))
				url_encode(&to, hg_str(words[i].value), "");
	}
	return hg_buf_take(&to);
}

static void version_of(const struct ro_run *run, uint32_t release, json_t *o, const char *key)
{
	struct fleet_release_info info;
	struct hg_err err = {0};
	enum hg_rc rc =
	        fleet_release_info(run->all->o.fleet, hg_str(run->conf.app), release, &info, &err);
	/* Only a name: without memory for it the service hears the number. */
	if (rc == HG_OK && info.version[0])
		(void)json_object_set_new(o, key, json_string(info.version));
}

static char *body_of(
        const struct ro_run *run, const struct ro_state *s, const char *when, const char *key)
{
	json_t *o = json_pack("{s:s,s:s,s:i,s:i,s:I,s:s,s:s,s:s,s:f,s:s}", "schema",
	        "headgate.gate/1", "app", run->conf.app, "release", (int)s->new_release, "previous",
	        (int)s->old_release, "rollout", (json_int_t)s->id, "strategy",
	        ro_strategy_name(s->rules.strategy), "when", when, "phase",
	        ro_phase_name(s->head.phase), "weight", (double)s->head.weight_ppm / RO_WHOLE,
	        "key", key);
	if (!o) return NULL;
	version_of(run, s->new_release, o, "version");
	version_of(run, s->old_release, o, "previous_version");
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

bool ro_hook_begin(struct ro_run *run, const struct ro_state *next, uint32_t i)
{
	const struct ro_gate_conf *c = &run->conf.gate[i];
	struct word words[] = {{"app", ""}, {"release", ""}, {"previous", ""}, {"rollout", ""},
	        {"weight", ""}, {"when", ""}};
	struct ro_hook *h = calloc(1, sizeof *h);
	char key[RO_NAME_MAX + 60];
	if (!h) return false;
	ro_hook_stop(run, i);
	h->run = run;
	h->gate = i;
	h->began_ms = clock_mono_ms();
	(void)snprintf(words[0].value, sizeof words[0].value, "%s", run->conf.app);
	(void)snprintf(words[1].value, sizeof words[1].value, "%u", next->new_release);
	(void)snprintf(words[2].value, sizeof words[2].value, "%u", next->old_release);
	(void)snprintf(words[3].value, sizeof words[3].value, "%llu", (unsigned long long)next->id);
	(void)snprintf(words[4].value, sizeof words[4].value, "%g",
	        (double)next->head.weight_ppm / RO_WHOLE);
	(void)snprintf(words[5].value, sizeof words[5].value, "%s", c->when);
	/* The time tells two data folders apart whose rollouts have the same numbers. */
	(void)snprintf(key, sizeof key, "%s-%llu-%u-%llu", run->conf.app,
	        (unsigned long long)next->id, i + 1, (unsigned long long)next->created_ms);
	(void)snprintf(h->key, sizeof h->key, "Idempotency-Key: \"%s\"", key);
	h->url = url_of(c->http, words, HG_COUNT(words));
	h->body = strcmp(c->method, "POST") == 0 ? body_of(run, next, c->when, key) : strdup("");
	if (!h->url || !h->body) {
		hook_free(h);
		return false;
	}
	run->gate[i].hook = h;
	ask(h);
	return true;
}
