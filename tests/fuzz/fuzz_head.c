/* Request heads: any bytes; what is accepted borrows from inside them. */
#include <stdint.h>
#include <stdlib.h>

#include "serve/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_head h;
	struct sg_error err;
	const char *text = (const char *)data;
	if (sg_head_read(text, size, &h, &err) < 0)
		return 0;
	for (int i = 0; i < SG_EDGE_HEADERS; i++)
		if (h.edge[i].data &&
			(h.edge[i].data < text || h.edge[i].data + h.edge[i].len > text + size))
			abort();
	return 0;
}
