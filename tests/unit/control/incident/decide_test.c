#include "../../test.h"

#include "control/incident/decide.h"

#define MIN 60000u

static void each_priority_has_its_time(void **state)
{
	static const uint64_t minutes[] = {5, 15, 60, 240};
	(void)state;
	for (uint32_t p = INCIDENT_P1; p <= INCIDENT_P4; p++) {
		struct incident_life i;
		uint64_t due = minutes[p - 1] * MIN;
		incident_begin(&i, p, 1000);
		assert_int_equal(incident_response_ms(p), due);
		assert_false(incident_late(&i, 1000 + due - 1));
		assert_true(incident_late(&i, 1000 + due));
		assert_false(incident_late(&i, 1000 + due)); /* said once */
		assert_int_equal(i.escalations, 1);
		/* … and again each time as long passes, three times in all. */
		assert_true(incident_late(&i, 1000 + 2 * due));
		assert_true(incident_late(&i, 1000 + 3 * due));
		assert_false(incident_late(&i, UINT64_MAX));
		assert_int_equal(i.escalations, INCIDENT_ESCALATIONS);
	}
}

static void who_takes_it_ends_the_waiting(void **state)
{
	static const struct {
		enum incident_verb verb;
		enum incident_state want;
	} cases[] = {{INCIDENT_ACK, INCIDENT_ACKNOWLEDGED},
	        {INCIDENT_ASSIGN, INCIDENT_ACKNOWLEDGED}, {INCIDENT_RESOLVE, INCIDENT_RESOLVED}};
	(void)state;
	for (size_t k = 0; k < HG_COUNT(cases); k++) {
		struct incident_life i;
		incident_begin(&i, INCIDENT_P1, 0);
		assert_true(incident_do(&i, cases[k].verb, 2 * MIN));
		assert_int_equal(i.state, cases[k].want);
		assert_int_equal(i.acknowledged_ms, 2 * MIN);
		assert_int_equal(i.resolved_ms, cases[k].want == INCIDENT_RESOLVED ? 2 * MIN : 0);
		assert_false(incident_late(&i, UINT64_MAX));
		/* A second time changes nothing of when it was taken. */
		assert_int_equal(
		        incident_do(&i, INCIDENT_ACK, 9 * MIN), cases[k].want != INCIDENT_RESOLVED);
		assert_int_equal(i.acknowledged_ms, 2 * MIN);
	}
}

static void nothing_is_done_to_what_is_resolved(void **state)
{
	struct incident_life i, was;
	(void)state;
	incident_begin(&i, INCIDENT_P2, 0);
	assert_true(incident_do(&i, INCIDENT_RESOLVE, MIN));
	was = i;
	assert_false(incident_do(&i, INCIDENT_ACK, 2 * MIN));
	assert_false(incident_do(&i, INCIDENT_ASSIGN, 2 * MIN));
	assert_false(incident_do(&i, INCIDENT_RESOLVE, 2 * MIN));
	assert_memory_equal(&i, &was, sizeof i);
}

static void what_joins_can_only_make_it_more_urgent(void **state)
{
	struct incident_life i;
	(void)state;
	incident_begin(&i, INCIDENT_P3, 0);
	assert_false(incident_join(&i, INCIDENT_P4, MIN));
	assert_false(incident_join(&i, INCIDENT_P3, MIN));
	assert_int_equal(i.due_ms, 60 * MIN);
	assert_true(incident_join(&i, INCIDENT_P1, 10 * MIN));
	assert_int_equal(i.priority, INCIDENT_P1);
	assert_int_equal(i.due_ms, 15 * MIN); /* five from now, which is before the hour */
	/* Near its end the hour stays the limit. */
	incident_begin(&i, INCIDENT_P3, 0);
	assert_true(incident_join(&i, INCIDENT_P2, 55 * MIN));
	assert_int_equal(i.due_ms, 60 * MIN);
	/* All was said of it while it was less urgent: it begins anew. */
	incident_begin(&i, INCIDENT_P3, 0);
	for (int k = 0; k < 3; k++)
		assert_true(incident_late(&i, (uint64_t)(k + 1) * 60 * MIN));
	assert_true(incident_join(&i, INCIDENT_P1, 200 * MIN));
	assert_int_equal(i.escalations, 0);
	assert_true(incident_late(&i, 205 * MIN));
	/* Who has it has it. */
	incident_begin(&i, INCIDENT_P3, 0);
	assert_true(incident_do(&i, INCIDENT_ACK, MIN));
	assert_true(incident_join(&i, INCIDENT_P1, 2 * MIN));
	assert_int_equal(i.priority, INCIDENT_P1);
	assert_false(incident_late(&i, UINT64_MAX));
}

static void a_clock_that_was_set_back_only_makes_it_later(void **state)
{
	struct incident_life i;
	(void)state;
	incident_begin(&i, INCIDENT_P1, 100 * MIN);
	assert_false(incident_late(&i, 10 * MIN));
	assert_true(incident_late(&i, 105 * MIN));
	/* Control was away for a day: one word, not three at once. */
	incident_begin(&i, INCIDENT_P1, 0);
	assert_true(incident_late(&i, 1440 * MIN));
	assert_false(incident_late(&i, 1440 * MIN));
	assert_true(incident_late(&i, 1445 * MIN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_priority_has_its_time),
	        cmocka_unit_test(who_takes_it_ends_the_waiting),
	        cmocka_unit_test(nothing_is_done_to_what_is_resolved),
	        cmocka_unit_test(what_joins_can_only_make_it_more_urgent),
	        cmocka_unit_test(a_clock_that_was_set_back_only_makes_it_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
