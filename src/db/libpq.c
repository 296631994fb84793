#include "db/libpq_priv.h"

#include <stdio.h>
#include <string.h>

#include "os/library.h"

enum hg_rc libpq_load(struct libpq *ret_calls, struct hg_err *err)
{
	static const char *const name[] = {
#define X(name) "PQ" #name,
	        LIBPQ_CALLS(X)
#undef X
	};
	static const struct library lib = {.file = "libpq.so.5", /* of Debian's libpq5 */
	        .hint = "Install the package libpq5, of version 14 or later.",
	        .rc = HG_E_DB_OPEN,
	        .call = name,
	        .call_n = HG_COUNT(name)};
	return library_load(&lib, ret_calls, sizeof *ret_calls, err);
}

bool libpq_is_url(const char *url)
{
	struct hg_str u = hg_str(url ? url : "");
	return hg_str_starts(u, HG_STR("postgresql://")) || hg_str_starts(u, HG_STR("postgres://"));
}

enum hg_rc libpq_rc_of(const char *state)
{
	static const struct {
		const char *prefix;
		enum hg_rc rc;
	} rows[] = {
	        {"08", HG_E_AGAIN},         /* connection */
	        {"25006", HG_E_AGAIN},      /* a standby, or a primary that has become one */
	        {"40", HG_E_AGAIN},         /* rolled back: serialization, deadlock */
	        {"53100", HG_E_DB_FULL},    /* disk */
	        {"53", HG_E_AGAIN},         /* memory, connections */
	        {"55P03", HG_E_AGAIN},      /* lock_timeout */
	        {"57", HG_E_AGAIN},         /* cancelled, shutdown, starting up */
	        {"23", HG_E_DB_CONSTRAINT}, /* unique, not null, … */
	        {"XX001", HG_E_DB_CORRUPT}, {"XX002", HG_E_DB_CORRUPT},
	        {"58", HG_E_AGAIN}, /* the server's system: I/O */
	};
	if (!state || !*state) return HG_E_AGAIN;
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (strncmp(state, rows[i].prefix, strlen(rows[i].prefix)) == 0) return rows[i].rc;
	return HG_E_DB_QUERY;
}

void libpq_words(const char *message, char *to, size_t cap)
{
	struct hg_str m = hg_str_trim(hg_str(message ? message : ""));
	size_t n = 0;
	for (size_t i = 0; i < m.n && n + 1 < cap; i++) {
		bool space = (unsigned char)m.p[i] <= ' ';
		if (space && n && to[n - 1] == ' ') continue;
		to[n++] = space ? ' ' : m.p[i];
	}
	to[n] = 0;
}

const char *libpq_parameter(const struct libpq_parameters *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->key[i], key) == 0) return p->value[i];
	return NULL;
}

void libpq_parameter_set(struct libpq_parameters *p, const char *key, const char *value)
{
	size_t i = 0;
	while (i < p->n && strcmp(p->key[i], key) != 0)
		i++;
	HG_ASSERT(i < LIBPQ_PARAMETERS_MAX);
	p->key[i] = key;
	p->value[i] = value;
	if (i == p->n) p->n++;
	p->key[p->n] = p->value[p->n] = NULL;
}

static void set_default(struct libpq_parameters *p, const char *key, const char *value)
{
	if (!libpq_parameter(p, key)) libpq_parameter_set(p, key, value);
}

/* Text that lives as long as the parameters; "" when there is no room, which cannot be. */
static const char *keep(struct libpq_parameters *p, const char *text)
{
	size_t n = strlen(text) + 1;
	char *at = p->text + p->text_n;
	if (n > sizeof p->text - p->text_n) return "";
	memcpy(at, text, n);
	p->text_n += n;
	return at;
}

static void set_number(struct libpq_parameters *p, const char *key, uint32_t n)
{
	char text[16];
	snprintf(text, sizeof text, "%u", n);
	set_default(p, key, keep(p, text));
}

/* Settings of the session go first, so that those of the address win. */
static void set_options(struct libpq_parameters *p, const struct libpq_wishes *w)
{
	const char *theirs = libpq_parameter(p, "options");
	char text[2048];
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	hg_out_cstr(
	        &o, "-c TimeZone=UTC -c DateStyle=ISO -c client_connection_check_interval=2000");
	if (w->statement_ms) hg_out_fmt(&o, " -c statement_timeout=%u", w->statement_ms);
	if (w->lock_ms) hg_out_fmt(&o, " -c lock_timeout=%s", w->lock_ms);
	if (theirs) hg_out_fmt(&o, " %s", theirs);
	if (hg_out_failed(&o)) return;
	text[o.n] = 0;
	libpq_parameter_set(p, "options", keep(p, text));
}

enum hg_rc libpq_parameters_of(const struct libpq *pq, const char *url,
        const struct libpq_wishes *w, struct libpq_parameters *ret_p, struct hg_err *err)
{
	struct libpq_parameters *p = ret_p;
	char words[256], *why = NULL;
	*p = (struct libpq_parameters){0};
	p->options = pq->conninfoParse(url, &why);
	if (!p->options) {
		libpq_words(why ? why : "not enough memory", words, sizeof words);
		if (why) pq->freemem(why);
		return hg_err_set(err, HG_E_INVALID, "the address of the database: %s", words);
	}
	for (PQconninfoOption *o = p->options; o->keyword && p->n < LIBPQ_PARAMETERS_MAX - 16; o++)
		if (o->val && *o->val) libpq_parameter_set(p, o->keyword, o->val);
	set_default(p, "client_encoding", "UTF8");
	set_default(p, "fallback_application_name", w->name);
	set_default(p, "target_session_attrs", w->session);
	set_default(
	        p, "gssencmode", "disable"); /* it would ask for Kerberos before anything else */
	set_default(p, "keepalives_idle", "10");
	set_default(p, "keepalives_interval", "5");
	set_default(p, "keepalives_count", "3");
	if (w->connect_ms) {
		set_number(p, "connect_timeout", (w->connect_ms + 999) / 1000);
		set_number(p, "tcp_user_timeout", HG_MAX(w->connect_ms, w->statement_ms));
	}
	set_options(p, w);
	return HG_OK;
}

void libpq_parameters_free(const struct libpq *pq, struct libpq_parameters *p)
{
	if (p->options) pq->conninfoFree(p->options);
	*p = (struct libpq_parameters){0};
}
