/* GET /metrics: Prometheus' text format 0.0.4, from counters kept in memory. */
#include "api/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static void put(struct sg_buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
	sg_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
		(unsigned long long)v);
}

/* Pages of resident memory, from /proc/self/statm; 0 when it cannot be read. */
static uint64_t resident_bytes(void)
{
	unsigned long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return 0;
	int n = fscanf(f, "%lu %lu", &total, &resident);
	(void)fclose(f);
	return n == 2 ? resident * 4096ULL : 0;
}

static void put_runs(struct sg_buf *b, const struct sg_engine_stats *s)
{
	const struct {
		const char *status;
		uint64_t n;
	} ends[] = {{"done", s->runs_done}, {"failed", s->runs_failed},
		{"cancelled", s->runs_cancelled}};
	put(b, "stargraph_runs_started_total", "counter", "Runs accepted since start.",
		s->runs_started);
	sg_buf_adds(b,
		"# HELP stargraph_runs_finished_total Runs that ended since start, by status.\n"
		"# TYPE stargraph_runs_finished_total counter\n");
	for (size_t i = 0; i < SG_ARRAY_LEN(ends); i++)
		sg_buf_addf(b, "stargraph_runs_finished_total{status=\"%s\"} %llu\n",
			ends[i].status, (unsigned long long)ends[i].n);
	put(b, "stargraph_runs_removed_total", "counter",
		"Runs removed since start because they are not kept any longer.", s->runs_removed);
	put(b, "stargraph_runs_live", "gauge", "Runs that are neither finished nor waiting.",
		s->runs_live);
	put(b, "stargraph_runs_waiting", "gauge", "Runs that wait for an answer.", s->runs_waiting);
}

static void put_http(struct sg_buf *b, const struct sg_api *a)
{
	sg_buf_adds(b,
		"# HELP stargraph_http_responses_total Responses since start, by status class.\n"
		"# TYPE stargraph_http_responses_total counter\n");
	for (int i = 1; i < 6; i++)
		sg_buf_addf(b, "stargraph_http_responses_total{class=\"%dxx\"} %llu\n", i,
			(unsigned long long)a->answers[i]);
	put(b, "stargraph_refusals_total", "counter", "Requests refused or denied, all audited.",
		a->refused);
}

static void put_batch_sizes(struct sg_buf *b, const struct sg_embed_pool_stats *s)
{
	uint64_t n = 0;
	sg_buf_adds(b, "# HELP stargraph_embed_batch_texts Texts of a pass through the model.\n"
		       "# TYPE stargraph_embed_batch_texts histogram\n");
	for (size_t i = 0; i < SG_POOL_BATCH_SIZES; i++) {
		n += s->batch_texts[i];
		sg_buf_addf(b, "stargraph_embed_batch_texts_bucket{le=\"%d\"} %llu\n", 1 << i,
			(unsigned long long)n);
	}
	sg_buf_addf(b,
		"stargraph_embed_batch_texts_bucket{le=\"+Inf\"} %llu\n"
		"stargraph_embed_batch_texts_sum %llu\nstargraph_embed_batch_texts_count %llu\n",
		(unsigned long long)s->batches, (unsigned long long)s->texts,
		(unsigned long long)s->batches);
}

static void put_embedding(struct sg_buf *b, const struct sg_engine_stats *all)
{
	const struct sg_embed_pool_stats *s = &all->embed;
	const struct {
		const char *stage;
		uint64_t us;
	} stages[] = {
		{"tokenize", all->tokenize_us}, {"wait", s->wait_us}, {"compute", s->busy_us}};
	put(b, "stargraph_embed_texts_total", "counter", "Texts embedded since start.", s->texts);
	put(b, "stargraph_embed_tokens_total", "counter", "Tokens embedded since start.",
		s->tokens);
	put(b, "stargraph_embed_rejected_total", "counter",
		"Texts refused by the workers' full queue since start.", s->rejected);
	put(b, "stargraph_embed_queue_texts", "gauge", "Texts waiting for a worker.", s->waiting);
	put(b, "stargraph_embed_running_texts", "gauge", "Texts in the workers' hands.",
		s->running);
	put(b, "stargraph_embed_workers", "gauge", "Threads that embed.", s->workers);
	put_batch_sizes(b, s);
	sg_buf_adds(b,
		"# HELP stargraph_embed_seconds_total Time spent on texts since start, by stage: "
		"wait summed over texts, compute over passes.\n"
		"# TYPE stargraph_embed_seconds_total counter\n");
	for (size_t i = 0; i < SG_ARRAY_LEN(stages); i++)
		sg_buf_addf(b, "stargraph_embed_seconds_total{stage=\"%s\"} %.6f\n",
			stages[i].stage, (double)stages[i].us / 1e6);
}

void sg_route_metrics(struct sg_call *c)
{
	struct sg_engine_stats s;
	sg_autobuf b = SG_BUF_INIT(64 * 1024);
	sg_engine_stats(c->api->engine, &s);
	put_runs(&b, &s);
	put(&b, "stargraph_steps_total", "counter", "Durable steps since start.", s.steps);
	put(&b, "stargraph_commits_total", "counter", "Batches committed since start.", s.batches);
	put(&b, "stargraph_audit_records_total", "counter", "Audit records since start.",
		s.audit_records);
	put(&b, "stargraph_embeddings_total", "counter", "Texts embedded since start.",
		s.embeddings);
	if (s.embed.workers)
		put_embedding(&b, &s);
	put(&b, "stargraph_writer_queue", "gauge", "Events waiting for the writer.", s.queue);
	put(&b, "stargraph_store_readers_cleared_total", "counter",
		"Readers of the store that died and were cleared since start.", s.readers_cleared);
	put(&b, "stargraph_disk_full", "gauge", "1 while runs wait for room on the disk.",
		s.no_space);
	put_http(&b, c->api);
	put(&b, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
	if (b.failed)
		sg_call_problem(c, 500, "out of memory");
	else
		sg_call_reply(
			c, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len, NULL, 0);
}
