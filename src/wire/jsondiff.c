#include "wire/jsondiff.h"

_Static_assert(sizeof(struct jsondiff_node) == 12, "the scratch is as large as it says");

/* ---- reading ---- */

struct reader {
	const char *text;
	size_t at, n;
	struct jsondiff_node *node;
	uint32_t made, depth;
};

static void space(struct reader *r)
{
	while (r->at < r->n && (r->text[r->at] == ' ' || r->text[r->at] == '\t' ||
	                               r->text[r->at] == '\n' || r->text[r->at] == '\r'))
		r->at++;
}

static bool take(struct reader *r, char c)
{
	if (r->at == r->n || r->text[r->at] != c) return false;
	r->at++;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool escape(struct reader *r)
{
	static const char one[] = "\"\\/bfnrt";
	char c = r->at < r->n ? r->text[r->at++] : 0;
	if (c && strchr(one, c)) return true;
	if (c != 'u' || r->n - r->at < 4) return false;
	for (int i = 0; i < 4; i++)
		if (hex(r->text[r->at++]) < 0) return false;
	return true;
}

/* Behind its opening quote; leaves behind the closing one. */
static bool string(struct reader *r)
{
	while (r->at < r->n) {
		unsigned char c = (unsigned char)r->text[r->at++];
		if (c == '"') return true;
		if (c < 0x20) return false;
		if (c == '\\' && !escape(r)) return false;
	}
	return false;
}

static size_t digits(struct reader *r)
{
	size_t from = r->at;
	while (r->at < r->n && r->text[r->at] >= '0' && r->text[r->at] <= '9')
		r->at++;
	return r->at - from;
}

static bool number(struct reader *r)
{
	size_t from = r->at;
	(void)take(r, '-');
	bool zero = r->at < r->n && r->text[r->at] == '0';
	size_t whole = digits(r);
	if (whole == 0 || (zero && whole > 1)) return false;
	if (take(r, '.') && digits(r) == 0) return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+')) (void)take(r, '-');
		if (digits(r) == 0) return false;
	}
	return r->at - from <= JSONDIFF_NUMBER_MAX;
}

static bool word(struct reader *r, struct hg_str w)
{
	if (r->n - r->at < w.n || memcmp(r->text + r->at, w.p, w.n) != 0) return false;
	r->at += w.n;
	return true;
}

static bool scalar(struct reader *r, struct jsondiff_node *n)
{
	size_t from = r->at;
	bool ok;
	switch (r->text[r->at]) {
	case '"':
		r->at++;
		ok = string(r);
		n->n = (uint16_t)(r->at - from - 2);
		return ok;
	case 't': ok = word(r, HG_STR("true")); break;
	case 'f': ok = word(r, HG_STR("false")); break;
	case 'n': ok = word(r, HG_STR("null")); break;
	default: ok = number(r);
	}
	if (ok) n->n = (uint16_t)(r->at - from);
	return ok;
}

static bool value(struct reader *r, uint32_t key_at, uint32_t key_n);

static bool member(struct reader *r)
{
	if (!take(r, '"')) return false;
	size_t key = r->at;
	if (!string(r)) return false;
	size_t key_n = r->at - 1 - key;
	space(r);
	return take(r, ':') && value(r, (uint32_t)key, (uint32_t)key_n);
}

/* Behind its opening bracket. */
static bool container(struct reader *r, struct jsondiff_node *n, char close)
{
	space(r);
	if (take(r, close)) return true;
	do {
		space(r);
		n->count++;
		if (close == '}' ? !member(r) : !value(r, 0, 0)) return false;
		space(r);
	} while (take(r, ','));
	return take(r, close);
}

static bool value(struct reader *r, uint32_t key_at, uint32_t key_n)
{
	space(r);
	if (r->at == r->n || r->made == JSONDIFF_NODES_MAX) return false;
	struct jsondiff_node *n = &r->node[r->made++];
	*n = (struct jsondiff_node){
	        .at = (uint16_t)r->at, .key_at = (uint16_t)key_at, .key_n = (uint16_t)key_n};
	bool object = r->text[r->at] == '{', ok;
	if (object || r->text[r->at] == '[') {
		if (r->depth == JSONDIFF_DEPTH_MAX) return false;
		r->at++;
		r->depth++;
		ok = container(r, n, object ? '}' : ']');
		r->depth--;
	} else {
		ok = scalar(r, n);
	}
	n->next = (uint16_t)r->made;
	return ok;
}

static bool parse(struct hg_str text, struct jsondiff_node *node)
{
	struct reader r = {.text = text.p, .n = text.n, .node = node};
	if (text.n == 0 || text.n > JSONDIFF_TEXT_MAX || !value(&r, 0, 0)) return false;
	space(&r);
	char c = text.p[node[0].at];
	return r.at == r.n && (c == '{' || c == '[');
}

/* ---- strings, after their escapes ---- */

struct letters {
	const char *p, *end;
	bool plain; /* a backslash is one */
	uint8_t wait[4], at, n;
};

static uint32_t four_hex(const char *p)
{
	uint32_t v = 0;
	for (int i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)hex(p[i]);
	return v;
}

/* UTF-8; half a surrogate pair in three bytes, as if it were a character. */
static void wait_for(struct letters *l, uint32_t c)
{
	l->at = l->n = 0;
	if (c < 0x80) {
		l->wait[l->n++] = (uint8_t)c;
		return;
	}
	if (c >= 0x10000) {
		l->wait[l->n++] = (uint8_t)(0xf0 | c >> 18);
		l->wait[l->n++] = (uint8_t)(0x80 | (c >> 12 & 63));
	} else if (c >= 0x800) {
		l->wait[l->n++] = (uint8_t)(0xe0 | c >> 12);
	}
	if (c >= 0x800)
		l->wait[l->n++] = (uint8_t)(0x80 | (c >> 6 & 63));
	else
		l->wait[l->n++] = (uint8_t)(0xc0 | c >> 6);
	l->wait[l->n++] = (uint8_t)(0x80 | (c & 63));
}

/* The byte, -1 at the end. The text was parsed: its escapes are whole. */
static int letter(struct letters *l)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	if (l->at < l->n) return l->wait[l->at++];
	if (l->p == l->end) return -1;
	char c = *l->p++;
	if (c != '\\' || l->plain) return (unsigned char)c;
	c = *l->p++;
	if (c != 'u') {
		const char *at = strchr(from, c);
		return (unsigned char)(at ? to[at - from] : c);
	}
	uint32_t u = four_hex(l->p);
	l->p += 4;
	if (u >= 0xd800 && u < 0xdc00 && l->end - l->p >= 6 && l->p[0] == '\\' && l->p[1] == 'u') {
		uint32_t low = four_hex(l->p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
			l->p += 6;
		}
	}
	wait_for(l, u);
	return l->wait[l->at++];
}

/* From a place where one of them has an escape. */
static int order_rest(struct letters x, struct letters y)
{
	for (;;) {
		int i = letter(&x), k = letter(&y);
		if (i != k) return i < k ? -1 : 1;
		if (i < 0) return 0;
	}
}

/* As bytes of UTF-8; `b_plain`: b has no escapes. Most strings have none. */
static int order_of(struct hg_str a, struct hg_str b, bool b_plain)
{
	size_t i = 0, n = HG_MIN(a.n, b.n);
	while (i < n && a.p[i] == b.p[i] && a.p[i] != '\\')
		i++;
	bool escape_a = i < a.n && a.p[i] == '\\', escape_b = i < b.n && b.p[i] == '\\' && !b_plain;
	if (escape_a || escape_b)
		return order_rest((struct letters){.p = a.p + i, .end = a.p + a.n},
		        (struct letters){.p = b.p + i, .end = b.p + b.n, .plain = b_plain});
	if (i == a.n || i == b.n) return (a.n > b.n) - (a.n < b.n);
	return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
}

/* ---- numbers, by value ---- */

/* ± 0.DIGITS * 10^power, without zeros at either end; n 0: zero. */
struct decimal {
	bool minus;
	const char *p; /* the first digit that is not 0; a point may be among them */
	size_t n;      /* bytes from there to the last one */
	int64_t power;
};

static struct decimal decimal_of(struct hg_str t)
{
	struct decimal d = {0};
	size_t end = 0, at = 0;
	int64_t power = 0, e = 0;
	bool point = false, down = false;
	if (t.p[0] == '-') d.minus = true, at++;
	for (end = at; end < t.n && t.p[end] != 'e' && t.p[end] != 'E'; end++) {
		char c = t.p[end];
		if (c == '.') {
			point = true;
			continue;
		}
		if (c != '0' && !d.p) d.p = t.p + end;
		if (c != '0') d.n = (size_t)(t.p + end - d.p) + 1;
		if (d.p && !point) power++;
		if (!d.p && point) power--;
	}
	for (at = end + 1; at < t.n; at++) {
		if (t.p[at] == '-') down = true;
		if (t.p[at] >= '0' && t.p[at] <= '9' && e < INT64_MAX / 100)
			e = e * 10 + (t.p[at] - '0');
	}
	d.power = d.p ? power + (down ? -e : e) : 0;
	return d;
}

/* -0 is 0: most programs read them as equal. */
static bool same_number(struct hg_str a, struct hg_str b)
{
	if (hg_str_eq(a, b)) return true;
	struct decimal x = decimal_of(a), y = decimal_of(b);
	if (x.n == 0 || y.n == 0) return x.n == y.n;
	if (x.minus != y.minus || x.power != y.power) return false;
	size_t i = 0, k = 0;
	for (;;) {
		if (i < x.n && x.p[i] == '.') i++;
		if (k < y.n && y.p[k] == '.') k++;
		if (i == x.n || k == y.n) return i == x.n && k == y.n;
		if (x.p[i++] != y.p[k++]) return false;
	}
}

/* ---- comparing ---- */

struct place {
	bool element;
	uint32_t index;
	struct hg_str key;
};

struct side {
	const char *text;
	const struct jsondiff_node *node;
};

struct diff {
	struct side a, b;
	const struct jsonpath *ignore;
	uint16_t *order; /* a stack: what the levels above do not use */
	uint32_t order_n;
	uint32_t depth;
	struct place place[JSONDIFF_DEPTH_MAX + 1];
};

static struct hg_str key_of(const struct side *s, uint32_t i)
{
	return (struct hg_str){s->text + s->node[i].key_at, s->node[i].key_n};
}

/* What of `mask` leads on from a child at this depth; *ret_ignored: a path ends here. */
static uint32_t below(
        const struct diff *d, uint32_t mask, const struct place *child, bool *ret_ignored)
{
	uint32_t on = 0;
	*ret_ignored = false;
	for (uint32_t i = 0; mask >> i; i++) {
		if (!(mask >> i & 1)) continue;
		const struct jsonpath_step *s = &d->ignore[i].step[d->depth];
		bool fits = s->kind == JSONPATH_ANY;
		if (s->kind == JSONPATH_ELEMENT) fits = child->element && s->index == child->index;
		if (s->kind == JSONPATH_MEMBER)
			fits = !child->element && order_of(child->key, s->name, true) == 0;
		if (!fits) continue;
		if (d->ignore[i].n == d->depth + 1) *ret_ignored = true;
		if (d->ignore[i].n > d->depth + 1) on |= 1u << i;
	}
	return on;
}

static bool ignored(const struct diff *d, uint32_t mask, const struct side *s, uint32_t i)
{
	struct place p = {.key = key_of(s, i)};
	bool yes = false;
	if (mask) below(d, mask, &p, &yes);
	return yes;
}

static bool same(struct diff *d, uint32_t a, uint32_t b, uint32_t mask);

/* A difference is told where it was found: nothing below it is looked at any more. */
static bool differ(struct diff *d, struct place at)
{
	d->place[d->depth++] = at;
	return false;
}

static bool same_child(struct diff *d, uint32_t a, uint32_t b, uint32_t mask, struct place at)
{
	bool skip = false;
	uint32_t on = mask ? below(d, mask, &at, &skip) : 0;
	if (skip) return true;
	d->place[d->depth++] = at;
	if (!same(d, a, b, on)) return false;
	d->depth--;
	return true;
}

static bool same_array(struct diff *d, uint32_t a, uint32_t b, uint32_t mask)
{
	uint32_t x = a + 1, y = b + 1, i = 0;
	uint32_t na = d->a.node[a].count, nb = d->b.node[b].count;
	for (; i < na && i < nb; i++) {
		struct place at = {.element = true, .index = i};
		if (!same_child(d, x, y, mask, at)) return false;
		x = d->a.node[x].next;
		y = d->b.node[y].next;
	}
	for (; i < na || i < nb; i++) {
		struct place at = {.element = true, .index = i};
		bool skip = false;
		if (mask) below(d, mask, &at, &skip);
		if (!skip) return differ(d, at);
	}
	return true;
}

/* The members that count, in the order of the text. */
static uint32_t members(struct diff *d, const struct side *s, uint32_t i, uint32_t mask)
{
	uint32_t from = d->order_n, child = i + 1;
	for (uint32_t k = s->node[i].count; k; k--) {
		if (!ignored(d, mask, s, child)) d->order[d->order_n++] = (uint16_t)child;
		child = s->node[child].next;
	}
	return d->order_n - from;
}

/* Of members with the same name, which nobody should send, in the order of the text. */
static bool comes_after(const struct side *s, uint16_t i, uint16_t k)
{
	int c = order_of(key_of(s, i), key_of(s, k), false);
	return c ? c > 0 : i > k;
}

static void sift(const struct side *s, uint16_t *v, uint32_t i, uint32_t n)
{
	for (uint32_t k; (k = 2 * i + 1) < n; i = k) {
		if (k + 1 < n && comes_after(s, v[k + 1], v[k])) k++;
		if (!comes_after(s, v[k], v[i])) return;
		uint16_t was = v[i];
		v[i] = v[k];
		v[k] = was;
	}
}

/* A heap: qsort may ask for memory. */
static void sort(const struct side *s, uint16_t *v, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift(s, v, i, n);
	for (uint32_t i = n; i-- > 1;) {
		uint16_t was = v[0];
		v[0] = v[i];
		v[i] = was;
		sift(s, v, 0, i);
	}
}

static bool same_members(struct diff *d, const uint16_t *x, uint32_t nx, const uint16_t *y,
        uint32_t ny, uint32_t mask)
{
	for (uint32_t i = 0; i < nx || i < ny; i++) {
		int c = i == nx ? 1 : -1;
		if (i < nx && i < ny) c = order_of(key_of(&d->a, x[i]), key_of(&d->b, y[i]), false);
		if (c) {
			bool of_a = c < 0;
			struct place at = {.key = of_a ? key_of(&d->a, x[i]) : key_of(&d->b, y[i])};
			return differ(d, at);
		}
		struct place at = {.key = key_of(&d->a, x[i])};
		if (!same_child(d, x[i], y[i], mask, at)) return false;
	}
	return true;
}

static bool same_object(struct diff *d, uint32_t a, uint32_t b, uint32_t mask)
{
	uint32_t from = d->order_n;
	uint16_t *x = d->order + from;
	uint32_t nx = members(d, &d->a, a, mask);
	uint16_t *y = x + nx;
	uint32_t ny = members(d, &d->b, b, mask);
	bool ordered = nx == ny;
	for (uint32_t i = 0; ordered && i < nx; i++)
		ordered = order_of(key_of(&d->a, x[i]), key_of(&d->b, y[i]), false) == 0;
	if (!ordered) {
		sort(&d->a, x, nx);
		sort(&d->b, y, ny);
	}
	bool yes = same_members(d, x, nx, y, ny, mask);
	d->order_n = from;
	return yes;
}

static bool same(struct diff *d, uint32_t a, uint32_t b, uint32_t mask)
{
	const struct jsondiff_node *x = &d->a.node[a], *y = &d->b.node[b];
	struct hg_str s = {d->a.text + x->at, x->n}, t = {d->b.text + y->at, y->n};
	char c = s.p[0], e = t.p[0];
	bool digit = c == '-' || (c >= '0' && c <= '9');
	if (digit) return (e == '-' || (e >= '0' && e <= '9')) && same_number(s, t);
	if (c != e) return false;
	switch (c) {
	case '{': return same_object(d, a, b, mask);
	case '[': return same_array(d, a, b, mask);
	case '"': s.p++, t.p++; return order_of(s, t, false) == 0;
	default: return true; /* true, false, null begin with letters of their own */
	}
}

/* ---- telling where ---- */

static bool is_simple(struct hg_str key)
{
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		          (c >= '0' && c <= '9') || c == '_' || c == '-' ||
		          (unsigned char)c >= 0x80;
		if (!ok) return false;
	}
	return key.n > 0;
}

static void place_write(const struct place *p, struct hg_out *o)
{
	if (p->element) {
		hg_out_byte(o, '[');
		hg_out_u64(o, p->index);
		hg_out_byte(o, ']');
		return;
	}
	bool simple = is_simple(p->key);
	hg_out_cstr(o, simple ? "." : "['");
	/* What fits of a long name; the room is then used up. */
	struct hg_str key = {p->key.p, HG_MIN(p->key.n, o->cap - o->n)};
	hg_out_str(o, key);
	if (key.n < p->key.n) o->failed = true;
	if (!simple) hg_out_cstr(o, "']");
}

static size_t where_write(const struct diff *d, char *to, size_t cap)
{
	static const struct hg_str more = {"…", sizeof "…" - 1};
	struct hg_out o = hg_out_over(to, cap - more.n);
	hg_out_byte(&o, '$');
	for (uint32_t i = 0; i < d->depth && !hg_out_failed(&o); i++)
		place_write(&d->place[i], &o);
	if (!hg_out_failed(&o)) return o.n;
	/* Not in the middle of a character. */
	while (o.n > 0 && ((unsigned char)to[o.n - 1] & 0xc0) == 0x80)
		o.n--;
	if (o.n > 0 && (unsigned char)to[o.n - 1] >= 0xc0) o.n--;
	memcpy(to + o.n, more.p, more.n);
	return o.n + more.n;
}

enum jsondiff_result jsondiff(struct hg_str a, struct hg_str b, const struct jsonpath *ignore,
        uint32_t ignore_n, struct jsondiff_scratch *scratch, char *to, size_t cap, size_t *ret_n)
{
	uint32_t mask = 0;
	*ret_n = 0;
	HG_ASSERT(ignore_n <= JSONDIFF_IGNORE_MAX && cap >= 16);
	if (!parse(a, scratch->a) || !parse(b, scratch->b)) return JSONDIFF_NOT_JSON;
	for (uint32_t i = 0; i < ignore_n; i++) {
		if (ignore[i].n == 0) return JSONDIFF_SAME;
		mask |= 1u << i;
	}
	struct diff d = {.a = {a.p, scratch->a},
	        .b = {b.p, scratch->b},
	        .ignore = ignore,
	        .order = scratch->order};
	if (same(&d, 0, 0, mask)) return JSONDIFF_SAME;
	*ret_n = where_write(&d, to, cap);
	return JSONDIFF_DIFFERS;
}
