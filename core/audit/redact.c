/* Members that the configuration lists never reach the log: their values are replaced by the
 * SHA-256 of the value's canonical form. */
#include <stdio.h>
#include <string.h>

#include "audit/internal.h"
#include "base/cleanup.h"
#include "base/json.h"

/* Cheap first look: does any listed name stand in the text as a member's name? */
static bool mentions(const json_t *redact, const char *payload)
{
	size_t i;
	json_t *name;
	json_array_foreach ((json_t *)(uintptr_t)redact, i, name) {
		sg_autobuf b = SG_BUF_INIT(1 << 16);
		sg_buf_add_json_string(&b, json_string_value(name), json_string_length(name));
		sg_buf_addc(&b, ':');
		if (b.failed || strstr(payload, b.data))
			return true;
	}
	return false;
}

static bool listed(const json_t *redact, const char *name)
{
	size_t i;
	json_t *entry;
	json_array_foreach ((json_t *)(uintptr_t)redact, i, entry)
		if (strcmp(json_string_value(entry), name) == 0)
			return true;
	return false;
}

static int hide(json_t *object, const char *name, json_t *value, struct sg_error *err)
{
	char text[8 + SG_SHA256_HEX];
	memcpy(text, "sha256:", 7);
	int r = sg_json_hash(value, text + 7, err);
	if (r < 0)
		return r;
	return json_object_set_new(object, name, json_string(text)) < 0 ? sg_error_nomem(err) : 0;
}

/* Depth is bounded by the parser. */
static int clean(json_t *v, const json_t *redact, struct sg_error *err)
{
	const char *name;
	json_t *member;
	void *next;
	size_t i;
	int r = 0;
	json_object_foreach_safe (v, next, name, member) {
		r = listed(redact, name) ? hide(v, name, member, err) : clean(member, redact, err);
		if (r < 0)
			return r;
	}
	json_array_foreach (v, i, member) {
		r = clean(member, redact, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int sg_audit_redact(const struct sg_audit *a, const char *payload, struct sg_buf *out,
	const char **ret, struct sg_error *err)
{
	if (!a->redact || !mentions(a->redact, payload))
		return 0;
	json_t *v = NULL;
	int r = sg_json_parse(payload, strlen(payload), &v, err);
	if (r == 0)
		r = clean(v, a->redact, err);
	if (r == 0)
		r = sg_json_canonical(v, out, err);
	json_decref(v);
	if (r == 0)
		*ret = out->data;
	return r;
}
