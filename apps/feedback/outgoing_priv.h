/* /admin/mail/test and /admin/webhooks: how what goes out is tried, and who is told. */
#ifndef FEEDBACK_OUTGOING_PRIV_H
#define FEEDBACK_OUTGOING_PRIV_H

#include "apps/feedback/app_priv.h"

struct outgoing_api;

/* Uses a->desk; `o` must stay. HG_E_NOMEM. */
HG_MUST enum hg_rc outgoing_new(
        struct app *a, const struct outgoing *o, struct outgoing_api **ret_api, struct hg_err *err);
/* What is under way ends; before desk_free and serve_free. Takes NULL. */
void outgoing_stop(struct outgoing_api *g);
/* After desk_free. Takes NULL. */
void outgoing_free(struct outgoing_api *g);
/* Answers, now or later. `d`: the request was deferred already, or NULL. */
void outgoing_handle(struct outgoing_api *g, struct serve_call *call,
        const struct serve_request *req, struct deferred *d);

#endif
