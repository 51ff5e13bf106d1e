/* Envoy's x-forwarded-client-cert, read strictly.
 *
 * Source: Envoy's "HTTP header manipulation" documentation. Exactly one element is accepted (Envoy
 * set to SANITIZE_SET writes one); keys By, Hash, Cert, Chain, Subject, URI, DNS, each once except
 * URI and DNS; Subject must be quoted. Envoy puts the RFC 2253 text between the quotes as it is:
 * its backslashes belong to the name and stay.
 */
#ifndef SG_SERVE_XFCC_H
#define SG_SERVE_XFCC_H

#include <stddef.h>

#include "base/error.h"

#define SG_XFCC_MAX (64 * 1024) /* bytes of the header */

struct sg_xfcc {
	char *subject, *fingerprint, *san; /* owned; "" when absent; san: "URI:…,DNS:…" */
};

/* SG_EINVALID says at which byte. */
int sg_xfcc_parse(const char *text, size_t n, struct sg_xfcc *ret, struct sg_error *err);
void sg_xfcc_finish(struct sg_xfcc *x);

#endif
