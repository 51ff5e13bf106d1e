/* See thread.h. */
#include "base/thread.h"

#include <signal.h>

int sg_thread_start(pthread_t *ret_thread, size_t stack_bytes, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);
	if (r != 0)
		return r;
	if (stack_bytes)
		(void)pthread_attr_setstacksize(&attr, stack_bytes);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret_thread, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return r;
}
