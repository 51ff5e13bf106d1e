/* Ed25519 public keys: PEM and fingerprints. Internal to pack. */
#ifndef SG_PACK_KEYS_H
#define SG_PACK_KEYS_H

#include "pack/pack.h"
#include "pack/strict.h"

/* A PEM public key in memory. SG_EINVALID naming `what` when it is not Ed25519 in PEM. */
int sg_pack_public_key(
	struct sg_pack_key *ret, const char *pem, size_t n, const char *what, struct sg_error *err);

/* From its 32 bytes: the fingerprint, and the PEM text (caller frees; may be NULL: not wanted). */
int sg_pack_raw_key(struct sg_pack_key *ret, char **ret_pem, const uint8_t raw[SG_ED25519_KEY],
	struct sg_error *err);

#endif
