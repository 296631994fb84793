#include "tests/unit/test.h"

#include "apps/feedback/config.c"

/* "NAME=value" strings, NULL at the end */
static const char *find_env(void *arg, const char *name)
{
	for (const char *const *e = arg; e && *e; e++)
		if (strncmp(*e, name, strlen(name)) == 0 && (*e)[strlen(name)] == '=')
			return *e + strlen(name) + 1;
	return NULL;
}

static enum hg_rc read_it(const char *const *argv, const char **env, const char *dotenv,
        struct config *c, struct hg_err *err)
{
	const char *none[] = {"feedback-app", NULL};
	struct config_sources from = {.argv = argv ? argv : none,
	        .env = find_env,
	        .arg = env,
	        .dotenv = hg_str(dotenv),
	        .pid = 42};
	while (from.argv[from.argc])
		from.argc++;
	return config_read(&from, c, err);
}

static struct config good(const char *const *argv, const char **env, const char *dotenv)
{
	struct config c = {0};
	struct hg_err err = {0};
	if (read_it(argv, env, dotenv, &c, &err) < 0) fail_msg("%s", err.message);
	return c;
}

static void check_bad(const char *const *argv, const char **env, const char *want)
{
	struct config c = {0};
	struct hg_err err = {0};
	assert_true(read_it(argv, env, NULL, &c, &err) < 0);
	assert_string_equal(err.message, want);
}

static void defaults_are_those_of_the_contract(void **state)
{
	struct config c = good(NULL, NULL, NULL);
	(void)state;
	assert_true(c.tcp);
	assert_int_equal(c.port, 8090);
	assert_string_equal(c.host, "0.0.0.0");
	assert_string_equal(c.database, "data/feedback.db");
	assert_int_equal(c.durability, DB_FULL);
	assert_int_equal(c.level, HG_INFO);
	assert_string_equal(c.environment, "development");
	assert_int_equal(c.fault.kind, FAULT_NONE);
}

static void flags_win_over_environment_over_file(void **state)
{
	const char *argv[] = {"feedback-app", "--port", "1", "--host=::1", NULL};
	const char *env[] = {"PORT=2", "LOG_LEVEL=DEBUG", "DATABASE_PATH=/x/y.db", NULL};
	const char *file =
	        "# settings\nPORT=3\nLOG_LEVEL=ERROR\nexport ENVIRONMENT=\"production\"\n"
	        "FEEDBACK_FAULT = errors:10% # on purpose\nDATABASE_SYNC='normal'\n";
	struct config c = good(argv, env, file);
	(void)state;
	assert_int_equal(c.port, 1);
	assert_string_equal(c.host, "::1");
	assert_int_equal(c.level, HG_DEBUG);
	assert_string_equal(c.database, "/x/y.db");
	assert_string_equal(c.environment, "production");
	assert_int_equal(c.fault.kind, FAULT_ERRORS);
	assert_int_equal(c.durability, DB_NORMAL);
	assert_int_equal(good(NULL, env, file).port, 2);
	assert_int_equal(good(NULL, NULL, file).port, 3);
}

static void a_database_url_wins_over_a_path(void **state)
{
	const char *env[] = {"DATABASE_URL=sqlite:/a.db", "DATABASE_PATH=/b.db", NULL};
	(void)state;
	assert_string_equal(good(NULL, env, NULL).database, "sqlite:/a.db");
}

static void it_listens_where_it_is_told_to(void **state)
{
	const char *both[] = {"SOCKET=/run/s", "PORT=1", NULL};
	const char *only_socket[] = {"SOCKET=/run/s", NULL};
	const char *inherited[] = {"LISTEN_FDS=1", "LISTEN_PID=42", "PORT=1", NULL};
	const char *others[] = {"LISTEN_FDS=1", "LISTEN_PID=43", "PORT=1", NULL};
	const char *no_pid[] = {"LISTEN_FDS=2", NULL};
	const char *port[] = {"feedback-app", "--port", "7", NULL};
	(void)state;
	assert_true(good(NULL, both, NULL).tcp);
	assert_string_equal(good(NULL, both, NULL).socket, "/run/s");
	assert_false(good(NULL, only_socket, NULL).tcp);
	assert_int_equal(good(NULL, inherited, NULL).listen_fds, 1);
	assert_false(good(NULL, inherited, NULL).tcp);
	assert_true(good(port, inherited, NULL).tcp);
	assert_int_equal(good(NULL, others, NULL).listen_fds, 0);
	assert_true(good(NULL, others, NULL).tcp);
	assert_int_equal(good(NULL, no_pid, NULL).listen_fds, 2);
}

static void wrong_values_and_arguments_are_named(void **state)
{
	const char *unknown[] = {"feedback-app", "--prot", "1", NULL};
	const char *valueless[] = {"feedback-app", "--port", NULL};
	const char *port[] = {"PORT=70000", NULL};
	const char *level[] = {"LOG_LEVEL=loud", NULL};
	const char *sync[] = {"DATABASE_SYNC=off", NULL};
	const char *fault[] = {"FEEDBACK_FAULT=explode", NULL};
	(void)state;
	check_bad(unknown, NULL, "unknown argument \"--prot\"");
	check_bad(valueless, NULL, "--port needs a value");
	check_bad(NULL, port, "PORT is \"70000\", which is not a number up to 65535");
	check_bad(NULL, level, "LOG_LEVEL is \"loud\", which is not DEBUG, INFO, WARNING or ERROR");
	check_bad(NULL, sync, "DATABASE_SYNC is \"off\", which is not full or normal");
	check_bad(NULL, fault,
	        "FEEDBACK_FAULT is \"explode\", which is not KIND[:SHARE%][:TIME] (feedback-app "
	        "--help)");
}

static void help_and_version_need_no_other_setting(void **state)
{
	const char *help[] = {"feedback-app", "--help", NULL};
	const char *version[] = {"feedback-app", "--version", NULL};
	const char *env[] = {"PORT=x", NULL};
	(void)state;
	assert_true(good(help, env, NULL).help);
	assert_true(good(version, env, NULL).version);
	for (size_t i = 0; i < HG_COUNT(settings); i++)
		if (settings[i].flag) assert_non_null(strstr(config_help(), settings[i].flag));
}

static void the_env_file_is_known_before_the_rest(void **state)
{
	const char *argv[] = {"feedback-app", "--port", "1", "--env-file", "x.env", NULL};
	(void)state;
	assert_str(config_env_file(5, argv), "x.env");
	assert_str(config_env_file(3, argv), "");
}

static void replicas_are_addresses_in_a_list_though_addresses_have_commas_too(void **state)
{
	const char *env[] = {"DATABASE_URL=postgres://a,b/x",
	        "DATABASE_REPLICAS=postgres://c,d/x, postgresql://e/x ,postgres://f:1,g:2/x",
	        "DATABASE_LAG_MAX=250", "DATABASE_POOL=3", NULL};
	struct config c = good(NULL, env, NULL);
	(void)state;
	assert_int_equal(c.replica_count, 3);
	assert_string_equal(c.replica[0], "postgres://c,d/x");
	assert_string_equal(c.replica[1], "postgresql://e/x");
	assert_string_equal(c.replica[2], "postgres://f:1,g:2/x");
	assert_int_equal(c.lag_max_ms, 250);
	assert_int_equal(c.pool_size, 3);
	assert_int_equal(c.query_ms, 5000);
	assert_int_equal(c.connect_ms, 3000);
	assert_true(c.migrate);
}

static void settings_of_a_server_are_checked(void **state)
{
	const char *file[] = {"DATABASE_REPLICAS=postgres://c/x", NULL};
	const char *other[] = {
	        "DATABASE_URL=postgres://a/x", "DATABASE_REPLICAS=mysql://c/x", NULL};
	const char *pool[] = {"DATABASE_POOL=129", NULL};
	const char *migrate[] = {"DATABASE_MIGRATE=perhaps", NULL};
	(void)state;
	check_bad(NULL, file, "DATABASE_REPLICAS is set, but DATABASE_URL is not postgres://…");
	check_bad(NULL, other,
	        "DATABASE_REPLICAS has an entry that is not postgres://… (up to 255 bytes)");
	check_bad(NULL, pool, "DATABASE_POOL is \"129\", which is not a number up to 128");
	check_bad(NULL, migrate, "DATABASE_MIGRATE is \"perhaps\", which is not on or off");
}

static void how_mail_and_webhooks_leave(void **state)
{
	const char *env[] = {"SMTP_URL=smtp://mail.example.com:587", "SMTP_USER=app",
	        "SMTP_PASSWORD= a b#c ", "SMTP_STARTTLS=Try", "MAIL_FROM=Feedback <f@example.com>",
	        "NOTIFY_EMAIL=Ops <ops@example.com>", "WEBHOOK_ALLOW=10.0.0.0/8,::1", NULL};
	struct config c = good(NULL, env, NULL);
	(void)state;
	assert_string_equal(c.outgoing.smtp_password, " a b#c ");
	assert_int_equal(c.outgoing.smtp_tls, SMTP_TLS_TRY);
	assert_int_equal(c.outgoing.smtp_ms, 30000);
	assert_int_equal(c.outgoing.webhook_ms, 15000);
	assert_int_equal(c.outgoing.webhook_allow.allow_count, 2);
	c = good(NULL, NULL, NULL);
	assert_int_equal(c.outgoing.smtp_tls, SMTP_TLS_REQUIRED);
	assert_string_equal(c.outgoing.smtp_url, "");
	assert_int_equal(c.outgoing.webhook_allow.allow_count, 0);
}

static void what_cannot_send_is_refused_at_the_start(void **state)
{
	static const struct {
		const char *env[4];
		const char *want;
	} row[] = {
	        {{"SMTP_URL=mail.example.com", "MAIL_FROM=a@b"},
	                "SMTP_URL is not smtp://HOST[:PORT] or smtps://HOST[:PORT]"},
	        {{"SMTP_URL=smtp://user:word@host", "MAIL_FROM=a@b"},
	                "SMTP_URL is not smtp://HOST[:PORT] or smtps://HOST[:PORT]"},
	        {{"SMTP_URL=smtp://host"},
	                "SMTP_URL is set, but not MAIL_FROM, the sender of mail"},
	        {{"SMTP_URL=smtp://host", "MAIL_FROM=a@b", "SMTP_USER=x"},
	                "SMTP_USER and SMTP_PASSWORD belong together"},
	        {{"MAIL_FROM=nobody"}, "MAIL_FROM is \"nobody\", which is not one address, such as"
	                               " \"Ops <ops@example.com>\""},
	        {{"NOTIFY_EMAIL=a@b,c@d"},
	                "NOTIFY_EMAIL is \"a@b,c@d\", which is not one e-mail address"},
	        {{"SMTP_STARTTLS=yes"},
	                "SMTP_STARTTLS is \"yes\", which is not required, try or off"},
	        {{"WEBHOOK_ALLOW=10.0.0.1/8"},
	                "WEBHOOK_ALLOW is \"10.0.0.1/8\", which is not a list of at most 16"
	                " networks, such as \"10.0.0.0/8, fd00::/8\""},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		const char *env[5] = {row[i].env[0], row[i].env[1], row[i].env[2], row[i].env[3]};
		check_bad(NULL, env, row[i].want);
	}
}

static void the_queue_is_off_and_two_queues_wait_for_workers(void **state)
{
	struct config c = good(NULL, NULL, NULL);
	(void)state;
	assert_false(c.worker || c.workers_inline || c.webhooks);
	assert_string_equal(c.notify_email, "");
	assert_string_equal(c.admin_key, "");
	assert_int_equal(c.queue_count, 2);
	assert_string_equal(c.queue[0], "notification-queue");
	assert_string_equal(c.queue[1], "feedback-tasks");
	assert_int_equal(c.concurrency, 8);
	assert_int_equal(c.lease_ms, 30000);
}

static void a_worker_has_its_queues_and_listens_only_where_it_is_told(void **state)
{
	const char *argv[] = {"worker", "--queues", "a, b.c", "--concurrency=3", NULL};
	const char *ported[] = {"worker", "--port", "9", NULL};
	struct config_sources from = {.argv = argv, .argc = 4, .env = find_env, .worker = true};
	struct config c = {0};
	(void)state;
	assert_int_equal(config_read(&from, &c, NULL), HG_OK);
	assert_true(c.worker);
	assert_false(c.tcp);
	assert_int_equal(c.queue_count, 2);
	assert_string_equal(c.queue[1], "b.c");
	assert_int_equal(c.concurrency, 3);
	from.argv = ported;
	from.argc = 3;
	assert_int_equal(config_read(&from, &c, NULL), HG_OK);
	assert_true(c.tcp);
}

static void what_the_queue_cannot_use_is_named(void **state)
{
	const char *webhooks[] = {"WEBHOOKS=yes", NULL};
	const char *workers[] = {"WORKERS=on", NULL};
	const char *email[] = {"NOTIFY_EMAIL=nobody", NULL};
	const char *lines[] = {"NOTIFY_EMAIL=a@b\r\nBcc: c@d", NULL};
	const char *slots[] = {"CONCURRENCY=0", NULL};
	const char *lease[] = {"JOB_LEASE=0", NULL};
	const char *queues[] = {"QUEUES=a,,b", NULL};
	(void)state;
	check_bad(NULL, webhooks, "WEBHOOKS is \"yes\", which is not on or off");
	check_bad(NULL, workers, "WORKERS is \"on\", which is not inline or off");
	check_bad(NULL, email, "NOTIFY_EMAIL is \"nobody\", which is not one e-mail address");
	check_bad(NULL, lines,
	        "NOTIFY_EMAIL is \"a@b\r\nBcc: c@d\", which is not one e-mail address");
	check_bad(NULL, slots, "CONCURRENCY is \"0\", which is not a number from 1 on");
	check_bad(NULL, lease, "JOB_LEASE is \"0\", which is not a number of seconds from 1 on");
	check_bad(NULL, queues,
	        "QUEUES is \"a,,b\", which is not up to 8 names with commas between them");
}

static void the_cache_has_a_size_a_time_and_perhaps_a_redis(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"65536", 65536}, {"64K", 65536}, {"8m", 8u << 20}, {"4G", UINT64_C(4) << 30},
	        {"4M", 4u << 20}};
	char line[64];
	struct config c = good(NULL, NULL, NULL);
	(void)state;
	assert_int_equal(c.cache_ttl_ms, 60000);
	assert_int_equal(c.cache_bytes, 4u << 20);
	assert_string_equal(c.redis, "");
	for (size_t i = 0; i < HG_COUNT(sizes); i++) {
		const char *env[] = {line, NULL};
		snprintf(line, sizeof line, "CACHE_SIZE=%s", sizes[i].text);
		assert_int_equal(good(NULL, env, NULL).cache_bytes, sizes[i].bytes);
	}
	for (const char *const *bad = (const char *const[]){"", "K", "1K", "63K", "5G", "4T", "-1M",
	             "4 M", "18446744073709551615G", NULL};
	        *bad; bad++) {
		const char *env[] = {line, NULL};
		char want[160];
		struct hg_err err = {0};
		snprintf(line, sizeof line, "CACHE_SIZE=%s", *bad);
		if (!**bad) continue; /* not set */
		snprintf(want, sizeof want,
		        "CACHE_SIZE is \"%s\", which is not a size from 64K to 4G, such as 4M",
		        *bad);
		assert_true(read_it(NULL, env, NULL, &c, &err) < 0);
		assert_string_equal(err.message, want);
	}
	const char *off[] = {"CACHE_TTL_S=0", "REDIS_URL=redis://h/1", "REDIS_TIMEOUT_MS=5", NULL};
	c = good(NULL, off, NULL);
	assert_int_equal(c.cache_ttl_ms, 0);
	assert_string_equal(c.redis, "redis://h/1");
	assert_int_equal(c.redis_ms, 5);
	const char *wrong_url[] = {"REDIS_URL=http://h", NULL};
	check_bad(
	        NULL, wrong_url, "REDIS_URL: it does not begin with redis://, rediss:// or unix:");
}

static void traces_are_set_by_the_variables_of_the_standard(void **state)
{
	(void)state;
	struct config c = good(NULL, NULL, NULL);
	assert_string_equal(c.traces.url, "");
	assert_true(c.traces.parent_based);
	assert_int_equal(c.traces.sample_ppm, 1000000);
	const char *env[] = {"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/", "OTEL_SERVICE_NAME=shop",
	        "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25",
	        "OTEL_EXPORTER_OTLP_HEADERS=api-key=x", "OTEL_EXPORTER_OTLP_TIMEOUT=500",
	        "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", NULL};
	c = good(NULL, env, NULL);
	assert_string_equal(c.traces.url, "http://c:4318/v1/traces");
	assert_string_equal(c.traces.service, "shop");
	assert_string_equal(c.traces.headers, "api-key=x");
	assert_true(c.traces.parent_based);
	assert_int_equal(c.traces.sample_ppm, 250000);
	assert_int_equal(c.traces.timeout_ms, 500);
	assert_int_equal(c.traces.delay_ms, 20);
	const char *whole[] = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/in",
	        "OTEL_EXPORTER_OTLP_ENDPOINT=http://other", "OTEL_TRACES_SAMPLER=always_off", NULL};
	c = good(NULL, whole, NULL);
	assert_string_equal(c.traces.url, "https://c/in");
	assert_int_equal(c.traces.sample_ppm, 0);
	assert_false(c.traces.parent_based);
	const char *off[] = {
	        "OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_SDK_DISABLED=true", NULL};
	assert_string_equal(good(NULL, off, NULL).traces.url, "");
	const char *none[] = {
	        "OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_TRACES_EXPORTER=none", NULL};
	assert_string_equal(good(NULL, none, NULL).traces.url, "");
}

static void what_traces_cannot_use_is_named(void **state)
{
	const char *address[] = {"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", NULL};
	const char *grpc[] = {
	        "OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", NULL};
	const char *sampler[] = {"OTEL_TRACES_SAMPLER=some", NULL};
	const char *share[] = {
	        "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=1.1", NULL};
	const char *exporter[] = {"OTEL_TRACES_EXPORTER=zipkin", NULL};
	(void)state;
	check_bad(NULL, address,
	        "OTEL_EXPORTER_OTLP_ENDPOINT is \"c:4317\", which is not http://HOST:PORT or "
	        "https://…");
	check_bad(NULL, grpc, "OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\", which is not http/json");
	check_bad(NULL, sampler,
	        "OTEL_TRACES_SAMPLER is \"some\", which is not a sampler that is known "
	        "(feedback-app --help)");
	check_bad(NULL, share,
	        "OTEL_TRACES_SAMPLER_ARG is \"1.1\", which is not a share from 0 to 1");
	check_bad(NULL, exporter, "OTEL_TRACES_EXPORTER is \"zipkin\", which is not otlp or none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(how_mail_and_webhooks_leave),
	        cmocka_unit_test(what_cannot_send_is_refused_at_the_start),
	        cmocka_unit_test(the_queue_is_off_and_two_queues_wait_for_workers),
	        cmocka_unit_test(a_worker_has_its_queues_and_listens_only_where_it_is_told),
	        cmocka_unit_test(what_the_queue_cannot_use_is_named),
	        cmocka_unit_test(replicas_are_addresses_in_a_list_though_addresses_have_commas_too),
	        cmocka_unit_test(settings_of_a_server_are_checked),
	        cmocka_unit_test(the_cache_has_a_size_a_time_and_perhaps_a_redis),
	        cmocka_unit_test(traces_are_set_by_the_variables_of_the_standard),
	        cmocka_unit_test(what_traces_cannot_use_is_named),
	        cmocka_unit_test(defaults_are_those_of_the_contract),
	        cmocka_unit_test(flags_win_over_environment_over_file),
	        cmocka_unit_test(a_database_url_wins_over_a_path),
	        cmocka_unit_test(it_listens_where_it_is_told_to),
	        cmocka_unit_test(wrong_values_and_arguments_are_named),
	        cmocka_unit_test(help_and_version_need_no_other_setting),
	        cmocka_unit_test(the_env_file_is_known_before_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
