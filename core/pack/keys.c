/* Ed25519 public keys: PEM in, PEM out, fingerprints. */
#include "pack/keys.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void bio_finish(BIO **b)
{
	BIO_free(*b);
}
#define autobio SG_CLEANUP(bio_finish) BIO

static void pkey_finish(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
#define autopkey SG_CLEANUP(pkey_finish) EVP_PKEY

static int key_of(struct sg_pack_key *ret, EVP_PKEY *k, const char *what, struct sg_error *err)
{
	struct sg_pack_key key = {0};
	size_t n = sizeof(key.public_key);
	unsigned char *der = NULL;
	if (EVP_PKEY_get_base_id(k) != EVP_PKEY_ED25519 ||
		EVP_PKEY_get_raw_public_key(k, key.public_key, &n) != 1 ||
		n != sizeof(key.public_key))
		return sg_error_set(err, SG_EINVALID, NULL, "%s is not an Ed25519 key", what);
	if (!sg_pack_point_ok(key.public_key))
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s is a key of small order, or not in canonical form", what);
	int len = i2d_PUBKEY(k, &der);
	if (len < 0)
		return sg_error_nomem(err);
	sg_sha256_hex(der, (size_t)len, key.fingerprint);
	OPENSSL_free(der);
	*ret = key;
	return 0;
}

/* OpenSSL would ask the terminal for a passphrase. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf, (void)size, (void)rwflag, (void)u;
	return -1;
}

int sg_pack_public_key(
	struct sg_pack_key *ret, const char *pem, size_t n, const char *what, struct sg_error *err)
{
	autobio *b = BIO_new_mem_buf(pem, (int)n);
	if (!b)
		return sg_error_nomem(err);
	autopkey *k = PEM_read_bio_PUBKEY(b, NULL, no_passphrase, NULL);
	ERR_clear_error();
	return k ? key_of(ret, k, what, err)
		 : sg_error_set(err, SG_EINVALID, NULL, "%s holds no PEM public key", what);
}

static char *pem_of(EVP_PKEY *k)
{
	autobio *b = BIO_new(BIO_s_mem());
	char *data;
	if (!b || PEM_write_bio_PUBKEY(b, k) != 1)
		return NULL;
	long n = BIO_get_mem_data(b, &data);
	return strndup(data, (size_t)n);
}

int sg_pack_raw_key(struct sg_pack_key *ret, char **ret_pem, const uint8_t raw[SG_ED25519_KEY],
	struct sg_error *err)
{
	autopkey *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, SG_ED25519_KEY);
	if (!k)
		return sg_error_nomem(err);
	struct sg_pack_key key;
	int r = key_of(&key, k, "the key", err);
	if (r < 0)
		return r;
	if (ret_pem) {
		char *pem = pem_of(k);
		if (!pem)
			return sg_error_nomem(err);
		*ret_pem = pem;
	}
	*ret = key;
	return 0;
}
