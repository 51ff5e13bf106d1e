/* A run's record read from the store. */
#include "run/replay/recording.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "run/internal.h"

void sg_recording_destroy(struct sg_recording *r)
{
	if (!r)
		return;
	sg_run_row_finish(&r->row);
	for (size_t i = 0; i < r->n_steps; i++)
		sg_checkpoint_finish(&r->steps[i]);
	for (size_t i = 0; i < r->n_graphs; i++) {
		struct sg_recorded_graph *g = &r->graphs[i];
		for (size_t k = 0; k < g->n_packs; k++)
			free(g->pack[k].data);
		free(g->pack);
		free(g->document.data);
		json_decref(g->packs);
	}
	for (size_t i = 0; i < r->n_lines; i++)
		free(r->lines[i].text.data);
	free(r->steps);
	free(r->graphs);
	free(r->lines);
	free(r->last);
	free(r->fork);
	sg_recording_destroy(r->parent); /* at most SG_RECORDING_PARENTS deep */
	free(r);
}

static int copy(struct sg_span s, struct sg_recorded_text *ret, struct sg_error *err)
{
	ret->data = malloc(s.len + 1);
	if (!ret->data)
		return sg_error_nomem(err);
	memcpy(ret->data, s.data, s.len);
	ret->data[s.len] = '\0';
	ret->len = s.len;
	return 0;
}

/* ---- steps ---- */

struct steps {
	struct sg_recording *r;
	size_t cap;
	int failed;
};

static int take_step(void *ctx, const struct sg_checkpoint *c)
{
	struct steps *s = ctx;
	struct sg_recording *r = s->r;
	if (r->n_steps == SG_RECORDING_STEPS)
		return s->failed = -SG_ELIMIT;
	if (r->n_steps == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct sg_checkpoint *p = reallocarray(r->steps, cap, sizeof(*p));
		if (!p)
			return s->failed = -SG_ENOMEM;
		r->steps = p;
		s->cap = cap;
	}
	/* The visitor's texts become ours. */
	struct sg_checkpoint *own = (struct sg_checkpoint *)(uintptr_t)c;
	r->steps[r->n_steps++] = *own;
	own->branch_id = own->state = own->clips_facts = own->last_node = own->next_action =
		own->parent_run_id = own->recorded = NULL;
	return 0;
}

static int read_steps(struct sg_recording *r, struct sg_txn *t, struct sg_error *err)
{
	struct steps s = {.r = r};
	int rc = sg_checkpoint_each(t, r->row.run_id, take_step, &s, err);
	if (s.failed == -SG_ELIMIT)
		return sg_error_set(err, SG_ELIMIT, NULL, "run %s has more than %d steps",
			r->row.run_id, SG_RECORDING_STEPS);
	return s.failed ? sg_error_nomem(err) : rc;
}

/* ---- graphs ---- */

static int read_packs(struct sg_recorded_graph *g, struct sg_txn *t, struct sg_error *err)
{
	sg_autobuf key = SG_BUF_INIT(128);
	struct sg_span text;
	size_t i;
	json_t *one;
	sg_buf_addf(&key, "%s" SG_RUN_GRAPH_PACKS, g->hash);
	int rc = sg_txn_get(t, SG_TABLE_GRAPH, SG_SPAN(key.data, key.len), &text, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = sg_json_parse(text.data, text.len, &g->packs, err);
	if (rc < 0)
		return rc;
	g->pack = calloc(json_array_size(g->packs) + 1, sizeof(*g->pack));
	if (!g->pack)
		return sg_error_nomem(err);
	json_array_foreach (g->packs, i, one) {
		const char *blob = json_string_value(json_object_get(one, "blob"));
		rc = sg_txn_get(t, SG_TABLE_BLOB, SG_KEY_TEXT(blob ? blob : "-"), &text, err);
		if (rc == 1)
			rc = sg_error_set(err, SG_ECORRUPT, NULL,
				"a rule pack of graph %s is not in the store", g->hash);
		if (rc == 0)
			rc = copy(text, &g->pack[g->n_packs], err);
		if (rc < 0)
			return rc;
		g->n_packs++;
	}
	return 0;
}

static int read_graph(
	struct sg_recording *r, struct sg_txn *t, const char *hash, struct sg_error *err)
{
	struct sg_span text;
	if (sg_recording_graph(r, hash))
		return 0;
	struct sg_recorded_graph *p = reallocarray(r->graphs, r->n_graphs + 1, sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	r->graphs = p;
	struct sg_recorded_graph *g = &p[r->n_graphs++];
	*g = (struct sg_recorded_graph){0};
	(void)snprintf(g->hash, sizeof(g->hash), "%s", hash);
	int rc = sg_txn_get(t, SG_TABLE_GRAPH, SG_KEY_TEXT(hash), &text, err);
	if (rc == 0)
		rc = copy(text, &g->document, err);
	if (rc == 0)
		rc = read_packs(g, t, err);
	return rc < 0 ? rc : 0;
}

/* A fork's checkpoints are of the derived hash; its row names the graph. */
static int read_graphs(struct sg_recording *r, struct sg_txn *t, struct sg_error *err)
{
	int rc = read_graph(r, t, r->row.graph_hash, err);
	for (size_t i = 0; rc == 0 && !r->fork && i < r->n_steps; i++)
		rc = read_graph(r, t, r->steps[i].graph_hash, err);
	return rc;
}

/* ---- audit lines ---- */

static int add_lines(
	struct sg_recording *r, struct sg_txn *t, struct sg_span seqs, struct sg_error *err)
{
	size_t n = seqs.len / 8;
	struct sg_recorded_line *p = reallocarray(r->lines, r->n_lines + n + 1, sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	r->lines = p;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *key = (const uint8_t *)seqs.data + 8 * i;
		struct sg_span line;
		int rc = sg_txn_get(t, SG_TABLE_AUDIT, SG_SPAN(key, 8), &line, err);
		if (rc < 0)
			return rc;
		if (rc == 1)
			continue;
		struct sg_recorded_line *l = &r->lines[r->n_lines];
		l->seq = sg_be64_read(key);
		rc = copy(line, &l->text, err);
		if (rc < 0)
			return rc;
		r->n_lines++;
	}
	return 0;
}

static int read_lines(struct sg_recording *r, struct sg_txn *t, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	uint8_t from[SG_RUN_ID_TEXT + 8] = {0};
	size_t n = strlen(r->row.run_id) + 1;
	memcpy(from, r->row.run_id, n);
	struct sg_span key = SG_SPAN(from, n + 8), val;
	int rc = sg_cursor_open(t, SG_TABLE_RUN_EVENTS, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_GE, &key, &val, err);
	while (rc == 0 && key.len == n + 8 && memcmp(key.data, from, n) == 0) {
		rc = add_lines(r, t, val, err);
		if (rc == 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &val, err);
	}
	return rc < 0 ? rc : 0;
}

/* ---- all of it ---- */

static int read_text(
	struct sg_txn *t, const char *run_id, const char *name, char **ret, struct sg_error *err)
{
	int rc = sg_run_text_get(t, run_id, name, ret, err);
	return rc < 0 ? rc : 0;
}

static int read_one(struct sg_txn *t, const char *run_id, unsigned depth, struct sg_recording **ret,
	struct sg_error *err);

static int fill(struct sg_recording *r, struct sg_txn *t, unsigned depth, struct sg_error *err)
{
	const char *id = r->row.run_id;
	int rc = read_steps(r, t, err);
	if (rc == 0)
		rc = read_text(t, id, SG_RUN_TEXT_LAST, &r->last, err);
	if (rc == 0)
		rc = read_text(t, id, SG_RUN_TEXT_FORK, &r->fork, err);
	if (rc == 0)
		rc = read_graphs(r, t, err);
	if (rc == 0)
		rc = read_lines(r, t, err);
	if (rc == 0 && r->fork && r->row.parent_run_id)
		rc = read_one(t, r->row.parent_run_id, depth + 1, &r->parent, err);
	return rc;
}

/* The original writes down no outside results, and hashes less of a graph than we do. */
static int refuse_imported(struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	sg_autofree char *mark = NULL;
	int rc = sg_run_text_get(t, run_id, SG_RUN_TEXT_IMPORTED, &mark, err);
	if (rc == 0)
		return sg_error_set(err, SG_EREFUSED, "imported",
			"run '%s' was imported from the Python original, which records no outside "
			"results: it can be looked at, not replayed, forked or exported",
			run_id);
	return rc < 0 ? rc : 0;
}

static int read_one(struct sg_txn *t, const char *run_id, unsigned depth, struct sg_recording **ret,
	struct sg_error *err)
{
	if (depth > SG_RECORDING_PARENTS)
		return sg_error_set(err, SG_ELIMIT, NULL, "more than %d forks upon forks",
			SG_RECORDING_PARENTS);
	struct sg_recording *r = calloc(1, sizeof(*r));
	if (!r)
		return sg_error_nomem(err);
	int rc = sg_run_require(t, run_id, &r->row, err);
	if (rc == 0)
		rc = refuse_imported(t, run_id, err);
	if (rc == 0)
		rc = fill(r, t, depth, err);
	if (rc < 0) {
		sg_recording_destroy(r);
		return rc;
	}
	*ret = r;
	return 0;
}

int sg_recording_read(
	struct sg_txn *t, const char *run_id, struct sg_recording **ret, struct sg_error *err)
{
	return read_one(t, run_id, 0, ret, err);
}

const struct sg_checkpoint *sg_recording_step(const struct sg_recording *r, int64_t step)
{
	int64_t first = r->n_steps ? r->steps[0].step : 0;
	if (step < first || (uint64_t)(step - first) >= r->n_steps)
		return NULL;
	const struct sg_checkpoint *c = &r->steps[step - first];
	return c->step == step ? c : NULL;
}

const struct sg_recorded_graph *sg_recording_graph(const struct sg_recording *r, const char *hash)
{
	for (size_t i = 0; i < r->n_graphs; i++)
		if (strcmp(r->graphs[i].hash, hash) == 0)
			return &r->graphs[i];
	return NULL;
}
