/*
 * GET /v1/live: everything a page shows of the present, in one stream. The state is made once a
 * second for all readers (api_live), and each reader is given what changed since it last had room;
 * entries of the journal come behind it and are resumed as on /v1/events.
 */
#include "control/incident/incident.h"
#include "control/notify/notify.h"
#include "control/slo/slo.h"
#include "live_priv.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- apps ---- */

/* Rollouts that run, as members of their app's row. */
struct shown {
	struct hg_buf text;
	struct shown_one {
		char app[WD_NAME_MAX];
		size_t from, n; /* of `text` */
	} * at;
	size_t n, cap;
};

static bool shown_room(struct shown *s)
{
	if (s->n < s->cap) return true;
	size_t cap = s->cap ? s->cap * 2 : 16;
	struct shown_one *more = realloc(s->at, cap * sizeof *more);
	if (!more) return false;
	s->at = more;
	s->cap = cap;
	return true;
}

static void on_rollout(void *arg, const struct rollouts_view *v)
{
	struct shown *s = arg;
	struct json_out j;
	size_t from = s->text.n;
	if (!shown_room(s)) return;
	const struct {
		const char *key, *text;
	} words[] = {{"state", v->state}, {"phase", v->phase}, {"strategy", v->strategy},
	        {"verdict", v->verdict}, {"why", v->why}, {"new_version", v->new_version}};
	json_out_init(&j, &s->text);
	json_out_object(&j);
	json_out_key(&j, "id");
	json_out_u64(&j, v->id);
	for (size_t i = 0; i < HG_COUNT(words); i++) {
		json_out_key(&j, words[i].key);
		json_out_cstr(&j, words[i].text);
	}
	json_out_key(&j, "weight_set");
	json_out_num(&j, v->weight_set);
	json_out_key(&j, "weight_actual");
	json_out_num(&j, v->weight_actual);
	json_out_key(&j, "step");
	json_out_u64(&j, v->step);
	json_out_key(&j, "steps");
	json_out_u64(&j, v->steps);
	json_out_end(&j);
	if (!hg_str_copy(hg_str(v->app), s->at[s->n].app, sizeof s->at[s->n].app)) return;
	s->at[s->n].from = from;
	s->at[s->n++].n = s->text.n - from;
}

/* One waits for the other: the first of an app is the one that runs. */
static int by_app(const void *a, const void *b)
{
	const struct shown_one *x = a, *y = b;
	int order = strcmp(x->app, y->app);
	return order ? order : (x->from > y->from) - (x->from < y->from);
}

static void shown_make(struct shown *s, const struct api *a)
{
	*s = (struct shown){0};
	hg_buf_init(&s->text, LIVE_TEXT_MAX);
	if (a->d.rollouts) rollouts_each(a->d.rollouts, on_rollout, s);
	if (s->n) qsort(s->at, s->n, sizeof *s->at, by_app);
}

static void shown_free(struct shown *s)
{
	hg_buf_free(&s->text);
	free(s->at);
}

static void rollout_write(struct json_out *j, const struct shown *s, const char *app)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(s->at[mid].app, app) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	json_out_key(j, "rollout");
	if (low < s->n && strcmp(s->at[low].app, app) == 0 && !s->text.failed)
		json_out_raw(j, (struct hg_str){s->text.p + s->at[low].from, s->at[low].n});
	else
		json_out_null(j);
}

static void on_objective(void *arg, const struct slo_view *v)
{
	struct json_out *j = arg;
	json_out_object(j);
	json_out_key(j, "name");
	json_out_cstr(j, v->name);
	json_out_key(j, "objective");
	json_out_num(j, v->objective);
	json_out_key(j, "left");
	json_out_num(j, v->left);
	json_out_key(j, "burning");
	json_out_bool(j, v->burning);
	json_out_end(j);
}

/* A release's name is asked of the store, so not every second. */
static const char *version_of(const struct api *a, struct live_row *row, uint32_t release)
{
	struct fleet_release_info info;
	struct hg_err err = {0};
	if (row->release == release) return row->version;
	snprintf(row->version, sizeof row->version, "%u", release);
	if (fleet_release_info(a->d.fleet, hg_str(row->name), release, &info, &err) < 0)
		return row->version;
	row->release = release;
	if (info.version[0]) memcpy(row->version, info.version, sizeof row->version);
	return row->version;
}

static void head_write(struct json_out *j, const struct api *a, struct live_row *row,
        const struct fleet_app_status *s, const struct shown *rollouts)
{
	const struct {
		const char *key, *text;
	} words[] = {{"name", s->name}, {"version", version_of(a, row, s->release)},
	        {"phase", fleet_phase_name(s->phase)}, {"reason", s->reason}};
	const struct {
		const char *key;
		uint32_t v;
	} numbers[] = {{"release", s->release}, {"desired", s->desired}, {"ready", s->ready},
	        {"starting", s->starting}, {"total", s->total}, {"restarts", s->restarts}};
	json_out_object(j);
	for (size_t i = 0; i < HG_COUNT(words); i++) {
		json_out_key(j, words[i].key);
		json_out_cstr(j, words[i].text);
	}
	for (size_t i = 0; i < HG_COUNT(numbers); i++) {
		json_out_key(j, numbers[i].key);
		json_out_u64(j, numbers[i].v);
	}
	api_rates_write(j, a, s->name);
	api_maintenance_write(j, s);
	json_out_key(j, "routes");
	api_routes_write(j, s);
	json_out_key(j, "slo");
	json_out_array(j);
	if (a->d.slo) slo_each(a->d.slo, s->name, on_objective, j);
	json_out_end(j);
	rollout_write(j, rollouts, s->name);
	json_out_end(j);
}

/* The turn that all readers have seen. */
static uint64_t turn_least(const struct api_live *l)
{
	uint64_t least = l->turn;
	HG_LIST_EACH (node, &l->api->event_streams) {
		const struct event_stream *s = HG_CONTAINER(node, struct event_stream, node);
		if (s->live) least = HG_MIN(least, s->live->seen);
	}
	return least;
}

/* The app as it was in the last turn; NULL: it was not there, or elsewhere. */
static const struct fleet_app_status *app_before(
        const struct api_live *l, const struct fleet_app_status *now, uint32_t i)
{
	if (!l->last || i >= l->last->app_count) return NULL;
	return strcmp(l->last->apps[i].name, now->name) == 0 ? &l->last->apps[i] : NULL;
}

/* A false alarm by bytes between members costs no more than to look at the text. */
static bool replicas_same(const struct fleet_app_status *then, const struct fleet_app_status *now,
        uint32_t from, uint32_t n)
{
	if (!then || from + n > then->replica_count) return false;
	return n == 0 ||
	       memcmp(&then->replicas[from], &now->replicas[from], n * sizeof *now->replicas) == 0;
}

/* Texts of those alone that are others than in the last turn. */
static void replicas_make(struct api_live *l, struct live_replicas *list,
        const struct fleet_app_status *now, const struct fleet_app_status *then,
        struct hg_buf *fresh)
{
	bool partly = false;
	for (uint32_t i = 0; i < now->replica_count; i++) {
		struct live_replica *r =
		        live_replica_open(list, now->replicas[i].number, i, l->turn);
		struct json_out j;
		if (!r) {
			partly = true;
			continue;
		}
		if (r->part.turn && replicas_same(then, now, i, 1)) continue;
		json_out_init(&j, fresh);
		api_replica_write(&j, &now->replicas[i]);
		partly = partly || fresh->failed;
		live_replica_set(list, r, fresh, l->turn);
	}
	list->partly = partly;
	live_replicas_sweep(list, l->turn, turn_least(l));
}

static void rows_make(struct api_live *l, const struct fleet_status *s, struct hg_buf *fresh)
{
	struct api *a = l->api;
	struct json_out j;
	struct shown rollouts;
	shown_make(&rollouts, a);
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct fleet_app_status *now = &s->apps[i], *then = app_before(l, now, i);
		struct live_row *row = live_row_open(&l->rows, now->name, i);
		if (!row) continue;
		row->there.looked = l->turn;
		json_out_init(&j, fresh);
		head_write(&j, a, row, now, &rollouts);
		live_part_set(&row->head, fresh, l->turn);
		struct live_replicas *list = &row->replicas;
		if (list->turn && !list->partly && then &&
		        then->replica_count == now->replica_count &&
		        replicas_same(then, now, 0, now->replica_count))
			continue;
		replicas_make(l, list, now, then, fresh);
	}
	shown_free(&rollouts);
}

/* ---- the rest of the present ---- */

static void platform_make(struct api_live *l, const struct fleet_status *s, struct hg_buf *fresh)
{
	struct json_out j;
	json_out_init(&j, fresh);
	json_out_object(&j);
	api_platform_write(&j, l->api, s);
	json_out_end(&j);
	live_part_set(&l->platform, fresh, l->turn);
}

static void count_write(struct json_out *j, const char *key, uint32_t n)
{
	json_out_key(j, key);
	json_out_u64(j, n);
}

static void counts_make(struct api_live *l, struct hg_buf *fresh)
{
	const struct api_deps *d = &l->api->d;
	uint64_t now = clock_wall_ms();
	uint32_t firing = 0, silences = 0, open = 0;
	struct hg_err err = {0};
	struct json_out j;
	if (d->incidents && incidents_open(d->incidents, &open, &err) < 0) return;
	struct notify_state *n = d->notify ? notify_view(d->notify) : NULL;
	for (uint32_t i = 0; n && i < notify_alert_count(n); i++)
		firing += !notify_alert_resolved(notify_alert_at(n, i), now);
	for (uint32_t i = 0; n && i < notify_silence_count(n); i++)
		silences += notify_silence_state(notify_silence_at(n, i), now) == NOTIFY_ACTIVE;
	json_out_init(&j, fresh);
	json_out_object(&j);
	count_write(&j, "alerts_firing", firing);
	count_write(&j, "incidents_open", open);
	count_write(&j, "silences", silences);
	json_out_end(&j);
	live_part_set(&l->counts, fresh, l->turn);
}

/* ---- rollouts that are read ---- */

static void doc_make(struct api_live *l, struct live_doc *doc, struct hg_buf *fresh)
{
	struct rollouts *room = l->api->d.rollouts;
	struct hg_err err = {0};
	if (doc->over || !room) return;
	/* Asked before: what is shown then is how it ended. */
	bool over = !rollouts_running(room, doc->id);
	if (rollouts_show_json(room, doc->id, fresh, &err) == HG_OK) doc->over = over;
	if (err.rc != HG_OK) hg_buf_reset(fresh);
	if (fresh->n) live_part_set(&doc->part, fresh, l->turn);
}

static struct live_doc *doc_open(struct api_live *l, uint64_t id)
{
	HG_LIST_EACH (node, &l->docs) {
		struct live_doc *doc = HG_CONTAINER(node, struct live_doc, node);
		if (doc->id != id) continue;
		doc->readers++;
		return doc;
	}
	struct live_doc *doc = calloc(1, sizeof *doc);
	if (!doc) return NULL;
	doc->id = id;
	doc->readers = 1;
	live_part_init(&doc->part);
	hg_list_append(&l->docs, &doc->node);
	return doc;
}

static void doc_close(struct live_doc *doc)
{
	if (!doc || --doc->readers) return;
	hg_list_remove(&doc->node);
	live_part_free(&doc->part);
	free(doc);
}

/* ---- turns ---- */

/* Everything, as it is now. */
static void state_make(struct api_live *l, uint64_t now_ms, struct hg_buf *fresh)
{
	struct fleet_status *s;
	if (fleet_status(l->api->d.fleet, &s) < 0) return;
	rows_make(l, s, fresh);
	live_rows_sweep(&l->rows, l->turn, turn_least(l));
	platform_make(l, s, fresh);
	if (l->last) fleet_status_free(l->last);
	l->last = s;
	/* Silences begin and alerts end by themselves, without an entry of the journal. */
	if (!l->news && l->counted_ms && now_ms - l->counted_ms < LIVE_COUNTS_MS) return;
	l->news = false;
	l->counted_ms = now_ms;
	counts_make(l, fresh);
}

/* Timers are late and never early: a turn that is nearly due is due. */
static bool nearly(uint64_t last_ms, uint32_t every_ms, uint64_t now_ms)
{
	return now_ms - last_ms + LIVE_QUICK_MS / 4 >= every_ms;
}

static void turn(struct api_live *l, uint64_t now_ms, bool whole)
{
	struct hg_buf fresh;
	hg_buf_init(&fresh, LIVE_TEXT_MAX);
	l->turn++;
	if (whole) state_make(l, now_ms, &fresh);
	if (nearly(l->docs_ms, LIVE_QUICK_MS, now_ms)) {
		l->docs_ms = now_ms;
		HG_LIST_EACH (node, &l->docs) {
			doc_make(l, HG_CONTAINER(node, struct live_doc, node), &fresh);
		}
	}
	hg_buf_free(&fresh);
}

static bool docs_run(const struct api_live *l)
{
	HG_LIST_EACH (node, &l->docs) {
		if (!HG_CONTAINER(node, struct live_doc, node)->over) return true;
	}
	return false;
}

static void timer_set(struct api_live *l, uint64_t ms);

static void on_timer(struct loop *loop, struct loop_timer *t)
{
	(void)loop;
	struct api_live *l = HG_CONTAINER(t, struct api_live, timer);
	struct api *a = l->api;
	uint64_t now = clock_mono_ms();
	bool whole = nearly(l->ticked_ms, LIVE_TICK_MS, now);
	if (whole) l->ticked_ms = now;
	l->hurried = false;
	live_traces_tick(a, &l->traces, now, whole);
	if (a->live_count) turn(l, now, whole);
	HG_LIST_EACH_SAFE (node, after, &a->event_streams) {
		struct event_stream *s = HG_CONTAINER(node, struct event_stream, node);
		if (s->live && !s->full) api_live_push(s);
	}
	uint64_t left = LIVE_TICK_MS - HG_MIN(now - l->ticked_ms, (uint64_t)LIVE_TICK_MS - 1);
	timer_set(l, docs_run(l) ? HG_MIN(left, (uint64_t)LIVE_QUICK_MS) : left);
}

static void timer_set(struct api_live *l, uint64_t ms)
{
	struct api *a = l->api;
	if (loop_timer_start(a->d.loop, &l->timer, ms, on_timer) < 0 && a->d.log)
		hg_log(a->d.log, HG_ERROR, "api.no_timer");
}

/* A rollout may have another weight, or be over: its trace has a point of it. */
void api_live_news(struct api *a)
{
	struct api_live *l = a->live;
	l->news = true;
	if (l->hurried) return;
	l->hurried = true;
	timer_set(l, LIVE_SOON_MS);
}

/* ---- readers ---- */

static void event_write(struct hg_buf *to, const char *name, struct hg_str data)
{
	hg_buf_fmt(to, "event: %s\ndata: ", name);
	hg_buf_str(to, data);
	hg_buf_cstr(to, "\n\n");
}

/* With the id that the journal stands at, so that a client that is cut off before it has read its
 * first entry knows where to go on. */
static void hello_write(const struct event_stream *s, struct hg_buf *to)
{
	struct json_out j;
	hg_buf_fmt(to, "id: %llu\nevent: hello\ndata: ", (unsigned long long)s->last);
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "version");
	json_out_cstr(&j, HG_VERSION);
	json_out_key(&j, "now_ms");
	json_out_u64(&j, clock_wall_ms());
	json_out_key(&j, "who");
	json_out_cstr(&j, s->live->who);
	json_out_key(&j, "role");
	json_out_cstr(&j, api_role_name(s->live->role));
	json_out_key(&j, "started_ms");
	json_out_u64(&j, s->api->started_ms);
	json_out_end(&j);
	hg_buf_cstr(to, "\n\n");
}

static void part_write(
        const struct live_part *p, uint64_t seen, const char *name, struct hg_buf *to)
{
	if (p->turn > seen) event_write(to, name, hg_buf_view(&p->text));
}

/* Everything that changed after the turn `seen`, made once for all readers that have seen it. */
static const struct hg_buf *delta_make(struct api_live *l, uint64_t seen)
{
	struct hg_buf *to = &l->delta.text;
	if (l->delta.to == l->turn && l->delta.from == seen && !to->failed) return to;
	l->delta.from = seen;
	l->delta.to = l->turn;
	hg_buf_reset(to);
	part_write(&l->platform, seen, "platform", to);
	part_write(&l->counts, seen, "counts", to);
	size_t empty = to->n;
	hg_buf_cstr(to, "event: apps\ndata: ");
	if (live_rows_write(&l->rows, seen, to))
		hg_buf_cstr(to, "\n\n");
	else
		to->n = empty;
	return to;
}

static void trace_write(const struct api_live *l, struct live_reader *r, struct hg_buf *to)
{
	size_t empty = to->n;
	const struct live_trace *t = live_trace_find(&l->traces, r->rollout);
	hg_buf_cstr(to, "event: trace\ndata: ");
	if (live_trace_write(t, r->rollout, r->trace_begun, &r->traced, to))
		hg_buf_cstr(to, "\n\n");
	else
		to->n = empty;
	r->trace_begun = true;
}

static void clock_write(struct live_reader *r, struct hg_buf *to)
{
	uint64_t now = clock_mono_ms();
	if (now - r->told_ms < LIVE_CLOCK_MS) return;
	r->told_ms = now;
	hg_buf_fmt(to, "event: tick\ndata: {\"now_ms\":%llu}\n\n",
	        (unsigned long long)clock_wall_ms());
}

/* What is the reader's own. */
static void own_write(const struct api_live *l, struct live_reader *r, struct hg_buf *to)
{
	if (r->doc) part_write(&r->doc->part, r->seen, "rollout", to);
	if (r->rollout) trace_write(l, r, to);
	clock_write(r, to);
}

/* What there is no memory for is sent with the next turn: nothing of it counts as seen. */
void api_live_push(struct event_stream *s)
{
	struct api_live *l = s->api->live;
	struct live_reader *r = s->live, was = *r;
	struct hg_buf b;
	hg_buf_init(&b, LIVE_TEXT_MAX);
	if (!r->greeted) {
		hello_write(s, &b);
		if (!b.failed) api_stream_write(s, hg_buf_view(&b));
		r->greeted = !b.failed;
		hg_buf_reset(&b);
	}
	const struct hg_buf *delta = r->seen < l->turn ? delta_make(l, r->seen) : NULL;
	bool fine = r->greeted && (!delta || !delta->failed);
	if (fine) own_write(l, r, &b);
	if (fine && !b.failed) {
		if (delta && delta->n) api_stream_write(s, hg_buf_view(delta));
		if (b.n) api_stream_write(s, hg_buf_view(&b));
		r->seen = l->turn;
	} else {
		was.greeted = r->greeted;
		*r = was;
	}
	hg_buf_free(&b);
}

/* What nobody reads is not kept. */
static void state_free(struct api_live *l)
{
	live_rows_free(&l->rows);
	live_part_free(&l->platform);
	live_part_free(&l->counts);
	if (l->last) fleet_status_free(l->last);
	l->last = NULL;
	hg_buf_free(&l->delta.text);
	l->delta.to = 0;
	l->counted_ms = 0;
}

void api_live_gone(struct event_stream *s)
{
	struct api *a = s->api;
	doc_close(s->live->doc);
	free(s->live);
	s->live = NULL;
	if (--a->live_count == 0) state_free(a->live);
}

/* ---- opening ---- */

/* Fails for a rollout that there never was. */
static enum hg_rc rollout_check(struct api_request *r, uint64_t id, struct hg_err *err)
{
	struct hg_buf text;
	if (!r->api->d.rollouts)
		return hg_err_set(err, HG_E_AGAIN,
		        "rollouts are not available: control has not started them");
	hg_buf_init(&text, LIVE_TEXT_MAX);
	enum hg_rc rc = rollouts_show_json(r->api->d.rollouts, id, &text, err);
	hg_buf_free(&text);
	return rc;
}

enum hg_rc api_get_live(struct api_request *r, struct hg_err *err)
{
	struct api *a = r->api;
	uint64_t after, rollout = 0;
	bool from_now;
	enum hg_rc rc = api_stream_resume(r, &after, &from_now, err);
	if (rc == HG_OK) rc = api_query_u64(r, "rollout", INT64_MAX, &rollout, err);
	if (rc == HG_OK && rollout) rc = rollout_check(r, rollout, err);
	if (rc < 0) return rc;
	struct live_reader *reader = calloc(1, sizeof *reader);
	if (!reader) return hg_err_set(err, HG_E_NOMEM, "no memory for an event stream");
	*reader = (struct live_reader){
	        .rollout = rollout, .role = r->role, .told_ms = clock_mono_ms()};
	(void)hg_str_copy(hg_str(r->who), reader->who, sizeof reader->who);
	rc = api_stream_open(r, after, from_now, reader, err);
	if (rc < 0) return rc;
	if (rollout) reader->doc = doc_open(a->live, rollout);
	/* The first one has to be told at once, too, and so has the first of a rollout. */
	bool first = a->live_count++ == 0;
	if (rollout) a->live->docs_ms = 0;
	if (first || rollout) turn(a->live, clock_mono_ms(), first);
	if (docs_run(a->live)) timer_set(a->live, LIVE_QUICK_MS);
	return HG_OK;
}

enum hg_rc api_live_new(struct api *a, struct hg_err *err)
{
	struct api_live *l = calloc(1, sizeof *l);
	if (!l) return hg_err_set(err, HG_E_NOMEM, "no memory for the API");
	l->api = a;
	hg_list_init(&l->traces);
	hg_list_init(&l->docs);
	live_part_init(&l->platform);
	live_part_init(&l->counts);
	hg_buf_init(&l->delta.text, LIVE_TEXT_MAX);
	l->ticked_ms = clock_mono_ms();
	enum hg_rc rc = loop_timer_start(a->d.loop, &l->timer, LIVE_TICK_MS, on_timer);
	if (rc < 0) {
		free(l);
		return hg_err_set(err, rc, "could not start a timer");
	}
	a->live = l;
	return HG_OK;
}

void api_live_free(struct api_live *l)
{
	if (!l) return;
	loop_timer_stop(l->api->d.loop, &l->timer);
	live_traces_free(&l->traces);
	state_free(l);
	free(l);
}
