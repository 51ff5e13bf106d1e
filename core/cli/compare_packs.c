/* What stored runs would have done under other rule packs: many runs, one table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "pack/pack.h"
#include "run/replay/compare.h"
#include "run/replay/whatif.h"

/* What became of a run, in the order in which they are told. */
enum verdict { SAME, ROUTE, OTHER, REFUSED, NOT_MOUNTED, SKIPPED, FAILED, N_VERDICTS };
static const char *const verdict_names[N_VERDICTS] = {
	"same", "route", "other", "refused", "not-mounted", "skipped", "failed"};

struct sweep {
	struct sg_replaying *s;
	const struct sg_compare_many *with;
	struct sg_mounts *mounts;
	json_t *runs;	  /* [{"run_id", "graph_id", "verdict", "text", …}…] */
	json_t *graphs;	  /* graph id: {verdict: n} */
	json_t *outcomes; /* [{"graph_id", "from", "to", "runs"}…] of those that are not the same */
	uint64_t n, steps, counts[N_VERDICTS];
};

/* "done at high", "failed at t: fork-refused" */
static json_t *outcome_of(const struct sg_recording *rec)
{
	const char *at = rec->n_steps ? rec->steps[rec->n_steps - 1].last_node : "the start";
	const char *why = rec->row.error_class ? rec->row.error_class : "";
	return json_sprintf(
		"%s at %s%s%s", sg_run_status_name(rec->row.status), at, *why ? ": " : "", why);
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static enum verdict verdict_of(
	const struct sg_recording *was, const struct sg_recording *now, const json_t *comparison)
{
	bool steps_same = sg_json_int(json_object_get(comparison, "first"), "step", -1) < 0;
	/* What failed outside then has left no result: it is where it was. */
	if (steps_same && same_text(now->row.error_class, "fork-refused") &&
		was->row.status == SG_RUN_FAILED)
		return SAME;
	if (same_text(now->row.error_class, "fork-refused"))
		return REFUSED;
	if (json_is_object(json_object_get(comparison, "route")))
		return ROUTE;
	return steps_same && was->row.status == now->row.status &&
			       same_text(was->row.reason, now->row.reason) &&
			       same_text(was->row.error_class, now->row.error_class)
		       ? SAME
		       : OTHER;
}

static void tell(struct sweep *w, const char *run_id, const char *graph_id, enum verdict v,
	const char *text, json_t *more)
{
	json_t *one = more ? more : json_object();
	json_t *tally = json_object_get(w->graphs, graph_id);
	if (!tally) {
		tally = json_object();
		(void)json_object_set_new(w->graphs, graph_id, tally);
	}
	sg_json_count(tally, verdict_names[v]);
	w->counts[v]++;
	(void)json_object_set_new(one, "graph_id", json_string(graph_id));
	(void)json_object_set_new(one, "run_id", json_string(run_id));
	(void)json_object_set_new(one, "text", json_string(text));
	(void)json_object_set_new(one, "verdict", json_string(verdict_names[v]));
	(void)json_array_append_new(w->runs, one);
}

static void count_outcome(
	struct sweep *w, const char *graph_id, const json_t *from, const json_t *to)
{
	json_t *one;
	size_t i;
	json_array_foreach (w->outcomes, i, one)
		if (same_text(sg_json_text_or_empty(one, "graph_id"), graph_id) &&
			json_equal(json_object_get(one, "from"), from) &&
			json_equal(json_object_get(one, "to"), to)) {
			sg_json_count(one, "runs");
			return;
		}
	(void)json_array_append_new(
		w->outcomes, json_pack("{s:s, s:O, s:O, s:i}", "graph_id", graph_id, "from", from,
				     "to", to, "runs", 1));
}

static int compared(struct sweep *w, const struct sg_recording *was, const struct sg_recording *now,
	struct sg_error *err)
{
	const struct sg_compare_options o = {.max_steps = 1};
	json_auto_t *c = NULL;
	json_auto_t *from = outcome_of(was);
	json_auto_t *to = outcome_of(now);
	int rc = sg_compare(w->s->replayer, was, now, &o, &c, err);
	if (rc < 0)
		return rc;
	enum verdict v = verdict_of(was, now, c);
	const json_t *route = json_object_get(c, "route"), *first = json_object_get(c, "first");
	const char *text = v == SAME		   ? ""
			   : v == REFUSED	   ? now->row.error_cause
			   : json_is_object(route) ? sg_json_text_or_empty(route, "text")
						   : sg_json_text_or_empty(first, "text");
	json_t *more = json_pack(
		"{s:O, s:O, s:O, s:O}", "first", first, "from", from, "route", route, "to", to);
	if (!more)
		return sg_error_nomem(err);
	if (v != SAME)
		count_outcome(w, was->row.graph_id, from, to);
	tell(w, was->row.run_id, was->row.graph_id, v, text, more);
	w->steps += now->n_steps;
	return 0;
}

/* Errors of one run are its verdict; others end the sweep. */
static int one(struct sweep *w, const char *run_id, struct sg_error *err)
{
	sg_autorecording *was = NULL;
	sg_autorecording *now = NULL;
	struct sg_error why = {0};
	int rc = sg_recording_read(w->s->txn, run_id, &was, err);
	if (rc < 0)
		return rc;
	w->n++;
	rc = sg_replaying_whatif(w->s, was, w->mounts, &now, &why);
	if (rc == 0)
		rc = compared(w, was, now, &why);
	if (rc == 1)
		tell(w, run_id, was->row.graph_id, NOT_MOUNTED, "", NULL);
	else if (rc == -SG_EREFUSED)
		tell(w, run_id, was->row.graph_id, SKIPPED, why.text, NULL);
	else if (rc < 0 && rc != -SG_ENOMEM)
		tell(w, run_id, was->row.graph_id, FAILED, why.text, NULL);
	if (rc == -SG_ENOMEM)
		*err = why;
	return rc == -SG_ENOMEM ? rc : 0;
}

/* ---- which runs ---- */

static bool wanted(const struct sg_compare_many *with, const struct sg_run_row *r)
{
	return (!with->since_us || r->started_us >= with->since_us) &&
	       (!with->until_us || r->started_us < with->until_us) &&
	       (!with->graph_id || same_text(r->graph_id, with->graph_id));
}

/* Leaves of the list those that are wanted. */
static int choose(struct sweep *w, struct sg_run_id_list *ids, struct sg_error *err)
{
	size_t n = 0;
	int rc = sg_replaying_runs(w->s, ids, err);
	for (size_t i = 0; rc == 0 && i < ids->n; i++) {
		struct sg_run_row row = {0};
		rc = sg_run_get(w->s->txn, ids->id[i], &row, err);
		if (rc == 0 && wanted(w->with, &row))
			memmove(ids->id[n++], ids->id[i], sizeof(ids->id[i]));
		sg_run_row_finish(&row);
		rc = rc > 0 ? 0 : rc;
	}
	ids->n = n;
	return rc;
}

static int sweep(struct sweep *w, struct sg_error *err)
{
	struct sg_progress p;
	struct sg_run_id_list ids = {0};
	const struct sg_compare_many *with = w->with;
	int rc = with->n_runs ? 0 : choose(w, &ids, err);
	size_t n = with->n_runs ? with->n_runs : ids.n;
	sg_progress_init(&p, "comparing", n);
	p.items = "runs";
	p.parts = "steps";
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = one(w, with->n_runs ? with->runs[i] : ids.id[i], err);
		sg_progress_show(&p, i + 1, i + 1, w->steps);
	}
	sg_progress_finish(&p);
	sg_run_id_list_finish(&ids);
	return rc;
}

/* ---- what is said ---- */

static int print_runs(const struct sweep *w)
{
	static const char *const headings[] = {"RUN", "GRAPH", "VERDICT", "RECORDED", "NOW", "WHY"};
	struct sg_cli_table t;
	size_t i;
	const json_t *r;
	sg_table_init(&t, SG_ARRAY_LEN(headings), headings);
	json_array_foreach (w->runs, i, r) {
		const char *v = sg_json_text_or_empty(r, "verdict");
		if (same_text(v, verdict_names[SAME]) || same_text(v, verdict_names[NOT_MOUNTED]))
			continue;
		const char *const row[] = {sg_json_text_or_empty(r, "run_id"),
			sg_json_text_or_empty(r, "graph_id"), v, sg_json_text_or_empty(r, "from"),
			sg_json_text_or_empty(r, "to"), sg_json_text_or_empty(r, "text")};
		sg_table_row(&t, row);
	}
	return sg_table_print(&t);
}

static int print_graphs(const struct sweep *w)
{
	const char *headings[N_VERDICTS + 1] = {
		"GRAPH", "SAME", "ROUTE", "OTHER", "REFUSED", "NOT MOUNTED", "SKIPPED", "FAILED"};
	struct sg_cli_table t;
	const char *graph;
	json_t *tally;
	sg_table_init(&t, N_VERDICTS + 1, headings);
	json_object_foreach (w->graphs, graph, tally) {
		char numbers[N_VERDICTS][24];
		const char *row[N_VERDICTS + 1] = {graph};
		for (int v = 0; v < N_VERDICTS; v++) {
			(void)snprintf(numbers[v], sizeof(numbers[v]), "%lld",
				(long long)sg_json_int(tally, verdict_names[v], 0));
			row[v + 1] = numbers[v];
		}
		sg_table_row(&t, row);
	}
	return sg_table_print(&t);
}

static int print_outcomes(const struct sweep *w)
{
	static const char *const headings[] = {"GRAPH", "RECORDED", "UNDER THE PACK", "RUNS"};
	struct sg_cli_table t;
	size_t i;
	const json_t *o;
	sg_table_init(&t, SG_ARRAY_LEN(headings), headings);
	json_array_foreach (w->outcomes, i, o) {
		char n[24];
		(void)snprintf(n, sizeof(n), "%lld", (long long)sg_json_int(o, "runs", 0));
		const char *const row[] = {sg_json_text_or_empty(o, "graph_id"),
			sg_json_text_or_empty(o, "from"), sg_json_text_or_empty(o, "to"), n};
		sg_table_row(&t, row);
	}
	return sg_table_print(&t);
}

static int print_text(const struct sweep *w)
{
	uint64_t differ = w->n - w->counts[SAME] - w->counts[NOT_MOUNTED];
	int rc = 0;
	if (differ) {
		rc = print_runs(w);
		(void)putchar('\n');
	}
	if (rc == 0 && json_array_size(w->outcomes)) {
		rc = print_outcomes(w);
		(void)putchar('\n');
	}
	if (rc == 0)
		rc = print_graphs(w);
	return rc;
}

static json_t *packs_json(const struct sg_mounts *m)
{
	json_t *list = json_array();
	const struct sg_pack *p;
	for (size_t i = 0; (p = sg_mounts_at(m, i)); i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:s, s:s}", "id", p->id, "sha256", p->tree_sha256,
				      "version", p->version));
	return list;
}

static int print_json(const struct sweep *w)
{
	json_t *counts = json_object();
	for (int v = 0; v < N_VERDICTS; v++)
		(void)json_object_set_new(
			counts, verdict_names[v], json_integer((json_int_t)w->counts[v]));
	json_auto_t *j = json_pack("{s:O, s:O, s:o, s:O, s:o}", "graphs", w->graphs, "outcomes",
		w->outcomes, "packs", packs_json(w->mounts), "runs", w->runs, "totals", counts);
	sg_autobuf b = SG_BUF_INIT(1U << 30);
	return j && sg_json_canonical(j, &b, NULL) == 0 && puts(b.data) >= 0 ? 0 : -SG_EIO;
}

static void print_rate(const struct sweep *w, int64_t us)
{
	double s = us > 0 ? (double)us / 1e6 : 1e-6;
	(void)fprintf(stderr,
		"%llu runs, %llu steps in %.2f s (%.0f runs/s): %llu same, %llu take another "
		"route, %llu differ otherwise, %llu refused, %llu not affected, %llu skipped, "
		"%llu failed\n",
		(unsigned long long)w->n, (unsigned long long)w->steps, s, (double)w->n / s,
		(unsigned long long)w->counts[SAME], (unsigned long long)w->counts[ROUTE],
		(unsigned long long)w->counts[OTHER], (unsigned long long)w->counts[REFUSED],
		(unsigned long long)w->counts[NOT_MOUNTED], (unsigned long long)w->counts[SKIPPED],
		(unsigned long long)w->counts[FAILED]);
}

int sg_compare_packs(
	struct sg_replaying *s, const struct sg_compare_many *with, struct sg_error *err)
{
	struct sweep w = {.s = s,
		.with = with,
		.runs = json_array(),
		.graphs = json_object(),
		.outcomes = json_array()};
	int64_t from = sg_clock_monotonic_us();
	int rc = sg_cli_mount_packs(with->packs, &w.mounts, err);
	if (rc == 0)
		rc = sweep(&w, err);
	if (rc == 0 && (with->json ? print_json(&w) : print_text(&w)) < 0)
		rc = sg_error_set(err, SG_EIO, NULL, "cannot write the result");
	if (rc == 0)
		print_rate(&w, sg_clock_monotonic_us() - from);
	json_decref(w.runs);
	json_decref(w.graphs);
	json_decref(w.outcomes);
	sg_mounts_destroy(w.mounts);
	return rc < 0 ? rc : SG_EXIT_DONE;
}
