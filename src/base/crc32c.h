/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of everything we write in blocks.
 * It finds torn and rotten bytes; it is no protection against somebody who means harm.
 */
#ifndef HG_BASE_CRC32C_H
#define HG_BASE_CRC32C_H

#include "base/hg.h"

/* `before`: 0, or the result over the bytes that come before these. */
uint32_t hg_crc32c(uint32_t before, const void *bytes, size_t n);

#endif
