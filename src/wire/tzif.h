/*
 * A time zone as /usr/share/zoneinfo has it (TZif, RFC 8536): which offset holds at a time, with
 * the rule for the years behind the last transition. Pure: the bytes are given.
 */
#ifndef WIRE_TZIF_H
#define WIRE_TZIF_H

#include "base/str.h"

#define TZIF_MAX (256u << 10) /* bytes of a file */

struct tzif;

struct tzif_offset {
	int32_t offset_s; /* east of UTC */
	bool summer;
	char name[8]; /* "CEST" */
};

/* Copies what it needs. HG_E_INVALID: no TZif of version 2 or later, or damaged; HG_E_NOMEM. */
HG_MUST enum hg_rc tzif_parse(struct hg_str bytes, struct tzif **ret_zone);
/* NULL is fine. */
void tzif_free(struct tzif *z);
struct tzif_offset tzif_at(const struct tzif *z, int64_t unix_s);
/* Whether it can be the name of a zone ("Europe/Zurich"): no path that leads elsewhere. */
HG_MUST bool tzif_name_ok(struct hg_str name);

#endif
