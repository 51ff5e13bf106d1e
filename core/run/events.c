/* The event feed of a run: its audit lines, first the stored ones, then each as it becomes durable.
 * Always read from the store, so that what a subscriber sees is what an auditor will see. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

static bool ends(const char *type)
{
	return type && (strcmp(type, "result") == 0 || strcmp(type, "run_cancelled") == 0 ||
			       strcmp(type, "run_imported") == 0);
}

static void tell(struct sg_subscription *s, uint64_t seq, const struct sg_span *line)
{
	json_t *j = NULL;
	if (sg_json_parse(line->data, line->len, &j, NULL) < 0)
		return;
	const char *type = json_string_value(json_object_get(j, "type"));
	const json_t *step = json_object_get(j, "step");
	struct sg_event ev = {.seq = seq,
		.step = json_is_integer(step) ? json_integer_value(step) : -1,
		.type = type ? type : "",
		.line = line->data,
		.len = line->len,
		.last = ends(type)};
	s->after = (int64_t)seq;
	s->held = !s->cb(s->ctx, &ev);
	json_decref(j);
}

static int tell_entry(struct sg_subscription *s, struct sg_txn *t, const struct sg_span *seqs,
	struct sg_error *err)
{
	for (size_t i = 0; i + 8 <= seqs->len && !s->dead && !s->held; i += 8) {
		const uint8_t *key = (const uint8_t *)seqs->data + i;
		uint64_t seq = sg_be64_read(key);
		struct sg_span line;
		if ((int64_t)seq <= s->after)
			continue;
		int rc = sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, 8), &line, err);
		if (rc < 0)
			return rc;
		if (rc == 0) /* else it is older than the log is kept */
			tell(s, seq, &line);
	}
	return 0;
}

static bool ours(const struct sg_subscription *s, const struct sg_span *key)
{
	size_t n = strlen(s->run_id) + 1;
	return key->len == n + 8 && memcmp(key->data, s->run_id, n) == 0;
}

/* To the entry that may hold the line after s->after. 1 = none. */
static int seek(struct sg_subscription *s, struct sg_cursor *c, struct sg_span *key,
	struct sg_span *val, struct sg_error *err)
{
	uint8_t want[SG_RUN_ID_TEXT + 8];
	size_t n = strlen(s->run_id) + 1;
	memcpy(want, s->run_id, n);
	sg_be64((uint64_t)(s->after + 1), want + n);
	*key = SG_SPAN(want, n + 8);
	int rc = sg_cursor_seek(c, SG_SEEK_GE, key, val, err);
	if (rc < 0)
		return rc;
	/* An earlier entry may reach beyond `after`: a client may stop in the middle of one. */
	rc = sg_cursor_seek(c, rc == 1 ? SG_SEEK_LAST : SG_SEEK_PREV, key, val, err);
	if (rc < 0)
		return rc;
	if (rc == 0 && ours(s, key))
		return 0;
	return rc == 1 ? sg_cursor_seek(c, SG_SEEK_FIRST, key, val, err)
		       : sg_cursor_seek(c, SG_SEEK_NEXT, key, val, err);
}

static int feed(struct sg_subscription *s, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autocursor *c = NULL;
	struct sg_span key, val;
	int rc = sg_txn_begin(s->engine->store, false, &t, err);
	if (rc == 0)
		rc = sg_cursor_open(t, SG_TABLE_RUN_EVENTS, &c, err);
	if (rc == 0)
		rc = seek(s, c, &key, &val, err);
	while (rc == 0 && ours(s, &key) && !s->dead && !s->held) {
		rc = tell_entry(s, t, &val, err);
		if (rc == 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &val, err);
	}
	return rc < 0 ? rc : 0;
}

int sg_events_last(struct sg_txn *t, const char *run_id, json_t **ret, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	uint8_t want[SG_RUN_ID_TEXT + 8];
	size_t n = strlen(run_id) + 1;
	struct sg_span key, val, line;
	memcpy(want, run_id, n);
	memset(want + n, 0xff, 8);
	key = SG_SPAN(want, n + 8);
	int rc = sg_cursor_open(t, SG_TABLE_RUN_EVENTS, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_GE, &key, &val, err);
	if (rc >= 0)
		rc = sg_cursor_seek(c, rc == 1 ? SG_SEEK_LAST : SG_SEEK_PREV, &key, &val, err);
	if (rc != 0 || key.len != n + 8 || memcmp(key.data, run_id, n) != 0 || val.len < 8)
		return rc < 0 ? rc : 0;
	rc = sg_txn_get(
		t, SG_TABLE_AUDIT, SG_SPAN((const uint8_t *)val.data + val.len - 8, 8), &line, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return sg_json_parse(line.data, line.len, ret, err);
}

static void unlink_and_free(struct sg_subscription *s)
{
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	free(s);
}

int sg_engine_subscribe(struct sg_engine *e, const char *run_id, int64_t after,
	sg_event_callback cb, void *ctx, struct sg_subscription **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_span row;
	if (strlen(run_id) >= SG_RUN_ID_TEXT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", run_id);
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_txn_get(t, SG_TABLE_RUN, SG_KEY_TEXT(run_id), &row, err);
	if (rc != 0)
		return rc < 0 ? rc
			      : sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", run_id);
	sg_txn_abort(sg_steal(t));
	struct sg_subscription *s = calloc(1, sizeof(*s));
	if (!s)
		return sg_error_nomem(err);
	*s = (struct sg_subscription){.next = e->subscriptions,
		.prev = &e->subscriptions,
		.engine = e,
		.after = after,
		.cb = cb,
		.ctx = ctx,
		.busy = true};
	(void)snprintf(s->run_id, sizeof(s->run_id), "%s", run_id);
	if (s->next)
		s->next->prev = &s->next;
	e->subscriptions = s;
	*ret = s;
	rc = feed(s, err);
	s->busy = false;
	if (rc < 0 || s->dead) {
		*ret = NULL;
		unlink_and_free(s);
	}
	return rc;
}

void sg_engine_unsubscribe(struct sg_subscription *s)
{
	if (!s)
		return;
	s->dead = true;
	if (!s->busy)
		unlink_and_free(s);
}

void sg_engine_more(struct sg_subscription *s)
{
	s->held = false;
	s->busy = true;
	(void)feed(s, NULL);
	s->busy = false;
	if (s->dead)
		unlink_and_free(s);
}

bool sg_engine_held(const struct sg_subscription *s)
{
	return s && s->held;
}

static bool concerns(const struct sg_subscription *s, const struct batch *b)
{
	for (const struct slot *slot = b->slots; slot; slot = slot->next)
		if (slot->n_events && strcmp(slot->row.run_id, s->run_id) == 0)
			return true;
	return false;
}

void sg_events_deliver(struct sg_engine *e, const struct batch *b)
{
	struct sg_subscription *s, *next;
	for (s = e->subscriptions; s; s = next) {
		s->busy = true;
		if (!s->held && concerns(s, b))
			(void)feed(s, NULL);
		s->busy = false;
		next = s->next;
		if (s->dead)
			unlink_and_free(s);
	}
}
