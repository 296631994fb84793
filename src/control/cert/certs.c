#include "control/cert/certs_priv.h"
#include "control/cert/identities.h"
#include "control/cert/upstreams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sock.h"
#include "wire/json.h"

#define DAY_S 86400

/* ---- plans ---- */

static void one_free(struct certs_one *o)
{
	cert_texts_free(&o->texts);
	free(o->cert);
	free(o->key);
}

void certs_plan_free(struct certs_plan *p)
{
	if (!p) return;
	for (uint32_t i = 0; i < p->count; i++)
		one_free(&p->one[i]);
	free(p->one);
	free(p);
}

static uint64_t stamp_of(const struct certs_one *o)
{
	const char *const path[] = {o->cert, o->key};
	return certs_stamp(path, HG_COUNT(path));
}

static enum hg_rc text_dup(struct hg_str s, char **ret_text, size_t *ret_n)
{
	*ret_text = strndup(s.p ? s.p : "", s.n);
	*ret_n = s.n;
	return *ret_text ? HG_OK : HG_E_NOMEM;
}

static enum hg_rc given_take(struct certs_one *o, const struct certs_given *g, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	enum hg_rc rc = text_dup(g->chain, &o->texts.chain, &o->texts.chain_n);
	if (rc == HG_OK) rc = text_dup(g->key, &o->texts.key, &o->texts.key_n);
	if (rc < 0) return hg_err_set(err, rc, "memory is exhausted");
	struct tls_pem pem = {g->chain, g->key};
	rc = tls_pem_check(&pem, &o->is, why);
	if (rc == HG_E_INVALID)
		return hg_err_set(err, HG_E_CERT_FILE, "could not use \"%s\": %s", o->cert, why);
	return rc < 0 ? hg_err_set(err, rc, "memory is exhausted") : HG_OK;
}

/* Given, else read here, else kept. */
static enum hg_rc texts_find(
        struct certs *c, struct certs_one *o, const struct certs_given *g, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	uint64_t stamp = stamp_of(o);
	if (g) {
		o->stamp = stamp;
		return given_take(o, g, err);
	}
	enum hg_rc rc = cert_texts_read(o->cert, o->key, &o->texts, &o->is, err);
	if (rc == HG_OK) o->stamp = stamp;
	if (rc != HG_E_CERT_FILE && rc != HG_E_DENIED) return rc;
	if (certs_kept_find(c->o.child->data_dir, o->cert, &o->texts) < 0) return rc;
	struct tls_pem pem = {{o->texts.chain, o->texts.chain_n}, {o->texts.key, o->texts.key_n}};
	return tls_pem_check(&pem, &o->is, why) == HG_OK ? HG_OK : rc;
}

static const struct certs_given *given_find(
        const struct certs_given *given, uint32_t n, struct hg_str cert)
{
	for (uint32_t i = 0; i < n; i++) {
		if (hg_str_eq(given[i].cert, cert)) return &given[i];
	}
	return NULL;
}

enum hg_rc certs_check(struct certs *c, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct certs_plan **ret_plan,
        struct hg_err *err)
{
	const struct spec_edge_tls *tls = &s->edge.tls;
	uint32_t n = s->edge.listen.https.set ? tls->certificate_count : 0;
	struct certs_plan *p = calloc(1, sizeof *p);
	if (p) p->one = calloc(n + 1, sizeof *p->one);
	if (!p || !p->one) {
		certs_plan_free(p);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < n && rc == HG_OK; i++) {
		const struct spec_certificate *from = &tls->certificates[i];
		struct certs_one *o = &p->one[p->count++];
		o->cert = certs_absolute(dir, from->cert);
		o->key = certs_absolute(dir, from->key);
		rc = o->cert && o->key
		             ? texts_find(c, o, given_find(given, given_count, from->cert), err)
		             : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	if (rc == HG_OK) {
		p->allow_1_2 = tls->min_version == SPEC_EDGE_TLS_MIN_VERSION_1_2;
		p->off = !s->edge.listen.https.set;
		*ret_plan = p;
		p = NULL;
	}
	certs_plan_free(p);
	return rc;
}

enum hg_rc certs_keep(struct certs *c, struct certs_plan *p, struct hg_err *err)
{
	HG_ASSERT(p);
	if (p->off) return HG_OK;
	return certs_kept_write(c->o.child->data_dir, p, err);
}

/* ---- publishing ---- */

static struct tls_pem texts_pem(const struct cert_texts *t)
{
	return (struct tls_pem){{t->chain, t->chain_n}, {t->key, t->key_n}};
}

/* How replicas are spoken to; the caller frees the list. */
static enum hg_rc remotes_list(
        const struct certs *c, struct cert_remote_conf **ret_list, struct hg_err *err)
{
	uint32_t n = upstreams_count(c->o.upstreams);
	*ret_list = calloc(n + 1, sizeof **ret_list);
	if (!*ret_list) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < n; i++)
		(*ret_list)[i] = upstreams_at(c->o.upstreams, i);
	return HG_OK;
}

/* Files, others, and if there are none the stand-in; behind them the challenges. */
static enum hg_rc bundle_make(struct certs *c, int *ret_fd, struct hg_err *err)
{
	const struct certs_plan *p = c->now;
	uint32_t n = 0;
	struct tls_pem *pem = calloc(p->count + c->other_count + 1 + c->alpn_count, sizeof *pem);
	enum hg_rc rc = pem ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; pem && i < p->count; i++)
		pem[n++] = texts_pem(&p->one[i].texts);
	for (uint32_t i = 0; pem && i < c->other_count; i++)
		pem[n++] = texts_pem(&c->other[i].texts);
	if (rc == HG_OK && n == 0 && !p->off) {
		rc = certs_stand_in(c, err);
		HG_ASSERT(pem);
		if (rc == HG_OK) pem[n++] = texts_pem(&c->stand_in);
	}
	c->stands_in = rc == HG_OK && !p->off && p->count + c->other_count == 0;
	for (uint32_t i = 0; pem && i < c->alpn_count; i++)
		pem[n + i] = texts_pem(&c->alpn[i]);
	struct tls_conf conf = {.pem = pem,
	        .pem_count = n,
	        .challenge = pem ? pem + n : NULL,
	        .challenge_count = c->alpn_count,
	        .allow_1_2 = p->allow_1_2,
	        .tickets = c->tickets,
	        .ticket_count = c->ticket_count};
	struct cert_remote_conf *remotes = NULL;
	if (rc == HG_OK) rc = remotes_list(c, &remotes, err);
	struct cert_extra extra = {.generation = c->generation,
	        .tokens = c->tokens,
	        .token_count = c->token_count,
	        .remotes = remotes,
	        .remote_count = upstreams_count(c->o.upstreams),
	        .identities = identities_text(c->o.identities)};
	if (rc == HG_OK) rc = cert_bundle_make(&conf, &extra, ret_fd, err);
	free(remotes);
	free(pem);
	return rc;
}

static void publish(struct certs *c)
{
	struct hg_err err = {0};
	int fd = -1;
	uint32_t others = upstreams_count(c->o.upstreams) + identities_any(c->o.identities);
	if (!c->now || (c->now->off && !others && !c->told)) return;
	c->told = others > 0;
	c->generation++;
	enum hg_rc rc = bundle_make(c, &fd, &err);
	struct wd_msg m = {.magic = WD_MAGIC, .type = WD_CERTS};
	if (rc == HG_OK) {
		int sent = sock_send(c->o.child->warden_fd, &m, sizeof m, &fd, 1);
		if (sent < 0)
			rc = hg_err_set(
			        &err, HG_E_IO, "the warden did not take them: %s", strerror(-sent));
	}
	if (fd >= 0) close(fd);
	/* The edge goes on with those it has; the next look publishes again. */
	if (rc < 0) hg_log(c->o.log, HG_ERROR, "certificates.failed", HG_S("error", err.message));
}

uint64_t certs_generation(const struct certs *c)
{
	return !c->now || c->now->off ? 0 : c->generation;
}

uint64_t certs_refresh(struct certs *c)
{
	publish(c);
	return certs_generation(c);
}

static void journal(struct certs *c, const char *kind, const struct certs_one *o)
{
	struct hg_buf text;
	struct json_out j;
	struct hg_err err = {0};
	uint64_t id;
	hg_buf_init(&text, 16384);
	json_out_init(&j, &text);
	json_out_object(&j);
	json_out_key(&j, "file");
	json_out_cstr(&j, o->cert);
	json_out_key(&j, "host");
	json_out_cstr(&j, o->is.names[0]);
	json_out_key(&j, "expires_s");
	json_out_int(&j, o->is.until_s);
	json_out_end(&j);
	struct store_event e = {.ts_ms = c->o.wall_ms(),
	        .kind = hg_str(kind),
	        .text = json_out_ok(&j) ? hg_buf_view(&text) : HG_STR("{}")};
	if (store_event_add(c->o.store, &e, &id, &err) < 0)
		hg_log(c->o.log, HG_ERROR, "certificates.journal", HG_S("error", err.message));
	hg_buf_free(&text);
}

/* ---- expiry ---- */

bool certs_near_end(int64_t until_s, int64_t now_s, uint8_t warned, uint8_t *ret_step)
{
	static const int64_t limit_s[] = {21 * DAY_S, 7 * DAY_S, DAY_S, 0};
	uint8_t step = 0;
	for (size_t i = 0; i < HG_COUNT(limit_s); i++)
		if (until_s - now_s <= limit_s[i]) step = (uint8_t)(i + 1);
	*ret_step = step;
	return step > warned;
}

static void expiry_of(struct certs *c, struct certs_one *o, int64_t now_s)
{
	uint8_t step;
	bool say = certs_near_end(o->is.until_s, now_s, o->warned, &step);
	/* Those that are obtained here are renewed long before: only when that fails is it news. */
	if (o->other && o->is.until_s - now_s > (o->is.until_s - o->is.from_s) / 4) return;
	o->warned = step;
	if (!say) return;
	bool over = o->is.until_s <= now_s;
	hg_log(c->o.log, over ? HG_ERROR : HG_WARN,
	        over ? "certificate.expired" : "certificate.expires", HG_S("file", o->cert),
	        HG_S("host", o->is.names[0]), HG_I("seconds_left", o->is.until_s - now_s));
	journal(c, over ? "certificate.expired" : "certificate.expires", o);
}

static void expiry_look(struct certs *c)
{
	int64_t now_s = (int64_t)(c->o.wall_ms() / 1000);
	for (uint32_t i = 0; c->now && i < c->now->count; i++)
		expiry_of(c, &c->now->one[i], now_s);
	for (uint32_t i = 0; i < c->other_count; i++)
		expiry_of(c, &c->other[i], now_s);
}

/* ---- looking at the files ---- */

static bool renew(struct certs *c, struct certs_one *o)
{
	uint64_t stamp = stamp_of(o);
	struct certs_one fresh = {0};
	struct hg_err err = {0};
	if (stamp == 0 || stamp == o->stamp) return false;
	enum hg_rc rc = cert_texts_read(o->cert, o->key, &fresh.texts, &fresh.is, &err);
	if (rc < 0) {
		/* Half written, perhaps: the old one serves on. Said once, tried every time. */
		if (!o->complained)
			hg_log(c->o.log, HG_WARN, "certificate.unusable",
			        HG_S("error", err.message));
		o->complained = true;
		return false;
	}
	bool same = fresh.texts.chain_n == o->texts.chain_n &&
	            fresh.texts.key_n == o->texts.key_n &&
	            memcmp(fresh.texts.chain, o->texts.chain, o->texts.chain_n) == 0 &&
	            memcmp(fresh.texts.key, o->texts.key, o->texts.key_n) == 0;
	o->stamp = stamp;
	o->complained = false;
	if (same) {
		cert_texts_free(&fresh.texts);
		return false;
	}
	cert_texts_free(&o->texts);
	o->texts = fresh.texts;
	o->is = fresh.is;
	o->warned = 0;
	hg_log(c->o.log, HG_INFO, "certificate.renewed", HG_S("file", o->cert));
	journal(c, "certificate.renewed", o);
	return true;
}

static void arm(struct certs *c, struct loop_timer *t, uint64_t ms, loop_timer_fn fn)
{
	if (loop_timer_start(c->o.loop, t, ms, fn) < 0)
		hg_log(c->o.log, HG_ERROR, "certificates.timer");
}

static void on_watch(struct loop *l, struct loop_timer *t)
{
	struct certs *c = HG_CONTAINER(t, struct certs, watch);
	struct hg_err err = {0};
	bool changed = false;
	(void)l;
	for (uint32_t i = 0; c->now && i < c->now->count; i++)
		changed = renew(c, &c->now->one[i]) || changed;
	if (changed) {
		if (certs_keep(c, c->now, &err) < 0)
			hg_log(c->o.log, HG_ERROR, "certificates.keep", HG_S("error", err.message));
		publish(c);
	}
	expiry_look(c);
	arm(c, &c->watch, CERTS_WATCH_MS, on_watch);
}

/* ---- ticket keys ---- */

/* A new key makes tickets; the ones before still open theirs. Never on disk: a stolen disk opens
 * no recorded session. */
static void tickets_turn(struct certs *c)
{
	struct tls_ticket_key fresh;
	if (file_random(&fresh, sizeof fresh) < 0) return;
	memmove(c->tickets + 1, c->tickets, (TLS_TICKETS_MAX - 1) * sizeof fresh);
	c->tickets[0] = fresh;
	c->ticket_count = HG_MIN(c->ticket_count + 1, (uint32_t)TLS_TICKETS_MAX);
	explicit_bzero(&fresh, sizeof fresh);
}

static void on_rotate(struct loop *l, struct loop_timer *t)
{
	struct certs *c = HG_CONTAINER(t, struct certs, rotate);
	(void)l;
	tickets_turn(c);
	publish(c);
	arm(c, &c->rotate, CERTS_TICKET_MS, on_rotate);
}

/* ---- life ---- */

enum hg_rc certs_new(const struct certs_options *o, struct certs **ret_certs, struct hg_err *err)
{
	struct certs *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	c->o = *o;
	c->generation = certs_acknowledged(o->meter);
	tickets_turn(c);
	arm(c, &c->watch, CERTS_WATCH_MS, on_watch);
	arm(c, &c->rotate, CERTS_TICKET_MS, on_rotate);
	*ret_certs = c;
	return HG_OK;
}

void certs_free(struct certs *c)
{
	if (!c) return;
	loop_timer_stop(c->o.loop, &c->watch);
	loop_timer_stop(c->o.loop, &c->rotate);
	certs_plan_free(c->now);
	certs_more_free(c);
	explicit_bzero(c->tickets, sizeof c->tickets);
	free(c);
}

void certs_apply(struct certs *c, struct certs_plan *p)
{
	certs_plan_free(c->now);
	c->now = p;
	publish(c);
	expiry_look(c);
}

uint32_t certs_count(const struct certs *c)
{
	return (c->now ? c->now->count : 0) + c->other_count;
}

struct certs_view certs_at(const struct certs *c, uint32_t i)
{
	uint32_t files = c->now ? c->now->count : 0;
	const struct certs_one *o = i < files ? &c->now->one[i] : &c->other[i - files];
	return (struct certs_view){o->cert, &o->is, o->other};
}
