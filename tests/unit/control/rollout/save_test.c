/* The state as bytes. */
#include "stage.h"

static size_t midway(struct stage *s, uint8_t *bytes)
{
	s->rules.strategy = RO_CANARY;
	s->rules.memory = 0.5;
	gate_add(s, RO_WHEN_WEIGHT, 10);
	gate_add(s, RO_WHEN_CONFIRM, 100);
	begin(s);
	to_step(s, 0);
	play(s);
	gate_ends(s, 0, true);
	s->fails_new = s->fails_old = 0.01;
	to_step(s, 1);
	tick(s, 7000);
	size_t n = ro_save(&s->ro, bytes, RO_SAVED_MAX);
	assert_true(n > 0);
	return n;
}

static void what_is_loaded_is_what_was_saved(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX], again[RO_SAVED_MAX];
	struct ro_state back;
	size_t n = midway(*state, bytes);
	memset(&back, 0x5a, sizeof back);
	assert_true(ro_load(bytes, n, &back));
	assert_int_equal(ro_save(&back, again, sizeof again), n);
	assert_memory_equal(bytes, again, n);
	struct stage *s = *state;
	assert_true(ro_head_eq(&back.head, &s->ro.head));
	assert_int_equal(back.wait_ms, s->ro.wait_ms);
	assert_int_equal(back.rules.gate_count, 2);
	assert_memory_equal(&back.evidence, &s->ro.evidence, sizeof back.evidence);
}

static void every_field_is_saved(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX];
	struct stage *s = *state;
	struct ro_state back;
	(void)midway(s, bytes);
	struct ro_state *r = &s->ro;
	/* What is not zero by now: something of its own each. */
	r->begun = r->asked = r->raised = r->had_ready = r->tripped = r->abort = r->skip = true;
	r->full = r->closing = r->traffic = r->proven = r->shared = r->stuck = true;
	r->told_hold = true;
	r->promoted_ms = 11, r->back_ms = 12, r->ended_ms = 13, r->hold_ms = 14, r->ask_ms = 15;
	r->settle_ms = 16, r->look_ms = 17, r->unsaved_ms = 18, r->want_old = 19, r->want_new = 20;
	r->base = 21, r->memory_over = 22, r->cpu_over = 23, r->sample = 24, r->memory_id = 25;
	r->memory_new = 0.91, r->memory_old = 0.5, r->cpu_new = 0.25, r->cpu_old = 1.5;
	r->memory_ends_new = 28, r->memory_ends_old = 29;
	r->verdict = JUDGE_SHARED;
	r->head.pause = RO_PAUSED_SHARED;
	r->head.outcome = RO_SUPERSEDED;
	r->head.cause = RO_CAUSE_REMOVED;
	r->head.promoted = true;
	r->gate_status[3] = -7;
	r->gate_took_ms[4] = 26;
	r->step_took_ms[5] = 27;
	size_t n = ro_save(r, bytes, sizeof bytes);
	memset(&back, 0, sizeof back);
	assert_true(ro_load(bytes, n, &back));
	/* Rules and judge have padding, and what_is_loaded_is_what_was_saved. */
	size_t from = offsetof(struct ro_state, head), to = offsetof(struct ro_state, judge);
	assert_memory_equal((char *)&back + from, (char *)r + from, to - from);
	assert_memory_equal(back.former, r->former, sizeof back.former);
}

static void what_is_loaded_decides_as_before(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX];
	struct stage *s = *state;
	struct ro_actions a, b;
	struct ro_state back;
	size_t n = midway(s, bytes);
	assert_true(ro_load(bytes, n, &back));
	for (unsigned i = 0; i < 200; i++) {
		s->now += 1000;
		edge(s, 1000);
		fleet(s);
		ro_decide(&s->ro, &s->o, s->now, &a);
		ro_decide(&back, &s->o, s->now, &b);
		assert_int_equal(a.n, b.n);
		for (uint32_t k = 0; k < a.n; k++) {
			assert_int_equal(a.a[k].kind, b.a[k].kind);
			act(s, &a.a[k]);
		}
	}
}

static void a_state_with_one_wrong_bit_is_refused(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX];
	size_t n = midway(*state, bytes);
	struct ro_state back = {.id = 99};
	for (size_t bit = 0; bit < n * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(ro_load(bytes, n, &back));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(back.id, 99); /* untouched */
}

static void a_state_that_is_cut_or_longer_is_refused(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX + 8];
	size_t n = midway(*state, bytes);
	struct ro_state back;
	for (size_t k = 0; k < n; k++)
		assert_false(ro_load(bytes, k, &back));
	assert_false(ro_load(bytes, n + 1, &back));
	assert_false(ro_load(bytes, n + 8, &back));
	assert_true(ro_load(bytes, n, &back));
}

static void too_little_room_saves_nothing(void **state)
{
	static uint8_t bytes[RO_SAVED_MAX];
	size_t n = midway(*state, bytes);
	struct stage *s = *state;
	for (size_t cap = 0; cap < n; cap += 7)
		assert_int_equal(ro_save(&s->ro, bytes, cap), 0);
	assert_int_equal(ro_save(&s->ro, bytes, n), n);
}

static void the_largest_state_fits(void **state)
{
	struct stage *s = *state;
	static uint8_t bytes[RO_SAVED_MAX];
	for (unsigned i = 0; i < RO_STEPS_MAX; i++)
		s->rules.step[i] = (struct ro_step){(i + 1) * 31250, 1000 + i};
	s->rules.step_count = RO_STEPS_MAX;
	for (unsigned i = 0; i < RO_GATES_MAX; i++)
		gate_add(s, i % RO_WHENS, i);
	begin(s);
	assert_int_equal(s->ro.rules.step_count, RO_STEPS_MAX);
	assert_true(ro_save(&s->ro, bytes, sizeof bytes) > 0);
	assert_true(ro_save(&s->ro, bytes, sizeof bytes) < RO_SAVED_MAX / 4 * 3);
}

static void rules_that_cannot_be_meant_are_put_right(void **state)
{
	struct stage *s = *state;
	struct ro_rules *r = &s->rules;
	step_add(s, 50, 0);
	step_add(s, 20, 0); /* does not rise */
	step_add(s, 0, 0);
	step_add(s, 80, UINT64_MAX);
	r->step_count = 4;
	r->control_ppm = 900000;
	r->memory = -1;
	r->progress_deadline_ms = 0;
	ro_rules_fill(r);
	assert_int_equal(r->step_count, 2);
	assert_int_equal(r->step[1].weight_ppm, 800000);
	assert_int_equal(r->control_ppm, 500000);
	assert_true(r->memory == 0);
	assert_int_equal(r->progress_deadline_ms, 1000);
}

static void the_journal_gives_the_state_back(void **state)
{
	struct stage *s = *state;
	struct ro_head head = {0};
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	gate_ends(s, 0, true);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	for (uint32_t i = 0; i < s->log_n; i++)
		if (s->log[i].kind == RO_EVENT) ro_replay(&head, &s->log[i].event);
	assert_true(ro_head_eq(&head, &s->ro.head));
}

static void every_name_is_known(void **state)
{
	(void)state;
	for (int i = 0; i < RO_STRATEGIES; i++)
		assert_string_not_equal(ro_strategy_name(i), "unknown");
	for (int i = 0; i < RO_PHASES; i++)
		assert_string_not_equal(ro_phase_name(i), "unknown");
	for (int i = 0; i < RO_OUTCOMES; i++)
		assert_string_not_equal(ro_outcome_name(i), "unknown");
	for (int i = 0; i < RO_CAUSES; i++)
		assert_string_not_equal(ro_cause_name(i), "unknown");
	for (int i = 0; i < RO_GATE_STATES; i++)
		assert_string_not_equal(ro_gate_state_name(i), "unknown");
	for (int i = 0; i < RO_PROOFS; i++)
		assert_string_not_equal(ro_proof_name(i), "unknown");
	for (int i = 0; i < RO_EVENTS; i++)
		assert_non_null(strstr(ro_event_name(i), "rollout."));
	assert_string_equal(ro_strategy_name(RO_STRATEGIES), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_is_loaded_is_what_was_saved),
	        TEST(every_field_is_saved),
	        TEST(what_is_loaded_decides_as_before),
	        TEST(a_state_with_one_wrong_bit_is_refused),
	        TEST(a_state_that_is_cut_or_longer_is_refused),
	        TEST(too_little_room_saves_nothing),
	        TEST(the_largest_state_fits),
	        TEST(rules_that_cannot_be_meant_are_put_right),
	        TEST(the_journal_gives_the_state_back),
	        TEST(every_name_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
