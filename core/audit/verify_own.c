/* What the verifier reads of the log's records about itself. They are few, so Jansson parses them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "base/base64.h"
#include "base/json.h"

#define TS_LEN 27U

/* After ,"ts":" come 27 characters of time, then this. */
bool sg_verify_is_own(const struct sg_scan_line *l)
{
	static const char mark[] = "\",\"actor\":\"system\",\"type\":\"audit_";
	static const char ts[] = "\",\"ts\":\"";
	const char *at = memchr(l->data, ',', l->len < 32 ? l->len : 32);
	if (!at)
		return false;
	size_t skip = (size_t)(at - l->data) + 9 + 64 + sizeof(ts) - 1 + TS_LEN;
	return skip + sizeof(mark) <= l->len && memcmp(l->data + skip, mark, sizeof(mark) - 1) == 0;
}

static bool is_pinned(const struct sg_verify *v, const uint8_t key[SG_ED25519_KEY])
{
	for (size_t i = 0; i < v->o->n_keys; i++)
		if (memcmp(v->o->keys + i * SG_ED25519_KEY, key, SG_ED25519_KEY) == 0)
			return true;
	return false;
}

static void adopt_key(struct sg_verify *v, const char *vkey, size_t n)
{
	v->have_key = true;
	v->pinned |= is_pinned(v, v->key);
	(void)snprintf(v->rep.vkey, sizeof(v->rep.vkey), "%.*s", (int)n, vkey);
}

static int own_key(struct sg_verify *v, const json_t *payload, uint64_t line)
{
	const json_t *vkey = json_object_get(payload, "vkey");
	uint8_t type;
	if (!json_is_string(vkey) || v->have_key ||
		sg_check_vkey(
			json_string_value(vkey), json_string_length(vkey), &type, v->key, NULL) < 0)
		return sg_verify_bad(v, "malformed", line,
			"line %" PRIu64 " introduces no key, or a second one", line);
	adopt_key(v, json_string_value(vkey), json_string_length(vkey));
	return 0;
}

/* Older files are gone, and the key's introduction with them: is it one of those given? */
static bool find_key(struct sg_verify *v, const struct sg_check_note *note)
{
	for (size_t i = 0; i < v->o->n_keys && !v->have_key; i++) {
		if (sg_check_note_signed(note, v->o->keys + i * SG_ED25519_KEY) != SG_CHECK_GOOD)
			continue;
		memcpy(v->key, v->o->keys + i * SG_ED25519_KEY, SG_ED25519_KEY);
		v->have_key = v->pinned = true;
	}
	return v->have_key;
}

/* The note of a record: of this size and root, signed by the key in force. */
static int check_note(
	struct sg_verify *v, const json_t *payload, uint64_t line, struct sg_check_note *ret)
{
	const json_t *text = json_object_get(payload, "note");
	struct sg_error err = {0};
	sg_check_hash root;
	if (!json_is_string(text) || sg_check_note_parse(json_string_value(text),
					     json_string_length(text), ret, &err) < 0)
		return sg_verify_bad(v, "malformed", line,
			"line %" PRIu64 " holds no signed checkpoint: %s", line, err.text);
	sg_check_tree_root(&v->tree, root);
	if (ret->size != v->tree.size || memcmp(root, ret->root, sizeof(root)) != 0)
		return sg_verify_bad(v, "rewritten", line,
			"the signed checkpoint in line %" PRIu64
			" is over other lines than those before it",
			line);
	if (!v->have_key && !find_key(v, ret))
		return v->o->n_keys ? sg_verify_bad(v, "wrong-key", line,
					      "the checkpoint in line %" PRIu64
					      " is not signed by a given key",
					      line)
				    : 0;
	switch (sg_check_note_signed(ret, v->key)) {
	case SG_CHECK_GOOD: return 0;
	case SG_CHECK_BAD:
		return sg_verify_bad(v, "bad-signature", line,
			"the checkpoint in line %" PRIu64 " has a broken signature", line);
	default:
		return sg_verify_bad(v, "wrong-key", line,
			"the checkpoint in line %" PRIu64
			" is not signed by the key in force there",
			line);
	}
}

static int own_checkpoint(struct sg_verify *v, const json_t *payload, uint64_t line)
{
	struct sg_check_note note;
	int r = check_note(v, payload, line, &note);
	if (r == 0 && v->have_key) {
		v->rep.checkpoints++;
		v->rep.signed_size = note.size;
	}
	return r;
}

/* "key-rotation <old vkey> <new vkey>\n" */
static int own_rotation(struct sg_verify *v, const json_t *payload, uint64_t line)
{
	static const char word[] = "key-rotation ";
	struct sg_check_note note;
	uint8_t type, old[SG_ED25519_KEY], new[SG_ED25519_KEY];
	int r = check_note(v, payload, line, &note);
	if (r)
		return r;
	const char *at = note.extension, *end = at + note.extension_len;
	bool good =
		at && note.extension_len > sizeof(word) && memcmp(at, word, sizeof(word) - 1) == 0;
	const char *a = good ? at + sizeof(word) - 1 : NULL;
	const char *space = a ? memchr(a, ' ', (size_t)(end - a)) : NULL;
	size_t len = space ? (size_t)(end - 1 - (space + 1)) : 0;
	if (!space || sg_check_vkey(a, (size_t)(space - a), &type, old, NULL) < 0 ||
		sg_check_vkey(space + 1, len, &type, new, NULL) < 0)
		return sg_verify_bad(v, "malformed", line,
			"line %" PRIu64 " names no two keys to rotate between", line);
	if ((v->have_key && memcmp(old, v->key, sizeof(old)) != 0) ||
		sg_check_note_signed(&note, old) != SG_CHECK_GOOD ||
		sg_check_note_signed(&note, new) != SG_CHECK_GOOD)
		return sg_verify_bad(v, "wrong-key", line,
			"the key rotation in line %" PRIu64 " is not signed by both keys", line);
	memcpy(v->key, new, sizeof(new));
	adopt_key(v, space + 1, len);
	v->rep.checkpoints++;
	v->rep.signed_size = note.size;
	return 0;
}

int sg_verify_own(struct sg_verify *v, const struct sg_scan_line *l)
{
	json_t *record = NULL;
	uint64_t line = v->file_line + 1;
	int r = sg_json_parse(l->data, l->len, &record, NULL);
	if (r < 0)
		return sg_verify_bad(
			v, "malformed", line, "line %" PRIu64 " is no JSON object", line);
	const char *type = json_string_value(json_object_get(record, "type"));
	const json_t *payload = json_object_get(record, "payload");
	if (type && strcmp(type, "audit_key") == 0)
		r = own_key(v, payload, line);
	else if (type && strcmp(type, "audit_checkpoint") == 0)
		r = own_checkpoint(v, payload, line);
	else if (type && strcmp(type, "audit_key_rotation") == 0)
		r = own_rotation(v, payload, line);
	json_decref(record);
	return r;
}

static bool seed(struct sg_verify *v, const json_t *payload, uint64_t seq)
{
	sg_check_hash range[64];
	const json_t *list = json_object_get(payload, "range");
	size_t n = json_array_size(list);
	if (!json_is_array(list) || n > 64 ||
		(uint64_t)json_integer_value(json_object_get(payload, "size")) != seq)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *h = json_array_get(list, i);
		if (!json_is_string(h) ||
			sg_base64_decode(json_string_value(h), json_string_length(h), range[i],
				SG_SHA256_BYTES) != SG_SHA256_BYTES)
			return false;
	}
	return sg_check_tree_seed(&v->tree, seq, (const sg_check_hash *)range, n);
}

bool sg_verify_begin(struct sg_verify *v, const struct sg_scan_line *l, uint64_t seq)
{
	json_t *record = NULL;
	bool good = sg_verify_is_own(l) && sg_json_parse(l->data, l->len, &record, NULL) == 0;
	if (good) {
		const char *type = json_string_value(json_object_get(record, "type"));
		good = type && strcmp(type, "audit_rotated") == 0 &&
		       seed(v, json_object_get(record, "payload"), seq);
	}
	json_decref(record);
	if (good)
		v->next = v->rep.first = seq;
	return good;
}
