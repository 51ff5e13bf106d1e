/* An engine in the verb's own process. */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/model_dir.h"
#include "cli/packs.h"
#include "config/config.h"

static int make_directory(const char *dir, struct sg_error *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		(void)sg_error_errno(err, errno, "cannot make the state directory %s", dir);
		err->code = SG_EREFUSED;
		return -SG_EREFUSED;
	}
	struct stat st;
	if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
		return sg_error_set(
			err, SG_EREFUSED, NULL, "the state directory %s is not a directory", dir);
	return sg_config_check_filesystem(dir, SG_PROFILE_OSS_DEFAULT, err);
}

static int load_model(struct sg_session *s, const char *model, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	int r = sg_cli_find_model(model, &dir, err);
	return r < 0 ? r : sg_embedder_load(&s->embedder, dir, NULL, false, err);
}

static int load_packs(struct sg_session *s, const char *state_dir, const struct sg_cli_packs *packs,
	struct sg_error *err)
{
	sg_autofree char *pins = NULL;
	if (asprintf(&pins, "%s/trusted_keys", state_dir) < 0)
		return sg_error_nomem(err);
	return sg_mounts_from_directories(&s->mounts, packs->dirs, packs->n, pins, err);
}

/* The configuration's language models, or the one that the command line names instead. */
static int load_llms(struct sg_session *s, const struct sg_session_options *with, bool cleared,
	const json_t *declared, struct sg_error *err)
{
	if (!with->lm_url != !with->lm_model)
		return sg_error_set(err, SG_EINVALID, NULL,
			"--lm-url and --lm-model go together: give both or neither");
	if (with->lm_url && cleared)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"--lm-url is refused under the cleared profile: declare an [[llm]]");
	if (!with->lm_url)
		return sg_llms_create(&s->llms, declared, err);
	json_auto_t *list = json_pack("[{s:s, s:s, s:s}]", "name", SG_SESSION_LM, "url",
		with->lm_url, "model", with->lm_model);
	if (!list)
		return sg_error_set(
			err, SG_EINVALID, NULL, "--lm-url and --lm-model are not valid UTF-8");
	return sg_llms_create(&s->llms, list, err);
}

/* What a configuration declares; its profile counts here too. c is the caller's to finish. */
static int load_declared(struct sg_session *s, struct sg_engine_options *o,
	const struct sg_session_options *with, struct sg_config *c, struct sg_error *err)
{
	sg_autofree char *directory = NULL;
	if (!with->config)
		return load_llms(s, with, false, NULL, err);
	int r = sg_config_load(c, with->config, NULL, 0, environ, err);
	if (r < 0)
		return r;
	o->cleared = c->profile == SG_PROFILE_CLEARED;
	if (o->cleared && with->allow_side_effects)
		r = sg_error_set(err, SG_EREFUSED, "side-effects",
			"--allow-side-effects is refused under the cleared profile");
	if (r == 0 && asprintf(&directory, "%s/tools", o->state_dir) < 0) {
		directory = NULL;
		r = sg_error_nomem(err);
	}
	if (r == 0)
		r = sg_tools_create(
			&s->tools, json_object_get(c->file, "tool"), directory, o->cleared, err);
	o->tools = s->tools;
	return r < 0 ? r : load_llms(s, with, o->cleared, json_object_get(c->file, "llm"), err);
}

/* The configuration is needed until the engine is made: the names of its stores are borrowed. */
static int open_engine(struct sg_session *s, struct sg_engine_options *o,
	const struct sg_session_options *with, struct sg_error *err)
{
	struct sg_config c = {0};
	struct sg_store_decl stores[SG_KNOW_MAX_STORES];
	int r = load_declared(s, o, with, &c, err);
	if (r == 0 && with->config)
		r = sg_store_decls_read(
			json_object_get(c.file, "store"), stores, &o->n_stores, err);
	o->stores = stores;
	o->llms = s->llms;
	if (r == 0)
		r = sg_engine_create(&s->engine, o, err);
	sg_config_finish(&c);
	return r;
}

int sg_session_open(
	struct sg_session *s, const struct sg_session_options *with, struct sg_error *err)
{
	struct sg_engine_options o = {
		.state_dir = with->state_dir ? with->state_dir : SG_SESSION_STATE_DIR,
		.allow_side_effects = with->allow_side_effects};
	*s = (struct sg_session){0};
	int r = make_directory(o.state_dir, err);
	if (r == 0 && with->with_model)
		r = load_model(s, with->model, err);
	if (r == 0 && with->packs && with->packs->n)
		r = load_packs(s, o.state_dir, with->packs, err);
	o.embedder = s->embedder;
	o.mounts = s->mounts;
	if (r == 0)
		r = open_engine(s, &o, with, err);
	if (r < 0)
		sg_session_close(s);
	return r;
}

void sg_session_close(struct sg_session *s)
{
	sg_engine_destroy(s->engine);
	sg_embedder_destroy(s->embedder);
	sg_mounts_destroy(s->mounts);
	sg_tools_destroy(s->tools);
	sg_llms_destroy(s->llms);
	*s = (struct sg_session){0};
}

int sg_session_turn(struct sg_session *s, struct sg_error *err)
{
	struct pollfd p = {.fd = sg_engine_fd(s->engine), .events = POLLIN};
	if (poll(&p, 1, sg_engine_timeout_ms(s->engine)) < 0 && errno != EINTR)
		return sg_error_errno(err, errno, "poll");
	sg_engine_dispatch(s->engine);
	return sg_engine_failed(s->engine, err) ? -err->code : 0;
}

int sg_session_wait(struct sg_session *s, const bool *done, struct sg_error *err)
{
	while (!*done) {
		int r = sg_session_turn(s, err);
		if (r < 0 && !*done)
			return r;
	}
	return 0;
}

void sg_session_settled(void *ctx, const struct sg_run_view *v, const struct sg_error *err)
{
	struct sg_session_outcome *o = ctx;
	o->settled = true;
	if (err)
		o->err = *err;
	else
		o->status = v->row.status;
}

void sg_session_summary(const struct sg_run_view *v, struct sg_buf *out)
{
	sg_buf_adds(out, "{\"run_id\":");
	sg_buf_add_json_string(out, v->row.run_id, strlen(v->row.run_id));
	sg_buf_add_json_member(out, "status", sg_run_status_name(v->row.status));
	sg_buf_add_json_member(out, "reason", v->row.reason);
	sg_buf_adds(out, ",\"path\":");
	(void)sg_json_canonical(v->path, out, NULL);
	sg_buf_addf(out, ",\"state\":%s,\"steps\":%lld", v->state ? v->state : "null",
		(long long)v->row.steps);
	if (v->row.status == SG_RUN_FAILED) {
		sg_buf_add_json_member(out, "error_class", v->row.error_class);
		sg_buf_add_json_member(out, "error_cause", v->row.error_cause);
	}
	if (v->row.waiting)
		sg_buf_addf(out, ",\"waiting\":%s", v->row.waiting);
	sg_buf_addc(out, '}');
}

int sg_session_exit(enum sg_run_status status)
{
	switch (status) {
	case SG_RUN_DONE: return SG_EXIT_DONE;
	case SG_RUN_WAITING:
	case SG_RUN_PAUSED: return SG_EXIT_WAITING;
	case SG_RUN_PENDING:
	case SG_RUN_RUNNING:
	case SG_RUN_FAILED:
	case SG_RUN_CANCELLED: break;
	}
	return SG_EXIT_FAILED;
}
