/* stargraph new: a graph file to begin with. Never overwrites. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/suggest.h"
#include "cli/cli.h"
#include "cli/templates.h"

#define MAX_TEMPLATES 32

static const struct sg_template_file *find(const char *name)
{
	for (size_t i = 0; i < sg_n_graph_templates; i++)
		if (strcmp(sg_graph_templates[i].name, name) == 0)
			return &sg_graph_templates[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[MAX_TEMPLATES];
	size_t n = 0;
	for (; n < sg_n_graph_templates && n < MAX_TEMPLATES; n++)
		names[n] = sg_graph_templates[n].name;
	const char *near = sg_suggest(name, names, n);
	(void)fprintf(stderr, "stargraph new: no template \"%s\"%s%s%s; there are:\n", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	for (size_t i = 0; i < n; i++)
		(void)fprintf(stderr, "  %-10s %s\n", names[i], sg_graph_templates[i].summary);
	return SG_EXIT_USAGE;
}

static int write_new(const struct sg_template_file *t, const char *path)
{
	struct sg_error err = {0};
	sg_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST) {
		(void)sg_error_set(&err, SG_EREFUSED, NULL, "%s exists already", path);
		return sg_cli_fail(&err);
	}
	int e = fd < 0 ? -errno : sg_write_all(fd, t->text, strlen(t->text));
	if (e < 0) {
		(void)sg_error_errno(&err, -e, "cannot write %s", path);
		return sg_cli_fail(&err);
	}
	(void)printf("wrote %s\nnext: stargraph run %s %s\n", path, path, t->try_it);
	return SG_EXIT_DONE;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"dest", required_argument, NULL, 'd'}, {0}};
	const char *dest = NULL;
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
	(void)snprintf(path, sizeof(path), "%s.yaml", t->name);
	return write_new(t, dest ? dest : path);
}

const struct sg_verb sg_verb_new = {
	.name = "new",
	.summary = "write a graph file to begin with",
	.usage = "usage: stargraph new TEMPLATE [--dest PATH]\n\n"
		 "  TEMPLATE     approval, hello, review, sorting\n"
		 "  --dest PATH  instead of ./TEMPLATE.yaml; an existing file is never "
		 "overwritten\n",
	.run = run,
};
