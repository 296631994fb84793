/* Starting, following and ending a Headgate; inside of the command line. */
#ifndef FACE_CLI_UP_PRIV_H
#define FACE_CLI_UP_PRIV_H

#include "config_priv.h"

/* Starts it with a checked configuration (or reloads one that runs) and follows it as the flags
 * say: --detach, --timeout, --dry-run. Exit status. */
int cli_up(struct cli *c, const struct cli_config *k);
/* Opens a pidfd of `pid` and makes sure it is the process that started at `start_time` (field 22
 * of /proc/PID/stat); -1 when that one is gone. */
int cli_pidfd(int pid, uint64_t start_time);
HG_MUST bool cli_pidfd_signal(int pidfd, int signo);
/* True when the process of the pidfd ended within the time. */
bool cli_pidfd_ended(int pidfd, int wait_ms);
/* "http://localhost:8080" of a listener's address. */
void cli_url(const struct spec_address *a, char to[160]);

#endif
