/* [[tool]] tables made into tools: checked, their directories made, their confinement prepared. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/schema.h"
#include "tool/internal.h"

#define DEFAULT_TIMEOUT_S 30
#define DEFAULT_MEMORY_MB 512
#define DEFAULT_OUTPUT_BYTES (1 << 20)
#define DEFAULT_PROCESSES 64

struct sg_tools {
	struct sg_tool *list;
	const char **ids; /* borrowed from list */
	size_t n;
	char sandbox[96];
};

static const char *const effect_names[] = {"none", "read", "write", "external"};

const char *sg_effects_name(enum sg_effects e)
{
	return effect_names[e];
}

static void free_texts(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* A NULL-terminated copy of a list of strings; NULL when out of memory. */
static char **texts_of(const json_t *list)
{
	size_t i;
	const json_t *one;
	char **all = calloc(json_array_size(list) + 1, sizeof(*all));
	json_array_foreach (list, i, one)
		if (all && !(all[i] = strdup(json_string_value(one)))) {
			free_texts(all);
			return NULL;
		}
	return all;
}

static int check_schemas(struct sg_tool *t, const json_t *table, struct sg_error *err)
{
	const json_t *in = json_object_get(table, "input"), *out = json_object_get(table, "output");
	int r = in ? sg_schema_check(in, err) : 0;
	if (r < 0)
		return sg_error_prefix(err, "input");
	r = out ? sg_schema_check(out, err) : 0;
	if (r < 0)
		return sg_error_prefix(err, "output");
	t->input = in ? json_deep_copy(in) : json_pack("{s:s}", "type", "object");
	t->output = out ? json_deep_copy(out) : NULL;
	return t->input && (t->output || !out) ? 0 : sg_error_nomem(err);
}

static int absolute(const json_t *list, const char *what, struct sg_error *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach (list, i, one)
		if (*json_string_value(one) != '/')
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s: \"%.200s\" is not an absolute path", what,
				json_string_value(one));
	return 0;
}

static int check_paths(const struct sg_tool *t, const json_t *table, struct sg_error *err)
{
	const json_t *writes = json_object_get(table, "write_paths");
	if (t->argv[0][0] != '/')
		return sg_error_set(err, SG_EINVALID, NULL,
			"command: \"%.200s\" is not an absolute path", t->argv[0]);
	if (json_array_size(writes) && t->effects < SG_EFFECTS_WRITE)
		return sg_error_set(err, SG_EINVALID, NULL,
			"write_paths: a tool with side_effects \"%s\" writes nothing",
			sg_effects_name(t->effects));
	int r = absolute(json_object_get(table, "read_paths"), "read_paths", err);
	return r < 0 ? r : absolute(writes, "write_paths", err);
}

/* Its own environment: a fixed one and what the table adds. */
static int make_environment(struct sg_tool *t, const json_t *table, struct sg_error *err)
{
	json_t *given = json_object_get(table, "environment"), *v;
	const char *name;
	size_t n = 0;
	static const char *const fixed[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
		"TZ=UTC", "PYTHONDONTWRITEBYTECODE=1"};
	t->environment =
		calloc(json_object_size(given) + SG_ARRAY_LEN(fixed) + 3, sizeof(*t->environment));
	if (!t->environment)
		return sg_error_nomem(err);
	bool ok = true;
	for (size_t i = 0; ok && i < SG_ARRAY_LEN(fixed); i++)
		ok = (t->environment[n++] = strdup(fixed[i])) != NULL;
	ok = ok && asprintf(&t->environment[n], "HOME=%s", t->directory) > 0 && ++n;
	ok = ok && asprintf(&t->environment[n], "TMPDIR=%s", t->directory) > 0 && ++n;
	json_object_foreach (given, name, v) {
		if (strncmp(name, "STARGRAPH_", 10) == 0 || strncmp(name, "LD_", 3) == 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"environment: %.64s cannot be set here", name);
		ok = ok && asprintf(&t->environment[n], "%s=%s", name, json_string_value(v)) > 0 &&
		     ++n;
	}
	return ok ? 0 : sg_error_nomem(err);
}

static int make_directory(struct sg_tool *t, const char *parent, struct sg_error *err)
{
	if (asprintf(&t->directory, "%s/%s", parent, t->id) < 0) {
		t->directory = NULL;
		return sg_error_nomem(err);
	}
	if ((mkdir(parent, 0700) < 0 && errno != EEXIST) ||
		(mkdir(t->directory, 0700) < 0 && errno != EEXIST))
		return sg_error_errno(err, errno, "cannot make the directory %s", t->directory);
	char *whole = realpath(t->directory, NULL); /* it stands in its environment */
	if (!whole)
		return sg_error_errno(err, errno, "%s", t->directory);
	free(t->directory);
	t->directory = whole;
	return 0;
}

/* The command's files are readable, the own directory too; what has write effects may change it. */
static int confine(struct sg_tool *t, const json_t *table, struct sg_error *err)
{
	const json_t *reads = json_object_get(table, "read_paths"),
		     *writes = json_object_get(table, "write_paths");
	size_t n_argv = 0, n = 0, i;
	const json_t *one;
	while (t->argv[n_argv])
		n_argv++;
	sg_autofree const char **read_paths =
		calloc(json_array_size(reads) + n_argv + 2, sizeof(*read_paths));
	sg_autofree const char **write_paths =
		calloc(json_array_size(writes) + 2, sizeof(*write_paths));
	if (!read_paths || !write_paths)
		return sg_error_nomem(err);
	json_array_foreach (reads, i, one)
		read_paths[n++] = json_string_value(one);
	for (i = 0; i < n_argv; i++) {
		struct stat st;
		if (t->argv[i][0] == '/' && stat(t->argv[i], &st) == 0 && S_ISREG(st.st_mode))
			read_paths[n++] = t->argv[i];
	}
	json_array_foreach (writes, i, one)
		write_paths[i] = json_string_value(one);
	if (t->effects >= SG_EFFECTS_WRITE)
		write_paths[json_array_size(writes)] = t->directory;
	else
		read_paths[n++] = t->directory;
	return sg_sandbox_create(&t->confinement, read_paths, write_paths, err);
}

static enum sg_effects effects_of(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(effect_names); i++)
		if (strcmp(effect_names[i], name) == 0)
			return (enum sg_effects)i;
	return SG_EFFECTS_EXTERNAL;
}

/* A directory has its name. */
static bool good_id(const char *id)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._@-";
	return *id && *id != '.' && strlen(id) <= SG_TOOL_ID_MAX &&
	       strspn(id, letters) == strlen(id);
}

static int fill(struct sg_tool *t, const json_t *table, struct sg_error *err)
{
	const char *protocol = sg_json_text(table, "protocol"), *name = sg_json_text(table, "name");
	t->id = strdup(sg_json_text(table, "id"));
	t->name = strdup(name ? name : sg_json_text(table, "id"));
	t->argv = texts_of(json_object_get(table, "command"));
	t->permissions = texts_of(json_object_get(table, "permissions"));
	t->n_permissions = json_array_size(json_object_get(table, "permissions"));
	t->protocol = protocol && strcmp(protocol, "mcp") == 0 ? SG_TOOL_MCP : SG_TOOL_JSONL;
	t->effects = effects_of(sg_json_text(table, "side_effects"));
	t->timeout_us = sg_json_int(table, "timeout_seconds", DEFAULT_TIMEOUT_S) * 1000000;
	t->memory_bytes = sg_json_int(table, "memory_mb", DEFAULT_MEMORY_MB) << 20;
	t->output_bytes = sg_json_int(table, "output_bytes", DEFAULT_OUTPUT_BYTES);
	t->processes = sg_json_int(table, "processes", DEFAULT_PROCESSES);
	return t->id && t->name && t->argv && t->permissions ? 0 : sg_error_nomem(err);
}

static int make_tool(
	struct sg_tool *t, const json_t *table, const char *directory, struct sg_error *err)
{
	struct stat st;
	int r = fill(t, table, err);
	if (r == 0 && !good_id(t->id))
		r = sg_error_set(err, SG_EINVALID, NULL,
			"an id is letters, digits and . _ @ -, the first no dot");
	if (r == 0)
		r = check_paths(t, table, err);
	if (r == 0)
		r = check_schemas(t, table, err);
	if (r == 0 && (stat(t->argv[0], &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111)))
		r = sg_error_set(err, SG_EINVALID, NULL, "command: no program %s", t->argv[0]);
	if (r == 0)
		r = make_directory(t, directory, err);
	if (r == 0)
		r = make_environment(t, table, err);
	return r < 0 ? r : confine(t, table, err);
}

int sg_tool_sandbox_probe(char *ret_text, size_t size, struct sg_error *err)
{
	int abi = sg_sandbox_landlock_abi();
	bool seccomp = sg_sandbox_seccomp(), spaces = sg_sandbox_namespaces();
	char landlock[24] = "no-landlock";
	if (abi)
		(void)snprintf(landlock, sizeof(landlock), "landlock-%d", abi);
	(void)snprintf(ret_text, size, "%s %s %s", landlock, seccomp ? "seccomp" : "no-seccomp",
		spaces ? "pid-namespace" : "no-pid-namespace");
	if (abi && seccomp)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "tool-sandbox",
		"this kernel cannot confine tools (%s)", ret_text);
}

/* Nobody with this user may look into the server's memory once it starts programs. */
static int prepare_host(struct sg_tools *t, bool strict, struct sg_error *err)
{
	struct sg_error why;
	int r = sg_tool_sandbox_probe(t->sandbox, sizeof(t->sandbox), &why);
	if (r < 0 && strict) {
		*err = why;
		return r;
	}
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return sg_error_errno(err, errno, "cannot make this process non-dumpable");
	return 0;
}

int sg_tools_create(struct sg_tools **ret, const json_t *list, const char *directory, bool strict,
	struct sg_error *err)
{
	size_t n = json_array_size(list);
	struct sg_tools *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	t->list = calloc(n + 1, sizeof(*t->list));
	t->ids = calloc(n + 1, sizeof(*t->ids));
	int r = t->list && t->ids ? 0 : sg_error_nomem(err);
	if (r == 0 && n)
		r = prepare_host(t, strict, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const json_t *table = json_array_get(list, i);
		const char *id = sg_json_text(table, "id");
		if (sg_tools_find(t, id))
			r = sg_error_set(err, SG_EINVALID, NULL, "declared twice");
		t->n = i + 1;
		if (r == 0)
			r = make_tool(&t->list[i], table, directory, err);
		t->ids[i] = t->list[i].id;
		if (r < 0)
			(void)sg_error_prefix(err, "[[tool]] %s", id);
	}
	if (r < 0) {
		sg_tools_destroy(t);
		return r;
	}
	*ret = t;
	return 0;
}

void sg_tools_destroy(struct sg_tools *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->list && i < t->n; i++) {
		struct sg_tool *one = &t->list[i];
		free(one->id);
		free(one->name);
		free_texts(one->argv);
		free_texts(one->permissions);
		free_texts(one->environment);
		json_decref(one->input);
		json_decref(one->output);
		free(one->directory);
		sg_sandbox_destroy(one->confinement);
	}
	free(t->list);
	free((void *)(uintptr_t)t->ids);
	free(t);
}

const struct sg_tool *sg_tools_find(const struct sg_tools *t, const char *id)
{
	for (size_t i = 0; t && i < t->n; i++)
		if (t->list[i].id && strcmp(t->list[i].id, id) == 0)
			return &t->list[i];
	return NULL;
}

const char *const *sg_tools_ids(const struct sg_tools *t, size_t *ret_n)
{
	*ret_n = t ? t->n : 0;
	return t ? t->ids : NULL;
}

const char *sg_tools_sandbox(const struct sg_tools *t)
{
	return t->sandbox;
}
