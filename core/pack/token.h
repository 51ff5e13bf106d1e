/* manifest.jwt: a compact JWT, taken apart strictly. Internal to pack. */
#ifndef SG_PACK_TOKEN_H
#define SG_PACK_TOKEN_H

#include <stdint.h>

#include "pack/strict.h"
#include "pack/pack.h"

struct sg_pack_token {
	char key_id[65]; /* of header and payload, which agree */
	enum sg_pack_hash hash;
	char tree_hash[65];
	int64_t iat;
	const char *signed_text; /* borrowed: header.payload */
	size_t signed_len;
	uint8_t signature[SG_ED25519_SIGNATURE];
};

/* text must outlive *ret. Nothing is believed yet: sg_pack_signature_fails follows. */
int sg_pack_token_parse(
	struct sg_pack_token *ret, const char *text, size_t n, struct sg_error *err);

/* "header.payload" in base64url, to be signed; caller frees; NULL when out of memory. */
char *sg_pack_token_payload(
	const char *key_id, enum sg_pack_hash hash, const char *tree_hash, int64_t iat);
/* Base64url without padding appended as text; caller frees; NULL when out of memory. */
char *sg_base64url(const void *data, size_t n);

/* "pack signature verification failed: reason: …" */
int sg_pack_refuse(struct sg_error *err, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Usable as a file name and as a kid: [A-Za-z0-9_.-]{1,64}, not starting with a dot. */
bool sg_pack_key_id_ok(const char *id);

const char *sg_pack_hash_name(enum sg_pack_hash h); /* "SHA-256", "BLAKE3" */

#endif
