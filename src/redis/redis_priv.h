/* Inside of the Redis client: address, connections, and the decisions that need neither. */
#ifndef REDIS_REDIS_PRIV_H
#define REDIS_REDIS_PRIV_H

#include "redis/redis.h"

#include "base/rand.h"
#include "math/breaker.h"
#include "os/sock.h"
#include "os/tls_remote.h"
#include "os/work.h"

#define REDIS_MAGIC   0x4ed15001u
#define ADDRESSES_MAX 8u
#define OUT_MAX       (16u << 20) /* bytes that wait for the socket */
#define READ_BYTES    16384u
#define KEEP_BYTES    (256u << 10) /* buffers larger than this are given back when empty */
#define FRESH_MS      5000u        /* names are looked up again after this */
#define STALL_MS      1000u        /* beyond a command's time: the connection is given up */
#define SUB_PING_MS   5000u
#define SUB_SILENT_MS 15000u

/* address.c: pure. */

struct redis_address {
	char host[256]; /* "": a unix socket */
	char path[108];
	char user[128], password[512]; /* "": none */
	char ca[256]; /* file with the authorities that are trusted; "": the system's */
	uint16_t port;
	uint32_t db;
	bool tls;
};

/* NULL, or what is wrong. */
const char *redis_address_of(const char *url, struct redis_address *ret);

/* One connection. */
enum link_state {
	LINK_NONE,       /* until `timer` */
	LINK_LOOKUP,     /* names are looked up */
	LINK_CONNECTING, /* until `timer`, as the next two */
	LINK_SECURING,   /* TLS begins */
	LINK_GREETING,   /* AUTH, SELECT, CLIENT SETNAME, PING are answered */
	LINK_READY
};

struct link {
	struct redis *redis;
	bool sub; /* for subscriptions */
	enum link_state state;
	int fd;
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task; /* what was queued in this turn is written at its end */
	struct hg_buf in, out;
	size_t in_at, out_at;
	struct resp_scan scan;
	uint32_t greetings; /* replies still to come */
	uint32_t streak;    /* failures in a row */
	uint32_t attempt;   /* which address is next */
	uint64_t heard_ms, pinged_ms;
	bool writing;    /* EPOLLOUT is watched */
	struct tls *tls; /* NULL: plain, or not connected */
	char why[160];   /* of the last failure, so that it is told once */
	struct work *work;
	/* written by the look-up's thread while `work` is not NULL */
	struct sock_addr address[ADDRESSES_MAX];
	uint32_t address_count;
	char lookup_why[160];
	uint64_t looked_ms;
	bool looked;
};

/* A command that was sent; NULL: nobody waits for its reply any more. */
struct flight {
	struct redis_command *command;
	uint64_t deadline_ms;
};

struct redis {
	uint32_t magic;
	struct loop *loop;
	struct redis_options o;
	struct redis_address address;
	struct tls_remote *tls; /* NULL: plain */
	struct link main, sub;
	struct flight *flight;  /* a ring of queue_max (a power of two) */
	uint32_t first, next;   /* of the ring; they run on */
	struct hg_list waiting; /* patient commands without a connection */
	uint32_t waiting_count;
	struct loop_timer tick; /* the earliest deadline */
	uint64_t tick_ms;       /* 0: not set */
	struct breaker breaker;
	struct hg_list subscriptions;
	struct hg_rand rand;
	struct redis_stats stats;
	bool stopping;
};

/* link.c */
void link_init(struct link *l, struct redis *r, bool sub);
void link_fini(struct link *l);
/* Begins to connect, if it does not already. */
void link_open(struct link *l);
/* Closes and tries again later. */
void link_lost(struct link *l, const char *why);
/* What was appended to `out` is written at the end of this turn. */
void link_flush_later(struct link *l);

/* tls.c. Sets r->tls, if the address is one of TLS. HG_E_INVALID: the authorities cannot be read;
 * HG_E_NOMEM. */
HG_MUST enum hg_rc redis_tls_new(struct redis *r, struct hg_err *err);
/* 0: it is over; -EAGAIN; else it failed, and `why` says why. */
int link_tls_handshake(struct link *l, char *why, size_t cap);
/* As sock_read and sock_write. */
ssize_t link_read(struct link *l, char *to, size_t n);
ssize_t link_write(struct link *l, struct hg_str s);

/* redis.c: what a connection tells. */
void redis_link_up(struct link *l);
void redis_link_down(struct link *l);
/* A whole reply, with its elements in `rest`. */
void redis_link_reply(struct link *l, struct resp_value v, struct hg_str rest);

static inline uint32_t redis_flying(const struct redis *r)
{
	return r->next - r->first;
}

#endif
