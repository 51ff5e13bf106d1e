/* Node kinds: one file in kinds/ and one row of the table in kinds.c each.
 *
 * A kind turns the state into an update of the state. It never touches the run itself, and it never
 * blocks the loop thread for longer than a text of state_bytes takes to look at.
 *
 * What comes from outside (a worker, a program, a store) is the execution's record, and the update
 * is made from the record alone, by apply: so a replay, which has only the record, cannot differ.
 */
#ifndef SG_RUN_KINDS_H
#define SG_RUN_KINDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/error.h"
#include "graph/graph.h"
#include "llm/llm.h"
#include "tool/tool.h"

struct run;
struct prepared;
struct sg_engine;
struct sg_embedder;
struct sg_node_kind;

/* What execute may return beside an error. */
enum sg_exec_outcome {
	SG_EXEC_DONE = 0,  /* x->update says what changes; NULL = nothing */
	SG_EXEC_PENDING,   /* works elsewhere; sg_exec_complete will be called on the loop thread */
	SG_EXEC_INTERRUPT, /* the run waits; x->ask says for what */
	SG_EXEC_HALT,	   /* the run ends here */
	SG_EXEC_ENTER,	   /* into the node's subgraph; kind subgraph only */
	SG_EXEC_LATER,	   /* again once all it has put into the batch is durable */
};

/* One execution of one node. */
struct sg_exec {
	struct run *run;
	struct sg_engine *engine;
	struct prepared *graph;
	const struct sg_node *node;
	const struct sg_node_kind *kind;
	const void *data;    /* what prepare made */
	const json_t *state; /* as the node sees it; borrowed */
	int64_t step;
	json_t *update;		     /* out, owned: object of state fields, or NULL */
	json_t *record;		     /* out, owned: what came from outside, or NULL; an object
				      * whose "kind" says which, see apply */
	const struct sg_action *ask; /* out: of SG_EXEC_INTERRUPT, borrowed from data */
	void *job;		     /* the kind's, while pending */
	/* the engine's own (elsewhere.c) */
	struct sg_exec *next; /* of the run's branches that were started ahead */
	TAILQ_ENTRY(sg_exec) out;
	int64_t due_us; /* monotonic */
	bool watched, finished;
	int outcome; /* once finished; failure when negative */
	struct sg_error failure;
};

struct sg_kind_load {
	struct sg_embedder *embedder; /* NULL = none */
	bool recorded; /* for a replay: execute will not be called, so no model is missed for it */
	bool stored;   /* the graph of a run, from the store: a tool or language model that is not
			* declared any more is missed when it is executed, as a fork need not */
	const struct sg_graph *graph;
	const struct sg_node *node;
	struct sg_engine *engine; /* NULL = only the document is checked */
	/* What is declared in stargraph.toml. NULL = nothing will be executed (a check, a replay):
	 * names are not looked up. */
	const struct sg_tools *tools;
	/* Likewise, but NULL is none; names are looked up where there is an engine. */
	const struct sg_llms *llms;
};

struct sg_node_kind {
	struct sg_kind_spec spec;
	/* Checks what a schema cannot say and makes what execute needs; NULL = nothing to do.
	 * SG_EINVALID: text without "file:line", the caller puts that before it. */
	int (*prepare)(const struct sg_kind_load *l, void **ret_data, struct sg_error *err);
	void (*release)(void *data);
	int (*execute)(struct sg_exec *x, struct sg_error *err);
	/* From the record of an execution to x->update; the only place that makes one when execute
	 * sets x->record. Reads x->data, x->state and the record, nothing else. NULL for a kind
	 * that records nothing. */
	int (*apply)(struct sg_exec *x, const json_t *record, struct sg_error *err);
	/* What the step keeps in the store beside its checkpoint, put into its batch: called once
	 * the update has been accepted, live only, never in a replay. NULL = nothing. */
	int (*store)(struct sg_exec *x, struct sg_error *err);
	enum sg_effects (*effects)(const void *data); /* of a node; NULL = none */
	/* Nobody waits for a pending execution any more (the run was cancelled, or a limit
	 * reached): its work should end soon. It is completed all the same. NULL = it just runs
	 * out. */
	void (*cancel)(struct sg_exec *x);
	bool elsewhere; /* execute may be pending: branches of such kinds run side by side */
	bool announces; /* its first execute puts a record of the call, SG_EXEC_LATER */
	bool embeds;	/* needs the embedding model */
	bool outside;	/* has effects outside: executed only once all before it is durable */
	bool asks;	/* a language model (chat.h) */
	bool searches;	/* the stores of config.stores (sg_exec_gather) */
	/* The capability db.<store>:<verb>, of each store that config[key] names. */
	struct sg_kind_need {
		const char *key, *verb;
	} needs[2];
};

extern const struct sg_node_kind sg_kind_echo, sg_kind_halt, sg_kind_passthrough, sg_kind_template,
	sg_kind_embed, sg_kind_classify_embedding, sg_kind_interrupt, sg_kind_set, sg_kind_subgraph,
	sg_kind_write_artifact, sg_kind_assert_facts, sg_kind_facts, sg_kind_recall,
	sg_kind_remember, sg_kind_retrieval, sg_kind_tool, sg_kind_llm, sg_kind_rag, sg_kind_reason,
	sg_kind_summarize, sg_kind_classify, sg_kind_extract, sg_kind_judge, sg_kind_plan;

const struct sg_node_kind *sg_kind_find(const char *name);

/* For kinds that embed: the text is tokenized here and computed on a worker. The record is
 * {"kind":"embedding", "vector": base64 of the little-endian floats, "sha256" of those bytes, model
 * and tokenizer hashes}. Returns SG_EXEC_PENDING. */
int sg_exec_embed(struct sg_exec *x, const char *text, size_t n, struct sg_error *err);
/* The vector of such a record. SG_ECORRUPT. */
int sg_exec_embedding_read(const json_t *record, float *ret_vector, struct sg_error *err);
/* The node's CLIPS expressions, evaluated over x->state into x->update, which is there. Returns 0,
 * or SG_EXEC_PENDING where they take long; sg_rules_compute's errors. */
int sg_exec_compute(struct sg_exec *x, struct sg_error *err);
/* A pending execution is over. err NULL = x->update or x->record holds. x is gone afterwards. */
void sg_exec_complete(struct sg_exec *x, const struct sg_error *err);

/* Work that blocks, on a thread of its own. All but work are called on the loop thread. */
struct sg_offload_ops {
	/* Stops soon once cancel_fd is readable. */
	int (*work)(void *job, int cancel_fd, struct sg_error *err);
	/* status and err as work left them: sets x->record and returns 0, or forwards the error. */
	int (*finish)(struct sg_exec *x, void *job, int status, struct sg_error *err);
	/* Instead of finish, where nobody waits for it any more (x->run is NULL); NULL = nothing to
	 * say. */
	void (*dropped)(struct sg_exec *x, void *job, int status, const struct sg_error *err);
	void (*release)(void *job);
};
/* Jobs that share what can take only so many of them at a time; the engine's. */
struct sg_offload_lane {
	size_t limit, busy;
};
/* Takes job. Returns SG_EXEC_PENDING, or an error with job released. lane may be NULL. */
int sg_exec_offload(struct sg_exec *x, const struct sg_offload_ops *ops, void *job,
	struct sg_offload_lane *lane, struct sg_error *err);
/* The cancel of kinds that offload. */
void sg_exec_offload_cancel(struct sg_exec *x);
/* An audit record of the run in this step. takes payload; type is static. */
int sg_exec_note(struct sg_exec *x, const char *type, json_t *payload, struct sg_error *err);
/* Has this execution been announced (sg_exec_announce) by a record that is durable? */
bool sg_exec_announced(const struct sg_exec *x);
int sg_exec_announce(struct sg_exec *x);	       /* -SG_ENOMEM */
int64_t sg_exec_time_left_us(const struct sg_exec *x); /* of limits.run_seconds; at least 1 */
const char *sg_exec_run_id(const struct sg_exec *x);
/* As sg_exec_note, of a run that has ended. */
void sg_exec_note_dropped(
	const struct sg_exec *x, const char *run_id, const char *type, json_t *payload);

/* Helpers of several kinds. */
const struct sg_field *sg_kind_need_field(const struct sg_kind_load *l, const char *key,
	unsigned types, struct sg_error *err); /* config[key] names a field of one of these types */
/* SG_EINVALID "config.<key>: no state field …", with the nearest one. */
int sg_kind_unknown_field(
	const struct sg_graph *g, const char *key, const char *name, struct sg_error *err);
#define SG_TYPE_BIT(t) (1U << (unsigned)(t))
/* A prepare that makes data: size bytes, all zero, that fill fills in; release takes them back
 * where it fails. fill's err is never NULL. */
int sg_kind_make(const struct sg_kind_load *l, size_t size,
	int (*fill)(const struct sg_kind_load *l, void *data, struct sg_error *err),
	void (*release)(void *data), void **ret_data, struct sg_error *err);

#endif
