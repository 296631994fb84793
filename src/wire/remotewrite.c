#include "wire/remotewrite.h"

#include <stdlib.h>

enum wire_type { VARINT, I64, LEN, GROUP, GROUP_END, I32 };

struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t v;           /* of VARINT, I64 and I32 */
	struct hg_str within; /* of LEN */
};

static bool take_varint(struct hg_str *s, uint64_t *ret_v)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 10 && i < s->n; i++) {
		uint8_t b = (uint8_t)s->p[i];
		if (i == 9 && b > 1) return false; /* beyond 64 bits */
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b & 0x80) continue;
		*s = (struct hg_str){s->p + i + 1, s->n - i - 1};
		*ret_v = v;
		return true;
	}
	return false;
}

static bool take_bytes(struct hg_str *s, uint64_t n, struct hg_str *ret_bytes)
{
	if (n > s->n) return false;
	*ret_bytes = (struct hg_str){s->p, (size_t)n};
	*s = (struct hg_str){s->p + n, s->n - (size_t)n};
	return true;
}

static uint64_t little_endian(struct hg_str bytes)
{
	uint64_t v = 0;
	for (size_t i = bytes.n; i-- > 0;)
		v = v << 8 | (uint8_t)bytes.p[i];
	return v;
}

static bool take_field(struct hg_str *s, struct field *ret_field)
{
	struct field f = {0};
	uint64_t key;
	if (!take_varint(s, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff) return false;
	f.number = (uint32_t)(key >> 3);
	f.type = (enum wire_type)(key & 7);
	switch (f.type) {
	case VARINT:
		if (!take_varint(s, &f.v)) return false;
		break;
	case I64:
	case I32:
		if (!take_bytes(s, f.type == I64 ? 8 : 4, &f.within)) return false;
		f.v = little_endian(f.within);
		break;
	case LEN:
		if (!take_varint(s, &f.v) || !take_bytes(s, f.v, &f.within)) return false;
		break;
	default: return false; /* groups: nobody writes them any more */
	}
	*ret_field = f;
	return true;
}

/* Where the fields of the two versions stand. */
struct numbers {
	uint32_t symbols, series;                        /* of the request; 0: none */
	uint32_t labels, samples, exemplars, histograms; /* of a series */
};
static const struct numbers numbers_of[] = {
        [REMOTEWRITE_1] = {.series = 1, .labels = 1, .samples = 2, .exemplars = 3, .histograms = 4},
        [REMOTEWRITE_2] = {.symbols = 4,
                .series = 5,
                .labels = 1,
                .samples = 2,
                .histograms = 3,
                .exemplars = 4},
};

static bool bad(struct remotewrite *r, const char *why)
{
	if (!r->why) r->why = why;
	return false;
}

/* ------------------------------------------------------------------ reading */

static bool grow(void *array, uint32_t *cap, uint32_t want, size_t item)
{
	void **at = array; /* no strict aliasing in this tree */
	if (want <= *cap) return true;
	uint32_t to = HG_MAX(*cap * 2, HG_MAX(want, 16u));
	void *p = realloc(*at, to * item);
	if (!p) return false;
	*at = p;
	*cap = to;
	return true;
}

static bool add_symbol(struct remotewrite *r, struct hg_str text)
{
	if (r->symbol_n == UINT32_MAX / 64) return bad(r, "there are too many symbols");
	if (!grow(&r->symbol, &r->symbol_cap, r->symbol_n + 1, sizeof *r->symbol))
		return bad(r, "there is no memory for the symbols");
	r->symbol[r->symbol_n++] = text;
	return true;
}

bool remotewrite_open(struct remotewrite *r, struct hg_str body, enum remotewrite_version version)
{
	const struct numbers *of = &numbers_of[version];
	struct hg_str rest = body;
	struct field f;
	*r = (struct remotewrite){.version = version, .body = body, .rest = body};
	/* Symbols may stand behind the series that name them. */
	while (rest.n) {
		if (!take_field(&rest, &f)) return bad(r, "it is no message of protobuf");
		bool known = f.number == of->series || (of->symbols && f.number == of->symbols);
		if (known && f.type != LEN)
			return bad(r, "a field of the request has a wrong type");
		if (of->symbols && f.number == of->symbols && !add_symbol(r, f.within))
			return false;
	}
	return true;
}

void remotewrite_close(struct remotewrite *r)
{
	free(r->symbol);
	free(r->label);
	*r = (struct remotewrite){0};
}

void remotewrite_rewind(struct remotewrite *r)
{
	r->rest = r->body;
}

static bool add_label(struct remotewrite *r, struct remotewrite_series *s, struct hg_str name,
        struct hg_str value)
{
	if (s->label_n == REMOTEWRITE_LABELS_MAX) return bad(r, "a series has too many labels");
	if (!grow(&r->label, &r->label_cap, s->label_n + 1, sizeof *r->label))
		return bad(r, "there is no memory for the labels of a series");
	r->label[s->label_n++] = (struct remotewrite_label){name, value};
	return true;
}

static bool read_label(struct remotewrite *r, struct remotewrite_series *s, struct hg_str message)
{
	struct hg_str name = {0}, value = {0};
	struct field f;
	while (message.n) {
		if (!take_field(&message, &f)) return bad(r, "a label is no message of protobuf");
		if (f.number > 2) continue;
		if (f.type != LEN) return bad(r, "a field of a label has a wrong type");
		*(f.number == 1 ? &name : &value) = f.within;
	}
	return add_label(r, s, name, value);
}

static bool read_ref(struct remotewrite *r, uint64_t ref, struct hg_str *ret_text)
{
	if (ref >= r->symbol_n) return bad(r, "a label refers to a symbol that is not there");
	*ret_text = r->symbol[ref];
	return true;
}

/* Numbers of symbols, packed: name, value, name, … */
static bool read_refs(struct remotewrite *r, struct remotewrite_series *s, struct hg_str packed)
{
	while (packed.n) {
		uint64_t name, value;
		struct hg_str name_text, value_text;
		if (!take_varint(&packed, &name) || !take_varint(&packed, &value))
			return bad(r, "the labels of a series are no pairs of numbers");
		if (!read_ref(r, name, &name_text) || !read_ref(r, value, &value_text) ||
		        !add_label(r, s, name_text, value_text))
			return false;
	}
	return true;
}

static bool read_sample(struct hg_str message, int64_t *ret_t_ms, double *ret_v)
{
	uint64_t v = 0, t = 0;
	struct field f;
	while (message.n) {
		if (!take_field(&message, &f)) return false;
		if (f.number == 1 && f.type == I64)
			v = f.v;
		else if (f.number == 2 && f.type == VARINT)
			t = f.v;
		else if (f.number <= 2)
			return false;
	}
	memcpy(ret_v, &v, sizeof v);
	*ret_t_ms = (int64_t)t;
	return true;
}

static bool read_series(struct remotewrite *r, struct hg_str message, struct remotewrite_series *s)
{
	const struct numbers *of = &numbers_of[r->version];
	struct field f;
	int64_t t;
	double v;
	*s = (struct remotewrite_series){.rest = message};
	while (message.n) {
		if (!take_field(&message, &f)) return bad(r, "a series is no message of protobuf");
		bool known = f.number == of->labels || f.number == of->samples ||
		             f.number == of->histograms || f.number == of->exemplars;
		if (!known) continue;
		if (f.type != LEN) return bad(r, "a field of a series has a wrong type");
		if (f.number == of->labels) {
			if (!(r->version == REMOTEWRITE_1 ? read_label(r, s, f.within)
			                                  : read_refs(r, s, f.within)))
				return false;
		} else if (f.number == of->samples) {
			if (!read_sample(f.within, &t, &v))
				return bad(r, "a sample is no message of protobuf");
			s->sample_n++;
		} else if (f.number == of->histograms) {
			s->histogram_n++;
		} else {
			s->exemplar_n++;
		}
	}
	s->label = r->label;
	return true;
}

enum remotewrite_event remotewrite_next(
        struct remotewrite *r, struct remotewrite_series *ret_series)
{
	struct field f;
	while (!r->why && r->rest.n) {
		if (!take_field(&r->rest, &f)) {
			(void)bad(r, "it is no message of protobuf");
			return REMOTEWRITE_BAD;
		}
		if (f.number != numbers_of[r->version].series) continue;
		return read_series(r, f.within, ret_series) ? REMOTEWRITE_SERIES : REMOTEWRITE_BAD;
	}
	return r->why ? REMOTEWRITE_BAD : REMOTEWRITE_END;
}

bool remotewrite_sample(struct remotewrite_series *s, int64_t *ret_t_ms, double *ret_v)
{
	struct field f;
	/* Both versions have the samples in field 2. */
	while (s->rest.n && take_field(&s->rest, &f))
		if (f.number == 2) return read_sample(f.within, ret_t_ms, ret_v);
	return false;
}

/* ------------------------------------------------------------------ writing */

static size_t varint_size(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static char *put_varint(char *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (char)(v | 0x80);
	*to++ = (char)v;
	return to;
}

static size_t text_size(struct hg_str s)
{
	return 1 + varint_size(s.n) + s.n;
}

static char *put_text(char *to, char key, struct hg_str s)
{
	*to++ = key;
	to = put_varint(to, s.n);
	if (s.n) memcpy(to, s.p, s.n);
	return to + s.n;
}

static size_t label_size(const struct remotewrite_label *l)
{
	return text_size(l->name) + text_size(l->value);
}

/* A value is always written, a time too: readers of other hands may want both. */
static size_t sample_size(int64_t t_ms)
{
	return 1 + 8 + 1 + varint_size((uint64_t)t_ms);
}

void remotewrite_put(struct hg_buf *to, const struct remotewrite_label *label, uint32_t label_n,
        const int64_t *t_ms, const double *v, uint32_t sample_n)
{
	size_t size = 0;
	for (uint32_t i = 0; i < label_n; i++) {
		size_t n = label_size(&label[i]);
		size += 1 + varint_size(n) + n;
	}
	for (uint32_t i = 0; i < sample_n; i++)
		size += 2 + sample_size(t_ms[i]); /* below 128 */
	char *p = hg_buf_room(to, 1 + varint_size(size) + size);
	if (!p) return;
	char *at = p;
	*at++ = 1 << 3 | LEN;
	at = put_varint(at, size);
	for (uint32_t i = 0; i < label_n; i++) {
		*at++ = 1 << 3 | LEN;
		at = put_varint(at, label_size(&label[i]));
		at = put_text(at, 1 << 3 | LEN, label[i].name);
		at = put_text(at, 2 << 3 | LEN, label[i].value);
	}
	for (uint32_t i = 0; i < sample_n; i++) {
		*at++ = 2 << 3 | LEN;
		*at++ = (char)sample_size(t_ms[i]);
		*at++ = 1 << 3 | I64;
		uint64_t bits;
		memcpy(&bits, &v[i], sizeof bits);
		for (unsigned k = 0; k < 8; k++)
			*at++ = (char)(bits >> (8 * k));
		*at++ = 2 << 3 | VARINT;
		at = put_varint(at, (uint64_t)t_ms[i]);
	}
	hg_buf_add(to, (size_t)(at - p));
}
