/* Two recorded runs against each other: where they part, on which axis, and which rule led the one
 * elsewhere than the other. */
#ifndef SG_RUN_REPLAY_COMPARE_H
#define SG_RUN_REPLAY_COMPARE_H

#include <jansson.h>

#include "run/replay/replay.h"

#define SG_COMPARE_TEXT 600U	     /* bytes of the first difference's sentence */
#define SG_COMPARE_BYTES (64U << 20) /* of patches; steps beyond are counted in "left_off" */

struct sg_compare_options {
	size_t max_steps; /* differing steps that are listed; 0 = all */
};

/* *ret, new:
 *   "a", "b": {"run_id", "graph_id", "graph_hash", "status", "steps", "reason", "error",
 *     "parent_run_id"}
 *   "identical": no axis differs in any step, and they ended alike
 *   "axes": of the runs as a whole, in this order: "graph" (the document), "pack", "input"
 *   "first": null or {"axis", "step" (-1: none differs), "text"}: the axis that parts them first.
 *     What holds before the first step comes first, then the first step that differs, there in the
 *     order of its "axes"
 *   "steps": those that differ, [{"step", "node_a", "node_b" (null: the run has no such step),
 *     "axes", "patch"}…]. Axes in order: "mutation" (a fork's), "outside" (a recorded result),
 *     "answer" (a person's, or a deadline), "state", "facts" (but for the run's id and times in
 *     them), "route" (node or decision), "hash" (recorded hashes that nothing above explains).
 *     patch: RFC 6902, makes of a's checkpoint (sg_checkpoint_json) b's
 *   "left_off": steps that differ and are not listed
 *   "route": null or, of the first step after which the runs go different ways, {"step", "text",
 *     "a", "b"}, each {"node", "decision", "decided_by", "facts" (those that fired the rule,
 *     firings.h), "fired": [rule…], "not_told": null or why the rules are not known}
 *   "final_patch": of the last states
 * Errors: SG_ENOMEM, and SG_ECORRUPT when what is stored of a fork is damaged. A run that cannot be
 * executed again is compared all the same ("not_told"). */
int sg_compare(struct sg_replayer *p, const struct sg_recording *a, const struct sg_recording *b,
	const struct sg_compare_options *o, json_t **ret, struct sg_error *err);

#endif
