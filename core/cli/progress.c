/* A progress line on standard error, when that is a terminal. */
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR 30
#define EVERY_US 200000

void sg_progress_init(struct sg_progress *p, const char *what, uint64_t total)
{
	*p = (struct sg_progress){.what = what,
		.total = total,
		.start_us = sg_clock_monotonic_us(),
		.on = isatty(STDERR_FILENO)};
}

void sg_progress_show(struct sg_progress *p, uint64_t bytes, uint64_t items, uint64_t tokens)
{
	if (!p->on)
		return;
	int64_t now = sg_clock_monotonic_us();
	if (now - p->shown_us < EVERY_US)
		return;
	p->shown_us = now;
	double seconds = (double)(now - p->start_us) / 1e6;
	(void)fprintf(stderr, "\r%s ", p->what);
	if (p->total) {
		double part = (double)bytes / (double)p->total;
		int full = (int)(part * BAR);
		full = full > BAR ? BAR : full;
		(void)fprintf(stderr, "[%.*s%.*s] %3d%% ", full, "##############################",
			BAR - full, "..............................", (int)(part * 100));
	}
	(void)fprintf(stderr, "%llu %s, %.0f %s/s\033[K", (unsigned long long)items,
		p->items ? p->items : "texts", seconds > 0 ? (double)tokens / seconds : 0.0,
		p->parts ? p->parts : "tokens");
}

void sg_progress_finish(struct sg_progress *p)
{
	if (p->on && p->shown_us)
		(void)fputc('\n', stderr);
}
