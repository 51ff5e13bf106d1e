/* Whose signature is believed. Internal to pack. */
#ifndef SG_PACK_TRUST_H
#define SG_PACK_TRUST_H

#include "pack/pack.h"
#include "pack/token.h"
#include "pack/tree.h"

/* Verifies the token's signature and decides its standing: the allow-list first, then, where there
 * is a pins directory, the key that came with the pack. Fills *ret_key and *ret_standing. */
int sg_pack_judge(const struct sg_pack_trust *trust, const struct sg_pack_tree *tree,
	const struct sg_pack_token *token, struct sg_pack_key *ret_key,
	enum sg_pack_standing *ret_standing, struct sg_error *err);

#endif
