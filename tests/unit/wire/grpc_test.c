#include "../test.h"

#include "wire/grpc.h"

static void failures_of_the_server_are_5xx(void **state)
{
	/* google/rpc/code.proto, "HTTP Mapping" of each. */
	static const unsigned want[] = {200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400,
	        501, 500, 503, 500, 401};
	(void)state;
	assert_int_equal(HG_COUNT(want), GRPC_STATUSES);
	for (uint8_t i = 0; i < GRPC_STATUSES; i++)
		assert_int_equal(grpc_http_status(i), want[i]);
	for (unsigned i = GRPC_STATUSES; i < 256; i++)
		assert_int_equal(grpc_http_status((uint8_t)i), 500);
	assert_string_equal(grpc_status_name(GRPC_UNAVAILABLE), "UNAVAILABLE");
	assert_string_equal(grpc_status_name(77), "UNKNOWN");
}

static void a_status_is_a_number_or_unknown(void **state)
{
	static const struct {
		const char *text;
		uint8_t status;
	} row[] = {{"0", 0}, {"5", 5}, {"16", 16}, {"17", 2}, {"99", 2}, {"", 2}, {"00", 2},
	        {"07", 2}, {"-1", 2}, {"1 ", 2}, {"OK", 2}, {"100", 2}, {"4294967296", 2}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		assert_int_equal(grpc_status_read(hg_str(row[i].text)), row[i].status);
}

static void grpc_web_is_no_grpc(void **state)
{
	static const char *const yes[] = {"application/grpc", "application/grpc+proto",
	        "Application/GRPC+json", "application/grpc; charset=x", "application/grpc ;x"};
	static const char *const no[] = {"", "application/grpcx", "application/grpc-web",
	        "application/grpc-web+proto", "application/json", "application/grp"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(yes); i++)
		assert_true(grpc_type(hg_str(yes[i])));
	for (size_t i = 0; i < HG_COUNT(no); i++)
		assert_false(grpc_type(hg_str(no[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(failures_of_the_server_are_5xx),
	        cmocka_unit_test(a_status_is_a_number_or_unknown),
	        cmocka_unit_test(grpc_web_is_no_grpc),
	};
	return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
