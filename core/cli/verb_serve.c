/* stargraph serve: the HTTP core. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "config/config.h"
#include "serve/serve.h"

static int run(int argc, char **argv)
{
	struct sg_config_flag flags[SG_CONFIG_MAX_FLAGS];
	struct sg_serve_options o = {.flags = flags, .env = environ};
	struct sg_error err;
	if (sg_config_take_flags(
		    &argc, argv, flags, SG_ARRAY_LEN(flags), &o.n_flags, &o.config_path, &err) < 0)
		return sg_cli_usage(&sg_verb_serve, "%s", err.text);
	if (argc > 1) {
		const char *near = sg_config_suggest_flag(argv[1] + strspn(argv[1], "-"));
		return sg_cli_usage(&sg_verb_serve, "unknown argument \"%s\"%s%s%s", argv[1],
			near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
	}
	return sg_serve(&o, &err) < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_serve = {
	.name = "serve",
	.summary = "serve runs over HTTP",
	.usage = "usage: stargraph serve [--config FILE] [--profile cleared|oss-default] "
		 "[--state-dir DIR]\n"
		 "                       [--host ADDRESS] [--port N] [--socket PATH] [--graph "
		 "PATH]…\n"
		 "                       [--tls-cert FILE --tls-key FILE --tls-ca-cert FILE\n"
		 "                        [--tls-crl FILE] [--tls-require-client-cert]]\n"
		 "Any flag that `stargraph config` names may be given. Runs until SIGTERM; SIGHUP\n"
		 "reloads grants, deny list, edge users and certificates.\n",
	.run = run,
};
