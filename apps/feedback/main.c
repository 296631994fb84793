/* Wiring: settings, database, sockets, signals. Listens only when the database is ready. */
#include "apps/feedback/app_priv.h"
#include "apps/feedback/commands_priv.h"
#include "apps/feedback/jobs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define DOTENV_MAX    (64u << 10)
#define MESSAGE_MAX   (64u << 10) /* bytes of a request body */
#define LISTENERS_MAX 18
#define BACKLOG       4096
#define CLIENTS_MAX   32768u /* connections; fewer when the machine gives fewer descriptors */
#define FILES_OF_OURS 512u   /* descriptors for databases, brokers, mail, the log */

struct program {
	struct config config;
	struct loop *loop;
	struct jsonlog *log;
	struct app app;
	bool app_ready;
	struct serve *serve;
	int listeners[LISTENERS_MAX];
	size_t listener_count;
	bool worker, stopping;
	int ending; /* what a stop waits for */
};

static const char *env(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

static enum hg_rc read_dotenv(const char *path, bool must, struct hg_buf *to, struct hg_err *err)
{
	FILE *f = fopen(path, "re");
	char *room;
	if (!f && !must && errno == ENOENT) return HG_OK;
	if (!f) return hg_err_set(err, HG_E_IO, "could not read \"%s\": %s", path, strerror(errno));
	room = hg_buf_room(to, DOTENV_MAX);
	if (room) hg_buf_add(to, fread(room, 1, DOTENV_MAX, f));
	bool whole = room && feof(f);
	fclose(f);
	if (whole) return HG_OK;
	return hg_err_set(err, HG_E_TOO_LARGE, "\"%s\" is larger than 64 KiB", path);
}

static enum hg_rc configure(struct program *p, int argc, char **argv, struct hg_err *err)
{
	struct hg_str named = config_env_file(argc, (const char *const *)argv);
	struct hg_buf dotenv;
	enum hg_rc rc;
	hg_buf_init(&dotenv, DOTENV_MAX + 1);
	rc = read_dotenv(named.n ? named.p : ".env", named.n > 0, &dotenv, err);
	if (rc == HG_OK) {
		struct config_sources from = {argc, (const char *const *)argv, env, NULL,
		        hg_buf_view(&dotenv), getpid(), p->worker};
		rc = config_read(&from, &p->config, err);
	}
	hg_buf_free(&dotenv);
	return rc;
}

static enum hg_rc add_listener(struct program *p, int fd, struct hg_err *err)
{
	struct sock_addr a;
	char text[SOCK_TEXT_MAX + 1] = "";
	enum hg_rc rc = serve_listen(p->serve, fd, (uint32_t)p->listener_count);
	if (rc < 0) return hg_err_set(err, rc, "could not listen on descriptor %d", fd);
	HG_ASSERT(p->listener_count < LISTENERS_MAX);
	p->listeners[p->listener_count++] = fd;
	if (sock_local(fd, &a)) text[sock_addr_text(&a, text, SOCK_TEXT_MAX)] = 0;
	jsonlog(p->log, HG_INFO, "feedback", "listening", HG_S("address", text),
	        HG_I("port", sock_local(fd, &a) ? sock_addr_port(&a) : 0));
	return HG_OK;
}

static enum hg_rc listen_on(struct program *p, const char *text, struct hg_err *err)
{
	struct sock_addr a;
	int fd;
	if (!sock_addr_parse(hg_str(text), &a))
		return hg_err_set(err, HG_E_INVALID, "\"%s\" is not an address to listen on", text);
	fd = sock_listen(&a, BACKLOG);
	if (fd < 0)
		return hg_err_set(err, HG_E_IO, "could not listen on %s: %s", text, strerror(-fd));
	enum hg_rc rc = add_listener(p, fd, err);
	if (rc < 0) close(fd);
	return rc;
}

static enum hg_rc listen_all(struct program *p, struct hg_err *err)
{
	const struct config *c = &p->config;
	enum hg_rc rc = HG_OK;
	char text[160];
	for (uint32_t i = 0; rc == HG_OK && i < c->listen_fds; i++) {
		int fd = 3 + (int)i, flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return hg_err_set(err, HG_E_IO, "descriptor %d of LISTEN_FDS: %s", fd,
			        strerror(errno));
		rc = add_listener(p, fd, err);
	}
	if (rc == HG_OK && c->socket[0]) {
		snprintf(text, sizeof text, "unix:%s", c->socket);
		rc = listen_on(p, text, err);
	}
	if (rc == HG_OK && c->tcp) {
		bool six = strchr(c->host, ':') && c->host[0] != '[';
		snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", c->host, c->port);
		rc = listen_on(p, text, err);
	}
	return rc;
}

static void on_drained(void *arg)
{
	struct program *p = arg;
	if (--p->ending == 0) loop_stop(p->loop);
}

static void on_signal(struct loop *l, int signo, void *arg)
{
	struct program *p = arg;
	jsonlog(p->log, HG_INFO, "feedback", p->stopping ? "stopping at once" : "draining",
	        HG_S("signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"),
	        HG_I("connections", serve_connections(p->serve)));
	if (p->stopping) {
		loop_stop(l);
		return;
	}
	p->stopping = true;
	p->ending = p->app.workers ? 2 : 1;
	serve_drain(p->serve, p->config.drain_ms, on_drained, p);
	if (p->app.workers) worker_stop(p->app.workers, p->config.drain_ms, on_drained, p);
}

/* How many clients there may be: all descriptors that may be had but for our own. */
static uint32_t clients_max(void)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0) return 0;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0 && getrlimit(RLIMIT_NOFILE, &rl) < 0) return 0;
	if (rl.rlim_cur < 2 * FILES_OF_OURS) return (uint32_t)HG_MAX(rl.rlim_cur / 2, 16u);
	return (uint32_t)HG_MIN(rl.rlim_cur - FILES_OF_OURS, CLIENTS_MAX);
}

static enum hg_rc start(struct program *p, struct hg_err *err)
{
	struct serve_options so = {.name = "feedback",
	        .connections_max = clients_max(),
	        .body_max = MESSAGE_MAX,
	        .handle = app_handle,
	        .done = app_done,
	        .error_body = app_error_body,
	        .arg = &p->app};
	enum hg_rc rc = loop_new(&p->loop);
	if (rc < 0) return hg_err_set(err, rc, "could not create the event loop");
	rc = jsonlog_new(p->loop, p->config.level, p->config.log_file, &p->log);
	if (rc < 0)
		return hg_err_set(err, rc, "could not open the log file \"%s\": %s",
		        p->config.log_file, strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	char database[sizeof p->config.database];
	db_url_text(p->config.database, database, sizeof database);
	jsonlog(p->log, HG_INFO, "feedback", "starting", HG_S("version", HG_VERSION),
	        HG_S("environment", p->config.environment), HG_S("database", database),
	        HG_S("fault", p->config.fault.kind ? "on" : ""));
	/* Before signals are taken: while it waits for a server, they end it as they always do. */
	p->app_ready = true;
	rc = app_init(&p->app, p->loop, p->log, &p->config, err);
	if (rc < 0) return rc;
	rc = loop_signal(p->loop, SIGTERM, on_signal, p);
	if (rc == HG_OK) rc = loop_signal(p->loop, SIGINT, on_signal, p);
	if (rc < 0) return hg_err_set(err, rc, "could not take signals");
	rc = serve_new(p->loop, &so, &p->serve);
	if (rc < 0) return hg_err_set(err, rc, "could not create the server");
	return listen_all(p, err);
}

static void stop(struct program *p)
{
	if (p->app_ready) app_stop(&p->app);
	if (p->serve) serve_free(p->serve);
	if (p->app_ready) app_fini(&p->app);
	for (size_t i = 0; i < p->listener_count; i++)
		close(p->listeners[i]);
	if (p->config.socket[0] && p->listener_count) unlink(p->config.socket);
	if (p->log) jsonlog(p->log, HG_INFO, "feedback", "stopped");
	jsonlog_free(p->log);
	if (p->loop) loop_free(p->loop);
}

static void complain(const struct hg_err *err)
{
	fprintf(stderr, "feedback-app: %s\n", err->message[0] ? err->message : "failed");
	if (err->detail[0]) fprintf(stderr, "  %s\n", err->detail);
	if (err->hint[0]) fprintf(stderr, "  hint: %s\n", err->hint);
}

/* Takes "--name value" out of the arguments; NULL when it is not there. */
static const char *take_flag(int *argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < *argc; i++) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], name) != 0) continue;
		for (int k = i; k + 2 <= *argc; k++)
			argv[k] = argv[k + 2];
		*argc -= 2;
		return value;
	}
	return NULL;
}

static enum hg_rc take_count(
        int *argc, char **argv, const char *name, uint32_t *ret_n, struct hg_err *err)
{
	const char *text = take_flag(argc, argv, name);
	uint64_t n = 0;
	if (!text) return HG_OK;
	if (!hg_str_u64(hg_str(text), &n) || n < 1 || n > 100000)
		return hg_err_set(err, HG_E_INVALID, "%s is a number from 1 to 100000", name);
	*ret_n = (uint32_t)n;
	return HG_OK;
}

static enum hg_rc run_migrate(int argc, char **argv, struct hg_err *err)
{
	struct program p = {0};
	uint32_t steps = 1;
	struct hg_str action = hg_str(argc > 1 ? argv[1] : "");
	enum hg_rc rc = take_count(&argc, argv, "--steps", &steps, err);
	/* The rest are settings: where the database is. */
	if (rc == HG_OK && argc > 1) rc = configure(&p, argc - 1, argv + 1, err);
	return rc < 0 ? rc : command_migrate(p.config.database, action, steps, stdout, err);
}

/* user ACTION [EMAIL] [--role ROLE], and settings. */
static enum hg_rc run_user(int argc, char **argv, struct hg_err *err)
{
	struct program p = {0};
	struct command_user u = {.role = take_flag(&argc, argv, "--role")};
	int used = 1;
	u.action = hg_str(argc > used ? argv[used++] : "");
	if (argc > used && argv[used][0] != '-') u.email = argv[used++];
	if (argc > used && argv[used][0] != '-' && !u.role) u.role = argv[used++];
	enum hg_rc rc = configure(&p, argc - used + 1, argv + used - 1, err);
	if (rc < 0) return rc;
	u.url = p.config.database;
	u.migrate = p.config.migrate;
	return command_user(&u, stdout, err);
}

static enum hg_rc run_move(int argc, char **argv, struct hg_err *err)
{
	struct move_options o = {
	        .from = take_flag(&argc, argv, "--from"), .to = take_flag(&argc, argv, "--to")};
	enum hg_rc rc = take_count(&argc, argv, "--batch", &o.batch, err);
	if (rc < 0) return rc;
	if (argc == 1 && o.from && o.to) return command_move(&o, stdout, err);
	hg_err_set(err, HG_E_INVALID, "move needs --from and --to, and nothing else but --batch");
	hg_err_hint(err, "feedback-app move --from sqlite:PATH --to postgres://USER@HOST/NAME");
	return HG_E_INVALID;
}

static enum hg_rc run_mail(int argc, char **argv, struct hg_err *err)
{
	struct program p = {0};
	if (argc < 3 || strcmp(argv[1], "test") != 0)
		return hg_err_set(err, HG_E_INVALID, "mail test ADDRESS");
	enum hg_rc rc = configure(&p, argc - 2, argv + 2, err);
	return rc < 0 ? rc : command_mail_test(&p.config.outgoing, argv[2], stdout, err);
}

static enum hg_rc run_webhooks(int argc, char **argv, struct hg_err *err)
{
	struct program p = {0};
	struct hg_str action = hg_str(argc > 1 ? argv[1] : "");
	int words = argc > 2 && argv[2][0] != '-' ? 2 : argc > 1 ? 1 : 0;
	const char *what = words == 2 ? argv[2] : NULL;
	enum hg_rc rc = configure(&p, argc - words, argv + words, err);
	return rc < 0 ? rc : command_webhooks(&p.config, action, what, stdout, err);
}

static void help_jobs(void)
{
	puts("feedback-app jobs list [--state S] [--queue Q] [--kind K] [--limit N] [--json yes]\n"
	     "feedback-app jobs show ID\n"
	     "feedback-app jobs retry ID | --state dead [--queue Q]\n"
	     "feedback-app jobs purge ID | --state dead [--queue Q]\n"
	     "feedback-app jobs stats\n"
	     "feedback-app jobs put --kind K [--queue Q] [--args JSON] [--in SECONDS]\n"
	     "                  [--unique KEY] [--priority 0-2] [--attempts N]\n"
	     "\n"
	     "States: available, running, retryable, dead, done. What is dead is not tried again\n"
	     "unless somebody asks. A unique key is taken while its job is unfinished. Where the\n"
	     "database is, --database or DATABASE_URL says.");
}

static enum hg_rc take_number(
        int *argc, char **argv, const char *name, uint64_t max, uint64_t *ret_n, struct hg_err *err)
{
	const char *text = take_flag(argc, argv, name);
	if (!text || (hg_str_u64(hg_str(text), ret_n) && *ret_n <= max)) return HG_OK;
	return hg_err_set(
	        err, HG_E_INVALID, "%s is a number up to %llu", name, (unsigned long long)max);
}

static enum hg_rc read_jobs(int *argc, char **argv, struct jobs_command *o, struct hg_err *err)
{
	uint64_t limit = 50, in_s = 0, priority = 1, attempts = 0, id = 0;
	const char *state = take_flag(argc, argv, "--state");
	const char *json = take_flag(argc, argv, "--json");
	o->queue = take_flag(argc, argv, "--queue");
	o->kind = take_flag(argc, argv, "--kind");
	o->args = take_flag(argc, argv, "--args");
	o->unique_key = take_flag(argc, argv, "--unique");
	enum hg_rc rc = take_number(argc, argv, "--limit", 1000, &limit, err);
	if (rc == HG_OK) rc = take_number(argc, argv, "--in", 10ull * 366 * 86400, &in_s, err);
	if (rc == HG_OK) rc = take_number(argc, argv, "--priority", 2, &priority, err);
	if (rc == HG_OK) rc = take_number(argc, argv, "--attempts", 1000, &attempts, err);
	if (rc < 0) return rc;
	o->json = json && strcmp(json, "no") != 0;
	o->limit = (uint32_t)limit;
	o->in_s = (int64_t)in_s;
	o->priority = (uint32_t)priority;
	o->attempts = (uint32_t)attempts;
	o->by_state = state != NULL;
	if (state && !jobs_state_parse(hg_str(state), &o->state))
		return hg_err_set(err, HG_E_INVALID,
		        "--state is available, running, retryable, dead or done");
	if (*argc > 2 && hg_str_u64(hg_str(argv[2]), &id) && id <= INT64_MAX) {
		o->id = (int64_t)id;
		for (int k = 2; k + 1 <= *argc; k++)
			argv[k] = argv[k + 1];
		(*argc)--;
	}
	return HG_OK;
}

static enum hg_rc run_jobs(int argc, char **argv, struct hg_err *err)
{
	struct program p = {0};
	struct jobs_command o = {.action = argc > 1 ? argv[1] : "help"};
	if (strcmp(o.action, "help") == 0 || strcmp(o.action, "--help") == 0) {
		help_jobs();
		return HG_OK;
	}
	enum hg_rc rc = read_jobs(&argc, argv, &o, err);
	/* The rest are settings: where the database is. */
	if (rc == HG_OK) rc = configure(&p, argc - 1, argv + 1, err);
	return rc < 0 ? rc : command_jobs(&p.config, &o, stdout, err);
}

/* True: the first argument named a command, and *ret_status is its end. */
static bool run_command(int argc, char **argv, int *ret_status)
{
	struct hg_str name = hg_str(argc > 1 ? argv[1] : "");
	struct hg_err err = {0};
	enum hg_rc rc;
	if (hg_str_eq(name, HG_STR("migrate")))
		rc = run_migrate(argc - 1, argv + 1, &err);
	else if (hg_str_eq(name, HG_STR("user")))
		rc = run_user(argc - 1, argv + 1, &err);
	else if (hg_str_eq(name, HG_STR("move")))
		rc = run_move(argc - 1, argv + 1, &err);
	else if (hg_str_eq(name, HG_STR("mail")))
		rc = run_mail(argc - 1, argv + 1, &err);
	else if (hg_str_eq(name, HG_STR("webhooks")))
		rc = run_webhooks(argc - 1, argv + 1, &err);
	else if (hg_str_eq(name, HG_STR("jobs")))
		rc = run_jobs(argc - 1, argv + 1, &err);
	else
		return false;
	if (rc < 0) complain(&err);
	*ret_status = rc == HG_OK ? 0 : hg_rc_info(rc)->exit_status;
	return true;
}

int main(int argc, char **argv)
{
	int status = 0;
	if (run_command(argc, argv, &status)) return status;
	struct program p = {.worker = argc > 1 && strcmp(argv[1], "worker") == 0};
	struct hg_err err = {0};
	enum hg_rc rc = configure(&p, argc - p.worker, argv + p.worker, &err);
	if (rc == HG_OK && p.config.help) {
		fputs(config_help(), stdout);
		return 0;
	}
	if (rc == HG_OK && p.config.version) {
		puts("feedback-app " HG_VERSION);
		return 0;
	}
	if (rc == HG_OK) rc = start(&p, &err);
	if (rc == HG_OK) rc = loop_run(p.loop);
	if (rc < 0) complain(&err);
	stop(&p);
	return rc == HG_OK ? 0 : hg_rc_info(rc)->exit_status;
}
