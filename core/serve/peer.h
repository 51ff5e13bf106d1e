/* Who is at the other end of a local connection: the kernel's answer, not the peer's.
 *
 * Unix socket: SO_PEERCRED (unix(7)). Loopback TCP: the uid of the socket at the peer's end, asked
 * of the kernel by sock_diag(7). A peer that closed already (not ESTABLISHED, or no inode), root
 * and the overflow uid are nobody.
 */
#ifndef SG_SERVE_PEER_H
#define SG_SERVE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "config/config.h"

struct sg_edge_users {
	uid_t *uids; /* owned */
	size_t n;
};

/* Names and numbers of config to uids. SG_EREFUSED: no such user; root and nobody are refused on
 * loopback, so naming them there is refused too. */
int sg_edge_users_resolve(
	struct sg_edge_users *ret, const struct sg_config *c, struct sg_error *err);
void sg_edge_users_finish(struct sg_edge_users *u);
bool sg_edge_users_have(const struct sg_edge_users *u, uid_t uid);

/* The uid of a connected unix socket's peer. */
int sg_peer_unix(int fd, uid_t *ret, struct sg_error *err);

/* The uid of a connected loopback TCP socket's peer. Positive outcome 1: nobody. SG_EIO: the kernel
 * did not answer (no inet_diag): nobody can be the edge then. */
int sg_peer_loopback(int fd, uid_t *ret, struct sg_error *err);

#endif
