/* The engine alone, no HTTP: closed loop of N clients, each starting a run when its last one has
 * settled, every step checkpointed and audited, both files synced. Prints one JSON line.
 *
 *   bench-engine DIR [clients] [runs] [state bytes] [signing key]
 *   bench-engine DIR signed KEY ROUNDS RUNS     what signing costs: see tests/bench/engine/signed
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "run/run.h"

#define STEPS 5
#define RULES 20

struct bench;
struct client {
	struct bench *bench;
	int64_t since_us;
};
struct bench {
	struct sg_engine *engine;
	json_t *params;
	uint64_t want, started, settled, failed;
	int64_t *latency;
	double cpu_us; /* of the process, while it drove */
};

static const struct sg_caller who = {.actor = "bench", .trigger_source = "manual"};

static void check(int r, const struct sg_error *err)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "bench-engine: %s\n", err->text);
	exit(1);
}

static void begin(struct client *c);

static void settled(void *ctx, const struct sg_run_view *run, const struct sg_error *err)
{
	struct client *c = ctx;
	struct bench *b = c->bench;
	if (err)
		check(-1, err);
	b->failed += run->row.status != SG_RUN_DONE;
	b->latency[b->settled++] = sg_clock_monotonic_us() - c->since_us;
	if (b->started < b->want)
		begin(c);
}

static void begin(struct client *c)
{
	struct sg_error err;
	char id[SG_RUN_ID_TEXT];
	struct bench *b = c->bench;
	b->started++;
	c->since_us = sg_clock_monotonic_us();
	check(sg_engine_start(b->engine, "run:bench", b->params, false, &who, NULL, NULL, settled,
		      c, id, &err),
		&err);
}

/* Five nodes, each left by a rule; twenty rules and six mirrored fields in all. */
static void write_graph(const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		exit(1);
	(void)fputs("ir_version: \"1.0.0\"\nid: \"run:bench\"\nstate_schema:\n"
		    "  message: str\n  label: str\n  risk: int\n  score: float\n  urgent: bool\n"
		    "  owner: str\nnodes:\n",
		f);
	for (int i = 0; i < STEPS - 1; i++)
		(void)fprintf(f, "  - {id: n%d, kind: %s}\n", i, i == 2 ? "echo" : "passthrough");
	(void)fprintf(f, "  - {id: n%d, kind: halt}\nrules:\n", STEPS - 1);
	for (int i = 0; i < STEPS - 1; i++)
		(void)fprintf(f,
			"  - {id: r%d, when: \"(node-id (id n%d)) (risk (typed ?r&:(> ?r 3)))\", "
			"then: "
			"[{kind: goto, target: n%d}]}\n",
			i, i, i + 1);
	for (int i = STEPS - 1; i < RULES; i++)
		(void)fprintf(f,
			"  - {id: r%d, when: \"(node-id (id n%d)) (label (value \\\"l%d\\\")) "
			"(score "
			"(typed ?s&:(< ?s 0.%d)))\", then: [{kind: goto, target: n0}]}\n",
			i, i % (STEPS - 1), i, i);
	if (fclose(f) != 0)
		exit(1);
}

static json_t *params(size_t bytes)
{
	char *message = malloc(bytes + 1);
	if (!message)
		exit(1);
	memset(message, 'x', bytes);
	message[bytes] = '\0';
	json_t *p = json_pack("{s:s, s:s, s:i, s:f, s:b, s:s}", "message", message, "label",
		"remote-code-execution", "risk", 7, "score", 0.625, "urgent", 1, "owner",
		"analyst");
	free(message);
	return p;
}

static int64_t raw_sync_us(const char *dir)
{
	char path[4096], block[1024] = "x";
	(void)snprintf(path, sizeof(path), "%s/raw", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int64_t from = sg_clock_monotonic_us();
	for (int i = 0; i < 1000; i++)
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fdatasync(fd) < 0)
			exit(1);
	int64_t us = sg_clock_monotonic_us() - from;
	(void)close(fd);
	(void)unlink(path);
	return us / 1000;
}

static long rss_anon_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kb;
}

static double cpu_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void drive(struct bench *b, size_t clients)
{
	struct client *c = calloc(clients, sizeof(*c));
	if (!c)
		exit(1);
	for (size_t i = 0; i < clients && b->started < b->want; i++) {
		c[i].bench = b;
		begin(&c[i]);
	}
	while (b->settled < b->want) {
		struct sg_error err;
		struct pollfd p = {.fd = sg_engine_fd(b->engine), .events = POLLIN};
		(void)poll(&p, 1, sg_engine_timeout_ms(b->engine));
		sg_engine_dispatch(b->engine);
		if (sg_engine_failed(b->engine, &err))
			check(-1, &err);
	}
	free(c);
}

static void report(const struct bench *b, size_t clients, size_t bytes, int64_t us, int64_t raw_us,
	long rss_before)
{
	struct sg_engine_stats st;
	sg_engine_stats(b->engine, &st);
	qsort(b->latency, b->settled, sizeof(*b->latency), ascending);
	double s = (double)us / 1e6;
	(void)printf("{\"clients\":%zu,\"runs\":%" PRIu64
		     ",\"state_bytes\":%zu,\"runs_per_s\":%.0f,"
		     "\"steps_per_s\":%.0f,\"p50_us\":%" PRId64 ",\"p99_us\":%" PRId64
		     ",\"raw_append_fdatasync_us\":%" PRId64 ",\"steps_per_raw_sync\":%.2f,"
		     "\"batches\":%" PRIu64 ",\"failed\":%" PRIu64
		     ",\"cpu_us_a_run\":%.2f,\"rss_anon_kb\":[%ld,%ld]}\n",
		clients, b->settled, bytes, (double)b->settled / s, (double)st.steps / s,
		b->latency[b->settled / 2], b->latency[b->settled * 99 / 100], raw_us,
		(double)st.steps / s * (double)raw_us / 1e6, st.batches, b->failed,
		b->cpu_us / (double)b->settled, rss_before, rss_anon_kb());
}

static void open_engine(struct bench *b, const char *dir, const char *signing_key)
{
	struct sg_error err;
	char graph[4096];
	struct sg_audit_options audit;
	sg_audit_options_read(NULL, &audit);
	audit.signing_key = signing_key;
	struct sg_engine_options o = {.state_dir = dir, .audit = &audit};
	(void)mkdir(dir, 0700);
	(void)snprintf(graph, sizeof(graph), "%s/bench.yaml", dir);
	write_graph(graph);
	check(sg_engine_create(&b->engine, &o, &err), &err);
	check(sg_engine_load(b->engine, graph, &err), &err);
	check(sg_engine_recover(b->engine, &err), &err);
}

static void close_engine(struct bench *b)
{
	sg_engine_destroy(b->engine);
	json_decref(b->params);
	free(b->latency);
}

/* Rounds of short turns in one process, two engines without a key and one with it, their order
 * rotating: one line a round with the CPU time and the wall time of each turn in µs a run. */
static int by_turns(const char *dir, const char *key, uint64_t rounds, uint64_t runs)
{
	enum { UNSIGNED, SIGNED, AGAIN, ENGINES };
	struct bench b[ENGINES] = {0};
	double cpu[ENGINES], wall[ENGINES];
	(void)mkdir(dir, 0700);
	for (int i = 0; i < ENGINES; i++) {
		char at[4096];
		(void)snprintf(at, sizeof(at), "%s/%d", dir, i);
		b[i].params = params(400);
		b[i].latency = calloc((rounds + 1) * runs, sizeof(*b[i].latency));
		open_engine(&b[i], at, i == SIGNED ? key : NULL);
	}
	for (uint64_t round = 0; round <= rounds; round++) {
		for (int k = 0; k < ENGINES; k++) {
			int i = (int)((round + (uint64_t)k) % ENGINES);
			int64_t from = sg_clock_monotonic_us();
			double used = cpu_us();
			b[i].want += runs;
			drive(&b[i], 64);
			cpu[i] = (cpu_us() - used) / (double)runs;
			wall[i] = (double)(sg_clock_monotonic_us() - from) / (double)runs;
		}
		if (round) /* the first only warms up */
			(void)printf("%.2f %.2f %.2f %.2f %.2f %.2f\n", cpu[UNSIGNED], cpu[SIGNED],
				cpu[AGAIN], wall[UNSIGNED], wall[SIGNED], wall[AGAIN]);
		(void)fflush(stdout);
	}
	for (int i = 0; i < ENGINES; i++)
		close_engine(&b[i]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (argc == 6 && strcmp(argv[2], "signed") == 0)
		return by_turns(argv[1], argv[3], (uint64_t)atol(argv[4]), (uint64_t)atol(argv[5]));
	size_t clients = argc > 2 ? (size_t)atol(argv[2]) : 64,
	       bytes = argc > 4 ? (size_t)atol(argv[4]) : 400;
	struct bench b = {
		.want = argc > 3 ? (uint64_t)atol(argv[3]) : 20000, .params = params(bytes)};
	(void)mkdir(argv[1], 0700);
	int64_t raw_us = raw_sync_us(argv[1]);
	b.latency = calloc(b.want, sizeof(*b.latency));
	open_engine(&b, argv[1], argc > 5 ? argv[5] : NULL);
	long rss = rss_anon_kb();
	int64_t from = sg_clock_monotonic_us();
	b.cpu_us = cpu_us();
	drive(&b, clients);
	b.cpu_us = cpu_us() - b.cpu_us;
	report(&b, clients, bytes, sg_clock_monotonic_us() - from, raw_us, rss);
	close_engine(&b);
	return b.failed ? 1 : 0;
}
