/* The command line: one verb a file (verb_<name>.c), one sorted table (main.c). */
#ifndef SG_CLI_CLI_H
#define SG_CLI_CLI_H

#include "base/error.h"
#include "config/config.h"

/* The one table of exit codes (docs/reference/cli.md). */
enum sg_exit {
	SG_EXIT_DONE = 0,
	SG_EXIT_FAILED = 1,
	SG_EXIT_USAGE = 2,	/* usage, refusal, bad input */
	SG_EXIT_WAITING = 3,	/* a run waits for input */
	SG_EXIT_UNVERIFIED = 4, /* evidence does not verify */
	SG_EXIT_UNPINNED = 5,	/* verifies, but with a key that travelled with the data */
};

struct sg_verb {
	const char *name, *summary;
	const char *usage; /* printed by `stargraph help VERB` and after a usage error */
	/* argv[0] is the verb; getopt_long is reset, and says nothing itself. Returns an exit code.
	 */
	int (*run)(int argc, char **argv);
};

extern const struct sg_verb sg_verb_compare;
extern const struct sg_verb sg_verb_compile;
extern const struct sg_verb sg_verb_config;
extern const struct sg_verb sg_verb_counterfactual;
extern const struct sg_verb sg_verb_doctor;
extern const struct sg_verb sg_verb_embed;
extern const struct sg_verb sg_verb_import;
extern const struct sg_verb sg_verb_model;
extern const struct sg_verb sg_verb_new;
extern const struct sg_verb sg_verb_pack;
extern const struct sg_verb sg_verb_cancel, sg_verb_inspect, sg_verb_respond, sg_verb_resume;
extern const struct sg_verb sg_verb_explain;
extern const struct sg_verb sg_verb_export, sg_verb_replay, sg_verb_verify;
extern const struct sg_verb sg_verb_run;
extern const struct sg_verb sg_verb_serve;
extern const struct sg_verb sg_verb_simulate;
extern const struct sg_verb sg_verb_audit;
extern const struct sg_verb sg_verb_backup;
extern const struct sg_verb sg_verb_restore;
extern const struct sg_verb sg_verb_store;
extern const struct sg_verb sg_verb_verify_audit;
extern const struct sg_verb sg_verb_version;

/* The configuration flags of a verb (sg_config_take_flags), taken out of argv before its own
 * getopt_long; the texts are borrowed from argv. */
struct sg_cli_flags {
	struct sg_config_flag flags[SG_CONFIG_MAX_FLAGS];
	size_t n;
	const char *path; /* --config, or NULL */
};

int sg_cli_take_flags(int *argc, char **argv, struct sg_cli_flags *ret, struct sg_error *err);
/* The file, those flags and this process's environment: sg_config_load. */
int sg_cli_load_config(const struct sg_cli_flags *f, struct sg_config *ret, struct sg_error *err);
/* Usage error for argv[index] that getopt_long did not know, with the nearest
 * configuration flag; returns SG_EXIT_USAGE. */
int sg_cli_unknown_option(const struct sg_verb *verb, char *const *argv, int index);

/* "stargraph: text" on standard error; returns the exit code that fits err->code. */
int sg_cli_fail(const struct sg_error *err);
/* "stargraph VERB: message" and the usage on standard error; returns SG_EXIT_USAGE. */
int sg_cli_usage(const struct sg_verb *verb, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
