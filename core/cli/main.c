/* stargraph: finds the verb and runs it. */
#include <getopt.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "cli/cli.h"

/* Sorted by name. */
static const struct sg_verb *const verbs[] = {
	&sg_verb_audit,
	&sg_verb_backup,
	&sg_verb_cancel,
	&sg_verb_compare,
	&sg_verb_compile,
	&sg_verb_config,
	&sg_verb_counterfactual,
	&sg_verb_doctor,
	&sg_verb_embed,
	&sg_verb_explain,
	&sg_verb_export,
	&sg_verb_import,
	&sg_verb_inspect,
	&sg_verb_model,
	&sg_verb_new,
	&sg_verb_pack,
	&sg_verb_replay,
	&sg_verb_respond,
	&sg_verb_resume,
	&sg_verb_restore,
	&sg_verb_run,
	&sg_verb_serve,
	&sg_verb_simulate,
	&sg_verb_store,
	&sg_verb_verify,
	&sg_verb_verify_audit,
	&sg_verb_version,
};

static const struct sg_verb *find(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

static int help(FILE *out)
{
	(void)fputs("usage: stargraph VERB [OPTION]… [ARGUMENT]…\n\n", out);
	for (size_t i = 0; i < SG_ARRAY_LEN(verbs); i++)
		(void)fprintf(out, "  %-14s %s\n", verbs[i]->name, verbs[i]->summary);
	(void)fputs("\n`stargraph help VERB` tells a verb's options.\n"
		    "Exit codes: 0 done, 1 failed, 2 usage or refusal, 3 waiting for input,\n"
		    "4 evidence does not verify, 5 unpinned.\n",
		out);
	return out == stdout ? SG_EXIT_DONE : SG_EXIT_USAGE;
}

static int unknown(const char *name)
{
	const char *names[SG_ARRAY_LEN(verbs) + 1];
	for (size_t i = 0; i < SG_ARRAY_LEN(verbs); i++)
		names[i] = verbs[i]->name;
	names[SG_ARRAY_LEN(verbs)] = "help";
	const char *near = sg_suggest(name, names, SG_ARRAY_LEN(names));
	(void)fprintf(stderr, "stargraph: no verb \"%s\"%s%s%s (`stargraph help` lists them)\n",
		name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return SG_EXIT_USAGE;
}

int sg_cli_fail(const struct sg_error *err)
{
	(void)fprintf(stderr, "stargraph: %s\n", err->text);
	switch (err->code) {
	case SG_EINVALID:
	case SG_EREFUSED:
	case SG_EDENIED:
	case SG_ENOTFOUND:
	case SG_ECONFLICT: return SG_EXIT_USAGE;
	case SG_ECORRUPT: return SG_EXIT_UNVERIFIED;
	default: return SG_EXIT_FAILED;
	}
}

int sg_cli_usage(const struct sg_verb *verb, const char *fmt, ...)
{
	va_list ap;
	(void)fprintf(stderr, "stargraph %s: ", verb->name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n%s", verb->usage);
	return SG_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return help(stderr);
	const char *name = argv[1];
	bool wants_help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0;
	if (wants_help && argc == 2)
		return help(stdout);
	if (wants_help)
		name = argv[2];
	if (strcmp(name, "--version") == 0)
		name = "version";
	const struct sg_verb *verb = find(name);
	if (!verb)
		return unknown(name);
	if (wants_help || (argc > 2 && strcmp(argv[2], "--help") == 0))
		return fputs(verb->usage, stdout) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
	optind = 0;
	opterr = 0; /* a wrong option is told by the verb, in one line */
	return verb->run(argc - 1, argv + 1);
}
