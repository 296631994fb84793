#include "apps/feedback/tokens_priv.h"

#include <stdlib.h>

#include "auth/identity.h"
#include "auth/jwks.h"
#include "fetch/fetch.h"
#include "os/file.h"

#define PLACES     1024u
#define FETCH_MS   5000u
#define EVERY_MS   3600000u /* as a rule */
#define UNKNOWN_MS 300000u  /* at the soonest, for a key that is not known */
#define FIRST_MS   2000u    /* after a failure, while there are no keys at all; doubled */

struct tokens {
	struct loop *loop;
	struct jsonlog *log;
	const struct config *config;
	struct jwt_keys *keys; /* NULL: not known yet */
	struct hg_str audience;
	struct jwt_policy policy;
	struct auth_seen *seen;
	struct fetch *fetch;
	struct fetch_call *call;
	struct loop_timer again;
	uint64_t unknown_ms; /* when the set was asked for because of a key; 0: never */
	uint32_t pause_ms;
	uint64_t verdicts[JWT_VERDICTS];
	uint64_t fetched, failed;
};

static void ask(struct tokens *t);

static void on_again(struct loop *l, struct loop_timer *timer)
{
	(void)l;
	ask(HG_CONTAINER(timer, struct tokens, again));
}

static void later(struct tokens *t, bool good)
{
	t->pause_ms = t->pause_ms ? HG_MIN(t->pause_ms * 2, UNKNOWN_MS) : FIRST_MS;
	if (good) t->pause_ms = 0;
	(void)!loop_timer_start(t->loop, &t->again, good ? EVERY_MS : t->pause_ms, on_again);
}

/* The new set in place of the old one, or everything as it was. */
static const char *take(struct tokens *t, struct hg_str text, bool secrets)
{
	struct jwks_report report = {.why = ""};
	struct jwt_keys *keys = NULL;
	enum hg_rc rc = jwt_keys_new(&keys);
	if (rc == HG_OK) rc = jwks_read(text, secrets, keys, &report);
	if (rc < 0) {
		jwt_keys_free(keys);
		return report.why[0] ? report.why : "it is no set of keys";
	}
	jwt_keys_free(t->keys);
	t->keys = keys;
	auth_seen_clear(t->seen); /* a key may have been taken back */
	return NULL;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct tokens *t = arg;
	const char *why = a->why;
	t->call = NULL;
	if (a->result == FETCH_ANSWERED)
		why = a->status != 200 ? "the answer is not 200"
		      : a->cut         ? "it is larger than 64 KiB"
		                       : take(t, a->body, false);
	if (why && why[0])
		jsonlog(t->log, HG_WARN, "feedback.people", "the keys of tokens could not be read",
		        HG_S("url", t->config->jwt_keys), HG_S("reason", why));
	bool good = !why || !why[0];
	(good ? &t->fetched : &t->failed)[0]++;
	later(t, good);
}

static void ask(struct tokens *t)
{
	struct hg_err err = {0};
	struct fetch_request r = {
	        .method = "GET", .url = t->config->jwt_keys, .timeout_ms = FETCH_MS};
	if (t->call) return;
	if (fetch_start(t->fetch, &r, on_answer, t, &t->call, &err) == HG_OK) return;
	jsonlog(t->log, HG_WARN, "feedback.people", "the keys of tokens could not be asked for",
	        HG_S("url", t->config->jwt_keys), HG_S("reason", err.message));
	t->failed++;
	later(t, false);
}

static bool is_url(const char *s)
{
	return hg_str_starts(hg_str(s), HG_STR("https://")) ||
	       hg_str_starts(hg_str(s), HG_STR("http://"));
}

static enum hg_rc read_secret(struct tokens *t, struct hg_err *err)
{
	const char *why = "";
	enum hg_rc rc = jwt_keys_new(&t->keys);
	if (rc == HG_OK)
		rc = jwt_keys_secret(t->keys, HG_STR(""), hg_str(t->config->jwt_secret), &why);
	return rc < 0 ? hg_err_set(err, HG_E_INVALID, "JWT_SECRET: %s", why) : HG_OK;
}

static enum hg_rc read_file(struct tokens *t, struct hg_err *err)
{
	struct hg_buf text = {0};
	enum hg_rc rc = file_read(t->config->jwt_keys, JWKS_SIZE_MAX, &text, err);
	if (rc < 0) return rc;
	const char *why = take(t, hg_buf_view(&text), true);
	hg_buf_free(&text);
	return why ? hg_err_set(err, HG_E_INVALID, "JWT_KEYS: %s", why) : HG_OK;
}

static enum hg_rc start_fetching(struct tokens *t, struct hg_err *err)
{
	enum hg_rc rc = fetch_new(t->loop, &t->fetch, err);
	if (rc == HG_OK) rc = fetch_ready(t->fetch, err);
	if (rc == HG_OK) ask(t);
	return rc;
}

enum hg_rc tokens_new(struct loop *l, const struct config *c, struct jsonlog *log,
        struct tokens **ret_tokens, struct hg_err *err)
{
	struct tokens *t;
	*ret_tokens = NULL;
	if (!c->jwt_secret[0] && !c->jwt_keys[0]) return HG_OK;
	t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "not enough memory for tokens");
	*t = (struct tokens){
	        .loop = l, .log = log, .config = c, .audience = hg_str(c->jwt_audience)};
	t->policy = (struct jwt_policy){.issuer = hg_str(c->jwt_issuer),
	        .audience = &t->audience,
	        .audience_count = t->audience.n ? 1 : 0,
	        .skew_s = JWT_SKEW_S};
	enum hg_rc rc = auth_seen_new(PLACES, &t->seen);
	if (rc < 0) hg_err_set(err, rc, "not enough memory for tokens");
	if (rc == HG_OK)
		rc = c->jwt_secret[0]      ? read_secret(t, err)
		     : is_url(c->jwt_keys) ? start_fetching(t, err)
		                           : read_file(t, err);
	if (rc < 0) {
		tokens_free(t);
		return rc;
	}
	*ret_tokens = t;
	return HG_OK;
}

void tokens_free(struct tokens *t)
{
	if (!t) return;
	loop_timer_stop(t->loop, &t->again);
	fetch_cancel(t->call);
	if (t->fetch) fetch_free(t->fetch);
	auth_seen_free(t->seen);
	jwt_keys_free(t->keys);
	free(t);
}

/* The most that one of its roles may; without a role of ours, a guest. Scopes only take away. */
static void who_of(const struct auth_identity *id, struct access_who *who)
{
	struct hg_str rest = id->scopes;
	uint64_t scopes = 0;
	*who = (struct access_who){.by = ACCESS_BY_TOKEN, .role = ACCESS_GUEST};
	for (unsigned r = 0; r < ACCESS_ROLES; r++)
		if (auth_identity_role(id, hg_str(access_role_name(r)))) who->role = r;
	who->permissions = access_role_permissions(who->role);
	while (rest.n) {
		uint64_t bit = 0;
		if (access_permissions_parse(hg_str_cut(&rest, ' '), &bit)) scopes |= bit;
	}
	/* Scopes of other programs say nothing here. */
	if (scopes) who->permissions &= scopes;
	size_t n = HG_MIN(id->user.n, sizeof who->name - 1);
	memcpy(who->name, id->user.p, n);
	who->name[n] = 0;
}

bool tokens_check(struct tokens *t, struct hg_str token, int64_t now_s, struct access_who *ret_who)
{
	uint8_t digest[AUTH_DIGEST];
	struct jwt_claims claims;
	if (!t->keys || !auth_seen_digest(t->seen, token, digest)) return false;
	struct auth_identity *id = auth_seen_find(t->seen, digest, now_s);
	if (id) {
		who_of(id, ret_who);
		return true;
	}
	enum jwt_verdict v = jwt_verify(t->keys, &t->policy, token, now_s, &claims);
	t->verdicts[v]++;
	uint64_t now_ms = loop_now_ms(t->loop);
	if (v == JWT_UNKNOWN && t->fetch &&
	        (!t->unknown_ms || now_ms - t->unknown_ms >= UNKNOWN_MS)) {
		t->unknown_ms = now_ms;
		ask(t);
	}
	if (v != JWT_GOOD) return false;
	id = auth_identity_of(
	        &claims, &(struct auth_claimed){.roles = hg_str(t->config->jwt_roles)});
	jwt_claims_fini(&claims);
	if (!id) return false;
	auth_seen_put(t->seen, digest, id);
	who_of(id, ret_who);
	auth_identity_unref(id);
	return true;
}

void tokens_metrics(const struct tokens *t, struct hg_buf *to)
{
	if (!t) return;
	hg_buf_cstr(to, "# TYPE tokens_verified_total counter\n");
	for (unsigned v = 0; v < JWT_VERDICTS; v++)
		hg_buf_fmt(to, "tokens_verified_total{verdict=\"%s\"} %llu\n", jwt_verdict_word(v),
		        (unsigned long long)t->verdicts[v]);
	if (!t->fetch) return;
	hg_buf_fmt(to,
	        "# TYPE token_keys_fetched_total counter\ntoken_keys_fetched_total %llu\n"
	        "# TYPE token_keys_failed_total counter\ntoken_keys_failed_total %llu\n",
	        (unsigned long long)t->fetched, (unsigned long long)t->failed);
}
