/* Node kinds: one file in kinds/ and one row of the table in kinds.c each.
 *
 * A kind turns the state into an update of the state. It never touches the run itself, and it never
 * blocks the loop thread for longer than a text of state_bytes takes to look at.
 */
#ifndef SG_RUN_KINDS_H
#define SG_RUN_KINDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "graph/graph.h"

struct run;
struct prepared;
struct sg_engine;
struct sg_embedder;

/* What execute may return beside an error. */
enum sg_exec_outcome {
	SG_EXEC_DONE = 0,  /* x->update says what changes; NULL = nothing */
	SG_EXEC_PENDING,   /* works elsewhere; sg_exec_complete will be called on the loop thread */
	SG_EXEC_INTERRUPT, /* the run waits; x->ask says for what */
	SG_EXEC_HALT,	   /* the run ends here */
};

/* One execution of one node. */
struct sg_exec {
	struct run *run;
	struct sg_engine *engine;
	struct prepared *graph;
	const struct sg_node *node;
	const void *data;    /* what prepare made */
	const json_t *state; /* as the node sees it; borrowed */
	int64_t step;
	json_t *update;		     /* out, owned: object of state fields, or NULL */
	json_t *record;		     /* out, owned: what came from outside, for replay, or NULL */
	const struct sg_action *ask; /* out: of SG_EXEC_INTERRUPT, borrowed from data */
	void *job;		     /* the kind's, while pending */
};

struct sg_kind_load {
	struct sg_embedder *embedder; /* NULL = none */
	const struct sg_graph *graph;
	const struct sg_node *node;
};

struct sg_node_kind {
	struct sg_kind_spec spec;
	/* Checks what a schema cannot say and makes what execute needs; NULL = nothing to do.
	 * SG_EINVALID: text without "file:line", the caller puts that before it. */
	int (*prepare)(const struct sg_kind_load *l, void **ret_data, struct sg_error *err);
	void (*release)(void *data);
	int (*execute)(struct sg_exec *x, struct sg_error *err);
	bool embeds;  /* needs the embedding model */
	bool outside; /* has effects outside: executed only once all before it is durable */
};

extern const struct sg_node_kind sg_kind_echo, sg_kind_halt, sg_kind_passthrough, sg_kind_template,
	sg_kind_embed, sg_kind_classify_embedding, sg_kind_interrupt;

const struct sg_node_kind *sg_kind_find(const char *name);

/* For kinds that embed: the text is tokenized here, computed on a worker; done is called on the
 * loop thread (vector borrowed; NULL with err) and ends with sg_exec_complete. Returns
 * SG_EXEC_PENDING. */
int sg_exec_embed(struct sg_exec *x, const char *text, size_t n,
	void (*done)(struct sg_exec *x, const float *vector, const struct sg_error *err),
	struct sg_error *err);
/* A pending execution is over. err NULL = x->update and x->record hold. x is gone afterwards. */
void sg_exec_complete(struct sg_exec *x, const struct sg_error *err);
/* The record of a vector: {"kind":"embedding","sha256":…, model and tokenizer hashes}. */
json_t *sg_exec_embedding_record(const struct sg_exec *x, const float *vector);

/* Helpers of several kinds. */
const struct sg_field *sg_kind_need_field(const struct sg_kind_load *l, const char *key,
	unsigned types, struct sg_error *err); /* config[key] names a field of one of these types */
#define SG_TYPE_BIT(t) (1U << (unsigned)(t))

#endif
