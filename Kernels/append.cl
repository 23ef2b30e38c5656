// New rows of keys and values into the blocks of a cache, in its own storage (key_value_rows.cl): keys are rotated to
// their positions, and both are rounded or quantised, as GGUF does it, 32 elements at a time.

// One new token: where its rows for head 0 begin, and the row of the block's head 0 that they become.
typedef struct {
  long key, value;
  long row;
  int rotary;  // its cosines and sines, among those of the call
  int padding;
} Token;

static void store_row_block(__global uchar *row, int first, int count, int width, const float x[32]) {
#if ROW_STORAGE == 0
  (void)width;
  for (int d = 0; d < count; d++) ((__global float *)row)[first + d] = x[d];
#elif ROW_STORAGE == 1
  (void)width;
  for (int d = 0; d < count; d++) vstore_half_rte(x[d], first + d, (__global half *)row);
#elif ROW_STORAGE == 2
  (void)width;
  for (int d = 0; d < count; d++) ((__global ushort *)row)[first + d] = brain_from_float(x[d]);
#elif ROW_STORAGE == 3
  (void)count;
  float largest = 0.0f;
  for (int d = 0; d < 32; d++) largest = max_or_nan(fabs(x[d]), largest);
  const float scale = largest / 127.0f;
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  for (int d = 0; d < 32; d++) row[first + d] = (uchar)convert_char_sat_rte(x[d] * inverse);
  vstore_half_rte(scale, first / 32, (__global half *)(row + width));
#else
  (void)count;
  float largest = 0.0f;
  for (int d = 0; d < 32; d++)
    if (!(fabs(x[d]) <= fabs(largest))) largest = x[d];
  const float scale = largest / -8.0f;
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  // (fma, so that no compiler's choice to make one of a product and a sum changes the rounding.)
  for (int d = 0; d < 16; d++) {
    const uchar low = min((uchar)15, convert_uchar_sat(fma(x[d], inverse, 8.5f)));
    const uchar high = min((uchar)15, convert_uchar_sat(fma(x[d + 16], inverse, 8.5f)));
    row[first / 2 + d] = low | high << 4;
  }
  vstore_half_rte(scale, first / 32, (__global half *)(row + width / 2));
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
  float x[32];
  for (int d = 0; d < 32; d++) x[d] = 0.0f;
  if (unit < KEY_BLOCKS) {
    const int first = unit * 32, count = min(32, KEY_WIDTH - first);
    __global const float *angles = rotary + (long)token.rotary * 2 * rotary_pairs;
    for (int d = 0; d < count; d++)
      x[d] = rotated_element(key + token.key + head * key_head_stride, first + d, rotary_pairs, interleaved, angles,
                             angles + rotary_pairs);
    store_row_block(keys + row * ROW_BYTES(KEY_WIDTH), first, count, KEY_WIDTH, x);
  } else {
    const int first = (unit - KEY_BLOCKS) * 32, count = min(32, VALUE_WIDTH - first);
    for (int d = 0; d < count; d++) x[d] = load_element(value + token.value + head * value_head_stride, first + d);
    store_row_block(values + row * ROW_BYTES(VALUE_WIDTH), first, count, VALUE_WIDTH, x);
  }
}
