/* manifest.yaml of a pack. Internal to pack. */
#ifndef SG_PACK_MANIFEST_H
#define SG_PACK_MANIFEST_H

#include "pack/pack.h"
#include "pack/tree.h"

/* Fills id, version, requires_*, rules, rules_len and where of *p (owned by p) from the tree read
 * from dir. SG_EINVALID with "dir/manifest.yaml:line:column: …"; kind "PackCompatError" when the
 * pack requires other versions than this program has. */
int sg_pack_read_manifest(
	struct sg_pack *p, const struct sg_pack_tree *tree, const char *dir, struct sg_error *err);

#endif
