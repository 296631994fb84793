#include "wire/otlp.h"

#include <inttypes.h>

static void quoted_u64(struct json_out *j, uint64_t v)
{
	char text[24];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_u64(&o, v);
	json_out_str(j, (struct hg_str){text, o.n});
}

static void quoted_i64(struct json_out *j, int64_t v)
{
	char text[24];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_fmt(&o, "%" PRId64, v);
	json_out_str(j, (struct hg_str){text, o.n});
}

static void attr(struct json_out *j, const struct span_attr *a)
{
	json_out_object(j);
	json_out_key(j, "key");
	json_out_str(j, a->key);
	json_out_key(j, "value");
	json_out_object(j);
	switch (a->type) {
	case SPAN_STR:
		json_out_key(j, "stringValue");
		json_out_str(j, a->text);
		break;
	case SPAN_INT:
		json_out_key(j, "intValue");
		quoted_i64(j, a->number);
		break;
	case SPAN_BOOL:
		json_out_key(j, "boolValue");
		json_out_bool(j, a->number != 0);
		break;
	}
	json_out_end(j);
	json_out_end(j);
}

void otlp_begin(struct otlp_writer *w, struct hg_buf *to, const struct otlp_pair *resource,
        size_t n, const char *scope)
{
	struct json_out *j = &w->json;
	json_out_init(j, to);
	json_out_object(j);
	json_out_key(j, "resourceSpans");
	json_out_array(j);
	json_out_object(j);
	json_out_key(j, "resource");
	json_out_object(j);
	json_out_key(j, "attributes");
	json_out_array(j);
	for (size_t i = 0; i < n; i++) {
		struct span_attr a = {.key = hg_str(resource[i].key),
		        .text = resource[i].value,
		        .type = SPAN_STR};
		if (a.key.n && a.text.n) attr(j, &a);
	}
	json_out_end(j);
	json_out_end(j);
	json_out_key(j, "scopeSpans");
	json_out_array(j);
	json_out_object(j);
	json_out_key(j, "scope");
	json_out_object(j);
	json_out_key(j, "name");
	json_out_cstr(j, scope);
	json_out_end(j);
	json_out_key(j, "spans");
	json_out_array(j);
}

void otlp_span(struct otlp_writer *w, const struct span *span)
{
	struct json_out *j = &w->json;
	struct span s = *span;
	struct span_attr a;
	const struct span_head *h = &s.head;
	json_out_object(j);
	json_out_key(j, "traceId");
	json_out_str(j, (struct hg_str){h->trace, sizeof h->trace});
	json_out_key(j, "spanId");
	json_out_str(j, (struct hg_str){h->id, sizeof h->id});
	if (h->has_parent) {
		json_out_key(j, "parentSpanId");
		json_out_str(j, (struct hg_str){h->parent, sizeof h->parent});
	}
	json_out_key(j, "flags");
	json_out_u64(j, h->flags);
	json_out_key(j, "name");
	json_out_str(j, s.name);
	json_out_key(j, "kind");
	json_out_u64(j, h->kind);
	json_out_key(j, "startTimeUnixNano");
	quoted_u64(j, h->start_ns);
	json_out_key(j, "endTimeUnixNano");
	quoted_u64(j, HG_MAX(h->end_ns, h->start_ns));
	json_out_key(j, "attributes");
	json_out_array(j);
	while (span_attr(&s, &a))
		attr(j, &a);
	json_out_end(j);
	if (h->status != SPAN_UNSET) {
		json_out_key(j, "status");
		json_out_object(j);
		json_out_key(j, "code");
		json_out_u64(j, h->status);
		json_out_end(j);
	}
	json_out_end(j);
}

bool otlp_end(struct otlp_writer *w)
{
	for (unsigned i = 0; i < 6; i++) /* spans, scope, scopes, resource, resources, the whole */
		json_out_end(&w->json);
	return json_out_ok(&w->json);
}

enum otlp_verdict otlp_judge(int status)
{
	if (status >= 200 && status < 300) return OTLP_TAKEN;
	bool later = status == 0 || status == 429 || (status >= 502 && status <= 504);
	return later ? OTLP_LATER : OTLP_REFUSED;
}

/* The answer is {} or {"partialSuccess":{"rejectedSpans":"3","errorMessage":"…"}}; a number and a
 * string are both allowed. */
uint64_t otlp_rejected(struct hg_str body)
{
	static const char key[] = "\"rejectedSpans\"";
	const char *at = body.n ? memmem(body.p, body.n, key, sizeof key - 1) : NULL;
	uint64_t n = 0;
	if (!at) return 0;
	const char *end = body.p + body.n;
	for (at += sizeof key - 1; at < end && (*at == ' ' || *at == ':' || *at == '"'); at++) {
	}
	for (; at < end && *at >= '0' && *at <= '9' && n < UINT32_MAX; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	return n;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decoded into `room`; n == 0: empty, too long, or a control in it. */
static struct hg_str decode(struct hg_str s, char *room, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '%' && s.n - i > 2 && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			c = (unsigned char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
			i += 2;
		}
		if (n == cap || c < 0x20 || c == 0x7f) return (struct hg_str){room, 0};
		room[n++] = (char)c;
	}
	return (struct hg_str){room, n};
}

bool otlp_pair_next(struct hg_str *list, char *room, size_t cap, struct hg_str *ret_key,
        struct hg_str *ret_value)
{
	while (list->n) {
		struct hg_str one = hg_str_cut(list, ',');
		struct hg_str key = hg_str_trim(hg_str_cut(&one, '='));
		struct hg_str value = decode(hg_str_trim(one), room, cap);
		if (!key.n || !value.n) continue;
		*ret_key = key;
		*ret_value = value;
		return true;
	}
	return false;
}
