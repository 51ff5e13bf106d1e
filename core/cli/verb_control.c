/* stargraph resume, respond, cancel: stored runs go on, or end, in this process. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/model_dir.h"
#include "cli/session.h"

#define MAX_RESPONSE (4U << 20)
#define MAX_TOLD 10000 /* runs that resume prints a line for */

enum what { RESUME, RESPOND, CANCEL };
static const struct sg_verb *const verbs[] = {
	[RESUME] = &sg_verb_resume, [RESPOND] = &sg_verb_respond, [CANCEL] = &sg_verb_cancel};

struct arguments {
	enum what what;
	const char *run_id, *state_dir, *model, *actor, *response, *graph, *config;
	struct sg_cli_packs packs;
	bool allow_side_effects;
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"actor", required_argument, NULL, 'a'},
		{"response", required_argument, NULL, 'r'},
		{"graph", required_argument, NULL, 'g'},
		{"pack", required_argument, NULL, 'p'},
		{"config", required_argument, NULL, 'c'},
		{"allow-side-effects", no_argument, NULL, 'e'},
		{0},
	};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->state_dir = optarg; break;
		case 'm': a->model = optarg; break;
		case 'a': a->actor = optarg; break;
		case 'r': a->response = optarg; break;
		case 'c': a->config = optarg; break;
		case 'p':
			if (sg_cli_add_pack(&a->packs, verbs[a->what], optarg))
				return SG_EXIT_USAGE;
			break;
		case 'g': a->graph = optarg; break;
		case 'e': a->allow_side_effects = true; break;
		default: return sg_cli_usage(verbs[a->what], "bad option \"%s\"", argv[optind - 1]);
		}
	}
	if (optind + 1 == argc)
		a->run_id = argv[optind];
	else if (optind != argc || a->what != RESUME)
		return sg_cli_usage(verbs[a->what], "one run id is needed");
	if (a->what == RESPOND && !a->response)
		return sg_cli_usage(verbs[a->what], "--response FILE is needed");
	if (a->what != RESPOND && a->response)
		return sg_cli_usage(verbs[a->what], "--response belongs to respond");
	return 0;
}

static int respond(struct sg_session *s, const struct arguments *a, struct sg_session_outcome *o,
	struct sg_error *err)
{
	const struct sg_caller who = {.actor = a->actor, .trigger_source = "manual"};
	sg_autofree char *text = NULL;
	json_t *response = NULL;
	size_t n;
	int r = sg_file_read(a->response, MAX_RESPONSE, &text, &n, err);
	if (r == 0)
		r = sg_json_parse(text, n, &response, err);
	if (r == 0)
		r = sg_engine_respond(
			s->engine, a->run_id, response, &who, NULL, sg_session_settled, o, err);
	json_decref(response);
	return r < 0 ? r : sg_session_wait(s, &o->settled, err);
}

static int cancel(struct sg_session *s, const struct arguments *a, struct sg_session_outcome *o,
	struct sg_error *err)
{
	const struct sg_caller who = {.actor = a->actor, .trigger_source = "manual"};
	int r = sg_engine_cancel(s->engine, a->run_id, &who, sg_session_settled, o, err);
	return r < 0 ? r : sg_session_wait(s, &o->settled, err);
}

/* What the store calls running before anything goes on: ids, for the caller to free. */
static int unfinished(
	struct sg_session *s, char (**ret)[SG_RUN_ID_TEXT], size_t *ret_n, struct sg_error *err)
{
	const struct sg_run_filter filter = {.status = SG_RUN_RUNNING, .limit = MAX_TOLD};
	struct sg_run_row *rows = NULL;
	uint64_t total;
	size_t n = 0;
	int r = sg_engine_list(s->engine, &filter, &rows, &n, &total, err);
	if (r < 0)
		return r;
	*ret = calloc(n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		if (*ret)
			memcpy((*ret)[i], rows[i].run_id, SG_RUN_ID_TEXT);
		sg_run_row_finish(&rows[i]);
	}
	free(rows);
	*ret_n = n;
	return *ret ? 0 : sg_error_nomem(err);
}

static int print_run(struct sg_session *s, const char *run_id, enum sg_run_status *ret_status,
	struct sg_error *err)
{
	struct sg_run_view v;
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	int r = sg_engine_get(s->engine, run_id, &v, err);
	if (r < 0)
		return r;
	sg_session_summary(&v, &b);
	*ret_status = v.row.status;
	sg_run_view_finish(&v);
	return puts(b.data ? b.data : "") < 0
		       ? sg_error_set(err, SG_EIO, NULL, "cannot write to standard output")
		       : 0;
}

/* The oldest first; the named one is told by report. */
static int print_unfinished(struct sg_session *s, const struct arguments *a,
	char (*ids)[SG_RUN_ID_TEXT], size_t n, struct sg_error *err)
{
	enum sg_run_status status;
	int r = 0;
	for (size_t i = n; r == 0 && i-- > 0;)
		if (!a->run_id || strcmp(a->run_id, ids[i]) != 0)
			r = print_run(s, ids[i], &status, err);
	if (r == 0 && !a->run_id && n == 0 && puts("nothing was unfinished") < 0)
		r = sg_error_set(err, SG_EIO, NULL, "cannot write to standard output");
	return r;
}

/* Until nothing is live any more: what was unfinished, and the paused run that was named. */
static int go_on(struct sg_session *s, const struct arguments *a, struct sg_session_outcome *o,
	struct sg_error *err)
{
	const struct sg_caller who = {.actor = a->actor, .trigger_source = "manual"};
	struct sg_engine_stats st;
	int r = sg_engine_recover(s->engine, err);
	if (r == 0 && a->run_id) {
		r = sg_engine_resume(s->engine, a->run_id, &who, sg_session_settled, o, err);
		if (r == -SG_ECONFLICT)
			r = 0; /* it goes on by itself, or has ended */
	}
	if (r < 0)
		return r;
	for (sg_engine_stats(s->engine, &st); st.runs_live || st.queue;
		sg_engine_stats(s->engine, &st)) {
		r = sg_session_turn(s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int resume(struct sg_session *s, const struct arguments *a, struct sg_session_outcome *o,
	struct sg_error *err)
{
	char(*ids)[SG_RUN_ID_TEXT] = NULL;
	size_t n = 0;
	int r = unfinished(s, &ids, &n, err);
	if (r == 0)
		r = go_on(s, a, o, err);
	if (r == 0)
		r = print_unfinished(s, a, ids, n, err);
	free(ids);
	return r;
}

static int report(struct sg_session *s, const struct arguments *a, struct sg_error *err)
{
	enum sg_run_status status = SG_RUN_DONE;
	if (!a->run_id)
		return SG_EXIT_DONE;
	int r = print_run(s, a->run_id, &status, err);
	if (r < 0)
		return r;
	return a->what == CANCEL && status == SG_RUN_CANCELLED ? SG_EXIT_DONE
							       : sg_session_exit(status);
}

/* A stored graph may embed; which ones do is known only once the store is open. */
static bool model_there(const char *named)
{
	sg_autofree char *dir = NULL;
	return named || sg_cli_find_model(NULL, &dir, NULL) == 0;
}

static int execute(const struct arguments *a)
{
	struct sg_session s;
	struct sg_error err;
	struct sg_session_outcome o = {0};
	const struct sg_session_options with = {.state_dir = a->state_dir,
		.model = a->model,
		.with_model = model_there(a->model),
		.packs = &a->packs,
		.config = a->config,
		.allow_side_effects = a->allow_side_effects || a->what == CANCEL};
	if (sg_session_open(&s, &with, &err) < 0)
		return sg_cli_fail(&err);
	int r = a->graph ? sg_engine_load(s.engine, a->graph, &err) : 0;
	if (r == 0)
		r = a->what == RESPOND	? respond(&s, a, &o, &err)
		    : a->what == CANCEL ? cancel(&s, a, &o, &err)
					: resume(&s, a, &o, &err);
	if (r == 0 && o.err.code) {
		err = o.err;
		r = -err.code;
	}
	if (r == 0)
		r = report(&s, a, &err);
	sg_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : r;
}

static int run(enum what what, int argc, char **argv)
{
	struct arguments a = {.what = what, .actor = "cli"};
	int r = parse(argc, argv, &a);
	return r ? r : execute(&a);
}

static int run_resume(int argc, char **argv)
{
	return run(RESUME, argc, argv);
}

static int run_respond(int argc, char **argv)
{
	return run(RESPOND, argc, argv);
}

static int run_cancel(int argc, char **argv)
{
	return run(CANCEL, argc, argv);
}

const struct sg_verb sg_verb_resume = {
	.name = "resume",
	.summary = "continue what was unfinished, and a paused run",
	.usage = "usage: stargraph resume [RUN] [--state-dir DIR] [--model DIR] [--pack DIR]…\n"
		 "                        [--graph FILE] [--config FILE] [--allow-side-effects]\n"
		 "                        [--actor NAME]\n\n"
		 "Continues every run that a kill or a crash left unfinished, and RUN if it is\n"
		 "paused, and prints what became of each, one JSON object a line. Graphs come from "
		 "the store; --model when one of them embeds, --pack for\n"
		 "what it mounts, --config for its tools; --graph names a newer version, whose "
		 "`migrate` takes runs "
		 "along.\n",
	.run = run_resume,
};
const struct sg_verb sg_verb_respond = {
	.name = "respond",
	.summary = "answer what a run waits for",
	.usage = "usage: stargraph respond RUN --response FILE [--state-dir DIR] [--model DIR]\n"
		 "                         [--graph FILE] [--pack DIR]… [--allow-side-effects]\n"
		 "                         [--config FILE] [--actor NAME]\n\n"
		 "FILE holds the answer, a JSON object. While a server owns the state directory,\n"
		 "POST /v1/runs/RUN/respond instead.\n",
	.run = run_respond,
};
const struct sg_verb sg_verb_cancel = {
	.name = "cancel",
	.summary = "cancel a run that has not ended",
	.usage = "usage: stargraph cancel RUN [--state-dir DIR] [--pack DIR]… [--actor NAME]\n",
	.run = run_cancel,
};
