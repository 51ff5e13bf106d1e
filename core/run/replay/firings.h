/* Which rules fired at a step, on which facts, from where those facts came: found by executing the
 * record again. Nothing of it is stored, so it is as true as the replay is: a step that does not
 * come out as recorded is not explained. */
#ifndef SG_RUN_REPLAY_FIRINGS_H
#define SG_RUN_REPLAY_FIRINGS_H

#include <jansson.h>
#include <stdint.h>

#include "run/replay/replay.h"

/* What is told of a step:
 *   "step", "node" (outer/inner), "asked": were the rules asked? (not by a parallel branch before
 *   the last, nor where an interrupt node stops)
 *   "decision": the recorded next_action, or null; "decided_by": the rule's id, or ""
 *   "fired": in firing order [{"rule", "salience", "pack": id or null, "actions": [IR action…],
 *     "facts": [{"id": "f-3", "template", "text", "slots": {…}, "provenance": {"origin", "source",
 *     "run_id", "step", "confidence", "timestamp"}}…]}…], facts in the order of the patterns
 *   "agenda": what was activated before the first firing, in agenda order [{"rule", "matched":
 *     "f-1,f-3", "salience", "fired", "facts" as above}…]
 * visit borrows it; nonzero stops. Of a fork, steps before its own first one are its parent's.
 *
 * Steps from first to last (-1 = to the end). Errors: sg_replay's; SG_ECORRUPT kind "differs": a
 * step up to `last` does not come out as it was recorded, or its result is missing. */
typedef int (*sg_firings_visit)(void *ctx, json_t *step);
int sg_firings_each(struct sg_replayer *p, const struct sg_recording *rec, int64_t first,
	int64_t last, sg_firings_visit visit, void *ctx, struct sg_error *err);
/* That of one step, new; SG_ENOTFOUND: no such step. */
int sg_firings_at(struct sg_replayer *p, const struct sg_recording *rec, int64_t step, json_t **ret,
	struct sg_error *err);

#endif
