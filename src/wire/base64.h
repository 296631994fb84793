/*
 * base64url without padding (RFC 4648 section 5), as JOSE uses it (RFC 7515 section 2), and base64
 * with padding (section 4), as MIME and Standard Webhooks use it. One text for each byte string:
 * what decodes leniently could be signed as one thing and read as another.
 */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "base/buf.h"

/* Appends the text of the bytes; the buffer remembers failure. */
void base64url_encode(struct hg_buf *to, struct hg_str bytes);
/*
 * Appends the bytes of a text; the buffer remembers failure. False, with nothing appended: a byte
 * outside of the alphabet (padding too), a length that no bytes have, or bits beyond the last byte
 * that are not zero.
 */
HG_MUST bool base64url_decode(struct hg_buf *to, struct hg_str text);

/* The same with the alphabet of section 4 and padding; no line breaks. */
void base64_encode(struct hg_buf *to, struct hg_str bytes);
HG_MUST bool base64_decode(struct hg_buf *to, struct hg_str text);

#endif
