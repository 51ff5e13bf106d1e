/* The engine's side of a fork. Internal to core/run. */
#ifndef SG_RUN_REPLAY_FORKING_H
#define SG_RUN_REPLAY_FORKING_H

#include "run/internal.h"
#include "run/replay/recording.h"

/* A fork of parent, which is taken, enters the engine: *handle is filled in, accepted is called
 * once it is durable. SG_EINVALID (mutation, step), SG_ELIMIT, SG_ENOTFOUND: the parent is gone. */
int sg_fork_enter(struct sg_engine *e, struct sg_recording *parent,
	const struct sg_fork_request *what, sg_run_callback accepted, sg_run_callback settled,
	void *ctx, struct sg_fork_handle *handle, struct sg_error *err);

#endif
