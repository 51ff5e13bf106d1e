/* Opening a state directory for the actions of `stargraph store`. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/model_dir.h"
#include "cli/store_verbs.h"

int sg_store_session_open(
	struct sg_store_session *s, const char *state_dir, bool create, struct sg_error *err)
{
	*s = (struct sg_store_session){.lock_fd = -1};
	if (create && mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
		(void)sg_error_errno(err, errno, "cannot make the state directory %s", state_dir);
		err->code = SG_EREFUSED;
		return -SG_EREFUSED;
	}
	int r = sg_config_check_filesystem(state_dir, SG_PROFILE_OSS_DEFAULT, err);
	if (r == 0)
		r = sg_store_lock(state_dir, &s->lock_fd, err);
	if (r == 0)
		r = sg_store_open(&s->store, state_dir, 0, create, false, err);
	if (r < 0)
		sg_store_session_close(s);
	return r;
}

int sg_store_session_read(struct sg_store_session *s, const char *state_dir, struct sg_error *err)
{
	*s = (struct sg_store_session){.lock_fd = -1};
	return sg_store_open(&s->store, state_dir, 0, false, true, err);
}

int sg_store_session_load(
	struct sg_store_session *s, const struct sg_store_args *a, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	int r = sg_cli_find_model(a->model, &dir, err);
	return r < 0 ? r : sg_embedder_load(&s->embedder, dir, a->kernel, false, err);
}

int sg_store_session_model(struct sg_store_session *s, const struct sg_store_args *a,
	struct sg_know_info *ret_info, bool always, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_know_drift now;
	int r = sg_txn_begin(s->store, false, &t, err);
	if (r == 0)
		r = sg_know_open(t, a->words[0], ret_info, err);
	if (r == 0 && (always || ret_info->provider == SG_KNOW_VECTOR))
		r = sg_store_session_load(s, a, err);
	if (r < 0 || !s->embedder || always)
		return r;
	sg_know_drift_of(s->embedder, &now);
	return sg_know_check_drift(ret_info, &now, err);
}

void sg_store_session_close(struct sg_store_session *s)
{
	sg_store_close(s->store);
	sg_embedder_destroy(s->embedder);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	*s = (struct sg_store_session){.lock_fd = -1};
}
