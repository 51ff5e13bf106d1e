/* Reads: from a transaction on what is durable, never from what is being computed. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

struct walk {
	json_t *path;
	bool skip;
};

static int visit(void *ctx, const struct sg_checkpoint *c)
{
	struct walk *w = ctx;
	if (!w->skip)
		(void)json_array_append_new(w->path, json_string(c->last_node));
	w->skip = c->next_action && strstr(c->next_action, "\"kind\":\"interrupt\"");
	return 0;
}

static int read_steps(
	struct sg_txn *t, const char *run_id, struct sg_run_view *v, struct sg_error *err)
{
	struct sg_checkpoint c;
	struct walk w = {.path = json_array()};
	if (!w.path)
		return sg_error_nomem(err);
	v->path = w.path;
	int rc = sg_checkpoint_get(t, run_id, -1, &c, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	v->state = sg_steal(c.state);
	sg_checkpoint_finish(&c);
	rc = sg_checkpoint_each(t, run_id, visit, &w, err);
	return rc < 0 ? rc : 0;
}

/* No row can be written while the disk is full; the reader is told all the same. */
static void tell_waiting(const struct sg_engine *e, struct sg_run_row *row)
{
	if (row->status <= SG_RUN_RUNNING && !row->reason && sg_engine_no_space(e))
		row->reason = strdup(SG_RUN_NO_SPACE_REASON);
}

int sg_engine_get_row(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err)
{
	struct sg_run_view v = {0};
	sg_autotxn *t = NULL;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_run_require(t, run_id, &v.row, err);
	if (rc == 0)
		*ret = v;
	return rc;
}

int sg_engine_get(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err)
{
	struct sg_run_view v = {0};
	sg_autotxn *t = NULL;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_run_require(t, run_id, &v.row, err);
	if (rc < 0)
		return rc;
	rc = read_steps(t, run_id, &v, err);
	if (rc < 0) {
		sg_run_view_finish(&v);
		return rc;
	}
	tell_waiting(e, &v.row);
	*ret = v;
	return 0;
}

void sg_run_view_finish(struct sg_run_view *v)
{
	sg_run_row_finish(&v->row);
	free((void *)(uintptr_t)v->state);
	json_decref(v->path);
	*v = (struct sg_run_view){0};
}

int sg_engine_list(struct sg_engine *e, const struct sg_run_filter *f, struct sg_run_row **ret_rows,
	size_t *ret_n, uint64_t *ret_total, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_run_list(t, f, ret_rows, ret_n, ret_total, err);
	for (size_t i = 0; rc == 0 && i < *ret_n; i++)
		tell_waiting(e, &(*ret_rows)[i]);
	return rc;
}
