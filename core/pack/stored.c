/* A pack as one text, so that a store or an evidence file can keep the rules a run decided by. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "pack/manifest.h"
#include "pack/tree.h"

#define TEXT_MAX (SG_PACK_MAX_BYTES * 2U)

int sg_pack_store(struct sg_pack *p, const struct sg_pack_tree *tree, struct sg_error *err)
{
	json_auto_t *files = json_object();
	sg_autobuf text = SG_BUF_INIT(TEXT_MAX);
	for (size_t i = 0; i < tree->n_files; i++) {
		const struct sg_pack_file *f = &tree->files[i];
		sg_autobuf b = SG_BUF_INIT(TEXT_MAX);
		sg_base64_add(&b, f->data, f->len);
		if (b.failed ||
			json_object_set_new(files, f->path, json_string(b.data ? b.data : "")) < 0)
			return sg_error_nomem(err);
	}
	int r = files ? sg_json_canonical(files, &text, err) : sg_error_nomem(err);
	if (r < 0)
		return r;
	p->stored_len = text.len;
	p->stored = sg_buf_take(&text);
	return p->stored ? 0 : sg_error_nomem(err);
}

static int add(struct sg_pack_tree *t, const char *path, const json_t *value, const char *name,
	struct sg_error *err)
{
	size_t n = json_string_length(value);
	if (t->n_files == SG_PACK_MAX_FILES || t->bytes + n > TEXT_MAX)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s: the pack is too large", name);
	char *own = strdup(path);
	uint8_t *data = malloc(n + 1);
	if (!own || !data) {
		free(own);
		free(data);
		return sg_error_nomem(err);
	}
	int len = json_is_string(value) ? sg_base64_decode(json_string_value(value), n, data, n)
					: -SG_EINVALID;
	if (len < 0) {
		free(own);
		free(data);
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s: the file %.200s is not base64", name, path);
	}
	data[len] = '\0';
	return sg_pack_tree_add(t, own, (char *)data, (size_t)len, err);
}

static int read_tree(
	struct sg_pack_tree *t, const json_t *files, const char *name, struct sg_error *err)
{
	const char *path;
	json_t *value;
	int r = json_is_object(files)
			? 0
			: sg_error_set(err, SG_EINVALID, NULL, "%s: no object of files", name);
	json_object_foreach ((json_t *)(uintptr_t)files, path, value) {
		r = add(t, path, value, name, err);
		if (r < 0)
			return r;
	}
	sg_pack_tree_sort(t);
	return r;
}

int sg_pack_load_stored(
	struct sg_pack **ret, const char *text, size_t n, const char *name, struct sg_error *err)
{
	struct sg_pack_tree tree = {0};
	json_auto_t *files = NULL;
	struct sg_pack *p = calloc(1, sizeof(*p));
	int r = p ? sg_json_parse(text, n, &files, err) : sg_error_nomem(err);
	if (r == 0)
		r = read_tree(&tree, files, name, err);
	if (r == 0)
		r = sg_pack_tree_hash(&tree, SG_PACK_SHA256, p->tree_sha256, err);
	if (r == 0)
		r = sg_pack_read_manifest(p, &tree, name, err);
	if (r == 0 && !(p->dir = strdup(name)))
		r = sg_error_nomem(err);
	sg_pack_tree_finish(&tree);
	if (r < 0) {
		sg_pack_destroy(p);
		return r;
	}
	*ret = p;
	return 0;
}
