#include "wire/grpc.h"

static const struct {
	unsigned http;
	const char *name;
} table[GRPC_STATUSES] = {
        [GRPC_OK] = {200, "OK"},
        [GRPC_CANCELLED] = {499, "CANCELLED"},
        [GRPC_UNKNOWN] = {500, "UNKNOWN"},
        [GRPC_INVALID_ARGUMENT] = {400, "INVALID_ARGUMENT"},
        [GRPC_DEADLINE_EXCEEDED] = {504, "DEADLINE_EXCEEDED"},
        [GRPC_NOT_FOUND] = {404, "NOT_FOUND"},
        [GRPC_ALREADY_EXISTS] = {409, "ALREADY_EXISTS"},
        [GRPC_PERMISSION_DENIED] = {403, "PERMISSION_DENIED"},
        [GRPC_RESOURCE_EXHAUSTED] = {429, "RESOURCE_EXHAUSTED"},
        [GRPC_FAILED_PRECONDITION] = {400, "FAILED_PRECONDITION"},
        [GRPC_ABORTED] = {409, "ABORTED"},
        [GRPC_OUT_OF_RANGE] = {400, "OUT_OF_RANGE"},
        [GRPC_UNIMPLEMENTED] = {501, "UNIMPLEMENTED"},
        [GRPC_INTERNAL] = {500, "INTERNAL"},
        [GRPC_UNAVAILABLE] = {503, "UNAVAILABLE"},
        [GRPC_DATA_LOSS] = {500, "DATA_LOSS"},
        [GRPC_UNAUTHENTICATED] = {401, "UNAUTHENTICATED"},
};

bool grpc_type(struct hg_str t)
{
	const struct hg_str grpc = HG_STR("application/grpc");
	const size_t n = grpc.n;
	if (t.n < n || !hg_str_eq_nocase((struct hg_str){t.p, n}, grpc)) return false;
	return t.n == n || t.p[n] == '+' || t.p[n] == ';' || t.p[n] == ' ';
}

uint8_t grpc_status_read(struct hg_str v)
{
	unsigned n = 0;
	if (v.n == 0 || v.n > 2 || (v.n == 2 && v.p[0] == '0')) return GRPC_UNKNOWN;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9') return GRPC_UNKNOWN;
		n = n * 10 + (unsigned)(v.p[i] - '0');
	}
	return n < GRPC_STATUSES ? (uint8_t)n : GRPC_UNKNOWN;
}

unsigned grpc_http_status(uint8_t status)
{
	return table[status < GRPC_STATUSES ? status : GRPC_UNKNOWN].http;
}

const char *grpc_status_name(uint8_t status)
{
	return table[status < GRPC_STATUSES ? status : GRPC_UNKNOWN].name;
}
