/* A thread that works for the loop, one job after the other: what waits for it, and what comes back
 * through the engine's descriptor.
 *
 * A job is in a lane, and lanes take turns, one job each: who has many waits for himself. Whoever
 * needs no lanes is in the thread's own one. Jobs are their makers': nothing here frees any. */
#ifndef SG_RUN_JOBS_H
#define SG_RUN_JOBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Member of every job, the first. */
struct sg_job {
	struct sg_job *next; /* of those that wait in its lane, or are done */
};
/* All zero at first. */
struct sg_job_lane {
	struct sg_job *first, **tail;
	struct sg_job_lane *next; /* in turn */
};

struct sg_jobs {
	/* Set by the caller, all else zero. */
	void (*work)(void *ctx, struct sg_job *j); /* on the thread */
	void *ctx;
	int event_fd;
	size_t max; /* jobs that wait; 0 = what is submitted is bounded already */
	int nice;   /* of the thread */
	/* jobs.c's own */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	struct sg_job_lane own, *turn, **turn_tail;
	size_t n;
	struct sg_job *done, **done_tail;
	bool stop;
};

/* name: "the … thread", for the error. q must stay where it is. */
int sg_jobs_start(struct sg_jobs *q, const char *name, struct sg_error *err);
/* False: max jobs wait already, and j is not taken. lane NULL = the thread's own. */
bool sg_jobs_submit(struct sg_jobs *q, struct sg_job_lane *lane, struct sg_job *j);
/* Any thread: j, which may have been worked on elsewhere, is done. */
void sg_jobs_finish(struct sg_jobs *q, struct sg_job *j);
/* On the loop: all that are done, in that order; NULL = none. */
struct sg_job *sg_jobs_take_done(struct sg_jobs *q);
/* Lets the job at work end. What waited, and then what was done, is the caller's: sg_job.next. Does
 * nothing where sg_jobs_start has not succeeded. */
struct sg_job *sg_jobs_stop(struct sg_jobs *q);

#endif
