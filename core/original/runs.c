/* Runs and steps of the original's store, each value checked before it is handed on. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "original/internal.h"

int sg_original_count(struct sg_original *o, struct sg_original_counts *ret, struct sg_error *err)
{
	static const char with[] =
		"SELECT (SELECT count(*) FROM (SELECT run_id FROM checkpoints UNION SELECT run_id "
		"FROM runs UNION SELECT run_id FROM runs_history)), (SELECT count(*) FROM "
		"checkpoints), (SELECT count(*) FROM pending_runs)";
	static const char without[] =
		"SELECT (SELECT count(*) FROM (SELECT run_id FROM checkpoints UNION SELECT run_id "
		"FROM runs)), (SELECT count(*) FROM checkpoints), 0";
	sg_autostmt *s = NULL;
	int r = sg_original_prepare(o, o->history ? with : without, &s, err);
	if (r == 0)
		r = sg_original_step_row(o, s, err);
	if (r < 0)
		return r;
	*ret = (struct sg_original_counts){.schema = o->schema,
		.runs = sqlite3_column_int64(s, 0),
		.steps = sqlite3_column_int64(s, 1),
		.pending = sqlite3_column_int64(s, 2)};
	return 0;
}

static int odd(const char *run_id, int64_t step, const char *what, struct sg_error *err)
{
	if (step >= 0)
		return sg_error_set(err, SG_EINVALID, "not-a-run", "run %.64s, step %lld: %s",
			run_id, (long long)step, what);
	return sg_error_set(err, SG_EINVALID, "not-a-run", "run %.64s: %s", run_id, what);
}

/* A text column: valid UTF-8 without NUL. NULL for NULL and for anything else, which sets *bad. */
static const char *text(sqlite3_stmt *s, int i, bool *bad)
{
	if (sqlite3_column_type(s, i) == SQLITE_NULL)
		return NULL;
	const char *t = sqlite3_column_type(s, i) == SQLITE_TEXT
				? (const char *)sqlite3_column_text(s, i)
				: NULL;
	size_t n = (size_t)sqlite3_column_bytes(s, i);
	if (!t || strlen(t) != n || !sg_utf8_valid(t, n)) {
		*bad = true;
		return NULL;
	}
	return t;
}

static int64_t when(const char *t, bool *bad)
{
	int64_t us = 0;
	if (t && sg_time_parse(t, strlen(t), &us) < 0)
		*bad = true;
	return us;
}

int sg_original_each_run(struct sg_original *o,
	int (*visit)(void *ctx, const char *run_id, struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	/* By the first row of each, checkpoints first: the order in which they began. */
	static const char with[] =
		"SELECT run_id FROM (SELECT run_id, 0 AS t, min(rowid) AS r FROM checkpoints GROUP "
		"BY run_id UNION ALL SELECT run_id, 1, rowid FROM runs UNION ALL SELECT run_id, 2, "
		"rowid FROM runs_history) GROUP BY run_id ORDER BY min(t), min(r)";
	static const char without[] =
		"SELECT run_id FROM (SELECT run_id, 0 AS t, min(rowid) AS r FROM checkpoints GROUP "
		"BY run_id UNION ALL SELECT run_id, 1, rowid FROM runs) GROUP BY run_id ORDER BY "
		"min(t), min(r)";
	sg_autostmt *s = NULL;
	int r = sg_original_prepare(o, o->history ? with : without, &s, err);
	while (r == 0 && (r = sg_original_step_row(o, s, err)) == 1) {
		bool bad = false;
		const char *id = text(s, 0, &bad);
		if (!id)
			return sg_error_set(
				err, SG_EINVALID, SG_ORIGINAL_NO_STORE, "a run id is no text");
		r = visit(ctx, id, err);
		if (r < 0)
			return r;
		o->budget = SG_ORIGINAL_BUDGET;
	}
	return r;
}

/* ---- one run ---- */

static void hash_columns(struct sg_sha256 *h, sqlite3_stmt *s)
{
	for (int i = 0; i < sqlite3_column_count(s); i++) {
		int type = sqlite3_column_type(s, i);
		const void *data = sqlite3_column_blob(s, i);
		uint64_t head[2] = {(uint64_t)type, (uint64_t)sqlite3_column_bytes(s, i)};
		sg_sha256_update(h, head, sizeof(head));
		sg_sha256_update(h, data ? data : "", (size_t)head[1]);
	}
}

/* The rows of one query about the run into its digest; *ret_n how many. */
static int digest_rows(struct sg_original *o, const char *sql, const char *run_id,
	struct sg_sha256 *h, int64_t *ret_n, struct sg_error *err)
{
	sg_autostmt *s = NULL;
	int64_t n = 0;
	int r = sg_original_prepare(o, sql, &s, err);
	if (r < 0)
		return r;
	(void)sqlite3_bind_text(s, 1, run_id, -1, SQLITE_STATIC);
	while ((r = sg_original_step_row(o, s, err)) == 1) {
		if (++n > SG_ORIGINAL_RUN_STEPS)
			return odd(run_id, -1, "it has too many steps", err);
		hash_columns(h, s);
	}
	*ret_n = n;
	return r;
}

#define STEP_COLUMNS \
	"step_idx, branch_id, parent_step_idx, ts, state_snapshot, clips_facts, last_node, " \
	"next_action, structural_hash, runtime_hash, side_effects_hash, parent_run_id"

static int digest_run(struct sg_original *o, const char *run_id, struct sg_original_run *ret,
	struct sg_error *err)
{
	struct sg_sha256 *h = sg_sha256_create();
	uint8_t sum[SG_SHA256_BYTES];
	int64_t n = 0;
	if (!h)
		return sg_error_nomem(err);
	int r = digest_rows(o,
		"SELECT " STEP_COLUMNS " FROM checkpoints WHERE run_id = ? ORDER BY rowid", run_id,
		h, &ret->steps, err);
	if (r == 0)
		r = digest_rows(o, "SELECT * FROM runs WHERE run_id = ?", run_id, h, &n, err);
	if (r == 0 && o->history)
		r = digest_rows(
			o, "SELECT * FROM runs_history WHERE run_id = ?", run_id, h, &n, err);
	sg_sha256_final(h, sum);
	sg_hex_encode(sum, sizeof(sum), ret->digest);
	sg_sha256_destroy(h);
	return r;
}

static int keep(char **to, const char *t, struct sg_error *err)
{
	if (!t || *to)
		return 0;
	*to = strdup(t);
	return *to ? 0 : sg_error_nomem(err);
}

static bool is_hash(const char *t)
{
	return t && strlen(t) == 64 && strspn(t, "0123456789abcdef") == 64;
}

/* "<uuid>", "cf-<uuid>", "run-<start of the graph's id>-<hex>" */
static bool is_run_id(const char *t)
{
	size_t n = strspn(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-");
	return n > 0 && n <= SG_ORIGINAL_ID_MAX && !t[n];
}

/* status, graph, started, finished, parent, source, class, cause */
static int read_summary(struct sg_original *o, const char *sql, const char *run_id,
	struct sg_original_run *ret, struct sg_error *err)
{
	sg_autostmt *s = NULL;
	bool bad = false;
	int r = sg_original_prepare(o, sql, &s, err);
	if (r < 0)
		return r;
	(void)sqlite3_bind_text(s, 1, run_id, -1, SQLITE_STATIC);
	r = sg_original_step_row(o, s, err);
	if (r != 1)
		return r;
	const char *t[8];
	for (int i = 0; i < 8; i++)
		t[i] = text(s, i, &bad);
	int64_t started = when(t[2], &bad), finished = when(t[3], &bad);
	if (bad)
		return odd(run_id, -1, "its summary does not have the original's form", err);
	ret->started_us = ret->started_us ? ret->started_us : started;
	ret->finished_us = ret->finished_us ? ret->finished_us : finished;
	char **to[] = {&ret->status, &ret->graph_id, NULL, NULL, &ret->parent_run_id,
		&ret->trigger_source, &ret->error_class, &ret->error_cause};
	r = 0;
	for (int i = 0; r == 0 && i < 8; i++)
		if (to[i] && !(i == 1 && is_hash(t[1])))
			r = keep(to[i], t[i], err);
	return r;
}

int sg_original_run(struct sg_original *o, const char *run_id, struct sg_original_run *ret,
	struct sg_error *err)
{
	static const char *const history[SG_ORIGINAL_SCHEMA_MAX + 1] = {NULL, NULL,
		"SELECT status, graph_hash, started_at, finished_at, parent_run_id, "
		"trigger_source, NULL, NULL FROM runs_history WHERE run_id = ?",
		"SELECT status, graph_hash, started_at, finished_at, parent_run_id, "
		"trigger_source, error_class, error_cause FROM runs_history WHERE run_id = ?"};
	struct sg_original_run run = {0};
	int r = is_run_id(run_id) ? digest_run(o, run_id, &run, err)
				  : odd("?", -1, "an id is empty, too long, or no plain word", err);
	if (r == 0 && o->history)
		r = read_summary(o, history[o->schema], run_id, &run, err);
	if (r == 0)
		r = read_summary(o,
			"SELECT status, NULL, started_at, last_step_at, parent_run_id, NULL, NULL, "
			"NULL FROM runs WHERE run_id = ?",
			run_id, &run, err);
	if (r < 0) {
		sg_original_run_finish(&run);
		return r;
	}
	*ret = run;
	return 0;
}

void sg_original_run_finish(struct sg_original_run *r)
{
	char **owned[] = {&r->status, &r->graph_id, &r->parent_run_id, &r->trigger_source,
		&r->error_class, &r->error_cause};
	for (size_t i = 0; i < SG_ARRAY_LEN(owned); i++) {
		free(*owned[i]);
		*owned[i] = NULL;
	}
}

/* ---- steps ---- */

/* A JSON column, a BLOB as the original writes it, or a text. NULL stays NULL where it may. */
static int json_column(sqlite3_stmt *s, int i, bool may_be_null, json_t **ret, struct sg_error *err)
{
	int type = sqlite3_column_type(s, i);
	if (type == SQLITE_NULL && may_be_null)
		return 0;
	if (type != SQLITE_BLOB && type != SQLITE_TEXT)
		return sg_error_set(err, SG_EINVALID, NULL, "no JSON");
	const char *data = sqlite3_column_blob(s, i);
	return sg_json_parse(data ? data : "", (size_t)sqlite3_column_bytes(s, i), ret, err);
}

static int step_number(sqlite3_stmt *s, int i, int64_t null, int64_t *ret)
{
	int type = sqlite3_column_type(s, i);
	*ret = type == SQLITE_NULL ? null : sqlite3_column_int64(s, i);
	return (type == SQLITE_NULL && null < 0) || (type == SQLITE_INTEGER && *ret >= 0) ? 0 : -1;
}

struct row {
	struct sg_original_step s;
	json_t *state, *facts, *next;
};

static void row_finish(struct row *r)
{
	json_decref(r->state);
	json_decref(r->facts);
	json_decref(r->next);
}

static int read_jsons(sqlite3_stmt *s, struct row *r, struct sg_error *err)
{
	int e = json_column(s, 4, false, &r->state, err);
	if (e < 0)
		return sg_error_prefix(err, "state_snapshot");
	e = json_column(s, 5, false, &r->facts, err);
	if (e < 0)
		return sg_error_prefix(err, "clips_facts");
	e = json_column(s, 7, true, &r->next, err);
	if (e < 0)
		return sg_error_prefix(err, "next_action");
	if (!json_is_object(r->state) || !json_is_array(r->facts) ||
		(r->next && !json_is_null(r->next) && !json_is_object(r->next)))
		return sg_error_set(err, SG_EINVALID, "not-a-run",
			"state, facts or next action have another shape");
	r->s.state = r->state;
	r->s.facts = r->facts;
	r->s.next_action = json_is_object(r->next) ? r->next : NULL;
	return 0;
}

static int read_step(sqlite3_stmt *s, const char *run_id, struct row *r, struct sg_error *err)
{
	bool bad = false;
	if (step_number(s, 0, 0, &r->s.step) < 0 || step_number(s, 2, -1, &r->s.parent_step) < 0)
		return odd(run_id, -1, "a step has no number", err);
	r->s.branch_id = text(s, 1, &bad);
	r->s.timestamp_us = when(text(s, 3, &bad), &bad);
	r->s.last_node = text(s, 6, &bad);
	r->s.graph_hash = text(s, 8, &bad);
	r->s.runtime_hash = text(s, 9, &bad);
	r->s.side_effects_hash = text(s, 10, &bad);
	r->s.parent_run_id = text(s, 11, &bad);
	if (bad || !r->s.last_node || !is_hash(r->s.graph_hash))
		return odd(run_id, r->s.step, "a column does not have the original's form", err);
	if (!is_hash(r->s.runtime_hash))
		r->s.runtime_hash = "";
	if (!is_hash(r->s.side_effects_hash))
		r->s.side_effects_hash = "";
	int e = read_jsons(s, r, err);
	return e < 0 ? sg_error_prefix(err, "run %.64s, step %lld", run_id, (long long)r->s.step)
		     : 0;
}

int sg_original_each_step(struct sg_original *o, const char *run_id,
	int (*visit)(void *ctx, const struct sg_original_step *s, struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	sg_autostmt *s = NULL;
	int r = sg_original_prepare(o,
		"SELECT " STEP_COLUMNS " FROM checkpoints WHERE run_id = ? ORDER BY rowid", &s,
		err);
	if (r < 0)
		return r;
	(void)sqlite3_bind_text(s, 1, run_id, -1, SQLITE_STATIC);
	while ((r = sg_original_step_row(o, s, err)) == 1) {
		struct row row = {0};
		r = read_step(s, run_id, &row, err);
		if (r == 0)
			r = visit(ctx, &row.s, err);
		row_finish(&row);
		if (r < 0)
			return r;
	}
	return r;
}
