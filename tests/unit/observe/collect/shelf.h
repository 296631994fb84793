/* A store in memory and what stands in it, as one text. */
#ifndef TESTS_UNIT_OBSERVE_COLLECT_SHELF_H
#define TESTS_UNIT_OBSERVE_COLLECT_SHELF_H

#include "tests/unit/test.h"

#include <stdio.h>
#include <sys/socket.h>

#include "observe/tsdb/tsdb.h"

static inline struct tsdb *shelf_open(uint32_t series_per_app)
{
	struct tsdb *db;
	struct hg_err err = {0};
	const struct tsdb_options o = {.series_per_app = series_per_app};
	assert_int_equal(tsdb_open(&o, &db, &err), HG_OK);
	return db;
}

/* The samples of the series whose text is `want`: "5000=1 10000=stale"; "none" when there is no
 * such series. */
static inline const char *shelf(struct tsdb *db, const char *want)
{
	static char text[4096];
	struct tsdb_selection *s;
	struct tsdb_samples v = {0};
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	bool found = false;
	assert_int_equal(tsdb_select(db, NULL, 0, TSDB_NO_MIN + 1, TSDB_NO_MAX, &s, NULL), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(s); i++) {
		struct hg_buf name;
		hg_buf_init(&name, 65536);
		labels_print(&name, tsdb_selection_labels(s, i));
		bool this = strcmp(hg_buf_text(&name), want) == 0;
		hg_buf_free(&name);
		if (!this) continue;
		found = true;
		assert_int_equal(
		        tsdb_selection_read(s, i, TSDB_NO_MIN + 1, TSDB_NO_MAX, &v), HG_OK);
		for (size_t k = 0; k < v.n; k++) {
			hg_out_fmt(&o, "%s%lld=", k ? " " : "", (long long)v.t[k]);
			if (tsdb_is_stale(v.v[k]))
				hg_out_cstr(&o, "stale");
			else
				hg_out_fmt(&o, "%g", v.v[k]);
		}
	}
	tsdb_samples_free(&v);
	tsdb_selection_free(s);
	if (!found) hg_out_cstr(&o, "none");
	assert_false(hg_out_failed(&o));
	text[o.n] = 0;
	return text;
}

#define assert_shelf(db, series, want) assert_string_equal(shelf(db, series), want)

#endif
