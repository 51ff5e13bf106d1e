/* Signed notes (c2sp.org/signed-note) whose text is a checkpoint (c2sp.org/tlog-checkpoint): the
 * writer's side. A note is the text, an empty line, then one line a signature. */
#ifndef SG_AUDIT_NOTE_H
#define SG_AUDIT_NOTE_H

#include "audit/tree.h"
#include "base/buf.h"
#include "base/ed25519.h"

#define SG_NOTE_MAX 8192U /* bytes of a note */
#define SG_NOTE_NAME_MAX 200U
#define SG_NOTE_TYPE_SIGNATURE 0x01   /* Ed25519 over the text */
#define SG_NOTE_TYPE_COSIGNATURE 0x04 /* Ed25519 with a time: c2sp.org/tlog-cosignature */

/* Not empty, printable ASCII without space and '+'. */
bool sg_note_name_valid(const char *name);
/* "<name>+<8 hex digits>+<base64 of type and key>", the form in which keys are handed round. */
void sg_note_add_vkey(
	struct sg_buf *b, const char *name, uint8_t type, const uint8_t key[SG_ED25519_KEY]);

/* The three lines of a checkpoint. */
void sg_note_add_checkpoint(struct sg_buf *b, const char *origin, const struct sg_tree *t);
/* Signs the text at the start of b (text_len bytes, ending in a newline) and appends the
 * signature's line; the first one is preceded by the empty line. */
int sg_note_sign(struct sg_buf *b, size_t text_len, const char *name, struct sg_signer *key,
	struct sg_error *err);
/* A witness's cosignature of the text (c2sp.org/tlog-cosignature, Ed25519): its line, with newline.
 */
int sg_note_cosign(const char *text, size_t n, const char *name, struct sg_signer *key,
	uint64_t posix_time, struct sg_buf *out, struct sg_error *err);

#endif
