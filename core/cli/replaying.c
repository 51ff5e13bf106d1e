/* See replaying.h. */
#include "cli/replaying.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/model_dir.h"
#include "cli/session.h"

int sg_replaying_open_bare(struct sg_replaying *s, const char *model, struct sg_error *err)
{
	const struct sg_engine_options o = {0};
	*s = (struct sg_replaying){.model = model};
	return sg_replayer_create(&s->replayer, &o, err);
}

int sg_replaying_open(
	struct sg_replaying *s, const char *state_dir, const char *model, struct sg_error *err)
{
	int rc = sg_replaying_open_bare(s, model, err);
	if (rc == 0)
		rc = sg_store_open(&s->store, state_dir ? state_dir : SG_SESSION_STATE_DIR, 0,
			false, true, err);
	if (rc == 0)
		rc = sg_txn_begin(s->store, false, &s->txn, err);
	if (rc < 0)
		sg_replaying_close(s);
	return rc;
}

void sg_replaying_close(struct sg_replaying *s)
{
	sg_replayer_destroy(s->replayer);
	sg_embedder_destroy(s->embedder);
	sg_txn_abort(s->txn);
	sg_store_close(s->store);
	*s = (struct sg_replaying){0};
}

static int load_model(struct sg_replaying *s, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	struct sg_replayer *with = NULL;
	int rc = sg_cli_find_model(s->model, &dir, err);
	if (rc == 0)
		rc = sg_embedder_load(&s->embedder, dir, NULL, false, err);
	const struct sg_engine_options o = {.embedder = s->embedder};
	if (rc == 0)
		rc = sg_replayer_create(&with, &o, err);
	if (rc < 0)
		return rc;
	sg_replayer_destroy(s->replayer);
	s->replayer = with;
	return 0;
}

/* Did it fail for want of the model, which is there now? */
static bool again(struct sg_replaying *s, int rc, const struct sg_error *why)
{
	struct sg_error none;
	return rc == -SG_EREFUSED && !s->embedder &&
	       strcmp(why->kind, "LocalEntryNotFoundError") == 0 && load_model(s, &none) == 0;
}

int sg_replaying_run(struct sg_replaying *s, const struct sg_recording *rec,
	struct sg_replay_result *ret, struct sg_error *err)
{
	int rc;
	do
		rc = sg_replay(s->replayer, rec, ret, err);
	while (again(s, rc, err));
	return rc;
}

int sg_replaying_firings(struct sg_replaying *s, const struct sg_recording *rec, int64_t step,
	json_t **ret, struct sg_error *err)
{
	int rc;
	do
		rc = sg_firings_at(s->replayer, rec, step, ret, err);
	while (again(s, rc, err));
	return rc;
}

int sg_replaying_whatif(struct sg_replaying *s, const struct sg_recording *rec,
	const struct sg_mounts *m, struct sg_recording **ret, struct sg_error *err)
{
	int rc;
	do
		rc = sg_whatif(s->replayer, rec, m, ret, err);
	while (again(s, rc, err));
	return rc;
}

int sg_replaying_runs(struct sg_replaying *s, struct sg_run_id_list *ret, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key, val;
	int rc = sg_cursor_open(s->txn, SG_TABLE_RUN_BY_TIME, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_FIRST, &key, &val, err);
	while (rc == 0) {
		if (ret->n == ret->cap) {
			size_t cap = ret->cap ? ret->cap * 2 : 256;
			void *p = reallocarray(ret->id, cap, sizeof(*ret->id));
			if (!p)
				return sg_error_nomem(err);
			ret->id = p;
			ret->cap = cap;
		}
		if (key.len > 8 && key.len - 8 < SG_RUN_ID_TEXT) {
			char *id = ret->id[ret->n++];
			memcpy(id, (const char *)key.data + 8, key.len - 8);
			id[key.len - 8] = '\0';
		}
		rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &val, err);
	}
	return rc < 0 ? rc : 0;
}

void sg_run_id_list_finish(struct sg_run_id_list *l)
{
	free(l->id);
	*l = (struct sg_run_id_list){0};
}
