#include "remote_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/work.h"
#include "wire/base64.h"

/*
 * A target is sent passes: each takes the samples of a span of time, series by series in the order
 * of their labels, and ends when every batch of it is acknowledged or refused for good. Then the
 * position moves to the end of the span.
 *
 * Before a pass begins its span is written down, on a thread, since the disk is waited for: after
 * a loss of power, too, the position is one that was. After a kill the same span is read again and
 * cut into the same batches: a batch that had arrived is a double as a whole, which receivers drop
 * or refuse as a whole (Prometheus 2 rolls a request back for one old sample), one that had not is
 * new as a whole.
 *
 * Samples that come late into a span that has passed (a slow scrape, an exporter's own timestamps)
 * are found because for each series the newest that was sent is known.
 */
#define RAW_MAX  (32u << 20) /* of a request before compression */
#define LATE_MS  600000      /* how far behind the position a sample is still looked for */
#define HOLD_MS  2000        /* a selection keeps windows from closing: not for long */
#define LOOK_MAX 20000u      /* series that are looked at between two turns of the loop … */
#define READ_MAX 4000u       /* … and read */
#define AGAIN_MS 1000u
#define WHY_MAX  200u

enum batch_state { BATCH_FREE, BATCH_FLYING, BATCH_WAITING };

struct batch {
	struct target *t;
	enum batch_state state;
	struct hg_buf body; /* compressed */
	uint32_t samples, tries;
	struct fetch_call *call;
	struct loop_timer timer; /* WAITING: until the next try */
};

/* By the low half of a series' ref. */
struct sent {
	uint32_t generation;
	int64_t t_ms;
};

struct target {
	struct target_place place;
	struct hg_arena arena;  /* settings */
	struct hg_buf settings; /* all of them, as one text to compare */
	char name[REMOTE_NAME_MAX + 1];
	struct hg_str url, ca_pem;
	const char *headers[FETCH_HEADERS_MAX];
	uint32_t header_n;
	struct label *external;
	struct relabel *relabel;
	uint32_t batch_samples, batch_ms, shards, timeout_ms;

	struct position at;
	bool passing;     /* a pass is under way: from at.passed_ms to at.until_ms */
	bool read;        /* … and all of its series were read */
	bool begun;       /* where it stands is known */
	int64_t start_ms; /* nothing older is looked for */
	int64_t high_ms;  /* what had passed when the clock was set back … */
	int64_t low_ms;   /* … and before it leapt ahead */
	int64_t wall_ms;  /* the clock when it was last looked at */
	struct work *keeping;
	struct position kept; /* the thread's, as long as there is one */
	int kept_rc;
	uint64_t due_ms; /* on the loop's clock: when the next pass begins */
	struct tsdb_selection *selection;
	uint32_t next;
	struct labels cursor; /* a copy: the last series that was read */
	struct sent *sent;
	uint32_t sent_n;
	struct hg_buf raw;
	uint32_t raw_samples;
	struct tsdb_samples samples;
	struct labels_builder builder;
	struct hg_arena texts;
	struct batch batch[REMOTE_SHARDS_MAX];
	struct loop_timer timer, hold;
	struct hg_rand rand;
	struct remote_status count;
	char why[WHY_MAX];
};

static void step(struct target *t);

/* ------------------------------------------------------------------ settings */

static void settings_str(struct hg_buf *b, struct hg_str s)
{
	hg_buf_u64(b, s.n);
	hg_buf_byte(b, ':');
	hg_buf_str(b, s);
}

/* Every setting in one text: two of the same text behave the same. */
static void settings_write(
        const struct target_place *place, const struct remote_target_conf *c, struct hg_buf *b)
{
	const struct hg_str texts[] = {c->name, c->url, c->user, c->password, c->bearer, c->ca_pem};
	for (size_t i = 0; i < HG_COUNT(texts); i++)
		settings_str(b, texts[i]);
	hg_buf_fmt(b, "%u %u %u %u %u", c->batch_samples, c->batch_ms, c->shards, c->timeout_ms,
	        c->header_n);
	for (uint32_t i = 0; i < c->header_n; i++) {
		settings_str(b, c->headers[i].name);
		settings_str(b, c->headers[i].value);
	}
	for (uint32_t i = 0; i < place->external_n; i++) {
		settings_str(b, place->external[i].name);
		settings_str(b, place->external[i].value);
	}
	for (uint32_t i = 0; i < c->relabel_n; i++) {
		const struct relabel_conf *r = &c->relabel[i];
		hg_buf_fmt(b, "R%d %u %" PRIu64, (int)r->action, r->source_n, r->modulus);
		for (uint32_t k = 0; k < r->source_n; k++)
			settings_str(b, r->source[k]);
		const struct hg_str more[] = {r->separator, r->regex, r->target, r->replacement};
		for (size_t k = 0; k < HG_COUNT(more); k++) {
			hg_buf_byte(b, more[k].p ? 'g' : 'n');
			settings_str(b, more[k]);
		}
	}
}

bool target_is(const struct target *t, const struct target_place *place,
        const struct remote_target_conf *conf)
{
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	settings_write(place, conf, &b);
	bool same = !b.failed && hg_str_eq(hg_buf_view(&b), hg_buf_view(&t->settings));
	hg_buf_free(&b);
	return same;
}

/* A line of the head, kept in the arena. */
static bool header_add(struct target *t, struct hg_str name, struct hg_str value)
{
	HG_ASSERT(t->header_n < FETCH_HEADERS_MAX);
	char *line = hg_arena_take(&t->arena, name.n + value.n + 3);
	if (!line) return false;
	(void)snprintf(
	        line, name.n + value.n + 3, "%.*s: %.*s", HG_STR_ARG(name), HG_STR_ARG(value));
	t->headers[t->header_n++] = line;
	return true;
}

static bool authorization_add(struct target *t, const struct remote_target_conf *c)
{
	struct hg_buf plain, value;
	if (!c->user.n && !c->bearer.n) return true;
	hg_buf_init(&plain, 1 << 16);
	hg_buf_init(&value, 1 << 17);
	hg_buf_cstr(&value, c->bearer.n ? "Bearer " : "Basic ");
	if (c->bearer.n) {
		hg_buf_str(&value, c->bearer);
	} else {
		hg_buf_str(&plain, c->user);
		hg_buf_byte(&plain, ':');
		hg_buf_str(&plain, c->password);
		base64_encode(&value, hg_buf_view(&plain));
	}
	bool good = !plain.failed && !value.failed &&
	            header_add(t, HG_STR("Authorization"), hg_buf_view(&value));
	hg_buf_free(&plain);
	hg_buf_free(&value);
	return good;
}

static bool headers_make(struct target *t, const struct remote_target_conf *c)
{
	if (!header_add(t, HG_STR("Content-Type"), HG_STR("application/x-protobuf")) ||
	        !header_add(t, HG_STR("Content-Encoding"), HG_STR("snappy")) ||
	        !header_add(t, HG_STR("X-Prometheus-Remote-Write-Version"), HG_STR("0.1.0")) ||
	        !header_add(t, HG_STR("User-Agent"), HG_STR("headgate/" HG_VERSION)) ||
	        !authorization_add(t, c))
		return false;
	for (uint32_t i = 0; i < c->header_n; i++)
		if (!header_add(t, c->headers[i].name, c->headers[i].value)) return false;
	return true;
}

static bool settings_copy(struct target *t, const struct remote_target_conf *c)
{
	(void)hg_str_copy(c->name, t->name, sizeof t->name);
	t->url = hg_arena_str(&t->arena, c->url);
	t->ca_pem = hg_arena_str(&t->arena, c->ca_pem);
	t->batch_samples = c->batch_samples ? c->batch_samples : REMOTE_BATCH_SAMPLES;
	t->batch_ms = c->batch_ms ? c->batch_ms : REMOTE_BATCH_MS;
	t->shards = c->shards ? c->shards : REMOTE_SHARDS;
	t->timeout_ms = c->timeout_ms ? c->timeout_ms : REMOTE_TIMEOUT_MS;
	t->external = hg_arena_array(&t->arena, t->place.external_n + 1, sizeof *t->external);
	if (!t->url.p || !t->ca_pem.p || !t->external) return false;
	for (uint32_t i = 0; i < t->place.external_n; i++) {
		const struct label *l = &t->place.external[i];
		t->external[i] = (struct label){
		        hg_arena_str(&t->arena, l->name), hg_arena_str(&t->arena, l->value)};
		if (!t->external[i].name.p || !t->external[i].value.p) return false;
	}
	t->place.external = t->external;
	settings_write(&t->place, c, &t->settings);
	return !t->settings.failed && headers_make(t, c);
}

/* ------------------------------------------------------------------ what the log says */

static void failing(struct target *t, const char *why)
{
	(void)hg_str_copy(hg_str(why), t->why, sizeof t->why);
	if (t->count.failing) return;
	t->count.failing = true;
	if (t->place.log)
		hg_log(t->place.log, HG_WARN, "remote.failing", HG_S("remote", t->name),
		        HG_S("why", why));
}

static void working(struct target *t)
{
	if (!t->count.failing) return;
	t->count.failing = false;
	t->why[0] = 0;
	if (t->place.log) hg_log(t->place.log, HG_INFO, "remote.working", HG_S("remote", t->name));
}

static void position_told(struct target *t, int rc)
{
	bool was = t->count.unkept;
	t->count.unkept = rc < 0;
	if (t->count.unkept == was || !t->place.log) return;
	if (rc < 0)
		hg_log(t->place.log, HG_WARN, "remote.position_unkept", HG_S("remote", t->name),
		        HG_S("error", strerror(-rc)));
	else
		hg_log(t->place.log, HG_INFO, "remote.position_kept", HG_S("remote", t->name));
}

static void keep_it(void *arg, const atomic_bool *stop)
{
	struct target *t = arg;
	(void)stop;
	t->kept_rc = position_write(t->place.dir->at, t->name, t->kept);
}

static void on_kept(void *arg)
{
	struct target *t = arg;
	t->keeping = NULL;
	position_told(t, t->kept_rc);
	step(t);
}

/* Whatever comes of it, sending goes on: at worst something is sent twice. */
static void position_keep(struct target *t, bool wait)
{
	int rc = remote_dir_open(t->place.dir);
	t->kept = t->at;
	if (rc < 0) {
		position_told(t, rc);
		return;
	}
	if (!wait && work_start(t->place.loop, keep_it, on_kept, t, &t->keeping) == HG_OK) return;
	keep_it(t, NULL);
	position_told(t, t->kept_rc);
}

/* ------------------------------------------------------------------ batches */

static void on_retry(struct loop *l, struct loop_timer *timer);

static void batch_later(struct batch *b, uint64_t after_ms)
{
	struct target *t = b->t;
	b->state = BATCH_WAITING;
	t->count.retries++;
	uint64_t pause = send_pause(b->tries, after_ms, hg_rand_u64(&t->rand));
	/* Without memory for a timer the next step tries again. */
	(void)!loop_timer_start(t->place.loop, &b->timer, pause, on_retry);
}

static void batch_done(struct batch *b)
{
	b->state = BATCH_FREE;
	b->samples = b->tries = 0;
	hg_buf_reset(&b->body);
}

/* The first line of what a receiver says. */
static void refused(struct target *t, const struct fetch_answer *a, char *to, size_t cap)
{
	struct hg_str rest = a->body, line = hg_str_trim(hg_str_cut(&rest, '\n'));
	line.n = HG_MIN(line.n, (size_t)120);
	bool text = hg_utf8_valid(line) && target_plain(line);
	(void)snprintf(to, cap, "%.*s answered %d%s%.*s", (int)HG_MIN(t->url.n, (size_t)60),
	        t->url.p, a->status, text && line.n ? ": " : "", text ? (int)line.n : 0, line.p);
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct batch *b = arg;
	struct target *t = b->t;
	char why[WHY_MAX];
	bool answered = a->result == FETCH_ANSWERED;
	b->call = NULL;
	if (!answered)
		(void)hg_str_copy(hg_str(a->why), why, sizeof why);
	else
		refused(t, a, why, sizeof why);
	switch (send_judge(answered ? a->status : 0)) {
	case SEND_TAKEN:
		t->count.samples += b->samples;
		t->count.bytes += b->body.n;
		working(t);
		batch_done(b);
		break;
	case SEND_REFUSED:
		t->count.dropped += b->samples;
		failing(t, why);
		batch_done(b);
		break;
	case SEND_AGAIN:
		failing(t, why);
		batch_later(b, a->retry_after_ms);
		break;
	}
	step(t);
}

static void batch_send(struct batch *b)
{
	struct target *t = b->t;
	struct hg_err err = {0};
	struct fetch_request r = {.method = "POST",
	        .url = t->url.p,
	        .headers = t->headers,
	        .header_count = t->header_n,
	        .body = hg_buf_view(&b->body),
	        .timeout_ms = t->timeout_ms,
	        .ca_pem = t->ca_pem,
	        .body_max = 1024};
	b->tries++;
	b->state = BATCH_FLYING;
	if (fetch_start(t->place.fetch, &r, on_answer, b, &b->call, &err) == HG_OK) return;
	b->call = NULL;
	failing(t, err.message);
	batch_later(b, 0);
}

static void on_retry(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	batch_send(HG_CONTAINER(timer, struct batch, timer));
}

static struct batch *batch_free(struct target *t)
{
	for (uint32_t i = 0; i < t->shards; i++)
		if (t->batch[i].state == BATCH_FREE) return &t->batch[i];
	return NULL;
}

static uint32_t batches(const struct target *t, enum batch_state state)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < t->shards; i++)
		n += t->batch[i].state == state;
	return n;
}

/* What was collected goes into a batch and off. False: it could not be packed, now. */
static bool batch_begin(struct target *t, struct batch *b)
{
	struct hg_err err = {0};
	if (snappy_pack(hg_buf_view(&t->raw), &b->body, &err) != HG_OK) {
		failing(t, err.message);
		return false;
	}
	b->samples = t->raw_samples;
	hg_buf_reset(&t->raw);
	t->raw_samples = 0;
	batch_send(b);
	return true;
}

/* ------------------------------------------------------------------ reading */

_Static_assert(sizeof(struct label) == sizeof(struct remotewrite_label) &&
                       offsetof(struct label, value) == offsetof(struct remotewrite_label, value),
        "a label of the store is one of the wire");

static void selection_let_go(struct target *t)
{
	loop_timer_stop(t->place.loop, &t->hold);
	if (t->selection && t->next > 0) {
		labels_free(t->cursor);
		t->cursor = (struct labels){0};
		/* Without memory for it the pass begins again: doubles, no loss. */
		(void)!labels_clone(tsdb_selection_labels(t->selection, t->next - 1), &t->cursor);
	}
	tsdb_selection_free(t->selection);
	t->selection = NULL;
}

static void on_hold(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	selection_let_go(HG_CONTAINER(timer, struct target, hold));
}

/* The first series behind the cursor. */
static uint32_t selection_seek(const struct target *t)
{
	uint32_t low = 0, high = tsdb_selection_count(t->selection);
	if (!t->cursor.n) return 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (labels_compare(tsdb_selection_labels(t->selection, mid), t->cursor) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool selection_make(struct target *t)
{
	struct hg_err err = {0};
	int64_t from = HG_MAX(t->start_ms, t->at.passed_ms - LATE_MS) + 1;
	if (t->selection) return true;
	if (tsdb_select(t->place.db, NULL, 0, from, t->at.until_ms, &t->selection, &err) != HG_OK) {
		failing(t, err.message);
		return false;
	}
	t->next = selection_seek(t);
	(void)!loop_timer_start(t->place.loop, &t->hold, HOLD_MS, on_hold);
	return true;
}

/* Where the series' newest sample that was sent is noted; NULL without memory, or for a series that
 * is not in the store's memory (*ret_known false). */
static struct sent *sent_of(struct target *t, tsdb_ref ref)
{
	uint32_t slot = (uint32_t)ref, generation = (uint32_t)(ref >> 32);
	if (slot >= t->sent_n) {
		uint32_t n = HG_MAX(slot + 1, t->sent_n + t->sent_n / 2 + 64);
		struct sent *p = realloc(t->sent, n * sizeof *p);
		if (!p) return NULL;
		memset(p + t->sent_n, 0, (n - t->sent_n) * sizeof *p);
		t->sent = p;
		t->sent_n = n;
	}
	struct sent *s = &t->sent[slot];
	if (s->generation != generation)
		*s = (struct sent){.generation = generation,
		        .t_ms = HG_MAX(t->start_ms, t->at.passed_ms - LATE_MS)};
	return s;
}

/* Labels as they are sent; false: relabelling drops the series. */
static bool naming(struct target *t, struct labels ls, struct labels *ret_labels)
{
	labels_builder_from(&t->builder, ls);
	for (uint32_t i = 0; i < t->place.external_n; i++)
		if (!labels_get(ls, t->external[i].name).n)
			labels_builder_set(&t->builder, t->external[i].name, t->external[i].value);
	if (relabel_apply(t->relabel, &t->builder, &t->texts) != RELABEL_KEPT) return false;
	return labels_builder_done(&t->builder, ret_labels) == HG_OK && ret_labels->n;
}

enum took { TOOK_NOTHING, TOOK_SOME, TOOK_FAILED };

static enum took series_take(struct target *t, uint32_t i)
{
	tsdb_ref ref = tsdb_selection_ref(t->selection, i);
	struct sent *sent = ref ? sent_of(t, ref) : NULL;
	struct labels ls;
	if (ref && !sent) return TOOK_FAILED;
	int64_t after = sent ? sent->t_ms : t->at.passed_ms;
	if (ref && tsdb_last_ms(t->place.db, ref) <= after) return TOOK_NOTHING;
	if (tsdb_selection_read(t->selection, i, after + 1, t->at.until_ms, &t->samples) != HG_OK)
		return TOOK_FAILED;
	struct tsdb_samples *s = &t->samples;
	if (!s->n) return TOOK_NOTHING;
	if (sent) sent->t_ms = s->t[s->n - 1];
	if (naming(t, tsdb_selection_labels(t->selection, i), &ls)) {
		size_t before = t->raw.n;
		remotewrite_put(&t->raw, (const struct remotewrite_label *)ls.at, ls.n, s->t, s->v,
		        (uint32_t)s->n);
		t->raw_samples += (uint32_t)s->n;
		if (t->raw.failed) {
			t->raw.failed = false;
			t->raw.n = before;
			t->raw_samples -= (uint32_t)s->n;
			t->count.dropped += s->n;
		}
	}
	hg_arena_fini(&t->texts);
	return TOOK_SOME;
}

enum collected { COLLECT_FULL, COLLECT_END, COLLECT_TURN, COLLECT_FAILED };

/* Reads until a batch is full, the pass is over, or the loop should turn. */
static enum collected collect(struct target *t, uint32_t *looked, uint32_t *read)
{
	uint32_t n = tsdb_selection_count(t->selection);
	while (t->next < n) {
		if (t->raw_samples >= t->batch_samples) return COLLECT_FULL;
		if (*looked >= LOOK_MAX || *read >= READ_MAX) return COLLECT_TURN;
		enum took took = series_take(t, t->next);
		if (took == TOOK_FAILED) return COLLECT_FAILED;
		t->next++;
		++*looked;
		*read += took == TOOK_SOME;
	}
	return COLLECT_END;
}

/* ------------------------------------------------------------------ passes */

static void on_timer(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	step(HG_CONTAINER(timer, struct target, timer));
}

static void step_after(struct target *t, uint64_t ms)
{
	(void)!loop_timer_start(t->place.loop, &t->timer, ms, on_timer);
}

static void pass_begin(struct target *t)
{
	uint64_t now = loop_now_ms(t->place.loop);
	t->passing = true;
	t->read = false;
	labels_free(t->cursor);
	t->cursor = (struct labels){0};
	t->next = 0;
	t->due_ms = now + t->batch_ms;
	position_keep(t, false);
}

/*
 * Positions are times of the wall clock. When that is set back, by more than is late, sending goes
 * on where it stood before it leapt; what has passed is not sent again when it leaps forward.
 */
static void clock_look(struct target *t, int64_t now)
{
	if (send_is_ahead(now, t->wall_ms)) t->low_ms = t->at.passed_ms;
	t->wall_ms = now;
	int64_t leap = send_leap(t->at.passed_ms, t->high_ms, now);
	bool back = send_is_ahead(t->at.passed_ms, now);
	/* A pass that was broken off while the clock was ahead. */
	if (send_is_ahead(t->at.until_ms, now)) t->at.until_ms = t->at.passed_ms;
	if (!back && leap == t->at.passed_ms) return;
	if (back) t->high_ms = HG_MAX(t->high_ms, t->at.passed_ms);
	int64_t at = back ? send_back(t->low_ms, t->batch_ms, now) : leap;
	t->at = (struct position){.passed_ms = at, .until_ms = at};
	t->start_ms = at;
	free(t->sent);
	t->sent = NULL;
	t->sent_n = 0;
}

/* Where there is no sample nothing is passed slice by slice. */
static int64_t gap_skip(struct target *t, int64_t until, int64_t now)
{
	int64_t next = tsdb_next_ms(t->place.db, t->at.passed_ms + 1);
	int64_t newest = send_until(now, now);
	if (next <= until) return until;
	if (next > newest) return newest;
	t->at.passed_ms = next - 1;
	return send_until(t->at.passed_ms, now);
}

/* The span of the next pass; false: there is none yet. */
static bool pass_next(struct target *t)
{
	uint64_t now = loop_now_ms(t->place.loop);
	int64_t wall = t->place.now_ms();
	clock_look(t, wall);
	bool again = t->at.until_ms > t->at.passed_ms; /* a kill broke it off */
	int64_t until = send_until(t->at.passed_ms, wall);
	bool behind = until < wall - (int64_t)t->batch_ms * 2;
	if (again)
		until = t->at.until_ms;
	else if (behind)
		until = gap_skip(t, until, wall);
	if (!again && !behind && now < t->due_ms) {
		step_after(t, t->due_ms - now);
		return false;
	}
	if (until <= t->at.passed_ms) {
		step_after(t, AGAIN_MS);
		return false;
	}
	t->at.until_ms = until;
	pass_begin(t);
	return true;
}

static void pass_end(struct target *t)
{
	t->passing = false;
	t->at.passed_ms = t->at.until_ms;
}

/* Fills free batches from the pass that is under way. False: the loop turns first. */
static bool pass_fill(struct target *t)
{
	uint32_t looked = 0, read = 0;
	struct batch *b;
	while (!t->read && (b = batch_free(t))) {
		/* Who cannot deliver does not read on: a selection is not held for nothing. */
		if (batches(t, BATCH_WAITING)) {
			selection_let_go(t);
			return false;
		}
		enum collected got =
		        selection_make(t) ? collect(t, &looked, &read) : COLLECT_FAILED;
		if (got == COLLECT_FAILED) {
			selection_let_go(t);
			step_after(t, AGAIN_MS);
			return false;
		}
		if (got == COLLECT_TURN) {
			step_after(t, 0);
			return false;
		}
		if (t->raw_samples && !batch_begin(t, b)) {
			step_after(t, AGAIN_MS);
			return false;
		}
		if (got == COLLECT_FULL) continue;
		t->read = true;
		selection_let_go(t);
	}
	return true;
}

/* False: where it stands cannot be read now. To begin anywhere else would leave something out. */
static bool target_begin(struct target *t)
{
	int64_t now = t->place.now_ms();
	enum hg_rc rc = position_find(t->place.dir, t->name, &t->at);
	if (rc == HG_E_AGAIN) {
		failing(t, "its position cannot be read now");
		step_after(t, AGAIN_MS);
		return false;
	}
	/* A new one begins with now: what has this very time is sent. */
	if (rc < 0) t->at = (struct position){.passed_ms = now - 1, .until_ms = now - 1};
	if (rc == HG_E_INVALID && t->place.log)
		hg_log(t->place.log, HG_ERROR, "remote.position_damaged", HG_S("remote", t->name),
		        HG_S("error", "what has come before now is not sent"));
	/* A clock that was set back a little: what is sent from now on counts. */
	if (t->at.passed_ms > now && !send_is_ahead(t->at.passed_ms, now))
		t->at = (struct position){.passed_ms = now, .until_ms = now};
	t->at.until_ms = HG_MAX(t->at.until_ms, t->at.passed_ms);
	t->start_ms = t->at.passed_ms;
	clock_look(t, now);
	t->begun = true;
	working(t);
	return true;
}

static void step(struct target *t)
{
	if (!t->begun && !target_begin(t)) return;
	while (!t->keeping) {
		if (!t->passing && !pass_next(t)) return;
		if (t->keeping || !pass_fill(t)) return;
		if (!t->read || batches(t, BATCH_FREE) < t->shards) return; /* answers come */
		pass_end(t);
	}
}

/* ------------------------------------------------------------------ the whole */

enum hg_rc target_new(const struct target_place *place, const struct remote_target_conf *conf,
        struct target **ret_target, struct hg_err *err)
{
	*ret_target = NULL;
	enum hg_rc rc = target_check(conf, err);
	if (rc != HG_OK) return rc;
	struct target *t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	t->place = *place;
	hg_arena_init(&t->arena, "remote write", 4 << 20);
	hg_arena_init(&t->texts, "remote write labels", 4 << 20);
	hg_buf_init(&t->settings, 1 << 20);
	hg_buf_init(&t->raw, RAW_MAX);
	labels_builder_init(&t->builder);
	hg_rand_seed(&t->rand, clock_mono_ns());
	for (uint32_t i = 0; i < REMOTE_SHARDS_MAX; i++) {
		t->batch[i].t = t;
		hg_buf_init(&t->batch[i].body, 2 * RAW_MAX);
	}
	rc = relabel_new(conf->relabel, conf->relabel_n, &t->relabel, err);
	if (rc == HG_OK && !settings_copy(t, conf))
		rc = hg_err_set(err, HG_E_NOMEM, "there is no memory for a remote write");
	if (rc != HG_OK) {
		t->place.dir = NULL;
		target_free(t);
		return rc;
	}
	if (target_begin(t)) step_after(t, 0);
	*ret_target = t;
	return HG_OK;
}

void target_free(struct target *t)
{
	if (!t) return;
	selection_let_go(t);
	loop_timer_stop(t->place.loop, &t->timer);
	for (uint32_t i = 0; i < REMOTE_SHARDS_MAX; i++) {
		fetch_cancel(t->batch[i].call);
		loop_timer_stop(t->place.loop, &t->batch[i].timer);
		hg_buf_free(&t->batch[i].body);
	}
	work_stop(t->keeping);
	if (t->place.dir && t->begun) position_keep(t, true);
	relabel_free(t->relabel);
	labels_free(t->cursor);
	labels_builder_fini(&t->builder);
	tsdb_samples_free(&t->samples);
	hg_buf_free(&t->raw);
	hg_buf_free(&t->settings);
	hg_arena_fini(&t->texts);
	hg_arena_fini(&t->arena);
	free(t->sent);
	free(t);
}

uint32_t target_shards(const struct target *t)
{
	return t->shards;
}

void target_status(const struct target *t, struct remote_status *ret_status)
{
	*ret_status = t->count;
	ret_status->name = hg_str(t->name);
	ret_status->url = t->url;
	ret_status->position_ms = t->at.passed_ms;
	ret_status->flying = batches(t, BATCH_FLYING);
	ret_status->why = t->why;
}
