/* stargraph verify-audit: is the log what was written? Reads only; works beside a running server.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/verify.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"

#define WAIT_MS 2000U /* for what a running server has committed and not yet appended */

struct arguments {
	const char *state_dir, *log, *head;
	bool json;
};

/* SEQ:HASH */
static int parse_head(const char *text, uint64_t *ret_seq, char ret_hash[65])
{
	char hex[65] = "";
	int end = 0;
	if (sscanf(text, "%18" SCNu64 ":%64[0-9a-f]%n", ret_seq, hex, &end) != 2 || text[end] ||
		strlen(hex) != 64)
		return -SG_EINVALID;
	memcpy(ret_hash, hex, sizeof(hex));
	return 0;
}

static int read_head(const char *state_dir, struct sg_audit_head *ret, struct sg_error *err)
{
	struct sg_store *s = NULL;
	struct sg_txn *t = NULL;
	int r = sg_store_open(&s, state_dir, 0, false, true, err);
	if (r == 0)
		r = sg_txn_begin(s, false, &t, err);
	if (r == 0)
		r = sg_audit_head_read(s, t, ret, err);
	sg_txn_abort(t);
	sg_store_close(s);
	if (r > 0)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "%s has no audit log yet", state_dir);
	return r;
}

static int print_json(const char *log, const struct sg_audit_report *rep, bool pinned)
{
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	json_t *j =
		json_pack("{s:b, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:b}", "ok", rep->bad_line == 0,
			"cause", rep->cause, "log", log, "lines", (json_int_t)rep->lines, "bytes",
			(json_int_t)rep->bytes, "line", (json_int_t)rep->bad_line, "head",
			rep->head, "detail", rep->text, "pinned", pinned);
	int r = j ? sg_json_canonical(j, &b, NULL) : -SG_ENOMEM;
	json_decref(j);
	return r < 0 || puts(b.data) < 0 ? -SG_EIO : 0;
}

static int report(const struct arguments *a, const char *log, const struct sg_audit_report *rep)
{
	bool pinned = a->state_dir || a->head;
	int r;
	if (a->json)
		r = print_json(log, rep, pinned);
	else
		r = printf("%s: %s: %s%s\n", log, rep->bad_line ? rep->cause : "verified",
			rep->text,
			pinned || rep->bad_line ? ""
						: " (no head given: a cut at the end cannot show)");
	if (r < 0)
		return SG_EXIT_FAILED;
	return rep->bad_line ? SG_EXIT_UNVERIFIED : SG_EXIT_DONE;
}

static int verify(const struct arguments *a)
{
	struct sg_audit_head head = {0};
	struct sg_audit_verify_options o = {0};
	struct sg_audit_report rep = {0};
	struct sg_error err = {0};
	char hash[65];
	const char *log = a->log;
	if (a->state_dir) {
		if (read_head(a->state_dir, &head, &err) < 0)
			return sg_cli_fail(&err);
		o = (struct sg_audit_verify_options){
			.head = head.hash, .head_seq = head.seq, .wait_ms = WAIT_MS};
		log = log ? log : head.path;
	} else if (a->head) {
		if (parse_head(a->head, &o.head_seq, hash) < 0)
			return sg_cli_usage(&sg_verb_verify_audit,
				"--head \"%s\" is not SEQUENCE:HASH", a->head);
		o.head = hash;
	}
	int r = sg_audit_verify(&log, 1, &o, &rep, &err);
	return r < 0 ? sg_cli_fail(&err) : report(a, log, &rep);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, 's'},
		{"head", required_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct arguments a = {0};
	int o;
	opterr = 0;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 's': a.state_dir = optarg; break;
		case 'h': a.head = optarg; break;
		case 'j': a.json = true; break;
		default:
			return sg_cli_usage(
				&sg_verb_verify_audit, "unknown option %s", argv[optind - 1]);
		}
	}
	if (optind < argc)
		a.log = argv[optind++];
	if (optind < argc)
		return sg_cli_usage(&sg_verb_verify_audit, "one log at a time");
	if (!a.log && !a.state_dir)
		return sg_cli_usage(&sg_verb_verify_audit, "names neither a log nor --state-dir");
	if (a.head && a.state_dir)
		return sg_cli_usage(
			&sg_verb_verify_audit, "--head and --state-dir exclude each other");
	return verify(&a);
}

const struct sg_verb sg_verb_verify_audit = {
	.name = "verify-audit",
	.summary = "verify the audit log",
	.usage = "usage: stargraph verify-audit --state-dir DIR [LOG] [--json]\n"
		 "       stargraph verify-audit LOG [--head SEQUENCE:HASH] [--json]\n\n"
		 "  --state-dir DIR  the head comes from the store in DIR (a running server is "
		 "fine);\n"
		 "                   LOG only where the log has been moved\n"
		 "  --head SEQ:HASH  the record that the log must contain, kept from earlier\n"
		 "  --json           one JSON object instead of a line\n\n"
		 "Exit codes: 0 it verifies, 4 it does not, 2 usage or no such log.\n",
	.run = run,
};
