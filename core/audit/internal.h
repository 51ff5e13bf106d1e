/* Shared by the files of the writer; the verifier includes none of this. */
#ifndef SG_AUDIT_INTERNAL_H
#define SG_AUDIT_INTERNAL_H

#include <sys/types.h>

#include "audit/audit.h"
#include "audit/tree.h"
#include "base/buf.h"
#include "base/ed25519.h"
#include "base/hash.h"

#define SG_AUDIT_HEAD_KEY "audit.head"
#define SG_AUDIT_LINE_MAX (64U << 20) /* bytes of one line */
#define SG_AUDIT_BATCH_MAX (1U << 30) /* bytes remembered between two flushes */

/* Where the chain stands. */
struct sg_audit_chain {
	uint64_t next;		       /* sequence of the next line */
	uint8_t last[SG_SHA256_BYTES]; /* hash of the last line; zeros before the first */
	uint64_t offset;	       /* bytes of the current file */
	uint64_t first;		       /* sequence of the current file's first line */
	uint64_t kept;		       /* sequence of the first line that the store still has */
	uint64_t signed_size;	       /* lines up to and with the last signed checkpoint's own */
	struct sg_tree tree;	       /* over all lines */
};

struct sg_audit {
	struct sg_store *store;
	char *path, *name; /* name: as the head has it */
	int fd;
	dev_t dev; /* of the file as it was opened */
	ino_t ino;
	struct sg_audit_chain now, durable; /* with what was put; as of the last flush */
	struct sg_buf pending;		    /* lines with newlines, put since the last flush */
	struct sg_buf line;		    /* scratch */
	bool failed; /* what the file holds is unknown: nothing more is written */
	/* [audit] */
	struct sg_signer *signer; /* NULL = no signed checkpoints */
	char *origin;
	int64_t every_records, every_us, rotate_bytes, rotate_us;
	size_t keep_files;	   /* 0 = all */
	uint64_t prune_to;	   /* lines before this one are to go */
	int64_t unsigned_since_us; /* monotonic: first line after the last checkpoint; 0 = none */
	int64_t file_since_us;	   /* UTC: first line of the current file */
	json_t *redact;
	/* Lines of the current file that are not compared with the store yet: reconcile.c. */
	struct {
		uint64_t seq, end;	     /* equal: none */
		uint64_t offset, end_offset; /* where these two begin */
	} older;
};

/* One line, without newline, into out (reset first). prev: hash of the line before. */
int sg_audit_line(struct sg_buf *out, uint64_t seq, const uint8_t prev[SG_SHA256_BYTES],
	const struct sg_audit_event *e, struct sg_error *err);

/* Opens the file with every check, creating it empty when there is none. */
int sg_audit_file_open(struct sg_audit *a, struct sg_error *err);
/* Still the same file, still ours alone, and as long as we left it? SG_EREFUSED. */
int sg_audit_file_check(const struct sg_audit *a, struct sg_error *err);
/* Appends and fdatasyncs. SG_ENOSPACE only where nothing of it was kept, so that it may be tried
 * again; a failed sync is SG_EIO whatever the errno: asking twice would be told a lie. */
int sg_audit_file_append(
	const struct sg_audit *a, const void *data, size_t n, struct sg_error *err);

/* A record of the log about itself: actor "system", no run. */
struct sg_audit_event sg_audit_own_event(const char *type, const char *payload);

/* The tree over the lines that the head covers, completing its stored nodes where they lack. */
int sg_audit_tree_load(struct sg_audit *a, struct sg_error *err);
/* The line at hand into the tree; a completed block into t. */
int sg_audit_tree_add(
	struct sg_audit *a, struct sg_txn *t, const char *line, size_t n, struct sg_error *err);

/* The signed checkpoint's record into t, whatever is due. */
int sg_audit_sign(struct sg_audit *a, struct sg_txn *t, struct sg_error *err);
bool sg_audit_sign_due(const struct sg_audit *a);
/* A copy of payload without the values of the listed members, in out; or payload itself. */
int sg_audit_redact(const struct sg_audit *a, const char *payload, struct sg_buf *out,
	const char **ret, struct sg_error *err);

bool sg_audit_rotate_due(const struct sg_audit *a);
/* Renames the current file, begins the next with a record that names the old one and carries the
 * tree's compact range, so that it verifies without it. */
int sg_audit_rotate(struct sg_audit *a, struct sg_error *err);
/* At start: a rotation that was cut off after its rename is finished. */
int sg_audit_rotate_resume(struct sg_audit *a, struct sg_error *err);
/* Removes the oldest archives beyond keep_files; their lines go with the transactions to come. */
int sg_audit_retain(struct sg_audit *a, struct sg_error *err);
/* Some of the lines that are to go, out of the store, in t. */
int sg_audit_retain_some(struct sg_audit *a, struct sg_txn *t, struct sg_error *err);
/* The first line the store has and the hash of the one before. Positive outcome 1: it has all. */
int sg_audit_kept_get(struct sg_txn *t, uint64_t *ret_seq, uint8_t ret_before[SG_SHA256_BYTES],
	struct sg_error *err);
/* When the first line of the current file was written. */
int sg_audit_file_age(struct sg_audit *a, struct sg_error *err);

/* Positive outcome 1: the store has no head yet. ret_name (SG_AUDIT_PATH_MAX bytes) may be NULL. */
int sg_audit_head_get(
	struct sg_txn *t, struct sg_audit_chain *ret, char *ret_name, struct sg_error *err);
int sg_audit_head_put(
	struct sg_txn *t, const struct sg_audit_chain *c, const char *name, struct sg_error *err);
/* How the head names the log: by its last part when it lies beside the store, so that a state
 * directory may be moved or copied whole; else by its absolute path. Caller frees. */
int sg_audit_head_name(struct sg_store *s, const char *path, char **ret, struct sg_error *err);
/* Compares the end of the file with the store line by line and completes it; see sg_audit_open. */
int sg_audit_reconcile(struct sg_audit *a, size_t *ret_repaired, struct sg_error *err);

#endif
