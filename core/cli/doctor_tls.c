/* doctor: certificate, key, CA and CRL of the direct door. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/doctor.h"

#define SOON_DAYS 30

static X509 *read_certificate(const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	if (f)
		(void)fclose(f);
	ERR_clear_error();
	return x;
}

/* Whole days from now until t; negative when it is past. */
static int days_until(const ASN1_TIME *t)
{
	int days = 0, seconds = 0;
	if (!ASN1_TIME_diff(&days, &seconds, NULL, t))
		return -1;
	return seconds < 0 && days == 0 ? -1 : days;
}

static void dates(struct sg_doctor *d, const char *id, const char *what, const char *path)
{
	X509 *x = read_certificate(path);
	if (!x) {
		sg_doctor_say(d, id, SG_DOCTOR_FAIL, "put a PEM certificate there",
			"%s %s cannot be read as a certificate", what, path);
		return;
	}
	int left = days_until(X509_get0_notAfter(x));
	int since = days_until(X509_get0_notBefore(x));
	X509_free(x);
	if (left < 0)
		sg_doctor_say(d, id, SG_DOCTOR_FAIL, "renew it", "%s %s has expired", what, path);
	else if (since > 0)
		sg_doctor_say(d, id, SG_DOCTOR_FAIL, "check the clock", "%s %s is not valid yet",
			what, path);
	else if (left < SOON_DAYS)
		sg_doctor_say(d, id, SG_DOCTOR_WARN, "renew it soon", "%s %s expires in %d days",
			what, path, left);
	else
		sg_doctor_say(d, id, SG_DOCTOR_OK, NULL, "%s expires in %d days", what, left);
}

static void file_mode(
	struct sg_doctor *d, const char *id, const char *what, const char *path, bool secret)
{
	struct sg_error err;
	if (sg_config_check_file_mode(what, path, secret, NULL, &err) < 0)
		sg_doctor_say(d, id, SG_DOCTOR_FAIL,
			secret ? "chmod 0600, owner root or the service user"
			       : "chmod go-w, owner root or the service user",
			"%s", err.text);
	else
		sg_doctor_say(d, id, SG_DOCTOR_OK, NULL, "%s has a safe mode and owner", path);
}

static void match(struct sg_doctor *d)
{
	X509 *x = read_certificate(d->config->tls_cert);
	FILE *f = fopen(d->config->tls_key, "re");
	EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
	if (f)
		(void)fclose(f);
	if (!x || !k || X509_check_private_key(x, k) != 1)
		sg_doctor_say(d, "tls.match", SG_DOCTOR_FAIL,
			"install the key that belongs to the certificate",
			"tls_cert and tls_key do not belong together");
	else
		sg_doctor_say(d, "tls.match", SG_DOCTOR_OK, NULL, "key and certificate match");
	X509_free(x);
	EVP_PKEY_free(k);
	ERR_clear_error();
}

static void crl(struct sg_doctor *d)
{
	const char *path = d->config->tls_crl;
	if (!*path) {
		sg_doctor_say(d, "tls.crl", SG_DOCTOR_WARN,
			"set tls_crl, or keep deny_fingerprints",
			"no CRL: a revoked client stays welcome until it expires");
		return;
	}
	FILE *f = fopen(path, "re");
	X509_CRL *c = f ? PEM_read_X509_CRL(f, NULL, NULL, NULL) : NULL;
	if (f)
		(void)fclose(f);
	ERR_clear_error();
	const ASN1_TIME *next = c ? X509_CRL_get0_nextUpdate(c) : NULL;
	if (!c)
		sg_doctor_say(d, "tls.crl", SG_DOCTOR_FAIL, "put a PEM CRL there",
			"%s cannot be read as a CRL; every client is refused", path);
	else if (next && days_until(next) < 0)
		sg_doctor_say(d, "tls.crl", SG_DOCTOR_FAIL, "bring a fresh CRL",
			"%s has expired; every client is refused", path);
	else
		sg_doctor_say(d, "tls.crl", SG_DOCTOR_OK, NULL, "next update in %d days",
			next ? days_until(next) : 0);
	X509_CRL_free(c);
}

void sg_doctor_tls(struct sg_doctor *d)
{
	const struct sg_config *c = d->config;
	if (!*c->tls_cert) {
		sg_doctor_say(d, "tls.door", SG_DOCTOR_OK, NULL,
			"no direct door: nginx or Envoy in front holds the certificates");
		return;
	}
	sg_doctor_say(d, "tls.door", SG_DOCTOR_OK, NULL, "the direct door is configured");
	file_mode(d, "tls.cert.mode", "certificate", c->tls_cert, false);
	file_mode(d, "tls.key.mode", "key", c->tls_key, true);
	file_mode(d, "tls.ca.mode", "client CA", c->tls_ca_cert, false);
	dates(d, "tls.cert.dates", "certificate", c->tls_cert);
	dates(d, "tls.ca.dates", "client CA", c->tls_ca_cert);
	match(d);
	crl(d);
}
