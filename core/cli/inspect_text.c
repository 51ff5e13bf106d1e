/* See inspect_text.h. */
#include "cli/inspect_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/patch.h"
#include "cli/table.h"

static json_t *parsed(const char *text)
{
	json_t *j = NULL;
	return text && sg_json_parse(text, strlen(text), &j, NULL) == 0 ? j : NULL;
}

/* ---- timeline ---- */

struct timeline {
	struct sg_cli_table table;
	json_t *before; /* owned: the state of the step before */
};

static void next_text(const char *action, char *ret, size_t size)
{
	json_auto_t *j = parsed(action);
	const char *what = sg_json_text(j, "target");
	if (!what)
		what = sg_json_text(j, "reason");
	if (!what)
		what = sg_json_text(j, "prompt");
	(void)snprintf(ret, size, "%s%s%s", sg_json_text_or_empty(j, "kind"),
		what && *what ? " " : "", what ? what : "");
}

static void changes_text(const json_t *before, const json_t *now, struct sg_buf *out)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)now, key, v) {
		sg_autobuf b = SG_BUF_INIT(1U << 20);
		const json_t *was = json_object_get(before, key);
		if (!was || json_equal(was, v) || sg_json_print(v, &b, NULL) < 0)
			continue;
		sg_buf_addf(out, "%s%s = %.60s", out->len ? ", " : "", key, b.data);
	}
}

static int add_step(void *ctx, const struct sg_checkpoint *c)
{
	struct timeline *t = ctx;
	sg_autobuf changes = SG_BUF_INIT(1U << 20);
	json_t *now = parsed(c->state);
	char step[24], ts[SG_TIME_TEXT], next[256];
	(void)snprintf(step, sizeof(step), "%lld", (long long)c->step);
	sg_time_format(c->timestamp_us, ts);
	next_text(c->next_action, next, sizeof(next));
	changes_text(t->before, now, &changes);
	const char *const row[] = {step, ts, c->last_node, next, changes.data};
	sg_table_row(&t->table, row);
	json_decref(t->before);
	t->before = now;
	return 0;
}

int sg_inspect_timeline(struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	static const char *const headings[] = {"STEP", "TIME", "NODE", "NEXT", "CHANGED"};
	struct timeline l = {0};
	sg_table_init(&l.table, SG_ARRAY_LEN(headings), headings);
	int rc = sg_checkpoint_each(t, run_id, add_step, &l, err);
	json_decref(l.before);
	int printed = sg_table_print(&l.table);
	if (rc >= 0 && printed < 0)
		rc = sg_error_set(err, -printed, NULL, "cannot print the steps");
	return rc < 0 ? rc : 0;
}

/* ---- one step ---- */

/* A fact's text without its provenance slots, which stand last; caller frees. */
static char *bare_fact(const char *text)
{
	const char *from = strstr(text, " (_origin ");
	char *bare = NULL;
	return !from							? strdup(text)
	       : asprintf(&bare, "%.*s)", (int)(from - text), text) < 0 ? NULL
									: bare;
}

int sg_inspect_step(const struct sg_checkpoint *c, struct sg_error *err)
{
	static const char *const headings[] = {"FIELD", "VALUE"};
	json_auto_t *state = parsed(c->state);
	json_auto_t *facts = parsed(c->clips_facts);
	struct sg_cli_table t;
	char ts[SG_TIME_TEXT], next[256];
	const char *key;
	json_t *v;
	size_t i;
	sg_time_format(c->timestamp_us, ts);
	next_text(c->next_action, next, sizeof(next));
	(void)printf("%s  step %lld  %s  %s  %s\n\n", c->run_id, (long long)c->step, c->last_node,
		ts, next);
	sg_table_init(&t, SG_ARRAY_LEN(headings), headings);
	json_object_foreach (state, key, v) {
		sg_autobuf b = SG_BUF_INIT(64U << 20);
		(void)sg_json_print(v, &b, NULL);
		const char *const row[] = {key, b.data};
		sg_table_row(&t, row);
	}
	if (sg_table_print(&t) < 0)
		return sg_error_set(err, SG_EIO, NULL, "cannot print the state");
	(void)puts("\nFACTS");
	json_array_foreach (facts, i, v) {
		sg_autofree char *bare = bare_fact(json_string_value(v));
		(void)printf("%s\n", bare ? bare : "");
	}
	return 0;
}

/* ---- two steps ---- */

static json_t *bare_facts(const char *text)
{
	json_auto_t *list = parsed(text);
	json_t *bare = json_array();
	size_t i;
	const json_t *one;
	json_array_foreach (list, i, one) {
		sg_autofree char *fact = bare_fact(json_string_value(one));
		if (fact)
			(void)json_array_append_new(bare, json_string(fact));
	}
	return bare;
}

static json_t *missing(const json_t *from, const json_t *in)
{
	json_t *list = json_array();
	size_t i, k;
	json_t *fact, *other;
	json_array_foreach ((json_t *)(uintptr_t)from, i, fact) {
		bool there = false;
		json_array_foreach ((json_t *)(uintptr_t)in, k, other)
			there = there || json_equal(fact, other);
		if (!there)
			(void)json_array_append(list, fact);
	}
	return list;
}

int sg_inspect_diff(const struct sg_checkpoint *from, const struct sg_checkpoint *to, json_t **ret,
	struct sg_error *err)
{
	json_auto_t *a = parsed(from->state);
	json_auto_t *b = parsed(to->state);
	json_auto_t *before = bare_facts(from->clips_facts);
	json_auto_t *after = bare_facts(to->clips_facts);
	json_t *patch = NULL;
	int rc = sg_json_patch(a, b, &patch, err);
	if (rc < 0)
		return rc;
	*ret = json_pack("{s:o, s:o, s:o}", "facts_added", missing(after, before), "facts_removed",
		missing(before, after), "state", patch);
	return *ret ? 0 : sg_error_nomem(err);
}

static void print_list(const json_t *list, char sign)
{
	size_t i;
	const json_t *one;
	json_array_foreach (list, i, one)
		(void)printf("%c %s\n", sign, json_string_value(one));
}

void sg_inspect_print_diff(const json_t *diff)
{
	size_t i;
	const json_t *op;
	json_array_foreach (json_object_get(diff, "state"), i, op) {
		sg_autobuf b = SG_BUF_INIT(64U << 20);
		const json_t *v = json_object_get(op, "value");
		if (v)
			(void)sg_json_print(v, &b, NULL);
		(void)printf("~ %s %s%s\n", sg_json_text_or_empty(op, "path") + 1,
			v ? "= " : "gone", b.data ? b.data : "");
	}
	print_list(json_object_get(diff, "facts_removed"), '-');
	print_list(json_object_get(diff, "facts_added"), '+');
}
