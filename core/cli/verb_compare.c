/* stargraph compare: two stored runs, or many under other rule packs. Reads only; works beside a
 * running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "run/replay/compare.h"

struct arguments {
	const char *state_dir, *model;
	struct sg_cli_packs packs;
	struct sg_compare_many many;
};

/* A time, a date, or so many days or hours ago: 30d, 12h. */
static int parse_when(const char *text, int64_t *ret)
{
	char *end;
	char date[32];
	long n = strtol(text, &end, 10);
	if (n > 0 && n < 1000000 && (strcmp(end, "d") == 0 || strcmp(end, "h") == 0)) {
		*ret = sg_clock_utc_us() - n * (*end == 'd' ? 86400LL : 3600LL) * 1000000;
		return 0;
	}
	if (strlen(text) == 10) {
		(void)snprintf(date, sizeof(date), "%sT00:00:00Z", text);
		text = date;
	}
	return sg_time_parse(text, strlen(text), ret);
}

static int take_time(const char *name, const char *text, int64_t *ret)
{
	return parse_when(text, ret) == 0
		       ? 0
		       : sg_cli_usage(&sg_verb_compare,
				 "%s: \"%s\" is no time: 2026-10-01, 2026-10-01T12:00:00Z, 30d or "
				 "12h",
				 name, text);
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"pack", required_argument, NULL, 'p'},
		{"since", required_argument, NULL, 'f'},
		{"until", required_argument, NULL, 'u'},
		{"graph", required_argument, NULL, 'g'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c, r = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->state_dir = optarg; break;
		case 'm': a->model = optarg; break;
		case 'p': r = sg_cli_add_pack(&a->packs, &sg_verb_compare, optarg); break;
		case 'f': r = take_time("--since", optarg, &a->many.since_us); break;
		case 'u': r = take_time("--until", optarg, &a->many.until_us); break;
		case 'g': a->many.graph_id = optarg; break;
		case 'j': a->many.json = true; break;
		default: return sg_cli_usage(&sg_verb_compare, "unknown option");
		}
	}
	a->many.runs = argv + optind;
	a->many.n_runs = (size_t)(argc - optind);
	a->many.packs = &a->packs;
	bool chosen = a->many.since_us || a->many.until_us || a->many.graph_id;
	if (r == 0 && !a->packs.n && (a->many.n_runs != 2 || chosen))
		return sg_cli_usage(&sg_verb_compare, "two run ids, or --pack DIR");
	if (r == 0 && a->many.n_runs && chosen)
		return sg_cli_usage(
			&sg_verb_compare, "either run ids, or --since, --until and --graph");
	return r;
}

static int two(struct sg_replaying *s, const struct arguments *a, struct sg_error *err)
{
	const struct sg_compare_options o = {0};
	sg_autorecording *x = NULL;
	sg_autorecording *y = NULL;
	json_auto_t *c = NULL;
	sg_autobuf b = SG_BUF_INIT(1U << 30);
	int rc = sg_recording_read(s->txn, a->many.runs[0], &x, err);
	if (rc == 0)
		rc = sg_recording_read(s->txn, a->many.runs[1], &y, err);
	if (rc == 0)
		rc = sg_compare(s->replayer, x, y, &o, &c, err);
	if (rc == 0 && a->many.json)
		rc = sg_json_canonical(c, &b, err);
	if (rc < 0)
		return rc;
	if (!a->many.json)
		return sg_compare_print(c);
	return puts(b.data) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct arguments a = {0};
	struct sg_replaying s;
	struct sg_error err;
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	if (sg_replaying_open(&s, a.state_dir, a.model, &err) < 0)
		return sg_cli_fail(&err);
	code = a.packs.n ? sg_compare_packs(&s, &a.many, &err) : two(&s, &a, &err);
	sg_replaying_close(&s);
	if (code < 0)
		return sg_cli_fail(&err);
	return fflush(stdout) == 0 ? code : SG_EXIT_FAILED;
}

const struct sg_verb sg_verb_compare = {
	.name = "compare",
	.summary = "where two runs part, or what runs would do under another rule pack",
	.usage =
		"usage: stargraph compare A B [--json] [--state-dir DIR] [--model DIR]\n"
		"       stargraph compare --pack DIR… [--since TIME] [--until TIME] [--graph ID]\n"
		"           [RUN…] [--json] [--state-dir DIR] [--model DIR]\n\n"
		"Two runs: the first difference and its axis, the rule that led them apart with\n"
		"the facts that fired it, and each step that differs; with --json also an RFC "
		"6902\n"
		"patch a step, from A's checkpoint (inspect --step N --json) to B's.\n\n"
		"  --pack DIR       a signed rule pack in place of the one with its id: every run\n"
		"                   is executed with it in memory, from its record, and compared\n"
		"  --since TIME     runs that started then or later: 2026-10-01, a time, 30d, 12h\n"
		"  --until TIME     runs that started before\n"
		"  --graph ID       runs of this graph\n"
		"  --json           machine-readable\n"
		"  --state-dir DIR  where the runs are stored (.stargraph)\n"
		"  --model DIR      the embedding model, for graphs that embed (HF_HOME)\n\n"
		"Nothing outside is touched and nothing is stored. People's answers are taken "
		"over\n"
		"where the same question is open at the same step. Exit 0, whether they differ or "
		"not.\n",
	.run = run,
};
