/* A file that tools/embed.py built into the binary: what a server needs to send it. */
#ifndef HG_BASE_EMBED_H
#define HG_BASE_EMBED_H

#include "base/str.h"

struct hg_embed {
	struct hg_str url;  /* where it is served; the key of the table, sorted */
	struct hg_str type; /* Content-Type */
	struct hg_str hash; /* of the contents: for ETag and for addresses that never change */
	struct hg_str data;
	struct hg_str gzip; /* the same, compressed; empty when that saves nothing */
};

/* By exact url; NULL when there is none. */
static inline const struct hg_embed *hg_embed_find(
        const struct hg_embed *files, size_t n, struct hg_str url)
{
	for (size_t i = 0; i < n; i++)
		if (hg_str_eq(files[i].url, url)) return &files[i];
	return NULL;
}

#endif
