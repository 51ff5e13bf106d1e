/* What changes when one pack takes the place of another. */
#ifndef SG_RUN_PACK_DIFF_H
#define SG_RUN_PACK_DIFF_H

#include <jansson.h>

#include "pack/pack.h"

/* a or b NULL: the pack is new, or gone. A new object: {"pack": id, "from", "to": {"version",
 * "sha256", "key_id"} or null, "same": bool, "rules", "facts", "templates": {"added", "removed",
 * "changed": [name…]}, "actions", "capabilities", "targets": {"added", "removed": [word…]}}.
 * actions: what its rules may decide (halt, goto, …, or a severity); capabilities: what an
 * interrupt of theirs asks for; targets: nodes that they lead to; as far as these are literals.
 * Comments and white space are no change. SG_EINVALID. */
int sg_pack_diff(
	const struct sg_pack *a, const struct sg_pack *b, json_t **ret, struct sg_error *err);
/* One line of it: "demo 1.0 → 1.1: rules +a -b ~c, actions +halt". Caller frees; NULL when out of
 * memory. */
char *sg_pack_diff_line(const json_t *diff);

#endif
