/* Paths to what they mean. Pure. */
#ifndef FEEDBACK_ROUTE_PRIV_H
#define FEEDBACK_ROUTE_PRIV_H

#include "wire/http1.h"

/* Also the values of the metrics' label `endpoint`: few, whatever clients ask for. */
enum endpoint {
	ENDPOINT_LIST,
	ENDPOINT_ITEM,
	ENDPOINT_VOTE,   /* /feedback/:id/vote */
	ENDPOINT_STATUS, /* /feedback/:id/status */
	ENDPOINT_VOTES,  /* /feedback/votes: what one has voted for */
	ENDPOINT_HEALTH,
	ENDPOINT_METRICS,
	ENDPOINT_PAGE,
	ENDPOINT_STATIC,
	ENDPOINT_JOBS,
	ENDPOINT_JOBS_STATS,
	ENDPOINT_JOBS_RETRY,
	ENDPOINT_JOB,
	ENDPOINT_JOB_RETRY,
	ENDPOINT_EXPORTS,
	ENDPOINT_EXPORT,
	ENDPOINT_MAIL_TEST,
	ENDPOINT_WEBHOOKS, /* /admin/webhooks and below */
	ENDPOINT_AUTH,     /* whatever is below /auth/ */
	ENDPOINT_USERS,    /* /admin/users and below */
	ENDPOINT_AUDIT,    /* /admin/audit */
	ENDPOINT_NONE,
	ENDPOINTS
};

struct route {
	enum endpoint endpoint;
	int64_t id; /* ENDPOINT_ITEM, _VOTE, _STATUS, _JOB …, _EXPORT; 0: not a number that a row
	               could have */
	struct hg_str prefix; /* "", "/v1", "/api", "/api/v2", … before "/feedback" */
	bool v2;              /* of the second version: objects have votes and status */
};

struct route route_of(struct hg_str path);
const char *route_label(enum endpoint e);
/* For the Allow field; "" for ENDPOINT_NONE. */
const char *route_allow(enum endpoint e);
bool route_allows(enum endpoint e, enum http1_method m);
/* Is it people_handle's? */
bool route_is_people(enum endpoint e);

#endif
