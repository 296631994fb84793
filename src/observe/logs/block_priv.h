/*
 * The block: up to 256 KiB of lines of one app, compressed, with everything needed to skip it
 * without decompressing and to resume after a crash. Little-endian (the only order we build for).
 *
 *   header   96 bytes (struct block_head), CRC-32C over all of it but magic and the CRC itself,
 *            labels included
 *   labels   32 bytes each (struct block_label): the sources of the lines, and every other source
 *            of the app whose spool file exists, with how far each spool was read
 *   payload  zstd of the columns: u64 ts delta, i64 event time, u32 length, u16 label, u8 level,
 *            u8 flags, each `count` times, then the lines, each closed by a line feed
 *
 * The reader believes nothing: every size, sum and index is checked before use.
 */
#ifndef OBSERVE_LOGS_BLOCK_PRIV_H
#define OBSERVE_LOGS_BLOCK_PRIV_H

#include "observe/logs/logs.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

#define BLOCK_MAGIC       0x424c4748u /* "HGLB" */
#define BLOCK_VERSION     1
#define BLOCK_ENTRIES_MAX 16384u
#define BLOCK_LABELS_MAX  4096u
#define BLOCK_TEXT_MAX    (1024u * 1024)
#define BLOCK_COLUMNS     24u /* bytes of one entry beside its text */
#define BLOCK_RAW_MAX     (BLOCK_TEXT_MAX + BLOCK_ENTRIES_MAX * BLOCK_COLUMNS)

struct block_head {
	uint32_t magic;
	uint32_t head_crc; /* over bytes [8, head_size) */
	uint16_t version, reserved;
	uint32_t head_size; /* with labels */
	uint32_t payload_size, payload_crc, raw_size;
	uint32_t count;
	uint64_t min_ns, max_ns;   /* arrival of the first and last entry */
	uint64_t min_seq, max_seq; /* consecutive */
	uint32_t levels;           /* bit per enum hg_level */
	uint32_t label_count;
	uint16_t level_lines[4]; /* how many of each level; all 0 in older files: not known */
	uint64_t spare[2];
};
_Static_assert(sizeof(struct block_head) == 96, "the file format");
_Static_assert(BLOCK_ENTRIES_MAX <= UINT16_MAX && HG_ERROR == 3, "level_lines");

#define LABEL_IN_LINE 1u /* `offset` lies inside a line that was split */

struct block_label {
	uint32_t release, replica, incarnation;
	uint8_t stream, flags;
	uint16_t reserved;
	uint64_t offset; /* of the spool file: everything before is in this block or an earlier one
	                  */
	uint32_t lines;  /* in this block */
	uint32_t reserved2;
};
_Static_assert(sizeof(struct block_label) == 32, "the file format");

#define BLOCK_HEAD_MAX (sizeof(struct block_head) + BLOCK_LABELS_MAX * sizeof(struct block_label))
#define BLOCK_SIZE_MAX (BLOCK_HEAD_MAX + BLOCK_RAW_MAX + 64 * 1024)

/* One entry as it is collected. */
struct block_item {
	uint64_t ts_ns;
	int64_t event_ns;
	uint32_t length; /* of its text, without the line feed */
	uint16_t label;
	uint8_t level, flags;
};

/* A block as it is searched: columns and text lie in one allocation of the owner. */
struct block_view {
	struct block_head head;
	const struct block_label *labels;
	const struct block_item *items;
	const char *text;
	uint32_t text_size;
	const uint32_t *start; /* count + 1 offsets into text */
};

/* Reusable memory of one reader. */
struct block_reader {
	char *bytes; /* decompressed columns and text */
	struct block_item *items;
	uint32_t *start;
	struct block_label *labels;
	size_t bytes_cap, items_cap, labels_cap;
	struct ZSTD_DCtx_s *dctx; /* not owned */
};

/* Room the encoded block may need. */
size_t block_bound(uint32_t count, uint32_t text_size, uint32_t label_count);
/*
 * Encodes head and labels and payload into `to` (cap ≥ block_bound); `raw`: scratch of at least
 * text_size + count * BLOCK_COLUMNS. `head` needs min_seq; the rest is filled in.
 */
HG_MUST enum hg_rc block_encode(struct ZSTD_CCtx_s *cctx, struct block_head *head,
        const struct block_label *labels, const struct block_item *items, const char *text,
        uint32_t text_size, char *raw, char *to, size_t cap, size_t *ret_size);

/* The fixed part alone makes sense: magic, sizes within the limits. The CRC is not looked at. */
HG_MUST bool block_head_plausible(const struct block_head *h);
/* `p`: at least head_size bytes. CRC and, for our version, all counts. */
HG_MUST bool block_head_valid(const char *p, size_t n, struct block_head *ret_head);
/* Decompresses and checks; `payload` has head.payload_size bytes. */
HG_MUST bool block_decode(struct block_reader *r, const struct block_head *head, const char *labels,
        const char *payload, struct block_view *ret_view);
/* Room for a view that is filled from elsewhere (entries that are in no block yet). */
HG_MUST bool block_reader_room(
        struct block_reader *r, size_t bytes, uint32_t items, uint32_t labels);
size_t block_reader_size(const struct block_reader *r);
void block_reader_free(struct block_reader *r);

#endif
