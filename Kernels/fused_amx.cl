// Fused attention on a CPU with AMX: fused_cpu.cl with both products by AMX, of numbers in parts (brain_parts.cl).
// Sources/CAttention/template/brain_products.inc is the same in C, and says at length what is short here.

// Words apart of rows of scores and of the third parts of weights. (Rows that are a power of two apart would share the places
// of few lines in a cache.)
#define SCORE_STRIDE (TILE_KEYS + 16)
#define REST_STRIDE (WEIGHT_PARTS == 3 ? TILE_KEYS / 2 + 16 : 0)

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


static __local float *scores_of(const Tile *t, int row) { return t->weight + row * SCORE_STRIDE; }

// Rows of zeros fill the last block.
static void load_queries(Tile *t, __global const storage_t *query, int head_dimension) {
  const int words = depth_of(head_dimension) / 2;
  t->fits = true;
  for (int row = 0; row < t->blocks * ROWS; row++) {
    uint16 most = 0;
    for (int d = 0; d < head_dimension; d += DEPTH) {
      float16 low = 0.0f, high = 0.0f;
      if (row < t->rows) {
        low = load_vector(query + (long)row * head_dimension + d, head_dimension - d);
        high = load_vector(query + (long)row * head_dimension + d + 16, head_dimension - d - 16);
      }
      most = max(most, max(magnitude_of(low), magnitude_of(high)));
      for (int p = 0; p < PARTS; p++) {
        const uint16 part = take_part(&low);
        *(__local uint16 *)(t->query + (row * PARTS + p) * words + d / 2) = pairs_of(part, take_part(&high));
      }
    }
    t->fits &= numbers_fit(most, true);  // (no branch: end_of_row says why)
  }
}

// MARK: Weights

// A block whose scores become weights while tiles multiply, 32 keys of a row at a time: those from `key` of row `row` on are
// still scores, or products if `scale` is not 1.
typedef struct {
  const Constants *constants;
  float scale;
  int row, end_row, key;
  Span span;
  float16 sum;       // of the row's weights so far
  float shift;       // the row's
  bool careful;      // whether its scores are large
  int rate, credit;  // 32nds of a unit of 32 keys: how many at each place where products let it, and how many are due
} Weighing;

// Scores from which on the quick form of `exponents` would lose more than their last bits.
#define LARGE_SCORE 1024.0f

static void begin_row(const Tile *t, Weighing *w) {
  const float maximum = t->maximum[w->row];
  w->key = w->span.begin;
  w->sum = 0.0f;
  w->shift = shift_of(maximum);
  w->careful = !(fabs(maximum) < LARGE_SCORE);
}

// Exponents of 2: (s · scale − shift) · log₂ e. What was stored in 16 bits takes one step, s · c − c': its two roundings are
// those of a score. Where scores are large or have 24 bits the product is rounded by itself and the difference comes first,
// which then loses nothing, and is 0 for the largest.
static float16 exponents(const Weighing *w, float16 s) {
  const float log2_e = 1.44269504f;
#if WEIGHT_PARTS < 3
  if (!w->careful) return fma(s, (float16)(w->scale * log2_e), (float16)(-w->shift * log2_e));
#endif
  float16 x = s * w->scale;
  x -= w->shift;
  x *= log2_e;
  return w->careful ? select(x, (float16)128.0f, x > 128.0f) : x;
}

// P = exp(S · scale − shift) of 32 keys of a row, in place, as parts: two are rounded, three are all there is if each is cut
// off.
static void weigh_unit(const Tile *t, Weighing *w) {
  const Constants *c = w->constants;
  __local float16 *scores = (__local float16 *)(scores_of(t, w->row) + w->key);
  float16 low = power_of_two(exponents(w, scores[0]), c), high = power_of_two(exponents(w, scores[1]), c);
  w->sum += low + high;
#pragma unroll
  for (int p = 0; p < WEIGHT_PARTS; p++) {
#if WEIGHT_PARTS < 3
    const uint16 a = (as_uint16(low) + c->rounding) & c->upper, b = (as_uint16(high) + c->rounding) & c->upper;
#else
    const uint16 a = as_uint16(low) & c->upper, b = as_uint16(high) & c->upper;
#endif
    __local float16 *to = p < 2 ? scores + p : (__local float16 *)(t->rest + w->row * REST_STRIDE + w->key / 2);
    *to = as_float16(pairs_of(a, b));
    low -= as_float16(a);
    high -= as_float16(b);
  }
  w->key += PANEL;
  if (w->key < w->span.end) return;
  t->sum[w->row++] += sum_of(w->sum);
  if (w->row < w->end_row) begin_row(t, w);
}

static void weigh_some(const Tile *t, Weighing *w) {
  for (w->credit += w->rate; w->credit >= 32 && w->row < w->end_row; w->credit -= 32) weigh_unit(t, w);
}

// MARK: Products

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

// What is known once a block's products are there: its maxima, and what its output so far counts under them. Products become
// scores where their scale cannot wait.
static void find_maxima(const Tile *t, const Modifiers m, const Head head, int block, int j0) {
  const Span plain = t->plain[block], sides[2] = {{t->spans[block].begin, plain.begin}, {plain.end, t->spans[block].end}};
  const bool waits = only_hides(m, head);
  const float scale = waits ? m.scale : 1.0f;
  Modifiers of_sides = m;
  if (waits) of_sides.scale = 1.0f;
  float16 of_tile;
  for (int r = 0; r < ROWS; r++) {
    const int row = block * ROWS + r;
    __local float16 *scores = (__local float16 *)scores_of(t, row);
    for (int side = 0; side < 2; side++)
      if (!is_empty(sides[side]))
        modify_row(scores, t->largest + row, t->seen + row, of_sides, head, t->i0 + min(row, t->rows - 1), j0, sides[side]);
    float16 even = t->largest[row], odd = -INFINITY;
    if (!is_empty(plain)) t->seen[row] = 1;
    for (int v = plain.begin / 16; v < plain.end / 16 && !waits; v++) scores[v] *= m.scale;
    for (int v = plain.begin / 16; v < plain.end / 16; v += 2) {
      even = LARGER(scores[v], even);
      odd = LARGER(scores[v + 1], odd);
    }
    t->largest[row] = -INFINITY;
    ((float *)&of_tile)[r] = largest_of(LARGER(even, odd)) * scale;
  }
  // A block is 16 rows, and so its maxima are a vector.
  __local float16 *maximum = (__local float16 *)t->maximum + block, *sum = (__local float16 *)t->sum + block;
  const float16 before = *maximum, after = LARGER(of_tile, before);
  const float16 shift = isinf(after) ? (float16)0.0f : after;
  const float16 rescale = before == after ? (float16)1.0f : exponential(before - shift);
  *maximum = after;
  ((__local float16 *)t->rescale)[block] = rescale;
  *sum *= rescale;
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

// The same where tiles cannot take the values: 0 · V is not 0 where V is not finite, and visibility decides. Rare, so small
// rather than fast.
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
static void attend_keys(const Tile *t, Registers *registers, const Constants *constants, const Modifiers m, const Head head,
                        int j0, const Keys keys, __global const storage_t *query, int head_dimension, int value_dimension) {
  const int columns = columns_of(value_dimension);
  const bool rows_fit = t->fits && (keys.fit & FIT_KEYS), weigh_by_tiles = keys.fit & FIT_VALUES;
  const int query_places = places(PARTS, 2) * depth_of(head_dimension) / DEPTH;
  const int weight_places = places(WEIGHT_PARTS, WEIGHT_PARTS - 1) * columns / PANEL;
  int last = t->blocks, block = t->blocks, next = seeing_block(t, 0);
  while (next < t->blocks || last < t->blocks || block < t->blocks) {
    Weighing weighing = {constants, only_hides(m, head) ? m.scale : 1.0f, 0, 0, 0, {0, 0}, 0.0f, 0.0f, false, 0, 0};
    if (block < t->blocks) {
      find_maxima(t, m, head, block, j0);
      rescale_block(t, block, columns);
      weighing.row = block * ROWS;
      weighing.end_row = block * ROWS + ROWS;
      weighing.span = t->spans[block];
      begin_row(t, &weighing);
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
    Span span = whole(span_of_block(head, first, end - 1, j0), PANEL);
    const int visibility = tile_visibility(m, head, first, end - first, j0 + span.begin, span.end - span.begin, mask_class);
    if (visibility == TILE_HIDDEN) span.end = span.begin;
    t->spans[b] = span;
    t->plain[b] = plain_span(m, head, first, end - 1, j0, span, visibility);
    any = any || !is_empty(span);
  }
  return any;
}

// All that tiles do for a tile of rows.
static APART void attend_all_keys(Tile *t, const Modifiers m, const Head head, __global const KeyValueHead *key_value_heads,
                                  __global const storage_t *query, __global const storage_t *key,
                                  __global const storage_t *value, __global const uint *packed_key,
                                  __global const uint *packed_value, __global const uchar *fit,
                                  __global const uchar *mask_classes, int first_key, int head_dimension, int value_dimension) {
  Registers registers;
  BEGIN_TILES(&registers);
  const Constants constants = constants_in_registers();
  const int last = t->i0 + t->rows - 1;
  for (int j0 = first_visible(head, t->i0) / TILE_KEYS * TILE_KEYS; j0 < end_visible(head, last); j0 += TILE_KEYS) {
    const int tile = j0 / TILE_KEYS;
    if (!find_spans(t, m, head, j0, m.mask_kind == MASK_NONE ? TILE_OPEN : mask_classes[tile])) continue;
    const KeyValueHead rows = key_value_heads[head.score];
    Keys keys;
    keys.keys = packed_key + head.key + (long)(j0 - first_key) * (depth_of(head_dimension) / 2) * PARTS;
    keys.values = packed_value + head.value + (long)(j0 - first_key) * 16 * PARTS;
    keys.panel_stride = (long)ROUNDED_UP(head.key_length, TILE_KEYS) * 16 * PARTS;
    keys.key = key + rows.key + (long)j0 * head_dimension;
    keys.value = value + rows.value + (long)j0 * value_dimension;
    keys.count = min(TILE_KEYS, head.key_length - j0);
    keys.fit = fit[head.key_tiles + tile - first_key / TILE_KEYS];
    attend_keys(t, &registers, &constants, m, head, j0, keys, query, head_dimension, value_dimension);
  }
  END_TILES();
}

__kernel ALONE void fused_amx(
    __global const Head *heads, __global const KeyValueHead *key_value_heads, __global const storage_t *query,
    __global const storage_t *key, __global const storage_t *value, __global const uint *packed_key,
    __global const uint *packed_value, __global const uchar *fit, __global const uchar *mask,
    __global const uchar *mask_classes, __global const uchar *block_mask, __global storage_t *output,
    __global float *log_sum_exp, __local float16 *scratch, int head_dimension, int value_dimension,
    int first_row, int row_tiles, int first_key, int has_sinks,
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

  __global const uchar *classes =
      mask_classes + head.mask_tiles + (mask_query_stride == 0 ? 0 : (long)row_tile * mask_class_stride);
  attend_all_keys(&t, m, head, key_value_heads, queries, key, value, packed_key, packed_value, fit, classes, first_key,
                  head_dimension, value_dimension);

  for (int row = 0; row < t.rows; row++) {
    const RowEnd end = end_of_row(t.maximum[row], t.sum[row], t.seen[row], has_sinks, head.sink);
    t.maximum[row] = end.maximum;
    t.sum[row] = end.sum;
    for (int n = 0; n < value_dimension; n += 4)
      store_four(output, head.output + (long)(t.i0 + row) * value_dimension + n,
                 vload4(0, t.output + row * columns + n) * end.factor, value_dimension - n);
  }
  for (int block = 0; block < t.blocks; block++)  // a vector of logarithms at a time
    ((__local float16 *)t.maximum)[block] += log(((__local float16 *)t.sum)[block]);
  for (int row = 0; row < t.rows; row++) log_sum_exp[head.log_sum_exp + t.i0 + row] = t.maximum[row];
}
