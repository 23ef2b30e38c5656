"""The machine's peaks, all cores: float32 multiply-adds on registers and reading an array much larger than the caches,
by a C program that is written, compiled for this processor and run here."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

_PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__AVX512F__)
enum { LANES = 16, CHAINS = 24 };
#elif defined(__AVX__)
enum { LANES = 8, CHAINS = 12 };
#else
enum { LANES = 4, CHAINS = 12 };
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));

static pthread_barrier_t gate;
static volatile float one = 1;  // so that nothing is worked out by the compiler
static long rounds;
static float *array;
static size_t slice;  // floats a thread
static int failed;
static double started[256], ended[256];  // a thread's own clock: the main thread may be woken late

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// x becomes x * 1 + 1, `rounds` times: exact below 2^24, and checked.
static void *multiply_adds(void *number) {
  vec x[CHAINS], factor, term;
  for (int l = 0; l < LANES; l++) factor[l] = term[l] = one;
  pthread_barrier_wait(&gate);
  started[(size_t)number] = now();
  for (int repeat = 0; repeat < 16; repeat++) {
    for (int c = 0; c < CHAINS; c++)
      for (int l = 0; l < LANES; l++) x[c][l] = one * (c + l);
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 32
      for (int c = 0; c < CHAINS; c++) x[c] = x[c] * factor + term;
    for (int c = 0; c < CHAINS; c++)
      for (int l = 0; l < LANES; l++)
        if (x[c][l] != (float)(c + l + rounds)) failed = 1;
  }
  ended[(size_t)number] = now();
  return 0;
}

// Every number of the array is 1, so the sums are known.
static void *read_all(void *number) {
  const vec *own = (const vec *)(array + slice * (size_t)number);
  vec sum[8] = {0};
  pthread_barrier_wait(&gate);
  started[(size_t)number] = now();
  for (size_t i = 0; i < slice / LANES; i += 8)
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) sum[c] += own[i + c];
  ended[(size_t)number] = now();
  for (int c = 0; c < 8; c++)
    for (int l = 0; l < LANES; l++)
      if (sum[c][l] != (float)(slice / LANES / 8)) failed = 1;
  return 0;
}

static double seconds(void *(*body)(void *), long threads) {
  pthread_t thread[256];
  for (long t = 0; t < threads; t++)
    if (pthread_create(&thread[t], 0, body, (void *)t)) exit(2);
  for (long t = 0; t < threads; t++) pthread_join(thread[t], 0);
  double first = started[0], last = ended[0];
  for (long t = 1; t < threads; t++) {
    if (started[t] < first) first = started[t];
    if (ended[t] > last) last = ended[t];
  }
  return last - first;
}

int main(int count, char **arguments) {
  long threads = count > 1 ? atol(arguments[1]) : 1;
  if (threads < 1 || threads > 256) return 2;
  pthread_barrier_init(&gate, 0, threads);
  slice = ((size_t)1 << 28) / threads / 256 * 256;  // 1 GiB in all
  array = aligned_alloc(64, 4 * slice * threads);
  if (!array) return 2;
  for (size_t i = 0; i < slice * threads; i++) array[i] = 1;
  double fma = 1e30, reading = 1e30;
  rounds = 1 << 22;
  for (int i = 0; i < 10; i++) {
    const double f = seconds(multiply_adds, threads), r = seconds(read_all, threads);
    if (f < fma) fma = f;
    if (r < reading) reading = r;
  }
  if (failed) return 3;
  printf("{\"gflops\": %.3f, \"gigabytes_per_second\": %.3f}\n", 2e-9 * 16 * rounds * CHAINS * LANES * threads / fma,
         4e-9 * slice * threads / reading);
}
"""


class Peaks:
    """Compiled once, measured before every round; the best of all counts, as other load only takes away."""

    def __init__(self, folder: Path, cores: int):
        self.gflops = 0.0
        self.gigabytes_per_second = 0.0
        self._cores = cores
        compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("compare.py: expected clang or cc, for the machine's peaks; found neither")
        source, self._program = folder / "peaks.c", folder / "peaks"
        source.write_text(_PROGRAM)
        # The vector extension's products and sums become multiply-adds only where contraction is allowed.
        options = ["-O3", "-march=native", "-ffp-contract=fast", "-pthread", "-w"]
        if platform.machine() == "x86_64":
            # Compilers take halves of AVX-512's registers by themselves, and find half the peak.
            options.append("-mprefer-vector-width=512")
        subprocess.run([compiler, *options, str(source), "-o", str(self._program)], check=True)

    def measure(self) -> None:
        done = subprocess.run([str(self._program), str(self._cores)], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        self.gflops = max(self.gflops, found["gflops"])
        self.gigabytes_per_second = max(self.gigabytes_per_second, found["gigabytes_per_second"])
