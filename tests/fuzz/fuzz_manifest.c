/* A line of hf_manifest.sha256 on any bytes: the path that is accepted stays below its root. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "embed/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *line = malloc(n + 1);
	uint8_t sha256[32];
	const char *what = NULL;
	if (!line)
		return 0;
	memcpy(line, data, n);
	line[n] = '\0';
	const char *path = sg_model_manifest_line(line, sha256, &what);
	assert(path || what);
	if (path) {
		assert(path[0] && path[0] != '/' && path > line && path < line + n);
		assert(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0);
		assert(!strstr(path, "/../"));
		size_t len = strlen(path);
		assert(len < 3 || strcmp(path + len - 3, "/..") != 0);
	}
	free(line);
	return 0;
}
