#include "../../os/tls_rig.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/cert/certs.c"
#include "control/cert/kept.c"
#include "control/cert/more.c"
#include "os/clock.h"

static struct pem_text a, b;
static uint64_t now_ms;

static uint64_t wall(void)
{
	return now_ms;
}

struct rig {
	char dir[64];
	int pair[2];
	struct loop *loop;
	struct hg_log log;
	struct store *store;
	struct warden_child child;
	struct certs *certs;
	struct spec spec;
	struct spec_certificate named[2];
};

static void file_put(const struct rig *g, const char *name, const char *text)
{
	char path[128];
	struct hg_err err = {0};
	snprintf(path, sizeof path, "%s/%s", g->dir, name);
	assert_int_equal(file_write_replace(path, 0600, hg_str(text), &err), HG_OK);
}

static void start(struct rig *g)
{
	struct hg_err err = {0};
	g->child = (struct warden_child){.data_dir = g->dir, .warden_fd = g->pair[0]};
	struct certs_options o = {.loop = g->loop,
	        .log = &g->log,
	        .store = g->store,
	        .child = &g->child,
	        .wall_ms = wall};
	assert_int_equal(certs_new(&o, &g->certs, &err), HG_OK);
}

static struct rig *rig_new(void)
{
	struct rig *g = calloc(1, sizeof *g);
	struct hg_err err = {0};
	now_ms = (uint64_t)time(NULL) * 1000;
	snprintf(g->dir, sizeof g->dir, "/tmp/certs-test-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, g->pair), 0);
	assert_int_equal(loop_new(&g->loop), HG_OK);
	g->log = (struct hg_log){.fd = -1, .who = "test", .wall_ms = wall};
	assert_int_equal(store_open(g->dir, &g->store, &err), HG_OK);
	g->spec.edge.listen.https.set = true;
	g->spec.edge.tls.certificates = g->named;
	g->spec.edge.tls.certificate_count = 1;
	g->named[0] = (struct spec_certificate){.cert = HG_STR("a.pem"), .key = HG_STR("a.key")};
	start(g);
	return g;
}

static void rig_free(struct rig *g)
{
	char command[128];
	certs_free(g->certs);
	store_close(g->store);
	loop_free(g->loop);
	close(g->pair[0]);
	close(g->pair[1]);
	snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
	assert_int_equal(system(command), 0);
	free(g);
}

/* The bundles that were published since the last call; -1 or the newest. */
static int published(struct rig *g, int *ret_count)
{
	int last = -1;
	*ret_count = 0;
	for (;;) {
		struct wd_msg m;
		int fds[SOCK_FDS_MAX];
		size_t n = 0;
		if (sock_recv(g->pair[1], &m, sizeof m, fds, &n) != sizeof m) return last;
		assert_int_equal(m.type, WD_CERTS);
		assert_int_equal(n, 1);
		if (last >= 0) close(last);
		last = fds[0];
		++*ret_count;
	}
}

static enum hg_rc apply(struct rig *g, const struct certs_given *given, uint32_t n)
{
	struct certs_plan *p = NULL;
	struct hg_err err = {0};
	enum hg_rc rc = certs_check(g->certs, &g->spec, g->dir, given, n, &p, &err);
	if (rc == HG_OK) rc = certs_keep(g->certs, p, &err);
	if (rc == HG_OK)
		certs_apply(g->certs, p);
	else
		certs_plan_free(p);
	return rc;
}

static const char *first_name(const struct rig *g)
{
	assert_int_equal(certs_count(g->certs), 1);
	return certs_at(g->certs, 0).cert->names[0];
}

static void what_was_given_counts_and_is_kept(void **state)
{
	struct rig *g = rig_new();
	struct certs_given given = {HG_STR("a.pem"), hg_str(a.chain), hg_str(a.key)};
	struct cert_opened o;
	struct stat st;
	char why[TLS_WHY_MAX], path[128];
	int n, fd;
	(void)state;
	assert_int_equal(apply(g, NULL, 0), HG_E_CERT_FILE); /* no file, nothing given or kept */
	assert_int_equal(apply(g, &given, 1), HG_OK);
	fd = published(g, &n);
	assert_int_equal(n, 1);
	assert_int_equal(cert_bundle_open(fd, NULL, &o, why), HG_OK);
	tls_keyring_unref(o.keyring);
	close(fd);
	assert_string_equal(first_name(g), "a.example");
	snprintf(path, sizeof path, "%s/certs/kept.json", g->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* A new control that may not read the files; nothing is written anew. */
	ino_t was = st.st_ino;
	certs_free(g->certs);
	start(g);
	assert_int_equal(apply(g, NULL, 0), HG_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, was);
	assert_string_equal(first_name(g), "a.example");
	/* What is damaged counts as nothing. */
	certs_free(g->certs);
	start(g);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(apply(g, NULL, 0), HG_E_CERT_FILE);
	/* What was given is checked as well. */
	given.key = hg_str(b.key);
	assert_int_equal(apply(g, &given, 1), HG_E_CERT_FILE);
	close(published(g, &n));
	rig_free(g);
}

static void files_are_looked_at_again(void **state)
{
	struct rig *g = rig_new();
	int n;
	(void)state;
	file_put(g, "a.pem", a.chain);
	file_put(g, "a.key", a.key);
	assert_int_equal(apply(g, NULL, 0), HG_OK);
	close(published(g, &n));
	on_watch(g->loop, &g->certs->watch);
	assert_int_equal(published(g, &n), -1);
	assert_int_equal(n, 0);
	/* Half of a renewal: the old pair serves on. */
	file_put(g, "a.pem", b.chain);
	on_watch(g->loop, &g->certs->watch);
	assert_int_equal(published(g, &n), -1);
	assert_string_equal(first_name(g), "a.example");
	file_put(g, "a.key", b.key);
	on_watch(g->loop, &g->certs->watch);
	close(published(g, &n));
	assert_int_equal(n, 1);
	assert_string_equal(first_name(g), "b.example");
	/* Written again with the same text: nothing is published. */
	file_put(g, "a.key", b.key);
	on_watch(g->loop, &g->certs->watch);
	assert_int_equal(published(g, &n), -1);
	rig_free(g);
}

static void ticket_keys_turn(void **state)
{
	struct rig *g = rig_new();
	struct tls_ticket_key first = g->certs->tickets[0];
	int n;
	(void)state;
	file_put(g, "a.pem", a.chain);
	file_put(g, "a.key", a.key);
	assert_int_equal(apply(g, NULL, 0), HG_OK);
	for (int i = 0; i < 2; i++)
		on_rotate(g->loop, &g->certs->rotate);
	close(published(g, &n));
	assert_int_equal(n, 3);
	assert_int_equal(g->certs->ticket_count, 3);
	assert_memory_equal(&g->certs->tickets[2], &first, sizeof first);
	assert_memory_not_equal(&g->certs->tickets[0], &first, sizeof first);
	on_rotate(g->loop, &g->certs->rotate);
	for (int i = 0; i < 3; i++)
		assert_memory_not_equal(&g->certs->tickets[i], &first, sizeof first);
	close(published(g, &n));
	rig_free(g);
}

static void count_event(void *arg, const struct store_event *e)
{
	const char **want = arg;
	if (*want && hg_str_eq(e->kind, hg_str(*want))) *want = NULL;
}

static bool said(struct rig *g, const char *kind)
{
	struct hg_err err = {0};
	const char *want = kind;
	assert_int_equal(
	        store_events_last(g->store, HG_STR(""), 1, count_event, &want, &err), HG_OK);
	return want == NULL;
}

static void the_end_is_told_before_it_comes(void **state)
{
	struct rig *g = rig_new();
	uint64_t begin = now_ms;
	(void)state;
	file_put(g, "a.pem", a.chain);
	file_put(g, "a.key", a.key);
	assert_int_equal(apply(g, NULL, 0), HG_OK);
	assert_false(said(g, "certificate.expires"));
	now_ms = begin + 10ull * 86400 * 1000; /* 20 days are left of 30 */
	on_watch(g->loop, &g->certs->watch);
	assert_true(said(g, "certificate.expires"));
	now_ms = begin + 31ull * 86400 * 1000;
	on_watch(g->loop, &g->certs->watch);
	assert_true(said(g, "certificate.expired"));
	rig_free(g);
}

static void limits_are_said_once(void **state)
{
	static const struct {
		int64_t left_s;
		uint8_t warned, step;
		bool say;
	} row[] = {
	        {22 * 86400, 0, 0, false}, {21 * 86400, 0, 1, true}, {20 * 86400, 1, 1, false},
	        {7 * 86400, 1, 2, true}, {86400, 2, 3, true}, {3600, 0, 3, true}, {0, 3, 4, true},
	        {-5, 4, 4, false}, {90 * 86400, 4, 0, false}, /* renewed */
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		uint8_t step;
		bool say = certs_near_end(
		        1000000000 + row[i].left_s, 1000000000, row[i].warned, &step);
		assert_int_equal(say, row[i].say);
		assert_int_equal(step, row[i].step);
	}
}

static void without_https_nothing_is_published(void **state)
{
	struct rig *g = rig_new();
	int n;
	(void)state;
	g->spec.edge.listen.https.set = false;
	assert_int_equal(apply(g, NULL, 0), HG_OK);
	on_rotate(g->loop, &g->certs->rotate);
	assert_int_equal(published(g, &n), -1);
	assert_int_equal(certs_count(g->certs), 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_given_counts_and_is_kept),
	        cmocka_unit_test(files_are_looked_at_again),
	        cmocka_unit_test(ticket_keys_turn),
	        cmocka_unit_test(the_end_is_told_before_it_comes),
	        cmocka_unit_test(limits_are_said_once),
	        cmocka_unit_test(without_https_nothing_is_published),
	};
	a = pem_make("DNS:a.example", false, 30);
	b = pem_make("DNS:b.example", false, 60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
