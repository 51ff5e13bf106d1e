/* Opens a store of the original and finds out whether it is one. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "original/internal.h"

#define TICK 10000 /* virtual machine steps between two looks at the budget */

/* Without an index on what is asked, a hostile file could make one statement run for ever. */
static int tick(void *ctx)
{
	struct sg_original *o = ctx;
	return --o->budget < 0;
}

int sg_original_fail(struct sg_original *o, struct sg_error *err)
{
	int code = sqlite3_errcode(o->db);
	const char *text = sqlite3_errmsg(o->db);
	switch (code & 0xff) {
	case SQLITE_NOMEM: return sg_error_nomem(err);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_FULL: return sg_error_set(err, SG_EIO, NULL, "sqlite: %s", text);
	case SQLITE_INTERRUPT:
		return sg_error_set(err, SG_EINVALID, SG_ORIGINAL_NO_STORE,
			"reading it takes longer than any store of this size may: its indexes are "
			"missing or false");
	case SQLITE_NOTADB:
		return sg_error_set(
			err, SG_EINVALID, SG_ORIGINAL_NO_STORE, "it is no SQLite database");
	default: return sg_error_set(err, SG_EINVALID, SG_ORIGINAL_NO_STORE, "sqlite: %s", text);
	}
}

int sg_original_prepare(
	struct sg_original *o, const char *sql, sqlite3_stmt **ret, struct sg_error *err)
{
	o->budget = SG_ORIGINAL_BUDGET;
	if (sqlite3_prepare_v2(o->db, sql, -1, ret, NULL) != SQLITE_OK)
		return sg_original_fail(o, err);
	return 0;
}

int sg_original_step_row(struct sg_original *o, sqlite3_stmt *s, struct sg_error *err)
{
	switch (sqlite3_step(s)) {
	case SQLITE_ROW: return 1;
	case SQLITE_DONE: return 0;
	default: return sg_original_fail(o, err);
	}
}

/* Nothing that is stored in the file is run: no trigger, no view, no function of its schema. */
static int harden(struct sg_original *o, struct sg_error *err)
{
	sqlite3_limit(o->db, SQLITE_LIMIT_LENGTH, (int)SG_ORIGINAL_VALUE_MAX);
	sqlite3_limit(o->db, SQLITE_LIMIT_SQL_LENGTH, 100000);
	sqlite3_limit(o->db, SQLITE_LIMIT_COLUMN, 100);
	sqlite3_limit(o->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_progress_handler(o->db, TICK, tick, o);
	if (sqlite3_db_config(o->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
		sqlite3_db_config(o->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK ||
		sqlite3_db_config(o->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK ||
		sqlite3_db_config(o->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) != SQLITE_OK ||
		sqlite3_exec(o->db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", NULL, NULL,
			NULL) != SQLITE_OK)
		return sg_original_fail(o, err);
	return 0;
}

/* A plain table with this name; views and virtual tables (rootpage 0) are not. */
static int has_table(struct sg_original *o, const char *name, bool *ret, struct sg_error *err)
{
	sg_autostmt *s = NULL;
	int r = sg_original_prepare(o,
		"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ? AND rootpage > 0",
		&s, err);
	if (r < 0)
		return r;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = sg_original_step_row(o, s, err);
	*ret = r == 1;
	return r < 0 ? r : 0;
}

static int need_table(struct sg_original *o, const char *name, struct sg_error *err)
{
	bool there = false;
	int r = has_table(o, name, &there, err);
	if (r == 0 && !there)
		r = sg_error_set(err, SG_EINVALID, SG_ORIGINAL_NO_STORE,
			"it has no table %s: it is no checkpoint store of the original", name);
	return r;
}

static int check_version(struct sg_original *o, struct sg_error *err)
{
	sg_autostmt *s = NULL;
	int r = need_table(o, "stargraph_schema_version", err);
	if (r == 0)
		r = sg_original_prepare(
			o, "SELECT max(version) FROM stargraph_schema_version", &s, err);
	if (r == 0)
		r = sg_original_step_row(o, s, err);
	if (r < 0)
		return r;
	int64_t version = r == 1 ? sqlite3_column_int64(s, 0) : 0;
	if (version < 1 || version > SG_ORIGINAL_SCHEMA_MAX)
		return sg_error_set(err, SG_EINVALID, SG_ORIGINAL_NO_STORE,
			"its schema has version %lld; 1 to %d are known (stargraph 0.8.0 writes "
			"%d)",
			(long long)version, SG_ORIGINAL_SCHEMA_MAX, SG_ORIGINAL_SCHEMA_MAX);
	o->schema = (int)version;
	o->history = version >= 2;
	r = need_table(o, "checkpoints", err);
	if (r == 0)
		r = need_table(o, "runs", err);
	if (r == 0 && o->history)
		r = need_table(o, "runs_history", err);
	if (r == 0 && o->history)
		r = need_table(o, "pending_runs", err);
	return r;
}

/* Every page and index. */
static int check_pages(struct sg_original *o, struct sg_error *err)
{
	sg_autostmt *s = NULL;
	int r = sg_original_prepare(o, "PRAGMA integrity_check(1)", &s, err);
	if (r == 0)
		r = sg_original_step_row(o, s, err);
	if (r < 0)
		return r;
	const char *verdict = r == 1 ? (const char *)sqlite3_column_text(s, 0) : NULL;
	if (!verdict || strcmp(verdict, "ok") != 0)
		return sg_error_set(err, SG_EINVALID, SG_ORIGINAL_NO_STORE, "it is damaged: %.300s",
			verdict ? verdict : "no verdict");
	return 0;
}

int sg_original_open(struct sg_original **ret, const char *path, struct sg_error *err)
{
	struct sg_original *o = calloc(1, sizeof(*o));
	if (!o)
		return sg_error_nomem(err);
	o->budget = SG_ORIGINAL_BUDGET;
	int r = sqlite3_open_v2(path, &o->db,
			SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			NULL) == SQLITE_OK
			? 0
			: sg_original_fail(o, err);
	if (r == 0)
		r = harden(o, err);
	if (r == 0)
		r = check_pages(o, err);
	if (r == 0)
		r = check_version(o, err);
	if (r < 0) {
		sg_original_close(o);
		return r;
	}
	*ret = o;
	return 0;
}

void sg_original_close(struct sg_original *o)
{
	if (!o)
		return;
	(void)sqlite3_close(o->db);
	free(o);
}
