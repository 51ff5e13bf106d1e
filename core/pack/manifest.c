/* The manifest: who the pack is and what it was written against; and the rules' text. */
#include "pack/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "config/yaml.h"

static const char manifest_schema[] =
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"id\",\"version\"],"
	"\"properties\":{"
	"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64},"
	"\"version\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64},"
	"\"description\":{\"type\":\"string\"},"
	"\"requires\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
	"\"stargraph_facts_version\":{\"type\":\"string\"},"
	"\"api_version\":{\"type\":\"string\"}}},"
	"\"provides\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}";

static int check(const struct sg_yaml *y, struct sg_error *err)
{
	int r = sg_yaml_validate(y, manifest_schema, err);
	if (r < 0 || sg_id_valid(json_string_value(json_object_get(y->root, "id"))))
		return r;
	(void)sg_error_set(
		err, SG_EINVALID, NULL, "at /id: only letters, digits, '_', '.' and '-'");
	return sg_yaml_locate(y, "/id", err);
}

static int copy(const json_t *object, const char *name, char **ret, struct sg_error *err)
{
	const char *text = json_string_value(json_object_get(object, name));
	*ret = text ? strdup(text) : NULL;
	return !text || *ret ? 0 : sg_error_nomem(err);
}

static int compat(const char *id, const char *field, const char *wants, const char *have,
	struct sg_error *err)
{
	if (!wants || strcmp(wants, have) == 0)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "PackCompatError",
		"pack %s requires %s \"%.32s\"; this stargraph has \"%s\"", id, field, wants, have);
}

static int take_fields(struct sg_pack *p, const json_t *root, struct sg_error *err)
{
	const json_t *requires = json_object_get(root, "requires");
	int r = copy(root, "id", &p->id, err);
	if (r == 0)
		r = copy(root, "version", &p->version, err);
	if (r == 0)
		r = copy(requires, "stargraph_facts_version", &p->requires_facts, err);
	if (r == 0)
		r = copy(requires, "api_version", &p->requires_api, err);
	if (r == 0)
		r = compat(p->id, "stargraph_facts_version", p->requires_facts,
			SG_PACK_FACTS_VERSION, err);
	if (r == 0)
		r = compat(p->id, "api_version", p->requires_api, SG_PACK_API_VERSION, err);
	return r;
}

static int take_rules(
	struct sg_pack *p, const struct sg_pack_tree *tree, const char *dir, struct sg_error *err)
{
	const struct sg_pack_file *f = sg_pack_tree_find(tree, "rules.clp");
	if (!f)
		return sg_error_set(err, SG_EINVALID, NULL, "%s/rules.clp is missing", dir);
	if (strlen(f->data) != f->len)
		return sg_error_set(
			err, SG_EINVALID, NULL, "%s/rules.clp holds a NUL character", dir);
	p->rules = strdup(f->data);
	p->rules_len = f->len;
	if (!p->rules || asprintf(&p->where, "%s/rules.clp", dir) < 0) {
		p->where = NULL;
		return sg_error_nomem(err);
	}
	return 0;
}

int sg_pack_read_manifest(
	struct sg_pack *p, const struct sg_pack_tree *tree, const char *dir, struct sg_error *err)
{
	const struct sg_pack_file *f = sg_pack_tree_find(tree, "manifest.yaml");
	char name[4200];
	(void)snprintf(name, sizeof(name), "%.4096s/manifest.yaml", dir);
	if (!f)
		return sg_error_set(err, SG_EINVALID, NULL, "%s is missing", name);
	struct sg_yaml y;
	int r = sg_yaml_read_text(name, f->data, f->len, &y, err);
	if (r < 0)
		return r;
	r = check(&y, err);
	if (r == 0)
		r = take_fields(p, y.root, err);
	sg_yaml_finish(&y);
	return r < 0 ? r : take_rules(p, tree, dir, err);
}
