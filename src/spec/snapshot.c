#include "spec/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MAX (64u << 20)
#define TEXT_MAX  1024 /* one host, path or label */
#define RULES_MAX 8192 /* who may use a route */
#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
#define READ_MAX  1000

static uint32_t mix(uint32_t h, size_t v)
{
	for (int i = 0; i < 4; i++)
		h = (h ^ ((uint32_t)(v >> (8 * i)) & 255)) * 16777619u;
	return h;
}

static uint32_t image_layout(void)
{
	uint32_t h = 2166136261u;
	h = mix(h, sizeof(struct snap_image));
	h = mix(h, sizeof(struct snap_app));
	h = mix(h, sizeof(struct snap_route));
	h = mix(h, sizeof(struct snap_lane));
	h = mix(h, sizeof(struct snap_ca));
	h = mix(h, sizeof(struct snap_limit));
	h = mix(h, sizeof(struct snap_page));
	h = mix(h, sizeof(struct snap_gateway));
	h = mix(h, offsetof(struct snap_image, gateway_count));
	h = mix(h, sizeof(struct ip_step));
	h = mix(h, offsetof(struct snap_image, access_other));
	h = mix(h, offsetof(struct snap_app, body_max));
	h = mix(h, offsetof(struct snap_app, reserved));
	h = mix(h, offsetof(struct snap_app, analytics));
	h = mix(h, offsetof(struct snap_app, balance));
	h = mix(h, offsetof(struct snap_route, preview));
	h = mix(h, offsetof(struct snap_route, affinity));
	h = mix(h, offsetof(struct snap_route, rules));
	return mix(h, offsetof(struct snap_image, via));
}

static uint32_t table_layout(void)
{
	uint32_t h = 2166136261u;
	h = mix(h, sizeof(struct snap_table));
	h = mix(h, sizeof(struct snap_slot));
	h = mix(h, offsetof(struct snap_endpoint, weight));
	h = mix(h, sizeof(struct snap_trial));
	h = mix(h, offsetof(struct snap_trial, lens));
	h = mix(h, offsetof(struct snap_trial, match));
	h = mix(h, offsetof(struct snap_trial, ignore));
	return mix(h, offsetof(struct snap_endpoint, path));
}

/* ---- building ---- */

/* 0: exact, 1: "*.x", 2: any. */
static int host_rank(struct hg_str host)
{
	if (host.n == 0 || hg_str_eq(host, HG_STR("*"))) return 2;
	return host.p[0] == '*' ? 1 : 0;
}

static int str_cmp(struct hg_str a, struct hg_str b)
{
	size_t n = HG_MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* "/a/" and "/a" are the same prefix, as in Kubernetes' Ingress (pathType Prefix). */
static struct hg_str path_of(struct hg_str path)
{
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

static struct hg_str host_of(struct hg_str host)
{
	return hg_str_eq(host, HG_STR("*")) ? HG_STR("") : host;
}

static struct hg_str version_of(const struct snap_in_route *r, enum snap_gateway_text which)
{
	return r->gateway && r->gateway->text[SNAP_GW_VERSION_FIELD].n ? r->gateway->text[which]
	                                                               : HG_STR("");
}

/* Best match first. */
static int route_cmp(const void *va, const void *vb)
{
	const struct snap_in_route *a = *(const struct snap_in_route *const *)va;
	const struct snap_in_route *b = *(const struct snap_in_route *const *)vb;
	struct hg_str ha = host_of(a->host), hb = host_of(b->host);
	struct hg_str pa = path_of(a->path), pb = path_of(b->path);
	if (host_rank(ha) != host_rank(hb)) return host_rank(ha) - host_rank(hb);
	if (ha.n != hb.n) return ha.n > hb.n ? -1 : 1;
	int c = str_cmp(ha, hb);
	if (c) return c;
	if (pa.n != pb.n) return pa.n > pb.n ? -1 : 1;
	c = str_cmp(pa, pb);
	if (c == 0)
		c = str_cmp(
		        version_of(a, SNAP_GW_VERSION_FIELD), version_of(b, SNAP_GW_VERSION_FIELD));
	return c ? c : str_cmp(version_of(a, SNAP_GW_VERSION), version_of(b, SNAP_GW_VERSION));
}

/* Do they differ in the version alone? */
static bool same_place(const struct snap_in_route *a, const struct snap_in_route *b)
{
	return hg_str_eq(host_of(a->host), host_of(b->host)) &&
	       hg_str_eq(path_of(a->path), path_of(b->path));
}

static bool host_valid(struct hg_str h)
{
	if (h.n > 255) return false;
	if (host_rank(h) == 2) return true;
	if (h.p[0] == '*') {
		if (h.n < 3 || h.p[1] != '.') return false;
		h = (struct hg_str){h.p + 2, h.n - 2};
	}
	for (size_t i = 0; i < h.n; i++) {
		char c = h.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
		          c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
		if (!ok) return false;
	}
	return true;
}

static bool path_valid(struct hg_str p)
{
	if (p.n == 0 || p.n > TEXT_MAX || p.p[0] != '/') return false;
	for (size_t i = 0; i < p.n; i++) {
		if (p.p[i] <= ' ' || p.p[i] == 0x7f || p.p[i] == '?' || p.p[i] == '#') return false;
	}
	return true;
}

static bool gateway_valid(const struct snap_in_gateway *g)
{
	for (uint32_t k = 0; g && k < SNAP_GW_TEXTS; k++)
		if (g->text[k].n > SNAP_GATEWAY_TEXT) return false;
	return true;
}

static enum hg_rc in_check(const struct snap_in *in, struct hg_err *err)
{
	if (in->ca_count > SNAP_CAS_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE, "there are too many authorities");
	for (uint32_t i = 0; i < in->ca_count; i++) {
		if (in->cas[i].certs.n > SNAP_CA_TEXT || in->cas[i].crl.n > SNAP_CA_TEXT)
			return hg_err_set(
			        err, HG_E_TOO_LARGE, "a client authority is larger than 1 MiB");
	}
	if (in->app_count > SNAP_APPS_MAX || in->route_count > SNAP_ROUTES_MAX) {
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "could not build the snapshot: %u apps and %u routes, at most %u and %u",
		        in->app_count, in->route_count, SNAP_APPS_MAX, SNAP_ROUTES_MAX);
	}
	for (uint32_t i = 0; i < in->app_count; i++) {
		if (in->apps[i].name.n == 0 || in->apps[i].name.n > TEXT_MAX) {
			return hg_err_set(err, HG_E_INVALID, "app %u has no valid name", i);
		}
	}
	for (uint32_t i = 0; i < in->route_count; i++) {
		const struct snap_in_route *r = &in->routes[i];
		if (!host_valid(r->host) || !path_valid(r->path)) {
			return hg_err_set(err, HG_E_INVALID, "route \"%.*s%.*s\" is not valid",
			        (int)HG_MIN(r->host.n, 255), r->host.p, (int)HG_MIN(r->path.n, 255),
			        r->path.p);
		}
		if (r->app >= in->app_count || r->name.n > TEXT_MAX ||
		        r->affinity_cookie.n > TEXT_MAX || r->lane_count > SNAP_ROUTES_MAX ||
		        r->limit_count > SNAP_LIMITS || r->rules.n > RULES_MAX ||
		        !gateway_valid(r->gateway)) {
			return hg_err_set(err, HG_E_INVALID,
			        "route \"%.*s%.*s\" names app %u of %u", HG_STR_ARG(r->host),
			        HG_STR_ARG(r->path), r->app, in->app_count);
		}
	}
	return HG_OK;
}

struct sizes {
	size_t apps, routes, lanes, limits, pages, steps, cas, gateways, text, total;
	uint32_t lane_count;
};

static size_t align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static struct sizes in_sizes(const struct snap_in *in)
{
	struct sizes z = {.apps = align8(sizeof(struct snap_image))};
	size_t text = in->via.n, lanes = 0, limits = 0, pages = 0, gateways = 0;
	size_t steps = (size_t)in->trusted.count + in->exempt.count + in->access.count;
	for (uint32_t i = 0; i < in->app_count; i++) {
		const struct snap_in_app *a = &in->apps[i];
		text += a->name.n + a->message.n;
		steps += a->through.count;
		pages += a->page_count;
		for (uint32_t k = 0; k < a->page_count; k++)
			text += a->pages[k].body.n;
		for (uint32_t k = 0; k < SNAP_PROBES; k++)
			text += in->apps[i].probe[k].n;
	}
	for (uint32_t i = 0; i < in->route_count; i++) {
		const struct snap_in_route *r = &in->routes[i];
		text += r->host.n + r->path.n + r->name.n + r->policy.n + r->session.n +
		        r->affinity_cookie.n + r->rules.n;
		lanes += r->lane_count;
		limits += r->limit_count;
		steps += r->access.count;
		for (uint32_t k = 0; k < r->limit_count; k++)
			text += r->limits[k].name.n + r->limits[k].field.n;
		gateways += r->gateway != NULL;
		for (uint32_t k = 0; r->gateway && k < SNAP_GW_TEXTS; k++)
			text += r->gateway->text[k].n;
	}
	for (uint32_t i = 0; i < in->ca_count; i++)
		text += in->cas[i].certs.n + in->cas[i].crl.n;
	z.routes = align8(z.apps + in->app_count * sizeof(struct snap_app));
	z.lanes = align8(z.routes + in->route_count * sizeof(struct snap_route));
	z.limits = align8(z.lanes + lanes * sizeof(struct snap_lane));
	z.pages = align8(z.limits + limits * sizeof(struct snap_limit));
	z.steps = align8(z.pages + pages * sizeof(struct snap_page));
	z.cas = align8(z.steps + steps * sizeof(struct ip_step));
	z.gateways = align8(z.cas + in->ca_count * sizeof(struct snap_ca));
	z.text = align8(z.gateways + gateways * sizeof(struct snap_gateway));
	z.total = z.text + text;
	z.lane_count = (uint32_t)lanes;
	return z;
}

static struct snap_text put_text(struct snap_image *im, struct hg_str s)
{
	struct snap_text t = {im->text_size, (uint32_t)s.n};
	if (s.n) memcpy((char *)im + im->text_at + t.at, s.p, s.n);
	im->text_size += (uint32_t)s.n;
	return t;
}

static struct snap_set put_set(struct snap_image *im, const struct snap_in_set *in)
{
	struct snap_set set = {im->step_count, in->count};
	struct ip_step *to = (void *)((char *)im + im->step_at);
	if (in->count) memcpy(to + im->step_count, in->steps, in->count * sizeof *to);
	im->step_count += in->count;
	return set;
}

static void put_pages(struct snap_image *im, const struct snap_in_app *in, struct snap_app *to)
{
	struct snap_page *page = (void *)((char *)im + im->page_at);
	to->page_first = im->page_count;
	to->page_count = in->page_count;
	for (uint32_t k = 0; k < in->page_count; k++) {
		const struct snap_in_page *p = &in->pages[k];
		page[im->page_count++] = (struct snap_page){p->from, p->to, put_text(im, p->body)};
	}
}

static void put_limits(struct snap_image *im, const struct snap_in_route *r, struct snap_route *to)
{
	struct snap_limit *limit = (void *)((char *)im + im->limit_at);
	to->limit_first = im->limit_count;
	to->limit_count = r->limit_count;
	for (uint32_t k = 0; k < r->limit_count; k++) {
		const struct snap_in_limit *l = &r->limits[k];
		limit[im->limit_count++] = (struct snap_limit){.id = l->id,
		        .rule = l->rule,
		        .name = put_text(im, l->name),
		        .field = put_text(im, l->field),
		        .who = l->who,
		        .local = l->local};
	}
	to->policy = put_text(im, r->policy);
	to->session = put_text(im, r->session);
	to->access = put_set(im, &r->access);
	to->access_other = r->access.other;
}

static void put_gateway(
        struct snap_image *im, const struct snap_in_gateway *in, struct snap_route *to)
{
	struct snap_gateway *g = (void *)((char *)im + im->gateway_at);
	if (!in) return;
	g += im->gateway_count;
	*g = (struct snap_gateway){
	        .flags = in->flags, .redirect = in->redirect, .gone_s = in->gone_s};
	for (uint32_t k = 0; k < SNAP_GW_TEXTS; k++)
		g->text[k] = put_text(im, in->text[k]);
	to->gateway = ++im->gateway_count;
}

static void put_routes(struct snap_image *im, const struct snap_in_route **sorted, uint32_t n)
{
	struct snap_route *to = (void *)((char *)im + im->route_at);
	struct snap_lane *lane = (void *)((char *)im + im->lane_at);
	for (uint32_t i = 0; i < n; i++, to++) {
		const struct snap_in_route *r = sorted[i];
		to->host = put_text(im, host_of(r->host));
		to->path = put_text(im, path_of(r->path));
		to->name = put_text(im, r->name);
		to->app = r->app;
		to->lane_none = r->lane_none;
		to->preview = r->preview;
		to->priority = r->priority;
		to->affinity = r->affinity;
		to->affinity_s = r->affinity_s;
		to->affinity_cookie = put_text(im, r->affinity_cookie);
		to->client = r->client;
		to->cas = r->cas;
		to->rules = put_text(im, r->rules);
		put_limits(im, r, to);
		put_gateway(im, r->gateway, to);
		while (i + to->variants + 1 < n && !version_of(r, SNAP_GW_VERSION).n &&
		        same_place(r, sorted[i + to->variants + 1]))
			to->variants++;
		to->lane_first = im->lane_count;
		to->lane_count = r->lane_count;
		for (uint32_t k = 0; k < r->lane_count; k++) {
			lane[im->lane_count++] =
			        (struct snap_lane){r->lanes[k].release, r->lanes[k].lane};
		}
	}
}

static void image_fill(struct snap_image *im, const struct snap_in *in, const struct sizes *z,
        const struct snap_in_route **sorted)
{
	*im = in->edge;
	im->magic = SNAP_MAGIC;
	im->layout = image_layout();
	im->size = (uint32_t)z->total;
	im->generation = in->generation;
	im->app_count = in->app_count;
	im->app_at = (uint32_t)z->apps;
	im->route_count = in->route_count;
	im->route_at = (uint32_t)z->routes;
	im->lane_count = 0;
	im->lane_at = (uint32_t)z->lanes;
	im->text_at = (uint32_t)z->text;
	im->text_size = 0;
	im->limit_count = im->step_count = im->page_count = 0;
	im->page_at = (uint32_t)z->pages;
	im->limit_at = (uint32_t)z->limits;
	im->step_at = (uint32_t)z->steps;
	im->gateway_count = 0;
	im->gateway_at = (uint32_t)z->gateways;
	im->via = put_text(im, in->via);
	im->ca_at = (uint32_t)z->cas;
	im->ca_count = in->ca_count;
	struct snap_ca *ca = (void *)((char *)im + im->ca_at);
	for (uint32_t i = 0; i < in->ca_count; i++) {
		ca[i].certs = put_text(im, in->cas[i].certs);
		ca[i].crl = put_text(im, in->cas[i].crl);
	}
	struct snap_app *app = (void *)((char *)im + im->app_at);
	for (uint32_t i = 0; i < in->app_count; i++) {
		app[i] = in->apps[i].fixed;
		app[i].name = put_text(im, in->apps[i].name);
		for (uint32_t k = 0; k < SNAP_PROBES; k++)
			app[i].probe[k] = put_text(im, in->apps[i].probe[k]);
		put_pages(im, &in->apps[i], &app[i]);
		app[i].maintenance_message = put_text(im, in->apps[i].message);
		app[i].maintenance_through = put_set(im, &in->apps[i].through);
	}
	im->trusted = put_set(im, &in->trusted);
	im->exempt = put_set(im, &in->exempt);
	im->access = put_set(im, &in->access);
	im->access_other = in->access.other;
	put_routes(im, sorted, in->route_count);
}

static enum hg_rc duplicates_check(
        const struct snap_in_route **sorted, uint32_t n, struct hg_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		bool follows = i && same_place(sorted[i - 1], sorted[i]);
		if (!follows && version_of(sorted[i], SNAP_GW_VERSION_FIELD).n)
			return hg_err_set(err, HG_E_INVALID,
			        "route \"%.*s%.*s\" is there by version alone",
			        HG_STR_ARG(sorted[i]->host), HG_STR_ARG(sorted[i]->path));
		if (!i || route_cmp(&sorted[i - 1], &sorted[i]) != 0) continue;
		return hg_err_set(err, HG_E_INVALID, "route \"%.*s%.*s\" is given twice",
		        HG_STR_ARG(sorted[i]->host), HG_STR_ARG(sorted[i]->path));
	}
	return HG_OK;
}

enum hg_rc snap_build(const struct snap_in *in, int *ret_fd, struct hg_err *err)
{
	const struct snap_in_route **sorted = NULL;
	void *map = MAP_FAILED;
	struct sizes z = {0};
	int fd = -1;
	enum hg_rc rc = in_check(in, err);
	if (rc < 0) goto out;
	z = in_sizes(in);
	if (z.total > IMAGE_MAX) {
		rc = hg_err_set(err, HG_E_TOO_LARGE, "the snapshot would have %zu bytes", z.total);
		goto out;
	}
	sorted = calloc(in->route_count + 1, sizeof *sorted);
	if (!sorted) {
		rc = hg_err_set(err, HG_E_NOMEM, "could not sort the routes: out of memory");
		goto out;
	}
	for (uint32_t i = 0; i < in->route_count; i++)
		sorted[i] = &in->routes[i];
	qsort(sorted, in->route_count, sizeof *sorted, route_cmp);
	rc = duplicates_check(sorted, in->route_count, err);
	if (rc < 0) goto out;

	rc = HG_E_IO;
	fd = memfd_create("headgate-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && ftruncate(fd, (off_t)z.total) == 0) {
		map = mmap(NULL, z.total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (map == MAP_FAILED) {
		hg_err_set(err, rc, "could not create the snapshot: %s", strerror(errno));
		goto out;
	}
	image_fill(map, in, &z, sorted);
	munmap(map, z.total);
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		hg_err_set(err, rc, "could not seal the snapshot: %s", strerror(errno));
		goto out;
	}
	*ret_fd = fd;
	fd = -1;
	rc = HG_OK;
out:
	if (fd >= 0) close(fd);
	free(sorted);
	return rc;
}

/* ---- mapping ---- */

static bool span_ok(const struct snap_image *i, uint32_t at, uint32_t count, size_t one)
{
	return at % 8 == 0 && at >= sizeof *i && at <= i->size && count <= (i->size - at) / one;
}

static bool text_ok(const struct snap_image *i, struct snap_text t, uint32_t max)
{
	return t.n <= max && t.at <= i->text_size && t.n <= i->text_size - t.at;
}

/* Whoever looks an address up trusts that the steps are sorted. */
static bool set_ok(const struct snap_image *i, struct snap_set s)
{
	const char *at = (const char *)i + i->step_at;
	if (s.first > i->step_count || s.count > i->step_count - s.first) return false;
	return ipset_valid((const struct ip_step *)(const void *)at + s.first, s.count);
}

static bool limits_ok(const struct snap_image *i, const struct snap_route *r)
{
	if (r->limit_count > SNAP_LIMITS || r->limit_first > i->limit_count ||
	        r->limit_count > i->limit_count - r->limit_first)
		return false;
	for (uint32_t k = 0; k < r->limit_count; k++) {
		const struct snap_limit *l = &snap_limits(i)[r->limit_first + k];
		if (l->rule.interval_ns == 0 || !text_ok(i, l->name, 64) ||
		        !text_ok(i, l->field, 64))
			return false;
	}
	return text_ok(i, r->policy, TEXT_MAX) && text_ok(i, r->session, 255) &&
	       set_ok(i, r->access);
}

static bool app_ok(const struct snap_image *i, const struct snap_app *a)
{
	bool ok = text_ok(i, a->name, TEXT_MAX) &&
	          memchr(a->balance.key_name, 0, sizeof a->balance.key_name) &&
	          memchr(a->tries.deadline_field, 0, sizeof a->tries.deadline_field) &&
	          a->tries.deadline <= SNAP_DEADLINE_ANY;
	for (uint32_t k = 0; k < SNAP_PROBES; k++)
		ok = ok && text_ok(i, a->probe[k], TEXT_MAX);
	ok = ok && a->page_first <= i->page_count && a->page_count <= i->page_count - a->page_first;
	for (uint32_t k = 0; ok && k < a->page_count; k++)
		ok = text_ok(i, snap_pages(i)[a->page_first + k].body, SNAP_PAGE_MAX);
	return ok && text_ok(i, a->maintenance_message, TEXT_MAX) &&
	       set_ok(i, a->maintenance_through);
}

static bool gateway_ok(const struct snap_image *i, const struct snap_gateway *g)
{
	for (uint32_t k = 0; k < SNAP_GW_TEXTS; k++)
		if (!text_ok(i, g->text[k], SNAP_GATEWAY_TEXT)) return false;
	return g->flags <= SNAP_GW_FLAGS &&
	       (!g->redirect || (g->redirect / 10 == 30 && g->text[SNAP_GW_REDIRECT_TO].n));
}

static bool route_ok(const struct snap_image *i, const struct snap_route *r)
{
	uint32_t number = (uint32_t)(r - snap_routes(i));
	if (!limits_ok(i, r) || !text_ok(i, r->rules, RULES_MAX) || r->gateway > i->gateway_count)
		return false;
	if (r->variants > i->route_count - number - 1) return false;
	for (uint32_t k = 1; k <= r->variants; k++)
		if (r[k].gateway == 0) return false;
	if (!text_ok(i, r->host, 255) || !text_ok(i, r->path, TEXT_MAX) ||
	        !text_ok(i, r->name, TEXT_MAX) || !text_ok(i, r->affinity_cookie, TEXT_MAX)) {
		return false;
	}
	struct hg_str path = snap_str(i, r->path);
	if (r->priority > 2) return false;
	return r->app < i->app_count && r->client <= SNAP_CLIENT_REQUIRED &&
	       r->lane_first <= i->lane_count && r->lane_count <= i->lane_count - r->lane_first &&
	       host_valid(snap_str(i, r->host)) && path_valid(path) && path_of(path).n == path.n;
}

static bool image_ok(const struct snap_image *i, size_t size)
{
	if (size < sizeof *i || i->magic != SNAP_MAGIC || i->layout != image_layout() ||
	        i->size != size) {
		return false;
	}
	if (i->app_count > SNAP_APPS_MAX || i->route_count > SNAP_ROUTES_MAX) return false;
	if (!span_ok(i, i->app_at, i->app_count, sizeof(struct snap_app)) ||
	        !span_ok(i, i->route_at, i->route_count, sizeof(struct snap_route)) ||
	        !span_ok(i, i->lane_at, i->lane_count, sizeof(struct snap_lane)) ||
	        !span_ok(i, i->limit_at, i->limit_count, sizeof(struct snap_limit)) ||
	        !span_ok(i, i->page_at, i->page_count, sizeof(struct snap_page)) ||
	        !span_ok(i, i->step_at, i->step_count, sizeof(struct ip_step)) ||
	        !span_ok(i, i->text_at, i->text_size, 1) || !text_ok(i, i->via, TEXT_MAX)) {
		return false;
	}
	if (i->ca_count > SNAP_CAS_MAX ||
	        !span_ok(i, i->ca_at, i->ca_count, sizeof(struct snap_ca)))
		return false;
	for (uint32_t k = 0; k < i->ca_count; k++) {
		if (!text_ok(i, snap_cas(i)[k].certs, SNAP_CA_TEXT) ||
		        !text_ok(i, snap_cas(i)[k].crl, SNAP_CA_TEXT))
			return false;
	}
	if (!span_ok(i, i->gateway_at, i->gateway_count, sizeof(struct snap_gateway))) return false;
	for (uint32_t k = 0; k < i->gateway_count; k++) {
		if (!gateway_ok(i, &snap_gateways(i)[k])) return false;
	}
	for (uint32_t k = 0; k < i->app_count; k++) {
		if (!app_ok(i, &snap_apps(i)[k])) return false;
	}
	for (uint32_t k = 0; k < i->route_count; k++) {
		if (!route_ok(i, &snap_routes(i)[k])) return false;
	}
	return set_ok(i, i->trusted) && set_ok(i, i->exempt) && set_ok(i, i->access);
}

enum hg_rc snap_map(int fd, const struct snap_image **ret_image)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	/* An image that could shrink or change under the reader is no image. */
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
		return HG_E_INVALID;
	if (fstat(fd, &st) < 0) return HG_E_IO;
	if (st.st_size < (off_t)sizeof(struct snap_image) || st.st_size > IMAGE_MAX) {
		return HG_E_INVALID;
	}
	size_t size = (size_t)st.st_size;
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) return errno == ENOMEM ? HG_E_NOMEM : HG_E_IO;
	if (!image_ok(map, size)) {
		munmap(map, size);
		return HG_E_INVALID;
	}
	*ret_image = map;
	return HG_OK;
}

void snap_unmap(const struct snap_image *image)
{
	if (image) munmap((void *)(uintptr_t)image, image->size);
}

/* ---- endpoint table ---- */

void snap_table_init(struct snap_table *t)
{
	memset(t, 0, sizeof *t);
	t->layout = table_layout();
	t->magic = SNAP_MAGIC;
}

struct snap_table *snap_table_open(void *mapping, size_t size)
{
	struct snap_table *t = mapping;
	if (!t || size < sizeof *t || t->magic != SNAP_MAGIC || t->layout != table_layout()) {
		return NULL;
	}
	return t;
}

/*
 * What a seqlock guards is copied word by word: a reader may meet a writer in the middle and throws
 * that copy away, but a plain copy of what somebody else writes would be undefined all the same.
 */
static void words_put(void *shared, const void *from, size_t n)
{
	_Atomic uint32_t *to = shared;
	const char *p = from;
	uint32_t word;
	for (size_t i = 0; i < n / sizeof word; i++) {
		memcpy(&word, p + i * sizeof word, sizeof word);
		atomic_store_explicit(&to[i], word, memory_order_relaxed);
	}
}

static void words_get(const void *shared, void *to, size_t n)
{
	const _Atomic uint32_t *from = shared;
	char *p = to;
	for (size_t i = 0; i < n / sizeof(uint32_t); i++) {
		uint32_t word = atomic_load_explicit(&from[i], memory_order_relaxed);
		memcpy(p + i * sizeof word, &word, sizeof word);
	}
}

_Static_assert(sizeof(struct snap_endpoint) % sizeof(uint32_t) == 0, "whole words");
_Static_assert(sizeof(struct snap_trial) % sizeof(uint32_t) == 0, "whole words");

void snap_table_set(struct snap_table *t, uint32_t slot, const struct snap_endpoint *ep)
{
	HG_ASSERT(slot < SNAP_ENDPOINTS);
	struct snap_slot *s = &t->slot[slot];
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
	HG_ASSERT(
	        seq % 2 == 0); /* a predecessor's unfinished write: snap_table_repair comes first */
	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	words_put(&s->ep, ep, sizeof *ep);
	atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
	atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
}

bool snap_table_get(const struct snap_table *t, uint32_t slot, struct snap_endpoint *ret_ep)
{
	HG_ASSERT(slot < SNAP_ENDPOINTS);
	const struct snap_slot *s = &t->slot[slot];
	for (int i = 0; i < READ_MAX; i++) {
		uint32_t before = atomic_load_explicit(&s->seq, memory_order_acquire);
		if (before % 2) {
			/* The writer may need our CPU to finish. */
			if (i % 16 == 15) sched_yield();
			continue;
		}
		words_get(&s->ep, ret_ep, sizeof *ret_ep);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&s->seq, memory_order_relaxed) != before) continue;
		ret_ep->path[sizeof ret_ep->path - 1] = 0;
		return true;
	}
	return false;
}

void snap_trial_set(struct snap_table *t, uint32_t slot, const struct snap_trial *trial)
{
	HG_ASSERT(slot < SNAP_TRIALS);
	struct snap_trial_slot *s = &t->trial[slot];
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
	HG_ASSERT(seq % 2 == 0);
	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	words_put(&s->trial, trial, sizeof *trial);
	atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
	atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
}

static bool trial_ok(struct snap_trial *t)
{
	if (t->weight_ppm > 1000000 || t->mirror_ppm > 1000000) return false;
	if (t->cell >= SNAP_CELLS || t->match_count > SNAP_TRIAL_MATCHES) return false;
	if (t->ignore_n > SNAP_IGNORE_MAX) return false;
	for (uint32_t i = 0; i < t->match_count; i++) {
		t->match[i].name[sizeof t->match[i].name - 1] = 0;
		t->match[i].value[sizeof t->match[i].value - 1] = 0;
	}
	return true;
}

bool snap_trial_get(const struct snap_table *t, uint32_t slot, struct snap_trial *ret_trial)
{
	HG_ASSERT(slot < SNAP_TRIALS);
	const struct snap_trial_slot *s = &t->trial[slot];
	for (int i = 0; i < READ_MAX; i++) {
		uint32_t before = atomic_load_explicit(&s->seq, memory_order_acquire);
		if (before % 2) {
			if (i % 16 == 15) sched_yield();
			continue;
		}
		words_get(&s->trial, ret_trial, sizeof *ret_trial);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&s->seq, memory_order_relaxed) == before)
			return trial_ok(ret_trial);
	}
	return false;
}

void snap_table_repair(struct snap_table *t)
{
	const struct snap_endpoint none = {0};
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		struct snap_trial_slot *s = &t->trial[i];
		uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
		if (seq % 2 == 0) continue;
		s->trial = (struct snap_trial){0};
		atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
	}
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		struct snap_slot *s = &t->slot[i];
		uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
		if (seq % 2 == 0) continue;
		s->ep = none;
		atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
	}
}
