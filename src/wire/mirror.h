/*
 * Two answers to the same request: the old release's, which the client got, and the new one's to a
 * copy of it. Compared are the status, the fields below, and the body: JSON by its meaning without
 * what may differ, anything else byte by byte. A body that is encoded (gzip …) or larger than the
 * cap is not compared: equal contents may be compressed to different bytes, and nobody keeps more.
 */
#ifndef WIRE_MIRROR_H
#define WIRE_MIRROR_H

#include "wire/http1.h"
#include "wire/jsondiff.h"

#define MIRROR_BODY_MAX  JSONDIFF_TEXT_MAX
#define MIRROR_FIELD_MAX 256u /* bytes kept of a field; longer values are compared so far */
#define MIRROR_AT_MAX    128u

enum mirror_field {
	MIRROR_CONTENT_TYPE,
	MIRROR_CONTENT_ENCODING,
	MIRROR_LOCATION,
	MIRROR_CACHE_CONTROL,
	MIRROR_FIELDS
};

struct mirror_answer {
	uint16_t status;
	bool over; /* the body is longer than the cap; what is here is not its whole */
	uint16_t field_n[MIRROR_FIELDS];
	bool has[MIRROR_FIELDS];
	char field[MIRROR_FIELDS][MIRROR_FIELD_MAX];
	struct hg_str body; /* the caller's bytes */
};

enum mirror_what {
	MIRROR_SAME,
	MIRROR_PARTLY, /* status and fields are the same, the bodies were not compared */
	MIRROR_STATUS,
	MIRROR_FIELD,
	MIRROR_JSON,
	MIRROR_BYTES,
};

struct mirror_result {
	enum mirror_what what;
	size_t at_n;
	char at[MIRROR_AT_MAX]; /* "content-type", "$.a[3]", "byte 17" */
};

/* Takes status and fields of a response's head; the first line of each field. */
void mirror_answer_head(struct mirror_answer *a, const struct http1_head *h);
/* Pure: the same answers give the same result. */
void mirror_compare(const struct mirror_answer *old, const struct mirror_answer *fresh,
        const struct jsonpath *ignore, uint32_t ignore_n, struct jsondiff_scratch *scratch,
        struct mirror_result *ret_result);

#endif
