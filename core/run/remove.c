/* A run that is not kept any longer leaves the store: its row first, so that nobody finds half a
 * run, then everything that hangs on its id. A run of many records goes in several transactions;
 * META "keep.going" names it until the last of them.
 *
 * What stays: the audit's lines (audit/retain.c has a rule of its own for them), the stored graphs,
 * and the bytes of an artifact that another run has written too. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"
#include "run/remove.h"

#define GOING_KEY "keep.going"

/* A record found by its prefix: a copy of the key, and the value in the map. */
struct found {
	uint8_t key[SG_STORE_KEY_MAX];
	size_t len;
	struct sg_span value;
};

static struct sg_span key_of(const struct found *f)
{
	return SG_SPAN(f->key, f->len);
}

/* The first record of a table whose key starts so. Positive outcome 1: none. */
static int find(struct sg_txn *t, enum sg_table table, struct sg_span prefix, struct found *ret,
	struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key = prefix, value;
	int rc = sg_cursor_open(t, table, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_GE, &key, &value, err);
	if (rc != 0)
		return rc;
	if (key.len < prefix.len || key.len > sizeof(ret->key) ||
		memcmp(key.data, prefix.data, prefix.len) != 0)
		return 1;
	memcpy(ret->key, key.data, key.len);
	ret->len = key.len;
	ret->value = value;
	return 0;
}

int sg_run_has_forks(struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	char prefix[SG_RUN_ID_TEXT + sizeof(SG_RUN_TEXT_CHILD)];
	size_t n = strlen(run_id) + 1;
	struct found f;
	memcpy(prefix, run_id, n);
	memcpy(prefix + n, SG_RUN_TEXT_CHILD, sizeof(SG_RUN_TEXT_CHILD) - 1);
	int rc = find(
		t, SG_TABLE_RUN_INPUT, SG_SPAN(prefix, n + sizeof(SG_RUN_TEXT_CHILD) - 1), &f, err);
	return rc < 0 ? rc : rc == 0;
}

int sg_run_removable(struct sg_txn *t, const struct sg_run_row *row, struct sg_error *err)
{
	if (row->status < SG_RUN_DONE || row->pinned)
		return 0;
	int forks = sg_run_has_forks(t, row->run_id, err);
	return forks < 0 ? forks : !forks;
}

/* A fork goes: its parent is pinned by what forks are left. */
static int unpin_parent(struct sg_txn *t, const struct sg_run_row *row, struct sg_error *err)
{
	struct sg_run_row parent;
	char key[2 * SG_RUN_ID_TEXT + sizeof(SG_RUN_TEXT_CHILD)];
	if (!row->parent_run_id)
		return 0;
	int n = snprintf(key, sizeof(key), "%s%c" SG_RUN_TEXT_CHILD "%s", row->parent_run_id, 0,
		row->run_id);
	if (n < 0 || (size_t)n >= sizeof(key))
		return 0; /* no run can be called so */
	int rc = sg_txn_del(t, SG_TABLE_RUN_INPUT, SG_SPAN(key, (size_t)n), err);
	if (rc != 0) /* made before forks were noted: the parent stays pinned */
		return rc < 0 ? rc : 0;
	rc = sg_run_has_forks(t, row->parent_run_id, err);
	if (rc == 0)
		rc = sg_run_get(t, row->parent_run_id, &parent, err);
	if (rc == -SG_ECORRUPT)
		return 0;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	parent.pinned = false;
	rc = sg_run_put(t, &parent, err);
	sg_run_row_finish(&parent);
	return rc;
}

/* An idempotency key lives as long as its run. It may stand for a newer run already. */
static int remove_idempotency(
	struct sg_txn *t, struct sg_span sealed, const char *run_id, struct sg_error *err)
{
	struct sg_span key, value;
	size_t n = strlen(run_id);
	if (!sg_run_text_span(sealed, &key))
		return 0;
	int rc = sg_txn_get(t, SG_TABLE_IDEMPOTENCY, key, &value, err);
	if (rc != 0 || value.len != 64 + n || memcmp((const char *)value.data + 64, run_id, n) != 0)
		return rc < 0 ? rc : 0;
	/* key points into the page that the deletion rewrites */
	char copy[SG_STORE_KEY_MAX];
	if (key.len > sizeof(copy))
		return 0;
	memcpy(copy, key.data, key.len);
	rc = sg_txn_del(t, SG_TABLE_IDEMPOTENCY, SG_SPAN(copy, key.len), err);
	return rc < 0 ? rc : 0;
}

static int remove_input(
	struct sg_txn *t, const struct found *f, const char *run_id, struct sg_error *err)
{
	static const char name[] = SG_RUN_TEXT_IDEM;
	size_t n = strlen(run_id) + 1;
	if (f->len != n + sizeof(name) - 1 || memcmp(f->key + n, name, sizeof(name) - 1) != 0)
		return 0;
	return remove_idempotency(t, f->value, run_id, err);
}

/* Do stored rule packs have these bytes? */
static int used_by_pack(struct sg_txn *t, const char *hash, struct sg_error *err)
{
	static const char suffix[] = SG_RUN_GRAPH_PACKS;
	const size_t n = sizeof(suffix) - 1;
	sg_autocursor *c = NULL;
	struct sg_span key, value;
	int rc = sg_cursor_open(t, SG_TABLE_GRAPH, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_FIRST, &key, &value, err);
	while (rc == 0) {
		if (key.len > n && memcmp((const char *)key.data + key.len - n, suffix, n) == 0 &&
			memmem(value.data, value.len, hash, strlen(hash)))
			return 1;
		rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &value, err);
	}
	return rc < 0 ? rc : 0;
}

/* Bytes that no run refers to any more. */
static int remove_blob(struct sg_txn *t, const char *id, const char *hash, struct sg_error *err)
{
	struct found f;
	int rc = find(t, SG_TABLE_ARTIFACT, SG_SPAN(id, strlen(id) + 1), &f, err);
	if (rc == 1) {
		rc = used_by_pack(t, hash, err);
		if (rc == 0)
			rc = sg_txn_del(t, SG_TABLE_BLOB, SG_KEY_TEXT(hash), err);
	}
	return rc < 0 ? rc : 0;
}

static int remove_artifact(struct sg_txn *t, const struct found *f, struct sg_error *err)
{
	uint8_t key[SG_STORE_KEY_MAX];
	json_t *row = NULL;
	if (sg_json_parse(f->value.data, f->value.len, &row, NULL) < 0)
		return 0; /* a damaged row: its bytes stay */
	const char *id = json_string_value(json_object_get(row, "artifact_id")),
		   *hash = json_string_value(json_object_get(row, "content_hash"));
	size_t n = id ? strlen(id) + 1 : 0;
	int rc = 0;
	if (n && hash && n + f->len <= sizeof(key)) {
		memcpy(key, id, n);
		memcpy(key + n, f->key, f->len);
		rc = sg_txn_del(t, SG_TABLE_ARTIFACT, SG_SPAN(key, n + f->len), err);
		if (rc >= 0)
			rc = remove_blob(t, id, hash, err);
	}
	json_decref(row);
	return rc < 0 ? rc : 0;
}

/* What hangs on a record goes with it. */
static int remove_beside(struct sg_txn *t, enum sg_table table, const struct found *f,
	const char *run_id, struct sg_error *err)
{
	uint8_t seq[8];
	switch (table) {
	case SG_TABLE_RUN_INPUT: return remove_input(t, f, run_id, err);
	case SG_TABLE_ARTIFACT: return remove_artifact(t, f, err);
	case SG_TABLE_STEP_INDEX:
		if (f->value.len != sizeof(seq))
			return 0;
		memcpy(seq, f->value.data, sizeof(seq));
		return sg_txn_del(t, SG_TABLE_STEP, SG_SPAN(seq, sizeof(seq)), err);
	default: return 0;
	}
}

/* The records of one table whose key begins with the run's id. */
static int remove_table(struct sg_txn *t, enum sg_table table, const char *run_id, size_t *budget,
	struct sg_error *err)
{
	struct sg_span prefix = SG_SPAN(run_id, strlen(run_id) + 1);
	struct found f;
	int rc;
	while ((rc = find(t, table, prefix, &f, err)) == 0) {
		if (!*budget)
			return 1;
		--*budget;
		rc = remove_beside(t, table, &f, run_id, err);
		if (rc >= 0)
			rc = sg_txn_del(t, table, key_of(&f), err);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : 0;
}

int sg_run_remove_rest(struct sg_txn *t, const char *run_id, size_t *budget, struct sg_error *err)
{
	static const enum sg_table tables[] = {
		SG_TABLE_RUN_INPUT, SG_TABLE_ARTIFACT, SG_TABLE_RUN_EVENTS, SG_TABLE_STEP_INDEX};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < SG_ARRAY_LEN(tables); i++)
		rc = remove_table(t, tables[i], run_id, budget, err);
	if (rc == 1)
		return sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(GOING_KEY), SG_KEY_TEXT(run_id),
			       false, err) < 0
			       ? -err->code
			       : 1;
	if (rc == 0)
		rc = sg_txn_del(t, SG_TABLE_META, SG_KEY_TEXT(GOING_KEY), err);
	return rc < 0 ? rc : 0;
}

int sg_run_remove_going(struct sg_txn *t, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	struct sg_span v;
	int rc = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(GOING_KEY), &v, err);
	if (rc != 0)
		return rc;
	if (v.len == 0 || v.len >= SG_RUN_ID_TEXT)
		return 1;
	memcpy(ret_run_id, v.data, v.len);
	ret_run_id[v.len] = '\0';
	return 0;
}

int sg_run_remove(
	struct sg_txn *t, const struct sg_run_row *row, size_t *budget, struct sg_error *err)
{
	int rc = sg_run_row_del(t, row, err);
	if (rc >= 0)
		rc = unpin_parent(t, row, err);
	if (rc >= 0) /* the parameters have the bare id as their key */
		rc = sg_txn_del(t, SG_TABLE_RUN_INPUT, SG_KEY_TEXT(row->run_id), err);
	if (rc < 0)
		return rc;
	*budget -= *budget < 3 ? *budget : 3;
	return sg_run_remove_rest(t, row->run_id, budget, err);
}
