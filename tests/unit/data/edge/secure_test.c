/* TLS to replicas: what the dialogues of the other tests, which are all held by it too, do not say.
 */
#define RIG_UP 1
#include "../../os/ca_rig.h"
#include "rig.h"

#include <openssl/err.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- replicas with TLS of their own: the rig's goes by a bridge ---- */

struct server {
	const struct pem_text *pem;
	const struct ca *clients; /* it wants a certificate of theirs */
	bool cut, rekey, whole;
	_Atomic int resumed, accepted;
	SSL_CTX *ctx;
};

static void server_make(struct server *s)
{
	BIO *chain = BIO_new_mem_buf(s->pem->chain, -1), *key = BIO_new_mem_buf(s->pem->key, -1);
	X509 *x = PEM_read_bio_X509(chain, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, k), 1);
	SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)"t", 1);
	if (s->clients) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(s->ctx), s->clients->cert);
		SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(chain);
	BIO_free(key);
}

static bool said_get(SSL *ssl)
{
	char buf[8192];
	size_t n = 0, k;
	while (n < sizeof buf - 1 && SSL_read_ex(ssl, buf + n, sizeof buf - 1 - n, &k) == 1) {
		n += k;
		buf[n] = 0;
		if (strstr(buf, "\r\n\r\n")) return true;
	}
	return false;
}

/* One byte a record, so that every place of a cut between records is had. */
static void say(SSL *ssl, const char *text)
{
	for (; *text; text++)
		if (SSL_write(ssl, text, 1) != 1) return;
}

static void on_accept_tls(struct replica *rep, int fd)
{
	struct server *s = rep->arg;
	SSL *ssl = SSL_new(s->ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		s->accepted++;
		if (SSL_session_reused(ssl)) s->resumed++;
		while (said_get(ssl)) {
			rep->requests++;
			if (s->cut || s->whole) {
				say(ssl, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n=");
				if (s->whole) SSL_shutdown(ssl);
				break;
			}
			say(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n=");
			/* Said to TLS alone, while the connection is idle. */
			if (s->rekey && SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
				SSL_do_handshake(ssl);
		}
	}
	ERR_clear_error();
	SSL_free(ssl);
}

static struct tls_remote_conf conf;

static void conf_call(struct rig *g)
{
	rig_remote(g, &conf);
}

static struct rig *rig_of(struct server *s, const struct tls_remote_conf *c)
{
	struct rig *g = rig_bare(0, 0);
	signal(SIGPIPE, SIG_IGN);
	server_make(s);
	struct replica *rep = rig_replica(g, on_accept_tls);
	rep->pem = NULL; /* the script speaks TLS itself */
	rep->arg = s;
	conf = *c;
	rig_do(g, conf_call);
	rig_publish(g);
	return g;
}

static void over(struct rig *g, struct server *s)
{
	rig_free(g);
	SSL_CTX_free(s->ctx);
}

static struct tls_remote_conf trusting(const char *ca)
{
	return (struct tls_remote_conf){
	        .ca = hg_str(ca), .name = HG_STR("localhost"), .verify = true};
}

static void status_is(struct rig *g, const char *ask, int status)
{
	int fd = dial(g);
	put(fd, ask);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, status);
	resp_free(r);
	close(fd);
}

static const struct meter_worker *counted(struct rig *g)
{
	rig_sync(g);
	return &g->meter->worker[g->worker];
}

/* ---- tests ---- */

static void records_that_are_tickets_or_keys_end_no_idle_connection(void **state)
{
	struct server s = {.pem = rig_up_pem(), .rekey = true};
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 20; i++) {
		talk(fd, GET, 200, "=");
		usleep(3000);
	}
	/* A request that must not be sent twice looks at the connection first. */
	talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "=");
	assert_int_equal(g->rep[0].connections, 1);
	assert_int_equal(counted(g)->upstream_tls_handshakes, 1);
	close(fd);
	over(g, &s);
}

static void later_connections_take_up_the_session(void **state)
{
	struct server s = {.pem = rig_up_pem(), .whole = true}; /* each serves one request */
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	(void)state;
	for (int i = 0; i < 10; i++)
		status_is(g, GET, 200);
	assert_int_equal(s.accepted, 10);
	assert_in_range(s.resumed, 8, 9);
	assert_int_equal(counted(g)->upstream_tls_resumed, s.resumed);
	/* The same settings again: sessions go on. Others: whoever was believed proves it anew. */
	rig_do(g, conf_call);
	status_is(g, GET, 200);
	assert_in_range(s.resumed, 9, 10);
	int before = s.resumed;
	conf.allow_1_2 = true;
	rig_do(g, conf_call);
	status_is(g, GET, 200);
	assert_int_equal(s.resumed, before);
	over(g, &s);
}

static void settings_that_change_refuse_who_was_believed_before(void **state)
{
	struct ca other = ca_new("other");
	struct server s = {.pem = rig_up_pem(), .whole = true};
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	(void)state;
	status_is(g, GET, 200);
	conf.ca = hg_str(other.pem);
	rig_do(g, conf_call);
	status_is(g, GET, 502);
	conf.ca = hg_str(rig_up_pem()->chain);
	conf.name = HG_STR("elsewhere");
	rig_do(g, conf_call);
	status_is(g, GET, 502);
	conf.verify = false;
	rig_do(g, conf_call);
	status_is(g, GET, 200);
	assert_true(counted(g)->upstream_tls_failures >= 2);
	ca_free(&other);
	over(g, &s);
}

static void a_response_that_ends_without_goodbye_is_no_whole_one(void **state)
{
	struct server s = {.pem = rig_up_pem(), .cut = true};
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	char buf[4096];
	(void)state;
	int fd = dial(g);
	put(fd, GET);
	ssize_t n;
	while ((n = read(fd, buf, sizeof buf)) > 0)
		continue;
	assert_int_equal(n, -1); /* reset: nobody takes it for the end */
	close(fd);
	s.cut = false;
	s.whole = true;
	status_is(g, GET, 200);
	over(g, &s);
}

static void a_replica_that_turns_our_certificate_away_has_seen_nothing(void **state)
{
	struct ca ca = ca_new("ours");
	struct ca_leaf leaf = {.cn = "edge", .until_days = 3, .by = &ca};
	struct pem_text ours = ca_leaf(&leaf);
	struct server s = {.pem = rig_up_pem(), .clients = &ca};
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	(void)state;
	status_is(g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502);
	assert_int_equal(g->rep[0].requests, 0);
	assert_true(counted(g)->upstream_connect_errors >= 1);
	conf.chain = hg_str(ours.chain);
	conf.key = hg_str(ours.key);
	rig_do(g, conf_call);
	status_is(g, GET, 200);
	ca_free(&ca);
	over(g, &s);
}

static void without_settings_a_replica_is_not_spoken_to_in_the_clear(void **state)
{
	struct server s = {.pem = rig_up_pem()};
	struct tls_remote_conf c = trusting(rig_up_pem()->chain);
	struct rig *g = rig_of(&s, &c);
	(void)state;
	g->edge->apps[0].secure = NULL; /* the thread sleeps: nothing asks */
	status_is(g, GET, 502);
	assert_int_equal(s.accepted, 0);
	rig_do(g, conf_call);
	status_is(g, GET, 200);
	over(g, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(records_that_are_tickets_or_keys_end_no_idle_connection),
	        cmocka_unit_test(later_connections_take_up_the_session),
	        cmocka_unit_test(settings_that_change_refuse_who_was_believed_before),
	        cmocka_unit_test(a_response_that_ends_without_goodbye_is_no_whole_one),
	        cmocka_unit_test(a_replica_that_turns_our_certificate_away_has_seen_nothing),
	        cmocka_unit_test(without_settings_a_replica_is_not_spoken_to_in_the_clear),
	};
	return cmocka_run_group_tests_name("secure", tests, NULL, NULL);
}
