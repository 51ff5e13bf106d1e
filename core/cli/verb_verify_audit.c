/* stargraph verify-audit: is the log what was written? Reads only; works beside a running server.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/verify.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/evidence.h"

#define WAIT_MS 2000U /* for what a running server has committed and not yet appended */
#define KEYS_MAX 16U

struct arguments {
	const char *state_dir, *head, *checkpoint;
	char **logs;
	size_t n_logs;
	uint8_t keys[KEYS_MAX * SG_ED25519_KEY];
	size_t n_keys;
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

static const char *trust_name(enum sg_audit_trust t)
{
	return t == SG_AUDIT_PINNED ? "pinned" : t == SG_AUDIT_UNPINNED ? "unpinned" : "unsigned";
}

static int print_json(const char *log, const struct sg_audit_report *rep, bool anchored)
{
	sg_autobuf b = SG_BUF_INIT(1 << 16);
	json_t *j = json_pack(
		"{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:b, s:I, s:I, s:s, s:s, s:s}", "ok",
		rep->bad_line == 0, "cause", rep->cause, "log", log, "first",
		(json_int_t)rep->first, "lines", (json_int_t)rep->lines, "bytes",
		(json_int_t)rep->bytes, "line", (json_int_t)rep->bad_line, "head", rep->head,
		"detail", rep->text, "anchored", anchored, "checkpoints",
		(json_int_t)rep->checkpoints, "signed_size", (json_int_t)rep->signed_size,
		"signatures", trust_name(rep->trust), "vkey", rep->vkey, "root", rep->root);
	int r = j ? sg_json_canonical(j, &b, NULL) : -SG_ENOMEM;
	json_decref(j);
	return r < 0 || puts(b.data) < 0 ? -SG_EIO : 0;
}

static int report(const struct arguments *a, const char *log, const struct sg_audit_report *rep)
{
	bool anchored = a->state_dir || a->head || a->checkpoint || a->n_keys;
	bool unpinned = !anchored && rep->trust == SG_AUDIT_UNPINNED;
	const char *note = "";
	if (unpinned)
		note = " (unpinned: signed by the key that the log itself tells; give --key)";
	else if (!anchored)
		note = " (nothing given to hold it against: a cut at the end cannot show)";
	int r;
	if (a->json)
		r = print_json(log, rep, anchored);
	else
		r = printf("%s: %s: %s%s\n", log, rep->bad_line ? rep->cause : "verified",
			rep->text, rep->bad_line ? "" : note);
	if (r < 0)
		return SG_EXIT_FAILED;
	if (rep->bad_line)
		return SG_EXIT_UNVERIFIED;
	return unpinned ? SG_EXIT_UNPINNED : SG_EXIT_DONE;
}

/* What lies behind the store's head was added by somebody else: the store commits before it
 * appends, so a running server's file is never longer than the head that is read after it. */
static int check_added(const struct arguments *a, const struct sg_audit_head *before,
	struct sg_audit_report *rep, struct sg_error *err)
{
	struct sg_evidence e;
	struct stat st;
	if (stat(before->path, &st) < 0)
		return sg_error_errno(err, errno, "cannot look at %s", before->path);
	int r = sg_evidence_open(&e, a->state_dir, err);
	if (r < 0)
		return r;
	struct sg_audit_head now = e.head;
	sg_evidence_close(&e);
	if (now.first != before->first || (uint64_t)st.st_size <= now.bytes)
		return 0;
	rep->bad_line = now.seq - now.first + 2;
	(void)snprintf(rep->cause, sizeof(rep->cause), "added");
	(void)snprintf(rep->text, sizeof(rep->text),
		"from line %" PRIu64 " on %" PRIu64 " bytes follow record %" PRIu64
		", the last that the store knows",
		rep->bad_line, (uint64_t)st.st_size - now.bytes, now.seq);
	return 0;
}

/* The Python original leaves its public key beside the log; it counts only where no key is given.
 */
static bool key_beside(const struct arguments *a, const char *log, uint8_t ret[SG_ED25519_KEY])
{
	sg_autofree char *path = NULL;
	return !a->n_keys && asprintf(&path, "%s.pub.pem", log) > 0 && access(path, R_OK) == 0 &&
	       sg_audit_read_key(path, ret, NULL) == 0;
}

/* current: the store's head when paths are the store's own files, else NULL. */
static int verify_files(const struct arguments *a, char *const *paths, size_t n,
	struct sg_audit_verify_options *o, const struct sg_audit_head *current)
{
	struct sg_audit_report rep = {0};
	struct sg_error err = {0};
	sg_autofree char *kept = NULL;
	uint8_t beside[SG_ED25519_KEY];
	size_t len = 0;
	o->checkpoint = a->checkpoint;
	if (a->checkpoint && access(a->checkpoint, R_OK) == 0) {
		if (sg_evidence_input(a->checkpoint, &kept, &len, &err) < 0)
			return sg_cli_fail(&err);
		o->checkpoint = kept;
	}
	if (key_beside(a, paths[0], beside))
		o->beside = beside;
	o->keys = a->keys;
	o->n_keys = a->n_keys;
	int r = sg_audit_verify((const char *const *)paths, n, o, &rep, &err);
	if (r == 0 && current)
		r = check_added(a, current, &rep, &err);
	return r < 0 ? sg_cli_fail(&err) : report(a, paths[rep.bad_file], &rep);
}

static int verify_state(const struct arguments *a)
{
	struct sg_evidence e;
	struct sg_evidence_files f = {0};
	struct sg_error err = {0};
	if (sg_evidence_open(&e, a->state_dir, &err) < 0)
		return sg_cli_fail(&err);
	struct sg_audit_head head = e.head;
	sg_evidence_close(&e);
	struct sg_audit_verify_options o = {
		.head = head.hash, .head_seq = head.seq, .wait_ms = WAIT_MS};
	if (a->n_logs)
		return verify_files(a, a->logs, a->n_logs, &o, NULL);
	if (sg_evidence_list(&head, &f, &err) < 0)
		return sg_cli_fail(&err);
	int code = verify_files(a, f.path, f.n, &o, &head);
	sg_evidence_files_finish(&f);
	return code;
}

static int verify(const struct arguments *a)
{
	struct sg_audit_verify_options o = {0};
	char hash[65];
	if (a->state_dir)
		return verify_state(a);
	if (a->head && parse_head(a->head, &o.head_seq, hash) < 0)
		return sg_cli_usage(
			&sg_verb_verify_audit, "--head \"%s\" is not SEQUENCE:HASH", a->head);
	o.head = a->head ? hash : NULL;
	return verify_files(a, a->logs, a->n_logs, &o, NULL);
}

static int add_key(struct arguments *a, const char *text, struct sg_error *err)
{
	if (a->n_keys == KEYS_MAX)
		return sg_error_set(err, SG_EINVALID, NULL, "more than %u keys", KEYS_MAX);
	return sg_audit_read_key(text, a->keys + a->n_keys++ * SG_ED25519_KEY, err);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, 's'},
		{"head", required_argument, NULL, 'h'}, {"key", required_argument, NULL, 'k'},
		{"checkpoint", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
		{0}};
	struct arguments a = {0};
	struct sg_error err = {0};
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 's': a.state_dir = optarg; break;
		case 'h': a.head = optarg; break;
		case 'c': a.checkpoint = optarg; break;
		case 'j': a.json = true; break;
		case 'k':
			if (add_key(&a, optarg, &err) < 0)
				return sg_cli_fail(&err);
			break;
		default:
			return sg_cli_usage(
				&sg_verb_verify_audit, "unknown option %s", argv[optind - 1]);
		}
	}
	a.logs = argv + optind;
	a.n_logs = (size_t)(argc - optind);
	if (!a.n_logs && !a.state_dir)
		return sg_cli_usage(&sg_verb_verify_audit, "names neither a log nor --state-dir");
	if (a.head && a.state_dir)
		return sg_cli_usage(
			&sg_verb_verify_audit, "--head and --state-dir exclude each other");
	return verify(&a);
}

const struct sg_verb sg_verb_verify_audit = {
	.name = "verify-audit",
	.summary = "verify the audit log",
	.usage = "usage: stargraph verify-audit --state-dir DIR [LOG…] [OPTION]…\n"
		 "       stargraph verify-audit LOG… [OPTION]…\n\n"
		 "  --state-dir DIR    the head comes from the store in DIR (a running server is "
		 "fine)\n"
		 "  LOG…               the log's files, oldest first\n"
		 "  --head SEQ:HASH    a record that the log must contain, kept from earlier\n"
		 "  --checkpoint WHAT  a checkpoint kept from earlier: a note's file, or its line\n"
		 "                     (of the original's log: its token)\n"
		 "  --key KEY          who must have signed: a PEM file or name+id+base64; "
		 "repeatable\n"
		 "  --json             one JSON object instead of a line\n\n"
		 "A chained log of the Python original is known by its first line.\n\n"
		 "Exit codes: 0 it verifies, 4 it does not, 5 signed, but by a key that only the "
		 "log\n"
		 "itself tells, 2 usage or no such log.\n",
	.run = run,
};
