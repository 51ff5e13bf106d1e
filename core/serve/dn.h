/* Distinguished names: one canonical text for one name, wherever it came from.
 *
 * Source: RFC 4514 (string form), RFC 4519 (attribute types). A name is parsed into RDNs, most
 * specific first, and printed again: attribute types by the short name of our table or as dotted
 * decimal; values as UTF-8 with RFC 4514 escapes, control and invisible characters as \XX pairs;
 * the attributes of a multi-valued RDN sorted. Two names are the same actor exactly when their
 * canonical texts are equal, byte for byte: values are not folded in case or white space.
 *
 * Refused, each with its kind: a name of no RDN ("empty-subject"), a NUL in a value
 * ("nul-in-subject"), a canonical text above SG_DN_MAX_TEXT or more than SG_DN_MAX_ATTRIBUTES
 * ("subject-too-long"), anything else that is not a name ("invalid-subject").
 */
#ifndef SG_SERVE_DN_H
#define SG_SERVE_DN_H

#include <openssl/x509.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define SG_DN_MAX_TEXT 4096 /* bytes of canonical text */
#define SG_DN_MAX_ATTRIBUTES 64

/* Parses RFC 4514 text (RFC 2253's escapes too; white space around separators is skipped; RFC
 * 2253's quoted values and ';' are refused) and appends the canonical text to out. SG_EINVALID
 * with a kind from above. */
int sg_dn_canonical(const char *text, size_t n, struct sg_buf *out, struct sg_error *err);

/* The same from a certificate's name. */
int sg_dn_of_x509(const X509_NAME *name, struct sg_buf *out, struct sg_error *err);

#endif
