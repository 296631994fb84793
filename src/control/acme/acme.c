/* Does what the pure half decides: asks, waits, keeps, hands over. */
#include "control/acme/acme_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"
#include "wire/json.h"

#define TIMEOUT_MS    30000u
#define LOOK_MOST_MS  (60LL * 60 * 1000) /* the wall clock may be set meanwhile */
#define FIRST_LOOK_MS 300u               /* workers are just being told of the first bundle */
#define LIMITED_MS    (60LL * 60 * 1000) /* rateLimited without Retry-After */
#define AGAIN_MS      1000u

static void on_timer(struct loop *l, struct loop_timer *t);

int64_t acme_now(const struct acme *a)
{
	return (int64_t)a->o.wall_ms();
}

static void arm(struct acme *a, uint64_t ms)
{
	if (loop_timer_start(a->o.loop, &a->timer, ms, on_timer) < 0)
		hg_log(a->o.log, HG_ERROR, "acme.timer");
}

bool acme_save(struct acme *a)
{
	struct hg_err err = {0};
	a->dirty = acme_state_save(a->o.data_dir, &a->state, &err) < 0;
	if (a->dirty) hg_log(a->o.log, HG_ERROR, "acme.save", HG_S("error", err.message));
	return !a->dirty;
}

/* ---- telling people ---- */

static void names_join(const struct acme_cert *c, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	for (uint32_t i = 0; i < c->name_count && !o.failed; i++)
		hg_out_fmt(&o, "%s%s", i ? " " : "", c->names[i]);
	to[o.n] = 0;
}

static void journal(struct acme *a, const char *kind, const struct acme_cert *c,
        const char *authority, const char *why, const char *when, int64_t when_ms)
{
	struct hg_buf text;
	struct json_out j;
	struct hg_err err = {0};
	uint64_t id;
	hg_buf_init(&text, 16384);
	json_out_init(&j, &text);
	json_out_object(&j);
	json_out_key(&j, "names");
	json_out_array(&j);
	for (uint32_t i = 0; c && i < c->name_count; i++)
		json_out_cstr(&j, c->names[i]);
	json_out_end(&j);
	json_out_key(&j, "authority");
	json_out_cstr(&j, authority);
	if (why) {
		json_out_key(&j, "why");
		json_out_cstr(&j, why);
	}
	if (when) {
		json_out_key(&j, when);
		json_out_int(&j, when_ms);
	}
	json_out_end(&j);
	struct store_event e = {.ts_ms = a->o.wall_ms(),
	        .kind = hg_str(kind),
	        .text = json_out_ok(&j) ? hg_buf_view(&text) : HG_STR("{}")};
	if (store_event_add(a->o.store, &e, &id, &err) < 0)
		hg_log(a->o.log, HG_ERROR, "acme.journal", HG_S("error", err.message));
	hg_buf_free(&text);
	hg_log(a->o.log, why ? HG_WARN : HG_INFO, kind, HG_S("name", c ? c->names[0] : ""),
	        HG_S("authority", authority), HG_S("why", why ? why : ""));
	if (a->o.on_event) a->o.on_event(a->o.arg);
}

/* ---- the session's ends ---- */

static void order_forget(struct acme *a)
{
	struct acme_order *o = &a->state.order;
	if (o->key) explicit_bzero(o->key, strlen(o->key));
	free(o->key);
	*o = (struct acme_order){0};
}

static void others_hand_over(struct acme *a)
{
	struct certs_other *list = calloc(a->state.used + 1, sizeof *list);
	struct hg_err err = {0};
	uint32_t n = 0;
	for (uint32_t i = 0; list && i < a->state.used; i++) {
		const struct acme_held *h = &a->state.held[i];
		if (h->chain && h->key)
			list[n++] = (struct certs_other){hg_str(h->chain), hg_str(h->key)};
	}
	enum hg_rc rc = list ? certs_others_set(a->o.certs, list, n, &err) : HG_E_NOMEM;
	if (rc < 0) hg_log(a->o.log, HG_ERROR, "acme.hand_over", HG_S("error", err.message));
	free(list);
}

static const char *authority(const struct acme *a)
{
	return a->session.directory;
}

static void failed(
        struct acme *a, enum acme_trouble trouble, int64_t retry_after_ms, const char *why)
{
	struct acme_cert *c = &a->state.cert[a->at];
	int64_t now = acme_now(a);
	(void)snprintf(c->why, sizeof c->why, "%s", why && why[0] ? why : "unknown");
	a->failures++;
	if (trouble == ACME_LIMITED || (trouble == ACME_AWAY && retry_after_ms > 0)) {
		struct acme_account *at = acme_account_at(&a->state, authority(a));
		at->after_ms = now + (retry_after_ms > 0 ? retry_after_ms : LIMITED_MS);
	}
	acme_cert_failed(c, &a->conf->rules, a->staging, trouble, retry_after_ms, &a->rand, now);
	journal(a, "certificate.order_failed", c, authority(a), c->why, "next_ms", c->next_ms);
	order_forget(a);
	(void)acme_save(a);
	arm(a, 0);
}

static void proved(struct acme *a)
{
	struct acme_cert *c = &a->state.cert[a->at];
	acme_cert_proved(c);
	journal(a, "certificate.proved", c, authority(a), NULL, NULL, 0);
	order_forget(a);
	(void)acme_save(a);
	arm(a, 0);
}

static void issued(struct acme *a, char *chain, const struct tls_cert *is)
{
	struct acme_cert *c = &a->state.cert[a->at];
	struct acme_held *h = &a->state.held[a->at];
	if (h->key) explicit_bzero(h->key, strlen(h->key));
	free(h->key);
	free(h->chain);
	h->chain = chain;
	h->key = a->state.order.key;
	a->state.order.key = NULL;
	(void)hg_str_copy(hg_str(authority(a)), h->authority, sizeof h->authority);
	acme_renewal_id(hg_str(chain), h->id);
	bool ari = h->id[0] && a->session.renewal[0];
	acme_cert_issued(c, is->from_s * 1000, is->until_s * 1000, ari, &a->rand, acme_now(a));
	order_forget(a);
	/* Kept before it is served: what was served once is served after a crash. */
	(void)acme_save(a);
	others_hand_over(a);
	(void)certs_refresh(a->o.certs);
	journal(a, "certificate.issued", c, authority(a), NULL, "expires_ms", c->until_ms);
	arm(a, 0);
}

static void take(struct acme *a, struct hg_str body)
{
	const struct acme_cert *c = &a->state.cert[a->at];
	struct hg_str names[ACME_NAMES_MAX];
	char why[TLS_WHY_MAX];
	struct tls_cert *is = calloc(1, sizeof *is);
	char *chain = body.n ? strndup(body.p, body.n) : strdup("");
	for (uint32_t i = 0; i < c->name_count; i++)
		names[i] = hg_str(c->names[i]);
	struct tls_pem pem = {hg_str(chain), hg_str(a->state.order.key)};
	enum hg_rc rc =
	        chain && is ? tls_chain_check(&pem, names, c->name_count, acme_now(a) / 1000, why)
	                    : HG_E_NOMEM;
	if (rc == HG_OK) rc = tls_pem_check(&pem, is, why);
	if (rc < 0) {
		failed(a, ACME_LOCAL, 0, rc == HG_E_NOMEM ? "memory is exhausted" : why);
	} else if (a->staging) {
		proved(a);
	} else {
		issued(a, chain, is);
		chain = NULL;
	}
	free(chain);
	free(is);
}

static void window_take(struct acme *a, const struct acme_do *d, bool any)
{
	struct acme_cert *c = &a->state.cert[a->at];
	int64_t had = c->renew_ms;
	acme_cert_window(c, any ? a->body->window_from_ms : 0, any ? a->body->window_until_ms : 0,
	        d->retry_after_ms, &a->rand, acme_now(a));
	if (d->act == ACME_DO_END) c->ari_ms = 0;
	if (c->renew_ms != had)
		journal(a, "certificate.renewal_moved", c, authority(a), NULL, "renew_ms",
		        c->renew_ms);
	(void)acme_save(a);
	arm(a, 0);
}

/* ---- asking ---- */

static void on_answer(void *arg, const struct fetch_answer *f)
{
	struct acme *a = arg;
	char nonce[ACME_NONCE_MAX], location[ACME_URL_MAX];
	a->call = NULL;
	bool answered = f->result == FETCH_ANSWERED;
	bool parsed = answered && (a->asked != ACME_ASK_CERT || f->status >= 400);
	if (parsed) acme_parse(a->asked, f->status, a->session.challenge, f->body, a->body);
	(void)hg_str_copy(fetch_field(f, "Replay-Nonce"), nonce, sizeof nonce);
	(void)hg_str_copy(fetch_field(f, "Location"), location, sizeof location);
	if (strncmp(location, "https://", 8) != 0) location[0] = 0;
	struct acme_seen seen = {.kind = ACME_SEEN_ANSWER,
	        .status = answered ? f->status : 0,
	        .hopeless = f->result == FETCH_REFUSED,
	        .why = f->why,
	        .nonce = nonce,
	        .location = location,
	        .retry_after_ms = (int64_t)f->retry_after_ms,
	        .body = parsed ? a->body : NULL};
	if (answered && a->asked == ACME_ASK_CERT && f->status < 400) {
		/* The chain is taken from this very answer. */
		struct acme_do d = {0};
		acme_step(&a->session, &seen, &a->rand, acme_now(a), &d);
		if (d.clear) acme_place_clear(a);
		if (d.act == ACME_DO_TAKE) {
			take(a, f->cut ? HG_STR("") : f->body);
			return;
		}
		failed(a, d.trouble, d.retry_after_ms, d.why);
		return;
	}
	acme_session_seen(a, &seen);
}

/* The payload of a POST; none: POST-as-GET. */
static enum hg_rc payload_make(struct acme *a, enum acme_ask ask, const char *url,
        struct hg_buf *to, char why[TLS_WHY_MAX])
{
	const struct acme_cert *c = &a->state.cert[a->at];
	bool eab = a->session.eab && a->conf->kid[0];
	switch (ask) {
	case ACME_ASK_ACCOUNT: return acme_account_payload(a->key, url, a->conf, eab, to);
	case ACME_ASK_ORDER: return acme_order_payload(c, a->session.renewal_id, to);
	case ACME_ASK_VALIDATE: hg_buf_cstr(to, "{}"); return HG_OK;
	case ACME_ASK_FINALIZE:
		return acme_finalize_payload(c, hg_str(a->state.order.key), to, why);
	default: return HG_OK;
	}
}

static enum hg_rc post_make(
        struct acme *a, const struct acme_do *d, struct hg_buf *to, char why[TLS_WHY_MAX])
{
	struct hg_buf payload;
	hg_buf_init(&payload, 1u << 20);
	snprintf(why, TLS_WHY_MAX, "the request could not be signed");
	enum hg_rc rc = payload_make(a, d->ask, d->url, &payload, why);
	if (rc == HG_OK)
		rc = acme_request_sign(a->key, d->by_key ? NULL : a->session.account,
		        a->session.nonce, d->url, hg_buf_view(&payload), to);
	hg_buf_free(&payload);
	return rc;
}

static void ask(struct acme *a, const struct acme_do *d)
{
	static const char *const headers[] = {"Content-Type: application/jose+json"};
	char why[TLS_WHY_MAX];
	struct hg_err err = {0};
	struct hg_buf body;
	hg_buf_init(&body, 1u << 20);
	enum hg_rc rc = d->post ? post_make(a, d, &body, why) : HG_OK;
	struct fetch_request r = {.method = d->post ? "POST" : "GET",
	        .url = d->url,
	        .headers = headers,
	        .header_count = d->post ? 1 : 0,
	        .body = hg_buf_view(&body),
	        .timeout_ms = TIMEOUT_MS,
	        .ca_pem = hg_str(a->conf->ca_pem),
	        .keep_fields = true};
	a->asked = d->ask;
	if (rc < 0) {
		acme_place_clear(a);
		a->session.phase = ACME_OFF;
		failed(a, ACME_LOCAL, 0, why);
	} else {
		rc = fetch_start(a->o.fetch, &r, on_answer, a, &a->call, &err);
		if (rc == HG_E_AGAIN) {
			arm(a, AGAIN_MS);
		} else if (rc < 0) {
			acme_place_clear(a);
			a->session.phase = ACME_OFF;
			failed(a, ACME_LOCAL, 0, err.message);
		}
	}
	hg_buf_free(&body);
}

/* ---- a step of the session ---- */

static void order_keep(struct acme *a, bool fresh_account)
{
	struct acme_order *o = &a->state.order;
	const struct acme_session *s = &a->session;
	if (fresh_account) {
		struct acme_account *at = acme_account_at(&a->state, s->directory);
		(void)hg_str_copy(hg_str(s->account), at->url, sizeof at->url);
		journal(a, "acme.account", &a->state.cert[a->at], s->directory, NULL, NULL, 0);
	}
	(void)hg_str_copy(hg_str(s->order), o->order, sizeof o->order);
	(void)acme_save(a);
}

static void session_failed(struct acme *a, const struct acme_do *d)
{
	if (a->session.renewal_only)
		window_take(a, d, false);
	else
		failed(a, d->trouble, d->retry_after_ms, d->why);
}

void acme_session_seen(struct acme *a, const struct acme_seen *seen)
{
	struct acme_do d = {0};
	acme_step(&a->session, seen, &a->rand, acme_now(a), &d);
	if (d.save && !a->session.renewal_only) order_keep(a, d.fresh_account);
	if (d.clear) acme_place_clear(a);
	switch (d.act) {
	case ACME_DO_ASK: ask(a, &d); break;
	case ACME_DO_WAIT: arm(a, (uint64_t)d.wait_ms); break;
	case ACME_DO_PLACE: acme_place(a); break;
	case ACME_DO_WINDOW: window_take(a, &d, true); break;
	case ACME_DO_END: window_take(a, &d, false); break;
	case ACME_DO_FAIL: session_failed(a, &d); break;
	case ACME_DO_TAKE: HG_ASSERT(!"a chain comes with its answer"); break;
	}
}

/* ---- beginning ---- */

static enum hg_rc account_key(struct acme *a)
{
	enum hg_rc rc = HG_OK;
	if (a->key) return HG_OK;
	if (!a->state.key) {
		struct hg_buf pem;
		hg_buf_init(&pem, 65536);
		rc = tls_key_make(&pem);
		if (rc == HG_OK) a->state.key = strdup(hg_buf_text(&pem));
		if (rc == HG_OK && !a->state.key) rc = HG_E_NOMEM;
		if (pem.p) explicit_bzero(pem.p, pem.n);
		hg_buf_free(&pem);
		/* Kept before any authority sees it. */
		if (rc == HG_OK && !acme_save(a)) rc = HG_E_IO;
	}
	if (rc == HG_OK) rc = jws_key_read(hg_str(a->state.key), &a->key);
	if (rc == HG_OK) rc = acme_thumbprint(a->key, a->thumb);
	return rc;
}

static void session_fill(struct acme *a, const char *directory, bool staging)
{
	struct acme_session *s = &a->session;
	const struct acme_held *h = &a->state.held[a->at];
	HG_ASSERT(a->state.held && directory);
	memset(s, 0, sizeof *s);
	(void)hg_str_copy(hg_str(directory), s->directory, sizeof s->directory);
	(void)hg_str_copy(
	        hg_str(acme_account_at(&a->state, directory)->url), s->account, sizeof s->account);
	s->challenge = a->conf->challenge;
	s->has_eab = a->conf->kid[0] != 0;
	a->staging = staging;
	if (!staging && strcmp(h->authority, directory) == 0)
		(void)hg_str_copy(hg_str(h->id), s->renewal_id, sizeof s->renewal_id);
}

static void begin(struct acme *a)
{
	struct acme_seen seen = {.kind = ACME_SEEN_TIME, .why = "", .nonce = "", .location = ""};
	acme_session_seen(a, &seen);
}

static void order_begin(struct acme *a, const struct acme_due *due)
{
	struct acme_order *o = &a->state.order;
	struct hg_buf pem;
	a->at = due->cert;
	const struct acme_cert *c = &a->state.cert[a->at];
	const char *directory = due->staging ? a->conf->staging : a->conf->ca[due->ca];
	session_fill(a, directory, due->staging);
	hg_buf_init(&pem, 65536);
	enum hg_rc rc = tls_key_make(&pem);
	if (rc == HG_OK) o->key = strdup(hg_buf_text(&pem));
	if (pem.p) explicit_bzero(pem.p, pem.n);
	hg_buf_free(&pem);
	if (!o->key) {
		failed(a, ACME_LOCAL, 0, "no key could be made");
		return;
	}
	HG_ASSERT(c && directory);
	o->active = true;
	o->staging = due->staging;
	o->challenge = a->conf->challenge;
	o->began_ms = acme_now(a);
	o->names = (struct acme_cert){.name_count = c->name_count};
	memcpy(o->names.names, c->names, sizeof c->names);
	(void)hg_str_copy(hg_str(directory), o->directory, sizeof o->directory);
	acme_book_add(&a->state.book, acme_now(a));
	a->orders++;
	/* Without its key on disk an order could not be finished by the next control. */
	if (!acme_save(a)) {
		order_forget(a);
		arm(a, LOOK_MOST_MS / 60);
		return;
	}
	hg_log(a->o.log, HG_INFO, "acme.order", HG_S("name", c->names[0]),
	        HG_S("authority", directory));
	begin(a);
}

static void renewal_begin(struct acme *a, const struct acme_due *due)
{
	a->at = due->cert;
	session_fill(a, a->state.held[a->at].authority, false);
	a->session.renewal_only = true;
	begin(a);
}

/* The order of a process before this one; false: it is of no use any more. */
static bool order_resume(struct acme *a)
{
	struct acme_order *o = &a->state.order;
	bool known = strcmp(o->directory, a->conf->staging) == 0 && o->staging;
	for (uint32_t i = 0; i < a->conf->ca_count; i++)
		known = known || (!o->staging && strcmp(o->directory, a->conf->ca[i]) == 0);
	for (uint32_t i = 0; known && i < a->state.used; i++) {
		if (!acme_names_equal(&a->state.cert[i], &o->names)) continue;
		if (o->challenge != a->conf->challenge) break;
		if (acme_now(a) - o->began_ms > ACME_SESSION_MS) break;
		a->at = i;
		session_fill(a, o->directory, o->staging);
		(void)hg_str_copy(hg_str(o->order), a->session.order, sizeof a->session.order);
		return true;
	}
	return false;
}

static void look(struct acme *a)
{
	int64_t after[ACME_CAS_MAX] = {0}, now = acme_now(a);
	if (!a->conf || !a->conf->on || a->state.used == 0) return;
	if (a->session.phase != ACME_OFF || a->call || a->hook_runs) return;
	if (account_key(a) < 0) {
		hg_log(a->o.log, HG_ERROR, "acme.account_key");
		arm(a, LOOK_MOST_MS / 60);
		return;
	}
	if (a->state.order.active) {
		if (order_resume(a)) {
			hg_log(a->o.log, HG_INFO, "acme.resume",
			        HG_S("name", a->state.cert[a->at].names[0]));
			begin(a);
			return;
		}
		order_forget(a);
	}
	for (uint32_t i = 0; i < a->conf->ca_count; i++)
		after[i] = acme_account_at(&a->state, a->conf->ca[i])->after_ms;
	struct acme_due due = acme_schedule(
	        a->state.cert, a->state.used, &a->conf->rules, &a->state.book, after, now);
	if (due.kind == ACME_DUE_ORDER)
		order_begin(a, &due);
	else if (due.kind == ACME_DUE_RENEWAL)
		renewal_begin(a, &due);
	else
		arm(a, (uint64_t)HG_MIN(
		               HG_MAX(due.wake_ms - now, (int64_t)0), (int64_t)LOOK_MOST_MS));
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct acme *a = HG_CONTAINER(t, struct acme, timer);
	(void)l;
	if (a->session.phase == ACME_OFF) {
		look(a);
		return;
	}
	if (!a->call) begin(a);
}

/* ---- life ---- */

enum hg_rc acme_new(const struct acme_options *o, struct acme **ret_acme, struct hg_err *err)
{
	struct acme *a = calloc(1, sizeof *a);
	bool damaged;
	if (a) a->body = calloc(1, sizeof *a->body);
	if (!a || !a->body) {
		free(a);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	a->o = *o;
	hg_rand_seed(&a->rand, o->seed);
	enum hg_rc rc = acme_state_load(o->data_dir, &a->state, &damaged, err);
	if (rc < 0) {
		acme_free(a);
		return rc;
	}
	if (damaged) {
		hg_log(o->log, HG_ERROR, "acme.damaged",
		        HG_S("hint", "certs/acme.json.damaged was not readable; starting anew"));
		journal(a, "acme.damaged", NULL, "", "certs/acme.json could not be read", NULL, 0);
	}
	*ret_acme = a;
	return HG_OK;
}

static void stop(struct acme *a)
{
	fetch_cancel(a->call);
	a->call = NULL;
	a->session.phase = ACME_OFF;
	loop_timer_stop(a->o.loop, &a->timer);
	loop_timer_stop(a->o.loop, &a->place_timer);
}

void acme_free(struct acme *a)
{
	if (!a) return;
	stop(a);
	jws_key_free(a->key);
	acme_state_free(&a->state);
	acme_conf_free(a->conf);
	free(a->body);
	free(a);
}

void acme_wake(struct acme *a)
{
	if (a->session.phase == ACME_OFF) arm(a, 0);
}

/* Would what is under way be asked in the same way by the new one? */
static bool conf_same(const struct acme_conf *a, const struct acme_conf *b)
{
	if (!a) return false;
	bool same = a->on == b->on && a->challenge == b->challenge && a->ca_count == b->ca_count &&
	            strcmp(a->staging, b->staging) == 0 && !a->ca_pem == !b->ca_pem &&
	            (!a->ca_pem || strcmp(a->ca_pem, b->ca_pem) == 0);
	for (uint32_t i = 0; same && i < a->ca_count; i++)
		same = strcmp(a->ca[i], b->ca[i]) == 0;
	return same;
}

/* Where the certificate of the session is now; false: it is not wanted any more. */
static bool place_find(struct acme *a, const struct acme_cert *names)
{
	for (uint32_t i = 0; i < a->state.used; i++) {
		if (!acme_names_equal(&a->state.cert[i], names)) continue;
		a->at = i;
		return true;
	}
	return false;
}

void acme_apply(struct acme *a, struct acme_conf *c)
{
	bool first = !a->conf, on = a->session.phase != ACME_OFF;
	struct acme_cert *names = on ? malloc(sizeof *names) : NULL;
	/* One that is under way goes on, or begins again where it was, if it is still wanted. */
	if (names) *names = a->state.cert[a->at];
	if (!names || !conf_same(a->conf, c)) stop(a);
	acme_conf_free(a->conf);
	a->conf = c;
	if (acme_state_arrange(&a->state, c->want, c->want_count, acme_now(a)) < 0) {
		hg_log(a->o.log, HG_ERROR, "acme.memory");
		stop(a);
		free(names);
		return;
	}
	if (a->session.phase != ACME_OFF && !place_find(a, names)) stop(a);
	free(names);
	others_hand_over(a);
	if (!c->on) {
		acme_place_clear(a);
		return;
	}
	if (a->session.phase != ACME_OFF) return;
	if (account_key(a) == HG_OK && a->state.order.active) acme_place_again(a);
	arm(a, first ? FIRST_LOOK_MS : 0);
}

/* ---- for views ---- */

uint32_t acme_count(const struct acme *a)
{
	return a->conf && a->conf->on ? a->state.used : 0;
}

void acme_at(const struct acme *a, uint32_t i, struct acme_view *ret_view)
{
	const struct acme_cert *c = &a->state.cert[i];
	const struct acme_held *h = &a->state.held[i];
	int64_t due = c->until_ms == 0 || c->wanted ? 0 : c->renew_ms;
	*ret_view = (struct acme_view){.first = c->names[0],
	        .authority = h->chain ? h->authority : "",
	        .from_ms = c->from_ms,
	        .until_ms = c->until_ms,
	        .renew_ms = c->renew_ms,
	        .next_ms = HG_MAX(due, c->next_ms),
	        .failures = c->failures,
	        .why = c->why,
	        .working = a->session.phase != ACME_OFF && !a->session.renewal_only && a->at == i};
	names_join(c, ret_view->names, sizeof ret_view->names);
}

enum hg_rc acme_renew(struct acme *a, struct hg_str name, bool dry_run, struct hg_err *err)
{
	for (uint32_t i = 0; i < acme_count(a); i++) {
		struct acme_cert *c = &a->state.cert[i];
		for (uint32_t k = 0; k < c->name_count; k++) {
			if (!hg_str_eq_nocase(hg_str(c->names[k]), name)) continue;
			if (dry_run) return HG_OK;
			c->wanted = true;
			c->next_ms = 0;
			(void)acme_save(a);
			if (a->session.phase == ACME_OFF) arm(a, 0);
			return HG_OK;
		}
	}
	hg_err_set(err, HG_E_NOT_FOUND, "there is no certificate by ACME for \"%.*s\"",
	        (int)HG_MIN(name.n, 253u), name.p);
	hg_err_hint(err, "`headgate certs` lists what there is");
	return HG_E_NOT_FOUND;
}

struct acme_counts acme_counts(const struct acme *a)
{
	return (struct acme_counts){a->orders, a->failures};
}
