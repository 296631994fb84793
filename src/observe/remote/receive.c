#include "remote_priv.h"

#include <stdio.h>

#include "wire/http1.h"

#define INFLATED_KEEP (1u << 20) /* what is kept of the buffer between two requests */
#define SHOWN_MAX     300

void receive_init(struct receive *r, struct tsdb *db)
{
	*r = (struct receive){.db = db};
	hg_buf_init(&r->inflated, REMOTE_INFLATED_MAX);
	labels_builder_init(&r->builder);
}

void receive_fini(struct receive *r)
{
	hg_buf_free(&r->inflated);
	labels_builder_fini(&r->builder);
}

/* ------------------------------------------------------------------ answers */

static void say(struct serve_call *call, unsigned status, const char *text)
{
	char line[640];
	int n = snprintf(line, sizeof line, "%s\n", text);
	size_t size = HG_MIN((size_t)HG_MAX(n, 0), sizeof line - 1);
	serve_answer(call, status, "text/plain; charset=utf-8", (struct hg_str){line, size});
}

static void say_err(struct receive *r, struct serve_call *call, const struct hg_err *err)
{
	bool memory = err->rc == HG_E_NOMEM || err->rc == HG_E_SNAPPY;
	r->count.bad++;
	if (memory) serve_field(call, "Retry-After", HG_STR("10"));
	say(call, err->rc == HG_E_TOO_LARGE ? 413 : memory ? 503 : 400, err->message);
}

/* ------------------------------------------------------------------ what is asked */

/* A parameter of a media type: ";proto=io.prometheus.write.v2.Request". */
static struct hg_str media_parameter(struct hg_str type, struct hg_str name)
{
	(void)hg_str_cut(&type, ';');
	while (type.n) {
		struct hg_str value = hg_str_trim(hg_str_cut(&type, ';'));
		struct hg_str key = hg_str_trim(hg_str_cut(&value, '='));
		value = hg_str_trim(value);
		if (!hg_str_eq_nocase(key, name)) continue;
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = (struct hg_str){value.p + 1, value.n - 2};
		return value;
	}
	return (struct hg_str){0};
}

static enum hg_rc media_version(
        struct hg_str type, enum remotewrite_version *ret_version, struct hg_err *err)
{
	struct hg_str rest = type, media = hg_str_trim(hg_str_cut(&rest, ';'));
	struct hg_str proto = media_parameter(type, HG_STR("proto"));
	*ret_version = REMOTEWRITE_1;
	if (!hg_str_eq_nocase(media, HG_STR("application/x-protobuf")))
		return hg_err_set(err, HG_E_INVALID,
		        "Content-Type must be application/x-protobuf, with "
		        "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request");
	if (!proto.n || hg_str_eq(proto, HG_STR("prometheus.WriteRequest"))) return HG_OK;
	*ret_version = REMOTEWRITE_2;
	if (hg_str_eq(proto, HG_STR("io.prometheus.write.v2.Request"))) return HG_OK;
	return hg_err_set(err, HG_E_INVALID,
	        "the message %.*s is unknown: "
	        "prometheus.WriteRequest and io.prometheus.write.v2.Request are taken",
	        (int)HG_MIN(proto.n, (size_t)80), proto.p);
}

static struct hg_str field(const struct http1_head *head, struct hg_str name)
{
	const struct http1_field *f = http1_find_name(head, name);
	return f ? f->value : (struct hg_str){0};
}

/* What the head says; HG_E_INVALID is status 415. */
static enum hg_rc head_check(
        const struct http1_head *head, enum remotewrite_version *ret_version, struct hg_err *err)
{
	struct hg_str type = field(head, HG_STR("Content-Type"));
	struct hg_str coding = field(head, HG_STR("Content-Encoding"));
	struct hg_str version = field(head, HG_STR("X-Prometheus-Remote-Write-Version"));
	enum hg_rc rc = media_version(type, ret_version, err);
	if (rc != HG_OK) return rc;
	if (coding.n && !hg_str_eq_nocase(hg_str_trim(coding), HG_STR("snappy")))
		return hg_err_set(err, HG_E_INVALID, "Content-Encoding must be snappy");
	version = hg_str_trim(version);
	bool known = !version.n || hg_str_starts(version, HG_STR("0.1.")) ||
	             hg_str_starts(version, HG_STR("1.")) || hg_str_starts(version, HG_STR("2."));
	if (!known)
		return hg_err_set(err, HG_E_INVALID,
		        "version %.*s of remote write is unknown: 0.1.0 and 2.0.0 are taken",
		        (int)HG_MIN(version.n, (size_t)40), version.p);
	return HG_OK;
}

/* ------------------------------------------------------------------ taking */

struct taking {
	struct receive *r;
	uint64_t samples, histograms, exemplars;  /* written; passed over */
	uint64_t refused_samples, refused_series; /* the first of them is shown */
	bool full, choked;                        /* memory: for new series, for anything */
	char first[SHOWN_MAX];
};

/* The labels as the store wants them: sorted, nothing twice, nothing empty, text. */
static const char *series_labels(
        struct receive *r, const struct remotewrite_series *s, struct labels *ret_labels)
{
	uint32_t named = 0;
	labels_builder_reset(&r->builder);
	for (uint32_t i = 0; i < s->label_n; i++) {
		struct hg_str name = s->label[i].name, value = s->label[i].value;
		if (!name.n) return "a label has no name";
		if (!hg_utf8_valid(name) || !hg_utf8_valid(value))
			return "a label is no text in UTF-8";
		if (!value.n) continue;
		named++;
		labels_builder_add(&r->builder, name, value);
	}
	if (labels_builder_done(&r->builder, ret_labels) != HG_OK) return "out of memory";
	if (ret_labels->n != named) return "a label is there twice";
	return labels_get(*ret_labels, LABEL_METRIC).n ? NULL : "it has no __name__";
}

static void refuse(struct taking *t, const struct remotewrite_series *s, const char *why)
{
	struct hg_str name = {0};
	for (uint32_t i = 0; i < s->label_n; i++)
		if (hg_str_eq(s->label[i].name, LABEL_METRIC)) name = s->label[i].value;
	t->refused_samples += s->sample_n;
	t->refused_series++;
	if (t->first[0]) return;
	(void)snprintf(t->first, sizeof t->first, "%.*s: %s", (int)HG_MIN(name.n, (size_t)80),
	        hg_utf8_valid(name) && name.n ? name.p : "", why);
}

static const char *append_why(enum hg_rc rc)
{
	switch (rc) {
	case HG_E_TSDB_DUPLICATE: return "another value is there for the same time";
	case HG_E_TSDB_ORDER: return "a sample is too old, or out of order";
	case HG_E_TSDB_AHEAD: return "a sample is more than ten minutes ahead";
	default: return "the store has no memory for it";
	}
}

static void take_series(struct taking *t, struct remotewrite_series *s)
{
	struct labels ls;
	struct hg_err err = {0};
	tsdb_ref ref;
	int64_t t_ms;
	double v;
	const char *why = series_labels(t->r, s, &ls);
	t->histograms += s->histogram_n;
	t->exemplars += s->exemplar_n;
	if (why) {
		refuse(t, s, why);
		return;
	}
	if (!s->sample_n) return; /* only what is not kept */
	enum hg_rc rc = tsdb_series(t->r->db, ls, &ref, &err);
	if (rc != HG_OK) {
		t->full |= rc == HG_E_TSDB_FULL || rc == HG_E_NOMEM;
		refuse(t, s, err.message);
		return;
	}
	while (remotewrite_sample(s, &t_ms, &v)) {
		rc = tsdb_append(t->r->db, ref, t_ms, v);
		if (rc == HG_OK) {
			t->samples++;
			continue;
		}
		t->choked |= rc == HG_E_TSDB_FULL || rc == HG_E_NOMEM;
		t->refused_samples++;
		if (t->first[0]) continue;
		struct hg_str name = labels_get(ls, LABEL_METRIC);
		(void)snprintf(t->first, sizeof t->first, "%.*s: %s",
		        (int)HG_MIN(name.n, (size_t)80), name.p, append_why(rc));
	}
}

/* Everything is read before anything is written. */
static enum hg_rc read_whole(struct remotewrite *in, struct hg_err *err)
{
	struct remotewrite_series s;
	enum remotewrite_event e = REMOTEWRITE_SERIES;
	while (e == REMOTEWRITE_SERIES)
		e = remotewrite_next(in, &s);
	if (e == REMOTEWRITE_BAD)
		return hg_err_set(err, HG_E_INVALID, "the body cannot be read: %s", in->why);
	remotewrite_rewind(in);
	return HG_OK;
}

static void written_field(struct serve_call *call, const char *name, uint64_t n)
{
	char text[24];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_u64(&o, n);
	serve_field(call, name, (struct hg_str){text, o.n});
}

static void answer(struct taking *t, struct serve_call *call, enum remotewrite_version version)
{
	char text[640];
	if (version == REMOTEWRITE_2) {
		written_field(call, "X-Prometheus-Remote-Write-Samples-Written", t->samples);
		written_field(call, "X-Prometheus-Remote-Write-Histograms-Written", 0);
		written_field(call, "X-Prometheus-Remote-Write-Exemplars-Written", 0);
	}
	bool refused = t->refused_samples || t->refused_series;
	if (!refused && !t->histograms) {
		serve_answer(call, 204, NULL, (struct hg_str){0});
		return;
	}
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	hg_out_fmt(&o, "%llu samples were taken, %llu refused (%llu whole series)",
	        (unsigned long long)t->samples, (unsigned long long)t->refused_samples,
	        (unsigned long long)t->refused_series);
	if (refused) hg_out_fmt(&o, "; the first: %s", t->first);
	if (t->histograms)
		hg_out_fmt(&o,
		        "; %llu native histograms were not taken: they are not built, classic "
		        "histograms are",
		        (unsigned long long)t->histograms);
	text[o.n] = 0;
	if (t->choked || t->full) serve_field(call, "Retry-After", HG_STR("30"));
	say(call, t->choked ? 503 : t->full ? 429 : 400, text);
}

void receive_handle(struct receive *r, struct serve_call *call, const struct serve_request *req)
{
	struct taking t = {.r = r};
	struct hg_err err = {0};
	struct remotewrite in;
	struct remotewrite_series s;
	enum remotewrite_version version;
	if (req->method != HTTP1_POST) {
		serve_field(call, "Allow", HG_STR("POST"));
		say(call, 405, "samples are sent with POST");
		return;
	}
	if (head_check(req->head, &version, &err) != HG_OK) {
		r->count.bad++;
		say(call, 415, err.message);
		return;
	}
	if (snappy_unpack(req->body, REMOTE_INFLATED_MAX, &r->inflated, &err) != HG_OK) {
		say_err(r, call, &err);
		return;
	}
	bool good = remotewrite_open(&in, hg_buf_view(&r->inflated), version);
	enum hg_rc rc =
	        good ? read_whole(&in, &err)
	             : hg_err_set(&err, HG_E_INVALID, "the body cannot be read: %s", in.why);
	if (rc == HG_OK) {
		while (remotewrite_next(&in, &s) == REMOTEWRITE_SERIES)
			take_series(&t, &s);
		r->count.requests++;
		r->count.samples += t.samples;
		r->count.refused += t.refused_samples;
		r->count.histograms += t.histograms;
		r->count.exemplars += t.exemplars;
		/* Who was told that we have it must not send it again after a kill. What the disk
		 * does not take stays in memory, and is written later. */
		(void)!tsdb_commit(r->db);
		answer(&t, call, version);
	} else {
		say_err(r, call, &err);
	}
	remotewrite_close(&in);
	if (r->inflated.cap > INFLATED_KEEP) hg_buf_free(&r->inflated);
}
