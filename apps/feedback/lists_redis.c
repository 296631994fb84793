/* Lists in Redis: how they are called and written, and who may share them. */
#include "apps/feedback/lists_priv.h"

#include <elf.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>

#include "base/siphash.h"

size_t lists_shared_name(
        uint64_t build, int64_t stamp, const struct lists_page *page, char to[LISTS_NAME_MAX])
{
	struct hg_out o = hg_out_over(to, LISTS_NAME_MAX);
	hg_out_fmt(&o, "feedback:list:%016" PRIx64 ":%016" PRIx64 ":%" PRId64 ":%u:v%u", build,
	        (uint64_t)stamp, page->before, page->limit, page->form + 1);
	return o.n;
}

void lists_shared_text(const struct listed *e, struct hg_str json, struct hg_buf *to)
{
	hg_buf_fmt(to, "%" PRId64 " %" PRId64 " %zu\n", e->total, e->next, json.n);
	hg_buf_str(to, json);
}

bool lists_shared_read(struct hg_str text, struct listed *ret, struct hg_str *ret_json)
{
	struct hg_str rest = text, line = hg_str_cut(&rest, '\n');
	uint64_t n[3];
	for (size_t i = 0; i < HG_COUNT(n); i++)
		if (!hg_str_u64(hg_str_cut(&line, ' '), &n[i]) || n[i] > INT64_MAX) return false;
	if (line.n || n[2] != rest.n) return false;
	if (!hg_str_starts(rest, HG_STR("[")) || !hg_str_ends(rest, HG_STR("]\n"))) return false;
	ret->total = (int64_t)n[0];
	ret->next = (int64_t)n[1];
	*ret_json = rest;
	return true;
}

/* The linker's hash of the program (GNU build id), as the kernel has loaded it. */
static int find_build(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const uint8_t key[16] = "feedback's build";
	uint64_t *build = arg;
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_NOTE) continue;
		const char *at = (const char *)(uintptr_t)(info->dlpi_addr + p->p_vaddr);
		const char *end = at + p->p_memsz;
		while (at + sizeof(ElfW(Nhdr)) <= end) {
			ElfW(Nhdr) n;
			memcpy(&n, at, sizeof n);
			const char *name = at + sizeof n, *desc = name + ((n.n_namesz + 3) & ~3u);
			if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
			        memcmp(name, "GNU", 4) == 0 && desc + n.n_descsz <= end)
				*build = hg_siphash(key, desc, n.n_descsz);
			at = desc + ((n.n_descsz + 3) & ~3u);
		}
	}
	return 1; /* the first one is the program itself */
}

uint64_t lists_build(void)
{
	static const uint8_t key[16] = "feedback's build";
	uint64_t build = 0;
	dl_iterate_phdr(find_build, &build);
	/* A linker that writes none: by the version, which is the best there is. */
	return build ? build : hg_siphash(key, HG_VERSION, strlen(HG_VERSION));
}

void lists_redis_metrics(struct redis *r, struct hg_buf *to)
{
	struct redis_stats s;
	uint64_t n = 0;
	redis_stats(r, &s);
	hg_buf_fmt(to,
	        "# TYPE redis_up gauge\nredis_up %d\n"
	        "# TYPE redis_commands_in_flight gauge\nredis_commands_in_flight %u\n"
	        "# TYPE redis_commands_total counter\nredis_commands_total %" PRIu64 "\n"
	        "# TYPE redis_errors_total counter\nredis_errors_total %" PRIu64 "\n"
	        "# TYPE redis_timeouts_total counter\nredis_timeouts_total %" PRIu64 "\n"
	        "# TYPE redis_refused_total counter\nredis_refused_total %" PRIu64 "\n"
	        "# TYPE redis_connections_lost_total counter\nredis_connections_lost_total %" PRIu64
	        "\n# TYPE redis_command_seconds histogram\n",
	        s.up, s.in_flight, s.sent, s.errors, s.timeouts, s.refused, s.lost);
	for (size_t b = 0; b <= REDIS_BUCKETS; b++) {
		char le[24] = "+Inf";
		n += s.bucket[b];
		if (b < REDIS_BUCKETS)
			snprintf(le, sizeof le, "%g", (double)redis_bucket_ns[b] / 1e9);
		hg_buf_fmt(to, "redis_command_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", le, n);
	}
	hg_buf_fmt(to, "redis_command_seconds_sum %.6f\nredis_command_seconds_count %" PRIu64 "\n",
	        (double)s.sum_ns / 1e9, n);
}
