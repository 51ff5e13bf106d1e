/* Reading the audit log from the store, beside the writer: lines, signed checkpoints, proofs. */
#ifndef SG_AUDIT_READER_H
#define SG_AUDIT_READER_H

#include "audit/tree.h"
#include "store/store.h"

/* The signed checkpoint of the tree with this size (0 = the latest there is), without cosignatures;
 * caller frees. Positive outcome 1: none. */
int sg_audit_note_get(
	struct sg_txn *t, uint64_t size, char **ret_note, uint64_t *ret_size, struct sg_error *err);
/* A line; it points into the map. Positive outcome 1: none. */
int sg_audit_line_get(struct sg_txn *t, uint64_t seq, struct sg_span *ret, struct sg_error *err);

/* Nodes of the tree from the store, for sg_tree_prove_* (pass &source). One thread. */
struct sg_audit_nodes {
	struct sg_tree_source source;
	struct sg_txn *txn;
	uint64_t block; /* whose leaves are at hand */
	size_t n;	/* how many; 0 = none read yet */
	struct sg_tree_hash leaf[SG_TREE_BLOCK];
};
void sg_audit_nodes_init(struct sg_audit_nodes *n, struct sg_txn *t);

/* First sequences of the files that were rotated away from the log at path, oldest first; caller
 * frees. They are called "<path>.<first sequence, 12 to 18 digits>". */
int sg_audit_archives(const char *path, uint64_t **ret, size_t *ret_n, struct sg_error *err);
/* The name of one of them; caller frees. NULL: no memory. */
char *sg_audit_archive_path(const char *path, uint64_t first);

/* The head's file is called name from now on: for a copy of a state directory. Own transaction. */
int sg_audit_relocate(struct sg_store *s, const char *name, struct sg_error *err);

/* The chain as the store has it, from the first line kept: every line names its predecessor's hash,
 * the last is the head. Positive outcome 1: not so, *ret_seq is the line at which. */
int sg_audit_check_store(struct sg_txn *t, uint64_t *ret_seq, struct sg_error *err);

#endif
