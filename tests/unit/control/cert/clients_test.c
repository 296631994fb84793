/* Authorities of clients: given, read, kept, renewed. */
#include "../../os/ca_rig.h"

#include <stdio.h>
#include <unistd.h>

#include "control/cert/clients.c"
#include "os/clock.h"

struct rig {
	char dir[64];
	struct loop *loop;
	struct hg_log log;
	struct clients *c;
	struct spec spec;
	struct spec_client_ca named[1];
	int changed;
};

static void on_change(void *arg)
{
	((struct rig *)arg)->changed++;
}

static void start(struct rig *g)
{
	struct hg_err err = {0};
	struct clients_options o = {.loop = g->loop,
	        .log = &g->log,
	        .data_dir = g->dir,
	        .wall_ms = clock_wall_ms,
	        .on_change = on_change,
	        .arg = g};
	assert_int_equal(clients_new(&o, &g->c, &err), HG_OK);
}

static struct rig *rig_new(void)
{
	struct rig *g = calloc(1, sizeof *g);
	snprintf(g->dir, sizeof g->dir, "/tmp/clients-test-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	assert_int_equal(loop_new(&g->loop), HG_OK);
	g->log = (struct hg_log){.fd = -1, .who = "test", .wall_ms = clock_wall_ms};
	g->named[0] = (struct spec_client_ca){
	        .name = HG_STR("p"), .file = HG_STR("p.pem"), .crl = HG_STR("p.crl")};
	g->spec.edge.listen.https.set = true;
	g->spec.edge.tls.client_ca = g->named;
	g->spec.edge.tls.client_ca_count = 1;
	start(g);
	return g;
}

static void rig_free(struct rig *g)
{
	char command[128];
	clients_free(g->c);
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

static enum hg_rc take(
        struct rig *g, const struct certs_given *given, uint32_t n, struct hg_err *err)
{
	struct clients_plan *p = NULL;
	*err = (struct hg_err){0};
	enum hg_rc rc = clients_check(g->c, &g->spec, g->dir, given, n, &p, err);
	if (rc == HG_OK) rc = clients_keep(g->c, p, err);
	if (rc == HG_OK) clients_apply(g->c, p);
	return rc;
}

static void files_are_read_kept_and_renewed(void **state)
{
	struct rig *g = rig_new();
	struct ca ca = ca_new("one"), other = ca_new("other");
	struct hg_err err;
	char path[128];
	(void)state;
	assert_int_equal(take(g, NULL, 0, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.message, "p.pem"));
	ca_revoke(&ca, NULL, 3);
	file_put(g, "p.pem", ca.pem);
	file_put(g, "p.crl", ca.crl);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_int_equal(clients_count(g->c), 1);
	struct clients_view v = clients_at(g->c, 0);
	assert_string_equal(v.name, "p");
	assert_str(v.certs, ca.pem);
	assert_str(v.crl, ca.crl);
	int64_t now = (int64_t)(clock_wall_ms() / 1000);
	assert_in_range(v.crl_until_s - now, 2 * 86400, 4 * 86400);
	assert_in_range(v.cert->until_s - now, 29 * 86400, 31 * 86400);
	/* Looked at again: nothing new, a new list, a bad one. */
	assert_false(renew(g->c, &g->c->now->one[0]));
	ca_revoke(&ca, ca.pem, 5);
	file_put(g, "p.crl", ca.crl);
	on_watch(g->loop, &g->c->watch);
	assert_int_equal(g->changed, 1);
	assert_str(clients_at(g->c, 0).crl, ca.crl);
	ca_revoke(&other, NULL, 3);
	file_put(g, "p.crl", other.crl);
	on_watch(g->loop, &g->c->watch);
	assert_int_equal(g->changed, 1);
	assert_str(clients_at(g->c, 0).crl, ca.crl);
	/* Another control that may not read them has what was kept. */
	clients_free(g->c);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", g->dir, i ? "p.pem" : "p.crl");
		assert_int_equal(unlink(path), 0);
	}
	start(g);
	assert_int_equal(take(g, NULL, 0, &err), HG_OK);
	assert_str(clients_at(g->c, 0).certs, ca.pem);
	assert_str(clients_at(g->c, 0).crl, ca.crl);
	ca_free(&ca);
	ca_free(&other);
	rig_free(g);
}

static void what_is_given_counts(void **state)
{
	struct rig *g = rig_new();
	struct ca ca = ca_new("one"), other = ca_new("other");
	struct hg_err err;
	(void)state;
	ca_revoke(&ca, NULL, 3);
	ca_revoke(&other, NULL, 3);
	struct certs_given given[] = {{HG_STR("p.pem"), hg_str(other.pem), hg_str(other.crl)},
	        {HG_STR("ca:p.pem"), hg_str(ca.pem), hg_str(ca.crl)}};
	assert_int_equal(take(g, given, 2, &err), HG_OK);
	assert_str(clients_at(g->c, 0).certs, ca.pem);
	given[1].key = hg_str(other.crl);
	assert_int_equal(take(g, given, 2, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.message, "not of this authority"));
	given[1].key = HG_STR("nonsense");
	assert_int_equal(take(g, given, 2, &err), HG_E_CERT_FILE);
	given[1] = (struct certs_given){HG_STR("ca:p.pem"), HG_STR("nonsense"), HG_STR("")};
	assert_int_equal(take(g, given, 2, &err), HG_E_CERT_FILE);
	assert_non_null(strstr(err.message, "no certificate"));
	assert_str(clients_at(g->c, 0).certs, ca.pem);
	ca_free(&ca);
	ca_free(&other);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(files_are_read_kept_and_renewed),
	        cmocka_unit_test(what_is_given_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
