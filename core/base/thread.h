/* Threads of our own. */
#ifndef SG_BASE_THREAD_H
#define SG_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts fn(arg) with every signal blocked: signals are the main thread's. stack_bytes 0 = the
 * system's default. Returns 0, or an errno value; *ret_thread is to be joined. */
int sg_thread_start(pthread_t *ret_thread, size_t stack_bytes, void *(*fn)(void *arg), void *arg);

#endif
