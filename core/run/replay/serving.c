/* Replays, comparisons and forks of a serving engine: what reads and executes whole records is done
 * by a thread of its own, one at a time, so that no other request waits for it. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"
#include "run/replay/compare.h"
#include "run/replay/forking.h"
#include "run/replay/replay.h"

struct replay_job {
	struct sg_job job; /* first */
	struct replay_job *all_next, **all_prev;
	/* On the thread. */
	int (*work)(struct replay_job *j, struct sg_replays *r, struct sg_error *err);
	/* On the loop; not for a job that was forgotten. */
	void (*tell)(struct replay_job *j, const struct sg_error *err);
	struct sg_engine *engine;
	char run_id[SG_RUN_ID_TEXT], other[SG_RUN_ID_TEXT];
	struct sg_fork_request fork; /* texts are owned */
	sg_replay_callback replayed;
	sg_run_callback accepted, settled;
	struct sg_fork_handle *handle;
	void *ctx;
	_Atomic bool forgotten; /* stops the work as well */
	int status;
	struct sg_error err;
	json_t *result;
	struct sg_recording *rec;
};

struct sg_replays {
	struct sg_jobs jobs;
	/* the thread's own */
	struct sg_replayer *replayer;
	/* the loop's own */
	struct replay_job *all;
};

static void free_job(struct replay_job *j)
{
	*j->all_prev = j->all_next;
	if (j->all_next)
		j->all_next->all_prev = j->all_prev;
	json_decref(j->result);
	sg_recording_destroy(j->rec);
	json_decref((json_t *)(uintptr_t)j->fork.mutation);
	free((void *)(uintptr_t)j->fork.who.actor);
	free(j);
}

/* ---- the thread ---- */

static int ready(struct sg_replays *r, struct replay_job *j, struct sg_error *err)
{
	const struct sg_engine_options o = {.embedder = j->engine->embedder};
	int rc = r->replayer ? 0 : sg_replayer_create(&r->replayer, &o, err);
	if (rc == 0)
		sg_replayer_set_limit(r->replayer, SG_RUN_REPLAY_CPU_US, &j->forgotten);
	return rc;
}

/* The transaction ends before anything is executed: it would keep old pages from reuse. */
static int read_record(
	struct replay_job *j, const char *id, struct sg_recording **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int rc = sg_txn_begin(j->engine->store, false, &t, err);
	return rc < 0 ? rc : sg_recording_read(t, id, ret, err);
}

static int do_replay(struct replay_job *j, struct sg_replays *r, struct sg_error *err)
{
	struct sg_replay_result result;
	int rc = read_record(j, j->run_id, &j->rec, err);
	if (rc == 0)
		rc = ready(r, j, err);
	if (rc == 0)
		rc = sg_replay(r->replayer, j->rec, &result, err);
	if (rc == 0 && !(j->result = sg_replay_json(j->rec, &result)))
		rc = sg_error_nomem(err);
	return rc;
}

static int do_compare(struct replay_job *j, struct sg_replays *r, struct sg_error *err)
{
	const struct sg_compare_options o = {.max_steps = SG_RUN_COMPARE_STEPS};
	sg_autorecording *other = NULL;
	int rc = read_record(j, j->run_id, &j->rec, err);
	if (rc == 0)
		rc = read_record(j, j->other, &other, err);
	if (rc == 0)
		rc = ready(r, j, err);
	if (rc == 0)
		rc = sg_compare(r->replayer, j->rec, other, &o, &j->result, err);
	return rc;
}

static int do_fork(struct replay_job *j, struct sg_replays *r, struct sg_error *err)
{
	(void)r;
	return read_record(j, j->run_id, &j->rec, err);
}

static void work(void *ctx, struct sg_job *job)
{
	struct replay_job *j = (struct replay_job *)job;
	if (!atomic_load(&j->forgotten))
		j->status = j->work(j, ctx, &j->err);
}

static int start(struct sg_engine *e, struct sg_error *err)
{
	struct sg_replays *r = calloc(1, sizeof(*r));
	if (!r)
		return sg_error_nomem(err);
	r->jobs = (struct sg_jobs){
		.work = work, .ctx = r, .event_fd = e->event_fd, .max = SG_RUN_REPLAY_JOBS};
	int rc = sg_jobs_start(&r->jobs, "the replay thread", err);
	if (rc < 0) {
		free(r);
		return rc;
	}
	e->replay_jobs = r;
	return 0;
}

/* ---- the loop ---- */

static struct replay_job *make_job(
	struct sg_engine *e, const char *run_id, const char *other, void *ctx, struct sg_error *err)
{
	if (!e->replay_jobs && start(e, err) < 0)
		return NULL;
	struct replay_job *j = calloc(1, sizeof(*j));
	if (!j) {
		(void)sg_error_nomem(err);
		return NULL;
	}
	j->engine = e;
	j->ctx = ctx;
	(void)snprintf(j->run_id, sizeof(j->run_id), "%s", run_id);
	(void)snprintf(j->other, sizeof(j->other), "%s", other);
	j->all_next = e->replay_jobs->all;
	j->all_prev = &e->replay_jobs->all;
	if (j->all_next)
		j->all_next->all_prev = &j->all_next;
	e->replay_jobs->all = j;
	return j;
}

/* Frees the job when it cannot be taken. */
static int submit(struct replay_job *j, struct sg_error *err)
{
	if (sg_jobs_submit(&j->engine->replay_jobs->jobs, NULL, &j->job))
		return 0;
	free_job(j);
	return sg_error_set(err, SG_EBUSY, "replays-waiting",
		"%d replays, comparisons and forks wait already", SG_RUN_REPLAY_JOBS);
}

static void tell_result(struct replay_job *j, const struct sg_error *err)
{
	j->replayed(j->ctx, err ? NULL : j->result, err);
}

static void tell_fork(struct replay_job *j, const struct sg_error *err)
{
	struct sg_error why;
	if (!err && sg_fork_enter(j->engine, sg_steal(j->rec), &j->fork, j->accepted, j->settled,
			    j->ctx, j->handle, &why) < 0)
		err = &why;
	if (err && j->accepted)
		j->accepted(j->ctx, NULL, err);
}

void sg_replays_drain(struct sg_engine *e)
{
	struct sg_job *job = e->replay_jobs ? sg_jobs_take_done(&e->replay_jobs->jobs) : NULL;
	for (struct sg_job *next; job; job = next) {
		struct replay_job *j = (struct replay_job *)job;
		next = job->next;
		if (!atomic_load(&j->forgotten))
			j->tell(j, j->status < 0 ? &j->err : NULL);
		free_job(j);
	}
}

void sg_replays_forget(struct sg_engine *e, const void *ctx)
{
	for (struct replay_job *j = e->replay_jobs ? e->replay_jobs->all : NULL; j; j = j->all_next)
		if (j->ctx == ctx)
			atomic_store(&j->forgotten, true);
}

static void drop(struct replay_job *j)
{
	struct sg_error err;
	(void)sg_error_set(&err, SG_EBUSY, "stopping", "the engine is stopping");
	j->tell(j, &err);
	free_job(j);
}

void sg_replays_stop(struct sg_engine *e)
{
	struct sg_replays *r = e->replay_jobs;
	if (!r)
		return;
	for (struct replay_job *j = r->all, *next; j; j = next) {
		next = j->all_next;
		if (atomic_exchange(&j->forgotten, true))
			j->tell = NULL;
	}
	(void)sg_jobs_stop(&r->jobs); /* r->all has them */
	while (r->all)
		if (r->all->tell)
			drop(r->all);
		else
			free_job(r->all);
	sg_replayer_destroy(r->replayer);
	free(r);
	e->replay_jobs = NULL;
}

int sg_engine_replay(struct sg_engine *e, const char *run_id, sg_replay_callback done, void *ctx,
	struct sg_error *err)
{
	struct replay_job *j = make_job(e, run_id, "", ctx, err);
	if (!j)
		return -err->code;
	j->work = do_replay;
	j->tell = tell_result;
	j->replayed = done;
	return submit(j, err);
}

int sg_engine_compare(struct sg_engine *e, const char *run_a, const char *run_b,
	sg_replay_callback done, void *ctx, struct sg_error *err)
{
	struct replay_job *j = make_job(e, run_a, run_b, ctx, err);
	if (!j)
		return -err->code;
	j->work = do_compare;
	j->tell = tell_result;
	j->replayed = done;
	return submit(j, err);
}

int sg_engine_fork(struct sg_engine *e, const char *parent_id, const struct sg_fork_request *what,
	sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_fork_handle *ret_handle, struct sg_error *err)
{
	int rc = sg_engine_check_room(e, err);
	struct replay_job *j = rc < 0 ? NULL : make_job(e, parent_id, "", ctx, err);
	if (!j)
		return -err->code;
	j->work = do_fork;
	j->tell = tell_fork;
	j->accepted = accepted;
	j->settled = settled;
	j->handle = ret_handle;
	j->fork = *what;
	j->fork.mutation = json_deep_copy(what->mutation);
	j->fork.who = (struct sg_caller){
		.actor = strdup(what->who.actor), .trigger_source = "counterfactual"};
	if (!j->fork.mutation || !j->fork.who.actor) {
		free_job(j);
		return sg_error_nomem(err);
	}
	return submit(j, err);
}
