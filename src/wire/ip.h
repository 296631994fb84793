/* Addresses and networks as text. Pure. */
#ifndef WIRE_IP_H
#define WIRE_IP_H

#include "base/str.h"

/* "192.0.2.1" or "2001:db8::1", nothing around it; IPv4 is put into ::ffff:0:0/96. No zone. */
HG_MUST bool ip_parse(struct hg_str text, uint8_t ret_addr[16]);
/* "192.0.2.0/24", "2001:db8::/32", or one address. `ret_bits` counts from the first of 128. False
 * as well when bits behind the prefix are set: 10.0.0.1/8 is rather a mistake. */
HG_MUST bool ip_parse_net(struct hg_str text, uint8_t ret_addr[16], uint32_t *ret_bits);
/*
 * The last element of a list of addresses as proxies write it into X-Forwarded-For: an address,
 * with a port, in brackets or in quotes. Cuts it off `list`. False at the end, and for what is no
 * address ("unknown"): then `list` is empty.
 */
HG_MUST bool ip_list_last(struct hg_str *list, uint8_t ret_addr[16]);
/* As text ("192.0.2.1" for IPv4); `to` has at least IP_TEXT_MAX bytes; returns its length. */
#define IP_TEXT_MAX 46
size_t ip_text(const uint8_t addr[16], char *to);

#endif
