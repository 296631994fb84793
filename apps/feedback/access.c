#include "apps/feedback/access_priv.h"

static const char *const permission_name[ACCESS_PERMISSION_COUNT] = {
#define X(id, name) [ACCESS_##id] = name,
        ACCESS_PERMISSIONS(X)
#undef X
};

#define READ  ACCESS_BIT(ACCESS_FEEDBACK_READ)
#define WRITE (ACCESS_BIT(ACCESS_FEEDBACK_CREATE) | ACCESS_BIT(ACCESS_FEEDBACK_VOTE))
#define OWN   (ACCESS_BIT(ACCESS_FEEDBACK_UPDATE_OWN) | ACCESS_BIT(ACCESS_FEEDBACK_DELETE_OWN))
#define ANY   (ACCESS_BIT(ACCESS_FEEDBACK_UPDATE) | ACCESS_BIT(ACCESS_FEEDBACK_DELETE))

static const struct role {
	const char *name;
	uint64_t permissions;
} roles[ACCESS_ROLES] = {
        [ACCESS_GUEST] = {"guest", READ},
        [ACCESS_USER] = {"user", READ | WRITE | OWN},
        [ACCESS_ADMIN] = {"admin", ACCESS_ALL},
};

static const char *const mode_name[] = {
        [ACCESS_OFF] = "off", [ACCESS_OPTIONAL] = "optional", [ACCESS_REQUIRED] = "required"};

const char *access_permission_name(enum access_permission p)
{
	return permission_name[p];
}

static bool permission_parse(struct hg_str name, uint64_t *bits)
{
	for (size_t i = 0; i < ACCESS_PERMISSION_COUNT; i++) {
		if (!hg_str_eq(name, hg_str(permission_name[i]))) continue;
		*bits |= ACCESS_BIT(i);
		return true;
	}
	return false;
}

bool access_permissions_parse(struct hg_str list, uint64_t *ret_bits)
{
	uint64_t bits = 0;
	size_t from = 0;
	for (size_t i = 0; i <= list.n; i++) {
		if (i < list.n && list.p[i] != ' ' && list.p[i] != ',') continue;
		if (i > from && !permission_parse((struct hg_str){list.p + from, i - from}, &bits))
			return false;
		from = i + 1;
	}
	*ret_bits = bits;
	return true;
}

const char *access_role_name(enum access_role r)
{
	return roles[r].name;
}

bool access_role_parse(struct hg_str name, enum access_role *ret_role)
{
	for (size_t i = 0; i < ACCESS_ROLES; i++) {
		if (!hg_str_eq(name, hg_str(roles[i].name))) continue;
		*ret_role = (enum access_role)i;
		return true;
	}
	return false;
}

uint64_t access_role_permissions(enum access_role r)
{
	return roles[r].permissions;
}

struct access_who access_nobody(enum access_mode mode)
{
	struct access_who who = {.role = ACCESS_GUEST};
	switch (mode) {
	case ACCESS_OFF: who.permissions = READ | WRITE | OWN | ANY; break;
	case ACCESS_OPTIONAL: who.permissions = roles[ACCESS_GUEST].permissions; break;
	case ACCESS_REQUIRED: break;
	}
	return who;
}

struct access_who access_operator(void)
{
	return (struct access_who){.by = ACCESS_BY_OPERATOR,
	        .role = ACCESS_ADMIN,
	        .permissions = ACCESS_ALL,
	        .name = "operator"};
}

bool access_mode_parse(struct hg_str name, enum access_mode *ret_mode)
{
	for (size_t i = 0; i < HG_COUNT(mode_name); i++) {
		if (!hg_str_eq_nocase(name, hg_str(mode_name[i]))) continue;
		*ret_mode = (enum access_mode)i;
		return true;
	}
	return false;
}

const char *access_mode_name(enum access_mode m)
{
	return mode_name[m];
}

bool access_cookie(struct hg_str field, const char *name, struct hg_str *ret_value)
{
	while (field.n) {
		struct hg_str value = hg_str_trim(hg_str_cut(&field, ';'));
		if (!hg_str_eq(hg_str_cut(&value, '='), hg_str(name))) continue;
		*ret_value = value;
		return true;
	}
	return false;
}

bool access_bearer(struct hg_str field, struct hg_str *ret_token)
{
	struct hg_str rest = hg_str_trim(field);
	if (!hg_str_eq_nocase(hg_str_cut(&rest, ' '), HG_STR("Bearer"))) return false;
	*ret_token = hg_str_trim(rest);
	return ret_token->n > 0;
}

static bool is_safe(enum http1_method m)
{
	return m == HTTP1_GET || m == HTTP1_HEAD || m == HTTP1_OPTIONS;
}

/* "https://example.org:8443" → "example.org:8443"; "null" and the like: empty. */
static struct hg_str authority_of(struct hg_str origin)
{
	struct hg_str sep = HG_STR("://");
	for (size_t i = 0; i + sep.n <= origin.n; i++)
		if (memcmp(origin.p + i, sep.p, sep.n) == 0)
			return (struct hg_str){origin.p + i + sep.n, origin.n - i - sep.n};
	return HG_STR("");
}

/* A port that the scheme means anyway does not count. */
static struct hg_str without_port(struct hg_str authority, struct hg_str port)
{
	if (hg_str_ends(authority, port)) authority.n -= port.n;
	return authority;
}

static bool same_host(struct hg_str origin, struct hg_str host)
{
	bool https = hg_str_starts(origin, HG_STR("https://"));
	struct hg_str port = https ? HG_STR(":443") : HG_STR(":80");
	struct hg_str a = without_port(authority_of(origin), port), b = without_port(host, port);
	return a.n && hg_str_eq_nocase(a, b);
}

const char *access_forged(const struct access_origin *o)
{
	if (is_safe(o->method)) return NULL;
	if (o->fetch_site.n) {
		/* "none": the user typed it; "same-site" is another host, which may be another's */
		bool ours = hg_str_eq(o->fetch_site, HG_STR("same-origin")) ||
		            hg_str_eq(o->fetch_site, HG_STR("none"));
		return ours ? NULL : "the request comes from another site";
	}
	if (o->origin.n && !same_host(o->origin, o->host))
		return "the request comes from another origin";
	return NULL;
}

bool access_is_loopback(struct hg_str authority)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
	for (size_t i = 0; i < HG_COUNT(hosts); i++) {
		struct hg_str host = hg_str(hosts[i]);
		uint64_t port = 0;
		if (authority.n < host.n ||
		        !hg_str_eq_nocase((struct hg_str){authority.p, host.n}, host))
			continue;
		struct hg_str rest = {authority.p + host.n, authority.n - host.n};
		if (!rest.n) return true;
		/* "localhost:x@evil" is another's. */
		return rest.p[0] == ':' &&
		       hg_str_u64((struct hg_str){rest.p + 1, rest.n - 1}, &port);
	}
	return false;
}
