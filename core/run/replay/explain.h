/* What the rules did in a step, as JSON (firings.h). Internal to run/replay. */
#ifndef SG_RUN_REPLAY_EXPLAIN_H
#define SG_RUN_REPLAY_EXPLAIN_H

#include "run/internal.h"

/* "agenda", "decided_by" and "fired"; for run->explained. New, NULL when out of memory. */
json_t *sg_explain_rules(const struct step *s, const struct sg_rules_outcome *o);
/* With what the checkpoint says beside it; takes rules, NULL = they were not asked. New, NULL when
 * out of memory. */
json_t *sg_explain_step(const struct sg_checkpoint *c, json_t *rules);

#endif
