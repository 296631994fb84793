/*
 * The command line: turns argv into one verb, does it, prints results on stdout and messages on
 * stderr, and returns the exit status of design section 5. Rows of schema/cli.toml are the one
 * source of parser, help, man page and completion. It talks to a running Headgate only through
 * DATA/control.sock (HTTP, with time-outs) and, for `up` and `down`, through the warden's door;
 * so `down` works when control is dead. One thread; everything it allocates ends with the process.
 * It never starts a role itself: main/ hands it the function that does.
 */
#ifndef FACE_CLI_CLI_H
#define FACE_CLI_CLI_H

#include "warden/warden.h"

struct cli_deps {
	/*
	 * Becomes the warden. Called in a freshly forked child of the command line that is a
	 * session leader, has /dev/null as stdin and DATA/run/headgate.log as stdout and stderr,
	 * and holds no other descriptor but plan->plan_fd and `ready_fd`. May exec the program
	 * again or call warden_run; the three role functions of the plan are NULL: main/ fills them
	 * in. `ready_fd` as for warden_run. The result is the exit status of the child.
	 */
	int (*start_warden)(const struct warden_plan *plan, int ready_fd);
};

/*
 * `plan->plan_fd` is a memfd with one JSON object, the same that POST /v1/reload takes:
 *   {"text": "<the configuration file>", "file": "<its name as given>",
 *    "dir": "<absolute folder that relative paths start from>", "environment": "<name or empty>"}
 * face/api/api.h reads it (api_config_parse).
 */
int cli_main(int argc, char **argv, const struct cli_deps *deps);

#endif
