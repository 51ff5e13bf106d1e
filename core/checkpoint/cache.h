/* The key steps that the writer is likely to lean on next: what a delta is made against stays in
 * memory, with LZ4's table of it, so that a step neither looks up nor unpacks nor checks what the
 * same thread has just written. It changes no byte of what is stored.
 */
#ifndef SG_CHECKPOINT_CACHE_H
#define SG_CHECKPOINT_CACHE_H

#include <lz4.h>

#include "base/ids.h"
#include "checkpoint/body.h"

#define SG_CHECKPOINT_CACHED 16U /* runs; each at most SG_BODY_DELTA_MAX and LZ4's 16 KiB */

struct sg_checkpoint_key {
	char run_id[SG_RUN_ID_TEXT]; /* "" = free */
	int64_t step;		     /* the run's latest, of the main branch */
	uint64_t key;		     /* 1 + sequence of the key step */
	char *body;		     /* owned: the key step's */
	size_t len;
	bool loaded; /* dictionary is of body */
	LZ4_stream_t dictionary;
};

struct sg_checkpoint_cache {
	struct sg_checkpoint_key keys[SG_CHECKPOINT_CACHED];
};

/* The place of a run's key step, be it that or another's. */
struct sg_checkpoint_key *sg_checkpoint_key_of(struct sg_checkpoint_cache *c, const char *run_id);
/* k is this from now on; takes body, NULL frees the place. */
void sg_checkpoint_key_set(struct sg_checkpoint_key *k, const char *run_id, int64_t step,
	uint64_t key, char *body, size_t len);
/* LZ4's table of the body, made once; valid until the place is set. */
const LZ4_stream_t *sg_checkpoint_key_dictionary(struct sg_checkpoint_key *k);

#endif
