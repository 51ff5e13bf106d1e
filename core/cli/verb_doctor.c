/* stargraph doctor: runs every check and says what to do about each that fails. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/support.h"

static const char *const level_names[] = {"ok", "note", "warn", "FAIL"};

void sg_doctor_say(struct sg_doctor *d, const char *id, enum sg_doctor_level level, const char *fix,
	const char *fmt, ...)
{
	if (d->only && strcmp(d->only, id) != 0)
		return;
	char detail[1024];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	d->counts[level]++;
	json_t *one = json_pack("{s:s, s:s, s:s, s:s?}", "id", id, "level", level_names[level],
		"detail", detail, "fix", fix);
	if (!one || json_array_append_new(d->results, one) < 0)
		abort(); /* a doctor without memory cannot say anything */
}

static int print_text(const struct sg_doctor *d)
{
	size_t i;
	const json_t *one;
	json_array_foreach (d->results, i, one) {
		const char *fix = json_string_value(json_object_get(one, "fix"));
		(void)printf("%-4s  %-20s %s\n", json_string_value(json_object_get(one, "level")),
			json_string_value(json_object_get(one, "id")),
			json_string_value(json_object_get(one, "detail")));
		if (fix)
			(void)printf("      %-20s fix: %s\n", "", fix);
	}
	return printf("%u ok, %u notes, %u warnings, %u failed\n", d->counts[SG_DOCTOR_OK],
		d->counts[SG_DOCTOR_NOTE], d->counts[SG_DOCTOR_WARN], d->counts[SG_DOCTOR_FAIL]);
}

static int print_json(const struct sg_doctor *d)
{
	json_t *all = json_pack("{s:O, s:i, s:i, s:i, s:i}", "checks", d->results, "ok",
		(int)d->counts[SG_DOCTOR_OK], "notes", (int)d->counts[SG_DOCTOR_NOTE], "warnings",
		(int)d->counts[SG_DOCTOR_WARN], "failed", (int)d->counts[SG_DOCTOR_FAIL]);
	sg_autobuf out = SG_BUF_INIT(4U << 20);
	struct sg_error err;
	int r = all ? sg_json_canonical(all, &out, &err) : -SG_ENOMEM;
	json_decref(all);
	return r < 0 ? r : puts(out.data);
}

static void check_all(struct sg_doctor *d)
{
	sg_doctor_host(d);
	sg_doctor_files(d);
	sg_doctor_tls(d);
	sg_doctor_model(d);
	sg_doctor_store(d);
	sg_doctor_edge(d);
	sg_doctor_tools(d);
	sg_doctor_llms(d);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"strict", no_argument, NULL, 's'}, {"only", required_argument, NULL, 'o'},
		{"support", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	struct sg_cli_flags flags;
	struct sg_error err;
	if (sg_cli_take_flags(&argc, argv, &flags, &err) < 0)
		return sg_cli_usage(&sg_verb_doctor, "%s", err.text);
	struct sg_doctor d = {0};
	bool json = false, strict = false;
	const char *support = NULL;
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j': json = true; break;
		case 's': strict = true; break;
		case 'o': d.only = optarg; break;
		case 'f': support = optarg; break;
		default: return sg_cli_unknown_option(&sg_verb_doctor, argv, optind - 1);
		}
	}
	if (optind < argc)
		return sg_cli_usage(&sg_verb_doctor, "takes no arguments");
	if (support && d.only)
		return sg_cli_usage(&sg_verb_doctor, "--support takes every check, not --only");
	struct sg_config config = {0};
	if (sg_cli_load_config(&flags, &config, &err) < 0)
		return sg_cli_fail(&err);
	d.config = &config;
	d.results = json_array();
	check_all(&d);
	int printed = json ? print_json(&d) : print_text(&d);
	bool unknown = json_array_size(d.results) == 0;
	int written = support ? sg_support_write(&d, support, &err) : 0;
	json_decref(d.results);
	sg_config_finish(&config);
	if (unknown)
		return sg_cli_usage(&sg_verb_doctor, "no check has the id \"%s\"", d.only);
	if (written < 0)
		return sg_cli_fail(&err);
	if (printed < 0 || d.counts[SG_DOCTOR_FAIL])
		return SG_EXIT_FAILED;
	return strict && d.counts[SG_DOCTOR_WARN] ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_doctor = {
	.name = "doctor",
	.summary = "check this host and say what to fix",
	.usage = "usage: stargraph doctor [--json] [--strict] [--only ID] [--support FILE] "
		 "[--config FILE]\n"
		 "Checks clock, limits, files, TLS, model, store, audit and edge wiring. Exit 0: "
		 "all\n"
		 "well; 1: a check failed (with --strict: or warned); 2: the configuration does "
		 "not load.\n"
		 "--support writes a file that may be shown to others: these results, versions, "
		 "the\n"
		 "configuration without names and texts, counts of the store, and the log's "
		 "latest\n"
		 "lines without actors and contents.\n",
	.run = run,
};
