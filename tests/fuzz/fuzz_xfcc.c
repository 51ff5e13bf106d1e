/* x-forwarded-client-cert: any bytes. */
#include <stdint.h>

#include "serve/xfcc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_xfcc x;
	struct sg_error err;
	if (sg_xfcc_parse((const char *)data, size, &x, &err) == 0)
		sg_xfcc_finish(&x);
	return 0;
}
