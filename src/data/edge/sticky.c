#include "base/siphash.h"
#include "data/edge/edge_priv.h"

/*
 * hg_arm=<arm>.<epoch>.<rollout>.<tag>: the tag signs what stands before it with the key of this
 * rollout, so that nobody can choose an arm. One of another epoch is drawn anew: within an epoch
 * the share of the new release is w exactly.
 */

static const char *const arm_text[EDGE_ARMS] = {[EDGE_OLD] = "old", [EDGE_NEW] = "new"};

static struct hg_str name(void)
{
	return HG_STR("hg_arm");
}

static void value_write(const struct snap_trial *t, enum edge_arm arm, struct hg_out *o)
{
	static const char digit[] = "0123456789abcdef";
	size_t from = o->n;
	hg_out_cstr(o, arm_text[arm]);
	hg_out_byte(o, '.');
	hg_out_u64(o, t->epoch);
	hg_out_byte(o, '.');
	hg_out_u64(o, t->rollout);
	if (hg_out_failed(o)) return;
	uint64_t tag = hg_siphash(t->sticky_key, o->p + from, o->n - from);
	hg_out_byte(o, '.');
	for (int shift = 60; shift >= 0; shift -= 4)
		hg_out_byte(o, digit[tag >> shift & 15]);
}

/* Takes the same time wherever the difference is. */
static bool equal(struct hg_str a, struct hg_str b)
{
	unsigned differs = a.n != b.n;
	for (size_t i = 0; i < a.n && i < b.n; i++)
		differs |= (unsigned char)(a.p[i] ^ b.p[i]);
	return differs == 0;
}

bool edge_sticky_arm(const struct snap_trial *t, const struct http1_head *h, enum edge_arm *ret_arm)
{
	struct edge_cookies it = edge_cookies_of(h);
	struct hg_str have;
	for (int i = 0; i < 4 && edge_cookies_next(&it, name(), &have); i++) {
		char text[80];
		struct hg_out o = hg_out_over(text, sizeof text);
		enum edge_arm arm = hg_str_starts(have, HG_STR("new.")) ? EDGE_NEW : EDGE_OLD;
		value_write(t, arm, &o);
		if (hg_out_failed(&o) || !equal(have, (struct hg_str){text, o.n})) continue;
		*ret_arm = arm;
		return true;
	}
	return false;
}

void edge_sticky_write(const struct snap_trial *t, enum edge_arm arm, struct hg_out *o)
{
	hg_out_str(o, HG_STR("Set-Cookie: "));
	hg_out_str(o, name());
	hg_out_byte(o, '=');
	value_write(t, arm, o);
	hg_out_str(o, HG_STR("; Path=/; HttpOnly; SameSite=Lax; Max-Age="));
	hg_out_u64(o, t->sticky_s);
	hg_out_str(o, HG_STR("\r\n"));
}
