#include <stdlib.h>

#include "data/edge/edge_priv.h"

/*
 * Two hash tables made once per image: host → number, and (host number, path prefix) → route.
 * A lookup probes the host (then its wildcards, then any) and, for each, every segment border of
 * the path up to the longest prefix that host has. Its cost depends on the request, never on how
 * many routes there are.
 */

#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

static uint64_t step(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * FNV_PRIME;
}

static uint64_t finish(uint64_t h)
{
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15u >> 17;
}

static uint64_t path_start(uint32_t host)
{
	return (FNV_START ^ host) * FNV_PRIME;
}

static uint32_t mask_for(uint32_t n)
{
	uint32_t size = 4;
	while (size < 2 * n)
		size *= 2;
	return size - 1;
}

static struct edge_host *host_slot(const struct edge_index *x, struct hg_str name)
{
	uint32_t at = (uint32_t)finish(hg_str_hash(name)) & x->host_mask;
	while (x->hosts[at].name.p && !hg_str_eq(x->hosts[at].name, name))
		at = (at + 1) & x->host_mask;
	return &x->hosts[at];
}

/* "*.x" is kept as ".x"; "" keeps no slot. */
static struct hg_str host_key(struct hg_str host)
{
	if (host.n && host.p[0] == '*') return (struct hg_str){host.p + 1, host.n - 1};
	return host;
}

static uint32_t host_add(struct edge_index *x, struct hg_str host, uint32_t path_n)
{
	struct hg_str key = host_key(host);
	if (key.n == 0) {
		if (!x->any) x->any = ++x->host_count;
		x->any_path_max = HG_MAX(x->any_path_max, path_n);
		return x->any - 1;
	}
	if (key.p[0] == '.') x->wildcards = true;
	struct edge_host *h = host_slot(x, key);
	if (!h->name.p) *h = (struct edge_host){.name = key, .id = x->host_count++};
	h->path_max = HG_MAX(h->path_max, path_n);
	return h->id;
}

/* "/" is the empty prefix: it ends at every border. */
static struct hg_str prefix_of(struct hg_str path)
{
	return path.n == 1 ? (struct hg_str){path.p, 0} : path;
}

static void path_add(struct edge_index *x, const struct snap_image *im, uint32_t number)
{
	struct hg_str p = prefix_of(snap_str(im, snap_routes(im)[number].path));
	uint64_t h = path_start(x->route_host[number]);
	for (size_t i = 0; i < p.n; i++)
		h = step(h, p.p[i]);
	uint32_t at = (uint32_t)finish(h) & x->path_mask;
	while (x->paths[at])
		at = (at + 1) & x->path_mask;
	x->paths[at] = number + 1;
}

enum hg_rc edge_index_build(const struct snap_image *im, struct edge_index *ret_index)
{
	uint32_t n = im->route_count;
	struct edge_index x = {.host_mask = mask_for(n), .path_mask = mask_for(n)};
	x.hosts = calloc(x.host_mask + 1, sizeof *x.hosts);
	x.paths = calloc(x.path_mask + 1, sizeof *x.paths);
	x.route_host = calloc(n + 1, sizeof *x.route_host);
	if (!x.hosts || !x.paths || !x.route_host) {
		edge_index_fini(&x);
		return HG_E_NOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_route *r = &snap_routes(im)[i];
		x.route_host[i] = host_add(&x, snap_str(im, r->host), r->path.n);
		path_add(&x, im, i);
	}
	*ret_index = x;
	return HG_OK;
}

void edge_index_fini(struct edge_index *x)
{
	free(x->hosts);
	free(x->paths);
	free(x->route_host);
	*x = (struct edge_index){0};
}

static const struct snap_route *probe(const struct snap_image *im, const struct edge_index *x,
        uint32_t host, uint64_t hash, struct hg_str prefix)
{
	uint32_t at = (uint32_t)finish(hash) & x->path_mask;
	for (; x->paths[at]; at = (at + 1) & x->path_mask) {
		uint32_t number = x->paths[at] - 1;
		const struct snap_route *r = &snap_routes(im)[number];
		if (x->route_host[number] == host &&
		        hg_str_eq(prefix_of(snap_str(im, r->path)), prefix))
			return r;
	}
	return NULL;
}

/* The longest prefix of `path` that this host has a route for. */
static const struct snap_route *match_path(const struct snap_image *im, const struct edge_index *x,
        uint32_t host, uint32_t path_max, struct hg_str path)
{
	uint64_t h = path_start(host);
	const struct snap_route *best = probe(im, x, host, h, (struct hg_str){path.p, 0});
	size_t end = HG_MIN(path.n, (size_t)path_max);
	for (size_t i = 0; i < end; i++) {
		h = step(h, path.p[i]);
		if (i + 1 < path.n && path.p[i + 1] != '/') continue;
		const struct snap_route *r = probe(im, x, host, h, (struct hg_str){path.p, i + 1});
		if (r) best = r;
	}
	return best;
}

uint32_t edge_host_number(const struct edge_index *x, struct hg_str name)
{
	const struct edge_host *h = name.n ? host_slot(x, name) : NULL;
	return h && h->name.p ? h->id : UINT32_MAX;
}

const struct snap_route *edge_route(const struct snap_image *im, const struct edge_index *x,
        struct hg_str host, struct hg_str path)
{
	const struct snap_route *r = NULL;
	const struct edge_host *h = host.n && host.p[0] != '.' ? host_slot(x, host) : NULL;
	if (h && h->name.p) r = match_path(im, x, h->id, h->path_max, path);
	for (size_t i = 1; x->wildcards && !r && i < host.n; i++) {
		if (host.p[i] != '.') continue;
		h = host_slot(x, (struct hg_str){host.p + i, host.n - i});
		if (h->name.p) r = match_path(im, x, h->id, h->path_max, path);
	}
	if (!r && x->any) r = match_path(im, x, x->any - 1, x->any_path_max, path);
	return r;
}

/* Names of hosts and IPv4 addresses in lower case; 0: more has to be known. */
static const char host_byte[256] = {
        ['-'] = '-',
        ['.'] = '.',
        ['0'] = '0',
        '1',
        '2',
        '3',
        '4',
        '5',
        '6',
        '7',
        '8',
        '9',
        ['A'] = 'a',
        'b',
        'c',
        'd',
        'e',
        'f',
        'g',
        'h',
        'i',
        'j',
        'k',
        'l',
        'm',
        ['N'] = 'n',
        'o',
        'p',
        'q',
        'r',
        's',
        't',
        'u',
        'v',
        'w',
        'x',
        'y',
        'z',
        ['a'] = 'a',
        'b',
        'c',
        'd',
        'e',
        'f',
        'g',
        'h',
        'i',
        'j',
        'k',
        'l',
        'm',
        ['n'] = 'n',
        'o',
        'p',
        'q',
        'r',
        's',
        't',
        'u',
        'v',
        'w',
        'x',
        'y',
        'z',
};

bool edge_host_normal(struct hg_str a, char *to, size_t cap, struct hg_str *ret_host)
{
	size_t n = 0, easy = HG_MIN(a.n, cap);
	bool bracket = false;
	for (char c; n < easy && (c = host_byte[(unsigned char)a.p[n]]); n++)
		to[n] = c;
	for (; n < a.n; n++) {
		char c = a.p[n];
		if (c == '[') bracket = true;
		if (c == ']') bracket = false;
		if (c == ':' && !bracket) break;
		if (n == cap) return false;
		to[n] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
	}
	if (n && to[n - 1] == '.') n--;
	*ret_host = (struct hg_str){to, n};
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	if (c >= 'A' && c <= 'F') return c - 'A' + 10;
	return -1;
}

static bool unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static size_t decode(struct hg_str p, char *to)
{
	size_t n = 0;
	for (size_t i = 0; i < p.n; i++) {
		int hi = p.p[i] == '%' && i + 2 < p.n ? hex(p.p[i + 1]) : -1;
		int lo = hi < 0 ? -1 : hex(p.p[i + 2]);
		if (lo >= 0 && unreserved(hi * 16 + lo)) {
			to[n++] = (char)(hi * 16 + lo);
			i += 2;
		} else {
			to[n++] = p.p[i];
		}
	}
	return n;
}

/* RFC 3986 section 5.2.4, in place; the path begins with "/". */
static size_t remove_dots(char *p, size_t n)
{
	size_t out = 0;
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && p[end] != '/')
			end++;
		size_t len = end - i - 1;
		bool last = end == n;
		if (len == 1 && p[i + 1] == '.') {
			if (last) p[out++] = '/';
		} else if (len == 2 && p[i + 1] == '.' && p[i + 2] == '.') {
			while (out > 0 && p[--out] != '/') {
			}
			if (last) p[out++] = '/';
		} else {
			memmove(p + out, p + i, end - i);
			out += end - i;
		}
		i = end;
	}
	return out;
}

struct hg_str edge_path_normal(struct hg_str path, char *to)
{
	if (path.n == 0 || path.p[0] != '/') return path;
	if (!memchr(path.p, '%', path.n) && !memmem(path.p, path.n, "/.", 2)) return path;
	size_t n = remove_dots(to, decode(path, to));
	return (struct hg_str){to, n};
}
