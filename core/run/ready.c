/* Which run steps next: fair queueing, so that what runs away delays only itself.
 *
 * A virtual clock goes on as fast as loop time is given out, divided by the runs that want some. A
 * run that becomes ready starts now, or when its earlier turns were paid for, and is to finish
 * after what a turn of its graph usually takes; the one that would finish first goes first. So a
 * run of two short steps passes any number of runs that use up their turns, and those share the
 * rest: none starves, because the clock goes on for all.
 *
 * The queue is a pairing heap of the runs themselves: nothing here can fail. */
#include "run/internal.h"

#define SHARE \
	8 /* of the latest turn in what a turn of the graph is expected to take: one in so many */

static bool before(const struct run *a, const struct run *b)
{
	return a->ready.finish_us != b->ready.finish_us ? a->ready.finish_us < b->ready.finish_us
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

static void leave(struct run *r)
{
	r->queued = false;
	r->ready.child = r->ready.next = r->ready.prev = NULL;
	r->engine->n_ready--;
}

void sg_run_ready(struct run *r)
{
	struct sg_engine *e = r->engine;
	if (r->queued)
		return;
	r->queued = true;
	if (r->ready.start_us < e->now_us)
		r->ready.start_us = e->now_us;
	r->ready.finish_us = r->ready.start_us + sg_run_top(r)->graph->turn_us;
	r->ready.number = e->ready_number++;
	e->ready = meld(e->ready, r);
	e->n_ready++;
	sg_engine_kick(e);
}

struct run *sg_ready_take(struct sg_engine *e)
{
	struct run *r = e->ready;
	e->ready = meld_children(r->ready.child);
	leave(r);
	if (e->now_us < r->ready.start_us)
		e->now_us = r->ready.start_us;
	return r;
}

void sg_ready_used(struct run *r, int64_t us)
{
	struct prepared *g = sg_run_top(r)->graph;
	g->turn_us += (us - g->turn_us) / SHARE;
	r->ready.start_us += us;
	r->engine->now_us += us / (int64_t)(r->engine->n_ready + 1);
}

void sg_ready_remove(struct run *r)
{
	struct sg_engine *e = r->engine;
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
	e->ready = prev ? meld(e->ready, children) : children;
	leave(r);
}
