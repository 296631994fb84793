/* What comes of traces from outside: the field traceparent, the records of a lane (which become
 * JSON that every reader takes), and the pairs of the environment. */
#include "fuzz.h"

#include <jansson.h>

#include "wire/otlp.h"

static void field(struct hg_str in)
{
	struct tracectx c, again;
	char text[TRACECTX_SIZE];
	if (!tracectx_read(in, &c)) return;
	tracectx_write(&c, text);
	HG_ASSERT(tracectx_read((struct hg_str){text, sizeof text}, &again));
	HG_ASSERT(memcmp(&c, &again, sizeof c) == 0);
	HG_ASSERT(tracectx_drawn(c.trace, 1000000) && !tracectx_drawn(c.trace, 0));
}

static void records(struct hg_str in)
{
	struct otlp_writer w;
	struct hg_buf b;
	struct span s;
	size_t size;
	hg_buf_init(&b, 1 << 20);
	otlp_begin(&w, &b, NULL, 0, "fuzz");
	for (; (size = span_size(in)) > 0; in = (struct hg_str){in.p + size, in.n - size}) {
		if (!span_read((struct hg_str){in.p, size}, &s)) continue;
		otlp_span(&w, &s);
	}
	if (otlp_end(&w)) {
		json_t *root = json_loadb(b.p, b.n, JSON_ALLOW_NUL, NULL);
		HG_ASSERT(root);
		json_decref(root);
	}
	hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hg_str in = {(const char *)data, n}, list = in, key, value;
	char room[64];
	field(in);
	records(in);
	while (otlp_pair_next(&list, room, sizeof room, &key, &value))
		HG_ASSERT(key.n && value.n && value.n <= sizeof room);
	return (int)(otlp_rejected(in) >> 40);
}
