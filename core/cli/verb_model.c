/* stargraph model verify|info|find: the embedding model on this host. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/model_dir.h"
#include "embed/embed.h"

struct options {
	const char *model, *manifest, *kernel;
	bool json;
	char *dir; /* owned */
};

static int find(const struct options *o, struct sg_error *err)
{
	(void)err;
	return puts(o->dir) < 0 ? -SG_EIO : 0;
}

/* What `sha256sum -c` run beside the model, or in HF_HOME, would check; and that it covers all we
 * read. */
static int verify_manifest(const struct options *o, struct sg_error *err)
{
	sg_autofree char *root = NULL;
	if (o->model && asprintf(&root, "%s/..", o->dir) < 0)
		root = NULL;
	if (!o->model)
		root = sg_cli_hf_home();
	size_t files;
	int r = sg_model_verify_manifest(o->manifest, root, o->dir, &files, err);
	if (r == 0)
		printf("manifest  %zu files as %s lists them\n", files, o->manifest);
	return r;
}

static int verify(const struct options *o, struct sg_error *err)
{
	struct sg_embedder *e;
	int r = sg_embedder_load(&e, o->dir, o->kernel, false, err);
	if (r < 0)
		return r;
	const struct sg_model_info *info = sg_embedder_info(e);
	printf("model     %s\nweights   %s  as pinned\ntokenizer %s  as pinned\n", info->dir,
		info->weights_sha256, info->tokenizer_sha256);
	sg_embedder_destroy(e);
	return o->manifest ? verify_manifest(o, err) : 0;
}

static void print_info_json(const struct sg_model_info *i)
{
	sg_autobuf b = SG_BUF_INIT(16384);
	sg_buf_adds(&b, "{\"model\":\"all-MiniLM-L6-v2\",\"dir\":");
	sg_buf_add_json_string(&b, i->dir, strlen(i->dir));
	sg_buf_addf(&b,
		",\"weights_sha256\":\"%s\",\"tokenizer_sha256\":\"%s\",\"dimensions\":%d,"
		"\"max_tokens\":%d,\"kernel\":\"%s\",\"repacked_bytes\":%zu}",
		i->weights_sha256, i->tokenizer_sha256, SG_EMBED_DIM, SG_EMBED_MAX_TOKENS,
		i->kernel, i->repacked_bytes);
	puts(b.data ? b.data : "");
}

static int info(const struct options *o, struct sg_error *err)
{
	struct sg_embedder *e;
	int r = sg_embedder_load(&e, o->dir, o->kernel, false, err);
	if (r < 0)
		return r;
	const struct sg_model_info *i = sg_embedder_info(e);
	if (o->json)
		print_info_json(i);
	else
		printf("model            all-MiniLM-L6-v2\ndir              %s\n"
		       "weights_sha256   %s\ntokenizer_sha256 %s\n"
		       "dimensions       %d\nmax_tokens       %d\nkernel           %s\n"
		       "repacked_bytes   %zu\n",
			i->dir, i->weights_sha256, i->tokenizer_sha256, SG_EMBED_DIM,
			SG_EMBED_MAX_TOKENS, i->kernel, i->repacked_bytes);
	sg_embedder_destroy(e);
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(const struct options *o, struct sg_error *err);
} commands[] = {{"find", find}, {"info", info}, {"verify", verify}};

static const struct command *command_named(const char *name)
{
	for (size_t i = 0; name && i < SG_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Returns 0, or the exit code of a usage error. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"model", required_argument, NULL, 'm'},
		{"manifest", required_argument, NULL, 'f'},
		{"kernel", required_argument, NULL, 'k'}, {"json", no_argument, NULL, 'j'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "m:", longs, NULL)) != -1;) {
		switch (c) {
		case 'm': o->model = optarg; break;
		case 'f': o->manifest = optarg; break;
		case 'k': o->kernel = optarg; break;
		case 'j': o->json = true; break;
		default: return sg_cli_usage(&sg_verb_model, "unknown option");
		}
	}
	return 0;
}

static int run(int argc, char **argv)
{
	struct options o = {0};
	int code = parse(argc, argv, &o);
	if (code)
		return code;
	const struct command *c = command_named(argv[optind]);
	if (!c || optind + 1 != argc)
		return sg_cli_usage(&sg_verb_model, "one of verify, info or find is needed");
	struct sg_error err = {0};
	int r = sg_cli_find_model(o.model, &o.dir, &err);
	if (r == 0)
		r = c->run(&o, &err);
	free(o.dir);
	if (r == 0 && fflush(stdout) != 0)
		return SG_EXIT_FAILED;
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

const struct sg_verb sg_verb_model = {
	.name = "model",
	.summary = "find, verify or describe the embedding model",
	.usage = "usage: stargraph model verify|info|find [--model DIR]\n\n"
		 "  find                the directory that would be used\n"
		 "  info [--json]       hashes, sizes and the kernel that would run\n"
		 "  verify              hash and check every file that is read\n"
		 "  --manifest FILE     with verify: also each line of hf_manifest.sha256\n"
		 "  --model DIR         else HF_HOME: all-MiniLM-L6-v2/, or the hub's layout\n"
		 "  --kernel NAME       auto, reference, blas, avx2, avx512 or bf16\n"
		 "Exit codes: 0 done, 2 missing, drifted or malformed.\n",
	.run = run,
};
