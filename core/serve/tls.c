/* TLS of the direct door over OpenSSL 3. */
#include "serve/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "serve/dn.h"

/* AEAD with forward secrecy only; what RFC 9325 recommends. */
#define TLS12_CIPHERS \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_CIPHERS "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
#define MAX_CHAIN 8
#define MAX_SAN (16 * 1024) /* bytes of the comma list */
#define N_FILES 4

struct file_state {
	const char *path;
	struct stat st;
};

struct sg_tls {
	unsigned references;
	SSL_CTX *ctx;
	X509_CRL *crl; /* sorted; NULL = none configured */
	struct file_state files[N_FILES];
	size_t n_files;
	bool complained;
	char closed[256]; /* why everybody is denied; "" = nobody is */
	void (*done)(void *socket, struct sg_tls_peer *peer);
	int (*fd_of)(void *socket);
};

static int refuse(struct sg_error *err, const char *what, const char *path)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	return sg_error_set(err, SG_EREFUSED, NULL, "%s %s: %s", what, path,
		reason ? reason : "cannot be used");
}

static void *socket_of(const SSL *ssl)
{
	return BIO_get_data(SSL_get_rbio(ssl));
}

static struct sg_tls *tls_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static void oneline(const X509_NAME *name, char *ret, size_t size)
{
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	struct sg_error err;
	if (name && sg_dn_of_x509(name, &b, &err) == 0)
		(void)snprintf(ret, size, "%s", b.data);
	else
		(void)snprintf(ret, size, "(%s)", name ? err.kind : "none");
}

static const char *reason_of(int code)
{
	switch (code) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return "unknown ca";
	default: return X509_verify_cert_error_string(code);
	}
}

/* Tells the operator whose certificate was refused; denies everybody when the CRL is unusable. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	char subject[512], issuer[512];
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct sg_tls *t = tls_of(ssl);
	if (ok && *t->closed) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_CRL);
		ok = 0;
	}
	if (ok)
		return 1;
	const X509 *leaf = X509_STORE_CTX_get0_cert(store);
	oneline(leaf ? X509_get_subject_name(leaf) : NULL, subject, sizeof(subject));
	oneline(leaf ? X509_get_issuer_name(leaf) : NULL, issuer, sizeof(issuer));
	sg_log(SG_LOG_WARNING,
		"direct door: client certificate refused: %s; subject \"%s\", issuer \"%s\"",
		reason_of(X509_STORE_CTX_get_error(store)), subject, issuer);
	return 0;
}

/* Text without NUL, comma or control characters: what the comma list can carry. */
static bool plain(const ASN1_IA5STRING *s)
{
	const unsigned char *d = ASN1_STRING_get0_data(s);
	int n = ASN1_STRING_length(s);
	for (int i = 0; i < n; i++)
		if (d[i] <= 0x20 || d[i] >= 0x7f || d[i] == ',')
			return false;
	return n > 0;
}

static char *san_list(X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	sg_autobuf b = SG_BUF_INIT(MAX_SAN);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		bool uri = g->type == GEN_URI, dns = g->type == GEN_DNS;
		if ((!uri && !dns) || !plain(g->d.ia5))
			continue;
		sg_buf_adds(&b, b.len ? "," : "");
		sg_buf_adds(&b, uri ? "URI:" : "DNS:");
		sg_buf_add(
			&b, ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5));
	}
	GENERAL_NAMES_free(names);
	return sg_buf_take(&b);
}

static char *serial_hex(X509 *cert)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = n ? BN_bn2hex(n) : NULL;
	char *copy = strdup(hex ? hex : "");
	for (char *p = copy; p && *p; p++)
		*p = *p >= 'A' && *p <= 'F' ? (char)(*p + 32) : *p;
	OPENSSL_free(hex);
	BN_free(n);
	return copy;
}

static char *fingerprint_hex(const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char *hex = calloc(1, SG_SHA256_HEX);
	if (hex && X509_digest(cert, EVP_sha256(), digest, &n) && n == SG_SHA256_BYTES)
		sg_hex_encode(digest, n, hex);
	return hex;
}

/* An empty name stays "": identity.c decides. Any other fault names nobody. */
static char *name_text(const X509_NAME *name, struct sg_tls_peer *p)
{
	sg_autobuf b = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	struct sg_error err;
	if (sg_dn_of_x509(name, &b, &err) < 0) {
		if (p && strcmp(err.kind, "empty-subject") != 0) {
			(void)snprintf(p->kind, sizeof(p->kind), "%s", err.kind);
			(void)snprintf(p->text, sizeof(p->text), "%.255s", err.text);
		}
		return strdup("");
	}
	return sg_buf_take(&b);
}

static bool read_peer(const SSL *ssl, struct sg_tls_peer *p)
{
	*p = (struct sg_tls_peer){.cert = SSL_get1_peer_certificate(ssl)};
	if (!p->cert)
		return true;
	p->subject = name_text(X509_get_subject_name(p->cert), p);
	p->issuer = name_text(X509_get_issuer_name(p->cert), NULL);
	p->serial = serial_hex(p->cert);
	p->fingerprint = fingerprint_hex(p->cert);
	p->san = san_list(p->cert);
	return p->subject && p->issuer && p->serial && p->fingerprint && p->san;
}

void sg_tls_peer_finish(struct sg_tls_peer *p)
{
	free(p->subject);
	free(p->issuer);
	free(p->serial);
	free(p->fingerprint);
	free(p->san);
	X509_free(p->cert);
	*p = (struct sg_tls_peer){0};
}

static void write_directly(SSL *ssl, const struct sg_tls *t)
{
	BIO *direct = BIO_new_socket(t->fd_of(socket_of(ssl)), BIO_NOCLOSE);
	if (direct)
		SSL_set0_wbio(ssl, direct);
}

static void write_through_h2o(SSL *ssl)
{
	BIO *h2o = SSL_get_rbio(ssl);
	if (BIO_up_ref(h2o))
		SSL_set0_wbio(ssl, h2o);
}

static void on_info(const SSL *cssl, int where, int value)
{
	(void)value;
	SSL *ssl = (SSL *)cssl; /* OpenSSL hands the callback its own object */
	struct sg_tls *t = tls_of(ssl);
	if (where & SSL_CB_HANDSHAKE_START && SSL_get_wbio(ssl) == SSL_get_rbio(ssl))
		write_directly(ssl, t);
	if (where & SSL_CB_HANDSHAKE_DONE) {
		struct sg_tls_peer p;
		write_through_h2o(ssl);
		if (!read_peer(ssl, &p)) {
			(void)snprintf(p.kind, sizeof(p.kind), "invalid-subject");
			(void)snprintf(p.text, sizeof(p.text), "out of memory");
		}
		t->done(socket_of(ssl), &p);
	}
}

/* HTTP/1.1 is all that is spoken here; a client that offers only other protocols gets no answer to
 * its offer and may still speak it. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char http1[] = "\x08http/1.1";
	unsigned char *chosen;
	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, http1, sizeof(http1) - 1, in, in_len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int watch(struct sg_tls *t, const char *path, struct sg_error *err)
{
	struct file_state *f = &t->files[t->n_files++];
	f->path = strdup(path);
	if (!f->path)
		return sg_error_nomem(err);
	if (stat(path, &f->st) < 0)
		memset(&f->st, 0, sizeof(f->st));
	return 0;
}

/* Sessions of one CA set cannot be resumed under another. */
static int set_session_context(struct sg_tls *t, const char *ca, struct sg_error *err)
{
	char hex[SG_SHA256_HEX];
	int r = sg_sha256_file(ca, hex, err);
	if (r < 0)
		return r;
	if (!SSL_CTX_set_session_id_context(
		    t->ctx, (const unsigned char *)hex, SSL_MAX_SSL_SESSION_ID_LENGTH))
		return refuse(err, "tls_ca_cert", ca);
	return 0;
}

static int load_ca(struct sg_tls *t, const struct sg_config *c, struct sg_error *err)
{
	bool required = c->profile == SG_PROFILE_CLEARED || c->tls_require_client_cert;
	if (!c->tls_ca_cert || !*c->tls_ca_cert) {
		if (required)
			return sg_error_set(err, SG_EREFUSED, NULL,
				"tls_ca_cert is needed: client certificates are required");
		return 0;
	}
	int r = watch(t, c->tls_ca_cert, err);
	if (r == 0)
		r = set_session_context(t, c->tls_ca_cert, err);
	if (r < 0)
		return r;
	if (!SSL_CTX_load_verify_file(t->ctx, c->tls_ca_cert))
		return refuse(err, "tls_ca_cert", c->tls_ca_cert);
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(c->tls_ca_cert);
	if (!names)
		return refuse(err, "tls_ca_cert", c->tls_ca_cert);
	SSL_CTX_set_client_CA_list(t->ctx, names);
	SSL_CTX_set_verify(t->ctx,
		SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), on_verify);
	SSL_CTX_set_verify_depth(t->ctx, MAX_CHAIN);
	return 0;
}

static int load_crl(struct sg_tls *t, const struct sg_config *c, struct sg_error *err)
{
	if (!c->tls_crl || !*c->tls_crl)
		return 0;
	int r = watch(t, c->tls_crl, err);
	if (r < 0)
		return r;
	BIO *in = BIO_new_file(c->tls_crl, "r");
	t->crl = in ? PEM_read_bio_X509_CRL(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	X509_STORE *store = SSL_CTX_get_cert_store(t->ctx);
	if (!t->crl || !X509_STORE_add_crl(store, t->crl) ||
		!X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) || !X509_CRL_sort(t->crl))
		return refuse(err, "tls_crl", c->tls_crl);
	return 0;
}

static int load_pair(struct sg_tls *t, const struct sg_config *c, struct sg_error *err)
{
	int r = watch(t, c->tls_cert, err);
	if (r == 0)
		r = watch(t, c->tls_key ? c->tls_key : "", err);
	if (r < 0)
		return r;
	if (SSL_CTX_use_certificate_chain_file(t->ctx, c->tls_cert) != 1)
		return refuse(err, "tls_cert", c->tls_cert);
	if (!c->tls_key || !*c->tls_key)
		return sg_error_set(err, SG_EREFUSED, NULL, "tls_key is needed beside tls_cert");
	if (SSL_CTX_use_PrivateKey_file(t->ctx, c->tls_key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(t->ctx) != 1)
		return refuse(err, "tls_key", c->tls_key);
	return 0;
}

static int load(struct sg_tls *t, const struct sg_config *c, struct sg_error *err)
{
	t->ctx = SSL_CTX_new(TLS_server_method());
	if (!t->ctx)
		return sg_error_nomem(err);
	SSL_CTX_set_app_data(t->ctx, t);
	SSL_CTX_set_info_callback(t->ctx, on_info);
	SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, NULL);
	SSL_CTX_set_options(t->ctx,
		SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (!SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) ||
		!SSL_CTX_set_cipher_list(t->ctx, TLS12_CIPHERS) ||
		!SSL_CTX_set_ciphersuites(t->ctx, TLS13_CIPHERS) ||
		!SSL_CTX_set1_groups_list(t->ctx, GROUPS))
		return refuse(err, "TLS", "settings");
	int r = load_pair(t, c, err);
	if (r == 0)
		r = load_ca(t, c, err);
	return r < 0 ? r : load_crl(t, c, err);
}

int sg_tls_create(struct sg_tls **ret, const struct sg_config *c, struct sg_error *err)
{
	struct sg_tls *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	t->references = 1;
	int r = load(t, c, err);
	if (r < 0) {
		sg_tls_unref(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct sg_tls *sg_tls_ref(struct sg_tls *t)
{
	t->references++;
	return t;
}

void sg_tls_unref(struct sg_tls *t)
{
	if (!t || --t->references > 0)
		return;
	for (size_t i = 0; i < t->n_files; i++)
		free((char *)t->files[i].path);
	SSL_CTX_free(t->ctx);
	X509_CRL_free(t->crl);
	free(t);
}

SSL_CTX *sg_tls_context(const struct sg_tls *t)
{
	return t->ctx;
}

void sg_tls_on_done(struct sg_tls *t, void (*done)(void *socket, struct sg_tls_peer *peer),
	int (*fd_of)(void *socket))
{
	t->done = done;
	t->fd_of = fd_of;
}

static int deny(struct sg_error *err, const char *why)
{
	return sg_error_set(err, SG_EDENIED, "certificate-denied", "client certificate: %s", why);
}

static int check_crl(struct sg_tls *t, X509 *cert, time_t now, struct sg_error *err)
{
	X509_REVOKED *entry;
	if (X509_cmp_time(X509_CRL_get0_nextUpdate(t->crl), &now) < 0)
		return deny(err, "the revocation list has expired");
	if (X509_NAME_cmp(X509_CRL_get_issuer(t->crl), X509_get_issuer_name(cert)) == 0 &&
		X509_CRL_get0_by_cert(t->crl, &entry, cert) == 1)
		return deny(err, "revoked");
	return 0;
}

int sg_tls_still_good(struct sg_tls *t, X509 *cert, int64_t now_s, struct sg_error *err)
{
	time_t now = (time_t)now_s;
	if (*t->closed)
		return deny(err, t->closed);
	if (X509_cmp_time(X509_get0_notAfter(cert), &now) < 0)
		return deny(err, "expired");
	return t->crl ? check_crl(t, cert, now, err) : 0;
}

bool sg_tls_changed(const struct sg_tls *t)
{
	for (size_t i = 0; i < t->n_files; i++) {
		struct stat st;
		const struct stat *was = &t->files[i].st;
		if (stat(t->files[i].path, &st) < 0)
			memset(&st, 0, sizeof(st));
		if (st.st_ino != was->st_ino || st.st_dev != was->st_dev ||
			st.st_size != was->st_size || st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
			st.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
			return true;
	}
	return false;
}

bool sg_tls_complain(struct sg_tls *t)
{
	bool first = !t->complained;
	t->complained = true;
	return first;
}

void sg_tls_fail_closed(struct sg_tls *t, const char *why)
{
	(void)snprintf(t->closed, sizeof(t->closed), "%s", why);
}
