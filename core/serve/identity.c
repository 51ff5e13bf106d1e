/* Credentials to principals: canonical names, the deny list, grants, and a small cache, because an
 * edge's connection carries the requests of many clients and the same ones come again. */
#include "serve/identity.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "serve/dn.h"

#define CACHE_SLOTS 256	      /* principals remembered, one a slot */
#define MAX_FIELD (64 * 1024) /* bytes of one credential */

struct grant {
	char *subject; /* canonical, or NULL */
	const struct sg_grant *source;
	char fingerprint[SG_SHA256_HEX];
};

struct slot {
	uint8_t key[SG_SHA256_BYTES];
	struct sg_principal *principal; /* owned reference, or NULL */
};

struct sg_grants {
	const struct sg_config *config; /* borrowed */
	struct grant *grants;
	size_t n_grants;
	char (*denied)[SG_SHA256_HEX];
	size_t n_denied;
	struct slot cache[CACHE_SLOTS];
};

/* What the permissive profile grants: the original's set and what this surface adds. */
static const char *const everything[] = {
	"runs:start",
	"runs:read",
	"runs:read:all",
	"runs:cancel",
	"runs:pause",
	"runs:respond",
	"runs:resume",
	"counterfactual:run",
	"artifacts:read",
	"artifacts:write",
	"metrics:read",
	"embeddings:create",
	"db.*:read",
	"db.*:write",
};

/* 64 hex digits, colons allowed between bytes as openssl prints them. */
static int read_fingerprint(const char *s, char ret[SG_SHA256_HEX], struct sg_error *err)
{
	size_t n = 0;
	for (const char *p = s; *p; p++) {
		if (*p == ':')
			continue;
		if (!isxdigit((unsigned char)*p) || n == SG_SHA256_HEX - 1)
			break;
		ret[n++] = (char)tolower((unsigned char)*p);
	}
	ret[n] = '\0';
	if (n != SG_SHA256_HEX - 1)
		return sg_error_set(err, SG_EINVALID, NULL,
			"fingerprint \"%s\": 64 hex digits (SHA-256 of the certificate) expected",
			s);
	return 0;
}

static int compile_grant(struct grant *g, const struct sg_grant *source, struct sg_error *err)
{
	g->source = source;
	if (source->fingerprint)
		return read_fingerprint(source->fingerprint, g->fingerprint, err);
	if (!source->subject)
		return 0;
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	int r = sg_dn_canonical(source->subject, strlen(source->subject), &b, err);
	if (r < 0)
		return sg_error_prefix(err, "grant for \"%s\"", source->subject);
	g->subject = sg_buf_take(&b);
	return g->subject ? 0 : sg_error_nomem(err);
}

static int compile(struct sg_grants *g, struct sg_error *err)
{
	const struct sg_config *c = g->config;
	g->grants = calloc(c->n_grants + 1, sizeof(*g->grants));
	g->denied = calloc(c->n_deny_fingerprints + 1, sizeof(*g->denied));
	if (!g->grants || !g->denied)
		return sg_error_nomem(err);
	for (g->n_grants = 0; g->n_grants < c->n_grants; g->n_grants++) {
		int r = compile_grant(&g->grants[g->n_grants], &c->grants[g->n_grants], err);
		if (r < 0)
			return r;
	}
	for (; g->n_denied < c->n_deny_fingerprints; g->n_denied++) {
		int r = read_fingerprint(
			c->deny_fingerprints[g->n_denied], g->denied[g->n_denied], err);
		if (r < 0)
			return sg_error_prefix(err, "deny list");
	}
	return 0;
}

int sg_grants_create(struct sg_grants **ret, const struct sg_config *c, struct sg_error *err)
{
	struct sg_grants *g = calloc(1, sizeof(*g));
	if (!g)
		return sg_error_nomem(err);
	g->config = c;
	int r = compile(g, err);
	if (r < 0) {
		sg_grants_destroy(g);
		return r;
	}
	*ret = g;
	return 0;
}

void sg_grants_destroy(struct sg_grants *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->grants && i < g->config->n_grants; i++)
		free(g->grants[i].subject);
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		sg_principal_unref(g->cache[i].principal);
	free(g->grants);
	free(g->denied);
	free(g);
}

bool sg_grants_denies(const struct sg_grants *g, const char *fingerprint)
{
	for (size_t i = 0; i < g->n_denied; i++)
		if (strcmp(g->denied[i], fingerprint) == 0)
			return true;
	return false;
}

struct sg_principal *sg_principal_ref(struct sg_principal *p)
{
	p->references++;
	return p;
}

void sg_principal_unref(struct sg_principal *p)
{
	if (!p || --p->references > 0)
		return;
	for (size_t i = 0; p->capabilities && i < p->id.n_capabilities; i++)
		free(p->capabilities[i]);
	free(p->strings);
	free(p->capabilities);
	free(p);
}

struct sg_principal *sg_principal_anonymous(const char *door, bool authenticated)
{
	struct sg_principal *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->references = 1;
	p->id = (struct sg_identity){
		.authenticated = authenticated,
		.actor = authenticated ? "anonymous" : "nobody",
		.subject = "",
		.issuer = "",
		.serial = "",
		.fingerprint = "",
		.san = "",
		.door = door,
		.capabilities = everything,
		.n_capabilities = authenticated ? SG_ARRAY_LEN(everything) : 0,
	};
	return p;
}

/* Is item one of the comma list? Items hold no comma: the edge refuses such a SAN. */
static bool list_has(const char *list, const char *item)
{
	size_t n = strlen(item);
	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && memcmp(p, item, n) == 0)
			return true;
	return false;
}

static bool matches(const struct grant *g, const struct sg_identity *id)
{
	if (g->source->fingerprint)
		return strcmp(g->fingerprint, id->fingerprint) == 0;
	if (g->subject)
		return strcmp(g->subject, id->subject) == 0;
	return g->source->san && list_has(id->san, g->source->san);
}

static bool has(const struct sg_principal *p, const char *capability)
{
	for (size_t i = 0; i < p->id.n_capabilities; i++)
		if (strcmp(p->capabilities[i], capability) == 0)
			return true;
	return false;
}

static int add_capability(struct sg_principal *p, const char *name, struct sg_error *err)
{
	if (has(p, name))
		return 0;
	char *copy = strdup(name);
	if (!copy)
		return sg_error_nomem(err);
	p->capabilities[p->id.n_capabilities++] = copy;
	return 0;
}

static int collect(const struct sg_grants *g, struct sg_principal *p, struct sg_error *err)
{
	if (g->config->profile == SG_PROFILE_OSS_DEFAULT) {
		p->id.capabilities = everything;
		p->id.n_capabilities = SG_ARRAY_LEN(everything);
		return 0;
	}
	size_t most = 0;
	for (size_t i = 0; i < g->n_grants; i++)
		most += g->grants[i].source->n_capabilities;
	p->capabilities = calloc(most + 1, sizeof(*p->capabilities));
	if (!p->capabilities)
		return sg_error_nomem(err);
	p->id.capabilities = (const char *const *)p->capabilities;
	for (size_t i = 0; i < g->n_grants; i++) {
		const struct sg_grant *s = g->grants[i].source;
		if (!matches(&g->grants[i], &p->id))
			continue;
		for (size_t k = 0; k < s->n_capabilities; k++) {
			int r = add_capability(p, s->capabilities[k], err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static const char *text(const char *s)
{
	return s ? s : "";
}

static void add_lower(struct sg_buf *b, const char *s)
{
	for (; *s; s++)
		sg_buf_addc(b, (char)tolower((unsigned char)*s));
}

/* subject NUL issuer NUL serial NUL fingerprint NUL san NUL actor NUL, normalised. */
static int lay_out(struct sg_principal *p, const struct sg_credentials *c, const char *subject,
	const char *actor, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(6 * MAX_FIELD);
	size_t at[6];
	sg_autobuf issuer = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	const char *issuer_text = text(c->issuer);
	if (sg_dn_canonical(issuer_text, strlen(issuer_text), &issuer, NULL) == 0)
		issuer_text = issuer.data;
	at[0] = b.len, sg_buf_add(&b, subject, strlen(subject) + 1);
	at[1] = b.len, sg_buf_add(&b, issuer_text, strlen(issuer_text) + 1);
	at[2] = b.len, add_lower(&b, text(c->serial)), sg_buf_addc(&b, '\0');
	at[3] = b.len, add_lower(&b, text(c->fingerprint)), sg_buf_addc(&b, '\0');
	at[4] = b.len, sg_buf_add(&b, text(c->san), strlen(text(c->san)) + 1);
	at[5] = b.len, sg_buf_add(&b, actor, strlen(actor) + 1);
	p->strings = sg_buf_take(&b);
	if (!p->strings)
		return sg_error_nomem(err);
	p->id.subject = p->strings + at[0];
	p->id.issuer = p->strings + at[1];
	p->id.serial = p->strings + at[2];
	p->id.fingerprint = p->strings + at[3];
	p->id.san = p->strings + at[4];
	p->id.actor = p->strings + at[5];
	return 0;
}

/* The first SAN URI, as "URI:…", or NULL. */
static char *first_uri(const char *san)
{
	for (const char *p = san; *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, "URI:", 4) == 0 && strcspn(p, ",") > 4)
			return strndup(p, strcspn(p, ","));
	return NULL;
}

static int deny(struct sg_error *err, const char *kind, const char *why)
{
	return sg_error_set(err, SG_EDENIED, kind, "%s", why);
}

static bool is_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdefABCDEF")] == '\0';
}

/* What an edge sends beside the name is compared and recorded: it must be what it says it is. */
static bool well_formed(const struct sg_credentials *c)
{
	size_t n = strlen(text(c->fingerprint));
	return (n == 0 || n == SG_SHA256_HEX - 1) && is_hex(text(c->fingerprint)) &&
	       is_hex(text(c->serial));
}

static int name_them(struct sg_principal *p, const struct sg_credentials *c, struct sg_error *err)
{
	const char *given = text(c->subject);
	sg_autobuf subject = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	struct sg_error why;
	if (!well_formed(c))
		return deny(err, "invalid_client_cert", "a fingerprint or serial that is none");
	int r = sg_dn_canonical(given, strlen(given), &subject, &why);
	if (r == 0)
		return lay_out(p, c, subject.data, subject.data, err);
	if (strcmp(why.kind, "empty-subject") != 0)
		return deny(err, "invalid_client_cert", why.text);
	sg_autofree char *uri = first_uri(text(c->san));
	if (uri)
		return lay_out(p, c, "", uri, err);
	bool carried =
		*text(c->fingerprint) || *text(c->serial) || *text(c->issuer) || *text(c->san);
	return carried ? deny(err, "invalid_client_cert",
				 "the certificate has neither a subject nor a SAN URI")
		       : deny(err, "missing_client_cert", "no client certificate");
}

static int make(struct sg_grants *g, const struct sg_credentials *c, const char *door,
	struct sg_principal **ret, struct sg_error *err)
{
	struct sg_principal *p = calloc(1, sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	p->references = 1;
	p->id.door = door;
	p->id.authenticated = true;
	int r = name_them(p, c, err);
	if (r == 0 && sg_grants_denies(g, p->id.fingerprint))
		r = deny(err, "certificate-denied", "the certificate is on the deny list");
	if (r == 0)
		r = collect(g, p, err);
	if (r < 0) {
		sg_principal_unref(p);
		return r;
	}
	*ret = p;
	return 0;
}

/* Hash of all that a principal depends on, with lengths so that fields cannot run together. */
static int cache_key(const struct sg_credentials *c, const char *door, uint8_t ret[SG_SHA256_BYTES])
{
	const char *f[] = {c->subject, c->issuer, c->serial, c->fingerprint, c->san, door};
	sg_autobuf b = SG_BUF_INIT(8 * MAX_FIELD);
	for (size_t i = 0; i < SG_ARRAY_LEN(f); i++)
		sg_buf_add(&b, text(f[i]), strlen(text(f[i])) + 1);
	if (b.failed)
		return -SG_ELIMIT;
	sg_sha256(b.data, b.len, ret);
	return 0;
}

int sg_grants_resolve(struct sg_grants *g, const struct sg_credentials *cred, const char *door,
	struct sg_principal **ret, struct sg_error *err)
{
	uint8_t key[SG_SHA256_BYTES];
	if (cache_key(cred, door, key) < 0)
		return deny(err, "invalid_client_cert", "the identity headers are too long");
	struct slot *s = &g->cache[key[0] % CACHE_SLOTS];
	if (s->principal && memcmp(s->key, key, sizeof(key)) == 0) {
		*ret = sg_principal_ref(s->principal);
		return 0;
	}
	struct sg_principal *p = NULL;
	int r = make(g, cred, door, &p, err);
	if (r < 0)
		return r;
	sg_principal_unref(s->principal);
	s->principal = sg_principal_ref(p);
	memcpy(s->key, key, sizeof(key));
	*ret = p;
	return 0;
}
