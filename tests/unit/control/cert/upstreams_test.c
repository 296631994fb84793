/* How replicas are spoken to by TLS: given, read, kept, renewed. */
#include "../../os/ca_rig.h"

#include <stdio.h>
#include <unistd.h>

#include "control/cert/upstreams.c"
#include "os/clock.h"
#include "os/file.h"
#include "spec/spec_priv.h"

struct rig {
	char dir[64], system[128];
	struct loop *loop;
	struct hg_log log;
	struct upstreams *u;
	struct spec spec;
	struct spec_origin origin;
	struct spec_node tree; /* no keys: places are not what is tested here */
	struct spec_app app[2];
	int changed;
};

static void on_change(void *arg)
{
	((struct rig *)arg)->changed++;
}

static void start(struct rig *g)
{
	struct hg_err err = {0};
	struct upstreams_options o = {.loop = g->loop,
	        .log = &g->log,
	        .data_dir = g->dir,
	        .wall_ms = clock_wall_ms,
	        .system_file = g->system,
	        .on_change = on_change,
	        .arg = g};
	assert_int_equal(upstreams_new(&o, &g->u, &err), HG_OK);
}

/* Two apps: "own" names its authorities, "usual" trusts what the system trusts. */
static struct rig *rig_new(void)
{
	struct rig *g = calloc(1, sizeof *g);
	snprintf(g->dir, sizeof g->dir, "/tmp/upstreams-test-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(g->system, sizeof g->system, "%s/system.pem", g->dir);
	assert_int_equal(loop_new(&g->loop), HG_OK);
	g->log = (struct hg_log){.fd = -1, .who = "test", .wall_ms = clock_wall_ms};
	for (int i = 0; i < 2; i++)
		g->app[i] = (struct spec_app){.name = i ? HG_STR("usual") : HG_STR("own"),
		        .upstream.tls = {.enabled = true,
		                .verify = true,
		                .name = HG_STR("localhost"),
		                .ca = i ? HG_STR("") : HG_STR("own.pem")}};
	g->tree.kind = SPEC_N_MAP;
	g->origin.tree = &g->tree;
	g->spec.origin = &g->origin;
	g->spec.apps = g->app;
	g->spec.app_count = 2;
	start(g);
	return g;
}

static void rig_free(struct rig *g)
{
	char command[128];
	upstreams_free(g->u);
	loop_free(g->loop);
	snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
	assert_int_equal(system(command), 0);
	free(g);
}

static void file_put(const struct rig *g, const char *name, const char *text)
{
	char path[128];
	struct hg_err err = {0};
	snprintf(path, sizeof path, "%s/%s", g->dir, name);
	assert_int_equal(file_write_replace(path, 0600, hg_str(text), &err), HG_OK);
}

static void file_remove(const struct rig *g, const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", g->dir, name);
	assert_int_equal(unlink(path), 0);
}

static enum hg_rc take(
        struct rig *g, const struct certs_given *given, uint32_t n, struct hg_err *err)
{
	struct upstreams_plan *p = NULL;
	*err = (struct hg_err){0};
	enum hg_rc rc = upstreams_check(g->u, &g->spec, g->dir, given, n, &p, err);
	if (rc == HG_OK) rc = upstreams_keep(g->u, p, err);
	if (rc == HG_OK) upstreams_apply(g->u, p);
	return rc;
}

static void look(struct rig *g)
{
	on_watch(g->loop, &g->u->watch);
}

static struct hg_str ca_of(const struct rig *g, const char *app)
{
	for (uint32_t i = 0; i < upstreams_count(g->u); i++) {
		struct cert_remote_conf c = upstreams_at(g->u, i);
		if (hg_str_eq(c.app, hg_str(app))) return c.conf.ca;
	}
	return HG_STR("?");
}

static void authorities_are_read_kept_and_renewed(void **state)
{
	struct rig *g = rig_new();
	struct ca one = ca_new("one"), two = ca_new("two"), sys = ca_new("system");
	struct hg_err err;
	(void)state;
	file_put(g, "system.pem", sys.pem);
	assert_int_equal(take(g, NULL, 0, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.message, "own.pem"));
	assert_int_equal(upstreams_count(g->u), 0);
	file_put(g, "own.pem", one.pem);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_int_equal(upstreams_count(g->u), 2);
	assert_str(ca_of(g, "own"), one.pem);
	assert_str(ca_of(g, "usual"), sys.pem);
	assert_non_null(upstreams_remote(g->u, HG_STR("own")));
	assert_null(upstreams_remote(g->u, HG_STR("nobody")));
	/* Nothing new; the same written again; another one; nonsense, which changes nothing. */
	look(g);
	file_put(g, "own.pem", one.pem);
	look(g);
	assert_int_equal(g->changed, 0);
	file_put(g, "own.pem", two.pem);
	look(g);
	assert_int_equal(g->changed, 1);
	assert_str(ca_of(g, "own"), two.pem);
	file_put(g, "own.pem", "nonsense");
	look(g);
	look(g);
	assert_int_equal(g->changed, 1);
	assert_str(ca_of(g, "own"), two.pem);
	/* Another control that cannot read the file any more has what was kept. */
	upstreams_free(g->u);
	file_remove(g, "own.pem");
	start(g);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_str(ca_of(g, "own"), two.pem);
	ca_free(&one);
	ca_free(&two);
	ca_free(&sys);
	rig_free(g);
}

static void who_trusts_what_the_system_trusts_follows_it(void **state)
{
	struct rig *g = rig_new();
	struct ca own = ca_new("own"), old = ca_new("old"), fresh = ca_new("fresh");
	struct hg_err err;
	(void)state;
	file_put(g, "own.pem", own.pem);
	assert_int_equal(take(g, NULL, 0, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.hint, "ca-certificates"));
	file_put(g, "system.pem", old.pem);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	struct tls_remote *mine = upstreams_remote(g->u, HG_STR("own")),
	                  *usual = upstreams_remote(g->u, HG_STR("usual"));
	file_put(g, "system.pem", old.pem);
	look(g);
	assert_int_equal(g->changed, 0);
	assert_ptr_equal(upstreams_remote(g->u, HG_STR("usual")), usual);
	file_put(g, "system.pem", "half wri");
	look(g);
	look(g);
	assert_int_equal(g->changed, 0);
	assert_str(ca_of(g, "usual"), old.pem);
	file_put(g, "system.pem", fresh.pem);
	look(g);
	assert_int_equal(g->changed, 1);
	assert_str(ca_of(g, "usual"), fresh.pem);
	assert_ptr_equal(upstreams_remote(g->u, HG_STR("own")), mine);
	struct cert_remote_conf c = upstreams_at(g->u, 1);
	assert_true(tls_remote_is(upstreams_remote(g->u, HG_STR("usual")), &c.conf));
	look(g);
	assert_int_equal(g->changed, 1);
	ca_free(&own);
	ca_free(&old);
	ca_free(&fresh);
	rig_free(g);
}

static void our_certificate_is_checked_with_its_key(void **state)
{
	struct rig *g = rig_new();
	struct ca ca = ca_new("own");
	struct ca_leaf who = {.cn = "edge", .until_days = 20, .by = &ca};
	struct pem_text first = ca_leaf(&who), second = ca_leaf(&who);
	struct hg_err err;
	(void)state;
	g->spec.app_count = 1;
	g->app[0].upstream.tls.certificate = HG_STR("edge.pem");
	g->app[0].upstream.tls.key = HG_STR("edge.key");
	file_put(g, "own.pem", ca.pem);
	file_put(g, "edge.pem", first.chain);
	file_put(g, "edge.key", second.key);
	assert_int_equal(take(g, NULL, 0, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.message, "edge.key"));
	file_put(g, "edge.key", first.key);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_str(upstreams_at(g->u, 0).conf.chain, first.chain);
	/* One of the two files first, then the other: never a pair that does not fit. */
	file_put(g, "edge.pem", second.chain);
	look(g);
	assert_int_equal(g->changed, 0);
	assert_str(upstreams_at(g->u, 0).conf.chain, first.chain);
	file_put(g, "edge.key", second.key);
	look(g);
	assert_int_equal(g->changed, 1);
	assert_str(upstreams_at(g->u, 0).conf.chain, second.chain);
	assert_str(upstreams_at(g->u, 0).conf.key, second.key);
	ca_free(&ca);
	rig_free(g);
}

static void what_is_given_counts(void **state)
{
	struct rig *g = rig_new();
	struct ca ca = ca_new("given"), file = ca_new("file");
	struct hg_err err;
	(void)state;
	g->spec.app_count = 1;
	file_put(g, "own.pem", file.pem);
	struct certs_given given = {HG_STR("up-ca:own.pem"), hg_str(ca.pem), HG_STR("")};
	assert_int_equal(take(g, &given, 1, &err), HG_OK);
	assert_str(ca_of(g, "own"), ca.pem);
	given.chain = HG_STR("nonsense");
	assert_int_equal(take(g, &given, 1, &err), HG_E_CERT_FILE);
	assert_str(ca_of(g, "own"), ca.pem);
	ca_free(&ca);
	ca_free(&file);
	rig_free(g);
}

/* A release of before may come back by a rollback. */
static void settings_of_before_stay_until_the_app_leaves(void **state)
{
	struct rig *g = rig_new();
	struct ca ca = ca_new("own"), other = ca_new("other");
	struct hg_err err;
	(void)state;
	g->spec.app_count = 1;
	file_put(g, "own.pem", ca.pem);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	g->app[0].upstream.tls.enabled = false;
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_str(ca_of(g, "own"), ca.pem);
	file_put(g, "own.pem", other.pem);
	look(g);
	assert_int_equal(g->changed, 0);
	g->spec.app_count = 0;
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_int_equal(upstreams_count(g->u), 0);
	ca_free(&ca);
	ca_free(&other);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(authorities_are_read_kept_and_renewed),
	        cmocka_unit_test(who_trusts_what_the_system_trusts_follows_it),
	        cmocka_unit_test(our_certificate_is_checked_with_its_key),
	        cmocka_unit_test(what_is_given_counts),
	        cmocka_unit_test(settings_of_before_stay_until_the_app_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
