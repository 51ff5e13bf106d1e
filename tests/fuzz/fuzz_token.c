/* manifest.jwt: what is accepted is plain, and its signature can be checked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack/strict.h"
#include "pack/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SG_ED25519_KEY] = {0x58, 0x66};
	struct sg_pack_token t;
	struct sg_error err;
	if (sg_pack_token_parse(&t, (const char *)data, size, &err) < 0) {
		if (strcmp(err.kind, "PackSignatureError") != 0)
			abort();
		return 0;
	}
	if (!sg_pack_key_id_ok(t.key_id) || strlen(t.tree_hash) != 64 || t.signed_len >= size)
		abort();
	(void)sg_pack_signature_fails(key, t.signed_text, t.signed_len, t.signature);
	return 0;
}
