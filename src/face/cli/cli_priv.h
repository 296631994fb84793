/* Inside of the command line: the parsed arguments, how things are written, and the verbs. */
#ifndef FACE_CLI_CLI_PRIV_H
#define FACE_CLI_CLI_PRIV_H

#include "base/err.h"
#include "face/cli/cli.h"
#include "gen/cli_verbs.h"

/* ---- rows of schema/cli.toml ---- */

enum cli_type {
	CLI_T_SWITCH,
	CLI_T_TEXT,
	CLI_T_FILE,
	CLI_T_DIR,
	CLI_T_DURATION,
	CLI_T_COUNT,
	CLI_T_CHOICE,
	CLI_T_RELEASE /* a text; completed from the releases there are */
};

struct cli_flag {
	enum cli_flag_id id;
	const char *name;
	char letter; /* 0: none */
	enum cli_type type;
	const char *arg;     /* "" for a switch */
	const char *choices; /* separated by spaces */
	const char *help;
	bool repeat; /* may be given several times: cli_args.many */
};

struct cli_example {
	const char *command, *what;
};

struct cli_verb_row {
	enum cli_verb verb;
	const char *name; /* "up", "config check" */
	const char *group, *summary, *args;
	int min, max;
	const char *complete; /* app file verb key shell rollout, or "" */
	const char *text;
	const struct cli_flag *flags;       /* ends with a NULL name */
	const struct cli_example *examples; /* ends with NULL */
	const int *exits;                   /* ends with -1 */
	bool alone;                         /* the noun without a word more means this one */
};

struct cli_later {
	const char *name, *group, *summary;
};
struct cli_group {
	const char *name, *title;
};
struct cli_exit {
	int status;
	const char *meaning;
};
struct cli_env {
	const char *name, *meaning;
};

/* table.c: access to the rows, so that only one file holds a copy of them. */
const struct cli_verb_row *cli_rows(size_t *ret_n);
const struct cli_later *cli_laters(size_t *ret_n);
const struct cli_group *cli_groups(size_t *ret_n);
const struct cli_exit *cli_exits(size_t *ret_n);
const struct cli_env *cli_envs(size_t *ret_n);
const struct cli_flag *cli_common_flags(void);
const char *cli_program_summary(void);
/* "up", or two words as one string "config check"; NULL when there is none. */
const struct cli_verb_row *cli_row_find(struct hg_str name);
const struct cli_later *cli_later_find(struct hg_str name);
/* True when some verb is "WORD …". */
bool cli_is_noun(struct hg_str word);
/* What the noun means without a word more; NULL: it needs one. */
const struct cli_verb_row *cli_row_alone(struct hg_str noun);
/* The nearest first word of a verb within distance 2, or NULL. */
const char *cli_nearest_verb(struct hg_str word);
const char *cli_nearest_flag(const struct cli_verb_row *row, struct hg_str name);

/* ---- parse.c: argv → arguments; no I/O ---- */

#define CLI_MANY_MAX 64

struct cli_many {
	enum cli_flag_id id;
	const char *value;
};

struct cli_args {
	const struct cli_verb_row *row;
	struct hg_str noun; /* with `help` and without `row`: of which noun; empty: of all */
	bool help, version; /* asked for by flag: nothing else was checked */
	const char *value[CLI_FLAGS];  /* NULL: not given; switches: "" */
	uint64_t number[CLI_FLAGS];    /* durations in ms, counts */
	const char *const *positional; /* into argv */
	int count;
	struct cli_many many[CLI_MANY_MAX]; /* every value of flags that repeat, in order */
	int many_count;
};

/*
 * `argv` is permuted (arguments move behind flags) and must outlive the result. Errors:
 * HG_E_USAGE, HG_E_VERB_UNKNOWN, HG_E_VERB_LATER; with --help the verb is enough. Without any
 * argument: row NULL and help.
 */
HG_MUST enum hg_rc cli_parse(int argc, char **argv, struct cli_args *ret_args, struct hg_err *err);
/* "500ms" "5s" "15m" "1h" "30d" → milliseconds; a bare number is refused. */
HG_MUST bool cli_duration(struct hg_str s, uint64_t *ret_ms);

static inline bool cli_has(const struct cli_args *a, enum cli_flag_id f)
{
	return a->value[f] != NULL;
}

/* ---- term.c: how things are written ---- */

enum cli_mark { CLI_GOOD, CLI_BAD, CLI_WAIT, CLI_WARN, CLI_NONE };

struct cli {
	const struct cli_deps *deps;
	struct cli_args args;
	char data_dir[4096]; /* absolute */
	bool out_tty, colour, utf8, plain;
	int columns, rows; /* of the screen; rows 0: not known */
};

/* Looks at stdout, the environment and --plain. */
void cli_term_init(struct cli *c);
/* Asks again how large the screen is: people resize it. */
void cli_size(struct cli *c);
/* Symbol for a state; the caller writes the word beside it. Coloured when allowed. */
const char *cli_mark(const struct cli *c, enum cli_mark m);
/* "" unless colours are on. */
const char *cli_bold(const struct cli *c);
const char *cli_dim(const struct cli *c);
const char *cli_off(const struct cli *c);
const char *cli_dash(const struct cli *c); /* "–" or "-" */
const char *cli_arrow(const struct cli *c);

/* Results on stdout; messages on stderr, whole lines. */
void cli_out(const char *fmt, ...) HG_PRINTF(1, 2);
void cli_say(const char *fmt, ...) HG_PRINTF(1, 2);
/*
 * "next: headgate …" on stderr, the last line of a verb. With a `c` that was given --data, the
 * commands that are named get it as well, so that they work as they stand.
 */
void cli_next(const struct cli *c, const char *fmt, ...) HG_PRINTF(2, 3);
/* Prints the error and returns its exit status. */
int cli_fail(const struct hg_err *err);

#define CLI_TEXT_MAX 32
/* Human numbers; each returns `to`. */
const char *cli_human_rate(double per_s, char to[CLI_TEXT_MAX]);    /* "0" "0.4" "12" "2.0k" */
const char *cli_human_seconds(double s, char to[CLI_TEXT_MAX]);     /* "41 ms" "1.2 s" "–" */
const char *cli_human_ratio(double ratio, char to[CLI_TEXT_MAX]);   /* "0.02 %" */
const char *cli_human_bytes(uint64_t bytes, char to[CLI_TEXT_MAX]); /* "4.1 MiB" */
const char *cli_human_age(uint64_t seconds, char to[CLI_TEXT_MAX]); /* "41s" "12m" "3h" "2d" */
/* Columns a text takes on a terminal (code points; ours are never wide). */
size_t cli_width(const char *text);
/* Bytes of the longest beginning that takes at most `width` columns, with colours behind it. */
size_t cli_cut(struct hg_str text, size_t width, size_t *ret_width);
/*
 * Writes a page so that no line wraps and at most `room` lines come out (0: all): what does not
 * fit is left out before the last line. Returns the number of lines.
 */
int cli_fit(const struct cli *c, struct hg_str page, int room, struct hg_buf *to);
/* Rows a page takes on the screen as wide as it is now. */
int cli_rows_of(const struct cli *c, struct hg_str page);
/* Writes at most `width` columns of text, padded with spaces to it. */
void cli_pad(struct hg_buf *b, const char *text, size_t width);
/* Removes control bytes and escape sequences that a log line could carry. */
void cli_clean(struct hg_buf *b, struct hg_str text);

/* ---- verbs: each returns the exit status ---- */

/* help.c, complete.c */
int cli_help_overview(const struct cli *c);
int cli_help_noun(struct hg_str noun);
int cli_help_verb(const struct cli *c, const struct cli_verb_row *row);
void cli_help_text(const struct cli_verb_row *row, bool bold, struct hg_buf *to);
int cli_help_code(const struct hg_rc_info *info);
int cli_do_help(struct cli *c);
int cli_do_version(struct cli *c);
int cli_do_completion(struct cli *c);
/* release.c, rollouts.c */
int cli_do_deploy(struct cli *c);
int cli_do_plan(struct cli *c);
int cli_do_rollback(struct cli *c);
int cli_do_simulate(struct cli *c);
int cli_do_rollouts_list(struct cli *c);
int cli_do_rollouts_show(struct cli *c);
int cli_do_rollouts_why(struct cli *c);
int cli_do_steer(struct cli *c); /* promote pause resume abort retry */
/* status.c, logs.c, change.c, config.c, init.c */
int cli_do_status(struct cli *c);
int cli_do_top(struct cli *c);
int cli_do_consumers(struct cli *c); /* of top --consumers */
int cli_do_logs(struct cli *c);
int cli_do_alerts_list(struct cli *c);
int cli_do_alerts_lint(struct cli *c); /* rules.c */
int cli_do_alerts_test(struct cli *c);
int cli_do_alerts_simulate(struct cli *c); /* alerts_simulate.c */
int cli_do_alerts_silence(struct cli *c);
int cli_do_alerts_test_receiver(struct cli *c);
int cli_do_secret_set(struct cli *c);
int cli_do_scale(struct cli *c);
int cli_do_restart(struct cli *c);
int cli_do_maintenance(struct cli *c);
int cli_do_key_make(struct cli *c);  /* key.c */
int cli_do_query_run(struct cli *c); /* query.c */
int cli_do_query_test(struct cli *c);
int cli_do_export_grafana(struct cli *c); /* export.c */
int cli_do_token_create(struct cli *c);
int cli_do_token_list(struct cli *c);
int cli_do_certs_list(struct cli *c);
int cli_do_certs_renew(struct cli *c);
int cli_do_token_revoke(struct cli *c);
int cli_do_slo(struct cli *c); /* slo.c, incidents.c */
int cli_do_incidents_list(struct cli *c);
int cli_do_incidents_show(struct cli *c);
int cli_do_incidents_report(struct cli *c);
int cli_do_incident(struct cli *c); /* ack assign resolve */
/*
 * change.c: when something that is made at `now_ms` expires: "30d", or "2027-01-31" for the end of
 * that day in UTC. False: neither, or not after now.
 */
HG_MUST bool cli_expiry(struct hg_str text, uint64_t now_ms, uint64_t *ret_ms);
/* "2026-11-26 19:00" in UTC, "-" for 0; returns `to`. */
const char *cli_moment(uint64_t ms, char to[32]);
int cli_do_reload(struct cli *c);
int cli_do_config_check(struct cli *c);
int cli_do_config_show(struct cli *c);
int cli_do_config_fmt(struct cli *c);
int cli_do_config_schema(struct cli *c);
int cli_do_explain(struct cli *c);
int cli_do_init(struct cli *c);
/* "./Hello_World.py" becomes "hello-world". */
void cli_app_name(const char *from, char to[64]);
/* up.c, run.c, down.c, doctor.c */
int cli_do_up(struct cli *c);
/* The configuration that `run` stands for; false: an argument is not UTF-8. */
bool cli_run_text(const struct cli_args *a, struct hg_buf *to);
int cli_do_run(struct cli *c);
int cli_do_demo(struct cli *c);
int cli_do_open(struct cli *c);
int cli_do_down(struct cli *c);
int cli_do_doctor(struct cli *c);

/* ---- complete.c ---- */

/* What is offered beside the words: the shell knows it, and from CLI_MORE_APPS on the API. */
enum cli_more {
	CLI_MORE_NOTHING,
	CLI_MORE_FILES,
	CLI_MORE_FOLDERS,
	CLI_MORE_APPS,
	CLI_MORE_ROLLOUTS, /* their numbers */
	CLI_MORE_RELEASES  /* numbers and versions */
};

/* What the line has said of the Headgate that is asked; NULL: nothing. */
struct cli_about {
	const char *data;  /* --data */
	const char *first; /* argument behind the verb */
};

/*
 * What may come as the last of `words` (the line without the program; the last is being written,
 * maybe empty): lines of "WORD" or "WORD<TAB>DESCRIPTION".
 */
enum cli_more cli_complete_words(
        int count, const char *const *words, struct cli_about *ret_about, struct hg_buf *to);
/* The script for "bash", "zsh" or "fish"; else NULL. */
const char *cli_complete_script(const char *shell);

/* cli.c: --data, HEADGATE_DATA or ./.headgate as an absolute path; asks nobody whether it is. */
HG_MUST enum hg_rc cli_data_dir(struct cli *c, struct hg_err *err);

#endif
