/* Sections whose meaning lives in other modules. One row a section: the file is checked against the
 * schema here, the owner reads it from sg_config.file; nothing unknown is ever accepted. */
#include "base/cleanup.h"
#include "config/keys.h"

const struct sg_section sg_sections[] = {
	{"packs", false,
		"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		"\"allow\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1},"
		"\"description\":\"Public keys (PEM files, absolute paths) whose signatures on "
		"rule "
		"packs are accepted; the file is named <key_id>.pub.pem.\"},"
		"\"directories\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":"
		"1},"
		"\"description\":\"Directories that hold pack directories.\"}}}",
		"Rule packs and the keys that may sign them."},
};

const size_t sg_n_sections = SG_ARRAY_LEN(sg_sections);
