/* One look at meter, board, machine and ourselves, in turns of a few milliseconds. */
#include "observe/collect/collect_priv.h"

#include "os/clock.h"

#define LINES_ONCE 64u /* of a page, between two looks at the clock */

void round_begin(struct collect *c, int64_t t_ms)
{
	/* Times rise, also when something was looked at out of turn. */
	if (t_ms <= c->last_ms && c->last_ms - t_ms < 1000) t_ms = c->last_ms + 1;
	c->last_ms = t_ms;
	c->round = (struct round){.under_way = true, .t_ms = t_ms};
}

/* Each source: looks at some of it; true: that was all of it. */

static bool meter_some(struct collect *c)
{
	struct round *r = &c->round;
	struct intake *in = &c->in[FROM_METER];
	struct meter_series_sink sink = intake_sink(in);
	if (!c->o.meter) return true;
	if (!r->begun) {
		uint64_t now = clock_mono_ms();
		view_table(&c->view, c->o.table, c->o.board, c->looked_ms);
		c->looked_ms = now;
		intake_begin(in, r->t_ms);
	}
	struct meter_series_view v = view_of(&c->view, c->o.meter);
	if (!meter_series_piece(&v, &r->piece, &sink)) return false;
	intake_end(in, false);
	view_looked(&c->view);
	return true;
}

static bool page_some(struct collect *c, struct intake *in)
{
	enum intake_page got = intake_page(in, &c->round.page, LINES_ONCE);
	if (got == INTAKE_MORE) return false;
	/* Half a page is no page: what did not come has not ended. */
	if (got == INTAKE_BAD)
		c->bad_pages++;
	else
		intake_end(in, false);
	return true;
}

/* True: there is a page to be read. */
static bool board_begin(struct collect *c)
{
	struct intake *in = &c->in[FROM_BOARD];
	uint64_t now = clock_mono_ms();
	bool there = c->o.board && board_read(c->o.board, &c->page, &c->board);
	if (c->board.pid) c->look.control_pid = c->board.pid;
	if (!there || now > c->board.at_ms + COLLECT_BOARD_MS) {
		/* One turn without (it was being written) is no reason; a minute is. */
		if (c->board_ended || now <= c->board.at_ms + COLLECT_BOARD_MS) return false;
		intake_begin(in, c->round.t_ms);
		intake_end(in, true);
		c->board_ended = true;
		return false;
	}
	c->board_ended = false;
	intake_begin(in, c->round.t_ms);
	c->round.page = promread_over(hg_buf_view(&c->page), PROMREAD_TEXT);
	return true;
}

static bool board_some(struct collect *c)
{
	if (!c->round.begun && !board_begin(c)) return true;
	return page_some(c, &c->in[FROM_BOARD]);
}

static bool machine_some(struct collect *c)
{
	struct meter_series_sink sink = intake_sink(&c->in[FROM_MACHINE]);
	intake_begin(&c->in[FROM_MACHINE], c->round.t_ms);
	look_machine(&c->look, &sink);
	look_processes(&c->look, &sink);
	intake_end(&c->in[FROM_MACHINE], false);
	return true;
}

static bool own_some(struct collect *c)
{
	struct intake *in = &c->in[FROM_OWN];
	if (!c->o.own) return true;
	if (!c->round.begun) {
		hg_buf_reset(&c->page);
		c->o.own(c->o.arg, &c->page);
		intake_begin(in, c->round.t_ms);
		if (c->page.failed) {
			c->bad_pages++;
			return true;
		}
		c->round.page = promread_over(hg_buf_view(&c->page), PROMREAD_TEXT);
	}
	return page_some(c, in);
}

bool round_some(struct collect *c, uint64_t for_ns)
{
	static bool (*const some[SOURCES])(struct collect * c) = {
	        [FROM_METER] = meter_some,
	        [FROM_BOARD] = board_some,
	        [FROM_MACHINE] = machine_some,
	        [FROM_OWN] = own_some,
	};
	struct round *r = &c->round;
	uint64_t began = clock_mono_ns(), took = 0;
	while (r->from < SOURCES && took < for_ns) {
		bool all = some[r->from](c);
		r->begun = !all;
		if (all) r->from++;
		took = clock_mono_ns() - began;
	}
	r->took_ns += took;
	r->longest_ns = HG_MAX(r->longest_ns, took);
	if (r->from < SOURCES) return false;
	r->under_way = false;
	c->rounds++;
	c->took_ns = r->took_ns;
	c->longest_ns = r->longest_ns;
	return true;
}
