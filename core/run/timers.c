/* A heap of times at which a run wants attention. An entry is only a hint: whoever pops it looks at
 * the run whether it still wants anything, so entries are never removed early. */
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

static void swap(struct timer *a, struct timer *b)
{
	struct timer t = *a;
	*a = *b;
	*b = t;
}

int sg_timer_add(struct sg_engine *e, int64_t due_us, const char *run_id)
{
	if (e->n_timers == e->cap_timers) {
		size_t cap = e->cap_timers ? e->cap_timers * 2 : 64;
		struct timer *p = realloc(e->timers, cap * sizeof(*p));
		if (!p)
			return -SG_ENOMEM;
		e->timers = p;
		e->cap_timers = cap;
	}
	size_t i = e->n_timers++;
	e->timers[i].due_us = due_us;
	(void)snprintf(e->timers[i].run_id, sizeof(e->timers[i].run_id), "%s", run_id);
	for (; i && e->timers[(i - 1) / 2].due_us > e->timers[i].due_us; i = (i - 1) / 2)
		swap(&e->timers[(i - 1) / 2], &e->timers[i]);
	return 0;
}

int64_t sg_timer_next(const struct sg_engine *e)
{
	return e->n_timers ? e->timers[0].due_us : -1;
}

bool sg_timer_pop(struct sg_engine *e, int64_t now_us, char ret_run_id[SG_RUN_ID_TEXT])
{
	if (!e->n_timers || e->timers[0].due_us > now_us)
		return false;
	memcpy(ret_run_id, e->timers[0].run_id, SG_RUN_ID_TEXT);
	e->timers[0] = e->timers[--e->n_timers];
	for (size_t i = 0;;) {
		size_t least = i, left = 2 * i + 1;
		for (size_t c = left; c < left + 2 && c < e->n_timers; c++)
			if (e->timers[c].due_us < e->timers[least].due_us)
				least = c;
		if (least == i)
			return true;
		swap(&e->timers[i], &e->timers[least]);
		i = least;
	}
}
