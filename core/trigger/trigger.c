/* The set of triggers, and the clock's part: which ticks are due, which were missed. */
#include "trigger/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "trigger/internal.h"

#define NOTE_NAME 96

int sg_triggers_create(struct sg_triggers **ret, struct sg_engine *e, const struct sg_config *c,
	struct sg_error *err)
{
	json_t *list = json_object_get(c->file, "trigger");
	size_t n = json_array_size(list);
	struct sg_triggers *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	t->engine = e;
	t->declared = json_incref(list);
	t->all = calloc(n + 1, sizeof(*t->all));
	int r = !t->all		     ? sg_error_nomem(err)
		: n > SG_TRIGGER_MAX ? sg_error_set(err, SG_ELIMIT, NULL, "more than %d triggers",
					       SG_TRIGGER_MAX)
				     : 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		const json_t *d = json_array_get(list, i);
		r = sg_trigger_declare(t, &t->all[i], d, c, err);
		t->n = i + (r == 0);
		if (r == 0)
			continue;
		sg_trigger_finish(&t->all[i]);
		char pointer[32];
		(void)snprintf(pointer, sizeof(pointer), "/trigger/%zu", i);
		(void)sg_error_prefix(
			err, "trigger \"%s\"", json_string_value(json_object_get(d, "id")));
		(void)sg_config_locate(c, pointer, err);
	}
	if (r < 0) {
		sg_triggers_destroy(t);
		return r;
	}
	*ret = t;
	return 0;
}

void sg_triggers_destroy(struct sg_triggers *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		sg_trigger_finish(&t->all[i]);
	free(t->all);
	json_decref(t->declared);
	free(t);
}

size_t sg_triggers_count(const struct sg_triggers *t)
{
	return t->n;
}

void sg_triggers_get(const struct sg_triggers *t, size_t i, struct sg_trigger_info *ret)
{
	const struct trigger *g = &t->all[i];
	*ret = (struct sg_trigger_info){.id = g->id,
		.graph_id = g->graph_id,
		.schedule = g->schedule,
		.missed = g->kind == SG_TRIGGER_CRON ? sg_trigger_missed[g->missed] : NULL,
		.kind = g->kind,
		.last = g->last,
		.next = g->next,
		.source = g->source,
		.body_bytes = g->body_bytes};
}

int sg_triggers_find(const struct sg_triggers *t, const char *id)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->all[i].id, id) == 0)
			return (int)i;
	return -1;
}

/* -- ticks ---------------------------------------------------------------------------------- */

static void note_name(const struct trigger *g, char ret[NOTE_NAME])
{
	(void)snprintf(ret, NOTE_NAME, "trigger.%s", g->id);
}

/* All ticks up to this one have been dealt with: durable with the batch that has their runs, or a
 * later one. Should it get lost, they are fired again under the same keys, which changes nothing.
 */
static int settle(struct sg_triggers *t, struct trigger *g, int64_t tick, struct sg_error *err)
{
	char name[NOTE_NAME], text[SG_TIME_TEXT];
	note_name(g, name);
	sg_time_format(tick * 1000000, text);
	int r = sg_engine_note_put(t->engine, name, text, err);
	if (r < 0)
		return r;
	g->last = tick;
	g->next = sg_cron_next(&g->cron, tick);
	return 0;
}

static void record(struct sg_triggers *t, const struct trigger *g, const char *kind,
	const char *run_id, int64_t tick, json_t *more)
{
	char text[SG_TIME_TEXT];
	sg_time_format(tick * 1000000, text);
	json_t *p = json_pack("{s:s, s:s, s:s}", "kind", kind, "trigger", g->id, "tick", text);
	if (p && more)
		(void)json_object_update(p, more);
	if (p)
		(void)sg_engine_audit(t->engine, g->actor, "trigger", run_id, p, NULL, NULL, NULL);
	json_decref(p);
	json_decref(more);
}

/* The run of one tick; the tick is its key. SG_EBUSY, SG_ENOSPACE: to be tried again. Any other
 * failure is recorded: the next tick may do better. */
static int fire(struct sg_triggers *t, struct trigger *g, int64_t tick, struct sg_error *err)
{
	char key[SG_TIME_TEXT], run_id[SG_RUN_ID_TEXT];
	const struct sg_caller who = {.actor = g->actor, .trigger_source = g->source};
	sg_time_format(tick * 1000000, key);
	int r = sg_engine_start(
		t->engine, g->graph_id, g->params, false, &who, key, NULL, NULL, NULL, run_id, err);
	if (r == 0)
		record(t, g, "fired", run_id, tick, NULL);
	if (r >= 0)
		return 0;
	if (err->code == SG_EBUSY || err->code == SG_ENOSPACE || err->code == SG_EIO)
		return r;
	sg_log(SG_LOG_ERROR, "trigger %s: the tick %s started no run: %s", g->id, key, err->text);
	record(t, g, "failed", NULL, tick, json_pack("{s:s}", "detail", err->text));
	return 0;
}

/* The newest ticks in (g->last, until], newest first; at most `room`. */
static size_t ticks_before(const struct trigger *g, int64_t until, int64_t *ret, size_t room)
{
	size_t n = 0;
	for (int64_t at = until + 1; n < room; n++) {
		at = sg_cron_previous(&g->cron, at);
		if (at <= g->last || at < 0)
			break;
		ret[n] = at;
	}
	return n;
}

/* Ticks that nobody was there for. */
static int catch_up(struct sg_triggers *t, struct trigger *g, int64_t until, struct sg_error *err)
{
	int64_t ticks[SG_TRIGGER_MAX_MISSED + 1];
	size_t n = ticks_before(g, until, ticks, SG_ARRAY_LEN(ticks)), run = 0;
	if (n == 0)
		return 0;
	if (g->missed != MISSED_SKIP)
		run = g->missed == MISSED_RUN_ONCE ? 1
		      : n > SG_TRIGGER_MAX_MISSED  ? SG_TRIGGER_MAX_MISSED
						   : n;
	for (size_t i = run; i-- > 0;) { /* oldest first */
		int r = fire(t, g, ticks[i], err);
		if (r == 0)
			r = settle(t, g, ticks[i], err);
		if (r < 0)
			return r;
	}
	if (n > run)
		record(t, g, "missed", NULL, ticks[0],
			json_pack("{s:s, s:I, s:b}", "policy", sg_trigger_missed[g->missed],
				"ticks", (json_int_t)(n - run), "more", n > SG_TRIGGER_MAX_MISSED));
	return run ? 0 : settle(t, g, ticks[0], err);
}

static int begin_one(struct sg_triggers *t, struct trigger *g, int64_t now, struct sg_error *err)
{
	char name[NOTE_NAME], text[SG_TIME_TEXT] = "";
	int64_t us;
	note_name(g, name);
	int r = sg_engine_note_get(t->engine, name, text, sizeof(text), err);
	if (r < 0)
		return r;
	if (r > 0 || sg_time_parse(text, strlen(text), &us) < 0) {
		/* Its time begins now, also when that cannot be noted yet. */
		g->last = now;
		g->next = sg_cron_next(&g->cron, now);
		return settle(t, g, now, err);
	}
	g->last = us / 1000000;
	g->next = sg_cron_next(&g->cron, g->last);
	return catch_up(t, g, now, err);
}

int sg_triggers_begin(struct sg_triggers *t, int64_t now, struct sg_error *err)
{
	for (size_t i = 0; i < t->n; i++) {
		struct trigger *g = &t->all[i];
		if (g->kind != SG_TRIGGER_CRON)
			continue;
		int r = begin_one(t, g, now, err);
		if (r < 0 && err->code != SG_EBUSY && err->code != SG_ENOSPACE)
			return r; /* busy: the ticks are still due, the loop tries again */
	}
	return 0;
}

static int tick_one(struct sg_triggers *t, struct trigger *g, int64_t now, struct sg_error *err)
{
	int r = 0;
	if (g->next + SG_TRIGGER_LATE_S < now)
		r = catch_up(t, g, now - SG_TRIGGER_LATE_S, err);
	while (r == 0 && g->next >= 0 && g->next <= now) {
		r = fire(t, g, g->next, err);
		if (r == 0)
			r = settle(t, g, g->next, err);
	}
	return r;
}

void sg_triggers_tick(struct sg_triggers *t, int64_t now)
{
	struct sg_error err;
	if (now < t->wait_until && now + SG_TRIGGER_RETRY_S >= t->wait_until)
		return;
	for (size_t i = 0; i < t->n; i++) {
		struct trigger *g = &t->all[i];
		if (g->kind == SG_TRIGGER_CRON && g->next >= 0 && g->next <= now &&
			tick_one(t, g, now, &err) < 0) {
			sg_log(SG_LOG_WARNING, "trigger %s waits: %s", g->id, err.text);
			t->wait_until = now + SG_TRIGGER_RETRY_S;
			return;
		}
	}
}

int sg_triggers_timeout_ms(const struct sg_triggers *t, int64_t now_us)
{
	int64_t least = -1;
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i].next >= 0 && (least < 0 || t->all[i].next < least))
			least = t->all[i].next;
	if (least < 0)
		return -1;
	int64_t ms = (least * 1000000 - now_us) / 1000 + 1;
	int64_t floor_ms = least < t->wait_until ? 100 : 0;
	return ms < floor_ms ? (int)floor_ms : ms > 60000 ? 60000 : (int)ms;
}
