/* stargraph inspect: a stored run, read only; works beside a running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "cli/cli.h"
#include "cli/draw.h"
#include "cli/inspect_text.h"
#include "cli/session.h"
#include "run/replay/recording.h"

struct arguments {
	const char *run_id, *state_dir;
	bool json;
	struct sg_draw_target draw;
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
		{"draw", required_argument, NULL, 'w'},
		{"output", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c, r = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
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
		case 'w':
			if (sg_draw_format(optarg, &a->draw) < 0)
				return sg_cli_usage(&sg_verb_inspect, "--draw takes text or svg");
			break;
		case 'o': a->draw.path = optarg; break;
		case 'j': a->json = true; break;
		default:
			return sg_cli_usage(
				&sg_verb_inspect, "bad option \"%s\"", argv[optind - 1]);
		}
	}
	if (r == 0 && a->draw.path && !a->draw.wanted)
		return sg_cli_usage(&sg_verb_inspect, "-o belongs to --draw");
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
	const char *status = sg_json_text(mark, "original_status");
	(void)printf("imported from the Python original (store SHA-256 %.16s…), status there: %s; "
		     "not replayable: it records no outside results\n",
		json_string_value(json_object_get(mark, "source_sha256")),
		status ? status : "not written down");
	return 0;
}

static int timeline(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	struct sg_run_row row;
	int r = sg_run_require(t, a->run_id, &row, err);
	if (r < 0)
		return r;
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
			r = sg_inspect_timeline(t, a->run_id, err);
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
	if (a->json)
		r = print_canonical(sg_checkpoint_json(&c));
	else if (isatty(STDOUT_FILENO))
		r = sg_inspect_step(&c, err);
	else
		r = puts(c.state) < 0 ? SG_EXIT_FAILED : SG_EXIT_DONE;
	sg_checkpoint_finish(&c);
	return r;
}

static int diff(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	struct sg_checkpoint c = {0}, d = {0};
	json_auto_t *j = NULL;
	int r = get_step(t, a, a->from, &c, err);
	if (r == 0)
		r = get_step(t, a, a->to, &d, err);
	if (r == 0)
		r = sg_inspect_diff(&c, &d, &j, err);
	sg_checkpoint_finish(&c);
	sg_checkpoint_finish(&d);
	if (r < 0)
		return r;
	if (a->json)
		return print_canonical(json_incref(j));
	sg_inspect_print_diff(j);
	return SG_EXIT_DONE;
}

static int load_graph(const struct sg_recording *rec, struct sg_graph **ret, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	const struct sg_graph_limits limits = {.any_name = true};
	const struct sg_recorded_graph *g = sg_recording_graph(rec, rec->row.graph_hash);
	if (!g || !g->document.data)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "the graph of run %s is not stored",
			rec->row.run_id);
	return sg_graph_load_text(ret, "stored graph", g->document.data, g->document.len, kinds,
		sg_run_kinds(kinds), &limits, err);
}

static size_t count_steps(const struct sg_recording *rec)
{
	size_t n = 0;
	for (; rec; rec = rec->parent)
		n += rec->n_steps;
	return n;
}

/* The steps of the run; a fork's begin with its parents'. Borrowed; caller frees the list. */
static struct sg_checkpoint *all_steps(const struct sg_recording *rec, size_t *ret_n)
{
	const struct sg_recording *own = rec;
	struct sg_checkpoint *list = calloc(count_steps(rec) + 1, sizeof(*list));
	int64_t from = rec->n_steps ? rec->steps[0].step : rec->row.steps;
	size_t n = 0;
	for (int64_t i = 0; list && i < from; i++) {
		const struct sg_checkpoint *c = NULL;
		for (const struct sg_recording *p = own->parent; p && !c; p = p->parent)
			c = sg_recording_step(p, i);
		if (c)
			list[n++] = *c;
	}
	for (size_t i = 0; list && i < rec->n_steps; i++)
		list[n++] = rec->steps[i];
	*ret_n = n;
	return list;
}

static int draw(struct sg_txn *t, const struct arguments *a, struct sg_error *err)
{
	sg_autorecording *rec = NULL;
	struct sg_graph *g = NULL;
	size_t n = 0;
	int r = sg_recording_read(t, a->run_id, &rec, err);
	if (r == 0)
		r = load_graph(rec, &g, err);
	if (r < 0)
		return r;
	sg_autofree struct sg_checkpoint *steps = all_steps(rec, &n);
	r = steps ? sg_draw_write(g, &rec->row, steps, n, &a->draw, err) : sg_error_nomem(err);
	sg_graph_destroy(g);
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
		r = a->draw.wanted ? draw(t, a, err)
		    : a->from >= 0 ? diff(t, a, err)
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
	.usage = "usage: stargraph inspect RUN [--state-dir DIR] [--json]\n"
		 "           [--step N | --diff N M | --draw text|svg [-o FILE]]\n\n"
		 "  --state-dir DIR  where the run is stored (.stargraph)\n"
		 "  --step N         the state after step N; with --json the whole checkpoint\n"
		 "  --diff N M       what of the state changed (~), the facts that went (-) and\n"
		 "                   came (+) between two steps\n"
		 "  --draw text|svg  the graph and the path that the run took; -o FILE: not on\n"
		 "                   standard output\n"
		 "  --json           machine-readable\n",
	.run = run,
};
