/* The checks a row can ask of a text: names, hosts, paths, rates … */
#include "spec/spec_priv.h"

#include <stdio.h>

#include "redis/redis.h"
#include "wire/date.h"
#include "wire/http1_field.h"
#include "wire/ip.h"
#include "wire/origin.h"
#include "wire/rate.h"
#include "wire/re.h"

static bool no(struct spec_problem *p, const char *why, const char *hint)
{
	p->rc = HG_E_CONFIG_VALUE;
	snprintf(p->why, sizeof p->why, "%s", why);
	snprintf(p->hint, sizeof p->hint, "%s", hint ? hint : "");
	return false;
}

static bool lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A label of DNS (RFC 1123): names become host names, folders and labels of metrics. */
static bool name(struct hg_str s, struct spec_problem *p)
{
	bool good =
	        s.n >= 1 && s.n <= 63 && (lower(s.p[0]) || digit(s.p[0])) && s.p[s.n - 1] != '-';
	for (size_t i = 0; good && i < s.n; i++)
		good = lower(s.p[i]) || digit(s.p[i]) || s.p[i] == '-';
	if (good) return true;
	return no(p, "must be 1 to 63 of a-z, 0-9 and \"-\", and not start or end with \"-\"",
	        "for example feedback, or my-app-2");
}

static bool env_name(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n >= 1 && s.n <= 128 && !digit(s.p[0]);
	for (size_t i = 0; good && i < s.n; i++)
		good = lower(s.p[i]) || upper(s.p[i]) || digit(s.p[i]) || s.p[i] == '_';
	if (good) return true;
	return no(p, "must be a variable name: letters, digits and \"_\", no digit first", NULL);
}

/* Of metrics. Those that begin with "__" mean something to the scraper, and vanish. */
static bool label_name(struct hg_str s, struct spec_problem *p)
{
	struct spec_problem other;
	if (env_name(s, &other) && !hg_str_starts(s, HG_STR("__"))) return true;
	return no(p,
	        "must be the name of a label: letters, digits and \"_\", no digit and no \"__\" "
	        "first",
	        NULL);
}

static bool host(struct hg_str s, struct spec_problem *p)
{
	size_t label = 0;
	if (hg_str_eq(s, HG_STR("*"))) return true;
	if (hg_str_find(s, '/') < s.n)
		return no(
		        p, "must be a host name", "leave out the scheme and the path: example.com");
	if (hg_str_find(s, ':') < s.n)
		return no(
		        p, "must be a host name without a port", "the port is set in edge.listen");
	if (hg_str_starts(s, HG_STR("*."))) s = (struct hg_str){s.p + 2, s.n - 2};
	bool good = s.n >= 1 && s.n <= 253;
	for (size_t i = 0; good && i < s.n; i++) {
		char c = s.p[i];
		if (c == '.') {
			good = label > 0;
			label = 0;
			continue;
		}
		good = (lower(c) || upper(c) || digit(c) || c == '-' || c == '_') && ++label <= 63;
	}
	if (good && label) return true;
	return no(p, "must be a host name such as example.com, *.example.com or \"*\"", NULL);
}

static bool path(struct hg_str s, struct spec_problem *p)
{
	if (s.n == 0 || s.p[0] != '/') return no(p, "must be a path that starts with \"/\"", NULL);
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == '#' || s.p[i] == '"' || s.n > 1024)
			return no(p, "must be a path without blanks, of at most 1024 bytes", NULL);
	}
	return true;
}

/* A folder the app may write to: nothing that climbs out, nothing that is everything. */
static bool inside(struct hg_str s, struct spec_problem *p)
{
	struct hg_str rest = s;
	if (s.n == 0 || s.n > 1024) return no(p, "must be a folder", NULL);
	if (hg_str_eq(s, HG_STR("/")))
		return no(p, "must not be the whole machine", "name a folder");
	while (rest.n) {
		if (hg_str_eq(hg_str_cut(&rest, '/'), HG_STR("..")))
			return no(p, "must not contain \"..\"", "write the folder itself");
	}
	return true;
}

static bool token(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n >= 1 && s.n <= 128;
	for (size_t i = 0; good && i < s.n; i++)
		good = lower(s.p[i]) || upper(s.p[i]) || digit(s.p[i]) ||
		       strchr("!#$%&'*+-.^_`|~", s.p[i]);
	if (good) return true;
	return no(p, "must be a token of HTTP: letters, digits, \"-\" and \"_\"", NULL);
}

/* "client", "path", "header NAME", "cookie NAME" */
static bool hash_key(struct hg_str s, struct spec_problem *p)
{
	struct hg_str name = s, kind = hg_str_cut(&name, ' ');
	bool named = hg_str_eq(kind, HG_STR("header")) || hg_str_eq(kind, HG_STR("cookie"));
	bool alone = hg_str_eq(s, HG_STR("client")) || hg_str_eq(s, HG_STR("path"));
	if (named && name.n > 59) return no(p, "has a name that is longer than 59", NULL);
	if (alone || (named && name.n && token(name, p))) return true;
	return no(p, "must be `client`, `path`, `header NAME` or `cookie NAME`", NULL);
}

/* A field that the edge writes for replicas: not one that means something already, or says who the
 * client is. */
static bool header_name(struct hg_str s, struct spec_problem *p)
{
	if (!token(s, p)) return false;
	if (s.n > 59) return no(p, "is longer than 59", NULL);
	if (http1_field_alike(s) == HTTP1_F_OTHER && !http1_field_claims(s) &&
	        !hg_str_eq_nocase(s, HG_STR("grpc-timeout")))
		return true;
	return no(
	        p, "is a field with a meaning of its own", "for example \"X-Request-Timeout-Ms\"");
}

bool spec_hedge_after(struct hg_str s, uint32_t *ret_ms, uint32_t *ret_ppm)
{
	static const struct {
		const char *name;
		uint32_t ppm;
	} quantile[] = {{"p50", 500000}, {"p90", 900000}, {"p95", 950000}, {"p99", 990000}};
	static const struct spec_key span = {
	        .kind = SPEC_K_DURATION, .min = 1, .max = 60000, .low = "1ms", .high = "1m"};
	struct spec_problem ignored;
	uint64_t ms = 0;
	*ret_ms = *ret_ppm = 0;
	for (size_t i = 0; i < HG_COUNT(quantile); i++)
		if (hg_str_eq(s, hg_str(quantile[i].name))) *ret_ppm = quantile[i].ppm;
	if (*ret_ppm) return true;
	if (!spec_value_number(&span, s, &ms, &ignored)) return false;
	*ret_ms = (uint32_t)ms;
	return true;
}

static bool hedge_after(struct hg_str s, struct spec_problem *p)
{
	uint32_t ms, ppm;
	if (spec_hedge_after(s, &ms, &ppm)) return true;
	return no(p, "must be a duration of 1ms to 1m, or p50, p90, p95 or p99", NULL);
}

static bool header(struct hg_str s, struct spec_problem *p)
{
	struct hg_str value = s, field = hg_str_cut(&value, ':');
	value = hg_str_trim(value);
	if (field.n < s.n && value.n && token(field, p)) return true;
	return no(p, "must be a header and its value", "for example \"X-Canary: always\"");
}

static bool when(struct hg_str s, struct spec_problem *p)
{
	static const char *const words[] = {"before", "promote", "after", "rollback"};
	struct spec_share share;
	for (size_t i = 0; i < HG_COUNT(words); i++)
		if (hg_str_eq(s, hg_str(words[i]))) return true;
	if (spec_value_share(s, &share, p) && !share.is_count) return true;
	return no(p,
	        "must be before, the weight of a step such as \"10%\", promote, after or rollback",
	        NULL);
}

/* Behind the host of a hook's URL; control/rollout/hook.c fills them in. */
static bool hook_words(struct hg_str s)
{
	static const char *const words[] = {
	        "app", "release", "previous", "rollout", "weight", "when"};
	while (s.n) {
		bool known = false;
		if (s.p[0] == '}') return false;
		if (s.p[0] != '{') {
			s = (struct hg_str){s.p + 1, s.n - 1};
			continue;
		}
		size_t end = hg_str_find(s, '}');
		struct hg_str word = {s.p + 1, end - 1};
		for (size_t i = 0; end < s.n && i < HG_COUNT(words); i++)
			known = known || hg_str_eq(word, hg_str(words[i]));
		if (!known) return false;
		s = (struct hg_str){s.p + end + 1, s.n - end - 1};
	}
	return true;
}

static bool hook_url(struct hg_str s, struct spec_problem *p)
{
	bool plain = hg_str_starts(s, HG_STR("http://")),
	     tls = hg_str_starts(s, HG_STR("https://"));
	if (!plain && !tls)
		return no(p, "must be a URL that starts with http:// or https://", NULL);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f ||
		        s.p[i] == '#' || s.p[i] == '"' || s.n > 1000)
			return no(p,
			        "must be a URL of ASCII without blanks or \"#\", of at most 1000 "
			        "bytes",
			        NULL);
	size_t skip = plain ? 7 : 8, at = skip;
	while (at < s.n && s.p[at] != '/' && s.p[at] != '?')
		at++;
	struct hg_str host = {s.p + skip, at - skip}, rest = {s.p + at, s.n - at};
	if (hg_str_find(host, '@') < host.n)
		return no(p, "must not hold a password: it is shown to viewers",
		        "send it in a header: headers: {Authorization: …}");
	if (host.n == 0 || host.p[0] == ':' || hg_str_find(host, '{') < host.n ||
	        hg_str_find(host, '\\') < host.n)
		return no(p, "must name a host, without {…} in it", NULL);
	if (hook_words(rest)) return true;
	return no(p, "holds a {…} that is not known",
	        "{app}, {release}, {previous}, {rollout}, {weight} and {when}");
}

static bool rate(struct hg_str s, struct spec_problem *p)
{
	struct rate r;
	const char *why;
	if (rate_parse(s, &r, &why)) return true;
	return no(p, "must be a rate such as \"1000/min per user\"", why);
}

/* As above, and nothing that "/v1/traces" could not be added to. */
static bool otlp_url(struct hg_str s, struct spec_problem *p)
{
	struct hg_str rest = s, host;
	if (hg_str_find(s, '?') < s.n)
		return no(p, "must be an address without a query",
		        "`/v1/traces` is added to it: http://127.0.0.1:4318");
	for (int i = 0; i < 3; i++)
		host = hg_str_cut(&rest, '/');
	if (hg_str_find(host, '@') < host.n)
		return no(p, "must not hold a password: it is shown to viewers",
		        "send to a collector on this machine, which has it");
	return hook_url(s, p);
}

/* What is asked for metrics (observe/scrape): no name is looked up. */
static bool scrape_address(struct hg_str s, struct spec_problem *p)
{
	static const char hint[] = "for example 127.0.0.1:9100, localhost:9100 or unix:/run/x.sock";
	uint8_t ip[16];
	uint64_t port = 0;
	if (hg_str_starts(s, HG_STR("unix:"))) {
		/* As long as the address of a socket may be. */
		if (s.n > 5 && s.p[5] == '/' && s.n - 5 < 108) return true;
		return no(p, "must be an absolute path of at most 107 bytes", hint);
	}
	size_t colon = s.n;
	while (colon && s.p[colon - 1] != ':')
		colon--;
	struct hg_str host = {s.p, colon ? colon - 1 : 0}, rest = {s.p + colon, s.n - colon};
	bool six = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (six) host = (struct hg_str){host.p + 1, host.n - 2};
	bool good = hg_str_eq(host, HG_STR("localhost")) || ip_parse(host, ip);
	if (!six && hg_str_find(host, ':') < host.n) good = false;
	if (good && hg_str_u64(rest, &port) && port >= 1 && port <= 65535) return true;
	return no(p, "must be an IP address or localhost, with a port", hint);
}

/* As label matchers and relabelling read it. */
static bool regex(struct hg_str s, struct spec_problem *p)
{
	struct re *re = NULL;
	bool good = re_compile(s, RE_LABEL, &re, NULL) == HG_OK;
	re_free(re);
	return good ||
	       no(p, "must be a regular expression of RE2",
	               "no back-references and no lookaround; in YAML put it in single quotes");
}

static bool redis_url(struct hg_str s, struct spec_problem *p)
{
	char text[512];
	const char *why = "it is longer than 511 bytes";
	if (hg_str_find(s, '@') < s.n && !hg_str_starts(s, HG_STR("unix:")))
		return no(p, "must not hold a user or a password: it is shown to viewers",
		        "write `user: NAME` and `password_file: FILE` beside it");
	if (hg_str_starts(s, HG_STR("rediss:")) && hg_str_find(s, '?') < s.n)
		return no(p, "must not have parameters",
		        "the authorities are `ca_file: FILE` beside it");
	if (hg_str_copy(s, text, sizeof text)) why = redis_url_wrong(text);
	return !why || no(p, "must be an address such as redis://10.0.0.5:6379", why);
}

static bool net(struct hg_str s, struct spec_problem *p)
{
	uint8_t addr[16];
	uint32_t bits;
	if (ip_parse_net(s, addr, &bits)) return true;
	size_t slash = hg_str_find(s, '/');
	bool host = slash < s.n && ip_parse((struct hg_str){s.p, slash}, addr);
	return no(p, "must be an address or a network such as 192.0.2.0/24",
	        host ? "the bits behind the prefix must be 0, and there are 32 of IPv4, 128 of IPv6"
	             : "names are not looked up");
}

/* 502 · 5xx */
static bool page_code(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n == 3 && (s.p[0] == '4' || s.p[0] == '5');
	if (good && s.p[1] == 'x' && s.p[2] == 'x') return true;
	if (good && digit(s.p[1]) && digit(s.p[2])) return true;
	return no(p, "must be a status from 400 to 599, or 4xx or 5xx",
	        "for example `error_pages: {502: pages/502.html, 5xx: pages/5xx.html}`");
}

static bool codes(struct hg_str s, struct spec_problem *p)
{
	bool good = s.n > 0;
	while (good && s.n) {
		struct hg_str c = hg_str_cut(&s, ' ');
		if (c.n == 0) continue;
		good = c.n == 3 && c.p[0] >= '1' && c.p[0] <= '5' &&
		       ((c.p[1] == 'x' && c.p[2] == 'x') || (digit(c.p[1]) && digit(c.p[2])));
	}
	return good || no(p, "must be status codes such as \"2xx 3xx 404\"", NULL);
}

static bool database_url(struct hg_str s, struct spec_problem *p)
{
	static const char *const schemes[] = {"sqlite:", "postgres://", "postgresql://"};
	for (size_t i = 0; i < HG_COUNT(schemes); i++) {
		if (hg_str_starts(s, hg_str(schemes[i])) && s.n > strlen(schemes[i])) return true;
	}
	return no(p, "must be sqlite:FILE or postgres://…", NULL);
}

/* A number, a range or a list of them in [low, high], with an optional step. */
static bool cron_field(struct hg_str field, uint64_t low, uint64_t high)
{
	if (field.n == 0) return false;
	while (field.n) {
		struct hg_str step = hg_str_cut(&field, ','), range = hg_str_cut(&step, '/');
		uint64_t a, b, every = 1;
		if (step.n && (!hg_str_u64(step, &every) || every == 0 || every > high))
			return false;
		if (hg_str_eq(range, HG_STR("*"))) continue;
		struct hg_str last = range, first = hg_str_cut(&last, '-');
		if (!hg_str_u64(first, &a)) return false;
		if (last.n == 0)
			b = a;
		else if (!hg_str_u64(last, &b))
			return false;
		if (a < low || b > high || a > b) return false;
	}
	return true;
}

static bool cron(struct hg_str s, struct spec_problem *p)
{
	static const uint64_t low[] = {0, 0, 1, 1, 0}, high[] = {59, 23, 31, 12, 7};
	size_t n = 0;
	bool good = true;
	while (good && s.n) {
		struct hg_str f = hg_str_cut(&s, ' ');
		if (f.n == 0) continue;
		good = n < HG_COUNT(low) && cron_field(f, low[n], high[n]);
		n++;
	}
	if (good && n == HG_COUNT(low)) return true;
	return no(p, "must be five fields: minute, hour, day of month, month, day of week",
	        "for example \"0 */6 * * *\": every six hours");
}

static bool origin(struct hg_str s, struct spec_problem *p)
{
	const char *why = hg_str_eq(s, HG_STR("*")) ? NULL : origin_rule_check(s);
	return !why || no(p, "must be the origin of pages", why);
}

/* Printable ASCII, so that it can stand in a field as it is. */
static bool one_word(struct hg_str s, size_t max)
{
	bool good = s.n > 0 && s.n <= max;
	for (size_t i = 0; good && i < s.n; i++)
		good = s.p[i] > 0x20 && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '<' &&
		       s.p[i] != '>' && s.p[i] != '\\';
	return good;
}

static bool absolute(struct hg_str s)
{
	size_t skip = hg_str_starts(s, HG_STR("https://")) ? 8 : 7;
	if (skip == 7 && !hg_str_starts(s, HG_STR("http://"))) return false;
	return s.n > skip && s.p[skip] != '/' && s.p[skip] != '?' && s.p[skip] != '#';
}

static bool redirect(struct hg_str s, struct spec_problem *p)
{
	bool path = s.n && s.p[0] == '/' && !hg_str_starts(s, HG_STR("//"));
	if (one_word(s, 1000) && (path || absolute(s))) return true;
	return no(p, "must be an absolute URL, or a path that starts with one \"/\"",
	        "for example https://www.example.com or /new");
}

static bool link_url(struct hg_str s, struct spec_problem *p)
{
	if (one_word(s, 500) && absolute(s)) return true;
	return no(p, "must be an absolute URL of at most 500 bytes",
	        "for example https://example.com/api/changes");
}

bool spec_date(struct hg_str text, uint64_t *ret_s)
{
	char full[64];
	uint64_t ms;
	struct hg_out o = hg_out_over(full, sizeof full);
	hg_out_str(&o, text);
	if (text.n == 10) hg_out_str(&o, HG_STR("T00:00:00Z"));
	if (hg_out_failed(&o) || !date_rfc3339_parse((struct hg_str){full, o.n}, &ms)) return false;
	*ret_s = ms / 1000;
	return true;
}

static bool date(struct hg_str s, struct spec_problem *p)
{
	uint64_t ignored;
	return spec_date(s, &ignored) ||
	       no(p, "must be a day, or a time with its zone",
	               "for example 2027-03-01 (0:00 UTC) or 2027-03-01T12:00:00+01:00");
}

bool spec_value_check(enum spec_check_kind check, struct hg_str s, struct spec_problem *p)
{
	*p = (struct spec_problem){0};
	switch (check) {
	case SPEC_C_NONE: return true;
	case SPEC_C_NAME: return name(s, p);
	case SPEC_C_HOST: return host(s, p);
	case SPEC_C_PATH: return path(s, p);
	case SPEC_C_ENV_NAME: return env_name(s, p);
	case SPEC_C_INSIDE: return inside(s, p);
	case SPEC_C_RATE: return rate(s, p);
	case SPEC_C_REDIS: return redis_url(s, p);
	case SPEC_C_NET: return net(s, p);
	case SPEC_C_PAGE_CODE: return page_code(s, p);
	case SPEC_C_TOKEN: return token(s, p);
	case SPEC_C_HEADER: return header(s, p);
	case SPEC_C_HASH_KEY: return hash_key(s, p);
	case SPEC_C_HEADER_NAME: return header_name(s, p);
	case SPEC_C_IDENTITY_HEADER:
	case SPEC_C_WORD:
	case SPEC_C_JWKS:
	case SPEC_C_SHA256:
	case SPEC_C_DAY: return spec_identity_text(check, s, p);
	case SPEC_C_HEDGE_AFTER: return hedge_after(s, p);
	case SPEC_C_WHEN: return when(s, p);
	case SPEC_C_HOOK_URL: return hook_url(s, p);
	case SPEC_C_OTLP_URL: return otlp_url(s, p);
	case SPEC_C_SCRAPE_ADDRESS: return scrape_address(s, p);
	case SPEC_C_LABEL_NAME: return label_name(s, p);
	case SPEC_C_REGEX: return regex(s, p);
	case SPEC_C_CODES: return codes(s, p);
	case SPEC_C_DATABASE_URL: return database_url(s, p);
	case SPEC_C_CRON: return cron(s, p);
	case SPEC_C_ORIGIN: return origin(s, p);
	case SPEC_C_REDIRECT: return redirect(s, p);
	case SPEC_C_DATE: return date(s, p);
	case SPEC_C_LINK: return link_url(s, p);
	}
	return true;
}
