// Numbers as AMX takes them, and keys and values packed so. Its registers are tiles of 16 rows of 64 bytes, its numbers
// bfloat16:
//
//                                        16 keys
//                                   ┌───────────────┐
//                  pairs of columns │ k(n), k(n+16) │ 16 pairs, 32 bits each
//                                   └───────────────┘
//              ┌──────────────────┐ ┌───────────────┐
//      16 rows │ 32 numbers       │ │ float32 sums  │
//              └──────────────────┘ └───────────────┘
//
// A longer number is the sum of PARTS: h, the nearest bfloat16 to it, m, the nearest to what that leaves, and l of the rest:
//
//                Q·Kᵀ                              P·V                      left out, of a product
//   bfloat16     hh                                hh + mh                  2⁻¹⁶
//   float16      hh + hm + mh + mm                 hh + hm + mh             2⁻¹⁶
//   float32      hh + hm + mh + hl + mm + lh       the same                 2⁻²⁴
//
// What two vectors of 16 hold are the pairs of their lanes: columns n and n + 16 of 32, or keys. Tiles are packed without gaps:
//
//   keys   [panel of PANEL keys][32 columns][part][2][16 pairs of columns][16 keys]
//   values [panel of PANEL columns][32 keys][part][2][16 pairs of keys][16 columns]
//
// Built with -DSCORE_WIDTH=16.
// Built with -DROWS=16.
// Built with -DCOLUMNS=2.

#if STORAGE == 0
#define PARTS 3
#define WEIGHT_PARTS 3
#elif STORAGE == 1
#define PARTS 2
#define WEIGHT_PARTS 2
#else
#define PARTS 1
#define WEIGHT_PARTS 2
#endif

// Numbers of a row of a left side, and words of a tile, two numbers each.
#define DEPTH 32
#define TILE_WORDS 256

static int depth_of(int head_dimension) { return ROUNDED_UP(head_dimension, DEPTH); }
static int columns_of(int value_dimension) { return ROUNDED_UP(value_dimension, PANEL); }

// MARK: Parts

// The nearest bfloat16 numbers, as the upper halves of words, taken from a vector.
static uint16 take_part(float16 *x) {
  const uint16 part = (as_uint16(*x) + 0x8000u) & 0xffff0000u;
  *x -= as_float16(part);
  return part;
}

static uint16 pairs_of(uint16 low, uint16 high) { return low >> 16 | high; }

// Whether numbers are what their parts are, if the largest magnitude is that: those that are not finite are not, but as one
// part, and the last of three must not vanish, unless beside numbers so much larger that it does not count.
static bool numbers_fit(uint16 magnitude, bool may_be_infinite) {
  const uint largest = REDUCE_16(magnitude, max);
#if PARTS < 3
  return (PARTS == 1 && may_be_infinite) || largest < 0x7f800000u;
#else
  (void)may_be_infinite;
  return largest == 0 || (largest >= 0x0d800000u && largest < 0x5d800000u);  // 2⁻¹⁰⁰ … 2⁶⁰
#endif
}

static uint16 magnitude_of(float16 x) { return as_uint16(x) & 0x7fffffffu; }

// The same of a row of queries or keys: rows, because a product with one of them tells nothing of another.
static bool row_fits(__global const storage_t *row, int width) {
  uint16 most = 0;
  for (int d = 0; d < width; d += 16) most = max(most, magnitude_of(load_vector(row + d, width - d)));
  return numbers_fit(most, true);
}

// MARK: Packing

// Returns whether all keys fit.
static bool pack_key_tile(__global uint *panels, __global const storage_t *rows, int row_count, int width) {
  bool fit = true;
  for (int row = 0; row < ROUNDED_UP(row_count, PANEL); row += 16) {
    uint16 most[16] = {0};
    for (int d = 0; d < width; d += DEPTH) {
      uint16 pairs[PARTS][16];
      for (int x = 0; x < 16; x++) {
        float16 low = 0.0f, high = 0.0f;
        if (row + x < row_count) {
          low = load_vector(rows + (long)(row + x) * width + d, width - d);
          high = load_vector(rows + (long)(row + x) * width + d + 16, width - d - 16);
        }
        most[x] = max(most[x], max(magnitude_of(low), magnitude_of(high)));
        for (int p = 0; p < PARTS; p++) {
          const uint16 part = take_part(&low);
          pairs[p][x] = pairs_of(part, take_part(&high));
        }
      }
      __global uint *to = panels + ((long)(row / PANEL) * depth_of(width) + d) / DEPTH * (PARTS * 2 * TILE_WORDS) +
                          row % PANEL / 16 * TILE_WORDS;
      for (int p = 0; p < PARTS; p++, to += 2 * TILE_WORDS) {
        transpose(pairs[p]);
        for (int n = 0; n < 16; n++) ((__global uint16 *)to)[n] = pairs[p][n];
      }
    }
    for (int x = 0; x < 16; x++) fit = fit && numbers_fit(most[x], true);
  }
  return fit;
}

// `panel_stride`: words from a panel of columns to the next.
static uint16 pack_value_tile(__global uint *panels, long panel_stride, __global const storage_t *rows, int row_count,
                              int width) {
  uint16 most = 0;
  for (int j = 0; j < ROUNDED_UP(row_count, DEPTH); j += j % 16 == 15 ? 17 : 1)
    for (int n = 0; n < columns_of(width); n += 16) {
      float16 low = 0.0f, high = 0.0f;
      if (j < row_count) low = load_vector(rows + (long)j * width + n, width - n);
      if (j + 16 < row_count) high = load_vector(rows + (long)(j + 16) * width + n, width - n);
      most = max(most, max(magnitude_of(low), magnitude_of(high)));
      __global uint *to = panels + n / PANEL * panel_stride + j / DEPTH * (PARTS * 2 * TILE_WORDS) +
                          n % PANEL / 16 * TILE_WORDS + j % 16 * 16;
      for (int p = 0; p < PARTS; p++, to += 2 * TILE_WORDS) {
        const uint16 part = take_part(&low);
        *(__global uint16 *)to = pairs_of(part, take_part(&high));
      }
    }
  return most;
}

// What tiles can take of a tile of keys.
enum { FIT_KEYS = 1, FIT_VALUES = 2 };

__kernel ALONE void pack_keys_values(
    __global const KeyValueHead *heads, __global const storage_t *key, __global const storage_t *value,
    __global uint *packed_key, __global uint *packed_value, __global uchar *fit,
    int head_dimension, int value_dimension, int first_key, int key_tiles) {
  const KeysToPack keys = keys_to_pack(heads, first_key, key_tiles);
  if (keys.rows <= 0) return;
  const KeyValueHead head = keys.head;
  const long panel_stride = (long)ROUNDED_UP(head.key_length, TILE_KEYS) * 16 * PARTS;
  const bool keys_fit = pack_key_tile(packed_key + head.packed_key + (long)keys.place * depth_of(head_dimension) / 2 * PARTS,
                                      key + head.key + (long)keys.first * head_dimension, keys.rows, head_dimension);
  const uint16 values = pack_value_tile(packed_value + head.packed_value + (long)keys.place * 16 * PARTS, panel_stride,
                                        value + head.value + (long)keys.first * value_dimension, keys.rows, value_dimension);
  fit[keys.tile] = (keys_fit ? FIT_KEYS : 0) | (numbers_fit(values, false) ? FIT_VALUES : 0);
}
