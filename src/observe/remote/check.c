/* Settings of a remote write that cannot be used. */
#include "remote_priv.h"

bool target_plain(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
	return true;
}

static bool is_name(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], low = (char)(c | 0x20);
		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return s.n > 0 && s.n <= REMOTE_NAME_MAX;
}

static bool is_ours(struct hg_str header)
{
	static const char *const ours[] = {"Content-Type", "Content-Encoding", "Content-Length",
	        "X-Prometheus-Remote-Write-Version", "User-Agent", "Host", "Transfer-Encoding",
	        "Connection"};
	for (size_t i = 0; i < HG_COUNT(ours); i++)
		if (hg_str_eq_nocase(header, hg_str(ours[i]))) return true;
	return false;
}

static enum hg_rc headers_check(const struct remote_target_conf *c, struct hg_err *err)
{
	int n = (int)c->name.n;
	if (c->header_n > REMOTE_HEADERS_MAX)
		return hg_err_set(err, HG_E_INVALID, "remote write %.*s has more than %u headers",
		        n, c->name.p, REMOTE_HEADERS_MAX);
	for (uint32_t i = 0; i < c->header_n; i++) {
		struct hg_str name = c->headers[i].name;
		if (!is_name(name) || !target_plain(c->headers[i].value))
			return hg_err_set(err, HG_E_INVALID,
			        "remote write %.*s: header %u is none of HTTP", n, c->name.p,
			        i + 1);
		if (is_ours(name))
			return hg_err_set(err, HG_E_INVALID,
			        "remote write %.*s: the header %.*s is set by the protocol", n,
			        c->name.p, (int)name.n, name.p);
	}
	if (!target_plain(c->user) || !target_plain(c->password) || !target_plain(c->bearer) ||
	        hg_str_find(c->user, ':') < c->user.n)
		return hg_err_set(err, HG_E_INVALID,
		        "remote write %.*s: a user has no colon, and neither name, password nor "
		        "token has control characters",
		        n, c->name.p);
	if (c->user.n && c->bearer.n)
		return hg_err_set(err, HG_E_INVALID,
		        "remote write %.*s signs in by a user or by a token, not by both", n,
		        c->name.p);
	return HG_OK;
}

enum hg_rc target_check(const struct remote_target_conf *c, struct hg_err *err)
{
	struct relabel *relabel = NULL;
	int n = (int)HG_MIN(c->name.n, (size_t)REMOTE_NAME_MAX);
	if (!is_name(c->name))
		return hg_err_set(err, HG_E_INVALID,
		        "\"%.*s\" is no name of a remote write: letters, digits, - and _, %u at "
		        "most",
		        n, c->name.p, REMOTE_NAME_MAX);
	bool http = hg_str_starts(c->url, HG_STR("http://")) ||
	            hg_str_starts(c->url, HG_STR("https://"));
	if (!http || !target_plain(c->url))
		return hg_err_set(err, HG_E_INVALID,
		        "remote write %.*s: \"%.*s\" is no address of HTTP", n, c->name.p,
		        (int)HG_MIN(c->url.n, (size_t)100), c->url.p);
	if (c->shards > REMOTE_SHARDS_MAX || c->batch_samples > 100000)
		return hg_err_set(err, HG_E_INVALID,
		        "remote write %.*s: at most %u shards and 100,000 samples a request", n,
		        c->name.p, REMOTE_SHARDS_MAX);
	enum hg_rc rc = headers_check(c, err);
	if (rc == HG_OK) rc = relabel_new(c->relabel, c->relabel_n, &relabel, err);
	relabel_free(relabel);
	return rc;
}
