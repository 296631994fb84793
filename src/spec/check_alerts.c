/* What alerts and the pipeline name must be there. */
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
	const struct spec_node *c = list ? list->first : NULL;
	while (c && at--)
		c = c->next;
	return c ? c : list;
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

static const struct spec_database *database_find(const struct spec *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->database_count; i++) {
		if (hg_str_eq(s->databases[i].name, name)) return &s->databases[i];
	}
	return NULL;
}

static void check_receivers(
        struct checking *c, struct hg_str *names, uint32_t n, const struct spec_node *at)
{
	for (uint32_t i = 0; i < n; i++) {
		bool known = false;
		for (uint32_t k = 0; k < c->s->alerts.receiver_count; k++)
			known = known || hg_str_eq(c->s->alerts.receivers[k].name, names[i]);
		if (known) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_REFERENCE, item(at, i));
		spec_err_say(e, "there is no receiver \"%.*s\"", HG_STR_ARG(names[i]));
		hg_err_hint(e, "receivers are listed under alerts.receivers");
	}
}

static void check_alerts(struct checking *c)
{
	const struct spec_alert_route *r = &c->s->alerts.route;
	const struct spec_node *at = below(below(c->s->origin->tree, "alerts"), "route");
	check_receivers(c, r->info, r->info_count, below(at, "info"));
	check_receivers(c, r->warning, r->warning_count, below(at, "warning"));
	check_receivers(c, r->critical, r->critical_count, below(at, "critical"));
	check_receivers(c, r->disaster, r->disaster_count, below(at, "disaster"));
}

static void check_stage(struct checking *c, const struct spec_stage *st, const struct spec_node *at)
{
	bool environment = st->deploy.n == 0;
	for (uint32_t i = 0; i < c->s->environment_count; i++)
		environment = environment || hg_str_eq(c->s->environments[i].name, st->deploy);
	if (!environment) {
		struct hg_err *e = fail(c, HG_E_CONFIG_REFERENCE, below(at, "deploy"));
		spec_err_say(e, "stage \"%.*s\" deploys to \"%.*s\", which is no environment",
		        HG_STR_ARG(st->name), HG_STR_ARG(st->deploy));
	}
	if (st->backup.n && !database_find(c->s, st->backup)) {
		struct hg_err *e = fail(c, HG_E_CONFIG_REFERENCE, below(at, "backup"));
		spec_err_say(e, "stage \"%.*s\" backs up \"%.*s\", which is no database",
		        HG_STR_ARG(st->name), HG_STR_ARG(st->backup));
	}
	if (!st->run.n && !st->deploy.n && !st->backup.n && !st->approval.set)
		spec_err_say(fail(c, HG_E_CONFIG_MISSING, at),
		        "stage \"%.*s\" does nothing: it needs run, deploy, backup or "
		        "approval",
		        HG_STR_ARG(st->name));
	check_receivers(c, st->notify, st->notify_count, below(at, "notify"));
}

void spec_check_alerts(const struct spec *s, struct spec_report *report)
{
	struct checking c = {.s = s, .r = report};
	const struct spec_node *stages = below(below(s->origin->tree, "pipeline"), "stages");
	check_alerts(&c);
	for (uint32_t i = 0; i < s->pipeline.stage_count; i++)
		check_stage(&c, &s->pipeline.stages[i], item(stages, i));
}
