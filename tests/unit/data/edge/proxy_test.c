#include "rig.h"

static void a_request_is_answered_by_a_replica_and_the_connection_goes_on(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 5; i++)
		talk(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
	talk(fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "=hello");
	assert_int_equal(g->rep[0].connections, 1);
	assert_int_equal(g->rep[0].requests, 6);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_request_is_answered_by_a_replica_and_the_connection_goes_on),
	};
	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
