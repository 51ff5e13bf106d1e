/* What a recorded run would have done with other rule packs: executed in memory from its record,
 * from its first step. Nothing outside is touched and nothing is stored. */
#ifndef SG_RUN_REPLAY_WHATIF_H
#define SG_RUN_REPLAY_WHATIF_H

#include "run/mounts.h"
#include "run/replay/replay.h"

/* *ret: the run as it would be recorded, with rec's id, parameters and times, its graph mounting
 * the packs of m where it mounts one of the same id, whatever version it names. What nodes got from
 * outside is that of rec where they see the same as then, people's answers where the same question
 * is open at the same step; a node that would need another result ends it failed, class
 * "fork-refused"; a question without an answer leaves it waiting. sg_compare(rec, *ret) tells the
 * difference.
 *
 * Positive outcome 1: the graph mounts none of these packs. Errors: SG_EREFUSED (a run that
 * migrated, a fork, one that is not over and does not wait), SG_EINVALID (the new pack does not fit
 * the graph), and sg_replay's. */
int sg_whatif(struct sg_replayer *p, const struct sg_recording *rec, const struct sg_mounts *m,
	struct sg_recording **ret, struct sg_error *err);

#endif
