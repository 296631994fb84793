/*
 * OTLP/HTTP with JSON (OpenTelemetry protocol 1.x, "JSON Protobuf Encoding"): an
 * ExportTraceServiceRequest of spans, and what the answer means. Names in lowerCamelCase, ids in
 * hexadecimal, 64-bit numbers as strings, enumerations as numbers, as the specification has it.
 * JSON and not the binary form: every receiver must take both, and a person can read this one.
 * Pure.
 */
#ifndef WIRE_OTLP_H
#define WIRE_OTLP_H

#include "wire/json.h"
#include "wire/span.h"

struct otlp_pair {
	const char *key;
	struct hg_str value;
};

struct otlp_writer {
	struct json_out json;
};

/* Whose spans follow; pairs without a value are left out. `scope`: what has made them. */
void otlp_begin(struct otlp_writer *w, struct hg_buf *to, const struct otlp_pair *resource,
        size_t n, const char *scope);
void otlp_span(struct otlp_writer *w, const struct span *s);
/* False: the buffer did not take it all. */
HG_MUST bool otlp_end(struct otlp_writer *w);

enum otlp_verdict {
	OTLP_TAKEN,
	OTLP_LATER,  /* the same again, after a while: 429, 502, 503, 504, or no answer */
	OTLP_REFUSED /* it will never be taken */
};
/* What the status of an answer means; 0: there was none. */
enum otlp_verdict otlp_judge(int status);
/* How many spans of a batch that was taken were refused all the same (partialSuccess). */
uint64_t otlp_rejected(struct hg_str body);

/*
 * "k1=v1,k2=v2" of OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES: the next pair, values
 * percent-decoded into `room`. False: there are no more. What is no pair is passed over.
 */
bool otlp_pair_next(struct hg_str *list, char *room, size_t cap, struct hg_str *ret_key,
        struct hg_str *ret_value);

#endif
