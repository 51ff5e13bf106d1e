/* Everything the module keeps, read and checked. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "checkpoint/checkpoint.h"

struct walk {
	struct sg_check_counts n;
	sg_check_report report;
	void *ctx;
};

static void bad(struct walk *w, const char *what)
{
	w->n.bad++;
	w->report(w->ctx, what);
}

/* The steps of one run through the index, each decoded whole. */
static int check_steps(struct sg_txn *t, struct walk *w, const char *run_id, int64_t steps,
	bool forked, struct sg_error *err)
{
	bool found = false; /* a fork's own steps do not begin with 0 */
	for (int64_t i = 0; i < steps; i++) {
		struct sg_checkpoint c = {0};
		char text[128];
		int r = sg_checkpoint_get(t, run_id, i, &c, err);
		sg_checkpoint_finish(&c);
		if (r == -SG_ECORRUPT) {
			bad(w, err->text);
			continue;
		}
		if (r < 0)
			return r;
		found |= r == 0;
		w->n.checkpoints += r == 0;
		if (r > 0 && !(forked && !found)) {
			(void)snprintf(text, sizeof(text), "run %s step %lld: missing", run_id,
				(long long)i);
			bad(w, text);
		}
	}
	return 0;
}

static int check_run(struct sg_txn *t, struct walk *w, struct sg_span key, struct sg_error *err)
{
	char run_id[SG_RUN_ID_TEXT] = "";
	struct sg_run_row row = {0};
	if (key.len == 0 || key.len >= sizeof(run_id)) {
		bad(w, "a run row under an impossible key");
		return 0;
	}
	memcpy(run_id, key.data, key.len);
	int r = sg_run_get(t, run_id, &row, err);
	if (r == -SG_ECORRUPT) {
		bad(w, err->text);
		return 0;
	}
	if (r < 0)
		return r;
	w->n.runs++;
	r = check_steps(t, w, run_id, row.steps, row.parent_run_id != NULL, err);
	sg_run_row_finish(&row);
	return r;
}

/* A blob is found under the SHA-256 of its bytes. */
static void check_blob(struct walk *w, struct sg_span key, struct sg_span value)
{
	char hex[SG_SHA256_HEX], text[128];
	sg_sha256_hex(value.data, value.len, hex);
	w->n.blobs++;
	if (key.len == 64 && memcmp(key.data, hex, 64) == 0)
		return;
	(void)snprintf(text, sizeof(text), "blob %.*s: its bytes have another hash",
		(int)(key.len < 64 ? key.len : 64), (const char *)key.data);
	bad(w, text);
}

static int each(struct sg_txn *t, enum sg_table table, struct walk *w, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key, value;
	int r = sg_cursor_open(t, table, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_FIRST, &key, &value, err);
	while (r == 0) {
		if (table == SG_TABLE_RUN)
			r = check_run(t, w, key, err);
		else
			check_blob(w, key, value);
		if (r == 0)
			r = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &value, err);
	}
	return r < 0 ? r : 0;
}

int sg_checkpoint_check(struct sg_txn *t, sg_check_report report, void *ctx,
	struct sg_check_counts *ret, struct sg_error *err)
{
	struct walk w = {.report = report, .ctx = ctx};
	int r = each(t, SG_TABLE_RUN, &w, err);
	if (r == 0)
		r = each(t, SG_TABLE_BLOB, &w, err);
	if (r == 0)
		*ret = w.n;
	return r;
}
