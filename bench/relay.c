/*
 * The floor: moves bytes between a client and an upstream connection and knows no HTTP. What a
 * proxy costs above this is what its own work costs. usage: relay --port N --to N
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
#include <unistd.h>

struct side {
	int fd;
	struct side *other;
};

static int tcp(void)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	return fd;
}

static void relay(int epoll_fd, struct side *s)
{
	static char buffer[65536];
	while (s->fd >= 0) {
		ssize_t n = recv(s->fd, buffer, sizeof buffer, 0);
		if (n < 0 && errno == EAGAIN) return;
		if (n <= 0) {
			struct side *o = s->other;
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, o->fd, NULL);
			close(s->fd);
			close(o->fd);
			s->fd = o->fd = -1; /* the pair is not reused: a benchmark ends soon */
			return;
		}
		for (ssize_t at = 0; at < n;) {
			ssize_t sent =
			        send(s->other->fd, buffer + at, (size_t)(n - at), MSG_NOSIGNAL);
			if (sent < 0 && errno != EAGAIN) return;
			if (sent > 0) at += sent;
		}
		if (n < (ssize_t)sizeof buffer) return;
	}
}

static void pair(int epoll_fd, int client, int to)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)to)};
	struct side *s = calloc(2, sizeof *s);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!s) return;
	s[0] = (struct side){client, &s[1]};
	s[1] = (struct side){tcp(), &s[0]};
	connect(s[1].fd, (struct sockaddr *)&a, sizeof a);
	for (int i = 0; i < 2; i++) {
		struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = &s[i]};
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s[i].fd, &e);
	}
}

int main(int argc, char **argv)
{
	int port = 0, to = 0;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0) port = (int)strtol(argv[i + 1], NULL, 10);
		if (strcmp(argv[i], "--to") == 0) to = (int)strtol(argv[i + 1], NULL, 10);
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = tcp(), epoll_fd = epoll_create1(0);
	if (port <= 0 || to <= 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 ||
	        listen(listener, 4096) < 0) {
		perror("usage: relay --port N --to N");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	struct epoll_event ev[256], e = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll_fd, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			int fd;
			if (ev[i].data.ptr) {
				relay(epoll_fd, ev[i].data.ptr);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
				pair(epoll_fd, fd, to);
		}
	}
}
