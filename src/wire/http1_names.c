#include "wire/http1_priv.h"

#define KNOWN_ROW(id, name, marks) {name, sizeof(name) - 1},
#define MARKS_ROW(id, name, marks) [HTTP1_F_##id] = (marks),

/* By id, without HTTP1_F_OTHER. */
static const struct known_name {
	char text[20];
	uint8_t n;
} known[] = {HTTP1_FIELD_ROWS(KNOWN_ROW)};

const uint8_t http1_marks[HTTP1_FIELDS_KNOWN] = {HTTP1_FIELD_ROWS(MARKS_ROW)};

/* first_of[n]: index of the first name of length n or more. */
static const uint8_t first_of[] = {
        0, 0, 0, 1, 2, 5, 5, 10, 12, 13, 14, 18, 20, 22, 24, 25, 28, 31, 34, 35, 36};
_Static_assert(HTTP1_FIELDS_KNOWN == 37, "a row was added: first_of[] counts them");

static uint64_t bytes8(const char *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

static uint32_t bytes4(const char *p)
{
	uint32_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

/*
 * `name` is a token and `low` consists of a-z and "-": no other token byte becomes one of those
 * by setting bit 5, so this comparison is exact. Words may overlap.
 */
static bool same_name(const char *name, const char *low, size_t n)
{
	const uint64_t bit5 = 0x2020202020202020u;
	uint64_t diff = 0;
	if (n >= 8) {
		for (size_t i = 0; i + 8 < n; i += 8)
			diff |= (bytes8(name + i) | bit5) ^ bytes8(low + i);
		diff |= (bytes8(name + n - 8) | bit5) ^ bytes8(low + n - 8);
	} else if (n >= 4) {
		diff = ((bytes4(name) | (uint32_t)bit5) ^ bytes4(low)) |
		       ((bytes4(name + n - 4) | (uint32_t)bit5) ^ bytes4(low + n - 4));
	} else {
		for (size_t i = 0; i < n; i++)
			diff |= ((unsigned char)name[i] | 0x20u) ^ (unsigned char)low[i];
	}
	return diff == 0;
}

enum http1_field_id http1_field_lookup(struct hg_str name)
{
	if (name.n < 2 || name.n + 1 >= HG_COUNT(first_of)) return HTTP1_F_OTHER;
	for (size_t i = first_of[name.n]; i < first_of[name.n + 1]; i++) {
		if ((name.p[0] | 0x20) != known[i].text[0]) continue;
		if (same_name(name.p, known[i].text, name.n)) return (enum http1_field_id)(i + 1);
	}
	return HTTP1_F_OTHER;
}

enum http1_field_id http1_field_alike(struct hg_str name)
{
	char dashed[HG_COUNT(first_of)];
	if (name.n >= sizeof dashed) return HTTP1_F_OTHER;
	for (size_t i = 0; i < name.n; i++)
		dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
	return http1_field_lookup((struct hg_str){dashed, name.n});
}

/* "_" counts as "-": CGI and its heirs make the same variable of both. */
static bool begins(struct hg_str name, struct hg_str low)
{
	if (name.n < low.n) return false;
	for (size_t i = 0; i < low.n; i++) {
		char ch = name.p[i] == '_' ? '-' : (char)(name.p[i] | 0x20);
		if (ch != low.p[i]) return false;
	}
	return true;
}

bool http1_field_claims(struct hg_str name)
{
	switch (name.p[0] | 0x20) {
	case 'x':
		return begins(name, HG_STR("x-forwarded-")) ||
		       begins(name, HG_STR("x-client-cert-")) ||
		       (name.n == 9 && begins(name, HG_STR("x-real-ip")));
	case 'c':
		return begins(name, HG_STR("client-cert")) &&
		       (name.n == 11 || begins(name, HG_STR("client-cert-chain")));
	default: return false;
	}
}

bool http1_field_identity(struct hg_str name)
{
	return begins(name, HG_STR("x-auth-")) || begins(name, HG_STR("x-forwarded-")) ||
	       begins(name, HG_STR("x-remote-")) || begins(name, HG_STR("remote-"));
}

bool http1_trailer_allowed(struct hg_str name)
{
	enum http1_field_id id = http1_field_alike(name);
	if (id == HTTP1_F_OTHER)
		return name.n == 0 || !(http1_field_claims(name) || http1_field_identity(name));
	return !(http1_marks[id] & HTTP1_M_NO_TRAILER);
}

static const char *const method_names[HTTP1_METHODS] = {
        [HTTP1_OTHER] = "",
        [HTTP1_GET] = "GET",
        [HTTP1_HEAD] = "HEAD",
        [HTTP1_POST] = "POST",
        [HTTP1_PUT] = "PUT",
        [HTTP1_DELETE] = "DELETE",
        [HTTP1_PATCH] = "PATCH",
        [HTTP1_OPTIONS] = "OPTIONS",
        [HTTP1_TRACE] = "TRACE",
        [HTTP1_CONNECT] = "CONNECT",
};

const char *http1_method_name(enum http1_method m)
{
	return (unsigned)m < HTTP1_METHODS ? method_names[m] : "";
}

bool http1_method_idempotent(enum http1_method m)
{
	switch (m) {
	case HTTP1_GET:
	case HTTP1_HEAD:
	case HTTP1_PUT:
	case HTTP1_DELETE:
	case HTTP1_OPTIONS:
	case HTTP1_TRACE: return true;
	case HTTP1_OTHER:
	case HTTP1_POST:
	case HTTP1_PATCH:
	case HTTP1_CONNECT:
	case HTTP1_METHODS: break;
	}
	return false;
}

/* The IANA registry of status codes. */
static const struct {
	uint16_t status;
	const char *phrase;
} reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {208, "Already Reported"},
        {226, "IM Used"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {305, "Use Proxy"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {506, "Variant Also Negotiates"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {511, "Network Authentication Required"},
        {100, "Continue"},
        {101, "Switching Protocols"},
        {102, "Processing"},
        {103, "Early Hints"},
};

const char *http1_reason(unsigned status)
{
	for (size_t i = 0; i < HG_COUNT(reasons); i++) {
		if (reasons[i].status == status) return reasons[i].phrase;
	}
	return "Unknown";
}
