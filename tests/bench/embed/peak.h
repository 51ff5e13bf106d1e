/* The fused-multiply-add peak of one core, which the kernels are compared with. */
#ifndef SG_BENCH_PEAK_H
#define SG_BENCH_PEAK_H

/* Best of several short runs, GFLOP/s: with 512-bit registers for "avx512", else 256-bit. */
double bench_peak_gflops(const char *kernel);

#endif
