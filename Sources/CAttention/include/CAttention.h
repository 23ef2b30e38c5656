// CAttention: vector kernels for the CPU in C, and the threads that run them. Plain C: no Swift, no OpenCL.
//
// The kernels are written once, in template/*.inc, with vectors of LANES floats (clang's vector extensions). A file for
// each instruction set (baseline.c, avx2.c, avx512.c, neon.c) defines LANES and the sizes of blocks and includes the
// template, every function in it compiled for that instruction set. So a build needs no flags, one binary runs on
// old processors and new ones, and what a processor has is asked when the program runs.
//
//   template/kernels.inc ──► baseline.c   4 lanes, any processor
//                        ├─► avx2.c       8 lanes, x86-64 with AVX2, FMA and F16C
//                        ├─► avx512.c    16 lanes, x86-64 with AVX-512 F, BW, DQ and VL
//                        └─► neon.c       4 lanes, arm64
//
// To add a kernel: write it in an .inc file of template/ as static functions, include that file in kernels.inc, add
// a field for it to attention_kernels below and a line to the table at the end of kernels.inc. It is then compiled for every
// instruction set and found through attention_kernels_of().
#ifndef ATTENTION_CATTENTION_H
#define ATTENTION_CATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Instruction sets (instruction_sets.c)

/// What the kernels are compiled for, the narrowest first.
typedef enum {
  ATTENTION_BASELINE = 0,
  ATTENTION_NEON,
  ATTENTION_AVX2,
  ATTENTION_AVX512,
} attention_instruction_set;

/// How elements are stored in memory. Arithmetic is float32 whatever the storage.
typedef enum {
  ATTENTION_FLOAT32 = 0,
  ATTENTION_FLOAT16,
  ATTENTION_BFLOAT16,
} attention_storage;

/// The kernels of one instruction set. No pointer needs to be aligned beyond its element's size.
typedef struct {
  /// Floats of a vector.
  int lanes;
  /// to[i] = from[i] as float32, for `count` elements; exact.
  void (*widen)(attention_storage storage, const void *from, size_t count, float *to);
  /// to[i] = from[i] as `storage`: nearest, ties to even; NaN stays NaN.
  void (*narrow)(attention_storage storage, const float *from, size_t count, void *to);
  /// to[i] = e^from[i] within 2 units in the last place; 0 below −87.68, ∞ above 88.37, NaN of NaN.
  void (*exponentials)(const float *from, size_t count, float *to);
  /// to[i] = tanh(from[i]), within 3e-7 of the larger of the result's magnitude and a normal number.
  void (*hyperbolic_tangents)(const float *from, size_t count, float *to);
} attention_kernels;

/// The kernels for an instruction set; NULL where this processor does not have it, or they are for another architecture.
const attention_kernels *attention_kernels_of(attention_instruction_set set);

// MARK: Threads (threads.c)

/// One task of many: `task` counts from 0, `worker` says which thread runs it (below the limit given), for scratch memory.
typedef void (*attention_task)(void *context, size_t task, size_t worker);

/// Runs `body` for the tasks 0 … count − 1, in this thread (worker 0) and up to `threads` − 1 others, and returns when
/// all are done. Tasks are handed out in order, one at a time; which worker gets which is not determined, so a result
/// must not depend on it.
///
/// The other threads are made when they are first wanted, belong to the process and sleep between calls. This thread works too and
/// waits for none that has not begun: where no other thread shows up (because another call has them, or none could
/// be made), it does everything itself. So a call from a thread of a cooperative pool never waits for that pool.
void attention_parallel(size_t threads, size_t count, attention_task body, void *context);

/// The number of processors that this process may run on: its affinity, and where there is one its control group's quota.
size_t attention_available_processors(void);

#endif
