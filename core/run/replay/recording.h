/* Everything that is stored of one run, in memory: what a replay, an evidence file and a comparison
 * read. */
#ifndef SG_RUN_REPLAY_RECORDING_H
#define SG_RUN_REPLAY_RECORDING_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "store/store.h"

#define SG_RECORDING_PARENTS 16	  /* forks of forks */
#define SG_RECORDING_STEPS 100000 /* of one run */

struct sg_recorded_text {
	char *data; /* owned, NUL-terminated */
	size_t len;
};

/* A graph with which the run went: one, or more when it migrated. */
struct sg_recorded_graph {
	char hash[65];
	struct sg_recorded_text document; /* data NULL: not in the store */
	json_t *packs;		       /* owned: [{"blob", "id", "sha256", "version"}…] or NULL */
	struct sg_recorded_text *pack; /* their texts (sg_pack.stored), in that order */
	size_t n_packs;
};

struct sg_recorded_line {
	uint64_t seq;
	struct sg_recorded_text text; /* the audit line without newline */
};

struct sg_recording {
	struct sg_run_row row;
	struct sg_checkpoint *steps; /* of its own, in order; a fork's do not begin with 0 */
	size_t n_steps;
	char *last; /* what came from outside in a step that failed (source.c), or NULL */
	char *fork; /* how the fork was made (fork.h), or NULL */
	struct sg_recorded_graph *graphs;
	size_t n_graphs;
	struct sg_recorded_line *lines;
	size_t n_lines;
	struct sg_recording *parent; /* of a fork: the run it was taken from */
};

/* SG_ENOTFOUND, SG_ECORRUPT, SG_ELIMIT. */
int sg_recording_read(
	struct sg_txn *t, const char *run_id, struct sg_recording **ret, struct sg_error *err);
void sg_recording_destroy(struct sg_recording *r); /* NULL is fine */
static inline void sg_recording_destroy_ptr(struct sg_recording **r)
{
	sg_recording_destroy(*r);
}
#define sg_autorecording __attribute__((cleanup(sg_recording_destroy_ptr))) struct sg_recording

/* The checkpoint with this number, or NULL. */
const struct sg_checkpoint *sg_recording_step(const struct sg_recording *r, int64_t step);
const struct sg_recorded_graph *sg_recording_graph(const struct sg_recording *r, const char *hash);

#endif
