/* The direct door's TLS: one SSL_CTX of one reading of certificate, key, CA and CRL.
 *
 * TLS 1.2 and 1.3, a stated cipher list, no renegotiation, no compression, client certificates by
 * the configured CA only. Sessions resume within one sg_tls only; what is checked at a handshake
 * (expiry, CRL) is checked again on every request, resumed or kept alive: sg_tls_still_good.
 *
 * h2o 2.2 throws away the alert of a failed handshake. So during a handshake OpenSSL writes
 * straight to the socket, and the alert leaves before h2o closes; h2o's own BIO returns when the
 * handshake is done.
 */
#ifndef SG_SERVE_TLS_H
#define SG_SERVE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"

struct sg_tls;

/* What a verified client certificate says. Strings owned, never NULL. */
struct sg_tls_peer {
	char *subject, *issuer, *serial, *fingerprint, *san;
	char kind[64], text[256]; /* why the certificate names nobody; "" = it does */
	X509 *cert;		  /* owned; NULL = none was sent */
};

/* SG_EREFUSED with the file's name. The caller has one reference; every connection that was
 * accepted with its context needs another, because callbacks of the SSL objects come back here. */
int sg_tls_create(struct sg_tls **ret, const struct sg_config *c, struct sg_error *err);
struct sg_tls *sg_tls_ref(struct sg_tls *t);
void sg_tls_unref(struct sg_tls *t); /* NULL is fine */
SSL_CTX *sg_tls_context(const struct sg_tls *t);

/* done(socket, peer): a handshake on this socket is complete; the callee takes over *peer. socket
 * is what h2o's BIO carries; fd_of gives its descriptor. Set once. */
void sg_tls_on_done(struct sg_tls *t, void (*done)(void *socket, struct sg_tls_peer *peer),
	int (*fd_of)(void *socket));

void sg_tls_peer_finish(struct sg_tls_peer *p);

/* Is this certificate good at this moment: in its time, not revoked by the CRL in force? SG_EDENIED
 * with a reason. A CRL that expired or cannot be read denies everybody. */
int sg_tls_still_good(struct sg_tls *t, X509 *cert, int64_t now_s, struct sg_error *err);

/* Did any of the files change since they were read (device, inode, size, mtime)? */
bool sg_tls_changed(const struct sg_tls *t);
/* True once for each changed state of the files: whether to log about it (again). */
bool sg_tls_complain(struct sg_tls *t);
/* The CRL file cannot be read any more: fail closed until a new sg_tls replaces this one. */
void sg_tls_fail_closed(struct sg_tls *t, const char *why);

#endif
