/* stargraph export: one run as an evidence file. Reads only; works beside a running server. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "evidence/evidence.h"

static int export_to(const char *run_id, const char *state_dir, const char *path,
	size_t *ret_uncovered, size_t *ret_len, struct sg_error *err)
{
	struct sg_store *s = NULL;
	struct sg_txn *t = NULL;
	sg_autorecording *rec = NULL;
	sg_autobuf b = SG_BUF_INIT(SG_EVIDENCE_MAX);
	int r = sg_store_open(&s, state_dir, 0, false, true, err);
	if (r == 0)
		r = sg_txn_begin(s, false, &t, err);
	if (r == 0)
		r = sg_recording_read(t, run_id, &rec, err);
	if (r == 0)
		r = sg_evidence_write(t, rec, &b, ret_uncovered, err);
	sg_txn_abort(t);
	sg_store_close(s);
	if (r == 0)
		r = sg_file_write_atomic(path, b.data, b.len, 0600, err);
	*ret_len = b.len;
	return r;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{0},
	};
	const char *state_dir = SG_SESSION_STATE_DIR, *path = NULL;
	struct sg_error err;
	size_t uncovered = 0, len = 0;
	int c;
	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (c) {
		case 's': state_dir = optarg; break;
		case 'o': path = optarg; break;
		default: return sg_cli_usage(&sg_verb_export, "unknown option");
		}
	}
	if (optind + 1 != argc || !path)
		return sg_cli_usage(&sg_verb_export, "one run id and -o FILE are needed");
	if (export_to(argv[optind], state_dir, path, &uncovered, &len, &err) < 0)
		return sg_cli_fail(&err);
	(void)printf("%s: %zu bytes\n", path, len);
	if (uncovered)
		(void)fprintf(stderr,
			"stargraph: %zu audit lines of the run are not covered by a signed "
			"checkpoint; nobody can verify them by a key\n",
			uncovered);
	return SG_EXIT_DONE;
}

const struct sg_verb sg_verb_export = {
	.name = "export",
	.summary = "write one run as an evidence file",
	.usage = "usage: stargraph export RUN -o FILE [--state-dir DIR]\n\n"
		 "  -o FILE          where to write it (mode 0600)\n"
		 "  --state-dir DIR  where the run is stored (.stargraph)\n\n"
		 "The file holds the run, its steps, graph and packs, its audit lines with their\n"
		 "inclusion proofs, and the log's latest signed checkpoint: all that\n"
		 "`stargraph verify` needs on another machine. It also holds everything the run\n"
		 "was told: treat it as the run itself.\n",
	.run = run,
};
