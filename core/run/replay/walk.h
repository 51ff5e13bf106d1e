/* A run walked in memory by the engine's own steps, its outside taken from a recording. Internal to
 * run/replay. */
#ifndef SG_RUN_REPLAY_WALK_H
#define SG_RUN_REPLAY_WALK_H

#include "run/internal.h"
#include "run/replay/fork.h"
#include "run/replay/recording.h"
#include "run/replay/replay.h"

struct sg_replayer {
	struct sg_engine *engine; /* a bare one */
	int64_t limit_us;	  /* of this thread's CPU, for one walk; 0 = none */
	const _Atomic bool *stop; /* NULL = none */
};

/* One of the runs that a fork hangs on, the first is no fork. */
struct level {
	const struct sg_recording *rec;
	struct sg_fork fork; /* of all but the first */
	struct prepared *graph;
};

struct walk {
	struct sg_engine *engine; /* a bare one */
	struct level level[SG_RECORDING_PARENTS + 2];
	size_t n_levels, at; /* at: which of them the step under way belongs to */
	struct run *run;
	/* what a step asked the record for and did not find */
	bool missing;
	char missing_text[400];
	bool told_end; /* the record ended before the run did, and says why (status) */
	/* Items of one turn: checkpoints and events in order. Nonzero stops the walk. */
	int (*seen)(void *ctx, const struct item *items, size_t n);
	void *ctx;
	const struct sg_replayer *replayer;
	int64_t until_us; /* on this thread's CPU clock; 0 = no limit */
};

/* rec and its parents stay borrowed. SG_ECORRUPT "fork-graph": a fork of another graph. */
int sg_walk_begin(struct walk *w, const struct sg_replayer *p, const struct sg_recording *rec,
	struct sg_error *err);
/* A run that migrated is not executed again: SG_EREFUSED. */
int sg_replayable(const struct sg_recording *rec, struct sg_error *err);
/* Until the run has settled, the record ends, or seen stops it. SG_ELIMIT "replay-too-long": it
 * took more than the replayer's limit. */
int sg_walk_run(struct walk *w, struct sg_error *err);
void sg_walk_finish(struct walk *w);

/* The graph of a recording, made ready in a bare engine, which keeps it. SG_ENOTFOUND,
 * SG_EREFUSED, SG_EINVALID, SG_ECORRUPT (it does not have its hash). */
int sg_walk_prepare(struct sg_engine *bare, const struct sg_recording *rec, const char *hash,
	struct prepared **ret, struct sg_error *err);

/* Takes what r asks from outside from `of`, answers included, which stays borrowed until r is
 * destroyed. */
int sg_fork_attach_whatif(struct run *r, const struct sg_recording *of, struct sg_error *err);
/* The graph of a recording in memory, its packs those of the recording: what sg_walk_prepare looks
 * up. Not kept. */
int sg_walk_make_graph(struct sg_engine *e, const struct sg_recorded_graph *g,
	struct prepared **ret, struct sg_error *err);
/* What the engine gathered in one turn of w->run, given to w->seen, and emptied. */
int sg_walk_deliver(struct walk *w);
/* Starts the clock of p's limit; then: may the walk go on? */
void sg_walk_limit(struct walk *w, const struct sg_replayer *p);
bool sg_walk_late(const struct walk *w);

/* The same graph with its pack in another version, which must be mounted in e; stored. */
int sg_walk_prepare_with_pack(struct sg_engine *e, const struct sg_recording *rec,
	const char *wanted, struct prepared **ret, struct sg_error *err);

/* A graph's document without its mounts, which alone a fork may change; new, NULL when out of
 * memory. */
json_t *sg_document_without_mounts(const json_t *document);

/* The outside's entry of a checkpoint's recorded list for this node (not what the engine keeps
 * there); new reference, or NULL. */
json_t *sg_recorded_entry(const char *recorded, const char *node_id);
/* The recorded result of an execution of this node that saw what x sees, in rec or the runs it was
 * forked from; that of the same step before others. New reference, or NULL. */
json_t *sg_recorded_result(const struct sg_recording *rec, const struct sg_exec *x);
/* Would executing it ask anything of the world, or do anything to it? */
bool sg_exec_reaches_out(const struct sg_exec *x);
/* Gives x a recorded result, a mutation's included; takes entry. */
int sg_exec_take(struct sg_exec *x, json_t *entry, struct sg_error *err);
/* The update of a mutation in place of what the node gives; recorded as such. */
int sg_exec_override(struct sg_exec *x, json_t *update, struct sg_error *err);
/* The answer or deadline in a checkpoint's recorded list. Positive outcome 1: *ret. */
int sg_recorded_answer(const char *recorded, struct answer *ret, struct sg_error *err);
bool sg_opens_interrupt(const struct sg_checkpoint *c);

#endif
