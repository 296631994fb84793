/* export grafana: the dashboards of schema/panels.toml, made into Grafana's JSON at build time. */
#include <stdio.h>
#include <string.h>

#include "cli_priv.h"
#include "gen/panels_grafana.h"
#include "os/file.h"

static enum hg_rc folder_make(const char *folder, struct hg_err *err)
{
	int failed = file_mkdirs(folder, 0755);
	if (failed == 0) return HG_OK;
	return hg_err_set(
	        err, HG_E_IO, "could not make the folder \"%s\": %s", folder, strerror(-failed));
}

static enum hg_rc file_make(
        const char *folder, const char *id, const char *json, struct hg_err *err)
{
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/headgate-%s.json", folder, id);
	if (n < 0 || (size_t)n >= sizeof path)
		return hg_err_set(err, HG_E_USAGE, "the name of the folder is too long");
	enum hg_rc rc = file_write_atomic(path, 0644, hg_str(json), err);
	if (rc == HG_OK) cli_say("%s", path);
	return rc;
}

int cli_do_export_grafana(struct cli *c)
{
	struct hg_err err = {0};
	enum hg_rc rc = HG_OK;
	const char *only = c->args.value[CLI_F_DASHBOARD], *folder = c->args.value[CLI_F_OUTPUT];
	if (!only && !folder) {
		hg_err_set(&err, HG_E_USAGE, "three dashboards do not fit on one standard output");
		hg_err_hint(&err, "Say --output DIR for all of them, or --dashboard NAME for one.");
		return cli_fail(&err);
	}
	if (folder) rc = folder_make(folder, &err);
	for (size_t i = 0; rc == HG_OK && i < HG_COUNT(grafana_rows); i++) {
		if (only && strcmp(only, grafana_rows[i].id) != 0) continue;
		if (folder)
			rc = file_make(folder, grafana_rows[i].id, grafana_rows[i].json, &err);
		else
			cli_out("%s", grafana_rows[i].json);
	}
	return rc < 0 ? cli_fail(&err) : 0;
}
