/* stargraph version: what was built, and with what. */
#include <stdio.h>

#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return sg_cli_usage(&sg_verb_version, "takes no arguments");
	return printf("stargraph %s\n", SG_VERSION) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_version = {
	.name = "version",
	.summary = "print the version",
	.usage = "usage: stargraph version\n",
	.run = run,
};
