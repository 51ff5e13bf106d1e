/* Replay: a run executed again from its record by the engine's own steps, with nothing outside
 * touched, and compared with the record byte for byte.
 *
 * The graph, its rules and the packs are those of the record; what came from outside (embeddings,
 * tools, answers, time) is taken from it. A replayer belongs to one thread and keeps the graphs it
 * has prepared.
 */
#ifndef SG_RUN_REPLAY_REPLAY_H
#define SG_RUN_REPLAY_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "run/replay/recording.h"
#include "run/run.h"

struct sg_replayer;

/* o: embedder (NULL = graphs with classify_embedding nodes cannot be replayed) and limits. */
int sg_replayer_create(
	struct sg_replayer **ret, const struct sg_engine_options *o, struct sg_error *err);
/* What one replay may take of this thread's CPU from now on, checked after each step: sg_replay
 * fails beyond it, and when *stop (NULL = never) is set, with SG_ELIMIT, kind "replay-too-long".
 * 0 = no limit, as at first. */
void sg_replayer_set_limit(struct sg_replayer *p, int64_t cpu_us, const _Atomic bool *stop);
void sg_replayer_destroy(struct sg_replayer *p);

struct sg_replay_result {
	bool identical;
	int64_t steps;	 /* that were executed and compared */
	char proof[65];	 /* SHA-256 over the hashes of the replayed steps, in order */
	bool same_build; /* every step was recorded by this version and kernel */
	char recorded_runtime[65], runtime[65];
	/* the first difference: */
	int64_t step;	  /* -1 = none, or of the run as a whole */
	const char *axis; /* "state", "facts", "rule", "route", "recorded", "hash", "outcome",
			   * "line", "missing-record", "graph"; NULL = none */
	char text[1024];  /* what differs and why, one sentence */
};

/* 0 whether identical or not. Errors: what has nothing to do with the run (SG_ENOMEM), or a record
 * that cannot be replayed here: SG_EREFUSED (the model is missing), SG_ENOTFOUND (its graph is not
 * stored), SG_EINVALID (its graph does not load in this version; the text says why). */
int sg_replay(struct sg_replayer *p, const struct sg_recording *rec, struct sg_replay_result *ret,
	struct sg_error *err);
/* {"run_id", "identical", "steps", "proof", "same_build", "difference": null | {"step", "axis",
 * "text"}}; new, NULL when out of memory. */
json_t *sg_replay_json(const struct sg_recording *rec, const struct sg_replay_result *r);

#endif
