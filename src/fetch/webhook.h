/*
 * Webhooks as Standard Webhooks has them (standardwebhooks.com, version 1): what is signed,
 * secrets, the times of attempts, what an answer means, which addresses are taken. Pure but for the
 * secret, which is the kernel's randomness.
 */
#ifndef FETCH_WEBHOOK_H
#define FETCH_WEBHOOK_H

#include "fetch/fetch.h"

#define WEBHOOK_URL_MAX     2048u
#define WEBHOOK_SECRETS_MAX 4u    /* of one webhook while they are rotated */
#define WEBHOOK_SECRET_MAX  100u  /* "whsec_" and base64 of 24 to 64 bytes, with the closing zero */
#define WEBHOOK_BODY_MAX    4096u /* bytes of an answer that are looked at */
#define WEBHOOK_TIMEOUT_MS  15000u

/* 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after the first, second … failure. */
#define WEBHOOK_DELAYS   9u
#define WEBHOOK_ATTEMPTS 10u
extern const uint32_t webhook_delay_ms[WEBHOOK_DELAYS];

/* A new one; HG_E_IO: the kernel gives no randomness. */
HG_MUST enum hg_rc webhook_secret_new(char ret_secret[static WEBHOOK_SECRET_MAX]);
/* "whsec_" and base64 of 24 to 64 bytes; nothing else. */
HG_MUST bool webhook_secret_ok(struct hg_str secret);
/*
 * Appends the value of webhook-signature: "v1,…" for each of `n` secrets, newest first, with a
 * space between. HG_E_INVALID: no secret, or one that is malformed. HG_E_NOMEM.
 */
HG_MUST enum hg_rc webhook_sign(const struct hg_str *secrets, uint32_t n, struct hg_str id,
        uint64_t unix_s, struct hg_str body, struct hg_buf *to);

/*
 * Whether deliveries may go to this address: https://, or http:// when `plain`; a host, no user, no
 * fragment, no spaces and controls. A host that is an address must be one that the guard lets pass;
 * names are judged when they were looked up. HG_E_INVALID with the reason.
 */
HG_MUST enum hg_rc webhook_url_check(
        struct hg_str url, bool plain, const struct guard *g, struct hg_err *err);

enum webhook_verdict {
	WEBHOOK_OK,   /* 2xx */
	WEBHOOK_FAIL, /* anything else: again, as the times have it */
	WEBHOOK_GONE  /* 410: nobody wants it any more */
};

enum webhook_verdict webhook_judge(const struct fetch_answer *a);

#endif
