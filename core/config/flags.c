/* Takes the table's flags out of an argument vector, so that each verb parses only its own. */
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "config/keys.h"

/* Is arg "--flag" or "--flag=value" of a key, or of --config? Returns the text after "--". */
static const char *flag_of(const char *arg, const char **ret_value, char *ret_name, size_t size)
{
	if (strncmp(arg, "--", 2) != 0 || !arg[2])
		return NULL;
	const char *eq = strchr(arg, '=');
	size_t n = eq ? (size_t)(eq - arg) - 2 : strlen(arg) - 2;
	if (n == 0 || n >= size)
		return NULL;
	memcpy(ret_name, arg + 2, n);
	ret_name[n] = '\0';
	*ret_value = eq ? eq + 1 : NULL;
	return arg + 2;
}

int sg_config_take_flags(int *argc, char **argv, struct sg_config_flag *ret_flags, size_t room,
	size_t *ret_n, const char **ret_config, struct sg_error *err)
{
	int kept = 1;
	size_t n = 0;
	const char *config = NULL;
	bool options = true;
	for (int i = 1; i < *argc; i++) {
		char name[64];
		const char *value;
		options = options && strcmp(argv[i], "--") != 0;
		const char *flag = options ? flag_of(argv[i], &value, name, sizeof(name)) : NULL;
		const struct sg_key *k = flag ? sg_key_by_flag(name) : NULL;
		bool is_config = flag && strcmp(name, "config") == 0;
		if (!k && !is_config) {
			argv[kept++] = argv[i];
			continue;
		}
		if (!value && (is_config || k->type != SG_KEY_BOOL)) {
			if (i + 1 == *argc)
				return sg_error_set(
					err, SG_EINVALID, NULL, "flag --%s needs a value", name);
			value = argv[++i];
		}
		if (is_config) {
			config = value;
			continue;
		}
		if (n == room)
			return sg_error_set(
				err, SG_EINVALID, NULL, "more than %zu configuration flags", room);
		ret_flags[n++] = (struct sg_config_flag){k->flag, value};
	}
	argv[kept] = NULL;
	*argc = kept;
	*ret_n = n;
	*ret_config = config;
	return 0;
}

const char *sg_config_suggest_flag(const char *name)
{
	const char *names[SG_KEY_NAMES_MAX] = {"config"};
	size_t n = 1;
	for (size_t i = 0; i < sg_n_keys && n < SG_KEY_NAMES_MAX; i++)
		if (sg_keys[i].flag)
			names[n++] = sg_keys[i].flag;
	return sg_suggest(name, names, n);
}
