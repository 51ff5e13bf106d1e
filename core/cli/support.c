/* The support bundle: see support.h. */
#include "cli/support.h"

#include <inttypes.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "audit/reader.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "cli/evidence.h"

#define COUNTED_LINES 100000U /* audit lines that are counted by type: the latest */
#define SHOWN_LINES 200U
#define SUPPORT_MAX (8U << 20)

static json_t *failure(const struct sg_error *err)
{
	return json_pack("{s:s, s:s}", "error", err->kind, "text", err->text);
}

static json_t *program(void)
{
	char digest[SG_SHA256_HEX] = "unknown";
	(void)sg_sha256_file("/proc/self/exe", digest, NULL);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "version", SG_VERSION, "sha256", digest,
		"openssl", OpenSSL_version(OPENSSL_VERSION_STRING), "jansson",
		jansson_version_str(), "compiler", __VERSION__);
}

static json_t *host(void)
{
	struct utsname u = {0};
	(void)uname(&u);
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "system", u.sysname, "release", u.release,
		"machine", u.machine, "processors", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
		"memory_mib", (json_int_t)(pages / 1024 * size / 1024));
}

/* These checks may quote a name. */
static json_t *checks(const struct sg_doctor *d)
{
	json_t *out = json_array(), *one;
	size_t i;
	json_array_foreach (d->results, i, one) {
		const char *id = sg_json_text(one, "id");
		json_t *copy = json_copy(one);
		if (strncmp(id, "grants.", 7) == 0 || strcmp(id, "edge.users") == 0)
			json_object_set_new(copy, "detail", json_string("withheld"));
		json_array_append_new(out, copy);
	}
	return out;
}

static json_t *tables(struct sg_txn *t)
{
	json_t *out = json_object();
	for (int i = 0; i < SG_TABLE_COUNT; i++) {
		uint64_t n = 0;
		if (sg_txn_count(t, (enum sg_table)i, &n, NULL) == 0)
			json_object_set_new(
				out, sg_table_name((enum sg_table)i), json_integer((json_int_t)n));
	}
	return out;
}

/* Runs by status, and failed ones by class: classes are this program's words. */
static json_t *runs(struct sg_txn *t, struct sg_error *err)
{
	json_auto_t *status = json_object();
	json_auto_t *classes = json_object();
	struct sg_run_filter f = {.status = -1, .limit = 10000};
	struct sg_run_row *rows = NULL;
	size_t n = 0;
	uint64_t total = 0;
	int r = sg_run_list(t, &f, &rows, &n, &total, err);
	for (size_t i = 0; i < n; i++) {
		sg_json_count(status, sg_run_status_name(rows[i].status));
		if (rows[i].error_class)
			sg_json_count(classes, rows[i].error_class);
		sg_run_row_finish(&rows[i]);
	}
	free(rows);
	return r < 0 ? failure(err)
		     : json_pack("{s:I, s:I, s:O, s:O}", "total", (json_int_t)total, "counted",
			       (json_int_t)n, "by_status", status, "by_error", classes);
}

static json_t *files(const struct sg_audit_head *head, struct sg_error *err)
{
	struct sg_evidence_files f = {0};
	if (sg_evidence_list(head, &f, err) < 0)
		return failure(err);
	json_t *out = json_array();
	for (size_t i = 0; i < f.n; i++) {
		struct stat st = {0};
		if (stat(f.path[i], &st) == 0)
			json_array_append_new(out,
				json_pack("{s:s, s:I, s:i}", "name", basename(f.path[i]), "bytes",
					(json_int_t)st.st_size, "mode", (int)(st.st_mode & 07777)));
	}
	sg_evidence_files_finish(&f);
	return out;
}

/* Of a line: its number, time and type, and whether it belongs to a run. */
static void take_line(struct sg_span text, json_t *types, json_t *latest)
{
	json_auto_t *line = NULL;
	if (sg_json_parse(text.data, text.len, &line, NULL) < 0)
		return;
	const char *type = sg_json_text(line, "type");
	if (!type)
		return;
	sg_json_count(types, type);
	if (latest)
		json_array_append_new(latest,
			json_pack("{s:O, s:O, s:s, s:b}", "seq", json_object_get(line, "seq"), "ts",
				json_object_get(line, "ts"), "type", type, "of_a_run",
				json_is_string(json_object_get(line, "run"))));
}

static json_t *audit(const struct sg_evidence *e, struct sg_error *err)
{
	const struct sg_audit_head *h = &e->head;
	json_auto_t *types = json_object();
	json_auto_t *latest = json_array();
	uint64_t from = h->seq >= COUNTED_LINES ? h->seq - COUNTED_LINES + 1 : 0, counted = 0;
	int r = 0;
	for (uint64_t seq = from; r >= 0 && seq <= h->seq; seq++) {
		struct sg_span line;
		r = sg_audit_line_get(e->txn, seq, &line, err);
		if (r == 0) {
			take_line(line, types, h->seq - seq < SHOWN_LINES ? latest : NULL);
			counted++;
		}
	}
	return r < 0 ? failure(err)
		     : json_pack("{s:I, s:s, s:I, s:o, s:I, s:O, s:O}", "head", (json_int_t)h->seq,
			       "hash", h->hash, "first_of_file", (json_int_t)h->first, "files",
			       files(h, err), "counted", (json_int_t)counted, "by_type", types,
			       "latest", latest);
}

static json_t *store(const struct sg_evidence *e, struct sg_error *err)
{
	struct stat st = {0};
	(void)stat(sg_store_path(e->store), &st);
	return json_pack("{s:i, s:s, s:I, s:I, s:o, s:o}", "format", SG_STORE_FORMAT, "install",
		sg_store_install_id(e->store), "bytes", (json_int_t)st.st_size, "bytes_on_disk",
		(json_int_t)st.st_blocks * 512, "tables", tables(e->txn), "runs",
		runs(e->txn, err));
}

int sg_support_write(const struct sg_doctor *d, const char *path, struct sg_error *err)
{
	char now[SG_TIME_TEXT];
	struct sg_evidence e = {0};
	sg_autobuf b = SG_BUF_INIT(SUPPORT_MAX);
	sg_time_format(sg_clock_utc_us(), now);
	bool open = sg_evidence_open(&e, d->config->state_dir, err) == 0;
	json_t *kept = open ? store(&e, err) : failure(err);
	json_t *log = open ? audit(&e, err) : failure(err);
	sg_evidence_close(&e);
	json_auto_t *all = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "format",
		"stargraph-support-v1", "made", now, "program", program(), "host", host(), "checks",
		checks(d), "configuration", sg_config_outline(d->config), "store", kept, "audit",
		log);
	int r = all ? sg_json_canonical(all, &b, err) : sg_error_nomem(err);
	if (r < 0)
		return r;
	sg_buf_addc(&b, '\n');
	return b.failed ? sg_error_nomem(err)
			: sg_file_write_atomic(path, b.data, b.len, 0600, err);
}
