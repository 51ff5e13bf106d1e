/* Signing and key making. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pack/keys.h"
#include "pack/manifest.h"
#include "pack/token.h"
#include "pack/tree.h"

static int make_token(char **ret, const struct sg_pack_tree *tree, struct sg_signer *k,
	const char *key_id, enum sg_pack_hash hash, int64_t iat, struct sg_error *err)
{
	char hex[65];
	uint8_t signature[SG_ED25519_SIGNATURE];
	int r = sg_pack_tree_hash(tree, hash, hex, err);
	if (r < 0)
		return r;
	sg_autofree char *payload = sg_pack_token_payload(key_id, hash, hex, iat);
	if (!payload)
		return sg_error_nomem(err);
	r = sg_signer_sign(k, payload, strlen(payload), signature, err);
	if (r < 0)
		return r;
	sg_autofree char *s64 = sg_base64url(signature, sizeof(signature));
	if (!s64 || asprintf(ret, "%s.%s", payload, s64) < 0)
		return sg_error_nomem(err);
	return 0;
}

static int write_beside(const char *dir, const char *name, const char *suffix, const char *data,
	size_t n, struct sg_error *err)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix) >= sizeof(path))
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: the path is too long", dir);
	return sg_file_write_atomic(path, data, n, 0644, err);
}

/* key_id, or "pack-" and the first digits of the fingerprint. */
static int settle_key_id(
	const struct sg_pack_key *key, const char *key_id, char ret_id[65], struct sg_error *err)
{
	if (key_id && !sg_pack_key_id_ok(key_id))
		return sg_error_set(err, SG_EINVALID, NULL,
			"key id \"%.64s\": only letters, digits, '_', '.' and '-', up to 64",
			key_id);
	if (key_id)
		(void)snprintf(ret_id, 65, "%s", key_id);
	else
		(void)snprintf(ret_id, 65, "pack-%.8s", key->fingerprint);
	return 0;
}

static int sign_tree(const struct sg_pack_tree *tree, const char *dir, struct sg_signer *k,
	const char *key_id, enum sg_pack_hash hash, int64_t iat, struct sg_error *err)
{
	sg_autofree char *token = NULL;
	sg_autofree char *pem = NULL;
	struct sg_pack_key key;
	char id[65];
	int r = sg_pack_raw_key(&key, &pem, sg_signer_public(k), err);
	if (r == 0)
		r = settle_key_id(&key, key_id, id, err);
	if (r == 0)
		r = make_token(&token, tree, k, id, hash, iat, err);
	if (r == 0)
		r = write_beside(dir, id, ".pub.pem", pem, strlen(pem), err);
	if (r == 0)
		r = write_beside(dir, "manifest", ".jwt", token, strlen(token), err);
	return r;
}

int sg_pack_sign(const char *dir, const char *key_path, const char *key_id, enum sg_pack_hash hash,
	int64_t iat, struct sg_error *err)
{
	struct sg_signer *k = NULL;
	struct sg_pack_tree tree = {0};
	struct sg_pack *p = calloc(1, sizeof(*p));
	int r = p ? sg_signer_load(&k, key_path, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_pack_tree_read(&tree, dir, err);
	if (r == 0)
		r = sg_pack_read_manifest(p, &tree, dir, err); /* broken packs are not signed */
	if (r == 0)
		r = sign_tree(&tree, dir, k, key_id, hash, iat, err);
	sg_pack_destroy(p);
	sg_pack_tree_finish(&tree);
	sg_signer_destroy(k);
	return r;
}

static int write_new(const char *dir, const char *name, const char *suffix, const char *data,
	size_t n, mode_t mode, struct sg_error *err)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix) >= sizeof(path))
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: the path is too long", dir);
	sg_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0 && errno == EEXIST)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"%s is there already; a key is never overwritten", path);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot create %s", path);
	int r = sg_write_all(fd, data, n);
	if (r < 0 || fsync(fd) < 0)
		return sg_error_errno(err, r < 0 ? -r : errno, "cannot write %s", path);
	return sg_file_sync_dir(path, err);
}

/* The PKCS #8 text of a fresh key, and its public bytes. */
static int fresh_key(char ret_pem[256], size_t *ret_len, uint8_t ret_public[SG_ED25519_KEY],
	struct sg_error *err)
{
	size_t n = SG_ED25519_KEY;
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *b = BIO_new(BIO_s_secmem());
	bool ok = k && b && EVP_PKEY_get_raw_public_key(k, ret_public, &n) == 1 &&
		  PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) == 1;
	int len = ok ? BIO_read(b, ret_pem, 255) : -1;
	BIO_free(b);
	EVP_PKEY_free(k);
	ERR_clear_error();
	if (len <= 0)
		return sg_error_set(err, SG_EINTERNAL, NULL, "OpenSSL made no Ed25519 key");
	*ret_len = (size_t)len;
	return 0;
}

int sg_pack_keygen(const char *out_dir, const char *key_id, char *ret_key_id, struct sg_error *err)
{
	char secret[256], id[65];
	size_t n = 0;
	uint8_t raw[SG_ED25519_KEY];
	struct sg_pack_key key;
	sg_autofree char *pem = NULL;
	int r = fresh_key(secret, &n, raw, err);
	if (r == 0)
		r = sg_pack_raw_key(&key, &pem, raw, err);
	if (r == 0)
		r = settle_key_id(&key, key_id, id, err);
	if (r == 0)
		r = write_new(out_dir, id, ".key.pem", secret, n, 0600, err);
	OPENSSL_cleanse(secret, sizeof(secret));
	if (r == 0)
		r = write_new(out_dir, id, ".pub.pem", pem, strlen(pem), 0644, err);
	if (r == 0)
		memcpy(ret_key_id, id, sizeof(id));
	return r;
}
