/* Writing an evidence file: see evidence.h. */
#include <string.h>

#include "audit/reader.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "evidence/evidence.h"

struct writer {
	struct sg_buf *out;
	struct sg_audit_nodes *nodes;
	uint64_t size; /* of the signed tree; 0 = none */
	size_t uncovered;
	struct sg_error *err;
};

/* Takes j. */
static int put(struct writer *w, json_t *j)
{
	int r = j ? sg_json_print(j, w->out, w->err) : sg_error_nomem(w->err);
	json_decref(j);
	sg_buf_addc(w->out, '\n');
	return r < 0		? r
	       : w->out->failed ? sg_error_set(w->err, SG_ELIMIT, NULL,
					  "the evidence is larger than %u bytes", SG_EVIDENCE_MAX)
				: 0;
}

static int put_run(struct writer *w, const struct sg_run_row *r)
{
	return put(w,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s?, s:s?, s:s?, "
			  "s:s?, s:s?, s:s?, s:s?, s:s?}",
			"kind", "run", "run_id", r->run_id, "graph_id", r->graph_id, "graph_hash",
			r->graph_hash, "status", sg_run_status_name(r->status), "started_us",
			(json_int_t)r->started_us, "updated_us", (json_int_t)r->updated_us,
			"finished_us", (json_int_t)r->finished_us, "steps", (json_int_t)r->steps,
			"actor", r->actor, "trigger_source", r->trigger_source, "parent_run_id",
			r->parent_run_id, "reason", r->reason, "error_class", r->error_class,
			"error_cause", r->error_cause, "waiting", r->waiting, "params", r->params));
}

static int put_step(struct writer *w, const struct sg_checkpoint *c)
{
	return put(w,
		json_pack(
			"{s:s, s:s, s:I, s:s?, s:I, s:s, s:s, s:s, s:s, s:s, s:s?, s:I, s:s?, s:s, "
			"s:s?}",
			"kind", "step", "run_id", c->run_id, "step", (json_int_t)c->step,
			"branch_id", c->branch_id, "parent_step_idx",
			(json_int_t)c->parent_step_idx, "graph_hash", c->graph_hash, "runtime_hash",
			c->runtime_hash, "state", c->state, "clips_facts", c->clips_facts,
			"last_node", c->last_node, "next_action", c->next_action, "timestamp_us",
			(json_int_t)c->timestamp_us, "parent_run_id", c->parent_run_id,
			"side_effects_hash", c->side_effects_hash, "recorded", c->recorded));
}

static int put_graph(struct writer *w, const struct sg_recorded_graph *g)
{
	json_t *packs = json_array();
	for (size_t i = 0; packs && i < g->n_packs; i++)
		(void)json_array_append_new(packs, json_stringn(g->pack[i].data, g->pack[i].len));
	if (!g->document.data) {
		json_decref(packs);
		return sg_error_set(w->err, SG_ENOTFOUND, "unknown-graph",
			"the graph with hash %s is not in the store", g->hash);
	}
	return put(w, json_pack("{s:s, s:s, s:s, s:o}", "kind", "graph", "hash", g->hash,
			      "document", g->document.data, "packs", packs));
}

static int put_line(struct writer *w, const struct sg_recorded_line *l)
{
	struct sg_tree_hash proof[SG_TREE_PROOF_MAX];
	size_t n = 0;
	json_t *list = json_null();
	if (l->seq < w->size) {
		int r = sg_tree_prove_leaf(&w->nodes->source, l->seq, w->size, proof, &n, w->err);
		if (r < 0)
			return r;
		list = json_array();
		for (size_t i = 0; list && i < n; i++) {
			sg_autobuf b = SG_BUF_INIT(256);
			sg_base64_add(&b, proof[i].b, sizeof(proof[i].b));
			(void)json_array_append_new(list, json_string(b.data));
		}
	} else {
		w->uncovered++;
	}
	return put(w, json_pack("{s:s, s:I, s:s, s:o}", "kind", "line", "seq", (json_int_t)l->seq,
			      "text", l->text.data, "proof", list));
}

static int put_text(struct writer *w, const char *name, const char *text)
{
	return text ? put(w, json_pack(
				     "{s:s, s:s, s:s}", "kind", "text", "name", name, "text", text))
		    : 0;
}

static int put_recording(struct writer *w, const struct sg_recording *rec)
{
	int r = put_run(w, &rec->row);
	for (size_t i = 0; r == 0 && i < rec->n_graphs; i++)
		r = put_graph(w, &rec->graphs[i]);
	for (size_t i = 0; r == 0 && i < rec->n_steps; i++)
		r = put_step(w, &rec->steps[i]);
	if (r == 0)
		r = put_text(w, "last", rec->last);
	if (r == 0)
		r = put_text(w, "fork", rec->fork);
	for (size_t i = 0; r == 0 && i < rec->n_lines; i++)
		r = put_line(w, &rec->lines[i]);
	return r;
}

int sg_evidence_write(struct sg_txn *t, const struct sg_recording *rec, struct sg_buf *out,
	size_t *ret_uncovered, struct sg_error *err)
{
	sg_autofree char *note = NULL;
	struct sg_audit_nodes nodes;
	struct writer w = {.out = out, .nodes = &nodes, .err = err};
	char hash[SG_SHA256_HEX];
	int r = sg_audit_note_get(t, 0, &note, &w.size, err);
	if (r < 0)
		return r;
	if (r > 0)
		w.size = 0;
	sg_audit_nodes_init(&nodes, t);
	r = put(&w, json_pack("{s:s, s:s?, s:s}", "format", SG_EVIDENCE_FORMAT, "note", note,
			    "run_id", rec->row.run_id));
	for (const struct sg_recording *at = rec; r == 0 && at; at = at->parent)
		r = put_recording(&w, at);
	if (r < 0)
		return r;
	sg_sha256_hex(out->data, out->len, hash);
	r = put(&w, json_pack("{s:s}", "sha256", hash));
	if (r == 0)
		*ret_uncovered = w.uncovered;
	return r;
}
