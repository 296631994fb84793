/* One order, from the directory to the certificate. */
#include "control/acme/decide.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX    4u
#define NONCES_MAX   6u
#define FIRST_MS     1000
#define LONGEST_MS   30000
#define AFTER_MAX_MS (5ll * 60 * 1000) /* a poll is not put off for longer */

struct turn {
	struct acme_session *s;
	const struct acme_seen *seen;
	struct hg_rand *r;
	int64_t now_ms;
	struct acme_do *to;
};

/* ---- ways out of a turn ---- */

static void copy(char *to, size_t cap, const char *from)
{
	(void)hg_str_copy(hg_str(from), to, cap);
}

static void fail(struct turn *t, enum acme_trouble trouble, const char *why)
{
	t->s->phase = ACME_OFF;
	t->to->act = ACME_DO_FAIL;
	t->to->trouble = trouble;
	t->to->why = why;
	t->to->retry_after_ms = t->seen->retry_after_ms;
	t->to->clear = true;
}

static void wait(struct turn *t, int64_t ms)
{
	t->to->act = ACME_DO_WAIT;
	t->to->wait_ms = ms;
}

/* 1, 2, 4 … 30 s and up to a quarter more. */
static int64_t back_off(struct turn *t, uint32_t times)
{
	int64_t ms = HG_MIN((int64_t)FIRST_MS << HG_MIN(times, 10u), (int64_t)LONGEST_MS);
	return ms + (int64_t)hg_rand_below(t->r, (uint32_t)ms / 4 + 1);
}

/* As the authority wishes, else a little longer each time. */
static void wait_poll(struct turn *t)
{
	int64_t after = HG_MIN(t->seen->retry_after_ms, (int64_t)AFTER_MAX_MS);
	uint32_t looks = t->s->looks++;
	wait(t, after > 0 ? HG_MAX(after, (int64_t)FIRST_MS) : back_off(t, looks / 2));
}

static void ask(struct turn *t, enum acme_ask what, const char *url, bool post)
{
	t->to->act = ACME_DO_ASK;
	t->to->ask = what;
	t->to->url = url;
	t->to->post = post;
	t->to->by_key = what == ACME_ASK_ACCOUNT;
}

static void go(struct turn *t, enum acme_phase to)
{
	t->s->phase = to;
	t->s->tries = t->s->bad_nonce = t->s->looks = 0;
}

/* ---- what is asked in a phase ---- */

static void ask_renewal(struct turn *t)
{
	struct acme_session *s = t->s;
	if (!s->renewal[0] || !s->renewal_id[0]) {
		s->phase = ACME_OFF;
		t->to->act = ACME_DO_END;
		return;
	}
	size_t n = strlen(s->renewal);
	(void)snprintf(t->to->url_text, sizeof t->to->url_text, "%s%s%s", s->renewal,
	        s->renewal[n - 1] == '/' ? "" : "/", s->renewal_id);
	ask(t, ACME_ASK_RENEWAL, t->to->url_text, false);
}

static void request(struct turn *t)
{
	struct acme_session *s = t->s;
	if (s->phase >= ACME_ACCOUNT && s->phase <= ACME_CERT && !s->nonce[0]) {
		ask(t, ACME_ASK_NONCE, s->new_nonce, false);
		return;
	}
	switch (s->phase) {
	case ACME_DIRECTORY: ask(t, ACME_ASK_DIRECTORY, s->directory, false); break;
	case ACME_NONCE: ask(t, ACME_ASK_NONCE, s->new_nonce, false); break;
	case ACME_ACCOUNT: ask(t, ACME_ASK_ACCOUNT, s->new_account, true); break;
	case ACME_ORDER: ask(t, ACME_ASK_ORDER, s->new_order, true); break;
	case ACME_AUTHS:
	case ACME_CHECK: ask(t, ACME_ASK_AUTH, s->auth[s->at].url, true); break;
	case ACME_VALIDATE: ask(t, ACME_ASK_VALIDATE, s->auth[s->at].challenge, true); break;
	case ACME_POLL: ask(t, ACME_ASK_POLL, s->order, true); break;
	case ACME_FINALIZE: ask(t, ACME_ASK_FINALIZE, s->finalize, true); break;
	case ACME_CERT: ask(t, ACME_ASK_CERT, s->certificate, true); break;
	case ACME_RENEWAL: ask_renewal(t); break;
	case ACME_PLACE: t->to->act = ACME_DO_PLACE; break;
	case ACME_OFF: HG_ASSERT(!"a request of no phase");
	}
}

/* ---- answers that are the same in every phase ---- */

static enum acme_trouble trouble_of(const struct acme_problem *p)
{
	switch (p->type) {
	case ACME_P_RATE_LIMITED: return ACME_LIMITED;
	case ACME_P_SERVER_INTERNAL: return ACME_AWAY;
	case ACME_P_CONNECTION:
	case ACME_P_DNS:
	case ACME_P_INCORRECT_RESPONSE:
	case ACME_P_TLS:
	case ACME_P_COMPOUND:
	case ACME_P_UNAUTHORIZED: return ACME_NAME;
	default: return ACME_REFUSED;
	}
}

static void fail_problem(struct turn *t, const struct acme_problem *p, const char *otherwise)
{
	bool said = p->text[0] != 0;
	fail(t, p->type == ACME_P_NONE ? ACME_REFUSED : trouble_of(p), said ? p->text : otherwise);
}

static void again_later(struct turn *t, const char *why)
{
	struct acme_session *s = t->s;
	int64_t after = t->seen->retry_after_ms;
	/* Somebody who wants to be left alone for long is no reason to hold up the others. */
	if (s->tries >= TRIES_MAX || after > LONGEST_MS) {
		fail(t, ACME_AWAY, why);
		return;
	}
	int64_t ms = HG_MAX(back_off(t, s->tries), after);
	s->tries++;
	wait(t, ms);
}

/* The order is gone, or the account: what was known of it is forgotten, and made anew once. */
static bool forgotten(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_problem *p = &t->seen->body->problem;
	if (p->type == ACME_P_ACCOUNT_DOES_NOT_EXIST && s->account[0]) {
		s->account[0] = s->order[0] = 0;
		go(t, ACME_ACCOUNT);
	} else if (s->phase == ACME_ORDER && s->renewal_id[0] && p->type != ACME_P_RATE_LIMITED &&
	           t->seen->status != 429) {
		/* alreadyReplaced, or an authority that does not know the old one any more. */
		s->renewal_id[0] = 0;
		go(t, ACME_ORDER);
	} else if (s->phase == ACME_POLL && !s->auth_count &&
	           (t->seen->status == 404 || t->seen->status == 403)) {
		/* Of a process before this one, and too old by now. */
		s->order[0] = 0;
		go(t, ACME_ORDER);
	} else {
		return false;
	}
	t->to->save = true;
	request(t);
	return true;
}

/* True: there is nothing more to this answer. */
static bool common(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_seen *seen = t->seen;
	const struct acme_problem *p = seen->body ? &seen->body->problem : NULL;
	if (seen->status == 0) {
		if (seen->hopeless)
			fail(t, ACME_AWAY, seen->why);
		else
			again_later(t, seen->why);
		return true;
	}
	if (seen->nonce[0]) copy(s->nonce, sizeof s->nonce, seen->nonce);
	if (seen->status < 400 || !p) {
		if (seen->status < 400) return false;
		again_later(t, "the authority did not hand out the certificate");
		return true;
	}
	if (p->type == ACME_P_BAD_NONCE && s->bad_nonce < NONCES_MAX) {
		s->bad_nonce++;
		request(t);
		return true;
	}
	if (seen->status >= 500 || p->type == ACME_P_SERVER_INTERNAL) {
		again_later(t, p->text[0] ? p->text : "the authority has trouble");
		return true;
	}
	if (p->type == ACME_P_ORDER_NOT_READY && s->phase == ACME_FINALIZE) {
		go(t, ACME_POLL);
		wait_poll(t);
		return true;
	}
	if (forgotten(t)) return true;
	fail_problem(t, p, "the authority refused the request");
	if (seen->status == 429) t->to->trouble = ACME_LIMITED;
	return true;
}

/* ---- phases ---- */

static void after_nonce(struct turn *t)
{
	struct acme_session *s = t->s;
	if (!s->nonce[0]) {
		again_later(t, "the authority gave no nonce");
		return;
	}
	if (s->phase == ACME_NONCE)
		go(t, !s->account[0] ? ACME_ACCOUNT : s->order[0] ? ACME_POLL : ACME_ORDER);
	request(t);
}

static void after_directory(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_body *b = t->seen->body;
	copy(s->new_nonce, sizeof s->new_nonce, b->new_nonce);
	copy(s->new_account, sizeof s->new_account, b->new_account);
	copy(s->new_order, sizeof s->new_order, b->new_order);
	copy(s->renewal, sizeof s->renewal, b->renewal);
	copy(s->terms, sizeof s->terms, b->terms);
	s->eab = b->eab;
	if (s->renewal_only) {
		go(t, ACME_RENEWAL);
	} else if (s->eab && !s->has_eab && !s->account[0]) {
		fail(t, ACME_REFUSED,
		        "the authority asks for an external account binding "
		        "(edge.tls.acme.eab)");
		return;
	} else if (!s->renewal[0]) {
		s->renewal_id[0] =
		        0; /* "replaces" is known only to who gives renewal information */
	}
	if (!s->renewal_only) go(t, ACME_NONCE);
	if (s->phase == ACME_NONCE && s->nonce[0])
		after_nonce(t);
	else
		request(t);
}
static void after_account(struct turn *t)
{
	struct acme_session *s = t->s;
	if (!t->seen->location[0]) {
		fail(t, ACME_REFUSED, "the authority gave the account no address");
		return;
	}
	copy(s->account, sizeof s->account, t->seen->location);
	t->to->fresh_account = t->to->save = true;
	go(t, s->order[0] ? ACME_POLL : ACME_ORDER);
	request(t);
}

static void order_take(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_body *b = t->seen->body;
	copy(s->finalize, sizeof s->finalize, b->finalize);
	copy(s->certificate, sizeof s->certificate, b->certificate);
	if (s->auth_count) return;
	s->auth_count = b->auth_count;
	for (uint32_t i = 0; i < b->auth_count; i++) {
		s->auth[i] = (struct acme_auth){0};
		copy(s->auth[i].url, sizeof s->auth[i].url, b->auth[i]);
	}
}

/* What an order's status means, wherever it was seen. */
static void order_look(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_body *b = t->seen->body;
	order_take(t);
	switch (b->status) {
	case ACME_ST_PENDING:
		if (s->validated) {
			wait_poll(t);
			return;
		}
		s->at = 0;
		go(t, ACME_AUTHS);
		break;
	case ACME_ST_READY:
		if (s->phase == ACME_FINALIZE) { /* it has not begun yet */
			go(t, ACME_POLL);
			wait_poll(t);
			return;
		}
		go(t, ACME_FINALIZE);
		break;
	case ACME_ST_PROCESSING: {
		uint32_t looks = s->phase == ACME_POLL ? s->looks : 0;
		go(t, ACME_POLL);
		s->looks = looks;
		wait_poll(t);
		t->to->clear = true;
		return;
	}
	case ACME_ST_VALID:
		if (!s->certificate[0]) {
			fail(t, ACME_REFUSED, "the order is valid, but has no certificate");
			return;
		}
		go(t, ACME_CERT);
		break;
	default: fail_problem(t, &b->problem, "the order became invalid"); return;
	}
	t->to->clear = s->phase != ACME_AUTHS;
	request(t);
}

static void after_order(struct turn *t)
{
	struct acme_session *s = t->s;
	if (!t->seen->location[0]) {
		fail(t, ACME_REFUSED, "the authority gave the order no address");
		return;
	}
	copy(s->order, sizeof s->order, t->seen->location);
	s->auth_count = 0;
	order_look(t);
	t->to->save = true;
}

static void auths_next(struct turn *t)
{
	struct acme_session *s = t->s;
	bool any = false;
	if (++s->at < s->auth_count) {
		go(t, ACME_AUTHS);
		request(t);
		return;
	}
	for (uint32_t i = 0; i < s->auth_count; i++)
		any = any || s->auth[i].pending;
	s->validated = !any;
	s->at = 0;
	go(t, any ? ACME_PLACE : ACME_POLL);
	request(t);
}

/* One authorization before its challenge is placed. */
static void after_auth(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_body *b = t->seen->body;
	struct acme_auth *a = &s->auth[s->at];
	if (b->status == ACME_ST_INVALID) {
		fail_problem(t, &b->problem, "an authorization is invalid");
		return;
	}
	a->pending = b->status != ACME_ST_VALID;
	copy(a->name, sizeof a->name, b->name);
	copy(a->challenge, sizeof a->challenge, b->challenge);
	copy(a->token, sizeof a->token, b->token);
	if (a->pending && !b->offered) {
		fail(t, ACME_REFUSED, "the authority does not offer this kind of challenge");
		return;
	}
	auths_next(t);
}

/* To the next one that has to be validated, from `at` on; false: there is none. */
static bool pending_next(struct acme_session *s)
{
	while (s->at < s->auth_count && !s->auth[s->at].pending)
		s->at++;
	return s->at < s->auth_count;
}

static void after_placed(struct turn *t)
{
	struct acme_session *s = t->s;
	if (!t->seen->placed) {
		fail(t, ACME_LOCAL, t->seen->why);
		return;
	}
	s->at = 0;
	HG_ASSERT(pending_next(s));
	go(t, ACME_VALIDATE);
	request(t);
}

static void after_validate(struct turn *t)
{
	struct acme_session *s = t->s;
	s->at++;
	if (pending_next(s)) {
		go(t, ACME_VALIDATE);
		request(t);
		return;
	}
	s->at = 0;
	(void)pending_next(s);
	go(t, ACME_CHECK);
	wait(t, HG_MAX(HG_MIN(t->seen->retry_after_ms, (int64_t)AFTER_MAX_MS), (int64_t)250));
}

static void after_check(struct turn *t)
{
	struct acme_session *s = t->s;
	const struct acme_body *b = t->seen->body;
	if (b->status == ACME_ST_INVALID) {
		fail_problem(t, &b->problem, "the name could not be validated");
		return;
	}
	if (b->status != ACME_ST_VALID) {
		wait_poll(t);
		return;
	}
	s->auth[s->at].pending = false;
	s->tries = s->bad_nonce = 0;
	if (!pending_next(s)) {
		s->validated = true;
		go(t, ACME_POLL);
	}
	request(t);
}

static void after_renewal(struct turn *t)
{
	t->s->phase = ACME_OFF;
	t->to->act = ACME_DO_WINDOW;
	t->to->retry_after_ms = t->seen->retry_after_ms;
}

static void answer(struct turn *t)
{
	struct acme_session *s = t->s;
	bool nonce = s->phase >= ACME_ACCOUNT && s->phase <= ACME_CERT && !s->nonce[0];
	/* What a request was signed with is used up, whatever came of it. */
	if (!nonce) s->nonce[0] = 0;
	if (common(t)) return;
	/* A nonce is no success: what it is for may fail again and again. */
	if (!nonce) s->tries = s->bad_nonce = 0;
	if (nonce || s->phase == ACME_NONCE) {
		after_nonce(t);
		return;
	}
	if (s->phase != ACME_CERT && !t->seen->body->good) {
		fail(t, ACME_REFUSED, "the authority's answer is not what RFC 8555 asks for");
		return;
	}
	switch (s->phase) {
	case ACME_DIRECTORY: after_directory(t); break;
	case ACME_ACCOUNT: after_account(t); break;
	case ACME_ORDER: after_order(t); break;
	case ACME_AUTHS: after_auth(t); break;
	case ACME_VALIDATE: after_validate(t); break;
	case ACME_CHECK: after_check(t); break;
	case ACME_POLL:
	case ACME_FINALIZE: order_look(t); break;
	case ACME_CERT:
		s->phase = ACME_OFF;
		t->to->act = ACME_DO_TAKE;
		t->to->clear = true;
		break;
	case ACME_RENEWAL: after_renewal(t); break;
	default: HG_ASSERT(!"an answer in no phase");
	}
}

void acme_step(struct acme_session *s, const struct acme_seen *seen, struct hg_rand *r,
        int64_t now_ms, struct acme_do *ret_do)
{
	struct turn t = {s, seen, r, now_ms, ret_do};
	memset(ret_do, 0, sizeof *ret_do);
	if (seen->kind == ACME_SEEN_TIME && s->phase == ACME_OFF) {
		s->began_ms = now_ms;
		go(&t, ACME_DIRECTORY);
	} else if (now_ms - s->began_ms > ACME_SESSION_MS) {
		fail(&t, ACME_SLOW,
		        seen->why && seen->why[0]
		                ? seen->why
		                : "the authority came to no end within 15 minutes");
		return;
	}
	switch (seen->kind) {
	case ACME_SEEN_TIME: request(&t); break;
	case ACME_SEEN_PLACED: after_placed(&t); break;
	case ACME_SEEN_ANSWER: answer(&t); break;
	}
}
