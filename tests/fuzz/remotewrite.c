/*
 * First byte: the version. Whatever the bytes are, what is read lies within them, twice the same;
 * and what was read of version 1 is written again and read the same.
 */
#include "fuzz.h"

#include "wire/remotewrite.h"

static void within(struct hg_str part, struct hg_str body)
{
	HG_ASSERT(part.n == 0 || (part.p >= body.p && part.p + part.n <= body.p + body.n));
}

/* A sum of all that was read; `again`, if given, gets it as version 1. */
static uint64_t read_all(struct remotewrite *r, struct hg_buf *again, uint32_t *ret_series)
{
	struct remotewrite_series s;
	uint64_t sum = 0;
	uint32_t n = 0;
	enum remotewrite_event e;
	while ((e = remotewrite_next(r, &s)) == REMOTEWRITE_SERIES) {
		int64_t t[16];
		double v[16];
		uint32_t samples = 0;
		n++;
		for (uint32_t i = 0; i < s.label_n; i++) {
			within(s.label[i].name, r->body);
			within(s.label[i].value, r->body);
			sum = sum * 31 + hg_str_hash(s.label[i].name);
			sum = sum * 31 + hg_str_hash(s.label[i].value);
		}
		for (uint32_t want = s.sample_n;; samples++) {
			int64_t at = 0;
			double value = 0;
			if (!remotewrite_sample(&s, &at, &value)) {
				HG_ASSERT(samples == want);
				break;
			}
			uint64_t bits;
			memcpy(&bits, &value, sizeof bits);
			sum = (sum * 31 + bits) * 31 + (uint64_t)at;
			if (samples < 16) t[samples] = at, v[samples] = value;
		}
		if (again && samples <= 16)
			remotewrite_put(again, s.label, s.label_n, t, v, samples);
		else
			again = NULL;
	}
	HG_ASSERT((e == REMOTEWRITE_BAD) == (r->why != NULL));
	*ret_series = again && e == REMOTEWRITE_END ? n : UINT32_MAX;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) return 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)data + 1, size - 1});
	struct hg_str body = {copy, size - 1};
	struct remotewrite r;
	struct hg_buf again;
	uint32_t n, m;
	hg_buf_init(&again, 16 * size + 4096);
	if (remotewrite_open(&r, body, data[0] & 1 ? REMOTEWRITE_2 : REMOTEWRITE_1)) {
		uint64_t sum = read_all(&r, &again, &n);
		if (!r.why) {
			remotewrite_rewind(&r);
			HG_ASSERT(sum == read_all(&r, NULL, &m));
		}
		remotewrite_close(&r);
		if (n != UINT32_MAX && !again.failed) {
			HG_ASSERT(remotewrite_open(&r, hg_buf_view(&again), REMOTEWRITE_1));
			HG_ASSERT(sum == read_all(&r, NULL, &m) && !r.why);
			remotewrite_close(&r);
		}
	} else {
		HG_ASSERT(r.why);
		remotewrite_close(&r);
	}
	hg_buf_free(&again);
	free(copy);
	return 0;
}
