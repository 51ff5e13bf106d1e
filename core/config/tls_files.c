/* The files behind TLS and the edge's MAC: there, regular, well owned, not writable by others,
 * readable as what they claim to be, and belonging together. Checked on opened descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/keys.h"

static void bio_finish(BIO **b)
{
	BIO_free(*b);
}
static void x509_finish(X509 **x)
{
	X509_free(*x);
}
static void pkey_finish(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
static void crl_finish(X509_CRL **c)
{
	X509_CRL_free(*c);
}

#define REFUSE(...) sg_error_set(err, SG_EREFUSED, "TlsFileRefused", __VA_ARGS__)

static int check_mode(const char *what, const char *path, const struct stat *st, bool secret,
	struct sg_error *err)
{
	unsigned mode = st->st_mode & 07777U;
	if (!S_ISREG(st->st_mode))
		return REFUSE("%s %s is not a regular file", what, path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return REFUSE("%s %s is owned by uid %u; it must be owned by root or by the "
			      "service user (uid %u)",
			what, path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (secret && (mode & 0177U))
		return REFUSE("%s %s has mode %04o; it must be 0600", what, path, mode);
	if (mode & 022U)
		return REFUSE("%s %s has mode %04o; it must not be writable by group or others",
			what, path, mode);
	return 0;
}

int sg_config_check_file_mode(
	const char *what, const char *path, bool secret, int *ret_fd, struct sg_error *err)
{
	/* O_NONBLOCK: a fifo in its place must not hang the start. */
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return REFUSE("%s %s: no such file", what, path);
	if (fd < 0)
		return REFUSE("%s %s cannot be read: %s", what, path, strerror(errno));
	struct stat st;
	if (fstat(fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot stat %s", path);
	int r = check_mode(what, path, &st, secret, err);
	if (r == 0 && ret_fd) {
		*ret_fd = fd;
		fd = -1;
	}
	return r;
}

/* The checked file as a BIO, or NULL with the error set. */
static BIO *open_pem(const char *what, const char *path, bool secret, struct sg_error *err)
{
	sg_autoclose int fd = -1;
	if (sg_config_check_file_mode(what, path, secret, &fd, err) < 0)
		return NULL;
	FILE *f = fdopen(fd, "re");
	if (!f) {
		(void)sg_error_errno(err, errno, "cannot read %s", path);
		return NULL;
	}
	fd = -1;
	BIO *b = BIO_new_fp(f, BIO_CLOSE);
	if (!b) {
		(void)fclose(f);
		(void)sg_error_nomem(err);
	}
	return b;
}

/* OpenSSL would ask the terminal for a passphrase. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf, (void)size, (void)rwflag;
	*(bool *)u = true;
	return -1;
}

static int read_certificate(const char *what, const char *path, X509 **ret, struct sg_error *err)
{
	SG_CLEANUP(bio_finish) BIO *b = open_pem(what, path, false, err);
	if (!b)
		return -err->code;
	*ret = PEM_read_bio_X509(b, NULL, NULL, NULL);
	ERR_clear_error();
	return *ret ? 0 : REFUSE("%s %s holds no PEM certificate", what, path);
}

static int read_key(const char *path, EVP_PKEY **ret, struct sg_error *err)
{
	SG_CLEANUP(bio_finish) BIO *b = open_pem("TLS key", path, true, err);
	if (!b)
		return -err->code;
	bool encrypted = false;
	*ret = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &encrypted);
	ERR_clear_error();
	if (encrypted)
		return REFUSE(
			"TLS key %s is encrypted; nobody is there to type its passphrase", path);
	return *ret ? 0 : REFUSE("TLS key %s holds no PEM private key", path);
}

static int check_pair(const struct sg_config *c, struct sg_error *err)
{
	SG_CLEANUP(x509_finish) X509 *cert = NULL;
	SG_CLEANUP(pkey_finish) EVP_PKEY *key = NULL;
	int r = read_certificate("TLS certificate", c->tls_cert, &cert, err);
	if (r == 0)
		r = read_key(c->tls_key, &key, err);
	if (r < 0)
		return r;
	bool match = X509_check_private_key(cert, key) == 1;
	ERR_clear_error();
	return match ? 0
		     : REFUSE("TLS key %s does not belong to TLS certificate %s", c->tls_key,
			       c->tls_cert);
}

static int check_crl(const char *path, struct sg_error *err)
{
	SG_CLEANUP(bio_finish) BIO *b = open_pem("TLS CRL", path, false, err);
	if (!b)
		return -err->code;
	SG_CLEANUP(crl_finish) X509_CRL *crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL);
	ERR_clear_error();
	return crl ? 0 : REFUSE("TLS CRL %s holds no PEM revocation list", path);
}

static int check_together(const struct sg_config *c, struct sg_error *err)
{
	bool cert = *c->tls_cert, key = *c->tls_key, ca = *c->tls_ca_cert;
	if (cert && !key)
		return REFUSE("tls_cert is set without tls_key");
	if (key && !cert)
		return REFUSE("tls_key is set without tls_cert");
	if (cert && !ca && c->profile == SG_PROFILE_CLEARED)
		return REFUSE("the direct door under cleared needs tls_ca_cert to check clients");
	if (cert && !ca && c->tls_require_client_cert)
		return REFUSE("tls_require_client_cert needs tls_ca_cert");
	if (cert && !c->tls_require_client_cert && c->profile == SG_PROFILE_CLEARED)
		return REFUSE("cleared always requires client certificates; "
			      "tls_require_client_cert = false contradicts it");
	if (!cert && (ca || *c->tls_crl))
		return REFUSE("%s is set without tls_cert: no TLS door would use it",
			ca ? "tls_ca_cert" : "tls_crl");
	return 0;
}

int sg_config_check_tls(const struct sg_config *c, struct sg_error *err)
{
	struct sg_error local;
	if (!err)
		err = &local;
	int r = check_together(c, err);
	if (r == 0 && *c->tls_cert)
		r = check_pair(c, err);
	if (r == 0 && *c->tls_ca_cert) {
		SG_CLEANUP(x509_finish) X509 *ca = NULL;
		r = read_certificate("TLS CA certificate", c->tls_ca_cert, &ca, err);
	}
	if (r == 0 && *c->tls_crl)
		r = check_crl(c->tls_crl, err);
	if (r == 0 && *c->edge_mac_key)
		r = sg_config_check_file_mode("edge MAC key", c->edge_mac_key, true, NULL, err);
	return r;
}
