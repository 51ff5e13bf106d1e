/* Rule packs: a directory with manifest.yaml, rules.clp and, when signed, manifest.jwt and
 * <key_id>.pub.pem. Reads all of it once into memory, hashes and verifies those very bytes, and
 * hands out the verified text; knows nothing of CLIPS.
 *
 * Signature: the original's. A compact JWT, EdDSA only (RFC 8037), header {alg, kid, typ}, payload
 * {alg, iat, key_id, tree_hash}; alg in the payload is the tree hash's (BLAKE3 or SHA-256). Tree
 * hash: over the regular files in order of their paths (compared by component), without
 * manifest.jwt and *.pub.pem: path, 00, length as 8 bytes big-endian, content. Everything else is
 * refused: other algorithms and header keys, duplicate keys, trailing bytes, symbolic links,
 * non-canonical and small-order points.
 *
 * Every refusal of a signature is SG_EREFUSED, kind "PackSignatureError", text
 * "pack signature verification failed: <reason>: <what, where>"; reasons are stable words.
 */
#ifndef SG_PACK_PACK_H
#define SG_PACK_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "config/config.h"

#define SG_PACK_MAX_FILES 1000U
#define SG_PACK_MAX_BYTES (16U << 20) /* all files together */
#define SG_PACK_MAX_JWT 4096U
#define SG_PACK_MAX_KEYS 256U

/* What a pack's requires.stargraph_facts_version and requires.api_version must equal. */
#define SG_PACK_FACTS_VERSION "1.0"
#define SG_PACK_API_VERSION "1"

enum sg_pack_hash { SG_PACK_SHA256, SG_PACK_BLAKE3 };

/* Why the signature is believed. */
enum sg_pack_standing {
	SG_PACK_ALLOWED,  /* its key is on the allow-list */
	SG_PACK_PINNED,	  /* its key is the one pinned on first use */
	SG_PACK_UNPINNED, /* only the key that came with it vouches: not yet pinned */
};

struct sg_pack {
	char *dir, *id, *version;	     /* id and version from manifest.yaml */
	char *requires_facts, *requires_api; /* NULL = no requirement */
	char *rules;			     /* rules.clp, NUL-terminated */
	size_t rules_len;
	char *where;  /* "<dir>/rules.clp", for messages */
	char *stored; /* all its files as one text, for sg_pack_load_stored; NULL where not wanted
		       */
	size_t stored_len;
	char tree_sha256[SG_SHA256_HEX];     /* the tree, for graph hashes: (id, this, version) */
	char key_id[65];		     /* of the signature */
	char key_fingerprint[SG_SHA256_HEX]; /* SHA-256 of the key's DER SubjectPublicKeyInfo */
	enum sg_pack_hash signed_hash;	     /* the algorithm that was signed */
	enum sg_pack_standing standing;
	bool pinned_now; /* by whoever loaded it, on first use */
};

struct sg_pack_key {
	char id[65]; /* file name without .pub.pem or .pem */
	uint8_t public_key[32];
	char fingerprint[SG_SHA256_HEX];
};

struct sg_pack_trust {
	struct sg_pack_key *keys; /* the allow-list */
	size_t n_keys;
	char *pins_dir; /* trust on first use: <pins_dir>/<key_id>.json; NULL = never */
	bool any_key;	/* without pins: the key that came along will do (unpinned), to look only */
};

/* The allow-list alone. SG_EINVALID naming the file that is not an Ed25519 public key in PEM. */
int sg_pack_trust_load(struct sg_pack_trust *ret, char *const *allow, size_t n_allow,
	const char *pins_dir, struct sg_error *err);
/* [packs] allow, whose files must not be writable by others; under oss-default also pins in
 * <state_dir>/trusted_keys. */
int sg_pack_trust_from_config(
	struct sg_pack_trust *ret, const struct sg_config *c, struct sg_error *err);
void sg_pack_trust_finish(struct sg_pack_trust *t);

/* Reads, verifies, and takes the manifest apart. Also refuses a pack whose `requires` is not this
 * program's (kind "PackCompatError"). Whoever serves pins an SG_PACK_UNPINNED pack with
 * sg_pack_pin; who only looks does not. */
int sg_pack_load(struct sg_pack **ret, const char *dir, const struct sg_pack_trust *trust,
	struct sg_error *err);
void sg_pack_destroy(struct sg_pack *p);
/* Reads dir and takes the manifest apart without asking for a signature: for those who write a
 * pack. Nothing that runs for others may come from here. */
int sg_pack_read(struct sg_pack **ret, const char *dir, struct sg_error *err);
/* A pack out of the text that `stored` held: a canonical JSON object, path -> base64 of the file.
 * No signature is judged: whoever asks compares tree_sha256 with what a graph's hash binds. name
 * stands for the directory in messages. SG_EINVALID, SG_ELIMIT. */
int sg_pack_load_stored(
	struct sg_pack **ret, const char *text, size_t n, const char *name, struct sg_error *err);

/* Records the pack's key as the one for its key_id (<pins_dir>/<key_id>.json with key_id,
 * fingerprint, first_seen, as the original). A different recorded key is drift: refused, always. */
int sg_pack_pin(const struct sg_pack *p, const struct sg_pack_trust *trust, struct sg_error *err);
/* Removes a pin. SG_ENOTFOUND when there is none. */
int sg_pack_unpin(const char *key_id, const struct sg_pack_trust *trust, struct sg_error *err);

/* Signs dir with the PEM private key at key_path (mode 0600 or refused): writes manifest.jwt and
 * <key_id>.pub.pem into it. key_id NULL = "pack-" and 8 digits of the fingerprint; iat in seconds.
 */
int sg_pack_sign(const char *dir, const char *key_path, const char *key_id, enum sg_pack_hash hash,
	int64_t iat, struct sg_error *err);
/* Makes <out_dir>/<key_id>.key.pem (0600) and <key_id>.pub.pem (0644); never overwrites.
 * ret_key_id[65] is key_id, or the made-up one when that is NULL. */
int sg_pack_keygen(const char *out_dir, const char *key_id, char *ret_key_id, struct sg_error *err);

#endif
