#include "cli_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int (*const verbs[CLI_VERBS])(struct cli *c) = {
        [CLI_UP] = cli_do_up,
        [CLI_DOWN] = cli_do_down,
        [CLI_RUN] = cli_do_run,
        [CLI_DEMO] = cli_do_demo,
        [CLI_DOCTOR] = cli_do_doctor,
        [CLI_OPEN] = cli_do_open,
        [CLI_INIT] = cli_do_init,
        [CLI_DEPLOY] = cli_do_deploy,
        [CLI_PLAN] = cli_do_plan,
        [CLI_SIMULATE] = cli_do_simulate,
        [CLI_ROLLOUTS_LIST] = cli_do_rollouts_list,
        [CLI_ROLLOUTS_SHOW] = cli_do_rollouts_show,
        [CLI_ROLLOUTS_WHY] = cli_do_rollouts_why,
        [CLI_ROLLOUTS_PROMOTE] = cli_do_steer,
        [CLI_ROLLOUTS_PAUSE] = cli_do_steer,
        [CLI_ROLLOUTS_RESUME] = cli_do_steer,
        [CLI_ROLLOUTS_ABORT] = cli_do_steer,
        [CLI_ROLLOUTS_RETRY] = cli_do_steer,
        [CLI_PROMOTE] = cli_do_steer,
        [CLI_ABORT] = cli_do_steer,
        [CLI_ROLLBACK] = cli_do_rollback,
        [CLI_STATUS] = cli_do_status,
        [CLI_ALERTS_LIST] = cli_do_alerts_list,
        [CLI_ALERTS_LINT] = cli_do_alerts_lint,
        [CLI_ALERTS_TEST] = cli_do_alerts_test,
        [CLI_ALERTS_SIMULATE] = cli_do_alerts_simulate,
        [CLI_ALERTS_SILENCE] = cli_do_alerts_silence,
        [CLI_ALERTS_TEST_RECEIVER] = cli_do_alerts_test_receiver,
        [CLI_SECRET_SET] = cli_do_secret_set,
        [CLI_LOGS] = cli_do_logs,
        [CLI_TOP] = cli_do_top,
        [CLI_RELOAD] = cli_do_reload,
        [CLI_SCALE] = cli_do_scale,
        [CLI_RESTART] = cli_do_restart,
        [CLI_MAINTENANCE] = cli_do_maintenance,
        [CLI_KEY_MAKE] = cli_do_key_make,
        [CLI_TOKEN_CREATE] = cli_do_token_create,
        [CLI_TOKEN_LIST] = cli_do_token_list,
        [CLI_TOKEN_REVOKE] = cli_do_token_revoke,
        [CLI_CERTS_LIST] = cli_do_certs_list,
        [CLI_SLO] = cli_do_slo,
        [CLI_INCIDENTS_LIST] = cli_do_incidents_list,
        [CLI_INCIDENTS_SHOW] = cli_do_incidents_show,
        [CLI_INCIDENTS_ACK] = cli_do_incident,
        [CLI_INCIDENTS_ASSIGN] = cli_do_incident,
        [CLI_INCIDENTS_RESOLVE] = cli_do_incident,
        [CLI_INCIDENTS_REPORT] = cli_do_incidents_report,
        [CLI_CERTS_RENEW] = cli_do_certs_renew,
        [CLI_CONFIG_CHECK] = cli_do_config_check,
        [CLI_CONFIG_SHOW] = cli_do_config_show,
        [CLI_CONFIG_FMT] = cli_do_config_fmt,
        [CLI_CONFIG_SCHEMA] = cli_do_config_schema,
        [CLI_QUERY_RUN] = cli_do_query_run,
        [CLI_QUERY_TEST] = cli_do_query_test,
        [CLI_EXPORT_GRAFANA] = cli_do_export_grafana,
        [CLI_EXPLAIN] = cli_do_explain,
        [CLI_COMPLETION] = cli_do_completion,
        [CLI_HELP] = cli_do_help,
        [CLI_VERSION] = cli_do_version,
};

enum hg_rc cli_data_dir(struct cli *c, struct hg_err *err)
{
	const char *dir = c->args.value[CLI_F_DATA];
	if (!dir) dir = getenv("HEADGATE_DATA");
	if (!dir || !*dir) dir = ".headgate";
	struct hg_out o = hg_out_over(c->data_dir, sizeof c->data_dir - 1);
	if (dir[0] != '/') {
		char here[3072];
		if (!getcwd(here, sizeof here))
			return hg_err_set(err, HG_E_IO, "could not read the working directory: %m");
		hg_out_fmt(&o, "%s/", strcmp(here, "/") ? here : "");
	}
	hg_out_cstr(&o, dir);
	while (o.n > 1 && c->data_dir[o.n - 1] == '/')
		o.n--;
	c->data_dir[o.n] = 0;
	if (hg_out_failed(&o) || o.n > 3000)
		return hg_err_set(err, HG_E_USAGE, "the name of the data folder is too long");
	return HG_OK;
}

int cli_main(int argc, char **argv, const struct cli_deps *deps)
{
	struct cli c = {.deps = deps};
	struct hg_err err = {0};
	int status;
	enum hg_rc rc = cli_parse(argc, argv, &c.args, &err);
	if (rc < 0) return cli_fail(&err);
	cli_term_init(&c);
	if (c.args.version) {
		status = cli_do_version(&c);
	} else if (c.args.help) {
		status = c.args.row      ? cli_help_verb(&c, c.args.row)
		         : c.args.noun.n ? cli_help_noun(c.args.noun)
		                         : cli_help_overview(&c);
		if (argc < 2) status = 2; /* nothing was asked for */
	} else if (cli_data_dir(&c, &err) < 0) {
		return cli_fail(&err);
	} else {
		HG_ASSERT(verbs[c.args.row->verb]);
		status = verbs[c.args.row->verb](&c);
	}
	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) != 0 && status == 0) status = 1;
	return status;
}
