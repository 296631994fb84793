/* A rule file, and a file of tests of rules: read, linted, or refused with a reason; and what was
 * read is evaluated once over an empty store. */
#include "fuzz.h"

#include "observe/rules/test_priv.h"

/* libfyaml leaves the list of a scalar's pieces behind when there are more than it has room for at
 * first (hundreds of '' in one text). What we leave behind of its is looked for in the tests of
 * spec, which sanitized builds run without this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

static void evaluate(struct rules_file *f)
{
	struct tsdb_options o = {0};
	struct tsdb *db = NULL;
	struct rules_live_group *groups = NULL;
	uint32_t n = 0;
	uint64_t change = 0;
	if (tsdb_open(&o, &db, NULL) == HG_OK &&
	        rules_live_groups(&f, 1, 15000, &groups, &n) == HG_OK) {
		struct rules_world w = {.db = db, .started_ms = 5000, .restoring = true};
		for (uint32_t i = 0; i < n; i++)
			rules_group_run(db, &groups[i], &w, 10000, &change);
	}
	rules_live_groups_free(groups, n);
	tsdb_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spec_report *report = calloc(1, sizeof *report);
	struct rules_file *f = NULL;
	struct rt_file tests = {0};
	if (size > 16384) size = 16384;
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str text = {copy, size};
	if (!report) return 0;
	spec_report_init(report, HG_STR("fuzz"), text);
	if (rules_file_read(text, HG_STR("fuzz"), report, &f) == HG_OK) {
		(void)rules_lint(f, NULL, report);
		evaluate(f);
		rules_file_free(f);
	} else {
		HG_ASSERT(report->error_count && report->errors[0].message[0]);
	}
	spec_report_init(report, HG_STR("fuzz"), text);
	enum hg_rc rc = rt_file_read(text, report, &tests);
	HG_ASSERT((rc == HG_OK) == !report->error_count);
	rt_file_free(&tests);
	free(report);
	free(copy);
	return 0;
}
