/* Artifacts: contents that runs keep, in the store under the SHA-256 of their bytes (table blob),
 * with a row for each time one was written (table artifact), in the transaction of the step that
 * wrote it.
 *
 * Rows: run id NUL 4-byte BE step -> the reference, canonical JSON; artifact id NUL run id NUL step
 * -> nothing, to find the rows of one content. Run ids begin with "run-" or "cf-", so the two never
 * meet. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

#define ID_LEN 32U /* hex digits of a content hash that name the artifact */
#define KEY_MAX (ID_LEN + 1 + SG_RUN_ID_TEXT + 4)

static size_t run_key(const char *run_id, int64_t step, uint8_t ret[KEY_MAX])
{
	size_t n = strlen(run_id) + 1;
	memcpy(ret, run_id, n);
	for (unsigned i = 0; i < 4; i++)
		ret[n + i] = (uint8_t)((uint64_t)step >> (24 - 8 * i));
	return n + 4;
}

static size_t id_key(const char *artifact_id, const uint8_t *row, size_t n, uint8_t ret[KEY_MAX])
{
	memcpy(ret, artifact_id, ID_LEN);
	ret[ID_LEN] = 0;
	memcpy(ret + ID_LEN + 1, row, n);
	return ID_LEN + 1 + n;
}

json_t *sg_artifact_ref(const struct run *r, const struct sg_artifact *a)
{
	char hash[SG_SHA256_HEX], ts[SG_TIME_TEXT];
	sg_sha256_hex(a->data, a->len, hash);
	sg_time_format(sg_clock_utc_us(), ts);
	return json_pack("{s:s#, s:s, s:s, s:s, s:s, s:s, s:I}", "artifact_id", hash, (int)ID_LEN,
		"content_hash", hash, "content_type", a->content_type, "created_at", ts, "name",
		a->name, "run_id", r->row.run_id, "step", (json_int_t)r->step);
}

static int put_event(struct run *r, const json_t *ref, struct sg_error *err)
{
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	int rc = sg_json_canonical(ref, b, err);
	if (rc < 0)
		return rc;
	return sg_batch_event(r->engine, r, sg_clock_utc_us(), r->row.actor, "artifact_written",
		       r->step, b->data, b->len, "tool", "stargraph.artifacts")
		       ? 0
		       : sg_error_nomem(err);
}

/* The row: the reference, with size and metadata. */
static int put_row(struct run *r, const json_t *ref, const struct sg_artifact *a, struct slot *s,
	struct sg_error *err)
{
	uint8_t key[KEY_MAX], by_id[KEY_MAX];
	const char *id = json_string_value(json_object_get(ref, "artifact_id"));
	struct sg_buf *b = &r->engine->scratch;
	json_t *row = json_copy((json_t *)(uintptr_t)ref);
	if (!row || json_object_set_new(row, "size", json_integer((json_int_t)a->len)) < 0 ||
		json_object_set_new(row, "metadata",
			a->metadata ? json_incref((json_t *)(uintptr_t)a->metadata)
				    : json_object()) < 0) {
		json_decref(row);
		return sg_error_nomem(err);
	}
	sg_buf_reset(b);
	int rc = sg_json_canonical(row, b, err);
	json_decref(row);
	if (rc < 0)
		return rc;
	size_t n = run_key(r->row.run_id, r->step, key), m = id_key(id, key, n, by_id);
	if (sg_batch_put(r->engine, s, SG_TABLE_ARTIFACT, SG_SPAN(key, n),
		    SG_SPAN(b->data, b->len)) < 0 ||
		sg_batch_put(r->engine, s, SG_TABLE_ARTIFACT, SG_SPAN(by_id, m), SG_SPAN("", 0)) <
			0)
		return sg_error_nomem(err);
	return 0;
}

int sg_artifact_put(
	struct run *r, const json_t *ref, const struct sg_artifact *a, struct sg_error *err)
{
	const char *hash = json_string_value(json_object_get(ref, "content_hash"));
	struct slot *s = sg_batch_slot(r);
	if (!s || sg_batch_put(r->engine, s, SG_TABLE_BLOB, SG_KEY_TEXT(hash),
			  SG_SPAN(a->data, a->len)) < 0)
		return sg_error_nomem(err);
	int rc = put_row(r, ref, a, s, err);
	return rc < 0 ? rc : put_event(r, ref, err);
}

/* ---- reading ---- */

static bool starts(struct sg_span key, const void *prefix, size_t n)
{
	return key.len > n && memcmp(key.data, prefix, n) == 0;
}

static int add_row(json_t *list, struct sg_span value, struct sg_error *err)
{
	json_t *row = NULL;
	int rc = sg_json_parse(value.data, value.len, &row, err);
	if (rc < 0)
		return sg_error_set(err, SG_ECORRUPT, NULL, "an artifact's row is damaged");
	return json_array_append_new(list, row) < 0 ? sg_error_nomem(err) : 0;
}

static int list_run(struct sg_txn *t, const char *run_id, json_t *list, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	size_t n = strlen(run_id) + 1;
	struct sg_span key = SG_SPAN(run_id, n), value;
	int rc = sg_cursor_open(t, SG_TABLE_ARTIFACT, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_GE, &key, &value, err);
	while (rc == 0 && starts(key, run_id, n)) {
		rc = add_row(list, value, err);
		if (rc == 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &value, err);
	}
	return rc < 0 ? rc : 0;
}

int sg_engine_artifacts(
	struct sg_engine *e, const char *run_id, json_t **ret_refs, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_span row;
	json_t *list = json_array();
	int rc = list ? sg_txn_begin(e->store, false, &t, err) : sg_error_nomem(err);
	if (rc == 0)
		rc = *run_id && strlen(run_id) < SG_RUN_ID_TEXT
			     ? sg_txn_get(t, SG_TABLE_RUN, SG_KEY_TEXT(run_id), &row, err)
			     : 1;
	if (rc == 1)
		rc = sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", run_id);
	if (rc == 0)
		rc = list_run(t, run_id, list, err);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret_refs = list;
	return 0;
}

static int list_id(struct sg_txn *t, const char *id, json_t *list, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key = SG_SPAN(id, ID_LEN + 1), value;
	int rc = sg_cursor_open(t, SG_TABLE_ARTIFACT, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_GE, &key, &value, err);
	while (rc == 0 && starts(key, id, ID_LEN + 1) &&
		json_array_size(list) < SG_RUN_ARTIFACT_REFS) {
		struct sg_span row =
			SG_SPAN((const char *)key.data + ID_LEN + 1, key.len - ID_LEN - 1);
		rc = sg_txn_get(t, SG_TABLE_ARTIFACT, row, &value, err);
		if (rc == 1)
			rc = sg_error_set(err, SG_ECORRUPT, NULL, "an artifact has no row");
		if (rc == 0)
			rc = add_row(list, value, err);
		if (rc == 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &value, err);
	}
	return rc < 0 ? rc : 0;
}

static int read_blob(
	struct sg_txn *t, const char *hash, char **ret, size_t *ret_n, struct sg_error *err)
{
	char have[SG_SHA256_HEX];
	struct sg_span value;
	int rc = sg_txn_get(t, SG_TABLE_BLOB, SG_KEY_TEXT(hash ? hash : ""), &value, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		sg_sha256_hex(value.data, value.len, have);
	if (rc == 1 || strcmp(have, hash) != 0)
		return sg_error_set(err, SG_ECORRUPT, NULL,
			"the bytes of the artifact with hash %s are missing or damaged", hash);
	*ret = malloc(value.len + 1);
	if (!*ret)
		return sg_error_nomem(err);
	memcpy(*ret, value.data, value.len);
	*ret_n = value.len;
	return 0;
}

int sg_engine_artifact(struct sg_engine *e, const char *artifact_id, json_t **ret_refs,
	char **ret_data, size_t *ret_n, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	json_t *list = json_array();
	int rc = list ? sg_txn_begin(e->store, false, &t, err) : sg_error_nomem(err);
	if (rc == 0 && strlen(artifact_id) == ID_LEN)
		rc = list_id(t, artifact_id, list, err);
	if (rc == 0 && !json_array_size(list))
		rc = sg_error_set(
			err, SG_ENOTFOUND, NULL, "artifact '%.64s' not found", artifact_id);
	if (rc == 0)
		rc = read_blob(t,
			json_string_value(json_object_get(json_array_get(list, 0), "content_hash")),
			ret_data, ret_n, err);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret_refs = list;
	return 0;
}
