/* A barrier for a few threads that meet every few microseconds: a short spin, then a futex.
 *
 * The spin is bounded because a machine may be shared: a member that waits for a thread without a
 * processor must give up its own.
 */
#ifndef SG_EMBED_BARRIER_H
#define SG_EMBED_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

#define SG_BARRIER_SPINS 2000 /* pauses; about 30 to 100 µs */

struct sg_barrier {
	unsigned members;
	_Atomic uint32_t arrived;
	_Atomic uint32_t round; /* the futex word */
	_Atomic uint32_t sleepers;
};

void sg_barrier_init(struct sg_barrier *b, unsigned members);
/* Returns when all members have called it; what they wrote before is then visible. */
void sg_barrier_wait(struct sg_barrier *b);

/* The building block: returns once *word != seen. Spins first. */
void sg_wait_change(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *sleepers);
/* After *word was changed: wakes whoever sleeps on it. */
void sg_wake_all(_Atomic uint32_t *word, _Atomic uint32_t *sleepers);

#endif
