/*
 * From an answer to samples, in two passes: reading, which can fail and appends nothing, and
 * appending. A line that stands where it stood in the last answer costs one comparison of its
 * series and the reading of its number; labels are only looked at when a series is new.
 */
#include <stdlib.h>

#include "observe/scrape/scrape_priv.h"
#include "os/clock.h"

#define ROWS_MAX    (4u << 20) /* lines of an answer */
#define EXPORTED    HG_STR("exported_")
#define TEXTS_BYTES (4u << 20) /* of the labels of one series */
#define FEW_LABELS  16u
#define LINES_ONCE  32u    /* between two looks at the clock */
#define REFUSED_MS  60000u /* until the store is asked again for a series that it has refused */

/* ---- labels of a sample ---- */

struct naming {
	struct intake *in;
	struct target *t;
	enum promread_type type;
	struct hg_buf text; /* without escapes */
};

/* The texts of a label without escapes, and in the form that Prometheus 3 gives to bounds. */
static bool label_text(struct naming *n, struct hg_str raw, bool escaped, struct hg_str *ret_text)
{
	*ret_text = raw;
	if (!escaped) return true;
	hg_buf_reset(&n->text);
	promread_unescape(raw, false, &n->text);
	if (n->text.failed) return false;
	*ret_text = hg_arena_str(&n->in->texts, hg_buf_view(&n->text));
	return ret_text->p != NULL;
}

static bool bound(struct naming *n, struct hg_str name, struct hg_str *value)
{
	char text[PROMREAD_NUMBER_MAX];
	double v;
	bool is = (n->type == PROMREAD_HISTOGRAM && hg_str_eq(name, HG_STR("le"))) ||
	          (n->type == PROMREAD_SUMMARY && hg_str_eq(name, HG_STR("quantile")));
	if (!is || !promread_number(*value, &v)) return true;
	*value = hg_arena_str(&n->in->texts, (struct hg_str){text, promread_number_text(v, text)});
	return value->p != NULL;
}

static enum hg_rc said_twice(struct hg_str series, struct hg_str name, struct hg_err *err)
{
	return hg_err_set(err, HG_E_INVALID, "the label \"%.*s\" is there twice in %.*s",
	        (int)HG_MIN(name.n, (size_t)100), name.p, (int)HG_MIN(series.n, (size_t)160),
	        series.p);
}

/* What the builder could not take. */
static enum hg_rc too_many(const struct labels_builder *b, struct hg_str series, struct hg_err *err)
{
	if (b->n < LABELS_MAX) return HG_E_NOMEM;
	return hg_err_set(err, HG_E_TOO_LARGE, "a series has more than %u labels: %.*s…",
	        (unsigned)LABELS_MAX, (int)HG_MIN(series.n, (size_t)100), series.p);
}

static int by_name(const void *a, const void *b)
{
	const struct label *x = a, *y = b;
	return label_text_compare(x->name, y->name);
}

/* Each with each is the fastest for a few. An answer full of series with a thousand would take
 * seconds that way, and so would their insertion one by one when the builder sorts them. */
static enum hg_rc check_doubles(struct labels_builder *b, struct hg_str series, struct hg_err *err)
{
	if (b->n <= FEW_LABELS) {
		for (uint32_t i = 1; i < b->n; i++)
			for (uint32_t k = 0; k < i; k++)
				if (hg_str_eq(b->at[i].name, b->at[k].name))
					return said_twice(series, b->at[i].name, err);
		return HG_OK;
	}
	qsort(b->at, b->n, sizeof *b->at, by_name);
	b->sorted = true;
	for (uint32_t i = 1; i < b->n; i++)
		if (hg_str_eq(b->at[i - 1].name, b->at[i].name))
			return said_twice(series, b->at[i].name, err);
	return HG_OK;
}

static enum hg_rc parse_labels(struct naming *n, struct hg_str series, struct hg_err *err)
{
	struct labels_builder *b = &n->in->builder;
	struct promread_label l;
	size_t at = 0;
	labels_builder_reset(b);
	while (!b->failed && promread_label_next(series, &at, &l)) {
		struct hg_str name, value;
		if (!label_text(n, l.name, l.name_escaped, &name) ||
		        !label_text(n, l.value, l.value_escaped, &value) || !bound(n, name, &value))
			return hg_err_set(err, HG_E_TOO_LARGE,
			        "the labels of a series need more than %u MiB: %.*s…",
			        TEXTS_BYTES >> 20, (int)HG_MIN(series.n, (size_t)100), series.p);
		labels_builder_add(b, name, value);
	}
	return b->failed ? too_many(b, series, err) : check_doubles(b, series, err);
}

static bool among(struct labels ls, struct hg_str name)
{
	for (uint32_t i = 0; i < ls.n; i++)
		if (hg_str_eq(ls.at[i].name, name)) return true;
	return false;
}

/* A scraped label that gave way to one of the target's, under the first free exported_ name. */
static bool export(struct naming *n, struct hg_str name, struct hg_str value)
{
	struct labels_builder *b = &n->in->builder;
	struct hg_str to = name;
	do {
		hg_buf_reset(&n->text);
		hg_buf_str(&n->text, EXPORTED);
		hg_buf_str(&n->text, to);
		if (n->text.failed) return false;
		to = hg_arena_str(&n->in->texts, hg_buf_view(&n->text));
		if (!to.p) return false;
	} while (labels_builder_get(b, to).n || among(n->t->place.labels, to));
	labels_builder_set(b, to, value);
	return true;
}

/* The target's labels, which win unless honor_labels says otherwise. */
static bool attach(struct naming *n)
{
	struct labels_builder *b = &n->in->builder;
	struct labels ls = n->t->place.labels;
	struct label *lost = hg_arena_array(&n->in->texts, ls.n + 1, sizeof *lost);
	uint32_t lost_n = 0;
	if (!lost) return false;
	for (uint32_t i = 0; i < ls.n; i++) {
		struct hg_str have = labels_builder_get(b, ls.at[i].name);
		bool there = false;
		for (uint32_t k = 0; k < b->n; k++)
			there |= hg_str_eq(b->at[k].name, ls.at[i].name);
		if (there && n->t->job->c.honor_labels) continue;
		if (have.n) lost[lost_n++] = (struct label){ls.at[i].name, have};
		labels_builder_set(b, ls.at[i].name, ls.at[i].value);
	}
	/* Shorter names first, as Prometheus does: so the outcome does not depend on order. */
	for (uint32_t i = 1; i < lost_n; i++) {
		struct label l = lost[i];
		uint32_t k = i;
		for (; k && lost[k - 1].name.n > l.name.n; k--)
			lost[k] = lost[k - 1];
		lost[k] = l;
	}
	for (uint32_t i = 0; i < lost_n; i++)
		if (!export(n, lost[i].name, lost[i].value)) return false;
	return !b->failed;
}

static enum hg_rc check_limits(
        const struct scrape_job_conf *c, struct labels ls, struct hg_err *err)
{
	struct hg_str metric = labels_get(ls, LABEL_METRIC);
	int shown = (int)HG_MIN(metric.n, (size_t)120);
	if (c->label_limit && ls.n > c->label_limit)
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "a series of %.*s has %u labels: label_limit is %u", shown, metric.p, ls.n,
		        c->label_limit);
	for (uint32_t i = 0; i < ls.n; i++) {
		struct hg_str name = ls.at[i].name;
		int n = (int)HG_MIN(name.n, (size_t)60);
		if (c->label_name_length_limit && name.n > c->label_name_length_limit)
			return hg_err_set(err, HG_E_TOO_LARGE,
			        "the label name %.*s… of %.*s has %zu bytes: "
			        "label_name_length_limit is %u",
			        n, name.p, shown, metric.p, name.n, c->label_name_length_limit);
		if (c->label_value_length_limit && ls.at[i].value.n > c->label_value_length_limit)
			return hg_err_set(err, HG_E_TOO_LARGE,
			        "the value of label %.*s of %.*s has %zu bytes: "
			        "label_value_length_limit is %u",
			        n, name.p, shown, metric.p, ls.at[i].value.n,
			        c->label_value_length_limit);
	}
	return HG_OK;
}

/* The labels that the store gets; they lie in in->texts, the answer and the target. */
static enum hg_rc name_series(struct intake *in, struct target *t, struct hg_str series,
        enum promread_type type, struct labels *ret_labels, bool *ret_dropped, struct hg_err *err)
{
	struct naming n = {.in = in, .t = t, .type = type};
	enum relabel_result kept;
	enum hg_rc rc;
	hg_arena_fini(&in->texts);
	hg_buf_init(&n.text, TEXTS_BYTES);
	rc = parse_labels(&n, series, err);
	if (rc >= 0 && !attach(&n)) rc = too_many(&in->builder, series, err);
	hg_buf_free(&n.text);
	if (rc < 0) return rc;
	kept = relabel_apply(t->job->metric_relabel, &in->builder, &in->texts);
	if (kept == RELABEL_FAILED || labels_builder_done(&in->builder, ret_labels) < 0)
		return too_many(&in->builder, series, err);
	*ret_dropped = kept == RELABEL_DROPPED || ret_labels->n == 0;
	if (*ret_dropped) return HG_OK;
	if (labels_get(*ret_labels, LABEL_METRIC).n == 0)
		return hg_err_set(err, HG_E_INVALID,
		        "relabelling left a series of %.*s without a name",
		        (int)HG_MIN(series.n, (size_t)160), series.p);
	return check_limits(&t->job->c, *ret_labels, err);
}

/* ---- reading ---- */

static struct intake_row *row_add(struct intake *in)
{
	if (in->n == in->cap) {
		uint32_t cap = in->cap ? in->cap * 2 : 256;
		struct intake_row *row =
		        in->n < ROWS_MAX ? realloc(in->row, cap * sizeof *row) : NULL;
		if (!row) return NULL;
		in->row = row;
		in->cap = cap;
	}
	return &in->row[in->n++];
}

/* The place of a series that does not stand where it was expected; made when it is new. */
static enum hg_rc find_place(struct intake_reading *d, struct hg_str text, uint32_t *ret_place,
        bool *ret_fresh, struct hg_err *err)
{
	struct series *s = &d->t->series;
	struct labels ls;
	bool dropped = false;
	enum hg_rc rc;
	d->moved = true;
	*ret_place = scrape_series_find(s, text);
	if (*ret_place != SERIES_NONE) {
		if (s->at[*ret_place].position != SERIES_NONE)
			d->cursor = s->at[*ret_place].position + 1;
		return HG_OK;
	}
	rc = name_series(d->in, d->t, text, d->r.type, &ls, &dropped, err);
	if (rc < 0) return rc;
	*ret_place = scrape_series_add(s, text);
	if (*ret_place == SERIES_NONE) return HG_E_NOMEM;
	s->at[*ret_place].dropped = dropped;
	*ret_fresh = true;
	return HG_OK;
}

/* Of a row that was read. What there is no memory for is passed over. */
static void note_exemplar(struct intake_reading *d, const struct promread_entry *e)
{
	struct intake *in = d->in;
	if (e->exemplar.n > EXEMPLAR_TEXT || in->exemplar_n == EXEMPLAR_LINES) return;
	if (in->exemplar_n == in->exemplar_cap) {
		uint32_t cap = in->exemplar_cap ? in->exemplar_cap * 2 : 64;
		struct intake_exemplar *more = realloc(in->exemplar, cap * sizeof *more);
		if (!more) return;
		in->exemplar = more;
		in->exemplar_cap = cap;
	}
	in->exemplar[in->exemplar_n++] = (struct intake_exemplar){.row = in->n - 1,
	        .own_time = e->exemplar_has_time,
	        .labels = e->exemplar,
	        .value = e->exemplar_value,
	        .t_ms = e->exemplar_time_ms};
}

/* Beyond sample_limit: people want to know what it would have to be. */
static enum hg_rc count_sample(
        struct intake_reading *d, const struct promread_entry *e, struct hg_err *err)
{
	const struct series *s = &d->t->series;
	uint32_t place = e->same ? s->order[d->cursor++] : scrape_series_find(s, e->series);
	struct labels ls;
	bool dropped = place != SERIES_NONE && s->at[place].dropped;
	if (place == SERIES_NONE) {
		enum hg_rc rc = name_series(d->in, d->t, e->series, d->r.type, &ls, &dropped, err);
		if (rc < 0) return rc;
	}
	d->counts.scraped++;
	d->counts.kept += !dropped;
	return HG_OK;
}

static enum hg_rc read_sample(
        struct intake_reading *d, const struct promread_entry *e, struct hg_err *err)
{
	struct series *s = &d->t->series;
	const struct scrape_job_conf *c = &d->t->job->c;
	enum hg_rc rc;
	if (c->sample_limit && d->counts.kept > c->sample_limit) return count_sample(d, e, err);
	struct intake_row *row = row_add(d->in);
	if (!row)
		return hg_err_set(err, d->in->n < ROWS_MAX ? HG_E_NOMEM : HG_E_TOO_LARGE,
		        "an answer has at most %u samples", ROWS_MAX);
	*row = (struct intake_row){.value = e->value,
	        .own_time = e->has_time && !c->ignore_timestamps,
	        .type = (uint8_t)d->r.type,
	        .t_ms = e->time_ms};
	if (e->same) {
		row->place = s->order[d->cursor++];
	} else {
		rc = find_place(d, e->series, &row->place, &row->fresh, err);
		if (rc < 0) {
			d->in->n--;
			return rc;
		}
	}
	if (s->at[row->place].round == s->round) d->in->stats->duplicates++;
	s->at[row->place].round = s->round;
	d->counts.scraped++;
	if (s->at[row->place].dropped) return HG_OK;
	d->counts.kept++;
	if (e->has_exemplar) note_exemplar(d, e);
	d->counts.added += row->fresh;
	return HG_OK;
}

/* ---- HELP, TYPE and UNIT ---- */

static void family_end(struct intake_reading *d)
{
	if (!d->family.type) return;
	scrape_meta_add(d->in->meta, &d->in->families, &d->t->meta, &d->family);
	d->family = (struct meta_text){0};
}

static void family_line(
        struct intake_reading *d, enum promread_event what, const struct promread_entry *e)
{
	struct meta_text *f = &d->family;
	if (f->type && !hg_str_eq(f->family, e->family)) family_end(d);
	f->family = e->family;
	if (!f->type) f->type = promread_type_name(PROMREAD_UNKNOWN);
	if (what == PROMREAD_HELP) f->help = e->text;
	if (what == PROMREAD_UNIT) f->unit = e->text;
	if (what == PROMREAD_TYPE) f->type = promread_type_name(e->type);
}

static enum hg_rc read_end(struct intake_reading *d, struct hg_err *err)
{
	uint32_t limit = d->t->job->c.sample_limit;
	family_end(d);
	if (!limit || d->counts.kept <= limit) return HG_OK;
	return hg_err_set(err, HG_E_TOO_LARGE,
	        "there are %u samples, more than sample_limit allows (%u)", d->counts.kept, limit);
}

/* Each of these does some of it; *ret_all: that was the last of it. */

static enum hg_rc read_some(struct intake_reading *d, bool *ret_all, struct hg_err *err)
{
	struct series *s = &d->t->series;
	struct promread_entry e;
	enum hg_rc rc = HG_OK;
	for (unsigned i = 0; i < LINES_ONCE && rc >= 0; i++) {
		struct hg_str hint = {0};
		if (d->cursor < s->order_n) hint = scrape_series_text(s, s->order[d->cursor]);
		enum promread_event what = promread_next(&d->r, hint, &e);
		switch (what) {
		case PROMREAD_END: *ret_all = true; return read_end(d, err);
		case PROMREAD_BAD: return promread_err(&d->r, d->t->place.url, err);
		case PROMREAD_SAMPLE:
			family_end(d);
			rc = read_sample(d, &e, err);
			break;
		default: family_line(d, what, &e); break;
		}
	}
	if (rc == HG_E_NOMEM) (void)hg_err_set(err, rc, "no memory for the samples of a target");
	return rc;
}

/* What only the answer that failed has brought is forgotten. */
static void forget_fresh(struct intake_reading *d)
{
	for (uint32_t i = 0; i < d->in->n; i++)
		if (d->in->row[i].fresh) scrape_series_drop(&d->t->series, d->in->row[i].place);
	scrape_series_tidy(&d->t->series);
}

/* ---- appending ---- */

static bool make_ref(struct intake_reading *d, const struct intake_row *row)
{
	struct series_place *p = &d->t->series.at[row->place];
	struct labels ls;
	struct hg_err err = {0};
	bool dropped;
	if (name_series(d->in, d->t, scrape_series_text(&d->t->series, row->place),
	            (enum promread_type)row->type, &ls, &dropped, &err) >= 0 &&
	        tsdb_series(d->in->db, ls, &p->ref, &err) >= 0)
		return true;
	p->ref = 0;
	/* A hundred thousand series too many would be named at each scrape, for nothing. */
	p->wait = (uint8_t)HG_MIN(REFUSED_MS / d->t->job->c.interval_ms, UINT8_MAX);
	d->in->stats->refused_series++;
	if (!d->refused.message[0]) d->refused = err;
	return false;
}

/* True: the sample is in the store. */
static bool append(struct intake_reading *d, const struct intake_row *row)
{
	struct series_place *p = &d->t->series.at[row->place];
	int64_t t = row->own_time ? row->t_ms : d->t_ms;
	if (!p->ref && p->wait) {
		p->wait--;
		return false;
	}
	if (!p->ref && !make_ref(d, row)) return false;
	enum hg_rc rc = tsdb_append(d->in->db, p->ref, t, row->value);
	if (rc == HG_E_NOT_FOUND && make_ref(d, row))
		rc = tsdb_append(d->in->db, p->ref, t, row->value);
	p->live = !row->own_time || d->t->job->c.track_timestamps_staleness;
	return rc >= 0;
}

static uint64_t print_of(const struct intake_reading *d, const struct intake_exemplar *e)
{
	const uint8_t *key = d->t->scrape->key;
	struct {
		double v;
		int64_t t;
	} n = {e->value, e->own_time ? e->t_ms : 0};
	return hg_siphash(key, e->labels.p, e->labels.n) * 31 + hg_siphash(key, &n, sizeof n);
}

/* The labels of an exemplar, cloned. */
static enum hg_rc exemplar_labels(struct intake_reading *d, struct hg_str text, struct labels *ret)
{
	struct naming n = {.in = d->in, .t = d->t};
	struct labels ls;
	struct hg_err err;
	hg_buf_init(&n.text, TEXTS_BYTES);
	enum hg_rc rc = parse_labels(&n, text, &err);
	hg_buf_free(&n.text);
	if (rc >= 0) rc = labels_builder_done(&d->in->builder, &ls);
	return rc < 0 ? rc : labels_clone(ls, ret);
}

static void keep_exemplar(struct intake_reading *d, const struct intake_exemplar *e)
{
	const struct intake_row *row = &d->in->row[e->row];
	struct hg_str text = scrape_series_text(&d->t->series, row->place);
	uint64_t series = hg_siphash(d->t->scrape->key, text.p, text.n) ^ (uintptr_t)d->t;
	struct labels ls = {0}, own;
	struct hg_err err;
	bool dropped;
	if (!scrape_exemplar_is_new(d->in->exemplars, series, print_of(d, e)) ||
	        exemplar_labels(d, e->labels, &own) < 0)
		return;
	if (name_series(d->in, d->t, text, (enum promread_type)row->type, &ls, &dropped, &err) >= 0)
		scrape_exemplar_add(
		        d->in->exemplars, ls, own, e->value, e->own_time ? e->t_ms : d->t_ms);
	labels_free(own);
}

static void end_series(struct intake *in, struct series_place *p, int64_t t_ms, bool unless_newer)
{
	bool was = p->live && p->ref;
	p->live = false;
	if (!was || (unless_newer && tsdb_last_ms(in->db, p->ref) >= t_ms)) return;
	if (tsdb_append(in->db, p->ref, t_ms, tsdb_stale()) >= 0) in->stats->markers++;
}

/* A line of the last answer. */
static void end_if_missing(struct intake_reading *d, uint32_t place)
{
	struct series *s = &d->t->series;
	struct series_place *p = &s->at[place];
	if (p->round == s->round) return;
	end_series(d->in, p, d->t_ms, false);
	if (p->n) scrape_series_drop(s, place); /* once, though a text stood there twice */
}

/* The order of this answer's lines, for the next one. */
static bool keep_order(struct intake_reading *d)
{
	struct series *s = &d->t->series;
	if (!d->moved && d->in->n == s->order_n) return true;
	if (d->in->n > s->order_cap || d->in->n < s->order_cap / 4) {
		uint32_t *order = realloc(s->order, (d->in->n ? d->in->n : 1) * sizeof *order);
		if (!order) {
			s->order_n = 0;
			return false;
		}
		s->order = order;
		s->order_cap = d->in->n;
	}
	s->order_n = d->in->n;
	for (uint32_t i = 0; i < d->in->n; i++) {
		s->order[i] = d->in->row[i].place;
		s->at[s->order[i]].position = i;
	}
	return true;
}

/* ---- in turns ---- */

static bool append_some(struct intake_reading *d)
{
	const struct intake *in = d->in;
	uint32_t to = (uint32_t)HG_MIN((uint64_t)d->at + LINES_ONCE, in->n);
	for (; d->at < to; d->at++) {
		if (d->t->series.at[in->row[d->at].place].dropped) continue;
		if (append(d, &in->row[d->at])) {
			in->stats->samples++;
		} else {
			in->stats->refused_samples++;
			d->counts.refused++;
		}
	}
	return d->at == in->n;
}

static bool exemplars_some(struct intake_reading *d)
{
	const struct intake *in = d->in;
	uint32_t to = (uint32_t)HG_MIN((uint64_t)d->at + LINES_ONCE, in->exemplar_n);
	for (; d->at < to; d->at++)
		keep_exemplar(d, &in->exemplar[d->at]);
	return d->at == in->exemplar_n;
}

static bool end_some(struct intake_reading *d)
{
	const struct series *s = &d->t->series;
	uint32_t to = (uint32_t)HG_MIN((uint64_t)d->at + LINES_ONCE, s->order_n);
	for (; d->at < to; d->at++)
		end_if_missing(d, s->order[d->at]);
	return d->at == s->order_n;
}

void scrape_intake_begin(struct intake *in, struct target *t, struct hg_str body,
        enum promread_format format, int64_t t_ms)
{
	HG_ASSERT(!in->reading.t);
	in->reading = (struct intake_reading){
	        .in = in, .t = t, .r = promread_over(body, format), .t_ms = t_ms};
	in->n = in->exemplar_n = 0;
	t->series.round++;
}

static enum hg_rc step(struct intake_reading *d, bool *ret_all, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	*ret_all = false;
	switch (d->stage) {
	case INTAKE_READING: rc = read_some(d, ret_all, err); break;
	case INTAKE_APPENDING: *ret_all = append_some(d); break;
	case INTAKE_EXEMPLARS: *ret_all = exemplars_some(d); break;
	case INTAKE_ENDING: *ret_all = end_some(d); break;
	case INTAKE_STAGES: break;
	}
	return rc;
}

static void all_taken(struct intake_reading *d)
{
	scrape_meta_replace(d->in->meta, &d->t->meta, &d->in->families);
	(void)keep_order(d);
	scrape_series_tidy(&d->t->series);
	hg_arena_fini(&d->in->texts);
	d->t = NULL;
}

enum intake_result scrape_intake_some(
        struct intake *in, uint64_t until_ns, struct intake_counts *ret_counts, struct hg_err *err)
{
	struct intake_reading *d = &in->reading;
	do {
		bool all;
		enum hg_rc rc = step(d, &all, err);
		*ret_counts = d->counts;
		if (rc < 0) {
			scrape_intake_give_up(in);
			return INTAKE_BAD;
		}
		if (!all) continue;
		d->at = 0;
		if (++d->stage < INTAKE_STAGES) continue;
		all_taken(d);
		return INTAKE_TAKEN;
	} while (clock_mono_ns() < until_ns);
	return INTAKE_MORE;
}

void scrape_intake_give_up(struct intake *in)
{
	struct intake_reading *d = &in->reading;
	if (!d->t) return;
	if (d->stage == INTAKE_READING) forget_fresh(d);
	scrape_meta_list_clear(in->meta, &in->families);
	d->t = NULL;
}

/* ---- all at once, and about the scrape ---- */

void scrape_intake_end_all(struct intake *in, struct target *t, int64_t t_ms, bool unless_newer)
{
	for (uint32_t i = 0; i < t->series.n; i++)
		end_series(in, &t->series.at[i], t_ms, unless_newer);
}

void scrape_intake_report(
        struct intake *in, struct target *t, unsigned which, int64_t t_ms, double v)
{
	static const char *const name[REPORTS] = {"up", "scrape_duration_seconds",
	        "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
	        "scrape_series_added"};
	tsdb_ref *ref = &t->report[which];
	HG_ASSERT(which < REPORTS);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		struct labels ls;
		struct hg_err err;
		if (!*ref) {
			labels_builder_from(&in->builder, t->place.labels);
			labels_builder_set(&in->builder, LABEL_METRIC, hg_str(name[which]));
			if (labels_builder_done(&in->builder, &ls) < 0 ||
			        tsdb_series(in->db, ls, ref, &err) < 0) {
				in->stats->refused_series++;
				return;
			}
		}
		if (tsdb_append(in->db, *ref, t_ms, v) != HG_E_NOT_FOUND) return;
		*ref = 0;
	}
}

void scrape_intake_fini(struct intake *in)
{
	free(in->row);
	free(in->exemplar);
	scrape_meta_list_fini(in->meta, &in->families);
	labels_builder_fini(&in->builder);
	hg_arena_fini(&in->texts);
	*in = (struct intake){0};
}
