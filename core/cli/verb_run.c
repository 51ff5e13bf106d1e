/* stargraph run: one run of one graph in this process, every step durable. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/trace.h"

struct arguments {
	const char *graph, *state_dir, *model;
	struct sg_cli_packs packs;
	json_t *inputs; /* owned */
	bool json, interactive, allow_side_effects, inspect;
	const char *config, *lm_url, *lm_model;
};

struct outcome {
	struct sg_session *session;
	bool settled;
	enum sg_run_status status;
	char run_id[SG_RUN_ID_TEXT];
	char *summary, *waiting; /* owned */
	struct sg_error err;	 /* code 0 = none */
};

static int add_input(struct arguments *a, const char *text)
{
	const char *eq = strchr(text, '=');
	if (!eq || eq == text)
		return sg_cli_usage(&sg_verb_run, "\"%s\" is not key=value", text);
	char *key = strndup(text, (size_t)(eq - text));
	int r = !key || json_object_set_new(a->inputs, key, json_string(eq + 1)) < 0;
	free(key);
	return r ? sg_cli_usage(&sg_verb_run, "\"%s\" is not valid UTF-8", text) : 0;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"inputs", required_argument, NULL, 'i'},
		{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"pack", required_argument, NULL, 'p'},
		{"config", required_argument, NULL, 'c'},
		{"lm-url", required_argument, NULL, 'u'},
		{"lm-model", required_argument, NULL, 'l'},
		{"allow-side-effects", no_argument, NULL, 'e'},
		{"summary-json", no_argument, NULL, 'j'},
		{"non-interactive", no_argument, NULL, 'n'},
		{"inspect", no_argument, NULL, 't'},
		{0},
	};
	int c, r = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "i:", options, NULL)) != -1) {
		switch (c) {
		case 'i': r = add_input(a, optarg); break;
		case 's': a->state_dir = optarg; break;
		case 'm': a->model = optarg; break;
		case 'c': a->config = optarg; break;
		case 'u': a->lm_url = optarg; break;
		case 'l': a->lm_model = optarg; break;
		case 'p': r = sg_cli_add_pack(&a->packs, &sg_verb_run, optarg); break;
		case 'j': a->json = true; break;
		case 'n': a->interactive = false; break;
		case 'e': a->allow_side_effects = true; break;
		case 't': a->inspect = true; break;
		default: return sg_cli_usage(&sg_verb_run, "bad option \"%s\"", argv[optind - 1]);
		}
	}
	if (r == 0 && optind + 1 != argc)
		return sg_cli_usage(&sg_verb_run, "one graph file is needed");
	a->graph = argv[optind];
	return r;
}

/* The graph's id, and whether it needs the model. */
static int look_at(const char *path, char **ret_id, bool *ret_embeds, struct sg_error *err)
{
	struct sg_graph *g = NULL;
	int r = sg_cli_load_graph(path, &g, err);
	if (r < 0)
		return r;
	*ret_embeds = sg_run_embeds(g);
	*ret_id = strdup(g->id);
	sg_graph_destroy(g);
	return *ret_id ? 0 : sg_error_nomem(err);
}

static void settled(void *ctx, const struct sg_run_view *v, const struct sg_error *err)
{
	struct outcome *o = ctx;
	o->settled = true;
	if (err) {
		o->err = *err;
		return;
	}
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	sg_session_summary(v, &b);
	free(o->summary);
	free(o->waiting);
	o->summary = sg_buf_take(&b);
	o->waiting = v->row.waiting ? strdup(v->row.waiting) : NULL;
	o->status = v->row.status;
}

/* One line a step; the rest is in the audit log. */
static bool show(void *ctx, const struct sg_event *ev)
{
	json_t *line = NULL;
	(void)ctx;
	if (strcmp(ev->type, "transition") != 0 ||
		sg_json_parse(ev->line, ev->len, &line, NULL) < 0)
		return true;
	const json_t *p = json_object_get(line, "payload");
	const char *to = json_string_value(json_object_get(p, "to_node")),
		   *rule = json_string_value(json_object_get(p, "rule_id")),
		   *reason = json_string_value(json_object_get(p, "reason"));
	(void)printf("  %-20s", json_string_value(json_object_get(p, "from_node")));
	if (to && *to)
		(void)printf(" -> %s", to);
	if (rule && *rule)
		(void)printf("  [%s]", rule);
	if (reason && *reason)
		(void)printf("  %s", reason);
	(void)putchar('\n');
	json_decref(line);
	return true;
}

/* Answers from the terminal while the run asks. */
static int converse(struct outcome *o, struct sg_error *err)
{
	const struct sg_caller who = {.actor = "cli", .trigger_source = "manual"};
	while (o->status == SG_RUN_WAITING && o->waiting && !o->err.code) {
		json_t *answer = NULL;
		int r = sg_ask(o->waiting, &answer, err);
		if (r != 0)
			return r < 0 ? r : 0;
		r = sg_engine_respond(
			o->session->engine, o->run_id, answer, &who, NULL, settled, o, err);
		json_decref(answer);
		if (r == -SG_EINVALID) {
			(void)printf("  %s\n", err->text);
			continue;
		}
		o->settled = false;
		if (r == 0)
			r = sg_session_wait(o->session, &o->settled, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int execute(struct sg_session *s, const struct arguments *a, const char *graph_id,
	struct outcome *o, struct sg_error *err)
{
	const struct sg_caller who = {.actor = "cli", .trigger_source = "manual"};
	struct sg_subscription *feed = NULL;
	o->session = s;
	int r = sg_engine_load(s->engine, a->graph, err);
	if (r == 0)
		r = sg_engine_start(s->engine, graph_id, a->inputs, true, &who, NULL, NULL, settled,
			o, o->run_id, err);
	if (r == 0)
		r = sg_session_wait(s, &o->settled, err);
	if (r < 0 || o->err.code)
		return r;
	if (!a->json) {
		(void)printf("%s\n", o->run_id);
		r = sg_engine_subscribe(s->engine, o->run_id, -1, show, NULL, &feed, err);
	}
	if (r == 0 && a->interactive)
		r = converse(o, err);
	sg_engine_unsubscribe(feed);
	return r;
}

static int run_graph(const struct arguments *a)
{
	struct sg_error err;
	struct sg_session s;
	struct outcome o = {0};
	sg_autofree char *id = NULL;
	struct sg_session_options with = {.state_dir = a->state_dir,
		.model = a->model,
		.packs = &a->packs,
		.config = a->config,
		.lm_url = a->lm_url,
		.lm_model = a->lm_model,
		.allow_side_effects = a->allow_side_effects};
	if (look_at(a->graph, &id, &with.with_model, &err) < 0 ||
		sg_session_open(&s, &with, &err) < 0)
		return sg_cli_fail(&err);
	int r = execute(&s, a, id, &o, &err);
	sg_session_close(&s);
	if (r == 0 && o.err.code) {
		err = o.err;
		r = -err.code;
	}
	int code = r < 0 ? sg_cli_fail(&err) : sg_session_exit(o.status);
	if (r == 0 && (!o.summary || puts(o.summary) < 0))
		code = SG_EXIT_FAILED;
	free(o.summary);
	free(o.waiting);
	return code;
}

/* Which rules would fire, and where they would lead: no node runs, nothing is kept. */
static int inspect(const struct arguments *a)
{
	struct sg_error err;
	if (sg_trace_print(a->graph, NULL, &a->packs, a->inputs, &err) < 0)
		return sg_cli_fail(&err);
	return fflush(stdout) == 0 ? SG_EXIT_DONE : SG_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct arguments a = {.interactive = isatty(STDIN_FILENO), .inputs = json_object()};
	int r = parse(argc, argv, &a);
	if (r == 0)
		r = a.inspect ? inspect(&a) : run_graph(&a);
	json_decref(a.inputs);
	return r;
}

const struct sg_verb sg_verb_run = {
	.name = "run",
	.summary = "run a graph in this process",
	.usage =
		"usage: stargraph run GRAPH [-i KEY=VALUE]… [--state-dir DIR] [--model DIR]\n"
		"                     [--pack DIR]… [--config FILE] [--allow-side-effects]\n"
		"                     [--lm-url URL --lm-model NAME]\n"
		"                     [--summary-json] [--non-interactive] [--inspect]\n\n"
		"  -i, --inputs KEY=VALUE  a field of the first state\n"
		"  --state-dir DIR         where steps and audit are kept (.stargraph)\n"
		"  --model DIR             the embedding model (below HF_HOME)\n"
		"  --pack DIR              a signed rule pack that the graph may mount; its key "
		"is\n"
		"                          pinned on first use\n"
		"  --config FILE           stargraph.toml that declares tools, stores and "
		"language\n"
		"                          models\n"
		"  --lm-url URL            a language model on this host "
		"(http://127.0.0.1:PORT/v1\n"
		"                          or unix:/path), instead of those of --config\n"
		"  --lm-model NAME         the model that it is asked for\n"
		"  --allow-side-effects    run nodes that write or reach outside\n"
		"  --inspect               print which rules fire where no node changes anything;\n"
		"                          nothing runs and nothing is kept\n"
		"  --summary-json          nothing but the last line\n"
		"  --non-interactive       do not ask on the terminal where the run waits\n\n"
		"The last line is JSON: run_id, status, reason, path, state, steps. Exit code: 0 "
		"done,\n"
		"1 failed, 2 usage or refusal, 3 waiting for input.\n",
	.run = run,
};
