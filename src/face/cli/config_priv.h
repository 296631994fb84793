/* A configuration read, checked and ready to be handed over; inside of the command line. */
#ifndef FACE_CLI_CONFIG_PRIV_H
#define FACE_CLI_CONFIG_PRIV_H

#include "cli_priv.h"
#include "spec/spec.h"

#include <jansson.h>

struct cli_config {
	struct hg_arena mem;
	struct spec_report *report;
	struct spec *spec;
	char file[4096]; /* as given */
	char dir[4096];  /* absolute folder of the file */
	struct hg_buf text;
	const char *environment; /* or NULL */
	json_t *certs;           /* of its files that could be read; NULL: it names none */
};

/*
 * Reads `file` (NULL: --file, else headgate.yaml), or takes `text` when that is not NULL, and
 * checks it. On failure everything wrong is printed on stderr and the exit status returned (> 0);
 * 0 is good. `runnable`: also refuses keys that are not available. Call fini in any case.
 */
HG_MUST int cli_config_load(const struct cli *c, struct cli_config *k, const char *file,
        const char *text, bool runnable);
/*
 * Reads and checks the certificates, as the user who runs this may read them: control may not.
 * Warns of those that expire. Exit status; `runnable`: one that may not be read is left out, as
 * the Headgate that runs may know it from before. Part of cli_config_load.
 */
HG_MUST int cli_config_certs(struct cli_config *k, bool runnable);
void cli_config_fini(struct cli_config *k);
/* The document of POST /v1/reload; NULL when memory is out or the text is not UTF-8. */
json_t *cli_config_json(const struct cli_config *k, bool dry_run);
/* Sends it to the Headgate that runs, prints what changed; exit status. */
int cli_config_send(const struct cli *c, const struct cli_config *k, bool dry_run);

#endif
