/* The graphs that `stargraph new` writes. */
#ifndef SG_CLI_TEMPLATES_H
#define SG_CLI_TEMPLATES_H

#include <stddef.h>

struct sg_template_file {
	const char *name, *summary, *text;
	const char *try_it; /* the options of a first run */
};

extern const struct sg_template_file sg_graph_templates[];
extern const size_t sg_n_graph_templates;

#endif
