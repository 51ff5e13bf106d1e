/* stargraph store: the table of its actions and their options. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "cli/session.h"
#include "cli/store_verbs.h"
#include "knowledge/source.h"

static const struct action {
	const char *name;
	int words_min, words_max; /* store name and the like; -1 = any number */
	const char *wants;
	int (*run)(const struct sg_store_args *a);
} actions[] = {
	{"add", 1, 1, "one store name", sg_store_add},
	{"check", 0, 0, "no arguments", sg_store_check},
	{"create", 1, 1, "one store name", sg_store_create},
	{"delete", 2, -1, "a store name and document ids", sg_store_delete},
	{"import", 2, -1, "a store name and files or folders", sg_store_import},
	{"reembed", 1, 1, "one store name", sg_store_reembed},
	{"search", 2, 2, "a store name and a query", sg_store_search},
	{"stats", 0, 1, "at most one store name", sg_store_stats},
};

static int number(const char *text, long min, long max, long *ret)
{
	char *end;
	long v = strtol(text, &end, 10);
	if (*end || end == text || v < min || v > max)
		return -1;
	*ret = v;
	return 0;
}

static int bad_number(const char *name, long min, long max)
{
	return sg_cli_usage(&sg_verb_store, "--%s takes %ld to %ld", name, min, max);
}

static int option(int c, struct sg_store_args *a)
{
	long v;
	switch (c) {
	case 's': a->state_dir = optarg; break;
	case 'm': a->model = optarg; break;
	case 'K': a->kernel = optarg; break;
	case 'p': a->provider = optarg; break;
	case 'M': a->metric = optarg; break;
	case 'o': a->mode = optarg; break;
	case 'f': a->filter = optarg; break;
	case 'i': a->id = optarg; break;
	case 't': a->text = optarg; break;
	case 'F': a->file = optarg; break;
	case 'd': a->metadata = optarg; break;
	case 'j': a->json = true; break;
	case '8': a->int8 = true; break;
	case 'P': a->prune = true; break;
	case 'w':
		if (number(optarg, 1, 64, &v) < 0)
			return bad_number("workers", 1, 64);
		a->workers = (unsigned)v;
		break;
	case 'k':
		if (number(optarg, 1, SG_KNOW_MAX_K, &a->k) < 0)
			return bad_number("k", 1, SG_KNOW_MAX_K);
		break;
	case 'c':
		if (number(optarg, 1, SG_KNOW_CHUNK_TOKENS, &a->chunk_tokens) < 0)
			return bad_number("chunk-tokens", 1, SG_KNOW_CHUNK_TOKENS);
		break;
	case 'O':
		if (number(optarg, 0, SG_KNOW_CHUNK_TOKENS - 1, &a->overlap) < 0)
			return bad_number("overlap", 0, SG_KNOW_CHUNK_TOKENS - 1);
		break;
	default: return -1;
	}
	return 0;
}

static int parse(int argc, char **argv, struct sg_store_args *a)
{
	static const struct option longs[] = {{"state-dir", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'}, {"kernel", required_argument, NULL, 'K'},
		{"provider", required_argument, NULL, 'p'},
		{"metric", required_argument, NULL, 'M'}, {"mode", required_argument, NULL, 'o'},
		{"filter", required_argument, NULL, 'f'}, {"id", required_argument, NULL, 'i'},
		{"text", required_argument, NULL, 't'}, {"file", required_argument, NULL, 'F'},
		{"metadata", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
		{"int8", no_argument, NULL, '8'}, {"prune", no_argument, NULL, 'P'},
		{"workers", required_argument, NULL, 'w'},
		{"chunk-tokens", required_argument, NULL, 'c'},
		{"overlap", required_argument, NULL, 'O'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "k:", longs, NULL)) != -1;) {
		int r = option(c, a);
		if (r < 0)
			return sg_cli_usage(&sg_verb_store, "unknown option %s", argv[optind - 1]);
		if (r > 0)
			return r;
	}
	return 0;
}

static int unknown_action(const char *name)
{
	const char *names[SG_ARRAY_LEN(actions)];
	for (size_t i = 0; i < SG_ARRAY_LEN(actions); i++)
		names[i] = actions[i].name;
	const char *near = sg_suggest(name, names, SG_ARRAY_LEN(actions));
	return sg_cli_usage(&sg_verb_store, "no action \"%s\"%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int run(int argc, char **argv)
{
	struct sg_store_args a = {.state_dir = SG_SESSION_STATE_DIR, .k = 10};
	int code = parse(argc, argv, &a);
	if (code)
		return code;
	if (optind == argc)
		return sg_cli_usage(&sg_verb_store, "an action is needed");
	const char *name = argv[optind];
	a.words = argv + optind + 1;
	a.n_words = argc - optind - 1;
	for (size_t i = 0; i < SG_ARRAY_LEN(actions); i++) {
		const struct action *x = &actions[i];
		if (strcmp(x->name, name) != 0)
			continue;
		if (a.n_words < x->words_min || (x->words_max >= 0 && a.n_words > x->words_max))
			return sg_cli_usage(&sg_verb_store, "%s takes %s", name, x->wants);
		return x->run(&a);
	}
	return unknown_action(name);
}

const struct sg_verb sg_verb_store = {
	.name = "store",
	.summary = "knowledge stores: create, import, search; check every record",
	.usage =
		"usage: stargraph store ACTION [--state-dir DIR] [OPTION]…\n\n"
		"  create NAME --provider vector|document|memory|fact [--metric cosine|dot|l2]\n"
		"  import NAME [--prune] FILE|FOLDER…   JSON lines (.jsonl, or - for standard\n"
		"                    input): {\"id\":…,\"text\":…,\"metadata\":{…}}; .md and .txt\n"
		"                    files, alone or below folders, by their path\n"
		"  add NAME --id ID --text TEXT|--file FILE [--metadata JSON]\n"
		"  delete NAME ID…\n"
		"  search NAME QUERY [--mode vector|text|hybrid] [-k N] [--filter JSON] [--int8]\n"
		"  stats [NAME]\n"
		"  reembed NAME      gives a vector store the vectors of the present model\n"
		"  check             reads every run, checkpoint, blob, audit record and store\n\n"
		"  --state-dir DIR   else .stargraph\n"
		"  --model DIR       else HF_HOME; for stores of provider vector\n"
		"  --kernel NAME     of the embedding, as `stargraph embed` has it\n"
		"  --workers N       embedding threads; one per CPU by default\n"
		"  --chunk-tokens N  longer texts are cut into chunks of at most N tokens (254)\n"
		"  --overlap N       tokens of whole sentences that a chunk repeats (0)\n"
		"  --prune           delete what came from a folder's files that are gone\n"
		"  --json            results as JSON, one object a line\n\n"
		"create, import, add, delete and reembed need the state directory to themselves;\n"
		"search, stats and check work beside a server. An import that was interrupted is\n"
		"started again as it was: what is unchanged costs nothing.\n"
		"Exit codes: 0 done, 1 failed, 2 refused or wrong input, 4 check found damage.\n",
	.run = run,
};
