/*
 * Full TLS handshakes, each with one request, one after the other: what a server's CPU is measured
 * against. usage: handshake PORT COUNT [resume]; prints "DONE <count> <microseconds>".
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)port),
	        .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct linger hard = {1, 0}; /* no TIME_WAIT: source ports would run out */
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
	perror("connect");
	exit(1);
}

static void once(SSL_CTX *ctx, int port, SSL_SESSION **session)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	char buf[4096];
	int fd = dial(port), n;
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (session && *session) SSL_set_session(ssl, *session);
	if (SSL_connect(ssl) != 1) {
		fprintf(stderr, "no handshake\n");
		exit(1);
	}
	n = SSL_write(ssl, get, sizeof get - 1);
	n = n > 0 ? SSL_read(ssl, buf, sizeof buf) : n;
	if (n < 12 || memcmp(buf, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "no answer\n");
		exit(1);
	}
	if (session && !*session) *session = SSL_get1_session(ssl);
	if (session && *session && !SSL_session_reused(ssl)) {
		static int fresh;
		if (fresh++) fprintf(stderr, "not resumed\n");
	}
	/* Without a goodbye OpenSSL would not use the session again. */
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 3) return 2;
	int port = (int)strtol(argv[1], NULL, 10), count = (int)strtol(argv[2], NULL, 10);
	SSL_SESSION *session = NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct timespec a, b;
	SSL_CTX_set1_groups_list(ctx, "X25519");
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < count; i++)
		once(ctx, port, argc > 3 ? &session : NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("DONE %d %lld\n", count,
	        (long long)(b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
	return 0;
}
