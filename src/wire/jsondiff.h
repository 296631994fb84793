/*
 * Do two JSON texts say the same? The order of members does not matter, that of elements does;
 * numbers are compared by value, exactly (1 = 1.0 = 10e-1), strings after their escapes. Safe on
 * hostile texts: no memory but the scratch, a bounded depth, and O(n log n) time.
 */
#ifndef WIRE_JSONDIFF_H
#define WIRE_JSONDIFF_H

#include "base/buf.h"
#include "wire/jsonpath.h"

#define JSONDIFF_TEXT_MAX   65536u
#define JSONDIFF_NODES_MAX  (JSONDIFF_TEXT_MAX / 2)
#define JSONDIFF_DEPTH_MAX  64u
#define JSONDIFF_NUMBER_MAX 1000u /* bytes */
#define JSONDIFF_IGNORE_MAX 16u

enum jsondiff_result {
	JSONDIFF_SAME,
	JSONDIFF_DIFFERS,
	JSONDIFF_NOT_JSON, /* one of them is no object or array of RFC 8259, or beyond a limit */
};

/* Positions in the text. */
struct jsondiff_node {
	uint16_t at, n;         /* of a string: of the opening quote, and without both */
	uint16_t key_at, key_n; /* without quotes; key_at 0: no member */
	uint16_t next;          /* the first node after this one and all below it */
	uint16_t count;         /* members or elements */
};

/* 896 KiB; read only where it was written in the same call. */
struct jsondiff_scratch {
	struct jsondiff_node a[JSONDIFF_NODES_MAX], b[JSONDIFF_NODES_MAX];
	uint16_t order[2 * JSONDIFF_NODES_MAX];
};

/*
 * What `ignore` names may differ, and be there on one side only. When they differ, `to` tells a
 * place where, as a path that ends in "…" when there was no room for more: *ret_n bytes without a
 * zero; cap is 16 at least.
 */
enum jsondiff_result jsondiff(struct hg_str a, struct hg_str b, const struct jsonpath *ignore,
        uint32_t ignore_n, struct jsondiff_scratch *scratch, char *to, size_t cap, size_t *ret_n);

#endif
