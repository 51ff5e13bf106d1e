/* The configuration of a verb: its flags out of argv, the file, the environment. */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int sg_cli_take_flags(int *argc, char **argv, struct sg_cli_flags *ret, struct sg_error *err)
{
	return sg_config_take_flags(
		argc, argv, ret->flags, SG_CONFIG_MAX_FLAGS, &ret->n, &ret->path, err);
}

int sg_cli_load_config(const struct sg_cli_flags *f, struct sg_config *ret, struct sg_error *err)
{
	return sg_config_load(ret, f->path, f->flags, f->n, environ, err);
}

int sg_cli_unknown_option(const struct sg_verb *verb, char *const *argv, int index)
{
	const char *arg = argv[index];
	if (strncmp(arg, "--", 2) != 0)
		return sg_cli_usage(verb, "no option \"%s\"", arg);
	const char *near = sg_config_suggest_flag(arg + 2);
	return sg_cli_usage(verb, "no option \"%s\"%s%s%s", arg, near ? "; did you mean --" : "",
		near ? near : "", near ? "?" : "");
}
