/* The run engine: walks graphs, one step at a time, on the loop thread; a writer thread makes
 * steps durable in batches; embed workers compute vectors. Knows no HTTP.
 *
 * Commit before tell: a callback is called only after everything it tells is durable in the store
 * and in the audit file. All functions here are for one thread (the loop's); completions are
 * delivered by sg_engine_dispatch() on that thread whenever sg_engine_fd() is readable.
 */
#ifndef SG_RUN_RUN_H
#define SG_RUN_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "embed/pool.h"
#include "graph/graph.h"
#include "knowledge/search.h"
#include "llm/llm.h"
#include "tool/tool.h"

struct sg_engine;
struct sg_mounts;

/* The node kinds of this build, for sg_graph_load. Returns how many. */
#define SG_RUN_MAX_KINDS 32
size_t sg_run_kinds(struct sg_kind_spec ret[SG_RUN_MAX_KINDS]);

/* Does the graph, or a subgraph of it, need the embedding model? */
bool sg_run_embeds(const struct sg_graph *g);

/* A knowledge store that must be there. */
struct sg_store_decl {
	const char *name;
	enum sg_know_provider provider;
	enum sg_know_metric metric;
};

/* [[store]] of a configuration (NULL = none); names are borrowed from it. At most
 * SG_KNOW_MAX_STORES. */
int sg_store_decls_read(
	const json_t *list, struct sg_store_decl *ret, size_t *ret_n, struct sg_error *err);

struct sg_engine_options {
	const char *state_dir, *audit_path;   /* audit_path NULL = in state_dir */
	const struct sg_audit_options *audit; /* NULL = nothing is signed, rotated or redacted */
	bool cleared; /* refuse graphs with write or external side effects */
	bool allow_side_effects;
	const struct sg_mounts *mounts; /* rule packs (mounts.h), borrowed; NULL = none */
	const struct sg_tools *tools;	/* borrowed; NULL = none is declared */
	const struct sg_llms *llms;	/* borrowed; NULL = none is declared */
	struct sg_embedder *embedder;	/* borrowed; NULL = graphs that embed are refused at load */
	int embed_workers;		/* 0 = 1 */
	const struct sg_store_decl *stores; /* knowledge stores, made when they are not there */
	size_t n_stores;
	uint64_t resident_bytes; /* of their indexes in memory; 0 = SG_KNOW_RESIDENT_BYTES */
	struct {
		int64_t steps, facts, firings, join_product, rule_us, run_us, node_us, state_bytes,
			runs_in_flight, queue;
	} limits; /* 0 = default */
};

/* Locks the state directory, opens store and audit (reconciling), loads nothing. */
int sg_engine_create(
	struct sg_engine **ret, const struct sg_engine_options *o, struct sg_error *err);
/* Loads one graph file, or every *.yaml of a directory, prepares its rules. */
int sg_engine_load(struct sg_engine *e, const char *path, struct sg_error *err);
/* Runs that have ended leave the store when they ended more than `seconds` ago, and the oldest of
 * them while more than `runs` runs are stored; 0 = by that nothing goes. A run with forks stays
 * until they are gone. What is removed at a time is bounded and audited (runs_removed). */
void sg_engine_keep(struct sg_engine *e, int64_t runs, int64_t seconds);
/* After the graphs are loaded: continues every unfinished run from its last checkpoint; interrupted
 * ones wait on with the right remaining time. A run that was stopped while a tool with write
 * or external side effects worked is paused: its effects may have happened (reason
 * "effect-unknown: …"); to resume it calls the tool again. */
int sg_engine_recover(struct sg_engine *e, struct sg_error *err);
/* Stops taking work, finishes the batch in flight, joins threads, releases the lock. */
void sg_engine_destroy(struct sg_engine *e);

int sg_engine_fd(const struct sg_engine *e); /* poll for reading */
/* Milliseconds until the next timer (interrupt deadline, retry backoff), -1 = none. */
int sg_engine_timeout_ms(const struct sg_engine *e);
void sg_engine_dispatch(struct sg_engine *e); /* runs completions, timers and ready steps */
/* The disk is full: nothing becomes durable, runs wait; they go on by themselves. Any thread. */
bool sg_engine_no_space(const struct sg_engine *e);
/* 1 once the store or the audit file could not be written (not for a full disk): nothing is durable
 * any more, every callback gets the error, and the process must end. The next start repairs. */
int sg_engine_failed(const struct sg_engine *e, struct sg_error *ret);

/* Who asks; copied where kept. */
struct sg_caller {
	const char *actor;	    /* canonical subject or "anonymous" */
	const char *trigger_source; /* "manual", "http", "cron:<id>", … */
};

/* A run as told to callers. Borrowed for the callback. */
struct sg_run_view {
	struct sg_run_row row;
	const char *state; /* canonical JSON of the last checkpoint, or NULL */
	json_t *path;	   /* array of node ids in order */
};

typedef void (*sg_run_callback)(
	void *ctx, const struct sg_run_view *run, const struct sg_error *err);

/* Both callbacks may be NULL. accepted: the run row is durable (HTTP 202). settled: the run is
 * done, failed, cancelled, paused or waiting for input. Errors that come at once (unknown graph,
 * bad params, queue full) are returned and no callback is called.
 * idempotency_key (NULL = none) is bound to who->actor and lives in the store. Known already:
 * SG_ECONFLICT while the first request is not durable yet; SG_EINVALID, kind
 * "idempotency-mismatch", when graph or params differ; else positive outcome 1: ret_run_id is the
 * run of the first request and no callback is called. */
int sg_engine_start(struct sg_engine *e, const char *graph_id, const json_t *params, bool from_text,
	const struct sg_caller *who, const char *idempotency_key, sg_run_callback accepted,
	sg_run_callback settled, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err);
/* Replays, comparisons and forks read and execute whole records: a thread of their own does it, one
 * at a time, in the order of the calls. done is called on this thread; result is borrowed. Beyond
 * SG_RUN_REPLAY_JOBS waiting ones: SG_EBUSY, kind "replays-waiting". One that takes more than
 * SG_RUN_REPLAY_CPU_US of CPU is broken off: SG_ELIMIT, kind "replay-too-long"; `stargraph replay`
 * has no such limit. */
#define SG_RUN_REPLAY_JOBS 32
#define SG_RUN_REPLAY_CPU_US 10000000
#define SG_RUN_COMPARE_STEPS 1000 /* differing steps that are listed */
typedef void (*sg_replay_callback)(void *ctx, const json_t *result, const struct sg_error *err);
/* The run executed again from its record (replay/replay.h), as far as it is durable: result is
 * sg_replay_json's. SG_ENOTFOUND and the errors of sg_replay. */
int sg_engine_replay(struct sg_engine *e, const char *run_id, sg_replay_callback done, void *ctx,
	struct sg_error *err);
/* Two stored runs (replay/compare.h): result is sg_compare's. SG_ENOTFOUND. */
int sg_engine_compare(struct sg_engine *e, const char *run_a, const char *run_b,
	sg_replay_callback done, void *ctx, struct sg_error *err);

struct sg_fork_request {
	int64_t step;
	const json_t *mutation;
	bool inherit_answers;
	struct sg_caller who;
};
struct sg_fork_handle {
	char run_id[SG_RUN_ID_TEXT];
	char cf_hash[65];
};
/* A fork (counterfactual) of a stored run: a run with an id "cf-…" that goes from the state before
 * `step`, with a mutation (replay/fork.h) in that step. What came from outside is taken from the
 * parent's record where a node sees the same as then; a node that would reach outside otherwise
 * fails the fork (class "fork-refused"). Questions are asked again, unless the mutation answers
 * them or inherit_answers takes the parent's over. The parent is pinned, and not changed else.
 * *ret_handle is filled in before accepted is called, and has to live until then or until ctx is
 * forgotten, with which a fork that was not made yet is not made. accepted's errors: SG_ENOTFOUND,
 * SG_EINVALID (mutation, step), SG_ELIMIT; settled is then not called. At once: SG_EBUSY. */
int sg_engine_fork(struct sg_engine *e, const char *parent_id, const struct sg_fork_request *what,
	sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_fork_handle *ret_handle, struct sg_error *err);
/* The answer to an open interrupt. SG_ENOTFOUND, SG_ECONFLICT (not waiting), SG_EINVALID. The
 * caller has checked the capability: see sg_engine_waiting_capability. */
int sg_engine_respond(struct sg_engine *e, const char *run_id, const json_t *response,
	const struct sg_caller *who, sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_error *err);
int sg_engine_cancel(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err);
int sg_engine_pause(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err);
int sg_engine_resume(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback accepted, void *ctx, struct sg_error *err);
/* When the callback's owner goes away first (a client left): no callback with ctx will be called.
 */
void sg_engine_forget(struct sg_engine *e, const void *ctx);

/* Reads are answered from a read transaction of the durable store. */
int sg_engine_get(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err);
void sg_run_view_finish(struct sg_run_view *v);
/* Its row alone, whatever its length: the view has no path and no state. SG_ENOTFOUND. */
int sg_engine_get_row(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err);
int sg_engine_list(struct sg_engine *e, const struct sg_run_filter *f, struct sg_run_row **ret_rows,
	size_t *ret_n, uint64_t *ret_total, struct sg_error *err);

/* What a run has kept by write_artifact nodes, in step order: an array of {"artifact_id",
 * "content_hash", "content_type", "created_at", "metadata", "name", "run_id", "size", "step"},
 * owned by the caller. SG_ENOTFOUND: no such run. */
int sg_engine_artifacts(
	struct sg_engine *e, const char *run_id, json_t **ret_refs, struct sg_error *err);
/* The bytes of an artifact (caller frees; checked against their hash) and every place where they
 * were written, at most SG_RUN_ARTIFACT_REFS, as above: who may read one of these runs may read the
 * bytes. SG_ENOTFOUND, SG_ECORRUPT. */
#define SG_RUN_ARTIFACT_REFS 1000
int sg_engine_artifact(struct sg_engine *e, const char *artifact_id, json_t **ret_refs,
	char **ret_data, size_t *ret_n, struct sg_error *err);

/* A short text by name, at most 96 bytes: durable with the batch of what was asked for before it.
 * SG_EBUSY, SG_ENOSPACE as sg_engine_start. get: positive outcome 1 = none of that name. */
int sg_engine_note_put(
	struct sg_engine *e, const char *name, const char *text, struct sg_error *err);
int sg_engine_note_get(
	struct sg_engine *e, const char *name, char *ret, size_t size, struct sg_error *err);

/* Graphs in load order; borrowed. */
size_t sg_engine_graphs(const struct sg_engine *e, const struct sg_graph *const **ret);

/* Other packs from now on (borrowed until the next call, or the engine's end). The graphs that
 * mount what changed are compiled first, all of them, and only then take effect: for runs that
 * start from now on; those under way keep what they started with. Each change is audited
 * (pack_replaced). *ret_changes: a new list of pack_diff.h's objects, empty when nothing changed.
 * SG_EREFUSED "pack-replacement" under cleared; SG_EINVALID: a graph may not mount what is there
 * now. On an error everything stays. */
int sg_engine_remount(struct sg_engine *e, const struct sg_mounts *to, const char *actor,
	json_t **ret_changes, struct sg_error *err);

/* So many records wait for the disk that whoever causes more of them should wait for his own. Not
 * while the disk is full: then nothing is waited for. */
bool sg_engine_behind(const struct sg_engine *e);
/* An audit record of something outside a run (a request, a denial). wait != NULL: called once it is
 * durable. payload is copied. */
int sg_engine_audit(struct sg_engine *e, const char *actor, const char *type, const char *run_id,
	const json_t *payload, void (*wait)(void *ctx, const struct sg_error *err), void *ctx,
	struct sg_error *err);

/* The event feed of one run (asked for by api: /v1/runs/{id}/stream): its audit lines with a
 * sequence above `after` (-1 = all), first the stored ones, then each further one once it is
 * durable; delivered in order, from sg_engine_dispatch or from within the subscribe call. */
struct sg_event {
	uint64_t seq;	  /* audit sequence */
	int64_t step;	  /* -1 = none */
	const char *type; /* NUL-terminated */
	const char *line; /* the audit line, JSON without newline; borrowed */
	size_t len;
	bool last; /* the run has ended: done, failed or cancelled; nothing follows */
};
struct sg_subscription;
/* False: enough for now; sg_engine_more when more can be taken. */
typedef bool (*sg_event_callback)(void *ctx, const struct sg_event *ev);
/* SG_ENOTFOUND: no such run. A run that has ended already is told to its last event, last = true.
 */
int sg_engine_subscribe(struct sg_engine *e, const char *run_id, int64_t after,
	sg_event_callback cb, void *ctx, struct sg_subscription **ret, struct sg_error *err);
/* Goes on with a subscription whose callback had enough: nothing of it is kept in memory meanwhile.
 */
void sg_engine_more(struct sg_subscription *s);
bool sg_engine_held(const struct sg_subscription *s); /* had enough; NULL is fine: false */
/* May be called inside the callback. NULL is fine. */
void sg_engine_unsubscribe(struct sg_subscription *s);

/* Figures for /metrics, all counted since start unless said otherwise. */
struct sg_engine_stats {
	uint64_t runs_started, runs_done, runs_failed, runs_cancelled;
	uint64_t runs_live, runs_waiting; /* now */
	uint64_t runs_removed;		  /* by retention */
	uint64_t readers_cleared;	  /* of the store, that died */
	uint64_t steps, batches, audit_records, embeddings;
	uint64_t queue;			  /* events waiting for the writer, now */
	bool no_space;			  /* now: the disk is full, runs wait for room */
	uint64_t tokenize_us;		  /* time spent cutting texts into tokens */
	struct sg_embed_pool_stats embed; /* all zero without a model */
};
/* To be called now and then. True once when nothing has been written since the last call: the
 * memory that only busy times need is free again, and malloc_trim is worth its while. */
bool sg_engine_rest(struct sg_engine *e);
void sg_engine_stats(const struct sg_engine *e, struct sg_engine_stats *ret);

/* Embeds one text on a worker; the callback gets a unit vector of SG_EMBED_DIM, borrowed. */
typedef void (*sg_embed_callback)(
	void *ctx, const float *vector, const struct sg_tokens *tokens, const struct sg_error *err);
int sg_engine_embed(struct sg_engine *e, const char *text, size_t n, size_t max_tokens,
	sg_embed_callback done, void *ctx, struct sg_error *err);
/* The same for n >= 1 token ids as they are, [CLS] and [SEP] included by the caller; of more than
 * SG_EMBED_MAX_TOKENS the first and the last are taken. SG_EINVALID: an id that is none.
 * Both: SG_EBUSY kind "embed-queue" when limits.queue texts wait already. */
int sg_engine_embed_ids(struct sg_engine *e, const int32_t *ids, size_t n, sg_embed_callback done,
	void *ctx, struct sg_error *err);

/* ---- knowledge stores ---- */

typedef void (*sg_search_callback)(void *ctx, const json_t *hits, const struct sg_error *err);
/* Searches on a thread of its own, at the state that is durable when its turn comes. q is copied;
 * q->vector NULL in a mode that needs one: the text is embedded first. hits as sg_know_search has
 * them, borrowed. Errors of sg_know_search, IncompatibleEmbeddingHashError. */
int sg_engine_search(struct sg_engine *e, const struct sg_know_query *q, sg_search_callback done,
	void *ctx, struct sg_error *err);

#define SG_ENGINE_MAX_DOCUMENTS 256 /* of one write */
typedef void (*sg_documents_callback)(
	void *ctx, const struct sg_know_counts *counts, const struct sg_error *err);
/* Writes documents (an array of {"id","text"[,"metadata"]}, copied) and deletes others (an array of
 * ids): cut, embedded and written together. done once that, and the audit record of it, is durable.
 * A failure changes nothing. */
int sg_engine_documents(struct sg_engine *e, const char *store, const json_t *documents,
	const json_t *deletes, const struct sg_caller *who, sg_documents_callback done, void *ctx,
	struct sg_error *err);
/* {"name","provider","items","generation"[,"metric","model"]} of each store, or of one. */
/* The capabilities that runs of a graph need: ["db.<name>:read", …] for
 * its stores, the permissions of its tools, llm.<name> of its language models. */
int sg_engine_needs(
	const struct sg_engine *e, const char *graph_id, json_t **ret, struct sg_error *err);
int sg_engine_stores(struct sg_engine *e, const char *name, json_t **ret, struct sg_error *err);

#endif
