/*
 * Dates as text, in UTC and without the locale or the time zone of the machine. The proleptic
 * Gregorian calendar from 1970 to 9999; later dates are shown as the last second of 9999.
 */
#ifndef WIRE_DATE_H
#define WIRE_DATE_H

#include "base/str.h"

#define DATE_HTTP_SIZE    30 /* with the closing zero */
#define DATE_RFC3339_SIZE 25

/* "Sun, 06 Nov 1994 08:49:37 GMT": IMF-fixdate, RFC 9110 section 5.6.7. */
void date_http(uint64_t unix_s, char to[static DATE_HTTP_SIZE]);
/* "1994-11-06T08:49:37.000Z", RFC 3339. */
void date_rfc3339(uint64_t unix_ms, char to[static DATE_RFC3339_SIZE]);
/*
 * RFC 3339 date-time with any offset, "T" or "t" or a space between, and up to nine digits of
 * fraction (cut to milliseconds). A leap second counts as the second after it. False for what is
 * malformed, no date of the calendar, or before 1970.
 */
HG_MUST bool date_rfc3339_parse(struct hg_str s, uint64_t *ret_unix_ms);

#endif
