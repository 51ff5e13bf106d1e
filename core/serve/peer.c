/* Peers by SO_PEERCRED and by sock_diag. */
#include "serve/peer.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"

#define OVERFLOW_UID 65534
#define STATE_ESTABLISHED 1
#define ANSWER_TIMEOUT_S 1

static int resolve_user(const char *name, uid_t *ret, struct sg_error *err)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(name, &end, 10);
	if (*name >= '0' && *name <= '9' && !*end && !errno && n < OVERFLOW_UID * 65536UL) {
		*ret = (uid_t)n;
		return 0;
	}
	const struct passwd *pw = getpwnam(name);
	if (!pw)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"edge_users: there is no user \"%s\" on this host", name);
	*ret = pw->pw_uid;
	return 0;
}

int sg_edge_users_resolve(
	struct sg_edge_users *ret, const struct sg_config *c, struct sg_error *err)
{
	struct sg_edge_users u = {calloc(c->n_edge_users + 1, sizeof(uid_t)), 0};
	if (!u.uids)
		return sg_error_nomem(err);
	for (; u.n < c->n_edge_users; u.n++) {
		int r = resolve_user(c->edge_users[u.n], &u.uids[u.n], err);
		if (r < 0) {
			sg_edge_users_finish(&u);
			return r;
		}
	}
	*ret = u;
	return 0;
}

void sg_edge_users_finish(struct sg_edge_users *u)
{
	free(u->uids);
	*u = (struct sg_edge_users){0};
}

bool sg_edge_users_have(const struct sg_edge_users *u, uid_t uid)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->uids[i] == uid)
			return true;
	return false;
}

int sg_peer_unix(int fd, uid_t *ret, struct sg_error *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return sg_error_errno(err, errno, "SO_PEERCRED");
	*ret = cred.uid;
	return 0;
}

/* The peer's socket has our remote address as its local one. */
static bool fill_id(const struct sockaddr_storage *peer, const struct sockaddr_storage *us,
	struct inet_diag_req_v2 *q)
{
	q->id.idiag_cookie[0] = q->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	q->sdiag_family = (uint8_t)peer->ss_family;
	if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *p = (const void *)peer, *u = (const void *)us;
		q->id.idiag_sport = p->sin_port;
		q->id.idiag_dport = u->sin_port;
		q->id.idiag_src[0] = p->sin_addr.s_addr;
		q->id.idiag_dst[0] = u->sin_addr.s_addr;
		return true;
	}
	if (peer->ss_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *p = (const void *)peer, *u = (const void *)us;
	q->id.idiag_sport = p->sin6_port;
	q->id.idiag_dport = u->sin6_port;
	memcpy(q->id.idiag_src, &p->sin6_addr, sizeof(p->sin6_addr));
	memcpy(q->id.idiag_dst, &u->sin6_addr, sizeof(u->sin6_addr));
	return true;
}

static int ask(const struct inet_diag_req_v2 *q, struct inet_diag_msg *ret, struct sg_error *err)
{
	struct {
		struct nlmsghdr nl;
		struct inet_diag_req_v2 q;
	} msg = {.nl = {.nlmsg_len = sizeof(msg),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.q = *q};
	union {
		struct nlmsghdr nl;
		char bytes[8192];
	} answer;
	sg_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct timeval limit = {.tv_sec = ANSWER_TIMEOUT_S};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		sendto(fd, &msg, sizeof(msg), 0, (const void *)&kernel, sizeof(kernel)) < 0)
		return sg_error_errno(err, errno, "sock_diag");
	ssize_t n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return sg_error_errno(err, errno, "sock_diag");
	if (!NLMSG_OK(&answer.nl, (unsigned)n))
		return sg_error_set(err, SG_EIO, NULL, "sock_diag: short answer");
	if (answer.nl.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(&answer.nl);
		return e->error == -ENOENT ? 1 : sg_error_errno(err, -e->error, "sock_diag");
	}
	if (answer.nl.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return sg_error_set(err, SG_EIO, NULL, "sock_diag: unexpected answer");
	memcpy(ret, NLMSG_DATA(&answer.nl), sizeof(*ret));
	return 0;
}

int sg_peer_loopback(int fd, uid_t *ret, struct sg_error *err)
{
	struct sockaddr_storage peer, us;
	socklen_t peer_len = sizeof(peer), us_len = sizeof(us);
	struct inet_diag_req_v2 q = {
		.sdiag_protocol = IPPROTO_TCP, .idiag_states = 1U << STATE_ESTABLISHED};
	struct inet_diag_msg m;
	if (getpeername(fd, (void *)&peer, &peer_len) < 0 ||
		getsockname(fd, (void *)&us, &us_len) < 0)
		return 1; /* gone already */
	if (!fill_id(&peer, &us, &q))
		return 1;
	int r = ask(&q, &m, err);
	if (r != 0)
		return r;
	if (m.idiag_state != STATE_ESTABLISHED || m.idiag_inode == 0 || m.idiag_uid == 0 ||
		m.idiag_uid == OVERFLOW_UID)
		return 1;
	*ret = m.idiag_uid;
	return 0;
}
