/* The graphs that `stargraph new` writes. */
#ifndef SG_CLI_TEMPLATES_H
#define SG_CLI_TEMPLATES_H

#include <stddef.h>

#define SG_TEMPLATE_PARTS 4

struct sg_template_file {
	const char *name, *summary;
	const char *text;   /* one file <name>.yaml; NULL = a directory of parts */
	const char *try_it; /* the options of a first run */
	const char *first;  /* a command before that, or NULL */
	struct {
		const char *name, *text;
	} parts[SG_TEMPLATE_PARTS]; /* the graph is graph.yaml; with a stargraph.toml it is run
				     * with that */
};

extern const struct sg_template_file sg_graph_templates[], sg_llm_templates[];
extern const size_t sg_n_graph_templates, sg_n_llm_templates;

#endif
