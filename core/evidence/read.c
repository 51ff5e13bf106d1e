/* Reading an evidence file, which may come from anybody. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "evidence/evidence.h"

struct reader {
	struct sg_evidence_content *c;
	struct sg_recording *rec; /* that lines belong to */
	unsigned parents;
	struct sg_error *err;
};

void sg_evidence_content_finish(struct sg_evidence_content *c)
{
	sg_recording_destroy(c->rec);
	free(c->note);
	free(c->proofs);
	*c = (struct sg_evidence_content){0};
}

static int malformed(struct reader *r, const char *what)
{
	return sg_error_set(
		r->err, SG_EINVALID, "malformed", "the evidence is malformed: %s", what);
}

/* An owned copy of a text without NUL, NULL for null. */
static bool take(const json_t *j, const char *key, char **ret)
{
	const json_t *v = json_object_get(j, key);
	if (json_is_null(v))
		return true;
	if (!json_is_string(v))
		return false;
	*ret = strdup(json_string_value(v));
	return *ret != NULL;
}

static bool take_number(const json_t *j, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(j, key);
	*ret = json_integer_value(v);
	return json_is_integer(v);
}

static bool take_hash(const json_t *j, const char *key, char ret[65])
{
	const char *v = sg_json_text(j, key);
	if (!v || strlen(v) != 64 || v[strspn(v, "0123456789abcdef")])
		return false;
	memcpy(ret, v, 65);
	return true;
}

static bool take_id(const json_t *j, const char *key, char ret[SG_RUN_ID_TEXT])
{
	const char *v = sg_json_text(j, key);
	if (!v || !*v || strlen(v) >= SG_RUN_ID_TEXT)
		return false;
	memcpy(ret, v, strlen(v) + 1);
	return true;
}

static int read_run(struct reader *r, const json_t *j)
{
	struct sg_recording *rec = calloc(1, sizeof(*rec));
	if (!rec)
		return sg_error_nomem(r->err);
	if (r->parents++ > SG_RECORDING_PARENTS || (r->rec && !r->rec->fork)) {
		free(rec);
		return malformed(r, "a run too many");
	}
	*(r->rec ? &r->rec->parent : &r->c->rec) = rec;
	r->rec = rec;
	struct sg_run_row *row = &rec->row;
	const char *status = sg_json_text(j, "status");
	if (!take_id(j, "run_id", row->run_id) || !take(j, "graph_id", &row->graph_id) ||
		!take_hash(j, "graph_hash", row->graph_hash) || !status ||
		sg_run_status_parse(status, &row->status) < 0 ||
		!take_number(j, "started_us", &row->started_us) ||
		!take_number(j, "updated_us", &row->updated_us) ||
		!take_number(j, "finished_us", &row->finished_us) ||
		!take_number(j, "steps", &row->steps) || !take(j, "actor", &row->actor) ||
		!take(j, "trigger_source", &row->trigger_source) ||
		!take(j, "parent_run_id", &row->parent_run_id) ||
		!take(j, "reason", &row->reason) || !take(j, "error_class", &row->error_class) ||
		!take(j, "error_cause", &row->error_cause) || !take(j, "waiting", &row->waiting) ||
		!take(j, "params", &row->params) || !row->graph_id || !row->actor ||
		!row->trigger_source)
		return malformed(r, "the run's row");
	return 0;
}

static int read_step(struct reader *r, const json_t *j)
{
	struct sg_recording *rec = r->rec;
	if (rec->n_steps == SG_RECORDING_STEPS)
		return malformed(r, "too many steps");
	if ((rec->n_steps & (rec->n_steps - 1)) == 0) {
		size_t cap = rec->n_steps ? rec->n_steps * 2 : 1;
		struct sg_checkpoint *p = reallocarray(rec->steps, cap, sizeof(*p));
		if (!p)
			return sg_error_nomem(r->err);
		rec->steps = p;
	}
	struct sg_checkpoint *c = &rec->steps[rec->n_steps++];
	*c = (struct sg_checkpoint){0};
	if (!take_id(j, "run_id", c->run_id) || !take_number(j, "step", &c->step) || c->step < 0 ||
		!take(j, "branch_id", &c->branch_id) ||
		!take_number(j, "parent_step_idx", &c->parent_step_idx) ||
		!take_hash(j, "graph_hash", c->graph_hash) ||
		!take_hash(j, "runtime_hash", c->runtime_hash) || !take(j, "state", &c->state) ||
		!take(j, "clips_facts", &c->clips_facts) || !take(j, "last_node", &c->last_node) ||
		!take(j, "next_action", &c->next_action) ||
		!take_number(j, "timestamp_us", &c->timestamp_us) ||
		!take(j, "parent_run_id", &c->parent_run_id) ||
		!take_hash(j, "side_effects_hash", c->side_effects_hash) ||
		!take(j, "recorded", &c->recorded) || !c->state || !c->clips_facts || !c->last_node)
		return malformed(r, "a step");
	if (strcmp(c->run_id, rec->row.run_id) != 0 ||
		(rec->n_steps > 1 && c->step - 1 != c[-1].step))
		return sg_error_set(r->err, SG_EINVALID, "malformed",
			"step %lld of run %s does not follow the one before it; a step is missing",
			(long long)c->step, rec->row.run_id);
	return 0;
}

static int read_graph(struct reader *r, const json_t *j)
{
	struct sg_recording *rec = r->rec;
	const json_t *doc = json_object_get(j, "document"), *packs = json_object_get(j, "packs");
	size_t i;
	json_t *one;
	if (rec->n_graphs == 64 || !json_is_string(doc) || !json_is_array(packs))
		return malformed(r, "a graph");
	struct sg_recorded_graph *p = reallocarray(rec->graphs, rec->n_graphs + 1, sizeof(*p));
	if (!p)
		return sg_error_nomem(r->err);
	rec->graphs = p;
	struct sg_recorded_graph *g = &p[rec->n_graphs++];
	*g = (struct sg_recorded_graph){0};
	g->pack = calloc(json_array_size(packs) + 1, sizeof(*g->pack));
	if (!g->pack || !take_hash(j, "hash", g->hash) || !take(j, "document", &g->document.data))
		return malformed(r, "a graph");
	g->document.len = strlen(g->document.data);
	json_array_foreach ((json_t *)(uintptr_t)packs, i, one) {
		if (!json_is_string(one) || !(g->pack[i].data = strdup(json_string_value(one))))
			return malformed(r, "a rule pack");
		g->pack[i].len = json_string_length(one);
		g->n_packs++;
	}
	return 0;
}

static int read_proof(struct reader *r, const json_t *proof)
{
	struct sg_evidence_content *c = r->c;
	struct sg_evidence_proof *p = reallocarray(c->proofs, c->n_proofs + 1, sizeof(*p));
	if (!p)
		return sg_error_nomem(r->err);
	c->proofs = p;
	p += c->n_proofs++;
	*p = (struct sg_evidence_proof){.covered = !json_is_null(proof)};
	if (!p->covered)
		return 0;
	if (!json_is_array(proof) || json_array_size(proof) > SG_TREE_PROOF_MAX)
		return malformed(r, "an inclusion proof");
	for (; p->n < json_array_size(proof); p->n++) {
		const json_t *h = json_array_get(proof, p->n);
		if (!json_is_string(h) ||
			sg_base64_decode(json_string_value(h), json_string_length(h), p->hash[p->n],
				SG_SHA256_BYTES) != SG_SHA256_BYTES)
			return malformed(r, "an inclusion proof");
	}
	return 0;
}

static int read_line(struct reader *r, const json_t *j)
{
	struct sg_recording *rec = r->rec;
	int64_t seq;
	struct sg_recorded_line *p = reallocarray(rec->lines, rec->n_lines + 1, sizeof(*p));
	if (!p)
		return sg_error_nomem(r->err);
	rec->lines = p;
	p += rec->n_lines++;
	*p = (struct sg_recorded_line){0};
	if (!take_number(j, "seq", &seq) || seq < 0 || !take(j, "text", &p->text.data) ||
		!p->text.data)
		return malformed(r, "an audit line");
	p->seq = (uint64_t)seq;
	p->text.len = strlen(p->text.data);
	return read_proof(r, json_object_get(j, "proof"));
}

static int read_text(struct reader *r, const json_t *j)
{
	const char *name = sg_json_text(j, "name");
	char **to = !name			? NULL
		    : strcmp(name, "last") == 0 ? &r->rec->last
		    : strcmp(name, "fork") == 0 ? &r->rec->fork
						: NULL;
	if (!to || *to || !take(j, "text", to) || !*to)
		return malformed(r, "a text");
	return 0;
}

static int read_entry(struct reader *r, const json_t *j)
{
	static const struct {
		const char *kind;
		int (*read)(struct reader *r, const json_t *j);
	} kinds[] = {{"run", read_run}, {"step", read_step}, {"graph", read_graph},
		{"line", read_line}, {"text", read_text}};
	const char *kind = sg_json_text(j, "kind");
	for (size_t i = 0; kind && i < SG_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return i && !r->rec ? malformed(r, "no run") : kinds[i].read(r, j);
	return malformed(r, "a line of unknown kind");
}

/* The last line is the hash of all before it. */
static int check_end(const char *text, size_t n, size_t *ret_body, struct sg_error *err)
{
	char hash[SG_SHA256_HEX];
	static const char head[] = "{\"sha256\":\"", tail[] = "\"}\n";
	size_t len = sizeof(head) - 1 + 64 + sizeof(tail) - 1;
	size_t body = n > len ? n - len : 0;
	if (body)
		sg_sha256_hex(text, body, hash);
	if (!body || memcmp(text + body, head, sizeof(head) - 1) != 0 ||
		memcmp(text + body + sizeof(head) - 1, hash, 64) != 0 ||
		memcmp(text + n - (sizeof(tail) - 1), tail, sizeof(tail) - 1) != 0)
		return sg_error_set(err, SG_EINVALID, "altered",
			"the evidence was altered or cut: its closing hash is not that of its "
			"bytes");
	*ret_body = body;
	return 0;
}

static int read_head(struct reader *r, const json_t *j)
{
	const char *format = sg_json_text(j, "format");
	if (!format || strcmp(format, SG_EVIDENCE_FORMAT) != 0)
		return malformed(r, "it is not of the format " SG_EVIDENCE_FORMAT);
	return take(j, "note", &r->c->note) ? 0 : malformed(r, "its signed checkpoint");
}

static int read_all(struct reader *r, const char *text, size_t n)
{
	const char *at = text, *end = text + n;
	int rc = 0;
	for (bool first = true; rc == 0 && at < end; first = false) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		json_auto_t *j = NULL;
		if (!nl || sg_json_parse(at, (size_t)(nl - at), &j, NULL) < 0)
			return malformed(r, "a line is no JSON");
		rc = first ? read_head(r, j) : read_entry(r, j);
		at = nl + 1;
	}
	if (rc == 0 && !r->c->rec)
		rc = malformed(r, "no run");
	return rc;
}

int sg_evidence_read(
	const char *text, size_t n, struct sg_evidence_content *ret, struct sg_error *err)
{
	struct sg_evidence_content c = {0};
	struct sg_error here = {0};
	struct reader r = {.c = &c, .err = &here};
	size_t body = 0;
	int rc = check_end(text, n, &body, &here);
	if (rc == 0)
		rc = read_all(&r, text, body);
	if (rc < 0) {
		sg_evidence_content_finish(&c);
		if (err)
			*err = here;
		return rc;
	}
	*ret = c;
	return 0;
}
