/* See mounts.h. */
#include "run/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/suggest.h"
#include "pack/pack.h"

struct sg_mounts {
	struct sg_pack *packs[SG_MOUNTS_MAX];
	size_t n;
};

void sg_mounts_destroy(struct sg_mounts *m)
{
	for (size_t i = 0; m && i < m->n; i++)
		sg_pack_destroy(m->packs[i]);
	free(m);
}

static struct sg_pack *find(const struct sg_mounts *m, const char *id)
{
	for (size_t i = 0; m && i < m->n; i++)
		if (strcmp(m->packs[i]->id, id) == 0)
			return m->packs[i];
	return NULL;
}

const struct sg_pack *sg_mounts_find(const struct sg_mounts *m, const char *id)
{
	return find(m, id);
}

const struct sg_pack *sg_mounts_at(const struct sg_mounts *m, size_t i)
{
	return m && i < m->n ? m->packs[i] : NULL;
}

static int add(struct sg_mounts *m, const char *dir, const struct sg_pack_trust *trust,
	struct sg_error *err)
{
	struct sg_pack *p = NULL;
	if (m->n == SG_MOUNTS_MAX)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "%s: more than %d rule packs", dir, SG_MOUNTS_MAX);
	int r = sg_pack_load(&p, dir, trust, err);
	if (r < 0)
		return r;
	const struct sg_pack *old = find(m, p->id);
	if (old)
		r = sg_error_set(err, SG_EINVALID, NULL, "%s: pack id \"%s\" is that of %s already",
			dir, p->id, old->dir);
	else if (p->standing == SG_PACK_UNPINNED && trust->pins_dir) {
		r = sg_pack_pin(p, trust, err);
		p->pinned_now = r == 0;
	}
	if (r < 0) {
		sg_pack_destroy(p);
		return r;
	}
	m->packs[m->n++] = p;
	return 0;
}

/* Directories inside dir that have a manifest, by name. */
static int add_inside(struct sg_mounts *m, const char *dir, const struct sg_pack_trust *trust,
	struct sg_error *err)
{
	struct dirent **names;
	int r = 0, n = scandir(dir, &names, NULL, alphasort);
	if (n < 0)
		return sg_error_errno(err, errno, "[packs] directories: cannot read %s", dir);
	for (int i = 0; i < n; i++) {
		sg_autofree char *path = NULL;
		sg_autofree char *manifest = NULL;
		struct stat st;
		if (r == 0 && names[i]->d_name[0] != '.' &&
			asprintf(&path, "%s/%s", dir, names[i]->d_name) > 0 &&
			asprintf(&manifest, "%s/manifest.yaml", path) > 0 &&
			stat(manifest, &st) == 0)
			r = add(m, path, trust, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int sg_mounts_from_config(struct sg_mounts **ret, const struct sg_config *c, struct sg_error *err)
{
	const json_t *dirs = sg_json_pointer(c->file, "/packs/directories");
	struct sg_pack_trust trust = {0};
	struct sg_mounts *m = calloc(1, sizeof(*m));
	size_t i;
	json_t *one;
	if (!m)
		return sg_error_nomem(err);
	int r = json_array_size(dirs) ? sg_pack_trust_from_config(&trust, c, err) : 0;
	json_array_foreach ((json_t *)(uintptr_t)dirs, i, one)
		if (r == 0)
			r = add_inside(m, json_string_value(one), &trust, err);
	sg_pack_trust_finish(&trust);
	if (r < 0) {
		sg_mounts_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

int sg_mounts_from_directories(struct sg_mounts **ret, const char *const *dirs, size_t n,
	const char *pins_dir, struct sg_error *err)
{
	struct sg_pack_trust trust = {0};
	struct sg_mounts *m = calloc(1, sizeof(*m));
	if (!m)
		return sg_error_nomem(err);
	int r = sg_pack_trust_load(&trust, NULL, 0, pins_dir, err);
	trust.any_key = !pins_dir;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add(m, dirs[i], &trust, err);
	sg_pack_trust_finish(&trust);
	if (r < 0) {
		sg_mounts_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* ---- a graph's mounts ---- */

static int fail(const struct sg_graph *g, const struct sg_pack_mount *mount, struct sg_error *err,
	const char *text, const char *have)
{
	return sg_error_set(err, SG_EINVALID, NULL, "%s:%d:%d: pack \"%s\" %s%s", g->path,
		mount->line, mount->column, mount->id, text, have);
}

static int missing(const struct sg_mounts *m, const struct sg_graph *g,
	const struct sg_pack_mount *mount, struct sg_error *err)
{
	const char *ids[SG_MOUNTS_MAX];
	size_t n = 0;
	char text[200];
	for (; m && n < m->n; n++)
		ids[n] = m->packs[n]->id;
	const char *near = sg_suggest(mount->id, ids, n);
	(void)snprintf(text, sizeof(text), "is not installed here%s%.128s%s",
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return fail(g, mount, err, text, "");
}

static int check(const struct sg_graph *g, const struct sg_pack_mount *mount,
	const struct sg_pack *p, struct sg_error *err)
{
	if (mount->version && strcmp(mount->version, p->version) != 0) {
		char text[200];
		(void)snprintf(text, sizeof(text), "is mounted in version %.64s; installed is ",
			mount->version);
		return fail(g, mount, err, text, p->version);
	}
	if (mount->requires_facts && strcmp(mount->requires_facts, SG_PACK_FACTS_VERSION) != 0)
		return fail(g, mount, err, "requires another stargraph_facts_version; this is ",
			SG_PACK_FACTS_VERSION);
	if (mount->requires_api && strcmp(mount->requires_api, SG_PACK_API_VERSION) != 0)
		return fail(g, mount, err, "requires another api_version; this is ",
			SG_PACK_API_VERSION);
	return 0;
}

/* The packs of g and of the graphs in its nodes, each once. */
struct triples {
	struct sg_pack_triple *all;
	size_t n;
};

static int add_triple(struct triples *t, const struct sg_pack *p, struct sg_error *err)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->all[i].id, p->id) == 0)
			return 0;
	struct sg_pack_triple *grown = realloc(t->all, (t->n + 1) * sizeof(*grown));
	if (!grown)
		return sg_error_nomem(err);
	t->all = grown;
	grown[t->n++] = (struct sg_pack_triple){p->id, p->tree_sha256, p->version};
	return 0;
}

static int collect(const struct sg_mounts *m, const struct sg_graph *g, struct triples *t,
	struct sg_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->n_governance; i++) {
		const struct sg_pack *p = find(m, g->governance[i].id);
		r = p ? check(g, &g->governance[i], p, err) : missing(m, g, &g->governance[i], err);
		if (r == 0)
			r = add_triple(t, p, err);
	}
	for (size_t i = 0; r == 0 && i < g->n_nodes; i++)
		if (g->nodes[i].subgraph)
			r = collect(m, g->nodes[i].subgraph, t, err);
	return r;
}

int sg_mounts_check(const struct sg_mounts *m, const struct sg_graph *g, struct sg_error *err)
{
	struct triples t = {0};
	int r = collect(m, g, &t, err);
	free(t.all);
	return r;
}

int sg_mounts_bind(const struct sg_mounts *m, struct sg_graph *g, struct sg_rules_pack **ret,
	size_t *ret_n, struct sg_error *err)
{
	struct sg_rules_pack *packs = calloc(g->n_governance + 1, sizeof(*packs));
	struct triples t = {0};
	int r = packs ? collect(m, g, &t, err) : sg_error_nomem(err);
	for (size_t i = 0; r == 0 && i < g->n_governance; i++) {
		const struct sg_pack *p = find(m, g->governance[i].id);
		packs[i] = (struct sg_rules_pack){.id = p->id,
			.version = p->version,
			.text = p->rules,
			.len = p->rules_len,
			.where = p->where};
	}
	if (r == 0 && t.n)
		r = sg_graph_bind_packs(g, t.all, t.n, err);
	free(t.all);
	if (r < 0) {
		free(packs);
		return r;
	}
	*ret = packs;
	*ret_n = g->n_governance;
	return 0;
}

/* ---- packs of the record ---- */

int sg_mounts_from_stored(struct sg_mounts **ret, const char *const *texts, const size_t *lens,
	size_t n, struct sg_error *err)
{
	struct sg_mounts *m = calloc(1, sizeof(*m));
	int r = m ? 0 : sg_error_nomem(err);
	if (r == 0 && n > SG_MOUNTS_MAX)
		r = sg_error_set(err, SG_ELIMIT, NULL, "more than %d rule packs", SG_MOUNTS_MAX);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = sg_pack_load_stored(&m->packs[m->n], texts[i], lens[i], "recorded pack", err);
		m->n += r == 0;
	}
	if (r < 0) {
		sg_mounts_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

size_t sg_mounts_of(const struct sg_mounts *m, const struct sg_graph *g,
	const struct sg_pack *ret[], size_t max)
{
	struct triples t = {0};
	size_t n = 0;
	if (m && collect(m, g, &t, NULL) == 0)
		for (size_t i = 0; i < t.n && n < max; i++)
			ret[n++] = find(m, t.all[i].id);
	free(t.all);
	return n;
}
