/* Stands where the room will be: everything is refused, nothing is done. */
#include "control/rollout/rollout.h"

static enum hg_rc absent(struct hg_err *err)
{
	return hg_err_set(err, HG_E_AGAIN, "rollouts are not available yet");
}

enum hg_rc rollouts_new(
        const struct rollouts_options *o, struct rollouts **ret_rollouts, struct hg_err *err)
{
	(void)o;
	*ret_rollouts = NULL;
	return absent(err);
}

void rollouts_free(struct rollouts *r)
{
	(void)r;
}

enum hg_rc rollouts_check(struct rollouts *r, const struct spec *s, struct rollouts_plan **ret_plan,
        struct hg_err *err)
{
	(void)r, (void)s;
	*ret_plan = NULL;
	return absent(err);
}

void rollouts_plan_free(struct rollouts_plan *p)
{
	(void)p;
}

void rollouts_apply(struct rollouts *r, struct rollouts_plan *p)
{
	(void)r, (void)p;
}

void rollouts_on_release(struct rollouts *r, const char *app, uint32_t release)
{
	(void)r, (void)app, (void)release;
}

enum hg_rc rollouts_deploy(
        struct rollouts *r, const struct rollouts_deploy *d, uint64_t *ret_id, struct hg_err *err)
{
	(void)r, (void)d, (void)ret_id;
	return absent(err);
}

enum hg_rc rollouts_do(struct rollouts *r, uint64_t id, enum rollouts_verb verb, struct hg_str who,
        uint64_t *ret_id, struct hg_err *err)
{
	(void)r, (void)id, (void)verb, (void)who, (void)ret_id;
	return absent(err);
}

enum hg_rc rollouts_rollback(struct rollouts *r, struct hg_str app, uint32_t release,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	(void)r, (void)app, (void)release, (void)who, (void)ret_id;
	return absent(err);
}

enum hg_rc rollouts_list_json(struct rollouts *r, struct hg_str app, uint32_t limit,
        struct hg_buf *to, struct hg_err *err)
{
	(void)r, (void)app, (void)limit, (void)to;
	return absent(err);
}

enum hg_rc rollouts_show_json(
        struct rollouts *r, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	(void)r, (void)id, (void)to;
	return absent(err);
}

enum hg_rc rollouts_plan_json(
        struct rollouts *r, const struct rollouts_deploy *d, struct hg_buf *to, struct hg_err *err)
{
	(void)r, (void)d, (void)to;
	return absent(err);
}
