/*
 * A year of certificates in a second: the schedule and the sessions as control drives them, against
 * an authority in memory that has random faults, with a virtual clock, and with control dying at
 * any step (what was not saved is gone). What must hold: never more orders an hour than allowed, an
 * account's address once known is never made twice, and when the authority is well every
 * certificate is there and none expires.
 */
#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/acme/decide.h"

#define CERTS   12u
#define LIMIT   6u
#define HOUR_MS (3600ll * 1000)
#define DAY_MS  (24 * HOUR_MS)
#define T0      1795000000000ll
#define U       "https://ca.example/"

struct world {
	struct hg_rand rnd;
	int64_t now;
	uint32_t fault_ppm, death_ppm;
	bool well;
	/* the authority */
	uint32_t accounts, orders, valid_polls;
	bool account_known;
	int64_t order_at[4000];
	uint32_t order_count;
	/* control: what is on disk, and what is in memory */
	struct acme_cert certs[CERTS];
	struct acme_book book;
	char account[64];
	struct acme_session session;
	uint32_t at;
	uint32_t issued, failures, deaths;
};

static struct acme_body body;

static bool chance(struct world *w, uint32_t ppm)
{
	return !w->well && hg_rand_below(&w->rnd, 1000000) < ppm;
}

static void problem(enum acme_problem_type type, int *status)
{
	memset(&body, 0, sizeof body);
	body.problem.type = type;
	(void)snprintf(body.problem.text, sizeof body.problem.text, "problem %d", type);
	*status = type == ACME_P_SERVER_INTERNAL ? 500 : type == ACME_P_RATE_LIMITED ? 429 : 403;
}

/* What the authority answers to this request. */
static struct acme_seen authority(struct world *w, enum acme_ask ask)
{
	static const enum acme_problem_type kinds[] = {ACME_P_BAD_NONCE, ACME_P_SERVER_INTERNAL,
	        ACME_P_RATE_LIMITED, ACME_P_UNAUTHORIZED, ACME_P_MALFORMED, ACME_P_CAA};
	struct acme_seen seen = {.kind = ACME_SEEN_ANSWER,
	        .status = 200,
	        .why = "",
	        .nonce = "n",
	        .location = "",
	        .body = ask == ACME_ASK_CERT ? NULL : &body};
	w->now += 50 + hg_rand_below(&w->rnd, 500);
	if (chance(w, w->fault_ppm)) {
		uint32_t k = hg_rand_below(&w->rnd, HG_COUNT(kinds) + 1);
		seen.body = &body;
		if (k == HG_COUNT(kinds)) {
			seen.status = 0;
			seen.nonce = "";
			seen.why = "silence";
		} else {
			problem(kinds[k], &seen.status);
			if (kinds[k] == ACME_P_RATE_LIMITED) seen.retry_after_ms = HOUR_MS;
		}
		return seen;
	}
	memset(&body, 0, sizeof body);
	body.good = true;
	(void)snprintf(body.finalize, sizeof body.finalize, U "finalize");
	switch (ask) {
	case ACME_ASK_DIRECTORY:
		(void)snprintf(body.new_nonce, sizeof body.new_nonce, U "nonce");
		(void)snprintf(body.new_account, sizeof body.new_account, U "account");
		(void)snprintf(body.new_order, sizeof body.new_order, U "order");
		break;
	case ACME_ASK_ACCOUNT:
		if (!w->account_known) w->accounts++;
		w->account_known = true;
		seen.location = U "me";
		break;
	case ACME_ASK_ORDER:
		assert_true(w->order_count < HG_COUNT(w->order_at));
		w->order_at[w->order_count++] = w->now;
		seen.location = U "o";
		body.status = ACME_ST_PENDING;
		body.auth_count = 1;
		(void)snprintf(body.auth[0], sizeof body.auth[0], U "auth");
		break;
	case ACME_ASK_AUTH:
		body.offered = true;
		body.status = w->session.phase == ACME_CHECK && hg_rand_below(&w->rnd, 3)
		                      ? ACME_ST_VALID
		                      : ACME_ST_PENDING;
		(void)snprintf(body.challenge, sizeof body.challenge, U "challenge");
		(void)snprintf(body.token, sizeof body.token, "token");
		break;
	case ACME_ASK_POLL:
	case ACME_ASK_FINALIZE:
		body.auth_count = 1;
		(void)snprintf(body.auth[0], sizeof body.auth[0], U "auth");
		(void)snprintf(body.certificate, sizeof body.certificate, U "cert");
		body.status = ask == ACME_ASK_FINALIZE ? ACME_ST_PROCESSING
		              : w->session.validated   ? ACME_ST_READY
		                                       : ACME_ST_PENDING;
		if (ask == ACME_ASK_POLL && w->valid_polls) body.status = ACME_ST_VALID;
		w->valid_polls = ask == ACME_ASK_FINALIZE ||
		                 (w->valid_polls && body.status != ACME_ST_VALID);
		break;
	default: break;
	}
	return seen;
}

static const struct acme_rules rules = {.ca_count = 1, .orders_per_hour = LIMIT, .retry_ms = 60000};

/* One order to its end, or to control's death; false: it died. */
static bool order_run(struct world *w)
{
	struct acme_cert *c = &w->certs[w->at];
	struct acme_seen seen = {.kind = ACME_SEEN_TIME, .why = "", .nonce = "", .location = ""};
	struct acme_do d;
	for (unsigned step = 0;; step++) {
		assert_true(step < 5000);
		acme_step(&w->session, &seen, &w->rnd, w->now, &d);
		if (d.fresh_account) (void)hg_str_copy(hg_str(w->session.account), w->account, 64);
		if (chance(w, w->death_ppm)) return false;
		switch (d.act) {
		case ACME_DO_ASK: seen = authority(w, d.ask); continue;
		case ACME_DO_WAIT:
			assert_in_range(d.wait_ms, 0, 6 * 60 * 1000);
			w->now += d.wait_ms;
			seen = (struct acme_seen){
			        .kind = ACME_SEEN_TIME, .why = "", .nonce = "", .location = ""};
			continue;
		case ACME_DO_PLACE:
			seen = (struct acme_seen){.kind = ACME_SEEN_PLACED,
			        .placed = true,
			        .why = "",
			        .nonce = "",
			        .location = ""};
			continue;
		case ACME_DO_TAKE:
			acme_cert_issued(c, w->now, w->now + 60 * DAY_MS, false, &w->rnd, w->now);
			w->issued++;
			return true;
		case ACME_DO_FAIL:
			acme_cert_failed(
			        c, &rules, false, d.trouble, d.retry_after_ms, &w->rnd, w->now);
			w->failures++;
			return true;
		default: fail_msg("an unexpected act %d", d.act);
		}
	}
}

static void session_new(struct world *w)
{
	memset(&w->session, 0, sizeof w->session);
	(void)hg_str_copy(HG_STR(U "dir"), w->session.directory, ACME_URL_MAX);
	(void)hg_str_copy(hg_str(w->account), w->session.account, ACME_URL_MAX);
}

static void live_until(struct world *w, int64_t end)
{
	static const int64_t open[ACME_CAS_MAX];
	while (w->now < end) {
		struct acme_due due =
		        acme_schedule(w->certs, CERTS, &rules, &w->book, open, w->now);
		if (due.kind != ACME_DUE_ORDER) {
			assert_true(due.wake_ms > w->now);
			w->now = HG_MIN(due.wake_ms, end);
			continue;
		}
		w->at = due.cert;
		acme_book_add(&w->book, w->now);
		session_new(w);
		w->valid_polls = 0;
		while (!order_run(w)) { /* the next control goes on with the order's address */
			char order[ACME_URL_MAX];
			memcpy(order, w->session.order, sizeof order);
			w->deaths++;
			session_new(w);
			memcpy(w->session.order, order, sizeof order);
			w->now += 500;
		}
	}
}

static void limit_held(const struct world *w)
{
	/* Counted at begin; an order that is begun anew after a lost answer belongs to it. */
	for (uint32_t i = LIMIT; i < w->book.count; i++)
		assert_true(w->book.at_ms[i] - w->book.at_ms[i - LIMIT] >= HOUR_MS);
}

static void walk(uint64_t seed, uint32_t fault_ppm, uint32_t death_ppm)
{
	struct world *w = calloc(1, sizeof *w);
	assert_non_null(w);
	hg_rand_seed(&w->rnd, seed);
	w->now = T0;
	w->fault_ppm = fault_ppm;
	w->death_ppm = death_ppm;
	for (uint32_t i = 0; i < CERTS; i++) {
		w->certs[i].name_count = 1;
		(void)snprintf(w->certs[i].names[0], ACME_NAME_MAX, "n%u.example", i);
	}
	for (int day = 1; day <= 365; day++) {
		live_until(w, T0 + day * DAY_MS);
		limit_held(w);
	}
	assert_true(w->accounts <= 1);
	/* Well again: after the longest back-off everything is there. */
	w->well = true;
	live_until(w, w->now + 3 * DAY_MS);
	for (uint32_t i = 0; i < CERTS; i++) {
		assert_true(w->certs[i].until_ms > w->now);
		assert_int_equal(w->certs[i].failures, 0);
	}
	assert_int_equal(w->accounts, 1);
	/* And stays there for a year, renewed at two thirds of the time. */
	uint32_t before = w->issued, failures = w->failures;
	for (int day = 1; day <= 365; day++) {
		live_until(w, w->now + DAY_MS);
		for (uint32_t i = 0; i < CERTS; i++)
			assert_true(w->certs[i].until_ms > w->now + 15 * DAY_MS);
	}
	assert_int_equal(w->failures, failures);
	assert_in_range(w->issued - before, CERTS * 8, CERTS * 10);
	free(w);
}

static void a_year_with_few_faults(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		walk(seed, 10000, 2000);
}

static void a_year_with_many_faults_and_deaths(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		walk(seed, 200000, 50000);
}

static void a_year_of_nothing_but_faults(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++)
		walk(seed, 1000000, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_year_with_few_faults),
	        cmocka_unit_test(a_year_with_many_faults_and_deaths),
	        cmocka_unit_test(a_year_of_nothing_but_faults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
