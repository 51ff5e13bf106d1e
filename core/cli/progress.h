/* A progress line on standard error, when that is a terminal. */
#ifndef SG_CLI_PROGRESS_H
#define SG_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sg_progress {
	const char *what;	   /* borrowed */
	const char *items, *parts; /* what is counted; NULL = texts, and tokens in them */
	uint64_t total;		   /* bytes of input, 0 = unknown */
	int64_t start_us, shown_us;
	bool on;
};

void sg_progress_init(struct sg_progress *p, const char *what, uint64_t total);
/* bytes of total, items done, tokens in them; draws at most five times a second. */
void sg_progress_show(struct sg_progress *p, uint64_t bytes, uint64_t items, uint64_t tokens);
/* Ends the line; p may be all zero. */
void sg_progress_finish(struct sg_progress *p);

#endif
