#include "wire/origin.h"

static bool host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* Behind the host: nothing, or ":" and a port that is not the scheme's usual one. */
static const char *port_check(struct hg_str scheme, struct hg_str s)
{
	uint64_t port;
	if (s.n == 0) return NULL;
	if (s.p[0] == '/') return "an origin has no path: leave out what begins with \"/\"";
	if (s.p[0] != ':' || !hg_str_u64((struct hg_str){s.p + 1, s.n - 1}, &port) || port == 0 ||
	        port > 65535)
		return "for example https://app.example.com or https://app.example.com:8443";
	if ((port == 443 && hg_str_eq(scheme, HG_STR("https"))) ||
	        (port == 80 && hg_str_eq(scheme, HG_STR("http"))))
		return "browsers leave out the usual port: leave it out too";
	return NULL;
}

static bool scheme_valid(struct hg_str s)
{
	bool good = s.n && s.p[0] >= 'a' && s.p[0] <= 'z';
	for (size_t i = 0; good && i < s.n; i++)
		good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
		       s.p[i] == '+' || s.p[i] == '-' || s.p[i] == '.';
	return good;
}

const char *origin_rule_check(struct hg_str rule)
{
	if (hg_str_eq(rule, HG_STR("null")))
		return "\"null\" is what every sandboxed document and file says: it names nobody";
	for (size_t i = 0; i < rule.n; i++)
		if (rule.p[i] >= 'A' && rule.p[i] <= 'Z')
			return "browsers write origins in lower case: write it so";
	struct hg_str scheme = {rule.p, hg_str_find(rule, ':')};
	struct hg_str rest = {rule.p + scheme.n, rule.n - scheme.n};
	if (!scheme_valid(scheme) || !hg_str_starts(rest, HG_STR("://")))
		return "with its scheme: https://app.example.com";
	rest = (struct hg_str){rest.p + 3, rest.n - 3};
	if (hg_str_starts(rest, HG_STR("*."))) rest = (struct hg_str){rest.p + 2, rest.n - 2};
	size_t n = 0;
	if (rest.n && rest.p[0] == '[') {
		n = hg_str_find(rest, ']');
		n += n < rest.n;
	}
	while (n < rest.n && host_byte(rest.p[n]))
		n++;
	if (n == 0 || rest.p[0] == '.' || rule.n > ORIGIN_MAX)
		return "for example https://app.example.com or \"https://*.example.com\"";
	return port_check(scheme, (struct hg_str){rest.p + n, rest.n - n});
}

/* "*.x" names a.x and a.b.x: what stands for "*" is part of a host name, so that nothing of the
 * origin can end the host early. */
static bool names(struct hg_str rule, struct hg_str origin)
{
	size_t star = hg_str_find(rule, '*');
	if (star == rule.n) return hg_str_eq(rule, origin);
	struct hg_str head = {rule.p, star}, tail = {rule.p + star + 1, rule.n - star - 1};
	if (origin.n <= head.n + tail.n || !hg_str_starts(origin, head) ||
	        !hg_str_ends(origin, tail) || origin.p[star] == '.')
		return false;
	for (size_t i = star; i < origin.n - tail.n; i++)
		if (!host_byte(origin.p[i])) return false;
	return true;
}

bool origin_allowed(struct hg_str rules, struct hg_str origin)
{
	if (origin.n == 0 || origin.n > ORIGIN_MAX) return false;
	while (rules.n)
		if (names(hg_str_cut(&rules, '\n'), origin)) return true;
	return false;
}
