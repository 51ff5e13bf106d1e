/* The rule packs of this process, and which of them a graph's governance mounts. */
#ifndef SG_RUN_MOUNTS_H
#define SG_RUN_MOUNTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "config/config.h"
#include "graph/graph.h"
#include "rules/rules.h"

#define SG_MOUNTS_MAX 256 /* packs of one process */

struct sg_mounts;

/* Every pack directory inside [packs] directories, read and verified; under oss-default a key that
 * is seen for the first time is pinned. No section, no packs. A pack that does not verify, and two
 * of one id, stop the start. */
int sg_mounts_from_config(struct sg_mounts **ret, const struct sg_config *c, struct sg_error *err);
/* These pack directories, trusted on first use with pins in pins_dir; NULL = verified against the
 * key that came with each, and not pinned: for verbs that run nothing. */
int sg_mounts_from_directories(struct sg_mounts **ret, const char *const *dirs, size_t n,
	const char *pins_dir, struct sg_error *err);
void sg_mounts_destroy(struct sg_mounts *m);

/* Every pack of a list of texts as sg_pack.stored: those a run was recorded with. */
int sg_mounts_from_stored(struct sg_mounts **ret, const char *const *texts, const size_t *lens,
	size_t n, struct sg_error *err);
/* The pack with this id, borrowed; NULL when there is none. */
struct sg_pack;
const struct sg_pack *sg_mounts_find(const struct sg_mounts *m, const char *id);
const struct sg_pack *sg_mounts_at(const struct sg_mounts *m, size_t i); /* NULL: no more; m too */
/* May g mount what it names? As sg_mounts_bind, without binding. */
int sg_mounts_check(const struct sg_mounts *m, const struct sg_graph *g, struct sg_error *err);
/* remount.c: what would change, a new list of pack_diff.h's objects. */
int sg_mounts_diff(const struct sg_mounts *from, const struct sg_mounts *to, json_t **ret,
	struct sg_error *err);
/* The packs of g and of the graphs in its nodes, each once, in mounting order; borrowed from m. At
 * most max; returns how many. */
size_t sg_mounts_of(const struct sg_mounts *m, const struct sg_graph *g,
	const struct sg_pack *ret[], size_t max);

/* Finds the packs that g mounts, in its order, and computes g's hash with them and with those that
 * the graphs in its nodes mount. The texts are
 * borrowed from m; the caller frees the array. m NULL = no packs. SG_EINVALID: "file:line:column:
 * no pack …", another version, or a requirement that this program does not meet. */
int sg_mounts_bind(const struct sg_mounts *m, struct sg_graph *g, struct sg_rules_pack **ret,
	size_t *ret_n, struct sg_error *err);

#endif
