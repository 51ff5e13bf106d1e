/* audit checkpoint, prove, check-proof: what an auditor is handed, and how he checks it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/check.h"
#include "audit/note.h"
#include "audit/reader.h"
#include "audit/verify.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cli/audit.h"

#define INCLUSION "c2sp.org/tlog-proof@v1\n"
#define GROWTH "stargraph-growth-proof-v1\n"
#define COSIGNATURES_MAX (64U << 10)

int sg_audit_cli_note(const struct sg_evidence *e, const char *state_dir, uint64_t size,
	struct sg_buf *out, uint64_t *ret_size, struct sg_error *err)
{
	sg_autofree char *note = NULL;
	sg_autofree char *path = NULL;
	sg_autofree char *more = NULL;
	size_t n = 0;
	int r = sg_audit_note_get(e->txn, size, &note, ret_size, err);
	if (r > 0)
		return sg_error_set(err, SG_ENOTFOUND, NULL,
			"there is no signed checkpoint%s; [audit] signing_key makes them",
			size ? " of that size" : " yet");
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/cosignatures/%" PRIu64, state_dir, *ret_size) < 0)
		return sg_error_nomem(err);
	sg_buf_adds(out, note);
	r = sg_file_read(path, COSIGNATURES_MAX, &more, &n, err);
	if (r < 0 && r != -SG_ENOTFOUND)
		return r;
	sg_buf_add(out, more, n);
	return out->failed ? sg_error_nomem(err) : 0;
}

static int print_buf(const struct sg_buf *b)
{
	return fwrite(b->data, 1, b->len, stdout) == b->len ? SG_EXIT_DONE : SG_EXIT_FAILED;
}

int sg_audit_cli_checkpoint(int argc, char **argv)
{
	struct sg_audit_arguments a;
	struct sg_evidence e;
	struct sg_error err = {0};
	struct sg_check_note note;
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	uint64_t size = 0;
	int code = sg_audit_cli_parse(argc, argv, &a);
	if (code)
		return code;
	if (!a.state_dir)
		return sg_cli_usage(&sg_verb_audit, "checkpoint needs --state-dir");
	if (sg_evidence_open(&e, a.state_dir, &err) < 0)
		return sg_cli_fail(&err);
	int r = sg_audit_cli_note(&e, a.state_dir, (uint64_t)a.size, &b, &size, &err);
	sg_evidence_close(&e);
	if (r == 0 && a.one_line)
		r = sg_check_note_parse(b.data, b.len, &note, &err);
	if (r < 0)
		return sg_cli_fail(&err);
	if (!a.one_line)
		return print_buf(&b);
	sg_autobuf line = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	sg_buf_addf(&line, "%.*s %" PRIu64 " ", (int)note.origin_len, note.origin, note.size);
	sg_base64_add(&line, note.root, sizeof(note.root));
	sg_buf_addc(&line, '\n');
	return line.failed ? SG_EXIT_FAILED : print_buf(&line);
}

static void add_hashes(struct sg_buf *b, const struct sg_tree_hash *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sg_base64_add(b, h[i].b, sizeof(h[i].b));
		sg_buf_addc(b, '\n');
	}
	sg_buf_addc(b, '\n');
}

static int make_proof(const struct sg_evidence *e, const struct sg_audit_arguments *a,
	struct sg_buf *b, struct sg_error *err)
{
	struct sg_tree_hash proof[SG_TREE_PROOF_MAX];
	struct sg_audit_nodes nodes;
	sg_autobuf note = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	uint64_t size = 0;
	size_t n = 0;
	int r = sg_audit_cli_note(e, a->state_dir, (uint64_t)a->size, &note, &size, err);
	if (r < 0)
		return r;
	sg_audit_nodes_init(&nodes, e->txn);
	if (a->record >= 0) {
		r = sg_tree_prove_leaf(&nodes.source, (uint64_t)a->record, size, proof, &n, err);
		sg_buf_addf(b, INCLUSION "index %" PRId64 "\n", a->record);
	} else {
		r = sg_tree_prove_growth(&nodes.source, (uint64_t)a->from, size, proof, &n, err);
		sg_buf_addf(b, GROWTH "old %" PRId64 "\n", a->from);
	}
	if (r < 0)
		return r;
	add_hashes(b, proof, n);
	sg_buf_add(b, note.data, note.len);
	return b->failed ? sg_error_nomem(err) : 0;
}

int sg_audit_cli_prove(int argc, char **argv)
{
	struct sg_audit_arguments a;
	struct sg_evidence e;
	struct sg_error err = {0};
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_INPUT_MAX);
	int code = sg_audit_cli_parse(argc, argv, &a);
	if (code)
		return code;
	if (!a.state_dir || (a.record >= 0) == (a.from >= 0))
		return sg_cli_usage(
			&sg_verb_audit, "prove needs --state-dir and one of --record, --from");
	if (sg_evidence_open(&e, a.state_dir, &err) < 0)
		return sg_cli_fail(&err);
	int r = make_proof(&e, &a, &b, &err);
	sg_evidence_close(&e);
	return r < 0 ? sg_cli_fail(&err) : print_buf(&b);
}

/* A proof taken apart. */
struct proof {
	bool growth;
	uint64_t number; /* index, or old size */
	sg_check_hash hash[SG_TREE_PROOF_MAX];
	size_t n;
	struct sg_check_note note;
};

static int malformed(struct sg_error *err)
{
	return sg_error_set(err, SG_EINVALID, NULL, "the proof is malformed");
}

static int parse_hashes(const char *at, const char *end, struct proof *p, const char **ret_at)
{
	for (p->n = 0; at < end && *at != '\n'; p->n++) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		if (!nl || p->n == SG_TREE_PROOF_MAX ||
			sg_base64_decode(at, (size_t)(nl - at), p->hash[p->n], SG_SHA256_BYTES) !=
				SG_SHA256_BYTES)
			return -SG_EINVALID;
		at = nl + 1;
	}
	*ret_at = at + 1;
	return at < end ? 0 : -SG_EINVALID;
}

static int parse_proof(const char *text, size_t n, struct proof *p, struct sg_error *err)
{
	const char *at = text, *end = text + n;
	static const char inclusion[] = INCLUSION "index ", growth[] = GROWTH "old ";
	if (strncmp(text, growth, sizeof(growth) - 1) == 0) {
		p->growth = true;
		at += sizeof(growth) - 1;
	} else if (strncmp(text, inclusion, sizeof(inclusion) - 1) == 0) {
		at += sizeof(inclusion) - 1;
	} else {
		return malformed(err);
	}
	char *after;
	p->number = strtoull(at, &after, 10);
	if (after == at || *after != '\n' || parse_hashes(after + 1, end, p, &at) < 0)
		return malformed(err);
	return sg_check_note_parse(at, (size_t)(end - at), &p->note, err);
}

static int unverified(const char *what)
{
	(void)printf("does not verify: %s\n", what);
	return SG_EXIT_UNVERIFIED;
}

/* Of the line in the file, which may end in a newline. */
static int check_record(const struct proof *p, const char *path)
{
	sg_autofree char *line = NULL;
	struct sg_error err = {0};
	sg_check_hash leaf;
	size_t n = 0;
	if (!path)
		return sg_cli_usage(&sg_verb_audit, "this proof needs --line=FILE, the record");
	if (sg_evidence_input(path, &line, &n, &err) < 0)
		return sg_cli_fail(&err);
	sg_check_leaf(line, n && line[n - 1] == '\n' ? n - 1 : n, leaf);
	if (!sg_check_inclusion(leaf, p->number, p->note.size, (const sg_check_hash *)p->hash, p->n,
		    p->note.root))
		return unverified("the record is not the one that the checkpoint covers");
	(void)printf("verified: record %" PRIu64 " is in the log of %" PRIu64 " records\n",
		p->number, p->note.size);
	return SG_EXIT_DONE;
}

static int check_growth(const struct proof *p, const char *old)
{
	struct sg_check_note kept;
	struct sg_error err = {0};
	sg_autofree char *text = NULL;
	size_t n = 0;
	if (!old)
		return sg_cli_usage(&sg_verb_audit, "this proof needs --old, the kept checkpoint");
	if (access(old, R_OK) == 0 && sg_evidence_input(old, &text, &n, &err) < 0)
		return sg_cli_fail(&err);
	const char *from = text ? text : old;
	int r = strstr(from, "\n\n") ? sg_check_note_parse(from, strlen(from), &kept, &err)
				     : sg_check_note_line(from, strcspn(from, "\n"), &kept, &err);
	if (r < 0)
		return sg_cli_fail(&err);
	if (kept.size != p->number || !sg_check_growth(kept.size, kept.root, p->note.size,
					      p->note.root, (const sg_check_hash *)p->hash, p->n))
		return unverified("the log did not grow out of the kept checkpoint");
	(void)printf("verified: the log of %" PRIu64 " records begins with those %" PRIu64 "\n",
		p->note.size, kept.size);
	return SG_EXIT_DONE;
}

static bool cosigned_by(const struct proof *p, const uint8_t key[SG_ED25519_KEY])
{
	uint64_t time;
	for (size_t i = 0; i < p->note.n_signatures; i++)
		if (sg_check_note_cosigned(&p->note, &p->note.signature[i], key, &time) ==
			SG_CHECK_GOOD)
			return true;
	return false;
}

static bool among(const uint8_t (*keys)[SG_ED25519_KEY], size_t n, const uint8_t *key)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(keys[i], key, SG_ED25519_KEY) == 0)
			return true;
	return false;
}

/* At least --quorum (all, unless told) of the witnesses named must have cosigned. One key under two
 * names is one witness. */
static int check_quorum(const struct proof *p, const struct sg_audit_arguments *a)
{
	uint8_t keys[SG_AUDIT_CLI_WITNESSES][SG_ED25519_KEY], type;
	struct sg_error err = {0};
	size_t n = 0, have = 0, want = a->quorum < 0 ? a->n_witnesses : (size_t)a->quorum;
	for (size_t i = 0; i < a->n_witnesses; i++) {
		const char *w = a->witness[i];
		if (sg_check_vkey(w, strlen(w), &type, keys[n], &err) < 0)
			return sg_cli_fail(&err);
		if (type != SG_NOTE_TYPE_COSIGNATURE)
			return sg_cli_usage(&sg_verb_audit, "\"%s\" is no key of a witness", w);
		if (!among((const uint8_t(*)[SG_ED25519_KEY])keys, n, keys[n]))
			n++;
	}
	if (want > n || (a->quorum == 0 && n))
		return sg_cli_usage(
			&sg_verb_audit, "a quorum of %zu among %zu different witnesses", want, n);
	for (size_t i = 0; i < n; i++)
		have += cosigned_by(p, keys[i]);
	if (have >= want)
		return SG_EXIT_DONE;
	(void)printf(
		"does not verify: %zu of the %zu witnesses cosigned, %zu must\n", have, n, want);
	return SG_EXIT_UNVERIFIED;
}

int sg_audit_cli_check_proof(int argc, char **argv)
{
	struct sg_audit_arguments a;
	struct proof p = {0};
	struct sg_error err = {0};
	sg_autofree char *text = NULL;
	uint8_t key[SG_ED25519_KEY];
	size_t n = 0;
	int code = sg_audit_cli_parse(argc, argv, &a);
	if (code)
		return code;
	if (a.n_rest != 1)
		return sg_cli_usage(&sg_verb_audit, "check-proof needs one proof");
	if (sg_evidence_input(a.rest[0], &text, &n, &err) < 0 ||
		parse_proof(text, n, &p, &err) < 0 ||
		(a.key && sg_audit_read_key(a.key, key, &err) < 0))
		return sg_cli_fail(&err);
	if (a.key && sg_check_note_signed(&p.note, key) != SG_CHECK_GOOD)
		return unverified("the checkpoint is not signed by the given key");
	code = check_quorum(&p, &a);
	if (code)
		return code;
	code = p.growth ? check_growth(&p, a.old) : check_record(&p, a.line_file);
	if (code == SG_EXIT_DONE && !a.key) {
		(void)fputs(
			"unpinned: no --key was given, the checkpoint proves nothing\n", stderr);
		return SG_EXIT_UNPINNED;
	}
	return code;
}
