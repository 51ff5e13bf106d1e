/* stargraph inspect: a stored run, read only; works beside a running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "cli/cli.h"
#include "cli/session.h"

struct arguments {
	const char *run_id, *state_dir;
	bool json;
	long step, from, to; /* -1 = not asked for */
};

static int number(const char *text, long *ret)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (*end || end == text || n < 0)
		return sg_cli_usage(&sg_verb_inspect, "\"%s\" is not a step", text);
	*ret = n;
	return 0;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"step", required_argument, NULL, 'n'},
		{"diff", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c, r = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->state_dir = optarg; break;
		case 'n': r = number(optarg, &a->step); break;
		case 'd':
			if (optind >= argc)
				return sg_cli_usage(&sg_verb_inspect, "--diff takes two steps");
			r = number(optarg, &a->from);
			if (r == 0)
				r = number(argv[optind++], &a->to);
			break;
		case 'j': a->json = true; break;
		default:
			return sg_cli_usage(
				&sg_verb_inspect, "bad option \"%s\"", argv[optind - 1]);
		}
	}
	if (r == 0 && optind + 1 != argc)
		return sg_cli_usage(&sg_verb_inspect, "one run id is needed");
	a->run_id = argv[optind];
	return r;
}

static int print_canonical(json_t *j)
{
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	int r = j ? sg_json_canonical(j, &b, NULL) : -SG_ENOMEM;
	json_decref(j);
	return r < 0 || puts(b.data) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

static int print_step(void *ctx, const struct sg_checkpoint *c)
{
	char ts[SG_TIME_TEXT];
	(void)ctx;
	sg_time_format(c->timestamp_us, ts);
	(void)printf("%5lld  %s  %-20s %s\n", (long long)c->step, ts, c->last_node,
		c->next_action ? c->next_action : "");
	return 0;
}

static int add_step(void *ctx, const struct sg_checkpoint *c)
{
	return json_array_append_new(ctx, sg_checkpoint_json(c));
}

/* Of a run that was imported: from where, and what it was there. */
static int print_origin(struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	json_auto_t *mark = NULL;
	int r = sg_run_text_get(t, run_id, SG_RUN_TEXT_IMPORTED, &text, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = sg_json_parse(text, strlen(text), &mark, err);
	if (r < 0)
		return r;
	const char *status = json_string_value(json_object_get(mark, "original_status"));
	(void)printf("imported from the Python original (store SHA-256 %.16s…), status there: %s; "
		     "not replayable: it records no outside results\n",
		json_string_value(json_object_get(mark, "source_sha256")),
		status ? status : "not written down");
	return 0;
}

static int timeline(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	struct sg_run_row row;
	int r = sg_run_get(t, a->run_id, &row, err);
	if (r != 0)
		return r < 0 ? r
			     : sg_error_set(
				       err, SG_ENOTFOUND, NULL, "run '%s' not found", a->run_id);
	if (a->json) {
		json_t *steps = json_array();
		r = sg_checkpoint_each(t, a->run_id, add_step, steps, err);
		if (r >= 0)
			r = print_canonical(steps);
		else
			json_decref(steps);
	} else {
		(void)printf("%s  %s  %s  %s%s\n", row.run_id, row.graph_id,
			sg_run_status_name(row.status), row.reason ? row.reason : "",
			row.error_cause ? row.error_cause : "");
		r = print_origin(t, a->run_id, err);
		if (r == 0)
			r = sg_checkpoint_each(t, a->run_id, print_step, NULL, err);
	}
	sg_run_row_finish(&row);
	return r;
}

static int get_step(struct sg_txn *t, const struct arguments *a, long step,
	struct sg_checkpoint *ret, struct sg_error *err)
{
	int r = sg_checkpoint_get(t, a->run_id, step, ret, err);
	return r == 1 ? sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' has no step %ld", a->run_id,
				step)
		      : r;
}

static int one_step(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	struct sg_checkpoint c;
	int r = get_step(t, a, a->step, &c, err);
	if (r < 0)
		return r;
	r = a->json		? print_canonical(sg_checkpoint_json(&c))
	    : puts(c.state) < 0 ? SG_EXIT_FAILED
				: SG_EXIT_DONE;
	sg_checkpoint_finish(&c);
	return r;
}

static bool holds(const json_t *list, const json_t *fact)
{
	size_t i;
	const json_t *one;
	json_array_foreach (list, i, one)
		if (json_equal(one, fact))
			return true;
	return false;
}

static void print_missing(const json_t *from, const json_t *in, char sign)
{
	size_t i;
	const json_t *fact;
	json_array_foreach (from, i, fact)
		if (!holds(in, fact))
			(void)printf("%c %s\n", sign, json_string_value(fact));
}

static int diff(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	struct sg_checkpoint c = {0}, d = {0};
	json_t *before = NULL, *after = NULL;
	int r = get_step(t, a, a->from, &c, err);
	if (r == 0)
		r = get_step(t, a, a->to, &d, err);
	if (r == 0)
		r = sg_json_parse(c.clips_facts, strlen(c.clips_facts), &before, err);
	if (r == 0)
		r = sg_json_parse(d.clips_facts, strlen(d.clips_facts), &after, err);
	if (r == 0) {
		print_missing(before, after, '-');
		print_missing(after, before, '+');
	}
	json_decref(before);
	json_decref(after);
	sg_checkpoint_finish(&c);
	sg_checkpoint_finish(&d);
	return r;
}

static int inspect(const struct arguments *a, struct sg_error *err)
{
	struct sg_store *s = NULL;
	struct sg_txn *t = NULL;
	int r = sg_store_open(
		&s, a->state_dir ? a->state_dir : SG_SESSION_STATE_DIR, 0, false, true, err);
	if (r == 0)
		r = sg_txn_begin(s, false, &t, err);
	if (r == 0)
		r = a->from >= 0   ? diff(t, a, err)
		    : a->step >= 0 ? one_step(t, a, err)
				   : timeline(t, a, err);
	sg_txn_abort(t);
	sg_store_close(s);
	return r;
}

static int run(int argc, char **argv)
{
	struct arguments a = {.step = -1, .from = -1, .to = -1};
	struct sg_error err;
	int r = parse(argc, argv, &a);
	if (r != 0)
		return r;
	r = inspect(&a, &err);
	return r < 0 ? sg_cli_fail(&err) : r;
}

const struct sg_verb sg_verb_inspect = {
	.name = "inspect",
	.summary = "show a stored run",
	.usage = "usage: stargraph inspect RUN [--state-dir DIR] [--json] [--step N | --diff N "
		 "M]\n\n"
		 "  --state-dir DIR  where the run is stored (.stargraph)\n"
		 "  --step N         the state after step N; with --json the whole checkpoint\n"
		 "  --diff N M       the facts that went (-) and came (+) between two steps\n"
		 "  --json           machine-readable\n",
	.run = run,
};
