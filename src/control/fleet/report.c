/* Journal, log and watchers: what happened, with its evidence. */
#include "control/fleet/report_priv.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "wire/json.h"

#define REPORT_MAX       (64u * 1024)
#define REPORTERS_MAX    32u
#define REPORT_WAIT_MS   400u /* for the log store to have read the pipe */
#define REPORT_ANSWER_MS 600u

void fleet_exit_text(int status, char *to, size_t cap)
{
	if (WIFEXITED(status))
		(void)snprintf(to, cap, "exit status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		(void)snprintf(to, cap, "killed by signal %d (SIG%s)%s", WTERMSIG(status),
		        sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?",
		        WCOREDUMP(status) ? ", core dumped" : "");
	else
		(void)snprintf(to, cap, "status %d", status);
}

static void size_text(uint64_t bytes, char *to, size_t cap)
{
	static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB"};
	unsigned u = 0;
	double v = (double)bytes / 1024;
	for (; v >= 1024 && u + 1 < HG_COUNT(unit); u++)
		v /= 1024;
	(void)snprintf(to, cap, "%.4g %s", v, unit[u]);
}

void fleet_replica_exit(const struct fleet_replica *r, char *to, size_t cap)
{
	char limit[32] = "unknown";
	int bits = r->exit_status & (WD_STATUS_OOM | WD_STATUS_OVER);
	const struct fleet_release *rel = fleet_release_known(r->app, fleet_core(r)->release);
	if (!bits) {
		fleet_exit_text(r->exit_status, to, cap);
		return;
	}
	if (rel && rel->memory_max) size_text(rel->memory_max, limit, sizeof limit);
	(void)snprintf(to, cap, "out of memory: limit %s, ended by %s", limit,
	        bits & WD_STATUS_OOM ? "the kernel" : "Headgate");
}

void fleet_store_result(struct fleet *f, enum hg_rc rc, const struct hg_err *err)
{
	bool failing = rc < 0;
	if (failing == f->store_failing) return;
	f->store_failing = failing;
	if (!f->o.log) return;
	if (failing)
		hg_log(f->o.log, HG_ERROR, "store.failing", HG_S("error", err->message));
	else
		hg_log(f->o.log, HG_INFO, "store.recovered");
}

void fleet_journal_tell(struct fleet *f, const struct store_event *e)
{
	HG_LIST_EACH_SAFE (node, after, &f->watches) {
		struct fleet_watch *w = HG_CONTAINER(node, struct fleet_watch, node);
		w->fn(w->arg, e);
	}
}

/* The oldest goes without a number: the store has refused to write for long. */
static void pending_overflow(struct fleet *f)
{
	struct fleet_pending *p = HG_CONTAINER(f->pending.next, struct fleet_pending, node);
	hg_list_remove(&p->node);
	f->pending_count--;
	fleet_journal_tell(f, &p->e);
	free(p);
}

void fleet_journal(struct fleet *f, const char *kind, const struct fleet_app *a, uint32_t release,
        uint32_t replica, const char *detail)
{
	const char *text = detail ? detail : "{}";
	size_t n = strlen(text) + 1;
	if (f->o.log)
		hg_log(f->o.log, HG_INFO, kind, HG_S("app", a ? a->name : ""),
		        HG_I("release", release), HG_I("replica", replica), HG_S("detail", text));
	if (f->pending_count >= FLEET_PENDING_MAX) pending_overflow(f);
	struct fleet_pending *p = calloc(1, sizeof *p + n);
	if (!p) return;
	memcpy(p->text, text, n);
	(void)hg_str_copy(hg_str(kind), p->kind, sizeof p->kind);
	(void)hg_str_copy(hg_str(a ? a->name : ""), p->app, sizeof p->app);
	p->e = (struct store_event){
	        .ts_ms = clock_wall_ms(),
	        .kind = hg_str(p->kind),
	        .app = hg_str(p->app),
	        .release = release,
	        .replica = replica,
	        .text = hg_str(p->text),
	};
	hg_list_append(&f->pending, &p->node);
	f->pending_count++;
	fleet_kick(f);
}

void fleet_watch_start(struct fleet *f, struct fleet_watch *w, fleet_event_fn fn, void *arg)
{
	w->fn = fn;
	w->arg = arg;
	hg_list_append(&f->watches, &w->node);
}

void fleet_watch_stop(struct fleet_watch *w)
{
	hg_list_remove(&w->node);
}

/* ---- last lines of a replica that died ---- */

struct fleet_reporter {
	struct hg_list node;
	struct fleet *f;
	struct loop_timer timer;
	struct prober *prober;
	const char *kind;
	uint32_t app_id, release, replica;
	char app[WD_NAME_MAX];
	struct fleet_death death;
};

/* The `text` of each entry of the log store's answer: one JSON object a line, or one document
 * with them under "lines" or "entries". */
static void lines_of(struct hg_str body, json_t *to)
{
	json_t *doc = json_loadb(body.p, body.n, 0, NULL), *list = doc, *v;
	size_t i;
	if (json_is_object(doc)) {
		list = json_object_get(doc, "lines");
		if (!list) list = json_object_get(doc, "entries");
		if (!list) list = json_object_get(doc, "items");
	}
	if (json_is_array(list)) {
		json_array_foreach(list, i, v)
		{
			json_t *text = json_is_object(v) ? json_object_get(v, "text") : v;
			if (json_is_string(text)) json_array_append(to, text);
		}
	}
	json_decref(doc);
	if (json_array_size(to) > 0) return;
	json_int_t last = 0;
	while (body.n > 0) {
		struct hg_str line = hg_str_cut(&body, '\n');
		json_t *entry = json_loadb(line.p, line.n, 0, NULL);
		json_t *text = json_object_get(entry, "text");
		/* The newest come first; people read them the other way round. */
		json_int_t seq = json_integer_value(json_object_get(entry, "seq"));
		if (json_is_string(text))
			json_array_insert(to, seq < last ? 0 : json_array_size(to), text);
		last = seq;
		json_decref(entry);
	}
}

static void death_write(const struct fleet_death *d, struct hg_str body, struct hg_buf *to)
{
	struct json_out j;
	json_t *lines = json_array(), *v;
	size_t i;
	if (body.n && lines) lines_of(body, lines);
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "exit");
	json_out_cstr(&j, d->exit);
	json_out_key(&j, "status");
	json_out_int(&j, d->status);
	if (d->reason[0]) {
		json_out_key(&j, "reason");
		json_out_cstr(&j, d->reason);
	}
	json_out_key(&j, "ran_ms");
	json_out_u64(&j, d->ran_ms);
	json_out_key(&j, "next_start_ms");
	json_out_u64(&j, d->wait_ms);
	json_out_key(&j, "ends_in_a_row");
	json_out_u64(&j, d->streak);
	json_out_key(&j, "lines");
	json_out_array(&j);
	size_t n = json_array_size(lines),
	       from = n > FLEET_REPORT_LINES ? n - FLEET_REPORT_LINES : 0;
	json_array_foreach(lines, i, v)
	{
		if (i >= from)
			json_out_str(
			        &j, (struct hg_str){json_string_value(v), json_string_length(v)});
	}
	json_out_end(&j);
	json_out_end(&j);
	json_decref(lines);
	if (!json_out_ok(&j)) hg_buf_reset(to);
}

static void reporter_free(struct fleet_reporter *p)
{
	loop_timer_stop(p->f->o.loop, &p->timer);
	prober_stop(p->prober);
	hg_list_remove(&p->node);
	p->f->reporter_count--;
	free(p);
}

static void death_journal(struct fleet *f, const char *kind, const char *app, uint32_t release,
        uint32_t replica, const struct fleet_death *d, struct hg_str body)
{
	struct hg_buf text;
	hg_buf_init(&text, REPORT_MAX * 2);
	death_write(d, body, &text);
	fleet_journal(f, kind, fleet_app_find(f, hg_str(app)), release, replica,
	        text.n ? hg_buf_text(&text) : NULL);
	hg_buf_free(&text);
}

static void reporter_end(struct fleet_reporter *p, struct hg_str body)
{
	death_journal(p->f, p->kind, p->app, p->release, p->replica, &p->death, body);
	reporter_free(p);
}

static void on_lines(void *arg, const struct prober_result *res)
{
	struct fleet_reporter *p = arg;
	reporter_end(p, res->status == 200 ? res->body : HG_STR(""));
}

static void on_wait(struct loop *l, struct loop_timer *t)
{
	struct fleet_reporter *p = HG_CONTAINER(t, struct fleet_reporter, timer);
	char path[256], place[200];
	struct sock_addr addr;
	(void)snprintf(place, sizeof place, "unix:%s/run/observe.sock", p->f->o.child->data_dir);
	(void)snprintf(path, sizeof path, "/v1/logs?app=%s&release=%u&replica=%u&limit=%u", p->app,
	        p->release, p->replica, FLEET_REPORT_LINES);
	struct prober_target target = {.addr = &addr,
	        .path = path,
	        .timeout_ms = REPORT_ANSWER_MS,
	        .body_max = REPORT_MAX};
	if (!sock_addr_parse(hg_str(place), &addr) ||
	        prober_start(l, &target, on_lines, p, &p->prober) < 0)
		reporter_end(p, HG_STR(""));
}

void fleet_death_report(struct fleet_replica *r, const char *kind, const struct fleet_death *d)
{
	struct fleet *f = r->f;
	const struct fl_replica *c = fleet_core(r);
	struct fleet_reporter *p = NULL;
	/* A process that never ran has written nothing. */
	if (d->ran && f->reporter_count < REPORTERS_MAX) p = calloc(1, sizeof *p);
	if (!p) {
		death_journal(f, kind, r->app->name, c->release, c->number, d, HG_STR(""));
		return;
	}
	*p = (struct fleet_reporter){
	        .f = f, .kind = kind, .release = c->release, .replica = c->number, .death = *d};
	(void)hg_str_copy(hg_str(r->app->name), p->app, sizeof p->app);
	hg_list_append(&f->reporters, &p->node);
	f->reporter_count++;
	if (loop_timer_start(f->o.loop, &p->timer, REPORT_WAIT_MS, on_wait) < 0)
		reporter_end(p, HG_STR(""));
}

void fleet_reports_stop(struct fleet *f)
{
	for (struct hg_list *n; (n = hg_list_pop(&f->reporters));)
		reporter_free(HG_CONTAINER(n, struct fleet_reporter, node));
}

/* ---- events of the decision ---- */

static void report_death(struct fleet_replica *r, const struct fl_action *a, const char *kind)
{
	const struct fl_replica *c = fleet_core(r);
	struct fleet_death d = {
	        .ran = r->has_exited && r->exit_ms >= r->started_ms && r->started_ms > 0,
	        .status = r->exit_status & WD_STATUS_MASK,
	        .wait_ms = a->wait_ms,
	        .streak = c->backoff.streak,
	};
	if (d.ran) {
		d.ran_ms = r->exit_ms - r->started_ms;
		fleet_replica_exit(r, d.exit, sizeof d.exit);
	} else {
		(void)snprintf(d.exit, sizeof d.exit, "not started");
	}
	(void)hg_str_copy(hg_str(r->reason), d.reason, sizeof d.reason);
	fleet_death_report(r, kind, &d);
}

void fleet_report(struct fleet_replica *r, const struct fl_action *a)
{
	static const char *const kind[FL_EVENTS] = {
	        [FL_EV_CREATED] = "replica.created",
	        [FL_EV_STARTED] = "replica.started",
	        [FL_EV_READY] = "replica.ready",
	        [FL_EV_UNREADY] = "replica.unready",
	        [FL_EV_RETIRED] = "replica.retired",
	        [FL_EV_PROBE_FAILED] = "replica.probe_failed",
	        [FL_EV_KILLED] = "replica.killed",
	        [FL_EV_EXITED] = "replica.stopped",
	        [FL_EV_DIED] = "replica.died",
	        [FL_EV_DIED_STARTING] = "replica.start_failed",
	        [FL_EV_CRASH_LOOP] = "replica.crash_loop",
	};
	const struct fl_replica *c = fleet_core(r);
	struct hg_buf text;
	struct json_out j;
	if (a->event == FL_EV_DIED || a->event == FL_EV_DIED_STARTING) {
		report_death(r, a, kind[a->event]);
		return;
	}
	hg_buf_init(&text, REPORT_MAX);
	json_out_init(&j, &text);
	json_out_object(&j);
	if (r->pid > 0) {
		json_out_key(&j, "pid");
		json_out_int(&j, r->pid);
		json_out_key(&j, "address");
		json_out_cstr(&j, r->address);
	}
	if (a->event == FL_EV_EXITED && r->has_exited) {
		char exit[64];
		fleet_replica_exit(r, exit, sizeof exit);
		json_out_key(&j, "exit");
		json_out_cstr(&j, exit);
	}
	if (a->event == FL_EV_STARTED && r->started_ms) {
		uint64_t wall = clock_wall_ms();
		json_out_key(&j, "after_ms");
		json_out_u64(&j, wall > r->started_ms ? wall - r->started_ms : 0);
	}
	if (r->reason[0]) {
		json_out_key(&j, "reason");
		json_out_cstr(&j, r->reason);
	}
	if (a->wait_ms) {
		json_out_key(&j, "next_start_ms");
		json_out_u64(&j, a->wait_ms);
	}
	json_out_end(&j);
	fleet_journal(r->f, kind[a->event], r->app, c->release, c->number,
	        json_out_ok(&j) ? hg_buf_text(&text) : NULL);
	hg_buf_free(&text);
}
