/*
 * The reader of log blocks survives any bytes. A checksum would keep a fuzzer out, so the input is
 * also tried with its checksums put right: head, labels and payload then reach the decoder.
 */
#include "fuzz.h"

#include "base/crc32c.h"
#include "observe/logs/block_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct block_head h;
	char *copy = malloc(n ? n : 1);
	HG_ASSERT(copy);
	if (n) memcpy(copy, p, n);
	(void)!logs_block_valid((struct hg_str){copy, n});
	if (n >= sizeof h) {
		memcpy(&h, copy, sizeof h);
		if (block_head_plausible(&h) && h.head_size <= n &&
		        h.payload_size <= n - h.head_size) {
			h.payload_crc = hg_crc32c(0, copy + h.head_size, h.payload_size);
			memcpy(copy, &h, sizeof h);
			h.head_crc = hg_crc32c(0, copy + 8, h.head_size - 8);
			memcpy(copy, &h, sizeof h);
			(void)!logs_block_valid((struct hg_str){copy, n});
		}
	}
	free(copy);
	return 0;
}
