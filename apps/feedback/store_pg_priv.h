/* The store over a PostgreSQL pool. Every operation is one statement. */
#ifndef FEEDBACK_STORE_PG_PRIV_H
#define FEEDBACK_STORE_PG_PRIV_H

#include "apps/feedback/store_priv.h"

struct store_pg;

HG_MUST enum hg_rc store_pg_open(struct loop *l, const struct store_options *o,
        struct store_pg **ret_store, struct hg_err *err);
void store_pg_close(struct store_pg *s);
HG_MUST enum hg_rc store_pg_queue(struct store_pg *s, struct store_op *op, struct hg_err *err);
void store_pg_metrics(struct store_pg *s, struct hg_buf *to);
uint32_t store_pg_position_s(const struct store_pg *s);

#endif
