/* The checks of texts that say who somebody is, or how that is found out. */
#include "spec/spec_priv.h"

#include <stdio.h>

#include "wire/date.h"
#include "wire/http1_field.h"

static bool no(struct spec_problem *p, const char *why, const char *hint)
{
	p->rc = HG_E_CONFIG_VALUE;
	snprintf(p->why, sizeof p->why, "%s", why);
	snprintf(p->hint, sizeof p->hint, "%s", hint);
	return false;
}

static bool plain(char c)
{
	return c > ' ' && c <= '~' && c != ',' && c != '%';
}

/* A role or a scope: what is compared has one way to be written. */
static bool word(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n >= 1 && s.n <= 128;
	for (size_t i = 0; good && i < s.n; i++)
		good = plain(s.p[i]);
	if (good) return true;
	return no(p, "must be a word of ASCII without blanks, \",\" and \"%\"",
	        "for example admin, or feedback:read");
}

/* What comes in trailers and is not to be believed is known by the beginning of its name. */
static bool header(struct hg_str s, struct spec_problem *p)
{
	static const char hint[] = "names begin with X-Auth-, X-Forwarded-, X-Remote- or Remote-";
	bool good = s.n >= 1 && s.n <= 59;
	for (size_t i = 0; good && i < s.n; i++) {
		char c = s.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		       c == '-';
	}
	if (!good) return no(p, "must be the name of a header: letters, digits and \"-\"", hint);
	if (http1_field_lookup(s) != HTTP1_F_OTHER)
		return no(p, "is a field with a meaning of its own", hint);
	if (http1_field_identity(s)) return true;
	return no(p, "is no name for a field that says who somebody is", hint);
}

static bool loopback(struct hg_str host)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	for (size_t i = 0; i < HG_COUNT(names); i++)
		if (hg_str_eq(host, hg_str(names[i]))) return true;
	return false;
}

/* Whoever can change a set of keys on its way can make any token. */
static bool jwks(struct hg_str s, struct spec_problem *p)
{
	bool plain_http = hg_str_starts(s, HG_STR("http://"));
	bool tls = hg_str_starts(s, HG_STR("https://"));
	if (s.n == 0 || s.n > 1000)
		return no(p, "must be an address or a file, of at most 1000 bytes", "");
	if (!plain_http && !tls) {
		if (hg_str_find(s, ':') + 2 < s.n && s.p[hg_str_find(s, ':') + 1] == '/')
			return no(p, "must begin with https://, or be a file", "");
		return true;
	}
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#')
			return no(p, "must be a URL of ASCII without blanks or \"#\"", "");
	size_t skip = plain_http ? 7 : 8;
	struct hg_str rest = {s.p + skip, s.n - skip}, host = hg_str_cut(&rest, '/');
	if (host.n == 0 || hg_str_find(host, '@') < host.n)
		return no(p, "must name a host, without a password", "");
	if (host.p[0] != '[')
		host = hg_str_cut(&host, ':');
	else
		host.n = HG_MIN(host.n, hg_str_find(host, ']') + 1);
	if (tls || loopback(host)) return true;
	return no(p, "must be asked for by https: who can change keys on their way can be anybody",
	        "plain http is for this machine only: http://127.0.0.1:PORT/…");
}

static bool sha256(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n == 64;
	for (size_t i = 0; good && i < s.n; i++)
		good = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f') ||
		       (s.p[i] >= 'A' && s.p[i] <= 'F');
	if (good) return true;
	return no(p, "must be a SHA-256 in hexadecimal: 64 digits",
	        "`headgate key make NAME` makes a key and prints this line");
}

bool spec_day_end(struct hg_str s, uint64_t *ret_unix_s)
{
	char text[32];
	uint64_t ms;
	if (s.n != 10) return false;
	int n = snprintf(text, sizeof text, "%.*sT00:00:00Z", HG_STR_ARG(s));
	if (!date_rfc3339_parse((struct hg_str){text, (size_t)n}, &ms)) return false;
	*ret_unix_s = ms / 1000 + 86400;
	return true;
}

static bool day(struct hg_str s, struct spec_problem *p)
{
	uint64_t ignored;
	if (spec_day_end(s, &ignored)) return true;
	return no(p, "must be a day such as 2027-01-31", "");
}

bool spec_identity_text(enum spec_check_kind check, struct hg_str s, struct spec_problem *p)
{
	switch (check) {
	case SPEC_C_IDENTITY_HEADER: return header(s, p);
	case SPEC_C_WORD: return word(s, p);
	case SPEC_C_JWKS: return jwks(s, p);
	case SPEC_C_SHA256: return sha256(s, p);
	case SPEC_C_DAY: return day(s, p);
	default: return true;
	}
}
