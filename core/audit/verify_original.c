/* The Python original's chained log, so that an auditor who migrates keeps one tool. A line is
 *
 *   {"iat":N,"jws":"h.p.s","prev_sha256":"<64 hex>"|null,"record":{…},"seq":N,"v":1}
 *
 * with sorted keys; the token signs {iss, iat, seq, prev_sha256, record_sha256, log_id, v}, its
 * header's kid is the SHA-256 of the key; line 1 is the record fathom.genesis, which names both.
 * The line is taken apart as bytes: record_sha256 is over the very bytes of the record in it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "base/base64.h"
#include "base/json.h"

#define TOKEN_MAX 4096U /* bytes of one token */

struct original {
	uint64_t iat, seq;
	const char *jws, *prev, *record; /* prev: 64 digits, or NULL for null */
	size_t jws_len, record_len;
};

bool sg_verify_original_is(const struct sg_scan_line *l)
{
	static const char mark[] = "{\"iat\":";
	return l->len >= sizeof(mark) && memcmp(l->data, mark, sizeof(mark) - 1) == 0;
}

/* ,"seq":N,"v":1} at the end: where it begins, or NULL. */
static const char *find_tail(const char *from, const char *end, uint64_t *ret_seq)
{
	static const char last[] = ",\"v\":1}", seq[] = ",\"seq\":";
	const char *p = end - (sizeof(last) - 1);
	if (p <= from || memcmp(p, last, sizeof(last) - 1) != 0)
		return NULL;
	const char *stop = p;
	while (p > from && p[-1] >= '0' && p[-1] <= '9')
		p--;
	const char *at = p;
	if (p - from < (long)sizeof(seq) || !sg_scan_number(&at, stop, ret_seq) || at != stop)
		return NULL;
	p -= sizeof(seq) - 1;
	return memcmp(p, seq, sizeof(seq) - 1) == 0 ? p : NULL;
}

static bool take_prev(const char **p, const char *end, const char **ret)
{
	if (SG_SCAN_TEXT(p, end, "null")) {
		*ret = NULL;
		return true;
	}
	if (!SG_SCAN_TEXT(p, end, "\"") || end - *p < 64)
		return false;
	*ret = *p;
	*p += 64;
	return SG_SCAN_TEXT(p, end, "\"");
}

static bool take_apart(const struct sg_scan_line *l, struct original *ret)
{
	struct original o;
	const char *p = l->data, *end = l->data + l->len;
	if (!SG_SCAN_TEXT(&p, end, "{\"iat\":") || !sg_scan_number(&p, end, &o.iat) ||
		!SG_SCAN_TEXT(&p, end, ",\"jws\":\""))
		return false;
	o.jws = p;
	p = memchr(p, '"', (size_t)(end - p));
	if (!p)
		return false;
	o.jws_len = (size_t)(p - o.jws);
	if (!SG_SCAN_TEXT(&p, end, "\",\"prev_sha256\":") || !take_prev(&p, end, &o.prev) ||
		!SG_SCAN_TEXT(&p, end, ",\"record\":"))
		return false;
	const char *tail = find_tail(p, end, &o.seq);
	if (!tail || tail <= p)
		return false;
	o.record = p;
	o.record_len = (size_t)(tail - p);
	*ret = o;
	return true;
}

/* Is there a line with this sequence further on? */
static int comes_later(struct sg_verify *v, uint64_t want, struct sg_error *err)
{
	struct sg_scan_line l;
	struct original o;
	int r;
	while ((r = sg_scan_next(&v->scan, &l, err)) == 0)
		if (take_apart(&l, &o) && o.seq == want)
			return 1;
	return r < 0 ? r : 0;
}

static bool follows(const struct sg_verify *v, const struct original *o)
{
	return v->next == 0 ? !o->prev : o->prev && memcmp(o->prev, v->prev, 64) == 0;
}

static int explain_order(
	struct sg_verify *v, const struct original *o, uint64_t line, struct sg_error *err)
{
	if (follows(v, o))
		return sg_verify_bad(v, "edited", line,
			"line %" PRIu64 " was edited: its sequence is %" PRIu64 ", not %" PRIu64,
			line, o->seq, v->next);
	if (o->seq < v->next)
		return sg_verify_bad(v, "duplicate", line,
			"line %" PRIu64 " has sequence %" PRIu64 ", which was there before", line,
			o->seq);
	int later = comes_later(v, v->next, err);
	if (later < 0)
		return later;
	return sg_verify_bad(v, later ? "reordered" : "removed", line,
		later ? "sequence %" PRIu64 " comes only after line %" PRIu64
		      : "record %" PRIu64 " is missing before line %" PRIu64,
		v->next, line);
}

static int use_key(struct sg_verify *v, const char *fingerprint, struct sg_error *err)
{
	size_t n = v->o->n_keys;
	const uint8_t *keys = n ? v->o->keys : v->o->beside;
	if (!keys)
		return sg_error_set(err, SG_EINVALID, NULL,
			"the log is one of the Python original's, signed line by line: give the "
			"key that signed it");
	for (size_t i = 0; i < (n ? n : 1); i++) {
		const uint8_t *key = keys + i * SG_ED25519_KEY;
		sg_sha256_hex(key, SG_ED25519_KEY, v->kid);
		if (strcmp(v->kid, fingerprint) != 0)
			continue;
		memcpy(v->key, key, SG_ED25519_KEY);
		v->pinned = n > 0;
		return 0;
	}
	return sg_verify_bad(v, "wrong-key", 1,
		"the log names the key %s, which is not the given one", fingerprint);
}

static int genesis(struct sg_verify *v, const struct original *o, struct sg_error *err)
{
	json_t *record = NULL;
	if (sg_json_parse(o->record, o->record_len, &record, NULL) < 0)
		return sg_verify_bad(v, "malformed", 1, "line 1 holds no record");
	const char *type = json_string_value(json_object_get(record, "type"));
	const char *id = json_string_value(json_object_get(record, "log_id"));
	const char *key = json_string_value(json_object_get(record, "key_fingerprint"));
	int r;
	if (!type || strcmp(type, "fathom.genesis") != 0 || !id || !key ||
		strlen(id) >= sizeof(v->log_id)) {
		r = sg_verify_bad(v, "malformed", 1, "line 1 is not the record fathom.genesis");
	} else {
		(void)snprintf(v->log_id, sizeof(v->log_id), "%s", id);
		r = use_key(v, key, err);
	}
	json_decref(record);
	return r;
}

static json_t *part(const char *text, size_t n)
{
	uint8_t raw[TOKEN_MAX];
	json_t *value = NULL;
	int len = n <= TOKEN_MAX ? sg_base64url_decode(text, n, raw, sizeof(raw)) : -1;
	return len < 0 || sg_json_parse((const char *)raw, (size_t)len, &value, NULL) < 0 ? NULL
											  : value;
}

static bool text_is(const json_t *claims, const char *name, const char *want, size_t n)
{
	const json_t *have = json_object_get(claims, name);
	return json_is_string(have) && json_string_length(have) == n &&
	       memcmp(json_string_value(have), want, n) == 0;
}

static bool number_is(const json_t *claims, const char *name, uint64_t want)
{
	const json_t *have = json_object_get(claims, name);
	return json_is_integer(have) && (uint64_t)json_integer_value(have) == want;
}

/* What the token says otherwise than the line, or NULL. */
static const char *contradiction(
	const struct sg_verify *v, const struct original *o, const json_t *claims)
{
	char hex[SG_SHA256_HEX];
	sg_sha256_hex(o->record, o->record_len, hex);
	if (!text_is(claims, "record_sha256", hex, 64))
		return "record";
	if (!number_is(claims, "seq", o->seq))
		return "seq";
	if (!number_is(claims, "iat", o->iat))
		return "iat";
	if (o->prev ? !text_is(claims, "prev_sha256", o->prev, 64)
		    : !json_is_null(json_object_get(claims, "prev_sha256")))
		return "prev_sha256";
	if (!text_is(claims, "log_id", v->log_id, strlen(v->log_id)))
		return "log_id";
	if (!text_is(claims, "iss", "fathom-chain", 12) || !number_is(claims, "v", 1) ||
		json_object_size(claims) != 7)
		return "format";
	return NULL;
}

static int check_claims(
	struct sg_verify *v, const struct original *o, const char *payload, size_t n, uint64_t line)
{
	json_t *claims = part(payload, n);
	const char *what = contradiction(v, o, claims);
	json_decref(claims);
	return what ? sg_verify_bad(v, "edited", line,
			      "line %" PRIu64 " was edited: its %s is not what its token says",
			      line, what)
		    : 0;
}

static int check_token(struct sg_verify *v, const struct original *o, uint64_t line)
{
	const char *end = o->jws + o->jws_len;
	const char *one = memchr(o->jws, '.', o->jws_len);
	const char *two = one ? memchr(one + 1, '.', (size_t)(end - one - 1)) : NULL;
	uint8_t signature[SG_ED25519_SIGNATURE];
	if (!two || sg_base64url_decode(two + 1, (size_t)(end - two - 1), signature,
			    sizeof(signature)) != (int)sizeof(signature))
		return sg_verify_bad(
			v, "bad-signature", line, "the token in line %" PRIu64 " is none", line);
	json_t *header = part(o->jws, (size_t)(one - o->jws));
	bool eddsa = text_is(header, "alg", "EdDSA", 5);
	bool ours = text_is(header, "kid", v->kid, 64);
	json_decref(header);
	if (!sg_ed25519_verify(v->key, o->jws, (size_t)(two - o->jws), signature) || !eddsa)
		return sg_verify_bad(v, eddsa && !ours ? "wrong-key" : "bad-signature", line,
			"the token in line %" PRIu64 " is not signed by the log's key", line);
	if (!ours)
		return sg_verify_bad(v, "wrong-key", line,
			"the token in line %" PRIu64 " names another key", line);
	return check_claims(v, o, one + 1, (size_t)(two - one - 1), line);
}

int sg_verify_original_line(
	struct sg_verify *v, const struct sg_scan_line *l, uint64_t *ret_seq, struct sg_error *err)
{
	struct original o;
	uint64_t line = v->file_line + 1;
	if (l->torn)
		return sg_verify_bad(v, "torn-last-line", line,
			"line %" PRIu64 " has no end: the file stops in the middle of it", line);
	if (!take_apart(l, &o))
		return sg_verify_bad(
			v, "malformed", line, "line %" PRIu64 " is no line of a chained log", line);
	v->started = true;
	int r = o.seq == v->next ? 0 : explain_order(v, &o, line, err);
	if (r == 0 && o.seq == 0)
		r = genesis(v, &o, err);
	if (r == 0)
		r = check_token(v, &o, line);
	if (r == 0 && !follows(v, &o))
		r = sg_verify_bad(v, "rewritten", line,
			"line %" PRIu64 " is signed, but names another line before it", line);
	if (r)
		return r;
	*ret_seq = o.seq;
	if (v->anchor && strcspn(v->anchor, "\r\n") == o.jws_len &&
		memcmp(v->anchor, o.jws, o.jws_len) == 0)
		v->seen_anchor = true;
	return 0;
}

void sg_verify_original_describe(struct sg_verify *v)
{
	memcpy(v->rep.head, v->prev, sizeof(v->rep.head));
	v->rep.trust = v->pinned ? SG_AUDIT_PINNED : SG_AUDIT_UNPINNED;
	(void)snprintf(v->rep.vkey, sizeof(v->rep.vkey), "%s", v->kid);
	(void)snprintf(v->rep.cause, sizeof(v->rep.cause), "ok");
	(void)snprintf(v->rep.text, sizeof(v->rep.text),
		"%" PRIu64 " lines of the original's log %s, each signed, head %" PRIu64 ":%s",
		v->rep.lines, v->log_id, v->next - 1, v->rep.head);
}
