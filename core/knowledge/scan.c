/* Which scan kernel runs, the 8-bit copy, and the exact products that scores are told with. */
#include "knowledge/scan.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

static bool usable(const struct sg_scan_ops *ops)
{
	if (ops == &sg_scan_avx512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
	if (ops == &sg_scan_avx2)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	return true;
}

const struct sg_scan_ops *sg_scan_select(const char *name)
{
	static const struct sg_scan_ops *const all[] = {
		&sg_scan_avx512, &sg_scan_avx2, &sg_scan_portable};
	for (size_t i = 0; i < SG_ARRAY_LEN(all); i++)
		if (usable(all[i]) && (!name || strcmp(all[i]->name, name) == 0))
			return all[i];
	return NULL;
}

void sg_scan_quantize(const float *row, size_t dims, int8_t *ret_codes, float *ret_scale)
{
	float max = 0;
	for (size_t i = 0; i < dims; i++)
		if (fabsf(row[i]) > max)
			max = fabsf(row[i]);
	float scale = max / 127, inverse = max > 0 ? 127 / max : 0;
	if (!isfinite(inverse)) { /* all so small that their codes would overflow */
		scale = 0;
		inverse = 0;
	}
	for (size_t i = 0; i < dims; i++) {
		float code = rintf(row[i] * inverse);
		ret_codes[i] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
	}
	*ret_scale = scale;
}

double sg_scan_exact_dot(const float *a, const float *b, size_t dims)
{
	double sum = 0;
	for (size_t i = 0; i < dims; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

double sg_scan_exact_l2(const float *a, const float *b, size_t dims)
{
	double sum = 0;
	for (size_t i = 0; i < dims; i++) {
		double d = (double)a[i] - (double)b[i];
		sum += d * d;
	}
	return sum;
}
