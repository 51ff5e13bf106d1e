/* Sixteen (512-bit) or twelve (256-bit) independent chains of multiply-adds in registers: more than
 * latency times units of any CPU so far.
 */
#include "peak.h"

#include <immintrin.h>
#include <string.h>
#include <time.h>

enum { STEPS = 2000000, ROUNDS = 12 };

static double now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

__attribute__((target("avx2,fma"))) static double run_256(void)
{
	__m256 s[12], x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(0.25f);
	for (int i = 0; i < 12; i++)
		s[i] = _mm256_set1_ps((float)i);
	const double t = now();
	for (int k = 0; k < STEPS; k++) {
#pragma GCC unroll 12
		for (int i = 0; i < 12; i++)
			s[i] = _mm256_fmadd_ps(x, s[i], y);
		__asm__ volatile("" : "+x"(x), "+x"(y));
	}
	const double took = now() - t;
	for (int i = 0; i < 12; i++)
		__asm__ volatile("" : : "x"(s[i]));
	return 12.0 * 16 * STEPS / took * 1e-9;
}

__attribute__((target("avx512f"))) static double run_512(void)
{
	__m512 s[16], x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(0.25f);
	for (int i = 0; i < 16; i++)
		s[i] = _mm512_set1_ps((float)i);
	const double t = now();
	for (int k = 0; k < STEPS; k++) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			s[i] = _mm512_fmadd_ps(x, s[i], y);
		__asm__ volatile("" : "+v"(x), "+v"(y));
	}
	const double took = now() - t;
	for (int i = 0; i < 16; i++)
		__asm__ volatile("" : : "v"(s[i]));
	return 16.0 * 32 * STEPS / took * 1e-9;
}

double bench_peak_gflops(const char *kernel)
{
	double best = 0;
	for (int r = 0; r < ROUNDS; r++) {
		double g = strcmp(kernel, "avx512") == 0 ? run_512() : run_256();
		best = g > best ? g : best;
	}
	return best;
}
