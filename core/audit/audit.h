/* The evidence: a hash-chained JSON Lines file whose truth lies in the store.
 *
 * A line has a fixed key order:
 *   {"seq":N,"prev":"<64 hex>","ts":"…Z","actor":…,"type":…,"run":…|null,"step":…|null,
 *    "payload":{…},"provenance":{"origin","source","run_id","step","confidence","timestamp"}}
 * prev is the SHA-256 of the previous line without its newline; line 0 is the genesis record, its
 * prev 64 zeros, its payload bound to the install id. The head (seq, hash, file, offset) lies in
 * META in the same transaction as the lines. Order of durability: LMDB first, then the file.
 */
#ifndef SG_AUDIT_AUDIT_H
#define SG_AUDIT_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/store.h"

#define SG_AUDIT_PATH_MAX 4096
#define SG_AUDIT_START_BYTES (4U << 20) /* of the log's end, compared before it is used */

struct sg_audit; /* owned by the writer thread: chain state and the one descriptor */

struct sg_audit_event {
	int64_t ts_us;
	const char *actor;  /* canonical subject, "anonymous", "system", "trigger:<id>" */
	const char *type;   /* the original's event types, and request/denied/refused/… of ours */
	const char *run_id; /* NULL = none */
	int64_t step;	    /* -1 = none */
	const char *payload;	     /* canonical JSON object text */
	const char *origin, *source; /* provenance; NULL = "engine", "stargraph" */
	double confidence;	     /* 1.0 */
};

/* Opens (creating genesis when both sides are empty) and reconciles file and head: a file that is
 * behind is completed from the store, with an audited record; a torn last line that is a prefix of
 * the store's record counts as behind; anything else: SG_EREFUSED naming the line and what to do.
 * *ret_repaired = lines re-appended. Of a log longer than SG_AUDIT_START_BYTES only so much of its
 * end is looked at; the rest is sg_audit_compare_some's. */
int sg_audit_open(struct sg_audit **ret, struct sg_store *s, const char *path, size_t *ret_repaired,
	struct sg_error *err);
/* Compares the next megabyte of what sg_audit_open left. Positive outcome 1: there is more. A line
 * that differs: SG_EREFUSED as there; nothing may be written any more. Until all is compared no new
 * file is begun. */
int sg_audit_compare_some(struct sg_audit *a, struct sg_error *err);
bool sg_audit_compared(const struct sg_audit *a);
void sg_audit_close(struct sg_audit *a);

/* What the [audit] section of the configuration may say; texts borrowed from it. */
struct sg_audit_options {
	const char *signing_key;	  /* PEM file, Ed25519; NULL = no signed checkpoints */
	const char *previous_signing_key; /* the key before, while it is being replaced; or NULL */
	const char *origin;		  /* name of the log; NULL = stargraph/<install id> */
	int64_t every_records,
		every_seconds; /* a checkpoint is due after either; 0 = never by it */
	int64_t rotate_bytes,
		rotate_seconds; /* a new file is begun after either; 0 = never by it */
	int64_t keep_files;   /* rotated files that are kept, with their lines in the store; 0 = all
			       */
	const json_t *redact; /* array of member names whose values are replaced by their hash */
};
/* The section as a value (NULL = not there) over the defaults; it has passed the section's schema.
 * Borrowed from section. */
void sg_audit_options_read(const json_t *section, struct sg_audit_options *ret);
/* Right after sg_audit_open, if at all. A new signing key is introduced in the log; one that
 * replaces another needs the previous key too and is recorded signed by both. SG_EREFUSED: the key
 * differs from the log's and the previous one was not given, or lies open to others. */
int sg_audit_configure(struct sg_audit *a, const struct sg_audit_options *o, struct sg_error *err);
/* A signed checkpoint of all lines so far, in a transaction of its own, durable when it returns;
 * nothing when there is no key or nothing new. For the end of the process and for idle times. */
int sg_audit_checkpoint(struct sg_audit *a, struct sg_error *err);
/* When, on sg_clock_monotonic_us, sg_audit_checkpoint should be called; INT64_MAX = not now. */
int64_t sg_audit_due_us(const struct sg_audit *a);

/* Assigns sequence and hash, puts the line into t and remembers it for the file. */
int sg_audit_put(
	struct sg_audit *a, struct sg_txn *t, const struct sg_audit_event *e, struct sg_error *err);
/* The sequence that the next sg_audit_put will give. */
uint64_t sg_audit_next(const struct sg_audit *a);
/* Before commit: the new head into t, and before it a signed checkpoint when one is due. */
int sg_audit_put_head(struct sg_audit *a, struct sg_txn *t, struct sg_error *err);
/* After a successful commit: append the remembered lines and fdatasync. An error here means the
 * process must stop (the store is ahead; the next start repairs); but after SG_ENOSPACE it may be
 * called again when there is room: it goes on behind what the file holds. Begins a new file when
 * that is due, with a record of its own. */
int sg_audit_flush(struct sg_audit *a, struct sg_error *err);
/* One record in a transaction of its own, durable when it returns. */
int sg_audit_write_alone(struct sg_audit *a, const struct sg_audit_event *e, struct sg_error *err);
/* After a failed or aborted transaction: forget what was put since the last flush. */
void sg_audit_rollback(struct sg_audit *a);

/* The head as the store knows it, for readers beside the writer. Positive outcome 1: no log yet. */
struct sg_audit_head {
	uint64_t seq;		      /* of the last line */
	char hash[65];		      /* of the last line */
	uint64_t first;		      /* sequence of the first line in the current file */
	uint64_t bytes;		      /* length of the current file */
	char path[SG_AUDIT_PATH_MAX]; /* of the current file */
};
int sg_audit_head_read(
	struct sg_store *s, struct sg_txn *t, struct sg_audit_head *ret, struct sg_error *err);

#endif
