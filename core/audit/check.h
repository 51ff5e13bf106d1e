/* The verifier's own Merkle tree and signed notes (RFC 6962, c2sp.org/signed-note), written apart
 * from the writer's. */
#ifndef SG_AUDIT_CHECK_H
#define SG_AUDIT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ed25519.h"
#include "base/error.h"
#include "base/hash.h"

#define SG_CHECK_NOTE_MAX 16384U /* bytes of a note that is read */
#define SG_CHECK_SIGNATURES 32U

typedef uint8_t sg_check_hash[SG_SHA256_BYTES];

/* A tree that only grows: the peaks of a binary counter, peak[k] over 2^k leaves. */
struct sg_check_tree {
	uint64_t size;
	sg_check_hash peak[64];
};
void sg_check_tree_add(struct sg_check_tree *t, const void *line, size_t n);
void sg_check_tree_root(const struct sg_check_tree *t, sg_check_hash ret);
/* From a compact range, largest subtree first; false when n does not fit the size. */
bool sg_check_tree_seed(
	struct sg_check_tree *t, uint64_t size, const sg_check_hash *range, size_t n);

/* RFC 9162 2.1.3.2 and 2.1.4.2. leaf: its hash, as sg_check_leaf gives. */
void sg_check_leaf(const void *line, size_t n, sg_check_hash ret);
bool sg_check_inclusion(const sg_check_hash leaf, uint64_t index, uint64_t size,
	const sg_check_hash *proof, size_t n, const sg_check_hash root);
bool sg_check_growth(uint64_t old_size, const sg_check_hash old_root, uint64_t size,
	const sg_check_hash root, const sg_check_hash *proof, size_t n);

struct sg_check_signature {
	const char *name; /* into the note, name_len bytes */
	size_t name_len;
	uint8_t bytes[4 + 8 + SG_ED25519_SIGNATURE]; /* key id, then what the type says */
	size_t len;
};

struct sg_check_note {
	const char *text; /* the signed text, with its last newline; borrowed */
	size_t text_len;
	const char *origin; /* its first line, without newline */
	size_t origin_len;
	uint64_t size;
	sg_check_hash root;
	const char *extension; /* lines after the third, or NULL */
	size_t extension_len;
	struct sg_check_signature signature[SG_CHECK_SIGNATURES];
	size_t n_signatures;
};

/* A checkpoint note; text must outlive *ret. SG_EINVALID. */
int sg_check_note_parse(
	const char *text, size_t n, struct sg_check_note *ret, struct sg_error *err);
/* The one-line form "origin size root [signature]". SG_EINVALID. No text: text_len 0. */
int sg_check_note_line(const char *line, size_t n, struct sg_check_note *ret, struct sg_error *err);

enum sg_check_verdict { SG_CHECK_ABSENT, SG_CHECK_GOOD, SG_CHECK_BAD };
/* Is the note signed by this key under the log's own name? ABSENT: no signature claims to be. */
enum sg_check_verdict sg_check_note_signed(
	const struct sg_check_note *note, const uint8_t key[SG_ED25519_KEY]);
/* A witness's cosignature (type 4) by this key under any name; *ret_time its POSIX time. */
enum sg_check_verdict sg_check_note_cosigned(const struct sg_check_note *note,
	const struct sg_check_signature *s, const uint8_t key[SG_ED25519_KEY], uint64_t *ret_time);
/* "name+id+base64 of type and key". The id must fit. SG_EINVALID. */
int sg_check_vkey(const char *text, size_t n, uint8_t *ret_type, uint8_t ret_key[SG_ED25519_KEY],
	struct sg_error *err);
/* "— name base64", without newline. */
bool sg_check_signature_line(const char *line, size_t n, struct sg_check_signature *ret);

#endif
