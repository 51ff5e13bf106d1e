/* Chained, durable lines a second through sg_audit_put and flush, and verification in MB/s, beside
 * what the disk and SHA-256 can do by themselves. Usage: bench-audit DIR [LINES [BATCH]] */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/hash.h"

static double seconds_since(int64_t us)
{
	return (double)(sg_clock_monotonic_us() - us) / 1e6;
}

/* Of this process: what remains comparable on a machine that others use too. */
static double cpu_seconds(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void put_batch(struct sg_audit *a, struct sg_txn *t, long n, struct sg_error *err)
{
	for (long i = 0; i < n; i++) {
		struct sg_audit_event e = {
			.ts_us = sg_clock_utc_us(),
			.actor = "CN=analyst one,O=Lab",
			.type = "transition",
			.run_id = "run-0123456789abcdef0123456789ab",
			.step = i,
			.payload = "{\"from\":\"classify\",\"rule\":\"r-high\",\"to\":\"review\"}",
			.confidence = 1.0,
		};
		if (sg_audit_put(a, t, &e, err) < 0)
			abort();
	}
}

static int write_log(
	struct sg_store *s, const char *path, long lines, long batch, struct sg_error *err)
{
	struct sg_audit *a;
	struct sg_txn *t;
	size_t repaired;
	int r = sg_audit_open(&a, s, path, &repaired, err);
	int64_t from = sg_clock_monotonic_us();
	double cpu = cpu_seconds(), put = 0;
	for (long i = 0; r == 0 && i < lines; i += batch) {
		r = sg_txn_begin(s, true, &t, err);
		if (r < 0)
			break;
		double at = cpu_seconds();
		put_batch(a, t, batch, err);
		put += cpu_seconds() - at;
		r = sg_audit_put_head(a, t, err);
		r = r < 0 ? r : sg_txn_commit(t, err);
		r = r < 0 ? r : sg_audit_flush(a, err);
	}
	if (r == 0)
		(void)printf("writing: %.0f lines/s (%.0f a CPU second) in batches of %ld; put "
			     "%.2f us of CPU a line\n",
			(double)lines / seconds_since(from), (double)lines / (cpu_seconds() - cpu),
			batch, put * 1e6 / (double)lines);
	sg_audit_close(a);
	return r;
}

static int verify_log(const char *path, struct sg_error *err)
{
	struct sg_audit_report rep;
	for (int i = 0; i < 3; i++) {
		int64_t from = sg_clock_monotonic_us();
		double cpu = cpu_seconds();
		int r = sg_audit_verify_file(path, NULL, 0, &rep, err);
		if (r < 0)
			return r;
		(void)printf("verifying (chain and tree): %.0f MB/s (%.0f a CPU second), %" PRIu64
			     " lines, %s\n",
			(double)rep.bytes / 1e6 / seconds_since(from),
			(double)rep.bytes / 1e6 / (cpu_seconds() - cpu), rep.lines, rep.cause);
	}
	return 0;
}

static void raw_figures(const char *dir)
{
	static char buf[1 << 20];
	char path[4096];
	uint8_t digest[SG_SHA256_BYTES];
	(void)snprintf(path, sizeof(path), "%s/raw", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (size_t n = 1 << 10; n <= sizeof(buf); n *= 32) {
		int64_t from = sg_clock_monotonic_us();
		for (int i = 0; i < 50; i++)
			if (write(fd, buf, n) < 0 || fdatasync(fd) < 0)
				return;
		(void)printf("raw append + fdatasync of %zu KiB: %.0f us\n", n >> 10,
			seconds_since(from) / 50 * 1e6);
	}
	double cpu = cpu_seconds();
	for (int i = 0; i < 300; i++)
		sg_sha256(buf, sizeof(buf), digest);
	(void)printf("raw SHA-256: %.0f MB a CPU second\n",
		300.0 * (double)sizeof(buf) / 1e6 / (cpu_seconds() - cpu));
	(void)close(fd);
	(void)unlink(path);
}

int main(int argc, char **argv)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	char path[4096];
	if (argc < 2)
		return 2;
	long lines = argc > 2 ? strtol(argv[2], NULL, 10) : 300000;
	long batch = argc > 3 ? strtol(argv[3], NULL, 10) : 2000;
	(void)snprintf(path, sizeof(path), "%s/audit.jsonl", argv[1]);
	int r = sg_store_open(&s, argv[1], 0, true, false, &err);
	if (r == 0)
		r = write_log(s, path, lines, batch, &err);
	sg_store_close(s);
	if (r == 0)
		r = verify_log(path, &err);
	raw_figures(argv[1]);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.text);
	return r < 0;
}
