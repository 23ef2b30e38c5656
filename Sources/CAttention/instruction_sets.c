// Which instruction sets this processor has.
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <pthread.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool amx_is_permitted;

// The tiles' kilobytes a thread are given only to a process that asks for them: Linux's Documentation/arch/x86/xstate.rst.
static void ask_for_amx(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE)) return;
  amx_is_permitted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#endif
}

static bool has_amx(void) {
  static pthread_once_t asked = PTHREAD_ONCE_INIT;
  pthread_once(&asked, ask_for_amx);
  return has_avx512() && __builtin_cpu_supports("avx512bf16") && amx_is_permitted;
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
    case ATTENTION_AMX: return has_amx() ? &attention_kernels_amx : NULL;
#elif defined(__aarch64__)
    // Every arm64 processor that runs an operating system has it.
    case ATTENTION_NEON: return &attention_kernels_neon;
#endif
    default: return NULL;
  }
}
