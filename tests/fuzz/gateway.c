/* Lines: a prefix, what stands in its place, a path; a rule about origins, an origin; a value with
 * variables. What is promised of them holds whatever they are. */
#include "fuzz.h"

#include <stdlib.h>

#include "data/edge/edge_priv.h"
#include "wire/fieldvars.h"
#include "wire/pathmap.h"

static void must(bool good)
{
	if (!good) abort();
}

static struct hg_str prefix(struct hg_str s)
{
	if (s.n == 0 || s.p[0] != '/') return (struct hg_str){NULL, 0};
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

static void paths(struct hg_str from, struct hg_str to, struct hg_str asked)
{
	char *normal = malloc(asked.n + 1), *seen = malloc(from.n + to.n + asked.n + 2);
	char *back = malloc(2 * (from.n + to.n + asked.n) + 4);
	must(normal && seen && back);
	struct hg_str path = edge_path_normal(asked, normal);
	bool rooted = path.n && path.p[0] == '/';
	struct hg_out o = hg_out_over(seen, from.n + to.n + asked.n + 2);
	const char *why = pathmap_check(path, from, to);
	pathmap_put(path, from, to, &o);
	must(!hg_out_failed(&o));
	if (!why && rooted) {
		must(o.n && seen[0] == '/');
		/* A prefix of the configuration's own may be odd; what the client says must not be.
		 */
		if (!(to.n > 1 && to.p[1] == '/')) must(!(o.n > 1 && seen[1] == '/'));
		must(!memmem(path.p, path.n, "/../", 4));
	}
	struct hg_out b = hg_out_over(back, 2 * (from.n + to.n + asked.n) + 4);
	bool done = pathmap_back((struct hg_str){seen, o.n}, from, to, false, &b);
	must(!hg_out_failed(&b) && done == (b.n > 0));
	if (!why && rooted && done && to.n && pathmap_fits(path, from) &&
	        !memchr(path.p, '?', path.n) && !memchr(path.p, '#', path.n) &&
	        !memchr(to.p, '?', to.n) && !memchr(to.p, '#', to.n))
		must(hg_str_eq(path, (struct hg_str){back, b.n}) || path.n == 0);
	free(normal);
	free(seen);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hg_str rest = {(const char *)data, HG_MIN(size, (size_t)4096)};
	struct hg_str from = prefix(hg_str_cut(&rest, '\n')), to = prefix(hg_str_cut(&rest, '\n'));
	paths(from, to, hg_str_cut(&rest, '\n'));
	struct hg_str rule = hg_str_cut(&rest, '\n'), origin = hg_str_cut(&rest, '\n');
	if (!origin_rule_check(rule) && origin_allowed(rule, origin)) {
		/* Whatever a rule allows is an origin itself, and of the same scheme. */
		must(!origin_rule_check(origin) && hg_str_find(origin, '*') == origin.n);
		must(hg_str_find(origin, ':') == hg_str_find(rule, ':'));
	}
	char to_text[8192];
	struct hg_out o = hg_out_over(to_text, sizeof to_text);
	unsigned side = size % 2 ? FIELDVARS_REQUEST : FIELDVARS_RESPONSE;
	if (!fieldvars_compile(rest, side, &o)) {
		must(!hg_out_failed(&o) && !memchr(to_text, '\r', o.n) &&
		        !memchr(to_text, '\n', o.n));
		struct hg_str left = {to_text, o.n}, text;
		enum fieldvar v;
		size_t n = 0;
		while (fieldvars_next(&left, &text, &v))
			n += text.n;
		must(n == o.n);
	}
	return 0;
}
