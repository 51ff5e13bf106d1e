/* A state directory with a log of some lines, for the tests of audit. */
#ifndef SG_TESTS_AUDIT_LOG_H
#define SG_TESTS_AUDIT_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "audit/audit.h"
#include "audit/verify.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "../tmpdir.h"

struct log {
	struct sg_store *store;
	struct sg_audit *audit;
	char path[256];
	size_t repaired;
	struct sg_error err;
};

static inline int log_try_open(struct log *l, const char *dir)
{
	memset(l, 0, sizeof(*l));
	(void)snprintf(l->path, sizeof(l->path), "%s/audit.jsonl", dir);
	int r = sg_store_open(&l->store, dir, 1 << 28, true, false, &l->err);
	if (r < 0)
		return r;
	return sg_audit_open(&l->audit, l->store, l->path, &l->repaired, &l->err);
}

static inline void log_close(struct log *l)
{
	sg_audit_close(l->audit);
	sg_store_close(l->store);
	memset(l, 0, sizeof(*l));
}

static inline void log_open(struct log *l, const char *dir)
{
	if (log_try_open(l, dir) < 0)
		fail_msg("%s", l->err.text);
}

static inline struct sg_audit_event log_event(int i, char payload[64])
{
	(void)snprintf(payload, 64, "{\"i\":%d}", i);
	return (struct sg_audit_event){
		.ts_us = 1764000000000000 + i,
		.actor = "CN=ana,O=Lab",
		.type = "node_finished",
		.run_id = "run-1",
		.step = i,
		.payload = payload,
		.confidence = 1.0,
	};
}

/* n lines in one batch; flush = false leaves the file behind the store. */
static inline void log_add(struct log *l, int n, bool flush)
{
	struct sg_txn *t;
	char payload[64];
	assert_int_equal(sg_txn_begin(l->store, true, &t, NULL), 0);
	for (int i = 0; i < n; i++) {
		struct sg_audit_event e = log_event(i, payload);
		if (sg_audit_put(l->audit, t, &e, &l->err) < 0)
			fail_msg("%s", l->err.text);
	}
	assert_int_equal(sg_audit_put_head(l->audit, t, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	if (flush && sg_audit_flush(l->audit, &l->err) < 0)
		fail_msg("%s", l->err.text);
}

__attribute__((noinline, unused)) static char *log_read(const char *path, size_t *ret_len)
{
	char *data = NULL;
	struct sg_error err = {0};
	if (sg_file_read(path, 1 << 26, &data, ret_len, &err) < 0)
		fail_msg("%s", err.text);
	return data;
}

/* A path to a file in memory, for what is written ten thousand times. Caller frees. */
static inline char *log_memory_path(int *ret_fd)
{
	char *path = NULL;
	*ret_fd = memfd_create("log", MFD_CLOEXEC);
	return *ret_fd < 0 || asprintf(&path, "/proc/self/fd/%d", *ret_fd) < 0 ? NULL : path;
}

#endif
