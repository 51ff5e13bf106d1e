/* Runs as JSON, and who may see them. Texts that are canonical JSON already (state, params, the
 * open interrupt) are copied, not parsed. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "base/clock.h"
#include "base/json.h"

static void put_time(struct sg_buf *b, const char *key, int64_t us)
{
	char text[SG_TIME_TEXT];
	if (us)
		sg_time_format(us, text);
	sg_buf_add_json_member(b, key, us ? text : NULL);
}

static void put_raw(struct sg_buf *b, const char *key, const char *json)
{
	sg_buf_add(b, ",\"", 2);
	sg_buf_adds(b, key);
	sg_buf_add(b, "\":", 2);
	sg_buf_adds(b, json ? json : "null");
}

static void put_members(struct sg_buf *b, const struct sg_run_row *r)
{
	sg_buf_adds(b, "\"run_id\":");
	sg_buf_add_json_string(b, r->run_id, strlen(r->run_id));
	sg_buf_add_json_member(b, "status", sg_run_status_name(r->status));
	sg_buf_add_json_member(b, "graph_id", r->graph_id);
	sg_buf_add_json_member(b, "graph_hash", r->graph_hash);
	sg_buf_add_json_member(b, "trigger_source", r->trigger_source);
	sg_buf_add_json_member(b, "actor", r->actor);
	put_time(b, "started_at", r->started_us);
	put_time(b, "last_step_at", r->updated_us);
	put_time(b, "finished_at", r->finished_us);
	if (r->finished_us)
		sg_buf_addf(b, ",\"duration_ms\":%lld",
			(long long)((r->finished_us - r->started_us) / 1000));
	else
		put_raw(b, "duration_ms", NULL);
	sg_buf_addf(b, ",\"steps\":%lld", (long long)r->steps);
	sg_buf_add_json_member(b, "parent_run_id", r->parent_run_id);
	sg_buf_add_json_member(b, "reason", r->reason);
	sg_buf_add_json_member(b, "error_class", r->error_class);
	sg_buf_add_json_member(b, "error_cause", r->error_cause);
	put_raw(b, "waiting", r->waiting);
}

void sg_put_row(struct sg_buf *b, const struct sg_run_row *row)
{
	sg_buf_addc(b, '{');
	put_members(b, row);
	sg_buf_addc(b, '}');
}

void sg_put_run(struct sg_buf *b, const struct sg_run_view *v)
{
	sg_buf_addc(b, '{');
	put_members(b, &v->row);
	put_raw(b, "params", v->row.params);
	sg_buf_adds(b, ",\"path\":");
	if (v->path)
		(void)sg_json_canonical(v->path, b, NULL);
	else
		sg_buf_adds(b, "[]");
	put_raw(b, "state", v->state);
	sg_buf_addc(b, '}');
}

char *sg_run_waiting_capability(const struct sg_run_row *row)
{
	json_t *w;
	if (!row->waiting || sg_json_parse(row->waiting, strlen(row->waiting), &w, NULL) < 0)
		return NULL;
	const char *name = json_string_value(json_object_get(w, "capability"));
	char *copy = name && *name ? strdup(name) : NULL;
	json_decref(w);
	return copy;
}

static bool may_answer(const struct sg_identity *id, const struct sg_run_row *row)
{
	if (row->status != SG_RUN_WAITING || !sg_identity_has(id, "runs:respond"))
		return false;
	char *needed = sg_run_waiting_capability(row);
	bool may = !needed || sg_identity_has(id, needed);
	free(needed);
	return may;
}

bool sg_run_visible(const struct sg_identity *id, const struct sg_run_row *row)
{
	return (row->actor && strcmp(row->actor, id->actor) == 0) ||
	       sg_identity_has(id, "runs:read:all") || may_answer(id, row);
}
