// Which instruction sets this processor has.
#include "internal.h"

#if defined(__x86_64__)
static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const attention_kernels *attention_kernels_of(attention_instruction_set set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  switch (set) {
    case ATTENTION_BASELINE: return &attention_kernels_baseline;
#if defined(__x86_64__)
    case ATTENTION_AVX2: return has_avx2() ? &attention_kernels_avx2 : NULL;
    case ATTENTION_AVX512: return has_avx512() ? &attention_kernels_avx512 : NULL;
#elif defined(__aarch64__)
    // Every arm64 processor that runs an operating system has it.
    case ATTENTION_NEON: return &attention_kernels_neon;
#endif
    default: return NULL;
  }
}
