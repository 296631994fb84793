/*
 * Origins of the web (RFC 6454 section 6.1), as the rules of CORS name them. Both sides are
 * compared byte for byte, in the form that browsers write: lower case, no default port, no path.
 */
#ifndef WIRE_ORIGIN_H
#define WIRE_ORIGIN_H

#include "base/str.h"

#define ORIGIN_MAX \
	200 /* bytes of one that is looked at: a host name has 253 at most, few have 60 */

/* A rule: "https://app.example.com", with a port if it needs one, or "*.example.com" as its host
 * for every name below. NULL: it is one; else why not (static text). */
const char *origin_rule_check(struct hg_str rule);
/* Does one of the rules, each a line that ends with LF, name this origin? */
bool origin_allowed(struct hg_str rules, struct hg_str origin);

#endif
