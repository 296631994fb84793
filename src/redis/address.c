/* Where a Redis is. Pure. */
#include "redis/redis_priv.h"

#include <string.h>

#include "wire/url.h"

#define DB_MAX 65535u

static bool take(struct hg_str text, char *to, size_t cap)
{
	size_t n = 0;
	if (!url_decode(text, false, to, cap - 1, &n)) return false;
	to[n] = 0;
	return true;
}

/* "USER:PASSWORD@" before the rest; the last '@' of it, as in a password somebody did not encode.
 */
static const char *take_user(struct hg_str *rest, struct redis_address *a)
{
	size_t at = rest->n;
	while (at && rest->p[at - 1] != '@')
		at--;
	if (at == 0) return NULL;
	struct hg_str who = {rest->p, at - 1}, secret = who, user = hg_str_cut(&secret, ':');
	*rest = (struct hg_str){rest->p + at, rest->n - at};
	if (!take(user, a->user, sizeof a->user)) return "the user's name is malformed or too long";
	if (!take(secret, a->password, sizeof a->password))
		return "the password is malformed (encode it: %XX) or too long";
	if (a->user[0] && !a->password[0]) return "a user needs a password (USER:PASSWORD@)";
	return NULL;
}

static bool take_db(struct hg_str text, struct redis_address *a)
{
	uint64_t n = 0;
	if (text.n == 0) return true;
	if (!hg_str_u64(text, &n) || n > DB_MAX) return false;
	a->db = (uint32_t)n;
	return true;
}

static const char *take_path(struct hg_str rest, struct redis_address *a)
{
	struct hg_str query = rest, path = hg_str_cut(&query, '?'), db = HG_STR("");
	if (query.n && !url_query_find(query, HG_STR("db"), &db))
		return "of parameters, only ?db=N is known";
	if (!take_db(db, a)) return "the number of the database is not one from 0 to 65535";
	if (path.n == 0 || !take(path, a->path, sizeof a->path))
		return "the path of the socket is missing, malformed or longer than 107 bytes";
	return NULL;
}

static const char *take_host(struct hg_str rest, struct redis_address *a)
{
	struct hg_str db = rest, where = hg_str_cut(&db, '/'), port = HG_STR("");
	uint64_t n = 6379;
	if (hg_str_find(rest, '?') < rest.n) return "parameters are not known here";
	if (!take_db(db, a)) return "the number of the database is not one from 0 to 65535";
	if (where.n && where.p[0] == '[') {
		size_t end = hg_str_find(where, ']');
		if (end == where.n) return "a \"]\" is missing";
		port = (struct hg_str){where.p + end + 1, where.n - end - 1};
		where = (struct hg_str){where.p + 1, end - 1};
		if (port.n && port.p[0] != ':') return "the port is not a number from 1 to 65535";
	} else {
		size_t colon = hg_str_find(where, ':');
		port = (struct hg_str){where.p + colon, where.n - colon};
		where.n = colon;
	}
	if (port.n && (!hg_str_u64((struct hg_str){port.p + 1, port.n - 1}, &n) || n == 0 ||
	                      n > UINT16_MAX))
		return "the port is not a number from 1 to 65535";
	a->port = (uint16_t)n;
	if (where.n == 0) where = HG_STR("localhost");
	return hg_str_copy(where, a->host, sizeof a->host) ? NULL : "the host's name is too long";
}

/* Of an address with TLS: what stands behind its "?". */
static const char *take_ca(struct hg_str query, struct redis_address *a)
{
	struct hg_str ca = HG_STR("");
	if (query.n == 0) return NULL;
	if (!url_query_find(query, HG_STR("ca"), &ca) || !ca.n || hg_str_find(query, '&') < query.n)
		return "of parameters, only ?ca=FILE is known";
	return take(ca, a->ca, sizeof a->ca) ? NULL
	                                     : "the name of the file with authorities is malformed "
	                                       "or longer than 255 bytes";
}

static bool cut(struct hg_str *rest, struct hg_str prefix)
{
	if (!hg_str_starts(*rest, prefix)) return false;
	*rest = (struct hg_str){rest->p + prefix.n, rest->n - prefix.n};
	return true;
}

const char *redis_address_of(const char *url, struct redis_address *ret)
{
	struct hg_str rest = hg_str(url);
	const char *wrong;
	*ret = (struct redis_address){0};
	if (!url) return "there is none";
	bool unix_socket = cut(&rest, HG_STR("redis+unix://"));
	if (!unix_socket && cut(&rest, HG_STR("unix:"))) {
		unix_socket = true;
		(void)cut(&rest, HG_STR("//"));
	}
	ret->tls = !unix_socket && cut(&rest, HG_STR("rediss://"));
	if (!unix_socket && !ret->tls && !cut(&rest, HG_STR("redis://")))
		return "it does not begin with redis://, rediss:// or unix:";
	if (ret->tls) {
		struct hg_str query = rest;
		rest = hg_str_cut(&query, '?');
		wrong = take_ca(query, ret);
		if (wrong) return wrong;
	}
	/* A path may hold a "@". */
	wrong = hg_str_starts(rest, HG_STR("/")) ? NULL : take_user(&rest, ret);
	if (wrong) return wrong;
	return unix_socket ? take_path(rest, ret) : take_host(rest, ret);
}

const char *redis_url_wrong(const char *url)
{
	struct redis_address a;
	return redis_address_of(url, &a);
}

void redis_url_text(const char *url, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	const char *start = strstr(url, "://"), *at = strrchr(url, '@');
	/* So may the name of a file behind the address. */
	const char *query = strncmp(url, "rediss:", 7) == 0 ? strchr(url, '?') : NULL;
	if (query) at = memrchr(url, '@', (size_t)(query - url));
	start = start ? start + 3 : strchr(url, ':') ? strchr(url, ':') + 1 : url;
	const char *colon = at && at > start ? memchr(start, ':', (size_t)(at - start)) : NULL;
	if (colon) {
		hg_out_str(&o, (struct hg_str){url, (size_t)(colon + 1 - url)});
		hg_out_cstr(&o, "***");
		hg_out_cstr(&o, at);
	} else {
		hg_out_cstr(&o, url);
	}
	to[o.n] = 0;
}
