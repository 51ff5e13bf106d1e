/* See draw.h: the drawing as SVG. What was taken is blue and thick, all else grey. */
#include <math.h>
#include <string.h>

#include "cli/draw.h"

#define PLAIN "#9aa5b1"
#define TAKEN "#1457d9"
#define INK "#1f2933"
#define SOFT "#6b7785"
#define HEAD 46.0 /* height of the title */

static void add_xml(struct sg_buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		switch (text[i]) {
		case '<': sg_buf_adds(out, "&lt;"); break;
		case '>': sg_buf_adds(out, "&gt;"); break;
		case '&': sg_buf_adds(out, "&amp;"); break;
		case '"': sg_buf_adds(out, "&quot;"); break;
		default: sg_buf_addc(out, (unsigned char)text[i] < ' ' ? ' ' : text[i]); break;
		}
}

static void add_text(struct sg_buf *out, double x, double y, const char *class, const char *text)
{
	sg_buf_addf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	add_xml(out, text, strlen(text));
	sg_buf_adds(out, "</text>\n");
}

/* ---- edges ---- */

/* Where an edge leaves its source, or enters its target: side by side, as their ways lie. */
static double port(const struct draw_graph *d, const struct draw_edge *e, bool out)
{
	const struct draw_place *node = sg_draw_edge_place(d, e, out ? -1 : e->n_places);
	double mine = e->back ? 1e9 : sg_draw_edge_place(d, e, out ? 0 : e->n_places - 1)->x;
	int n = 0, before = 0;
	for (int i = 0; i < d->n_edges; i++) {
		const struct draw_edge *o = &d->edges[i];
		if (out ? o->from != e->from : o->to != e->to)
			continue;
		double x = o->back ? 1e9 : sg_draw_edge_place(d, o, out ? 0 : o->n_places - 1)->x;
		before += x < mine || (x == mine && o < e);
		n++;
	}
	double step = n > 1 ? (node->w - 28) / (n - 1) : 0;
	step = step > 16 ? 16 : step;
	return node->x + (before - (n - 1) / 2.0) * step;
}

static void curve(struct sg_buf *out, double x0, double y0, double x, double y)
{
	if (fabs(x0 - x) < 0.5)
		sg_buf_addf(out, " L%.1f,%.1f", x, y);
	else
		sg_buf_addf(out, " C%.1f,%.1f %.1f,%.1f %.1f,%.1f", x0, (y0 + y) / 2, x,
			(y0 + y) / 2, x, y);
}

static void forward_path(const struct draw_graph *d, const struct draw_edge *e, struct sg_buf *out)
{
	const struct draw_place *from = sg_draw_edge_place(d, e, -1),
				*to = sg_draw_edge_place(d, e, e->n_places);
	double x = port(d, e, true), y = from->y + from->h / 2;
	sg_buf_addf(out, "M%.1f,%.1f", x, y);
	for (int i = 0; i < e->n_places; i++) {
		const struct draw_place *p = sg_draw_edge_place(d, e, i);
		curve(out, x, y, p->x, p->y - p->h / 2);
		sg_buf_addf(out, " L%.1f,%.1f", p->x, p->y + p->h / 2);
		x = p->x;
		y = p->y + p->h / 2;
	}
	curve(out, x, y, port(d, e, false), to->y - to->h / 2 - 2);
}

/* Down from the source, out to the lane, up, and in from above the target. */
static void back_path(const struct draw_graph *d, const struct draw_edge *e, struct sg_buf *out)
{
	const struct draw_place *from = sg_draw_edge_place(d, e, -1),
				*to = sg_draw_edge_place(d, e, e->n_places);
	double x0 = port(d, e, true), x1 = port(d, e, false), nth = fmod(e->lane, 7.0);
	double y0 = from->y + from->h / 2, y1 = to->y - to->h / 2;
	double below = y0 + 5 + nth / 2, above = y1 - 8 - nth / 2;
	sg_buf_addf(out,
		"M%.1f,%.1f L%.1f,%.1f L%.1f,%.1f Q%.1f,%.1f %.1f,%.1f L%.1f,%.1f Q%.1f,%.1f "
		"%.1f,%.1f L%.1f,%.1f L%.1f,%.1f",
		x0, y0, x0, below, e->lane - 6, below, e->lane, below, e->lane, below - 6, e->lane,
		above + 6, e->lane, above, e->lane - 6, above, x1, above, x1, y1 - 2);
}

static void edge_line(const struct draw_graph *d, const struct draw_edge *e, struct sg_buf *out)
{
	static const char *const dash[] = {"", "", " stroke-dasharray=\"6 4\"", ""};
	sg_buf_adds(out, "<path d=\"");
	if (e->back)
		back_path(d, e, out);
	else
		forward_path(d, e, out);
	sg_buf_addf(out,
		"\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\"%s marker-end=\"url(#%s)\"/>\n",
		e->taken ? TAKEN : PLAIN, e->taken ? "2.6" : "1.2",
		e->from == d->any ? " stroke-dasharray=\"2 4\"" : dash[e->kind],
		e->taken ? "taken" : "plain");
}

static void label_lines(
	const struct draw_edge *e, double x, double y, bool left, struct sg_buf *out)
{
	const char *at = e->label;
	for (; *at; y += SG_DRAW_LINE) {
		size_t n = strcspn(at, "\n");
		sg_buf_addf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s%s\">", x, y,
			left ? "left " : "", e->taken ? "lt" : "lp");
		add_xml(out, at, n);
		sg_buf_adds(out, "</text>\n");
		at += n + (at[n] == '\n');
	}
}

static void edge_label(const struct draw_graph *d, const struct draw_edge *e, struct sg_buf *out)
{
	if (!e->label)
		return;
	if (e->back) {
		const struct draw_place *from = sg_draw_edge_place(d, e, -1),
					*to = sg_draw_edge_place(d, e, e->n_places);
		label_lines(e, e->lane + 6, (from->y + to->y) / 2 + 4, true, out);
		return;
	}
	const struct draw_place *p = sg_draw_edge_place(d, e, 0);
	if (!e->n_places)
		return;
	sg_buf_addf(out,
		"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#fff\"/>\n",
		p->x - p->w / 2 + 2, p->y - p->h / 2 + 1, p->w - 4, p->h - 2);
	label_lines(e, p->x, p->y - p->h / 2 + 13, false, out);
}

/* ---- nodes ---- */

static const char *last_color(const struct sg_run_row *run)
{
	switch (run->status) {
	case SG_RUN_DONE: return "#0f7b3f";
	case SG_RUN_FAILED: return "#c22d2d";
	case SG_RUN_WAITING:
	case SG_RUN_PAUSED: return "#b7791f";
	case SG_RUN_CANCELLED: return "#6b7785";
	case SG_RUN_PENDING:
	case SG_RUN_RUNNING: break;
	}
	return TAKEN;
}

static void shape(const struct draw_graph *d, const struct draw_node *n, const struct draw_place *p,
	const struct sg_run_row *run, struct sg_buf *out)
{
	double x = p->x - p->w / 2, y = p->y - p->h / 2, cut = 12;
	const char *stroke = n->last && run ? last_color(run) : n->visits ? TAKEN : PLAIN;
	const char *fill = n->inner ? "#fbfcfe" : n->visits ? "#e9f0fe" : "#fff";
	const char *width = n->last && run ? "3.2" : n->visits ? "2.2" : "1.2";
	bool pill = strcmp(n->kind, "halt") == 0 || n == &d->nodes[d->end];
	if (strcmp(n->kind, "interrupt") == 0)
		sg_buf_addf(out,
			"<path d=\"M%.1f,%.1f h%.1f l%.1f,%.1f l-%.1f,%.1f h-%.1f l-%.1f,-%.1f "
			"z\" fill=\"%s\" stroke=\"%s\" stroke-width=\"%s\"/>\n",
			x + cut, y, p->w - 2 * cut, cut, p->h / 2, cut, p->h / 2, p->w - 2 * cut,
			cut, p->h / 2, fill, stroke, width);
	else
		sg_buf_addf(out,
			"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%.1f\" "
			"fill=\"%s\" stroke=\"%s\" stroke-width=\"%s\"%s/>\n",
			x, y, p->w, p->h, pill ? p->h / 2 : 6, fill, stroke, width,
			n == &d->nodes[d->any] ? " stroke-dasharray=\"4 3\"" : "");
}

static void draw(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out);

static void node(const struct draw_graph *d, const struct draw_node *n,
	const struct sg_run_row *run, struct sg_buf *out)
{
	const struct draw_place *p = &d->places[n->place];
	double top = p->y - p->h / 2;
	char line[SG_DRAW_NODE_TEXT];
	shape(d, n, p, run, out);
	if (!*n->kind) {
		add_text(out, p->x, p->y + 4, "kind", n->id);
		return;
	}
	add_text(out, p->x, top + 18, "id", n->id);
	sg_draw_node_text(n, line);
	add_text(out, p->x, top + 34, "kind", line);
	if (!n->inner)
		return;
	sg_buf_addf(
		out, "<g transform=\"translate(%.1f %.1f)\">\n", p->x - n->inner->w / 2, top + 44);
	draw(n->inner, run, out);
	sg_buf_adds(out, "</g>\n");
}

/* Taken edges above the others, then labels, then nodes. */
static void draw(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out)
{
	for (int taken = 0; taken < 2; taken++)
		for (int i = 0; i < d->n_edges; i++)
			if ((d->edges[i].taken > 0) == taken)
				edge_line(d, &d->edges[i], out);
	for (int i = 0; i < d->n_edges; i++)
		edge_label(d, &d->edges[i], out);
	for (int i = 0; i < d->n_nodes; i++)
		if (sg_draw_shown(d, i))
			node(d, &d->nodes[i], run, out);
	if (d->end > 0) {
		const struct draw_place *p = &d->places[d->nodes[0].place];
		double y = p->y - p->h / 2;
		sg_buf_addf(out,
			"<path d=\"M%.1f,%.1f V%.1f\" stroke=\"%s\" stroke-width=\"2\" "
			"marker-end=\"url(#%s)\"/>\n",
			p->x, y - 16, y - 2, run ? TAKEN : PLAIN, run ? "taken" : "plain");
	}
}

static void marker(const char *id, const char *color, struct sg_buf *out)
{
	sg_buf_addf(out,
		"<marker id=\"%s\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" "
		"markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" "
		"orient=\"auto-start-reverse\"><path d=\"M0,0 L10,5 L0,10 z\" "
		"fill=\"%s\"/></marker>\n",
		id, color);
}

void sg_draw_svg(const struct draw_graph *d, const struct sg_run_row *run, struct sg_buf *out)
{
	const char *why = !run		     ? ""
			  : run->error_cause ? run->error_cause
			  : run->reason	     ? run->reason
					     : "";
	double w = d->w > 420 ? d->w : 420;
	sg_buf_addf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\">\n<style>text{font-family:DejaVu "
		"Sans,Verdana,sans-serif;"
		"font-size:12.5px;text-anchor:middle;fill:" INK "}.left{text-anchor:start}"
		".id{font-weight:bold}.kind{font-size:10.5px;fill:" SOFT "}"
		".lp{font-size:11.5px;fill:" SOFT "}.lt{font-size:11.5px;fill:" TAKEN
		";font-weight:bold}</style>\n<defs>\n",
		w, d->h + HEAD, w, d->h + HEAD);
	marker("plain", PLAIN, out);
	marker("taken", TAKEN, out);
	sg_buf_addf(out, "</defs>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n", w,
		d->h + HEAD);
	add_text(out, 16, 20, "left id", d->graph->id);
	if (run) {
		sg_autobuf line = SG_BUF_INIT(1U << 20);
		sg_buf_addf(&line, "%s · %s · %lld steps%s%.120s", run->run_id,
			sg_run_status_name(run->status), (long long)run->steps, *why ? "  " : "",
			why);
		add_text(out, 16, 38, "left kind", line.data ? line.data : "");
	}
	sg_buf_addf(out, "<g transform=\"translate(%.1f %.1f)\">\n", (w - d->w) / 2, HEAD);
	draw(d, run, out);
	sg_buf_adds(out, "</g>\n</svg>\n");
}
