/* The Python original's checkpoint store (SQLite, its schema versions 1 to 3), read. Needs base
 * only.
 *
 * Source: stargraph 0.8.0, stargraph.checkpoint: table `checkpoints` (one row a step), `runs`
 * (which no command of 0.8.0 fills), `runs_history` (one row a run of its server; its graph_hash
 * holds the graph's id), `pending_runs` (accepted, never begun). A step number there begins anew
 * when a run is resumed, and a NULL branch makes its primary key let doubles in: only the order of
 * writing (rowid) tells what came after what.
 *
 * The file is not believed. Views, triggers and virtual tables are not run, every value has a type
 * and a limit, statements have a budget, and whatever does not fit is SG_EINVALID with the place.
 */
#ifndef SG_ORIGINAL_ORIGINAL_H
#define SG_ORIGINAL_ORIGINAL_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define SG_ORIGINAL_SCHEMA_MAX 3
#define SG_ORIGINAL_VALUE_MAX (64U << 20) /* bytes of one state, fact list or text */
#define SG_ORIGINAL_ID_MAX 39		  /* bytes of a run id: as long as ours */
#define SG_ORIGINAL_RUN_STEPS 1000000	  /* of one run */

struct sg_original;

#define SG_ORIGINAL_NO_STORE "not-an-original-store" /* kind */

/* path is a private copy that may be written (a write-ahead log beside it is taken in); it is
 * checked page by page. SG_EINVALID, kind SG_ORIGINAL_NO_STORE: not SQLite, damaged, or not the
 * original's schema. */
int sg_original_open(struct sg_original **ret, const char *path, struct sg_error *err);
void sg_original_close(struct sg_original *o); /* NULL is fine */

struct sg_original_counts {
	int schema;		      /* its version */
	int64_t runs, steps, pending; /* pending: accepted and never begun */
};
int sg_original_count(struct sg_original *o, struct sg_original_counts *ret, struct sg_error *err);

/* Every run id that the store names, in the order of their first row; visit returns negative to
 * stop, which is passed on. The text is valid for the call. */
int sg_original_each_run(struct sg_original *o,
	int (*visit)(void *ctx, const char *run_id, struct sg_error *err), void *ctx,
	struct sg_error *err);

struct sg_original_run {
	char *status;	/* as it was written: "done", "error", …; NULL = nothing was */
	char *graph_id; /* NULL = not known */
	char *parent_run_id, *trigger_source, *error_class, *error_cause; /* or NULL */
	int64_t started_us, finished_us;				  /* 0 = not known */
	int64_t steps;
	char digest[SG_SHA256_HEX]; /* over every column of its rows */
};
int sg_original_run(struct sg_original *o, const char *run_id, struct sg_original_run *ret,
	struct sg_error *err);
void sg_original_run_finish(struct sg_original_run *r);

struct sg_original_step {
	int64_t step, parent_step;	       /* the original's numbers; parent -1 = none */
	const char *branch_id, *parent_run_id; /* or NULL */
	const char *last_node, *graph_hash, *runtime_hash, *side_effects_hash;
	int64_t timestamp_us;
	json_t *state;	     /* an object, borrowed as all here */
	json_t *facts;	     /* an array of texts or objects */
	json_t *next_action; /* an object or NULL */
};
/* In the order of writing; visit as above. */
int sg_original_each_step(struct sg_original *o, const char *run_id,
	int (*visit)(void *ctx, const struct sg_original_step *s, struct sg_error *err), void *ctx,
	struct sg_error *err);

#endif
