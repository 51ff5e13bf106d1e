/* stargraph simulate: which rules fire, on node outputs out of a file. No node runs. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/trace.h"

static int add_input(json_t *params, const char *text)
{
	const char *eq = strchr(text, '=');
	char *key = eq && eq != text ? strndup(text, (size_t)(eq - text)) : NULL;
	int bad = !key || json_object_set_new(params, key, json_string(eq + 1)) < 0;
	free(key);
	return bad ? sg_cli_usage(&sg_verb_simulate, "\"%s\" is not key=value", text) : 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"fixtures", required_argument, NULL, 'f'},
		{"inputs", required_argument, NULL, 'i'}, {"pack", required_argument, NULL, 'p'},
		{0}};
	struct sg_error err = {0};
	const char *fixtures = NULL;
	struct sg_cli_packs packs = {0};
	json_t *params = json_object();
	int o, code = 0;
	while (code == 0 && (o = getopt_long(argc, argv, "i:", options, NULL)) != -1) {
		if (o == 'f')
			fixtures = optarg;
		else if (o == 'i')
			code = add_input(params, optarg);
		else if (o == 'p')
			code = sg_cli_add_pack(&packs, &sg_verb_simulate, optarg);
		else
			code = sg_cli_usage(
				&sg_verb_simulate, "bad option \"%s\"", argv[optind - 1]);
	}
	if (code == 0 && (optind + 1 != argc || !fixtures))
		code = sg_cli_usage(
			&sg_verb_simulate, "a graph file and --fixtures FILE are needed");
	if (code == 0 && sg_trace_print(argv[optind], fixtures, &packs, params, &err) < 0)
		code = sg_cli_fail(&err);
	json_decref(params);
	return code == 0 && fflush(stdout) != 0 ? SG_EXIT_FAILED : code;
}

const struct sg_verb sg_verb_simulate = {
	.name = "simulate",
	.summary = "show which rules fire on node outputs out of a file",
	.usage =
		"usage: stargraph simulate GRAPH --fixtures FILE [-i key=value]… [--pack DIR]…\n\n"
		"  --fixtures FILE  YAML: node id: state update, one for each node ({} = nothing)\n"
		"  -i key=value     a field of the first state\n"
		"  --pack DIR       a rule pack that the graph mounts; its key is not pinned\n\n"
		"The rules really decide; no node runs and nothing is kept.\n",
	.run = run,
};
