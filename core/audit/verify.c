/* The verifier: streams a log, recomputes the chain, and names what is wrong with it. */
#include "audit/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "base/base64.h"
#include "base/hash.h"

#define KEY_TEXT_MAX 300U

int sg_verify_bad(struct sg_verify *v, const char *cause, uint64_t line, const char *fmt, ...)
{
	va_list ap;
	v->rep.bad_line = line;
	(void)snprintf(v->rep.cause, sizeof(v->rep.cause), "%s", cause);
	va_start(ap, fmt);
	(void)vsnprintf(v->rep.text, sizeof(v->rep.text), fmt, ap);
	va_end(ap);
	return 1;
}

static void hash_line(const struct sg_scan_line *l, char ret_hex[SG_SHA256_HEX])
{
	uint8_t d[SG_SHA256_BYTES];
	sg_sha256(l->data, l->len, d);
	sg_hex_encode(d, sizeof(d), ret_hex);
}

/* Does the line after this one, if there is one, know it by this hash? 1 yes, 0 no, 2 no line. */
static int successor_knows(struct sg_verify *v, const char *hex, struct sg_error *err)
{
	struct sg_scan_line l;
	uint64_t seq;
	const char *prev;
	int r = sg_scan_next(&v->scan, &l, err);
	if (r < 0)
		return r;
	if (r > 0)
		return v->o->head && strcmp(v->o->head, hex) == 0 ? 1 : 2;
	return sg_scan_chain(&l, &seq, &prev) && memcmp(prev, hex, 64) == 0;
}

/* Is there a line with this sequence further on? */
static int comes_later(struct sg_verify *v, uint64_t want, struct sg_error *err)
{
	struct sg_scan_line l;
	uint64_t seq;
	const char *prev;
	int r;
	while ((r = sg_scan_next(&v->scan, &l, err)) == 0)
		if (sg_scan_chain(&l, &seq, &prev) && seq == want)
			return 1;
	return r < 0 ? r : 0;
}

static int explain_gap(struct sg_verify *v, uint64_t line, uint64_t seq, struct sg_error *err)
{
	int later = comes_later(v, v->next, err);
	if (later < 0)
		return later;
	if (later)
		return sg_verify_bad(v, "reordered", line,
			"line %" PRIu64 " has sequence %" PRIu64 "; sequence %" PRIu64
			" comes only later",
			line, seq, v->next);
	return sg_verify_bad(v, "removed", line,
		"before line %" PRIu64 " the records %" PRIu64 " to %" PRIu64 " are missing", line,
		v->next, seq - 1);
}

static int explain_edit(struct sg_verify *v, uint64_t line, const char *hex, struct sg_error *err)
{
	int known = line == 1 ? 0 : successor_knows(v, hex, err);
	if (known < 0)
		return known;
	if (known == 0)
		return sg_verify_bad(v, "edited", line,
			"line %" PRIu64 " was edited: the line it names as its predecessor is not "
			"the one before it",
			line);
	return sg_verify_bad(v, "edited", line - 1,
		"line %" PRIu64 " was edited: its hash is not the one that line %" PRIu64 " names",
		line - 1, line);
}

/* The line at hand does not continue the chain: why? */
static int explain(struct sg_verify *v, const struct sg_scan_line *l, uint64_t seq,
	const char *prev, struct sg_error *err)
{
	uint64_t line = v->file_line + 1;
	char hex[SG_SHA256_HEX];
	hash_line(l, hex);
	bool follows = memcmp(prev, v->prev, 64) == 0;
	if (seq != v->next && follows)
		return sg_verify_bad(v, "edited", line,
			"line %" PRIu64 " was edited: its sequence is %" PRIu64 ", not %" PRIu64,
			line, seq, v->next);
	if (seq < v->next)
		return sg_verify_bad(v, "duplicate", line,
			"line %" PRIu64 " has sequence %" PRIu64 ", which was there before", line,
			seq);
	if (seq > v->next)
		return explain_gap(v, line, seq, err);
	return explain_edit(v, line, hex, err);
}

/* The kept checkpoint, once the tree is as large. */
static int check_kept(struct sg_verify *v, uint64_t line)
{
	sg_check_hash root;
	if (v->seen_kept || !v->kept.size || v->kept.size != v->tree.size)
		return 0;
	sg_check_tree_root(&v->tree, root);
	if (memcmp(root, v->kept.root, sizeof(root)) != 0)
		return sg_verify_bad(v, "rewritten", line,
			"the first %" PRIu64 " records are not those of the kept checkpoint",
			v->kept.size);
	v->seen_kept = true;
	return 0;
}

static int check_head(struct sg_verify *v, uint64_t seq, uint64_t line)
{
	if (!v->o->head || seq != v->o->head_seq)
		return 0;
	if (memcmp(v->prev, v->o->head, 64) != 0)
		return sg_verify_bad(v, "edited", line,
			"line %" PRIu64 " was edited: it does not have the head's hash", line);
	v->seen_head = true;
	v->scan.wait_ms = 0;
	return 0;
}

/* Positive outcome 1: malformed, torn or not the next of the chain. */
static int check_order(
	struct sg_verify *v, const struct sg_scan_line *l, uint64_t *ret_seq, struct sg_error *err)
{
	const char *prev;
	uint64_t line = v->file_line + 1;
	if (l->torn)
		return sg_verify_bad(v, "torn-last-line", line,
			"line %" PRIu64 " has no end: the file stops in the middle of it", line);
	if (!sg_scan_chain(l, ret_seq, &prev))
		return sg_verify_bad(
			v, "malformed", line, "line %" PRIu64 " is no audit record", line);
	/* Where older files are gone the hash of the line before is not known; all else is. */
	if (!v->started && *ret_seq > 0 && sg_verify_begin(v, l, *ret_seq))
		memcpy(v->prev, prev, 64);
	v->started = true;
	if (*ret_seq != v->next || memcmp(prev, v->prev, 64) != 0)
		return explain(v, l, *ret_seq, prev, err);
	return 0;
}

static int check_own(
	struct sg_verify *v, const struct sg_scan_line *l, uint64_t *ret_seq, struct sg_error *err)
{
	int r = check_order(v, l, ret_seq, err);
	if (r == 0 && sg_verify_is_own(l))
		r = sg_verify_own(v, l);
	if (r == 0)
		sg_check_tree_add(&v->tree, l->data, l->len);
	return r;
}

static int check_line(struct sg_verify *v, const struct sg_scan_line *l, struct sg_error *err)
{
	uint64_t seq, line = v->file_line + 1;
	if (!v->started && !l->torn)
		v->original = sg_verify_original_is(l);
	int r = v->original ? sg_verify_original_line(v, l, &seq, err) : check_own(v, l, &seq, err);
	if (r)
		return r;
	hash_line(l, v->prev);
	v->next++;
	v->rep.lines++;
	v->file_line++;
	v->rep.bytes += l->len + 1;
	r = check_head(v, seq, line);
	return r ? r : check_kept(v, line);
}

static void describe(struct sg_verify *v)
{
	sg_check_hash root;
	sg_autobuf b = SG_BUF_INIT(sizeof(v->rep.root));
	memcpy(v->rep.head, v->prev, sizeof(v->rep.head));
	sg_check_tree_root(&v->tree, root);
	sg_base64_add(&b, root, sizeof(root));
	if (!b.failed)
		memcpy(v->rep.root, b.data, b.len + 1);
	v->rep.trust = v->pinned && v->rep.checkpoints ? SG_AUDIT_PINNED
		       : v->rep.checkpoints	       ? SG_AUDIT_UNPINNED
						       : SG_AUDIT_UNSIGNED;
	(void)snprintf(v->rep.cause, sizeof(v->rep.cause), "ok");
	(void)snprintf(v->rep.text, sizeof(v->rep.text),
		"%" PRIu64 " lines from record %" PRIu64 ", %" PRIu64
		" signed checkpoints, head %" PRIu64 ":%s",
		v->rep.lines, v->rep.first, v->rep.checkpoints, v->next - 1, v->rep.head);
}

static int check_end(struct sg_verify *v)
{
	uint64_t line = v->file_line + 1;
	if (v->rep.lines == 0)
		return sg_verify_bad(v, "truncated", 1, "the log is empty");
	if (v->o->head && !v->seen_head)
		return sg_verify_bad(v, "truncated", line,
			"the log ends with record %" PRIu64 ", but the head is record %" PRIu64,
			v->next - 1, v->o->head_seq);
	if (v->kept.size && !v->seen_kept)
		return sg_verify_bad(v, "truncated", line,
			"the log ends with record %" PRIu64
			", but the kept checkpoint covers %" PRIu64 " records",
			v->next - 1, v->kept.size);
	if (v->anchor && !v->seen_anchor)
		return sg_verify_bad(v, "truncated", line,
			"the log ends with record %" PRIu64
			", and the kept checkpoint's token is in none of its lines",
			v->next - 1);
	if (v->original) {
		sg_verify_original_describe(v);
		return 0;
	}
	describe(v);
	if (v->o->n_keys && v->rep.trust == SG_AUDIT_UNSIGNED)
		return sg_verify_bad(
			v, "unsigned", line, "the log has no checkpoint signed by the given key");
	if (v->o->n_keys && v->rep.trust == SG_AUDIT_UNPINNED)
		return sg_verify_bad(v, "wrong-key", line,
			"the log is signed by %s, which is not the given key", v->rep.vkey);
	return 0;
}

static int stream(struct sg_verify *v, bool last_file, struct sg_error *err)
{
	struct sg_scan_line l;
	for (;;) {
		int r = sg_scan_next(&v->scan, &l, err);
		/* A line that is being written while we read is no torn line. */
		if (r > 0 || (r == 0 && l.torn && v->seen_head && v->live))
			return last_file ? check_end(v) : 0;
		if (r == 0)
			r = check_line(v, &l, err);
		if (r)
			return r;
	}
}

static int parse_kept(struct sg_verify *v, struct sg_error *err)
{
	const char *text = v->o->checkpoint;
	size_t n = text ? strlen(text) : 0;
	if (!text)
		return 0;
	if (memchr(text, '\n', n) && !strstr(text, "\n\n"))
		n = strcspn(text, "\n");
	if (strncmp(text, "eyJ", 3) == 0 && !memchr(text, ' ', n)) {
		v->anchor = text;
		return 0;
	}
	return strstr(text, "\n\n") ? sg_check_note_parse(text, n, &v->kept, err)
				    : sg_check_note_line(text, n, &v->kept, err);
}

int sg_audit_verify(const char *const *paths, size_t n_paths,
	const struct sg_audit_verify_options *o, struct sg_audit_report *ret, struct sg_error *err)
{
	struct sg_verify v = {.o = o, .live = o->wait_ms > 0};
	memset(v.prev, '0', 64);
	int r = parse_kept(&v, err);
	for (size_t i = 0; r == 0 && i < n_paths; i++) {
		v.rep.bad_file = i;
		v.file_line = 0;
		r = sg_scan_open(&v.scan, paths[i], err);
		if (r < 0)
			break;
		v.scan.wait_ms = i + 1 == n_paths && !v.seen_head ? o->wait_ms : 0;
		r = stream(&v, i + 1 == n_paths, err);
		sg_scan_close(&v.scan);
	}
	if (r >= 0)
		*ret = v.rep;
	return r;
}

int sg_audit_verify_file(const char *path, const char *expect_head, int64_t expect_seq,
	struct sg_audit_report *ret, struct sg_error *err)
{
	struct sg_audit_verify_options o = {.head = expect_head, .head_seq = (uint64_t)expect_seq};
	return sg_audit_verify(&path, 1, &o, ret, err);
}

int sg_audit_read_key(const char *text, uint8_t ret[SG_ED25519_KEY], struct sg_error *err)
{
	uint8_t type;
	size_t n = strlen(text);
	if (n < KEY_TEXT_MAX && text[0] != '/' && sg_check_vkey(text, n, &type, ret, NULL) == 0)
		return 0;
	return sg_ed25519_load_public(text, ret, err);
}
