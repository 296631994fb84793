/*
 * Percent-encoding, paths and query strings (RFC 3986, and the form encoding of the WHATWG URL
 * standard for "+"). Bytes in, bytes out into memory the caller gives; no allocation, no state.
 * Malformed escapes are refused, never passed on: two readers could understand them differently.
 */
#ifndef WIRE_URL_H
#define WIRE_URL_H

#include "base/buf.h"

/*
 * Decodes %XX (and "+" as a space with `plus`) into `to`; no closing zero. False for a malformed
 * escape, a zero byte, or when `cap` is too small. `to` may be `s.p` itself.
 */
HG_MUST bool url_decode(struct hg_str s, bool plus, char *to, size_t cap, size_t *ret_n);

/*
 * The path a program routes by: decoded, "." and ".." resolved after decoding (RFC 3986 section
 * 5.2.4; ".." at the root stays at the root), but an encoded slash stays "%2F", because it
 * separates nothing. The result never is longer than the path. False when `path` does not begin
 * with "/", is malformed, holds an encoded zero byte or does not fit.
 */
HG_MUST bool url_path(struct hg_str path, char *to, size_t cap, struct hg_str *ret_path);

/* Walks "a=1&b": false at the end. Name and value are still encoded; empty pairs are skipped. */
bool url_query_next(struct hg_str *rest, struct hg_str *ret_name, struct hg_str *ret_value);
/* First parameter with this name (decoded for the comparison); the value is still encoded. */
bool url_query_find(struct hg_str query, struct hg_str name, struct hg_str *ret_value);

/* Appends with all but unreserved characters encoded; `keep` lists further ones ("" or "/"). */
void url_encode(struct hg_buf *to, struct hg_str s, const char *keep);

#endif
