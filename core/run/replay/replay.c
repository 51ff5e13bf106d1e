/* See replay.h: the walk's steps against the record's. */
#include "run/replay/replay.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "run/replay/walk.h"

/* One replay. */
struct compare {
	struct walk walk;
	struct sg_replay_result *res;
	struct sg_sha256 *proof;
	const struct sg_recording *rec; /* whose lines are at hand */
	size_t line;			/* next of them */
	char digest[SG_SHA256_HEX];	/* of the step at hand */
};

int sg_replayer_create(
	struct sg_replayer **ret, const struct sg_engine_options *o, struct sg_error *err)
{
	struct sg_replayer *p = calloc(1, sizeof(*p));
	struct sg_engine_options own = *o;
	if (!p)
		return sg_error_nomem(err);
	own.limits.rule_us = SG_RUN_REPLAY_RULE_US; /* time is no part of a record */
	int rc = sg_engine_create_bare(&p->engine, &own, err);
	if (rc < 0) {
		free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

void sg_replayer_set_limit(struct sg_replayer *p, int64_t us, const _Atomic bool *stop)
{
	p->limit_us = us;
	p->stop = stop;
}

void sg_replayer_destroy(struct sg_replayer *p)
{
	if (!p)
		return;
	sg_engine_destroy(p->engine);
	free(p);
}

/* Only the first difference counts. */
__attribute__((format(printf, 4, 5))) static int differs(
	struct compare *c, const char *axis, int64_t step, const char *fmt, ...)
{
	struct sg_replay_result *r = c->res;
	va_list ap;
	if (!r->identical)
		return 1;
	r->identical = false;
	r->axis = axis;
	r->step = step;
	va_start(ap, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	return 1;
}

/* ---- one text against another ---- */

/* A piece of each, from a little before where they part. */
static void parts(const char *a, const char *b, char *ret, size_t size)
{
	size_t at = 0;
	while (a[at] && a[at] == b[at])
		at++;
	size_t from = at > 24 ? at - 24 : 0;
	while (from && ((unsigned char)a[from] & 0xC0) == 0x80)
		from--;
	(void)snprintf(ret, size, "recorded …%.80s, replayed …%.80s", a + from, b + from);
}

static int state_differs(struct compare *c, const struct sg_checkpoint *was, const char *now)
{
	json_auto_t *a = NULL;
	json_auto_t *b = NULL;
	const char *key;
	json_t *v;
	if (sg_json_parse(was->state, strlen(was->state), &a, NULL) == 0 &&
		sg_json_parse(now, strlen(now), &b, NULL) == 0)
		json_object_foreach (a, key, v)
			if (!json_equal(v, json_object_get(b, key))) {
				sg_autobuf x = SG_BUF_INIT(1U << 20), y = SG_BUF_INIT(1U << 20);
				(void)sg_json_print(v, &x, NULL);
				if (json_object_get(b, key))
					(void)sg_json_print(json_object_get(b, key), &y, NULL);
				return differs(c, "state", was->step,
					"step %lld (%s): the state field \"%s\" was %.200s and is "
					"%.200s",
					(long long)was->step, was->last_node, key,
					x.data ? x.data : "", y.data ? y.data : "missing");
			}
	char text[400];
	parts(was->state, now, text, sizeof(text));
	return differs(c, "state", was->step, "step %lld (%s): the state differs: %s",
		(long long)was->step, was->last_node, text);
}

static int facts_differ(struct compare *c, const struct sg_checkpoint *was, const char *now)
{
	json_auto_t *a = NULL;
	json_auto_t *b = NULL;
	size_t i;
	json_t *v;
	(void)sg_json_parse(was->clips_facts, strlen(was->clips_facts), &a, NULL);
	(void)sg_json_parse(now, strlen(now), &b, NULL);
	json_array_foreach (a, i, v)
		if (!json_equal(v, json_array_get(b, i)))
			return differs(c, "facts", was->step,
				"step %lld (%s): fact f-%zu was %.200s and is %.200s",
				(long long)was->step, was->last_node, i,
				json_is_string(v) ? json_string_value(v) : "no text",
				json_array_get(b, i) ? json_string_value(json_array_get(b, i))
						     : "missing");
	return differs(c, "facts", was->step,
		"step %lld (%s): %zu facts were recorded, there are %zu", (long long)was->step,
		was->last_node, json_array_size(a), json_array_size(b));
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static int compare_step(
	struct compare *c, const struct sg_checkpoint *was, const struct sg_checkpoint *now)
{
	long long n = (long long)was->step;
	if (!same(was->last_node, now->last_node))
		return differs(c, "route", was->step, "step %lld: node %s was executed, and now %s",
			n, was->last_node, now->last_node);
	if (!same(was->state, now->state))
		return state_differs(c, was, now->state);
	if (!same(was->clips_facts, now->clips_facts))
		return facts_differ(c, was, now->clips_facts);
	if (!same(was->next_action, now->next_action))
		return differs(c, "route", was->step,
			"step %lld (%s): the decision was %.300s and is %.300s", n, was->last_node,
			was->next_action ? was->next_action : "to go on",
			now->next_action ? now->next_action : "to go on");
	char text[400];
	parts(was->recorded ? was->recorded : "", now->recorded ? now->recorded : "", text,
		sizeof(text));
	if (!same(was->recorded, now->recorded))
		return differs(c, "recorded", was->step,
			"step %lld (%s): what is recorded beside it differs: %s", n, was->last_node,
			text);
	if (!same(was->side_effects_hash, now->side_effects_hash))
		return differs(c, "hash", was->step,
			"step %lld (%s): side_effects_hash was %s, and is that of %s", n,
			was->last_node, was->side_effects_hash, now->side_effects_hash);
	if (!same(was->graph_hash, now->graph_hash))
		return differs(c, "graph", was->step,
			"step %lld (%s): was recorded of graph %.12s…, not %.12s…", n,
			was->last_node, was->graph_hash, now->graph_hash);
	if (!same(was->branch_id, now->branch_id) || was->parent_step_idx != now->parent_step_idx ||
		!same(was->parent_run_id, now->parent_run_id))
		return differs(c, "hash", was->step,
			"step %lld (%s): its place in the run was recorded otherwise", n,
			was->last_node);
	return 0;
}

static int take_checkpoint(struct compare *c, const struct sg_checkpoint *now)
{
	const struct level *l = &c->walk.level[c->walk.at];
	const struct sg_checkpoint *was = sg_recording_step(l->rec, now->step);
	struct sg_checkpoint own = *now;
	if (!was)
		return differs(c, "outcome", now->step,
			"the recorded run ends before step %lld, and the replay executes %s there",
			(long long)now->step, now->last_node);
	/* Which build recorded it is no matter of the run's; it is told apart. */
	memcpy(own.runtime_hash, was->runtime_hash, sizeof(own.runtime_hash));
	if (strcmp(was->runtime_hash, c->res->runtime) != 0 && c->res->same_build) {
		c->res->same_build = false;
		memcpy(c->res->recorded_runtime, was->runtime_hash, sizeof(was->runtime_hash));
	}
	sg_checkpoint_digest(&own, c->digest);
	sg_sha256_update(c->proof, c->digest, SG_SHA256_HEX - 1);
	c->res->steps++;
	return compare_step(c, was, now);
}

/* ---- audit lines ---- */

/* What the engine writes of a run's own course; all else is about the world around it. */
static bool is_course(const char *type)
{
	static const char *const types[] = {"transition", "waiting_for_input", "bosun_audit",
		"interrupt_timeout", "error", "result", "step_recorded"};
	for (size_t i = 0; type && i < SG_ARRAY_LEN(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static json_t *parse_line(const struct sg_recorded_line *l)
{
	json_t *j = NULL;
	return sg_json_parse(l->text.data, l->text.len, &j, NULL) < 0 ? NULL : j;
}

/* The next line of the run's course; NULL: no more. */
static json_t *next_line(struct compare *c)
{
	while (c->line < c->rec->n_lines) {
		json_t *j = parse_line(&c->rec->lines[c->line++]);
		if (is_course(json_string_value(json_object_get(j, "type"))))
			return j;
		json_decref(j);
	}
	return NULL;
}

/* A redacted member of the log is the hash of what it was. */
static bool redacted(const json_t *was, const json_t *now)
{
	const char *text = json_string_value(was);
	char hash[SG_SHA256_HEX];
	return text && strncmp(text, "sha256:", 7) == 0 && sg_json_hash(now, hash, NULL) == 0 &&
	       strcmp(text + 7, hash) == 0;
}

static bool payload_same(const json_t *was, const json_t *now)
{
	const char *key;
	json_t *v;
	if (json_equal(was, now) || redacted(was, now))
		return true;
	if (!json_is_object(was) || !json_is_object(now) ||
		json_object_size(was) != json_object_size(now))
		return false;
	json_object_foreach ((json_t *)(uintptr_t)was, key, v)
		if (!json_object_get(now, key) || !payload_same(v, json_object_get(now, key)))
			return false;
	return true;
}

static int line_differs(
	struct compare *c, const char *type, int64_t step, const json_t *was, const json_t *now)
{
	const char *rule_was = json_string_value(json_object_get(was, "rule_id")),
		   *rule_now = json_string_value(json_object_get(now, "rule_id"));
	if (strcmp(type, "transition") == 0 && !same(rule_was, rule_now))
		return differs(c, "rule", step,
			"step %lld: the rule \"%s\" decided, and now \"%s\"", (long long)step,
			rule_was ? rule_was : "", rule_now ? rule_now : "");
	const char *hash_was = json_string_value(json_object_get(was, "checkpoint_sha256")),
		   *hash_now = json_string_value(json_object_get(now, "checkpoint_sha256"));
	if (hash_was && hash_now && strcmp(hash_was, hash_now) != 0)
		return differs(c, "hash", step,
			"step %lld: the audit line names the checkpoint %.12s…, the stored one has "
			"%.12s…",
			(long long)step, hash_was, hash_now);
	sg_autobuf a = SG_BUF_INIT(1U << 20), b = SG_BUF_INIT(1U << 20);
	char text[400];
	(void)sg_json_print(was, &a, NULL);
	(void)sg_json_print(now, &b, NULL);
	parts(a.data ? a.data : "", b.data ? b.data : "", text, sizeof(text));
	return differs(c, "line", step, "the audit line %s of step %lld differs: %s", type,
		(long long)step, text);
}

static int take_event(struct compare *c, const struct sg_audit_event *e)
{
	json_auto_t *now = NULL;
	if (!c->rec->n_lines || !is_course(e->type))
		return 0;
	json_auto_t *line = next_line(c);
	const char *type = json_string_value(json_object_get(line, "type"));
	if (!type || strcmp(type, e->type) != 0)
		return differs(c, "line", e->step,
			"after step %lld the audit log has %s%s, and the replay writes %s",
			(long long)c->walk.run->step - 1, type ? "the line " : "no more lines",
			type ? type : "", e->type);
	if (sg_json_parse(e->payload, strlen(e->payload), &now, NULL) < 0)
		return differs(c, "line", e->step, "a line of the replay is damaged");
	const json_t *was = json_object_get(line, "payload");
	if (strcmp(type, "transition") == 0)
		(void)json_object_set_new(now, "checkpoint_sha256", json_string(c->digest));
	return payload_same(was, now) ? 0 : line_differs(c, type, e->step, was, now);
}

/* ---- the walk ---- */

static int seen(void *ctx, const struct item *items, size_t n)
{
	struct compare *c = ctx;
	const struct sg_recording *rec = c->walk.level[c->walk.at].rec;
	if (c->rec != rec) {
		c->rec = rec;
		c->line = 0;
	}
	int stop = 0;
	for (size_t i = 0; !stop && i < n; i++) {
		if (items[i].kind == ITEM_CHECKPOINT)
			stop = take_checkpoint(c, &items[i].checkpoint.c);
		else if (items[i].kind == ITEM_EVENT)
			stop = take_event(c, &items[i].event);
	}
	return stop;
}

/* The open question, but for when it was asked: that is not in the record of a step. */
static bool same_question(const char *was, const char *now)
{
	json_auto_t *a = NULL;
	json_auto_t *b = NULL;
	if (!was || !now)
		return !was && !now;
	if (sg_json_parse(was, strlen(was), &a, NULL) < 0 ||
		sg_json_parse(now, strlen(now), &b, NULL) < 0)
		return false;
	static const char *const times[] = {"since", "deadline"};
	for (size_t i = 0; i < SG_ARRAY_LEN(times); i++) {
		(void)json_object_del(a, times[i]);
		(void)json_object_del(b, times[i]);
	}
	return json_equal(a, b);
}

static int compare_end(struct compare *c, const struct sg_recording *rec)
{
	const struct sg_run_row *was = &rec->row, *now = &c->walk.run->row;
	const struct sg_checkpoint *next = sg_recording_step(rec, c->walk.run->step);
	enum sg_run_status status = c->walk.told_end ? was->status : now->status;
	/* Cancelled or paused while it waited: done to it from outside. */
	if (now->status == SG_RUN_WAITING &&
		(was->status == SG_RUN_CANCELLED || was->status == SG_RUN_PAUSED))
		status = was->status;
	if (next)
		return differs(c, "outcome", next->step,
			"the replay ends (%s) before step %lld, where the recorded run executed "
			"%s%s%s",
			sg_run_status_name(now->status), (long long)next->step, next->last_node,
			now->error_cause ? ": " : "", now->error_cause ? now->error_cause : "");
	if (was->status != status ||
		(status == now->status && (!same(was->error_class, now->error_class) ||
						  !same(was->error_cause, now->error_cause))))
		return differs(c, "outcome", -1,
			"the run was %s%s%.200s, and the replay is %s%s%.200s",
			sg_run_status_name(was->status), was->error_class ? ": " : "",
			was->error_cause ? was->error_cause : "", sg_run_status_name(now->status),
			now->error_class ? ": " : "", now->error_cause ? now->error_cause : "");
	if (status == now->status && status == SG_RUN_DONE && !same(was->reason, now->reason))
		return differs(c, "outcome", -1,
			"the run ended with \"%s\", and the replay with \"%s\"",
			was->reason ? was->reason : "", now->reason ? now->reason : "");
	if (status == SG_RUN_WAITING && !same_question(was->waiting, now->waiting))
		return differs(c, "outcome", -1, "the question the run waits with is another one");
	if (was->steps != c->walk.run->step)
		return differs(c, "outcome", -1, "the run's row counts %lld steps; there are %lld",
			(long long)was->steps, (long long)c->walk.run->step);
	json_auto_t *line = c->rec == rec ? next_line(c) : NULL;
	if (line)
		return differs(c, "line", -1, "the audit log goes on with the line %s",
			json_string_value(json_object_get(line, "type")));
	return 0;
}

static void conclude(struct compare *c, const struct sg_recording *rec)
{
	struct sg_replay_result *r = c->res;
	if (c->walk.missing && !r->identical) {
		r->axis = "missing-record";
		(void)snprintf(r->text, sizeof(r->text), "%s", c->walk.missing_text);
	} else if (c->walk.missing) {
		(void)differs(c, "missing-record", c->walk.run->step, "%s", c->walk.missing_text);
	} else if (r->identical) {
		(void)compare_end(c, rec);
	}
	if (!r->identical && !r->same_build) {
		size_t n = strlen(r->text);
		(void)snprintf(r->text + n, sizeof(r->text) - n,
			"; it was recorded by another version or kernel (runtime %.12s…, this is "
			"%.12s…)",
			r->recorded_runtime, r->runtime);
	}
	sg_utf8_mend(r->text);
}

/* Which of this version's kernels recorded it is not a difference of the version. */
static void set_runtime(struct compare *c, const struct sg_recording *rec)
{
	const char *was = rec->n_steps ? rec->steps[0].runtime_hash : c->walk.engine->runtime_hash;
	struct sg_replay_result *r = c->res;
	memcpy(r->runtime, c->walk.engine->runtime_hash, sizeof(r->runtime));
	if (sg_runtime_known(was))
		memcpy(r->runtime, was, sizeof(r->runtime));
	memcpy(r->recorded_runtime, was, sizeof(r->recorded_runtime));
	r->same_build = true;
}

int sg_replay(struct sg_replayer *p, const struct sg_recording *rec, struct sg_replay_result *ret,
	struct sg_error *err)
{
	struct sg_replay_result res = {.identical = true, .step = -1};
	struct compare c = {.res = &res, .walk = {.engine = p->engine}};
	uint8_t sum[SG_SHA256_BYTES];
	int rc = sg_replayable(rec, err);
	if (rc < 0)
		return rc;
	c.proof = sg_sha256_create();
	if (!c.proof)
		return sg_error_nomem(err);
	c.walk.seen = seen;
	c.walk.ctx = &c;
	set_runtime(&c, rec);
	rc = sg_walk_begin(&c.walk, p, rec, err);
	c.rec = rc == 0 ? c.walk.level[0].rec : rec;
	if (rc == 0)
		rc = sg_walk_run(&c.walk, err);
	if (rc == 0)
		conclude(&c, rec);
	sg_walk_finish(&c.walk);
	sg_sha256_final(c.proof, sum);
	sg_sha256_destroy(c.proof);
	if (rc < 0)
		return rc;
	sg_hex_encode(sum, sizeof(sum), res.proof);
	*ret = res;
	return 0;
}

json_t *sg_replay_json(const struct sg_recording *rec, const struct sg_replay_result *r)
{
	json_t *difference = r->identical ? json_null()
					  : json_pack("{s:s, s:I, s:s}", "axis", r->axis, "step",
						    (json_int_t)r->step, "text", r->text);
	return json_pack("{s:o, s:b, s:s, s:s, s:b, s:s, s:I}", "difference", difference,
		"identical", r->identical, "proof", r->proof, "run_id", rec->row.run_id,
		"same_build", r->same_build, "status", sg_run_status_name(rec->row.status), "steps",
		(json_int_t)r->steps);
}
