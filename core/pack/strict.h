/* Ed25519 with the checks that a plain verification leaves out. Internal to pack. */
#ifndef SG_PACK_STRICT_H
#define SG_PACK_STRICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ed25519.h"

/* Encodes y < p and no point of order 1, 2, 4 or 8 (a key of small order verifies anything). */
bool sg_pack_point_ok(const uint8_t point[SG_ED25519_KEY]);

/* NULL when the signature holds, else why not: "key-small-order" (or not canonical),
 * "signature-non-canonical" (S >= L, or R not canonical or of small order), "signature-invalid".
 * Static text. */
const char *sg_pack_signature_fails(const uint8_t key[SG_ED25519_KEY], const void *message,
	size_t n, const uint8_t signature[SG_ED25519_SIGNATURE]);

#endif
