/* Inside the room: how words are written. */
#ifndef AUTH_IDENTITY_PRIV_H
#define AUTH_IDENTITY_PRIV_H

#include "auth/identity.h"

void auth_words_write(struct hg_out *o, struct auth_words w, char between);

#endif
