/* A TLS load client with client certificates: wrk and h2load cannot send one.
 *
 *   load PORT CA CERT KEY keepalive|handshake|resume CONNECTIONS SECONDS PATH
 *
 * One thread, epoll, HTTP/1.1. keepalive: every connection asks again and again. handshake: a new
 * full handshake for each request. resume: a new connection for each, resuming the session of the
 * one before. Prints one JSON line; any failed or non-200 answer counts as an error.
 *
 * keepalive says "ready" when every connection has had its first answer, and goes on when a line
 * comes on standard input: so the handshakes are not in what is measured between the two.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_RESPONSE 65536
#define MAX_SAMPLES (1 << 22)

enum mode { KEEPALIVE, HANDSHAKE, RESUME };

struct conn {
	int fd;
	SSL *ssl;
	SSL_SESSION *session; /* of the connection before, in RESUME */
	bool shaken, sent;
	size_t got;
	double start;
	char in[MAX_RESPONSE];
};

struct load {
	SSL_CTX *ctx;
	enum mode mode;
	int epoll, port;
	char request[1024];
	size_t request_len;
	unsigned long done, errors, resumed;
	float *samples; /* microseconds */
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int on_session(SSL *ssl, SSL_SESSION *s)
{
	struct conn *c = SSL_get_app_data(ssl);
	SSL_SESSION_free(c->session);
	c->session = s;
	return 1; /* ours now */
}

static void open_conn(struct load *l, struct conn *c)
{
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (c->fd < 0)
		die("socket");
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		die("connect");
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll");
	c->ssl = SSL_new(l->ctx);
	if (!c->ssl)
		die("SSL_new");
	SSL_set_app_data(c->ssl, c);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, "localhost");
	if (l->mode == RESUME && c->session)
		SSL_set_session(c->ssl, c->session);
	SSL_set_connect_state(c->ssl);
	c->shaken = c->sent = false;
	c->got = 0;
	c->start = now();
}

static void close_conn(struct conn *c)
{
	/* Without SSL_shutdown OpenSSL would call the session bad and not resume it. */
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	struct linger reset = {1, 0}; /* no TIME_WAIT by the ten thousand */
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(c->fd);
}

/* 1 when a whole response with Content-Length is there; -1 when it cannot become one. */
static int complete(struct conn *c)
{
	c->in[c->got] = '\0';
	char *end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return c->got >= MAX_RESPONSE - 1 ? -1 : 0;
	char *length = strcasestr(c->in, "content-length:");
	if (!length || length > end)
		return -1;
	size_t whole = (size_t)(end + 4 - c->in) + strtoul(length + 15, NULL, 10);
	return c->got >= whole;
}

static void answered(struct load *l, struct conn *c, bool ok)
{
	ok = ok && strncmp(c->in, "HTTP/1.1 200", 12) == 0;
	if (!ok)
		l->errors++;
	else if (l->done < MAX_SAMPLES)
		l->samples[l->done] = (float)((now() - c->start) * 1e6);
	l->done += ok;
	if (ok && SSL_session_reused(c->ssl))
		l->resumed++;
	if (l->mode == KEEPALIVE && ok) {
		c->sent = false;
		c->got = 0;
		c->start = now();
		return;
	}
	close_conn(c);
	open_conn(l, c);
}

/* Goes as far as the socket lets it. */
static void drive(struct load *l, struct conn *c)
{
	for (;;) {
		int r;
		if (!c->shaken)
			r = SSL_do_handshake(c->ssl);
		else if (!c->sent)
			r = SSL_write(c->ssl, l->request, (int)l->request_len);
		else
			r = SSL_read(c->ssl, c->in + c->got, (int)(MAX_RESPONSE - 1 - c->got));
		if (r <= 0) {
			int e = SSL_get_error(c->ssl, r);
			if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
				return;
			ERR_clear_error();
			answered(l, c, false);
			return;
		}
		if (!c->shaken) {
			c->shaken = true;
		} else if (!c->sent) {
			c->sent = true;
		} else {
			c->got += (size_t)r;
			int whole = complete(c);
			if (whole) {
				SSL *before = c->ssl;
				answered(l, c, whole > 0);
				if (c->ssl != before || l->mode != KEEPALIVE)
					return; /* a new connection waits for its event */
			}
		}
	}
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void set_up(struct load *l, char **argv)
{
	l->port = atoi(argv[1]);
	l->mode = strcmp(argv[5], "keepalive") == 0   ? KEEPALIVE
		  : strcmp(argv[5], "handshake") == 0 ? HANDSHAKE
						      : RESUME;
	l->request_len = (size_t)snprintf(l->request, sizeof(l->request),
		"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[8]);
	l->ctx = SSL_CTX_new(TLS_client_method());
	if (!l->ctx || SSL_CTX_load_verify_locations(l->ctx, argv[2], NULL) != 1 ||
		SSL_CTX_use_certificate_chain_file(l->ctx, argv[3]) != 1 ||
		SSL_CTX_use_PrivateKey_file(l->ctx, argv[4], SSL_FILETYPE_PEM) != 1)
		die("certificates");
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set1_groups_list(l->ctx, "P-256");
	if (l->mode == RESUME) {
		SSL_CTX_set_session_cache_mode(
			l->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(l->ctx, on_session);
	}
	l->epoll = epoll_create1(0);
	l->samples = malloc(sizeof(float) * MAX_SAMPLES);
	if (!l->samples)
		die("memory");
}

static void turn(struct load *l)
{
	struct epoll_event events[256];
	int k = epoll_wait(l->epoll, events, 256, 100);
	for (int i = 0; i < k; i++)
		drive(l, events[i].data.ptr);
}

static void warm_up(struct load *l, unsigned long connections)
{
	double end = now() + 10;
	while (l->done < 4 * connections && now() < end)
		turn(l);
	l->done = l->resumed = 0;
	(void)puts("ready");
	(void)fflush(stdout);
	(void)getchar();
}

int main(int argc, char **argv)
{
	if (argc != 9) {
		fprintf(stderr, "usage: load PORT CA CERT KEY keepalive|handshake|resume "
				"CONNECTIONS SECONDS PATH\n");
		return 2;
	}
	struct load l = {0};
	set_up(&l, argv);
	int n = atoi(argv[6]);
	struct conn *conns = calloc((size_t)n, sizeof(*conns));
	if (!conns)
		die("memory");
	for (int i = 0; i < n; i++)
		open_conn(&l, &conns[i]);
	if (l.mode == KEEPALIVE)
		warm_up(&l, (unsigned long)n);
	double start = now(), end = start + atof(argv[7]);
	while (now() < end)
		turn(&l);
	double took = now() - start;
	size_t m = l.done < MAX_SAMPLES ? l.done : MAX_SAMPLES;
	qsort(l.samples, m, sizeof(float), by_value);
	printf("{\"requests\":%lu,\"errors\":%lu,\"resumed\":%lu,\"per_second\":%.1f,"
	       "\"p50_us\":%.0f,\"p99_us\":%.0f}\n",
		l.done, l.errors, l.resumed, (double)l.done / took,
		m ? (double)l.samples[m / 2] : 0, m ? (double)l.samples[m * 99 / 100] : 0);
	return 0;
}
