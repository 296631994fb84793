/* What an authority sends, and what is read from disk: any bytes. The first byte says which. */
#include "fuzz.h"

#include "control/acme/acme_priv.h"

static struct acme_body body;

static void parse(unsigned char kind, struct hg_str text)
{
	enum acme_ask ask = (enum acme_ask)(kind % (ACME_ASK_RENEWAL + 1));
	acme_parse(ask, kind & 64 ? 400 : 200, (enum acme_challenge)(kind / 16 % 3), text, &body);
	HG_ASSERT(body.auth_count <= ACME_NAMES_MAX);
	HG_ASSERT(hg_utf8_valid(hg_str(body.problem.text)));
	for (uint32_t i = 0; i < body.auth_count; i++)
		HG_ASSERT(strncmp(body.auth[i], "https://", 8) == 0);
}

/* What is accepted is written, and reads back to the same text. */
static void state(struct hg_str text)
{
	struct acme_state s, back;
	struct hg_buf one, two;
	if (acme_state_read(text, &s) < 0) return;
	hg_buf_init(&one, ACME_STATE_MAX);
	hg_buf_init(&two, ACME_STATE_MAX);
	HG_ASSERT(acme_state_write(&s, &one) == HG_OK);
	HG_ASSERT(acme_state_read(hg_buf_view(&one), &back) == HG_OK);
	HG_ASSERT(acme_state_write(&back, &two) == HG_OK);
	HG_ASSERT(hg_str_eq(hg_buf_view(&one), hg_buf_view(&two)));
	acme_state_free(&s);
	acme_state_free(&back);
	hg_buf_free(&one);
	hg_buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 1) return 0;
	struct hg_str text = {(const char *)p + 1, n - 1};
	if (p[0] & 128)
		state(text);
	else
		parse(p[0], text);
	return 0;
}
