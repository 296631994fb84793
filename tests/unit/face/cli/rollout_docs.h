/* Documents of the contract (docs/reference/rollout-json.md) at the moments of a rollout's life. */
#ifndef TESTS_FACE_CLI_ROLLOUT_DOCS_H
#define TESTS_FACE_CLI_ROLLOUT_DOCS_H

#define DOC_HEAD                                                                          \
	"{\"schema\":\"headgate.rollout/1\",\"id\":42,\"app\":\"feedback\",\"strategy\":" \
	"\"canary\",\"who\":\"unix:1000\",\"created_ms\":1000000,"                        \
	"\"mirror\":{\"copied\":0,\"differs\":0},"
#define DOC_OLD                                                                  \
	"\"old\":{\"release\":7,\"version\":\"1.7.3\",\"wanted\":3,\"ready\":3," \
	"\"starting\":0,\"crash_loops\":0},"
#define DOC_NEW(ready, starting)                                                      \
	"\"new\":{\"release\":8,\"version\":\"1.8.0\",\"wanted\":1,\"ready\":" #ready \
	",\"starting\":" #starting ",\"crash_loops\":0},"
#define DOC_STATE(state, phase, outcome) \
	"\"state\":\"" state "\",\"phase\":\"" phase "\",\"outcome\":\"" outcome "\","

#define DOC_MIRROR                                                                           \
	"\"mirror\":{\"share\":0.2,\"copied\":120,\"differs\":4,\"failed\":1,\"partly\":2,"  \
	"\"dropped\":3},\"first_differences\":["                                             \
	"{\"kind\":\"json\",\"at\":\"$.items[3].price\",\"method\":\"GET\",\"path\":\"/a\"," \
	"\"request_id\":\"7f3c\"},"                                                          \
	"{\"kind\":\"status\",\"at\":\"\",\"status_old\":200,\"status_new\":404,"            \
	"\"method\":\"HEAD\",\"path\":\"/b\"},"                                              \
	"{\"kind\":\"header\",\"at\":\"content-type\",\"method\":\"GET\",\"path\":\"/\"},"   \
	"{\"kind\":\"no_answer\",\"cause\":\"timeout\",\"method\":\"GET\",\"path\":\"/\"}],"

static const char doc_start[] = DOC_HEAD DOC_OLD DOC_NEW(0, 1) DOC_STATE("running", "start",
        "") "\"weight\":{\"set\":0,\"actual\":0},\"step\":{\"index\":0,\"count\":4,\"weight\":0,"
            "\"since_ms\":0,\"until_ms\":0,\"wait_ms\":0},\"steps\":[],\"verdict\":\"not_yet\","
            "\"why\":\"\",\"cause\":\"\",\"evidence\":{\"e\":0,\"threshold\":1000,\"metrics\":[]},"
            "\"users\":{\"requests_new\":0,\"failed_new\":0,\"rescued\":0,\"seen\":0},"
            "\"first_failures\":[],\"gates\":[{\"when\":\"before\",\"run\":\"./smoke.sh\","
            "\"state\":\"next\",\"took_ms\":0,\"status\":0}],\"changed_ms\":1000000,\"ended_ms\":0,"
            "\"next\":\"headgate rollouts show 42 --watch\"}";

#define DOC_STEPS                                                                               \
	"\"steps\":[{\"weight\":0.01,\"wait_ms\":60000,\"state\":\"done\",\"took_ms\":60000,"   \
	"\"unproven\":false},{\"weight\":0.1,\"wait_ms\":600000,\"state\":\"now\",\"took_ms\":" \
	"100000},{\"weight\":0.25,\"wait_ms\":600000,\"state\":\"next\"},{\"weight\":1,"        \
	"\"wait_ms\":0,\"state\":\"next\"}],"
#define DOC_GATES                                                                      \
	"\"gates\":[{\"when\":\"before\",\"run\":\"./smoke.sh\",\"state\":\"passed\"," \
	"\"took_ms\":1200,\"status\":0}],"
#define DOC_EVIDENCE(e, bad, n, rate, low, high)                                                \
	"\"evidence\":{\"e\":" #e ",\"threshold\":1000,\"confidence\":0.999,\"metrics\":["      \
	"{\"metric\":\"errors\",\"e\":" #e ",\"share\":0.5,\"enabled\":true,\"new\":{\"n\":" #n \
	",\"bad\":" #bad ",\"rate\":" #rate ",\"low\":" #low ",\"high\":" #high "},\"old\":{"   \
	"\"n\":1804,\"bad\":0,\"rate\":0.0002,\"low\":0,\"high\":0.002}},"                      \
	"{\"metric\":\"p95\",\"e\":0.8,\"share\":0.25,\"enabled\":true,\"new\":{\"n\":201,"     \
	"\"bad\":11,\"rate\":0.0547,\"low\":0.03,\"high\":0.1},\"old\":{\"n\":1804,\"bad\":90," \
	"\"rate\":0.0499,\"low\":0.04,\"high\":0.06}},{\"metric\":\"p99\",\"e\":1,\"enabled\":" \
	"false,\"new\":{\"n\":0},\"old\":{\"n\":0}}],\"good\":{\"e\":3.1,\"needs\":20,"         \
	"\"limit\":0.01}},"

static const char doc_step[] = DOC_HEAD DOC_OLD DOC_NEW(1, 0) DOC_STATE("running", "step",
        "") "\"weight\":{\"set\":0.1,\"actual\":0.098},\"step\":{\"index\":2,\"count\":4,"
            "\"weight\":"
            "0.1,\"since_ms\":1100000,\"until_ms\":1700000,\"wait_ms\":600000}," DOC_STEPS DOC_GATES
                    DOC_EVIDENCE(1.2, 1, 201, 0.005, 0.0001,
                            0.027) "\"verdict\":\"not_yet\",\"why\":\"\",\"cause\":\"\",\"users\":{"
                                   "\"requests_new\":201,"
                                   "\"failed_new\":24,\"rescued\":24,\"seen\":0,\"unreplayable\":0,"
                                   "\"forced\":0},"
                                   "\"first_failures\":[],\"changed_ms\":1100000,\"ended_ms\":0,"
                                   "\"next\":\"\"}";

static const char doc_waiting[] = DOC_HEAD DOC_OLD DOC_NEW(1, 0) DOC_STATE("waiting", "gate",
        "") "\"weight\":{\"set\":0.25,\"actual\":0.25},\"step\":{\"index\":3,\"count\":4,"
            "\"weight\":"
            "0.25,\"since_ms\":1100000,\"until_ms\":0,\"wait_ms\":0}," DOC_STEPS
            "\"verdict\":\"not_yet\",\"why\":\"step 3 asks for a "
            "person\",\"cause\":\"\",\"users\":{"
            "\"requests_new\":500,\"failed_new\":0,\"rescued\":0,\"seen\":0},\"first_failures\":[],"
            "\"gates\":[],\"changed_ms\":1700000,\"ended_ms\":0,\"next\":\"headgate promote 42\"}";

static const char doc_promoted[] = DOC_HEAD DOC_OLD
        "\"new\":{\"release\":8,\"version\":\"1.8.0\",\"wanted\":3,\"ready\":3,\"starting\":0}"
        "," DOC_STATE("running", "watch",
                "") "\"weight\":{\"set\":1,\"actual\":1},\"step\":{\"index\":4,\"count\":4,"
                    "\"weight\":1,"
                    "\"since_ms\":2500000,\"until_ms\":0,\"wait_ms\":0}," DOC_STEPS DOC_GATES
                    "\"verdict\":\"good\",\"why\":\"\",\"cause\":\"\",\"users\":{\"requests_new\":"
                    "20112,"
                    "\"failed_new\":3,\"rescued\":3,\"seen\":0},\"first_failures\":[],\"changed_"
                    "ms\":2510000,"
                    "\"ended_ms\":0,\"next\":\"headgate rollouts show 42 --watch\"}";

static const char doc_ended[] = DOC_HEAD DOC_OLD
        "\"new\":{\"release\":8,\"version\":\"1.8.0\",\"wanted\":3,\"ready\":3,\"starting\":0}"
        "," DOC_STATE("done", "end",
                "promoted") "\"weight\":{\"set\":1,\"actual\":1},\"step\":{\"index\":4,\"count\":4,"
                            "\"weight\":1}," DOC_STEPS "\"users\":{\"requests_new\":20112,\"failed_"
                            "new\":3,\"rescued\":3,\"seen\":0},"
                            "\"changed_ms\":2600000,\"ended_ms\":2600000,\"next\":\"\"}";

#define DOC_BACK(ready, body, cause)                                                          \
	DOC_HEAD                                                                              \
	"\"old\":{\"release\":7,\"version\":\"1.7.3\",\"wanted\":3,\"ready\":" #ready         \
	",\"starting\":0,\"crash_loops\":0}," DOC_NEW(1, 0) DOC_STATE("aborted", "end",       \
	        "rolled_back") "\"weight\":{\"set\":0,\"actual\":0.1},\"step\":{"             \
	                       "\"index\":2,\"count\":4,\"weight\":"                          \
	                       "0.1,\"since_ms\":1100000,\"until_ms\":1700000,\"wait_"        \
	                       "ms\":600000}," DOC_STEPS DOC_GATES DOC_EVIDENCE(1700, 5, 14,  \
	                               0.357, 0.128,                                          \
	                               0.649) "\"verdict\":\"bad\",\"why\":\"errors: "        \
	                                      "canary 5 of 14, stable 0 of "                  \
	                                      "1804\",\"cause\":"                             \
	                                      "\"" cause "\",\"users\":{\"requests_new\":14," \
	                                      "\"failed_new\":6,\"rescued\":6,\"seen\":0,"    \
	                                      "\"unreplayable\":0,\"forced\":0},\"back\":"    \
	                                      "{\"requests\":14,\"failures\":5,"              \
	                                      "\"took_ms\":70},\"first_failures\":[{\"ts_"    \
	                                      "ms\":1100020,\"replica\":4,\"cause\":"         \
	                                      "\"status\",\"status\":500,\"method\":"         \
	                                      "\"POST\",\"path\":\"/"                         \
	                                      "feedback\",\"request_id\":"                    \
	                                      "\"7f3c91\",\"body\":\"" body                   \
	                                      "\"}],\"changed_ms\":1100090,\"ended_ms\":"     \
	                                      "1100200,"                                      \
	                                      "\"next\":\"headgate rollouts why 42\"}"

static const char doc_back[] = DOC_BACK(3, "no such column: rating", "evidence");
static const char doc_degraded[] = DOC_BACK(0, "no such column: rating", "evidence");
static const char doc_aborted[] = DOC_BACK(3, "", "person");
/* Colours, a title, a line feed, C1, bidi and a CJK letter in what an app answered. */
static const char doc_hostile[] = DOC_BACK(3,
        "\\u001b[2J\\u001b]0;pwned\\u0007a\\nb\\u009b31m\\u202egnp.exe\\u4f60\\u597d", "evidence");

#endif
