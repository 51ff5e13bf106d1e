/* stargraph counterfactual: a fork of a stored run, run here. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "config/yaml.h"

#define MAX_MUTATION (4U << 20)

struct arguments {
	struct sg_session_options session;
	struct sg_cli_packs packs;
	const char *run_id, *mutation, *actor;
	long step;
	bool inherit, json;
};

static int number(const char *text, long *ret)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (*end || end == text || n < 0)
		return sg_cli_usage(&sg_verb_counterfactual, "\"%s\" is not a step", text);
	*ret = n;
	return 0;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"step", required_argument, NULL, 'n'},
		{"mutation", required_argument, NULL, 'm'},
		{"model", required_argument, NULL, 'd'},
		{"pack", required_argument, NULL, 'p'},
		{"actor", required_argument, NULL, 'a'},
		{"inherit-answers", no_argument, NULL, 'i'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c, r = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->session.state_dir = optarg; break;
		case 'n': r = number(optarg, &a->step); break;
		case 'm': a->mutation = optarg; break;
		case 'd':
			a->session.model = optarg;
			a->session.with_model = true;
			break;
		case 'p': r = sg_cli_add_pack(&a->packs, &sg_verb_counterfactual, optarg); break;
		case 'a': a->actor = optarg; break;
		case 'i': a->inherit = true; break;
		case 'j': a->json = true; break;
		default: return sg_cli_usage(&sg_verb_counterfactual, "unknown option");
		}
	}
	if (r == 0 && (optind + 1 != argc || a->step < 0 || !a->mutation))
		return sg_cli_usage(&sg_verb_counterfactual,
			"one run id, --step N and --mutation FILE are needed");
	a->run_id = argv[optind];
	a->session.packs = &a->packs;
	return r;
}

/* YAML or JSON, which is YAML. */
static int read_mutation(const char *path, json_t **ret, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	size_t n = 0;
	struct sg_yaml y;
	int r = sg_file_read(path, MAX_MUTATION, &text, &n, err);
	if (r == 0)
		r = sg_yaml_read_text(path, text, n, &y, err);
	if (r < 0)
		return r;
	*ret = json_incref(y.root);
	sg_yaml_finish(&y);
	return 0;
}

static int print(struct sg_session *s, const struct arguments *a, const char *run_id,
	const char *cf_hash, struct sg_error *err)
{
	struct sg_run_view v;
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	int r = sg_engine_get(s->engine, run_id, &v, err);
	if (r < 0)
		return r;
	if (!a->json)
		(void)printf("%s forked from %s at step %ld, cf_hash %s\n", run_id, a->run_id,
			a->step, cf_hash);
	sg_session_summary(&v, &b);
	sg_run_view_finish(&v);
	if (b.failed)
		return sg_error_nomem(err);
	(void)printf("%.*s,\"cf_hash\":\"%s\",\"parent_run_id\":\"%s\",\"step\":%ld}\n",
		(int)b.len - 1, b.data, cf_hash, a->run_id, a->step);
	return 0;
}

static void accepted(void *ctx, const struct sg_run_view *v, const struct sg_error *err)
{
	(void)v;
	if (err)
		sg_session_settled(ctx, NULL, err);
}

static int fork_run(struct sg_session *s, const struct arguments *a, const json_t *mutation,
	struct sg_session_outcome *o, struct sg_error *err)
{
	const struct sg_fork_request what = {.step = a->step,
		.mutation = mutation,
		.inherit_answers = a->inherit,
		.who = {.actor = a->actor, .trigger_source = "counterfactual"}};
	struct sg_fork_handle h;
	int r = sg_engine_fork(
		s->engine, a->run_id, &what, accepted, sg_session_settled, o, &h, err);
	if (r == 0)
		r = sg_session_wait(s, &o->settled, err);
	if (r == 0 && o->err.code) {
		*err = o->err;
		r = -o->err.code;
	}
	return r < 0 ? r : print(s, a, h.run_id, h.cf_hash, err);
}

static int run(int argc, char **argv)
{
	struct arguments a = {.step = -1, .actor = "anonymous"};
	struct sg_session s;
	struct sg_session_outcome o = {0};
	struct sg_error err = {0};
	json_auto_t *mutation = NULL;
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	if (read_mutation(a.mutation, &mutation, &err) < 0 ||
		sg_session_open(&s, &a.session, &err) < 0)
		return sg_cli_fail(&err);
	int r = fork_run(&s, &a, mutation, &o, &err);
	sg_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : sg_session_exit(o.status);
}

const struct sg_verb sg_verb_counterfactual = {
	.name = "counterfactual",
	.summary = "fork a stored run at a step with a mutation",
	.usage =
		"usage: stargraph counterfactual RUN --step N --mutation FILE [--json]\n"
		"           [--inherit-answers] [--state-dir DIR] [--model DIR] [--pack DIR]…\n"
		"           [--actor NAME]\n\n"
		"  --step N           the step the mutation takes effect in\n"
		"  --mutation FILE    YAML or JSON: state_overrides, facts_assert, facts_retract,\n"
		"                     rule_pack_version, node_output_overrides, respond_payloads\n"
		"  --inherit-answers  take the parent's answers over; else questions are asked "
		"again\n"
		"  --json             only the last line\n"
		"  --state-dir DIR    where the run is stored (.stargraph)\n"
		"  --model DIR        the embedding model (HF_HOME)\n"
		"  --pack DIR         a signed rule pack, for rule_pack_version\n"
		"  --actor NAME       who asks (anonymous)\n\n"
		"The parent is not changed. Nothing outside is touched: results come from the\n"
		"parent's record, and a node that would need another one fails the fork. While a\n"
		"server owns the state directory, POST /v1/runs/RUN/counterfactual instead.\n",
	.run = run,
};
