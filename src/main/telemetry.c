/* What observe is told: the document of what to do, and the page on the board. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/alert/alert.h"
#include "control/fleet/fleet.h"
#include "face/api/api.h"
#include "main/main_priv.h"
#include "meter/board.h"
#include "observe/collect/conf.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/shm.h"
#include "spec/spec.h"

#define BOARD_MS   5000u /* observe reads it as often */
#define RETRY_MS   500u
#define SECRET_MAX 16384u

static void on_board(struct loop *l, struct loop_timer *t);
static void on_conf(struct loop *l, struct loop_timer *t);

void telemetry_init(struct telemetry *t, struct loop *loop, struct hg_log *log,
        const struct warden_child *child, struct fleet *fleet)
{
	*t = (struct telemetry){.loop = loop,
	        .log = log,
	        .child = child,
	        .fleet = fleet,
	        .board = board_open(child->board, child->board_size)};
	hg_buf_init(&t->page, BOARD_TEXT);
	hg_buf_init(&t->conf, OBSERVE_CONF_MAX);
}

void telemetry_fini(struct telemetry *t)
{
	if (!t->loop) return;
	loop_timer_stop(t->loop, &t->board_timer);
	loop_timer_stop(t->loop, &t->conf_timer);
	hg_buf_free(&t->page);
	hg_buf_free(&t->conf);
}

/* ---- the board ---- */

static void on_board(struct loop *l, struct loop_timer *timer)
{
	struct telemetry *t = HG_CONTAINER(timer, struct telemetry, board_timer);
	hg_buf_reset(&t->page);
	api_metrics_own(t->api, &t->page);
	/* What has no room is counted on the board; the page before it stays. */
	struct hg_str page =
	        t->page.failed ? (struct hg_str){NULL, BOARD_TEXT + 1} : hg_buf_view(&t->page);
	board_write(t->board, page, (uint32_t)getpid(), clock_mono_ms());
	if (loop_timer_start(l, &t->board_timer, BOARD_MS, on_board) < 0)
		hg_log(t->log, HG_ERROR, "telemetry.no_timer");
}

void telemetry_start(struct telemetry *t, struct api *api)
{
	t->api = api;
	if (t->board) on_board(t->loop, &t->board_timer);
}

/* ---- what to do ---- */

static enum hg_rc apps_of(const struct telemetry *t, const struct spec *s, struct hg_arena *a,
        struct observe_conf *to)
{
	struct observe_conf_app *apps = hg_arena_array(a, (size_t)s->app_count + 1, sizeof *apps);
	if (!apps) return HG_E_NOMEM;
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct spec_app *app = &s->apps[i];
		uint32_t id = fleet_app_id(t->fleet, app->name);
		if (!app->metrics.scrape.n || !id || to->app_n == OBSERVE_APPS_MAX) continue;
		apps[to->app_n++] = (struct observe_conf_app){.id = id,
		        .name = app->name,
		        .path = app->metrics.scrape,
		        .interval_ms = (uint32_t)app->metrics.every_ms,
		        .timeout_ms = (uint32_t)app->metrics.timeout_ms,
		        .sample_limit = (uint32_t)app->metrics.sample_limit};
	}
	to->apps = apps;
	return HG_OK;
}

static enum hg_rc targets_of(const struct spec *s, struct hg_arena *a, struct observe_conf *to)
{
	const struct spec_observe *o = &s->observe;
	struct observe_conf_target *targets =
	        hg_arena_array(a, (size_t)o->target_count + 1, sizeof *targets);
	if (!targets) return HG_E_NOMEM;
	for (uint32_t i = 0; i < o->target_count; i++) {
		const struct spec_target *from = &o->targets[i];
		struct observe_conf_target *t = &targets[to->target_n++];
		struct observe_conf_label *labels =
		        hg_arena_array(a, (size_t)from->label_count + 1, sizeof *labels);
		if (!labels) return HG_E_NOMEM;
		for (uint32_t k = 0; k < from->label_count; k++)
			labels[k] = (struct observe_conf_label){
			        from->labels[k].name, from->labels[k].value};
		*t = (struct observe_conf_target){.job = from->job,
		        .address = from->address,
		        .path = from->path,
		        .interval_ms = (uint32_t)from->every_ms,
		        .timeout_ms = (uint32_t)from->timeout_ms,
		        .sample_limit = (uint32_t)from->sample_limit,
		        .honor_labels = from->honor_labels,
		        .labels = labels,
		        .label_n = from->label_count};
	}
	to->targets = targets;
	return HG_OK;
}

/* ---- remote write ---- */

/* The value of a secret; empty without one, which the receiver will refuse. */
static struct hg_str secret_of(const struct telemetry *t, struct hg_str name, struct hg_arena *a)
{
	char path[512];
	struct hg_buf b;
	struct hg_str value = {0};
	if (!name.n) return value;
	hg_buf_init(&b, SECRET_MAX);
	int n = snprintf(
	        path, sizeof path, "%s/secrets/%.*s", t->child->data_dir, HG_STR_ARG(name));
	bool read = n > 0 && n < (int)sizeof path && file_read(path, SECRET_MAX, &b, NULL) == HG_OK;
	if (read) value = hg_arena_str(a, hg_str_trim(hg_buf_view(&b)));
	if (!value.n)
		hg_log(t->log, HG_WARN, "telemetry.no_secret", HG_V("secret", name),
		        HG_S("hint", "headgate secret set, then headgate reload"));
	hg_buf_free(&b);
	return value;
}

static const struct observe_conf_label *pairs_of(
        const struct spec_pair *from, uint32_t n, struct hg_arena *a)
{
	struct observe_conf_label *to = hg_arena_array(a, (size_t)n + 1, sizeof *to);
	for (uint32_t i = 0; to && i < n; i++)
		to[i] = (struct observe_conf_label){from[i].name, from[i].value};
	return to;
}

static const struct observe_conf_relabel *relabel_of(
        const struct spec_remote_write *w, struct hg_arena *a)
{
	static const char *const action[] = {
	        "replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"};
	struct observe_conf_relabel *to =
	        hg_arena_array(a, (size_t)w->relabel_count + 1, sizeof *to);
	for (uint32_t i = 0; to && i < w->relabel_count; i++) {
		const struct spec_relabel *r = &w->relabel[i];
		/* Prometheus lets some actions have a regex only: defaults are not written. */
		bool separator = !hg_str_eq(r->separator, HG_STR(";"));
		bool replacement = !hg_str_eq(r->replacement, HG_STR("$1"));
		to[i] = (struct observe_conf_relabel){.action = hg_str(action[r->action]),
		        .separator = separator ? r->separator : (struct hg_str){0},
		        .has_separator = separator,
		        .regex = r->regex,
		        .target = r->target_label,
		        .replacement = replacement ? r->replacement : (struct hg_str){0},
		        .has_replacement = replacement,
		        .source = r->source_labels,
		        .source_n = r->source_label_count};
	}
	return to;
}

static enum hg_rc remote_of(const struct telemetry *t, const struct spec *s, struct hg_arena *a,
        struct observe_conf *to)
{
	const struct spec_observe *o = &s->observe;
	struct observe_conf_remote_target *targets =
	        hg_arena_array(a, (size_t)o->remote_write_count + 1, sizeof *targets);
	to->remote = (struct observe_conf_remote){.receive = o->receive,
	        .labels = pairs_of(o->labels, o->label_count, a),
	        .label_n = o->label_count,
	        .targets = targets,
	        .target_n = HG_MIN(o->remote_write_count, OBSERVE_REMOTES_MAX)};
	if (!targets || !to->remote.labels) return HG_E_NOMEM;
	for (uint32_t i = 0; i < to->remote.target_n; i++) {
		const struct spec_remote_write *w = &o->remote_write[i];
		targets[i] = (struct observe_conf_remote_target){.name = w->name,
		        .url = w->url,
		        .user = w->user,
		        .password = secret_of(t, w->password, a),
		        .token = secret_of(t, w->token, a),
		        .headers = pairs_of(w->headers, w->header_count, a),
		        .header_n = w->header_count,
		        .timeout_ms = (uint32_t)w->timeout_ms,
		        .shards = (uint32_t)w->shards,
		        .relabel = relabel_of(w, a),
		        .relabel_n = w->relabel_count};
		if (!targets[i].headers || !targets[i].relabel) return HG_E_NOMEM;
	}
	return HG_OK;
}

static enum hg_rc rules_of(const struct spec *s, const struct alert_rules *rules,
        struct hg_arena *a, struct observe_conf *to)
{
	struct observe_conf_rule_file *files =
	        hg_arena_array(a, (size_t)rules->n + 1, sizeof *files);
	if (!files) return HG_E_NOMEM;
	for (uint32_t i = 0; i < rules->n; i++)
		files[i] =
		        (struct observe_conf_rule_file){rules->files[i].name, rules->files[i].text};
	to->rules = (struct observe_conf_rules){.files = files,
	        .file_n = rules->n,
	        .every_ms = (uint32_t)s->alerts.every_ms,
	        .url = s->alerts.url};
	return HG_OK;
}

static enum hg_rc conf_of(const struct telemetry *t, const struct spec *s,
        const struct alert_rules *rules, struct hg_arena *a, struct observe_conf *to)
{
	const struct spec_observe *o = &s->observe;
	observe_conf_defaults(to);
	to->store = (struct observe_conf_store){.keep_ms = o->keep_ms,
	        .keep_bytes = o->max_size_bytes,
	        .memory_bytes = o->memory_bytes,
	        .series_per_app = (uint32_t)o->series_per_app};
	enum hg_rc rc = apps_of(t, s, a, to);
	if (rc == HG_OK) rc = targets_of(s, a, to);
	if (rc == HG_OK) rc = remote_of(t, s, a, to);
	return rc < 0 ? rc : rules_of(s, rules, a, to);
}

static void send_conf(struct telemetry *t)
{
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_OBSERVE};
	int fd = shm_sealed("observe-conf", hg_buf_view(&t->conf));
	int rc = fd < 0 ? fd : sock_send(t->child->warden_fd, &m, sizeof m, &fd, 1);
	if (fd >= 0) close(fd);
	t->due = rc < 0 && rc != -EPIPE;
	if (!t->due) return;
	/* The warden is busy, or there is no memory: soon again. */
	if (rc != -EAGAIN)
		hg_log(t->log, HG_WARN, "telemetry.not_told", HG_S("error", strerror(-rc)));
	if (loop_timer_start(t->loop, &t->conf_timer, RETRY_MS, on_conf) < 0)
		hg_log(t->log, HG_ERROR, "telemetry.no_timer");
}

static void on_conf(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	send_conf(HG_CONTAINER(timer, struct telemetry, conf_timer));
}

void telemetry_apply(struct telemetry *t, const struct spec *s, const struct alert_rules *rules)
{
	struct hg_arena a;
	struct observe_conf c;
	hg_arena_init(&a, "telemetry", OBSERVE_CONF_MAX);
	enum hg_rc rc = conf_of(t, s, rules, &a, &c);
	hg_buf_reset(&t->conf);
	if (rc == HG_OK) observe_conf_write(&c, &t->conf);
	hg_arena_fini(&a);
	if (rc < 0 || t->conf.failed) {
		hg_log(t->log, HG_ERROR, "telemetry.too_large");
		return;
	}
	send_conf(t);
}
