/* The transformer's forward pass over a plan (weights bound to a kernel) and a workspace.
 *
 * Single program, many members: every member of a crew calls sg_forward with its own number and
 * works on its share of output columns, heads or rows; barriers stand between. A crew of one needs
 * no barrier. Shares never split a sum, so the bits do not depend on the crew.
 */
#ifndef SG_EMBED_FORWARD_H
#define SG_EMBED_FORWARD_H

#include <stddef.h>

#include "base/error.h"
#include "embed/barrier.h"
#include "embed/embed.h"
#include "embed/kernels.h"

#define SG_CREW_MAX SG_BERT_HEADS /* a member needs at least one head */

struct sg_plan_layer {
	struct sg_linear qkv;  /* [12 * 96, 384], a head's Q, K and V rows side by side */
	struct sg_linear out;  /* [384, 384] */
	struct sg_linear up;   /* [1536, 384] */
	struct sg_linear down; /* [384, 1536] */
};

/* Read-only after create; shared by threads. */
struct sg_plan {
	const struct sg_kernel *kernel;
	const struct sg_vecops *vecops;
	const struct sg_weights *weights; /* borrowed; dense weights may be dropped from it */
	struct sg_plan_layer layer[SG_BERT_LAYERS];
	size_t row_unit; /* sg_kernel.row_unit; 0 = texts are computed alone */
	void *memory;	 /* everything that was repacked */
	size_t memory_bytes;
};

/* weights must outlive the plan. */
int sg_plan_create(struct sg_plan **ret, const struct sg_weights *weights,
	const struct sg_kernel *kernel, struct sg_error *err);
void sg_plan_destroy(struct sg_plan *p);

/* Rows that a text of so many tokens takes in a pass. */
size_t sg_plan_rows(const struct sg_plan *p, size_t tokens);

/* Activations of one pass of at most SG_KERNEL_ROWS rows. */
struct sg_workspace {
	float *x;	/* [rows, 384] */
	float *context; /* [rows, 384] */
	float *mid;	/* [rows, 1536] */
	float *qkv;	/* [rows, 1152], or [rows, 96] for each member */
	char *tmp;	/* SG_KERNEL_TMP for each member */
	void *memory;
	size_t memory_bytes;
	unsigned crew;
};

struct sg_workspace *sg_workspace_create(unsigned crew); /* NULL: out of memory */
void sg_workspace_destroy(struct sg_workspace *ws);

/* A pass: texts whose rows together are at most SG_KERNEL_ROWS, one text when row_unit is 0; ids
 * are checked before. */
void sg_forward(const struct sg_plan *p, struct sg_workspace *ws, const struct sg_embed_text *texts,
	size_t n, unsigned me, struct sg_barrier *barrier);

#endif
