/* See patch.h. Arrays: what is equal at both ends stays, the elements between are taken one by one;
 * surplus ones are removed from the end of that part, missing ones added there. */
#include "base/patch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define PATH_MAX_BYTES (1U << 20)

struct diff {
	json_t *ops;
	struct sg_buf path;
	bool failed; /* out of memory */
};

static void add_op(struct diff *d, const char *op, const json_t *value)
{
	json_t *one = json_pack("{s:s, s:s}", "op", op, "path", d->path.data ? d->path.data : "");
	if (!one || (value && json_object_set(one, "value", (json_t *)(uintptr_t)value) < 0) ||
		json_array_append_new(d->ops, one) < 0)
		d->failed = true;
}

static void walk(struct diff *d, const json_t *a, const json_t *b);

/* One token of the path, escaped as RFC 6901 wants; returns what to cut back to. */
static size_t enter(struct diff *d, const char *name)
{
	size_t before = d->path.len;
	sg_buf_addc(&d->path, '/');
	for (const char *c = name; *c; c++)
		if (*c == '~')
			sg_buf_adds(&d->path, "~0");
		else if (*c == '/')
			sg_buf_adds(&d->path, "~1");
		else
			sg_buf_addc(&d->path, *c);
	d->failed = d->failed || d->path.failed;
	return before;
}

static size_t enter_index(struct diff *d, size_t i)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%zu", i);
	return enter(d, text);
}

static void leave(struct diff *d, size_t before)
{
	d->path.len = before;
	if (d->path.data)
		d->path.data[before] = '\0';
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of both, sorted, each once; caller frees. */
static const char **names_of(const json_t *a, const json_t *b, size_t *ret_n)
{
	const char **list = calloc(json_object_size(a) + json_object_size(b) + 1, sizeof(*list));
	const char *key;
	json_t *v;
	size_t n = 0, kept = 0;
	if (!list)
		return NULL;
	json_object_foreach ((json_t *)(uintptr_t)a, key, v)
		list[n++] = key;
	json_object_foreach ((json_t *)(uintptr_t)b, key, v)
		list[n++] = key;
	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++)
		if (!kept || strcmp(list[kept - 1], list[i]) != 0)
			list[kept++] = list[i];
	*ret_n = kept;
	return list;
}

static void walk_object(struct diff *d, const json_t *a, const json_t *b)
{
	size_t n = 0;
	sg_autofree const char **names = names_of(a, b, &n);
	d->failed = d->failed || !names;
	for (size_t i = 0; i < n && !d->failed; i++) {
		const json_t *was = json_object_get(a, names[i]),
			     *is = json_object_get(b, names[i]);
		size_t before = enter(d, names[i]);
		if (!is)
			add_op(d, "remove", NULL);
		else if (!was)
			add_op(d, "add", is);
		else
			walk(d, was, is);
		leave(d, before);
	}
}

static void walk_array(struct diff *d, const json_t *a, const json_t *b)
{
	size_t na = json_array_size(a), nb = json_array_size(b), head = 0, tail = 0;
	while (head < na && head < nb &&
		json_equal(json_array_get(a, head), json_array_get(b, head)))
		head++;
	while (tail < na - head && tail < nb - head &&
		json_equal(json_array_get(a, na - 1 - tail), json_array_get(b, nb - 1 - tail)))
		tail++;
	size_t both = (na < nb ? na : nb) - tail;
	for (size_t i = head; i < both && !d->failed; i++) {
		size_t before = enter_index(d, i);
		walk(d, json_array_get(a, i), json_array_get(b, i));
		leave(d, before);
	}
	for (size_t i = na - tail; i-- > both && !d->failed;) {
		size_t before = enter_index(d, i);
		add_op(d, "remove", NULL);
		leave(d, before);
	}
	for (size_t i = both; i < nb - tail && !d->failed; i++) {
		size_t before = enter_index(d, i);
		add_op(d, "add", json_array_get(b, i));
		leave(d, before);
	}
}

static void walk(struct diff *d, const json_t *a, const json_t *b)
{
	if (json_equal(a, b))
		return;
	if (json_is_object(a) && json_is_object(b))
		walk_object(d, a, b);
	else if (json_is_array(a) && json_is_array(b))
		walk_array(d, a, b);
	else
		add_op(d, "replace", b);
}

int sg_json_patch(const json_t *a, const json_t *b, json_t **ret, struct sg_error *err)
{
	struct diff d = {.ops = json_array(), .path = SG_BUF_INIT(PATH_MAX_BYTES)};
	json_auto_t *none = json_null();
	if (!d.ops)
		return sg_error_nomem(err);
	walk(&d, a ? a : none, b ? b : none);
	sg_buf_finish(&d.path);
	if (d.failed) {
		json_decref(d.ops);
		return sg_error_nomem(err);
	}
	*ret = d.ops;
	return 0;
}
