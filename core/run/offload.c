/* Work that blocks (a program, an endpoint) on threads of its own, so that the loop never waits for
 * it. One thread a job, at most SG_RUN_OFFLOAD of them; further jobs wait in order. A job belongs
 * to the loop thread but for `work`; its result comes back through the engine's descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "run/internal.h"

struct offload {
	struct offload *next; /* of the waiting, or of the done */
	struct offload *all_next, **all_prev;
	struct sg_engine *engine;
	struct sg_exec *exec;
	const struct sg_offload_ops *ops;
	struct sg_offload_lane *lane; /* NULL = only SG_RUN_OFFLOAD counts */
	void *job;
	pthread_t thread;
	bool started, cancelled;
	int cancel_fd;
	int status;
	struct sg_error err;
};

static void destroy(struct offload *o)
{
	*o->all_prev = o->all_next;
	if (o->all_next)
		o->all_next->all_prev = o->all_prev;
	if (o->cancel_fd >= 0)
		(void)close(o->cancel_fd);
	o->ops->release(o->job);
	free(o);
}

static void hand_back(struct offload *o)
{
	struct sg_engine *e = o->engine;
	(void)pthread_mutex_lock(&e->jobs_lock);
	o->next = NULL;
	*e->offload_done_tail = o;
	e->offload_done_tail = &o->next;
	(void)pthread_mutex_unlock(&e->jobs_lock);
	(void)eventfd_write(e->event_fd, 1);
}

static void *thread_main(void *arg)
{
	struct offload *o = arg;
	o->status = o->ops->work(o->job, o->cancel_fd, &o->err);
	hand_back(o);
	return NULL;
}

/* The first that may start; one whose lane is full lets others pass. */
static struct offload *take_next(struct sg_engine *e)
{
	struct offload **at = &e->offload_waiting;
	while (*at && !(*at)->cancelled && (*at)->lane && (*at)->lane->busy >= (*at)->lane->limit)
		at = &(*at)->next;
	struct offload *o = *at;
	if (!o)
		return NULL;
	*at = o->next;
	if (!*at)
		e->offload_waiting_tail = at;
	return o;
}

static void start_next(struct sg_engine *e)
{
	struct offload *o;
	while (e->n_offload < SG_RUN_OFFLOAD && (o = take_next(e))) {
		int r = o->cancelled
				? ECANCELED
				: sg_thread_start(&o->thread, SG_RUN_OFFLOAD_STACK, thread_main, o);
		if (r == 0) {
			o->started = true;
			e->n_offload++;
			if (o->lane)
				o->lane->busy++;
			continue;
		}
		o->status = sg_error_errno(&o->err, r, "cannot start a thread");
		hand_back(o);
	}
}

int sg_exec_offload(struct sg_exec *x, const struct sg_offload_ops *ops, void *job,
	struct sg_offload_lane *lane, struct sg_error *err)
{
	struct sg_engine *e = x->engine;
	struct offload *o = calloc(1, sizeof(*o));
	int fd = eventfd(0, EFD_CLOEXEC);
	if (!o || fd < 0) {
		int r = o ? sg_error_errno(err, errno, "cannot make an eventfd")
			  : sg_error_nomem(err);
		if (fd >= 0)
			(void)close(fd);
		free(o);
		ops->release(job);
		return r;
	}
	*o = (struct offload){
		.engine = e, .exec = x, .ops = ops, .lane = lane, .job = job, .cancel_fd = fd};
	o->all_next = e->offload_all;
	o->all_prev = &e->offload_all;
	if (e->offload_all)
		e->offload_all->all_prev = &o->all_next;
	e->offload_all = o;
	x->job = o;
	*e->offload_waiting_tail = o;
	e->offload_waiting_tail = &o->next;
	start_next(e);
	return SG_EXEC_PENDING;
}

void sg_exec_offload_cancel(struct sg_exec *x)
{
	struct offload *o = x->job;
	if (!o || o->cancelled)
		return;
	o->cancelled = true;
	(void)eventfd_write(o->cancel_fd, 1);
}

static void complete(struct offload *o)
{
	struct sg_exec *x = o->exec;
	struct sg_error *err = &o->err;
	int r = 0;
	if (x->run)
		r = o->ops->finish(x, o->job, o->status, err);
	else if (o->ops->dropped)
		o->ops->dropped(x, o->job, o->status, err);
	x->job = NULL;
	sg_exec_complete(x, r < 0 ? err : NULL);
}

static struct offload *take_done(struct sg_engine *e)
{
	(void)pthread_mutex_lock(&e->jobs_lock);
	struct offload *list = e->offload_done;
	e->offload_done = NULL;
	e->offload_done_tail = &e->offload_done;
	(void)pthread_mutex_unlock(&e->jobs_lock);
	return list;
}

void sg_offload_drain(struct sg_engine *e)
{
	struct offload *list = take_done(e);
	while (list) {
		struct offload *o = list;
		list = o->next;
		if (o->started) {
			(void)pthread_join(o->thread, NULL);
			e->n_offload--;
			if (o->lane)
				o->lane->busy--;
		}
		complete(o);
		destroy(o);
	}
	start_next(e);
}

/* The runs have been dropped, so every job is cancelled. The threads share the list of what is
 * done: nothing is freed before all have ended. */
void sg_offload_stop(struct sg_engine *e)
{
	for (struct offload *o = e->offload_all; o; o = o->all_next)
		if (o->started)
			(void)pthread_join(o->thread, NULL);
	while (e->offload_all) {
		struct offload *o = e->offload_all;
		sg_exec_free(o->exec);
		destroy(o);
	}
}

int64_t sg_exec_time_left_us(const struct sg_exec *x)
{
	int64_t left = x->engine->limits.run_us - (sg_clock_monotonic_us() - x->run->active_us);
	return left > 0 ? left : 1;
}

const char *sg_exec_run_id(const struct sg_exec *x)
{
	return x->run->row.run_id;
}

bool sg_exec_announced(const struct sg_exec *x)
{
	const struct run *r = x->run;
	for (size_t i = 0; i < r->n_announced; i++)
		if (r->announced[i].node == x->node && r->announced[i].step == x->step)
			return true;
	return false;
}

int sg_exec_announce(struct sg_exec *x)
{
	struct run *r = x->run;
	size_t n = 0;
	for (size_t i = 0; i < r->n_announced; i++)
		if (r->announced[i].step >= r->step)
			r->announced[n++] = r->announced[i];
	r->n_announced = n;
	struct announced *grown = realloc(r->announced, (n + 1) * sizeof(*grown));
	if (!grown)
		return -SG_ENOMEM;
	grown[n] = (struct announced){x->node, x->step};
	r->announced = grown;
	r->n_announced = n + 1;
	return 0;
}

int sg_exec_note(struct sg_exec *x, const char *type, json_t *payload, struct sg_error *err)
{
	struct sg_engine *e = x->engine;
	if (!payload)
		return sg_error_nomem(err);
	sg_buf_reset(&e->scratch);
	int r = sg_json_canonical(payload, &e->scratch, err);
	json_decref(payload);
	if (r < 0)
		return r;
	return sg_batch_event(e, x->run, sg_clock_utc_us(), x->run->row.actor, type, x->step,
		       e->scratch.data, e->scratch.len, "tool", x->node->id)
		       ? 0
		       : sg_error_nomem(err);
}

void sg_exec_note_dropped(
	const struct sg_exec *x, const char *run_id, const char *type, json_t *payload)
{
	struct sg_error ignored; /* a full queue or a failed disk is told to everybody already */
	if (payload)
		(void)sg_engine_audit(
			x->engine, "system", type, run_id, payload, NULL, NULL, &ignored);
	json_decref(payload);
}
