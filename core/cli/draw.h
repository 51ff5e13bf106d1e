/* A graph drawn, and the path that a run took through it: as SVG and as text.
 *
 * draw_model.c makes nodes and edges of a graph and marks those of the path; draw_layout.c places
 * them in layers, each label in a place of its own, loops in lanes at the right. */
#ifndef SG_CLI_DRAW_H
#define SG_CLI_DRAW_H

#include <stdbool.h>

#include "base/buf.h"
#include "checkpoint/checkpoint.h"
#include "graph/graph.h"

#define SG_DRAW_NODES 500 /* of one graph */
#define SG_DRAW_EDGES 3000

enum draw_kind { DRAW_NEXT, DRAW_RULE, DRAW_RETRY, DRAW_PARALLEL };

struct draw_edge {
	int from, to;
	enum draw_kind kind;
	char *label;	/* owned, lines; NULL = none */
	unsigned taken; /* how often */
	bool back;	/* against the layers: a loop */
	/* layout */
	int first, n_places; /* of its places in draw_graph.places */
	double lane;	     /* x of a back edge */
};

struct draw_node {
	const char *id, *kind;	  /* kind "" = the end, or any node */
	struct draw_graph *inner; /* owned, of a subgraph */
	char steps[40];		  /* "1, 4, 7…" */
	unsigned visits;
	bool last; /* where the run ended, or waits */
	/* layout: the place */
	int layer, place;
};

/* A node, an edge's label, or where a long edge passes a layer. */
struct draw_place {
	int node, edge; /* -1 = it is not one */
	int layer;
	bool label;
	double x, y, w, h; /* x, y of the middle */
	double wish;	   /* while ordering */
};

struct draw_graph {
	const struct sg_graph *graph;
	struct draw_node *nodes; /* the graph's, then the end, then "any node" */
	int n_nodes, end, any;
	bool has_end, has_any;
	struct draw_edge *edges;
	int n_edges;
	/* layout */
	struct draw_place *places;
	int n_places, n_layers;
	double w, h;
};

/* run NULL = the graph alone; steps: its checkpoints in order. SG_ELIMIT: too large to draw. */
int sg_draw_make(struct draw_graph **ret, const struct sg_graph *g, const struct sg_run_row *run,
	const struct sg_checkpoint *steps, size_t n_steps, struct sg_error *err);
void sg_draw_destroy(struct draw_graph *d);

/* Sizes and places, in SVG units; inner graphs too. */
int sg_draw_layout(struct draw_graph *d, struct sg_error *err);
/* Units of a text in the drawing's font. */
double sg_draw_text_width(const char *text, size_t n);
#define SG_DRAW_LINE 15.0 /* height of a line */
/* The end and "any node" are drawn when an edge leads to one or from the other. */
bool sg_draw_shown(const struct draw_graph *d, int node);
/* Along an edge: the place of its source (-1), its own, that of its target (n_places). */
const struct draw_place *sg_draw_edge_place(
	const struct draw_graph *d, const struct draw_edge *e, int i);
/* "kind · step 1, 4" */
#define SG_DRAW_NODE_TEXT 160
void sg_draw_node_text(const struct draw_node *n, char ret[SG_DRAW_NODE_TEXT]);

/* After the layout. run NULL = the graph alone. */
void sg_draw_svg(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out);
void sg_draw_text(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out);

struct sg_draw_target {
	bool wanted, svg;
	const char *path; /* NULL = standard output */
};
/* "text" or "svg"; -SG_EINVALID. */
int sg_draw_format(const char *text, struct sg_draw_target *ret);
/* All of it; run NULL = the graph alone. */
int sg_draw_write(const struct sg_graph *g, const struct sg_run_row *run,
	const struct sg_checkpoint *steps, size_t n_steps, const struct sg_draw_target *to,
	struct sg_error *err);

#endif
