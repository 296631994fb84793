#include "remote_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "os/disk.h"

struct remote {
	struct remote_options o;
	struct remote_dir dir;
	bool receives;
	struct fetch *fetch;
	struct receive receive;
	struct target *target[REMOTE_TARGETS_MAX];
	uint32_t target_n;
};

enum hg_rc remote_new(
        const struct remote_options *o, struct remote **ret_remote, struct hg_err *err)
{
	*ret_remote = NULL;
	struct remote *r = calloc(1, sizeof *r);
	if (!r) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	r->o = *o;
	receive_init(&r->receive, o->db);
	enum hg_rc rc = fetch_new(o->loop, &r->fetch, err);
	r->dir = (struct remote_dir){.path = strdup(o->dir), .at = -1};
	if (rc == HG_OK && !r->dir.path) rc = hg_err_set(err, HG_E_NOMEM, "out of memory");
	if (rc != HG_OK) {
		remote_free(r);
		return rc;
	}
	*ret_remote = r;
	return HG_OK;
}

void remote_free(struct remote *r)
{
	if (!r) return;
	for (uint32_t i = 0; i < r->target_n; i++)
		target_free(r->target[i]);
	fetch_free(r->fetch);
	receive_fini(&r->receive);
	if (r->dir.at >= 0) disk_close(r->dir.at);
	free(r->dir.path);
	free(r);
}

/* ------------------------------------------------------------------ configuration */

enum hg_rc remote_check(const struct remote_conf *c, struct hg_err *err)
{
	if (c->target_n > REMOTE_TARGETS_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE, "remote write has at most %u targets",
		        REMOTE_TARGETS_MAX);
	for (uint32_t i = 0; i < c->target_n; i++) {
		enum hg_rc rc = target_check(&c->targets[i], err);
		if (rc != HG_OK) return rc;
		for (uint32_t k = 0; k < i; k++)
			if (hg_str_eq(c->targets[i].name, c->targets[k].name))
				return hg_err_set(err, HG_E_INVALID,
				        "two remote writes have the name %.*s",
				        HG_STR_ARG(c->targets[i].name));
	}
	return HG_OK;
}

static struct target_place place_of(struct remote *r, const struct remote_conf *c)
{
	return (struct target_place){.loop = r->o.loop,
	        .fetch = r->fetch,
	        .db = r->o.db,
	        .dir = &r->dir,
	        .now_ms = r->o.now_ms,
	        .log = r->o.log,
	        .external = c->external,
	        .external_n = c->external_n};
}

static bool name_is(const struct target *t, struct hg_str name)
{
	struct remote_status s;
	target_status(t, &s);
	return hg_str_eq(s.name, name);
}

/*
 * The target as it is, or a new one. One whose settings change writes its position first, so that
 * the new one goes on from there.
 */
static enum hg_rc target_take(struct remote *r, const struct target_place *place,
        const struct remote_target_conf *c, struct target **ret_target, struct hg_err *err)
{
	for (uint32_t i = 0; i < r->target_n; i++) {
		struct target *t = r->target[i];
		if (!t || !name_is(t, c->name)) continue;
		r->target[i] = NULL;
		*ret_target = t;
		if (target_is(t, place, c)) return HG_OK;
		target_free(t);
		break;
	}
	return target_new(place, c, ret_target, err);
}

enum hg_rc remote_apply(struct remote *r, const struct remote_conf *c, struct hg_err *err)
{
	struct target_place place = place_of(r, c);
	struct target *next[REMOTE_TARGETS_MAX] = {0};
	uint32_t n = 0, calls = 0;
	enum hg_rc rc = remote_check(c, err);
	if (rc != HG_OK) return rc;
	/* Only memory can fail from here on: then what could be made is there. */
	for (uint32_t i = 0; i < c->target_n; i++) {
		enum hg_rc made = target_take(r, &place, &c->targets[i], &next[n], err);
		if (made == HG_OK)
			calls += target_shards(next[n++]);
		else
			rc = made;
	}
	for (uint32_t i = 0; i < r->target_n; i++)
		target_free(r->target[i]);
	memcpy(r->target, next, sizeof next);
	r->target_n = n;
	r->receives = c->receive;
	fetch_limit(r->fetch, HG_MAX(calls, 1u));
	return rc;
}

bool remote_http(struct remote *r, struct serve_call *call, const struct serve_request *req)
{
	if (!r->receives || !hg_str_eq(req->path, HG_STR("/api/v1/write"))) return false;
	receive_handle(&r->receive, call, req);
	return true;
}

/* ------------------------------------------------------------------ figures */

bool remote_status_next(const struct remote *r, size_t *at, struct remote_status *ret_status)
{
	if (*at >= r->target_n) return false;
	target_status(r->target[(*at)++], ret_status);
	return true;
}

static void metric(struct hg_buf *b, const char *name, const char *help, uint64_t v)
{
	hg_buf_fmt(b,
	        "# HELP headgate_remote_%s %s\n# TYPE headgate_remote_%s counter\n"
	        "headgate_remote_%s %" PRIu64 "\n",
	        name, help, name, name, v);
}

enum of_target {
	OF_SAMPLES,
	OF_DROPPED,
	OF_RETRIES,
	OF_BYTES,
	OF_POSITION,
	OF_FLYING,
	OF_FAILING,
	OF_UNKEPT
};

static const struct {
	const char *name, *type, *help;
} of_target[] = {
        [OF_SAMPLES] = {"sent_samples_total", "counter", "Samples that were acknowledged."},
        [OF_DROPPED] = {"dropped_samples_total", "counter",
                "Samples that were refused for good (4xx)."},
        [OF_RETRIES] = {"retries_total", "counter", "Requests that will be sent again."},
        [OF_BYTES] = {"sent_bytes_total", "counter", "Bytes of acknowledged requests."},
        [OF_POSITION] = {"position_seconds", "gauge", "Unix time up to which everything was sent."},
        [OF_FLYING] = {"requests_under_way", "gauge", "Requests without an answer yet."},
        [OF_FAILING] = {"failing", "gauge", "1 when the last request was not taken."},
        [OF_UNKEPT] = {"position_unkept", "gauge",
                "1 when the position cannot be written: what is sent may be sent again."},
};

static void put_value(struct hg_buf *to, const struct remote_status *s, enum of_target what)
{
	switch (what) {
	case OF_SAMPLES: hg_buf_u64(to, s->samples); break;
	case OF_DROPPED: hg_buf_u64(to, s->dropped); break;
	case OF_RETRIES: hg_buf_u64(to, s->retries); break;
	case OF_BYTES: hg_buf_u64(to, s->bytes); break;
	case OF_POSITION:
		hg_buf_fmt(
		        to, "%" PRId64 ".%03" PRId64, s->position_ms / 1000, s->position_ms % 1000);
		break;
	case OF_FLYING: hg_buf_u64(to, s->flying); break;
	case OF_FAILING: hg_buf_u64(to, s->failing); break;
	case OF_UNKEPT: hg_buf_u64(to, s->unkept); break;
	}
}

void remote_metrics(const struct remote *r, struct hg_buf *to)
{
	const struct receive_counts *c = &r->receive.count;
	metric(to, "received_requests_total", "Requests of remote write that were taken over.",
	        c->requests);
	metric(to, "received_samples_total", "Samples that came by remote write.", c->samples);
	metric(to, "refused_samples_total", "Samples of remote write that the store refused.",
	        c->refused);
	metric(to, "refused_requests_total", "Requests of remote write that could not be read.",
	        c->bad);
	metric(to, "ignored_histograms_total", "Native histograms, which are not kept.",
	        c->histograms);
	for (size_t i = 0; r->target_n && i < HG_COUNT(of_target); i++) {
		hg_buf_fmt(to, "# HELP headgate_remote_%s %s\n# TYPE headgate_remote_%s %s\n",
		        of_target[i].name, of_target[i].help, of_target[i].name, of_target[i].type);
		for (uint32_t k = 0; k < r->target_n; k++) {
			struct remote_status s;
			target_status(r->target[k], &s);
			hg_buf_fmt(to, "headgate_remote_%s{remote=\"%.*s\"} ", of_target[i].name,
			        HG_STR_ARG(s.name));
			put_value(to, &s, (enum of_target)i);
			hg_buf_byte(to, '\n');
		}
	}
}
