#include "../test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/sock.h"

static void addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *in, *out;
	} row[] = {
	        {"127.0.0.1:8080", "127.0.0.1:8080"},
	        {"localhost:1", "127.0.0.1:1"},
	        {"[::1]:443", "[::1]:443"},
	        {":80", "[::]:80"},
	        {"80", "[::]:80"},
	        {"unix:/tmp/x.sock", "unix:/tmp/x.sock"},
	        {"0.0.0.0:0", "0.0.0.0:0"},
	};
	static const char *const bad[] = {"", "host:80", "127.0.0.1", "127.0.0.1:65536", "::1:80",
	        "127.0.0.1:-1", "[127.0.0.1]:80", "unix:", "1.2.3.4:80 "};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct sock_addr a;
		char text[SOCK_TEXT_MAX];
		assert_true(sock_addr_parse(hg_str(row[i].in), &a));
		sock_addr_text(&a, text, sizeof text);
		assert_string_equal(text, row[i].out);
	}
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct sock_addr a;
		if (sock_addr_parse(hg_str(bad[i]), &a)) fail_msg("\"%s\" was accepted", bad[i]);
	}
}

static void descriptors_travel_with_messages(void **state)
{
	int pair[2], p[2], got[SOCK_FDS_MAX];
	size_t count;
	char text[8];
	(void)state;
	assert_int_equal(sock_pair(pair), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(sock_send(pair[0], "hello", 5, p, 2), 0);
	assert_int_equal(sock_recv(pair[1], text, sizeof text, got, &count), 5);
	assert_int_equal(count, 2);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(p[0], text, 1), 1);
	assert_int_equal(sock_recv(pair[1], text, sizeof text, got, &count), -EAGAIN);
	close(pair[0]);
	assert_int_equal(sock_recv(pair[1], text, sizeof text, got, &count), 0);
	close(pair[1]);
	for (int i = 0; i < 2; i++)
		close(p[i]), close(got[i]);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	struct sock_addr a;
	char path[64];
	(void)state;
	snprintf(path, sizeof path, "unix:/tmp/hg-sock-test-%d", (int)getpid());
	assert_true(sock_addr_parse(hg_str(path), &a));
	int first = sock_listen(&a, 8);
	assert_true(first >= 0);
	assert_int_equal(sock_listen(&a, 8), -EADDRINUSE);
	close(first);
	int second = sock_listen(&a, 8);
	assert_true(second >= 0);
	int client = sock_connect(&a), server = sock_accept(second, NULL);
	assert_true(client >= 0 && server >= 0);
	assert_int_equal(sock_error(client), 0);
	assert_int_equal(sock_accept(second, NULL), -EAGAIN);
	close(client), close(server), close(second);
	unlink(path + 5);
	assert_true(sock_free_port() > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(addresses_are_read_and_written),
	        cmocka_unit_test(descriptors_travel_with_messages),
	        cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
