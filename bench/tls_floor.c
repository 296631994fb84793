/*
 * What OpenSSL alone costs, without a proxy around it and with the settings that keep it cheap.
 * usage: tls_floor CERT.pem KEY.pem [COUNT]      KiB of malloc of one established TLS 1.3 session
 *        tls_floor CERT.pem KEY.pem --serve PORT a full handshake and one answer for each
 * connection
 */
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
	if (ok) return;
	(void)fprintf(stderr, "tls_floor: %s\n", what);
	exit(1);
}

/* Handshake, a few bytes each way; the client goes, the server's end stays. */
static SSL *session(SSL_CTX *server, SSL_CTX *client)
{
	SSL *s = SSL_new(server), *c = SSL_new(client);
	BIO *at_server, *at_client;
	char bytes[8];
	must(s && c && BIO_new_bio_pair(&at_server, 16384, &at_client, 16384), "memory");
	SSL_set_bio(s, at_server, at_server);
	SSL_set_bio(c, at_client, at_client);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 4; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	must(SSL_write(c, "hello", 5) == 5 && SSL_read(s, bytes, sizeof bytes) == 5, "request");
	must(SSL_write(s, "world", 5) == 5 && SSL_read(s, bytes, sizeof bytes) < 0, "answer");
	SSL_free(c);
	BIO *none = BIO_new(BIO_s_null());
	must(none != NULL, "memory");
	SSL_set_bio(s, none, none);
	return s;
}

/* One client after the other, blocking: nothing but the system calls that must be. */
static _Noreturn void serve(SSL_CTX *server, int port)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct sockaddr_in a = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)port),
	        .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	char bytes[4096];
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	must(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 4096) == 0,
	        "listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		SSL *s = fd >= 0 ? SSL_new(server) : NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (s && SSL_set_fd(s, fd) == 1 && SSL_accept(s) == 1 &&
		        SSL_read(s, bytes, sizeof bytes) > 0 &&
		        SSL_write(s, answer, sizeof answer - 1) > 0) {
			(void)SSL_read(s, bytes, sizeof bytes); /* until the client goes */
		}
		SSL_free(s);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	bool serves = argc > 4 && strcmp(argv[3], "--serve") == 0;
	size_t count = argc > 3 && !serves ? strtoul(argv[3], NULL, 10) : 1000;
	must(argc > 2 && count, "see the source");
	SSL_CTX *server = SSL_CTX_new(TLS_server_method()),
	        *client = SSL_CTX_new(TLS_client_method());
	SSL **all = calloc(count, sizeof(SSL *));
	must(server && client && all, "memory");
	must(SSL_CTX_use_certificate_chain_file(server, argv[1]) == 1 &&
	                SSL_CTX_use_PrivateKey_file(server, argv[2], SSL_FILETYPE_PEM) == 1,
	        "certificate");
	SSL_CTX_set_min_proto_version(server, TLS1_3_VERSION);
	SSL_CTX_set_mode(server, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(server, 1);
	must(SSL_CTX_set_ciphersuites(server, "TLS_AES_128_GCM_SHA256") == 1, "suite");
	must(SSL_CTX_set1_groups_list(server, "X25519") == 1, "group");
	if (serves) serve(server, (int)strtol(argv[4], NULL, 10));
	for (int i = 0; i < 20; i++) /* what is made once */
		SSL_free(session(server, client));
	size_t before = mallinfo2().uordblks;
	for (size_t i = 0; i < count; i++)
		all[i] = session(server, client);
	printf("%.1f\n", (double)(mallinfo2().uordblks - before) / 1024.0 / (double)count);
	for (size_t i = 0; i < count; i++)
		SSL_free(all[i]);
	free(all);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	return 0;
}
