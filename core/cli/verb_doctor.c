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

struct arguments {
	bool json, strict;
	const char *only, *support;
	struct sg_doctor_edge_options edge;
};

static void check_all(struct sg_doctor *d, const struct arguments *a)
{
	sg_doctor_host(d);
	sg_doctor_files(d);
	sg_doctor_tls(d);
	sg_doctor_model(d);
	sg_doctor_store(d);
	sg_doctor_edge(d);
	sg_doctor_wire(d, &a->edge);
	sg_doctor_tools(d);
	sg_doctor_llms(d);
}

/* 0, or an exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"strict", no_argument, NULL, 's'}, {"only", required_argument, NULL, 'o'},
		{"support", required_argument, NULL, 'f'}, {"edge", required_argument, NULL, 'e'},
		{"edge-address", required_argument, NULL, 'd'},
		{"edge-cert", required_argument, NULL, 'c'},
		{"edge-ca", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j': a->json = true; break;
		case 's': a->strict = true; break;
		case 'o': a->only = optarg; break;
		case 'f': a->support = optarg; break;
		case 'e': a->edge.url = optarg; break;
		case 'd': a->edge.address = optarg; break;
		case 'c': a->edge.cert = optarg; break;
		case 'a': a->edge.ca = optarg; break;
		default: return sg_cli_unknown_option(&sg_verb_doctor, argv, optind - 1);
		}
	}
	if (optind < argc)
		return sg_cli_usage(&sg_verb_doctor, "takes no arguments");
	if (a->support && a->only)
		return sg_cli_usage(&sg_verb_doctor, "--support takes every check, not --only");
	if (a->edge.url && (!a->edge.cert || !a->edge.ca))
		return sg_cli_usage(&sg_verb_doctor, "--edge needs --edge-cert and --edge-ca");
	return 0;
}

static int verdict(const struct sg_doctor *d, bool strict)
{
	return d->counts[SG_DOCTOR_FAIL] || (strict && d->counts[SG_DOCTOR_WARN]) ? SG_EXIT_FAILED
										  : SG_EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct sg_cli_flags flags;
	struct sg_error err;
	struct arguments a = {0};
	if (sg_cli_take_flags(&argc, argv, &flags, &err) < 0)
		return sg_cli_usage(&sg_verb_doctor, "%s", err.text);
	int code = parse(argc, argv, &a);
	if (code != 0)
		return code;
	struct sg_config config = {0};
	if (sg_cli_load_config(&flags, &config, &err) < 0)
		return sg_cli_fail(&err);
	struct sg_doctor d = {.config = &config, .results = json_array(), .only = a.only};
	check_all(&d, &a);
	bool unknown = json_array_size(d.results) == 0;
	if ((a.json ? print_json(&d) : print_text(&d)) < 0)
		code = SG_EXIT_FAILED;
	else if (a.support && sg_support_write(&d, a.support, &err) < 0)
		code = sg_cli_fail(&err);
	else
		code = verdict(&d, a.strict);
	json_decref(d.results);
	sg_config_finish(&config);
	return unknown ? sg_cli_usage(&sg_verb_doctor, "no check has the id \"%s\"", a.only) : code;
}

const struct sg_verb sg_verb_doctor = {
	.name = "doctor",
	.summary = "check this host and say what to fix",
	.usage = "usage: stargraph doctor [--json] [--strict] [--only ID] [--support FILE] "
		 "[--config "
		 "FILE]\n"
		 "                        [--edge URL --edge-cert FILE --edge-ca FILE "
		 "[--edge-address IP]]\n\n"
		 "Checks clock, limits, files, TLS, model, store, audit and edge wiring.\n\n"
		 "  --strict           a warning counts as a failure\n"
		 "  --only ID          one check\n"
		 "  --support FILE     also write a file that may be shown to others: these\n"
		 "                     results, versions, the configuration without names and\n"
		 "                     texts, counts of the store, and the log's latest lines\n"
		 "                     without actors and contents\n"
		 "  --edge URL         also make real requests: https://NAME[:PORT]\n"
		 "  --edge-cert FILE   with this client certificate and key (one PEM file)\n"
		 "  --edge-ca FILE     the CA of the edge's own certificate\n"
		 "  --edge-address IP  where to connect (127.0.0.1)\n\n"
		 "Exit 0: all well; 1: a check failed (with --strict: or warned); 2: the\n"
		 "configuration does not load.\n",
	.run = run,
};
