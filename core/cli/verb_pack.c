/* stargraph pack: make keys, sign rule packs, verify them, pin and unpin keys. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/suggest.h"
#include "cli/cli.h"
#include "cli/pack_audit.h"
#include "cli/pack_test.h"
#include "pack/pack.h"

/* What the options of all subcommands say; each checks what it needs. */
struct request {
	struct sg_cli_flags flags;
	const char *key, *key_id, *out;
	char *allow[SG_PACK_MAX_KEYS];
	size_t n_allow;
	enum sg_pack_hash hash;
	char **args;
	int n_args;
	bool json, strict;
};

static const char *standing_name(enum sg_pack_standing s)
{
	return s == SG_PACK_ALLOWED ? "allowed" : s == SG_PACK_PINNED ? "pinned" : "unpinned";
}

static int print_json(json_t *v)
{
	SG_UNUSED json_auto_t *owned = v;
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	if (!v || sg_json_canonical(v, &b, NULL) < 0)
		return SG_EXIT_FAILED;
	return puts(b.data) < 0 || fflush(stdout) ? SG_EXIT_FAILED : SG_EXIT_DONE;
}

static int fail(const struct sg_error *err)
{
	int code = sg_cli_fail(err);
	return strcmp(err->kind, "PackSignatureError") == 0 ? SG_EXIT_UNVERIFIED : code;
}

/* --allow alone when given; else what the configuration trusts. */
static int load_trust(const struct request *q, struct sg_pack_trust *ret, struct sg_error *err)
{
	if (q->n_allow)
		return sg_pack_trust_load(ret, q->allow, q->n_allow, NULL, err);
	struct sg_config c;
	int r = sg_cli_load_config(&q->flags, &c, err);
	if (r < 0)
		return r;
	r = sg_pack_trust_from_config(ret, &c, err);
	sg_config_finish(&c);
	return r;
}

static int report(const struct sg_pack *p)
{
	int code = print_json(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "dir", p->dir, "id",
		p->id, "version", p->version, "tree_sha256", p->tree_sha256, "signed_hash",
		p->signed_hash == SG_PACK_SHA256 ? "SHA-256" : "BLAKE3", "key_id", p->key_id,
		"key_fingerprint", p->key_fingerprint, "standing", standing_name(p->standing)));
	if (code == SG_EXIT_DONE && p->standing == SG_PACK_UNPINNED)
		return SG_EXIT_UNPINNED;
	return code;
}

static int load(const struct request *q, const char *dir, struct sg_pack **ret,
	struct sg_pack_trust *ret_trust, struct sg_error *err)
{
	int r = load_trust(q, ret_trust, err);
	return r < 0 ? r : sg_pack_load(ret, dir, ret_trust, err);
}

static int verify(const struct request *q)
{
	struct sg_error err = {0};
	struct sg_pack_trust trust = {0};
	struct sg_pack *p = NULL;
	int code = load(q, q->args[0], &p, &trust, &err) < 0 ? fail(&err) : report(p);
	sg_pack_destroy(p);
	sg_pack_trust_finish(&trust);
	return code;
}

struct pinning {
	const struct sg_pack *pack; /* to be pinned */
	const char *key_id;	    /* to be forgotten */
	const struct sg_pack_trust *trust;
};

static int do_pin(void *ctx, struct sg_error *err)
{
	const struct pinning *p = ctx;
	return sg_pack_pin(p->pack, p->trust, err);
}

static int do_unpin(void *ctx, struct sg_error *err)
{
	const struct pinning *p = ctx;
	return sg_pack_unpin(p->key_id, p->trust, err);
}

static int pin(const struct request *q)
{
	struct sg_error err = {0};
	struct sg_pack_trust trust = {0};
	struct sg_pack *p = NULL;
	int r = load(q, q->args[0], &p, &trust, &err);
	struct pinning x = {.pack = p, .trust = &trust};
	if (r == 0 && trust.pins_dir && p->standing == SG_PACK_UNPINNED)
		r = sg_cli_pack_audited(
			&q->flags, "pack_pinned", p->key_id, p->key_fingerprint, do_pin, &x, &err);
	else if (r == 0)
		r = sg_pack_pin(p, &trust, &err); /* there already, or refused here */
	if (r == 0)
		p->standing = SG_PACK_PINNED;
	int code = r < 0 ? fail(&err) : report(p);
	sg_pack_destroy(p);
	sg_pack_trust_finish(&trust);
	return code;
}

static int revert(const struct request *q)
{
	struct sg_error err = {0};
	struct sg_pack_trust trust = {0};
	int r = load_trust(q, &trust, &err);
	struct pinning x = {.key_id = q->args[0], .trust = &trust};
	if (r == 0)
		r = trust.pins_dir ? sg_cli_pack_audited(&q->flags, "pack_unpinned", q->args[0],
					     NULL, do_unpin, &x, &err)
				   : do_unpin(&x, &err); /* which is refused */
	sg_pack_trust_finish(&trust);
	return r < 0 ? fail(&err)
		     : print_json(json_pack(
			       "{s:s,s:s}", "key_id", q->args[0], "standing", "unpinned"));
}

/* Every pack is told of, bad ones too; the worst outcome is the exit code. */
static int list(const struct request *q)
{
	struct sg_error err = {0};
	struct sg_pack_trust trust = {0};
	int worst = SG_EXIT_DONE;
	if (load_trust(q, &trust, &err) < 0)
		return fail(&err);
	for (int i = 0; i < q->n_args; i++) {
		struct sg_pack *p = NULL;
		int code;
		if (sg_pack_load(&p, q->args[i], &trust, &err) == 0) {
			code = report(p);
		} else {
			code = fail(&err);
			(void)print_json(json_pack("{s:s,s:s,s:s}", "dir", q->args[i], "standing",
				"refused", "error", err.text));
		}
		sg_pack_destroy(p);
		if (worst == SG_EXIT_DONE || worst == SG_EXIT_UNPINNED)
			worst = code == SG_EXIT_DONE ? worst : code;
	}
	sg_pack_trust_finish(&trust);
	return worst;
}

static int sign(const struct request *q)
{
	struct sg_error err = {0};
	if (!q->key)
		return sg_cli_usage(&sg_verb_pack, "sign needs --key KEY.pem");
	if (sg_pack_sign(
		    q->args[0], q->key, q->key_id, q->hash, sg_clock_utc_us() / 1000000, &err) < 0)
		return fail(&err);
	return print_json(json_pack("{s:s,s:s}", "dir", q->args[0], "signed_hash",
		q->hash == SG_PACK_SHA256 ? "SHA-256" : "BLAKE3"));
}

static int keygen(const struct request *q)
{
	struct sg_error err = {0};
	char id[65];
	if (sg_pack_keygen(q->out ? q->out : ".", q->key_id, id, &err) < 0)
		return fail(&err);
	return print_json(json_pack("{s:s,s:s}", "key_id", id, "dir", q->out ? q->out : "."));
}

static int diff(const struct request *q)
{
	return sg_cli_pack_diff(q->args[0], q->args[1], q->json);
}

static int test(const struct request *q)
{
	return sg_cli_pack_test(q->args[0], q->json, q->strict);
}

static const struct {
	const char *name;
	int min_args, max_args;
	int (*run)(const struct request *q);
} subcommands[] = {
	{"diff", 2, 2, diff},
	{"keygen", 0, 0, keygen},
	{"list", 1, 10000, list},
	{"pin", 1, 1, pin},
	{"revert", 1, 1, revert},
	{"sign", 1, 1, sign},
	{"test", 1, 1, test},
	{"verify", 1, 1, verify},
};

static int dispatch(const char *name, const struct request *q)
{
	const char *names[SG_ARRAY_LEN(subcommands)];
	for (size_t i = 0; i < SG_ARRAY_LEN(subcommands); i++) {
		names[i] = subcommands[i].name;
		if (strcmp(names[i], name) != 0)
			continue;
		if (q->n_args < subcommands[i].min_args || q->n_args > subcommands[i].max_args)
			return sg_cli_usage(&sg_verb_pack, "%s: wrong number of arguments", name);
		return subcommands[i].run(q);
	}
	const char *near = sg_suggest(name, names, SG_ARRAY_LEN(names));
	return sg_cli_usage(&sg_verb_pack, "no subcommand \"%s\"%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

enum { OPT_KEY = 1, OPT_KEY_ID, OPT_OUT, OPT_ALLOW, OPT_HASH, OPT_JSON, OPT_STRICT };

static int take_option(struct request *q, int o)
{
	switch (o) {
	case OPT_KEY: q->key = optarg; return 0;
	case OPT_KEY_ID: q->key_id = optarg; return 0;
	case OPT_OUT: q->out = optarg; return 0;
	case OPT_JSON: q->json = true; return 0;
	case OPT_STRICT: q->strict = true; return 0;
	case OPT_ALLOW:
		if (q->n_allow == SG_PACK_MAX_KEYS)
			return sg_cli_usage(&sg_verb_pack, "too many --allow");
		q->allow[q->n_allow++] = optarg;
		return 0;
	default: break;
	}
	if (strcmp(optarg, "sha256") != 0 && strcmp(optarg, "blake3") != 0)
		return sg_cli_usage(&sg_verb_pack, "--hash is sha256 or blake3");
	q->hash = *optarg == 's' ? SG_PACK_SHA256 : SG_PACK_BLAKE3;
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"key", required_argument, NULL, OPT_KEY},
		{"key-id", required_argument, NULL, OPT_KEY_ID},
		{"out", required_argument, NULL, OPT_OUT},
		{"allow", required_argument, NULL, OPT_ALLOW},
		{"hash", required_argument, NULL, OPT_HASH}, {"json", no_argument, NULL, OPT_JSON},
		{"strict", no_argument, NULL, OPT_STRICT}, {0}};
	struct sg_error err = {0};
	struct request q = {.hash = SG_PACK_SHA256};
	int o;
	if (sg_cli_take_flags(&argc, argv, &q.flags, &err) < 0)
		return sg_cli_usage(&sg_verb_pack, "%s", err.text);
	while ((o = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (o == ':')
			return sg_cli_usage(
				&sg_verb_pack, "option %s needs a value", argv[optind - 1]);
		if (o == '?')
			return sg_cli_unknown_option(&sg_verb_pack, argv, optind - 1);
		int code = take_option(&q, o);
		if (code)
			return code;
	}
	if (optind == argc)
		return sg_cli_usage(&sg_verb_pack, "a subcommand is missing");
	q.args = argv + optind + 1;
	q.n_args = argc - optind - 1;
	return dispatch(argv[optind], &q);
}

const struct sg_verb sg_verb_pack = {
	.name = "pack",
	.summary = "make keys, sign, verify and test rule packs, pin and unpin keys",
	.usage =
		"usage: stargraph pack keygen [--key-id ID] [--out DIR]\n"
		"       stargraph pack sign PACK --key KEY.pem [--key-id ID] [--hash "
		"sha256|blake3]\n"
		"       stargraph pack verify PACK [--allow KEY.pub.pem]…\n"
		"       stargraph pack list PACK…  [--allow KEY.pub.pem]…\n"
		"       stargraph pack pin PACK\n"
		"       stargraph pack revert KEY_ID\n"
		"       stargraph pack test PACK [--json] [--strict]\n"
		"       stargraph pack diff OLD NEW [--json]\n\n"
		"  PACK         a directory with manifest.yaml and rules.clp\n"
		"  --allow KEY  trust only these keys; without it, what the configuration trusts:\n"
		"               [packs] allow, and under oss-default the keys pinned in\n"
		"               STATE_DIR/trusted_keys\n"
		"  pin          remember the key that came with PACK as the one for its key id\n"
		"  revert       forget a pinned key\n"
		"  test         run the fact tables in PACK/tests; the pack needs no signature "
		"yet.\n"
		"               Exit code 1: a case failed, or with --strict a rule never fired\n"
		"  diff         rules, facts and templates that NEW adds, removes or changes, and\n"
		"               what its rules may decide, ask a capability for, and lead to\n\n"
		"Exit code 4: the signature does not verify; 5: it verifies, but only with the "
		"key\n"
		"that came with the pack. The configuration's flags (--config, --profile,\n"
		"--state-dir) are accepted.\n",
	.run = run,
};
