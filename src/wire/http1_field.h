/*
 * The header fields that somebody in Headgate asks for by name, one row each: what a name means for
 * framing, for the hop and for whom it speaks. Everything that treats fields differently (heads of
 * requests and responses, trailers, HTTP/2) reads the marks; nobody keeps a list of his own.
 */
#ifndef WIRE_HTTP1_FIELD_H
#define WIRE_HTTP1_FIELD_H

#include "base/str.h"

enum http1_mark {
	/* Ends here: RFC 9110 section 7.6.1, and what is said to a proxy. */
	HTTP1_M_HOP = 1,
	/* … and frames or keeps a connection: a request of HTTP/2 with it is malformed (RFC 9113
	 * section 8.2.2). */
	HTTP1_M_CONNECTION = 2,
	/* The edge writes its own into requests: what a client says of it counts for nothing. */
	HTTP1_M_REQUEST = 4,
	/* Likewise into responses. */
	HTTP1_M_RESPONSE = 8,
	/* Never in trailers (RFC 9110 section 6.5.1): it frames, routes, identifies, or changes the
	 * meaning of what came before. The message is refused. */
	HTTP1_M_NO_TRAILER = 16,
};

#define HTTP1_M_HERE_ (HTTP1_M_HOP | HTTP1_M_NO_TRAILER)
#define HTTP1_M_CONN_ (HTTP1_M_HERE_ | HTTP1_M_CONNECTION)
#define HTTP1_M_SAID_ (HTTP1_M_REQUEST | HTTP1_M_NO_TRAILER)

/* X(ID, name, marks), sorted by the length of the name. */
#define HTTP1_FIELD_ROWS(X)                                                   \
	X(TE, "te", HTTP1_M_HERE_)                                            \
	X(VIA, "via", HTTP1_M_NO_TRAILER)                                     \
	X(HOST, "host", HTTP1_M_SAID_)                                        \
	X(DATE, "date", 0)                                                    \
	X(ETAG, "etag", 0)                                                    \
	X(ACCEPT, "accept", 0)                                                \
	X(COOKIE, "cookie", HTTP1_M_NO_TRAILER)                               \
	X(EXPECT, "expect", HTTP1_M_SAID_)                                    \
	X(ORIGIN, "origin", 0)                                                \
	X(SERVER, "server", 0)                                                \
	X(TRAILER, "trailer", HTTP1_M_HERE_)                                  \
	X(UPGRADE, "upgrade", HTTP1_M_CONN_)                                  \
	X(LOCATION, "location", 0)                                            \
	X(FORWARDED, "forwarded", HTTP1_M_SAID_)                              \
	X(USER_AGENT, "user-agent", 0)                                        \
	X(CONNECTION, "connection", HTTP1_M_CONN_)                            \
	X(KEEP_ALIVE, "keep-alive", HTTP1_M_CONN_)                            \
	X(TRACESTATE, "tracestate", 0)                                        \
	X(TRACEPARENT, "traceparent", HTTP1_M_SAID_)                          \
	X(RETRY_AFTER, "retry-after", 0)                                      \
	X(CONTENT_TYPE, "content-type", HTTP1_M_NO_TRAILER)                   \
	X(X_REQUEST_ID, "x-request-id", HTTP1_M_SAID_)                        \
	X(AUTHORIZATION, "authorization", HTTP1_M_NO_TRAILER)                 \
	X(IF_NONE_MATCH, "if-none-match", 0)                                  \
	X(CONTENT_LENGTH, "content-length", HTTP1_M_SAID_ | HTTP1_M_RESPONSE) \
	X(ACCEPT_ENCODING, "accept-encoding", 0)                              \
	X(X_FORWARDED_FOR, "x-forwarded-for", HTTP1_M_SAID_)                  \
	X(IDEMPOTENCY_KEY, "idempotency-key", 0)                              \
	X(CONTENT_ENCODING, "content-encoding", HTTP1_M_NO_TRAILER)           \
	X(X_FORWARDED_HOST, "x-forwarded-host", HTTP1_M_SAID_)                \
	X(PROXY_CONNECTION, "proxy-connection", HTTP1_M_CONN_)                \
	X(TRANSFER_ENCODING, "transfer-encoding", HTTP1_M_CONN_)              \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", HTTP1_M_SAID_)              \
	X(X_HEADGATE_MIRROR, "x-headgate-mirror", HTTP1_M_SAID_)              \
	X(PROXY_AUTHENTICATE, "proxy-authenticate", HTTP1_M_HERE_)            \
	X(PROXY_AUTHORIZATION, "proxy-authorization", HTTP1_M_HERE_)

#define HTTP1_FIELD_ID_(id, name, marks) HTTP1_F_##id,

/* Unknown names are HTTP1_F_OTHER. */
enum http1_field_id { HTTP1_F_OTHER, HTTP1_FIELD_ROWS(HTTP1_FIELD_ID_) HTTP1_FIELDS_KNOWN };

/* By enum http1_field_id: HTTP1_M_… */
extern const uint8_t http1_marks[HTTP1_FIELDS_KNOWN];

/* The id of a token, whatever its case. */
enum http1_field_id http1_field_lookup(struct hg_str name);
/* The known field that a name with "_" is for whoever takes "_" for "-", as CGI and WSGI do. */
enum http1_field_id http1_field_alike(struct hg_str name);
/* Does a field with this name say of a client what only who stands before a replica may say of it
 * (X-Forwarded-…, X-Real-IP, Client-Cert…, X-Client-Cert-…)? "_" counts as "-". For names that are
 * HTTP1_F_OTHER; the known ones have HTTP1_M_REQUEST. `name` is not empty. */
bool http1_field_claims(struct hg_str name);
/* Is it a name under which a replica could be told who somebody is (X-Auth-…, X-Forwarded-…,
 * X-Remote-…, Remote-…)? "_" counts as "-". `name` is not empty. */
bool http1_field_identity(struct hg_str name);
/* May a field with this name come in trailers? */
bool http1_trailer_allowed(struct hg_str name);

#endif
