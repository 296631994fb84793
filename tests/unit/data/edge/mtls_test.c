/* Certificates of clients: who is asked, who may in, and what the replica is told. */
#define RIG_TLS
#include "rig.h"

#include "../../os/ca_rig.h"

enum { PARTNERS, STAFF };

static struct ca ca[2];

/* a: everybody · closed: of partners · staff: of staff · both: /admin of staff, else open ·
 * maybe: optional · *.wide: of partners */
static const struct snap_in_route routes[] = {
        {.host = HG_STR("a.example"), .path = HG_STR("/"), .name = HG_STR("a")},
        {.host = HG_STR("closed"),
                .path = HG_STR("/"),
                .name = HG_STR("closed"),
                .client = SNAP_CLIENT_REQUIRED,
                .cas = 1u << PARTNERS},
        {.host = HG_STR("staff"),
                .path = HG_STR("/"),
                .name = HG_STR("staff"),
                .client = SNAP_CLIENT_REQUIRED,
                .cas = 1u << STAFF},
        {.host = HG_STR("both"), .path = HG_STR("/"), .name = HG_STR("both")},
        {.host = HG_STR("both"),
                .path = HG_STR("/admin"),
                .name = HG_STR("both/admin"),
                .client = SNAP_CLIENT_REQUIRED,
                .cas = 1u << STAFF},
        {.host = HG_STR("maybe"),
                .path = HG_STR("/"),
                .name = HG_STR("maybe"),
                .client = SNAP_CLIENT_OPTIONAL,
                .cas = 3},
        {.host = HG_STR("*.wide"),
                .path = HG_STR("/"),
                .name = HG_STR("wide"),
                .client = SNAP_CLIENT_REQUIRED,
                .cas = 1u << PARTNERS},
        {.host = HG_STR("open.wide"), .path = HG_STR("/"), .name = HG_STR("open")},
};

static void authorities(struct rig *g)
{
	for (int i = 0; i < 2; i++)
		g->ca[i] = (struct snap_in_ca){hg_str(ca[i].pem), hg_str(ca[i].crl)};
	g->ca_count = 2;
	g->routes = routes;
	g->route_count = HG_COUNT(routes);
	rig_publish(g);
}

static struct rig *start(void)
{
	struct rig *g = rig_bare(0, 0);
	ca[PARTNERS].crl[0] = ca[STAFF].crl[0] = 0;
	rig_replica(g, rep_echo);
	authorities(g);
	return g;
}

struct visit {
	int fd;
	struct tls_client c;
};

static struct visit visit_(
        struct rig *g, const char *sni, const struct pem_text *shown, int version)
{
	struct visit v = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct timeval tv = {10, 0};
	setsockopt(v.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	assert_int_equal(connect(v.fd, &g->addr.sa, g->addr.len), 0);
	v.c = client_new(v.fd, sni);
	SSL_set_max_proto_version(v.c.ssl, version);
	if (shown) client_show(&v.c, shown);
	assert_int_equal(SSL_connect(v.c.ssl), 1);
	return v;
}

static struct visit visit(struct rig *g, const char *sni, const struct pem_text *shown)
{
	return visit_(g, sni, shown, TLS1_3_VERSION);
}

static void leave(struct visit *v)
{
	SSL_shutdown(v->c.ssl); /* or OpenSSL takes its session for broken */
	client_free(&v->c);
	close(v->fd);
}

/* Status and whole answer. */
static int ask(struct visit *v, const char *host, const char *path, const char *more, char *to)
{
	static char scratch[8192];
	size_t n, got = 0;
	char *text = to ? to : scratch;
	n = (size_t)snprintf(
	        scratch, sizeof scratch, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, more);
	assert_int_equal(SSL_write_ex(v->c.ssl, scratch, n, &n), 1);
	text[0] = 0;
	while (got < 8000 && SSL_read_ex(v->c.ssl, text + got, 8000 - got, &n) == 1) {
		char len[64];
		got += n;
		text[got] = 0;
		const char *end = strstr(text, "\r\n\r\n");
		if (!end || !field(text, "Content-Length", len, sizeof len)) continue;
		if (got >= (size_t)(end + 4 - text) + strtoul(len, NULL, 10)) break;
	}
	return (int)strtol(text + 9, NULL, 10);
}

static int once(struct rig *g, const char *sni, const struct pem_text *shown, const char *path)
{
	struct visit v = visit(g, sni, shown);
	int status = ask(&v, sni, path, "", NULL);
	leave(&v);
	return status;
}

static void the_route_decides(void **state)
{
	struct rig *g = start();
	(void)state;
	struct pem_text partner =
	        ca_leaf(&(struct ca_leaf){.cn = "p", .until_days = 1, .by = &ca[PARTNERS]});
	struct pem_text staff =
	        ca_leaf(&(struct ca_leaf){.cn = "s", .until_days = 1, .by = &ca[STAFF]});
	const struct {
		const char *host, *path;
		const struct pem_text *shown;
		int status;
	} row[] = {
	        {"a.example", "/", NULL, 200},
	        {"a.example", "/", &partner, 200},
	        {"closed", "/", NULL, 403},
	        {"closed", "/", &partner, 200},
	        {"closed", "/", &staff, 403},
	        {"staff", "/", &staff, 200},
	        {"staff", "/x", &partner, 403},
	        {"both", "/", NULL, 200},
	        {"both", "/admin", NULL, 403},
	        {"both", "/%61dmin/x", NULL, 403},
	        {"both", "/admin", &staff, 200},
	        {"both", "/admin", &partner, 403},
	        {"maybe", "/", NULL, 200},
	        {"maybe", "/", &partner, 200},
	        {"x.wide", "/", NULL, 403},
	        {"y.x.wide", "/", &partner, 200},
	        {"open.wide", "/", NULL, 200},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int status = once(g, row[i].host, row[i].shown, row[i].path);
		if (status != row[i].status)
			fail_msg("row %zu: %s%s: %d", i, row[i].host, row[i].path, status);
	}
	rig_free(g);
}

/* Nobody is asked who need not be: browsers would show a dialogue. */
static void only_hosts_that_want_one_ask(void **state)
{
	struct rig *g = start();
	(void)state;
	assert_int_equal(once(g, "a.example", NULL, "/"), 200);
	assert_int_equal(once(g, "open.wide", NULL, "/"), 200);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].client_asked, 0);
	assert_int_equal(once(g, "both", NULL, "/"), 200);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].client_asked, 1);
	assert_int_equal(g->meter->worker[1].client_shown, 0);
	rig_free(g);
}

static void bad_certificates_are_told_and_counted(void **state)
{
	struct rig *g = start();
	struct ca stranger = ca_new("partners"); /* the same name, another key */
	char text[8192];
	(void)state;
	const struct {
		struct ca_leaf leaf;
		const char *why;
	} row[] = {
	        {{.cn = "old", .from_days = -9, .until_days = -1, .by = &ca[PARTNERS]}, "expired"},
	        {{.cn = "new", .from_days = 5, .until_days = 9, .by = &ca[PARTNERS]},
	                "not yet valid"},
	        {{.cn = "x", .until_days = 9, .by = &stranger}, "certificate"},
	        {{.cn = "srv", .until_days = 9, .server = true, .by = &ca[PARTNERS]}, "purpose"},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct pem_text shown = ca_leaf(&row[i].leaf);
		struct visit v = visit(g, "closed", &shown);
		assert_int_equal(ask(&v, "closed", "/", "", text), 403);
		if (!strstr(text, row[i].why)) fail_msg("%s: %s", row[i].leaf.cn, text);
		leave(&v);
		/* Where it is a wish, nothing is told to the replica. */
		v = visit(g, "maybe", &shown);
		assert_int_equal(ask(&v, "maybe", "/", "", NULL), 200);
		assert_null(field(g->rep[0].last, "X-Client-Cert-Subject", text, sizeof text));
		leave(&v);
	}
	rig_sync(g);
	usleep(300000); /* the log is written now and then */
	ssize_t n = read(g->log_pipe[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text,
	        "\"reason\":\"the client certificate is not valid: certificate has expired\""));
	assert_int_equal(g->meter->worker[1].client_invalid, 2 * HG_COUNT(row));
	assert_int_equal(g->meter->worker[1].client_refused, HG_COUNT(row));
	ca_free(&stranger);
	rig_free(g);
}

static void the_replica_is_told(void **state)
{
	struct rig *g = start();
	char v[8192];
	(void)state;
	struct pem_text shown = ca_leaf(&(struct ca_leaf){.cn = "J\xc3\xb6rg, \"x\"\r\nEvil: 1",
	        .san = "URI:spiffe://example/a,DNS:one.example,DNS:two.example",
	        .until_days = 1,
	        .by = &ca[PARTNERS]});
	struct visit c = visit(g, "closed", &shown);
	/* What a client says itself is dropped, in every spelling. */
	const char *forged = "X-Client-Cert-Subject: CN=root\r\nX_Client_Cert_Fingerprint: 00\r\n"
	                     "x-client-cert-anything: 1\r\nCLIENT-CERT: :AA==:\r\n"
	                     "Client_Cert_Chain: x\r\nClient-Certificate: kept\r\n";
	assert_int_equal(ask(&c, "closed", "/", forged, NULL), 200);
	const char *head = g->rep[0].last;
	assert_string_equal(
	        field(head, "X-Client-Cert-San-Uri", v, sizeof v), "spiffe://example/a");
	assert_string_equal(
	        field(head, "X-Client-Cert-San-Dns", v, sizeof v), "one.example, two.example");
	assert_non_null(field(head, "X-Client-Cert-Subject", v, sizeof v));
	assert_string_equal(v, "CN=J\\C3\\B6rg\\, \\\"x\\\"\\0D\\0AEvil: 1");
	assert_int_equal(strlen(field(head, "X-Client-Cert-Fingerprint", v, sizeof v)), 64);
	assert_string_not_equal(v, "00");
	field(head, "Client-Cert", v, sizeof v);
	assert_true(strlen(v) > 300 && v[0] == ':' && v[strlen(v) - 1] == ':');
	assert_string_equal(field(head, "Client-Certificate", v, sizeof v), "kept");
	assert_null(strstr(head, "root"));
	assert_null(strstr(head, "_"));
	assert_null(strstr(head, "anything"));
	assert_null(strstr(head, "\r\nEvil"));
	leave(&c);
	/* Without a certificate as well. */
	c = visit(g, "a.example", NULL);
	assert_int_equal(ask(&c, "a.example", "/", forged, NULL), 200);
	assert_null(strstr(g->rep[0].last, "root"));
	assert_null(field(g->rep[0].last, "Client-Cert", v, sizeof v));
	leave(&c);
	rig_free(g);
}

/* The name in the hello decided what was asked; another host's rules do not hold here. */
static void another_host_is_misdirected(void **state)
{
	struct rig *g = start();
	char text[8192];
	(void)state;
	struct pem_text partner =
	        ca_leaf(&(struct ca_leaf){.cn = "p", .until_days = 1, .by = &ca[PARTNERS]});
	struct pem_text staff =
	        ca_leaf(&(struct ca_leaf){.cn = "s", .until_days = 1, .by = &ca[STAFF]});
	const struct {
		const char *sni, *host;
		const struct pem_text *shown;
		int status;
	} row[] = {
	        {"a.example", "closed", NULL, 421},
	        {"staff", "closed", &staff, 421},
	        {"x.wide", "closed", &partner, 421}, /* the same authority, and yet */
	        {NULL, "closed", &partner, 421},
	        {"closed", "a.example", &partner, 200},
	        {"closed", "CLOSED.:8443", &partner, 200},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct visit v = visit(g, row[i].sni, row[i].shown);
		int status = ask(&v, row[i].host, "/", "", text);
		if (status != row[i].status) fail_msg("row %zu: %d", i, status);
		/* Another connection is worth a try. */
		if (status == 421) assert_non_null(strstr(text, "Connection: close\r\n"));
		leave(&v);
	}
	/* Where it is a wish, the identity of another host's handshake does not come along. */
	struct visit v = visit(g, "closed", &partner);
	assert_int_equal(ask(&v, "maybe", "/", "", NULL), 200);
	assert_null(field(g->rep[0].last, "Client-Cert", text, sizeof text));
	leave(&v);
	rig_free(g);
}

static int resumed_as(
        struct rig *g, SSL_SESSION *s, const char *sni, int version, bool *ret_resumed)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
	struct visit v = {.fd = fd, .c = client_new(fd, sni)};
	SSL_set_max_proto_version(v.c.ssl, version);
	SSL_set_session(v.c.ssl, s);
	assert_int_equal(SSL_connect(v.c.ssl), 1);
	*ret_resumed = SSL_session_reused(v.c.ssl);
	int status = ask(&v, sni, "/", "", NULL);
	leave(&v);
	return status;
}

/* nginx CVE-2025-23419: a session of one host must open no other one. */
static void sessions_carry_no_identity(void **state)
{
	struct rig *g = start();
	(void)state;
	g->allow_1_2 = true;
	rig_do(g, rig_certs_again);
	struct pem_text partner =
	        ca_leaf(&(struct ca_leaf){.cn = "p", .until_days = 1, .by = &ca[PARTNERS]});
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		bool resumed;
		/* With a certificate: there is nothing that could be resumed. */
		struct visit v = visit_(g, "closed", &partner, version);
		assert_int_equal(ask(&v, "closed", "/", "", NULL), 200);
		SSL_SESSION *s = SSL_get1_session(v.c.ssl);
		leave(&v);
		assert_int_equal(resumed_as(g, s, "closed", version, &resumed), 403);
		assert_false(resumed);
		SSL_SESSION_free(s);
		/* Of a host that asks nobody: it is resumed there, and opens no other one. */
		v = visit_(g, "a.example", NULL, version);
		assert_int_equal(ask(&v, "a.example", "/", "", NULL), 200);
		s = SSL_get1_session(v.c.ssl);
		leave(&v);
		assert_int_equal(resumed_as(g, s, "closed", version, &resumed), 403);
		assert_false(resumed);
		SSL_SESSION_up_ref(s);
		assert_int_equal(resumed_as(g, s, "a.example", version, &resumed), 200);
		assert_true(resumed);
		SSL_SESSION_free(s);
		SSL_SESSION_free(s);
	}
	rig_free(g);
}

static void revocation_reaches_open_connections(void **state)
{
	struct rig *g = start();
	char text[8192];
	(void)state;
	struct pem_text good =
	        ca_leaf(&(struct ca_leaf){.cn = "g", .until_days = 1, .by = &ca[PARTNERS]});
	struct pem_text lost =
	        ca_leaf(&(struct ca_leaf){.cn = "l", .until_days = 1, .by = &ca[PARTNERS]});
	struct pem_text staff =
	        ca_leaf(&(struct ca_leaf){.cn = "s", .until_days = 1, .by = &ca[STAFF]});
	struct visit a = visit(g, "closed", &good), b = visit(g, "closed", &lost);
	assert_int_equal(ask(&a, "closed", "/", "", NULL), 200);
	assert_int_equal(ask(&b, "closed", "/", "", NULL), 200);
	ca_revoke(&ca[PARTNERS], lost.chain, 1);
	authorities(g);
	assert_int_equal(ask(&a, "closed", "/", "", NULL), 200);
	assert_int_equal(ask(&b, "closed", "/", "", text), 403);
	assert_non_null(strstr(text, "revoked"));
	/* An authority without a list revokes nothing. */
	assert_int_equal(once(g, "staff", &staff, "/"), 200);
	/* A list that is over says nothing any more: nobody gets in. */
	ca_revoke(&ca[PARTNERS], NULL, -1);
	authorities(g);
	assert_int_equal(ask(&a, "closed", "/", "", text), 403);
	assert_non_null(strstr(text, "CRL has expired"));
	leave(&a);
	leave(&b);
	rig_free(g);
}

/* A connection of before the rule was not asked: the client has to come again. */
static void a_new_rule_reaches_open_connections(void **state)
{
	struct rig *g = start();
	(void)state;
	g->routes = NULL;
	rig_publish(g);
	struct pem_text good =
	        ca_leaf(&(struct ca_leaf){.cn = "g", .until_days = 1, .by = &ca[PARTNERS]});
	struct visit v = visit(g, "closed", &good);
	assert_int_equal(ask(&v, "closed", "/", "", NULL), 200);
	authorities(g);
	assert_int_equal(ask(&v, "closed", "/", "", NULL), 421);
	leave(&v);
	assert_int_equal(once(g, "closed", &good, "/"), 200);
	/* And an authority that is gone lets nobody in any more. */
	v = visit(g, "closed", &good);
	assert_int_equal(ask(&v, "closed", "/", "", NULL), 200);
	g->ca[PARTNERS] = g->ca[STAFF];
	rig_publish(g);
	assert_int_equal(ask(&v, "closed", "/", "", NULL), 403);
	leave(&v);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_route_decides),
	        cmocka_unit_test(only_hosts_that_want_one_ask),
	        cmocka_unit_test(bad_certificates_are_told_and_counted),
	        cmocka_unit_test(the_replica_is_told),
	        cmocka_unit_test(another_host_is_misdirected),
	        cmocka_unit_test(sessions_carry_no_identity),
	        cmocka_unit_test(revocation_reaches_open_connections),
	        cmocka_unit_test(a_new_rule_reaches_open_connections),
	};
	ca[PARTNERS] = ca_new("partners");
	ca[STAFF] = ca_new("staff");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ca_free(&ca[PARTNERS]);
	ca_free(&ca[STAFF]);
	return failed;
}
