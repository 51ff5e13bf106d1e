/* The verifier: separate code that shares nothing with the writer but base's parser and
 * primitives (hash, base64, Ed25519).
 *
 * It streams the log's files once, recomputing the chain and the Merkle tree, and checks each
 * signed checkpoint on the way. A cause is one word: edited removed reordered duplicate   a line
 * was changed, is missing, moved, there twice truncated torn-last-line             the end is
 * missing, or stops inside a line malformed                            a line is no audit record
 *   rewritten                            the chain holds, but a signed or kept checkpoint differs
 *   wrong-key bad-signature unsigned     signatures by another key, broken, or none where a key was
 * given
 */
#ifndef SG_AUDIT_VERIFY_H
#define SG_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ed25519.h"
#include "base/error.h"

enum sg_audit_trust {
	SG_AUDIT_UNSIGNED, /* no signatures in the log */
	SG_AUDIT_UNPINNED, /* signatures by the key that the log itself tells */
	SG_AUDIT_PINNED,   /* by a key given from outside, or one that it handed over to */
};

struct sg_audit_report {
	uint64_t first; /* sequence of the first line there is; 0 unless older files are gone */
	uint64_t lines;
	uint64_t bytes;
	uint64_t checkpoints; /* signed ones that verified */
	uint64_t signed_size; /* lines covered by the last of them */
	enum sg_audit_trust trust;
	char head[65];	   /* hash of the last line */
	char root[45];	   /* base64 of the tree's root over all lines */
	char vkey[300];	   /* the log's key in force at its end, "" = none */
	uint64_t bad_line; /* in its file, from 1; 0 = none */
	size_t bad_file;   /* index into the paths */
	char cause[32];	   /* "ok" or a word of the list above */
	char text[512];
};

struct sg_audit_verify_options {
	const char *head; /* 64 hex digits that line head_seq must have; NULL = none known */
	uint64_t head_seq;
	/* A checkpoint kept outside: a note, or its one-line form "origin size root …"; NULL =
	 * none. It is believed as it is given. For a log of the Python original: the token of a
	 * checkpoint of its kind. */
	const char *checkpoint;
	const uint8_t *keys; /* n_keys times SG_ED25519_KEY bytes; one of them must have signed */
	size_t n_keys;
	/* The key that lies beside a log of the Python original, for use where none is given; what
	 * it verifies is unpinned. NULL = none. */
	const uint8_t *beside;
	unsigned wait_ms; /* a server is writing: how long to wait at the end for the head to appear
			   */
};

/* Streams the files, oldest first. The Python original's chained log (one file, each line with
 * prev_sha256 and an EdDSA JWS) is known by its first line and verified by its own rules. Without a
 * head, a checkpoint or a key an edit of the very last line, or a cut at a line's end, cannot show.
 * Lines after the head are checked too. Positive outcome 1: it does not verify, *ret says where and
 * why. Errors: SG_ENOTFOUND, SG_EINVALID (no regular file, malformed checkpoint), SG_EIO. */
int sg_audit_verify(const char *const *paths, size_t n_paths,
	const struct sg_audit_verify_options *o, struct sg_audit_report *ret, struct sg_error *err);

/* One file against a head; expect_head NULL = the chain only. */
int sg_audit_verify_file(const char *path, const char *expect_head, int64_t expect_seq,
	struct sg_audit_report *ret, struct sg_error *err);

/* A key as the user names it: a PEM file with a public key, or a C2SP verifier key
 * "name+id+base64". */
int sg_audit_read_key(const char *text, uint8_t ret[SG_ED25519_KEY], struct sg_error *err);

#endif
