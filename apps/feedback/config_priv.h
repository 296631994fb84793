/*
 * Settings: command line over environment over a `.env` file over defaults. Reading them is pure;
 * main gives the texts.
 */
#ifndef FEEDBACK_CONFIG_PRIV_H
#define FEEDBACK_CONFIG_PRIV_H

#include "base/err.h"
#include "base/log.h"
#include "cache/cache.h"
#include "db/db.h"
#include "db/pool.h"
#include "fetch/guard.h"
#include "fetch/smtp.h"
#include "jobs/jobs.h"
#include "redis/redis.h"

#include "apps/feedback/access_priv.h"
#include "apps/feedback/fault_priv.h"

/* What goes out: mail and webhooks. */
struct outgoing {
	char smtp_url[256]; /* "": no mail can be sent */
	char smtp_user[128], smtp_password[256], smtp_ca[256];
	enum smtp_tls smtp_tls;
	uint32_t smtp_ms;
	char mail_from[400];        /* "Name <address>" */
	struct guard webhook_allow; /* networks that webhooks may reach besides public ones */
	char webhook_ca[256];       /* file of authorities instead of the machine's store; "" */
	uint32_t webhook_ms;
};

/* Traces, as the standard's OTEL_* variables have them. */
struct config_traces {
	char url[512]; /* of the receiver, whole; "": none are sent */
	char headers[1024], service[128], resource[1024];
	uint32_t sample_ppm; /* of traces that begin here */
	bool parent_based;   /* those that come are kept as they say */
	uint32_t timeout_ms, delay_ms;
};

struct config {
	bool help, version;
	bool tcp;            /* listen on host and port */
	char host[64];       /* an address, or "localhost" */
	uint16_t port;       /* 0: any free one */
	char socket[108];    /* unix socket; "" none */
	uint32_t listen_fds; /* inherited listeners from descriptor 3 on */
	char database[512];  /* address for db_open */
	enum db_durability durability;
	bool migrate; /* bring the schema up to date at the start */
	/* PostgreSQL alone */
	char replica[DB_POOL_REPLICAS_MAX][256]; /* addresses of read replicas */
	size_t replica_count;
	uint32_t lag_max_ms, query_ms, connect_ms, pool_size;
	uint32_t cache_ttl_ms; /* 0: lists are not kept */
	uint64_t cache_bytes;
	char redis[512]; /* address; "" none */
	uint32_t redis_ms;
	enum hg_level level;
	char log_file[256];
	struct config_traces traces;
	char environment[32];
	struct fault fault;
	uint32_t drain_ms;
	struct outgoing outgoing;
	/* The queue. */
	bool worker;            /* feedback-app worker: no API, only jobs */
	bool workers_inline;    /* this process serves and works */
	char notify_email[256]; /* a create leaves a job that writes to it; "" none */
	bool webhooks;          /* a create leaves a job for each webhook of the table */
	char queue[JOBS_QUEUES_MAX][JOBS_NAME_MAX + 1];
	uint32_t queue_count, concurrency, lease_ms;
	char export_dir[256];
	char queue_url[256];    /* a broker; "" none */
	uint32_t sent_lease_ms; /* what a broker has for longer is lost */
	enum access_mode auth;
	char admin_key[129]; /* "" none */
	bool register_open;
	uint32_t session_idle_s, session_max_s;
	uint32_t audit_days; /* 0: for ever */
	/* tokens of services: a secret, or a file or address of keys; "" none */
	char jwt_secret[1025], jwt_keys[512], jwt_issuer[256], jwt_audience[256], jwt_roles[128];
	/* the provider to sign in at; "" none */
	char oidc_issuer[256], oidc_client[256], oidc_secret[256], oidc_redirect[512];
	char oidc_scope[256], oidc_roles[128], oidc_name[64];
};

struct config_sources {
	int argc;
	const char *const *argv;
	const char *(*env)(void *arg, const char *name); /* NULL when not set */
	void *arg;
	struct hg_str dotenv; /* contents of the .env file */
	int64_t pid;          /* to compare with LISTEN_PID */
	bool worker;          /* feedback-app worker */
};

/* HG_E_USAGE or HG_E_INVALID with a message that names the setting. */
HG_MUST enum hg_rc config_read(
        const struct config_sources *from, struct config *ret_config, struct hg_err *err);
/* The file named by --env-file, "" when none was given: the first thing to know. */
struct hg_str config_env_file(int argc, const char *const *argv);
/* For --help. */
const char *config_help(void);

#endif
