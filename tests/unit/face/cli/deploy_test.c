/*
 * Whole rollouts through the command line, against the real API on a real unix socket. The room is
 * played from a list of documents; control dies in the middle and comes back, as it does in life:
 * the listener is its parent's and stays.
 */
#include "../../test.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAKES_REAL_SERVE
#define FAKES_OWN_ROLLOUTS
#include "../api/fakes.h"

#include "face/cli/rollout_priv.h"

#include "rollout_docs.h"

/* Shared by the test, every incarnation of control, and the log store. */
struct stage {
	const char *docs[16]; /* the last one stays */
	uint32_t at;
	uint32_t hold; /* documents from here on come when `keys` says so */
	uint32_t keys;
	uint32_t die_at; /* the question at which control dies, once; 0: never */
	uint32_t lives, interrupt_at, promotes, aborts, asked;
	uint32_t away_ms; /* between two lives of control */
	pid_t person;     /* gets SIGINT at the question `interrupt_at` */
	enum hg_rc deploy_rc;
	char deploy[512], logs[512], list[2048];
	uint32_t to;
};

struct rollouts {
	struct stage *stage;
};

static enum hg_rc result(enum hg_rc rc, struct hg_err *err)
{
	return rc < 0 ? hg_err_set(err, rc, "the room says no") : HG_OK;
}

enum hg_rc rollouts_deploy(
        struct rollouts *r, const struct rollouts_deploy *d, uint64_t *ret_id, struct hg_err *err)
{
	int n = snprintf(r->stage->deploy, sizeof r->stage->deploy, "%.*s|%.*s|%.*s|%.*s|%.*s",
	        HG_STR_ARG(d->app), HG_STR_ARG(d->version), HG_STR_ARG(d->artifact),
	        HG_STR_ARG(d->strategy), HG_STR_ARG(d->override));
	for (uint32_t i = 0; i < d->env_count; i++)
		n += snprintf(r->stage->deploy + n, 64, "|%.*s=%.*s", HG_STR_ARG(d->env[i].name),
		        HG_STR_ARG(d->env[i].value));
	*ret_id = 42;
	return result(r->stage->deploy_rc, err);
}

enum hg_rc rollouts_do(struct rollouts *r, uint64_t id, enum rollouts_verb verb, struct hg_str who,
        uint64_t *ret_id, struct hg_err *err)
{
	(void)who;
	r->stage->promotes += verb == ROLLOUTS_PROMOTE || verb == ROLLOUTS_PROMOTE_FULL;
	r->stage->aborts += verb == ROLLOUTS_ABORT;
	r->stage->keys++;
	*ret_id = verb == ROLLOUTS_RETRY ? id + 1 : id;
	return result(r->stage->deploy_rc, err);
}

enum hg_rc rollouts_rollback(struct rollouts *r, struct hg_str app, uint32_t release,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err)
{
	(void)app, (void)who;
	r->stage->to = release;
	*ret_id = 42;
	return result(r->stage->deploy_rc, err);
}

void rollouts_metrics(const struct rollouts *r, struct hg_buf *to)
{
	(void)r;
	hg_buf_cstr(to, "headgate_rollout_info{app=\"web\"} 1\n");
}

enum hg_rc rollouts_list_json(struct rollouts *r, struct hg_str app, uint32_t limit,
        struct hg_buf *to, struct hg_err *err)
{
	(void)app, (void)limit, (void)err;
	hg_buf_fmt(to, "{\"schema\":\"headgate.rollouts/1\",\"rollouts\":[%s]}", r->stage->list);
	return HG_OK;
}

enum hg_rc rollouts_show_json(
        struct rollouts *r, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	struct stage *s = r->stage;
	if (id != 42) return hg_err_set(err, HG_E_NOT_FOUND, "there is no rollout %d", (int)id);
	s->asked++;
	if (s->die_at && s->asked == s->die_at) raise(SIGKILL);
	if (s->interrupt_at && s->asked == s->interrupt_at) kill(s->person, SIGINT);
	hg_buf_cstr(to, s->docs[s->at]);
	bool held = s->hold && s->at + 1 >= s->hold && !s->keys;
	if (s->docs[s->at + 1] && !held) s->at++;
	return HG_OK;
}

enum hg_rc rollouts_plan_json(
        struct rollouts *r, const struct rollouts_deploy *d, struct hg_buf *to, struct hg_err *err)
{
	(void)r, (void)d, (void)err;
	hg_buf_cstr(to,
	        "{\"schema\":\"headgate.plan/1\",\"app\":\"web\",\"strategy\":\"rolling\","
	        "\"old\":{\"release\":7,\"version\":\"1.7.3\"},\"new\":{\"release\":0,"
	        "\"version\":\"1.8.0\"},\"changes\":[],\"traffic\":{\"requests_per_second\":"
	        "0},\"steps\":[],\"total_ms\":1000,\"detects\":[],\"warnings\":[]}");
	return HG_OK;
}

struct world {
	char dir[64];
	int listener;
	pid_t warden, observe;
	struct stage *stage;
};

static HG_NORETURN void control_forever(const struct world *w)
{
	struct loop *loop;
	struct store *store;
	struct api *api;
	struct fleet fleet = {0};
	struct rollouts rollouts = {w->stage};
	struct hg_err err = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	HG_ASSERT(loop_new(&loop) == HG_OK);
	HG_ASSERT(store_open(w->dir, &store, &err) == HG_OK);
	struct api_deps d = {.loop = loop,
	        .fleet = &fleet,
	        .rollouts = &rollouts,
	        .store = store,
	        .data_dir = w->dir,
	        .control_fd = w->listener,
	        .admin_fd = -1,
	        .owner_uid = getuid()};
	HG_ASSERT(api_new(&d, &api, &err) == HG_OK);
	_exit(loop_run(loop) == HG_OK ? 0 : 1);
}

static void sleep_ms(uint32_t ms)
{
	nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static HG_NORETURN void warden_forever(const struct world *w)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pid_t control = fork();
		if (control == 0) control_forever(w);
		w->stage->lives++;
		waitpid(control, NULL, 0);
		w->stage->die_at = 0;
		sleep_ms(w->stage->away_ms);
	}
}

/* Answers every question with one line and keeps the question. */
static HG_NORETURN void observe_forever(const struct world *w, int listener)
{
	static const char line[] =
	        "{\"ts\":\"2026-11-23T20:14:03.123456Z\",\"level\":\"error\",\"app\":\"feedback\","
	        "\"release\":8,\"replica\":4,\"text\":\"no such \\u001b[31mcolumn\"}\n";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		char text[2048];
		int fd = accept(listener, NULL, NULL);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		text[HG_MAX(n, 0)] = 0;
		snprintf(w->stage->logs, sizeof w->stage->logs, "%.*s", (int)strcspn(text, "\r"),
		        text);
		n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		        strlen(line), line);
		if (write(fd, text, (size_t)n) < 0) _exit(1);
		close(fd);
	}
}

static int listen_on(const char *dir, const char *name)
{
	struct sock_addr addr;
	char path[128];
	snprintf(path, sizeof path, "unix:%s/%s", dir, name);
	assert_true(sock_addr_parse(hg_str(path), &addr));
	int fd = sock_listen(&addr, 16);
	assert_true(fd >= 0);
	return fd;
}

static int setup(void **s)
{
	struct world *w = calloc(1, sizeof *w);
	char run[96];
	snprintf(w->dir, sizeof w->dir, "/tmp/hg-deploy-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(run, sizeof run, "%s/run", w->dir);
	assert_int_equal(mkdir(run, 0700), 0);
	w->stage = mmap(
	        NULL, sizeof *w->stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->stage != MAP_FAILED);
	w->stage->person = getpid();
	w->listener = listen_on(w->dir, "control.sock");
	int logs = listen_on(w->dir, "run/observe.sock");
	assert_int_equal(fcntl(logs, F_SETFL, 0), 0);
	fflush(NULL);
	w->warden = fork();
	if (w->warden == 0) warden_forever(w);
	w->observe = fork();
	if (w->observe == 0) observe_forever(w, logs);
	close(logs);
	setenv("HEADGATE_DATA", w->dir, 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	*s = w;
	return 0;
}

static int teardown(void **s)
{
	struct world *w = *s;
	char command[128];
	kill(w->warden, SIGKILL);
	kill(w->observe, SIGKILL);
	waitpid(w->warden, NULL, 0);
	waitpid(w->observe, NULL, 0);
	close(w->listener);
	munmap(w->stage, sizeof *w->stage);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static int words(const char *line, char copy[256], char *argv[24])
{
	int argc = 0;
	snprintf(copy, 256, "headgate %s", line);
	for (char *at = copy; at && *at;) {
		argv[argc++] = at;
		at = strchr(at, ' ');
		if (at) *at++ = 0;
	}
	return argc;
}

/* Runs the program; what it wrote on stdout, and on stderr, as text. Exit status. */
static int run(const char *line, char out[16384], char errors[8192])
{
	static const struct cli_deps deps = {0};
	char copy[256], *argv[24];
	int argc = words(line, copy, argv), was[2] = {dup(1), dup(2)};
	FILE *files[2] = {tmpfile(), tmpfile()};
	fflush(NULL);
	dup2(fileno(files[0]), 1);
	dup2(fileno(files[1]), 2);
	int status = cli_main(argc, argv, &deps);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(was[i], i + 1);
		close(was[i]);
		rewind(files[i]);
	}
	out[fread(out, 1, 16383, files[0])] = 0;
	errors[fread(errors, 1, 8191, files[1])] = 0;
	fclose(files[0]);
	fclose(files[1]);
	return status;
}

static void play(struct world *w, const char *const *docs)
{
	memset(w->stage->docs, 0, sizeof w->stage->docs);
	w->stage->at = w->stage->asked = w->stage->keys = w->stage->hold = 0;
	for (size_t i = 0; docs[i]; i++)
		w->stage->docs[i] = docs[i];
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void a_rollout_is_followed_to_its_promotion_though_control_dies(void **s)
{
	struct world *w = *s;
	char out[16384], errors[8192];
	play(w, (const char *const[]){doc_start, doc_step, doc_step, doc_promoted, NULL});
	w->stage->die_at = 3;
	w->stage->away_ms = 2500; /* longer than one question waits */
	assert_int_equal(run("deploy web --version 1.8.0", out, errors), 0);
	assert_int_equal(w->stage->lives, 2);
	assert_string_equal(out,
	        "feedback 1.7.3 → 1.8.0   canary   rollout 42\n"
	        "   0.00s  ◌ start           0/1 replicas ready\n"
	        "   1m40s  ◌ step 10 %       2/4\n"
	        "  25m10s  ✔ promoted        1.8.0 serves 100 %\n"
	        "\n"
	        " ✔ promoted: 1.8.0 serves, after 25m10s                                   exit 0\n"
	        "   users    0 errors seen: 3 of 3 failures answered by 1.7.3\n"
	        "   now      1.8.0 serves 100 %, 3 of 3 replicas ready\n"
	        "   next     headgate rollouts show 42 --watch\n");
	assert_int_equal(count(errors, "control is away"), 1);
	assert_int_equal(count(errors, "control answers again"), 1);
}

static void a_rollback_ends_with_4_and_the_lines_of_the_replica(void **s)
{
	struct world *w = *s;
	char out[16384], errors[8192];
	play(w, (const char *const[]){doc_start, doc_step, doc_back, NULL});
	assert_int_equal(run("deploy web --version 1.8.0 --wait", out, errors), 4);
	assert_non_null(strstr(out, "rolled back from 10 % after 0.07s"));
	assert_non_null(strstr(out, "logs     20:14:03.123 error feedback.8.4 no such column\n"));
	assert_non_null(strstr(out, "next     headgate rollouts why 42\n"));
	assert_string_equal(w->stage->logs,
	        "GET /v1/logs?app=feedback&release=8&replica=4&since=1099020&until=1101020&"
	        "limit=50&order=oldest HTTP/1.1");
	/* Without a log store nothing of that changes. */
	kill(w->observe, SIGKILL);
	play(w, (const char *const[]){doc_back, NULL});
	assert_int_equal(run("deploy web --version 1.8.0", out, errors), 4);
	assert_non_null(strstr(out, "now      1.7.3 serves 100 %"));
}

static void every_end_has_its_exit_code(void **s)
{
	static const struct row {
		const char *line, *doc;
		enum hg_rc rc;
		int status;
		const char *say; /* somewhere in what it wrote */
	} rows[] = {
	        {"deploy web", doc_promoted, HG_OK, 0, "promoted"},
	        {"deploy web", doc_ended, HG_OK, 0, "promoted"},
	        {"deploy web", doc_back, HG_OK, 4, "rolled back"},
	        {"deploy web", doc_hostile, HG_OK, 4, "rolled back"},
	        {"deploy web", doc_degraded, HG_OK, 7, "needs a human"},
	        {"deploy web --timeout 300ms", doc_step, HG_OK, 5, "show 42 --watch"},
	        {"deploy web --timeout 300ms", doc_waiting, HG_OK, 5, "next: headgate promote 42"},
	        {"deploy web --timeout 300ms --json", doc_step, HG_OK, 5, "\"exit\": 5"},
	        {"deploy web --detach", doc_step, HG_OK, 0, "began rollout 42"},
	        {"deploy web -d --json", doc_step, HG_OK, 0, "headgate.deploy/1"},
	        {"deploy web --detach --wait", doc_step, HG_OK, 2, "does not wait"},
	        {"deploy web --dry-run", doc_step, HG_OK, 0, "nothing was changed"},
	        {"deploy web --dry-run --json", doc_step, HG_OK, 0, "headgate.plan/1"},
	        {"plan web --strategy canary", doc_step, HG_OK, 0, "nothing was changed"},
	        {"plan web --strategy yolo", doc_step, HG_OK, 2, "blue-green"},
	        {"deploy nope", doc_step, HG_OK, 2, "no app"},
	        {"deploy wep", doc_step, HG_OK, 2, "did you mean \"web\"?"},
	        {"deploy we?b", doc_step, HG_OK, 2, "no app"},
	        {"deploy web --env A", doc_step, HG_OK, 2, "NAME=VALUE"},
	        {"deploy web --env A=1 --env A=2", doc_step, HG_OK, 2, "twice"},
	        {"deploy web --env 1=2", doc_step, HG_OK, 2, "no name of a variable"},
	        {"deploy web --version a/b", doc_step, HG_OK, 2, "letters, digits"},
	        {"deploy web", doc_step, HG_E_ROLLOUT_SAME, 6, "HG1520"},
	        {"deploy web", doc_step, HG_E_ROLLOUT_QUARANTINED, 6, "HG1521"},
	        {"deploy web", doc_step, HG_E_FLEET_ARTIFACT, 3, "HG1502"},
	        {"rollback web", doc_step, HG_OK, 0, "goes back in rollout 42"},
	        {"rollback web --wait", doc_promoted, HG_OK, 0, "1.8.0 serves"},
	        {"rollback web --wait", doc_aborted, HG_OK, 0, "rolled back"},
	        {"rollback web --wait", doc_back, HG_OK, 4, "rolled back"},
	        {"rollback web --wait", doc_degraded, HG_OK, 7, "needs a human"},
	        {"rollback web --wait --timeout 300ms", doc_step, HG_OK, 5, "goes on"},
	        {"rollback web --to 3 --dry-run", doc_step, HG_OK, 0, "nothing was changed"},
	        {"rollback web", doc_step, HG_E_ROLLOUT_NONE, 6, "HG1523"},
	        {"rollback web --to 9.9.9", doc_step, HG_OK, 2, "9.9.9"},
	        {"rollouts show 42", doc_back, HG_OK, 0, "exit 4"},
	        {"rollouts show 42", doc_step, HG_OK, 0, "step 2/4"},
	        {"rollouts show 42 --watch", doc_ended, HG_OK, 0, "promoted"},
	        {"rollouts show 42 --watch --timeout 300ms", doc_promoted, HG_OK, 5, "goes on"},
	        {"rollouts show 42 --watch", doc_back, HG_OK, 4, "rolled back"},
	        {"rollouts show 7", doc_step, HG_OK, 2, "HG1005"},
	        {"rollouts show x", doc_step, HG_OK, 2, "not the number"},
	        {"rollouts why 42", doc_back, HG_OK, 0, "no such column"},
	        {"rollouts why 42 --json", doc_back, HG_OK, 0, "headgate.why/1"},
	        {"rollouts why 42", doc_waiting, HG_OK, 0, "asks for a person"},
	        {"rollouts promote 42 --full", doc_step, HG_OK, 0, "rollout 42 goes on"},
	        {"rollouts pause 42", doc_step, HG_OK, 0, "is paused"},
	        {"rollouts resume 42", doc_step, HG_OK, 0, "goes on"},
	        {"rollouts abort 42", doc_step, HG_OK, 0, "old version serves"},
	        {"rollouts retry 42", doc_back, HG_OK, 0, "as rollout 43"},
	        {"rollouts retry", doc_back, HG_OK, 2, "needs ID"},
	        {"rollouts abort 42 --dry-run", doc_step, HG_OK, 0, "nothing was changed"},
	        {"promote 42", doc_step, HG_OK, 0, "goes on"},
	        {"abort 42 --json", doc_step, HG_OK, 0, "headgate.steer/1"},
	        {"abort 42", doc_back, HG_E_ROLLOUT_STATE, 6, "HG1522"},
	        {"promote", doc_back, HG_OK, 6, "no rollout runs"},
	        {"rollouts", doc_back, HG_OK, 0, "no rollout yet"},
	        {"rollouts feedback", doc_back, HG_OK, 2, "list show why"},
	};
	struct world *w = *s;
	char out[16384], errors[8192];
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		play(w, (const char *const[]){rows[i].doc, NULL});
		w->stage->deploy_rc = rows[i].rc;
		int status = run(rows[i].line, out, errors);
		if (status != rows[i].status ||
		        (!strstr(out, rows[i].say) && !strstr(errors, rows[i].say)))
			fail_msg("headgate %s: %d, want %d and \"%s\"\n%s%s", rows[i].line, status,
			        rows[i].status, rows[i].say, out, errors);
		assert_null(strchr(out, '\033'));
		assert_null(strchr(errors, '\033'));
	}
}

static void what_is_typed_is_what_the_room_gets(void **s)
{
	struct world *w = *s;
	char out[16384], errors[8192], here[512], want[1024];
	assert_non_null(getcwd(here, sizeof here));
	assert_int_equal(
	        run("deploy web -d --version 1.8.0 --artifact ./build/x/ --strategy canary "
	            "--override=urgent --env A=1 --env B=x=y --env C=",
	                out, errors),
	        0);
	snprintf(want, sizeof want, "web|1.8.0|%s/build/x|canary|urgent|A=1|B=x=y|C=", here);
	assert_string_equal(w->stage->deploy, want);
	assert_int_equal(run("deploy web -d --artifact /srv/x", out, errors), 0);
	assert_string_equal(w->stage->deploy, "web||/srv/x||");
	snprintf(w->stage->list, sizeof w->stage->list,
	        "{\"id\":42,\"app\":\"web\",\"state\":\"done\",\"old\":{\"release\":6,\"version\":"
	        "\"1.6.2\"},\"new\":{\"release\":7,\"version\":\"1.7.3\"}}");
	assert_int_equal(run("rollback web --to 3", out, errors), 0);
	assert_int_equal(w->stage->to, 3);
	assert_int_equal(run("rollback web --to 1.6.2", out, errors), 0);
	assert_int_equal(w->stage->to, 6);
	assert_int_equal(run("rollback web", out, errors), 0);
	assert_int_equal(w->stage->to, 0);
}

static void the_id_may_be_left_out_when_one_rollout_runs(void **s)
{
	static const char ended[] =
	        "{\"id\":42,\"app\":\"web\",\"state\":\"aborted\",\"phase\":\"end\",\"outcome\":"
	        "\"rolled_back\",\"old\":{},\"new\":{}}";
	static const char runs[] =
	        "{\"id\":42,\"app\":\"web\",\"state\":\"paused\",\"phase\":\"step\",\"outcome\":"
	        "\"\",\"old\":{},\"new\":{}}";
	struct world *w = *s;
	char out[16384], errors[8192];
	play(w, (const char *const[]){doc_back, NULL});
	snprintf(w->stage->list, sizeof w->stage->list, "%s", ended);
	assert_int_equal(run("promote", out, errors), 6);
	assert_int_equal(run("rollouts why", out, errors), 0); /* the newest */
	assert_non_null(strstr(out, "rollout 42"));
	assert_int_equal(run("rollouts", out, errors), 0);
	assert_non_null(strstr(out, "✖ rolled back"));
	assert_non_null(strstr(errors, "next: headgate rollouts why 42"));
	assert_int_equal(run("status", out, errors), 7); /* the fleet of this test is degraded */
	assert_non_null(strstr(out, "ROLLOUT"));
	assert_non_null(strstr(out, "✖ 42 rolled back"));
	snprintf(w->stage->list, sizeof w->stage->list, "%s,%s", runs, ended);
	assert_int_equal(run("promote", out, errors), 0);
	assert_int_equal(w->stage->promotes, 1);
	snprintf(w->stage->list, sizeof w->stage->list, "%s,%s", runs, runs);
	assert_int_equal(run("abort", out, errors), 2);
	assert_non_null(strstr(errors, "one of: 42 42"));
	assert_int_equal(w->stage->aborts, 0);
}

static void json_is_one_document_or_one_a_line(void **s)
{
	struct world *w = *s;
	char out[16384], errors[8192];
	play(w, (const char *const[]){doc_start, doc_step, doc_back, NULL});
	assert_int_equal(run("deploy web --json", out, errors), 4);
	json_t *j = json_loads(out, 0, NULL);
	assert_string_equal(cli_text(j, "schema"), "headgate.rollout/1");
	assert_string_equal(cli_text(j, "outcome"), "rolled_back");
	assert_int_equal(cli_int(j, "exit"), 4);
	json_decref(j);
	assert_non_null(strstr(errors, "step 10 %")); /* progress is a message */
	play(w, (const char *const[]){
	                doc_start, doc_step, doc_step, doc_promoted, doc_ended, NULL});
	assert_int_equal(run("rollouts show 42 --watch --json", out, errors), 0);
	struct hg_str rest = hg_str(out);
	static const char *const phases[] = {"start", "step", "watch", "end"};
	for (size_t i = 0; i < HG_COUNT(phases); i++) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		j = json_loadb(line.p, line.n, 0, NULL);
		assert_string_equal(cli_text(j, "phase"), phases[i]);
		assert_int_equal(json_object_get(j, "exit") != NULL, i + 1 == HG_COUNT(phases));
		json_decref(j);
	}
	assert_int_equal(rest.n, 0);
}

static void an_interrupt_detaches_and_aborts_nothing(void **s)
{
	struct world *w = *s;
	char out[16384], errors[8192];
	play(w, (const char *const[]){doc_start, doc_step, NULL});
	w->stage->interrupt_at = 3;
	assert_int_equal(run("deploy web", out, errors), 130);
	assert_non_null(strstr(errors, "detached; rollout 42 goes on"));
	assert_non_null(strstr(errors, "next: headgate rollouts show 42 --watch"));
	assert_int_equal(w->stage->aborts, 0);
	/* Signals do what they did before. */
	sigset_t mask;
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	assert_false(sigismember(&mask, SIGINT));
}

static void control_that_stays_away_needs_a_human(void **s)
{
	struct world *w = *s;
	struct cli c = {.utf8 = true, .columns = 80};
	snprintf(c.data_dir, sizeof c.data_dir, "%s", w->dir);
	play(w, (const char *const[]){doc_start, NULL});
	w->stage->die_at = 2;
	w->stage->away_ms = 60000;
	fflush(NULL);
	int null = open("/dev/null", O_WRONLY), out = dup(1), errors = dup(2);
	dup2(null, 1);
	dup2(null, 2);
	int status = cli_rollout_wait(&c, 42, &(struct cli_wait){.patience_ms = 500});
	fflush(NULL);
	dup2(out, 1);
	dup2(errors, 2);
	close(null);
	close(out);
	close(errors);
	assert_int_equal(status, 7);
}

/* ---- on a terminal ---- */

struct terminal {
	int fd;
	pid_t pid;
	struct hg_buf seen;
};

static void terminal_open(struct terminal *t, const char *line)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	hg_buf_init(&t->seen, 4u << 20);
	fflush(NULL);
	t->pid = forkpty(&t->fd, NULL, NULL, &size);
	assert_true(t->pid >= 0);
	if (t->pid == 0) {
		static const struct cli_deps deps = {0};
		char copy[256], *argv[24];
		setenv("TERM", "xterm", 1);
		int argc = words(line, copy, argv);
		int status = cli_main(argc, argv, &deps);
		struct termios now;
		bool cooked = tcgetattr(0, &now) == 0 &&
		              (now.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
		fflush(NULL);
		_exit(cooked ? status : 99);
	}
}

/* Reads until `what` is there; the program's end is an end too. */
static void terminal_until(struct terminal *t, const char *what)
{
	while (!strstr(hg_buf_text(&t->seen), what)) {
		char *room = hg_buf_room(&t->seen, 4096);
		ssize_t n = read(t->fd, room, 4096);
		if (n <= 0) fail_msg("no \"%s\" in: %s", what, hg_buf_text(&t->seen));
		hg_buf_add(&t->seen, (size_t)n);
	}
}

static int terminal_close(struct terminal *t)
{
	int status;
	for (;;) {
		char *room = hg_buf_room(&t->seen, 4096);
		ssize_t n = read(t->fd, room, 4096);
		if (n <= 0) break;
		hg_buf_add(&t->seen, (size_t)n);
	}
	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	close(t->fd);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void press(const struct terminal *t, const char *key)
{
	assert_int_equal(write(t->fd, key, 1), 1);
}

static void a_terminal_shows_it_live_and_takes_keys(void **s)
{
	struct world *w = *s;
	struct terminal t;
	play(w, (const char *const[]){doc_start, doc_step, doc_promoted, NULL});
	w->stage->hold = 2;
	terminal_open(&t, "deploy web");
	terminal_until(&t, "step 2/4");
	terminal_until(&t, "q detach");
	press(&t, "w");
	terminal_until(&t, "evidence errors:");
	press(&t, "p");
	assert_int_equal(terminal_close(&t), 0);
	assert_int_equal(w->stage->promotes, 1);
	const char *text = hg_buf_text(&t.seen);
	assert_non_null(strstr(text, "\033[?25l"));
	assert_non_null(strstr(text, "A\r\033[J")); /* drawn over, not scrolled */
	assert_non_null(strstr(text, "\033[?25h"));
	assert_non_null(strstr(text, "promoted: 1.8.0 serves"));
	assert_int_equal(count(text, "exit 0"), 1);
	hg_buf_free(&t.seen);
}

static void q_and_ctrl_c_detach_from_a_terminal(void **s)
{
	static const char *const keys[] = {"q", "\003"};
	struct world *w = *s;
	for (size_t i = 0; i < HG_COUNT(keys); i++) {
		struct terminal t;
		play(w, (const char *const[]){doc_step, NULL});
		terminal_open(&t, "deploy web");
		terminal_until(&t, "q detach");
		press(&t, keys[i]);
		assert_int_equal(terminal_close(&t), 130);
		assert_non_null(strstr(hg_buf_text(&t.seen), "detached; rollout 42 goes on"));
		hg_buf_free(&t.seen);
	}
	assert_int_equal(w->stage->aborts, 0);
}

static void a_terminal_aborts_and_explains(void **s)
{
	struct world *w = *s;
	struct terminal t;
	setenv("NO_COLOR", "1", 1);
	play(w, (const char *const[]){doc_step, doc_aborted, NULL});
	w->stage->hold = 1;
	terminal_open(&t, "rollouts show 42 --watch");
	terminal_until(&t, "a abort");
	press(&t, "a");
	assert_int_equal(terminal_close(&t), 4);
	unsetenv("NO_COLOR");
	assert_int_equal(w->stage->aborts, 1);
	assert_non_null(strstr(hg_buf_text(&t.seen), "✖ rolled back from 10 %"));
	assert_null(strstr(t.seen.p, "\033[32m")); /* NO_COLOR */
	hg_buf_free(&t.seen);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(a_rollout_is_followed_to_its_promotion_though_control_dies),
	        CASE(a_rollback_ends_with_4_and_the_lines_of_the_replica),
	        CASE(every_end_has_its_exit_code),
	        CASE(what_is_typed_is_what_the_room_gets),
	        CASE(the_id_may_be_left_out_when_one_rollout_runs),
	        CASE(json_is_one_document_or_one_a_line),
	        CASE(an_interrupt_detaches_and_aborts_nothing),
	        CASE(control_that_stays_away_needs_a_human),
	        CASE(a_terminal_shows_it_live_and_takes_keys),
	        CASE(q_and_ctrl_c_detach_from_a_terminal),
	        CASE(a_terminal_aborts_and_explains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
