/* What `inspect` tells people of a stored run. */
#ifndef SG_CLI_INSPECT_TEXT_H
#define SG_CLI_INSPECT_TEXT_H

#include "checkpoint/checkpoint.h"

/* A table of the steps: when, which node, where it led, which fields changed. */
int sg_inspect_timeline(struct sg_txn *t, const char *run_id, struct sg_error *err);
/* One step: a table of its state, and its facts. */
int sg_inspect_step(const struct sg_checkpoint *c, struct sg_error *err);
/* From one step to another: {"state": RFC 6902, "facts_removed": [text…], "facts_added": [text…]},
 * new. Facts are compared and told without their provenance. */
int sg_inspect_diff(const struct sg_checkpoint *from, const struct sg_checkpoint *to, json_t **ret,
	struct sg_error *err);
void sg_inspect_print_diff(const json_t *diff);

#endif
