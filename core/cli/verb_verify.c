/* stargraph verify: an evidence file checked and executed again, on any machine, offline. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/replaying.h"
#include "evidence/evidence.h"

#define KEYS_MAX 16

struct arguments {
	const char *path, *model;
	uint8_t keys[KEYS_MAX * SG_ED25519_KEY];
	size_t n_keys;
	bool json;
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
		{"model", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	struct sg_error err;
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			if (a->n_keys == KEYS_MAX)
				return sg_cli_usage(&sg_verb_verify, "too many keys");
			if (sg_audit_read_key(
				    optarg, a->keys + a->n_keys++ * SG_ED25519_KEY, &err) < 0)
				return sg_cli_fail(&err);
			break;
		case 'm': a->model = optarg; break;
		case 'j': a->json = true; break;
		default: return sg_cli_usage(&sg_verb_verify, "unknown option");
		}
	}
	if (optind + 1 != argc)
		return sg_cli_usage(&sg_verb_verify, "one evidence file is needed");
	a->path = argv[optind];
	return 0;
}

static int replay(void *ctx, const struct sg_recording *rec, struct sg_replay_result *ret,
	struct sg_error *err)
{
	return sg_replaying_run(ctx, rec, ret, err);
}

static int verify(const struct arguments *a, struct sg_evidence_report *r, char run_id[64],
	struct sg_error *err)
{
	sg_autofree char *text = NULL;
	size_t n = 0;
	struct sg_evidence_content c = {0};
	struct sg_replaying s;
	int rc = sg_file_read(a->path, SG_EVIDENCE_MAX, &text, &n, err);
	if (rc < 0)
		return rc;
	if (sg_evidence_read(text, n, &c, err) < 0) {
		if (err->code != SG_EINVALID)
			return -err->code;
		r->cause = strcmp(err->kind, "altered") == 0 ? "altered" : "malformed";
		(void)snprintf(r->text, sizeof(r->text), "%s", err->text);
		return 0;
	}
	(void)snprintf(run_id, 64, "%s", c.rec->row.run_id);
	rc = sg_replaying_open_bare(&s, a->model, err);
	if (rc == 0) {
		rc = sg_evidence_verify(&c, a->keys, a->n_keys, replay, &s, r, err);
		sg_replaying_close(&s);
	}
	sg_evidence_content_finish(&c);
	return rc;
}

static void print_json(const struct sg_evidence_report *r, const char *run_id)
{
	json_auto_t *j = json_pack("{s:s, s:I, s:b, s:s, s:I, s:s, s:b}", "cause", r->cause,
		"lines", (json_int_t)r->lines, "pinned", r->pinned, "run_id", run_id, "steps",
		(json_int_t)r->replay.steps, "text", r->text, "verified", r->verified);
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	if (j && sg_json_canonical(j, &b, NULL) == 0)
		(void)puts(b.data);
}

static int run(int argc, char **argv)
{
	struct arguments a = {0};
	struct sg_evidence_report r = {0};
	struct sg_error err = {0};
	char run_id[64] = "";
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	if (verify(&a, &r, run_id, &err) < 0)
		return sg_cli_fail(&err);
	if (a.json)
		print_json(&r, run_id);
	else if (!r.verified)
		(void)printf("does not verify: %s: %s\n", r.cause, r.text);
	else
		(void)printf("verified: run %s, %lld steps executed again and identical, %zu audit "
			     "lines\n",
			run_id, (long long)r.replay.steps, r.lines);
	if (!r.verified)
		return SG_EXIT_UNVERIFIED;
	if (!r.pinned) {
		(void)fputs("unpinned: no --key was given; who wrote this evidence is not proved\n",
			stderr);
		return SG_EXIT_UNPINNED;
	}
	return SG_EXIT_DONE;
}

const struct sg_verb sg_verb_verify = {
	.name = "verify",
	.summary = "check an evidence file and execute its run again",
	.usage =
		"usage: stargraph verify FILE [--key KEY]… [--model DIR] [--json]\n\n"
		"  --key KEY    the log's public key: a PEM file, or a verifier key as `stargraph\n"
		"               audit` prints it; from a source you trust, not from the file's\n"
		"  --model DIR  the embedding model, for graphs with classify_embedding (HF_HOME)\n"
		"  --json       machine-readable\n\n"
		"Needs no state directory and no network. Exit 0: verified by the key; 5: "
		"verified,\n"
		"but no key was given; 4: it does not verify, and why.\n",
	.run = run,
};
