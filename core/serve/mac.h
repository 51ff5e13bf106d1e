/* The per-request MAC that our nginx module makes: proof that a request came through the edge,
 * for deployments where the peer's uid alone is not enough.
 *
 * Header: "v1 t=<unix seconds> n=<32 hex> mac=<64 hex>"; HMAC-SHA256 (RFC 2104) with the 32 bytes
 * of the key file over "stargraph-edge-v1\n", t, n, method, target, subject, issuer, serial,
 * fingerprint, san and refused, each followed by "\n" (an absent header is an empty line). The body
 * is not covered. A time more than 30 seconds off, or a nonce seen before, is refused.
 */
#ifndef SG_SERVE_MAC_H
#define SG_SERVE_MAC_H

#include <stdint.h>

#include "base/error.h"
#include "serve/head.h"

#define SG_MAC_WINDOW_S 30
#define SG_MAC_MAX_NONCES (1U << 22) /* remembered a minute; more requests than that: refused */

struct sg_mac;

/* path: a file of mode 0600 that holds 64 hex digits. SG_EREFUSED otherwise. */
int sg_mac_create(struct sg_mac **ret, const char *path, struct sg_error *err);
void sg_mac_destroy(struct sg_mac *m); /* NULL is fine */

/* SG_EDENIED with a text that says what does not hold; SG_EBUSY: the nonce cache is full. now_s is
 * the wall clock. */
int sg_mac_verify(struct sg_mac *m, const struct sg_head *h, int64_t now_s, struct sg_error *err);

#endif
