/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash that nobody can foretell who does
 * not have the key. For tags of 64 bits on what comes back from outside, a cookie for instance;
 * where forging must stay impossible offline and for years, 64 bits are not enough.
 */
#ifndef HG_BASE_SIPHASH_H
#define HG_BASE_SIPHASH_H

#include "base/hg.h"

uint64_t hg_siphash(const uint8_t key[16], const void *bytes, size_t n);

#endif
