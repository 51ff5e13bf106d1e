/* Signed, rotated logs: written by the writer, judged by the verifier. */
#include "log.h"

#include <glob.h>

#include "audit/check.h"
#include "audit/note.h"
#include "audit/reader.h"
#include "base/base64.h"

/* PKCS #8 of an Ed25519 seed of 32 equal bytes (RFC 8410). */
static void write_key(const char *path, uint8_t fill)
{
	uint8_t der[48] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,
		0x04, 0x22, 0x04, 0x20};
	memset(der + 16, fill, 32);
	sg_autobuf b = SG_BUF_INIT(1000);
	sg_buf_adds(&b, "-----BEGIN PRIVATE KEY-----\n");
	sg_base64_add(&b, der, sizeof(der));
	sg_buf_adds(&b, "\n-----END PRIVATE KEY-----\n");
	tmp_write(path, b.data, b.len);
}

static void public_of(uint8_t fill, uint8_t ret[32])
{
	uint8_t seed[32];
	struct sg_signer *s;
	memset(seed, fill, sizeof(seed));
	assert_int_equal(sg_signer_from_seed(&s, seed, NULL), 0);
	memcpy(ret, sg_signer_public(s), 32);
	sg_signer_destroy(s);
}

static struct sg_audit_options options(void)
{
	return (struct sg_audit_options){.every_records = 10};
}

static int configure(struct log *l, const char *dir, const char *key, const char *previous,
	struct sg_audit_options o)
{
	sg_autofree char *k = tmp_path(dir, key);
	sg_autofree char *p = previous ? tmp_path(dir, previous) : NULL;
	o.signing_key = k;
	o.previous_signing_key = p;
	return sg_audit_configure(l->audit, &o, &l->err);
}

static void configure_ok(struct log *l, const char *dir, const char *key, const char *previous,
	struct sg_audit_options o)
{
	if (configure(l, dir, key, previous, o) < 0)
		fail_msg("%s", l->err.text);
}

static int verify(const char *dir, const uint8_t *keys, size_t n_keys, const char *kept,
	struct sg_audit_report *rep)
{
	sg_autofree char *pattern = tmp_path(dir, "audit.jsonl.0*");
	sg_autofree char *current = tmp_path(dir, "audit.jsonl");
	const char *paths[64];
	size_t n = 0;
	glob_t g;
	int none = glob(pattern, 0, NULL, &g);
	for (size_t i = 0; !none && i < g.gl_pathc; i++)
		paths[n++] = g.gl_pathv[i];
	paths[n++] = current;
	struct sg_audit_verify_options o = {.keys = keys, .n_keys = n_keys, .checkpoint = kept};
	struct sg_error err = {0};
	memset(rep, 0, sizeof(*rep));
	int r = sg_audit_verify(paths, n, &o, rep, &err);
	if (!none)
		globfree(&g);
	if (r < 0)
		fail_msg("%s", err.text);
	return r;
}

static void setup_keys(const char *dir)
{
	sg_autofree char *a = tmp_path(dir, "a.pem");
	sg_autofree char *b = tmp_path(dir, "b.pem");
	write_key(a, 1);
	write_key(b, 2);
}

static void checkpoints_are_signed_every_n_records_and_at_the_end(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	uint8_t keys[32];
	setup_keys(*state);
	public_of(1, keys);
	log_open(&l, *state);
	configure_ok(&l, *state, "a.pem", NULL, options());
	for (int i = 0; i < 30; i++)
		log_add(&l, 1, true);
	assert_int_equal(sg_audit_checkpoint(l.audit, &l.err), 0);
	assert_int_equal(sg_audit_checkpoint(l.audit, &l.err), 0); /* nothing new: nothing signed */
	assert_int_equal(verify(*state, NULL, 0, NULL, &rep), 0);
	assert_int_equal(rep.trust, SG_AUDIT_UNPINNED);
	assert_int_equal(rep.checkpoints, 4);
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	assert_int_equal(rep.signed_size, rep.lines - 1);
	public_of(2, keys);
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 1);
	assert_string_equal(rep.cause, "wrong-key");
	log_close(&l);
}

static void signing_goes_on_after_a_restart(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	uint8_t keys[32];
	setup_keys(*state);
	public_of(1, keys);
	for (int i = 0; i < 3; i++) {
		log_open(&l, *state);
		configure_ok(&l, *state, "a.pem", NULL, options());
		log_add(&l, 300, true);
		assert_int_equal(sg_audit_checkpoint(l.audit, &l.err), 0);
		log_close(&l);
	}
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	assert_int_equal(rep.checkpoints, 3);
}

static void a_key_is_replaced_only_by_both_keys(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	uint8_t keys[32];
	setup_keys(*state);
	log_open(&l, *state);
	configure_ok(&l, *state, "a.pem", NULL, options());
	log_add(&l, 20, true);
	log_close(&l);
	log_open(&l, *state);
	assert_int_equal(configure(&l, *state, "b.pem", NULL, options()), -SG_EREFUSED);
	assert_non_null(strstr(l.err.text, "previous_signing_key"));
	log_close(&l);
	log_open(&l, *state);
	assert_int_equal(configure(&l, *state, "b.pem", "b.pem", options()), -SG_EREFUSED);
	log_close(&l);
	log_open(&l, *state);
	configure_ok(&l, *state, "b.pem", "a.pem", options());
	log_add(&l, 20, true);
	log_close(&l);
	for (uint8_t fill = 1; fill <= 2; fill++) { /* either key pins the whole log */
		public_of(fill, keys);
		assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
		assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	}
	public_of(3, keys);
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 1);
}

static void a_key_open_to_others_is_refused(void **state)
{
	struct log l;
	setup_keys(*state);
	sg_autofree char *a = tmp_path(*state, "a.pem");
	assert_int_equal(chmod(a, 0644), 0);
	log_open(&l, *state);
	assert_int_equal(configure(&l, *state, "a.pem", NULL, options()), -SG_EREFUSED);
	assert_non_null(strstr(l.err.text, "mode 0644"));
	log_close(&l);
}

static void files_are_rotated_and_the_chain_kept(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	uint8_t keys[32];
	setup_keys(*state);
	public_of(1, keys);
	struct sg_audit_options o = options();
	o.rotate_bytes = 10000;
	for (int round = 0; round < 3; round++) {
		log_open(&l, *state);
		assert_int_equal(l.repaired, 0);
		configure_ok(&l, *state, "a.pem", NULL, o);
		for (int i = 0; i < 30; i++)
			log_add(&l, 3, true);
		log_close(&l);
	}
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	assert_true(rep.bad_file >= 5); /* that many archives before the last file */
	/* Retention: the oldest files go, what is kept still verifies against the key. */
	sg_autofree char *oldest = tmp_path(*state, "audit.jsonl.000000000000");
	assert_int_equal(unlink(oldest), 0);
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
	assert_true(rep.first > 0);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	log_open(&l, *state);
	log_close(&l);
}

static uint64_t lines_in(struct sg_store *s, uint64_t *ret_bad)
{
	sg_autotxn *t = NULL;
	uint64_t n = 0, seq = 0;
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	assert_int_equal(sg_txn_count(t, SG_TABLE_AUDIT, &n, NULL), 0);
	*ret_bad = sg_audit_check_store(t, &seq, NULL) == 0 ? UINT64_MAX : seq;
	return n;
}

static size_t archives(const char *dir)
{
	glob_t g;
	sg_autofree char *pattern = tmp_path(dir, "audit.jsonl.0*");
	assert_true(glob(pattern, 0, NULL, &g) == 0);
	size_t n = g.gl_pathc;
	globfree(&g);
	return n;
}

/* A kept record is proved by what the store still has. */
static void prove_in(struct sg_store *s, uint64_t seq, const struct sg_audit_report *rep)
{
	struct sg_audit_nodes nodes;
	struct sg_tree_hash proof[SG_TREE_PROOF_MAX], leaf;
	sg_check_hash root;
	struct sg_span line;
	sg_autotxn *t = NULL;
	size_t n = 0;
	uint64_t size = rep->first + rep->lines;
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	sg_audit_nodes_init(&nodes, t);
	assert_int_equal(sg_tree_prove_leaf(&nodes.source, seq, size, proof, &n, NULL), 0);
	assert_int_equal(sg_audit_line_get(t, seq, &line, NULL), 0);
	sg_tree_leaf(line.data, line.len, &leaf);
	assert_int_equal(sg_base64_decode(rep->root, strlen(rep->root), root, 32), 32);
	assert_true(sg_check_inclusion(leaf.b, seq, size, (const sg_check_hash *)proof, n, root));
}

static void old_files_go_and_their_lines_with_them(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	uint8_t keys[32];
	uint64_t bad = 0;
	setup_keys(*state);
	public_of(1, keys);
	struct sg_audit_options o = options();
	o.rotate_bytes = 60000;
	o.keep_files = 2;
	for (int round = 0; round < 4; round++) {
		log_open(&l, *state);
		configure_ok(&l, *state, "a.pem", NULL, o);
		for (int i = 0; i < 20; i++)
			log_add(&l, 50, true);
		assert_true(lines_in(l.store, &bad) < 1500); /* of 4,000 and more in the end */
		assert_true(bad == UINT64_MAX);
		log_close(&l);
		assert_true(archives(*state) <= 2);
	}
	assert_int_equal(archives(*state), 2);
	assert_int_equal(verify(*state, keys, 1, NULL, &rep), 0);
	assert_int_equal(rep.trust, SG_AUDIT_PINNED);
	assert_true(rep.first > 2000);
	log_open(&l, *state);
	assert_int_equal(l.repaired, 0);
	prove_in(l.store, rep.first, &rep);
	prove_in(l.store, rep.first + rep.lines - 1, &rep);
	/* A line that is missing behind the first kept one is still missed. */
	sg_autotxn *t = NULL;
	uint8_t key[8];
	sg_be64(rep.first + 7, key);
	assert_int_equal(sg_txn_begin(l.store, true, &t, NULL), 0);
	assert_int_equal(sg_txn_del(t, SG_TABLE_AUDIT, SG_SPAN(key, 8), NULL), 0);
	assert_int_equal(sg_txn_commit(sg_steal(t), NULL), 0);
	(void)lines_in(l.store, &bad);
	assert_true(bad == rep.first + 7);
	log_close(&l);
}

static void a_rotation_cut_off_after_its_rename_is_finished(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	log_open(&l, *state);
	log_add(&l, 10, true);
	sg_autofree char *path = strdup(l.path);
	log_close(&l);
	sg_autofree char *archive = tmp_path(*state, "audit.jsonl.000000000000");
	for (int made = 0; made < 2; made++) {
		assert_int_equal(rename(path, archive), 0);
		if (made)
			tmp_write(path, "", 0);
		log_open(&l, *state);
		log_add(&l, 2, true);
		log_close(&l);
		assert_int_equal(verify(*state, NULL, 0, NULL, &rep), 0);
		assert_int_equal(rep.lines, 11 + 3 + 3 * (uint64_t)made);
		if (made)
			break;
		free(sg_steal(archive));
		archive = tmp_path(*state, "audit.jsonl.000000000011");
	}
}

/* Somebody who can write everything, the store included, but lacks the signing key. */
static void a_rewritten_log_is_found_by_whoever_kept_one_line(void **state)
{
	struct log l;
	struct sg_audit_report rep;
	log_open(&l, *state);
	log_add(&l, 20, true);
	assert_int_equal(verify(*state, NULL, 0, NULL, &rep), 0);
	char kept[128];
	(void)snprintf(kept, sizeof(kept), "any.example/log %d %s", 21, rep.root);
	log_add(&l, 20, true);
	assert_int_equal(verify(*state, NULL, 0, kept, &rep), 0);
	log_close(&l);
	sg_autofree char *store = tmp_path(*state, SG_STORE_FILE);
	sg_autofree char *log = tmp_path(*state, "audit.jsonl");
	assert_int_equal(unlink(store), 0);
	assert_int_equal(unlink(log), 0);
	log_open(&l, *state);
	log_add(&l, 10, true);
	assert_int_equal(verify(*state, NULL, 0, kept, &rep), 1);
	assert_string_equal(rep.cause, "truncated");
	log_add(&l, 30, true);
	assert_int_equal(verify(*state, NULL, 0, kept, &rep), 1);
	assert_string_equal(rep.cause, "rewritten");
	log_close(&l);
}

static void listed_members_are_redacted(void **state)
{
	struct log l;
	log_open(&l, *state);
	json_t *list = json_pack("[s]", "secret");
	struct sg_audit_options o = {.redact = list};
	assert_int_equal(sg_audit_configure(l.audit, &o, &l.err), 0);
	json_decref(list);
	struct sg_txn *t;
	struct sg_audit_event e = {.actor = "a",
		.type = "t",
		.step = -1,
		.payload = "{\"a\":[{\"secret\":{\"pin\":1234}}],\"secret\":\"hunter2\"}"};
	assert_int_equal(sg_txn_begin(l.store, true, &t, NULL), 0);
	assert_int_equal(sg_audit_put(l.audit, t, &e, NULL), 0);
	assert_int_equal(sg_audit_put_head(l.audit, t, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	assert_int_equal(sg_audit_flush(l.audit, NULL), 0);
	size_t n;
	sg_autofree char *text = log_read(l.path, &n);
	assert_null(strstr(text, "hunter2"));
	assert_null(strstr(text, "1234}"));
	assert_non_null(strstr(text, "\"secret\":\"sha256:"));
	log_close(&l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(checkpoints_are_signed_every_n_records_and_at_the_end),
		T(signing_goes_on_after_a_restart),
		T(a_key_is_replaced_only_by_both_keys),
		T(a_key_open_to_others_is_refused),
		T(files_are_rotated_and_the_chain_kept),
		T(old_files_go_and_their_lines_with_them),
		T(a_rotation_cut_off_after_its_rename_is_finished),
		T(a_rewritten_log_is_found_by_whoever_kept_one_line),
		T(listed_members_are_redacted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
