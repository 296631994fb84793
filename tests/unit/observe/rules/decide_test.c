/* The life of alerts, step by step, as tables. */
#include "tests/unit/test.h"

#include "observe/rules/decide.c"

#define S(sec)  ((int64_t)(sec)*1000)
#define MAX_ONE 2

/* A step: at a time the labels a (bit 0) and b (bit 1) are in the result; then their states. */
struct step {
	int64_t at_s;
	unsigned present;
	char want[MAX_ONE]; /* '.' not there, 'p' pending, 'f' firing, 'r' resolved */
	bool change;        /* one of them began or ceased to fire */
};

struct life {
	const char *what;
	int64_t for_s, keep_s;
	struct step step[12];
};

static const struct label label_a[] = {
        {HG_STR("alertname"), HG_STR("A")}, {HG_STR("i"), HG_STR("a")}};
static const struct label label_b[] = {
        {HG_STR("alertname"), HG_STR("A")}, {HG_STR("i"), HG_STR("b")}};
static const struct labels ls_of[MAX_ONE] = {{label_a, 2}, {label_b, 2}};

static char state_char(const struct rules_alerts *s, struct labels ls)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (!labels_equal(s->at[i].labels, ls)) continue;
		if (s->at[i].state == RULES_INACTIVE) return 'r';
		return s->at[i].state == RULES_PENDING ? 'p' : 'f';
	}
	return '.';
}

static void lives_are_as_in_prometheus(void **state)
{
	(void)state;
	static const struct life row[] = {
	        {"without for it fires at once and is resolved when it is gone", 0, 0,
	                {{1000, 1, "f.", true}, {1015, 1, "f.", false}, {1030, 0, "r.", true},
	                        {1045, 0, "r.", false}}},
	        {"for must have passed", 60, 0,
	                {{1000, 1, "p.", false}, {1059, 1, "p.", false}, {1060, 1, "f.", true}}},
	        {"a gap while it is pending begins anew", 60, 0,
	                {{1000, 1, "p.", false}, {1030, 0, "..", false}, {1045, 1, "p.", false},
	                        {1090, 1, "p.", false}, {1105, 1, "f.", true}}},
	        {"resolved alerts are there for 15 minutes", 0, 0,
	                {{1000, 1, "f.", true}, {1010, 0, "r.", true}, {1910, 0, "r.", false},
	                        {1911, 0, "..", false}}},
	        {"what comes back after it was resolved is a new alert", 30, 0,
	                {{1000, 1, "p.", false}, {1030, 1, "f.", true}, {1045, 0, "r.", true},
	                        {1060, 1, "p.", false}, {1090, 1, "f.", true}}},
	        {"keep_firing_for holds it", 0, 60,
	                {{1000, 1, "f.", true}, {1010, 0, "f.", false}, {1069, 0, "f.", false},
	                        {1070, 0, "r.", true}}},
	        {"what comes back while it is held begins the time anew", 0, 60,
	                {{1000, 1, "f.", true}, {1010, 0, "f.", false}, {1050, 1, "f.", false},
	                        {1060, 0, "f.", false}, {1119, 0, "f.", false},
	                        {1120, 0, "r.", true}}},
	        {"pending alerts are not held", 60, 60,
	                {{1000, 1, "p.", false}, {1010, 0, "..", false}}},
	        {"each label set has a life of its own", 20, 0,
	                {{1000, 1, "p.", false}, {1010, 3, "pp", false}, {1020, 3, "fp", true},
	                        {1030, 2, "rf", true}, {1040, 0, "rr", true}}},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rules_alerts s = {0};
		uint64_t change = 0;
		for (size_t k = 0; k < HG_COUNT(row[i].step) && row[i].step[k].at_s; k++) {
			const struct step *st = &row[i].step[k];
			struct rules_sample sample[MAX_ONE];
			uint32_t n = 0;
			for (int q = MAX_ONE; q-- > 0;)
				if (st->present & 1u << q)
					sample[n++] = (struct rules_sample){
					        .labels = ls_of[q], .value = (double)k};
			struct rules_ask ask = {.now_ms = S(st->at_s),
			        .for_ms = S(row[i].for_s),
			        .keep_firing_ms = S(row[i].keep_s),
			        .interval_ms = S(15),
			        .change = ++change,
			        .samples = sample,
			        .n = n};
			assert_int_equal(rules_decide(&s, &ask, NULL), HG_OK);
			bool changed = false;
			for (uint32_t q = 0; q < s.n; q++)
				changed = changed || s.at[q].changed == change;
			for (int q = 0; q < MAX_ONE; q++)
				if (state_char(&s, ls_of[q]) != st->want[q])
					fail_msg("%s: at %d label %d is '%c', not '%c'",
					        row[i].what, (int)st->at_s, q,
					        state_char(&s, ls_of[q]), st->want[q]);
			if (changed != st->change)
				fail_msg("%s: at %d it has %schanged", row[i].what, (int)st->at_s,
				        changed ? "" : "not ");
		}
		rules_alerts_free(&s);
	}
}

static void values_and_annotations_are_those_of_the_last_evaluation(void **state)
{
	(void)state;
	struct rules_alerts s = {0};
	const struct label first[] = {{HG_STR("summary"), HG_STR("one")}};
	const struct label second[] = {{HG_STR("summary"), HG_STR("two")}};
	for (int k = 0; k < 2; k++) {
		struct rules_sample sample = {
		        .labels = ls_of[0], .annotations = {k ? second : first, 1}, .value = k + 1};
		struct rules_ask ask = {.now_ms = S(100 + k), .samples = &sample, .n = 1};
		assert_int_equal(rules_decide(&s, &ask, NULL), HG_OK);
	}
	assert_int_equal(s.n, 1);
	assert_str(s.at[0].annotations.at[0].value, "two");
	assert_true(s.at[0].value == 2);
	assert_int_equal(s.at[0].active_ms, S(100));
	rules_alerts_free(&s);
}

static void two_results_with_the_same_labels_change_nothing(void **state)
{
	(void)state;
	struct rules_alerts s = {0};
	struct hg_err err = {0};
	struct rules_sample sample[2] = {{.labels = ls_of[0]}, {.labels = ls_of[0]}};
	struct rules_ask ask = {.now_ms = S(100), .samples = sample, .n = 1};
	assert_int_equal(rules_decide(&s, &ask, NULL), HG_OK);
	ask.n = 2;
	ask.now_ms = S(115);
	assert_int_equal(rules_decide(&s, &ask, &err), HG_E_RULES_DUPLICATE);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.at[0].state, RULES_FIRING);
	rules_alerts_free(&s);
}

static void a_rule_over_its_limit_has_no_alerts(void **state)
{
	(void)state;
	struct rules_alerts s = {0};
	struct hg_err err = {0};
	struct rules_sample sample[2] = {{.labels = ls_of[0]}, {.labels = ls_of[1]}};
	struct rules_ask ask = {.now_ms = S(100), .limit = 1, .samples = sample, .n = 1};
	assert_int_equal(rules_decide(&s, &ask, NULL), HG_OK);
	ask.n = 2;
	assert_int_equal(rules_decide(&s, &ask, &err), HG_E_RULES_LIMIT);
	assert_string_equal(err.message, "exceeded limit of 1 with 2 alerts");
	assert_int_equal(s.n, 0);
	rules_alerts_free(&s);
}

/* Since when an alert counts that was active since 1000 s and evaluated last at `last`. */
static void what_was_before_a_restart_counts(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t for_s, active_s, last_s, now_s, want_s;
		bool firing;
		enum rules_state state;
	} row[] = {
	        {"a short pause is none", 120, 1000, 1060, 1075, 1000, false, RULES_PENDING},
	        {"what fired fires on after a short pause", 120, 1000, 1180, 1200, 1000, true,
	                RULES_FIRING},
	        {"a short pause counts towards for", 120, 1000, 1090, 1121, 1000, false,
	                RULES_FIRING},
	        {"a short for begins anew after an outage", 120, 1000, 1060, 1300, 1300, false,
	                RULES_PENDING},
	        {"what fired by a long for fires again", 3600, 1000, 5000, 6000, 1000, true,
	                RULES_FIRING},
	        {"what was nearly due waits for the grace period", 3600, 1000, 4300, 5000,
	                5000 + 600 - 3600, false, RULES_PENDING},
	        {"the outage does not count", 3600, 1000, 1600, 2600, 2000, false, RULES_PENDING},
	        {"longer ago than an hour is forgotten", 7200, 1000, 1600, 5201, 5201, false,
	                RULES_PENDING},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rules_alerts s = {0};
		struct rules_sample sample = {.labels = ls_of[0],
		        .before = {true, S(row[i].active_s), S(row[i].last_s), row[i].firing}};
		struct rules_ask ask = {.now_ms = S(row[i].now_s),
		        .for_ms = S(row[i].for_s),
		        .interval_ms = S(15),
		        .restoring = true,
		        .change = 1,
		        .samples = &sample,
		        .n = 1};
		assert_int_equal(rules_decide(&s, &ask, NULL), HG_OK);
		if (s.at[0].active_ms != S(row[i].want_s) || s.at[0].state != row[i].state)
			fail_msg("%s: active since %d, %s", row[i].what,
			        (int)(s.at[0].active_ms / 1000), rules_state_name(s.at[0].state));
		rules_alerts_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lives_are_as_in_prometheus),
	        cmocka_unit_test(values_and_annotations_are_those_of_the_last_evaluation),
	        cmocka_unit_test(two_results_with_the_same_labels_change_nothing),
	        cmocka_unit_test(a_rule_over_its_limit_has_no_alerts),
	        cmocka_unit_test(what_was_before_a_restart_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
