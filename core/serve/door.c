/* Doors and connections: listening, accepting, TLS handshakes, cutting what is slow, lingering. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "serve/internal.h"

#define BACKLOG 1024
#define LINGER_BYTES (4U << 20) /* most that a lingering connection may still send */
#define ACCEPT_BURST 64		/* connections taken in one turn of the loop */

const char *const sg_door_names[SG_DOORS] = {"unix", "loopback", "direct"};

static int64_t ms(int64_t n)
{
	return n * 1000;
}

static void on_linger_read(h2o_socket_t *sock, const char *err)
{
	struct sg_linger *l = sock->data;
	l->eaten += sock->input->size;
	h2o_buffer_consume(&sock->input, sock->input->size);
	if (!err && l->eaten < LINGER_BYTES)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->server->n_lingers--;
	h2o_socket_close(sock);
	free(l);
}

/* Half-closes fd and reads on for a moment: closing with unread input would reset the connection
 * and may take our last words (an alert, a 413) with it. Takes over fd. */
static void linger_start(struct sg_server *s, int fd)
{
	struct sg_linger *l = s->n_lingers < SG_SERVE_MAX_LINGER ? calloc(1, sizeof(*l)) : NULL;
	if (!l) {
		(void)close(fd);
		return;
	}
	(void)shutdown(fd, SHUT_WR);
	l->server = s;
	l->since_us = sg_clock_monotonic_us();
	l->prev = &s->lingers;
	l->next = s->lingers.next;
	l->prev->next = l->next->prev = l;
	s->n_lingers++;
	l->sock = h2o_evloop_socket_create(s->loop, fd, 0);
	l->sock->data = l;
	h2o_socket_read_start(l->sock, on_linger_read);
}

void sg_conn_linger(struct sg_conn *c)
{
	if (c->linger_fd < 0)
		c->linger_fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
}

static void on_close(void *data)
{
	struct sg_conn *c = data;
	struct sg_server *s = c->server;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->door->connections--;
	if (c->linger_fd >= 0)
		linger_start(s, c->linger_fd);
	sg_principal_unref(c->fixed);
	sg_principal_unref(c->principal);
	sg_tls_peer_finish(&c->peer);
	sg_tls_unref(c->tls);
	free(c);
}

/* Anonymous where the profile says so; otherwise the kernel tells whether this is the edge. */
static bool identify(struct sg_conn *c)
{
	struct sg_server *s = c->server;
	const char *name = sg_door_names[c->door->kind];
	struct sg_error err;
	uid_t uid;
	int r;
	if (strcmp(s->config->auth_provider, "anonymous") == 0) {
		c->fixed = sg_principal_anonymous(name, true);
		return c->fixed != NULL;
	}
	if (c->door->kind == SG_DOOR_DIRECT)
		return true;
	r = c->door->kind == SG_DOOR_UNIX ? sg_peer_unix(c->fd, &uid, &err)
					  : sg_peer_loopback(c->fd, &uid, &err);
	if (r < 0)
		sg_log(SG_LOG_WARNING, "%s door: cannot tell the peer's user: %s", name, err.text);
	c->edge = r == 0 && sg_edge_users_have(&s->edge_users, uid);
	if (!c->edge)
		c->fixed = sg_principal_anonymous(name, false);
	return c->edge || c->fixed;
}

static void hand_to_h2o(struct sg_conn *c)
{
	struct timeval now = *h2o_get_timestamp(&c->server->ctx, NULL, NULL);
	c->handshaking = false;
	c->since_us = 0;
	h2o_http1_accept(&c->server->accept, c->sock, now);
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
	struct sg_conn *c = sock->on_close.data;
	if (!err) {
		hand_to_h2o(c);
		return;
	}
	sg_conn_linger(c);
	h2o_socket_close(sock);
}

static void tls_done(void *socket, struct sg_tls_peer *peer)
{
	h2o_socket_t *sock = socket;
	struct sg_conn *c = sock->on_close.data;
	sg_tls_peer_finish(&c->peer);
	c->peer = *peer;
}

static int tls_fd_of(void *socket)
{
	return h2o_socket_get_fd(socket);
}

void sg_door_attach_tls(struct sg_tls *t)
{
	sg_tls_on_done(t, tls_done, tls_fd_of);
}

static void begin(struct sg_door *d, h2o_socket_t *sock)
{
	struct sg_server *s = d->server;
	struct sg_conn *c = calloc(1, sizeof(*c));
	if (!c) {
		h2o_socket_close(sock);
		return;
	}
	c->server = s;
	c->door = d;
	c->sock = sock;
	c->fd = h2o_socket_get_fd(sock);
	c->linger_fd = -1;
	c->prev = &s->conns;
	c->next = s->conns.next;
	c->prev->next = c->next->prev = c;
	d->connections++;
	sock->on_close.cb = on_close;
	sock->on_close.data = c;
	if (!identify(c)) {
		h2o_socket_close(sock);
		return;
	}
	if (d->kind != SG_DOOR_DIRECT) {
		hand_to_h2o(c);
		return;
	}
	c->tls = sg_tls_ref(s->tls);
	c->handshaking = true;
	c->since_us = sg_clock_monotonic_us();
	h2o_socket_ssl_handshake(sock, sg_tls_context(c->tls), NULL, on_handshake);
}

static bool full(struct sg_door *d)
{
	if (d->connections < (uint64_t)d->server->config->limits.connections)
		return false;
	int64_t now = sg_clock_monotonic_us();
	if (now - d->complained_us > 1000000) {
		sg_log(SG_LOG_WARNING, "limits.connections (%lld) reached; new ones are closed",
			(long long)d->server->config->limits.connections);
		d->complained_us = now;
	}
	return true;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
	struct sg_door *d = listener->data;
	h2o_socket_t *sock;
	if (err)
		return;
	for (int i = 0; i < ACCEPT_BURST && (sock = h2o_evloop_socket_accept(listener)); i++) {
		if (full(d))
			h2o_socket_close(sock);
		else
			begin(d, sock);
	}
}

void sg_conn_cut(struct sg_conn *c)
{
	(void)shutdown(c->fd, SHUT_RDWR);
}

/* A request that began to arrive and is not whole, a write that stands still, a slow handshake. */
static bool too_slow(struct sg_conn *c, int64_t now)
{
	if (c->handshaking)
		return now - c->since_us > ms(SG_SERVE_HANDSHAKE_MS);
	bool writing = h2o_socket_is_writing(c->sock);
	if (!writing || c->sock->bytes_written != c->write_mark) {
		c->writing_us = now;
		c->write_mark = c->sock->bytes_written;
	}
	if (writing)
		return now - c->writing_us > ms(SG_SERVE_WRITE_MS);
	if (c->busy || c->upgraded || c->sock->input->size == 0)
		c->since_us = 0;
	else if (!c->since_us)
		c->since_us = now;
	return c->since_us && now - c->since_us > ms(SG_SERVE_REQUEST_MS);
}

void sg_conns_sweep(struct sg_server *s, int64_t now_us)
{
	for (struct sg_conn *c = s->conns.next; c != &s->conns; c = c->next)
		if (too_slow(c, now_us))
			sg_conn_cut(c);
	for (struct sg_linger *l = s->lingers.next; l != &s->lingers; l = l->next)
		if (now_us - l->since_us > ms(SG_SERVE_LINGER_MS))
			(void)shutdown(h2o_socket_get_fd(l->sock), SHUT_RDWR);
}

/* What was sent already is still read and answered; then the peer sees the end. */
void sg_conns_half_close_idle(struct sg_server *s)
{
	for (struct sg_conn *c = s->conns.next; c != &s->conns; c = c->next)
		if (!c->busy && !c->upgraded)
			(void)shutdown(c->fd, SHUT_RD);
}

void sg_conns_cut_all(struct sg_server *s)
{
	for (struct sg_conn *c = s->conns.next; c != &s->conns; c = c->next)
		sg_conn_cut(c);
	for (struct sg_linger *l = s->lingers.next; l != &s->lingers; l = l->next)
		(void)shutdown(h2o_socket_get_fd(l->sock), SHUT_RDWR);
}

static void listen_on(struct sg_server *s, enum sg_door_kind kind, int fd)
{
	struct sg_door *d = &s->doors[kind];
	d->listener = h2o_evloop_socket_create(s->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	d->listener->data = d;
	h2o_socket_read_start(d->listener, on_accept);
}

/* A socket file that nobody answers at is left over from a crash; one that answers is not ours. */
static int clear_stale(const struct sockaddr_un *a, struct sg_error *err)
{
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : sg_error_errno(err, errno, "%s", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"socket_path %s: exists and is no socket", a->sun_path);
	sg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const void *)a, sizeof(*a)) == 0)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"socket_path %s: another process answers there", a->sun_path);
	if (unlink(a->sun_path) < 0)
		return sg_error_errno(err, errno, "%s", a->sun_path);
	return 0;
}

static int open_unix(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	sg_autoclose int fd = -1;
	int r = sg_activation_take(c->socket_path, &fd, err);
	if (r < 0)
		return r;
	if (r == 0) {
		listen_on(s, SG_DOOR_UNIX, fd);
		fd = -1;
		s->doors[SG_DOOR_UNIX].lent = true;
		sg_log(SG_LOG_INFO, "listening on unix:%s, systemd's", c->socket_path);
		return 0;
	}
	if (!c->socket_path || !*c->socket_path)
		return 0;
	if (strlen(c->socket_path) >= sizeof(a.sun_path))
		return sg_error_set(err, SG_EREFUSED, NULL, "socket_path %s: longer than %zu bytes",
			c->socket_path, sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, c->socket_path, strlen(c->socket_path));
	r = clear_stale(&a, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t old = umask(0177);
	bool bound = fd >= 0 && bind(fd, (const void *)&a, sizeof(a)) == 0;
	int e = errno;
	(void)umask(old);
	if (!bound)
		return sg_error_errno(err, e, "socket_path %s", c->socket_path);
	if (chmod(c->socket_path, c->socket_mode) < 0 || listen(fd, BACKLOG) < 0)
		return sg_error_errno(err, errno, "socket_path %s", c->socket_path);
	listen_on(s, SG_DOOR_UNIX, fd);
	fd = -1;
	sg_log(SG_LOG_INFO, "listening on unix:%s", c->socket_path);
	return 0;
}

static int read_address(const struct sg_config *c, struct sockaddr_storage *ret, socklen_t *ret_len,
	struct sg_error *err)
{
	struct sockaddr_in *v4 = (void *)ret;
	struct sockaddr_in6 *v6 = (void *)ret;
	memset(ret, 0, sizeof(*ret));
	const char *host = strcmp(c->host, "localhost") == 0 ? "127.0.0.1" : c->host;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)c->port);
		*ret_len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)c->port);
		*ret_len = sizeof(*v6);
		return 0;
	}
	return sg_error_set(err, SG_EREFUSED, NULL,
		"host \"%s\": an IPv4 or IPv6 address is needed, not a name", c->host);
}

static int open_tcp(struct sg_server *s, struct sg_error *err)
{
	const struct sg_config *c = s->config;
	struct sockaddr_storage a;
	socklen_t len = 0;
	const int on = 1;
	if (c->port == 0)
		return 0;
	int r = read_address(c, &a, &len, err);
	if (r < 0)
		return r;
	if (!s->tls && !sg_config_is_loopback(c->host))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"plain HTTP on %s: only loopback may be served without TLS", c->host);
	sg_autoclose int fd =
		socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (const void *)&a, len) < 0 || listen(fd, BACKLOG) < 0)
		return sg_error_errno(err, errno, "%s port %d", c->host, c->port);
	listen_on(s, s->tls ? SG_DOOR_DIRECT : SG_DOOR_LOOPBACK, fd);
	fd = -1;
	sg_log(SG_LOG_INFO, "listening on %s://%s:%d", s->tls ? "https" : "http", c->host, c->port);
	return 0;
}

int sg_doors_open(struct sg_server *s, struct sg_error *err)
{
	int r = open_unix(s, err);
	return r < 0 ? r : open_tcp(s, err);
}

void sg_doors_close(struct sg_server *s)
{
	for (int i = 0; i < SG_DOORS; i++) {
		if (!s->doors[i].listener)
			continue;
		h2o_socket_close(s->doors[i].listener);
		s->doors[i].listener = NULL;
		if (i == SG_DOOR_UNIX && !s->doors[i].lent)
			(void)unlink(s->config->socket_path);
	}
}
