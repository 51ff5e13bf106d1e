/* The engine that the tests of api run against. */
#include "fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#define MAX_RUNS 64
#define MAX_PENDING 256
#define WAITING "{\"capability\":\"risk:approve\",\"prompt\":\"ok?\"}"

struct pending {
	sg_run_callback run_cb;
	void (*audit_cb)(void *ctx, const struct sg_error *err);
	void *ctx;
	size_t run; /* index */
	enum sg_run_status status;
};

struct sg_engine {
	struct sg_run_row runs[MAX_RUNS];
	char *keys[MAX_RUNS], *key_params[MAX_RUNS];
	size_t n_runs;
	struct pending pending[MAX_PENDING];
	size_t n_pending;
	struct sg_buf audit;
	bool audit_fails, busy, behind;
	char note_name[128], note[128]; /* the one that was put last */
};

struct sg_engine *fake_engine_create(void)
{
	struct sg_engine *e = calloc(1, sizeof(*e));
	e->audit.limit = 1U << 20;
	return e;
}

void fake_engine_destroy(struct sg_engine *e)
{
	for (size_t i = 0; i < e->n_runs; i++) {
		sg_run_row_finish(&e->runs[i]);
		free(e->keys[i]);
		free(e->key_params[i]);
	}
	sg_buf_finish(&e->audit);
	free(e);
}

const char *fake_audit(const struct sg_engine *e)
{
	return e->audit.data ? e->audit.data : "";
}

size_t fake_pending(const struct sg_engine *e)
{
	return e->n_pending;
}

void fake_behind(struct sg_engine *e, bool behind)
{
	e->behind = behind;
}

void fake_audit_fails(struct sg_engine *e, bool fails)
{
	e->audit_fails = fails;
}

void fake_starts_busy(struct sg_engine *e, bool busy)
{
	e->busy = busy;
}

int sg_engine_note_put(
	struct sg_engine *e, const char *name, const char *text, struct sg_error *err)
{
	(void)err;
	(void)snprintf(e->note_name, sizeof(e->note_name), "%s", name);
	(void)snprintf(e->note, sizeof(e->note), "%s", text);
	return 0;
}

int sg_engine_note_get(
	struct sg_engine *e, const char *name, char *ret, size_t size, struct sg_error *err)
{
	(void)err;
	if (strcmp(e->note_name, name) != 0)
		return 1;
	(void)snprintf(ret, size, "%s", e->note);
	return 0;
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void copy_row(const struct sg_run_row *from, struct sg_run_row *to)
{
	*to = *from;
	to->graph_id = copy(from->graph_id);
	to->actor = copy(from->actor);
	to->trigger_source = copy(from->trigger_source);
	to->parent_run_id = copy(from->parent_run_id);
	to->reason = copy(from->reason);
	to->error_class = copy(from->error_class);
	to->error_cause = copy(from->error_cause);
	to->waiting = copy(from->waiting);
	to->params = copy(from->params);
}

static void set_status(struct sg_run_row *r, enum sg_run_status status)
{
	r->status = status;
	free(r->waiting);
	r->waiting = status == SG_RUN_WAITING ? strdup(WAITING) : NULL;
	if (status == SG_RUN_DONE)
		r->finished_us = r->started_us + 1000000;
}

int fake_dispatch(struct sg_engine *e)
{
	int called = 0;
	while (e->n_pending) {
		struct pending p = e->pending[0];
		memmove(e->pending, e->pending + 1, --e->n_pending * sizeof(p));
		called++;
		if (p.audit_cb) {
			p.audit_cb(p.ctx, NULL);
			continue;
		}
		set_status(&e->runs[p.run], p.status);
		struct sg_run_view v = {.state = "{\"x\":1}", .path = json_pack("[s]", "n1")};
		copy_row(&e->runs[p.run], &v.row);
		p.run_cb(p.ctx, &v, NULL);
		sg_run_row_finish(&v.row);
		json_decref(v.path);
	}
	return called;
}

static void later(struct sg_engine *e, struct pending p)
{
	e->pending[e->n_pending++] = p;
}

static ssize_t find(const struct sg_engine *e, const char *run_id)
{
	for (size_t i = 0; i < e->n_runs; i++)
		if (strcmp(e->runs[i].run_id, run_id) == 0)
			return (ssize_t)i;
	return -1;
}

static int not_found(struct sg_error *err, const char *what, const char *id)
{
	return sg_error_set(err, SG_ENOTFOUND, NULL, "%s '%s' not found", what, id);
}

static enum sg_run_status outcome(const char *graph_id)
{
	return strcmp(graph_id, "ask") == 0    ? SG_RUN_WAITING
	       : strcmp(graph_id, "hang") == 0 ? SG_RUN_RUNNING
					       : SG_RUN_DONE;
}

static char *text_of(const json_t *v)
{
	sg_autobuf b = SG_BUF_INIT(65536);
	if (v)
		(void)sg_json_canonical(v, &b, NULL);
	else
		sg_buf_adds(&b, "{}");
	return sg_buf_take(&b);
}

int sg_engine_start(struct sg_engine *e, const char *graph_id, const json_t *params, bool from_text,
	const struct sg_caller *who, const char *idempotency_key, sg_run_callback accepted,
	sg_run_callback settled, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	(void)from_text;
	if (e->busy || strcmp(graph_id, "busy") == 0)
		return sg_error_set(err, SG_EBUSY, NULL, "limits.runs_in_flight reached");
	if (!strstr("done ask hang", graph_id))
		return not_found(err, "graph", graph_id);
	sg_autofree char *text = text_of(params);
	for (size_t i = 0; idempotency_key && i < e->n_runs; i++)
		if (e->keys[i] && strcmp(e->keys[i], idempotency_key) == 0) {
			if (strcmp(e->key_params[i], text) != 0)
				return sg_error_set(err, SG_EINVALID, "idempotency-mismatch",
					"the key was used with other parameters");
			(void)strcpy(ret_run_id, e->runs[i].run_id);
			return 1;
		}
	size_t i = e->n_runs++;
	struct sg_run_row *r = &e->runs[i];
	(void)snprintf(r->run_id, sizeof(r->run_id), "run-%028zu", i);
	e->keys[i] = copy(idempotency_key);
	e->key_params[i] = strdup(text);
	r->graph_id = strdup(graph_id);
	r->actor = strdup(who->actor);
	r->trigger_source = strdup(who->trigger_source);
	r->params = strdup(text);
	r->status = SG_RUN_PENDING;
	r->started_us = r->updated_us = 1700000000000000 + (int64_t)i;
	(void)strcpy(ret_run_id, r->run_id);
	if (accepted)
		later(e, (struct pending){.run_cb = accepted,
				 .ctx = ctx,
				 .run = i,
				 .status = SG_RUN_RUNNING});
	if (settled && outcome(graph_id) != SG_RUN_RUNNING)
		later(e, (struct pending){.run_cb = settled,
				 .ctx = ctx,
				 .run = i,
				 .status = outcome(graph_id)});
	else if (!settled)
		set_status(r, outcome(graph_id));
	return 0;
}

static int change(struct sg_engine *e, const char *run_id, enum sg_run_status from,
	enum sg_run_status to, sg_run_callback done, void *ctx, struct sg_error *err)
{
	ssize_t i = find(e, run_id);
	if (i < 0)
		return not_found(err, "run", run_id);
	if (e->runs[i].status != from)
		return sg_error_set(err, SG_ECONFLICT, NULL, "run is '%s'",
			sg_run_status_name(e->runs[i].status));
	later(e, (struct pending){.run_cb = done, .ctx = ctx, .run = (size_t)i, .status = to});
	return 0;
}

int sg_engine_respond(struct sg_engine *e, const char *run_id, const json_t *response,
	const struct sg_caller *who, sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_error *err)
{
	(void)response;
	(void)who;
	int r = change(e, run_id, SG_RUN_WAITING, SG_RUN_RUNNING, accepted, ctx, err);
	if (r == 0 && settled)
		later(e, (struct pending){.run_cb = settled,
				 .ctx = ctx,
				 .run = (size_t)find(e, run_id),
				 .status = SG_RUN_DONE});
	return r;
}

int sg_engine_cancel(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err)
{
	(void)who;
	return change(e, run_id, SG_RUN_RUNNING, SG_RUN_CANCELLED, done, ctx, err);
}

int sg_engine_pause(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err)
{
	(void)who;
	return change(e, run_id, SG_RUN_RUNNING, SG_RUN_PAUSED, done, ctx, err);
}

int sg_engine_replay(struct sg_engine *e, const char *run_id, sg_replay_callback done, void *ctx,
	struct sg_error *err)
{
	(void)e;
	(void)err;
	json_t *result = json_pack("{s:s, s:b}", "run_id", run_id, "identical", 1);
	done(ctx, result, NULL);
	json_decref(result);
	return 0;
}

int sg_engine_compare(struct sg_engine *e, const char *run_a, const char *run_b,
	sg_replay_callback done, void *ctx, struct sg_error *err)
{
	(void)e;
	(void)err;
	json_t *result = json_pack("{s:s, s:s}", "a", run_a, "b", run_b);
	done(ctx, result, NULL);
	json_decref(result);
	return 0;
}

int sg_engine_fork(struct sg_engine *e, const char *parent_id, const struct sg_fork_request *what,
	sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_fork_handle *ret_handle, struct sg_error *err)
{
	(void)e;
	(void)what;
	(void)accepted;
	(void)settled;
	(void)ctx;
	(void)ret_handle;
	return sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", parent_id);
}

int sg_engine_resume(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback accepted, void *ctx, struct sg_error *err)
{
	(void)who;
	return change(e, run_id, SG_RUN_PAUSED, SG_RUN_RUNNING, accepted, ctx, err);
}

void sg_engine_forget(struct sg_engine *e, const void *ctx)
{
	size_t kept = 0;
	for (size_t i = 0; i < e->n_pending; i++)
		if (e->pending[i].ctx != ctx)
			e->pending[kept++] = e->pending[i];
	e->n_pending = kept;
}

int sg_engine_get(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err)
{
	ssize_t i = find(e, run_id);
	if (i < 0)
		return not_found(err, "run", run_id);
	*ret = (struct sg_run_view){.state = NULL, .path = json_array()};
	copy_row(&e->runs[i], &ret->row);
	return 0;
}

int sg_engine_get_row(
	struct sg_engine *e, const char *run_id, struct sg_run_view *ret, struct sg_error *err)
{
	return sg_engine_get(e, run_id, ret, err);
}

void sg_run_view_finish(struct sg_run_view *v)
{
	sg_run_row_finish(&v->row);
	json_decref(v->path);
}

int sg_engine_artifacts(
	struct sg_engine *e, const char *run_id, json_t **ret_refs, struct sg_error *err)
{
	if (find(e, run_id) < 0)
		return not_found(err, "run", run_id);
	*ret_refs = json_array();
	return 0;
}

int sg_engine_artifact(struct sg_engine *e, const char *artifact_id, json_t **ret_refs,
	char **ret_data, size_t *ret_n, struct sg_error *err)
{
	(void)e, (void)ret_refs, (void)ret_data, (void)ret_n;
	return not_found(err, "artifact", artifact_id);
}

static bool passes(const struct sg_run_row *r, const struct sg_run_filter *f)
{
	return (f->status == -1 || f->status == (int)r->status) &&
	       (!f->actor || strcmp(f->actor, r->actor) == 0) &&
	       (!f->graph_id || strcmp(f->graph_id, r->graph_id) == 0) &&
	       (!f->before || strcmp(r->run_id, f->before) < 0);
}

int sg_engine_list(struct sg_engine *e, const struct sg_run_filter *f, struct sg_run_row **ret_rows,
	size_t *ret_n, uint64_t *ret_total, struct sg_error *err)
{
	(void)err;
	struct sg_run_row *rows = calloc(e->n_runs + 1, sizeof(*rows));
	size_t n = 0, total = 0;
	for (size_t i = e->n_runs; i-- > 0;)
		if (passes(&e->runs[i], f) && total++ >= f->offset && n < f->limit)
			copy_row(&e->runs[i], &rows[n++]);
	*ret_rows = rows;
	*ret_n = n;
	*ret_total = total;
	return 0;
}

size_t sg_engine_graphs(const struct sg_engine *e, const struct sg_graph *const **ret)
{
	static const struct sg_graph g = {.id = (char *)"done", .hash = "00ff"};
	static const struct sg_graph *const all[] = {&g};
	(void)e;
	*ret = all;
	return 1;
}

bool sg_engine_behind(const struct sg_engine *e)
{
	return e->behind;
}

int sg_engine_audit(struct sg_engine *e, const char *actor, const char *type, const char *run_id,
	const json_t *payload, void (*wait)(void *ctx, const struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	(void)run_id;
	if (e->audit_fails)
		return sg_error_set(err, SG_EBUSY, NULL, "queue full");
	const char *kind = json_string_value(json_object_get(payload, "kind"));
	sg_buf_addf(&e->audit, "%s %s %s\n", actor, type, kind ? kind : "-");
	if (wait)
		later(e, (struct pending){.audit_cb = wait, .ctx = ctx});
	return 0;
}

int sg_engine_subscribe(struct sg_engine *e, const char *run_id, int64_t after,
	sg_event_callback cb, void *ctx, struct sg_subscription **ret, struct sg_error *err)
{
	if (find(e, run_id) < 0)
		return not_found(err, "run", run_id);
	*ret = NULL;
	for (int64_t seq = after + 1; seq < 3; seq++) {
		struct sg_event ev = {.seq = (uint64_t)seq,
			.step = seq,
			.type = "transition",
			.line = "{\"a\":1}",
			.len = 7,
			.last = seq == 2};
		cb(ctx, &ev);
	}
	return 0;
}

bool sg_engine_no_space(const struct sg_engine *e)
{
	(void)e;
	return false;
}

void sg_engine_more(struct sg_subscription *s)
{
	(void)s;
}

bool sg_engine_held(const struct sg_subscription *s)
{
	(void)s;
	return false;
}

void sg_engine_unsubscribe(struct sg_subscription *s)
{
	(void)s;
}

void sg_engine_stats(const struct sg_engine *e, struct sg_engine_stats *ret)
{
	*ret = (struct sg_engine_stats){.runs_started = e->n_runs};
}

int sg_engine_embed_ids(struct sg_engine *e, const int32_t *ids, size_t n, sg_embed_callback done,
	void *ctx, struct sg_error *err)
{
	(void)e;
	(void)err;
	float v[SG_EMBED_DIM] = {0, 1};
	struct sg_tokens t = {.ids = (int32_t *)(uintptr_t)ids,
		.n = n < 256 ? n : 256,
		.dropped = n < 256 ? 0 : n - 256,
		.truncated = n > 256};
	done(ctx, v, &t, NULL);
	return 0;
}

int sg_engine_embed(struct sg_engine *e, const char *text, size_t n, size_t max_tokens,
	sg_embed_callback done, void *ctx, struct sg_error *err)
{
	(void)e;
	(void)n;
	(void)max_tokens;
	if (strcmp(text, "no model") == 0)
		return sg_error_set(err, SG_EREFUSED, NULL, "no embedding model is loaded");
	if (strcmp(text, "too many") == 0)
		return sg_error_set(err, SG_EBUSY, "embed-queue", "1024 texts wait for embedding");
	float v[SG_EMBED_DIM] = {1};
	int32_t ids[3] = {101, 2023, 102};
	struct sg_tokens t = {.ids = ids, .n = 3};
	done(ctx, v, &t, NULL);
	return 0;
}

/* Stores: "docs" and "notes"; a search finds its own query. */
int sg_engine_stores(struct sg_engine *e, const char *name, json_t **ret, struct sg_error *err)
{
	(void)e;
	if (!name) {
		*ret = json_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "docs", "provider", "vector",
			"name", "notes", "provider", "document");
		return 0;
	}
	if (strcmp(name, "docs") != 0)
		return sg_error_set(err, SG_ENOTFOUND, "unknown-store", "no store \"%s\"", name);
	*ret = json_pack("{s:s, s:s}", "name", "docs", "provider", "vector");
	return 0;
}

int sg_engine_search(struct sg_engine *e, const struct sg_know_query *q, sg_search_callback done,
	void *ctx, struct sg_error *err)
{
	(void)e;
	if (q->k == 13)
		return sg_error_set(err, SG_EREFUSED, "IncompatibleEmbeddingHashError", "drift");
	json_auto_t *hits = json_pack(
		"[{s:s, s:i, s:b}]", "id", q->text, "k", (int)q->k, "with_text", q->with_text);
	done(ctx, hits, NULL);
	return 0;
}

int sg_engine_documents(struct sg_engine *e, const char *store, const json_t *documents,
	const json_t *deletes, const struct sg_caller *who, sg_documents_callback done, void *ctx,
	struct sg_error *err)
{
	const struct sg_know_counts n = {
		.added = json_array_size(documents), .deleted = json_array_size(deletes)};
	(void)e;
	(void)store;
	(void)who;
	(void)err;
	done(ctx, &n, NULL);
	return 0;
}

/* Runs of "run:reads-notes" need to read the store "notes". */
int sg_engine_needs(
	const struct sg_engine *e, const char *graph_id, json_t **ret, struct sg_error *err)
{
	(void)e;
	(void)err;
	*ret = strcmp(graph_id, "run:reads-notes") == 0 ? json_pack("[s]", "db.notes:read")
							: json_array();
	return 0;
}
