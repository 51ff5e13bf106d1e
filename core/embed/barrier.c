/* Short spin, then futex. Orders: a sleeper announces itself before it reads the word for the last
 * time (in the kernel), the waker changes the word before it looks for sleepers; both sequentially
 * consistent, so one of them sees the other.
 */
#include "embed/barrier.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void sg_barrier_init(struct sg_barrier *b, unsigned members)
{
	b->members = members;
	atomic_init(&b->arrived, 0);
	atomic_init(&b->round, 0);
	atomic_init(&b->sleepers, 0);
}

void sg_wait_change(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *sleepers)
{
	for (int i = 0; i < SG_BARRIER_SPINS; i++) {
		if (atomic_load_explicit(word, memory_order_acquire) != seen)
			return;
		__builtin_ia32_pause();
	}
	(void)atomic_fetch_add(sleepers, 1);
	while (atomic_load(word) == seen)
		(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	(void)atomic_fetch_sub(sleepers, 1);
}

void sg_wake_all(_Atomic uint32_t *word, _Atomic uint32_t *sleepers)
{
	if (atomic_load(sleepers) > 0)
		(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void sg_barrier_wait(struct sg_barrier *b)
{
	const uint32_t round = atomic_load(&b->round);
	if (atomic_fetch_add(&b->arrived, 1) + 1 < b->members) {
		sg_wait_change(&b->round, round, &b->sleepers);
		return;
	}
	atomic_store(&b->arrived, 0);
	atomic_store(&b->round, round + 1);
	sg_wake_all(&b->round, &b->sleepers);
}
