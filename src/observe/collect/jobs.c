#include "observe/collect/collect_priv.h"

/* The scraper refuses all jobs for one whose answers may take longer than their interval. */
static uint32_t timeout_of(uint32_t timeout_ms, uint32_t interval_ms)
{
	return HG_MIN(timeout_ms, interval_ms ? interval_ms : SCRAPE_INTERVAL_MS);
}

static enum hg_rc target_job(
        struct hg_arena *a, const struct observe_conf_target *t, struct scrape_job_conf *to)
{
	struct labels_builder b;
	struct labels ls;
	struct scrape_target_conf *target = hg_arena_array(a, 1, sizeof *target);
	if (!target) return HG_E_NOMEM;
	labels_builder_init(&b);
	labels_builder_set(&b, HG_STR("__address__"), t->address);
	for (uint32_t i = 0; i < t->label_n; i++)
		labels_builder_set(&b, t->labels[i].name, t->labels[i].value);
	enum hg_rc rc = labels_builder_done(&b, &ls);
	if (rc == HG_OK) rc = labels_copy(a, ls, &target->labels);
	labels_builder_fini(&b);
	if (rc < 0) return rc;
	*to = (struct scrape_job_conf){.name = t->job,
	        .path = t->path,
	        .interval_ms = t->interval_ms,
	        .timeout_ms = timeout_of(t->timeout_ms, t->interval_ms),
	        .sample_limit = t->sample_limit,
	        .honor_labels = t->honor_labels,
	        .targets = target,
	        .target_n = 1};
	return HG_OK;
}

enum hg_rc jobs_make(struct hg_arena *a, const struct observe_conf *conf,
        const struct snap_endpoint *endpoints, uint32_t n, struct scrape_replicas *ret_jobs)
{
	struct scrape_replicas r;
	struct scrape_app *apps = hg_arena_array(a, (size_t)conf->app_n + 1, sizeof *apps);
	struct scrape_job_conf *jobs =
	        hg_arena_array(a, (size_t)conf->app_n + conf->target_n + 1, sizeof *jobs);
	if (!apps || !jobs) return HG_E_NOMEM;
	for (uint32_t i = 0; i < conf->app_n; i++)
		apps[i] = (struct scrape_app){.id = conf->apps[i].id,
		        .name = conf->apps[i].name,
		        .path = conf->apps[i].path,
		        .interval_ms = conf->apps[i].interval_ms};
	enum hg_rc rc = scrape_replicas(a, apps, conf->app_n, endpoints, n, &r);
	if (rc < 0) return rc;
	for (uint32_t i = 0; i < r.job_n; i++) {
		jobs[i] = r.jobs[i];
		jobs[i].timeout_ms = timeout_of(conf->apps[i].timeout_ms, jobs[i].interval_ms);
		jobs[i].sample_limit = conf->apps[i].sample_limit;
	}
	for (uint32_t i = 0; rc == HG_OK && i < conf->target_n; i++)
		rc = target_job(a, &conf->targets[i], &jobs[r.job_n++]);
	if (rc < 0) return rc;
	r.jobs = jobs;
	r.target_n += conf->target_n;
	*ret_jobs = r;
	return HG_OK;
}
