/* The graphs that `stargraph new` writes. */
#ifndef SG_CLI_TEMPLATES_H
#define SG_CLI_TEMPLATES_H

#include <stddef.h>

struct sg_template_file {
	const char *name, *summary;
	const char *graph;	  /* alone the file <name>.yaml */
	const char *skill, *toml; /* or NULL: with graph.yaml in a directory, SKILL.md and
				   * stargraph.toml */
	const char *try_it;	  /* the options of a first run */
	const char *first;	  /* a command before that, or NULL */
};

extern const struct sg_template_file sg_templates[];
extern const size_t sg_n_templates;

#endif
