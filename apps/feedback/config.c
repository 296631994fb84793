#include "apps/feedback/config_priv.h"

#include <stdio.h>

#include "wire/mail.h"

#include "apps/feedback/text_priv.h"

/* Every setting is a flag and a variable. */
static const struct setting {
	const char *name;
	const char *flag; /* NULL: only a variable */
	const char *fallback;
} settings[] = {
        {"HOST", "--host", "0.0.0.0"},
        {"PORT", "--port", "8090"},
        {"SOCKET", "--socket", ""},
        {"DATABASE_URL", "--database", ""},
        {"DATABASE_PATH", NULL, "data/feedback.db"},
        {"DATABASE_SYNC", NULL, "full"},
        {"DATABASE_REPLICAS", NULL, ""},
        {"DATABASE_LAG_MAX", NULL, "1000"},
        {"DATABASE_TIMEOUT", NULL, "5000"},
        {"DATABASE_CONNECT_TIMEOUT", NULL, "3000"},
        {"DATABASE_POOL", NULL, "8"},
        {"DATABASE_MIGRATE", NULL, "on"},
        {"CACHE_TTL_S", NULL, "60"},
        {"CACHE_SIZE", NULL, "4M"},
        {"REDIS_URL", NULL, ""},
        {"REDIS_TIMEOUT_MS", NULL, "20"},
        {"LOG_LEVEL", "--log-level", "INFO"},
        {"LOG_FILE", "--log-file", ""},
        {"ENVIRONMENT", NULL, "development"},
        {"FEEDBACK_FAULT", "--fault", ""},
        {"DRAIN_SECONDS", NULL, "25"},
        {"SMTP_URL", NULL, ""},
        {"SMTP_USER", NULL, ""},
        {"SMTP_PASSWORD", NULL, ""},
        {"SMTP_STARTTLS", NULL, "required"},
        {"SMTP_CA", NULL, ""},
        {"SMTP_TIMEOUT", NULL, "30000"},
        {"MAIL_FROM", NULL, ""},
        {"WEBHOOK_ALLOW", NULL, ""},
        {"WEBHOOK_CA", NULL, ""},
        {"WEBHOOK_TIMEOUT", NULL, "15000"},
        {"NOTIFY_EMAIL", NULL, ""},
        {"WEBHOOKS", NULL, "off"},
        {"WORKERS", NULL, "off"},
        {"QUEUES", "--queues", "notification-queue,feedback-tasks"},
        {"CONCURRENCY", "--concurrency", "8"},
        {"JOB_LEASE", NULL, "30"},
        {"EXPORT_DIR", NULL, "data/exports"},
        {"QUEUE_URL", NULL, ""},
        {"QUEUE_LEASE", NULL, "600"},
        {"AUTH", NULL, "off"},
        {"ADMIN_KEY", NULL, ""},
        {"REGISTER", NULL, "closed"},
        {"SESSION_IDLE", NULL, "28800"},
        {"SESSION_MAX", NULL, "604800"},
        {"AUDIT_DAYS", NULL, "365"},
        {"JWT_SECRET", NULL, ""},
        {"JWT_KEYS", NULL, ""},
        {"JWT_ISSUER", NULL, ""},
        {"JWT_AUDIENCE", NULL, ""},
        {"JWT_ROLES", NULL, "roles"},
        {"OIDC_ISSUER", NULL, ""},
        {"OIDC_CLIENT_ID", NULL, ""},
        {"OIDC_CLIENT_SECRET", NULL, ""},
        {"OIDC_REDIRECT", NULL, ""},
        {"OIDC_SCOPE", NULL, "openid email profile"},
        {"OIDC_ROLES", NULL, "roles"},
        {"OIDC_NAME", NULL, "Single sign-on"},
        {"OTEL_SDK_DISABLED", NULL, "false"},
        {"OTEL_TRACES_EXPORTER", NULL, "otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", NULL, ""},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NULL, ""},
        {"OTEL_EXPORTER_OTLP_HEADERS", NULL, ""},
        {"OTEL_EXPORTER_OTLP_PROTOCOL", NULL, "http/json"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", NULL, "10000"},
        {"OTEL_BSP_SCHEDULE_DELAY", NULL, "1000"},
        {"OTEL_SERVICE_NAME", NULL, ""},
        {"OTEL_RESOURCE_ATTRIBUTES", NULL, ""},
        {"OTEL_TRACES_SAMPLER", NULL, "parentbased_always_on"},
        {"OTEL_TRACES_SAMPLER_ARG", NULL, "1"},
        {"LISTEN_FDS", NULL, ""},
        {"LISTEN_PID", NULL, ""},
};

#define OUTGOING_HELP                                                                             \
	"  SMTP_URL              smtp://HOST[:PORT][/NAME], smtps://…: how mail leaves; NAME\n" \
	"                        is what the server is greeted with\n"                            \
	"  SMTP_USER, SMTP_PASSWORD\n"                                                            \
	"  SMTP_STARTTLS         required (default), try, off\n"                                  \
	"  SMTP_CA               a file of authorities instead of the machine's\n"                \
	"  SMTP_TIMEOUT          30000 ms for a mail\n"                                           \
	"  MAIL_FROM             \"Feedback <feedback@example.com>\"\n"                           \
	"  WEBHOOK_ALLOW         networks that webhooks may reach besides public addresses,\n"    \
	"                        and without https: 10.0.0.0/8,fd00::/8\n"                        \
	"  WEBHOOK_CA, WEBHOOK_TIMEOUT\n"                                                         \
	"                        as for SMTP; 15000 ms\n"

#define TRACES_HELP                                                                              \
	"  OTEL_EXPORTER_OTLP_ENDPOINT\n"                                                        \
	"                        http://HOST:4318: traces are sent there (OTLP/HTTP, JSON);\n"   \
	"                        not set: none are. Also ..._TRACES_ENDPOINT, _HEADERS, "        \
	"_TIMEOUT\n"                                                                             \
	"  OTEL_TRACES_SAMPLER   parentbased_always_on (default), parentbased_traceidratio,\n"   \
	"                        traceidratio, always_on, always_off, parentbased_always_off;\n" \
	"                        OTEL_TRACES_SAMPLER_ARG is the share, 0 to 1\n"                 \
	"  OTEL_SERVICE_NAME     feedback-app, of a worker feedback-worker\n"                    \
	"  OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY, OTEL_SDK_DISABLED\n"

const char *config_help(void)
{
	return "usage: feedback-app [--port N] [--host ADDRESS] [--socket PATH] [--database URL]\n"
	       "                    [--log-level LEVEL] [--log-file PATH] [--fault FAULT]\n"
	       "                    [--env-file PATH] [--help] [--version]\n"
	       "\n"
	       "       feedback-app worker [--queues NAME,…] [--concurrency N] [--port N]\n"
	       "       feedback-app jobs list|show|retry|purge|stats|put (feedback-app jobs help)\n"
	       "       feedback-app migrate up|down|status [--steps N] [--database URL]\n"
	       "       feedback-app move --from sqlite:PATH --to postgres://…\n"
	       "       feedback-app mail test ADDRESS\n"
	       "       feedback-app webhooks list|add URL|remove ID|rotate ID|enable ID|test ID\n"
	       "       feedback-app user add|list|role|disable|enable|password|totp-off …\n"
	       "\n"
	       "The Feedback App: an HTTP API, a page and metrics over one SQLite file or one\n"
	       "PostgreSQL database, which any number of its processes may share. Flags win over\n"
	       "the environment, the environment over the file .env (or --env-file).\n"
	       "\n"
	       "  PORT, --port          8090; 0: any free port, named in the log\n"
	       "  HOST, --host          0.0.0.0; an address, or localhost\n"
	       "  SOCKET, --socket      a unix socket to listen on; TCP then only with PORT\n"
	       "  LISTEN_FDS            inherited listeners from descriptor 3 on; TCP then only\n"
	       "                        with --port\n"
	       "  DATABASE_URL, --database\n"
	       "                        sqlite:PATH; default sqlite:data/feedback.db; or\n"
	       "                        postgres://USER:PASSWORD@HOST[,HOST]/NAME: of several\n"
	       "                        hosts the one that accepts writes\n"
	       "  DATABASE_PATH         the path alone, when DATABASE_URL is not set\n"
	       "  DATABASE_SYNC         full (default): an answered write survives a power cut;\n"
	       "                        normal: it survives a crash of the app\n"
	       "  DATABASE_REPLICAS     postgres://…,postgres://… (8 at most): reads go there\n"
	       "  DATABASE_LAG_MAX      1000 ms; a replica that is further behind is not asked\n"
	       "  DATABASE_POOL         8; connections to each server, 128 at most\n"
	       "  DATABASE_TIMEOUT      5000 ms; for a query, waiting included\n"
	       "  DATABASE_CONNECT_TIMEOUT\n"
	       "                        3000 ms\n"
	       "  DATABASE_MIGRATE      on (default): the schema is brought up to date at the "
	       "start;\n"
	       "                        off: it must be (feedback-app migrate up)\n"
	       "  NOTIFY_EMAIL          a create leaves a job that writes to this address\n"
	       "  WEBHOOKS              on: a create leaves a job for each registered webhook;\n"
	       "                        off (default)\n"
	       "  WORKERS               inline: this process does jobs too; off (default):\n"
	       "                        feedback-app worker does\n"
	       "  QUEUES, --queues      notification-queue,feedback-tasks; which a worker asks\n"
	       "  CONCURRENCY, --concurrency\n"
	       "                        8; jobs at once, 256 at most\n"
	       "  JOB_LEASE             30 s; a worker silent for so long has lost its jobs\n"
	       "  QUEUE_URL             redis://HOST[:PORT][/DB], amqp://USER:WORD@HOST[/VHOST],\n"
	       "                        rediss://… or amqps://… with TLS (?ca=FILE):\n"
	       "                        jobs go to workers through Redis Streams or RabbitMQ;\n"
	       "                        not set: workers ask the database\n"
	       "  QUEUE_LEASE           600 s; what a broker has for longer is taken to be lost\n"
	       "  EXPORT_DIR            data/exports; where exports are written and fetched\n"
	       "  CACHE_TTL_S           60; lists are kept for so long in memory, and given only\n"
	       "                        while nothing was written, by anybody; 0: not kept\n"
	       "  CACHE_SIZE            4M; the most that they take (64K to 4G)\n"
	       "  REDIS_URL             redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:PATH,\n"
	       "                        rediss://… with TLS (?ca=FILE):\n"
	       "                        with PostgreSQL, processes share lists there\n"
	       "  REDIS_TIMEOUT_MS      20; how long a request waits for Redis at most\n"
	       "  LOG_LEVEL, --log-level\n"
	       "                        DEBUG, INFO (default), WARNING, ERROR; requests to\n"
	       "                        /health and /metrics are DEBUG unless they fail\n"
	       "  LOG_FILE, --log-file  log lines go there too, besides standard output\n"
	       "  ENVIRONMENT           a name for the log: development (default), production\n"
	       "  DRAIN_SECONDS         25; how long SIGTERM waits for requests in "
	       "flight\n" OUTGOING_HELP TRACES_HELP
	       "  AUTH                  off (default): everybody may write; optional: guests\n"
	       "                        read; required: guests see the page alone\n"
	       "  ADMIN_KEY             a secret of 16 characters and more: who shows it\n"
	       "                        (Authorization: Bearer) may do everything\n"
	       "  REGISTER              closed (default); open: anybody may make himself a user\n"
	       "  SESSION_IDLE          28800 s; a session that was not used for so long is over\n"
	       "  SESSION_MAX           604800 s; a session is over after so long in any case\n"
	       "  AUDIT_DAYS            365; older entries of the audit log go; 0: none go\n"
	       "  JWT_SECRET            of services' tokens with HS256: 32 bytes and more\n"
	       "  JWT_KEYS              instead: a file, or an address, of a set of keys (JWKS)\n"
	       "  JWT_ISSUER, JWT_AUDIENCE\n"
	       "                        what a token has to say; both are needed with JWT_KEYS\n"
	       "  JWT_ROLES             roles; the claim that names admin, user or guest\n"
	       "  OIDC_ISSUER           a provider to sign in at (OpenID Connect); with it\n"
	       "  OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_REDIRECT "
	       "(https://…/auth/oidc/callback)\n"
	       "  OIDC_SCOPE, OIDC_ROLES, OIDC_NAME\n"
	       "                        openid email profile; roles; Single sign-on\n"
	       "  FEEDBACK_FAULT, --fault\n"
	       "                        fail on purpose: KIND[:SHARE%][:TIME][:+TIME][:#N], for\n"
	       "                        example errors, errors:10%, slow:25%:800ms. Kinds: errors\n"
	       "                        (500), slow (2 s, or TIME), hang (no answer), crash\n"
	       "                        (abort), close (the connection), unhealthy (only /health,\n"
	       "                        503), leak (1 MiB a request), jobs (jobs are only written\n"
	       "                        down). +TIME: healthy for so long after the start; #N: "
	       "for\n"
	       "                        N requests. /health and /metrics are spared but for\n"
	       "                        unhealthy.\n";
}

static struct hg_str unquoted(struct hg_str v)
{
	v = hg_str_trim(v);
	if (v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'') && v.p[v.n - 1] == v.p[0])
		return (struct hg_str){v.p + 1, v.n - 2};
	for (size_t i = 1; i < v.n; i++)
		if (v.p[i] == '#' && (v.p[i - 1] == ' ' || v.p[i - 1] == '\t'))
			return hg_str_trim((struct hg_str){v.p, i});
	return v;
}

/* The last line with this name counts, as in a shell. */
static bool dotenv_find(struct hg_str file, struct hg_str name, struct hg_str *ret_value)
{
	bool found = false;
	while (file.n) {
		struct hg_str line = hg_str_trim(hg_str_cut(&file, '\n'));
		if (hg_str_starts(line, HG_STR("export ")))
			line = hg_str_trim((struct hg_str){line.p + 7, line.n - 7});
		if (line.n == 0 || line.p[0] == '#' || hg_str_find(line, '=') == line.n) continue;
		if (!hg_str_eq(hg_str_trim(hg_str_cut(&line, '=')), name)) continue;
		*ret_value = unquoted(line);
		found = true;
	}
	return found;
}

/* "--port 1" and "--port=1"; the last one counts. */
static bool flag_find(int argc, const char *const *argv, const char *flag, struct hg_str *ret_value)
{
	bool found = false;
	for (int i = 1; i < argc; i++) {
		struct hg_str rest = hg_str(argv[i]);
		bool inside = hg_str_find(rest, '=') < rest.n;
		if (!hg_str_eq(hg_str_cut(&rest, '='), hg_str(flag))) {
			if (!inside && i + 1 < argc &&
			        hg_str_starts(hg_str(argv[i]), HG_STR("--")) &&
			        strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "--version") != 0)
				i++; /* the value of another flag */
			continue;
		}
		if (!inside && i + 1 >= argc) return found;
		*ret_value = inside ? rest : hg_str(argv[++i]);
		found = true;
	}
	return found;
}

struct hg_str config_env_file(int argc, const char *const *argv)
{
	struct hg_str v = HG_STR("");
	if (!flag_find(argc, argv, "--env-file", &v)) return HG_STR("");
	return v;
}

static bool is_flag(struct hg_str name)
{
	if (hg_str_eq(name, HG_STR("--env-file"))) return true;
	for (size_t i = 0; i < HG_COUNT(settings); i++)
		if (settings[i].flag && hg_str_eq(name, hg_str(settings[i].flag))) return true;
	return false;
}

static enum hg_rc check_arguments(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	for (int i = 1; i < from->argc; i++) {
		struct hg_str rest = hg_str(from->argv[i]);
		bool inside = hg_str_find(rest, '=') < rest.n;
		struct hg_str name = hg_str_cut(&rest, '=');
		if (hg_str_eq(name, HG_STR("--help")) || hg_str_eq(name, HG_STR("-h"))) {
			c->help = true;
		} else if (hg_str_eq(name, HG_STR("--version"))) {
			c->version = true;
		} else if (!is_flag(name)) {
			hg_err_set(err, HG_E_INVALID, "unknown argument \"%.100s\"", from->argv[i]);
			hg_err_hint(err, "feedback-app --help lists them.");
			return HG_E_INVALID;
		} else if (!inside && ++i >= from->argc) {
			return hg_err_set(
			        err, HG_E_INVALID, "%.*s needs a value", HG_STR_ARG(name));
		}
	}
	return HG_OK;
}

/* The value of a setting, and whether somebody set it. */
static bool setting_of(
        const struct config_sources *from, const char *name, bool only_flag, struct hg_str *ret_v)
{
	const struct setting *s = settings;
	const char *env;
	while (strcmp(s->name, name) != 0)
		s++;
	if (s->flag && flag_find(from->argc, from->argv, s->flag, ret_v)) return true;
	if (only_flag) return false;
	env = from->env(from->arg, name);
	if (env && env[0]) {
		*ret_v = hg_str(env);
		return true;
	}
	if (dotenv_find(from->dotenv, hg_str(name), ret_v) && ret_v->n) return true;
	*ret_v = hg_str(s->fallback);
	return false;
}

static enum hg_rc wrong(struct hg_err *err, const char *name, struct hg_str v, const char *want)
{
	return hg_err_set(err, HG_E_INVALID, "%s is \"%.*s\", which is not %s", name,
	        (int)HG_MIN(v.n, 100), v.p, want);
}

static enum hg_rc take(const struct config_sources *from, const char *name, char *to, size_t cap,
        struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	setting_of(from, name, false, &v);
	if (hg_str_copy(v, to, cap)) return HG_OK;
	return hg_err_set(err, HG_E_INVALID, "%s is longer than %zu bytes", name, cap - 1);
}

static enum hg_rc take_number(const struct config_sources *from, const char *name, uint64_t max,
        uint64_t *ret_n, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	char want[48];
	setting_of(from, name, false, &v);
	if (hg_str_u64(v, ret_n) && *ret_n <= max) return HG_OK;
	snprintf(want, sizeof want, "a number up to %llu", (unsigned long long)max);
	return wrong(err, name, v, want);
}

static enum hg_rc take_listeners(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	uint64_t port = 0, fds = 0, pid = 0;
	bool port_flag = setting_of(from, "PORT", true, &v);
	bool port_set = setting_of(from, "PORT", false, &v);
	enum hg_rc rc = take_number(from, "PORT", UINT16_MAX, &port, err);
	if (rc == HG_OK) rc = take(from, "HOST", c->host, sizeof c->host, err);
	if (rc == HG_OK) rc = take(from, "SOCKET", c->socket, sizeof c->socket, err);
	if (rc < 0) return rc;
	c->port = (uint16_t)port;
	/* sd_listen_fds(3): meant for us only when the pid is ours; nobody else sets one. */
	if (setting_of(from, "LISTEN_FDS", false, &v) &&
	        (!hg_str_u64(v, &fds) || fds == 0 || fds > 16))
		return wrong(err, "LISTEN_FDS", v, "a number from 1 to 16");
	if (setting_of(from, "LISTEN_PID", false, &v) &&
	        !(hg_str_u64(v, &pid) && (int64_t)pid == from->pid))
		fds = 0;
	c->listen_fds = (uint32_t)fds;
	c->worker = from->worker;
	c->tcp = c->listen_fds ? port_flag : c->socket[0] || c->worker ? port_set : true;
	return HG_OK;
}

/* "postgres://a,b/x,postgres://c/x": a comma stands between hosts too. */
static enum hg_rc take_replicas(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	setting_of(from, "DATABASE_REPLICAS", false, &v);
	while (v.n) {
		struct hg_str rest = v, one;
		do {
			(void)hg_str_cut(&rest, ',');
		} while (rest.n && !hg_str_starts(hg_str_trim(rest), HG_STR("postgres")));
		one = (struct hg_str){v.p, v.n - rest.n};
		if (rest.n) one.n--;
		one = hg_str_trim(one);
		v = rest;
		if (c->replica_count == HG_COUNT(c->replica))
			return hg_err_set(err, HG_E_INVALID,
			        "DATABASE_REPLICAS names more than %zu replicas",
			        HG_COUNT(c->replica));
		char *to = c->replica[c->replica_count++];
		if (!hg_str_copy(one, to, sizeof c->replica[0]) || !db_url_is_postgres(to))
			return hg_err_set(err, HG_E_INVALID,
			        "DATABASE_REPLICAS has an entry that is not postgres://… (up to "
			        "255 "
			        "bytes)");
	}
	if (c->replica_count && !db_url_is_postgres(c->database))
		return hg_err_set(err, HG_E_INVALID,
		        "DATABASE_REPLICAS is set, but DATABASE_URL is not postgres://…");
	return HG_OK;
}

static enum hg_rc take_pool(const struct config_sources *from, struct config *c, struct hg_err *err)
{
	uint64_t lag = 0, query = 0, connect = 0, size = 0;
	enum hg_rc rc = take_number(from, "DATABASE_LAG_MAX", 3600000, &lag, err);
	if (rc == HG_OK) rc = take_number(from, "DATABASE_TIMEOUT", 600000, &query, err);
	if (rc == HG_OK) rc = take_number(from, "DATABASE_CONNECT_TIMEOUT", 600000, &connect, err);
	if (rc == HG_OK)
		rc = take_number(from, "DATABASE_POOL", DB_POOL_CONNECTIONS_MAX, &size, err);
	c->lag_max_ms = (uint32_t)lag;
	c->query_ms = (uint32_t)query;
	c->connect_ms = (uint32_t)connect;
	c->pool_size = (uint32_t)size;
	return rc;
}

static enum hg_rc take_database(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	enum hg_rc rc = setting_of(from, "DATABASE_URL", false, &v)
	                        ? take(from, "DATABASE_URL", c->database, sizeof c->database, err)
	                        : take(from, "DATABASE_PATH", c->database, sizeof c->database, err);
	if (rc < 0) return rc;
	setting_of(from, "DATABASE_SYNC", false, &v);
	if (hg_str_eq_nocase(v, HG_STR("full")))
		c->durability = DB_FULL;
	else if (hg_str_eq_nocase(v, HG_STR("normal")))
		c->durability = DB_NORMAL;
	else
		return wrong(err, "DATABASE_SYNC", v, "full or normal");
	setting_of(from, "DATABASE_MIGRATE", false, &v);
	c->migrate = hg_str_eq_nocase(v, HG_STR("on"));
	if (!c->migrate && !hg_str_eq_nocase(v, HG_STR("off")))
		return wrong(err, "DATABASE_MIGRATE", v, "on or off");
	rc = take_replicas(from, c, err);
	return rc < 0 ? rc : take_pool(from, c, err);
}

/* A password is needed to the letter: take() and .env keep what is within quotes. */
static enum hg_rc take_smtp(
        const struct config_sources *from, struct outgoing *o, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	uint64_t ms = 0;
	enum hg_rc rc = take(from, "SMTP_URL", o->smtp_url, sizeof o->smtp_url, err);
	if (rc == HG_OK) rc = take(from, "SMTP_USER", o->smtp_user, sizeof o->smtp_user, err);
	if (rc == HG_OK)
		rc = take(from, "SMTP_PASSWORD", o->smtp_password, sizeof o->smtp_password, err);
	if (rc == HG_OK) rc = take(from, "SMTP_CA", o->smtp_ca, sizeof o->smtp_ca, err);
	if (rc == HG_OK) rc = take_number(from, "SMTP_TIMEOUT", 600000, &ms, err);
	if (rc < 0) return rc;
	o->smtp_ms = (uint32_t)HG_MAX(ms, 1u);
	setting_of(from, "SMTP_STARTTLS", false, &v);
	if (hg_str_eq_nocase(v, HG_STR("required")))
		o->smtp_tls = SMTP_TLS_REQUIRED;
	else if (hg_str_eq_nocase(v, HG_STR("try")))
		o->smtp_tls = SMTP_TLS_TRY;
	else if (hg_str_eq_nocase(v, HG_STR("off")))
		o->smtp_tls = SMTP_TLS_OFF;
	else
		return wrong(err, "SMTP_STARTTLS", v, "required, try or off");
	return HG_OK;
}

static enum hg_rc take_address(const struct config_sources *from, const char *name, char *to,
        size_t cap, struct hg_err *err)
{
	struct mail_address a;
	enum hg_rc rc = take(from, name, to, cap, err);
	if (rc < 0 || !to[0] || mail_address_parse(hg_str(to), &a)) return rc;
	return wrong(err, name, hg_str(to), "one address, such as \"Ops <ops@example.com>\"");
}

static enum hg_rc take_outgoing(
        const struct config_sources *from, struct outgoing *o, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	uint64_t ms = 0;
	enum hg_rc rc = take_smtp(from, o, err);
	if (rc == HG_OK)
		rc = take_address(from, "MAIL_FROM", o->mail_from, sizeof o->mail_from, err);
	if (rc == HG_OK && o->smtp_url[0]) {
		struct smtp_server s = {
		        .url = o->smtp_url, .user = o->smtp_user, .password = o->smtp_password};
		rc = smtp_check(&s, err);
		if (rc == HG_OK && !o->mail_from[0])
			rc = hg_err_set(err, HG_E_INVALID,
			        "SMTP_URL is set, but not MAIL_FROM, the sender of mail");
	}
	if (rc == HG_OK) rc = take(from, "WEBHOOK_CA", o->webhook_ca, sizeof o->webhook_ca, err);
	if (rc == HG_OK) rc = take_number(from, "WEBHOOK_TIMEOUT", 60000, &ms, err);
	if (rc < 0) return rc;
	o->webhook_ms = (uint32_t)HG_MAX(ms, 1u);
	setting_of(from, "WEBHOOK_ALLOW", false, &v);
	if (guard_parse(v, &o->webhook_allow, NULL) < 0)
		return wrong(err, "WEBHOOK_ALLOW", v,
		        "a list of at most 16 networks, such as \"10.0.0.0/8, fd00::/8\"");
	return HG_OK;
}

/* "off" or the other word. */
static enum hg_rc take_choice(const struct config_sources *from, const char *name, const char *on,
        bool *ret_on, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	char want[48];
	setting_of(from, name, false, &v);
	*ret_on = hg_str_eq_nocase(v, hg_str(on));
	if (*ret_on || hg_str_eq_nocase(v, HG_STR("off"))) return HG_OK;
	snprintf(want, sizeof want, "%s or off", on);
	return wrong(err, name, v, want);
}

static enum hg_rc take_queues(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	setting_of(from, "QUEUES", false, &v);
	for (struct hg_str rest = v; rest.n;) {
		struct hg_str one = hg_str_trim(hg_str_cut(&rest, ','));
		if (c->queue_count == JOBS_QUEUES_MAX || !text_is_token(one, JOBS_NAME_MAX) ||
		        !hg_str_copy(one, c->queue[c->queue_count++], sizeof c->queue[0]))
			return wrong(err, "QUEUES", v, "up to 8 names with commas between them");
	}
	return c->queue_count ? HG_OK : wrong(err, "QUEUES", v, "a name");
}

static enum hg_rc take_jobs(const struct config_sources *from, struct config *c, struct hg_err *err)
{
	uint64_t slots = 0, lease_s = 0, sent_s = 0;
	enum hg_rc rc = take_choice(from, "WEBHOOKS", "on", &c->webhooks, err);
	if (rc == HG_OK) rc = take_choice(from, "WORKERS", "inline", &c->workers_inline, err);
	if (rc == HG_OK)
		rc = take(from, "NOTIFY_EMAIL", c->notify_email, sizeof c->notify_email, err);
	if (rc == HG_OK) rc = take(from, "EXPORT_DIR", c->export_dir, sizeof c->export_dir, err);
	if (rc == HG_OK) rc = take(from, "QUEUE_URL", c->queue_url, sizeof c->queue_url, err);
	if (rc == HG_OK) rc = take_number(from, "CONCURRENCY", JOBS_SLOTS_MAX, &slots, err);
	if (rc == HG_OK) rc = take_number(from, "JOB_LEASE", 86400, &lease_s, err);
	if (rc == HG_OK) rc = take_number(from, "QUEUE_LEASE", 86400, &sent_s, err);
	if (rc == HG_OK) rc = take_queues(from, c, err);
	if (rc < 0) return rc;
	c->sent_lease_ms = (uint32_t)sent_s * 1000;
	if (!slots) return wrong(err, "CONCURRENCY", HG_STR("0"), "a number from 1 on");
	if (!lease_s) return wrong(err, "JOB_LEASE", HG_STR("0"), "a number of seconds from 1 on");
	c->concurrency = (uint32_t)slots;
	c->lease_ms = (uint32_t)lease_s * 1000;
	struct mail_address to;
	if (c->notify_email[0] && !mail_address_parse(hg_str(c->notify_email), &to))
		return wrong(err, "NOTIFY_EMAIL", hg_str(c->notify_email), "one e-mail address");
	return HG_OK;
}

/* "4M", "512K", "65536" */
static bool size_of(struct hg_str text, uint64_t *ret_bytes)
{
	static const struct {
		char unit;
		unsigned shift;
	} units[] = {{'K', 10}, {'M', 20}, {'G', 30}};
	unsigned shift = 0;
	uint64_t n = 0;
	for (size_t i = 0; text.n && i < HG_COUNT(units); i++)
		if ((text.p[text.n - 1] & ~0x20) == units[i].unit) shift = units[i].shift;
	if (shift) text.n--;
	if (!hg_str_u64(text, &n) || n > (UINT64_C(4) << 30) >> shift) return false;
	*ret_bytes = n << shift;
	return true;
}

static enum hg_rc take_cache(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	uint64_t ttl_s = 0, timeout_ms = 0;
	enum hg_rc rc = take_number(from, "CACHE_TTL_S", 86400, &ttl_s, err);
	if (rc == HG_OK) rc = take_number(from, "REDIS_TIMEOUT_MS", 10000, &timeout_ms, err);
	if (rc == HG_OK) rc = take(from, "REDIS_URL", c->redis, sizeof c->redis, err);
	if (rc < 0) return rc;
	c->cache_ttl_ms = (uint32_t)ttl_s * 1000;
	c->redis_ms = (uint32_t)timeout_ms;
	if (timeout_ms == 0)
		return hg_err_set(err, HG_E_INVALID,
		        "REDIS_TIMEOUT_MS is 0: no command could be "
		        "answered in time");
	setting_of(from, "CACHE_SIZE", false, &v);
	if (!size_of(v, &c->cache_bytes) || c->cache_bytes < CACHE_BYTES_LEAST)
		return wrong(err, "CACHE_SIZE", v, "a size from 64K to 4G, such as 4M");
	if (c->redis[0] && redis_url_wrong(c->redis)) {
		hg_err_set(err, HG_E_INVALID, "REDIS_URL: %s", redis_url_wrong(c->redis));
		hg_err_hint(err, "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:PATH");
		return HG_E_INVALID;
	}
	return HG_OK;
}

static enum hg_rc take_tokens(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	enum hg_rc rc = take(from, "JWT_SECRET", c->jwt_secret, sizeof c->jwt_secret, err);
	if (rc == HG_OK) rc = take(from, "JWT_KEYS", c->jwt_keys, sizeof c->jwt_keys, err);
	if (rc == HG_OK) rc = take(from, "JWT_ISSUER", c->jwt_issuer, sizeof c->jwt_issuer, err);
	if (rc == HG_OK)
		rc = take(from, "JWT_AUDIENCE", c->jwt_audience, sizeof c->jwt_audience, err);
	if (rc == HG_OK) rc = take(from, "JWT_ROLES", c->jwt_roles, sizeof c->jwt_roles, err);
	if (rc < 0) return rc;
	if (c->jwt_secret[0] && c->jwt_keys[0])
		return hg_err_set(err, HG_E_INVALID, "JWT_SECRET and JWT_KEYS exclude each other");
	/* An authority signs for many: a token for another service is none for this one. */
	if (c->jwt_keys[0] && (!c->jwt_issuer[0] || !c->jwt_audience[0]))
		return hg_err_set(err, HG_E_INVALID, "JWT_KEYS needs JWT_ISSUER and JWT_AUDIENCE");
	return HG_OK;
}

static enum hg_rc take_provider(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	const struct {
		const char *name;
		char *to;
		size_t cap;
	} rows[] = {{"OIDC_ISSUER", c->oidc_issuer, sizeof c->oidc_issuer},
	        {"OIDC_CLIENT_ID", c->oidc_client, sizeof c->oidc_client},
	        {"OIDC_CLIENT_SECRET", c->oidc_secret, sizeof c->oidc_secret},
	        {"OIDC_REDIRECT", c->oidc_redirect, sizeof c->oidc_redirect},
	        {"OIDC_SCOPE", c->oidc_scope, sizeof c->oidc_scope},
	        {"OIDC_ROLES", c->oidc_roles, sizeof c->oidc_roles},
	        {"OIDC_NAME", c->oidc_name, sizeof c->oidc_name}};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		enum hg_rc rc = take(from, rows[i].name, rows[i].to, rows[i].cap, err);
		if (rc < 0) return rc;
	}
	if (c->oidc_issuer[0] && (!c->oidc_client[0] || !c->oidc_redirect[0]))
		return hg_err_set(
		        err, HG_E_INVALID, "OIDC_ISSUER needs OIDC_CLIENT_ID and OIDC_REDIRECT");
	return HG_OK;
}

static enum hg_rc take_people(
        const struct config_sources *from, struct config *c, struct hg_err *err)
{
	struct hg_str v = HG_STR("");
	uint64_t idle = 0, max = 0, days = 0;
	enum hg_rc rc = take(from, "ADMIN_KEY", c->admin_key, sizeof c->admin_key, err);
	if (rc == HG_OK) rc = take_number(from, "SESSION_IDLE", 31536000, &idle, err);
	if (rc == HG_OK) rc = take_number(from, "SESSION_MAX", 31536000, &max, err);
	if (rc == HG_OK) rc = take_number(from, "AUDIT_DAYS", 36500, &days, err);
	if (rc < 0) return rc;
	c->session_idle_s = (uint32_t)idle;
	c->session_max_s = (uint32_t)max;
	c->audit_days = (uint32_t)days;
	/* The value is a secret: no message has it. */
	if (c->admin_key[0] && (strlen(c->admin_key) < 16 ||
	                               !text_is_token(hg_str(c->admin_key), sizeof c->admin_key)))
		return hg_err_set(err, HG_E_INVALID,
		        "ADMIN_KEY must have 16 to 128 letters, digits or marks");
	if (days && days < 30)
		return hg_err_set(err, HG_E_INVALID, "AUDIT_DAYS must be 0, or 30 and more");
	rc = take_tokens(from, c, err);
	if (rc == HG_OK) rc = take_provider(from, c, err);
	if (rc < 0) return rc;
	setting_of(from, "AUTH", false, &v);
	if (!access_mode_parse(v, &c->auth))
		return wrong(err, "AUTH", v, "off, optional or required");
	setting_of(from, "REGISTER", false, &v);
	c->register_open = hg_str_eq_nocase(v, HG_STR("open"));
	if (!c->register_open && !hg_str_eq_nocase(v, HG_STR("closed")))
		return wrong(err, "REGISTER", v, "open or closed");
	return HG_OK;
}

/* "0.25" and "1": a share, in millionths. */
static bool share_of(struct hg_str v, uint32_t *ret_ppm)
{
	uint64_t whole = 0, ppm = 0, unit = 100000;
	struct hg_str rest = v, head = hg_str_cut(&rest, '.');
	if (!v.n || (head.n && !hg_str_u64(head, &whole)) || whole > 1) return false;
	for (size_t i = 0; i < rest.n; i++, unit /= 10) {
		if (rest.p[i] < '0' || rest.p[i] > '9') return false;
		ppm += (uint64_t)(rest.p[i] - '0') * unit;
	}
	ppm += whole * 1000000;
	*ret_ppm = (uint32_t)ppm;
	return ppm <= 1000000;
}

static enum hg_rc take_sampler(
        const struct config_sources *from, struct config_traces *t, struct hg_err *err)
{
	static const struct {
		const char *name;
		bool parent, ratio, on;
	} row[] = {{"always_on", false, false, true}, {"always_off", false, false, false},
	        {"traceidratio", false, true, false}, {"parentbased_always_on", true, false, true},
	        {"parentbased_always_off", true, false, false},
	        {"parentbased_traceidratio", true, true, false}};
	struct hg_str v = HG_STR(""), arg = HG_STR("");
	uint32_t ppm = 0;
	setting_of(from, "OTEL_TRACES_SAMPLER", false, &v);
	setting_of(from, "OTEL_TRACES_SAMPLER_ARG", false, &arg);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (!hg_str_eq(v, hg_str(row[i].name))) continue;
		if (row[i].ratio && !share_of(arg, &ppm))
			return wrong(err, "OTEL_TRACES_SAMPLER_ARG", arg, "a share from 0 to 1");
		t->parent_based = row[i].parent;
		t->sample_ppm = row[i].ratio ? ppm : row[i].on ? 1000000 : 0;
		return HG_OK;
	}
	return wrong(
	        err, "OTEL_TRACES_SAMPLER", v, "a sampler that is known (feedback-app --help)");
}

/* The standard's variables. Of its protocols there is OTLP/HTTP with JSON; whoever asks for the
 * binary form of HTTP gets JSON too, which the same address must take. */
static enum hg_rc take_traces(
        const struct config_sources *from, struct config_traces *t, struct hg_err *err)
{
	struct hg_str v = HG_STR(""), base = HG_STR("");
	uint64_t timeout = 0, delay = 0;
	enum hg_rc rc =
	        take(from, "OTEL_EXPORTER_OTLP_HEADERS", t->headers, sizeof t->headers, err);
	if (rc == HG_OK) rc = take(from, "OTEL_SERVICE_NAME", t->service, sizeof t->service, err);
	if (rc == HG_OK)
		rc = take(from, "OTEL_RESOURCE_ATTRIBUTES", t->resource, sizeof t->resource, err);
	if (rc == HG_OK)
		rc = take_number(from, "OTEL_EXPORTER_OTLP_TIMEOUT", 600000, &timeout, err);
	if (rc == HG_OK) rc = take_number(from, "OTEL_BSP_SCHEDULE_DELAY", 600000, &delay, err);
	if (rc == HG_OK) rc = take_sampler(from, t, err);
	if (rc < 0) return rc;
	t->timeout_ms = (uint32_t)HG_MAX(timeout, 1u);
	t->delay_ms = (uint32_t)HG_MAX(delay, 1u);
	setting_of(from, "OTEL_SDK_DISABLED", false, &v);
	if (hg_str_eq_nocase(v, HG_STR("true"))) return HG_OK;
	setting_of(from, "OTEL_TRACES_EXPORTER", false, &v);
	if (hg_str_eq(v, HG_STR("none"))) return HG_OK;
	if (!hg_str_eq(v, HG_STR("otlp")))
		return wrong(err, "OTEL_TRACES_EXPORTER", v, "otlp or none");
	struct hg_out o = hg_out_over(t->url, sizeof t->url - 1);
	if (setting_of(from, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", false, &v)) {
		hg_out_str(&o, v);
	} else if (setting_of(from, "OTEL_EXPORTER_OTLP_ENDPOINT", false, &base)) {
		while (hg_str_ends(base, HG_STR("/")))
			base.n--;
		hg_out_fmt(&o, "%.*s/v1/traces", HG_STR_ARG(base));
	}
	t->url[hg_out_failed(&o) ? 0 : o.n] = 0;
	if (!o.n) return HG_OK;
	bool http = hg_str_starts(hg_str(t->url), HG_STR("http://")) ||
	            hg_str_starts(hg_str(t->url), HG_STR("https://"));
	if (hg_out_failed(&o) || !http)
		return wrong(err, "OTEL_EXPORTER_OTLP_ENDPOINT", base.n ? base : v,
		        "http://HOST:PORT or https://…");
	setting_of(from, "OTEL_EXPORTER_OTLP_PROTOCOL", false, &v);
	if (hg_str_eq(v, HG_STR("http/json")) || hg_str_eq(v, HG_STR("http/protobuf")))
		return HG_OK;
	wrong(err, "OTEL_EXPORTER_OTLP_PROTOCOL", v, "http/json");
	hg_err_hint(err, "Name the receiver's address for HTTP, which is port 4318 by custom.");
	return HG_E_INVALID;
}

enum hg_rc config_read(
        const struct config_sources *from, struct config *ret_config, struct hg_err *err)
{
	struct config c = {0};
	struct hg_str v = HG_STR("");
	uint64_t drain_s = 0;
	enum hg_rc rc = check_arguments(from, &c, err);
	if (rc < 0 || c.help || c.version) goto out;
	rc = take_listeners(from, &c, err);
	if (rc == HG_OK) rc = take_database(from, &c, err);
	if (rc == HG_OK) rc = take_outgoing(from, &c.outgoing, err);
	if (rc == HG_OK) rc = take_jobs(from, &c, err);
	if (rc == HG_OK) rc = take_cache(from, &c, err);
	if (rc == HG_OK) rc = take(from, "LOG_FILE", c.log_file, sizeof c.log_file, err);
	if (rc == HG_OK) rc = take(from, "ENVIRONMENT", c.environment, sizeof c.environment, err);
	if (rc == HG_OK) rc = take_people(from, &c, err);
	if (rc == HG_OK) rc = take_traces(from, &c.traces, err);
	if (rc == HG_OK) rc = take_number(from, "DRAIN_SECONDS", 3600, &drain_s, err);
	if (rc < 0) return rc;
	c.drain_ms = (uint32_t)drain_s * 1000;
	setting_of(from, "LOG_LEVEL", false, &v);
	if (!hg_level_parse(v, &c.level))
		return wrong(err, "LOG_LEVEL", v, "DEBUG, INFO, WARNING or ERROR");
	v = HG_STR("");
	setting_of(from, "FEEDBACK_FAULT", false, &v);
	if (!fault_parse(v, &c.fault))
		return wrong(
		        err, "FEEDBACK_FAULT", v, "KIND[:SHARE%][:TIME] (feedback-app --help)");
out:
	if (rc == HG_OK) *ret_config = c;
	return rc;
}
