/* A header is whole at one length only, and what is read can be written and read again. */
#include "fuzz.h"

#include "wire/proxyproto.h"

static void beginnings_wait(struct hg_str in, size_t size)
{
	struct proxyproto r;
	for (size_t n = 0; n < size; n += fuzz_cut_step(size))
		HG_ASSERT(proxyproto_read((struct hg_str){in.p, n}, &r) == PROXYPROTO_MORE);
}

static void written_again(const struct proxyproto *was)
{
	char to[PROXYPROTO_SENT];
	struct proxyproto r;
	struct hg_out o = hg_out_over(to, sizeof to);
	proxyproto_write(was, &o);
	HG_ASSERT(!hg_out_failed(&o));
	HG_ASSERT(proxyproto_read((struct hg_str){to, o.n}, &r) == PROXYPROTO_DONE);
	HG_ASSERT(r.size == o.n && r.known == was->known && r.version == was->version);
	if (!r.known) return;
	HG_ASSERT(memcmp(r.from, was->from, 16) == 0 && memcmp(r.to, was->to, 16) == 0);
	HG_ASSERT(r.from_port == was->from_port && r.to_port == was->to_port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	struct proxyproto r;
	enum proxyproto_result res = proxyproto_read(in, &r);
	if (res == PROXYPROTO_BAD) HG_ASSERT(r.bad && !r.known);
	if (res == PROXYPROTO_MORE) HG_ASSERT(size < PROXYPROTO_MAX);
	if (res == PROXYPROTO_DONE) {
		HG_ASSERT(r.size > 0 && r.size <= size && r.size <= PROXYPROTO_MAX);
		beginnings_wait(in, r.size);
		written_again(&r);
	}
	free(copy);
	return 0;
}
