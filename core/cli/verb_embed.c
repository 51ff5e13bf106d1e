/* stargraph embed: JSON lines with a text in, JSON lines with ids and vector out, in order.
 *
 * The texts in flight stand in a ring; workers finish them in any order and the ring gives them out
 * in the order they came. An output that ends early can be continued: its complete lines are
 * counted, the last is checked against the input, and as many inputs are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/model_dir.h"
#include "cli/progress.h"
#include "embed/embed.h"
#include "embed/pool.h"

#define LINE_BYTES (16U << 20)	 /* of one input line */
#define OUTPUT_BYTES (64U << 10) /* of one output line */
#define RING 512		 /* texts in flight */

struct slot {
	struct sg_embed_job job;
	struct sg_tokens tokens;
	float vector[SG_EMBED_DIM];
	int status;
	bool done;
	struct sg_error err;
};

struct run {
	struct sg_embedder *e;
	struct sg_embed_pool *pool;
	struct sg_lines in;
	FILE *out;
	struct sg_progress progress;
	pthread_mutex_t lock; /* guards done and status of the slots */
	pthread_cond_t finished;
	struct slot *ring;   /* RING of them, owned */
	uint64_t head, tail; /* texts given out, texts taken in */
	uint64_t tokens;
};

struct options {
	const char *model, *kernel, *input, *output;
	unsigned workers;
	bool resume;
};

static void on_done(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct run *r = job->data;
	struct slot *s = (struct slot *)job; /* its first member */
	(void)pthread_mutex_lock(&r->lock);
	s->status = status;
	if (status < 0)
		s->err = *err;
	s->done = true;
	(void)pthread_cond_signal(&r->finished);
	(void)pthread_mutex_unlock(&r->lock);
}

/* The ids of one input line; errors name file and line. */
static int tokenize_line(
	struct run *r, const char *line, size_t n, struct sg_tokens *ret, struct sg_error *err)
{
	json_auto_t *object = NULL;
	int status = sg_json_parse_texts(line, n, &object, err);
	const json_t *text = json_object_get(object, "text");
	if (status == 0 && !json_is_string(text))
		status = sg_error_set(
			err, SG_EINVALID, NULL, "not an object with a string \"text\"");
	if (status == 0)
		status = sg_tokenize(sg_embedder_tokenizer(r->e), json_string_value(text),
			json_string_length(text), SG_EMBED_MAX_TOKENS, ret, err);
	if (status < 0)
		return sg_error_prefix(
			err, "%s line %llu", r->in.name, (unsigned long long)r->in.number);
	return 0;
}

static void write_line(struct sg_buf *b, const struct slot *s)
{
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"ids\":[");
	for (size_t i = 0; i < s->tokens.n; i++)
		sg_buf_addf(b, "%s%d", i ? "," : "", s->tokens.ids[i]);
	sg_buf_addf(b, "],\"tokens\":%zu,\"truncated\":%s,\"embedding\":[", s->tokens.n,
		s->tokens.truncated ? "true" : "false");
	for (size_t i = 0; i < SG_EMBED_DIM; i++)
		sg_buf_addf(b, "%s%.9g", i ? "," : "", (double)s->vector[i]);
	sg_buf_adds(b, "]}\n");
}

/* Waits for the oldest text and writes it. */
static int give_out(struct run *r, struct sg_buf *line, struct sg_error *err)
{
	struct slot *s = &r->ring[r->head % RING];
	(void)pthread_mutex_lock(&r->lock);
	while (!s->done)
		(void)pthread_cond_wait(&r->finished, &r->lock);
	(void)pthread_mutex_unlock(&r->lock);
	int status = s->status;
	if (status < 0)
		*err = s->err;
	if (status == 0) {
		write_line(line, s);
		if (line->failed)
			status = sg_error_nomem(err);
		else if (fwrite(line->data, 1, line->len, r->out) != line->len)
			status = sg_error_errno(err, errno, "cannot write the output");
	}
	r->tokens += s->tokens.n;
	r->head++;
	sg_tokens_finish(&s->tokens);
	return status;
}

static int take_in(struct run *r, const char *line, size_t n, struct sg_error *err)
{
	struct slot *s = &r->ring[r->tail % RING];
	*s = (struct slot){0};
	int status = tokenize_line(r, line, n, &s->tokens, err);
	if (status < 0)
		return status;
	s->job = (struct sg_embed_job){.ids = s->tokens.ids,
		.n = s->tokens.n,
		.ret_vector = s->vector,
		.done = on_done,
		.data = r};
	struct sg_embed_job *job = &s->job;
	status = sg_embed_pool_submit(r->pool, &job, 1, err);
	if (status < 0) {
		sg_tokens_finish(&s->tokens);
		return status;
	}
	r->tail++;
	return 0;
}

static int embed_all(struct run *r, struct sg_error *err)
{
	sg_autobuf out = SG_BUF_INIT(OUTPUT_BYTES);
	char *line;
	size_t n;
	int status, failed = 0;
	while ((status = sg_lines_next(&r->in, &line, &n, NULL, err)) > 0) {
		if (r->tail - r->head == RING)
			status = give_out(r, &out, err);
		if (status >= 0)
			status = take_in(r, line, n, err);
		if (status < 0)
			break;
		sg_progress_show(&r->progress, r->in.bytes, r->head, r->tokens);
	}
	/* What came before a bad line is still given out; its error is the one told. */
	while (r->head < r->tail) {
		struct sg_error later = {0};
		int s = give_out(r, &out, &later);
		if (s < 0 && failed == 0 && status == 0) {
			failed = s;
			*err = later;
		}
		sg_progress_show(&r->progress, r->in.bytes, r->head, r->tokens);
	}
	if (fflush(r->out) != 0 && status == 0 && failed == 0)
		return sg_error_errno(err, errno, "cannot write the output");
	return status < 0 ? status : failed;
}

/* Whether an output line holds the ids of these tokens. */
static bool same_ids(const char *line, size_t n, const struct sg_tokens *tokens)
{
	json_auto_t *object = NULL;
	if (sg_json_parse(line, n, &object, NULL) < 0)
		return false;
	const json_t *ids = json_object_get(object, "ids");
	if (json_array_size(ids) != tokens->n)
		return false;
	for (size_t i = 0; i < tokens->n; i++)
		if (json_integer_value(json_array_get(ids, i)) != tokens->ids[i])
			return false;
	return true;
}

/* Reads the complete lines of an earlier output: how many, their bytes, and the last of them. */
static int count_finished(
	int fd, const char *name, struct sg_buf *last, uint64_t *ret_n, struct sg_error *err)
{
	struct sg_lines lines SG_CLEANUP(sg_lines_finish);
	sg_lines_init(&lines, fd, name, OUTPUT_BYTES);
	char *line;
	size_t n;
	bool ended;
	uint64_t bytes = 0, count = 0;
	int r;
	while ((r = sg_lines_next(&lines, &line, &n, &ended, err)) > 0) {
		if (!ended)
			break; /* written half when the earlier run ended */
		bytes = lines.bytes;
		count++;
		sg_buf_reset(last);
		sg_buf_add(last, line, n);
	}
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)bytes) < 0 || lseek(fd, 0, SEEK_END) < 0)
		return sg_error_errno(err, errno, "cannot continue %s", name);
	*ret_n = count;
	return 0;
}

/* Skips what an earlier run finished, having checked that it was this input. */
static int skip_finished(struct run *r, const char *output, struct sg_error *err)
{
	sg_autobuf last = SG_BUF_INIT(OUTPUT_BYTES);
	uint64_t finished = 0;
	int status = count_finished(fileno(r->out), output, &last, &finished, err);
	if (status < 0)
		return status;
	char *line = NULL;
	size_t n = 0;
	for (uint64_t i = 0; i < finished; i++) {
		status = sg_lines_next(&r->in, &line, &n, NULL, err);
		if (status < 0)
			return status;
		if (status == 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s has %llu lines, the input only %llu: not an output of it",
				output, (unsigned long long)finished, (unsigned long long)i);
	}
	if (!finished)
		return 0;
	struct sg_tokens tokens;
	status = tokenize_line(r, line, n, &tokens, err);
	if (status < 0)
		return status;
	bool same = last.data && same_ids(last.data, last.len, &tokens);
	sg_tokens_finish(&tokens);
	return same ? 0
		    : sg_error_set(err, SG_EINVALID, NULL,
			      "%s line %llu is not the output of %s line %llu: not resumed", output,
			      (unsigned long long)finished, r->in.name,
			      (unsigned long long)finished);
}

static int open_output(struct run *r, const struct options *o, struct sg_error *err)
{
	if (!o->output) {
		r->out = stdout;
		return 0;
	}
	int flags = o->resume ? O_RDWR | O_CREAT : O_RDWR | O_CREAT | O_EXCL;
	int fd = open(o->output, flags | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"%s exists; --resume continues it, or remove it first", o->output);
	if (fd < 0) {
		(void)sg_error_errno(err, errno, "cannot open the output %s", o->output);
		err->code = SG_EINVALID;
		return -SG_EINVALID;
	}
	r->out = fdopen(fd, "r+");
	if (!r->out) {
		(void)close(fd);
		return sg_error_nomem(err);
	}
	return o->resume ? skip_finished(r, o->output, err) : 0;
}

static int open_input(struct run *r, const struct options *o, struct sg_error *err)
{
	int fd = o->input ? open(o->input, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (fd < 0) {
		(void)sg_error_errno(err, errno, "cannot open the input %s", o->input);
		err->code = SG_EINVALID; /* a wrong argument: exit 2 */
		return -SG_EINVALID;
	}
	sg_lines_init(&r->in, fd, o->input ? o->input : "input", LINE_BYTES);
	struct stat st;
	bool sized = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	sg_progress_init(&r->progress, "embed", sized ? (uint64_t)st.st_size : 0);
	return 0;
}

static int start(struct run *r, const struct options *o, struct sg_error *err)
{
	sg_autofree char *dir = NULL;
	int status = open_input(r, o, err);
	if (status == 0)
		status = sg_cli_find_model(o->model, &dir, err);
	if (status == 0)
		status = sg_embedder_load(&r->e, dir, o->kernel, false, err);
	if (status == 0)
		status = open_output(r, o, err);
	if (status < 0)
		return status;
	r->ring = calloc(RING, sizeof(*r->ring));
	if (!r->ring)
		return sg_error_nomem(err);
	const struct sg_embed_pool_options pool = {.workers = o->workers, .queue_texts = RING};
	return sg_embed_pool_create(&r->pool, r->e, &pool, err);
}

static void finish(struct run *r)
{
	sg_embed_pool_destroy(r->pool);
	sg_progress_finish(&r->progress);
	if (r->out && r->out != stdout)
		(void)fclose(r->out);
	if (r->in.name && r->in.fd != STDIN_FILENO)
		(void)close(r->in.fd);
	sg_lines_finish(&r->in);
	free(r->ring);
	sg_embedder_destroy(r->e);
	(void)pthread_cond_destroy(&r->finished);
	(void)pthread_mutex_destroy(&r->lock);
}

/* Returns 0, or the exit code of a usage error. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"model", required_argument, NULL, 'm'},
		{"kernel", required_argument, NULL, 'k'}, {"input", required_argument, NULL, 'i'},
		{"output", required_argument, NULL, 'o'}, {"resume", required_argument, NULL, 'r'},
		{"workers", required_argument, NULL, 'w'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "m:i:o:", longs, NULL)) != -1;) {
		char *end;
		switch (c) {
		case 'm': o->model = optarg; break;
		case 'k': o->kernel = optarg; break;
		case 'i': o->input = optarg; break;
		case 'r': o->resume = true; /* fall through */
		case 'o': o->output = optarg; break;
		case 'w':
			o->workers = (unsigned)strtoul(optarg, &end, 10);
			if (*end || o->workers < 1 || o->workers > SG_POOL_MAX_WORKERS)
				return sg_cli_usage(&sg_verb_embed, "--workers takes 1 to %d",
					SG_POOL_MAX_WORKERS);
			break;
		default: return sg_cli_usage(&sg_verb_embed, "unknown option");
		}
	}
	return optind == argc ? 0 : sg_cli_usage(&sg_verb_embed, "takes no arguments");
}

static int run(int argc, char **argv)
{
	struct options o = {0};
	int code = parse(argc, argv, &o);
	if (code)
		return code;
	struct run r = {.lock = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};
	struct sg_error err = {0};
	int status = start(&r, &o, &err);
	if (status == 0)
		status = embed_all(&r, &err);
	finish(&r);
	return status < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_embed = {
	.name = "embed",
	.summary = "embed texts: JSON lines in, JSON lines out",
	.usage =
		"usage: stargraph embed [--model DIR] [OPTION]… <TEXTS.jsonl >VECTORS.jsonl\n\n"
		"Reads {\"text\":…} a line; other members are ignored. Writes, in the same order,\n"
		"{\"ids\":[…],\"tokens\":N,\"truncated\":bool,\"embedding\":[384 numbers]} a "
		"line.\n"
		"  --model DIR     else HF_HOME: all-MiniLM-L6-v2/, or the hub's layout\n"
		"  --input FILE    else standard input\n"
		"  --output FILE   a new file, else standard output\n"
		"  --resume FILE   continue FILE: keeps its complete lines, skips as many inputs\n"
		"  --workers N     threads; one per CPU by default\n"
		"  --kernel NAME   auto, reference, blas, avx2, avx512 or bf16\n"
		"A progress bar shows on a terminal. A bad line ends the run (exit 2) after all\n"
		"lines before it are written; correct it and --resume.\n",
	.run = run,
};
