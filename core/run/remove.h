/* Taking a run out of the store; for the writer's transactions. */
#ifndef SG_RUN_REMOVE_H
#define SG_RUN_REMOVE_H

#include "checkpoint/checkpoint.h"

/* May it go? 1: it has ended, no fork hangs on it. 0: it stays. Negative: an error. */
int sg_run_removable(struct sg_txn *t, const struct sg_run_row *row, struct sg_error *err);
/* 1: a fork of it is stored. 0: none is known by name (those of older versions are not; such a
 * parent's row is pinned). */
int sg_run_has_forks(struct sg_txn *t, const char *run_id, struct sg_error *err);

/* The row and as many further records as *budget allows, which counts down. Positive outcome 1:
 * more are left; sg_run_remove_rest goes on, in a later transaction, before another run begins. */
int sg_run_remove(
	struct sg_txn *t, const struct sg_run_row *row, size_t *budget, struct sg_error *err);
int sg_run_remove_rest(struct sg_txn *t, const char *run_id, size_t *budget, struct sg_error *err);
/* The run whose rest is to go. Positive outcome 1: none. */
int sg_run_remove_going(struct sg_txn *t, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err);

#endif
