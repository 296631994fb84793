/*
 * Paths under another prefix: what a client asks for as the replica sees it, and back. Prefixes
 * have no "/" at their end, so that "" is the root; they match on segment borders only.
 */
#ifndef WIRE_PATHMAP_H
#define WIRE_PATHMAP_H

#include "base/buf.h"

/* Does the prefix match? "/a" matches "/a" and "/a/b". */
bool pathmap_fits(struct hg_str path, struct hg_str prefix);
/*
 * Why a path must not be rewritten (static text), NULL: it may. `path` is in the normal form of
 * RFC 3986 section 6.2.2, as routes are chosen by it, without the query. Refused is what the
 * receiver may read as another path than the router: a dot segment that only shows once encoded
 * slashes or backslashes are taken for borders, and a result that begins with "//", which is the
 * name of a host for whoever resolves it as a reference.
 */
const char *pathmap_check(struct hg_str path, struct hg_str from, struct hg_str to);
/* Writes the path with `to` in place of `from`; unchanged when `from` does not match. */
void pathmap_put(struct hg_str path, struct hg_str from, struct hg_str to, struct hg_out *o);
/*
 * Writes a path that the replica has named as clients know it, query and fragment kept. False
 * and nothing written: it is not below `to`, or with an empty `to` below `from` already (the
 * replica knows of its prefix), or no absolute path at all. `cookie`: of a cookie's Path: "/"
 * becomes "/v1" and not "/v1/", which "/v1" would not match.
 */
bool pathmap_back(
        struct hg_str place, struct hg_str from, struct hg_str to, bool cookie, struct hg_out *o);

#endif
