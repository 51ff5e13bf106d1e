/* Signed notes: see note.h. */
#include "audit/note.h"

#include <inttypes.h>
#include <string.h>

#include "base/base64.h"
#include "base/hash.h"

#define DASH "\xe2\x80\x94 " /* U+2014 and a space */

bool sg_note_name_valid(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > SG_NOTE_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '+')
			return false;
	return true;
}

/* The first four bytes of SHA-256(name, newline, type, key). */
static void key_id(
	const char *name, uint8_t type, const uint8_t key[SG_ED25519_KEY], uint8_t ret[4])
{
	sg_autobuf b = SG_BUF_INIT(SG_NOTE_MAX);
	uint8_t digest[SG_SHA256_BYTES];
	sg_buf_adds(&b, name);
	sg_buf_addc(&b, '\n');
	sg_buf_addc(&b, (char)type);
	sg_buf_add(&b, key, SG_ED25519_KEY);
	sg_sha256(b.data, b.len, digest);
	memcpy(ret, digest, 4);
}

void sg_note_add_vkey(
	struct sg_buf *b, const char *name, uint8_t type, const uint8_t key[SG_ED25519_KEY])
{
	uint8_t id[4], raw[1 + SG_ED25519_KEY];
	key_id(name, type, key, id);
	raw[0] = type;
	memcpy(raw + 1, key, SG_ED25519_KEY);
	sg_buf_addf(b, "%s+%02x%02x%02x%02x+", name, id[0], id[1], id[2], id[3]);
	sg_base64_add(b, raw, sizeof(raw));
}

void sg_note_add_checkpoint(struct sg_buf *b, const char *origin, const struct sg_tree *t)
{
	struct sg_tree_hash root;
	sg_tree_root(t, &root);
	sg_buf_addf(b, "%s\n%" PRIu64 "\n", origin, t->size);
	sg_base64_add(b, root.b, sizeof(root.b));
	sg_buf_addc(b, '\n');
}

int sg_note_sign(struct sg_buf *b, size_t text_len, const char *name, struct sg_signer *key,
	struct sg_error *err)
{
	uint8_t line[4 + SG_ED25519_SIGNATURE];
	if (b->failed)
		return sg_error_nomem(err);
	key_id(name, SG_NOTE_TYPE_SIGNATURE, sg_signer_public(key), line);
	int r = sg_signer_sign(key, b->data, text_len, line + 4, err);
	if (r < 0)
		return r;
	if (b->len == text_len)
		sg_buf_addc(b, '\n');
	sg_buf_addf(b, DASH "%s ", name);
	sg_base64_add(b, line, sizeof(line));
	sg_buf_addc(b, '\n');
	return b->failed ? sg_error_nomem(err) : 0;
}

int sg_note_cosign(const char *text, size_t n, const char *name, struct sg_signer *key,
	uint64_t posix_time, struct sg_buf *out, struct sg_error *err)
{
	uint8_t line[4 + 8 + SG_ED25519_SIGNATURE];
	sg_autobuf message = SG_BUF_INIT(2 * SG_NOTE_MAX);
	sg_buf_addf(&message, "cosignature/v1\ntime %" PRIu64 "\n", posix_time);
	sg_buf_add(&message, text, n);
	if (message.failed)
		return sg_error_nomem(err);
	key_id(name, SG_NOTE_TYPE_COSIGNATURE, sg_signer_public(key), line);
	for (int i = 0; i < 8; i++)
		line[4 + i] = (uint8_t)(posix_time >> (56 - 8 * i));
	int r = sg_signer_sign(key, message.data, message.len, line + 12, err);
	if (r < 0)
		return r;
	sg_buf_addf(out, DASH "%s ", name);
	sg_base64_add(out, line, sizeof(line));
	sg_buf_addc(out, '\n');
	return out->failed ? sg_error_nomem(err) : 0;
}
