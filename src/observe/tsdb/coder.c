#include "observe/tsdb/bits_priv.h"
#include "observe/tsdb/file_priv.h"

/*
 * A value in a journal:
 *   (the last one was an XOR: a bit, 1 for "again", and its body; 0 and one of these)
 *   a Rice code of the zigzag difference, with the parameter that its mean so far suggests
 *   ESCAPE ones, 00, 6 bits length - 1, the difference
 *   ESCAPE ones, 01, and a scale begins: 5 bits scale, 6 bits length - 1, the zigzag integer
 *   ESCAPE ones, 10, and an XOR: 00 nothing differs; 01 bits in the frame of the one before;
 *                    10 and 6 bits leading zeros, 6 bits length - 1: a new frame, and the bits
 *   ESCAPE ones, 11, a chunk of the series begins: a bit, 0 scale or 1 XOR, and its body
 */
#define ESCAPE     20
#define MEAN_START (16u * 16)
#define MEAN_MOST  (1u << 26)
#define FRAME_COST 14 /* bits that a new frame of an XOR takes */
#define NEAR_NONE  64

enum escape { ESCAPE_WIDE, ESCAPE_SCALE, ESCAPE_XOR, ESCAPE_RESET };

void coder_init(struct journal_coder *c)
{
	*c = (struct journal_coder){
	        .mean = MEAN_START, .near_lead = NEAR_NONE, .near_trail = NEAR_NONE};
}

/* About log2 of the mean times ln 2, which is best for what falls off geometrically. */
static unsigned coder_k(const struct journal_coder *c)
{
	uint64_t m = ((uint64_t)c->mean * 11) >> 8;
	return m ? 63 - (unsigned)__builtin_clzll(m) : 0;
}

static void coder_learn(struct journal_coder *c, uint64_t u)
{
	c->mean += (uint32_t)HG_MIN(u, MEAN_MOST) - (c->mean >> 4);
}

static void put_length(struct bits_out *o, uint64_t u)
{
	unsigned n = u ? 64 - (unsigned)__builtin_clzll(u) : 1;
	bits_put(o, n - 1, 6);
	bits_put(o, u, n);
}

static void put_escape(struct bits_out *o, enum escape what)
{
	bits_put(o, ((1ull << ESCAPE) - 1) << 2 | what, ESCAPE + 2);
}

/*
 * Which frame the next XOR stands in; false: in the one before. A frame grows with what does not
 * fit. One value far from all others makes it wide: those that came since then would fit in a
 * narrower one, and get it once they have paid for it.
 */
static bool frame_choose(struct journal_coder *c, unsigned lead, unsigned trail)
{
	unsigned end = 64u - c->lead - c->width; /* zeros behind it */
	bool fits = c->width && lead >= c->lead && trail >= end;
	if (!fits) {
		if (c->width) {
			lead = HG_MIN(lead, (unsigned)c->lead);
			trail = HG_MIN(trail, end);
		}
		c->near_lead = c->near_trail = NEAR_NONE;
	} else {
		c->near_lead = (uint8_t)HG_MIN(c->near_lead, lead);
		c->near_trail = (uint8_t)HG_MIN(c->near_trail, trail);
		lead = c->near_lead;
		trail = c->near_trail;
		unsigned less = c->width - (64 - lead - trail);
		c->waste = (uint8_t)(c->waste + less);
		if (less && c->waste < FRAME_COST) return false;
		if (!less) {
			/* It is needed as wide as it is: what was saved up says nothing. */
			c->near_lead = c->near_trail = NEAR_NONE;
			c->waste = 0;
			return false;
		}
	}
	c->lead = (uint8_t)lead;
	c->width = (uint8_t)(64 - lead - trail);
	c->waste = 0;
	return true;
}

static void put_xor(struct bits_out *o, struct journal_coder *c, uint64_t x)
{
	if (!x) {
		bits_put(o, 0, 2);
		return;
	}
	unsigned lead = (unsigned)__builtin_clzll(x), trail = (unsigned)__builtin_ctzll(x);
	if (frame_choose(c, lead, trail)) {
		bits_put(o, 2, 2);
		bits_put(o, c->lead, 6);
		bits_put(o, c->width - 1u, 6);
	} else {
		bits_put(o, 1, 2);
	}
	bits_put(o, x >> (64 - c->lead - c->width), c->width);
}

static void put_body(struct bits_out *o, struct journal_coder *c, const struct codec_step *step)
{
	c->noisy = step->kind == CODEC_XOR;
	if (c->noisy) {
		put_xor(o, c, step->u);
		return;
	}
	bits_put(o, step->e, 5);
	put_length(o, step->u);
}

void coder_put(
        struct bits_out *o, struct journal_coder *c, bool reset, const struct codec_step *step)
{
	bool again = !reset && step->kind == CODEC_XOR;
	if (c->noisy) bits_put(o, again, 1);
	if (c->noisy && again) {
		put_xor(o, c, step->u);
		return;
	}
	if (reset) {
		/* A chunk begins without a scale: its first value cannot be a difference. */
		put_escape(o, ESCAPE_RESET);
		coder_init(c);
		bits_put(o, step->kind == CODEC_XOR, 1);
		put_body(o, c, step);
		return;
	}
	c->noisy = false;
	if (step->kind != CODEC_RESIDUAL) {
		put_escape(o, again ? ESCAPE_XOR : ESCAPE_SCALE);
		put_body(o, c, step);
		return;
	}
	unsigned k = coder_k(c);
	uint64_t q = step->u >> k;
	if (q < ESCAPE) {
		bits_put(o, (1ull << (q + 1)) - 2, (unsigned)q + 1);
		bits_put(o, step->u, k);
	} else {
		put_escape(o, ESCAPE_WIDE);
		put_length(o, step->u);
	}
	coder_learn(c, step->u);
}

/* ------------------------------------------------------------------ reading */

static uint64_t get_wide(struct bits_in *in, unsigned n)
{
	if (n <= 32) return bits_get(in, n);
	uint64_t high = bits_get(in, n - 32);
	return high << 32 | bits_get(in, 32);
}

static uint64_t get_length(struct bits_in *in)
{
	return get_wide(in, (unsigned)bits_get(in, 6) + 1);
}

static void get_xor(struct bits_in *in, struct journal_coder *c, struct codec_step *step)
{
	uint64_t how = bits_get(in, 2);
	step->kind = CODEC_XOR;
	step->u = 0;
	c->noisy = true;
	if (how == 0) return;
	if (how == 2) {
		c->lead = (uint8_t)bits_get(in, 6);
		c->width = (uint8_t)(bits_get(in, 6) + 1);
	}
	if (how == 3 || !c->width || c->lead + c->width > 64) {
		in->bad = true;
		return;
	}
	step->u = get_wide(in, c->width) << (64 - c->lead - c->width);
}

static void get_scale(struct bits_in *in, struct journal_coder *c, struct codec_step *step)
{
	c->noisy = false;
	step->kind = CODEC_DECIMAL;
	step->e = (uint8_t)bits_get(in, 5);
	step->u = get_length(in);
}

static void get_escape(
        struct bits_in *in, struct journal_coder *c, bool *ret_reset, struct codec_step *step)
{
	uint64_t what = bits_get(in, 2);
	*ret_reset = what == ESCAPE_RESET;
	if (*ret_reset) {
		coder_init(c);
		what = bits_get(in, 1) ? ESCAPE_XOR : ESCAPE_SCALE;
	}
	if (what == ESCAPE_XOR) {
		get_xor(in, c, step);
	} else if (what == ESCAPE_SCALE) {
		get_scale(in, c, step);
	} else {
		step->kind = CODEC_RESIDUAL;
		step->u = get_length(in);
		coder_learn(c, step->u);
	}
}

bool coder_get(
        struct bits_in *in, struct journal_coder *c, bool *ret_reset, struct codec_step *step)
{
	*ret_reset = false;
	if (c->noisy) {
		if (bits_get(in, 1)) {
			get_xor(in, c, step);
			return !in->bad;
		}
		c->noisy = false;
	}
	if (in->have < ESCAPE + 1) bits_fill(in);
	unsigned q = ~in->acc ? (unsigned)__builtin_clzll(~in->acc) : 64;
	if (q >= ESCAPE) {
		bits_skip(in, ESCAPE);
		get_escape(in, c, ret_reset, step);
		return !in->bad;
	}
	unsigned k = coder_k(c);
	bits_skip(in, q + 1);
	step->kind = CODEC_RESIDUAL;
	step->u = (uint64_t)q << k | bits_get(in, k);
	coder_learn(c, step->u);
	return !in->bad;
}
