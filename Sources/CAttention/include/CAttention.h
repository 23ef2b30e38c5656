// CAttention: vector kernels for the CPU in C, and the threads that run them. Plain C: no Swift, no OpenCL.
//
// The kernels are written once, in template/*.inc, with vectors of LANES floats (clang's vector extensions). A file for
// each instruction set (baseline.c, avx2.c, avx512.c, amx.c, neon.c) defines LANES and the sizes of blocks and includes the
// template, every function in it compiled for that instruction set. So a build needs no flags, one binary runs on
// old processors and new ones, and what a processor has is asked when the program runs.
//
//   template/kernels.inc ──► baseline.c   4 lanes, any processor
//                        ├─► avx2.c       8 lanes, x86-64 with AVX2, FMA and F16C
//                        ├─► avx512.c    16 lanes, x86-64 with AVX-512 F, BW, DQ and VL
//                        ├─► amx.c       the same with AMX for products of bfloat16 and float16
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

#include "layers.h"

// MARK: Instruction sets (instruction_sets.c)

/// What the kernels are compiled for, the narrowest first.
typedef enum {
  ATTENTION_BASELINE = 0,
  ATTENTION_NEON,
  ATTENTION_AVX2,
  ATTENTION_AVX512,
  ATTENTION_AMX,
} attention_instruction_set;

/// How elements are stored in memory. Arithmetic is float32 whatever the storage.
typedef enum {
  ATTENTION_FLOAT32 = 0,
  ATTENTION_FLOAT16,
  ATTENTION_BFLOAT16,
  // Of keys and values alone: rows of a cache (rows.inc), in multiples of 32 elements.
  ATTENTION_ROWS_Q8_0,
  ATTENTION_ROWS_Q4_0,
} attention_storage;

/// How a mask tensor's elements are stored; a boolean is a byte.
typedef enum {
  ATTENTION_MASK_NONE = 0,
  ATTENTION_MASK_BOOL,
  ATTENTION_MASK_FLOAT32,
  ATTENTION_MASK_FLOAT16,
  ATTENTION_MASK_BFLOAT16,
} attention_mask_kind;

/// What all heads of a call share. Every length and offset is below 2^30.
typedef struct {
  attention_storage storage;      ///< Of queries and the output.
  attention_storage row_storage;  ///< Of keys and values.
  int head_dimension, value_dimension;
  int key_width, value_width;  ///< Elements of a stored row: more where values are the beginnings of longer keys.
  float scale;
  float softcap;  ///< 0: none.
  bool has_sinks;
  attention_mask_kind mask_kind;
  ptrdiff_t mask_query_stride, mask_key_stride;  ///< In elements; the second is 0 or 1.
  int query_block, key_block;                    ///< Rows and keys of a block of the block mask; 0: there is none.
  ptrdiff_t block_query_stride, block_key_stride;
  int top_key_count;
} attention_call;

/// Rows of keys and values at equal distances, in bytes: keys `first` … `first + count − 1` of their head.
typedef struct {
  const char *key, *value;
  ptrdiff_t key_stride, value_stride;
  int first, count;
} attention_rows;

/// One (batch entry, key/value head).
typedef struct {
  const attention_rows *rows;  ///< Stretches that follow one another, from key 0 to the key length.
  int row_count;               ///< Stretches.
  int key_length;
  int first_key, end_key;                ///< What is packed: the first is a multiple of the tile's keys.
  float *packed_keys, *packed_values;    ///< pack_tile's, or NULL.
  uint8_t *fit;                          ///< Of each packed tile: bit 0, whether products can take its keys; bit 1, its values.
} attention_key_value_head;

/// One (batch entry, query head), and where its results go: NULL where a result is not wanted.
///
/// By position, query i sees the keys max(0, i + first_shift) … min(key_length, i + end_shift) − 1.
typedef struct {
  const attention_key_value_head *keys;
  const char *query;
  ptrdiff_t query_stride;  ///< In bytes.
  int query_length;
  int first_shift, end_shift;
  int offset;  ///< The position of query 0 among the keys, for ALiBi.
  float slope, sink;
  const uint8_t *mask;    ///< Query 0 and key 0.
  const uint8_t *blocks;  ///< The block of query 0 and key 0.

  char *output;
  ptrdiff_t output_stride;  ///< In bytes.
  float *log_sum_exp;
  float *shift, *factor;    ///< [query_length]: the weight of a score s is exp(s − shift) · factor.
  float *scores, *weights;  ///< [query_length][score_stride]; hidden keys are left as they are.
  ptrdiff_t score_stride;
  int32_t *top_keys;   ///< [query_length][top_key_count]
  float *top_weights;  ///< Likewise.
  float *received;     ///< [key_length]
} attention_head;

/// The kernels of one instruction set. No pointer needs to be aligned beyond its element's size, but for scratch memory, which
/// is aligned to 64 bytes.
///
/// A call is computed in one of two ways, head by head:
///
///   many queries   pack_tile for each tile of keys of a key/value head, then attend_tile for each tile of queries
///   few queries    decode_split for each tile of keys of a key/value head, then decode_merge for each query head
///
/// Then, from the shift and factor of each row that attend_tile has left: row_results and key_results.
typedef struct {
  /// Floats of a vector.
  int lanes;
  /// Keys of a packed panel: key and value panels are padded to whole ones.
  int panel;
  /// Queries and keys of a tile.
  int tile_rows, tile_keys;

  /// to[i] = from[i] as float32, for `count` elements; exact. Neither this nor `narrow` is for quantised rows.
  void (*widen)(attention_storage storage, const void *from, size_t count, float *to);
  /// to[i] = from[i] as `storage`: nearest, ties to even; NaN stays NaN.
  void (*narrow)(attention_storage storage, const float *from, size_t count, void *to);
  /// to[i] = e^from[i] within 2 units in the last place; 0 below −87.68, ∞ above 88.37, NaN of NaN.
  void (*exponentials)(const float *from, size_t count, float *to);
  /// to[i] = tanh(from[i]), with a relative error below 3e-7.
  void (*hyperbolic_tangents)(const float *from, size_t count, float *to);

  /// Bytes of scratch memory that each worker needs for the functions below.
  size_t (*scratch_bytes)(const attention_call *call);
  /// Floats of packed_keys and of packed_values for `keys` keys.
  size_t (*packed_key_floats)(const attention_call *call, int keys);
  size_t (*packed_value_floats)(const attention_call *call, int keys);
  /// Packs keys first_key + tile · tile_keys … of a head, as far as end_key.
  void (*pack_tile)(const attention_call *call, const attention_key_value_head *head, int tile);
  /// Output and log-sum-exp of queries tile · tile_rows …
  void (*attend_tile)(const attention_call *call, const attention_head *head, int tile, void *scratch);

  /// Floats of what decode_split leaves of one row.
  size_t (*partial_floats)(const attention_call *call);
  /// What keys split · tile_keys … come to for all queries of `head_count` heads that share their keys:
  /// partial[head][query] of partial_floats each.
  void (*decode_split)(const attention_call *call, const attention_head *heads, int head_count, int split,
                       float *partial, void *scratch);
  /// Output and log-sum-exp of a head, from its part of each split: partial + s · split_stride floats.
  void (*decode_merge)(const attention_call *call, const attention_head *head, int splits, const float *partial,
                       size_t split_stride, void *scratch);

  /// Scores, weights and most attended keys of queries tile · tile_rows …
  void (*row_results)(const attention_call *call, const attention_head *head, int tile, void *scratch);
  /// What keys first_key + tile · tile_keys … receive.
  void (*key_results)(const attention_call *call, const attention_head *head, int tile, void *scratch);
  /// What models need besides attention.
  const attention_layer_kernels *layers;
} attention_kernels;

/// The kernels for an instruction set; NULL where this processor does not have it, or they are for another architecture.
const attention_kernels *attention_kernels_of(attention_instruction_set set);

// MARK: Threads (threads.c)

/// One task of many: `task` counts from 0, `worker` says which thread runs it (below the limit given), for scratch memory.
typedef void (*attention_task)(void *context, size_t task, size_t worker);

/// Runs `body` for the tasks 0 … count − 1, in this thread (worker 0) and up to `threads` − 1 others, and returns when
/// all are done. Each worker begins with its own share of neighbouring tasks, in order, and then helps with what others
/// have left; which worker gets which is not determined, so a result must not depend on it.
///
/// The other threads are made when they are first wanted, belong to the process and sleep between calls. This thread works too
/// and waits for none that has not begun: where no other thread shows up (because another call has them, or none could
/// be made), it does everything itself. So a call from a thread of a cooperative pool never waits for that pool.
void attention_parallel(size_t threads, size_t count, attention_task body, void *context);

/// The number of processors that this process may run on: its affinity, and the quota of its control group (version 2) or of
/// one that this lies in.
size_t attention_available_processors(void);

#endif
