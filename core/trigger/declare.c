/* One [[trigger]] of stargraph.toml. The configuration's schema has checked names and types; here
 * is what it cannot say: which keys belong to which kind, graphs, schedules, secrets, grants. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/suggest.h"
#include "trigger/internal.h"

#define MAX_GRAPHS 4096 /* names offered when one is misspelt */

const char *const sg_trigger_kinds[3] = {"manual", "cron", "webhook"};
const char *const sg_trigger_missed[3] = {"skip", "run_once", "run_all"};

static int index_of(const char *const words[3], const char *word, int fallback)
{
	for (int i = 0; word && i < 3; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return fallback;
}

/* Keys that mean something for one kind only. */
static int check_keys(enum sg_trigger_kind kind, const json_t *d, struct sg_error *err)
{
	static const struct {
		const char *key;
		enum sg_trigger_kind kind;
		bool needed;
	} keys[] = {
		{"schedule", SG_TRIGGER_CRON, true},
		{"missed", SG_TRIGGER_CRON, false},
		{"secret_file", SG_TRIGGER_WEBHOOK, true},
		{"previous_secret_file", SG_TRIGGER_WEBHOOK, false},
		{"window_seconds", SG_TRIGGER_WEBHOOK, false},
		{"body_bytes", SG_TRIGGER_WEBHOOK, false},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(keys); i++) {
		bool there = json_object_get(d, keys[i].key) != NULL;
		if (there && keys[i].kind != kind)
			return sg_error_set(err, SG_EINVALID, NULL, "%s belongs to kind \"%s\"",
				keys[i].key, sg_trigger_kinds[keys[i].kind]);
		if (!there && keys[i].needed && keys[i].kind == kind)
			return sg_error_set(err, SG_EINVALID, NULL, "kind \"%s\" needs %s",
				sg_trigger_kinds[kind], keys[i].key);
	}
	return 0;
}

static int check_id(const struct sg_triggers *t, const char *id, struct sg_error *err)
{
	if (id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-")])
		return sg_error_set(
			err, SG_EINVALID, NULL, "id \"%s\": a-z, 0-9, _ and - only", id);
	return sg_triggers_find(t, id) < 0
		       ? 0
		       : sg_error_set(err, SG_EINVALID, NULL, "a second trigger \"%s\"", id);
}

static int check_graph(struct sg_engine *e, const char *graph_id, struct sg_error *err)
{
	const struct sg_graph *const *graphs;
	const char *names[MAX_GRAPHS];
	size_t n = sg_engine_graphs(e, &graphs);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(graphs[i]->id, graph_id) == 0)
			return 0;
		if (i < MAX_GRAPHS)
			names[i] = graphs[i]->id;
	}
	const char *near = sg_suggest(graph_id, names, n < MAX_GRAPHS ? n : MAX_GRAPHS);
	return sg_error_set(err, SG_EINVALID, "unknown-graph",
		"no graph \"%.128s\" is loaded%s%s%s", graph_id, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

static bool granted(const json_t *list, const char *need)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (sg_capability_covers(json_string_value(json_array_get(list, i)), need))
			return true;
	return false;
}

/* Under cleared nothing is granted that is not written down: to start runs, and what the graph
 * needs of stores and tools. A person's own grants hold for manual. */
static int check_grant(struct sg_engine *e, const struct trigger *g, const json_t *d,
	const struct sg_config *c, struct sg_error *err)
{
	json_auto_t *needs = NULL;
	size_t i;
	const json_t *need;
	const json_t *list = json_object_get(d, "capabilities");
	if (g->kind == SG_TRIGGER_MANUAL && list)
		return sg_error_set(err, SG_EINVALID, NULL,
			"capabilities: a manual trigger acts with those of the person");
	if (g->kind == SG_TRIGGER_MANUAL || c->profile != SG_PROFILE_CLEARED)
		return 0;
	if (!granted(list, "runs:start"))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"under cleared a trigger needs capabilities = [\"runs:start\"]");
	int r = sg_engine_needs(e, g->graph_id, &needs, err);
	json_array_foreach (needs, i, need)
		if (!granted(list, json_string_value(need)))
			return sg_error_set(err, SG_EREFUSED, NULL,
				"under cleared a trigger of graph %.128s needs \"%.128s\" among "
				"its "
				"capabilities",
				g->graph_id, json_string_value(need));
	return r;
}

/* The file's bytes, but for the line's end. */
static int read_secret(const char *path, struct secret *ret, struct sg_error *err)
{
	sg_autoclose int fd = -1;
	if (*path != '/')
		return sg_error_set(
			err, SG_EINVALID, NULL, "secret file %s: an absolute path expected", path);
	int r = sg_config_check_file_mode("secret file", path, true, &fd, err);
	if (r < 0)
		return r;
	unsigned char bytes[SG_TRIGGER_MAX_SECRET + 2];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	if (n >= SG_TRIGGER_MIN_SECRET && n <= SG_TRIGGER_MAX_SECRET) {
		memcpy(ret->bytes, bytes, (size_t)n);
		ret->n = (size_t)n;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ret->n ? 0
		      : sg_error_set(err, SG_EREFUSED, NULL,
				"secret file %s: %d to %d bytes expected", path,
				SG_TRIGGER_MIN_SECRET, SG_TRIGGER_MAX_SECRET);
}

static int declare_webhook(struct trigger *g, const json_t *d, struct sg_error *err)
{
	const char *before = sg_json_text(d, "previous_secret_file");
	g->window_s = sg_json_int(d, "window_seconds", 300);
	g->body_bytes = sg_json_int(d, "body_bytes", 65536);
	g->secrets = calloc(2, sizeof(*g->secrets));
	if (!g->secrets)
		return sg_error_nomem(err);
	int r = read_secret(sg_json_text(d, "secret_file"), &g->secrets[0], err);
	return r == 0 && before ? read_secret(before, &g->secrets[1], err) : r;
}

int sg_trigger_declare(struct sg_triggers *t, struct trigger *g, const json_t *d,
	const struct sg_config *c, struct sg_error *err)
{
	g->id = sg_json_text(d, "id");
	g->graph_id = sg_json_text(d, "graph");
	g->schedule = sg_json_text(d, "schedule");
	g->params = json_object_get(d, "params");
	g->kind = (enum sg_trigger_kind)index_of(sg_trigger_kinds, sg_json_text(d, "kind"), 0);
	g->missed = (enum missed)index_of(
		sg_trigger_missed, sg_json_text(d, "missed"), MISSED_RUN_ONCE);
	g->last = g->next = -1;
	int r = check_id(t, g->id, err);
	if (r == 0)
		r = check_keys(g->kind, d, err);
	if (r == 0)
		r = check_graph(t->engine, g->graph_id, err);
	if (r == 0)
		r = check_grant(t->engine, g, d, c, err);
	if (r == 0 && g->kind == SG_TRIGGER_CRON)
		r = sg_cron_parse(g->schedule, &g->cron, err);
	if (r == 0 && g->kind == SG_TRIGGER_WEBHOOK)
		r = declare_webhook(g, d, err);
	if (r == 0 && (asprintf(&g->actor, "trigger:%s", g->id) < 0 ||
			      asprintf(&g->source, "%s:%s", sg_trigger_kinds[g->kind], g->id) < 0))
		r = sg_error_nomem(err);
	return r;
}

void sg_trigger_finish(struct trigger *g)
{
	if (g->secrets)
		OPENSSL_cleanse(g->secrets, 2 * sizeof(*g->secrets));
	free(g->secrets);
	free(g->actor);
	free(g->source);
}
