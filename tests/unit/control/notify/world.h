/* A configuration and alerts by hand, for the tests of the pure half. */
#ifndef TESTS_NOTIFY_WORLD_H
#define TESTS_NOTIFY_WORLD_H

#include "tests/unit/test.h"

#include "control/notify/decide.h"

#include <stdlib.h>

#define MIN_MS 60000ull
#define T0     1700000000000ull /* a Tuesday, 22:13:20 UTC */

/* "a=1 b=2" to labels; the text must live. */
struct world_labels {
	struct label at[16];
	char text[256];
	struct labels ls;
};

static inline struct labels world_labels(struct world_labels *w, const char *text)
{
	uint32_t n = 0;
	assert_true(strlen(text) < sizeof w->text);
	memcpy(w->text, text, strlen(text) + 1);
	struct hg_str rest = {w->text, strlen(text)};
	while (rest.n) {
		struct hg_str pair = hg_str_cut(&rest, ' ');
		w->at[n].name = hg_str_cut(&pair, '=');
		w->at[n++].value = pair;
	}
	w->ls = (struct labels){w->at, n};
	assert_true(labels_valid(w->ls));
	return w->ls;
}

static inline void world_put(
        struct notify_state *s, const char *labels, uint64_t starts, uint64_t ends, uint64_t now)
{
	struct world_labels w;
	struct hg_err err = {0};
	struct notify_input in = {
	        .labels = world_labels(&w, labels), .starts_ms = starts, .ends_ms = ends};
	if (notify_put(s, &in, now, NULL, &err) < 0) fail_msg("%s: %s", labels, err.message);
}

#endif
