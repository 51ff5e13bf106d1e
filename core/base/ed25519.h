/* Ed25519 signatures (RFC 8032) over OpenSSL's EVP. */
#ifndef SG_BASE_ED25519_H
#define SG_BASE_ED25519_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_ED25519_KEY 32U
#define SG_ED25519_SIGNATURE 64U

struct sg_signer; /* a private key */

/* A PEM file ("BEGIN PRIVATE KEY", PKCS #8) that is a regular file of the caller or root with mode
 * 0600 or less: SG_EREFUSED otherwise; SG_EINVALID: no Ed25519 key in it. */
int sg_signer_load(struct sg_signer **ret, const char *path, struct sg_error *err);
/* From the 32-byte seed of RFC 8032, for tests and other encodings. */
int sg_signer_from_seed(
	struct sg_signer **ret, const uint8_t seed[SG_ED25519_KEY], struct sg_error *err);
void sg_signer_destroy(struct sg_signer *s);		    /* NULL is fine */
const uint8_t *sg_signer_public(const struct sg_signer *s); /* SG_ED25519_KEY bytes */
int sg_signer_sign(struct sg_signer *s, const void *data, size_t n,
	uint8_t ret_signature[SG_ED25519_SIGNATURE], struct sg_error *err);

bool sg_ed25519_verify(const uint8_t key[SG_ED25519_KEY], const void *data, size_t n,
	const uint8_t signature[SG_ED25519_SIGNATURE]);
/* A PEM file with "BEGIN PUBLIC KEY" (SubjectPublicKeyInfo). */
int sg_ed25519_load_public(const char *path, uint8_t ret_key[SG_ED25519_KEY], struct sg_error *err);

#endif
