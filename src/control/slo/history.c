#include "control/slo/history_priv.h"

#include <stdlib.h>
#include <string.h>

#define PACKED_MARK 1u /* version of the bytes */

void slo_history_free(struct slo_history *h)
{
	for (uint32_t i = 0; i < h->count; i++)
		free(h->hours[i].packed);
	free(h->hours);
	*h = (struct slo_history){0};
}

/* ---- minutes ↔ bytes: a mask of what is not 0 and those numbers, or 0 and how many are empty ----
 */

static void put(uint8_t **at, uint32_t v)
{
	for (; v >= 128; v >>= 7)
		*(*at)++ = (uint8_t)(v | 128);
	*(*at)++ = (uint8_t)v;
}

static bool get(const uint8_t **at, const uint8_t *end, uint32_t *ret_v)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (*at == end) return false;
		uint8_t b = *(*at)++;
		v |= (uint64_t)(b & 127) << shift;
		if (b < 128) {
			*ret_v = (uint32_t)v;
			return v <= UINT32_MAX;
		}
	}
	return false;
}

static bool is_empty(const struct slo_minute *m)
{
	return (m->good | m->bad | m->fast | m->slow) == 0;
}

static size_t pack(const struct slo_minute minute[SLO_HOUR_MIN], uint8_t to[SLO_PACKED_MAX])
{
	uint8_t *at = to;
	*at++ = PACKED_MARK;
	for (uint32_t i = 0; i < SLO_HOUR_MIN;) {
		const struct slo_minute *m = &minute[i];
		uint32_t empty = 0;
		while (i + empty < SLO_HOUR_MIN && is_empty(&minute[i + empty]))
			empty++;
		if (empty) {
			*at++ = 0;
			*at++ = (uint8_t)empty;
			i += empty;
			continue;
		}
		const uint32_t v[] = {m->good, m->bad, m->fast, m->slow};
		uint8_t *mask = at++;
		*mask = 0;
		for (unsigned k = 0; k < 4; k++) {
			if (!v[k]) continue;
			*mask |= (uint8_t)(1u << k);
			put(&at, v[k]);
		}
		i++;
	}
	return (size_t)(at - to);
}

static bool unpack(const uint8_t *bytes, size_t n, struct slo_minute minute[SLO_HOUR_MIN])
{
	const uint8_t *at = bytes, *end = bytes + n;
	memset(minute, 0, sizeof *minute * SLO_HOUR_MIN);
	if (n == 0 || *at++ != PACKED_MARK) return false;
	for (uint32_t i = 0; i < SLO_HOUR_MIN;) {
		uint32_t v[4] = {0};
		if (at == end) return false;
		uint8_t mask = *at++;
		if (mask > 15) return false;
		if (mask == 0) {
			if (at == end || *at == 0 || *at > SLO_HOUR_MIN - i) return false;
			i += *at++;
			continue;
		}
		for (unsigned k = 0; k < 4; k++)
			if (mask >> k & 1 && (!get(&at, end, &v[k]) || v[k] == 0)) return false;
		minute[i++] = (struct slo_minute){v[0], v[1], v[2], v[3]};
	}
	return at == end;
}

size_t slo_history_pack(const struct slo_history *h, uint8_t to[SLO_PACKED_MAX])
{
	return pack(h->minute, to);
}

/* ---- hours ---- */

static void minute_into(const struct slo_minute *m, struct slo_counts *sum)
{
	sum->good += m->good;
	sum->bad += m->bad;
	sum->fast += m->fast;
	sum->slow += m->slow;
}

/* The first hour that is not before it; count: there is none. */
static uint32_t place_of(const struct slo_history *h, uint64_t hour)
{
	uint32_t low = 0, high = h->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (h->hours[mid].hour < hour)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The open hour goes among the others. */
static enum hg_rc put_away(struct slo_history *h)
{
	uint8_t bytes[SLO_PACKED_MAX];
	if (!h->open) return HG_OK;
	if (h->count == h->cap) {
		uint32_t cap = h->cap ? h->cap * 2 : 32;
		struct slo_hour *more = realloc(h->hours, cap * sizeof *more);
		if (!more) return HG_E_NOMEM;
		h->hours = more;
		h->cap = cap;
	}
	size_t n = pack(h->minute, bytes);
	struct slo_hour hour = {.hour = h->open_hour, .packed_n = (uint16_t)n, .packed = malloc(n)};
	if (!hour.packed) return HG_E_NOMEM;
	memcpy(hour.packed, bytes, n);
	for (uint32_t i = 0; i < SLO_HOUR_MIN; i++)
		minute_into(&h->minute[i], &hour.sum);
	uint32_t at = place_of(h, hour.hour);
	memmove(&h->hours[at + 1], &h->hours[at], (h->count - at) * sizeof hour);
	h->hours[at] = hour;
	h->count++;
	h->open = h->dirty = false;
	return HG_OK;
}

/* Makes `hour` the open one. */
static enum hg_rc turn_to(struct slo_history *h, uint64_t hour)
{
	if (h->open && h->open_hour == hour) return HG_OK;
	enum hg_rc rc = put_away(h);
	if (rc < 0) return rc;
	uint32_t at = place_of(h, hour);
	memset(h->minute, 0, sizeof h->minute);
	if (at < h->count && h->hours[at].hour == hour) {
		/* The clock was set back; what is packed was checked when it came in. */
		HG_ASSERT(unpack(h->hours[at].packed, h->hours[at].packed_n, h->minute));
		free(h->hours[at].packed);
		h->count--;
		memmove(&h->hours[at], &h->hours[at + 1], (h->count - at) * sizeof *h->hours);
	}
	h->open_hour = hour;
	h->open = true;
	return HG_OK;
}

bool slo_history_turns(const struct slo_history *h, uint64_t minute)
{
	return h->open && h->open_hour != minute / SLO_HOUR_MIN;
}

static void add(uint32_t *to, uint64_t v)
{
	*to = v > UINT32_MAX - *to ? UINT32_MAX : *to + (uint32_t)v;
}

enum hg_rc slo_history_add(struct slo_history *h, uint64_t minute, const struct slo_counts *c)
{
	if ((c->good | c->bad | c->fast | c->slow) == 0) return HG_OK;
	enum hg_rc rc = turn_to(h, minute / SLO_HOUR_MIN);
	if (rc < 0) return rc;
	struct slo_minute *m = &h->minute[minute % SLO_HOUR_MIN];
	add(&m->good, c->good);
	add(&m->bad, c->bad);
	add(&m->fast, c->fast);
	add(&m->slow, c->slow);
	h->dirty = true;
	return HG_OK;
}

enum hg_rc slo_history_load(
        struct slo_history *h, uint64_t hour, const uint8_t *bytes, size_t n, bool *ret_good)
{
	struct slo_minute minute[SLO_HOUR_MIN];
	*ret_good = n <= SLO_PACKED_MAX && unpack(bytes, n, minute);
	if (!*ret_good) return HG_OK;
	enum hg_rc rc = turn_to(h, hour);
	if (rc == HG_OK) memcpy(h->minute, minute, sizeof minute);
	return rc;
}

/* ---- windows ---- */

/* Minutes `from` to `to` of an hour, both among them. */
static void part_into(const struct slo_minute minute[SLO_HOUR_MIN], uint64_t from, uint64_t to,
        struct slo_counts *sum)
{
	for (uint64_t i = from; i <= to; i++)
		minute_into(&minute[i], sum);
}

static uint64_t first_within(uint64_t hour, uint64_t from)
{
	return hour == from / SLO_HOUR_MIN ? from % SLO_HOUR_MIN : 0;
}

static uint64_t last_within(uint64_t hour, uint64_t to)
{
	return hour == to / SLO_HOUR_MIN ? to % SLO_HOUR_MIN : SLO_HOUR_MIN - 1;
}

void slo_history_sum(
        const struct slo_history *h, uint64_t now, uint64_t minutes, struct slo_counts *ret_sum)
{
	uint64_t from = now >= minutes ? now - minutes + 1 : 0;
	uint64_t first = from / SLO_HOUR_MIN, last = now / SLO_HOUR_MIN;
	*ret_sum = (struct slo_counts){0};
	for (uint32_t i = place_of(h, first); i < h->count && h->hours[i].hour <= last; i++) {
		const struct slo_hour *e = &h->hours[i];
		uint64_t low = first_within(e->hour, from), high = last_within(e->hour, now);
		struct slo_minute minute[SLO_HOUR_MIN];
		if (low == 0 && high == SLO_HOUR_MIN - 1) {
			ret_sum->good += e->sum.good;
			ret_sum->bad += e->sum.bad;
			ret_sum->fast += e->sum.fast;
			ret_sum->slow += e->sum.slow;
		} else if (unpack(e->packed, e->packed_n, minute)) {
			part_into(minute, low, high, ret_sum);
		}
	}
	if (h->open && h->open_hour >= first && h->open_hour <= last)
		part_into(h->minute, first_within(h->open_hour, from),
		        last_within(h->open_hour, now), ret_sum);
}

static uint64_t first_of(uint64_t hour, const struct slo_minute minute[SLO_HOUR_MIN])
{
	for (uint64_t i = 0; i < SLO_HOUR_MIN; i++)
		if (!is_empty(&minute[i])) return hour * SLO_HOUR_MIN + i;
	return UINT64_MAX;
}

uint64_t slo_history_first(const struct slo_history *h)
{
	uint64_t first = h->open ? first_of(h->open_hour, h->minute) : UINT64_MAX;
	struct slo_minute minute[SLO_HOUR_MIN];
	if (h->count && unpack(h->hours[0].packed, h->hours[0].packed_n, minute))
		first = HG_MIN(first, first_of(h->hours[0].hour, minute));
	return first;
}

void slo_history_prune(struct slo_history *h, uint64_t hour)
{
	uint32_t n = place_of(h, hour);
	for (uint32_t i = 0; i < n; i++)
		free(h->hours[i].packed);
	if (n) memmove(h->hours, h->hours + n, (h->count - n) * sizeof *h->hours);
	h->count -= n;
}

/* Whole numbers whose sum over all i is the whole. */
static uint64_t part(uint64_t v, uint64_t parts, uint64_t i)
{
	return v / parts + (i < v % parts);
}

void slo_counts_part(
        const struct slo_counts *c, uint64_t parts, uint64_t i, struct slo_counts *ret_part)
{
	*ret_part = (struct slo_counts){.good = part(c->good, parts, i),
	        .bad = part(c->bad, parts, i),
	        .fast = part(c->fast, parts, i),
	        .slow = part(c->slow, parts, i)};
}
