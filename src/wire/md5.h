/*
 * MD5 (RFC 1321), for what others have defined with it: Prometheus' hashmod spreads targets by it.
 * It protects nothing.
 */
#ifndef WIRE_MD5_H
#define WIRE_MD5_H

#include "base/str.h"

void md5(struct hg_str s, uint8_t ret_sum[16]);

#endif
