/* Loading: read once, verify, then believe. */
#include "pack/pack.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "pack/manifest.h"
#include "pack/token.h"
#include "pack/tree.h"
#include "pack/trust.h"

void sg_pack_destroy(struct sg_pack *p)
{
	if (!p)
		return;
	free(p->dir);
	free(p->id);
	free(p->version);
	free(p->requires_facts);
	free(p->requires_api);
	free(p->rules);
	free(p->where);
	free(p->stored);
	free(p);
}

static int verify(struct sg_pack *p, const struct sg_pack_tree *tree,
	const struct sg_pack_trust *trust, struct sg_error *err)
{
	const struct sg_pack_file *jwt = sg_pack_tree_find(tree, "manifest.jwt");
	if (!jwt)
		return sg_pack_refuse(err, "unsigned", "manifest.jwt is missing");
	struct sg_pack_token token;
	struct sg_pack_key key;
	int r = sg_pack_token_parse(&token, jwt->data, jwt->len, err);
	if (r == 0)
		r = sg_pack_judge(trust, tree, &token, &key, &p->standing, err);
	char hash[65];
	if (r == 0)
		r = sg_pack_tree_hash(tree, token.hash, hash, err);
	if (r < 0)
		return r;
	if (strcmp(hash, token.tree_hash) != 0)
		return sg_pack_refuse(err, "tree-hash-mismatch",
			"%s of the files is %s, signed was %s", sg_pack_hash_name(token.hash), hash,
			token.tree_hash);
	p->signed_hash = token.hash;
	memcpy(p->key_id, token.key_id, sizeof(p->key_id));
	memcpy(p->key_fingerprint, key.fingerprint, sizeof(p->key_fingerprint));
	return sg_pack_tree_hash(tree, SG_PACK_SHA256, p->tree_sha256, err);
}

/* Every refusal names the directory, once, at the end: its first words are fixed. */
static int name_dir(const char *dir, int r, struct sg_error *err)
{
	if (err && strcmp(err->kind, "PackSignatureError") == 0) {
		size_t n = strlen(err->text);
		(void)snprintf(err->text + n, sizeof(err->text) - n, " (%s)", dir);
	}
	return r;
}

/* trust NULL: no signature is asked for. */
static int load(struct sg_pack **ret, const char *dir, const struct sg_pack_trust *trust,
	struct sg_error *err)
{
	struct sg_pack_tree tree;
	int r = sg_pack_tree_read(&tree, dir, err);
	if (r < 0)
		return r;
	struct sg_pack *p = calloc(1, sizeof(*p));
	if (p)
		p->dir = strdup(dir);
	r = p && p->dir ? 0 : sg_error_nomem(err);
	if (r == 0)
		r = trust ? verify(p, &tree, trust, err)
			  : sg_pack_tree_hash(&tree, SG_PACK_SHA256, p->tree_sha256, err);
	if (r == 0)
		r = sg_pack_read_manifest(p, &tree, dir, err);
	if (r == 0)
		r = sg_pack_store(p, &tree, err);
	sg_pack_tree_finish(&tree);
	if (r < 0) {
		sg_pack_destroy(p);
		return name_dir(dir, r, err);
	}
	*ret = p;
	return 0;
}

int sg_pack_load(struct sg_pack **ret, const char *dir, const struct sg_pack_trust *trust,
	struct sg_error *err)
{
	assert(trust); /* without one nothing would be verified */
	return load(ret, dir, trust, err);
}

int sg_pack_read(struct sg_pack **ret, const char *dir, struct sg_error *err)
{
	return load(ret, dir, NULL, err);
}
