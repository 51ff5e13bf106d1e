/* Signed checkpoints: records of the log about itself that hold a C2SP note, so that the file alone
 * carries them; each is kept under its tree size in the store too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/internal.h"
#include "audit/note.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#define KEY_META "audit.vkey" /* the key that signs now, as C2SP writes it */
#define VKEY_MAX (SG_NOTE_NAME_MAX + 80U)

bool sg_audit_sign_due(const struct sg_audit *a)
{
	if (!a->signer || a->now.next <= a->now.signed_size)
		return false;
	if (a->every_records && a->now.next - a->now.signed_size >= (uint64_t)a->every_records)
		return true;
	return a->every_us && a->unsigned_since_us &&
	       sg_clock_monotonic_us() - a->unsigned_since_us >= a->every_us;
}

int64_t sg_audit_due_us(const struct sg_audit *a)
{
	if (!a->signer || !a->every_us || !a->unsigned_since_us || a->failed)
		return INT64_MAX;
	return a->unsigned_since_us + a->every_us;
}

static int keep_note(
	struct sg_txn *t, uint64_t size, const struct sg_buf *note, struct sg_error *err)
{
	uint8_t key[8];
	sg_be64(size, key);
	return sg_txn_put(t, SG_TABLE_AUDIT_NOTE, SG_SPAN(key, sizeof(key)),
		SG_SPAN(note->data, note->len), true, err);
}

/* {"note": …} as a record of this type, and the note under its size. */
static int put_note(struct sg_audit *a, struct sg_txn *t, const char *type,
	const struct sg_buf *note, struct sg_error *err)
{
	sg_autobuf payload = SG_BUF_INIT(4 * SG_NOTE_MAX);
	uint64_t size = a->now.tree.size;
	sg_buf_adds(&payload, "{\"note\":");
	sg_buf_add_json_string(&payload, note->data, note->len);
	sg_buf_addc(&payload, '}');
	if (payload.failed)
		return sg_error_nomem(err);
	struct sg_audit_event e = sg_audit_own_event(type, payload.data);
	int r = keep_note(t, size, note, err);
	if (r == 0)
		r = sg_audit_put(a, t, &e, err);
	if (r == 0) {
		a->now.signed_size = a->now.next;
		a->unsigned_since_us = 0;
	}
	return r;
}

int sg_audit_sign(struct sg_audit *a, struct sg_txn *t, struct sg_error *err)
{
	sg_autobuf note = SG_BUF_INIT(SG_NOTE_MAX);
	sg_note_add_checkpoint(&note, a->origin, &a->now.tree);
	int r = sg_note_sign(&note, note.len, a->origin, a->signer, err);
	return r < 0 ? r : put_note(a, t, "audit_checkpoint", &note, err);
}

int sg_audit_checkpoint(struct sg_audit *a, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	if (!a->signer || a->failed || a->now.next <= a->now.signed_size)
		return 0;
	int r = sg_txn_begin(a->store, true, &t, err);
	if (r == 0)
		r = sg_audit_sign(a, t, err);
	if (r == 0)
		r = sg_audit_put_head(a, t, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	if (r < 0) {
		sg_audit_rollback(a);
		return r;
	}
	return sg_audit_flush(a, err);
}

/* The first key of a log is told by the log itself: it must be pinned from outside to mean more. */
static int introduce(
	struct sg_audit *a, struct sg_txn *t, const struct sg_buf *vkey, struct sg_error *err)
{
	sg_autobuf payload = SG_BUF_INIT(4 * VKEY_MAX);
	sg_buf_adds(&payload, "{\"vkey\":");
	sg_buf_add_json_string(&payload, vkey->data, vkey->len);
	sg_buf_addc(&payload, '}');
	if (payload.failed)
		return sg_error_nomem(err);
	struct sg_audit_event e = sg_audit_own_event("audit_key", payload.data);
	return sg_audit_put(a, t, &e, err);
}

/* A checkpoint with a line that names both keys, signed by both. */
static int replace(struct sg_audit *a, struct sg_txn *t, const char *old_vkey,
	const struct sg_buf *vkey, const char *old_path, struct sg_error *err)
{
	sg_autobuf note = SG_BUF_INIT(SG_NOTE_MAX), check = SG_BUF_INIT(VKEY_MAX);
	struct sg_signer *old = NULL;
	if (!old_path)
		return sg_error_set(err, SG_EREFUSED, "audit-key",
			"[audit] signing_key is not the key that signed this log so far (%s); to "
			"replace that one give it as previous_signing_key for one start",
			old_vkey);
	int r = sg_signer_load(&old, old_path, err);
	if (r < 0)
		return r;
	sg_note_add_vkey(&check, a->origin, SG_NOTE_TYPE_SIGNATURE, sg_signer_public(old));
	if (check.failed || strcmp(check.data, old_vkey) != 0)
		r = sg_error_set(err, SG_EREFUSED, "audit-key",
			"[audit] previous_signing_key is not the key that signed this log so far "
			"(%s)",
			old_vkey);
	sg_note_add_checkpoint(&note, a->origin, &a->now.tree);
	sg_buf_addf(&note, "key-rotation %s %s\n", old_vkey, vkey->data);
	size_t text = note.len;
	if (r == 0)
		r = sg_note_sign(&note, text, a->origin, old, err);
	if (r == 0)
		r = sg_note_sign(&note, text, a->origin, a->signer, err);
	sg_signer_destroy(old);
	return r < 0 ? r : put_note(a, t, "audit_key_rotation", &note, err);
}

static int settle_key(struct sg_audit *a, struct sg_txn *t, const struct sg_audit_options *o,
	struct sg_error *err)
{
	sg_autobuf vkey = SG_BUF_INIT(VKEY_MAX);
	struct sg_span have;
	char old[VKEY_MAX];
	sg_note_add_vkey(&vkey, a->origin, SG_NOTE_TYPE_SIGNATURE, sg_signer_public(a->signer));
	if (vkey.failed)
		return sg_error_nomem(err);
	int r = sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT(KEY_META), &have, err);
	if (r < 0)
		return r;
	if (r == 0 && have.len == vkey.len && memcmp(have.data, vkey.data, vkey.len) == 0)
		return 0;
	if (r == 0)
		(void)snprintf(old, sizeof(old), "%.*s", (int)have.len, (const char *)have.data);
	r = r ? introduce(a, t, &vkey, err)
	      : replace(a, t, old, &vkey, o->previous_signing_key, err);
	if (r == 0)
		r = sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(KEY_META),
			SG_SPAN(vkey.data, vkey.len), false, err);
	return r < 0 ? r : 1;
}

static int start_signing(struct sg_audit *a, const struct sg_audit_options *o, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = asprintf(&a->origin, "%s%s", o->origin ? o->origin : "stargraph/",
		o->origin ? "" : sg_store_install_id(a->store));
	if (r < 0) {
		a->origin = NULL;
		return sg_error_nomem(err);
	}
	if (!sg_note_name_valid(a->origin))
		return sg_error_set(err, SG_EINVALID, NULL,
			"[audit] origin \"%s\" has spaces, '+' or too many characters", a->origin);
	r = sg_signer_load(&a->signer, o->signing_key, err);
	if (r == 0)
		r = sg_txn_begin(a->store, true, &t, err);
	if (r == 0)
		r = settle_key(a, t, o, err);
	if (r <= 0)
		return r;
	r = sg_audit_put_head(a, t, err);
	if (r == 0)
		r = sg_txn_commit(sg_steal(t), err);
	return r < 0 ? r : sg_audit_flush(a, err);
}

int sg_audit_configure(struct sg_audit *a, const struct sg_audit_options *o, struct sg_error *err)
{
	a->every_records = o->every_records;
	a->every_us = o->every_seconds * 1000000;
	a->rotate_bytes = o->rotate_bytes;
	a->rotate_us = o->rotate_seconds * 1000000;
	a->keep_files = (size_t)o->keep_files;
	json_decref(a->redact);
	a->redact = json_array_size(o->redact) ? json_deep_copy(o->redact) : NULL;
	int r = sg_audit_retain(a, err);
	if (r == 0 && o->signing_key)
		r = start_signing(a, o, err);
	if (r < 0)
		sg_audit_rollback(a);
	return r;
}

static const char *text(const json_t *section, const char *key)
{
	const char *s = json_string_value(json_object_get(section, key));
	return s && *s ? s : NULL;
}

void sg_audit_options_read(const json_t *section, struct sg_audit_options *ret)
{
	*ret = (struct sg_audit_options){
		.signing_key = text(section, "signing_key"),
		.previous_signing_key = text(section, "previous_signing_key"),
		.origin = text(section, "origin"),
		.every_records = sg_json_int(section, "every_records", 10000),
		.every_seconds = sg_json_int(section, "every_seconds", 300),
		.rotate_bytes = sg_json_int(section, "rotate_bytes", 0),
		.rotate_seconds = sg_json_int(section, "rotate_seconds", 0),
		.keep_files = sg_json_int(section, "keep_files", 0),
		.redact = json_object_get(section, "redact"),
	};
}
