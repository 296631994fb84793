/* Gates that ask a service: what is sent, what is made of the answers, and that none is lost. */
#include "doer_rig.h"

#include "fetch/fetch.h"

#define HOOKS                                                                                      \
	CANARY "  gates:\n"                                                                        \
	       "    - when: before\n"                                                              \
	       "      http: \"http://ci.local:81/ok/{app}?r={release}&w={weight}&p={previous}\"\n" \
	       "      headers: {X-Team: payments, Authorization: Bearer abc}\n"                    \
	       "      timeout: 30s\n"                                                              \
	       "    - {when: 50%, http: \"https://ci.local/\", method: GET, retries: 2}\n"         \
	       "    - {when: rollback, http: \"http://ci.local/sorry\"}\n"

/* ---- the network ---- */

struct fetch_call {
	fetch_fn fn; /* NULL: over */
	void *arg;
	char method[8], url[128], headers[512], body[512];
	uint32_t timeout_ms;
	bool cancelled;
};

static struct fetch_call calls[64];
static uint32_t call_count;
static enum hg_rc refuses;

enum hg_rc fetch_ready(struct fetch *f, struct hg_err *err)
{
	(void)f;
	return refuses == HG_E_FETCH ? hg_err_set(err, refuses, "could not load libcurl.so.4")
	                             : HG_OK;
}

enum hg_rc fetch_start(struct fetch *f, const struct fetch_request *r, fetch_fn fn, void *arg,
        struct fetch_call **ret_call, struct hg_err *err)
{
	(void)f;
	if (refuses < 0) return hg_err_set(err, refuses, "not now");
	assert_true(call_count < HG_COUNT(calls));
	struct fetch_call *c = *ret_call = &calls[call_count++];
	*c = (struct fetch_call){.fn = fn, .arg = arg, .timeout_ms = r->timeout_ms};
	(void)snprintf(c->method, sizeof c->method, "%s", r->method);
	(void)snprintf(c->url, sizeof c->url, "%s", r->url);
	(void)snprintf(c->body, sizeof c->body, "%.*s", HG_STR_ARG(r->body));
	for (uint32_t i = 0; i < r->header_count; i++) {
		size_t at = strlen(c->headers);
		(void)snprintf(c->headers + at, sizeof c->headers - at, "%s\n", r->headers[i]);
	}
	return HG_OK;
}

void fetch_cancel(struct fetch_call *c)
{
	if (!c) return;
	assert_non_null(c->fn);
	c->fn = NULL;
	c->cancelled = true;
}

static void answers(uint32_t i, int status, const char *body, uint64_t retry_after_ms)
{
	struct fetch_call *c = &calls[i];
	fetch_fn fn = c->fn;
	struct fetch_answer a = {.result = FETCH_ANSWERED,
	        .status = status,
	        .body = hg_str(body),
	        .retry_after_ms = retry_after_ms,
	        .why = ""};
	assert_true(i < call_count && fn);
	c->fn = NULL;
	fn(c->arg, &a);
}

static void says_nothing(uint32_t i, enum fetch_result result)
{
	struct fetch_call *c = &calls[i];
	fetch_fn fn = c->fn;
	struct fetch_answer a = {.result = result, .why = "Connection refused"};
	assert_true(i < call_count && fn);
	c->fn = NULL;
	fn(c->arg, &a);
}

static int up(void **state)
{
	call_count = 0;
	refuses = HG_OK;
	return rig_up(state);
}

static const char *gate_text(struct rig *r, uint64_t id, uint32_t gate, const char *key)
{
	static char text[512];
	json_t *o = rig_show(r, id);
	(void)snprintf(
	        text, sizeof text, "%s", rig_text(json_array_get(rig_at(o, "gates"), gate), key));
	json_decref(o);
	return text;
}

static int64_t gate_int(struct rig *r, uint64_t id, uint32_t gate, const char *key)
{
	json_t *o = rig_show(r, id);
	int64_t v = rig_int(json_array_get(rig_at(o, "gates"), gate), key);
	json_decref(o);
	return v;
}

static uint64_t begin(struct rig *r)
{
	rig_apply(r, HOOKS);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, call_count == 1, 5000);
	return id;
}

/* ---- the tests ---- */

static void a_service_is_asked_and_agrees(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	const struct fetch_call *c = calls;
	assert_string_equal(c->method, "POST");
	assert_string_equal(c->url, "http://ci.local:81/ok/web?r=2&w=0&p=1");
	assert_int_equal(c->timeout_ms, 30000);
	assert_non_null(strstr(c->headers, "X-Team: payments\nAuthorization: Bearer abc\n"));
	assert_non_null(strstr(c->headers, "Content-Type: application/json\n"));
	json_t *body = json_loads(c->body, 0, NULL);
	assert_string_equal(rig_text(body, "schema"), "headgate.gate/1");
	assert_string_equal(rig_text(body, "app"), "web");
	assert_string_equal(rig_text(body, "strategy"), "canary");
	assert_string_equal(rig_text(body, "when"), "before");
	assert_string_equal(rig_text(body, "phase"), "gate");
	assert_string_equal(rig_text(body, "version"), "1.2.0");
	assert_int_equal(rig_int(body, "release"), 2);
	assert_int_equal(rig_int(body, "previous"), 1);
	assert_int_equal(rig_int(body, "rollout"), (int64_t)id);
	assert_true(rig_num(body, "weight") == 0);
	json_decref(body);
	rig_run(r, 10000);
	assert_int_equal(rig_weight(r), 0);
	/* Shown without the query and the headers, which may hold keys. */
	assert_string_equal(gate_text(r, id, 0, "run"), "POST http://ci.local:81/ok/{app}");
	assert_string_equal(gate_text(r, id, 0, "kind"), "http");
	json_t *all = rig_show(r, id);
	char *text = json_dumps(all, 0);
	assert_null(strstr(text, "Bearer"));
	free(text);
	json_decref(all);
	answers(0, 200, "fine", 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 1000);
	assert_string_equal(gate_text(r, id, 0, "state"), "passed");
	assert_int_equal(gate_int(r, id, 0, "status"), 200);
	assert_in_range(gate_int(r, id, 0, "took_ms"), 9000, 12000);
	RIG_UNTIL(r, call_count == 2, 60000);
	assert_string_equal(calls[1].method, "GET");
	assert_string_equal(calls[1].body, "");
	answers(1, 204, "", 0);
	RIG_UNTIL(r, rig_ended(r, id), 180000);
	assert_true(rig_is(r, id, "outcome", "promoted"));
}

static void a_service_that_refuses_takes_the_release_back_and_is_quoted(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	answers(0, 403, "tests\x1b[2J are \xc2\x9b red: \xf0\x9f\x94\xa5\n", 0);
	RIG_UNTIL(r, call_count == 2, 5000);
	assert_string_equal(calls[1].url, "http://ci.local/sorry");
	answers(1, 200, "", 0);
	rig_taken_back(r, id, "gate");
	assert_string_equal(gate_text(r, id, 0, "state"), "failed");
	assert_int_equal(gate_int(r, id, 0, "status"), 403);
	assert_string_equal(
	        gate_text(r, id, 0, "note"), "HTTP 403: tests [2J are red: \xf0\x9f\x94\xa5");
	assert_true(rig_logged(r, "HTTP 403"));
}

static void not_yet_and_trouble_are_asked_again(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	answers(0, 202, "in the queue", 0);
	rig_run(r, 4500);
	assert_int_equal(call_count, 1);
	assert_string_equal(gate_text(r, id, 0, "note"), "HTTP 202: in the queue");
	assert_string_equal(gate_text(r, id, 0, "state"), "running");
	RIG_UNTIL(r, call_count == 2, 1000);
	answers(1, 503, "", 0);
	RIG_UNTIL(r, call_count == 3, 1500);
	says_nothing(2, FETCH_SILENT);
	rig_run(r, 1500);
	assert_int_equal(call_count, 3);
	RIG_UNTIL(r, call_count == 4, 1000);
	/* Each says the same about itself, and has what is left of the time. */
	for (int i = 1; i < 4; i++) {
		assert_string_equal(calls[i].headers, calls[0].headers);
		assert_string_equal(calls[i].body, calls[0].body);
	}
	assert_in_range(calls[3].timeout_ms, 20000, 23000);
	answers(3, 200, "", 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 1000);
	/* The other gate has two retries. */
	RIG_UNTIL(r, call_count == 5, 60000);
	answers(4, 500, "", 0);
	RIG_UNTIL(r, call_count == 6, 3000);
	answers(5, 500, "", 0);
	RIG_UNTIL(r, call_count == 7, 3000);
	answers(6, 500, "", 0);
	RIG_UNTIL(r, call_count == 8, 3000);
	answers(7, 200, "", 0);
	rig_taken_back(r, id, "gate");
	assert_int_equal(gate_int(r, id, 1, "status"), 500);
}

static void one_that_never_agrees_fails_at_its_timeout(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r), began = clock_mono_ms();
	while (rig_is(r, id, "phase", "gate")) {
		if (calls[call_count - 1].fn) answers(call_count - 1, 202, "wait", 0);
		rig_run(r, 100);
	}
	assert_in_range(clock_mono_ms() - began, 28000, 31000);
	assert_string_equal(gate_text(r, id, 0, "note"),
	        "HTTP 202: wait; no agreement within 30 s, asked 7 times");
}

static void what_asking_again_cannot_mend_fails_at_once(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	says_nothing(0, FETCH_REFUSED);
	RIG_UNTIL(r, call_count == 2, 5000);
	assert_string_equal(gate_text(r, id, 0, "note"), "Connection refused");
	assert_int_equal(gate_int(r, id, 0, "status"), -1);
	answers(1, 404, "", 0); /* the one for going back: its result changes nothing */
	rig_taken_back(r, id, "gate");
}

static void it_waits_while_too_many_are_asked(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HOOKS);
	refuses = HG_E_AGAIN;
	uint64_t id = rig_deploy(r, "2");
	rig_run(r, 5000);
	assert_true(rig_is(r, id, "phase", "gate"));
	refuses = HG_OK;
	RIG_UNTIL(r, call_count == 1, 2000);
	answers(0, 200, "", 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 2000);
}

static void an_abort_ends_the_request(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	rig_do(r, id, ROLLOUTS_ABORT);
	RIG_UNTIL(r, call_count == 2, 5000);
	assert_true(calls[0].cancelled);
	answers(1, 200, "", 0);
	rig_taken_back(r, id, "person");
	assert_string_equal(gate_text(r, id, 0, "state"), "skipped");
}

static void a_control_that_takes_over_asks_again_with_the_same_key(void **state)
{
	struct rig *r = *state;
	uint64_t id = begin(r);
	answers(0, 202, "wait", 0);
	RIG_UNTIL(r, call_count == 2, 6000);
	rig_control_dies(r);
	assert_true(calls[1].cancelled);
	rig_control(r);
	rig_apply(r, CANARY); /* the rollout has its own gates */
	RIG_UNTIL(r, call_count == 3, 5000);
	assert_string_equal(calls[2].url, calls[0].url);
	assert_string_equal(calls[2].headers, calls[0].headers);
	assert_string_equal(calls[2].body, calls[0].body);
	assert_int_equal(calls[2].timeout_ms, 30000);
	answers(2, 403, "no", 0);
	RIG_UNTIL(r, call_count == 4, 5000);
	/* What was said outlives the one who heard it. */
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	assert_string_equal(gate_text(r, id, 0, "note"), "HTTP 403: no");
}

static void without_the_library_such_a_file_is_refused(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	refuses = HG_E_FETCH;
	rig_apply(r, CANARY);
	assert_int_equal(rig_try(r, HOOKS, &err), HG_E_FETCH);
	assert_string_equal(err.message, "could not load libcurl.so.4");
}

static void a_body_is_one_line_of_text(void **state)
{
	static const char *const table[][2] = {
	        {"a\r\n\r\n b", "a b"},
	        {"  x  ", "x"},
	        {"\xff\xfe ok", "?? ok"},
	        {"\xc3\xa4", "\xc3\xa4"},
	        {"", ""},
	};
	char to[400], longer[300];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(table); i++) {
		struct hg_out o = hg_out_over(to, sizeof to);
		ro_hook_text(&o, hg_str(table[i][0]));
		assert_str(((struct hg_str){to, o.n}), table[i][1]);
	}
	/* A character that the limit would cut is left out. */
	memset(longer, 'x', 255);
	memcpy(longer + 255, "\xc3\xa4", 3);
	struct hg_out o = hg_out_over(to, sizeof to);
	ro_hook_text(&o, hg_str(longer));
	assert_int_equal(o.n, 255);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_service_is_asked_and_agrees),
	        TEST(a_service_that_refuses_takes_the_release_back_and_is_quoted),
	        TEST(not_yet_and_trouble_are_asked_again),
	        TEST(one_that_never_agrees_fails_at_its_timeout),
	        TEST(what_asking_again_cannot_mend_fails_at_once),
	        TEST(it_waits_while_too_many_are_asked),
	        TEST(an_abort_ends_the_request),
	        TEST(a_control_that_takes_over_asks_again_with_the_same_key),
	        TEST(without_the_library_such_a_file_is_refused),
	        cmocka_unit_test(a_body_is_one_line_of_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
