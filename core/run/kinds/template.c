/* template: renders "{field}" placeholders over the state into one text field. Pure.
 *
 * As Python's str.format with bare field names: {{ and }} are braces. Conversions and format
 * specifications are refused when the graph is loaded. Values are what Python's str() makes of
 * them; lists and dicts are their canonical JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"
#include "run/kinds.h"

#define MAX_OUTPUT (8U << 20) /* bytes of a rendered text */

/* A literal piece of the template, followed by a field (NULL = the end). */
struct piece {
	char *text; /* owned; braces unescaped */
	size_t len;
	char *field; /* owned */
};
struct template
{
	struct piece *pieces;
	size_t n;
};

static void release(void *data)
{
	struct template *t = data;
	for (size_t i = 0; t && i < t->n; i++) {
		free(t->pieces[i].text);
		free(t->pieces[i].field);
	}
	if (t)
		free(t->pieces);
	free(t);
}

static int add_piece(struct template *t, struct sg_buf *text, char *field)
{
	struct piece *p = realloc(t->pieces, (t->n + 1) * sizeof(*p));
	if (!p)
		return -1;
	t->pieces = p;
	size_t len = text->len;
	char *taken = sg_buf_take(text);
	if (!taken)
		return -1;
	p[t->n++] = (struct piece){.text = taken, .len = len, .field = field};
	*text = SG_BUF_INIT(MAX_OUTPUT);
	return 0;
}

/* s points behind '{'. The name's end, or NULL with *err. */
static const char *placeholder(
	const struct sg_kind_load *l, const char *s, char **ret_field, struct sg_error *err)
{
	size_t n = strcspn(s, "{}!:.[");
	if (s[n] != '}' || n == 0) {
		(void)sg_error_set(err, SG_EINVALID, NULL,
			"config.template: the placeholder \"{%.*s\" must be one bare state field "
			"name in braces; write {{ for a brace",
			(int)(strcspn(s, "}") + 1), s);
		return NULL;
	}
	char *name = strndup(s, n);
	if (!name) {
		(void)sg_error_nomem(err);
		return NULL;
	}
	if (!sg_graph_find_field(l->graph, name)) {
		(void)sg_error_set(
			err, SG_EINVALID, NULL, "config.template: no state field \"%s\"", name);
		free(name);
		return NULL;
	}
	*ret_field = name;
	return s + n + 1;
}

static int parse(
	struct template *t, const struct sg_kind_load *l, const char *s, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(MAX_OUTPUT);
	while (*s) {
		size_t n = strcspn(s, "{}");
		sg_buf_add(&text, s, n);
		s += n;
		if (!*s)
			break;
		if (s[1] == s[0]) {
			sg_buf_addc(&text, *s);
			s += 2;
			continue;
		}
		if (*s == '}')
			return sg_error_set(err, SG_EINVALID, NULL,
				"config.template: a single \"}\"; write }} for a brace");
		char *field = NULL;
		s = placeholder(l, s + 1, &field, err);
		if (!s)
			return -err->code;
		if (add_piece(t, &text, field) < 0) {
			free(field);
			return sg_error_nomem(err);
		}
	}
	return add_piece(t, &text, NULL) < 0 ? sg_error_nomem(err) : 0;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here;
	if (!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_STR), &here)) {
		*err = here;
		return -here.code;
	}
	struct template *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	int r = parse(t, l, json_string_value(json_object_get(l->node->config, "template")), &here);
	if (r < 0) {
		release(t);
		*err = here;
		return r;
	}
	*ret_data = t;
	return 0;
}

static int render(
	const struct template *t, const json_t *state, struct sg_buf *out, struct sg_error *err)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct piece *p = &t->pieces[i];
		sg_buf_add(out, p->text, p->len);
		if (!p->field)
			continue;
		const json_t *v = json_object_get(state, p->field);
		sg_pystr(v ? v : json_null(), out);
	}
	return out->failed ? sg_error_set(err, SG_ELIMIT, "template-too-long",
				     "the rendered template is longer than %u bytes", MAX_OUTPUT)
			   : 0;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	sg_autobuf out = SG_BUF_INIT(MAX_OUTPUT);
	int r = render(x->data, x->state, &out, err);
	if (r < 0)
		return r;
	const char *field = json_string_value(json_object_get(x->node->config, "out"));
	x->update = json_pack("{s:s#}", field, out.data ? out.data : "", (int)out.len);
	return x->update ? SG_EXEC_DONE : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_template = {
	.spec = {.name = "template",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"template\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"template\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
};
