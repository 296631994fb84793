/*
 * The upstream of the edge benchmark: answers every request head with a fixed body, as cheaply as
 * possible, so that the proxy in front is what is measured.
 * usage: upstream --port N | --socket PATH [--body BYTES]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_MAX (1 << 20)

static int listen_on(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0) {
		perror("upstream");
		exit(1);
	}
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (strlen(path) >= sizeof a.sun_path) return -1;
	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0) {
		perror("upstream");
		exit(1);
	}
	return fd;
}

/* GET requests without bodies only: counts the empty lines that end heads. */
static int heads_in(const char *p, ssize_t n)
{
	int heads = 0;
	for (ssize_t i = 3; i < n; i++)
		heads += memcmp(p + i - 3, "\r\n\r\n", 4) == 0;
	return heads;
}

static void serve(int epoll_fd, int fd, const char *answer, size_t size)
{
	char in[65536];
	for (;;) {
		ssize_t n = recv(fd, in, sizeof in, 0);
		if (n < 0 && errno == EAGAIN) return;
		if (n <= 0) {
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
			close(fd);
			return;
		}
		for (int i = heads_in(in, n); i > 0; i--) {
			for (size_t at = 0; at < size;) {
				ssize_t sent = send(fd, answer + at, size - at, MSG_NOSIGNAL);
				if (sent < 0 && errno != EAGAIN) return;
				if (sent > 0) at += (size_t)sent;
			}
		}
		if (n < (ssize_t)sizeof in) return;
	}
}

int main(int argc, char **argv)
{
	int port = 0;
	const char *path = NULL;
	size_t body = 128;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0) port = (int)strtol(argv[i + 1], NULL, 10);
		if (strcmp(argv[i], "--socket") == 0) path = argv[i + 1];
		if (strcmp(argv[i], "--body") == 0) body = strtoul(argv[i + 1], NULL, 10);
	}
	if ((port <= 0 && !path) || body > BODY_MAX) {
		fprintf(stderr, "usage: upstream --port N | --socket PATH [--body BYTES]\n");
		return 2;
	}
	char *answer = malloc(256 + body);
	if (!answer) return 1;
	int head = snprintf(answer, 256,
	        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body);
	memset(answer + head, 'x', body);
	signal(SIGPIPE, SIG_IGN);
	int listener = path ? listen_unix(path) : listen_on(port), epoll_fd = epoll_create1(0);
	struct epoll_event ev[256], e = {.events = EPOLLIN, .data.fd = listener};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll_fd, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd != listener) {
				serve(epoll_fd, ev[i].data.fd, answer, (size_t)head + body);
				continue;
			}
			int fd, on = 1;
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
				e = (struct epoll_event){
				        .events = EPOLLIN | EPOLLET, .data.fd = fd};
				epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
			}
		}
	}
}
