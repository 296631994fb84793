/* A limit of requests as people write it. Pure. */
#ifndef WIRE_RATE_H
#define WIRE_RATE_H

#include "base/str.h"

enum rate_who {
	RATE_PER_ROUTE, /* all requests together */
	RATE_PER_USER,  /* who was verified, else the address; in apps without identity:
	                   Authorization, else the session cookie, else the address */
	RATE_PER_IP,
	RATE_PER_HEADER, /* value of the header `name`, else the address */
	RATE_PER_KEY,    /* the API key that was verified, else the address */
	RATE_PER_COOKIE, /* value of the cookie `name`, else the address */
};

struct rate {
	enum rate_who who;
	struct hg_str name; /* of the header or cookie, inside the text */
	uint64_t count, period_s, burst;
	bool local; /* counted on each machine, also where machines count together */
};

/*
 * "1000/min per user" · "100/s per ip burst 200" · "10/5m per header X-Api-Key" · "5000/s" (per
 * route) · "2000/5m per ip local". Periods: s, sec, m, min, h, hour, d, day, with a number before
 * (5m) if wanted, up to 30 days. Without `burst` all of `count` may come at once. Up to 1000000 a
 * second, bursts up to 1000000 and a year. On failure *ret_why says what is wrong (static text).
 */
HG_MUST bool rate_parse(struct hg_str text, struct rate *ret_rate, const char **ret_why);

#endif
