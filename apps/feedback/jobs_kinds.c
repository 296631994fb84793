#include "apps/feedback/jobs_priv.h"

#include <jansson.h>

#include "wire/json.h"

#include "apps/feedback/hooks_priv.h"
#include "apps/feedback/mailer_priv.h"
#include "apps/feedback/text_priv.h"

/* Everything this app can do later. Of two with one name the first that can be made counts. */
static const struct jobs_maker makers[] = {
        {jobs_make_test, jobs_unmake_test},
        {jobs_make_test_email, jobs_unmake_test},
        {jobs_make_test_webhook, jobs_unmake_test},
        {jobs_make_export, jobs_unmake_export},
        {mailer_make, NULL},
        {hooks_make, hooks_unmake},
};

void jobs_kinds_make(const struct jobs_context *c, struct jobs_kinds *ret_kinds)
{
	ret_kinds->n = 0;
	for (size_t i = 0; i < HG_COUNT(makers); i++) {
		struct job_kind k = {0};
		bool taken = false;
		if (!makers[i].make(c, &k)) continue;
		for (uint32_t j = 0; j < ret_kinds->n; j++)
			taken |= strcmp(ret_kinds->kind[j].name, k.name) == 0;
		HG_ASSERT(ret_kinds->n < JOBS_KINDS_MAX);
		if (taken) {
			if (makers[i].unmake) makers[i].unmake(k.arg);
			continue;
		}
		ret_kinds->maker[ret_kinds->n] = &makers[i];
		ret_kinds->kind[ret_kinds->n++] = k;
	}
}

void jobs_kinds_unmake(struct jobs_kinds *k)
{
	while (k->n) {
		k->n--;
		if (k->maker[k->n]->unmake) k->maker[k->n]->unmake(k->kind[k->n].arg);
	}
}

int64_t jobs_arg_i64(struct hg_str args, const char *name)
{
	json_t *root = json_loadb(args.p, args.n, 0, NULL);
	json_t *v = root ? json_object_get(root, name) : NULL;
	int64_t n = json_is_integer(v) ? json_integer_value(v) : -1;
	json_decref(root);
	return n;
}

bool jobs_arg_str(struct hg_str args, const char *name, char *to, size_t cap)
{
	json_t *root = json_loadb(args.p, args.n, 0, NULL);
	json_t *v = root ? json_object_get(root, name) : NULL;
	bool ok =
	        json_is_string(v) &&
	        hg_str_copy((struct hg_str){json_string_value(v), json_string_length(v)}, to, cap);
	json_decref(root);
	return ok;
}

bool jobs_state_parse(struct hg_str name, enum job_state *ret_state)
{
	for (int i = 0; i < JOB_STATES; i++) {
		if (!hg_str_eq(name, hg_str(job_state_name((enum job_state)i)))) continue;
		*ret_state = (enum job_state)i;
		return true;
	}
	return false;
}

static void time_field(struct json_out *j, const char *key, int64_t ms)
{
	char text[TEXT_TIME_MAX];
	json_out_key(j, key);
	if (ms)
		json_out_str(
		        j, (struct hg_str){text, text_time_iso((uint64_t)ms * 1000000u, text)});
	else
		json_out_null(j);
}

static void text_field(struct json_out *j, const char *key, struct hg_str v)
{
	json_out_key(j, key);
	if (v.n)
		json_out_str(j, v);
	else
		json_out_null(j);
}

/* As it is, when it is JSON: somebody may have put something else into the table. */
static void args_field(struct json_out *j, struct hg_str args)
{
	json_t *root = json_loadb(args.p, args.n, JSON_DECODE_ANY, NULL);
	json_out_key(j, "args");
	if (root)
		json_out_raw(j, args);
	else
		json_out_str(j, args);
	json_decref(root);
}

void jobs_row_json(const struct job_row *r, struct hg_buf *to)
{
	struct json_out j;
	bool waits = r->state == JOB_AVAILABLE || r->state == JOB_RETRYABLE;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "id");
	json_out_int(&j, r->id);
	json_out_key(&j, "queue");
	json_out_str(&j, r->queue);
	json_out_key(&j, "kind");
	json_out_str(&j, r->kind);
	args_field(&j, r->args);
	json_out_key(&j, "state");
	json_out_cstr(&j, job_state_name(r->state));
	json_out_key(&j, "sent");
	json_out_bool(&j, r->sent);
	json_out_key(&j, "priority");
	json_out_int(&j, r->priority);
	json_out_key(&j, "attempt");
	json_out_int(&j, r->attempt);
	json_out_key(&j, "attempts_max");
	if (r->attempts_max)
		json_out_int(&j, r->attempts_max);
	else
		json_out_null(&j);
	text_field(&j, "unique_key", r->unique_key);
	time_field(&j, "created_at", r->created_ms);
	time_field(&j, "run_at", waits ? r->run_at_ms : 0);
	time_field(&j, "started_at", r->started_ms);
	time_field(&j, "finished_at", r->finished_ms);
	time_field(&j, "lease_until", r->lease_until_ms);
	text_field(&j, "worker", r->worker);
	text_field(&j, "error", r->error);
	text_field(&j, "result", r->result);
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
}
