/* Checking an evidence file: from the key to the signed checkpoint, from there to each audit line,
 * from the lines to the inputs and (by the replay) to every step. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/utf8.h"
#include "evidence/evidence.h"

__attribute__((format(printf, 3, 4))) static int refuse(
	struct sg_evidence_report *r, const char *cause, const char *fmt, ...)
{
	va_list ap;
	r->verified = false;
	r->cause = cause;
	va_start(ap, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	sg_utf8_mend(r->text);
	return 1;
}

/* By one of the keys given? */
static int check_keys(struct sg_evidence_report *r, const struct sg_check_note *note,
	const uint8_t *keys, size_t n_keys)
{
	bool bad = false;
	for (size_t i = 0; i < n_keys; i++) {
		enum sg_check_verdict v = sg_check_note_signed(note, keys + i * SG_ED25519_KEY);
		if (v == SG_CHECK_GOOD) {
			r->pinned = true;
			return 0;
		}
		bad |= v == SG_CHECK_BAD;
	}
	if (!n_keys)
		return 0;
	return bad ? refuse(r, "bad-signature", "the signature of the checkpoint is broken")
		   : refuse(r, "wrong-key",
			     "the checkpoint of %.*s is not signed by a key that was given",
			     (int)note->origin_len, note->origin);
}

static int check_note(struct sg_evidence_report *r, const struct sg_evidence_content *c,
	const uint8_t *keys, size_t n_keys, struct sg_check_note *ret)
{
	struct sg_error err;
	if (!c->note)
		return n_keys ? refuse(r, "unsigned",
					"a key was given, but the evidence has no signed "
					"checkpoint")
			      : 0;
	if (sg_check_note_parse(c->note, strlen(c->note), ret, &err) < 0)
		return refuse(r, "malformed", "the signed checkpoint: %s", err.text);
	return check_keys(r, ret, keys, n_keys);
}

static int check_line(struct sg_evidence_report *r, const struct sg_recorded_line *l,
	const struct sg_evidence_proof *p, const struct sg_check_note *note,
	const struct sg_recording *rec)
{
	json_auto_t *j = NULL;
	sg_check_hash leaf;
	const char *run;
	unsigned long long seq = (unsigned long long)l->seq;
	if (note->size && !p->covered)
		return refuse(r, "uncovered",
			"audit line %llu came after the signed checkpoint, which does not vouch "
			"for it; export again once the log has signed one",
			seq);
	sg_check_leaf(l->text.data, l->text.len, leaf);
	if (note->size && !sg_check_inclusion(leaf, l->seq, note->size,
				  (const sg_check_hash *)p->hash, p->n, note->root))
		return refuse(r, "line",
			"audit line %llu is not the one that the signed checkpoint covers", seq);
	if (sg_json_parse(l->text.data, l->text.len, &j, NULL) < 0 ||
		json_integer_value(json_object_get(j, "seq")) != (json_int_t)l->seq)
		return refuse(r, "line", "audit line %llu is no record of that number", seq);
	run = json_string_value(json_object_get(j, "run"));
	if (!run || strcmp(run, rec->row.run_id) != 0)
		return refuse(r, "line", "audit line %llu is of another run", seq);
	r->lines++;
	return 0;
}

static int check_lines(struct sg_evidence_report *r, const struct sg_evidence_content *c,
	const struct sg_check_note *note)
{
	size_t proof = 0;
	int bad = 0;
	for (const struct sg_recording *rec = c->rec; !bad && rec; rec = rec->parent)
		for (size_t i = 0; !bad && i < rec->n_lines; i++) {
			if (i && rec->lines[i].seq <= rec->lines[i - 1].seq)
				return refuse(r, "line", "the audit lines are out of order");
			bad = check_line(r, &rec->lines[i], &c->proofs[proof++], note, rec);
		}
	return bad;
}

static const char *payload_text(const json_t *line, const char *key)
{
	const char *v = json_string_value(json_object_get(json_object_get(line, "payload"), key));
	return v ? v : "";
}

/* The line that the run began with names what it began with. */
static int check_start(struct sg_evidence_report *r, const struct sg_recording *rec)
{
	json_auto_t *j = NULL;
	char hash[SG_SHA256_HEX];
	const char *type = NULL;
	if (rec->n_lines &&
		sg_json_parse(rec->lines[0].text.data, rec->lines[0].text.len, &j, NULL) == 0)
		type = json_string_value(json_object_get(j, "type"));
	if (!type || strcmp(type, rec->fork ? "fork_started" : "run_started") != 0)
		return refuse(r, "line", "the audit line with which run %s began is missing",
			rec->row.run_id);
	const char *actor = json_string_value(json_object_get(j, "actor"));
	if (!actor || strcmp(actor, rec->row.actor) != 0)
		return refuse(r, "inputs", "run %s was started by another actor than its row says",
			rec->row.run_id);
	if (rec->fork) {
		sg_sha256_hex(rec->fork, strlen(rec->fork), hash);
		return strcmp(hash, payload_text(j, "fork_sha256")) == 0
			       ? 0
			       : refuse(r, "inputs", "run %s was forked with another mutation",
					 rec->row.run_id);
	}
	if (rec->n_graphs == 1 && strcmp(payload_text(j, "graph_hash"), rec->row.graph_hash) != 0)
		return refuse(r, "graph", "run %s was started with graph %.12s…, not %.12s…",
			rec->row.run_id, payload_text(j, "graph_hash"), rec->row.graph_hash);
	sg_sha256_hex(rec->row.params ? rec->row.params : "",
		rec->row.params ? strlen(rec->row.params) : 0, hash);
	return strcmp(hash, payload_text(j, "params_sha256")) == 0
		       ? 0
		       : refuse(r, "inputs", "run %s was started with other parameters",
				 rec->row.run_id);
}

int sg_evidence_verify(const struct sg_evidence_content *c, const uint8_t *keys, size_t n_keys,
	int (*replay)(void *ctx, const struct sg_recording *rec, struct sg_replay_result *ret,
		struct sg_error *err),
	void *ctx, struct sg_evidence_report *ret, struct sg_error *err)
{
	struct sg_evidence_report r = {.verified = true, .cause = "ok"};
	struct sg_check_note note = {0};
	int bad = check_note(&r, c, keys, n_keys, &note);
	if (!bad)
		bad = check_lines(&r, c, &note);
	for (const struct sg_recording *rec = c->rec; !bad && rec; rec = rec->parent)
		bad = check_start(&r, rec);
	if (!bad) {
		struct sg_error why = {0};
		int rc = replay(ctx, c->rec, &r.replay, &why);
		if (rc == -SG_ECORRUPT || rc == -SG_EINVALID || rc == -SG_ENOTFOUND)
			bad = refuse(&r, "graph", "%s", why.text);
		else if (rc < 0) {
			*err = why;
			return rc;
		} else if (!r.replay.identical) {
			bad = refuse(&r, r.replay.axis, "%s", r.replay.text);
		}
	}
	*ret = r;
	return 0;
}
