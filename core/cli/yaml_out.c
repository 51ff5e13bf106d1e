/* Block style; texts are plain only when nothing else could be meant, else JSON strings, which are
 * YAML too. (libyaml's emitter belongs to config's one file and would need a document tree.) */
#include "cli/yaml_out.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

static bool plain(const char *s)
{
	static const char *const taken[] = {
		"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
	size_t n = strlen(s);
	if (!isalpha((unsigned char)s[0]) ||
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n)
		return false;
	for (size_t i = 0; i < SG_ARRAY_LEN(taken); i++)
		if (strcasecmp(s, taken[i]) == 0)
			return false;
	return true;
}

static int write_scalar(const json_t *v, struct sg_buf *out, struct sg_error *err)
{
	if (json_is_string(v) && plain(json_string_value(v))) {
		sg_buf_adds(out, json_string_value(v));
		return 0;
	}
	if (json_is_real(v)) { /* 3.0 must not come back as a whole number */
		char text[32];
		(void)sg_json_number(json_real_value(v), text);
		sg_buf_adds(out, text);
		if (!strpbrk(text, ".e"))
			sg_buf_adds(out, ".0");
		return 0;
	}
	return sg_json_canonical(v, out, err);
}

static bool nested(const json_t *v)
{
	return (json_is_object(v) && json_object_size(v) > 0) ||
	       (json_is_array(v) && json_array_size(v) > 0);
}

static void indent(struct sg_buf *out, int depth)
{
	for (int i = 0; i < depth; i++)
		sg_buf_adds(out, "  ");
}

static int write_value(
	const json_t *v, int depth, bool inline_first, struct sg_buf *out, struct sg_error *err);

static int write_object(
	const json_t *v, int depth, bool inline_first, struct sg_buf *out, struct sg_error *err)
{
	const char *key;
	json_t *one;
	json_object_foreach ((json_t *)v, key, one) {
		if (!inline_first)
			indent(out, depth);
		inline_first = false;
		if (plain(key))
			sg_buf_adds(out, key);
		else
			sg_buf_add_json_string(out, key, strlen(key));
		sg_buf_adds(out, nested(one) ? ":\n" : ": ");
		int e = nested(one) ? write_value(one, depth + 1, false, out, err)
				    : write_scalar(one, out, err);
		if (e < 0)
			return e;
		if (!nested(one))
			sg_buf_addc(out, '\n');
	}
	return 0;
}

static int write_array(
	const json_t *v, int depth, bool inline_first, struct sg_buf *out, struct sg_error *err)
{
	size_t i;
	json_t *one;
	json_array_foreach ((json_t *)v, i, one) {
		if (!inline_first)
			indent(out, depth);
		inline_first = false;
		sg_buf_adds(out, "- ");
		int e = nested(one) ? write_value(one, depth + 1, true, out, err)
				    : write_scalar(one, out, err);
		if (e < 0)
			return e;
		if (!nested(one))
			sg_buf_addc(out, '\n');
	}
	return 0;
}

static int write_value(
	const json_t *v, int depth, bool inline_first, struct sg_buf *out, struct sg_error *err)
{
	return json_is_object(v) ? write_object(v, depth, inline_first, out, err)
				 : write_array(v, depth, inline_first, out, err);
}

int sg_yaml_write(const json_t *v, struct sg_buf *out, struct sg_error *err)
{
	if (nested(v))
		return write_value(v, 0, false, out, err);
	int e = write_scalar(v, out, err);
	sg_buf_addc(out, '\n');
	return e;
}
