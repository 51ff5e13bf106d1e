/* The model directory from the environment, in Hugging Face's order. */
#include "cli/model_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "embed/embed.h"

static const char *set(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] ? value : NULL;
}

char *sg_cli_hf_home(void)
{
	const char *home = set("HF_HOME"), *tail = "";
	if (!home && (home = set("XDG_CACHE_HOME")))
		tail = "/huggingface";
	else if (!home && (home = set("HOME")))
		tail = "/.cache/huggingface";
	char *path;
	return home && asprintf(&path, "%s%s", home, tail) >= 0 ? path : NULL;
}

int sg_cli_find_model(const char *explicit_dir, char **ret_dir, struct sg_error *err)
{
	sg_autofree char *home = sg_cli_hf_home();
	return sg_model_find(explicit_dir, home, ret_dir, err);
}
