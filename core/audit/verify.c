/* The verifier: streams a log, recomputes the chain, and names what is wrong with it. */
#include "audit/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit/scan.h"
#include "base/hash.h"

struct state {
	struct sg_scan scan;
	struct sg_audit_report rep;
	uint64_t next;		  /* sequence that the next line must have */
	char prev[SG_SHA256_HEX]; /* hash that it must name */
	const char *expect_head;  /* NULL = none */
	uint64_t expect_seq;
	bool seen_head, live;
};

__attribute__((format(printf, 4, 5))) static int bad(
	struct state *s, const char *cause, uint64_t line, const char *fmt, ...)
{
	va_list ap;
	s->rep.bad_line = line;
	(void)snprintf(s->rep.cause, sizeof(s->rep.cause), "%s", cause);
	va_start(ap, fmt);
	(void)vsnprintf(s->rep.text, sizeof(s->rep.text), fmt, ap);
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
static int successor_knows(struct state *s, const char *hex, struct sg_error *err)
{
	struct sg_scan_line l;
	uint64_t seq;
	const char *prev;
	int r = sg_scan_next(&s->scan, &l, err);
	if (r < 0)
		return r;
	if (r > 0)
		return s->expect_head && strcmp(s->expect_head, hex) == 0 ? 1 : 2;
	return sg_scan_chain(&l, &seq, &prev) && memcmp(prev, hex, 64) == 0;
}

/* Is there a line with this sequence further on? */
static int comes_later(struct state *s, uint64_t want, struct sg_error *err)
{
	struct sg_scan_line l;
	uint64_t seq;
	const char *prev;
	int r;
	while ((r = sg_scan_next(&s->scan, &l, err)) == 0)
		if (sg_scan_chain(&l, &seq, &prev) && seq == want)
			return 1;
	return r < 0 ? r : 0;
}

static int explain_gap(struct state *s, uint64_t line, uint64_t seq, struct sg_error *err)
{
	int later = comes_later(s, s->next, err);
	if (later < 0)
		return later;
	if (later)
		return bad(s, "reordered", line,
			"line %" PRIu64 " has sequence %" PRIu64 "; sequence %" PRIu64
			" comes only later",
			line, seq, s->next);
	return bad(s, "removed", line,
		"before line %" PRIu64 " the records %" PRIu64 " to %" PRIu64 " are missing", line,
		s->next, seq - 1);
}

static int explain_edit(struct state *s, uint64_t line, const char *hex, struct sg_error *err)
{
	int known = line == 1 ? 0 : successor_knows(s, hex, err);
	if (known < 0)
		return known;
	if (known == 0)
		return bad(s, "edited", line,
			"line %" PRIu64 " was edited: the line it names as its predecessor is not "
			"the one before it",
			line);
	return bad(s, "edited", line - 1,
		"line %" PRIu64 " was edited: its hash is not the one that line %" PRIu64 " names",
		line - 1, line);
}

/* The line at hand does not continue the chain: why? */
static int explain(struct state *s, const struct sg_scan_line *l, uint64_t seq, const char *prev,
	struct sg_error *err)
{
	uint64_t line = s->rep.lines + 1;
	char hex[SG_SHA256_HEX];
	hash_line(l, hex);
	bool follows = memcmp(prev, s->prev, 64) == 0;
	if (seq != s->next && follows)
		return bad(s, "edited", line,
			"line %" PRIu64 " was edited: its sequence is %" PRIu64 ", not %" PRIu64,
			line, seq, s->next);
	if (seq < s->next)
		return bad(s, "duplicate", line,
			"line %" PRIu64 " has sequence %" PRIu64 ", which was there before", line,
			seq);
	if (seq > s->next)
		return explain_gap(s, line, seq, err);
	return explain_edit(s, line, hex, err);
}

static int check_line(struct state *s, const struct sg_scan_line *l, struct sg_error *err)
{
	uint64_t seq, line = s->rep.lines + 1;
	const char *prev;
	if (l->torn)
		return bad(s, "torn-last-line", line,
			"line %" PRIu64 " has no end: the file stops in the middle of it", line);
	if (!sg_scan_chain(l, &seq, &prev))
		return bad(s, "malformed", line, "line %" PRIu64 " is no audit record", line);
	if (seq != s->next || memcmp(prev, s->prev, 64) != 0)
		return explain(s, l, seq, prev, err);
	hash_line(l, s->prev);
	if (s->expect_head && seq == s->expect_seq) {
		if (memcmp(s->prev, s->expect_head, 64) != 0)
			return bad(s, "edited", line,
				"line %" PRIu64 " was edited: it does not have the head's hash",
				line);
		s->seen_head = true;
		s->scan.wait_ms = 0;
	}
	s->next++;
	s->rep.lines++;
	s->rep.bytes += l->len + 1;
	return 0;
}

static int check_end(struct state *s)
{
	memcpy(s->rep.head, s->prev, sizeof(s->rep.head));
	if (s->rep.lines == 0)
		return bad(s, "truncated", 1, "the log is empty");
	if (s->expect_head && !s->seen_head)
		return bad(s, "truncated", s->rep.lines + 1,
			"the log ends with record %" PRIu64 ", but the head is record %" PRIu64,
			s->next - 1, s->expect_seq);
	(void)snprintf(s->rep.cause, sizeof(s->rep.cause), "ok");
	(void)snprintf(s->rep.text, sizeof(s->rep.text),
		"%" PRIu64 " lines, chain intact, head %" PRIu64 ":%s", s->rep.lines, s->next - 1,
		s->rep.head);
	return 0;
}

static int stream(struct state *s, struct sg_error *err)
{
	struct sg_scan_line l;
	for (;;) {
		int r = sg_scan_next(&s->scan, &l, err);
		if (r > 0)
			return check_end(s);
		/* A line that is being written while we read is no torn line. */
		if (r == 0 && l.torn && s->seen_head && s->live)
			return check_end(s);
		if (r == 0)
			r = check_line(s, &l, err);
		if (r)
			return r;
	}
}

int sg_audit_verify(const char *path, const struct sg_audit_verify_options *o,
	struct sg_audit_report *ret, struct sg_error *err)
{
	struct state s = {
		.expect_head = o->head, .expect_seq = o->head_seq, .live = o->wait_ms > 0};
	memset(s.prev, '0', 64);
	int r = sg_scan_open(&s.scan, path, err);
	if (r < 0)
		return r;
	s.scan.wait_ms = o->wait_ms;
	r = stream(&s, err);
	sg_scan_close(&s.scan);
	if (r >= 0)
		*ret = s.rep;
	return r;
}

int sg_audit_verify_file(const char *path, const char *expect_head, int64_t expect_seq,
	struct sg_audit_report *ret, struct sg_error *err)
{
	struct sg_audit_verify_options o = {.head = expect_head, .head_seq = (uint64_t)expect_seq};
	return sg_audit_verify(path, &o, ret, err);
}
