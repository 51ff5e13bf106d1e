/* stargraph new: a graph to begin with, as a file or a directory. Never overwrites. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/suggest.h"
#include "cli/cli.h"
#include "cli/templates.h"

#define MAX_TEMPLATES 32

static const struct sg_template_file *find(const char *name)
{
	for (size_t i = 0; i < sg_n_templates; i++)
		if (strcmp(sg_templates[i].name, name) == 0)
			return &sg_templates[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[MAX_TEMPLATES];
	size_t n = 0;
	for (; n < MAX_TEMPLATES && n < sg_n_templates; n++)
		names[n] = sg_templates[n].name;
	const char *near = sg_suggest(name, names, n);
	(void)fprintf(stderr, "stargraph new: no template \"%s\"%s%s%s; there are:\n", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	for (size_t i = 0; i < n; i++)
		(void)fprintf(stderr, "  %-20s %s\n", names[i], sg_templates[i].summary);
	return SG_EXIT_USAGE;
}

static int exists(const char *path, struct sg_error *err)
{
	return sg_error_set(err, SG_EREFUSED, NULL, "%s exists already", path);
}

static int write_new(const char *text, const char *path, struct sg_error *err)
{
	sg_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return exists(path, err);
	int e = fd < 0 ? -errno : sg_write_all(fd, text, strlen(text));
	return e < 0 ? sg_error_errno(err, -e, "cannot write %s", path) : 0;
}

static int make_file(const struct sg_template_file *t, const char *path, struct sg_error *err)
{
	int r = write_new(t->graph, path, err);
	if (r == 0)
		(void)printf("wrote %s\n", path);
	if (r == 0 && t->first)
		(void)printf("first: %s\n", t->first);
	if (r == 0)
		(void)printf("next: stargraph run %s %s\n", path, t->try_it);
	return r;
}

static int make_directory(const struct sg_template_file *t, const char *path, struct sg_error *err)
{
	const struct {
		const char *name, *text;
	} parts[] = {{"graph.yaml", t->graph}, {"SKILL.md", t->skill}, {"stargraph.toml", t->toml}};
	int r = 0;
	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? exists(path, err)
				       : sg_error_errno(err, errno, "cannot make %s", path);
	for (size_t i = 0; r == 0 && i < SG_ARRAY_LEN(parts); i++) {
		sg_autofree char *file = NULL;
		if (asprintf(&file, "%s/%s", path, parts[i].name) < 0)
			return sg_error_nomem(err);
		r = write_new(parts[i].text, file, err);
		if (r == 0)
			(void)printf("wrote %s\n", file);
	}
	if (r == 0)
		(void)printf("next: stargraph run %s/graph.yaml --config %s/stargraph.toml %s\n",
			path, path, t->try_it);
	return r;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"dest", required_argument, NULL, 'd'}, {0}};
	const char *dest = NULL;
	struct sg_error err;
	char path[128];
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == '?')
			return sg_cli_usage(&sg_verb_new, "bad option \"%s\"", argv[optind - 1]);
		dest = optarg;
	}
	if (optind + 1 != argc)
		return sg_cli_usage(&sg_verb_new, "one template is needed");
	const struct sg_template_file *t = find(argv[optind]);
	if (!t)
		return unknown(argv[optind]);
	(void)snprintf(path, sizeof(path), "%s%s", t->name, t->toml ? "" : ".yaml");
	int r = t->toml ? make_directory(t, dest ? dest : path, &err)
			: make_file(t, dest ? dest : path, &err);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_new = {
	.name = "new",
	.summary = "write a graph to begin with",
	.usage = "usage: stargraph new TEMPLATE [--dest PATH]\n\n"
		 "  TEMPLATE     approval, hello, review, sorting; and, with a language model on "
		 "this\n"
		 "               host, coding-agent, deep-research, evaluator-optimizer,\n"
		 "               hitl-approval, orchestrator-workers, rag-qa, research-bot,\n"
		 "               triage-router (docs/reference/llm.md)\n"
		 "  --dest PATH  instead of ./TEMPLATE.yaml, or ./TEMPLATE/ of those that are a\n"
		 "               directory; what exists is never overwritten\n",
	.run = run,
};
