#include "auth/rules.h"

#include "auth/identity_priv.h"

static void words_put(struct hg_out *o, struct auth_words w)
{
	if (w.n == 0) hg_out_byte(o, '-');
	auth_words_write(o, w, ',');
}

void auth_rule_write(struct hg_out *o, const struct auth_rule *r)
{
	hg_out_fmt(o, "%x %d ", r->methods, (int)r->require);
	words_put(o, r->roles);
	hg_out_byte(o, ' ');
	words_put(o, r->scopes);
	if (r->issuers.n) hg_out_byte(o, ' ');
	auth_words_write(o, r->issuers, ',');
	hg_out_byte(o, '\n');
}

static bool hex_u32(struct hg_str s, uint32_t *ret_v)
{
	uint32_t v = 0;
	if (s.n == 0 || s.n > 8) return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret_v = v;
	return true;
}

/* "-" stands for none; nothing at all is no list. */
static bool list_of(struct hg_str s, struct hg_str *ret_list)
{
	if (s.n == 0) return false;
	*ret_list = hg_str_eq(s, HG_STR("-")) ? (struct hg_str){NULL, 0} : s;
	return true;
}

static bool line_read(struct hg_str line, uint32_t *ret_methods, struct auth_found *ret)
{
	struct hg_str methods = hg_str_cut(&line, ' '), require = hg_str_cut(&line, ' ');
	struct hg_str roles = hg_str_cut(&line, ' ');
	bool more = hg_str_find(line, ' ') < line.n;
	struct hg_str scopes = hg_str_cut(&line, ' ');
	if (!hex_u32(methods, ret_methods) || require.n != 1 || require.p[0] < '0' ||
	        require.p[0] > '2')
		return false;
	ret->require = (enum auth_require)(require.p[0] - '0');
	ret->issuers = line;
	if (more && (line.n == 0 || hg_str_eq(line, HG_STR("-")))) return false;
	return list_of(roles, &ret->roles) && list_of(scopes, &ret->scopes) &&
	       hg_str_find(line, ' ') == line.n;
}

bool auth_rules_valid(struct hg_str rules)
{
	struct auth_found found;
	uint32_t methods;
	if (rules.n > AUTH_RULES_TEXT || (rules.n && rules.p[rules.n - 1] != '\n')) return false;
	while (rules.n)
		if (!line_read(hg_str_cut(&rules, '\n'), &methods, &found)) return false;
	return true;
}

bool auth_rules_find(struct hg_str rules, uint32_t bit, struct auth_found *ret_found)
{
	uint32_t methods;
	while (rules.n) {
		if (!line_read(hg_str_cut(&rules, '\n'), &methods, ret_found)) return false;
		if (methods & bit) return true;
	}
	return false;
}

static bool one_role(const struct auth_identity *id, struct hg_str roles)
{
	while (roles.n)
		if (auth_identity_role(id, hg_str_cut(&roles, ','))) return true;
	return false;
}

static bool all_scopes(const struct auth_identity *id, struct hg_str scopes)
{
	while (scopes.n)
		if (!auth_identity_scope(id, hg_str_cut(&scopes, ','))) return false;
	return true;
}

enum auth_access auth_decide(const struct auth_found *rule, const struct auth_identity *id)
{
	if (rule->require == AUTH_OFF) return AUTH_PASS;
	if (!id) {
		bool needs = rule->require == AUTH_REQUIRED || rule->roles.n || rule->scopes.n ||
		             rule->issuers.n;
		return needs ? AUTH_WHO : AUTH_PASS;
	}
	if (rule->issuers.n && !auth_identity_issuer(id, rule->issuers)) return AUTH_ISSUER;
	if (rule->roles.n && !one_role(id, rule->roles)) return AUTH_ROLE;
	return all_scopes(id, rule->scopes) ? AUTH_PASS : AUTH_SCOPE;
}
