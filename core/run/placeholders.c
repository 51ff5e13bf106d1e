/* See placeholders.h. */
#include "run/placeholders.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"

#define MAX_PIECE (8U << 20) /* bytes between two placeholders: a graph file is smaller */

/* A literal piece of the template, followed by a field (NULL = the end). */
struct piece {
	char *text; /* owned; braces unescaped */
	size_t len;
	char *field; /* owned */
};
struct sg_template {
	struct piece *pieces;
	size_t n;
};

void sg_template_destroy(struct sg_template *t)
{
	for (size_t i = 0; t && i < t->n; i++) {
		free(t->pieces[i].text);
		free(t->pieces[i].field);
	}
	if (t)
		free(t->pieces);
	free(t);
}

static int add_piece(struct sg_template *t, struct sg_buf *text, char *field)
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
	*text = SG_BUF_INIT(MAX_PIECE);
	return 0;
}

/* s points behind '{'. The name's end, or NULL with *err. */
static const char *placeholder(const struct sg_graph *g, const char *key, const char *s,
	char **ret_field, struct sg_error *err)
{
	size_t n = strcspn(s, "{}!:.[");
	if (s[n] != '}' || n == 0) {
		(void)sg_error_set(err, SG_EINVALID, NULL,
			"config.%s: the placeholder \"{%.*s\" must be one bare state field "
			"name in braces; write {{ for a brace",
			key, (int)(strcspn(s, "}") + 1), s);
		return NULL;
	}
	char *name = strndup(s, n);
	if (!name) {
		(void)sg_error_nomem(err);
		return NULL;
	}
	if (!sg_graph_find_field(g, name)) {
		(void)sg_error_set(
			err, SG_EINVALID, NULL, "config.%s: no state field \"%s\"", key, name);
		free(name);
		return NULL;
	}
	*ret_field = name;
	return s + n + 1;
}

static int parse(struct sg_template *t, const struct sg_graph *g, const char *key, const char *s,
	struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(MAX_PIECE);
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
				"config.%s: a single \"}\"; write }} for a brace", key);
		char *field = NULL;
		s = placeholder(g, key, s + 1, &field, err);
		if (!s)
			return -err->code;
		if (add_piece(t, &text, field) < 0) {
			free(field);
			return sg_error_nomem(err);
		}
	}
	return add_piece(t, &text, NULL) < 0 ? sg_error_nomem(err) : 0;
}

int sg_template_parse(struct sg_template **ret, const struct sg_graph *g, const char *key,
	const char *text, struct sg_error *err)
{
	struct sg_error here;
	struct sg_template *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	int r = parse(t, g, key, text, &here);
	if (r < 0) {
		sg_template_destroy(t);
		if (err)
			*err = here;
		return r;
	}
	*ret = t;
	return 0;
}

int sg_template_render(
	const struct sg_template *t, const json_t *state, struct sg_buf *out, struct sg_error *err)
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
				     "the rendered template is longer than %zu bytes", out->limit)
			   : 0;
}
