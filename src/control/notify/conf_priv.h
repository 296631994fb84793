/* A configuration in force: what the pure half needs, and how to send. */
#ifndef CONTROL_NOTIFY_CONF_PRIV_H
#define CONTROL_NOTIFY_CONF_PRIV_H

#include "control/notify/notify.h"
#include "fetch/smtp.h"
#include "wire/gotemplate.h"
#include "wire/mail.h"

struct tzif;

/* What a channel needs beyond decide.h's part. */
struct notify_way {
	const char *url;           /* of PagerDuty */
	const char *ca;            /* file, "": the machine's */
	const char *key;           /* name of the secret that signs; "" */
	struct hg_str title, text; /* names of templates */
};

struct notify_plan {
	struct hg_arena mem;
	struct notify_conf conf;
	struct notify_way *ways; /* one a channel */
	struct gotemplate *templates;
	const char *external_url;
	uint64_t settle_ms;
	struct {
		const char *server, *user, *password, *ca;
		enum smtp_tls tls;
		struct mail_address from;
		bool set;
	} mail;
	struct tzif **zones;
	uint32_t zone_count;
	struct re **expressions;
	uint32_t expression_count, expression_cap;
};

#endif
