/*
 * Values of header fields with variables in them: "$client_ip" and the like. Compiled once, so that
 * writing one is a walk over its bytes: a byte of FIELDVARS_FIRST and more that no field may hold
 * stands for a variable.
 */
#ifndef WIRE_FIELDVARS_H
#define WIRE_FIELDVARS_H

#include "base/buf.h"

#define FIELDVARS_REQUEST  1u
#define FIELDVARS_RESPONSE 2u
#define FIELDVARS_FIRST    14 /* behind CR; up to 31 no field may hold any of them */

enum fieldvar {
	FIELDVAR_CLIENT_IP,
	FIELDVAR_REQUEST_ID,
	FIELDVAR_TRACE_ID,
	FIELDVAR_APP,
	FIELDVAR_ROUTE,
	FIELDVAR_SCHEME,
	/* of requests alone: later the head is gone */
	FIELDVAR_HOST,
	FIELDVAR_METHOD,
	FIELDVAR_PATH,
	/* of responses alone: before, it may be another replica's turn yet */
	FIELDVAR_RELEASE,
	FIELDVAR_REPLICA,
	FIELDVARS
};

/* Appends the compiled value. NULL: good; else what is wrong (static text). `side`: one of
 * FIELDVARS_REQUEST and FIELDVARS_RESPONSE. */
const char *fieldvars_compile(struct hg_str value, unsigned side, struct hg_out *to);

/* Cuts off what comes next: literal bytes, or a variable (then *ret_var is not FIELDVARS). False:
 * nothing is left. */
static inline bool fieldvars_next(
        struct hg_str *rest, struct hg_str *ret_text, enum fieldvar *ret_var)
{
	size_t n = 0;
	if (rest->n == 0) return false;
	*ret_var = FIELDVARS;
	while (n < rest->n && !((unsigned char)rest->p[n] >= FIELDVARS_FIRST &&
	                              (unsigned char)rest->p[n] < FIELDVARS_FIRST + FIELDVARS))
		n++;
	if (n == 0) {
		*ret_var = (enum fieldvar)(rest->p[0] - FIELDVARS_FIRST);
		n = 1;
	}
	*ret_text = (struct hg_str){rest->p, n};
	*rest = (struct hg_str){rest->p + n, rest->n - n};
	return true;
}

#endif
