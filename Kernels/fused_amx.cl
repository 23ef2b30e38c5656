// Fused attention on a CPU with AMX: fused_cpu.cl with both products by AMX, whose registers are tiles of 16 rows of 64 bytes
// and whose numbers are bfloat16. Sources/CAttention/template/brain_products.inc is the same in C, and says at length what is
// short here.
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

// Numbers of a row of a left side; words of a tile, two numbers each; and those apart of rows of scores and of the third parts of
// weights. (Rows that are a power of two apart would share the places of few lines in a cache.)
#define DEPTH 32
#define TILE_WORDS 256
#define SCORE_STRIDE (TILE_KEYS + 16)
#define REST_STRIDE (WEIGHT_PARTS == 3 ? TILE_KEYS / 2 + 16 : 0)

static int depth_of(int head_dimension) { return padded(head_dimension, DEPTH); }
static int columns_of(int value_dimension) { return padded(value_dimension, PANEL); }

// MARK: Parts

// The first `count` of 16 neighbours, zeros for the others.
static float16 load_sixteen(__global const storage_t *from, int count) {
  if (count >= 16) {
#if STORAGE == 0
    return vload16(0, from);
#elif STORAGE == 1
    return vload_half16(0, (__global const half *)from);
#else
    return as_float16(convert_uint16(vload16(0, from)) << 16);
#endif
  }
  float sixteen[16];
  for (int n = 0; n < 16; n++) sixteen[n] = n < count ? load_element(from, n) : 0.0f;
  return vload16(0, sixteen);
}

// The nearest bfloat16 numbers, as the upper halves of words, taken from a vector.
static uint16 take_part(float16 *x) {
  const uint16 part = (as_uint16(*x) + 0x8000u) & 0xffff0000u;
  *x -= as_float16(part);
  return part;
}

static uint16 pairs_of(uint16 low, uint16 high) { return low >> 16 | high; }

// Whether numbers are what their parts are, if the largest magnitude is that: those that are not finite are not, but as one part,
// and the last of three must not vanish, unless beside numbers so much larger that it does not count.
static bool numbers_fit(uint16 magnitude, bool may_be_infinite) {
  uint largest = 0, each[16];
  vstore16(magnitude, 0, each);
  for (int n = 0; n < 16; n++) largest = max(largest, each[n]);
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
  for (int d = 0; d < width; d += 16) most = max(most, magnitude_of(load_sixteen(row + d, width - d)));
  return numbers_fit(most, true);
}

// MARK: Packing

// A block of 16 × 16 words turned over: where a word is, its row's number and its column's, written one after the other in binary,
// is rotated by one place in each of four steps.
static void transpose(uint16 v[16]) {
#pragma unroll
  for (int step = 0; step < 4; step++) {
    uint16 to[16];
#pragma unroll
    for (int n = 0; n < 8; n++) {
      to[2 * n].even = v[n].lo;
      to[2 * n].odd = v[n + 8].lo;
      to[2 * n + 1].even = v[n].hi;
      to[2 * n + 1].odd = v[n + 8].hi;
    }
#pragma unroll
    for (int n = 0; n < 16; n++) v[n] = to[n];
  }
}

// Returns whether all keys fit.
static bool pack_key_tile(__global uint *panels, __global const storage_t *rows, int row_count, int width) {
  bool fit = true;
  for (int row = 0; row < padded(row_count, PANEL); row += 16)
    for (int d = 0; d < width; d += DEPTH) {
      uint16 pairs[PARTS][16];
      for (int x = 0; x < 16; x++) {
        float16 low = 0.0f, high = 0.0f;
        if (row + x < row_count) {
          low = load_sixteen(rows + (long)(row + x) * width + d, width - d);
          high = load_sixteen(rows + (long)(row + x) * width + d + 16, width - d - 16);
        }
        for (int p = 0; p < PARTS; p++) {
          const uint16 part = take_part(&low);
          pairs[p][x] = pairs_of(part, take_part(&high));
        }
      }
      __global uint *to = panels + ((long)(row / PANEL) * depth_of(width) + d) / DEPTH * (PARTS * 2 * TILE_WORDS) +
                          row % PANEL / 16 * TILE_WORDS;
      for (int p = 0; p < PARTS; p++, to += 2 * TILE_WORDS) {
        transpose(pairs[p]);
        for (int n = 0; n < 16; n++) vstore16(pairs[p][n], n, to);
      }
    }
  for (int row = 0; row < row_count; row++) fit = fit && row_fits(rows + (long)row * width, width);
  return fit;
}

// `panel_stride`: words from a panel of columns to the next.
static uint16 pack_value_tile(__global uint *panels, long panel_stride, __global const storage_t *rows, int row_count,
                              int width) {
  uint16 most = 0;
  for (int j = 0; j < padded(row_count, DEPTH); j += j % 16 == 15 ? 17 : 1)
    for (int n = 0; n < columns_of(width); n += 16) {
      float16 low = 0.0f, high = 0.0f;
      if (j < row_count) low = load_sixteen(rows + (long)j * width + n, width - n);
      if (j + 16 < row_count) high = load_sixteen(rows + (long)(j + 16) * width + n, width - n);
      most = max(most, max(magnitude_of(low), magnitude_of(high)));
      __global uint *to = panels + n / PANEL * panel_stride + j / DEPTH * (PARTS * 2 * TILE_WORDS) +
                          n % PANEL / 16 * TILE_WORDS + j % 16 * 16;
      for (int p = 0; p < PARTS; p++, to += 2 * TILE_WORDS) {
        const uint16 part = take_part(&low);
        vstore16(pairs_of(part, take_part(&high)), 0, to);
      }
    }
  return most;
}

// What tiles can take of a tile of keys.
enum { FIT_KEYS = 1, FIT_VALUES = 2 };

__kernel ALONE void pack_keys_values(
    __global const KeyValueHead *heads, __global const storage_t *key, __global const storage_t *value,
    __global uint *packed_key, __global uint *packed_value, __global uchar *fit,
    int head_dimension, int value_dimension, int key_tiles) {
  const int group = get_group_id(0);
  const KeyValueHead head = heads[group / key_tiles];
  const int tile = group % key_tiles;
  const int first = tile * TILE_KEYS;
  if (first >= head.key_length) return;
  const int rows = min(TILE_KEYS, head.key_length - first);
  const long panel_stride = (long)padded(head.key_length, TILE_KEYS) * 16 * PARTS;
  const bool keys_fit = pack_key_tile(packed_key + head.packed_key + (long)first * depth_of(head_dimension) / 2 * PARTS,
                                      key + head.key + (long)first * head_dimension, rows, head_dimension);
  const uint16 values = pack_value_tile(packed_value + head.packed_value + (long)first * 16 * PARTS, panel_stride,
                                        value + head.value + (long)first * value_dimension, rows, value_dimension);
  fit[head.tiles + tile] = (keys_fit ? FIT_KEYS : 0) | (numbers_fit(values, false) ? FIT_VALUES : 0);
}

// MARK: The tile

// What a work-item keeps in local memory.
typedef struct {
  __local float16 *largest;  // [TILE_ROWS], each: the largest of the tile's scores, lane by lane
  __local float *weight;     // [TILE_ROWS][SCORE_STRIDE]: the tile's scores, then two parts of its weights
  __local float *rest;       // [TILE_ROWS][REST_STRIDE]: the third part
  __local float *output;     // [TILE_ROWS][value columns, padded]
  __local uint *query;       // [TILE_ROWS][PARTS][pairs of columns, padded]
  __local float *maximum;
  __local float *sum;
  __local float *rescale;
  __local int *seen;
  bool fits;  // whether tiles can take all queries

  int i0, rows, blocks;
  Span spans[ROW_BLOCKS];  // of the tile of keys, what a block of rows sees
  Span plain[ROW_BLOCKS];  // of that, what every row sees and only the scale modifies
} Tile;

static bool is_empty(Span span) { return span.begin >= span.end; }

static __local float *scores_of(const Tile *t, int row) { return t->weight + row * SCORE_STRIDE; }

// Rows of zeros fill the last block.
static void load_queries(Tile *t, __global const storage_t *query, int head_dimension) {
  const int words = depth_of(head_dimension) / 2;
  t->fits = true;
  for (int row = 0; row < t->blocks * ROWS; row++)
    for (int d = 0; d < head_dimension; d += DEPTH) {
      float16 low = 0.0f, high = 0.0f;
      if (row < t->rows) {
        low = load_sixteen(query + (long)row * head_dimension + d, head_dimension - d);
        high = load_sixteen(query + (long)row * head_dimension + d + 16, head_dimension - d - 16);
      }
      for (int p = 0; p < PARTS; p++) {
        const uint16 part = take_part(&low);
        vstore16(pairs_of(part, take_part(&high)), 0, t->query + (row * PARTS + p) * words + d / 2);
      }
    }
  for (int row = 0; row < t->rows; row++) t->fits = t->fits && row_fits(query + (long)row * head_dimension, head_dimension);
}

// MARK: Weights

// 2^x of x at most 128, within 3e-6 of it for two parts, or within 2 units in the last place; 0 below −126.5, NaN of NaN. (While
// tiles are at work one unit alone multiplies vectors: so there are few multiplications here, and sums where those would do.)
static float16 power_of_two(float16 x) {
  x = -127.0f > x ? (float16)-127.0f : x;
  const float16 rounded = x + 12583039.0f;
  const float16 f = x - (rounded - 12583039.0f);
#if WEIGHT_PARTS < 3
  float16 p = 9.58285294e-3f;
  p = fma(p, f, (float16)5.59064262e-2f);
  p = fma(p, f, (float16)2.40240991e-1f);
  p = fma(p, f, (float16)6.93124175e-1f);
#else
  float16 p = 1.32647273e-3f;
  p = fma(p, f, (float16)9.67151299e-3f);
  p = fma(p, f, (float16)5.55073358e-2f);
  p = fma(p, f, (float16)2.40222424e-1f);
  p = fma(p, f, (float16)6.93147004e-1f);
#endif
  p = fma(p, f, (float16)1.0f);
  return p * as_float16(as_int16(rounded) << 23);
}

// A block whose scores become weights while tiles multiply, 32 keys of a row at a time: those from `key` of row `row` on are
// still scores.
typedef struct {
  float scale;
  int row, end_row, key;
  Span span, plain;
  float16 sum;       // of the row's weights so far
  int rate, credit;  // 32nds of a unit of 32 keys: how many at each place where products let it, and how many are due
} Weighing;

// P = exp(S · scale − shift) of 32 keys of a row, in place, as parts: two are rounded, three are all there is if each is cut off.
// Only plain scores have still to be scaled.
static void weigh_unit(const Tile *t, Weighing *w) {
  const float log2_e = 1.44269504f;
  const float maximum = t->maximum[w->row], shift = shift_of(maximum);
  const float scale = w->key >= w->plain.begin && w->key < w->plain.end ? w->scale : 1.0f;
  __local float16 *scores = (__local float16 *)(scores_of(t, w->row) + w->key);
  // (Scaled by itself, so that it does not show in the last bits what a row has beside it; and first the difference, which loses
  // nothing of scores that are large.)
  float16 low = scores[0] * scale, high = scores[1] * scale;
  low = (low - shift) * log2_e;
  high = (high - shift) * log2_e;
  if (isinf(maximum)) {  // Then scores may be larger.
    low = low > 128.0f ? (float16)128.0f : low;
    high = high > 128.0f ? (float16)128.0f : high;
  }
  low = power_of_two(low);
  high = power_of_two(high);
  w->sum += low + high;
#pragma unroll
  for (int p = 0; p < WEIGHT_PARTS; p++) {
    const uint rounding = WEIGHT_PARTS < 3 ? 0x8000u : 0u;
    const uint16 a = (as_uint16(low) + rounding) & 0xffff0000u, b = (as_uint16(high) + rounding) & 0xffff0000u;
    __local float16 *to = p < 2 ? scores + p : (__local float16 *)(t->rest + w->row * REST_STRIDE + w->key / 2);
    *to = as_float16(pairs_of(a, b));
    low -= as_float16(a);
    high -= as_float16(b);
  }
  w->key += PANEL;
  if (w->key < w->span.end) return;
  t->sum[w->row++] += sum_of(w->sum);
  w->sum = 0.0f;
  w->key = w->span.begin;
}

static void weigh_some(const Tile *t, Weighing *w) {
  for (w->credit += w->rate; w->credit >= 32 && w->row < w->end_row; w->credit -= 32) weigh_unit(t, w);
}

// MARK: Tiles of AMX: 0 and 1 are sums, 2 to 4 the parts of a left side, 5 and 6 a part of a right side

#ifdef EMULATED
typedef struct {
  uint word[7][16][16];
} Registers;

static void load_tile(Registers *r, int tile, __global const uint *global_from, __local const uint *local_from, int stride) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++)
      r->word[tile][row][n] = global_from ? global_from[row * stride + n] : local_from[row * stride + n];
}
static void store_tile(const Registers *r, int tile, __local float *to, int stride) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++) to[row * stride + n] = as_float(r->word[tile][row][n]);
}
static void multiply_tiles(Registers *r, int sum, int left, int right) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++) {
      float s = as_float(r->word[sum][row][n]);
      for (int k = 0; k < 16; k++) {
        const uint a = r->word[left][row][k], b = r->word[right][k][n];
        s += as_float(a << 16) * as_float(b << 16);
        s += as_float(a & 0xffff0000u) * as_float(b & 0xffff0000u);
      }
      r->word[sum][row][n] = as_uint(s);
    }
}

#define BEGIN_TILES(registers) (void)(registers)
#define END_TILES() (void)0
#define ZERO_TILE(registers, tile)                                        \
  for (int n = 0; n < TILE_WORDS; n++) (registers)->word[tile][n / 16][n % 16] = 0
#define LOAD_GLOBAL_TILE(registers, tile, from, stride) load_tile(registers, tile, from, 0, stride)
#define LOAD_LOCAL_TILE(registers, tile, from, stride) load_tile(registers, tile, 0, (__local const uint *)(from), stride)
#define STORE_TILE(registers, tile, to, stride) store_tile(registers, tile, to, stride)
#define MULTIPLY_TILES(registers, sum, left, right) multiply_tiles(registers, sum, left, right)
#else
typedef struct {
  uchar palette, start_row, reserved[14];
  ushort bytes[16];
  uchar rows[16];
} Registers;

#define BEGIN_TILES(registers)                                                          \
  do {                                                                                  \
    for (int n = 0; n < 64; n++) ((uchar *)(registers))[n] = 0;                         \
    (registers)->palette = 1;                                                           \
    for (int n = 0; n < 7; n++) (registers)->bytes[n] = 64, (registers)->rows[n] = 16;  \
    __asm__ volatile("ldtilecfg (%0)" ::"r"((ulong)(registers)) : "memory");            \
  } while (0)
#define END_TILES() __asm__ volatile("tilerelease" ::: "memory")
#define ZERO_TILE(registers, tile) __asm__ volatile("tilezero %%tmm" #tile ::: "memory")
#define LOAD_TILE(tile, from, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"((ulong)(from)), "r"((ulong)(4 * (stride))) : "memory")
#define LOAD_GLOBAL_TILE(registers, tile, from, stride) LOAD_TILE(tile, from, stride)
#define LOAD_LOCAL_TILE(registers, tile, from, stride) LOAD_TILE(tile, from, stride)
#define STORE_TILE(registers, tile, to, stride) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"((ulong)(to)), "r"((ulong)(4 * (stride))) : "memory")
#define MULTIPLY_TILES(registers, sum, left, right) \
  __asm__ volatile("tdpbf16ps %%tmm" #right ", %%tmm" #left ", %%tmm" #sum ::: "memory")
#endif

#define MEANWHILE()                          \
  do {                                       \
    if (meanwhile) weigh_some(t, meanwhile); \
  } while (0)
#define MULTIPLY_PART(left)                \
  do {                                     \
    MULTIPLY_TILES(registers, 0, left, 5); \
    MULTIPLY_TILES(registers, 1, left, 6); \
    MEANWHILE();                           \
  } while (0)

// A left side: where its parts are, rows `stride` words apart, of the third `third_stride`.
typedef struct {
  __local const uint *first, *second, *third;
  int stride, third_stride;
} LeftSide;

// Sums += left · right, DEPTH deep, the smallest products first: those of parts whose numbers, from 0, add up to `last_part` at
// most.
static __attribute__((always_inline)) void multiply_parts(const Tile *t, Registers *registers, LeftSide left, int left_parts,
                                                          __global const uint *right, int last_part, Weighing *meanwhile) {
  (void)registers;
  LOAD_LOCAL_TILE(registers, 2, left.first, left.stride);
  if (left_parts > 1) LOAD_LOCAL_TILE(registers, 3, left.second, left.stride);
  if (left_parts > 2) LOAD_LOCAL_TILE(registers, 4, left.third, left.third_stride);
  MEANWHILE();
#pragma unroll
  for (int p = PARTS - 1; p >= 0; p--) {
    LOAD_GLOBAL_TILE(registers, 5, right + 2 * p * TILE_WORDS, 16);
    LOAD_GLOBAL_TILE(registers, 6, right + (2 * p + 1) * TILE_WORDS, 16);
    MEANWHILE();
    if (left_parts > 2 && 2 + p <= last_part) MULTIPLY_PART(4);
    if (left_parts > 1 && 1 + p <= last_part) MULTIPLY_PART(3);
    MULTIPLY_PART(2);
  }
}

// How often that is MEANWHILE.
static int places(int left_parts, int last_part) {
  int count = 1;
  for (int p = 0; p < PARTS; p++) count += 1 + min(last_part - p + 1, left_parts);
  return count;
}

// MARK: Scores

// The products of queries and keys that tiles cannot take, from the rows themselves. Rare, so small rather than fast.
static void multiply_misfits(const Tile *t, int block, int key_count, __global const storage_t *query,
                             __global const storage_t *key, int head_dimension) {
  bool query_fits[ROWS];
  for (int r = 0; r < ROWS; r++) {
    const int row = block * ROWS + r;
    query_fits[r] = row >= t->rows || row_fits(query + (long)row * head_dimension, head_dimension);
  }
  for (int j = t->spans[block].begin; j < min(t->spans[block].end, key_count); j++) {
    const bool key_fits = row_fits(key + (long)j * head_dimension, head_dimension);
    for (int r = 0; r < ROWS; r++) {
      const int row = block * ROWS + r;
      if (row >= t->rows || (key_fits && query_fits[r])) continue;
      float sum = 0.0f;
      for (int d = 0; d < head_dimension; d++)
        sum = fma(load_element(query, (long)row * head_dimension + d), load_element(key, (long)j * head_dimension + d), sum);
      scores_of(t, row)[j] = sum;
    }
  }
}

// Products of one block of rows and the keys that it sees.
static void multiply_queries(const Tile *t, Registers *registers, int block, __global const uint *keys, int head_dimension,
                             Weighing *meanwhile) {
  const int words = depth_of(head_dimension) / 2, stride = PARTS * words;
  for (int j = t->spans[block].begin; j < t->spans[block].end; j += PANEL) {
    __local const uint *query = t->query + block * ROWS * stride;
    __global const uint *panel = keys + (long)j * words * PARTS;
    ZERO_TILE(registers, 0);
    ZERO_TILE(registers, 1);
    for (int k = 0; k < words; k += DEPTH / 2, query += DEPTH / 2, panel += PARTS * 2 * TILE_WORDS) {
      const LeftSide left = {query, query + words, query + 2 * words, stride, stride};
      multiply_parts(t, registers, left, PARTS, panel, 2, meanwhile);
    }
    STORE_TILE(registers, 0, scores_of(t, block * ROWS) + j, SCORE_STRIDE);
    STORE_TILE(registers, 1, scores_of(t, block * ROWS) + j + 16, SCORE_STRIDE);
  }
}

// What is known once a block's scores are there, its plain ones products still: its maxima, and what its output so far counts
// under them.
static void find_maxima(const Tile *t, const Modifiers m, const Head head, int block, int j0) {
  const Span plain = t->plain[block], sides[2] = {{t->spans[block].begin, plain.begin}, {plain.end, t->spans[block].end}};
  float found[ROWS];
  for (int r = 0; r < ROWS; r++) {
    const int row = block * ROWS + r;
    __local float16 *scores = (__local float16 *)scores_of(t, row);
    for (int side = 0; side < 2; side++)
      if (!is_empty(sides[side]))
        modify_row(scores, t->largest + row, t->seen + row, m, head, t->i0 + min(row, t->rows - 1), j0, sides[side]);
    float16 largest = t->largest[row];
    if (!is_empty(plain)) {
      t->seen[row] = 1;
      float16 product = -INFINITY;
      for (int v = plain.begin / 16; v < plain.end / 16; v++) product = LARGER(scores[v], product);
      product *= m.scale;
      largest = LARGER(product, largest);
    }
    t->largest[row] = -INFINITY;
    found[r] = largest_of(largest);
  }
  // A block is 16 rows, and so its maxima are a vector.
  const float16 before = vload16(block, t->maximum), of_tile = vload16(0, found), after = LARGER(of_tile, before);
  const float16 shift = isinf(after) ? (float16)0.0f : after;
  const float16 rescale = before == after ? (float16)1.0f : exponential(before - shift);
  vstore16(after, block, t->maximum);
  vstore16(rescale, block, t->rescale);
  vstore16(vload16(block, t->sum) * rescale, block, t->sum);
}

static void rescale_block(const Tile *t, int block, int columns) {
  for (int row = block * ROWS; row < block * ROWS + ROWS; row++) {
    const float rescale = t->rescale[row];
    if (rescale == 1.0f) continue;
    __local float16 *output = (__local float16 *)(t->output + row * columns);
    for (int n = 0; n < columns / 16; n++) output[n] *= rescale;
  }
}

// MARK: Output

// O += P·V of one block of rows.
static void multiply_weights(const Tile *t, Registers *registers, int block, __global const uint *values, long panel_stride,
                             int columns, Weighing *meanwhile) {
  __local const uint *weights = (__local const uint *)scores_of(t, block * ROWS);
  __local const uint *rest = (__local const uint *)(t->rest + block * ROWS * REST_STRIDE);
  for (int n = 0; n < columns; n += PANEL) {
    __global const uint *panel = values + n / PANEL * panel_stride;
    __local float *output = t->output + block * ROWS * columns + n;
    LOAD_LOCAL_TILE(registers, 0, output, columns);
    LOAD_LOCAL_TILE(registers, 1, output + 16, columns);
    for (int j = t->spans[block].begin; j < t->spans[block].end; j += DEPTH) {
      const LeftSide left = {weights + j, weights + j + 16, rest + j / 2, SCORE_STRIDE, REST_STRIDE};
      multiply_parts(t, registers, left, WEIGHT_PARTS, panel + (long)j * 16 * PARTS, WEIGHT_PARTS - 1, meanwhile);
    }
    STORE_TILE(registers, 0, output, columns);
    STORE_TILE(registers, 1, output + 16, columns);
  }
}

// What a weight's parts add up to.
static float weight_of(const Tile *t, int row, int j) {
  const int panel = j / PANEL, pair = j % 16;
  __local const uint *weights = (__local const uint *)scores_of(t, row) + panel * PANEL + pair;
  const int shift = j % PANEL < 16 ? 16 : 0;
  float sum = 0.0f;
#if WEIGHT_PARTS == 3
  sum = as_float(((__local const uint *)t->rest)[row * REST_STRIDE + panel * 16 + pair] << shift & 0xffff0000u);
#endif
  sum += as_float(weights[16] << shift & 0xffff0000u);
  return sum + as_float(weights[0] << shift & 0xffff0000u);
}

// The same where tiles cannot take the values: 0 · V is not 0 where V is not finite, and visibility decides. Rare, so small rather
// than fast.
static void multiply_visible(const Tile *t, const Modifiers m, const Head head, int block, int j0,
                             __global const storage_t *value, int value_dimension) {
  for (int row = block * ROWS; row < min(block * ROWS + ROWS, t->rows); row++) {
    __local float *output = t->output + row * columns_of(value_dimension);
    for (int j = t->spans[block].begin; j < t->spans[block].end; j++) {
      if (!is_visible(m, head, t->i0 + row, j0 + j)) continue;
      const float weight = weight_of(t, row, j);
      for (int n = 0; n < value_dimension; n++)
        output[n] = fma(weight, load_element(value, (long)j * value_dimension + n), output[n]);
    }
  }
}

// The block from `block` on that sees some of the keys; the number of blocks where there is none.
static int seeing_block(const Tile *t, int block) {
  while (block < t->blocks && is_empty(t->spans[block])) block++;
  return block;
}

static int panels_of(const Tile *t, int block) {
  return block < t->blocks ? (t->spans[block].end - t->spans[block].begin) / PANEL : 0;
}

// Where a tile of keys is: packed, and its rows.
typedef struct {
  __global const uint *keys, *values;
  long panel_stride;
  __global const storage_t *key, *value;
  int count, fit;
} Keys;

// One step of the online softmax of all rows, and what it adds to their output. While vectors make a block's weights of its
// scores, tiles compute the next block's scores and the last block's output: a processor does both at once where their
// instructions alternate closely.
//
//   tiles      Q·Kᵀ 0 │ Q·Kᵀ 1         │ Q·Kᵀ 2, P·V 0 │ Q·Kᵀ 3, P·V 1 │ … │ P·V
//   vectors           │ maxima 0, P 0  │ maxima 1, P 1 │ maxima 2, P 2 │ … │
static void attend_keys(const Tile *t, Registers *registers, const Modifiers m, const Head head, int j0, const Keys keys,
                        __global const storage_t *query, int head_dimension, int value_dimension) {
  const int columns = columns_of(value_dimension);
  const bool rows_fit = t->fits && (keys.fit & FIT_KEYS), weigh_by_tiles = keys.fit & FIT_VALUES;
  const int query_places = places(PARTS, 2) * depth_of(head_dimension) / DEPTH;
  const int weight_places = places(WEIGHT_PARTS, WEIGHT_PARTS - 1) * columns / PANEL;
  int last = t->blocks, block = t->blocks, next = seeing_block(t, 0);
  while (next < t->blocks || last < t->blocks || block < t->blocks) {
    Weighing weighing = {m.scale, 0, 0, 0, {0, 0}, {0, 0}, 0.0f, 0, 0};
    if (block < t->blocks) {
      find_maxima(t, m, head, block, j0);
      rescale_block(t, block, columns);
      weighing.row = block * ROWS;
      weighing.end_row = block * ROWS + ROWS;
      weighing.key = t->spans[block].begin;
      weighing.span = t->spans[block];
      weighing.plain = t->plain[block];
      const int all_places = panels_of(t, next) * query_places + panels_of(t, last) * weight_places;
      if (all_places > 0) weighing.rate = (32 * ROWS * panels_of(t, block) + all_places - 1) / all_places;
    }
    if (next < t->blocks) {
      multiply_queries(t, registers, next, keys.keys, head_dimension, &weighing);
      if (!rows_fit) multiply_misfits(t, next, keys.count, query, keys.key, head_dimension);
    }
    if (last < t->blocks && weigh_by_tiles)
      multiply_weights(t, registers, last, keys.values, keys.panel_stride, columns, &weighing);
    while (weighing.row < weighing.end_row) weigh_unit(t, &weighing);
    if (block < t->blocks && !weigh_by_tiles) multiply_visible(t, m, head, block, j0, keys.value, value_dimension);
    last = block;
    block = next;
    next = next < t->blocks ? seeing_block(t, next + 1) : t->blocks;
  }
}

// Finds what each block of rows sees of a tile of keys; false where it is nothing at all.
static bool find_spans(Tile *t, const Modifiers m, const Head head, int j0, int mask_class) {
  const int last = t->i0 + t->rows - 1;
  bool any = false;
  for (int b = 0; b < t->blocks; b++) {
    const int first = t->i0 + b * ROWS, end = min(first + ROWS, last + 1);
    Span span = span_of_block(head, first, end - 1, j0);
    const int visibility = tile_visibility(m, head, first, end - first, j0 + span.begin, span.end - span.begin, mask_class);
    if (visibility == TILE_HIDDEN) span.end = span.begin;
    t->spans[b] = span;
    t->plain[b] = plain_span(m, head, first, end - 1, j0, span, visibility);
    any = any || !is_empty(span);
  }
  return any;
}

__kernel ALONE void fused_amx(
    __global const Head *heads, __global const KeyValueHead *key_value_heads, __global const storage_t *query,
    __global const storage_t *key, __global const storage_t *value, __global const uint *packed_key,
    __global const uint *packed_value, __global const uchar *fit, __global const uchar *mask,
    __global const uchar *mask_classes, __global const uchar *block_mask, __global storage_t *output,
    __global float *log_sum_exp, __local float16 *scratch, int head_dimension, int value_dimension,
    int first_row, int row_tiles, int has_sinks,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride, int mask_class_stride,
    int query_block, int key_block, int block_columns) {
  const int group = get_group_id(0);
  const Head head = heads[group / row_tiles];
  const int row_tile = balanced(group % row_tiles, row_tiles);
  const int columns = columns_of(value_dimension);
  const Modifiers m = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                       query_block, key_block, block_columns, block_mask};

  Tile t;
  t.i0 = first_row + row_tile * TILE_ROWS;
  t.rows = min(TILE_ROWS, head.query_length - t.i0);
  if (t.rows <= 0) return;
  t.blocks = (t.rows + ROWS - 1) / ROWS;
  // Whole vectors first: their places must be multiples of one.
  t.largest = scratch;
  t.weight = (__local float *)(t.largest + TILE_ROWS);
  t.rest = t.weight + TILE_ROWS * SCORE_STRIDE;
  t.output = t.rest + TILE_ROWS * REST_STRIDE;
  t.query = (__local uint *)(t.output + TILE_ROWS * columns);
  t.maximum = (__local float *)(t.query + TILE_ROWS * PARTS * (depth_of(head_dimension) / 2));
  t.sum = t.maximum + TILE_ROWS;
  t.rescale = t.sum + TILE_ROWS;
  t.seen = (__local int *)(t.rescale + TILE_ROWS);
  __global const storage_t *queries = query + head.query + (long)t.i0 * head_dimension;
  load_queries(&t, queries, head_dimension);
  for (int n = 0; n < t.blocks * ROWS * columns / 16; n++) ((__local float16 *)t.output)[n] = 0.0f;
  for (int row = 0; row < t.blocks * ROWS; row++) {
    t.largest[row] = -INFINITY;
    t.maximum[row] = -INFINITY;
    t.sum[row] = 0.0f;
    t.seen[row] = 0;
  }

  Registers registers;
  BEGIN_TILES(&registers);
  const int last = t.i0 + t.rows - 1;
  __global const uchar *classes =
      mask_classes + head.mask_tiles + (mask_query_stride == 0 ? 0 : (long)row_tile * mask_class_stride);
  for (int j0 = first_visible(head, t.i0) / TILE_KEYS * TILE_KEYS; j0 < end_visible(head, last); j0 += TILE_KEYS) {
    const int tile = j0 / TILE_KEYS;
    if (!find_spans(&t, m, head, j0, mask_kind == MASK_NONE ? TILE_OPEN : classes[tile])) continue;
    const KeyValueHead rows = key_value_heads[head.score];
    Keys keys;
    keys.keys = packed_key + head.key + (long)j0 * (depth_of(head_dimension) / 2) * PARTS;
    keys.values = packed_value + head.value + (long)j0 * 16 * PARTS;
    keys.panel_stride = (long)padded(head.key_length, TILE_KEYS) * 16 * PARTS;
    keys.key = key + rows.key + (long)j0 * head_dimension;
    keys.value = value + rows.value + (long)j0 * value_dimension;
    keys.count = min(TILE_KEYS, head.key_length - j0);
    keys.fit = fit[head.key_tiles + tile];
    attend_keys(&t, &registers, m, head, j0, keys, queries, head_dimension, value_dimension);
  }
  END_TILES();

  for (int row = 0; row < t.rows; row++) {
    const RowEnd end = end_of_row(t.maximum[row], t.sum[row], t.seen[row], has_sinks, head.sink);
    log_sum_exp[head.log_sum_exp + t.i0 + row] = end.log_sum_exp;
    for (int n = 0; n < value_dimension; n += 4)
      store_four(output, head.output + (long)(t.i0 + row) * value_dimension + n,
                 vload4(0, t.output + row * columns + n) * end.factor, value_dimension - n);
  }
}
