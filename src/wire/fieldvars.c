#include "wire/fieldvars.h"

#define BOTH (FIELDVARS_REQUEST | FIELDVARS_RESPONSE)

static const struct {
	const char *name;
	unsigned sides;
} vars[FIELDVARS] = {
        [FIELDVAR_CLIENT_IP] = {"client_ip", BOTH},
        [FIELDVAR_REQUEST_ID] = {"request_id", BOTH},
        [FIELDVAR_TRACE_ID] = {"trace_id", BOTH},
        [FIELDVAR_APP] = {"app", BOTH},
        [FIELDVAR_ROUTE] = {"route", BOTH},
        [FIELDVAR_SCHEME] = {"scheme", BOTH},
        [FIELDVAR_HOST] = {"host", FIELDVARS_REQUEST},
        [FIELDVAR_METHOD] = {"method", FIELDVARS_REQUEST},
        [FIELDVAR_PATH] = {"path", FIELDVARS_REQUEST},
        [FIELDVAR_RELEASE] = {"release", FIELDVARS_RESPONSE},
        [FIELDVAR_REPLICA] = {"replica", FIELDVARS_RESPONSE},
};

_Static_assert(FIELDVARS_FIRST + FIELDVARS <= 32, "no field holds these bytes");

static const char *unknown(unsigned side)
{
	return side == FIELDVARS_REQUEST
	               ? "of a request there are $client_ip, $request_id, $trace_id, $app, "
	                 "$route, $scheme, $host, $method and $path; $$ is a dollar sign"
	               : "of a response there are $client_ip, $request_id, $trace_id, $app, "
	                 "$route, $scheme, $release and $replica; $$ is a dollar sign";
}

static size_t word_size(struct hg_str s)
{
	size_t n = 0;
	while (n < s.n && ((s.p[n] >= 'a' && s.p[n] <= 'z') || s.p[n] == '_'))
		n++;
	return n;
}

const char *fieldvars_compile(struct hg_str value, unsigned side, struct hg_out *to)
{
	if (value.n == 0) return "an empty value says nothing: use `remove`";
	if (value.p[0] == ' ' || value.p[value.n - 1] == ' ')
		return "blanks at its ends are no part of a value";
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return "a value is one line, without control characters";
		if (c != '$') {
			hg_out_byte(to, (char)c);
			continue;
		}
		struct hg_str rest = {value.p + i + 1, value.n - i - 1};
		struct hg_str word = {rest.p, word_size(rest)};
		enum fieldvar v = 0;
		if (rest.n && rest.p[0] == '$') {
			hg_out_byte(to, '$');
			i++;
			continue;
		}
		while (v < FIELDVARS && !hg_str_eq(word, hg_str(vars[v].name)))
			v++;
		if (v == FIELDVARS || !(vars[v].sides & side)) return unknown(side);
		hg_out_byte(to, (char)(FIELDVARS_FIRST + v));
		i += word.n;
	}
	return NULL;
}
