/* Files are made here, byte by byte, so that no zone of the machine is needed. */
#include "tests/unit/test.h"

#include "base/buf.h"
#include "wire/tzif.h"

static void be32(struct hg_buf *b, uint32_t v)
{
	for (int i = 24; i >= 0; i -= 8)
		hg_buf_byte(b, (char)(v >> i));
}

static void be64(struct hg_buf *b, uint64_t v)
{
	be32(b, (uint32_t)(v >> 32));
	be32(b, (uint32_t)v);
}

static void header(struct hg_buf *b, uint32_t times, uint32_t types, uint32_t chars)
{
	hg_buf_str(b, HG_STR("TZif2"));
	for (int i = 0; i < 15; i++)
		hg_buf_byte(b, 0);
	be32(b, 0);
	be32(b, 0);
	be32(b, 0);
	be32(b, times);
	be32(b, types);
	be32(b, chars);
}

/* One transition, at `at`, from CET to CEST; then the footer. */
static void file(struct hg_buf *b, uint64_t at, const char *footer)
{
	hg_buf_init(b, 65536);
	header(b, 0, 0, 0);
	header(b, 1, 2, 9);
	be64(b, at);
	hg_buf_byte(b, 1);
	be32(b, 3600);
	hg_buf_byte(b, 0);
	hg_buf_byte(b, 0);
	be32(b, 7200);
	hg_buf_byte(b, 1);
	hg_buf_byte(b, 4);
	hg_buf_str(b, HG_STR("CET\0CEST\0"));
	hg_buf_fmt(b, "\n%s\n", footer);
}

static struct tzif *zone(uint64_t at, const char *footer)
{
	struct hg_buf b;
	struct tzif *z = NULL;
	file(&b, at, footer);
	assert_int_equal(tzif_parse(hg_buf_view(&b), &z), HG_OK);
	hg_buf_free(&b);
	return z;
}

static void transitions_hold_and_then_the_rule(void **state)
{
	/* 2026: CEST from March 29th 01:00 UTC to October 25th 01:00 UTC. */
	static const struct {
		int64_t at;
		int32_t offset;
		const char *name;
	} rows[] = {
	        {0, 3600, "CET"}, {999999999, 3600, "CET"},
	        {1774745999, 3600, "CET"},                              /* 2026-03-29 00:59:59 */
	        {1774746000, 7200, "CEST"}, {1792889999, 7200, "CEST"}, /* 2026-10-25 00:59:59 */
	        {1792890000, 3600, "CET"}, {1767225600, 3600, "CET"},   /* 2026-01-01 */
	};
	(void)state;
	struct tzif *z = zone(1000000000, "CET-1CEST,M3.5.0,M10.5.0/3");
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct tzif_offset o = tzif_at(z, rows[i].at);
		assert_int_equal(o.offset_s, rows[i].offset);
		assert_string_equal(o.name, rows[i].name);
	}
	tzif_free(z);
}

static void the_other_half_of_the_world_has_summer_in_january(void **state)
{
	(void)state;
	struct tzif *z = zone(1000000000, "AEST-10AEDT,M10.1.0,M4.1.0/3");
	assert_int_equal(tzif_at(z, 1767225600).offset_s, 39600); /* 2026-01-01 */
	assert_int_equal(tzif_at(z, 1782864000).offset_s, 36000); /* 2026-07-01 */
	tzif_free(z);
	z = zone(1000000000, "<+0330>-3:30");
	assert_int_equal(tzif_at(z, 1767225600).offset_s, 12600);
	assert_string_equal(tzif_at(z, 1767225600).name, "+0330");
	tzif_free(z);
	z = zone(1000000000, "XXX0YYY,J60/0,300/0");
	assert_true(tzif_at(z, 1772323200).summer); /* 2026-03-01, day J60 */
	assert_false(tzif_at(z, 1772323199).summer);
	tzif_free(z);
}

static void damaged_files_are_refused(void **state)
{
	struct hg_buf b;
	struct tzif *z;
	(void)state;
	file(&b, 1000000000, "CET-1");
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(tzif_parse((struct hg_str){b.p, n}, &z), HG_E_INVALID);
	hg_buf_free(&b);
	static const char *const footers[] = {"CET", "-1", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0",
	        "CET-1CEST,M3.6.0,M1.1.0", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,M10.5.0,x"};
	for (size_t i = 0; i < HG_COUNT(footers); i++) {
		file(&b, 1000000000, footers[i]);
		assert_int_equal(tzif_parse(hg_buf_view(&b), &z), HG_E_INVALID);
		hg_buf_free(&b);
	}
}

static void names_lead_nowhere_else(void **state)
{
	(void)state;
	assert_true(tzif_name_ok(HG_STR("Europe/Zurich")));
	assert_true(tzif_name_ok(HG_STR("Etc/GMT+1")));
	assert_false(tzif_name_ok(HG_STR("../../etc/passwd")));
	assert_false(tzif_name_ok(HG_STR("/etc/localtime")));
	assert_false(tzif_name_ok(HG_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(transitions_hold_and_then_the_rule),
	        cmocka_unit_test(the_other_half_of_the_world_has_summer_in_january),
	        cmocka_unit_test(damaged_files_are_refused),
	        cmocka_unit_test(names_lead_nowhere_else),
	};
	return cmocka_run_group_tests_name("tzif", tests, NULL, NULL);
}
