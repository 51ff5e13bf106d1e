/* doctor --edge: real requests through the configured edge, as a client makes them: with a
 * certificate, which must reach the core and be somebody there, and without, which must not. Names
 * are not resolved: the connection goes to --edge-address, the loopback by default. */
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "cli/doctor.h"

#define WAIT_S 5
#define ANSWER_MAX 8192

/* What came of one request. */
struct answer {
	int status;    /* of HTTP; 0 = none came */
	bool health;   /* the body is {"status":"ok"} */
	char why[256]; /* when none came */
};

/* "https://name[:port]" */
static bool split(const char *url, char name[256], char port[6])
{
	int n = 0, m = 0;
	(void)snprintf(port, 6, "443");
	if (sscanf(url, "https://%255[A-Za-z0-9.-]%n", name, &n) != 1)
		return false;
	if (url[n] == ':' && sscanf(url + n, ":%5[0-9]%n", port, &m) != 1)
		return false;
	const char *rest = url + n + m;
	return !*rest || strcmp(rest, "/") == 0;
}

static int dial(const char *address, const char *port, char *why, size_t size)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	const struct timeval wait = {.tv_sec = WAIT_S};
	struct addrinfo *to = NULL;
	if (getaddrinfo(address, port, &hints, &to) != 0) {
		(void)snprintf(why, size, "%s is no address", address);
		return -1;
	}
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	}
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
		(void)snprintf(why, size, "%s port %s: %s", address, port, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(to);
	return fd;
}

static void tls_reason(const SSL *ssl, char *why, size_t size)
{
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	(void)snprintf(why, size, "TLS: %s",
		verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
		: reason	     ? reason
				     : "the connection was closed");
	ERR_clear_error();
}

static void talk(SSL *ssl, const char *name, const char *path, struct answer *ret)
{
	char text[ANSWER_MAX + 1];
	int n = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, name);
	size_t have = 0;
	if (SSL_connect(ssl) != 1 || SSL_write(ssl, text, n) != n) {
		tls_reason(ssl, ret->why, sizeof(ret->why));
		return;
	}
	while (have < ANSWER_MAX && (n = SSL_read(ssl, text + have, (int)(ANSWER_MAX - have))) > 0)
		have += (size_t)n;
	text[have] = '\0';
	if (sscanf(text, "HTTP/1.1 %3d", &ret->status) != 1)
		tls_reason(ssl, ret->why, sizeof(ret->why));
	ret->health = strstr(text, "\r\n\r\n{\"status\":\"ok\"}") != NULL;
}

static SSL_CTX *context(const struct sg_doctor_edge_options *o, bool with_certificate)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	if (c && o->ca && SSL_CTX_load_verify_locations(c, o->ca, NULL) == 1 &&
		(!with_certificate ||
			(SSL_CTX_use_certificate_chain_file(c, o->cert) == 1 &&
				SSL_CTX_use_PrivateKey_file(c, o->cert, SSL_FILETYPE_PEM) == 1))) {
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
		return c;
	}
	SSL_CTX_free(c);
	return NULL;
}

static void ask(const struct sg_doctor_edge_options *o, const char *path, bool with_certificate,
	struct answer *ret)
{
	char name[256], port[6];
	*ret = (struct answer){0};
	if (!split(o->url, name, port)) {
		(void)snprintf(
			ret->why, sizeof(ret->why), "%.200s is not https://NAME[:PORT]", o->url);
		return;
	}
	SSL_CTX *c = context(o, with_certificate);
	if (!c) {
		tls_reason(NULL, ret->why, sizeof(ret->why));
		return;
	}
	sg_autoclose int fd =
		dial(o->address ? o->address : "127.0.0.1", port, ret->why, sizeof(ret->why));
	SSL *ssl = fd >= 0 ? SSL_new(c) : NULL;
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_set1_host(ssl, name) == 1 &&
		SSL_set_tlsext_host_name(ssl, name) == 1)
		talk(ssl, name, path, ret);
	SSL_free(ssl);
	SSL_CTX_free(c);
}

static void with_certificate(struct sg_doctor *d, const struct sg_doctor_edge_options *o)
{
	struct answer health, runs;
	ask(o, "/v1/health", true, &health);
	if (!health.health) {
		if (health.status)
			(void)snprintf(health.why, sizeof(health.why), "HTTP %d", health.status);
		sg_doctor_say(d, "edge.request", SG_DOCTOR_FAIL,
			"502 or 504: the edge does not reach the core (its socket, its user's "
			"group); else its certificates and CA",
			"%s/v1/health does not answer {\"status\":\"ok\"}: %s", o->url, health.why);
		return;
	}
	ask(o, "/v1/runs?limit=1", true, &runs);
	if (runs.status == 200 || runs.status == 403)
		sg_doctor_say(d, "edge.request", SG_DOCTOR_OK, NULL,
			"%s reaches the core, and the client's certificate is somebody there",
			o->url);
	else
		sg_doctor_say(d, "edge.request", SG_DOCTOR_FAIL,
			"let the edge set X-Client-Cert-Subject, and name its user in edge_users",
			"%s reaches the core, but the client's certificate does not (HTTP %d)",
			o->url, runs.status);
}

static void without_certificate(struct sg_doctor *d, const struct sg_doctor_edge_options *o)
{
	struct answer a;
	ask(o, "/v1/health", false, &a);
	if (a.health)
		sg_doctor_say(d, "edge.anonymous", SG_DOCTOR_FAIL,
			"ssl_verify_client on (nginx), require_client_certificate: true (Envoy)",
			"%s lets clients without a certificate reach the core", o->url);
	else
		sg_doctor_say(d, "edge.anonymous", SG_DOCTOR_OK, NULL,
			"a client without a certificate gets no answer from the core");
}

void sg_doctor_wire(struct sg_doctor *d, const struct sg_doctor_edge_options *o)
{
	if (!o->url) {
		sg_doctor_say(d, "edge.request", SG_DOCTOR_NOTE,
			"doctor --edge https://NAME --edge-cert CLIENT.pem --edge-ca CA.pem",
			"no request was made through the edge");
		return;
	}
	with_certificate(d, o);
	without_certificate(d, o);
}
