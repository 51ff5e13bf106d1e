/* See jobs.h. */
#include "run/jobs.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/thread.h"

static void add_turn(struct sg_jobs *q, struct sg_job_lane *lane)
{
	lane->next = NULL;
	*q->turn_tail = lane;
	q->turn_tail = &lane->next;
}

static void add(struct sg_jobs *q, struct sg_job_lane *lane, struct sg_job *j)
{
	bool idle = !lane->first;
	if (idle)
		lane->tail = &lane->first;
	j->next = NULL;
	*lane->tail = j;
	lane->tail = &j->next;
	q->n++;
	if (idle)
		add_turn(q, lane);
}

/* The next job of the lane whose turn it is; the lane goes to the end. */
static struct sg_job *next_job(struct sg_jobs *q)
{
	struct sg_job_lane *lane = q->turn;
	struct sg_job *j = lane->first;
	q->turn = lane->next;
	if (!q->turn)
		q->turn_tail = &q->turn;
	lane->first = j->next;
	if (lane->first)
		add_turn(q, lane);
	q->n--;
	return j;
}

static struct sg_job *take(struct sg_jobs *q)
{
	(void)pthread_mutex_lock(&q->lock);
	while (!q->turn && !q->stop)
		(void)pthread_cond_wait(&q->wake, &q->lock);
	struct sg_job *j = q->stop ? NULL : next_job(q);
	(void)pthread_mutex_unlock(&q->lock);
	return j;
}

static void add_done(struct sg_jobs *q, struct sg_job *j)
{
	j->next = NULL;
	*q->done_tail = j;
	q->done_tail = &j->next;
}

void sg_jobs_finish(struct sg_jobs *q, struct sg_job *j)
{
	(void)pthread_mutex_lock(&q->lock);
	add_done(q, j);
	(void)pthread_mutex_unlock(&q->lock);
	(void)eventfd_write(q->event_fd, 1);
}

static void *thread_main(void *arg)
{
	struct sg_jobs *q = arg;
	if (q->nice)
		(void)setpriority(PRIO_PROCESS, 0, q->nice); /* of this thread alone, on Linux */
	for (struct sg_job *j; (j = take(q));) {
		q->work(q->ctx, j);
		sg_jobs_finish(q, j);
	}
	return NULL;
}

static void destroy(struct sg_jobs *q)
{
	(void)pthread_cond_destroy(&q->wake);
	(void)pthread_mutex_destroy(&q->lock);
	q->started = false;
}

int sg_jobs_start(struct sg_jobs *q, const char *name, struct sg_error *err)
{
	q->turn_tail = &q->turn;
	q->done_tail = &q->done;
	(void)pthread_mutex_init(&q->lock, NULL);
	(void)pthread_cond_init(&q->wake, NULL);
	int r = sg_thread_start(&q->thread, 0, thread_main, q);
	q->started = r == 0;
	if (r == 0)
		return 0;
	destroy(q);
	return sg_error_errno(err, r, "cannot start %s", name);
}

bool sg_jobs_submit(struct sg_jobs *q, struct sg_job_lane *lane, struct sg_job *j)
{
	(void)pthread_mutex_lock(&q->lock);
	bool full = q->max && q->n >= q->max;
	if (!full) {
		add(q, lane ? lane : &q->own, j);
		(void)pthread_cond_signal(&q->wake);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return !full;
}

struct sg_job *sg_jobs_take_done(struct sg_jobs *q)
{
	(void)pthread_mutex_lock(&q->lock);
	struct sg_job *list = q->done;
	q->done = NULL;
	q->done_tail = &q->done;
	(void)pthread_mutex_unlock(&q->lock);
	return list;
}

struct sg_job *sg_jobs_stop(struct sg_jobs *q)
{
	if (!q->started)
		return NULL;
	(void)pthread_mutex_lock(&q->lock);
	q->stop = true;
	(void)pthread_cond_signal(&q->wake);
	(void)pthread_mutex_unlock(&q->lock);
	(void)pthread_join(q->thread, NULL);
	struct sg_job *done = sg_jobs_take_done(q);
	while (q->turn)
		add_done(q, next_job(q));
	*q->done_tail = done;
	destroy(q);
	return q->done;
}
