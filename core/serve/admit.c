/* Who asks: from a connection and a request head to a principal, or a refusal with its reason. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "serve/internal.h"
#include "serve/xfcc.h"

#define KNOWN_BYTES 4096 /* of headers that are remembered */

static int refused(
	struct sg_error *err, int *ret_status, int status, const char *kind, const char *text)
{
	(void)sg_error_set(err, SG_EDENIED, kind, "%s", text);
	*ret_status = status;
	return 1;
}

/* What a resolve error means to the client. The certificate's own faults are told in full only to
 * the audit; the client gets the original's word. */
static int resolve_failed(const struct sg_error *why, int *ret_status, struct sg_error *err)
{
	*err = *why;
	if (why->code != SG_EDENIED)
		return -why->code;
	*ret_status = strcmp(why->kind, "certificate-denied") == 0 ? 403 : 401;
	return 1;
}

/* The one thing that is answered without an identity. */
static bool wants_health(const struct sg_head *h)
{
	static const char open[] = "/v1/health";
	const size_t n = sizeof(open) - 1;
	return h->target.len >= n && memcmp(h->target.data, open, n) == 0 &&
	       (h->target.len == n || h->target.data[n] == '?');
}

static int nobody(struct sg_conn *c, struct sg_principal **ret, struct sg_error *err)
{
	*ret = sg_principal_anonymous(sg_door_names[c->door->kind], false);
	return *ret ? 0 : sg_error_nomem(err);
}

static int from_xfcc(
	struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret, struct sg_error *err)
{
	struct sg_xfcc x;
	struct sg_text t = h->edge[SG_EDGE_XFCC];
	struct sg_credentials none = {0};
	if (!t.data)
		return sg_grants_resolve(
			c->server->grants, &none, sg_door_names[c->door->kind], ret, err);
	if (sg_xfcc_parse(t.data, t.len, &x, err) < 0) {
		struct sg_error why = *err;
		return sg_error_set(err, SG_EDENIED, "invalid_client_cert", "%s", why.text);
	}
	struct sg_credentials cred = {
		.subject = x.subject, .fingerprint = x.fingerprint, .san = x.san};
	int r = sg_grants_resolve(c->server->grants, &cred, sg_door_names[c->door->kind], ret, err);
	sg_xfcc_finish(&x);
	return r;
}

static struct sg_known *known_slot(struct sg_server *s, const struct sg_buf *headers)
{
	uint32_t h = 2166136261U; /* FNV-1a */
	for (size_t i = 0; i < headers->len; i++)
		h = (h ^ (uint8_t)headers->data[i]) * 16777619U;
	return &s->known[h % SG_SERVE_KNOWN];
}

static bool is_known(const struct sg_server *s, const struct sg_known *k, const struct sg_buf *b)
{
	return k->headers && k->generation == s->generation && k->len == b->len &&
	       memcmp(k->headers, b->data, b->len) == 0;
}

static void known_drop(struct sg_known *k)
{
	free(k->headers);
	sg_principal_unref(k->principal);
	*k = (struct sg_known){0};
}

void sg_known_finish(struct sg_server *s)
{
	for (size_t i = 0; i < SG_SERVE_KNOWN; i++)
		known_drop(&s->known[i]);
}

/* Takes over the headers' bytes. */
static void known_put(
	struct sg_server *s, struct sg_known *k, struct sg_buf *b, struct sg_principal *principal)
{
	size_t len = b->len;
	known_drop(k);
	*k = (struct sg_known){.headers = sg_buf_take(b),
		.len = len,
		.generation = s->generation,
		.principal = sg_principal_ref(principal)};
}

static int from_headers(
	struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	size_t at[SG_EDGE_SAN + 1];
	sg_buf_addc(&b, (char)('0' + c->door->kind)); /* a principal knows its door */
	for (int i = 0; i <= SG_EDGE_SAN; i++) {
		at[i] = b.len;
		sg_buf_add(&b, h->edge[i].data, h->edge[i].len);
		sg_buf_addc(&b, '\0');
	}
	if (b.failed)
		return sg_error_nomem(err);
	struct sg_known *k = known_slot(c->server, &b);
	if (is_known(c->server, k, &b)) {
		*ret = sg_principal_ref(k->principal);
		return 0;
	}
	struct sg_credentials cred = {
		.subject = b.data + at[SG_EDGE_SUBJECT],
		.issuer = b.data + at[SG_EDGE_ISSUER],
		.serial = b.data + at[SG_EDGE_SERIAL],
		.fingerprint = b.data + at[SG_EDGE_FINGERPRINT],
		.san = b.data + at[SG_EDGE_SAN],
	};
	int r = sg_grants_resolve(c->server->grants, &cred, sg_door_names[c->door->kind], ret, err);
	if (r == 0 && b.len <= KNOWN_BYTES)
		known_put(c->server, k, &b, *ret);
	return r;
}

/* Only one family of headers is believed, and the other one is not even tolerated. */
static bool wrong_family(const struct sg_server *s, const struct sg_head *h)
{
	bool ours = false;
	for (int i = 0; i <= SG_EDGE_SAN; i++)
		ours = ours || h->edge[i].data;
	return s->config->xfcc ? ours : h->edge[SG_EDGE_XFCC].data != NULL;
}

static int admit_edge(struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret,
	int *ret_status, struct sg_error *err)
{
	struct sg_server *s = c->server;
	struct sg_error why;
	if (*h->alias || wrong_family(s, h)) {
		char text[128];
		(void)snprintf(text, sizeof(text), "identity header alias refused: %s",
			*h->alias ? h->alias : "headers of another kind of edge");
		return refused(err, ret_status, 400, "identity_alias", text);
	}
	if (s->mac && sg_mac_verify(s->mac, h, sg_clock_utc_us() / 1000000, &why) < 0)
		return refused(
			err, ret_status, why.code == SG_EBUSY ? 503 : 403, "edge_mac", why.text);
	int r = s->config->xfcc ? from_xfcc(c, h, ret, &why) : from_headers(c, h, ret, &why);
	if (r == 0)
		return 0;
	bool missing = strcmp(why.kind, "missing_client_cert") == 0;
	if (missing && (wants_health(h) || h->edge[SG_EDGE_REFUSED].data))
		return nobody(c, ret, err);
	return resolve_failed(&why, ret_status, err);
}

/* The certificate was verified at the handshake; whether it is still good is asked each time. */
static int from_certificate(struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret,
	int *ret_status, struct sg_error *err)
{
	struct sg_server *s = c->server;
	struct sg_error why;
	if (c->fixed) {
		*ret = sg_principal_ref(c->fixed);
		return 0;
	}
	if (!c->peer.cert)
		return wants_health(h) ? nobody(c, ret, err)
				       : refused(err, ret_status, 401, "missing_client_cert",
						 "no client certificate");
	if (sg_tls_still_good(s->tls, c->peer.cert, sg_clock_utc_us() / 1000000, &why) < 0)
		return resolve_failed(&why, ret_status, err);
	if (*c->peer.kind)
		return refused(err, ret_status, 401, "invalid_client_cert", c->peer.text);
	if (c->principal && c->generation == s->generation) {
		*ret = sg_principal_ref(c->principal);
		return 0;
	}
	struct sg_credentials cred = {
		c->peer.subject, c->peer.issuer, c->peer.serial, c->peer.fingerprint, c->peer.san};
	if (sg_grants_resolve(s->grants, &cred, "direct", ret, &why) < 0)
		return resolve_failed(&why, ret_status, err);
	sg_principal_unref(c->principal);
	c->principal = sg_principal_ref(*ret);
	c->generation = s->generation;
	return 0;
}

/* Whoever sends an identity header here is refused; the record says who it was. */
static int admit_direct(struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret,
	int *ret_status, struct sg_error *err)
{
	char text[128];
	int r = from_certificate(c, h, ret, ret_status, err);
	if (r < 0 || !h->identity)
		return r;
	(void)snprintf(text, sizeof(text), "identity header refused at the direct door: %s",
		*h->alias ? h->alias : "x-client-cert-*");
	return refused(err, ret_status, 400, "identity_alias", text);
}

int sg_admit(struct sg_conn *c, const struct sg_head *h, struct sg_principal **ret, int *ret_status,
	struct sg_error *err)
{
	if (c->door->kind == SG_DOOR_DIRECT)
		return admit_direct(c, h, ret, ret_status, err);
	if (!c->fixed)
		return admit_edge(c, h, ret, ret_status, err);
	*ret = sg_principal_ref(c->fixed);
	return 0;
}
