#include "observe/logs/logs_priv.h"

void volume_add(struct logs_volume *v, uint64_t ns, enum hg_level level, uint64_t lines)
{
	uint64_t bucket = ns < v->start_ns ? UINT64_MAX : (ns - v->start_ns) / v->step_ns;
	if (bucket < v->buckets) v->lines[bucket][level] += lines;
}

/* From the first to the last line: between two edges of buckets, and in the time asked for. */
static bool in_one_bucket(
        const struct logs_volume *v, const struct logs_query *q, const struct block_head *h)
{
	if (h->min_ns < q->since_ns || (q->until_ns && h->max_ns >= q->until_ns)) return false;
	return h->min_ns >= v->start_ns &&
	       (h->min_ns - v->start_ns) / v->step_ns == (h->max_ns - v->start_ns) / v->step_ns;
}

static bool all_labels_wanted(
        const struct logs_query *q, const struct block_head *h, const char *labels)
{
	for (uint32_t i = 0; i < h->label_count; i++) {
		struct block_label b;
		memcpy(&b, labels + i * sizeof b, sizeof b);
		if (b.lines == 0) continue; /* only its place in the spool is remembered */
		if (q->release && b.release != q->release) return false;
		if (q->has_replica && b.replica != q->replica) return false;
		if (q->has_stream && b.stream != q->stream) return false;
	}
	return true;
}

bool volume_add_head(struct logs_volume *v, const struct logs_query *q, const struct block_head *h,
        const char *labels)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < LOGS_LEVELS; i++)
		sum += h->level_lines[i];
	/* Blocks of older versions do not say it. */
	if (sum != h->count || q->grep.n || !in_one_bucket(v, q, h)) return false;
	if (!all_labels_wanted(q, h, labels)) return false;
	for (unsigned i = q->least; i < LOGS_LEVELS; i++)
		volume_add(v, h->min_ns, i, h->level_lines[i]);
	return true;
}

void logs_volume_json(const struct logs_volume *v, struct hg_buf *to)
{
	hg_buf_fmt(to,
	        "{\"schema\":\"headgate.log_volume/1\",\"start_ms\":%llu,\"step_ms\":%llu,\"n\":%u",
	        (unsigned long long)(v->start_ns / 1000000),
	        (unsigned long long)(v->step_ns / 1000000), v->buckets);
	for (unsigned level = 0; level < LOGS_LEVELS; level++) {
		hg_buf_fmt(to, ",\"%s\":[", hg_level_name(level));
		for (uint32_t i = 0; i < v->buckets; i++)
			hg_buf_fmt(
			        to, "%s%llu", i ? "," : "", (unsigned long long)v->lines[i][level]);
		hg_buf_byte(to, ']');
	}
	hg_buf_byte(to, '}');
}
