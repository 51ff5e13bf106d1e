/* Reading a pack's directory and hashing it as the original does (bosun/signing.py, _tree_hash).
 *
 * The original sorts pathlib paths, that is, component by component: "a/b" before "a.txt", although
 * '.' is less than '/'. UTF-8 bytes compare as its code points do. */
#include "pack/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/utf8.h"
#include "pack/blake3.h"

#define MAX_DEPTH 8

static void dir_finish(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int compare_paths(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const struct sg_pack_file *)a)->path;
	const unsigned char *y = (const unsigned char *)((const struct sg_pack_file *)b)->path;
	while (*x && *x == *y)
		x++, y++;
	int cx = *x == '/' ? 1 : *x == '\0' ? 0 : *x + 1;
	int cy = *y == '/' ? 1 : *y == '\0' ? 0 : *y + 1;
	return cx - cy;
}

int sg_pack_tree_add(
	struct sg_pack_tree *t, char *path, char *data, size_t len, struct sg_error *err)
{
	if (t->n_files == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		struct sg_pack_file *p = reallocarray(t->files, room, sizeof(*p));
		if (!p) {
			free(path);
			free(data);
			return sg_error_nomem(err);
		}
		t->files = p;
		t->room = room;
	}
	t->files[t->n_files++] = (struct sg_pack_file){path, data, len};
	t->bytes += len;
	return 0;
}

void sg_pack_tree_sort(struct sg_pack_tree *t)
{
	if (t->n_files)
		qsort(t->files, t->n_files, sizeof(*t->files), compare_paths);
}

static int read_entry(
	struct sg_pack_tree *t, const char *full, const char *rel, struct sg_error *err)
{
	if (t->n_files >= SG_PACK_MAX_FILES)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: a pack holds at most %u files", full,
			SG_PACK_MAX_FILES);
	char *data, *path;
	size_t len;
	int r = sg_file_read(full, SG_PACK_MAX_BYTES - t->bytes, &data, &len, err);
	if (r < 0)
		return r == -SG_ELIMIT ? sg_error_set(err, SG_ELIMIT, NULL,
						 "%s: a pack holds at most %u bytes", full,
						 SG_PACK_MAX_BYTES)
				       : r;
	path = strdup(rel);
	if (!path) {
		free(data);
		return sg_error_nomem(err);
	}
	return sg_pack_tree_add(t, path, data, len, err);
}

static int read_dir(struct sg_pack_tree *t, const char *full, const char *rel, unsigned depth,
	struct sg_error *err);

static int visit(struct sg_pack_tree *t, const char *dir, const char *rel, const char *name,
	unsigned depth, struct sg_error *err)
{
	char full[4096], below[4096];
	if ((size_t)snprintf(full, sizeof(full), "%s/%s", dir, name) >= sizeof(full) ||
		(size_t)snprintf(below, sizeof(below), "%s%s%s", rel, *rel ? "/" : "", name) >=
			sizeof(below))
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: the path is too long", dir);
	struct stat st;
	if (lstat(full, &st) < 0)
		return sg_error_errno(err, errno, "cannot stat %s", full);
	if (!sg_utf8_valid(below, strlen(below)))
		return sg_error_set(err, SG_EINVALID, NULL, "%s: a name is not UTF-8", dir);
	if (S_ISDIR(st.st_mode))
		return read_dir(t, full, below, depth + 1, err);
	if (!S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s: a pack holds regular files and directories only", full);
	return read_entry(t, full, below, err);
}

static int read_dir(struct sg_pack_tree *t, const char *full, const char *rel, unsigned depth,
	struct sg_error *err)
{
	if (depth > MAX_DEPTH)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: nested too deeply", full);
	SG_CLEANUP(dir_finish) DIR *d = opendir(full);
	if (!d && errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such directory", full);
	if (!d)
		return sg_error_errno(err, errno, "cannot open directory %s", full);
	const struct dirent *e;
	while ((errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int r = visit(t, full, rel, e->d_name, depth, err);
		if (r < 0)
			return r;
	}
	return errno ? sg_error_errno(err, errno, "cannot read directory %s", full) : 0;
}

int sg_pack_tree_read(struct sg_pack_tree *ret, const char *dir, struct sg_error *err)
{
	struct sg_pack_tree t = {0};
	int r = read_dir(&t, dir, "", 0, err);
	if (r < 0) {
		sg_pack_tree_finish(&t);
		return r;
	}
	sg_pack_tree_sort(&t);
	*ret = t;
	return 0;
}

void sg_pack_tree_finish(struct sg_pack_tree *t)
{
	for (size_t i = 0; i < t->n_files; i++) {
		free(t->files[i].path);
		free(t->files[i].data);
	}
	free(t->files);
	*t = (struct sg_pack_tree){0};
}

const struct sg_pack_file *sg_pack_tree_find(const struct sg_pack_tree *t, const char *path)
{
	for (size_t i = 0; i < t->n_files; i++)
		if (strcmp(t->files[i].path, path) == 0)
			return &t->files[i];
	return NULL;
}

static bool is_signing_artifact(const char *path)
{
	static const char suffix[] = ".pub.pem";
	size_t n = strlen(path), ns = sizeof(suffix) - 1;
	return strcmp(path, "manifest.jwt") == 0 || (n >= ns && strcmp(path + n - ns, suffix) == 0);
}

struct hasher {
	struct sg_sha256 *sha256; /* or NULL: blake3 */
	struct sg_blake3 blake3;
};

static void absorb(struct hasher *h, const void *data, size_t n)
{
	if (h->sha256)
		sg_sha256_update(h->sha256, data, n);
	else
		sg_blake3_update(&h->blake3, data, n);
}

static void absorb_file(struct hasher *h, const struct sg_pack_file *f)
{
	uint8_t len[8];
	for (int i = 0; i < 8; i++)
		len[i] = (uint8_t)((uint64_t)f->len >> (56 - 8 * i));
	absorb(h, f->path, strlen(f->path) + 1); /* with its NUL */
	absorb(h, len, sizeof(len));
	absorb(h, f->data, f->len);
}

int sg_pack_tree_hash(const struct sg_pack_tree *t, enum sg_pack_hash hash, char ret_hex[65],
	struct sg_error *err)
{
	struct hasher h = {0};
	uint8_t digest[32];
	if (hash == SG_PACK_SHA256) {
		h.sha256 = sg_sha256_create();
		if (!h.sha256)
			return sg_error_nomem(err);
	}
	sg_blake3_init(&h.blake3);
	for (size_t i = 0; i < t->n_files; i++)
		if (!is_signing_artifact(t->files[i].path))
			absorb_file(&h, &t->files[i]);
	if (h.sha256)
		sg_sha256_final(h.sha256, digest);
	else
		sg_blake3_final(&h.blake3, digest);
	sg_sha256_destroy(h.sha256);
	sg_hex_encode(digest, sizeof(digest), ret_hex);
	return 0;
}
