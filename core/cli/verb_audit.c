/* stargraph audit: reading the log, its checkpoints and proofs. Finds the action, as main finds the
 * verb. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/audit.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} actions[] = {
	{"check-proof", sg_audit_cli_check_proof},
	{"checkpoint", sg_audit_cli_checkpoint},
	{"cosign", sg_audit_cli_cosign},
	{"import-cosignature", sg_audit_cli_import},
	{"prove", sg_audit_cli_prove},
	{"query", sg_audit_cli_query},
	{"tail", sg_audit_cli_tail},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return sg_cli_usage(&sg_verb_audit, "names no action");
	for (size_t i = 0; i < SG_ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].name, argv[1]) == 0)
			return actions[i].run(argc - 1, argv + 1);
	return sg_cli_usage(&sg_verb_audit, "no action \"%s\"", argv[1]);
}

const struct sg_verb sg_verb_audit = {
	.name = "audit",
	.summary = "read the audit log, its signed checkpoints and proofs",
	.usage = "usage: stargraph audit tail  --state-dir DIR [-n LINES] [--follow]\n"
		 "       stargraph audit query --state-dir DIR [--run ID] [--actor NAME] [--type "
		 "T]\n"
		 "                             [--since TIME] [--until TIME] [--limit N]\n"
		 "       stargraph audit checkpoint --state-dir DIR [--size N] [--line]\n"
		 "       stargraph audit prove --state-dir DIR --record SEQ [--size N]\n"
		 "       stargraph audit prove --state-dir DIR --from SIZE [--size N]\n"
		 "       stargraph audit check-proof PROOF --key KEY [--line FILE]\n"
		 "                             [--old CHECKPOINT] [--witness VKEY]… [--quorum N]\n"
		 "       stargraph audit cosign --key WITNESS.pem --name NAME [CHECKPOINT]\n"
		 "       stargraph audit import-cosignature --state-dir DIR --witness VKEY [--size "
		 "N]\n\n"
		 "  tail, query         records as JSON lines; TIME is RFC 3339;\n"
		 "                      --follow goes on with what is recorded later\n"
		 "  checkpoint          the latest signed checkpoint (a C2SP note) with its\n"
		 "                      cosignatures; --line: \"origin size root\", to be kept\n"
		 "  prove --record      that a record is in the log (c2sp.org/tlog-proof)\n"
		 "  prove --from        that the log grew from an older checkpoint without a "
		 "change\n"
		 "  check-proof         checks either, offline; FILE is the record's line;\n"
		 "                      N (all, unless told) of the witnesses must have cosigned\n"
		 "  cosign              a witness's cosignature of a checkpoint, on standard "
		 "output\n"
		 "  import-cosignature  takes that line on standard input and keeps it\n",
	.run = run,
};
