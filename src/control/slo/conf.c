/* From the configuration to what is counted. */
#include "control/slo/slo_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"

static void objective_read(
        bool set, uint32_t objective_ppm, uint64_t window_ms, struct slo_objective *to)
{
	*to = (struct slo_objective){.set = set};
	if (!set) return;
	to->objective_ppm = objective_ppm;
	to->period_min = HG_MAX(window_ms / 60000u, (uint64_t)1);
	burn_rules(to->period_min, to->rule);
}

static enum hg_rc app_read(const struct spec_app *s, struct slo_conf *to, struct hg_err *err)
{
	const struct spec_slo *slo = &s->slo;
	*to = (struct slo_conf){.freeze_ppm = slo->error_budget.freeze_deploys_below_ppm,
	        .min_failures = slo->error_budget.min_failures,
	        .fast_ns = slo->latency.set ? slo->latency.faster_than_ms * 1000000u : 0};
	if (!hg_str_copy(s->name, to->app, sizeof to->app) ||
	        !hg_str_copy(slo->runbook, to->runbook, sizeof to->runbook))
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "the name or `slo.runbook` of app \"%.*s\" is too long",
		        HG_STR_ARG(s->name));
	objective_read(slo->availability.set, slo->availability.objective_ppm,
	        slo->availability.window_ms, &to->of[SLO_AVAILABILITY]);
	objective_read(slo->latency.set, slo->latency.objective_ppm, slo->latency.window_ms,
	        &to->of[SLO_LATENCY]);
	for (uint32_t i = 0; slo->availability.set && i < METER_CODES; i++) {
		unsigned code = meter_code_at(i);
		if (slo_codes_have(slo->availability.good, code))
			to->code[i] = SLO_CODE_GOOD;
		else if (slo_codes_have(slo->availability.bad, code))
			to->code[i] = SLO_CODE_BAD;
	}
	return HG_OK;
}

enum hg_rc slo_conf_read(const struct spec *spec, struct slo_plan *p, struct hg_err *err)
{
	p->apps = calloc(spec->app_count + 1, sizeof *p->apps);
	if (!p->apps) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < spec->app_count; i++) {
		const struct spec_app *a = &spec->apps[i];
		if (!a->slo.availability.set && !a->slo.latency.set) continue;
		enum hg_rc rc = app_read(a, &p->apps[p->count].conf, err);
		if (rc < 0) return rc;
		p->count++;
	}
	return HG_OK;
}

void slo_span_text(uint64_t minutes, char to[SLO_SPAN])
{
	if (minutes % (24 * 60) == 0)
		(void)snprintf(to, SLO_SPAN, "%llud", (unsigned long long)minutes / (24 * 60));
	else if (minutes % 60 == 0)
		(void)snprintf(to, SLO_SPAN, "%lluh", (unsigned long long)minutes / 60);
	else
		(void)snprintf(to, SLO_SPAN, "%llum", (unsigned long long)minutes);
}
