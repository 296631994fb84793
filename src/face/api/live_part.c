/* What changed since a reader last looked: pure. */
#include "live_priv.h"

#include <stdlib.h>

void live_part_init(struct live_part *p)
{
	*p = (struct live_part){0};
	hg_buf_init(&p->text, LIVE_TEXT_MAX);
}

void live_part_free(struct live_part *p)
{
	hg_buf_free(&p->text);
	p->turn = 0;
}

bool live_part_set(struct live_part *p, struct hg_buf *fresh, uint64_t turn)
{
	bool other = !fresh->failed &&
	             (!p->turn || !hg_str_eq(hg_buf_view(fresh), hg_buf_view(&p->text)));
	if (other) {
		struct hg_buf old = p->text;
		p->text = *fresh;
		*fresh = old;
		p->turn = turn;
	}
	hg_buf_reset(fresh);
	return other;
}

/* ---- replicas ---- */

/* Where it is, or belongs: mostly where it was asked for. */
static uint32_t replica_place(const struct live_replicas *list, uint32_t number, uint32_t hint)
{
	uint32_t low = 0, high = list->n;
	if (hint < list->n && list->at[hint].number == number) return hint;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (list->at[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct live_replica *live_replica_open(
        struct live_replicas *list, uint32_t number, uint32_t hint, uint64_t turn)
{
	uint32_t at = replica_place(list, number, hint);
	if (at == list->n || list->at[at].number != number) {
		if (list->n == list->cap) {
			uint32_t cap = list->cap ? list->cap * 2 : 4;
			struct live_replica *more = realloc(list->at, cap * sizeof *more);
			if (!more) return NULL;
			list->at = more;
			list->cap = cap;
		}
		memmove(&list->at[at + 1], &list->at[at], (list->n - at) * sizeof *list->at);
		list->at[at] = (struct live_replica){.number = number};
		live_part_init(&list->at[at].part);
		list->n++;
	}
	list->at[at].there.looked = turn;
	return &list->at[at];
}

void live_replica_set(
        struct live_replicas *list, struct live_replica *r, struct hg_buf *fresh, uint64_t turn)
{
	if (live_part_set(&r->part, fresh, turn)) list->turn = turn;
}

/* What is to be done with one that may be gone. */
enum fate { FATE_HERE, FATE_GOES, FATE_GONE, FATE_FORGOTTEN };

static enum fate fate_of(struct live_there *t, uint64_t turn, uint64_t least)
{
	if (t->looked == turn) {
		t->gone = 0;
		return FATE_HERE;
	}
	if (t->gone) return t->gone <= least ? FATE_FORGOTTEN : FATE_GONE;
	t->gone = turn;
	return FATE_GOES;
}

void live_replicas_sweep(struct live_replicas *list, uint64_t turn, uint64_t least)
{
	uint32_t kept = 0;
	if (!list->turn) list->turn = turn;
	for (uint32_t i = 0; i < list->n; i++) {
		struct live_replica *r = &list->at[i];
		enum fate fate = fate_of(&r->there, turn, least);
		/* Whatever it is when it comes back, it is news. */
		if (fate == FATE_GOES) live_part_free(&r->part);
		if (fate == FATE_GOES) list->turn = turn;
		if (fate != FATE_FORGOTTEN) list->at[kept++] = *r;
	}
	list->n = kept;
}

/* As members of an object that is open. */
static void replicas_write(const struct live_replicas *list, uint64_t seen, struct hg_buf *to)
{
	const char *comma = "";
	hg_buf_cstr(to, ",\"replicas\":[");
	for (uint32_t i = 0; i < list->n; i++) {
		if (list->at[i].part.turn <= seen) continue;
		hg_buf_cstr(to, comma);
		hg_buf_str(to, hg_buf_view(&list->at[i].part.text));
		comma = ",";
	}
	hg_buf_cstr(to, "],\"replicas_gone\":[");
	comma = "";
	for (uint32_t i = 0; i < list->n && seen; i++) {
		if (list->at[i].there.gone <= seen) continue;
		hg_buf_cstr(to, comma);
		hg_buf_u64(to, list->at[i].number);
		comma = ",";
	}
	hg_buf_byte(to, ']');
}

static void replicas_free(struct live_replicas *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		live_part_free(&list->at[i].part);
	free(list->at);
	*list = (struct live_replicas){0};
}

/* ---- rows ---- */

static struct live_row *row_find(const struct live_rows *rows, const char *name, uint32_t hint)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct live_row *row = rows->at[(hint + i) % rows->n];
		if (strcmp(row->name, name) == 0) return row;
	}
	return NULL;
}

struct live_row *live_row_open(struct live_rows *rows, const char *name, uint32_t hint)
{
	struct live_row *row = row_find(rows, name, hint);
	if (row) return row;
	if (rows->n == rows->cap) {
		uint32_t cap = rows->cap ? rows->cap * 2 : 16;
		struct live_row **more = realloc(rows->at, cap * sizeof(struct live_row *));
		if (!more) return NULL;
		rows->at = more;
		rows->cap = cap;
	}
	row = calloc(1, sizeof *row);
	if (!row || !hg_str_copy(hg_str(name), row->name, sizeof row->name)) {
		free(row);
		return NULL;
	}
	live_part_init(&row->head);
	/* Where it is looked for in the next turn. */
	uint32_t at = HG_MIN(hint, rows->n);
	memmove(&rows->at[at + 1], &rows->at[at], (rows->n - at) * sizeof(struct live_row *));
	rows->at[at] = row;
	rows->n++;
	return row;
}

static void row_free(struct live_row *row)
{
	live_part_free(&row->head);
	replicas_free(&row->replicas);
	free(row);
}

void live_rows_sweep(struct live_rows *rows, uint64_t turn, uint64_t least)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < rows->n; i++) {
		struct live_row *row = rows->at[i];
		enum fate fate = fate_of(&row->there, turn, least);
		if (fate == FATE_FORGOTTEN) {
			row_free(row);
			continue;
		}
		if (fate == FATE_GOES) {
			live_part_free(&row->head);
			/* None of them was looked at; when it is back, they are told, if none. */
			live_replicas_sweep(&row->replicas, turn, least);
			row->replicas.turn = 0;
		}
		rows->at[kept++] = row;
	}
	rows->n = kept;
}

/* The head is an object, which those of the replicas are put into that changed. */
static void row_write(const struct live_row *row, uint64_t seen, struct hg_buf *to)
{
	struct hg_str head = hg_buf_view(&row->head.text);
	if (row->replicas.turn <= seen) {
		hg_buf_str(to, head);
		return;
	}
	hg_buf_str(to, (struct hg_str){head.p, head.n - 1});
	replicas_write(&row->replicas, seen, to);
	hg_buf_byte(to, '}');
}

static bool changed(const struct live_row *row, uint64_t seen)
{
	return !row->there.gone && row->head.turn &&
	       (row->head.turn > seen || row->replicas.turn > seen);
}

bool live_rows_write(const struct live_rows *rows, uint64_t seen, struct hg_buf *to)
{
	bool any = seen == 0;
	for (uint32_t i = 0; i < rows->n && !any; i++)
		any = changed(rows->at[i], seen) || rows->at[i]->there.gone > seen;
	if (!any) return false;
	hg_buf_fmt(to, "{\"all\":%s,\"apps\":[", seen ? "false" : "true");
	const char *comma = "";
	for (uint32_t i = 0; i < rows->n; i++) {
		if (!changed(rows->at[i], seen)) continue;
		hg_buf_cstr(to, comma);
		row_write(rows->at[i], seen, to);
		comma = ",";
	}
	hg_buf_cstr(to, "],\"gone\":[");
	comma = "";
	for (uint32_t i = 0; i < rows->n; i++) {
		/* Who is given all knows of none that was there before. */
		if (seen == 0 || rows->at[i]->there.gone <= seen) continue;
		hg_buf_cstr(to, comma);
		json_quote(to, hg_str(rows->at[i]->name));
		comma = ",";
	}
	hg_buf_cstr(to, "]}");
	return true;
}

void live_rows_free(struct live_rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++)
		row_free(rows->at[i]);
	free(rows->at);
	*rows = (struct live_rows){0};
}
