/* What follows from an answer of observe's: which alert is over because it is not there. */
#include "tests/unit/test.h"

#include "control/alert/news.c"

#define NOW 1000000u

static const struct label name_a[] = {
        {HG_STR("alertname"), HG_STR("A")}, {HG_STR("i"), HG_STR("1")}};
static const struct label name_b[] = {{HG_STR("alertname"), HG_STR("B")}};

static struct notify_alert alert_of(struct labels ls)
{
	return (struct notify_alert){.labels = ls,
	        .fingerprint = notify_fingerprint(ls),
	        .starts_ms = 1,
	        .ends_ms = NOW + 240000,
	        .rule = true};
}

static bool misses(const char *answer, const struct notify_alert *a)
{
	struct news n;
	if (!news_read(hg_str(answer), NOW, &n)) fail_msg("%s", answer);
	bool is = news_misses(&n, a, NOW);
	news_free(&n);
	return is;
}

static void what_is_not_there_is_over_when_all_is_known(void **state)
{
	(void)state;
	struct notify_alert a = alert_of((struct labels){name_a, 2});
	assert_true(
	        misses("{\"epoch\":\"x\",\"at\":1,\"alerts\":[],\"pending\":[],\"complete\":true,"
	               "\"incomplete\":[\"B\"]}",
	                &a));
	/* Another one of the same rule. */
	assert_true(
	        misses("{\"epoch\":\"x\",\"alerts\":[{\"labels\":{\"alertname\":\"A\",\"i\":\"2\"},"
	               "\"ends\":0}],\"complete\":true,\"incomplete\":[]}",
	                &a));
}

static void nothing_is_over_because_observe_is_young(void **state)
{
	(void)state;
	static const char *const young[] = {
	        /* It does not know its rules, has not evaluated this one, or says nothing of it. */
	        "{\"epoch\":\"x\",\"alerts\":[],\"complete\":false,\"incomplete\":[]}",
	        "{\"epoch\":\"x\",\"alerts\":[],\"complete\":true,\"incomplete\":[\"B\",\"A\"]}",
	        "{\"epoch\":\"x\",\"alerts\":[]}",
	        "{\"epoch\":\"x\",\"alerts\":[],\"complete\":true}",
	        /* It fires; or waits once more; or is said to be over, which is another's turn. */
	        "{\"epoch\":\"x\",\"alerts\":[{\"labels\":{\"i\":\"1\",\"alertname\":\"A\"},"
	        "\"ends\":0}],"
	        "\"complete\":true,\"incomplete\":[]}",
	        "{\"epoch\":\"x\",\"alerts\":[],\"pending\":[{\"alertname\":\"A\",\"i\":\"1\"}],"
	        "\"complete\":true,\"incomplete\":[]}",
	        "{\"epoch\":\"x\",\"alerts\":[{\"labels\":{\"i\":\"1\",\"alertname\":\"A\"},"
	        "\"ends\":9}],"
	        "\"complete\":true,\"incomplete\":[]}",
	};
	struct notify_alert a = alert_of((struct labels){name_a, 2});
	for (size_t i = 0; i < HG_COUNT(young); i++)
		if (misses(young[i], &a)) fail_msg("%s", young[i]);
}

static void what_others_told_or_what_is_over_is_left_alone(void **state)
{
	(void)state;
	static const char all[] =
	        "{\"epoch\":\"x\",\"alerts\":[],\"complete\":true,\"incomplete\":[]}";
	struct notify_alert b = alert_of((struct labels){name_b, 1});
	assert_true(misses(all, &b));
	b.rule = false;
	assert_false(misses(all, &b));
	b.rule = true;
	b.ends_ms = NOW;
	assert_false(misses(all, &b));
}

static void what_is_no_answer_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "[]", "{}", "{\"epoch\":\"x\"}", "{\"alerts\":[]}",
	        "{\"epoch\":1,\"alerts\":[]}"};
	struct news n;
	for (size_t i = 0; i < HG_COUNT(wrong); i++)
		assert_false(news_read(hg_str(wrong[i]), NOW, &n));
}

static void an_alert_is_read_with_its_labels_in_order(void **state)
{
	(void)state;
	struct news n;
	assert_true(
	        news_read(HG_STR("{\"epoch\":\"e\",\"at\":7,\"alerts\":[{\"labels\":{\"z\":\"1\","
	                         "\"alertname\":\"A\",\"none\":\"\"},\"annotations\":{\"s\":\"t\"},"
	                         "\"starts\":5,\"ends\":0,\"valid\":240000,\"url\":\"u\"}]}"),
	                NOW, &n));
	assert_int_equal(n.at, 7);
	assert_int_equal(n.count, 1);
	const struct notify_input *in = &n.alerts[0].in;
	assert_true(n.alerts[0].fires && in->rule);
	assert_int_equal(in->labels.n, 2);
	assert_memory_equal(in->labels.at[0].name.p, "alertname", 9);
	assert_int_equal(in->starts_ms, 5);
	assert_int_equal(in->ends_ms, NOW + 240000);
	news_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_not_there_is_over_when_all_is_known),
	        cmocka_unit_test(nothing_is_over_because_observe_is_young),
	        cmocka_unit_test(what_others_told_or_what_is_over_is_left_alone),
	        cmocka_unit_test(what_is_no_answer_is_refused),
	        cmocka_unit_test(an_alert_is_read_with_its_labels_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
