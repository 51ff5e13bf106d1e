/* What the verbs about evidence share: a state directory opened for reading, the files of its log,
 * small inputs. */
#ifndef SG_CLI_EVIDENCE_H
#define SG_CLI_EVIDENCE_H

#include <stddef.h>

#include "audit/audit.h"
#include "base/buf.h"

#define SG_EVIDENCE_INPUT_MAX (1U << 20) /* bytes of a note, proof or line that is read */

struct sg_evidence {
	struct sg_store *store;
	struct sg_txn *txn; /* for reading */
	struct sg_audit_head head;
};
/* Works beside a running server. SG_ENOTFOUND: no store, or no log in it yet. */
int sg_evidence_open(struct sg_evidence *e, const char *state_dir, struct sg_error *err);
void sg_evidence_close(struct sg_evidence *e);

/* The log's files that are there, oldest first. */
struct sg_evidence_files {
	char **path;
	size_t n;
};
int sg_evidence_list(
	const struct sg_audit_head *head, struct sg_evidence_files *ret, struct sg_error *err);
void sg_evidence_files_finish(struct sg_evidence_files *f);

/* The whole of a small file, "-" = standard input. Caller frees. */
int sg_evidence_input(const char *path, char **ret, size_t *ret_len, struct sg_error *err);

#endif
