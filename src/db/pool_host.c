/* Where a server is. libpq would look names up while everybody waits: a thread does it instead. */
#include "db/pool_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_address(struct hg_str host)
{
	char text[64];
	struct in6_addr six;
	if (host.n == 0 || host.p[0] == '/' || host.p[0] == '@') return true; /* a unix socket */
	if (!hg_str_copy(host, text, sizeof text)) return false;
	return inet_pton(AF_INET, text, &six) == 1 || inet_pton(AF_INET6, text, &six) == 1;
}

static void add(char *list, size_t cap, struct hg_str one, bool first)
{
	size_t n = strlen(list);
	struct hg_out o = hg_out_over(list + n, cap - n - 1);
	if (!first) hg_out_byte(&o, ',');
	hg_out_str(&o, one);
	list[n + o.n] = 0;
}

static void add_host(struct lookup *l, struct hg_str host, const char *address, struct hg_str port)
{
	bool first = !l->hosts[0];
	add(l->hosts, sizeof l->hosts, host, first);
	add(l->addresses, sizeof l->addresses, hg_str(address), first);
	add(l->ports, sizeof l->ports, port, first);
}

/* Every address of one host. */
static void look_up_one(struct lookup *l, struct hg_str host, struct hg_str port, unsigned *room)
{
	struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *all = NULL;
	char name[256], text[64];
	if (is_address(host)) {
		add_host(l, host, "", port);
		(*room)--;
		return;
	}
	if (!hg_str_copy(host, name, sizeof name)) return;
	int code = getaddrinfo(name, NULL, &want, &all);
	if (code != 0) {
		snprintf(l->why, sizeof l->why, "could not look up \"%.80s\": %s", name,
		        gai_strerror(code));
		return;
	}
	for (struct addrinfo *a = all; a && *room; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
		            NI_NUMERICHOST) != 0)
			continue;
		add_host(l, host, text, port);
		(*room)--;
	}
	freeaddrinfo(all);
}

static void look_up(void *arg, const atomic_bool *stop)
{
	struct server *s = arg;
	struct lookup *l = &s->lookup;
	unsigned n = 0, room = POOL_HOSTS_MAX;
	(void)pool_element(l->host, 0, &n);
	l->hosts[0] = l->addresses[0] = l->ports[0] = l->why[0] = 0;
	for (unsigned i = 0; i < n && room && !atomic_load(stop); i++)
		look_up_one(l, n == 1 ? hg_str(l->host) : pool_element(l->host, i, NULL),
		        pool_element(l->port, i, NULL), &room);
	/* One that was found is enough. */
	if (l->hosts[0]) l->why[0] = 0;
}

static void on_looked_up(void *arg)
{
	struct server *s = arg;
	s->lookup.work = NULL;
	s->lookup.done_ms = loop_now_ms(s->pool->loop);
	s->lookup.fresh = true;
	pool_server_open(s);
}

static void apply(struct server *s)
{
	struct lookup *l = &s->lookup;
	libpq_parameter_set(&s->parameters, "host", l->hosts);
	libpq_parameter_set(&s->parameters, "hostaddr", l->addresses);
	libpq_parameter_set(&s->parameters, "port", l->ports);
}

bool pool_server_look_up(struct server *s)
{
	struct lookup *l = &s->lookup;
	uint64_t now_ms = loop_now_ms(s->pool->loop);
	if (!l->names) return true;
	if (l->work) return false;
	if (l->fresh && now_ms - l->done_ms < POOL_FRESH_MS) {
		if (!l->why[0]) apply(s);
		return true;
	}
	l->fresh = false;
	if (work_start(s->pool->loop, look_up, on_looked_up, s, &l->work) == HG_OK) return false;
	snprintf(l->why, sizeof l->why, "no thread to look up \"%.80s\"", l->host);
	return true;
}

/* "a,b,c" → "b,c,a" */
static void rotate(char *list)
{
	char *comma = strchr(list, ',');
	char first[256];
	if (!comma ||
	        !hg_str_copy((struct hg_str){list, (size_t)(comma - list)}, first, sizeof first))
		return;
	size_t rest = strlen(comma + 1), head = strlen(first);
	memmove(list, comma + 1, rest);
	list[rest] = ',';
	memcpy(list + rest + 1, first, head + 1);
}

/*
 * An attempt that timed out was stuck at the first host that neither answers nor refuses: the next
 * attempt starts at another.
 */
void pool_server_rotate(struct server *s)
{
	struct lookup *l = &s->lookup;
	unsigned hosts = 0, ports = 0;
	(void)pool_element(l->host, 0, &hosts);
	(void)pool_element(l->port, 0, &ports);
	if (hosts < 2) return;
	rotate(l->host);
	if (ports > 1) rotate(l->port);
	l->fresh = false;
	if (l->names) return;
	libpq_parameter_set(&s->parameters, "host", l->host);
	libpq_parameter_set(&s->parameters, "port", l->port);
}

enum hg_rc pool_server_address(struct server *s, const char *url, struct hg_err *err)
{
	struct libpq_wishes w = {.session = s->replica ? "any" : "read-write",
	        /* Before our own deadline: then the server says that it did nothing. */
	        .statement_ms = s->pool->o.query_ms - s->pool->o.query_ms / 5,
	        .connect_ms = s->pool->o.connect_ms,
	        .name = s->pool->o.name};
	struct lookup *l = &s->lookup;
	unsigned n = 0;
	enum hg_rc rc = libpq_parameters_of(&s->pool->pq, url, &w, &s->parameters, err);
	if (rc < 0) return rc;
	const char *host = libpq_parameter(&s->parameters, "host");
	const char *port = libpq_parameter(&s->parameters, "port");
	if (!hg_str_copy(hg_str(host ? host : ""), l->host, sizeof l->host) ||
	        !hg_str_copy(hg_str(port ? port : ""), l->port, sizeof l->port))
		return hg_err_set(err, HG_E_INVALID, "the address names too many hosts");
	if (libpq_parameter(&s->parameters, "hostaddr")) return HG_OK;
	(void)pool_element(l->host, 0, &n);
	for (unsigned i = 0; host && i < n; i++)
		l->names |= !is_address(n == 1 ? hg_str(host) : pool_element(l->host, i, NULL));
	return HG_OK;
}

void pool_server_address_free(struct server *s)
{
	work_stop(s->lookup.work);
	s->lookup.work = NULL;
	libpq_parameters_free(&s->pool->pq, &s->parameters);
}
