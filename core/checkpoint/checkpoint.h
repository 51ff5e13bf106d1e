/* Checkpoints and run rows in the store.
 *
 * A checkpoint has the original's thirteen fields (stargraph.checkpoint.protocol.Checkpoint). Each
 * record carries a checksum bound to its key, so that a flipped bit is never served as truth.
 * All writes happen inside the writer thread's transaction.
 */
#ifndef SG_CHECKPOINT_CHECKPOINT_H
#define SG_CHECKPOINT_CHECKPOINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/ids.h"
#include "store/store.h"

struct sg_checkpoint {
	char run_id[SG_RUN_ID_TEXT];
	int64_t step;
	char *branch_id;	 /* NULL = main */
	int64_t parent_step_idx; /* -1 = none */
	char graph_hash[65];
	char runtime_hash[65]; /* SHA-256 over version and kernel path of this build */
	char *state;	       /* canonical JSON text, owned */
	char *clips_facts;     /* canonical JSON array of strings, owned */
	char *last_node;       /* "outer/inner" inside of a subgraph */
	char *next_action;     /* canonical JSON object, or NULL: the next node in file order */
	int64_t timestamp_us;
	char *parent_run_id; /* NULL = an original run */
	char side_effects_hash[65];
	/* beyond the original: what replay needs from outside, canonical JSON array, or NULL */
	char *recorded;
};
void sg_checkpoint_finish(struct sg_checkpoint *c);

enum sg_run_status {
	SG_RUN_PENDING,
	SG_RUN_RUNNING,
	SG_RUN_WAITING,
	SG_RUN_PAUSED,
	SG_RUN_DONE,
	SG_RUN_FAILED,
	SG_RUN_CANCELLED
};
const char *sg_run_status_name(
	enum sg_run_status s); /* "pending", "running", "awaiting-input", … */
int sg_run_status_parse(const char *name, enum sg_run_status *ret);

struct sg_run_row {
	char run_id[SG_RUN_ID_TEXT];
	char *graph_id;
	char graph_hash[65];
	enum sg_run_status status;
	int64_t started_us, updated_us, finished_us; /* 0 = not yet */
	int64_t steps;				     /* checkpoints written */
	char *actor, *trigger_source;
	char *parent_run_id;
	char *reason; /* halt reason, or NULL */
	char *error_class, *error_cause;
	char *waiting; /* canonical JSON of the open interrupt (prompt, payload, capability,
			* node, since, deadline), or NULL */
	char *params;  /* canonical JSON the run was started with */
	bool pinned;   /* a fork hangs on it */
};
void sg_run_row_finish(struct sg_run_row *r);

/* What sg_checkpoint_put may remember from one step to the next; of one thread. NULL when out of
 * memory. To be cleared when a transaction that it was used in is not committed. */
struct sg_checkpoint_cache;
struct sg_checkpoint_cache *sg_checkpoint_cache_create(void);
void sg_checkpoint_cache_clear(struct sg_checkpoint_cache *c);
void sg_checkpoint_cache_destroy(struct sg_checkpoint_cache *c);
/* cache may be NULL: slower, the same bytes. */
int sg_checkpoint_put(struct sg_txn *t, struct sg_checkpoint_cache *cache,
	const struct sg_checkpoint *c, struct sg_error *err);
/* step -1 = latest of the main branch. Positive outcome 1: none. */
int sg_checkpoint_get(struct sg_txn *t, const char *run_id, int64_t step, struct sg_checkpoint *ret,
	struct sg_error *err);
/* In step order; visit returns nonzero to stop. */
int sg_checkpoint_each(struct sg_txn *t, const char *run_id,
	int (*visit)(void *ctx, const struct sg_checkpoint *c), void *ctx, struct sg_error *err);

int sg_run_put(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err);
int sg_run_get(struct sg_txn *t, const char *run_id, struct sg_run_row *ret, struct sg_error *err);
/* The same for a run that somebody asked for: SG_ENOTFOUND names it. */
int sg_run_require(
	struct sg_txn *t, const char *run_id, struct sg_run_row *ret, struct sg_error *err);
/* The row and its place in the listing; nothing else of the run. */
int sg_run_row_del(struct sg_txn *t, const struct sg_run_row *r, struct sg_error *err);

/* A further text of a run beside its parameters, by name: "fork", "last" (run's), and of a run that
 * came from the Python original the mark that says so. The key and the
 * sealed value for the table run_input, each in a buffer of the caller's. */
int sg_run_text_pack(const char *run_id, const char *name, struct sg_span text, struct sg_buf *key,
	struct sg_buf *value, struct sg_span *ret_value, struct sg_error *err);
/* The text in a sealed value, its checksum not looked at; false when there is no room for one. */
bool sg_run_text_span(struct sg_span sealed, struct sg_span *ret);
#define SG_RUN_TEXT_IMPORTED "imported" /* {"source_sha256", "digest", "original_status", …} */
/* Caller frees. Positive outcome 1: none. */
int sg_run_text_get(
	struct sg_txn *t, const char *run_id, const char *name, char **ret, struct sg_error *err);

struct sg_run_filter {
	int status;				       /* -1 = any */
	int64_t since_us, until_us;		       /* 0 = open */
	const char *trigger_source, *graph_id, *actor; /* NULL = any */
	const char *before; /* keyed page: run ids older than this one; NULL = newest */
	size_t limit, offset;
};
/* Newest first. ret_rows owned by the caller (array of n, each finished). */
int sg_run_list(struct sg_txn *t, const struct sg_run_filter *f, struct sg_run_row **ret_rows,
	size_t *ret_n, uint64_t *ret_total, struct sg_error *err);

/* The original's Checkpoint as a JSON object; branch_id is the subgraph's node for a step inside of
 * one. */
json_t *sg_checkpoint_json(const struct sg_checkpoint *c);

/* Reads every run row, every checkpoint of each run and every blob; report is told of each that
 * does not check out, in words that name run and step. An error only when the walk itself fails. */
struct sg_check_counts {
	uint64_t runs, checkpoints, blobs, bad;
};
typedef void (*sg_check_report)(void *ctx, const char *what);
int sg_checkpoint_check(struct sg_txn *t, sg_check_report report, void *ctx,
	struct sg_check_counts *ret, struct sg_error *err);

#endif
