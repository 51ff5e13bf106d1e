/* The actions of `stargraph audit`; argv[0] is the action. Each returns an exit code. */
#ifndef SG_CLI_AUDIT_H
#define SG_CLI_AUDIT_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/evidence.h"

int sg_audit_cli_tail(int argc, char **argv);
int sg_audit_cli_query(int argc, char **argv);
int sg_audit_cli_checkpoint(int argc, char **argv);
int sg_audit_cli_prove(int argc, char **argv);
int sg_audit_cli_check_proof(int argc, char **argv);
int sg_audit_cli_cosign(int argc, char **argv);
int sg_audit_cli_import(int argc, char **argv);

#define SG_AUDIT_CLI_WITNESSES 32U

/* The options of all actions; each takes those it knows. */
struct sg_audit_arguments {
	const char *state_dir, *run, *actor, *type, *key, *name, *line_file, *old;
	const char *witness[SG_AUDIT_CLI_WITNESSES];
	size_t n_witnesses;
	int64_t since_us, until_us; /* 0 = open */
	int64_t limit, size, record, from, quorum;
	bool one_line, follow;
	char **rest;
	int n_rest;
};
/* 0, or the exit code of a usage error. */
int sg_audit_cli_parse(int argc, char **argv, struct sg_audit_arguments *ret);

/* The signed checkpoint of this size (0 = latest) with the cosignatures kept for it, into out. */
int sg_audit_cli_note(const struct sg_evidence *e, const char *state_dir, uint64_t size,
	struct sg_buf *out, uint64_t *ret_size, struct sg_error *err);

#endif
