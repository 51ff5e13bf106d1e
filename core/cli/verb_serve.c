/* stargraph serve: the HTTP core. */
#include <unistd.h>

#include "cli/cli.h"
#include "serve/serve.h"

static int run(int argc, char **argv)
{
	struct sg_cli_flags flags;
	struct sg_error err;
	if (sg_cli_take_flags(&argc, argv, &flags, &err) < 0)
		return sg_cli_usage(&sg_verb_serve, "%s", err.text);
	if (argc > 1)
		return sg_cli_unknown_option(&sg_verb_serve, argv, 1);
	const struct sg_serve_options o = {.config_path = flags.path,
		.flags = flags.flags,
		.n_flags = flags.n,
		.env = environ};
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
		 "reloads grants, deny list, edge users, certificates and rule packs.\n",
	.run = run,
};
