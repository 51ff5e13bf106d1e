/* Ed25519: see ed25519.h. */
#include "base/ed25519.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

#define PEM_MAX (64U << 10) /* bytes of a key file */

struct sg_signer {
	EVP_PKEY *key;
	uint8_t pub[SG_ED25519_KEY];
};

static int wrap(struct sg_signer **ret, EVP_PKEY *key, const char *what, struct sg_error *err)
{
	struct sg_signer *s = calloc(1, sizeof(*s));
	size_t n = sizeof(s->pub);
	if (!s) {
		EVP_PKEY_free(key);
		return sg_error_nomem(err);
	}
	s->key = key;
	if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
		EVP_PKEY_get_raw_public_key(key, s->pub, &n) != 1 || n != sizeof(s->pub)) {
		sg_signer_destroy(s);
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s holds no Ed25519 private key", what);
	}
	*ret = s;
	return 0;
}

static int check_private(const char *path, struct sg_error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at the key %s", path);
	if (!S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EREFUSED, NULL, "key %s is not a regular file", path);
	if (st.st_mode & 077)
		return sg_error_set(err, SG_EREFUSED, NULL, "key %s has mode %04o; it must be 0600",
			path, (unsigned)st.st_mode & 07777U);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return sg_error_set(err, SG_EREFUSED, NULL,
			"key %s belongs to uid %u, neither to root nor to who runs this", path,
			(unsigned)st.st_uid);
	return 0;
}

int sg_signer_load(struct sg_signer **ret, const char *path, struct sg_error *err)
{
	char *pem = NULL;
	size_t n = 0;
	int r = check_private(path, err);
	if (r == 0)
		r = sg_file_read(path, PEM_MAX, &pem, &n, err);
	if (r < 0)
		return r;
	BIO *bio = BIO_new_mem_buf(pem, (int)n);
	EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "") : NULL;
	BIO_free(bio);
	OPENSSL_cleanse(pem, n);
	free(pem);
	return wrap(ret, key, path, err);
}

int sg_signer_from_seed(
	struct sg_signer **ret, const uint8_t seed[SG_ED25519_KEY], struct sg_error *err)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SG_ED25519_KEY);
	return wrap(ret, key, "the seed", err);
}

void sg_signer_destroy(struct sg_signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->key);
	free(s);
}

const uint8_t *sg_signer_public(const struct sg_signer *s)
{
	return s->pub;
}

int sg_signer_sign(struct sg_signer *s, const void *data, size_t n,
	uint8_t ret_signature[SG_ED25519_SIGNATURE], struct sg_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t sig[SG_ED25519_SIGNATURE];
	size_t len = sizeof(sig);
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) == 1 &&
		  EVP_DigestSign(ctx, sig, &len, data, n) == 1 && len == sizeof(sig);
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return sg_error_set(err, SG_EINTERNAL, NULL, "Ed25519 signing failed");
	memcpy(ret_signature, sig, sizeof(sig));
	return 0;
}

bool sg_ed25519_verify(const uint8_t key[SG_ED25519_KEY], const void *data, size_t n,
	const uint8_t signature[SG_ED25519_SIGNATURE])
{
	EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, SG_ED25519_KEY);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = k && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k) == 1 &&
		  EVP_DigestVerify(ctx, signature, SG_ED25519_SIGNATURE, data, n) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(k);
	return ok;
}

int sg_ed25519_load_public(const char *path, uint8_t ret_key[SG_ED25519_KEY], struct sg_error *err)
{
	sg_autofree char *pem = NULL;
	size_t n = 0, len = SG_ED25519_KEY;
	int r = sg_file_read(path, PEM_MAX, &pem, &n, err);
	if (r < 0)
		return r;
	BIO *bio = BIO_new_mem_buf(pem, (int)n);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	bool ok = key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
		  EVP_PKEY_get_raw_public_key(key, ret_key, &len) == 1;
	BIO_free(bio);
	EVP_PKEY_free(key);
	if (!ok)
		return sg_error_set(err, SG_EINVALID, NULL, "%s holds no Ed25519 public key", path);
	return 0;
}
