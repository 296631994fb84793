/* Entries of streams, as a Redis (or something else at its address) may send them: what is told to
 * the worker points into the reply and has a number; nothing else is told. */
#include "fuzz.h"

#include "jobs/relay_redis.c"

#define MAX 65536u

struct seen {
	struct hg_str in;
	size_t told;
};

static void on_delivered(void *arg, const struct relay_delivery *d, const struct relay_message *m)
{
	struct seen *s = arg;
	s->told++;
	HG_ASSERT(m->id > 0 && m->lease >= 0 && d->queue < 2);
	HG_ASSERT(m->kind.n == 0 ||
	          (m->kind.p >= s->in.p && m->kind.p + m->kind.n <= s->in.p + s->in.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop *l = NULL;
	struct resp_scan scan = {0};
	struct driver d = {.magic = DRIVER_MAGIC,
	        .o = {.queue_count = 2, .delivered = on_delivered},
	        .key = {"jobs:a", "jobs:b"},
	        .queue = {"a", "b"},
	        .room = 4};
	/* Nobody is there: what is acknowledged is refused at once. */
	struct redis_options o = {.url = "unix:/nonexistent/redis", .name = "fuzz"};
	size_t n = 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct seen seen = {.in = {copy, size}};
	d.o.arg = &seen;
	hg_list_init(&d.sent);
	if (resp_scan(&scan, seen.in, MAX, &n) != RESP_DONE) goto out;
	HG_ASSERT(loop_new(&l) == HG_OK && redis_new(l, &o, &d.writer, NULL) == HG_OK);
	for (int as_claim = 0; as_claim < 2; as_claim++) {
		struct redis_command c = {.rc = HG_OK, .rest = {copy, n}};
		struct resp_value cursor;
		HG_ASSERT(resp_next(&c.rest, &c.reply));
		if (!as_claim)
			take_streams(&d, &c);
		else if (c.reply.type == RESP_ARRAY && resp_next(&c.rest, &cursor))
			take_entries(&d, 1, &c.rest);
	}
	HG_ASSERT(seen.told <= 2 * size);
	redis_free(d.writer);
	loop_free(l);
out:
	free(copy);
	return 0;
}
