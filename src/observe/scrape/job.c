/* Jobs and places: what is written about targets becomes where they are and what they are called.
 */
#include "observe/scrape/scrape_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/url.h"

#define JOB_BYTES_MAX  (16u << 20)
#define TARGET_URL_MAX 8192u

/* ---- jobs ---- */

static void print_rules(struct hg_buf *b, const struct relabel_conf *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct hg_str text[] = {
		        c[i].separator, c[i].regex, c[i].target, c[i].replacement};
		hg_buf_fmt(b, "%d %llu %u;", (int)c[i].action, (unsigned long long)c[i].modulus,
		        c[i].source_n);
		for (uint32_t k = 0; k < c[i].source_n; k++) {
			hg_buf_fmt(b, "%zu ", c[i].source[k].n);
			hg_buf_str(b, c[i].source[k]);
		}
		for (size_t k = 0; k < HG_COUNT(text); k++) {
			hg_buf_fmt(b, "%d %zu ", text[k].p != NULL, text[k].n);
			hg_buf_str(b, text[k]);
		}
	}
	hg_buf_byte(b, '\n');
}

/* All that is said about a job but its targets; equal jobs give equal texts. */
static bool fingerprint(const struct scrape_job_conf *c, uint64_t *ret_print)
{
	struct hg_buf b;
	bool ok;
	hg_buf_init(&b, JOB_BYTES_MAX);
	hg_buf_fmt(&b, "%zu ", c->name.n);
	hg_buf_str(&b, c->name);
	hg_buf_fmt(&b, "%u %u %d %d %d %d %llu %u %u %u %u %zu ", c->interval_ms, c->timeout_ms,
	        c->honor_labels, c->ignore_timestamps, c->track_timestamps_staleness,
	        (int)c->compression, (unsigned long long)c->body_size_limit, c->sample_limit,
	        c->label_limit, c->label_name_length_limit, c->label_value_length_limit, c->path.n);
	hg_buf_str(&b, c->path);
	print_rules(&b, c->relabel, c->relabel_n);
	print_rules(&b, c->metric_relabel, c->metric_relabel_n);
	ok = !b.failed;
	*ret_print = hg_str_hash(hg_buf_view(&b));
	hg_buf_free(&b);
	return ok;
}

static enum hg_rc check_times(struct scrape_job_conf *c, struct hg_err *err)
{
	if (!c->interval_ms) c->interval_ms = SCRAPE_INTERVAL_MS;
	if (!c->timeout_ms) c->timeout_ms = HG_MIN(SCRAPE_TIMEOUT_MS, c->interval_ms);
	if (c->timeout_ms <= c->interval_ms) return HG_OK;
	return hg_err_set(err, HG_E_INVALID,
	        "the time-out of job \"%.*s\" (%u ms) is longer than its interval (%u ms)",
	        HG_STR_ARG(c->name), c->timeout_ms, c->interval_ms);
}

enum hg_rc scrape_job_new(
        const struct scrape_job_conf *conf, struct job **ret_job, struct hg_err *err)
{
	struct job *j = calloc(1, sizeof *j);
	enum hg_rc rc;
	if (!j) return hg_err_set(err, HG_E_NOMEM, "no memory for a scrape job");
	j->refs = 1;
	j->c = *conf;
	hg_arena_init(&j->arena, "scrape job", JOB_BYTES_MAX);
	if (!j->c.path.n) j->c.path = HG_STR("/metrics");
	if (!j->c.body_size_limit) j->c.body_size_limit = SCRAPE_BODY_MAX;
	rc = check_times(&j->c, err);
	if (rc < 0) goto out;
	j->c.name = hg_arena_str(&j->arena, conf->name);
	j->c.path = hg_arena_str(&j->arena, j->c.path);
	if (!j->c.name.p || !j->c.path.p || !fingerprint(conf, &j->print)) {
		rc = hg_err_set(err, HG_E_NOMEM, "no memory for a scrape job");
		goto out;
	}
	rc = relabel_new(conf->relabel, conf->relabel_n, &j->relabel, err);
	if (rc < 0) goto out;
	rc = relabel_new(conf->metric_relabel, conf->metric_relabel_n, &j->metric_relabel, err);
	j->c.relabel = j->c.metric_relabel = NULL; /* the caller's */
	j->c.targets = NULL;
out:
	if (rc < 0)
		scrape_job_unref(j);
	else
		*ret_job = j;
	return rc;
}

struct job *scrape_job_ref(struct job *j)
{
	j->refs++;
	return j;
}

void scrape_job_unref(struct job *j)
{
	if (!j || --j->refs) return;
	relabel_free(j->relabel);
	relabel_free(j->metric_relabel);
	hg_arena_fini(&j->arena);
	free(j);
}

/* ---- places ---- */

static void set_missing(struct labels_builder *b, struct hg_str name, struct hg_str value)
{
	if (labels_builder_get(b, name).n == 0) labels_builder_set(b, name, value);
}

static bool is_local(const struct sock_addr *a)
{
	if (a->sa.sa_family == AF_UNIX) return true;
	if (a->sa.sa_family == AF_INET) return ntohl(a->in4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

static enum hg_rc invalid(struct job *j, struct hg_str address, const char *why, struct hg_err *err)
{
	return hg_err_set(err, HG_E_INVALID, "target \"%.*s\" of job \"%.*s\" cannot be asked: %s",
	        HG_STR_ARG(address), HG_STR_ARG(j->c.name), why);
}

/* Path and query: __metrics_path__ and all __param_NAME. */
static char *target_text(struct labels ls)
{
	struct hg_str path = labels_get(ls, HG_STR("__metrics_path__"));
	bool query = hg_str_find(path, '?') < path.n;
	struct hg_buf b;
	char *text;
	hg_buf_init(&b, TARGET_URL_MAX);
	if (path.n == 0 || path.p[0] != '/') hg_buf_byte(&b, '/');
	for (size_t i = 0; i < path.n; i++) /* what would end the line of the request is escaped */
		if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] >= 0x7f)
			url_encode(&b, (struct hg_str){path.p + i, 1}, "");
		else
			hg_buf_byte(&b, path.p[i]);
	for (uint32_t i = 0; i < ls.n; i++) {
		struct hg_str name = ls.at[i].name;
		if (!hg_str_starts(name, HG_STR("__param_")) || name.n == 8) continue;
		hg_buf_byte(&b, query ? '&' : '?');
		url_encode(&b, (struct hg_str){name.p + 8, name.n - 8}, "");
		hg_buf_byte(&b, '=');
		url_encode(&b, ls.at[i].value, "");
		query = true;
	}
	text = hg_buf_take(&b);
	hg_buf_free(&b);
	return text;
}

static char *url_text(struct hg_str address, const char *target)
{
	struct hg_buf b;
	char *text;
	hg_buf_init(&b, TARGET_URL_MAX + 512);
	if (!hg_str_starts(address, HG_STR("unix:"))) hg_buf_cstr(&b, "http://");
	hg_buf_str(&b, address);
	if (hg_str_starts(address, HG_STR("unix:"))) hg_buf_byte(&b, ':');
	hg_buf_cstr(&b, target);
	text = hg_buf_take(&b);
	hg_buf_free(&b);
	return text;
}

/* From the labels after relabelling to how it is asked. */
static enum hg_rc how_to_ask(struct job *j, struct labels ls, struct place *p, struct hg_err *err)
{
	struct hg_str address = labels_get(ls, HG_STR("__address__"));
	struct hg_str scheme = labels_get(ls, HG_STR("__scheme__"));
	if (address.n == 0) return invalid(j, address, "it has no __address__", err);
	if (!hg_str_eq(scheme, HG_STR("http")))
		return invalid(j, address, "only the scheme http is supported", err);
	if (!sock_addr_parse(address, &p->addr))
		return invalid(j, address,
		        "the address should be IP:PORT, localhost:PORT or unix:/PATH", err);
	p->local = is_local(&p->addr);
	if (p->addr.sa.sa_family == AF_UNIX)
		(void)hg_str_copy(HG_STR("localhost"), p->host, sizeof p->host);
	else if (!hg_str_copy(address, p->host, sizeof p->host))
		return invalid(j, address, "the address is too long", err);
	p->target = target_text(ls);
	p->url = p->target ? url_text(address, p->target) : NULL;
	if (!p->url) return invalid(j, address, "path and parameters are too long", err);
	return HG_OK;
}

/* What is left for samples: no internal labels, and an instance. */
static enum hg_rc public_labels(struct labels_builder *b, struct labels *ret_labels)
{
	struct labels ls;
	set_missing(b, HG_STR("instance"), labels_builder_get(b, HG_STR("__address__")));
	for (uint32_t i = 0; i < b->n;) {
		if (hg_str_starts(b->at[i].name, HG_STR("__")))
			labels_builder_drop(b, b->at[i].name);
		else
			i++;
	}
	enum hg_rc rc = labels_builder_done(b, &ls);
	return rc < 0 ? rc : labels_clone(ls, ret_labels);
}

enum hg_rc scrape_place_make(struct job *j, const struct scrape_target_conf *conf,
        struct place *ret_place, struct hg_err *err)
{
	struct labels_builder b;
	struct hg_arena texts;
	struct labels ls;
	enum relabel_result result = RELABEL_FAILED;
	enum hg_rc rc;
	*ret_place = (struct place){.proxy = conf->proxy};
	labels_builder_init(&b);
	hg_arena_init(&texts, "labels of a target", 1u << 20);
	labels_builder_from(&b, conf->labels);
	set_missing(&b, HG_STR("job"), j->c.name);
	set_missing(&b, HG_STR("__scheme__"), HG_STR("http"));
	set_missing(&b, HG_STR("__metrics_path__"), j->c.path);
	rc = labels_builder_done(&b, &ls);
	if (rc >= 0) rc = labels_clone(ls, &ret_place->discovered);
	if (rc >= 0) result = relabel_apply(j->relabel, &b, &texts);
	if (rc >= 0 && result == RELABEL_FAILED) rc = HG_E_NOMEM;
	ret_place->dropped = result == RELABEL_DROPPED;
	if (rc >= 0 && result == RELABEL_KEPT) {
		rc = labels_builder_done(&b, &ls);
		if (rc >= 0) rc = how_to_ask(j, ls, ret_place, err);
		if (rc < 0 && rc != HG_E_NOMEM && rc != HG_E_TOO_LARGE) goto out;
		if (rc >= 0) rc = public_labels(&b, &ret_place->labels);
	}
	if (rc < 0) (void)hg_err_set(err, rc, "no memory for the labels of a target");
out:
	if (rc < 0) scrape_place_fini(ret_place);
	labels_builder_fini(&b);
	hg_arena_fini(&texts);
	return rc;
}

void scrape_place_fini(struct place *p)
{
	labels_free(p->labels);
	labels_free(p->discovered);
	free(p->target);
	free(p->url);
	*p = (struct place){0};
}
