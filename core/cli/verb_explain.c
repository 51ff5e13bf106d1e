/* stargraph explain: what the rules did at one step of a stored run. Reads only; works beside a
 * running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/replaying.h"
#include "evidence/evidence.h"

struct arguments {
	const char *run, *state_dir, *model;
	int64_t step;
	bool json;
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': a->state_dir = optarg; break;
		case 'm': a->model = optarg; break;
		case 'j': a->json = true; break;
		default: return sg_cli_usage(&sg_verb_explain, "unknown option");
		}
	}
	if (optind + 2 != argc)
		return sg_cli_usage(&sg_verb_explain, "a run and the number of a step are needed");
	char *end;
	a->run = argv[optind];
	a->step = strtoll(argv[optind + 1], &end, 10);
	if (*end || end == argv[optind + 1] || a->step < 0)
		return sg_cli_usage(&sg_verb_explain, "\"%s\" is not a step", argv[optind + 1]);
	return 0;
}

static int of_store(const struct arguments *a, json_t **ret, struct sg_error *err)
{
	struct sg_replaying s;
	sg_autorecording *rec = NULL;
	int rc = sg_replaying_open(&s, a->state_dir, a->model, err);
	if (rc < 0)
		return rc;
	rc = sg_recording_read(s.txn, a->run, &rec, err);
	if (rc == 0)
		rc = sg_replaying_firings(&s, rec, a->step, ret, err);
	sg_replaying_close(&s);
	return rc;
}

static int of_file(const struct arguments *a, json_t **ret, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	size_t n = 0;
	struct sg_evidence_content c = {0};
	struct sg_replaying s;
	int rc = sg_file_read(a->run, SG_EVIDENCE_MAX, &text, &n, err);
	if (rc == 0)
		rc = sg_evidence_read(text, n, &c, err);
	if (rc < 0)
		return rc;
	rc = sg_replaying_open_bare(&s, a->model, err);
	if (rc == 0) {
		rc = sg_replaying_firings(&s, c.rec, a->step, ret, err);
		sg_replaying_close(&s);
	}
	sg_evidence_content_finish(&c);
	return rc;
}

/* ---- printing ---- */

/* On one line: control characters of a state do not reach the terminal. */
static void print_text(const char *s)
{
	for (; *s; s++)
		(void)putchar((unsigned char)*s < ' ' || *s == 127 ? ' ' : *s);
}

static void print_slots(const json_t *slots)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)slots, key, v) {
		sg_autobuf b = SG_BUF_INIT(4U << 20);
		if (sg_json_canonical(v, &b, NULL) < 0)
			continue;
		(void)printf(" (%s ", key);
		print_text(b.data);
		(void)putchar(')');
	}
}

/* What came from nowhere in particular (node-id, initial-fact) has no provenance. */
static void print_provenance(const json_t *from)
{
	static const char *const names[] = {
		"origin", "source", "run_id", "step", "confidence", "timestamp"};
	bool any = false;
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++) {
		const char *v = sg_json_text_or_empty(from, names[i]);
		if (!*v)
			continue;
		(void)printf("%s%s ", any ? ", " : "         ", names[i]);
		print_text(v);
		any = true;
	}
	if (any)
		(void)putchar('\n');
}

static void print_facts(const json_t *facts)
{
	size_t i;
	json_t *f;
	json_array_foreach ((json_t *)(uintptr_t)facts, i, f) {
		(void)printf("       %s (%s", sg_json_text_or_empty(f, "id"),
			sg_json_text_or_empty(f, "template"));
		print_slots(json_object_get(f, "slots"));
		(void)puts(")");
		print_provenance(json_object_get(f, "provenance"));
	}
}

static void print_actions(const json_t *actions)
{
	size_t i;
	json_t *one;
	json_array_foreach ((json_t *)(uintptr_t)actions, i, one) {
		sg_autobuf b = SG_BUF_INIT(4U << 20);
		if (sg_json_canonical(one, &b, NULL) < 0)
			continue;
		(void)printf("       → ");
		print_text(b.data);
		(void)putchar('\n');
	}
}

static void print_fired(const json_t *fired)
{
	size_t i;
	json_t *f;
	(void)printf("\nfired: %zu\n", json_array_size(fired));
	json_array_foreach ((json_t *)(uintptr_t)fired, i, f) {
		(void)printf("  %2zu. %s  salience %lld\n", i + 1, sg_json_text_or_empty(f, "rule"),
			(long long)sg_json_int(f, "salience", 0));
		print_facts(json_object_get(f, "facts"));
		print_actions(json_object_get(f, "actions"));
	}
}

static void print_agenda(const json_t *agenda)
{
	size_t i;
	json_t *one;
	(void)printf("\nagenda before the first firing: %zu\n", json_array_size(agenda));
	json_array_foreach ((json_t *)(uintptr_t)agenda, i, one) {
		bool fired = json_is_true(json_object_get(one, "fired"));
		const char *matched = sg_json_text_or_empty(one, "matched");
		(void)printf("  %2zu. %s  salience %lld  on %s%s\n", i + 1,
			sg_json_text_or_empty(one, "rule"),
			(long long)sg_json_int(one, "salience", 0), *matched ? matched : "no fact",
			fired ? "" : "  (did not fire)");
		if (!fired)
			print_facts(json_object_get(one, "facts"));
	}
}

static void print(const char *run, const json_t *e)
{
	sg_autobuf b = SG_BUF_INIT(4U << 20);
	const json_t *decision = json_object_get(e, "decision");
	const char *by = sg_json_text_or_empty(e, "decided_by");
	(void)printf("%s  step %lld  %s\n", run, (long long)sg_json_int(e, "step", 0),
		sg_json_text_or_empty(e, "node"));
	if (!json_is_true(json_object_get(e, "asked"))) {
		(void)puts("the rules were not asked at this step");
		return;
	}
	if (json_is_null(decision) || sg_json_canonical(decision, &b, NULL) < 0)
		(void)puts("decision: continue with the next node in file order");
	else {
		(void)printf("decision: ");
		print_text(b.data);
		(void)printf("%s%s\n", *by ? "  by " : "", by);
	}
	print_agenda(json_object_get(e, "agenda"));
	print_fired(json_object_get(e, "fired"));
}

static int run(int argc, char **argv)
{
	struct arguments a = {0};
	struct sg_error err = {0};
	json_auto_t *e = NULL;
	sg_autobuf b = SG_BUF_INIT(256U << 20);
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	bool file = strchr(a.run, '/') || access(a.run, R_OK) == 0;
	int rc = file ? of_file(&a, &e, &err) : of_store(&a, &e, &err);
	if (rc == 0 && a.json)
		rc = sg_json_canonical(e, &b, &err);
	if (rc < 0)
		return sg_cli_fail(&err);
	if (a.json)
		(void)puts(b.data);
	else
		print(a.run, e);
	return fflush(stdout) == 0 ? SG_EXIT_DONE : SG_EXIT_FAILED;
}

const struct sg_verb sg_verb_explain = {
	.name = "explain",
	.summary = "which rules fired at a step of a run, and on which facts",
	.usage =
		"usage: stargraph explain RUN STEP [--json] [--state-dir DIR] [--model DIR]\n\n"
		"  RUN              a stored run, or an evidence file (which `verify` judges, not "
		"this)\n"
		"  STEP             the number of a step, from 0\n"
		"  --state-dir DIR  where the runs are stored (.stargraph)\n"
		"  --model DIR      the embedding model, for graphs with classify_embedding "
		"(HF_HOME)\n"
		"  --json           machine-readable\n\n"
		"The step is executed again from the record: what was activated before the first\n"
		"firing, in agenda order; what fired, in order, with its salience, the facts that\n"
		"fired it and where each fact came from. Exit 4: it does not come out as "
		"recorded.\n",
	.run = run,
};
