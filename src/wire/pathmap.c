#include "wire/pathmap.h"

bool pathmap_fits(struct hg_str path, struct hg_str prefix)
{
	return hg_str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* How many bytes at `i` may be a border of segments for somebody; 0: none. */
static size_t border(struct hg_str s, size_t i)
{
	if (s.p[i] == '/' || s.p[i] == '\\') return 1;
	if (s.p[i] != '%' || s.n - i < 3) return 0;
	char hi = s.p[i + 1], lo = (char)(s.p[i + 2] | 0x20);
	return (hi == '2' && lo == 'f') || (hi == '5' && lo == 'c') ? 3 : 0;
}

static bool hidden_dots(struct hg_str s)
{
	size_t start = 0;
	for (size_t i = 0; i <= s.n;) {
		size_t b = i < s.n ? border(s, i) : 1;
		if (b == 0) {
			i++;
			continue;
		}
		struct hg_str part = {s.p + start, i - start};
		if (hg_str_eq(part, HG_STR("..")) || hg_str_eq(part, HG_STR("."))) return true;
		i += b;
		start = i;
	}
	return false;
}

const char *pathmap_check(struct hg_str path, struct hg_str from, struct hg_str to)
{
	if (path.n == 0 || path.p[0] != '/') return NULL; /* "*" */
	bool fits = pathmap_fits(path, from);
	struct hg_str rest = fits ? (struct hg_str){path.p + from.n, path.n - from.n} : path;
	if ((!fits || to.n == 0) && hg_str_starts(rest, HG_STR("//")))
		return "the path would begin with an empty segment";
	if (hidden_dots(path)) return "the path has a dot segment between encoded slashes";
	return NULL;
}

void pathmap_put(struct hg_str path, struct hg_str from, struct hg_str to, struct hg_out *o)
{
	size_t before = o->n;
	if (path.n == 0 || path.p[0] != '/' || !pathmap_fits(path, from)) {
		hg_out_str(o, path);
		return;
	}
	hg_out_str(o, to);
	hg_out_str(o, (struct hg_str){path.p + from.n, path.n - from.n});
	if (o->n == before) hg_out_byte(o, '/');
}

bool pathmap_back(
        struct hg_str place, struct hg_str from, struct hg_str to, bool cookie, struct hg_out *o)
{
	size_t n = 0, before = o->n;
	while (n < place.n && place.p[n] != '?' && place.p[n] != '#')
		n++;
	struct hg_str path = {place.p, n};
	if (n == 0 || path.p[0] != '/' || hg_str_starts(path, HG_STR("//"))) return false;
	if (!pathmap_fits(path, to)) return false;
	if (to.n == 0 && from.n && pathmap_fits(path, from)) return false;
	struct hg_str rest = {path.p + to.n, path.n - to.n};
	hg_out_str(o, from);
	if (!(cookie && rest.n == 1 && from.n)) hg_out_str(o, rest);
	if (o->n == before) hg_out_byte(o, '/');
	hg_out_str(o, (struct hg_str){place.p + n, place.n - n});
	return true;
}
