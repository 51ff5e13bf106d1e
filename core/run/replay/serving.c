/* Replay inside of a serving engine. */
#include "run/internal.h"
#include "run/replay/replay.h"

static int replayer(struct sg_engine *e, struct sg_error *err)
{
	const struct sg_engine_options o = {.embedder = e->embedder};
	int rc = e->replayer ? 0 : sg_replayer_create(&e->replayer, &o, err);
	if (rc == 0)
		sg_replayer_set_limit(e->replayer, SG_RUN_REPLAY_CPU_US);
	return rc;
}

/* The loop waits meanwhile: of the row alone, before anything else is read. A fork's parents are
 * read and prepared with it, so they count. */
static int check_length(struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	char id[SG_RUN_ID_TEXT];
	int64_t steps = 0;
	bool more = true;
	(void)snprintf(id, sizeof(id), "%s", run_id);
	while (more) {
		struct sg_run_row row = {0};
		int rc = sg_run_get(t, id, &row, err);
		if (rc < 0)
			return rc;
		steps += row.steps;
		more = row.parent_run_id && steps <= SG_RUN_REPLAY_STEPS;
		if (more)
			(void)snprintf(id, sizeof(id), "%s", row.parent_run_id);
		sg_run_row_finish(&row);
	}
	if (steps > SG_RUN_REPLAY_STEPS)
		return sg_error_set(err, SG_ELIMIT, "replay-too-long",
			"run '%s' has, with what it was forked from, more than %d steps; "
			"`stargraph replay %s --state-dir DIR` replays it on the host, beside the "
			"server",
			run_id, SG_RUN_REPLAY_STEPS, run_id);
	return 0;
}

int sg_engine_replay(struct sg_engine *e, const char *run_id, json_t **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autorecording *rec = NULL;
	struct sg_replay_result r;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = check_length(t, run_id, err);
	if (rc == 0)
		rc = sg_recording_read(t, run_id, &rec, err);
	if (rc == 0)
		rc = replayer(e, err);
	if (rc == 0)
		rc = sg_replay(e->replayer, rec, &r, err);
	if (rc < 0)
		return rc;
	*ret = sg_replay_json(rec, &r);
	return *ret ? 0 : sg_error_nomem(err);
}
