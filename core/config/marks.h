/* Where each value of a read file stood: a tree beside the Jansson values. Internal to config. */
#ifndef SG_CONFIG_MARKS_H
#define SG_CONFIG_MARKS_H

#include <stddef.h>

struct sg_mark {
	int line, column;	  /* of the value, from 1 */
	int key_line, key_column; /* of its key; 0 for list items and the root */
	char *name;		  /* owned; NULL for list items and the root */
	struct sg_mark *children; /* owned array */
	size_t n_children, room;
};

/* A new zeroed child, or NULL when out of memory. Earlier children may move: hold no pointer to
 * them across this call. */
struct sg_mark *sg_mark_add(struct sg_mark *m);
void sg_mark_destroy(struct sg_mark *m); /* and all below; NULL is fine */

/* The mark at an RFC 6901 pointer, or of its nearest known ancestor. */
const struct sg_mark *sg_mark_find(const struct sg_mark *root, const char *pointer);

#endif
