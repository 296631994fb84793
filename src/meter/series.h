/*
 * Every series that comes of the meter, named once: for the page that Prometheus reads (/metrics of
 * control) and for the metrics store (observe), which has them without a page. Reads only.
 *
 * Who knows the names that numbers stand for (lanes, apps, replicas) gives them in a view; who
 * takes the samples is a sink. Samples of a family come together, in the order of the view.
 */
#ifndef METER_SERIES_H
#define METER_SERIES_H

#include "meter/meter.h"
#include "wire/promtext.h"

/* What a lane counts. Lanes of one app and release stand together. */
struct meter_series_lane {
	struct hg_str app, route;
	uint32_t release; /* 0: answers that no replica gave */
	uint32_t lane;
	/* Edges of the app's own in the histogram of durations: what meter_lane.fast and .rule
	 * count; 0: none. */
	double edge_s, rule_s;
	bool whole; /* see meter_series_sink.whole */
};

struct meter_series_app {
	struct hg_str name;
	uint32_t id;
};

struct meter_series_replica {
	struct hg_str app;
	uint32_t release, replica;
	uint32_t endpoint; /* its slot */
	/* What the slot had counted when it became this replica's; NULL: nothing. */
	const struct meter_replica_sum *base;
	bool whole;
};

struct meter_series_view {
	const struct meter *meter;
	const struct meter_series_lane *lanes;
	size_t lane_n;
	const struct meter_series_app *apps;
	size_t app_n;
	const struct meter_series_replica *replicas;
	size_t replica_n;
	size_t lanes_all; /* this is a part of a view with so many lanes; 0: it is all of it */
};

struct meter_series_sink {
	/* `type`: "counter", "gauge", "histogram". The strings are constant. */
	void (*family)(void *arg, const char *name, const char *type, const char *help);
	/* `name`: with _bucket, _sum, _count where it is a histogram's; constant. Labels are valid
	 * during the call; an empty value is no label. */
	void (*sample)(void *arg, const char *name, const struct prom_label *labels, size_t n,
	        double value);
	/* May be NULL. Before samples: true: counters that follow and were not there at the look
	 * before this one stood at 0 then. */
	void (*whole)(void *arg, bool is_whole);
	void *arg;
};

/* With more lanes than this those that nobody has ever asked are left out. */
#define METER_SERIES_ZEROS 1000u

/* All families. */
void meter_series(const struct meter_series_view *v, const struct meter_series_sink *s);
/*
 * The same in pieces, for who must not take long at a time: a release with all its lanes, a
 * replica, an app, and at last what is of workers. *at begins with 0. True: that was the last
 * piece. The samples of a family do not come together.
 */
bool meter_series_piece(
        const struct meter_series_view *v, size_t *at, const struct meter_series_sink *s);
/* A sink that writes the text format. */
struct meter_series_sink meter_series_text(struct hg_buf *to);

#endif
