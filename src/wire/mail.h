/*
 * Writes one e-mail message: RFC 5322 with a MIME text body, ASCII only, CRLF line ends, no line
 * over 76 characters but those of addresses and of the Message-ID. Bytes in, bytes out; the clock
 * and the identity are given. Whatever the texts hold, no field and no line of the header can be
 * added: what is no printable character becomes a space, what is not ASCII an encoded word
 * (RFC 2047). SMTP's doubling of dots is the sender's business.
 */
#ifndef WIRE_MAIL_H
#define WIRE_MAIL_H

#include "base/buf.h"

#define MAIL_ADDRESS_MAX 254u /* RFC 5321 section 4.5.3.1.3, without the brackets */
#define MAIL_NAME_MAX    128u /* of a person; bytes */
#define MAIL_ID_MAX      128u /* bytes of `id` that are used */

struct mail_address {
	struct hg_str name; /* "" none; UTF-8 */
	struct hg_str addr; /* local@domain, ASCII */
};

/*
 * "ops@example.com", "Ops <ops@example.com>", "\"Ops, night\" <ops@example.com>". The views point
 * into `text`. False for anything else: a local part that is no dot-atom, a domain that is no name
 * (one that is not ASCII is written as xn--…), two addresses, control characters, too long.
 */
HG_MUST bool mail_address_parse(struct hg_str text, struct mail_address *ret_address);

struct mail {
	struct mail_address from, to; /* as mail_address_parse gives them */
	struct hg_str subject;        /* bytes that are not UTF-8 are shown as U+FFFD */
	struct hg_str body;           /* likewise; any line ends; tabs stay */
	struct hg_str id;             /* left of the @ in the Message-ID: letters, digits, - . _ */
	uint64_t unix_s;              /* for Date */
	struct hg_str trace;          /* a traceparent, for a field of this name; "": none */
};

/* Appends header, empty line and body; the buffer remembers failure. */
void mail_write(struct hg_buf *to, const struct mail *m);

#endif
