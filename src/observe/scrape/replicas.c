#include "observe/scrape/replicas.h"

#include "os/sock.h"

#define REPLICA_LABELS 5u

static struct hg_str number_of(struct hg_arena *a, uint32_t n)
{
	char text[16];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_u64(&o, n);
	return hg_arena_str(a, (struct hg_str){text, o.n});
}

static struct hg_str instance_of(struct hg_arena *a, struct hg_str app, uint32_t replica)
{
	char text[160];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_str(&o, app);
	hg_out_byte(&o, '/');
	hg_out_u64(&o, replica);
	HG_ASSERT(!hg_out_failed(&o)); /* names of apps are at most 63 bytes */
	return hg_arena_str(a, (struct hg_str){text, o.n});
}

static struct hg_str address_of(struct hg_arena *a, const struct snap_endpoint *e)
{
	char text[SOCK_TEXT_MAX + 8];
	struct sock_addr addr;
	struct hg_out o = hg_out_over(text, sizeof text);
	if (e->family == AF_UNIX) {
		hg_out_cstr(&o, "unix:");
		hg_out_str(&o, (struct hg_str){e->path, strnlen(e->path, sizeof e->path)});
	} else {
		sock_addr_tcp4(e->ip4, e->port, &addr);
		o.n = sock_addr_text(&addr, text, sizeof text);
	}
	return hg_arena_str(a, (struct hg_str){text, o.n});
}

static bool lives(const struct snap_endpoint *e)
{
	if (e->state == SNAP_EP_FREE) return false;
	return e->family == AF_UNIX ? e->path[0] != 0 : e->family == AF_INET && e->port != 0;
}

static enum hg_rc target_make(struct hg_arena *a, const struct scrape_app *app,
        const struct snap_endpoint *e, struct scrape_target_conf *to)
{
	struct label *l = hg_arena_array(a, REPLICA_LABELS, sizeof *l);
	if (!l) return HG_E_NOMEM;
	/* Sorted by name, as label sets are. */
	l[0] = (struct label){HG_STR("__address__"), address_of(a, e)};
	l[1] = (struct label){HG_STR("app"), app->name};
	l[2] = (struct label){HG_STR("instance"), instance_of(a, app->name, e->replica)};
	l[3] = (struct label){HG_STR("release"), number_of(a, e->release)};
	l[4] = (struct label){HG_STR("replica"), number_of(a, e->replica)};
	for (uint32_t i = 0; i < REPLICA_LABELS; i++)
		if (!l[i].value.p) return HG_E_NOMEM;
	*to = (struct scrape_target_conf){
	        .labels = {l, REPLICA_LABELS}, .proxy = (uint8_t)e->proxy};
	return HG_OK;
}

static enum hg_rc job_make(struct hg_arena *a, const struct scrape_app *app,
        const struct snap_endpoint *endpoints, uint32_t n, struct scrape_replicas *to)
{
	struct scrape_job_conf *j = &to->jobs[to->job_n];
	struct scrape_target_conf *t;
	uint32_t count = 0;
	for (uint32_t i = 0; i < n; i++)
		count += endpoints[i].app == app->id && lives(&endpoints[i]);
	t = hg_arena_array(a, count + 1, sizeof *t);
	if (!t) return HG_E_NOMEM;
	*j = (struct scrape_job_conf){.name = app->name,
	        .path = app->path,
	        .interval_ms = app->interval_ms,
	        .targets = t};
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_endpoint *e = &endpoints[i];
		if (e->app != app->id || !lives(e)) continue;
		if (e->tls || e->http2) {
			to->unasked++;
			continue;
		}
		enum hg_rc rc = target_make(a, app, e, &t[j->target_n]);
		if (rc < 0) return rc;
		j->target_n++;
	}
	to->job_n++;
	to->target_n += j->target_n;
	return HG_OK;
}

enum hg_rc scrape_replicas(struct hg_arena *a, const struct scrape_app *apps, uint32_t app_n,
        const struct snap_endpoint *endpoints, uint32_t endpoint_n,
        struct scrape_replicas *ret_replicas)
{
	struct scrape_replicas *to = ret_replicas;
	*to = (struct scrape_replicas){.jobs = hg_arena_array(a, app_n + 1, sizeof *to->jobs)};
	if (!to->jobs) return HG_E_NOMEM;
	for (uint32_t i = 0; i < app_n; i++) {
		enum hg_rc rc = job_make(a, &apps[i], endpoints, endpoint_n, to);
		if (rc < 0) return rc;
	}
	return HG_OK;
}
