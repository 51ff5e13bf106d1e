/* `when`: the mapping form becomes CLIPS patterns, compared by type; a text is taken as it is,
 * after the node ids that it names are looked up. What else it says is for rules to check.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pystr.h"
#include "graph/reader.h"

#define LHS_MAX 32768U

/* A condition on a str field: the text itself. A number stands for its text, as in the original; a
 * YAML truth value is nearly always an unquoted yes or no. */
static int text_condition(const struct sg_reader *r, const char *at, const struct sg_field *f,
	const json_t *v, struct sg_buf *out)
{
	sg_autobuf text = SG_BUF_INIT(LHS_MAX);
	if (json_is_boolean(v))
		return sg_reader_fail(r, at, 0,
			"%s is a str, and YAML read a truth value here; put the word in quotes",
			f->name);
	sg_pystr(v, &text);
	sg_buf_addf(out, "(%s (value ", f->name);
	sg_buf_add_clips_string(out, text.data ? text.data : "");
	sg_buf_adds(out, "))");
	return 0;
}

/* The value as the field's type, from a value of the type or its text. NULL: it is neither. */
static json_t *as_type(const struct sg_field *f, const json_t *v)
{
	const char *s = json_string_value(v);
	char *end;
	if (f->type == SG_BOOL) {
		if (json_is_boolean(v))
			return json_incref((json_t *)v);
		if (s && (strcmp(s, "True") == 0 || strcmp(s, "true") == 0))
			return json_true();
		return s && (strcmp(s, "False") == 0 || strcmp(s, "false") == 0) ? json_false()
										 : NULL;
	}
	if (json_is_number(v) && (f->type == SG_FLOAT || json_is_integer(v)))
		return f->type == SG_FLOAT ? json_real(json_number_value(v))
					   : json_incref((json_t *)v);
	if (!s || !*s)
		return NULL;
	if (f->type == SG_INT) {
		long long n = strtoll(s, &end, 10);
		return *end ? NULL : json_integer(n);
	}
	double d = strtod(s, &end);
	return *end || d - d != 0 ? NULL : json_real(d);
}

static int typed_condition(const struct sg_reader *r, const char *at, const struct sg_field *f,
	const json_t *v, struct sg_buf *out)
{
	json_t *typed = as_type(f, v);
	if (!typed)
		return sg_reader_fail(r, at, 0, "%s is a %s, so this condition could never be true",
			f->name, sg_field_type_name(f->type));
	sg_buf_addf(out, "(%s (typed ", f->name);
	if (json_is_boolean(typed))
		sg_buf_adds(out, json_is_true(typed) ? "TRUE" : "FALSE");
	else
		sg_pystr(typed, out);
	sg_buf_adds(out, "))");
	json_decref(typed);
	return 0;
}

static int condition(const struct sg_reader *r, const char *at, const struct sg_field *f,
	const json_t *v, struct sg_buf *out)
{
	if (!f->mirrored)
		return sg_reader_fail(r, at, 1, "rules do not see the field %s; %s", f->name,
			f->type == SG_LIST || f->type == SG_DICT
				? "only str, int, float and bool can be seen"
				: "declare it with route: true, under another name if CLIPS knows "
				  "the word");
	if (json_is_object(v) || json_is_array(v) || json_is_null(v))
		return sg_reader_fail(r, at, 0,
			"the condition on %s must be a text, a number or a truth value", f->name);
	return f->type == SG_STR ? text_condition(r, at, f, v, out)
				 : typed_condition(r, at, f, v, out);
}

static int unknown_condition(const struct sg_reader *r, const char *at, const char *key)
{
	sg_autofree const char **names = calloc(r->g->n_fields + 2, sizeof(*names));
	size_t n = 0;
	if (names) {
		names[n++] = "node";
		for (size_t i = 0; i < r->g->n_fields; i++)
			names[n++] = r->g->fields[i].name;
	}
	return sg_reader_unknown(r, at, 1, "no state field", key, names, n);
}

/* Patterns in the order node, then fields as declared: the order of keys means nothing. */
static int read_mapping(struct sg_reader *r, const char *pointer, const json_t *when,
	struct sg_buf *out, char **ret_node)
{
	char at[SG_GRAPH_POINTER_MAX];
	const json_t *node = json_object_get(when, "node");
	const char *key;
	json_t *v;
	if (json_object_size(when) == 0)
		return sg_reader_fail(r, pointer, 0,
			"when is empty; name a node, state fields, or both: {node: work, verdict: "
			"pass}");
	sg_reader_child(at, pointer, "node");
	if (node && !json_is_string(node))
		return sg_reader_fail(r, at, 0, "node must be a node id");
	if (node && sg_graph_find_node(r->g, json_string_value(node)) < 0)
		return sg_reader_no_node(r, at, json_string_value(node));
	if (node) {
		sg_buf_addf(out, "(node-id (id %s))", json_string_value(node));
		*ret_node = strdup(json_string_value(node));
	}
	json_object_foreach ((json_t *)when, key, v) {
		sg_reader_child(at, pointer, key);
		if (strcmp(key, "node") != 0 && !sg_graph_find_field(r->g, key))
			return unknown_condition(r, at, key);
	}
	for (size_t i = 0; i < r->g->n_fields; i++) {
		v = json_object_get(when, r->g->fields[i].name);
		if (!v)
			continue;
		if (out->len)
			sg_buf_addc(out, ' ');
		sg_reader_child(at, pointer, r->g->fields[i].name);
		int e = condition(r, at, &r->g->fields[i], v, out);
		if (e < 0)
			return e;
	}
	return 0;
}

static size_t id_length(const char *p)
{
	return strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
}

static const char *skip(const char *p, const char *word)
{
	p += strspn(p, " \t\r\n");
	size_t n = strlen(word);
	return strncmp(p, word, n) == 0 ? p + n : NULL;
}

/* Each (node-id (id NAME…)) of a text: NAME, also behind ~ | & when it is a plain word. */
static int check_text_nodes(
	struct sg_reader *r, const char *pointer, const char *text, char **ret_node)
{
	for (const char *p = strstr(text, "(node-id"); p; p = strstr(p + 1, "(node-id")) {
		const char *q = skip(p + strlen("(node-id"), "(id");
		if (!q || !isspace((unsigned char)*q))
			continue;
		for (q += strspn(q, " \t\r\n~"); id_length(q); q += strspn(q, " \t\r\n~|&")) {
			size_t n = id_length(q);
			sg_autofree char *id = strndup(q, n);
			if (!id)
				return sg_error_nomem(r->err);
			if (sg_graph_find_node(r->g, id) < 0)
				return sg_reader_no_node(r, pointer, id);
			q += n;
			if (!*ret_node && *skip(q, "") == ')' && q[-(ptrdiff_t)n - 1] != '~')
				*ret_node = sg_steal(id);
		}
	}
	return 0;
}

int sg_read_when(struct sg_reader *r, const char *pointer, const json_t *when, char **ret_lhs,
	char **ret_node)
{
	sg_autobuf out = SG_BUF_INIT(LHS_MAX);
	sg_autofree char *node = NULL;
	int e = 0;
	if (when && !json_is_null(when) && !json_is_string(when) && !json_is_object(when))
		return sg_reader_fail(
			r, pointer, 0, "when must be CLIPS patterns as a text, or a mapping");
	if (json_is_object(when)) {
		e = read_mapping(r, pointer, when, &out, &node);
	} else if (json_is_string(when)) {
		sg_buf_adds(&out, json_string_value(when));
		e = check_text_nodes(r, pointer, json_string_value(when), &node);
	}
	if (e < 0)
		return e;
	if (out.failed)
		return sg_reader_fail(r, pointer, 0, "when is longer than %u bytes", LHS_MAX);
	*ret_lhs = sg_buf_take(&out);
	*ret_node = sg_steal(node);
	return *ret_lhs ? 0 : sg_error_nomem(r->err);
}
