/* See draw.h. Layers from top to bottom: nodes on the even ones, labels of edges on the odd ones
 * below their source; long edges get a place in each layer that they pass, so nothing lies on
 * anything else. */
#include <stdlib.h>
#include <string.h>

#include "cli/draw.h"

#define GAP_X 26.0
#define GAP_Y 20.0
#define MARGIN 16.0
#define LANE 22.0
#define SWEEPS 12
#define MAX_PLACES 60000

double sg_draw_text_width(const char *text, size_t n)
{
	double w = 0;
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)text[i] & 0xC0) != 0x80)
			w += (unsigned char)text[i] < 0x80 ? 7.9 : 13.0;
	return w;
}

static void label_size(const char *label, double *w, double *h)
{
	*w = 14;
	*h = 4;
	while (label && *label) {
		size_t n = strcspn(label, "\n");
		double line = sg_draw_text_width(label, n) + 10;
		*w = line > *w ? line : *w;
		*h += SG_DRAW_LINE;
		label += n + (label[n] == '\n');
	}
}

bool sg_draw_shown(const struct draw_graph *d, int node)
{
	return node < d->end || (node == d->end && d->has_end) || (node == d->any && d->has_any);
}

/* ---- layers ---- */

struct visit {
	char *color; /* 0 new, 1 on the way, 2 over */
	int *order, n;
};

/* Depth first, without recursion: a stack of nodes and of the next edge of each. */
static int find_loops(struct draw_graph *d, struct visit *v, int root)
{
	int *stack = calloc((size_t)d->n_nodes + 1, sizeof(int)), top = 0;
	int *next = calloc((size_t)d->n_nodes + 1, sizeof(int));
	if (!stack || !next) {
		free(stack);
		free(next);
		return -SG_ENOMEM;
	}
	stack[top++] = root;
	v->color[root] = 1;
	while (top) {
		int at = stack[top - 1], i = next[at]++;
		if (i >= d->n_edges) {
			v->color[at] = 2;
			v->order[v->n++] = at;
			top--;
			continue;
		}
		struct draw_edge *e = &d->edges[i];
		if (e->from != at)
			continue;
		if (v->color[e->to] == 1)
			e->back = true;
		else if (!v->color[e->to]) {
			v->color[e->to] = 1;
			stack[top++] = e->to;
		}
	}
	free(stack);
	free(next);
	return 0;
}

/* Longest path over what is no loop, in the reverse of the order in which nodes were left. */
static int set_layers(struct draw_graph *d)
{
	struct visit v = {.color = calloc((size_t)d->n_nodes, 1),
		.order = calloc((size_t)d->n_nodes, sizeof(int))};
	int rc = v.color && v.order ? 0 : -SG_ENOMEM;
	for (int i = 0; rc == 0 && i < d->n_nodes; i++)
		if (sg_draw_shown(d, i) && !v.color[i])
			rc = find_loops(d, &v, i);
	for (int k = v.n; rc == 0 && k-- > 0;)
		for (int i = 0; i < d->n_edges; i++) {
			const struct draw_edge *e = &d->edges[i];
			if (e->from == v.order[k] && !e->back &&
				d->nodes[e->to].layer < d->nodes[e->from].layer + 2)
				d->nodes[e->to].layer = d->nodes[e->from].layer + 2;
		}
	for (int i = 0; rc == 0 && i < d->n_nodes; i++)
		if (sg_draw_shown(d, i) && d->nodes[i].layer >= d->n_layers)
			d->n_layers = d->nodes[i].layer + 1;
	free(v.color);
	free(v.order);
	return rc;
}

/* ---- places ---- */

void sg_draw_node_text(const struct draw_node *n, char ret[SG_DRAW_NODE_TEXT])
{
	(void)snprintf(
		ret, SG_DRAW_NODE_TEXT, "%s%s%s", n->kind, *n->steps ? " · step " : "", n->steps);
}

static void node_size(const struct draw_node *n, double *w, double *h)
{
	char line[SG_DRAW_NODE_TEXT];
	double a = sg_draw_text_width(n->id, strlen(n->id)) * 1.06;
	sg_draw_node_text(n, line);
	double b = sg_draw_text_width(line, strlen(line)) * 0.86;
	*w = (a > b ? a : b) + 30;
	*h = *n->kind ? 42 : 26;
	if (n->inner) {
		*w = n->inner->w + 24 > *w ? n->inner->w + 24 : *w;
		*h = n->inner->h + 52;
	}
}

static int add_place(struct draw_graph *d, struct draw_place p)
{
	if (d->n_places == MAX_PLACES)
		return -SG_ELIMIT;
	d->places[d->n_places] = p;
	return d->n_places++;
}

static int place_nodes(struct draw_graph *d)
{
	for (int i = 0; i < d->n_nodes; i++) {
		struct draw_node *n = &d->nodes[i];
		struct draw_place p = {.node = i, .edge = -1, .layer = n->layer};
		if (!sg_draw_shown(d, i))
			continue;
		node_size(n, &p.w, &p.h);
		n->place = add_place(d, p);
		if (n->place < 0)
			return n->place;
	}
	return 0;
}

static int place_edges(struct draw_graph *d)
{
	for (int i = 0; i < d->n_edges; i++) {
		struct draw_edge *e = &d->edges[i];
		int from = d->nodes[e->from].layer, to = d->nodes[e->to].layer;
		e->first = d->n_places;
		for (int l = from + 1; !e->back && l < to; l++) {
			struct draw_place p = {.node = -1, .edge = i, .layer = l, .w = 14, .h = 4};
			p.label = l == from + 1 && e->label;
			if (p.label)
				label_size(e->label, &p.w, &p.h);
			if (add_place(d, p) < 0)
				return -SG_ELIMIT;
			e->n_places++;
		}
	}
	return 0;
}

/* ---- order and x ---- */

/* The places of one layer, in their order; caller frees. */
static struct draw_place **layer_of(struct draw_graph *d, int layer, int *ret_n)
{
	struct draw_place **list = calloc((size_t)d->n_places + 1, sizeof(*list));
	*ret_n = 0;
	for (int i = 0; list && i < d->n_places; i++)
		if (d->places[i].layer == layer)
			list[(*ret_n)++] = &d->places[i];
	return list;
}

static int by_wish(const void *a, const void *b)
{
	const struct draw_place *x = *(struct draw_place *const *)a,
				*y = *(struct draw_place *const *)b;
	return x->wish < y->wish ? -1 : x->wish > y->wish ? 1 : x < y ? -1 : x > y;
}

static int by_x(const void *a, const void *b)
{
	const struct draw_place *x = *(struct draw_place *const *)a,
				*y = *(struct draw_place *const *)b;
	return x->x < y->x ? -1 : x->x > y->x ? 1 : x < y ? -1 : x > y;
}

const struct draw_place *sg_draw_edge_place(
	const struct draw_graph *d, const struct draw_edge *e, int i)
{
	return i < 0		 ? &d->places[d->nodes[e->from].place]
	       : i < e->n_places ? &d->places[e->first + i]
				 : &d->places[d->nodes[e->to].place];
}

/* Where its neighbours want it: those above, or below, or both (0). */
static double wish_of(const struct draw_graph *d, const struct draw_place *p, int side)
{
	double sum = 0;
	int n = 0;
	if (p->node < 0) {
		const struct draw_edge *e = &d->edges[p->edge];
		int i = (int)(p - d->places) - e->first;
		const struct draw_place *up = sg_draw_edge_place(d, e, i - 1),
					*down = sg_draw_edge_place(d, e, i + 1);
		return side < 0 ? up->x : side > 0 ? down->x : (up->x + down->x) / 2;
	}
	for (int i = 0; i < d->n_edges; i++) {
		const struct draw_edge *e = &d->edges[i];
		if (e->back || (e->from != p->node && e->to != p->node))
			continue;
		bool below = e->from == p->node;
		if ((side < 0 && below) || (side > 0 && !below))
			continue;
		sum += sg_draw_edge_place(d, e, below ? 0 : e->n_places - 1)->x;
		n++;
	}
	return n ? sum / n : p->x;
}

/* Keeps the order and the gaps, and comes as near to the wishes as both directions allow. */
static void settle(struct draw_place **list, int n, double *left)
{
	double edge = 0;
	for (int i = 0; i < n; i++) {
		double least = i ? edge + GAP_X + list[i]->w / 2 : list[i]->wish;
		left[i] = list[i]->wish > least ? list[i]->wish : least;
		edge = left[i] + list[i]->w / 2;
	}
	for (int i = n; i-- > 0;) {
		double most = i + 1 < n ? edge - GAP_X - list[i]->w / 2 : list[i]->wish;
		double right = list[i]->wish < most ? list[i]->wish : most;
		edge = right - list[i]->w / 2;
		list[i]->x = (left[i] + right) / 2;
	}
}

static int sweep_layer(struct draw_graph *d, int layer, int side, bool reorder)
{
	int n;
	struct draw_place **list = layer_of(d, layer, &n);
	double *left = calloc((size_t)n + 1, sizeof(*left));
	if (!list || !left) {
		free(list);
		free(left);
		return -SG_ENOMEM;
	}
	for (int i = 0; i < n; i++)
		list[i]->wish = wish_of(d, list[i], side);
	qsort(list, (size_t)n, sizeof(*list), reorder ? by_wish : by_x);
	settle(list, n, left);
	free(list);
	free(left);
	return 0;
}

static int arrange(struct draw_graph *d)
{
	int rc = 0;
	for (int i = 0; i < d->n_places; i++)
		d->places[i].x = i; /* file order, to begin with */
	for (int s = 0; rc == 0 && s < SWEEPS; s++) {
		bool reorder = s < SWEEPS - 4;
		int side = reorder ? (s % 2 ? 1 : -1) : 0;
		for (int l = 0; rc == 0 && l < d->n_layers; l++)
			rc = sweep_layer(d, side > 0 ? d->n_layers - 1 - l : l, side, reorder);
	}
	return rc;
}

/* ---- y, lanes, the whole ---- */

static void set_y(struct draw_graph *d)
{
	double y = MARGIN + (double)(d->n_edges ? 8 : 0);
	for (int l = 0; l < d->n_layers; l++) {
		double h = 4;
		for (int i = 0; i < d->n_places; i++)
			if (d->places[i].layer == l && d->places[i].h > h)
				h = d->places[i].h;
		for (int i = 0; i < d->n_places; i++)
			if (d->places[i].layer == l)
				d->places[i].y = y + h / 2;
		y += h + GAP_Y;
	}
	d->h = y - GAP_Y + MARGIN + 8;
}

static void set_lanes(struct draw_graph *d)
{
	double low = 1e9, high = 0;
	for (int i = 0; i < d->n_places; i++) {
		const struct draw_place *p = &d->places[i];
		low = p->x - p->w / 2 < low ? p->x - p->w / 2 : low;
	}
	for (int i = 0; i < d->n_places; i++) {
		struct draw_place *p = &d->places[i];
		p->x += MARGIN - low;
		high = p->x + p->w / 2 > high ? p->x + p->w / 2 : high;
	}
	double x = high;
	for (int i = 0; i < d->n_edges; i++) {
		double w, h;
		if (!d->edges[i].back)
			continue;
		label_size(d->edges[i].label, &w, &h);
		d->edges[i].lane = x + LANE;
		x += LANE + (d->edges[i].label ? w : 0);
	}
	d->w = x + MARGIN;
}

int sg_draw_layout(struct draw_graph *d, struct sg_error *err)
{
	int rc = 0;
	for (int i = 0; rc == 0 && i < d->n_nodes; i++)
		if (d->nodes[i].inner)
			rc = sg_draw_layout(d->nodes[i].inner, err);
	if (rc < 0)
		return rc;
	d->places = calloc(MAX_PLACES, sizeof(*d->places));
	rc = d->places ? set_layers(d) : -SG_ENOMEM;
	if (rc == 0)
		rc = place_nodes(d);
	if (rc == 0)
		rc = place_edges(d);
	if (rc == 0)
		rc = arrange(d);
	if (rc < 0)
		return sg_error_set(
			err, -rc, NULL, "graph %s is too large to be drawn", d->graph->id);
	set_y(d);
	set_lanes(d);
	return 0;
}
