/* A pack's files, read once, and their hash. Internal to pack. */
#ifndef SG_PACK_TREE_H
#define SG_PACK_TREE_H

#include <stdint.h>

#include "pack/pack.h"

struct sg_pack_file {
	char *path; /* relative, with '/' */
	char *data; /* NUL-terminated, not counted */
	size_t len;
};

struct sg_pack_tree {
	struct sg_pack_file *files; /* in the order of the tree hash; all regular files */
	size_t n_files, room, bytes;
};

/* Refuses symbolic links, devices, names that are not UTF-8, more than the limits of pack.h. */
int sg_pack_tree_read(struct sg_pack_tree *ret, const char *dir, struct sg_error *err);
void sg_pack_tree_finish(struct sg_pack_tree *t);

/* Adds a file; takes path and data over, also on failure. sg_pack_tree_sort when all are there. */
int sg_pack_tree_add(
	struct sg_pack_tree *t, char *path, char *data, size_t len, struct sg_error *err);
void sg_pack_tree_sort(struct sg_pack_tree *t);

/* stored.c: fills p->stored. */
int sg_pack_store(struct sg_pack *p, const struct sg_pack_tree *tree, struct sg_error *err);

/* The file at a relative path, or NULL. */
const struct sg_pack_file *sg_pack_tree_find(const struct sg_pack_tree *t, const char *path);

/* 64 hex digits and NUL; manifest.jwt and *.pub.pem left out. */
int sg_pack_tree_hash(const struct sg_pack_tree *t, enum sg_pack_hash hash, char ret_hex[65],
	struct sg_error *err);

#endif
