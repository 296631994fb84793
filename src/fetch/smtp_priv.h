/* One mail on its way. */
#ifndef FETCH_SMTP_PRIV_H
#define FETCH_SMTP_PRIV_H

#include "fetch/curl_priv.h"
#include "fetch/smtp.h"

struct smtp_call {
	struct curl_calls curl;
	CURL *easy;
	struct curl_slist *to;
	struct hg_str message;
	size_t sent; /* of it */
	const atomic_bool *stop;
	char error[CURL_ERROR_SIZE];
	struct smtp_report *report; /* its reply is 0 from a command until its answer */
	bool secret;                /* what is said now is part of a sign-in */
	bool text, over;            /* the message is on its way; we have said QUIT */
	struct hg_buf hide[3];      /* the password, as it is and as it travels */
};

/* smtp_dialogue.c: what libcurl tells of a connection. */
void smtp_dialogue_add(struct smtp_call *c, curl_infotype what, struct hg_str bytes);

#endif
