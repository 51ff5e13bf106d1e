/* The engine: what it owns, its life, and one turn of its loop. */
#include "run/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "run/internal.h"

void sg_engine_kick(struct sg_engine *e)
{
	if (e->kicked)
		return;
	e->kicked = true;
	(void)eventfd_write(e->event_fd, 1);
}

static int64_t or_default(int64_t v, int64_t otherwise)
{
	return v > 0 ? v : otherwise;
}

static void set_limits(struct sg_engine *e, const struct sg_engine_options *o)
{
	e->limits.steps = or_default(o->limits.steps, SG_RUN_STEPS);
	e->limits.facts = o->limits.facts;
	e->limits.firings = o->limits.firings;
	e->limits.join_product = o->limits.join_product;
	e->limits.rule_us = or_default(o->limits.rule_us, SG_RUN_RULE_US);
	e->limits.run_us = or_default(o->limits.run_us, SG_RUN_RUN_US);
	e->limits.node_us = or_default(o->limits.node_us, SG_RUN_NODE_US);
	e->limits.state_bytes = or_default(o->limits.state_bytes, SG_RUN_STATE_BYTES);
	e->limits.runs_in_flight = or_default(o->limits.runs_in_flight, SG_RUN_IN_FLIGHT);
	e->limits.queue = or_default(o->limits.queue, SG_RUN_QUEUE);
}

static void runtime_hash(const char *kernel, char ret_hex[SG_SHA256_HEX])
{
	char text[256];
	(void)snprintf(text, sizeof(text), "stargraph %s kernel %s", SG_VERSION, kernel);
	sg_sha256_hex(text, strlen(text), ret_hex);
}

bool sg_runtime_known(const char *hash)
{
	static const char *const kernels[] = {SG_RUN_KERNELS};
	char hex[SG_SHA256_HEX];
	for (size_t i = 0; i < SG_ARRAY_LEN(kernels); i++) {
		runtime_hash(kernels[i], hex);
		if (strcmp(hex, hash) == 0)
			return true;
	}
	return false;
}

static void set_runtime_hash(struct sg_engine *e)
{
	runtime_hash(e->embedder ? sg_embedder_info(e->embedder)->kernel : "none", e->runtime_hash);
	sg_sha256_hex("[]", 2, e->no_effects);
}

static int open_pool(struct sg_engine *e, int workers, struct sg_error *err)
{
	if (!e->embedder)
		return 0;
	struct sg_embed_pool_options o = {.workers = workers > 0 ? (unsigned)workers : 1,
		.queue_texts = (size_t)(e->limits.runs_in_flight + e->limits.queue)};
	return sg_embed_pool_create(&e->pool, e->embedder, &o, err);
}

/* Stores that are declared and not there are made, those that are there must be what is declared.
 */
static int declare_stores(
	struct sg_engine *e, const struct sg_engine_options *o, struct sg_error *err)
{
	struct sg_know_drift drift;
	sg_autotxn *t = NULL;
	if (!o->n_stores)
		return 0;
	if (e->embedder)
		sg_know_drift_of(e->embedder, &drift);
	int r = sg_txn_begin(e->store, true, &t, err);
	for (size_t i = 0; r == 0 && i < o->n_stores; i++)
		r = sg_know_create(t, o->stores[i].name, o->stores[i].provider, o->stores[i].metric,
			e->embedder ? &drift : NULL, err);
	return r < 0 ? r : sg_txn_commit(sg_steal(t), err);
}

static int open_all(struct sg_engine *e, const struct sg_engine_options *o, struct sg_error *err)
{
	char path[4096];
	size_t repaired;
	int r = sg_store_lock(o->state_dir, &e->lock_fd, err);
	if (r == 0)
		r = sg_store_open(&e->store, o->state_dir, 0, true, false, err);
	if (r < 0)
		return r;
	const char *audit = o->audit_path;
	if (!audit) {
		(void)snprintf(path, sizeof(path), "%s/stargraph.audit.jsonl", o->state_dir);
		audit = path;
	}
	r = sg_audit_open(&e->writer.audit, e->store, audit, &repaired, err);
	/* Under cleared nothing is served beside a log of which a part was not looked at yet. */
	while (r == 0 && o->cleared && !sg_audit_compared(e->writer.audit)) {
		r = sg_audit_compare_some(e->writer.audit, err);
		r = r < 0 ? r : 0;
	}
	if (r == 0 && o->audit)
		r = sg_audit_configure(e->writer.audit, o->audit, err);
	if (r < 0)
		return r;
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->event_fd < 0)
		return sg_error_errno(err, errno, "cannot make an eventfd");
	e->writer.store = e->store;
	e->writer.event_fd = e->event_fd;
	e->retention.writer = &e->writer;
	r = open_pool(e, o->embed_workers, err);
	if (r == 0)
		r = sg_slow_start(e, err);
	if (r == 0)
		r = sg_knowledge_start(e, o->resident_bytes, err);
	if (r == 0)
		r = declare_stores(e, o, err);
	return r < 0 ? r : sg_writer_start(&e->writer, err);
}

static void set_llms(struct sg_engine *e, const struct sg_llms *llms)
{
	size_t n;
	const char *const *names = sg_llms_names(llms, &n);
	e->llms = llms;
	for (size_t i = 0; i < n; i++)
		e->llm_lanes[i].limit = sg_llms_find(llms, names[i])->concurrent;
}

static struct sg_engine *make_engine(const struct sg_engine_options *o)
{
	struct sg_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->lock_fd = e->event_fd = -1;
	e->cleared = o->cleared;
	e->allow_side_effects = o->allow_side_effects;
	e->embedder = o->embedder;
	e->mounts = o->mounts;
	e->tools = o->tools;
	set_llms(e, o->llms);
	e->offload_waiting_tail = &e->offload_waiting;
	e->offload_done_tail = &e->offload_done;
	e->graphs_tail = &e->graphs;
	TAILQ_INIT(&e->active);
	TAILQ_INIT(&e->out);
	e->jobs_done_tail = &e->jobs_done;
	e->scratch = SG_BUF_INIT(32U << 20);
	(void)pthread_mutex_init(&e->jobs_lock, NULL);
	set_limits(e, o);
	set_runtime_hash(e);
	return e;
}

int sg_engine_create_bare(
	struct sg_engine **ret, const struct sg_engine_options *o, struct sg_error *err)
{
	struct sg_engine *e = make_engine(o);
	if (!e)
		return sg_error_nomem(err);
	e->replays = true;
	e->allow_side_effects = true; /* there are none */
	e->cleared = false;
	e->kicked = true; /* nobody waits for the descriptor that there is not */
	*ret = e;
	return 0;
}

int sg_engine_create(
	struct sg_engine **ret, const struct sg_engine_options *o, struct sg_error *err)
{
	struct sg_engine *e = make_engine(o);
	if (!e)
		return sg_error_nomem(err);
	int r = o->tools ? 0 : sg_tools_create(&e->no_tools, NULL, "", false, err);
	if (!e->tools)
		e->tools = e->no_tools;
	if (r == 0)
		r = open_all(e, o, err);
	if (r == 0)
		r = sg_release_note(e, err);
	if (r == 0)
		r = sg_mounts_note_pins(e, e->mounts, err);
	if (r < 0) {
		sg_engine_destroy(e);
		return r;
	}
	*ret = e;
	return 0;
}

static void drop_runs(struct sg_engine *e)
{
	for (size_t i = 0; i < SG_RUN_BUCKETS; i++)
		while (e->table[i]) {
			sg_run_stop_pending(e->table[i]);
			sg_run_destroy(e->table[i]);
		}
}

static void drop_spare(struct sg_engine *e)
{
	struct batch *b;
	while ((b = e->spare)) {
		e->spare = b->next;
		sg_batch_free(b);
	}
	e->n_spare = 0;
}

bool sg_engine_rest(struct sg_engine *e)
{
	bool busy = e->queued || sg_ready_any(e) || e->stats.batches != e->rest_batches;
	bool first = !busy && !e->rested;
	e->rest_batches = e->stats.batches;
	e->rested = !busy;
	if (first)
		drop_spare(e);
	return first;
}

static void drop_batches(struct sg_engine *e)
{
	drop_spare(e);
	struct batch *b = e->writer.started ? NULL : e->writer.done;
	while (b) {
		struct batch *next = b->next;
		sg_batch_free(b);
		b = next;
	}
	sg_batch_free(e->gather);
}

void sg_engine_destroy(struct sg_engine *e)
{
	if (!e)
		return;
	e->stopping = true;
	if (e->writer.started) {
		sg_batch_publish(e);
		sg_writer_stop(&e->writer);
		sg_engine_complete(e, e->writer.done);
		e->writer.done = NULL;
	}
	sg_replays_stop(e);
	sg_embed_pool_destroy(e->pool);
	e->pool = NULL;
	drop_runs(e);
	sg_slow_stop(e);
	sg_offload_stop(e);
	sg_embedding_drain(e);
	sg_knowledge_stop(e);
	drop_batches(e);
	while (e->subscriptions)
		sg_engine_unsubscribe(e->subscriptions);
	while (e->graphs) {
		struct prepared *next = e->graphs->next;
		sg_prepared_destroy(e->graphs);
		e->graphs = next;
	}
	free((void *)(uintptr_t)e->listed);
	sg_tools_destroy(e->no_tools);
	free(e->timers);
	sg_buf_finish(&e->scratch);
	sg_audit_close(e->writer.audit);
	sg_store_close(e->store);
	if (e->event_fd >= 0)
		(void)close(e->event_fd);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd);
	(void)pthread_mutex_destroy(&e->jobs_lock);
	free(e);
}

int sg_engine_fd(const struct sg_engine *e)
{
	return e->event_fd;
}

static bool may_step(const struct sg_engine *e)
{
	return sg_ready_any(e) && !e->failed && !e->stopping && !atomic_load(&e->writer.no_space) &&
	       e->queued <= (uint64_t)e->limits.queue && e->queued_bytes <= SG_RUN_QUEUE_BYTES;
}

int sg_engine_timeout_ms(const struct sg_engine *e)
{
	int64_t next = sg_timer_next(e);
	const int64_t others[] = {sg_deadline_next(e), sg_retention_next(e)};
	for (size_t i = 0; i < SG_ARRAY_LEN(others); i++)
		if (next < 0 || (others[i] >= 0 && others[i] < next))
			next = others[i];
	if (may_step(e))
		return 0;
	if (next < 0)
		return -1;
	int64_t left = (next - sg_clock_monotonic_us() + 999) / 1000;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

bool sg_engine_no_space(const struct sg_engine *e)
{
	return atomic_load(&e->writer.no_space);
}

int sg_engine_failed(const struct sg_engine *e, struct sg_error *ret)
{
	if (!e->failed)
		return 0;
	*ret = e->failure;
	return 1;
}

int sg_engine_check_room(const struct sg_engine *e, struct sg_error *err)
{
	if (e->failed) {
		*err = e->failure;
		return -e->failure.code;
	}
	if (e->stopping)
		return sg_error_set(err, SG_EBUSY, "stopping", "the engine is stopping");
	if (atomic_load(&e->writer.no_space))
		return sg_error_set(err, SG_ENOSPACE, "disk-full",
			"the disk is full; runs go on when there is room");
	/* Stepping stops at the limit; what comes from outside has as much again, so that a run
	 * which keeps the writer busy cannot keep anybody from cancelling it. */
	if (e->queued > 2 * (uint64_t)e->limits.queue)
		return sg_error_set(err, SG_EBUSY, NULL, "%llu records wait for the disk",
			(unsigned long long)e->queued);
	return 0;
}

static void wake(struct sg_engine *e, const char *run_id)
{
	struct run *r = sg_run_find(e, run_id);
	struct sg_error err;
	if (!r && sg_run_load(e, run_id, &r, &err) != 0)
		return;
	if (r->phase == PHASE_SLEEPING && r->wake_us <= sg_clock_monotonic_us()) {
		r->phase = PHASE_READY;
		sg_run_ready(r);
	} else if (r->phase == PHASE_SETTLED) {
		sg_interrupt_timed_out(r);
	}
	sg_run_maybe_release(r);
}

static void fire_timers(struct sg_engine *e)
{
	char id[SG_RUN_ID_TEXT];
	while (sg_timer_pop(e, sg_clock_monotonic_us(), id))
		wake(e, id);
}

/* An idle writer gets what is gathered once that took as long to compute as a commit takes: sooner,
 * one run would have a commit of its own while all others wait for it; later, the disk would. */
static void step_ready(struct sg_engine *e)
{
	int64_t from = sg_clock_monotonic_us(), until = from + SG_RUN_DISPATCH_US;
	while (may_step(e)) {
		sg_run_advance(sg_ready_take(e), SG_RUN_TURN_STEPS);
		int64_t now = sg_clock_monotonic_us();
		if (now > until)
			break;
		if (atomic_load(&e->writer.idle) &&
			now - from >= atomic_load(&e->writer.commit_us)) {
			sg_batch_publish(e);
			from = now;
		}
	}
	if (may_step(e))
		sg_engine_kick(e);
}

void sg_engine_dispatch(struct sg_engine *e)
{
	eventfd_t n;
	(void)eventfd_read(e->event_fd, &n);
	e->kicked = false;
	sg_engine_complete(e, sg_writer_take_done(&e->writer));
	sg_embedding_drain(e);
	sg_knowledge_drain(e);
	sg_replays_drain(e);
	sg_offload_drain(e);
	sg_slow_drain(e);
	fire_timers(e);
	sg_deadline_fire(e);
	sg_retention_fire(e);
	step_ready(e);
	sg_batch_publish(e);
}

size_t sg_engine_graphs(const struct sg_engine *e, const struct sg_graph *const **ret)
{
	*ret = e->listed;
	return e->n_listed;
}

void sg_engine_stats(const struct sg_engine *e, struct sg_engine_stats *ret)
{
	*ret = e->stats;
	ret->queue = e->queued;
	ret->no_space = atomic_load(&e->writer.no_space);
	if (e->pool)
		sg_embed_pool_stats(e->pool, &ret->embed);
}
