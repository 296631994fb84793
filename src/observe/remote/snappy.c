#include "remote_priv.h"

#include <snappy-c.h>

#include "os/library.h"

_Static_assert(SNAPPY_OK == 0, "0 is good");

static const char *const names[] = {"snappy_compress", "snappy_uncompress",
        "snappy_max_compressed_length", "snappy_uncompressed_length"};
static const struct library library = {.file = "libsnappy.so.1",
        .hint = "Remote write needs it: install the package libsnappy1v5.",
        .rc = HG_E_SNAPPY,
        .call = names,
        .call_n = HG_COUNT(names)};

enum hg_rc snappy_load(struct snappy_calls *ret_calls, struct hg_err *err)
{
	return library_load(&library, ret_calls, sizeof *ret_calls, err);
}

enum hg_rc snappy_pack(struct hg_str bytes, struct hg_buf *to, struct hg_err *err)
{
	struct snappy_calls s;
	enum hg_rc rc = snappy_load(&s, err);
	if (rc != HG_OK) return rc;
	size_t n = s.max_compressed_length(bytes.n);
	hg_buf_reset(to);
	char *p = hg_buf_room(to, n);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "there is no memory to compress a request");
	if (s.compress(bytes.p, bytes.n, p, &n) != 0)
		return library_error(&library, "it cannot compress", err);
	hg_buf_add(to, n);
	return HG_OK;
}

enum hg_rc snappy_unpack(struct hg_str packed, size_t max, struct hg_buf *to, struct hg_err *err)
{
	struct snappy_calls s;
	size_t n = 0;
	enum hg_rc rc = snappy_load(&s, err);
	if (rc != HG_OK) return rc;
	hg_buf_reset(to);
	if (packed.n == 0 || s.uncompressed_length(packed.p, packed.n, &n) != 0)
		return hg_err_set(err, HG_E_INVALID, "the body is no block of snappy");
	if (n > max)
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "the body has %zu bytes when it is unpacked: %zu are allowed", n, max);
	char *p = hg_buf_room(to, n ? n : 1);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "there is no memory to unpack a request");
	if (s.uncompress(packed.p, packed.n, p, &n) != 0)
		return hg_err_set(err, HG_E_INVALID, "the body is no block of snappy");
	hg_buf_add(to, n);
	return HG_OK;
}
