/* audit tail, audit query: records from the store, as they stand in the log. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/audit.h"

#define FOLLOW_US 200000U /* between two looks */

enum {
	O_STATE = 256,
	O_RUN,
	O_ACTOR,
	O_TYPE,
	O_SINCE,
	O_UNTIL,
	O_LIMIT,
	O_SIZE,
	O_RECORD,
	O_FROM,
	O_KEY,
	O_NAME,
	O_LINE,
	O_OLD,
	O_WITNESS,
	O_QUORUM
};

static int number(const char *text, int64_t *ret)
{
	char *end;
	*ret = strtoll(text, &end, 10);
	return *end || end == text || *ret < 0 ? -SG_EINVALID : 0;
}

static int take(struct sg_audit_arguments *a, int o, char *value)
{
	switch (o) {
	case O_STATE: a->state_dir = value; return 0;
	case O_RUN: a->run = value; return 0;
	case O_ACTOR: a->actor = value; return 0;
	case O_TYPE: a->type = value; return 0;
	case O_KEY: a->key = value; return 0;
	case O_NAME: a->name = value; return 0;
	case O_OLD: a->old = value; return 0;
	case O_WITNESS:
		if (a->n_witnesses == SG_AUDIT_CLI_WITNESSES)
			return -SG_ELIMIT;
		a->witness[a->n_witnesses++] = value;
		return 0;
	case O_QUORUM: return number(value, &a->quorum);
	case 'f': a->follow = true; return 0;
	case O_LINE:
		a->line_file = value;
		a->one_line = true;
		return 0;
	case O_SINCE: return sg_time_parse(value, strlen(value), &a->since_us);
	case O_UNTIL: return sg_time_parse(value, strlen(value), &a->until_us);
	case 'n':
	case O_LIMIT: return number(value, &a->limit);
	case O_SIZE: return number(value, &a->size);
	case O_RECORD: return number(value, &a->record);
	case O_FROM: return number(value, &a->from);
	default: return -SG_EINVALID;
	}
}

int sg_audit_cli_parse(int argc, char **argv, struct sg_audit_arguments *ret)
{
	static const struct option options[] = {{"state-dir", required_argument, NULL, O_STATE},
		{"run", required_argument, NULL, O_RUN},
		{"actor", required_argument, NULL, O_ACTOR},
		{"type", required_argument, NULL, O_TYPE},
		{"since", required_argument, NULL, O_SINCE},
		{"until", required_argument, NULL, O_UNTIL},
		{"limit", required_argument, NULL, O_LIMIT},
		{"size", required_argument, NULL, O_SIZE},
		{"record", required_argument, NULL, O_RECORD},
		{"from", required_argument, NULL, O_FROM}, {"key", required_argument, NULL, O_KEY},
		{"name", required_argument, NULL, O_NAME},
		{"line", optional_argument, NULL, O_LINE}, {"old", required_argument, NULL, O_OLD},
		{"witness", required_argument, NULL, O_WITNESS},
		{"quorum", required_argument, NULL, O_QUORUM}, {"follow", no_argument, NULL, 'f'},
		{0}};
	struct sg_audit_arguments a = {.limit = -1, .record = -1, .from = -1, .quorum = -1};
	int o;
	optind = 0;
	while ((o = getopt_long(argc, argv, "n:f", options, NULL)) != -1) {
		if (o == '?')
			return sg_cli_usage(&sg_verb_audit, "unknown option %s", argv[optind - 1]);
		if (take(&a, o, optarg) < 0)
			return sg_cli_usage(&sg_verb_audit,
				"\"%s\" is no number or time, or one too many", optarg);
	}
	a.rest = argv + optind;
	a.n_rest = argc - optind;
	*ret = a;
	return 0;
}

/* Cheap refusal before the line is parsed: is the text in it at all? */
static bool mentions(struct sg_span line, const char *text)
{
	return !text || memmem(line.data, line.len, text, strlen(text));
}

static bool equal(const json_t *record, const char *key, const char *want)
{
	const char *have = json_string_value(json_object_get(record, key));
	return !want || (have && strcmp(have, want) == 0);
}

static bool in_time(const json_t *record, const struct sg_audit_arguments *a)
{
	const json_t *ts = json_object_get(record, "ts");
	int64_t us = 0;
	if (!a->since_us && !a->until_us)
		return true;
	if (!json_is_string(ts) ||
		sg_time_parse(json_string_value(ts), json_string_length(ts), &us) < 0)
		return false;
	return us >= a->since_us && (!a->until_us || us <= a->until_us);
}

static bool matches(struct sg_span line, const struct sg_audit_arguments *a)
{
	json_t *record = NULL;
	if (!mentions(line, a->run) || !mentions(line, a->type))
		return false;
	if (!a->run && !a->actor && !a->type && !a->since_us && !a->until_us)
		return true;
	bool good = sg_json_parse(line.data, line.len, &record, NULL) == 0 &&
		    equal(record, "run", a->run) && equal(record, "actor", a->actor) &&
		    equal(record, "type", a->type) && in_time(record, a);
	json_decref(record);
	return good;
}

static bool print_line(struct sg_span line)
{
	return fwrite(line.data, 1, line.len, stdout) == line.len && putchar('\n') != EOF;
}

/* Oldest first from *next on, which becomes the sequence after the last one looked at. */
static int walk(const struct sg_evidence *e, uint64_t *next, const struct sg_audit_arguments *a,
	struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key, line;
	uint8_t start[8];
	int64_t left = a->limit < 0 ? INT64_MAX : a->limit;
	sg_be64(*next, start);
	key = SG_SPAN(start, sizeof(start));
	int r = sg_cursor_open(e->txn, SG_TABLE_AUDIT, &c, err);
	if (r == 0)
		r = sg_cursor_seek(c, SG_SEEK_GE, &key, &line, err);
	while (r == 0 && left > 0) {
		if (key.len == sizeof(start))
			*next = sg_be64_read(key.data) + 1;
		if (matches(line, a)) {
			if (!print_line(line))
				return sg_error_set(err, SG_EIO, NULL, "cannot write the output");
			left--;
		}
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &line, err);
	}
	return r < 0 ? r : 0;
}

/* Until a signal or a closed output ends the process: what the server committed since, read anew
 * each time, so that no read transaction stays open beside its writer. */
static int follow(const struct sg_audit_arguments *a, uint64_t next, struct sg_error *err)
{
	struct sg_audit_arguments all = *a;
	all.limit = -1;
	for (;;) {
		struct sg_evidence e;
		if (fflush(stdout) != 0)
			return sg_error_set(err, SG_EIO, NULL, "cannot write the output");
		(void)usleep(FOLLOW_US);
		int r = sg_evidence_open(&e, a->state_dir, err);
		if (r < 0)
			return r;
		r = walk(&e, &next, &all, err);
		sg_evidence_close(&e);
		if (r < 0)
			return r;
	}
}

static int read_records(const struct sg_audit_arguments *a, bool tail)
{
	struct sg_evidence e;
	struct sg_error err = {0};
	if (a->follow && !tail)
		return sg_cli_usage(&sg_verb_audit, "--follow belongs to tail");
	if (!a->state_dir || a->n_rest)
		return sg_cli_usage(&sg_verb_audit, "needs --state-dir and no argument");
	if (sg_evidence_open(&e, a->state_dir, &err) < 0)
		return sg_cli_fail(&err);
	uint64_t want = a->limit < 0 ? 10 : (uint64_t)a->limit;
	uint64_t from = !tail || want > e.head.seq ? 0 : e.head.seq + 1 - want;
	int r = walk(&e, &from, a, &err);
	sg_evidence_close(&e);
	if (r == 0 && a->follow)
		r = follow(a, from, &err);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

int sg_audit_cli_tail(int argc, char **argv)
{
	struct sg_audit_arguments a;
	int code = sg_audit_cli_parse(argc, argv, &a);
	return code ? code : read_records(&a, true);
}

int sg_audit_cli_query(int argc, char **argv)
{
	struct sg_audit_arguments a;
	int code = sg_audit_cli_parse(argc, argv, &a);
	return code ? code : read_records(&a, false);
}
