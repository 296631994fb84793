/*
 * The configuration: headgate.yaml becomes one checked struct. Every key comes from a row of
 * schema/config.toml (type, range, default, text), so parser, reference and `explain` agree.
 *
 * Everything a load returns lives in the caller's arena (give it 64 MiB of cap) and dies with it;
 * nothing here is freed by itself. No globals, no threads: calls on different arenas may run side
 * by side. Failures come as a report of up to 20 problems with file, line, column, line of the
 * file, cause and hint; hostile input (deep, long, binary, bombs) is refused within fixed limits.
 * Never: runs commands, looks at the environment, or touches a file besides spec_load_file.
 */
#ifndef SPEC_SPEC_H
#define SPEC_SPEC_H

#include "base/arena.h"
#include "base/err.h"

#define SPEC_FILE_MAX          (1u << 20) /* bytes of a configuration file */
#define SPEC_PROBLEMS_MAX      20         /* errors, and warnings, that one report holds */
#define SPEC_STEPS_MAX         32         /* of a rollout */
#define SPEC_GATES_MAX         16
#define SPEC_GATE_HEADERS_MAX  16
#define SPEC_GATE_HEADER_BYTES 1000

struct spec_origin; /* where the values came from; for spec_show and spec_unavailable */

struct spec_pair {
	struct hg_str name, value;
};

/* `8080`, `:8080`, `127.0.0.1:8080`, `[::1]:8080`; host is empty for "all addresses". */
struct spec_address {
	bool set;
	struct hg_str text, host;
	uint16_t port;
};

/* A count (`2`) or a share (`25%`) of something. */
struct spec_share {
	bool set;
	bool is_count;
	uint32_t count, ppm;
};

/*
 * Field names are key names with the unit behind: _ms durations, _bytes sizes, _ppm ratios
 * (1 % = 10000) and factors (1x = 1000000), _milli CPU. `set` says that the file has it;
 * everything else has its default, or 0 when the key is absent and its default is "none".
 * Strings are zero-terminated as well.
 */
#include "gen/spec_types.h"

struct spec_report {
	struct hg_err errors[SPEC_PROBLEMS_MAX];
	uint32_t error_count;   /* all that were found; the first 20 are kept */
	uint32_t warning_count; /* likewise */
	struct hg_err warnings[SPEC_PROBLEMS_MAX];
	struct hg_str file, text; /* inner: for line and caret */
	struct hg_err spill;      /* inner */
};

struct spec_source {
	struct hg_str text;
	const char *file;        /* as messages name it */
	const char *environment; /* overlay to lay on; NULL: the base alone */
	const char *dir;         /* absolute folder relative paths start from; NULL: not known */
};

/*
 * Parses and binds. On success *ret_spec holds every key with its value; the report may still
 * hold warnings. On failure returns the rc of the first error; the report has them all, in the
 * order of their lines. Does not run spec_check. `report` is initialized here.
 */
HG_MUST enum hg_rc spec_load(const struct spec_source *from, struct hg_arena *a,
        struct spec_report *report, struct spec **ret_spec);
/* Reads a regular file of at most SPEC_FILE_MAX bytes, then spec_load. */
HG_MUST enum hg_rc spec_load_file(const char *path, const char *environment, struct hg_arena *a,
        struct spec_report *report, struct spec **ret_spec);
/*
 * What no single key can tell: needs exist and have no cycle, no two apps on one route, min ≤
 * max, no writable folder inside another, `$PORT` in the command of an app with routes, probes that
 * say enough, commands that can be split. Adds errors and warnings to `report` (of the same load);
 * returns the rc of the first error.
 */
HG_MUST enum hg_rc spec_check(const struct spec *s, struct spec_report *report);
/* An error about a key of an app, found after checking, gets the place where "upstream.tls.ca" was
 * written, or else what is nearest above it. The file's name must outlive the error. */
void spec_app_place(const struct spec *s, struct hg_str app, const char *path, struct hg_err *err);
/* The same for what tokens of one of the app's issuers, `j`, are checked with. */
void spec_identity_place(const struct spec *s, const struct spec_app *app,
        const struct spec_identity_jwt *j, struct hg_err *err);
/* The same of a key of `edge`: "rate_limits.password_file". */
void spec_edge_place(const struct spec *s, const char *path, struct hg_err *err);
/* The same of a key of `alerts`: "route.routes.0.match"; items of lists by number. */
void spec_alerts_place(const struct spec *s, const char *path, struct hg_err *err);
/* All problems as a person reads them; ends with how many more there are. */
void spec_report_print(const struct spec_report *report, struct hg_buf *to);

/*
 * Keys that are set but not built in this release, as `up` must refuse them: up to `max` errors
 * of HG_E_CONFIG_UNAVAILABLE with place and path. Returns how many there are in all.
 */
uint32_t spec_unavailable(const struct spec *s, struct hg_err *ret_errs, uint32_t max);

/*
 * A whole DNS name in lower case that an authority outside could look up (with a dot and a letter:
 * no address, no "localhost"); `star`: a wildcard of one label too.
 */
bool spec_name_public(struct hg_str name, bool star);

/* ---- commands ---- */

/* The value of a variable; false: not known. `ctx` is the caller's. */
typedef bool spec_lookup_fn(void *ctx, struct hg_str name, struct hg_str *ret_value);

#define SPEC_ARGS_MAX     256
#define SPEC_ARG_SIZE_MAX (128u * 1024)

/*
 * Splits as a POSIX shell would (section 2.2 and 2.6.2 of XCU, that part only): blanks separate,
 * '…' is literal, "…" and backslash quote, $NAME and ${NAME} are replaced outside of '…' and are
 * never split again (an empty value is an empty word); `$$`, globs, pipes and the like have no
 * meaning. On success *ret_argv is a NULL-terminated array in the arena. Errors: HG_E_COMMAND with
 * a message that quotes the command.
 */
HG_MUST enum hg_rc spec_command_split(struct hg_str command, spec_lookup_fn *lookup, void *ctx,
        struct hg_arena *a, char ***ret_argv, uint32_t *ret_argc, struct hg_err *err);
/* Whether the command uses a variable, e.g. "PORT". */
bool spec_command_uses(struct hg_str command, struct hg_str variable);

/* ---- what changed ---- */

enum spec_apply {
	SPEC_APPLY_LIVE,    /* a reload takes it at once */
	SPEC_APPLY_RELEASE, /* a new release of the app is rolled out */
	SPEC_APPLY_RESTART, /* only `headgate down` and `up` take it */
};

struct spec_change {
	struct hg_str path;     /* "apps.feedback.env.LOG_LEVEL" */
	struct hg_str app;      /* empty: not of an app */
	struct hg_str was, now; /* as the file would say it; empty: absent */
	enum spec_apply apply;
};

/* Every key whose effective value differs, in the order of the table. NULL `was`: all is new. */
HG_MUST enum hg_rc spec_diff(const struct spec *was, const struct spec *now, struct hg_arena *a,
        struct spec_change **ret_changes, uint32_t *ret_n);
/* Identity of the part of an app that makes a release (apply = release): equal
 * values, equal digest, in every version of Headgate that knows the same keys. 32 hex digits. */
void spec_app_digest(const struct spec_app *app, char ret_hex[33]);

/* ---- for people ---- */

/* What `retries.hedge.after` says: milliseconds or a quantile in ppm, the other one 0; false:
 * neither of them. */
bool spec_hedge_after(struct hg_str text, uint32_t *ret_ms, uint32_t *ret_ppm);
/* The Unix time in seconds at which a day (UTC, "2027-01-31") is over; false: it is none. */
HG_MUST bool spec_day_end(struct hg_str day, uint64_t *ret_unix_s);
/* Unix seconds of a day (UTC) or of an RFC 3339 time; false: neither. */
bool spec_date(struct hg_str text, uint64_t *ret_s);
/* Canonical YAML of the effective configuration; every line says where its value came from. */
void spec_show(const struct spec *s, struct hg_buf *to);
/* The same file in canonical form: comments stay, meaning never changes (checked before it is
 * returned). HG_E_CONFIG_… when the text does not load. */
HG_MUST enum hg_rc spec_fmt(
        const struct spec_source *from, struct hg_buf *to, struct spec_report *report);
/* The text of a key, or of all keys under a prefix; `apps.*` and `apps.NAME` are the same. An
 * unknown path gives HG_E_NOT_FOUND with near names as hint. */
HG_MUST enum hg_rc spec_explain(struct hg_str path, struct hg_buf *to, struct hg_err *err);
/* JSON Schema (draft 2020-12), for editors. */
struct hg_str spec_schema(void);

static inline const struct spec_app *spec_app_find(const struct spec *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->app_count; i++) {
		if (hg_str_eq(s->apps[i].name, name)) return &s->apps[i];
	}
	return NULL;
}

#endif
