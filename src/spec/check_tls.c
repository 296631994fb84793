/* Certificates: from files, or by ACME for names that an authority can look up. */
#include "spec/spec_priv.h"

struct checking {
	const struct spec *s;
	struct spec_report *r;
};

static const struct spec_node *below(const struct spec_node *n, const char *key)
{
	const struct spec_node *c = n ? spec_node_get(n, key) : NULL;
	return c ? c : n;
}

static const struct spec_node *item(const struct spec_node *list, uint32_t at)
{
	const struct spec_node *c = list && list->kind == SPEC_N_LIST ? list->first : NULL;
	while (c && at--)
		c = c->next;
	return c ? c : list;
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

/* The same, at the key and not at the value. */
static struct hg_err *fail_key(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	bool key = at && at->key_line;
	return spec_report_error(c->r, rc, key ? at->key_line : 0, key ? at->key_column : 0);
}

/* A name that an authority outside could look up; `star`: with a wildcard. */
bool spec_name_public(struct hg_str name, bool star)
{
	if (star && hg_str_starts(name, HG_STR("*.")))
		name = (struct hg_str){name.p + 2, name.n - 2};
	bool letter = false, dot = false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool good =
		        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
		if (!good) return false;
		letter = letter || (c >= 'a' && c <= 'z');
		dot = dot || (c == '.' && i > 0 && i + 1 < name.n);
	}
	return letter && dot && name.n <= 253;
}

static void check_acme_domains(struct checking *c, const struct spec_acme *a)
{
	const struct spec_node *at =
	        below(below(below(below(c->s->origin->tree, "edge"), "tls"), "acme"), "domains");
	for (uint32_t i = 0; i < a->domain_count; i++) {
		struct hg_str rest = a->domains[i];
		uint32_t n = 0;
		while (rest.n) {
			struct hg_str name = hg_str_cut(&rest, ' ');
			if (!name.n) continue;
			n++;
			bool star = a->challenge == SPEC_ACME_CHALLENGE_DNS_01;
			if (spec_name_public(name, star)) continue;
			struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, item(at, i));
			spec_err_say(e,
			        "\"%.*s\" is not a name that a certificate can be obtained for",
			        HG_STR_ARG(name));
			if (hg_str_starts(name, HG_STR("*.")))
				hg_err_hint(e, "wildcards need `challenge: dns-01`");
			else
				hg_err_hint(e, "whole names in lower case, e.g. www.example.com");
		}
		if (n == 0 || n > 16)
			spec_err_say(fail(c, HG_E_CONFIG_VALUE, item(at, i)),
			        "a certificate has 1 to 16 names, not %u", n);
	}
}

static void check_acme(struct checking *c)
{
	const struct spec_acme *a = &c->s->edge.tls.acme;
	const struct spec_node *at = below(below(below(c->s->origin->tree, "edge"), "tls"), "acme");
	if (!a->set) return;
	if (a->directory_count > 4)
		spec_err_say(fail(c, HG_E_CONFIG_VALUE, below(at, "directory")),
		        "there are at most 4 directories, not %u", a->directory_count);
	for (uint32_t i = 0; i <= a->directory_count; i++) {
		bool last = i == a->directory_count;
		struct hg_str url = last ? a->staging : a->directory[i];
		if ((last && !url.n) || (hg_str_starts(url, HG_STR("https://")) && url.n < 512))
			continue;
		struct hg_err *e = fail(
		        c, HG_E_CONFIG_VALUE, last ? below(at, "staging") : below(at, "directory"));
		spec_err_say(e, "a directory is an address that begins with https://");
	}
	if (a->challenge == SPEC_ACME_CHALLENGE_DNS_01 && !a->dns_hook.n) {
		struct hg_err *e = fail_key(c, HG_E_CONFIG_MISSING, below(at, "challenge"));
		spec_err_say(e, "dns-01 needs a command that sets the record");
		hg_err_hint(e, "add `dns_hook: ./dns-hook`");
	}
	if (hg_str_find(a->email, '@') >= a->email.n && a->email.n)
		spec_err_say(fail(c, HG_E_CONFIG_VALUE, below(at, "email")),
		        "\"%.*s\" is no mail address", HG_STR_ARG(a->email));
	check_acme_domains(c, a);
}

/* HTTPS needs certificates, certificates need HTTPS. */
void spec_check_tls(const struct spec *s, struct spec_report *report)
{
	struct checking all = {s, report}, *c = &all;
	const struct spec_node *edge = below(s->origin->tree, "edge");
	bool any = s->edge.tls.certificate_count > 0 || s->edge.tls.acme.set;
	check_acme(c);
	if (s->edge.listen.https.set && !any) {
		struct hg_err *e =
		        fail_key(c, HG_E_CONFIG_MISSING, below(below(edge, "listen"), "https"));
		spec_err_say(e, "edge.listen.https is set, but there is no certificate");
		hg_err_hint(e, "add `edge.tls: {acme: YOU@EXAMPLE.COM}`, or "
		               "`edge.tls: {certificates: [{cert: x.pem, key: x.key}]}`");
	} else if (!s->edge.listen.https.set && any) {
		const struct spec_node *at = below(edge, "tls");
		struct hg_err *e =
		        spec_report_warning(report, at ? at->key_line : 0, at ? at->key_column : 0);
		spec_err_say(e, "edge.tls has no effect: edge.listen.https is not set");
		hg_err_hint(e, "add `edge.listen: {https: 443}`");
	}
}
