/* Which run steps next: fair queueing, so that what runs away delays only itself.
 *
 * Graphs whose turns are short and those whose turns are long have a queue each, and each queue
 * half of the loop's time while both want some, the short ones first. So a run of two short steps
 * waits for one long turn at most, however many runs use up theirs.
 *
 * Within a queue a virtual clock goes on as fast as time is given out, divided by the runs that
 * want some. A run that becomes ready starts now, or when its earlier turns are paid for, and is to
 * finish after what a turn of its graph usually takes; the one that would finish first goes first.
 * None starves, because the clock goes on for all.
 *
 * A queue is a pairing heap of the runs themselves: nothing here can fail. */
#include "run/internal.h"

#define SHORT_US 500 /* of a turn */
#define SHARE 8	     /* one part in so many of what a graph's turn takes is the latest */

static bool before(const struct run *a, const struct run *b)
{
	return a->ready.finish_ns != b->ready.finish_ns ? a->ready.finish_ns < b->ready.finish_ns
							: a->ready.number < b->ready.number;
}

/* Two heaps become one; neither has a sibling. */
static struct run *meld(struct run *a, struct run *b)
{
	if (!a || !b)
		return a ? a : b;
	if (before(b, a)) {
		struct run *t = a;
		a = b;
		b = t;
	}
	b->ready.next = a->ready.child;
	if (b->ready.next)
		b->ready.next->ready.prev = b;
	b->ready.prev = a;
	a->ready.child = b;
	return a;
}

/* The children of a run that leaves, as one heap: in pairs from the left, then from the right. */
static struct run *meld_children(struct run *first)
{
	struct run *pairs = NULL, *all = NULL;
	while (first) {
		struct run *a = first, *b = a->ready.next;
		first = b ? b->ready.next : NULL;
		a->ready.next = a->ready.prev = NULL;
		if (b)
			b->ready.next = b->ready.prev = NULL;
		a = meld(a, b);
		a->ready.next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct run *a = pairs;
		pairs = a->ready.next;
		a->ready.next = NULL;
		all = meld(all, a);
	}
	return all;
}

static struct ready_queue *queue_of(const struct run *r)
{
	return &r->engine->ready[r->ready.lengthy];
}

static void leave(struct run *r)
{
	r->queued = false;
	r->ready.child = r->ready.next = r->ready.prev = NULL;
	queue_of(r)->n--;
}

void sg_run_ready(struct run *r)
{
	struct sg_engine *e = r->engine;
	int64_t turn_us = sg_run_top(r)->graph->turn_us;
	if (r->queued)
		return;
	r->queued = true;
	r->ready.lengthy = turn_us > SHORT_US;
	struct ready_queue *q = queue_of(r);
	if (r->ready.start_ns < q->now_ns)
		r->ready.start_ns = q->now_ns;
	r->ready.finish_ns = r->ready.start_ns + turn_us * 1000;
	r->ready.number = e->ready_number++;
	q->first = meld(q->first, r);
	q->n++;
	sg_engine_kick(e);
}

bool sg_ready_any(const struct sg_engine *e)
{
	return e->ready[0].first || e->ready[1].first;
}

struct run *sg_ready_take(struct sg_engine *e)
{
	struct ready_queue *q = &e->ready[0], *lengthy = &e->ready[1];
	if (!q->first || !lengthy->first)
		q->given_us = lengthy->given_us = 0; /* nobody is owed anything */
	if (!q->first || (lengthy->first && lengthy->given_us < q->given_us))
		q = lengthy;
	struct run *r = q->first;
	q->first = meld_children(r->ready.child);
	leave(r);
	if (q->now_ns < r->ready.start_ns)
		q->now_ns = r->ready.start_ns;
	return r;
}

void sg_ready_used(struct run *r, int64_t us)
{
	struct prepared *g = sg_run_top(r)->graph;
	struct ready_queue *q = queue_of(r);
	g->turn_us += (us - g->turn_us) / SHARE;
	r->ready.start_ns += us * 1000;
	q->now_ns += us * 1000 / (int64_t)(q->n + 1);
	q->given_us += us;
}

void sg_ready_remove(struct run *r)
{
	struct ready_queue *q = queue_of(r);
	struct run *next = r->ready.next, *prev = r->ready.prev;
	if (!r->queued)
		return;
	struct run *children = meld_children(r->ready.child);
	if (prev && prev->ready.child == r)
		prev->ready.child = next;
	else if (prev)
		prev->ready.next = next;
	if (next)
		next->ready.prev = prev;
	q->first = prev ? meld(q->first, children) : children;
	leave(r);
}
