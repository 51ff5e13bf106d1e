/* stargraph replay: stored runs executed again from their records. Reads only; works beside a
 * running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/replaying.h"

struct arguments {
	const char *state_dir, *model;
	bool json, all;
	char **runs;
	size_t n_runs;
};

struct totals {
	uint64_t runs, identical, differ, failed, steps;
	int64_t us, live_us; /* live_us: from start to end when they were recorded */
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"all", no_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->state_dir = optarg; break;
		case 'm': a->model = optarg; break;
		case 'a': a->all = true; break;
		case 'j': a->json = true; break;
		default: return sg_cli_usage(&sg_verb_replay, "unknown option");
		}
	}
	a->runs = argv + optind;
	a->n_runs = (size_t)(argc - optind);
	if (a->all == (a->n_runs > 0))
		return sg_cli_usage(&sg_verb_replay, "either run ids or --all");
	return 0;
}

static void print_text(const struct sg_recording *rec, const struct sg_replay_result *r)
{
	if (r->identical)
		(void)printf("%s  identical  %lld steps  %s%s\n", rec->row.run_id,
			(long long)r->steps, r->proof,
			r->same_build ? "" : "  (recorded by another version)");
	else
		(void)printf("%s  differs  %s: %s\n", rec->row.run_id, r->axis, r->text);
}

static void print_json(const struct sg_recording *rec, const struct sg_replay_result *r)
{
	json_auto_t *j = sg_replay_json(rec, r);
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	if (j && sg_json_canonical(j, &b, NULL) == 0)
		(void)puts(b.data);
}

static void print_failure(const struct arguments *a, const char *run_id, const struct sg_error *e)
{
	if (!a->json) {
		(void)printf("%s  not replayed  %s\n", run_id, e->text);
		return;
	}
	json_auto_t *j = json_pack("{s:s, s:s}", "error", e->text, "run_id", run_id);
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	if (j && sg_json_canonical(j, &b, NULL) == 0)
		(void)puts(b.data);
}

/* Many runs print only what is not identical, one line each. */
static void one(
	struct sg_replaying *s, const struct arguments *a, const char *run_id, struct totals *t)
{
	sg_autorecording *rec = NULL;
	struct sg_replay_result r;
	struct sg_error err = {0};
	int rc = sg_recording_read(s->txn, run_id, &rec, &err);
	if (rc == 0)
		rc = sg_replaying_run(s, rec, &r, &err);
	t->runs++;
	if (rc < 0) {
		t->failed++;
		print_failure(a, run_id, &err);
		return;
	}
	t->identical += r.identical;
	t->differ += !r.identical;
	t->steps += (uint64_t)r.steps;
	if (rec->row.finished_us > rec->row.started_us)
		t->live_us += rec->row.finished_us - rec->row.started_us;
	if (a->json)
		print_json(rec, &r);
	else if (!a->all || !r.identical)
		print_text(rec, &r);
}

static int all(
	struct sg_replaying *s, const struct arguments *a, struct totals *t, struct sg_error *err)
{
	struct sg_progress p;
	struct sg_run_id_list ids = {0};
	int rc = sg_replaying_runs(s, &ids, err);
	sg_progress_init(&p, "replaying", ids.n);
	p.items = "runs";
	p.parts = "steps";
	for (size_t i = 0; rc == 0 && i < ids.n; i++) {
		one(s, a, ids.id[i], t);
		sg_progress_show(&p, i + 1, i + 1, t->steps);
	}
	sg_progress_finish(&p);
	sg_run_id_list_finish(&ids);
	return rc;
}

static void print_totals(const struct totals *t)
{
	double s = t->us > 0 ? (double)t->us / 1e6 : 1e-6;
	(void)fprintf(stderr,
		"%llu runs, %llu steps in %.2f s (%.0f runs/s, %.0f steps/s): %llu identical, %llu "
		"differ, %llu not replayed; live they took %.2f s\n",
		(unsigned long long)t->runs, (unsigned long long)t->steps, s, (double)t->runs / s,
		(double)t->steps / s, (unsigned long long)t->identical,
		(unsigned long long)t->differ, (unsigned long long)t->failed,
		(double)t->live_us / 1e6);
}

static int run(int argc, char **argv)
{
	struct arguments a = {0};
	struct sg_replaying s;
	struct sg_error err;
	struct totals t = {0};
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	if (sg_replaying_open(&s, a.state_dir, a.model, &err) < 0)
		return sg_cli_fail(&err);
	int64_t from = sg_clock_monotonic_us();
	int rc = 0;
	if (a.all)
		rc = all(&s, &a, &t, &err);
	for (size_t i = 0; i < a.n_runs; i++)
		one(&s, &a, a.runs[i], &t);
	t.us = sg_clock_monotonic_us() - from;
	sg_replaying_close(&s);
	if (rc < 0)
		return sg_cli_fail(&err);
	if (a.all || a.n_runs > 1)
		print_totals(&t);
	return t.differ ? SG_EXIT_UNVERIFIED : t.failed ? SG_EXIT_USAGE : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_replay = {
	.name = "replay",
	.summary = "execute stored runs again from their records and compare",
	.usage =
		"usage: stargraph replay RUN… [--state-dir DIR] [--model DIR] [--json]\n"
		"       stargraph replay --all [--state-dir DIR] [--model DIR] [--json]\n\n"
		"  --all            every stored run; prints those that differ, and the rate\n"
		"  --state-dir DIR  where the runs are stored (.stargraph)\n"
		"  --model DIR      the embedding model, for graphs with classify_embedding "
		"(HF_HOME)\n"
		"  --json           one JSON object a run\n\n"
		"Nothing outside is touched: embeddings, tools, answers and time are those of the\n"
		"record. Exit 0: identical; 4: a run differs, and the first difference is named;\n"
		"2: a run cannot be replayed here.\n",
	.run = run,
};
