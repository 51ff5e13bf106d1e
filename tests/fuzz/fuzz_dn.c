/* Subjects: any bytes as RFC 4514 text; what is accepted must be its own canonical text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/dn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	sg_autobuf once = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	sg_autobuf twice = SG_BUF_INIT(SG_DN_MAX_TEXT + 1);
	struct sg_error err;
	if (sg_dn_canonical((const char *)data, size, &once, &err) < 0)
		return 0;
	if (sg_dn_canonical(once.data, once.len, &twice, &err) < 0 || once.len != twice.len ||
		memcmp(once.data, twice.data, once.len) != 0)
		abort();
	return 0;
}
