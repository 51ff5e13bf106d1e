/* Sections whose meaning lives in other modules. One row a section: the file is checked against the
 * schema here, the owner reads it from sg_config.file; nothing unknown is ever accepted. */
#include "base/cleanup.h"
#include "config/keys.h"

const struct sg_section sg_sections[] = {
	{"audit", false,
		"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		"\"signing_key\":{\"type\":\"string\",\"description\":\"PEM file (mode 0600) of "
		"the "
		"Ed25519 key that signs checkpoints; none = nothing is signed.\"},"
		"\"previous_signing_key\":{\"type\":\"string\",\"description\":\"The key that "
		"signed so far, for the one start at which signing_key is new.\"},"
		"\"origin\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200,"
		"\"description\":\"Name of the log in its checkpoints; without it "
		"stargraph/<install "
		"id>.\"},"
		"\"every_records\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000000000,"
		"\"default\":10000,\"description\":\"A checkpoint is signed after so many "
		"records.\"},"
		"\"every_seconds\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":31536000,"
		"\"default\":300,\"description\":\"And so long after the first record that none "
		"covers.\"},"
		"\"rotate_bytes\":{\"type\":\"integer\",\"minimum\":0,"
		"\"maximum\":1000000000000000,\"default\":0,\"description\":\"A new file is begun "
		"when "
		"the log has this size; 0 = never.\"},"
		"\"rotate_seconds\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3153600000,"
		"\"default\":0,\"description\":\"And when its first line is so old; 0 = never.\"},"
		"\"keep_files\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100000,"
		"\"default\":0,\"description\":\"So many rotated files are kept, and their "
		"lines in the store; older ones are removed; 0 = all are kept.\"},"
		"\"redact\":{\"type\":\"array\",\"maxItems\":256,\"items\":{\"type\":\"string\","
		"\"minLength\":1},\"description\":\"Names of members whose values are written to "
		"the "
		"log as their SHA-256 only.\"}}}",
		"Signing, rotation, retention and redaction of the audit log."},
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
	{"store", true,
		"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\","
		"\"provider\"],\"properties\":{"
		"\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":63,"
		"\"description\":\"a-z, 0-9, _ and -; what graphs, routes and capabilities call "
		"it.\"},"
		"\"provider\":{\"enum\":[\"vector\",\"document\",\"memory\",\"fact\"],"
		"\"description\":\"Documents with embeddings and a text index, documents with a "
		"text index only, episodes, or facts.\"},"
		"\"metric\":{\"enum\":[\"cosine\",\"dot\",\"l2\"],\"default\":\"cosine\","
		"\"description\":\"How vectors are compared.\"}}}",
		"A knowledge store; it is made at the start when it is not there."},
	{"trigger", true,
		"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"id\",\"kind\","
		"\"graph\"],\"properties\":{"
		"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":63,\"description\":"
		"\"a-z, 0-9, _ and -; its runs have the actor trigger:<id>.\"},"
		"\"kind\":{\"enum\":[\"manual\",\"cron\",\"webhook\"],\"description\":\"What "
		"fires it.\"},"
		"\"graph\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":256,"
		"\"description\":\"Id of the graph that it runs.\"},"
		"\"params\":{\"type\":\"object\",\"description\":\"Parameters of its runs; those "
		"of a request go over them.\"},"
		"\"capabilities\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
		"\"minLength\":1,\"maxLength\":128},\"description\":\"What it is granted; under "
		"cleared it needs runs:start.\"},"
		"\"schedule\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200,"
		"\"description\":\"cron: five fields, or six with the second first; UTC.\"},"
		"\"missed\":{\"enum\":[\"skip\",\"run_once\",\"run_all\"],\"default\":\"run_once\","
		"\"description\":\"cron: what becomes of ticks that passed while nothing ran; "
		"run_all takes the newest 100.\"},"
		"\"secret_file\":{\"type\":\"string\",\"minLength\":1,\"description\":\"webhook: "
		"file (mode 0600) of the HMAC's secret, 16 to 1024 bytes.\"},"
		"\"previous_secret_file\":{\"type\":\"string\",\"minLength\":1,\"description\":"
		"\"webhook: the secret before, accepted beside it.\"},"
		"\"window_seconds\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400,"
		"\"default\":300,\"description\":\"webhook: how far its timestamp may be from "
		"now.\"},"
		"\"body_bytes\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":1048576,"
		"\"default\":65536,\"description\":\"webhook: most bytes of a body.\"}}}",
		"What starts runs besides POST /v1/runs: operating/triggers.md."},
};

const size_t sg_n_sections = SG_ARRAY_LEN(sg_sections);
