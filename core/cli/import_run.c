/* One run of the original into the store.
 *
 * Its steps are numbered anew in the order in which they were written: there, numbers begin again
 * when a run is resumed, and a join takes one twice. The original's number, branch and parent are
 * kept in the step's record. Its hashes are kept as they are: they are the original's, computed
 * over less than ours, so no graph of this program has them, and the run is history: it can be
 * looked at, exported to nobody, replayed by nobody (SG_RUN_TEXT_IMPORTED says so). */
#include "cli/import_run.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"

#define TEXT_MAX (256U << 20)

struct walk {
	struct sg_import *x;
	struct sg_txn *t;
	const struct sg_import_graph *graph; /* or NULL */
	char run_id[SG_RUN_ID_TEXT], graph_hash[65];
	int64_t n, first_us, last_us;
	char *parent_run_id, *last_node;
	bool halted;
	char *halt_reason;
};

static void walk_finish(struct walk *w)
{
	free(w->parent_run_id);
	free(w->last_node);
	free(w->halt_reason);
}

static int replace(char **to, const char *text, struct sg_error *err)
{
	char *copy = text ? strdup(text) : NULL;
	if (text && !copy)
		return sg_error_nomem(err);
	free(*to);
	*to = copy;
	return 0;
}

static int json_text(const json_t *v, bool exact, char **ret, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(TEXT_MAX);
	int r = exact ? sg_json_print(v, &b, err) : sg_json_canonical(v, &b, err);
	if (r == 0)
		*ret = sg_buf_take(&b);
	return r < 0 ? r : *ret ? 0 : sg_error_nomem(err);
}

/* The original prints facts as texts, and in its first versions as objects. */
static int facts_text(const json_t *facts, char **ret, struct sg_error *err)
{
	json_auto_t *out = json_array();
	const json_t *one;
	size_t i;
	json_array_foreach (facts, i, one) {
		sg_autobuf b = SG_BUF_INIT(TEXT_MAX);
		if (json_is_string(one)) {
			json_array_append(out, (json_t *)one);
			continue;
		}
		int r = sg_json_canonical(one, &b, err);
		if (r < 0)
			return r;
		json_array_append_new(out, json_stringn(b.data, b.len));
	}
	return json_text(out, false, ret, err);
}

static int origin_text(const struct sg_original_step *s, char **ret, struct sg_error *err)
{
	json_auto_t *v = json_pack("[{s:s, s:I, s:s?, s:I}]", "kind", "imported", "step",
		(json_int_t)s->step, "branch", s->branch_id, "parent_step",
		(json_int_t)s->parent_step);
	return v ? json_text(v, false, ret, err) : sg_error_nomem(err);
}

static int texts(const struct sg_original_step *s, struct sg_checkpoint *c, struct sg_error *err)
{
	int r = json_text(s->state, true, &c->state, err);
	if (r == 0)
		r = facts_text(s->facts, &c->clips_facts, err);
	if (r == 0 && s->next_action)
		r = json_text(s->next_action, false, &c->next_action, err);
	if (r == 0)
		r = origin_text(s, &c->recorded, err);
	if (r == 0)
		r = replace(&c->last_node, s->last_node, err);
	if (r == 0)
		r = replace(&c->parent_run_id, s->parent_run_id, err);
	return r;
}

static int remember(struct walk *w, const struct sg_original_step *s, struct sg_error *err)
{
	const char *kind = sg_json_text(s->next_action, "kind");
	const char *reason = sg_json_text(s->next_action, "reason");
	w->first_us = w->n == 0 || s->timestamp_us < w->first_us ? s->timestamp_us : w->first_us;
	w->last_us = s->timestamp_us > w->last_us ? s->timestamp_us : w->last_us;
	w->halted = kind && strcmp(kind, "halt") == 0;
	w->n++;
	memcpy(w->graph_hash, s->graph_hash, sizeof(w->graph_hash));
	int r = replace(&w->last_node, s->last_node, err);
	if (r == 0 && s->parent_run_id)
		r = replace(&w->parent_run_id, s->parent_run_id, err);
	return r == 0 ? replace(&w->halt_reason, w->halted ? reason : NULL, err) : r;
}

static const struct sg_import_graph *graph_of(const struct sg_import *x, const char *hash)
{
	for (size_t i = 0; i < x->n_graphs; i++)
		if (strcmp(x->graphs[i].hash, hash) == 0)
			return &x->graphs[i];
	return NULL;
}

static int check_node(const struct walk *w, const struct sg_original_step *s, struct sg_error *err)
{
	if (!w->graph || sg_graph_find_node(w->graph->graph, s->last_node) >= 0)
		return 0;
	return sg_error_set(err, SG_EINVALID, "not-its-graph",
		"run %s went through node \"%s\", which the graph given for it (%s) does not have",
		w->run_id, s->last_node, w->graph->graph->id);
}

static int put_step(void *ctx, const struct sg_original_step *s, struct sg_error *err)
{
	struct walk *w = ctx;
	struct sg_checkpoint c = {
		.step = w->n, .parent_step_idx = w->n - 1, .timestamp_us = s->timestamp_us};
	if (w->n == 0)
		w->graph = graph_of(w->x, s->graph_hash);
	int r = check_node(w, s, err);
	if (r < 0)
		return r;
	memcpy(c.run_id, w->run_id, sizeof(c.run_id));
	(void)snprintf(c.graph_hash, sizeof(c.graph_hash), "%s", s->graph_hash);
	(void)snprintf(c.runtime_hash, sizeof(c.runtime_hash), "%s", s->runtime_hash);
	(void)snprintf(
		c.side_effects_hash, sizeof(c.side_effects_hash), "%s", s->side_effects_hash);
	r = texts(s, &c, err);
	if (r == 0)
		r = sg_checkpoint_put(w->t, NULL, &c, err);
	if (r == 0)
		r = remember(w, s, err);
	sg_checkpoint_finish(&c);
	w->x->steps++;
	return r;
}

/* Did the run end on the last node of its file? That is the end of a graph whose rules are silent.
 */
static bool ran_out(const struct walk *w)
{
	const struct sg_graph *g = w->graph ? w->graph->graph : NULL;
	return g && w->last_node && sg_graph_find_node(g, w->last_node) == (int)g->n_nodes - 1;
}

static const struct {
	const char *original;
	enum sg_run_status ours;
} endings[] = {{"done", SG_RUN_DONE}, {"failed", SG_RUN_FAILED}, {"error", SG_RUN_FAILED},
	{"cancelled", SG_RUN_CANCELLED}};

/* What the run is here: ended, whatever it was there; reason says what it was. */
static enum sg_run_status status_of(
	const struct walk *w, const struct sg_original_run *o, char *reason, size_t size)
{
	for (size_t i = 0; o->status && i < SG_ARRAY_LEN(endings); i++) {
		if (strcmp(endings[i].original, o->status) == 0) {
			(void)snprintf(reason, size, "%s", w->halt_reason ? w->halt_reason : "");
			return endings[i].ours;
		}
	}
	if (!o->status && (w->halted || ran_out(w))) {
		(void)snprintf(reason, size, "%s", w->halt_reason ? w->halt_reason : "");
		return SG_RUN_DONE;
	}
	(void)snprintf(reason, size,
		o->status ? "imported: it was \"%.60s\" in the original and cannot go on here"
			  : "imported: the original did not write down how it ended",
		o->status);
	return SG_RUN_CANCELLED;
}

static int put_row(struct walk *w, const struct sg_original_run *o, enum sg_run_status *ret,
	struct sg_error *err)
{
	char reason[512] = "", unknown[32];
	enum sg_run_status status = status_of(w, o, reason, sizeof(reason));
	(void)snprintf(unknown, sizeof(unknown), "original:%.12s", w->graph_hash);
	struct sg_run_row row = {
		.graph_id = w->graph	  ? w->graph->graph->id
			    : o->graph_id ? o->graph_id
					  : unknown,
		.status = status,
		.started_us = o->started_us ? o->started_us : w->first_us,
		.updated_us = w->last_us ? w->last_us : o->finished_us,
		.finished_us = o->finished_us ? o->finished_us : w->last_us,
		.steps = w->n,
		.actor = "imported",
		.trigger_source = "import",
		.parent_run_id = w->parent_run_id ? w->parent_run_id : o->parent_run_id,
		.reason = *reason ? reason : NULL,
		.error_class = o->error_class,
		.error_cause = o->error_cause,
		.params = "{}",
	};
	memcpy(row.run_id, w->run_id, sizeof(row.run_id));
	memcpy(row.graph_hash, w->graph_hash, sizeof(row.graph_hash));
	*ret = status;
	int r = sg_run_put(w->t, &row, err);
	return r < 0 ? r : 0;
}

/* The text that marks the run, and the same as its audit record. */
static int put_mark(struct walk *w, const struct sg_original_run *o, enum sg_run_status status,
	struct sg_error *err)
{
	sg_autobuf key = SG_BUF_INIT(SG_STORE_KEY_MAX), value = SG_BUF_INIT(1U << 20);
	sg_autofree char *text = NULL;
	struct sg_span sealed;
	json_auto_t *mark = json_pack("{s:s, s:s?, s:s, s:i, s:s, s:s, s:I}", "digest", o->digest,
		"original_status", o->status, "graph_hash", w->graph_hash, "schema", w->x->schema,
		"source_sha256", w->x->source_sha256, "status", sg_run_status_name(status), "steps",
		(json_int_t)w->n);
	int r = mark ? json_text(mark, false, &text, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_run_text_pack(w->run_id, SG_RUN_TEXT_IMPORTED, SG_KEY_TEXT(text), &key,
			&value, &sealed, err);
	if (r == 0)
		r = sg_txn_put(
			w->t, SG_TABLE_RUN_INPUT, SG_SPAN(key.data, key.len), sealed, false, err);
	if (r < 0)
		return r;
	struct sg_audit_event e = {.ts_us = sg_clock_utc_us(),
		.actor = "system",
		.type = "run_imported",
		.run_id = w->run_id,
		.step = -1,
		.payload = text,
		.origin = "original",
		.source = "import",
		.confidence = 1.0};
	uint8_t index[SG_RUN_ID_TEXT + 8], *seq = index + strlen(w->run_id) + 1;
	memcpy(index, w->run_id, strlen(w->run_id) + 1);
	sg_be64(sg_audit_next(w->x->audit), seq);
	r = sg_audit_put(w->x->audit, w->t, &e, err);
	return r < 0 ? r
		     : sg_txn_put(w->t, SG_TABLE_RUN_EVENTS, SG_SPAN(index, strlen(w->run_id) + 9),
			       SG_SPAN(seq, 8), false, err);
}

/* 0: not here yet; 1: the same run is; SG_ECONFLICT otherwise. */
static int known(struct sg_txn *t, const char *run_id, const char *digest, struct sg_error *err)
{
	struct sg_span row;
	sg_autofree char *text = NULL;
	json_auto_t *mark = NULL;
	int r = sg_txn_get(t, SG_TABLE_RUN, SG_KEY_TEXT(run_id), &row, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = sg_run_text_get(t, run_id, SG_RUN_TEXT_IMPORTED, &text, err);
	if (r > 0)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"run %s: another run has this id here, one that was not imported", run_id);
	if (r == 0)
		r = sg_json_parse(text, strlen(text), &mark, err);
	if (r < 0)
		return r;
	const char *old = sg_json_text(mark, "digest");
	if (old && strcmp(old, digest) == 0)
		return 1;
	return sg_error_set(err, SG_ECONFLICT, NULL,
		"run %s: it went on in the original since it was imported; what is here stays as "
		"it is",
		run_id);
}

static int put_run(struct walk *w, const struct sg_original_run *o, struct sg_error *err)
{
	enum sg_run_status status = SG_RUN_CANCELLED;
	int r = sg_original_each_step(w->x->from, w->run_id, put_step, w, err);
	if (r == 0)
		r = put_row(w, o, &status, err);
	return r < 0 ? r : put_mark(w, o, status, err);
}

int sg_import_run(struct sg_import *x, struct sg_txn *t, const char *run_id, enum sg_imported *ret,
	struct sg_error *err)
{
	struct sg_original_run o = {0};
	struct walk w = {.x = x, .t = t};
	int r = sg_original_run(x->from, run_id, &o, err);
	if (r < 0)
		return r;
	r = known(t, run_id, o.digest, err);
	if (r == 1) {
		x->steps += (uint64_t)o.steps;
		*ret = SG_IMPORT_KNOWN;
	} else if (r == 0) {
		(void)snprintf(w.run_id, sizeof(w.run_id), "%s", run_id);
		r = put_run(&w, &o, err);
		if (r == 0)
			*ret = SG_IMPORT_DONE;
	}
	walk_finish(&w);
	sg_original_run_finish(&o);
	return r < 0 ? r : 0;
}
