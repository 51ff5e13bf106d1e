/* The large texts of a checkpoint (state, facts, recorded results), compressed.
 *
 * States of one run resemble each other. A body is stored plain, or as one LZ4 block, or as one LZ4
 * block whose dictionary is the body of an earlier step of the same run, its key step. Deltas
 * always refer to a key step, never to another delta, so reading one takes two records at most. LZ4
 * rather than a difference of JSON members: it is a library, is as small on our states (8 KB with
 * two members changed: about 100 bytes) and knows nothing of the text.
 */
#ifndef SG_CHECKPOINT_BODY_H
#define SG_CHECKPOINT_BODY_H

#include <lz4.h>

#include "base/buf.h"
#include "base/error.h"
#include "store/store.h"

enum sg_body_form { SG_BODY_PLAIN, SG_BODY_LZ4, SG_BODY_DELTA };

#define SG_BODY_COMPRESS_MIN 256U      /* shorter ones stay plain */
#define SG_BODY_DELTA_MAX (60U * 1024) /* LZ4 looks back 64 KiB */

/* The compressed form appended to out; dictionary NULL = none, else LZ4's table of the key step's
 * body, which is not changed. Returns the form used: a delta only where it is at most a quarter of
 * the text, else the step becomes a key step. */
enum sg_body_form sg_body_pack(
	struct sg_span body, const LZ4_stream_t *dictionary, struct sg_buf *out);

/* Exactly ret_len bytes and a NUL; caller frees. SG_ECORRUPT. */
int sg_body_unpack(enum sg_body_form form, struct sg_span packed, struct sg_span base,
	size_t body_len, char **ret, struct sg_error *err);

#endif
