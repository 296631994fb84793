/* feedback-app mail …, feedback-app webhooks … */
#include "apps/feedback/commands_priv.h"

#include <stdlib.h>

#include "os/clock.h"

#include "apps/feedback/hooks_priv.h"
#include "apps/feedback/mailer_priv.h"
#include "apps/feedback/migrations_priv.h"

enum hg_rc command_mail_test(
        const struct outgoing *o, const char *to, FILE *out, struct hg_err *err)
{
	struct smtp_report r;
	enum smtp_result result = mailer_test(o, hg_str(to), NULL, &r);
	fwrite(r.dialogue.p ? r.dialogue.p : "", 1, r.dialogue.n, out);
	enum hg_rc rc = HG_OK;
	if (result == SMTP_SENT)
		fprintf(out, "sent to %s\n", to);
	else
		rc = hg_err_set(err, HG_E_IO, "the mail was not sent: %s", r.why);
	smtp_report_free(&r);
	return rc;
}

static void print_hook(void *arg, const struct hook *h)
{
	FILE *out = arg;
	fprintf(out, "%-4lld  %-8s  %s\n", (long long)h->id, h->enabled ? "enabled" : "disabled",
	        h->url);
	if (!h->enabled) fprintf(out, "      disabled: %s\n", h->disabled_why);
	if (h->told[0]) fprintf(out, "      last: %s\n", h->told);
}

/* The secret is shown now and never again. */
static void print_secret(FILE *out, const struct hook *h)
{
	fprintf(out, "webhook %lld: %s\nsecret: %s\n", (long long)h->id, h->url, h->secret);
}

struct trial {
	struct loop *loop;
	bool over;
	enum webhook_verdict verdict;
	char words[HOOKS_WORDS_MAX];
};

static void on_told(void *arg, const struct hooks_told *t)
{
	struct trial *r = arg;
	r->over = true;
	r->verdict = t->verdict;
	(void)snprintf(r->words, sizeof r->words, "%s", t->words);
	loop_stop(r->loop);
}

static enum hg_rc try_hook(
        const struct outgoing *o, const struct hook *hook, FILE *out, struct hg_err *err)
{
	struct trial r = {0};
	struct hooks *h = NULL;
	struct hooks_call *call;
	enum hg_rc rc = loop_new(&r.loop);
	if (rc < 0) return hg_err_set(err, rc, "could not create the event loop");
	rc = hooks_new(r.loop, o, 1, &h, err);
	if (rc == HG_OK) rc = hooks_try(h, hook, on_told, &r, &call, err);
	if (rc == HG_OK) rc = loop_run(r.loop);
	if (rc == HG_OK && r.over) fprintf(out, "%s\n", r.words);
	if (rc == HG_OK && r.verdict != WEBHOOK_OK)
		rc = hg_err_set(err, HG_E_IO, "the webhook did not take it");
	hooks_free(h);
	loop_free(r.loop);
	return rc;
}

static enum hg_rc with_id(struct db *db, const struct outgoing *o, struct hg_str action, int64_t id,
        FILE *out, struct hg_err *err)
{
	struct hook hook;
	enum hg_rc rc;
	if (hg_str_eq(action, HG_STR("remove"))) return hooks_remove(db, id, err);
	if (hg_str_eq(action, HG_STR("enable"))) return hooks_enable(db, id, err);
	if (hg_str_eq(action, HG_STR("rotate"))) {
		rc = hooks_rotate(db, id, (int64_t)clock_wall_ms(), &hook, err);
		if (rc == HG_OK) print_secret(out, &hook);
	} else {
		rc = hooks_get(db, id, &hook, err);
		if (rc == HG_OK) rc = try_hook(o, &hook, out, err);
	}
	explicit_bzero(&hook, sizeof hook);
	return rc;
}

static enum hg_rc webhooks(struct db *db, const struct outgoing *o, struct hg_str action,
        const char *what, FILE *out, struct hg_err *err)
{
	struct hook hook;
	uint64_t id = 0;
	if (hg_str_eq(action, HG_STR("list"))) return hooks_list(db, print_hook, out, err);
	if (!hg_str_eq(action, HG_STR("add"))) {
		if (hg_str_u64(hg_str(what), &id) && id <= INT64_MAX)
			return with_id(db, o, action, (int64_t)id, out, err);
		return hg_err_set(
		        err, HG_E_INVALID, "\"%.100s\" is not the number of a webhook", what);
	}
	enum hg_rc rc =
	        hooks_add(db, o, hg_str(what), HG_STR(""), (int64_t)clock_wall_ms(), &hook, err);
	if (rc == HG_OK) print_secret(out, &hook);
	explicit_bzero(&hook, sizeof hook);
	return rc;
}

enum hg_rc command_webhooks(const struct config *c, struct hg_str action, const char *what,
        FILE *out, struct hg_err *err)
{
	static const char *const actions[] = {"list", "add", "remove", "rotate", "enable", "test"};
	struct db_options with = {.url = c->database, .durability = c->durability};
	struct db *db = NULL;
	size_t i = 0;
	while (i < HG_COUNT(actions) && !hg_str_eq(action, hg_str(actions[i])))
		i++;
	if (i == HG_COUNT(actions) || !what != (i == 0)) {
		hg_err_set(err, HG_E_INVALID,
		        "webhooks list, or: add URL, remove, rotate, enable, test ID");
		return HG_E_INVALID;
	}
	enum hg_rc rc = db_open(&with, &db, err);
	if (rc < 0) return rc;
	rc = c->migrate ? migrations_apply(db, NULL, err) : migrations_check(db, err);
	if (rc == HG_OK) rc = webhooks(db, &c->outgoing, action, what, out, err);
	db_close(db);
	return rc;
}
