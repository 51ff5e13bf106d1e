/* Replay inside of a serving engine. */
#include "run/internal.h"
#include "run/replay/replay.h"

static int replayer(struct sg_engine *e, struct sg_error *err)
{
	const struct sg_engine_options o = {.embedder = e->embedder};
	return e->replayer ? 0 : sg_replayer_create(&e->replayer, &o, err);
}

int sg_engine_replay(struct sg_engine *e, const char *run_id, json_t **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autorecording *rec = NULL;
	struct sg_replay_result r;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_recording_read(t, run_id, &rec, err);
	if (rc == 0 && rec->row.steps > SG_RUN_REPLAY_STEPS)
		rc = sg_error_set(err, SG_ELIMIT, "replay-too-long",
			"the run has %lld steps; more than %d are replayed by `stargraph replay`",
			(long long)rec->row.steps, SG_RUN_REPLAY_STEPS);
	if (rc == 0)
		rc = replayer(e, err);
	if (rc == 0)
		rc = sg_replay(e->replayer, rec, &r, err);
	if (rc < 0)
		return rc;
	*ret = sg_replay_json(rec, &r);
	return *ret ? 0 : sg_error_nomem(err);
}
