/* What the files of core/run share. Everything here is the loop thread's, except where a comment
 * says otherwise.
 *
 * Who owns what: a run lives in the engine's table from its start (or its loading from the store)
 * until it has settled and nothing of it waits to become durable. A batch holds copies in its
 * arena, and a counted reference to each run of which it holds something.
 */
#ifndef SG_RUN_INTERNAL_H
#define SG_RUN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "audit/audit.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "embed/pool.h"
#include "knowledge/search.h"
#include "rules/rules.h"
#include "run/arena.h"
#include "run/jobs.h"
#include "run/kinds.h"
#include "run/run.h"
#include "store/store.h"

/* Defaults of the engine's limits (sg_engine_options.limits). */
#define SG_RUN_STEPS 10000
#define SG_RUN_RULE_US 20000		 /* of one step */
#define SG_RUN_RULE_TRY_US 2000		 /* of that on the loop thread */
#define SG_RUN_RUN_US (3600LL * 1000000) /* working time, without waiting for people */
#define SG_RUN_NODE_US (300LL * 1000000) /* of one node that works elsewhere */
#define SG_RUN_STATE_BYTES (1LL << 20)
#define SG_RUN_IN_FLIGHT 10000
#define SG_RUN_QUEUE 65536		   /* events and checkpoints waiting for the writer */
#define SG_RUN_RULE_AUDITS 100		   /* audit lines that the rules of one step write */
#define SG_RUN_QUEUE_BYTES (4U << 20)	   /* of these: what they may delay others by */
#define SG_RUN_CARRIED_FACTS 1000	   /* that a run carries from step to step */
#define SG_RUN_TURN_STEPS 32		   /* steps of one run before others have their turn */
#define SG_RUN_DISPATCH_US 4000		   /* of stepping before the loop gets its turn */
#define SG_RUN_CHECKPOINT_RETRY_US 5000000 /* after an idle checkpoint that failed */
#define SG_RUN_NO_SPACE_RETRY_MS 500
#define SG_RUN_NO_SPACE_REASON "disk-full: waits for room and goes on by itself"
#define SG_RUN_SPARE_BATCHES 8
#define SG_RUN_KNOW_JOBS 1024		  /* searches and imports that wait for their thread */
#define SG_RUN_OFFLOAD 64		  /* tools and models that work at a time */
#define SG_RUN_OFFLOAD_STACK (512U << 10) /* bytes, of the thread of each */
#define SG_RUN_REPLAY_RULE_US 10000000	  /* a rule may take longer where nobody waits for it */
/* What sg_model_info.kernel may be, and that of an engine without a model. */
#define SG_RUN_KERNELS "none", "reference", "blas", "avx2", "avx512", "bf16", "bf16-emulated"
#define SG_RUN_GRAPH_PACKS \
	"/packs"		/* after a graph's hash: [{"blob", "id", "sha256", "version"}…] */
#define SG_RUN_TEXT_LAST "last" /* sg_run_text_get: {"step", "recorded", "timestamp"} */
#define SG_RUN_TEXT_FORK "fork" /* replay/fork.c */
#define SG_RUN_TEXT_CHILD "child:" /* and the id of a fork of the run: "" */
#define SG_RUN_TEXT_IDEM "idem"	   /* its key in the table idempotency */
#define SG_RUN_FORK_ACTOR "cf:"	   /* before the actor, where an answer is a fork's */

/* A counted text: a state that several checkpoints share. */
struct text {
	unsigned refs;
	size_t len;
	char data[];
};
struct text *sg_text_make(const char *data, size_t n);
struct text *sg_text_ref(struct text *t);
void sg_text_unref(struct text *t);

/* A graph made ready: its rules compiled, its nodes bound to their kinds. Lives as long as the
 * engine. */
struct prepared {
	struct prepared *next; /* load order */
	struct sg_engine *engine;
	struct sg_graph *graph; /* owned, but that of a subgraph is its node's */
	struct sg_rules *rules;
	struct prepared **subs;		   /* by node: its subgraph made ready, or NULL */
	char **paths;			   /* by node: "outer/inner", what checkpoints call it */
	char *prefix;			   /* of these paths: "" or "outer/" */
	void **node_data;		   /* by node: what the kind's prepare made */
	const struct sg_node_kind **kinds; /* by node */
	json_t ***action_data; /* by rule, action: slots of an assert, pattern of a retract */
	char *from;	       /* path it was loaded from; "" = the store */
	bool listed;	       /* started by id; else only older runs still need it */
	bool stored;	       /* its document has been put to the store */
	int64_t turn_us;       /* what a turn of its runs usually takes */
	/* slow_rules.c */
	struct sg_rules *twin; /* the rule thread's, or NULL */
	int64_t rule_us;       /* what a step's rules took on the average, while it is a slow one */
	struct sg_job_lane slow; /* its jobs on the rule thread */
};

/* A fact that a run carries from step to step. */
struct carried {
	char *template_name; /* owned */
	json_t *slots;	     /* owned */
};

/* One graph being walked. */
struct frame {
	struct prepared *graph;
	struct frame *outer;	 /* owned: the graph it was entered from, or NULL */
	json_t *state;		 /* owned */
	struct text *state_text; /* its canonical form */
	struct carried *facts;
	size_t n_facts, cap_facts, n_seen;
	int node;	   /* to execute next */
	int64_t last_step; /* of this graph's last checkpoint, -1 = none */
	int64_t n_steps;   /* of this stay */
	int64_t max_steps; /* of a subgraph */
	bool first;
	bool ended;   /* a subgraph's: to be left */
	json_t *plan; /* owned: the parallel branches under way (parallel.c), or NULL */
};

struct step;
struct sg_replayer;

/* Where a run's outside comes from when that is not the world, but a record (replay/). All calls
 * may be made for a run whose `source` is this. */
struct answer {
	json_t *response; /* owned; NULL = nobody answered, the deadline passed */
	char *actor;	  /* owned */
	bool inherited;	  /* taken over from the parent of a fork */
};
struct source {
	/* The time that the step under way is of. */
	int64_t (*step_us)(const struct run *r);
	/* The time of what is noted about the run: its end, its audit lines. */
	int64_t (*wall_us)(const struct run *r);
	/* Before a node. Positive outcome 1: the record of the run ends here, and so does the run;
	 * negative: it fails with *err, as the record says (*ret_scope). */
	int (*begin)(struct run *r, const char **ret_scope, struct sg_error *err);
	/* In place of the kind's execute. */
	int (*execute)(struct sg_exec *x, struct sg_error *err);
	/* Once the node's update or the answer is in the state, before the rules. */
	int (*mutate)(struct step *s, struct sg_error *err);
	/* A question was opened by the checkpoint r->step - 1. Positive outcome 1: *ret is what
	 * came of it; 0: the run waits. */
	int (*ask)(struct run *r, struct answer *ret, struct sg_error *err);
	void (*release)(struct run *r);
	bool replays; /* nothing is kept: neither timers nor what nodes store */
};
enum run_phase {
	PHASE_READY,	/* in the ready queue */
	PHASE_BUSY,	/* a node works elsewhere (a worker), or its rules do */
	PHASE_DURABLE,	/* waits for its batches before an outside effect */
	PHASE_SLEEPING, /* a retry's backoff */
	PHASE_SETTLED,	/* done, failed, cancelled, waiting or paused */
};

struct watcher {
	struct watcher *bucket_next, **bucket_prev; /* by ctx */
	struct watcher *next;			    /* of the run or the batch's slot */
	void *ctx;
	sg_run_callback run_cb; /* NULL after sg_engine_forget */
	void (*wait_cb)(void *ctx, const struct sg_error *err);
	struct run *run;
};

struct run {
	struct run *table_next;
	struct {
		struct run *child, *next, *prev; /* prev: the parent of a first child */
		int64_t start_ns, finish_ns;	 /* of the engine's virtual clock */
		uint64_t number;		 /* first come, first served among equals */
		bool lengthy;			 /* which queue */
	} ready;
	struct sg_engine *engine;
	const struct source *source; /* NULL = the world */
	void *source_data;
	/* Told what the rules did in a step before it becomes a checkpoint; NULL = nobody asks. */
	void (*explained)(void *ctx, const struct step *s, const struct sg_rules_outcome *o);
	void *explained_ctx;
	struct sg_run_row row; /* graph_id is borrowed from the graph, the other texts are owned */
	struct frame f;	       /* the innermost graph; frames.c */
	enum run_phase phase;
	struct text *told; /* a reference: the state of the last checkpoint, or NULL */
	int64_t step;	   /* number of the next checkpoint */
	const char **path; /* owned array of node ids, which are the graphs' */
	size_t n_path, cap_path;
	/* For rules that ask (about.h); of a fork, its own steps only. */
	size_t own_path;      /* where they begin in the path */
	size_t n_counted;     /* of the path, for n_tool_calls */
	int64_t n_tool_calls; /* up to there */
	int64_t n_tokens;
	char **old_path; /* owned: those of nodes that the graph does not have any more */
	size_t n_old_path;
	char cf_hash[SG_SHA256_HEX];	   /* of a fork: what its checkpoints are of; or "" */
	char migrated_from[SG_SHA256_HEX]; /* the older graph, until it is audited; or "" */
	unsigned inflight;		   /* batches that hold something of it */
	struct slot *slot;		   /* in the gathering batch */
	struct watcher *settled;
	struct sg_exec *exec;  /* the node that works elsewhere */
	struct rule_job *slow; /* the rules that do */
	struct sg_exec *ahead; /* branches whose turn has not come */
	TAILQ_ENTRY(run) active;
	bool timed;	   /* in the engine's list of active runs */
	int64_t wake_us;   /* PHASE_SLEEPING: monotonic */
	int64_t active_us; /* monotonic; when it became active */
	struct announced {
		const struct sg_node *node;
		int64_t step;
	} * announced; /* owned: calls that its record tells of, not yet done */
	size_t n_announced;
	bool queued, live_stored, pause_wanted;
	char *pause_actor;
	char *idem_key; /* "actor NUL key" until its record is durable */
	size_t idem_len;
	struct run *idem_next;
};

/* What a change of a knowledge store came to; written by the writer, read once its batch is told.
 */
struct sg_write_result {
	int status;
	struct sg_error err;
};

enum item_kind { ITEM_CHECKPOINT, ITEM_EVENT, ITEM_PUT, ITEM_ROW, ITEM_CALL };
struct item {
	enum item_kind kind;
	struct slot *slot; /* NULL = of no run */
	union {
		struct {
			struct sg_checkpoint c;
			char *digest; /* where the writer puts 64 hex digits, or NULL */
		} checkpoint;
		struct sg_audit_event event;
		struct {
			enum sg_table table;
			struct sg_span key, val;
		} put;
		struct {
			int (*fn)(void *arg, struct sg_txn *t, struct sg_error *err);
			void *arg;
			struct sg_write_result *result; /* NULL: a failure fails the batch */
		} call;
		struct sg_run_row row; /* of a run that is not in memory, and has ended */
	};
	uint64_t seq; /* of an event, set by the writer */
};

/* A run's part of a batch. */
struct slot {
	struct slot *next;
	struct run *run;
	struct sg_run_row row; /* snapshot when the batch is closed */
	struct text *state;    /* a reference */
	size_t n_path;
	struct watcher *acks;
	size_t n_events;
	bool live_put, live_del;
};

struct held {
	struct held *next;
	struct text *text;
};

/* What one dispatch gathered; the writer commits all that are queued together. */
struct batch {
	struct batch *next;
	struct sg_arena arena;
	struct item *items; /* owned, kept over reuse */
	size_t n, cap;
	struct slot *slots;
	struct held *held;    /* texts that checkpoints of this batch point into */
	struct watcher *acks; /* of no run */
	uint64_t n_steps, n_events;
	uint64_t n_facts;    /* executions of assert_facts whose deltas it holds */
	uint64_t bytes;	     /* of its larger texts */
	int status;	     /* set by the writer: 0 or a negative code */
	struct sg_error err; /* with status */
};

struct timer {
	int64_t due_us; /* monotonic */
	char run_id[SG_RUN_ID_TEXT];
};

struct embed_job {
	struct embed_job *next;
	struct sg_embed_job job;
	struct sg_engine *engine;
	struct sg_tokens tokens;
	struct sg_exec *exec; /* a node's, or NULL */
	sg_embed_callback cb; /* NULL after sg_engine_forget */
	void *ctx;
	int status;
	struct sg_error err;
	float vector[SG_EMBED_DIM];
	struct embed_job *all_next, **all_prev;
};

struct sg_subscription {
	struct sg_subscription *next, **prev; /* all of the engine */
	struct sg_engine *engine;
	char run_id[SG_RUN_ID_TEXT];
	int64_t after;
	sg_event_callback cb;
	void *ctx;
	bool dead, busy, held;
};

#define SG_RUN_BUCKETS 4096 /* of the run table and of the watchers */

struct writer {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	struct batch *queue, **queue_tail; /* for the writer */
	struct batch *done, **done_tail;   /* for the loop */
	bool stop, working;
	_Atomic bool idle;
	_Atomic int64_t commit_us; /* how long the last group took */
	_Atomic bool no_space;
	/* the writer's own */
	struct sg_store *store;
	struct sg_audit *audit;
	struct sg_checkpoint_cache *cache;
	int64_t checkpoint_after_us; /* after a failed idle checkpoint: not before then */
	int failed;		     /* a negative code, for ever, and why */
	struct sg_error failure;
	int event_fd;
};

#define SG_RUN_KEEP_SLICE 64	 /* runs that one transaction removes */
#define SG_RUN_KEEP_RECORDS 2000 /* and records */
#define SG_RUN_KEEP_SCAN 512	 /* rows looked at in one turn of the loop */
struct retention {
	int64_t runs, seconds;		/* what is kept; 0 = everything */
	int64_t due_us;			/* monotonic: when to look; 0 = never */
	int64_t spent_us;		/* of the pass under way */
	uint8_t at[8 + SG_RUN_ID_TEXT]; /* where it goes on in run-by-time */
	size_t at_len;
	bool busy; /* the writer has a slice */
	/* The slice: filled by the loop, read by the writer. */
	char ids[SG_RUN_KEEP_SLICE][SG_RUN_ID_TEXT];
	size_t n;
	struct writer *writer;
	/* Set by the writer, read once the batch is told. */
	size_t n_removed;
	bool rest; /* a run is not gone completely */
};

struct sg_engine {
	struct retention retention;
	int64_t readers_us; /* monotonic: when readers that died are looked for */
	struct sg_store *store;
	int lock_fd, event_fd;
	bool cleared, allow_side_effects, kicked, stopping;
	bool replays; /* a bare engine: no store, no writer, no disk (sg_engine_create_bare) */
	struct sg_embedder *embedder;
	struct sg_embed_pool *pool;
	struct {
		int64_t steps, facts, firings, join_product, rule_us, run_us, node_us, state_bytes,
			runs_in_flight, queue;
	} limits;
	TAILQ_HEAD(, run) active;  /* the longest active first */
	TAILQ_HEAD(, sg_exec) out; /* pending, the longest first */
	const struct sg_mounts *mounts;
	const struct sg_tools *tools;
	const struct sg_llms *llms; /* NULL = none is declared */
	struct sg_offload_lane llm_lanes[SG_LLM_MAX];
	struct sg_tools *no_tools; /* owned; what tools is when none are declared */
	struct prepared *graphs, **graphs_tail;
	const struct sg_graph **listed;
	size_t n_listed;
	struct run *table[SG_RUN_BUCKETS];
	size_t n_runs;	       /* in the table */
	struct run *idem[256]; /* starts with a key that are not durable yet */
	struct watcher *watchers[SG_RUN_BUCKETS];
	struct ready_queue {
		struct run *first; /* the one to step next */
		size_t n;
		int64_t now_ns;	  /* the virtual clock */
		int64_t given_us; /* loop time, while the other queue wanted some too */
	} ready[2];		  /* ready.c: of short turns, of long ones */
	uint64_t ready_number;
	struct batch *gather, *spare;
	size_t n_spare;
	uint64_t queued, queued_bytes;	    /* items not yet durable, and their larger texts */
	uint64_t facts_made, facts_durable; /* executions of assert_facts; see there */
	struct writer writer;
	struct timer *timers; /* heap */
	size_t n_timers, cap_timers;
	struct sg_subscription *subscriptions;
	struct embed_job *jobs;		/* all that are out */
	struct sg_knowledge *knowledge; /* knowledge.c */
	struct slow_rules *slow;	/* slow_rules.c; NULL in a bare engine */
	struct doc_write *writes;	/* documents.c: all that are out */
	pthread_mutex_t jobs_lock;
	struct embed_job *jobs_done, **jobs_done_tail; /* under jobs_lock */
	struct offload *offload_all, *offload_waiting, **offload_waiting_tail;
	size_t n_offload;				   /* threads */
	struct offload *offload_done, **offload_done_tail; /* under jobs_lock */
	struct sg_buf scratch;
	char runtime_hash[SG_SHA256_HEX], no_effects[SG_SHA256_HEX];
	struct sg_replays *replay_jobs; /* replay/serving.c; NULL until the first */
	struct sg_engine_stats stats;
	uint64_t rest_batches; /* of stats, when sg_engine_rest was last called */
	bool rested;
	bool failed;
	struct sg_error failure;
};

/* retain.c */
int64_t sg_retention_next(const struct sg_engine *e); /* monotonic us, -1 = never */
void sg_retention_fire(struct sg_engine *e);
bool sg_retention_takes(const struct sg_engine *e, struct sg_span run_id); /* it is being removed */
int sg_retention_resume(struct sg_engine *e, struct sg_txn *t, struct sg_error *err);

/* engine.c, table.c */
void sg_engine_kick(struct sg_engine *e);
/* For replays: graphs can be prepared and runs walked; what they give stays in e->gather. */
bool sg_runtime_known(const char *hash); /* recorded by this version, with whatever kernel? */
int sg_engine_create_bare(
	struct sg_engine **ret, const struct sg_engine_options *o, struct sg_error *err);
struct run *sg_run_find(struct sg_engine *e, const char *run_id);
void sg_run_insert(struct run *r);
/* ready.c */
void sg_run_ready(struct run *r);
bool sg_ready_any(const struct sg_engine *e);
struct run *sg_ready_take(struct sg_engine *e); /* of those that there are */
void sg_ready_used(struct run *r, int64_t us);	/* loop time that r has used */
void sg_ready_remove(struct run *r);
struct run *sg_run_create(struct sg_engine *e, struct prepared *g);
void sg_idem_forget(struct run *r);
unsigned sg_bucket(const void *data, size_t n);
void sg_run_destroy(struct run *r); /* takes it out of the table */
/* Frees a run that has settled and of which nothing waits. */
void sg_run_maybe_release(struct run *r);
void sg_watcher_add(
	struct sg_engine *e, struct watcher **list, struct run *r, sg_run_callback cb, void *ctx);
void sg_watcher_link(struct sg_engine *e, struct watcher *w, struct watcher **list);
void sg_watcher_free(struct watcher *w);
/* complete.c: a list of batches from the writer. */
void sg_engine_complete(struct sg_engine *e, struct batch *list);
/* May more work be taken? SG_EBUSY, SG_ENOSPACE, SG_EIO. */
int sg_engine_check_room(const struct sg_engine *e, struct sg_error *err);

/* graphs.c */
int sg_prepared_make(struct prepared **ret, struct sg_engine *e, struct sg_graph *g,
	const char *from, struct sg_error *err); /* takes g */
int sg_prepared_store(struct sg_engine *e, struct prepared *p, struct sg_error *err);
void sg_prepared_destroy(struct prepared *p);
/* Into the list of those that are started by id, in the place of an older one of that id; stored.
 */
int sg_prepared_list(struct sg_engine *e, struct prepared *p, struct sg_error *err);
/* That, and among the engine's. Takes p. SG_EINVALID: the id is another file's. */
int sg_prepared_adopt(struct sg_engine *e, struct prepared *p, struct sg_error *err);
/* remount.c: audits the keys that were pinned when these were loaded (pack_pinned). */
int sg_mounts_note_pins(struct sg_engine *e, const struct sg_mounts *m, struct sg_error *err);
/* remount.c: the packs that a stored graph was stored with. Positive outcome 1: none. */
int sg_mounts_from_store(
	struct sg_mounts **ret, struct sg_txn *t, const char *graph_hash, struct sg_error *err);
struct prepared *sg_prepared_find(struct sg_engine *e, const char *graph_id);
/* The graph with this hash: loaded, or read back from the store. */
int sg_prepared_by_hash(struct sg_engine *e, struct sg_txn *t, const char *hash,
	struct prepared **ret, struct sg_error *err);

/* batch.c: filling the gathering batch */
struct slot *sg_batch_slot(struct run *r); /* NULL when out of memory */
struct item *sg_batch_item(struct sg_engine *e, struct slot *s, enum item_kind kind);
/* payload: canonical JSON object text, copied. step -1 = none. NULL when out of memory; valid until
 * the next item. */
struct item *sg_batch_event(struct sg_engine *e, struct run *r, int64_t ts_us, const char *actor,
	const char *type, int64_t step, const char *payload, size_t len, const char *origin,
	const char *source);
/* The checkpoint's texts are copied, but state: held. */
/* A row alone, copied; the run is not live any more. */
int sg_batch_row(struct sg_engine *e, const struct sg_run_row *row);
int sg_batch_checkpoint(struct run *r, const struct sg_checkpoint *c, struct text *state);
int sg_batch_put(struct sg_engine *e, struct slot *s, enum sg_table table, struct sg_span k,
	struct sg_span v);
/* fn is called by the writer inside the batch's transaction, perhaps more than once (a full disk);
 * arg outlives the batch. With a result, what fn wrote is undone alone when it fails. */
int sg_batch_call(struct sg_engine *e, struct slot *s,
	int (*fn)(void *arg, struct sg_txn *t, struct sg_error *err), void *arg,
	struct sg_write_result *result);
void sg_batch_publish(struct sg_engine *e); /* hands the gathered batch to the writer */
struct batch *sg_batch_make(struct sg_engine *e);
void sg_batch_recycle(struct sg_engine *e, struct batch *b);
void sg_batch_free(struct batch *b);

/* knowledge.c: a thread that searches and prepares what is to be written. */
struct sg_know_job {
	struct sg_job job; /* first */
	/* On the knowledge thread, in a read transaction begun for it. */
	int (*work)(struct sg_know_job *j, struct sg_know_indexes *x, struct sg_txn *t,
		struct sg_error *err);
	/* On the loop thread; owns j from then on. */
	void (*done)(struct sg_know_job *j, const struct sg_error *err);
	void (*drop)(struct sg_know_job *j); /* instead of done, when the engine ends */
	struct sg_engine *engine;
	int status;
	struct sg_error err;
};
int sg_knowledge_start(struct sg_engine *e, uint64_t resident_bytes, struct sg_error *err);
void sg_knowledge_stop(struct sg_engine *e); /* finishes what is at work, drops the rest */
/* SG_EBUSY: SG_RUN_KNOW_JOBS are waiting. */
int sg_knowledge_submit(struct sg_engine *e, struct sg_know_job *j, struct sg_error *err);
/* Any thread: j has been worked on elsewhere and is done. */
void sg_knowledge_finish(struct sg_know_job *j);
void sg_knowledge_drain(struct sg_engine *e);
void sg_knowledge_forget(struct sg_engine *e, const void *ctx);
/* documents.c */
void sg_documents_forget(struct sg_engine *e, const void *ctx);
void sg_documents_drop(struct sg_engine *e);
/* The engine's model against the tuple of the store. */
int sg_knowledge_check(
	const struct sg_engine *e, const struct sg_know_info *s, struct sg_error *err);

/* writer.c */
/* SHA-256 over the fields of a checkpoint, in the order of its struct, a NUL after each (NULL is
 * empty, numbers are decimal): what a transition's audit line names as checkpoint_sha256. */
void sg_checkpoint_digest(const struct sg_checkpoint *c, char ret_hex[SG_SHA256_HEX]);
int sg_writer_start(struct writer *w, struct sg_error *err);
void sg_writer_stop(struct writer *w); /* after what is queued is written */
void sg_writer_push(struct writer *w, struct batch *b);
struct batch *sg_writer_take_done(struct writer *w);

/* parallel.c */
int sg_parallel_check(const struct sg_graph *g, struct sg_error *err);
/* action: the next_action of a checkpoint, with what is done already or without. */
int sg_parallel_begin(struct run *r, const json_t *action, struct sg_error *err);
int sg_parallel_begin_text(struct run *r, const char *action, struct sg_error *err);
/* Before r->f.node is executed: when a block begins there, begins it. */
int sg_parallel_enter(struct run *r, struct sg_error *err);
/* May a branch fail without failing the run? */
bool sg_parallel_tolerates(const struct run *r);
/* Audit records: all branches of the plan start; what a run that ends leaves undone. */
void sg_parallel_note_started(struct run *r);
void sg_parallel_note_ended(struct run *r);
/* A branch's node has run (update) or failed: the next branch, or the join. */
int sg_parallel_branch(
	struct step *s, const json_t *update, const struct sg_error *failure, struct sg_error *err);

/* artifacts.c */
struct sg_artifact { /* borrowed */
	const char *name, *content_type;
	const json_t *metadata; /* object, or NULL */
	const void *data;
	size_t len;
};
/* {"artifact_id", "content_hash", "content_type", "created_at", "name", "run_id", "step"}, of the
 * step under way; new, NULL when out of memory. */
json_t *sg_artifact_ref(const struct run *r, const struct sg_artifact *a);
/* Bytes, rows and the audit's artifact_written into the batch. */
int sg_artifact_put(
	struct run *r, const json_t *ref, const struct sg_artifact *a, struct sg_error *err);

/* frames.c: subgraphs */
/* What checkpoints and paths call a node of this graph; borrowed from the prepared graph. */
const char *sg_frame_path(const struct frame *f, const char *node_id);
/* The same for a stored "outer/inner"; NULL when there is no such node. */
const char *sg_prepared_path(const struct prepared *top, const char *path);
/* Its kind; "" when there is no such node. */
const char *sg_prepared_kind(const struct prepared *top, const char *path);
const struct frame *sg_run_top(const struct run *r);
/* Fields of one name must be of one type where they are handed over. */
int sg_subgraph_check(const struct sg_graph *g, const struct sg_node *n, struct sg_error *err);
/* Into the subgraph of the node that the run stands at. */
int sg_frame_enter(struct run *r, struct sg_error *err);
/* Out of a subgraph that has ended: the step of its node. */
int sg_frame_leave(struct run *r, struct sg_error *err);
/* The node that the run stands at failed, or (this_graph) its graph: so do the subgraphs' nodes
 * below, up to a parallel branch that may fail, else the run. */
void sg_frame_fail(struct run *r, const char *scope, const struct sg_error *why, bool this_graph);
/* {"kind": "frames", "frames": [{"node", "step", "taken"}…]}, outermost first: the subgraph's node,
 * the last checkpoint of the graph it stands in (-1 = none), the steps of this stay. NULL when out
 * of memory. */
json_t *sg_frames_json(const struct frame *f);

/* decide.c */
enum decision_kind { GO_ON, GO_INTERRUPT, GO_HALT, GO_TO, GO_RETRY, GO_PARALLEL };
struct decision {
	enum decision_kind kind;
	const struct sg_action *action; /* NULL for GO_ON */
	const char *rule_id;		/* "" for none */
	const struct sg_action *beside; /* interrupt: the goto, retry or parallel that fired too */
	struct sg_action *made;		/* from packs; owned */
	size_t n_made;
};
int sg_decide(const struct prepared *g, const struct sg_rules_outcome *o, struct decision *ret,
	struct sg_error *err);
void sg_decision_finish(struct decision *d);
/* An action that decides, as the IR writes it; new, NULL when out of memory. */
json_t *sg_action_json(const struct sg_action *a);
/* Canonical JSON of what was decided, for Checkpoint.next_action; nothing for GO_ON. */
int sg_decision_json(const struct decision *d, struct sg_buf *out, struct sg_error *err);

/* One checkpoint in the making. */
struct step {
	struct run *run;
	const char *node_id; /* that just ran */
	int64_t ts_us;
	bool kept;	      /* sg_step_keep was called */
	bool on_path;	      /* it executed a node; not an answer or a deadline */
	struct sg_exec *exec; /* of that node; NULL when it was a subgraph */
	json_t *recorded;     /* owned array: what came from outside; may be NULL */
	struct decision d;    /* owned */
	struct sg_action own; /* the halt of a node that ends the run, and its reason */
	char own_reason[128];
	const char *facts;			/* canonical JSON array */
	const char *action;			/* canonical JSON object, or NULL */
	const char *to_node, *rule_id, *reason; /* of the audit's transition */
};

/* step.c */
void sg_run_advance(struct run *r, int max_steps);
/* What the rules say after `s->node_id` ran (halt: it was a node that ends the run), made a
 * checkpoint and followed. Errors fail the run by the caller. */
/* Positive outcome 1: the rules work elsewhere, and *s with its execution has gone with them. */
int sg_step_decide(struct step *s, bool halt, struct sg_error *err);
/* They have come back; o NULL: with *err. The run goes on or fails. */
void sg_step_decided(
	struct step *s, bool halt, const struct sg_rules_outcome *o, const struct sg_error *err);
int sg_step_commit(struct step *s, struct sg_error *err);
int sg_step_record(struct step *s, json_t *entry); /* takes entry; NULL is fine */
void sg_step_finish(struct step *s);
int sg_path_add(struct run *r, const char *node_id); /* the id is borrowed from the graph */
/* update through the reducers; the fields of set (NULL = none) replace what was there. */
int sg_step_merge(struct run *r, const json_t *set, const json_t *update, struct sg_error *err);
/* To the node with this index; past the last one the run is done. */
void sg_run_go(struct run *r, int node);
int sg_run_follow(struct step *s, const struct sg_action *a, struct sg_error *err);
struct sg_exec *sg_exec_make(struct run *r, int node); /* NULL when out of memory */
/* The node that the run stands at has failed while working elsewhere: the run goes on or ends. */
void sg_run_node_failed(struct run *r, const struct sg_error *why);

/* source.c */
int64_t sg_run_step_us(const struct run *r); /* the UTC time of the step under way */
int64_t sg_run_wall_us(const struct run *r); /* of what is noted about the run */
int sg_step_mutate(struct step *s, struct sg_error *err);
/* What came from outside in a step that then failed: there is no checkpoint to hold it. */
void sg_step_keep(struct step *s);

/* elsewhere.c */
void sg_exec_free(struct sg_exec *x);
void sg_exec_watch(struct sg_exec *x); /* it is pending from now on */
void sg_exec_unwatch(struct sg_exec *x);
void sg_deadline_active(struct run *r);		     /* its working time begins */
void sg_deadline_idle(struct run *r);		     /* it has settled */
int64_t sg_deadline_next(const struct sg_engine *e); /* monotonic us, -1 = none */
void sg_deadline_fire(struct sg_engine *e);
/* The branches after the one under way that work elsewhere are started too; or (announce) those of
 * them whose call must first be on the disk are announced with its own. */
void sg_ahead_start(struct run *r, bool announce);
bool sg_ahead_is_next(const struct run *r);
/* The execution of the node that the run stands at, if it was started ahead: finished or not. */
struct sg_exec *sg_ahead_take(struct run *r);
void sg_ahead_drop(struct run *r, const struct prepared *g); /* those of g; NULL = all */
/* What works elsewhere: its results are dropped. */
void sg_run_stop_pending(struct run *r);

/* settle.c: how a run stops */
/* scope: "node", "rule", "runtime", "checkpoint". */
void sg_run_fail(struct run *r, const char *scope, const struct sg_error *err);
void sg_run_end(struct run *r, enum sg_run_status status, const char *reason, const char *actor);
void sg_run_settle(struct run *r, enum sg_run_status status, int64_t ts_us);
void sg_run_set_text(char **field, const char *value);
void sg_run_reactivate(struct run *r);

/* interrupt.c: waiting for people */
int sg_interrupt_open(struct step *s, const struct sg_action *ask, const struct sg_action *then,
	bool at_node, struct sg_error *err);
/* The answer to an open interrupt. An error leaves it open, unless the run failed over it. */
int sg_interrupt_answer(
	struct run *r, const json_t *response, const char *actor, struct sg_error *err);
/* Before the next node of a run whose open question its source answers. */
void sg_interrupt_proceed(struct run *r);
void sg_interrupt_timed_out(struct run *r); /* if it waits and its deadline has passed */
/* Sets the timer of a run that waits. */
int sg_interrupt_arm(struct sg_engine *e, const char *run_id, const char *waiting);

/* carried.c */
int sg_carried_add(struct frame *f, const char *template_name, json_t *slots,
	struct sg_error *err); /* takes slots */
int sg_carried_apply(struct run *r, const struct prepared *g, const struct sg_rules_outcome *o,
	int64_t ts_us, struct sg_error *err);
void sg_carried_retract(struct frame *f, const json_t *pattern); /* sg_rules_parse_pattern's */
json_t *sg_carried_json(const struct frame *f);
int sg_carried_parse(struct frame *f, const json_t *j, struct sg_error *err);
void sg_frame_finish(struct frame *f);

/* control.c: the first state from params. */
int sg_run_seed(struct run *r, const json_t *params, bool from_text, struct sg_error *err);

/* recover.c */
int sg_run_load(struct sg_engine *e, const char *run_id, struct run **ret, struct sg_error *err);
/* A fresh run as run_id stood after this step (-1 = before its first). */
int sg_run_stand_after(
	struct run *r, struct sg_txn *t, const char *run_id, int64_t step, struct sg_error *err);

/* replay/serving.c */
void sg_replays_drain(struct sg_engine *e);
void sg_replays_forget(struct sg_engine *e, const void *ctx);
void sg_replays_stop(struct sg_engine *e); /* breaks off what is at work, tells the rest */

/* replay/forking.c */
/* A run read back from the store: if it is a fork, its source is its parent's record. */
int sg_fork_attach(struct run *r, struct sg_txn *t, struct sg_error *err);
/* A fork without steps of its own, as its parent stood where it begins. */
int sg_fork_stand(struct run *r, struct sg_txn *t, struct sg_error *err);

/* migrate.c */
/* The graph with which runs of that older hash are to go on, or NULL. */
struct prepared *sg_migration_find(struct sg_engine *e, const char *hash);
/* A run whose row names another graph than it was loaded with: the row changes. */
void sg_migration_begin(struct run *r);
/* Fields of the same name go along; new ones have their defaults. A wrong type: SG_EINVALID. */
int sg_migrate_state(const struct sg_graph *g, json_t **state, struct sg_error *err);
/* Why a run could not be loaded: SG_EREFUSED if it was to migrate. Returns the negative code. */
int sg_migration_refused(const struct run *r, struct sg_error *err);
/* It goes on: the audit's run_migrated, if it has migrated. */
void sg_migration_note(struct run *r, const char *actor);

/* release.c: notes which program writes the store, and audits a change of it. */
int sg_release_note(struct sg_engine *e, struct sg_error *err);

/* timers.c */
int sg_timer_add(struct sg_engine *e, int64_t due_us, const char *run_id);
int64_t sg_timer_next(const struct sg_engine *e); /* monotonic us, -1 = none */
bool sg_timer_pop(struct sg_engine *e, int64_t now_us, char ret_run_id[SG_RUN_ID_TEXT]);

/* embedding.c */
void sg_embedding_drain(struct sg_engine *e);
void sg_embedding_forget(struct sg_engine *e, const void *ctx);

/* slow_rules.c */
int sg_slow_start(struct sg_engine *e, struct sg_error *err);
void sg_slow_stop(struct sg_engine *e);
void sg_slow_drain(struct sg_engine *e);
/* Has the engine such a thread, and more time there than on the loop? */
bool sg_slow_may(const struct sg_engine *e);
/* Do the rules of this graph go there at once? */
bool sg_slow_graph(const struct prepared *g);
/* What they returned on the loop: do they go there now? */
bool sg_slow_late(struct prepared *g, int status, const struct sg_error *err);
/* Takes *s and s->exec, and gives in, copied, to the thread: 1; sg_step_decided will be called. */
int sg_slow_decide(struct step *s, bool halt, const struct sg_rules_step *in, struct sg_error *err);
void sg_slow_drop(struct run *r); /* nobody waits for its rules any more */

/* offload.c */
void sg_offload_drain(struct sg_engine *e);
void sg_offload_stop(struct sg_engine *e);

/* events.c */
/* The last audit line of a run, parsed; *ret NULL when there is none. */
int sg_events_last(struct sg_txn *t, const char *run_id, json_t **ret, struct sg_error *err);
void sg_events_deliver(struct sg_engine *e, const struct batch *b);

#endif
