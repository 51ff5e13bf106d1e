/* See pack_test.h. */
#include "cli/pack_test.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "pack/pack.h"
#include "run/pack_diff.h"
#include "run/pack_test.h"

static void print_case(const json_t *c)
{
	bool ok = json_is_true(json_object_get(c, "ok"));
	(void)printf("%s %s: %s\n", ok ? "ok  " : "FAIL", sg_json_text_or_empty(c, "where"),
		sg_json_text_or_empty(c, "name"));
	if (ok)
		return;
	const json_t *fired = json_object_get(c, "fired");
	(void)printf("     %s\n     fired:", sg_json_text_or_empty(c, "problem"));
	for (size_t i = 0; i < json_array_size(fired); i++)
		(void)printf(" %s", json_string_value(json_array_get(fired, i)));
	(void)printf("%s\n", json_array_size(fired) ? "" : " nothing");
}

static void print(const json_t *all)
{
	const json_t *cases = json_object_get(all, "cases"),
		     *never = json_object_get(all, "never_fired");
	size_t n_rules = json_object_size(json_object_get(all, "rules"));
	for (size_t i = 0; i < json_array_size(cases); i++)
		print_case(json_array_get(cases, i));
	for (size_t i = 0; i < json_array_size(never); i++)
		(void)printf("never fired: %s\n", json_string_value(json_array_get(never, i)));
	(void)printf("%s %s: %zu cases, %lld failed; %zu of %zu rules fired\n",
		sg_json_text_or_empty(all, "pack"), sg_json_text_or_empty(all, "version"),
		json_array_size(cases), (long long)sg_json_int(all, "failed", 0),
		n_rules - json_array_size(never), n_rules);
}

int sg_cli_pack_test(const char *dir, bool json, bool strict)
{
	struct sg_error err = {0};
	json_auto_t *all = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	int r = sg_pack_test(dir, &all, &err);
	if (r == 0 && json)
		r = sg_json_canonical(all, &text, &err);
	if (r < 0)
		return sg_cli_fail(&err);
	if (json)
		(void)puts(text.data);
	else
		print(all);
	bool failed = sg_json_int(all, "failed", 0) > 0 ||
		      (strict && json_array_size(json_object_get(all, "never_fired")) > 0);
	return failed || fflush(stdout) ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

/* ---- diff ---- */

static void print_names(const json_t *list, char sign, const char *part)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		(void)printf("%c %s %s\n", sign, part, json_string_value(json_array_get(list, i)));
}

static void print_side(const json_t *diff, const char *side, const char *sign)
{
	const json_t *p = json_object_get(diff, side);
	(void)printf("%s %s %s  tree %s\n", sign, sg_json_text_or_empty(diff, "pack"),
		sg_json_text_or_empty(p, "version"), sg_json_text_or_empty(p, "sha256"));
}

static void print_diff(const json_t *diff)
{
	static const char *const parts[][2] = {{"rules", "rule"}, {"facts", "deffacts"},
		{"templates", "deftemplate"}, {"actions", "may decide"},
		{"capabilities", "asks for capability"}, {"targets", "leads to node"}};
	print_side(diff, "from", "---");
	print_side(diff, "to", "+++");
	for (size_t i = 0; i < SG_ARRAY_LEN(parts); i++) {
		const json_t *p = json_object_get(diff, parts[i][0]);
		print_names(json_object_get(p, "removed"), '-', parts[i][1]);
		print_names(json_object_get(p, "added"), '+', parts[i][1]);
		print_names(json_object_get(p, "changed"), '~', parts[i][1]);
	}
}

static int same_id(const struct sg_pack *a, const struct sg_pack *b, struct sg_error *err)
{
	return strcmp(a->id, b->id) == 0 ? 0
					 : sg_error_set(err, SG_EINVALID, NULL,
						   "%s is pack \"%s\", %s is pack \"%s\"", a->dir,
						   a->id, b->dir, b->id);
}

int sg_cli_pack_diff(const char *from, const char *to, bool json)
{
	struct sg_error err = {0};
	struct sg_pack *a = NULL, *b = NULL;
	json_auto_t *diff = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	int r = sg_pack_read(&a, from, &err);
	if (r == 0)
		r = sg_pack_read(&b, to, &err);
	if (r == 0)
		r = same_id(a, b, &err);
	if (r == 0)
		r = sg_pack_diff(a, b, &diff, &err);
	if (r == 0 && json)
		r = sg_json_canonical(diff, &text, &err);
	sg_pack_destroy(a);
	sg_pack_destroy(b);
	if (r < 0)
		return sg_cli_fail(&err);
	if (json)
		(void)puts(text.data);
	else
		print_diff(diff);
	return fflush(stdout) ? SG_EXIT_FAILED : SG_EXIT_DONE;
}
