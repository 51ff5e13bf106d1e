/* The table of keys: the one place that knows names, types, defaults and limits. Internal. */
#ifndef SG_CONFIG_KEYS_H
#define SG_CONFIG_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "config/marks.h"

enum sg_key_type {
	SG_KEY_TEXT,
	SG_KEY_PATH, /* "" or absolute; a relative one is taken from the working directory */
	SG_KEY_BOOL,
	SG_KEY_INT,   /* into an int, or an int64_t where wide */
	SG_KEY_MODE,  /* permission bits, "0660" */
	SG_KEY_WORDS, /* list of strings */
};

struct sg_key {
	const char *section, *name; /* "serve", "port" */
	enum sg_key_type type;
	size_t offset;		    /* in struct sg_config */
	size_t count_offset;	    /* SG_KEY_WORDS: of the size_t beside it */
	bool wide;		    /* SG_KEY_INT: the field is an int64_t */
	const char *flag;	    /* "port" = --port; NULL = no flag */
	const char *env;	    /* environment variable, or NULL */
	const char *fallback[2];    /* default as JSON text: under oss-default, under cleared */
	int64_t min, max;	    /* SG_KEY_INT */
	const char *const *choices; /* SG_KEY_TEXT: NULL-terminated, or NULL = any */
	const char *help;	    /* one sentence for docs/reference/configuration.md */
};

extern const struct sg_key sg_keys[];
extern const size_t sg_n_keys;

/* The key of a section by name, by flag, or NULL. */
const struct sg_key *sg_key_find(const char *section, const char *name);
const struct sg_key *sg_key_by_flag(const char *flag);
/* "serve.port" or a flag's name. */
const struct sg_key *sg_key_by_any(const char *dotted_or_flag);

/* Names of a section's keys, for suggestions; returns how many were written. */
size_t sg_key_names(const char *section, const char **ret_names, size_t room);

/* A value as the table wants it, from a file's JSON value or from text (flag, environment). The
 * error says what is wanted, without naming the key. */
int sg_key_from_json(
	const struct sg_key *k, const json_t *v, json_t **ret_value, struct sg_error *err);
int sg_key_from_text(
	const struct sg_key *k, const char *text, json_t **ret_value, struct sg_error *err);

/* Writes a checked value into its field of c. */
int sg_key_store(
	const struct sg_key *k, const json_t *v, struct sg_config *c, struct sg_error *err);
void sg_key_release(const struct sg_key *k, struct sg_config *c);

#define SG_KEY_NAMES_MAX 64

/* A section that a later module owns: data here, meaning there. */
struct sg_section {
	const char *name;   /* "packs" = [packs] */
	bool list;	    /* [[name]] */
	const char *schema; /* JSON Schema subset of one table */
	const char *help;
};

extern const struct sg_section sg_sections[];
extern const size_t sg_n_sections;

/* Where a value came from. */
enum sg_origin_kind { SG_FROM_DEFAULT, SG_FROM_FILE, SG_FROM_FLAG, SG_FROM_ENV, SG_FROM_RULE };

struct sg_origin {
	enum sg_origin_kind kind;
	int line;	 /* SG_FROM_FILE */
	const char *why; /* SG_FROM_RULE: static text */
	json_t *value;	 /* owned: what is in force */
};

/* sg_config.origins: one entry a key, in the table's order. */
struct sg_origins {
	struct sg_origin *of;
	struct sg_mark *marks; /* of the file, NULL when there is none */
};

/* file.c: is everything in the parsed file known and of its type? */
int sg_config_check_file(
	const char *path, const json_t *root, const struct sg_mark *marks, struct sg_error *err);
/* Puts "path:line:column" of the pointer before the error's text. */
int sg_config_error_at(const char *path, const struct sg_mark *marks, const char *pointer, bool key,
	struct sg_error *err);
/* grants.c */
int sg_config_load_grants(struct sg_config *c, struct sg_error *err);
void sg_config_release_grants(struct sg_config *c);
int sg_config_check_grant(const json_t *grant, struct sg_error *err);
/* 64 lowercase hex digits from either case, with or without colons. -SG_EINVALID otherwise. */
int sg_fingerprint_normalize(const char *text, char ret_hex[65]);

/* tls_files.c */
int sg_config_check_tls(const struct sg_config *c, struct sg_error *err);

#endif
