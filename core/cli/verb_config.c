/* stargraph config: what is in force and where each value came from. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/cli.h"

static int print(const struct sg_cli_flags *flags, bool json, bool check)
{
	struct sg_config c;
	struct sg_error err = {0};
	if (sg_cli_load_config(flags, &c, &err) < 0)
		return sg_cli_fail(&err);
	int code = SG_EXIT_DONE;
	if (check && sg_config_gates(&c, &err) < 0)
		code = sg_cli_fail(&err);
	else if (sg_config_print(&c, stdout, json) < 0)
		code = SG_EXIT_FAILED;
	sg_config_finish(&c);
	return code;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"check", no_argument, NULL, 'c'}, {"reference", no_argument, NULL, 'r'}, {0}};
	struct sg_cli_flags flags;
	struct sg_error err = {0};
	bool json = false, check = false, reference = false;
	int o;
	if (sg_cli_take_flags(&argc, argv, &flags, &err) < 0)
		return sg_cli_usage(&sg_verb_config, "%s", err.text);
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == '?')
			return sg_cli_unknown_option(&sg_verb_config, argv, optind - 1);
		json |= o == 'j';
		check |= o == 'c';
		reference |= o == 'r';
	}
	if (optind < argc)
		return sg_cli_usage(&sg_verb_config, "takes no argument \"%s\"", argv[optind]);
	if (reference)
		return sg_config_print_reference(stdout) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
	return print(&flags, json, check);
}

const struct sg_verb sg_verb_config = {
	.name = "config",
	.summary = "print the configuration in force and where each value came from",
	.usage = "usage: stargraph config [--config FILE] [--json] [--check] [FLAG]…\n\n"
		 "  --config FILE  read FILE instead of /etc/stargraph/stargraph.toml\n"
		 "  --json         one JSON object instead of lines\n"
		 "  --check        first pass the gates that `serve` passes at its start\n"
		 "  --reference    print the table of all keys, as Markdown, and nothing else\n"
		 "  FLAG           any flag of that table, to see its effect\n",
	.run = run,
};
