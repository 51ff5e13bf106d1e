/* The tree of marks: see marks.h. */
#include "config/marks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sg_mark *sg_mark_add(struct sg_mark *m)
{
	if (m->n_children == m->room) {
		size_t room = m->room ? 2 * m->room : 4;
		struct sg_mark *p = reallocarray(m->children, room, sizeof(*p));
		if (!p)
			return NULL;
		m->children = p;
		m->room = room;
	}
	struct sg_mark *child = &m->children[m->n_children++];
	*child = (struct sg_mark){0};
	return child;
}

/* Recursion is as deep as the file was nested, which its reader bounds. */
static void finish(struct sg_mark *m)
{
	for (size_t i = 0; i < m->n_children; i++)
		finish(&m->children[i]);
	free(m->children);
	free(m->name);
}

void sg_mark_destroy(struct sg_mark *m)
{
	if (!m)
		return;
	finish(m);
	free(m);
}

/* Does the reference token at p (up to '/' or the end) name this key? */
static bool token_is(const char *p, const char *name)
{
	for (; *p && *p != '/'; p++, name++) {
		char c = *p;
		if (c == '~' && (p[1] == '0' || p[1] == '1'))
			c = *++p == '0' ? '~' : '/';
		if (c != *name)
			return false;
	}
	return *name == '\0';
}

static const struct sg_mark *child_of(const struct sg_mark *m, const char *p)
{
	if (m->n_children && !m->children[0].name) {
		char *end;
		unsigned long i = strtoul(p, &end, 10);
		return (*end == '/' || !*end) && i < m->n_children ? &m->children[i] : NULL;
	}
	for (size_t i = 0; i < m->n_children; i++)
		if (token_is(p, m->children[i].name))
			return &m->children[i];
	return NULL;
}

const struct sg_mark *sg_mark_find(const struct sg_mark *root, const char *pointer)
{
	const struct sg_mark *m = root;
	const char *p = pointer;
	while (*p == '/') {
		const struct sg_mark *child = child_of(m, ++p);
		if (!child)
			break;
		m = child;
		p += strcspn(p, "/");
	}
	return m;
}
