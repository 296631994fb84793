/* The configuration as people who know Prometheus read it: its keys, every default written out, no
 * secret. */
#include "observe/host/host_priv.h"

#include "observe/rules/rules.h"
#include "observe/scrape/scrape.h"
#include "wire/json.h"

/* A text of JSON is one of YAML. */
static void key(struct hg_buf *to, const char *name, struct hg_str value)
{
	hg_buf_cstr(to, name);
	hg_buf_cstr(to, ": ");
	json_quote(to, value);
	hg_buf_byte(to, '\n');
}

static void span(struct hg_buf *to, const char *name, uint64_t ms)
{
	if (ms % 1000)
		hg_buf_fmt(to, "%s: %llums\n", name, (unsigned long long)ms);
	else
		hg_buf_fmt(to, "%s: %llus\n", name, (unsigned long long)ms / 1000);
}

/* {"a": "b"}, without a line feed; `hide`: the values are nobody's business. */
static void map(struct hg_buf *to, const struct observe_conf_label *at, uint32_t n, bool hide)
{
	hg_buf_byte(to, '{');
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_buf_cstr(to, ", ");
		json_quote(to, at[i].name);
		hg_buf_cstr(to, ": ");
		json_quote(to, hide ? HG_STR("<secret>") : at[i].value);
	}
	hg_buf_byte(to, '}');
}

static void global(const struct observe_conf *c, struct hg_buf *to)
{
	hg_buf_cstr(to, "global:\n");
	span(to, "  scrape_interval", SCRAPE_INTERVAL_MS);
	span(to, "  scrape_timeout", SCRAPE_TIMEOUT_MS);
	span(to, "  evaluation_interval", c->rules.every_ms ? c->rules.every_ms : RULES_EVERY_MS);
	if (!c->remote.label_n) return;
	hg_buf_cstr(to, "  external_labels: ");
	map(to, c->remote.labels, c->remote.label_n, false);
	hg_buf_byte(to, '\n');
}

static void storage(const struct observe_conf *c, struct hg_buf *to)
{
	hg_buf_cstr(to, "storage:\n  tsdb:\n    retention:\n");
	span(to, "      time", c->store.keep_ms);
	hg_buf_fmt(to, "      size: %lluB\n", (unsigned long long)c->store.keep_bytes);
}

static void rule_files(const struct observe_conf *c, struct hg_buf *to)
{
	if (c->rules.file_n) hg_buf_cstr(to, "rule_files:\n");
	for (uint32_t i = 0; i < c->rules.file_n; i++) {
		hg_buf_cstr(to, "- ");
		json_quote(to, c->rules.files[i].name);
		hg_buf_byte(to, '\n');
	}
}

struct asked {
	struct hg_str job, path;
	uint32_t interval_ms, timeout_ms, sample_limit;
};

static void job(struct hg_buf *to, const struct asked *a)
{
	uint32_t every = a->interval_ms ? a->interval_ms : SCRAPE_INTERVAL_MS;
	uint32_t timeout = a->timeout_ms ? a->timeout_ms : SCRAPE_TIMEOUT_MS;
	key(to, "- job_name", a->job);
	span(to, "  scrape_interval", every);
	span(to, "  scrape_timeout", HG_MIN(timeout, every));
	key(to, "  metrics_path", a->path.n ? a->path : HG_STR("/metrics"));
	if (a->sample_limit) hg_buf_fmt(to, "  sample_limit: %u\n", a->sample_limit);
}

static void scrape_configs(const struct observe_conf *c, struct hg_buf *to)
{
	if (c->app_n + c->target_n) hg_buf_cstr(to, "scrape_configs:\n");
	for (uint32_t i = 0; i < c->app_n; i++) {
		const struct observe_conf_app *a = &c->apps[i];
		job(to, &(struct asked){
		                a->name, a->path, a->interval_ms, a->timeout_ms, a->sample_limit});
		hg_buf_cstr(to, "  # its replicas, wherever they are\n");
	}
	for (uint32_t i = 0; i < c->target_n; i++) {
		const struct observe_conf_target *t = &c->targets[i];
		job(to, &(struct asked){
		                t->job, t->path, t->interval_ms, t->timeout_ms, t->sample_limit});
		if (t->honor_labels) hg_buf_cstr(to, "  honor_labels: true\n");
		hg_buf_cstr(to, "  static_configs:\n  - targets: [");
		json_quote(to, t->address);
		hg_buf_cstr(to, "]\n");
		if (!t->label_n) continue;
		hg_buf_cstr(to, "    labels: ");
		map(to, t->labels, t->label_n, false);
		hg_buf_byte(to, '\n');
	}
}

/* What may stand in front of the host is a secret. */
static void url(struct hg_buf *to, struct hg_str s)
{
	size_t host = hg_str_find(s, ':') + 3, at = HG_MIN(host, s.n);
	while (at < s.n && s.p[at] != '@' && s.p[at] != '/')
		at++;
	if (at >= s.n || s.p[at] != '@') {
		key(to, "- url", s);
		return;
	}
	struct hg_buf b;
	hg_buf_init(&b, s.n + 32);
	hg_buf_str(&b, (struct hg_str){s.p, host});
	hg_buf_cstr(&b, "<secret>");
	hg_buf_str(&b, (struct hg_str){s.p + at, s.n - at});
	key(to, "- url", hg_buf_view(&b));
	hg_buf_free(&b);
}

static void relabel(struct hg_buf *to, const struct observe_conf_relabel *r)
{
	key(to, "  - action", r->action.n ? r->action : HG_STR("replace"));
	if (r->source_n) hg_buf_cstr(to, "    source_labels: [");
	for (uint32_t i = 0; i < r->source_n; i++) {
		if (i) hg_buf_cstr(to, ", ");
		json_quote(to, r->source[i]);
	}
	if (r->source_n) hg_buf_cstr(to, "]\n");
	if (r->has_separator) key(to, "    separator", r->separator);
	if (r->regex.n) key(to, "    regex", r->regex);
	if (r->target.n) key(to, "    target_label", r->target);
	if (r->has_replacement) key(to, "    replacement", r->replacement);
}

static void remote(const struct observe_conf *c, struct hg_buf *to)
{
	if (c->remote.target_n) hg_buf_cstr(to, "remote_write:\n");
	for (uint32_t i = 0; i < c->remote.target_n; i++) {
		const struct observe_conf_remote_target *t = &c->remote.targets[i];
		url(to, t->url);
		key(to, "  name", t->name);
		if (t->timeout_ms) span(to, "  remote_timeout", t->timeout_ms);
		if (t->user.n) {
			key(to, "  basic_auth:\n    username", t->user);
			hg_buf_cstr(to, "    password: <secret>\n");
		}
		if (t->token.n) hg_buf_cstr(to, "  authorization:\n    credentials: <secret>\n");
		if (t->header_n) {
			hg_buf_cstr(to, "  headers: ");
			map(to, t->headers, t->header_n, true);
			hg_buf_byte(to, '\n');
		}
		if (t->relabel_n) hg_buf_cstr(to, "  write_relabel_configs:\n");
		for (uint32_t k = 0; k < t->relabel_n; k++)
			relabel(to, &t->relabel[k]);
	}
}

void host_conf_show(const struct observe_conf *c, struct hg_buf *to)
{
	global(c, to);
	storage(c, to);
	rule_files(c, to);
	scrape_configs(c, to);
	remote(c, to);
}
