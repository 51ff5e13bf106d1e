/* The evidence file: one run with everything that an auditor on another machine needs to check it
 * and to execute it again. Format: docs/reference/on-disk-formats.md, "Evidence file".
 *
 * Lines of JSON. The first names the format and carries the log's signed checkpoint, then come the
 * run, its steps, graphs with their packs, and audit lines with their inclusion proofs; a fork is
 * followed by the run it was taken from. The last line is the SHA-256 of all bytes before it.
 */
#ifndef SG_EVIDENCE_EVIDENCE_H
#define SG_EVIDENCE_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/check.h"
#include "audit/tree.h"
#include "base/buf.h"
#include "base/ed25519.h"
#include "base/error.h"
#include "run/replay/replay.h"

#define SG_EVIDENCE_FORMAT "stargraph-evidence-v1"
#define SG_EVIDENCE_MAX (1U << 30) /* bytes of one file */

/* Appends the file of rec to out. *ret_uncovered: audit lines that the latest signed checkpoint
 * does not cover (all, where nothing is signed). Equal records and checkpoints, equal bytes. */
int sg_evidence_write(struct sg_txn *t, const struct sg_recording *rec, struct sg_buf *out,
	size_t *ret_uncovered, struct sg_error *err);

struct sg_evidence_proof {
	bool covered;
	sg_check_hash hash[SG_TREE_PROOF_MAX];
	size_t n;
};

/* A file read back; proofs are those of rec's lines, then its parents'. */
struct sg_evidence_content {
	struct sg_recording *rec; /* owned */
	char *note;		  /* owned; NULL = nothing was signed */
	struct sg_evidence_proof *proofs;
	size_t n_proofs;
};
/* SG_EINVALID with kind "altered" (the closing hash does not fit: changed or cut) or "malformed".
 */
int sg_evidence_read(
	const char *text, size_t n, struct sg_evidence_content *ret, struct sg_error *err);
void sg_evidence_content_finish(struct sg_evidence_content *c);

struct sg_evidence_report {
	bool verified;
	bool pinned;	   /* by a key that was given */
	const char *cause; /* "ok", "altered", "malformed", "unsigned", "wrong-key",
			    * "bad-signature", "line", "uncovered", "inputs", "graph", or the axis
			    * of the replay's difference */
	char text[1200];
	size_t lines;
	struct sg_replay_result replay;
};
/* Checks everything and replays. keys: n_keys times SG_ED25519_KEY bytes, one of which must have
 * signed; none given: verified, but not pinned. Errors as sg_replay. */
int sg_evidence_verify(const struct sg_evidence_content *c, const uint8_t *keys, size_t n_keys,
	int (*replay)(void *ctx, const struct sg_recording *rec, struct sg_replay_result *ret,
		struct sg_error *err),
	void *ctx, struct sg_evidence_report *ret, struct sg_error *err);

#endif
