/* Challenges, where the authority will look for them: at the edge, or in DNS by a command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "control/acme/acme_priv.h"
#include "wire/base64.h"

#define LOOK_MS    10u
#define WORKERS_MS 10000 /* a worker that takes no news for so long is not waited for */
#define PROOF_S    (7LL * 86400)
#define DNS_PREFIX "_acme-challenge."

/* The session may have been stopped meanwhile: the next one looks for itself. */
static void placed(struct acme *a, bool ok)
{
	if (a->session.phase != ACME_PLACE) {
		acme_wake(a);
		return;
	}
	struct acme_seen seen = {.kind = ACME_SEEN_PLACED,
	        .placed = ok,
	        .why = a->place_why,
	        .nonce = "",
	        .location = ""};
	acme_session_seen(a, &seen);
}

static bool answer_of(const struct acme *a, const char *token, char *to, size_t cap)
{
	int n = snprintf(to, cap, "%s.%s", token, a->thumb);
	return n > 0 && (size_t)n < cap;
}

/* ---- at the edge ---- */

static enum hg_rc tokens_set(struct acme *a, struct hg_err *err)
{
	const struct acme_order *o = &a->state.order;
	struct cert_token *list = calloc(o->placed_count + 1, sizeof *list);
	enum hg_rc rc = list ? HG_OK : HG_E_NOMEM;
	for (uint32_t i = 0; rc == HG_OK && i < o->placed_count; i++) {
		bool fits = hg_str_copy(hg_str(o->placed[i].token), list[i].token,
		                    sizeof list[i].token) &&
		            answer_of(a, o->placed[i].token, list[i].answer, sizeof list[i].answer);
		if (!fits) rc = HG_E_INVALID;
	}
	if (rc == HG_OK) rc = certs_challenges_set(a->o.certs, list, o->placed_count, NULL, 0, err);
	free(list);
	return rc;
}

static enum hg_rc proof_make(
        const struct acme *a, const struct acme_placed *p, struct hg_str key, struct hg_buf *chain)
{
	char answer[ACME_TOKEN_MAX + ACME_THUMB_MAX], why[TLS_WHY_MAX];
	unsigned char digest[JWS_DIGEST];
	int64_t now_s = acme_now(a) / 1000;
	if (!answer_of(a, p->token, answer, sizeof answer)) return HG_E_INVALID;
	enum hg_rc rc = jws_sha256(hg_str(answer), digest);
	struct tls_self self = {.common_name = "ACME challenge",
	        .host = hg_str(p->name),
	        .proof = digest,
	        .from_s = now_s - 86400,
	        .until_s = now_s + PROOF_S};
	return rc == HG_OK ? tls_self_make(key, &self, chain, why) : rc;
}

/* One key for all of them: it signs nothing else, and is forgotten with them. */
static enum hg_rc proofs_set(struct acme *a, struct hg_err *err)
{
	const struct acme_order *o = &a->state.order;
	struct certs_other list[ACME_NAMES_MAX];
	struct hg_buf chain[ACME_NAMES_MAX], key;
	uint32_t n = o->placed_count;
	hg_buf_init(&key, 65536);
	enum hg_rc rc = tls_key_make(&key);
	for (uint32_t i = 0; i < n; i++) {
		hg_buf_init(&chain[i], 65536);
		if (rc == HG_OK) rc = proof_make(a, &o->placed[i], hg_buf_view(&key), &chain[i]);
		list[i] = (struct certs_other){hg_buf_view(&chain[i]), hg_buf_view(&key)};
	}
	if (rc == HG_OK) rc = certs_challenges_set(a->o.certs, NULL, 0, list, n, err);
	for (uint32_t i = 0; i < n; i++)
		hg_buf_free(&chain[i]);
	if (key.p) explicit_bzero(key.p, key.n);
	hg_buf_free(&key);
	return rc;
}

static enum hg_rc edge_set(struct acme *a, struct hg_err *err)
{
	a->challenged = true;
	return a->state.order.challenge == ACME_TLS_ALPN_01 ? proofs_set(a, err)
	                                                    : tokens_set(a, err);
}

static void on_place(struct loop *l, struct loop_timer *t)
{
	struct acme *a = HG_CONTAINER(t, struct acme, place_timer);
	bool late = acme_now(a) > a->place_until_ms;
	if (!late && !certs_taken(a->o.certs, a->place_generation)) {
		if (loop_timer_start(l, t, LOOK_MS, on_place) == HG_OK) return;
	}
	if (late) hg_log(a->o.log, HG_WARN, "acme.worker_is_slow");
	placed(a, true);
}

static void edge_place(struct acme *a)
{
	struct hg_err err = {0};
	enum hg_rc rc = edge_set(a, &err);
	if (rc < 0) {
		(void)snprintf(a->place_why, sizeof a->place_why, "%s",
		        err.message[0] ? err.message : "the challenge could not be answered");
		placed(a, false);
		return;
	}
	a->place_generation = certs_refresh(a->o.certs);
	a->place_until_ms = acme_now(a) + WORKERS_MS;
	on_place(a->o.loop, &a->place_timer);
}

/* ---- in DNS ---- */

static void hook_next(struct acme *a);

static void on_hook(void *arg, int status, const char *why)
{
	struct acme *a = arg;
	a->hook_runs = false;
	bool ok = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!ok && !a->hook_clears) {
		(void)snprintf(a->place_why, sizeof a->place_why, "edge.tls.acme.dns_hook: %s%d",
		        why[0] ? why : "it ended with status ",
		        status < 0          ? 0
		        : WIFEXITED(status) ? WEXITSTATUS(status)
		                            : 128);
		placed(a, false);
		return;
	}
	a->hook_at++;
	hook_next(a);
}

static enum hg_rc value_of(const struct acme *a, const struct acme_placed *p, struct hg_buf *to)
{
	char answer[ACME_TOKEN_MAX + ACME_THUMB_MAX];
	unsigned char digest[JWS_DIGEST];
	if (!answer_of(a, p->token, answer, sizeof answer)) return HG_E_INVALID;
	enum hg_rc rc = jws_sha256(hg_str(answer), digest);
	if (rc == HG_OK) base64url_encode(to, (struct hg_str){(const char *)digest, sizeof digest});
	return rc == HG_OK && to->failed ? HG_E_NOMEM : rc;
}

static enum hg_rc hook_run(struct acme *a, const struct acme_placed *p, struct hg_err *err)
{
	char name[ACME_NAME_MAX + sizeof DNS_PREFIX];
	struct hg_buf value;
	hg_buf_init(&value, 256);
	(void)snprintf(name, sizeof name, DNS_PREFIX "%s", p->name);
	enum hg_rc rc = value_of(a, p, &value);
	struct spec_pair env[] = {
	        {HG_STR("ACME_ACTION"), a->hook_clears ? HG_STR("clear") : HG_STR("set")},
	        {HG_STR("ACME_NAME"), hg_str(name)}, {HG_STR("ACME_VALUE"), hg_buf_view(&value)}};
	struct acme_hook hook = {.name = "headgate-acme-hook",
	        .dir = a->conf->dir,
	        .command = hg_str(a->conf->hook),
	        .env = env,
	        .env_count = HG_COUNT(env),
	        .timeout_ms = a->conf->hook_timeout_ms};
	if (rc == HG_OK) rc = a->o.hook_run(a->o.arg, &hook, on_hook, a, err);
	hg_buf_free(&value);
	return rc;
}

static void hook_over(struct acme *a)
{
	if (!a->hook_clears) {
		placed(a, true);
		return;
	}
	a->hook_clears = false;
	a->clearing_count = 0;
	acme_wake(a);
}

static void hook_next(struct acme *a)
{
	struct hg_err err = {0};
	const struct acme_placed *list = a->hook_clears ? a->clearing : a->state.order.placed;
	uint32_t n = a->hook_clears ? a->clearing_count : a->state.order.placed_count;
	if (a->hook_at >= n) {
		hook_over(a);
		return;
	}
	enum hg_rc rc = hook_run(a, &list[a->hook_at], &err);
	if (rc == HG_OK) {
		a->hook_runs = true;
		return;
	}
	hg_log(a->o.log, HG_ERROR, "acme.hook", HG_S("error", err.message));
	(void)snprintf(
	        a->place_why, sizeof a->place_why, "edge.tls.acme.dns_hook: %.300s", err.message);
	if (a->hook_clears)
		hook_over(a);
	else
		placed(a, false);
}

/* ---- both ---- */

void acme_place(struct acme *a)
{
	struct acme_order *o = &a->state.order;
	const struct acme_session *s = &a->session;
	o->placed_count = 0;
	for (uint32_t i = 0; i < s->auth_count; i++) {
		if (!s->auth[i].pending) continue;
		struct acme_placed *p = &o->placed[o->placed_count++];
		(void)hg_str_copy(hg_str(s->auth[i].name), p->name, sizeof p->name);
		(void)hg_str_copy(hg_str(s->auth[i].token), p->token, sizeof p->token);
	}
	/* The next control answers for them too, while the authority looks. */
	(void)acme_save(a);
	a->place_why[0] = 0;
	if (o->challenge != ACME_DNS_01) {
		edge_place(a);
		return;
	}
	a->hook_at = 0;
	a->hook_clears = false;
	hook_next(a);
}

void acme_place_again(struct acme *a)
{
	struct hg_err err = {0};
	if (a->state.order.placed_count == 0 || a->state.order.challenge == ACME_DNS_01) return;
	if (edge_set(a, &err) < 0)
		hg_log(a->o.log, HG_ERROR, "acme.place", HG_S("error", err.message));
}

void acme_place_clear(struct acme *a)
{
	struct hg_err err = {0};
	loop_timer_stop(a->o.loop, &a->place_timer);
	if (a->challenged) {
		a->challenged = false;
		if (certs_challenges_set(a->o.certs, NULL, 0, NULL, 0, &err) == HG_OK)
			(void)certs_refresh(a->o.certs);
	}
	struct acme_order *o = &a->state.order;
	bool dns = o->challenge == ACME_DNS_01 && o->placed_count && a->conf && a->conf->hook[0];
	/* The order is forgotten before the last record is gone. */
	if (dns && !a->hook_runs) {
		memcpy(a->clearing, o->placed, sizeof a->clearing);
		a->clearing_count = o->placed_count;
	}
	o->placed_count = 0;
	if (!dns || a->hook_runs) return;
	a->hook_at = 0;
	a->hook_clears = true;
	hook_next(a);
}
