/* From what a door proved to who asks and what they may do.
 *
 * One rule set for every door: the canonical subject (dn.h) is the actor; an empty subject is
 * accepted only with a SAN URI, which then is the actor ("URI:spiffe://…"); a certificate on the
 * deny list is nobody. Grants add up: every [[serve.cleared.grant]] whose subject, san or
 * fingerprint matches gives its capabilities. Under oss-default everybody has everything.
 */
#ifndef SG_SERVE_IDENTITY_H
#define SG_SERVE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "base/error.h"
#include "config/config.h"

/* What the edge's headers or the verified certificate said; NULL or "" = not carried. Borrowed. */
struct sg_credentials {
	const char *subject, *issuer, *serial, *fingerprint, *san;
};

/* An identity that may be held by a connection and its requests at once. */
struct sg_principal {
	struct sg_identity id; /* its strings are owned here */
	unsigned references;
	char *strings;
	char **capabilities; /* owned; NULL when id's are static */
};

struct sg_grants; /* the compiled grants and deny list of one configuration */

/* SG_EINVALID names the grant whose subject or fingerprint cannot be read. */
int sg_grants_create(struct sg_grants **ret, const struct sg_config *c, struct sg_error *err);
void sg_grants_destroy(struct sg_grants *g); /* NULL is fine */

/* The principal of these credentials; a reference the caller drops. door is a static string.
 * SG_EDENIED, its kind the reason that is audited: "missing_client_cert", "invalid_client_cert"
 * (with dn.h's cause in the text), "certificate-denied". */
int sg_grants_resolve(struct sg_grants *g, const struct sg_credentials *cred, const char *door,
	struct sg_principal **ret, struct sg_error *err);
/* The actor "anonymous" with every capability of the surface (oss-default), or, authenticated
 * false, nobody: a local probe. */
struct sg_principal *sg_principal_anonymous(const char *door, bool authenticated);

struct sg_principal *sg_principal_ref(struct sg_principal *p);
void sg_principal_unref(struct sg_principal *p); /* NULL is fine */

/* Is this certificate (64 lowercase hex digits) on the deny list? */
bool sg_grants_denies(const struct sg_grants *g, const char *fingerprint);

#endif
