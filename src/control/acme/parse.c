/* What an authority says: JSON from outside, read into fixed room. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/acme/decide.h"

#define URN "urn:ietf:params:acme:error:"

/* ---- times ---- */

static bool digits(const char **p, int n, int *ret_v)
{
	*ret_v = 0;
	for (int i = 0; i < n; i++, ++*p) {
		if (**p < '0' || **p > '9') return false;
		*ret_v = *ret_v * 10 + (**p - '0');
	}
	return true;
}

static bool punct(const char **p, char a, char b)
{
	if (**p != a && **p != b) return false;
	++*p;
	return true;
}

/* Days since 1970 of a date of the Gregorian calendar (Hinnant's days_from_civil). */
static int64_t days_of(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t days = (int64_t)of_era * 365 + of_era / 4 - of_era / 100 + of_year;
	return (int64_t)era * 146097 + days - 719468;
}

static bool offset_of(const char *p, int64_t *ret_s)
{
	int h, m;
	char sign = *p;
	*ret_s = 0;
	if (sign == 'Z' || sign == 'z') return p[1] == 0;
	if (sign != '+' && sign != '-') return false;
	p++;
	if (!digits(&p, 2, &h) || !punct(&p, ':', ':') || !digits(&p, 2, &m) || *p) return false;
	if (h > 23 || m > 59) return false;
	*ret_s = (h * 3600 + m * 60) * (sign == '-' ? -1 : 1);
	return true;
}

bool acme_time(const char *text, int64_t *ret_ms)
{
	const char *p = text;
	int year, month, day, h, m, s, ms = 0;
	int64_t offset_s;
	bool ok = digits(&p, 4, &year) && punct(&p, '-', '-') && digits(&p, 2, &month) &&
	          punct(&p, '-', '-') && digits(&p, 2, &day) && punct(&p, 'T', 't') &&
	          digits(&p, 2, &h) && punct(&p, ':', ':') && digits(&p, 2, &m) &&
	          punct(&p, ':', ':') && digits(&p, 2, &s);
	if (!ok || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || h > 23 ||
	        m > 59 || s > 60)
		return false;
	if (*p == '.') {
		int scale = 100;
		for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
			ms += (*p - '0') * scale;
	}
	if (!offset_of(p, &offset_s)) return false;
	*ret_ms =
	        (days_of(year, month, day) * 86400 + h * 3600 + m * 60 + s - offset_s) * 1000 + ms;
	return true;
}

/* ---- texts ---- */

/* Bytes that a terminal obeys become spaces; cut at a whole character. */
static void clean(const char *from, char *to, size_t cap)
{
	size_t n = 0;
	for (; *from && n + 1 < cap; from++) {
		unsigned char c = (unsigned char)*from;
		bool c1 = c == 0xc2 && (unsigned char)from[1] < 0xa0 && from[1];
		if (c1) from++;
		to[n++] = c < ' ' || c == 127 || c1 ? ' ' : (char)c;
	}
	while (n && !hg_utf8_valid((struct hg_str){to, n}))
		n--;
	to[n] = 0;
}

static const char *text_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);
	return s && strlen(s) == json_string_length(v) ? s : NULL;
}

/* Only https: what an authority names is asked as it stands. */
static bool url_take(const json_t *o, const char *key, char to[ACME_URL_MAX])
{
	const char *s = text_of(o, key);
	if (!s || strncmp(s, "https://", 8) != 0) return false;
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p >= 127) return false;
	return hg_str_copy(hg_str(s), to, ACME_URL_MAX);
}

static enum acme_problem_type problem_type(const char *urn)
{
	static const char *const name[] = {
#define X(name, text) text,
	        ACME_PROBLEMS(X)
#undef X
	};
	if (!urn || strncmp(urn, URN, strlen(URN)) != 0) return ACME_P_UNKNOWN;
	for (size_t i = 0; i < HG_COUNT(name); i++)
		if (strcmp(urn + strlen(URN), name[i]) == 0)
			return (enum acme_problem_type)(ACME_P_UNKNOWN + 1 + i);
	return ACME_P_UNKNOWN;
}

static void problem_take(const json_t *o, struct acme_problem *to)
{
	char all[2 * ACME_WHY_MAX];
	const char *type = text_of(o, "type"), *detail = text_of(o, "detail");
	if (!json_is_object(o)) return;
	to->type = problem_type(type);
	if (type && strncmp(type, URN, strlen(URN)) == 0) type += strlen(URN);
	(void)snprintf(all, sizeof all, "%.100s%s%.600s", type ? type : "",
	        type && detail ? ": " : "", detail ? detail : "");
	clean(all, to->text, sizeof to->text);
}

static enum acme_status status_of(const json_t *o)
{
	static const struct {
		const char *text;
		enum acme_status is;
	} row[] = {{"pending", ACME_ST_PENDING}, {"processing", ACME_ST_PROCESSING},
	        {"ready", ACME_ST_READY}, {"valid", ACME_ST_VALID}, {"invalid", ACME_ST_INVALID},
	        {"deactivated", ACME_ST_INVALID}, {"expired", ACME_ST_INVALID},
	        {"revoked", ACME_ST_INVALID}};
	const char *s = text_of(o, "status");
	for (size_t i = 0; s && i < HG_COUNT(row); i++)
		if (strcmp(s, row[i].text) == 0) return row[i].is;
	return ACME_ST_OTHER;
}

/* ---- documents ---- */

static bool directory_take(const json_t *o, struct acme_body *to)
{
	const json_t *meta = json_object_get(o, "meta");
	const char *terms = text_of(meta, "termsOfService");
	(void)url_take(o, "renewalInfo", to->renewal);
	if (terms) clean(terms, to->terms, sizeof to->terms);
	to->eab = json_is_true(json_object_get(meta, "externalAccountRequired"));
	return url_take(o, "newNonce", to->new_nonce) &&
	       url_take(o, "newAccount", to->new_account) && url_take(o, "newOrder", to->new_order);
}

static bool order_take(const json_t *o, struct acme_body *to)
{
	const json_t *list = json_object_get(o, "authorizations"), *one;
	size_t i;
	to->status = status_of(o);
	(void)url_take(o, "certificate", to->certificate);
	problem_take(json_object_get(o, "error"), &to->problem);
	json_array_foreach(list, i, one)
	{
		const char *s = json_string_value(one);
		json_t *wrap = s ? json_pack("{s:s}", "url", s) : NULL;
		bool ok = wrap && to->auth_count < ACME_NAMES_MAX &&
		          url_take(wrap, "url", to->auth[to->auth_count]);
		json_decref(wrap);
		if (!ok) return false;
		to->auth_count++;
	}
	bool whole = url_take(o, "finalize", to->finalize) && to->auth_count > 0;
	return to->status != ACME_ST_OTHER && (whole || to->status == ACME_ST_INVALID);
}

/* RFC 8555 section 8.1: base64url, 128 bits at least; it becomes part of a path. */
static bool token_take(const json_t *o, char to[ACME_TOKEN_MAX])
{
	const char *s = text_of(o, "token");
	if (!s || strlen(s) < 16) return false;
	if (strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
	        strlen(s))
		return false;
	return hg_str_copy(hg_str(s), to, ACME_TOKEN_MAX);
}

static bool auth_take(const json_t *o, enum acme_challenge want, struct acme_body *to)
{
	static const char *const type[] = {[ACME_HTTP_01] = "http-01",
	        [ACME_TLS_ALPN_01] = "tls-alpn-01",
	        [ACME_DNS_01] = "dns-01"};
	const json_t *list = json_object_get(o, "challenges"), *one;
	const json_t *who = json_object_get(o, "identifier");
	const char *name = text_of(who, "value"), *kind = text_of(who, "type");
	size_t i;
	to->status = status_of(o);
	if (!kind || strcmp(kind, "dns") != 0 || !name) return false;
	clean(name, to->name, sizeof to->name);
	json_array_foreach(list, i, one)
	{
		const char *is = text_of(one, "type");
		if (json_object_get(one, "error"))
			problem_take(json_object_get(one, "error"), &to->problem);
		if (!is || strcmp(is, type[want]) != 0) continue;
		to->offered = url_take(one, "url", to->challenge) && token_take(one, to->token);
	}
	return to->status != ACME_ST_OTHER && name[0] && hg_str(name).n < ACME_NAME_MAX;
}

static bool renewal_take(const json_t *o, struct acme_body *to)
{
	const json_t *w = json_object_get(o, "suggestedWindow");
	const char *from = text_of(w, "start"), *until = text_of(w, "end");
	return from && until && acme_time(from, &to->window_from_ms) &&
	       acme_time(until, &to->window_until_ms) && to->window_from_ms < to->window_until_ms;
}

void acme_parse(enum acme_ask ask, int status, enum acme_challenge want, struct hg_str body,
        struct acme_body *ret_body)
{
	struct acme_body *to = ret_body;
	memset(to, 0, sizeof *to);
	json_t *o = body.n ? json_loadb(body.p, body.n, 0, NULL) : NULL;
	if (status >= 400) {
		to->problem.type = ACME_P_UNKNOWN;
		problem_take(o, &to->problem);
		json_decref(o);
		return;
	}
	switch (ask) {
	case ACME_ASK_DIRECTORY: to->good = directory_take(o, to); break;
	case ACME_ASK_ORDER:
	case ACME_ASK_FINALIZE:
	case ACME_ASK_POLL: to->good = order_take(o, to); break;
	case ACME_ASK_AUTH: to->good = auth_take(o, want, to); break;
	case ACME_ASK_RENEWAL: to->good = renewal_take(o, to); break;
	/* What these say is in the head, or said again later. */
	case ACME_ASK_NONCE:
	case ACME_ASK_ACCOUNT:
	case ACME_ASK_VALIDATE:
	case ACME_ASK_CERT: to->good = true; break;
	}
	json_decref(o);
}
