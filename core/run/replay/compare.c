/* See compare.h. */
#include "run/replay/compare.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/patch.h"
#include "base/utf8.h"
#include "run/replay/firings.h"
#include "run/replay/walk.h"

enum axis { GRAPH, PACK, INPUT, MUTATION, OUTSIDE, ANSWER, STATE, FACTS, ROUTE, HASH, N_AXES };
static const char *const axis_names[N_AXES] = {"graph", "pack", "input", "mutation", "outside",
	"answer", "state", "facts", "route", "hash"};

/* One run as it is compared: a fork's steps before its own are its parent's. */
struct side {
	const struct sg_recording *rec;
	struct sg_fork fork; /* rec->fork, or all zero */
	int64_t end;	     /* number after its last step */
};

struct comparison {
	struct sg_replayer *replayer;
	const struct sg_compare_options *options;
	struct side a, b;
	unsigned whole; /* axes of the runs as a whole, a bit each */
	int64_t first, route;
	unsigned first_axes;
	json_t *steps;
	size_t bytes;
	int64_t left_off;
	struct sg_error *err;
};

static unsigned bit(enum axis a)
{
	return 1U << a;
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static json_t *parsed(const char *text)
{
	json_t *j = NULL;
	return text && sg_json_parse(text, strlen(text), &j, NULL) == 0 ? j : NULL;
}

/* ---- the sides ---- */

static int side_init(struct side *s, const struct sg_recording *rec, struct sg_error *err)
{
	*s = (struct side){.rec = rec};
	if (rec->fork && sg_fork_parse(rec->fork, &s->fork, err) < 0)
		return -err->code;
	s->end = rec->n_steps ? rec->steps[rec->n_steps - 1].step + 1
		 : rec->fork  ? s->fork.first
			      : 0;
	return 0;
}

static const struct sg_checkpoint *step_of(const struct side *s, int64_t n)
{
	const struct sg_checkpoint *c = n < s->end ? sg_recording_step(s->rec, n) : NULL;
	if (c || !s->rec->fork || n >= s->fork.first)
		return c;
	for (const struct sg_recording *p = s->rec->parent; p && !c; p = p->parent)
		c = sg_recording_step(p, n);
	return c;
}

static bool is_own(const struct side *s, int64_t n)
{
	return s->rec->fork && n >= s->fork.first;
}

/* ---- the runs as a whole ---- */

static const struct sg_recorded_graph *graph_of(const struct side *s)
{
	return sg_recording_graph(s->rec, s->rec->row.graph_hash);
}

static json_t *document_of(const struct side *s)
{
	const struct sg_recorded_graph *g = graph_of(s);
	json_t *whole = NULL;
	if (!g || !g->document.data ||
		sg_json_parse(g->document.data, g->document.len, &whole, NULL) < 0)
		return NULL;
	json_t *without = sg_document_without_mounts(whole);
	json_decref(whole);
	return without;
}

/* id, version and hash of each pack, without where it is kept. */
static json_t *packs_of(const struct side *s)
{
	const struct sg_recorded_graph *g = graph_of(s);
	json_t *list = g && g->packs ? json_deep_copy(g->packs) : json_array();
	size_t i;
	json_t *one;
	json_array_foreach (list, i, one)
		(void)json_object_del(one, "blob");
	return list;
}

static void compare_whole(struct comparison *c)
{
	json_auto_t *da = document_of(&c->a);
	json_auto_t *db = document_of(&c->b);
	json_auto_t *pa = packs_of(&c->a);
	json_auto_t *pb = packs_of(&c->b);
	if (same(c->a.rec->row.graph_hash, c->b.rec->row.graph_hash))
		c->whole = 0;
	else if (!da || !db || !json_equal(da, db))
		c->whole |= bit(GRAPH);
	if (!json_equal(pa, pb))
		c->whole |= bit(PACK);
	if (!same(c->a.rec->row.params, c->b.rec->row.params))
		c->whole |= bit(INPUT);
}

/* ---- one step ---- */

/* What is recorded beside the step: what came from outside, or what people said. */
static json_t *recorded_of(const struct sg_checkpoint *c, enum axis which)
{
	json_auto_t *list = c ? parsed(c->recorded) : NULL;
	json_t *some = json_array();
	size_t i;
	json_t *one;
	json_array_foreach (list, i, one) {
		const char *kind = sg_json_text_or_empty(one, "kind");
		enum axis axis = same(kind, "answer") || same(kind, "timeout")	 ? ANSWER
				 : same(kind, "override")			 ? MUTATION
				 : same(kind, "carried") || same(kind, "frames") ? N_AXES
										 : OUTSIDE;
		if (axis != which)
			continue;
		json_t *said = json_copy(one);
		(void)json_object_del(said, "inherited"); /* it is the same answer */
		(void)json_array_append_new(some, said);
	}
	return some;
}

static bool recorded_differs(
	const struct sg_checkpoint *a, const struct sg_checkpoint *b, enum axis which)
{
	if (same(a->recorded, b->recorded))
		return false;
	json_auto_t *x = recorded_of(a, which);
	json_auto_t *y = recorded_of(b, which);
	return !json_equal(x, y);
}

/* The facts without the run's own id and the times in their provenance, which always differ. */
static json_t *facts_of(const struct sg_checkpoint *c)
{
	json_t *list = parsed(c->clips_facts);
	size_t i;
	json_t *one;
	json_array_foreach (list, i, one) {
		sg_autobuf b = SG_BUF_INIT(16U << 20);
		const char *text = json_string_value(one);
		for (const char *at = text; at && *at;) {
			static const char stamp[] = "(_timestamp \"";
			size_t n = strlen(c->run_id);
			if (strncmp(at, c->run_id, n) == 0) {
				at += n;
			} else if (strncmp(at, stamp, sizeof(stamp) - 1) == 0) {
				at += sizeof(stamp) - 1;
				at += strcspn(at, "\"");
			} else {
				sg_buf_addc(&b, *at++);
			}
		}
		if (b.data && !b.failed)
			(void)json_array_set_new(list, i, json_stringn(b.data, b.len));
	}
	return list;
}

static bool facts_differ(const struct sg_checkpoint *a, const struct sg_checkpoint *b)
{
	if (same(a->clips_facts, b->clips_facts))
		return false;
	json_auto_t *x = facts_of(a);
	json_auto_t *y = facts_of(b);
	return !json_equal(x, y);
}

/* Does a mutation of this fork take effect in this step, beside what is recorded there? */
static bool mutates(const struct side *s, int64_t n)
{
	static const char *const fields[] = {"state_overrides", "facts_assert", "facts_retract"};
	for (size_t i = 0; is_own(s, n) && n == s->fork.step && i < SG_ARRAY_LEN(fields); i++)
		if (json_object_get(s->fork.mutation, fields[i]))
			return true;
	return false;
}

/* Forks that are mutated alike differ in nothing by that. */
static bool mutation_differs(
	const struct comparison *c, const struct sg_checkpoint *a, const struct sg_checkpoint *b)
{
	bool in_a = mutates(&c->a, a->step), in_b = mutates(&c->b, b->step);
	if (recorded_differs(a, b, MUTATION) || in_a != in_b)
		return true;
	return in_a && !json_equal(c->a.fork.mutation, c->b.fork.mutation);
}

static bool hash_differs(
	const struct comparison *c, const struct sg_checkpoint *a, const struct sg_checkpoint *b)
{
	/* An answer that was taken over is marked as such, and so hashed. */
	if (!same(a->side_effects_hash, b->side_effects_hash) && same(a->recorded, b->recorded))
		return true;
	return !same(a->graph_hash, b->graph_hash) && !(c->whole & (bit(GRAPH) | bit(PACK))) &&
	       !is_own(&c->a, a->step) && !is_own(&c->b, b->step);
}

static unsigned axes_of(
	const struct comparison *c, const struct sg_checkpoint *a, const struct sg_checkpoint *b)
{
	unsigned axes = 0;
	if (a == b)
		return 0; /* the same step of a common parent */
	if (!a || !b)
		return bit(ROUTE);
	if (mutation_differs(c, a, b))
		axes |= bit(MUTATION);
	if (recorded_differs(a, b, OUTSIDE))
		axes |= bit(OUTSIDE);
	if (recorded_differs(a, b, ANSWER))
		axes |= bit(ANSWER);
	if (!same(a->state, b->state))
		axes |= bit(STATE);
	if (facts_differ(a, b))
		axes |= bit(FACTS);
	if (!same(a->last_node, b->last_node) || !same(a->next_action, b->next_action))
		axes |= bit(ROUTE);
	if (hash_differs(c, a, b))
		axes |= bit(HASH);
	return axes;
}

static json_t *names_of(unsigned axes)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < N_AXES; i++)
		if (axes & (1U << i))
			(void)json_array_append_new(list, json_string(axis_names[i]));
	return list;
}

static json_t *node_json(const struct sg_checkpoint *c)
{
	return c ? json_string(c->last_node) : json_null();
}

/* What the patches take is bounded by the texts that they are made of. */
static bool has_room(
	struct comparison *c, const struct sg_checkpoint *a, const struct sg_checkpoint *b)
{
	c->bytes += (a ? strlen(a->state) + strlen(a->clips_facts) : 0) +
		    (b ? strlen(b->state) + strlen(b->clips_facts) : 0);
	size_t max = c->options->max_steps;
	return c->bytes <= SG_COMPARE_BYTES && (!max || json_array_size(c->steps) < max);
}

static int list_step(struct comparison *c, int64_t n, const struct sg_checkpoint *a,
	const struct sg_checkpoint *b, unsigned axes)
{
	if (!has_room(c, a, b)) {
		c->left_off++;
		return 0;
	}
	json_auto_t *ja = a ? sg_checkpoint_json(a) : NULL;
	json_auto_t *jb = b ? sg_checkpoint_json(b) : NULL;
	json_t *patch = NULL;
	int rc = sg_json_patch(ja, jb, &patch, c->err);
	if (rc < 0)
		return rc;
	json_t *one = json_pack("{s:o, s:o, s:o, s:o, s:I}", "axes", names_of(axes), "node_a",
		node_json(a), "node_b", node_json(b), "patch", patch, "step", (json_int_t)n);
	return one && json_array_append_new(c->steps, one) == 0 ? 0 : sg_error_nomem(c->err);
}

static int compare_steps(struct comparison *c)
{
	int64_t end = c->a.end > c->b.end ? c->a.end : c->b.end;
	for (int64_t n = 0; n < end; n++) {
		const struct sg_checkpoint *a = step_of(&c->a, n), *b = step_of(&c->b, n);
		unsigned axes = axes_of(c, a, b);
		if (!axes)
			continue;
		if (c->first < 0) {
			c->first = n;
			c->first_axes = axes;
		}
		if (c->route < 0 && a && b && !same(a->next_action, b->next_action))
			c->route = n;
		int rc = list_step(c, n, a, b, axes);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the route ---- */

/* The facts that fired the rule which decided; new. */
static json_t *deciding_facts(const json_t *told)
{
	const char *rule = sg_json_text_or_empty(told, "decided_by");
	size_t i;
	const json_t *one;
	json_array_foreach (json_object_get(told, "fired"), i, one)
		if (*rule && same(sg_json_text(one, "rule"), rule))
			return json_incref(json_object_get(one, "facts"));
	return json_array();
}

static json_t *rules_of(const json_t *told)
{
	json_t *list = json_array();
	size_t i;
	const json_t *one;
	json_array_foreach (json_object_get(told, "fired"), i, one)
		(void)json_array_append(list, json_object_get(one, "rule"));
	return list;
}

static json_t *route_of(struct comparison *c, const struct side *s, int64_t n)
{
	const struct sg_checkpoint *at = step_of(s, n);
	struct sg_error why = {0};
	json_auto_t *told = NULL;
	json_t *decision = parsed(at->next_action);
	if (sg_firings_at(c->replayer, s->rec, n, &told, &why) < 0)
		told = NULL;
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "decided_by",
		told ? sg_json_text_or_empty(told, "decided_by") : "", "decision",
		decision ? decision : json_null(), "facts", deciding_facts(told), "fired",
		rules_of(told), "node", at->last_node, "not_told",
		told ? json_null() : json_string(why.text));
}

/* "goto high", "halt no", "to go on" */
static void decision_text(const json_t *side, char *ret, size_t size)
{
	const json_t *d = json_object_get(side, "decision");
	const char *what = sg_json_text(d, "target");
	if (!what)
		what = sg_json_text(d, "reason");
	if (!what)
		what = sg_json_text(d, "prompt");
	(void)snprintf(ret, size, "%.20s%s%.100s",
		json_is_object(d) ? sg_json_text_or_empty(d, "kind") : "go on",
		what && *what ? " " : "", what ? what : "");
	sg_utf8_mend(ret);
}

static void rule_text(const json_t *side, char *ret, size_t size)
{
	const char *rule = sg_json_text_or_empty(side, "decided_by");
	if (!json_is_null(json_object_get(side, "not_told")))
		(void)snprintf(ret, size, "by a rule that is not known");
	else if (*rule)
		(void)snprintf(ret, size, "by rule %.150s", rule);
	else
		(void)snprintf(ret, size, "without a rule");
	sg_utf8_mend(ret);
}

static json_t *route_json(struct comparison *c)
{
	char da[140], db[140], ra[200], rb[200], text[1200];
	if (c->route < 0)
		return json_null();
	json_t *a = route_of(c, &c->a, c->route), *b = route_of(c, &c->b, c->route);
	decision_text(a, da, sizeof(da));
	decision_text(b, db, sizeof(db));
	rule_text(a, ra, sizeof(ra));
	rule_text(b, rb, sizeof(rb));
	(void)snprintf(text, sizeof(text), "after step %lld (%.200s): a %s %s, b %s %s",
		(long long)c->route, sg_json_text_or_empty(a, "node"), da, ra, db, rb);
	sg_utf8_mend(text);
	return json_pack(
		"{s:o, s:o, s:I, s:s}", "a", a, "b", b, "step", (json_int_t)c->route, "text", text);
}

/* ---- what parts them ---- */

static void state_text(
	const struct sg_checkpoint *a, const struct sg_checkpoint *b, struct sg_buf *out)
{
	json_auto_t *x = parsed(a->state);
	json_auto_t *y = parsed(b->state);
	const char *key;
	json_t *v;
	sg_buf_adds(out, "the state differs in");
	json_object_foreach (x, key, v)
		if (!json_equal(v, json_object_get(y, key)))
			sg_buf_addf(out, " %s", key);
	json_object_foreach (y, key, v)
		if (!json_object_get(x, key))
			sg_buf_addf(out, " %s", key);
}

static void packs_text(const struct side *s, struct sg_buf *out)
{
	json_auto_t *packs = packs_of(s);
	size_t i;
	const json_t *one;
	json_array_foreach (packs, i, one)
		sg_buf_addf(out, "%s%s %s", i ? ", " : "", sg_json_text_or_empty(one, "id"),
			sg_json_text_or_empty(one, "version"));
	if (!i)
		sg_buf_adds(out, "no packs");
}

static void step_text(struct comparison *c, enum axis axis, struct sg_buf *out)
{
	const struct sg_checkpoint *a = step_of(&c->a, c->first), *b = step_of(&c->b, c->first);
	if (!a || !b) {
		sg_buf_addf(out, "run %s has no step %lld", a ? "b" : "a", (long long)c->first);
		return;
	}
	switch (axis) {
	case MUTATION:
		sg_buf_adds(out, "the fork's mutation: ");
		(void)sg_json_canonical(
			mutates(&c->a, c->first) ? c->a.fork.mutation : c->b.fork.mutation, out,
			NULL);
		return;
	case OUTSIDE:
		sg_buf_addf(out, "another result from outside for node %s", b->last_node);
		return;
	case ANSWER: sg_buf_addf(out, "another answer to node %s", a->last_node); return;
	case STATE: state_text(a, b, out); return;
	case FACTS: sg_buf_adds(out, "the facts differ"); return;
	case ROUTE:
		sg_buf_addf(out, "a executed %s and b %s, and went on differently", a->last_node,
			b->last_node);
		return;
	case HASH: sg_buf_adds(out, "the recorded hashes differ"); return;
	case GRAPH:
	case PACK:
	case INPUT:
	case N_AXES: break;
	}
}

static enum axis lowest(unsigned axes)
{
	enum axis a = GRAPH;
	while (a < N_AXES && !(axes & bit(a)))
		a++;
	return a;
}

static json_t *first_json(struct comparison *c)
{
	enum axis axis = lowest(c->whole ? c->whole : c->first_axes);
	sg_autobuf text = SG_BUF_INIT(1U << 20);
	if (axis == N_AXES)
		return json_null();
	if (axis == GRAPH) {
		sg_buf_adds(&text, "they are of different graphs");
	} else if (axis == INPUT) {
		sg_buf_adds(&text, "they were started with other parameters");
	} else if (axis == PACK) {
		sg_buf_adds(&text, "a has ");
		packs_text(&c->a, &text);
		sg_buf_adds(&text, ", b ");
		packs_text(&c->b, &text);
	} else {
		step_text(c, axis, &text);
	}
	if (text.data && text.len > SG_COMPARE_TEXT)
		text.data[SG_COMPARE_TEXT] = '\0';
	if (text.data)
		sg_utf8_mend(text.data);
	return json_pack("{s:s, s:I, s:s}", "axis", axis_names[axis], "step", (json_int_t)c->first,
		"text", text.data ? text.data : "");
}

/* ---- all of it ---- */

static json_t *row_json(const struct side *s)
{
	const struct sg_run_row *r = &s->rec->row;
	return json_pack("{s:s?, s:s, s:s, s:s?, s:s?, s:s, s:s, s:I}", "error", r->error_cause,
		"graph_hash", r->graph_hash, "graph_id", r->graph_id, "parent_run_id",
		r->parent_run_id, "reason", r->reason, "run_id", r->run_id, "status",
		sg_run_status_name(r->status), "steps", (json_int_t)s->end);
}

static bool ended_alike(const struct comparison *c)
{
	const struct sg_run_row *a = &c->a.rec->row, *b = &c->b.rec->row;
	return a->status == b->status && same(a->reason, b->reason) &&
	       same(a->error_class, b->error_class);
}

static int final_patch(struct comparison *c, json_t **ret)
{
	const struct sg_checkpoint *a = step_of(&c->a, c->a.end - 1),
				   *b = step_of(&c->b, c->b.end - 1);
	json_auto_t *x = a ? parsed(a->state) : NULL;
	json_auto_t *y = b ? parsed(b->state) : NULL;
	return sg_json_patch(x, y, ret, c->err);
}

static int conclude(struct comparison *c, json_t **ret)
{
	json_t *patch = NULL;
	int rc = final_patch(c, &patch);
	if (rc < 0)
		return rc;
	*ret = json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:o, s:O}", "a", row_json(&c->a),
		"axes", names_of(c->whole), "b", row_json(&c->b), "final_patch", patch, "first",
		first_json(c), "identical", !c->whole && c->first < 0 && ended_alike(c), "left_off",
		(json_int_t)c->left_off, "route", route_json(c), "steps", c->steps);
	return *ret ? 0 : sg_error_nomem(c->err);
}

int sg_compare(struct sg_replayer *p, const struct sg_recording *a, const struct sg_recording *b,
	const struct sg_compare_options *o, json_t **ret, struct sg_error *err)
{
	struct comparison c = {.replayer = p,
		.options = o,
		.first = -1,
		.route = -1,
		.steps = json_array(),
		.err = err};
	int rc = c.steps ? side_init(&c.a, a, err) : sg_error_nomem(err);
	if (rc == 0)
		rc = side_init(&c.b, b, err);
	if (rc == 0) {
		compare_whole(&c);
		rc = compare_steps(&c);
	}
	if (rc == 0)
		rc = conclude(&c, ret);
	json_decref(c.steps);
	sg_fork_finish(&c.a.fork);
	sg_fork_finish(&c.b.fork);
	return rc;
}
