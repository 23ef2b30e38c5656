// New rows of keys and values into the blocks of a cache, in its own storage (key_value_rows.cl): keys are rotated to
// their positions, and both are rounded or quantised, as GGUF does it, 32 elements at a time.

// One new token: where its rows for head 0 begin, and the row of the block's head 0 that they become.
typedef struct {
  long key, value;
  long row;
  int rotary;  // its cosines and sines, among those of the call
  int padding;
} Token;

#define FLOATS_OF(four) {(four).x, (four).y, (four).z, (four).w}

#if ROW_STORAGE <= 2
// Elements d … d + 3 of a row, of which the first `left` are there.
static void store_row_four(__global uchar *row, int d, float4 four, int left) {
  const float x[4] = FLOATS_OF(four);
#pragma unroll
  for (int n = 0; n < 4; n++) {
    if (n >= left) continue;
#if ROW_STORAGE == 0
    ((__global float *)row)[d + n] = x[n];
#elif ROW_STORAGE == 1
    vstore_half_rte(x[n], d + n, (__global half *)row);
#else
    ((__global ushort *)row)[d + n] = brain_from_float(x[n]);
#endif
  }
}
#else
// a / b to the last bit. (A device's own division may be 2.5 units off it, and a scale that is, rounded to float16, another.)
static float quotient(float a, float b) {
  const float near = a / b;
  const float nearest = fma(fma(-near, b, a), 1.0f / b, near);
  return isfinite(nearest) ? nearest : near;
}

// 32 elements, from `first` on, as a block.
static void store_row_block(__global uchar *row, int first, int width, const float4 x[8]) {
  float largest = 0.0f;
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const float four[4] = FLOATS_OF(x[n]);
#pragma unroll
    for (int e = 0; e < 4; e++) {
#if ROW_STORAGE == 3
      largest = max_or_nan(fabs(four[e]), largest);
#else
      largest = fabs(four[e]) <= fabs(largest) ? largest : four[e];
#endif
    }
  }
#if ROW_STORAGE == 3
  const float scale = quotient(largest, 127.0f);
  const float inverse = scale == 0.0f ? 0.0f : quotient(1.0f, scale);
#pragma unroll
  for (int n = 0; n < 8; n++) vstore4(as_uchar4(convert_char4_sat_rte(x[n] * inverse)), n, row + first);
  vstore_half_rte(scale, first / 32, (__global half *)(row + width));
#else
  const float scale = largest * -0.125f;
  const float inverse = scale == 0.0f ? 0.0f : quotient(1.0f, scale);
  // (fma, so that no compiler's choice to make one of a product and a sum changes the rounding.)
#pragma unroll
  for (int n = 0; n < 4; n++) {
    const uchar4 low = min((uchar4)15, convert_uchar4_sat(fma(x[n], (float4)inverse, (float4)8.5f)));
    const uchar4 high = min((uchar4)15, convert_uchar4_sat(fma(x[n + 4], (float4)inverse, (float4)8.5f)));
    vstore4(low | high << (uchar4)4, n, row + first / 2);
  }
  vstore_half_rte(scale, first / 32, (__global half *)(row + width / 2));
#endif
}
#endif

// 32 elements of a row, from `first` on, of which there are `count`: from a row that comes to one of the cache.
static void append_block(__global uchar *to, __global const storage_t *from, int first, int count, int width, int pairs,
                         int interleaved, __global const float *angles) {
#if ROW_STORAGE <= 2
  (void)width;
  for (int d = first; d < first + count; d += 4)
    store_row_four(to, d, rotated_four(from, d, first + count - d, pairs, interleaved, angles, angles + pairs),
                   first + count - d);
#else
  float4 x[8];
#pragma unroll
  for (int n = 0; n < 8; n++)
    x[n] = rotated_four(from, first + 4 * n, count - 4 * n, pairs, interleaved, angles, angles + pairs);
  store_row_block(to, first, width, x);
#endif
}

#define KEY_BLOCKS ((KEY_WIDTH + 31) / 32)

// A work-item stores 32 elements of a row: of `value_blocks` that are values, 0 where keys are values too.
__kernel void append_rows(__global const Token *tokens, __global const storage_t *key, __global const storage_t *value,
                          __global const float *rotary, __global uchar *keys, __global uchar *values, int heads,
                          int block_rows, int value_blocks, long key_head_stride, long value_head_stride,
                          int rotary_pairs, int interleaved) {
  const int unit = get_global_id(0) % (KEY_BLOCKS + value_blocks);
  const long rest = get_global_id(0) / (KEY_BLOCKS + value_blocks);
  const int head = rest % heads;
  const Token token = tokens[rest / heads];
  const long row = token.row + (long)head * block_rows;
  if (unit < KEY_BLOCKS) {
    const int first = unit * 32;
    append_block(keys + row * ROW_BYTES(KEY_WIDTH), key + token.key + head * key_head_stride, first,
                 min(32, KEY_WIDTH - first), KEY_WIDTH, rotary_pairs, interleaved,
                 rotary + (long)token.rotary * 2 * rotary_pairs);
  } else {
    const int first = (unit - KEY_BLOCKS) * 32;
    append_block(values + row * ROW_BYTES(VALUE_WIDTH), value + token.value + head * value_head_stride, first,
                 min(32, VALUE_WIDTH - first), VALUE_WIDTH, 0, 0, rotary);
  }
}
