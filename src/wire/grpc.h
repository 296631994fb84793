/*
 * gRPC over HTTP/2, as far as somebody between client and server has to know it: what is gRPC, and
 * whether an answer is a failure of who gave it. (gRPC: doc/PROTOCOL-HTTP2.md, doc/statuscodes.md;
 * statuses as HTTP's: google/rpc/code.proto.) Pure; nothing is allocated.
 */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H

#include "base/str.h"

enum grpc_status {
	GRPC_OK,
	GRPC_CANCELLED,
	GRPC_UNKNOWN,
	GRPC_INVALID_ARGUMENT,
	GRPC_DEADLINE_EXCEEDED,
	GRPC_NOT_FOUND,
	GRPC_ALREADY_EXISTS,
	GRPC_PERMISSION_DENIED,
	GRPC_RESOURCE_EXHAUSTED,
	GRPC_FAILED_PRECONDITION,
	GRPC_ABORTED,
	GRPC_OUT_OF_RANGE,
	GRPC_UNIMPLEMENTED,
	GRPC_INTERNAL,
	GRPC_UNAVAILABLE,
	GRPC_DATA_LOSS,
	GRPC_UNAUTHENTICATED,
	GRPC_STATUSES
};

/* A Content-Type of gRPC: "application/grpc", "application/grpc+proto", "application/grpc; …", any
 * case; not gRPC-Web, whose trailers are in the body. */
bool grpc_type(struct hg_str content_type);
/* The value of grpc-status; GRPC_UNKNOWN for anything that is no status, as clients take it. */
uint8_t grpc_status_read(struct hg_str value);
/* What HTTP would say instead: 500 to 599 exactly for those that are failures of the server. */
unsigned grpc_http_status(uint8_t status);
/* "UNAVAILABLE"; "UNKNOWN" for what is no status. */
const char *grpc_status_name(uint8_t status);

#endif
