// O = softmax(modifiers(Q·Kᵀ))·V in one pass over the keys, for devices of many work-items that share local memory
// (FlashAttention: Dao et al. 2022; Dao 2023). The score matrix is never in memory: a work-group owns TILE_ROWS queries
// of one head and walks over their keys, TILE_KEYS at a time.
//
//   m = −∞, l = 0, O = 0                          for every row of the tile
//   for every tile of keys that is not hidden:
//     S  = modified(Q·Kᵀ)                         registers
//     m' = max(m, max S)                          local memory, by atomic_max              barrier A
//     P  = exp(S − m'), O ·= exp(m − m'), l = l · exp(m − m') + Σ P
//     P, V and the next K to local memory                                                  barrier B
//     O += P·V                                    registers
//   O / l, m + ln l
//
// A work-item holds ROWS × COLUMNS scores and ROWS × FOURS fours of the output. With 4 × 4 items of 2 rows, TILE_KEYS 8:
//
//                  key ─► TILE_KEYS               column ─► VALUE_DIMENSION
//             x:   0 1 2 3 0 1 2 3           x:   0000 1111 2222 3333 0000 1111 …
//           ┌ y 0 ┌───────────────┐         y 0  ┌──────────────────────────────
//   row     │   0 │               │           0  │
//    │      │   1 │    S, P       │           1  │          O
//    ▼      │   1 │               │           1  │
//  TILE_ROWS│   … └───────────────┘           …  └──────────────────────────────
//
// so that neighbouring items read neighbouring rows of K and neighbouring fours of V, and one word of Q and of P serves
// them all. Rows of the local tiles are padded by four floats: unpadded, the rows of K would share their banks.
//
// K and V have a buffer each where local memory allows (two barriers a tile). Otherwise (ONE_BUFFER) they take turns in
// one, K by DEPTH columns at a time and V by VALUE_KEYS keys at a time, so that any dimension fits.
//
// Built with -DSCORE_WIDTH=1.

#ifndef GROUP_X
#define GROUP_X 16
#endif
#ifndef GROUP_Y
#define GROUP_Y 16
#endif
#ifndef ONE_BUFFER
#define ONE_BUFFER 0
#endif
// How much of a tile of K and V is in local memory at a time; less than all of it with ONE_BUFFER alone.
#ifndef DEPTH
#define DEPTH KEY_WIDTH
#endif
#ifndef VALUE_KEYS
#define VALUE_KEYS TILE_KEYS
#endif
// Whether panels wait in registers, fetched before the arithmetic that comes before them.
#ifndef PREFETCH
#define PREFETCH 1
#endif

// Whether sums of scores are in pairs, which some devices add two at a time.
#ifndef PAIRS
#define PAIRS 1
#endif

// Fours of a row of Q and K, and keys of V, that the inner loops take at a time.
#ifndef SCORE_UNROLL
#define SCORE_UNROLL 2
#endif
#ifndef VALUE_UNROLL
#define VALUE_UNROLL 4
#endif

// Arrays whose index is ROWS, COLUMNS or FOURS long are registers if the loops over them are unrolled. Compilers do that
// to small loops; `#pragma unroll` stands at the larger ones. (At all of them, it has PoCL 3.1 store past the last column.)

#define GROUP_ITEMS (GROUP_X * GROUP_Y)

#define ROWS (TILE_ROWS / GROUP_Y)
#define COLUMNS (TILE_KEYS / GROUP_X)
#define FOURS ((VALUE_WIDTH / 4 + GROUP_X - 1) / GROUP_X)

// What an item moves at a time, 16 bytes where the rows allow it.
#if STORAGE == 0
#define UNIT 4
typedef float4 unit_t;
#elif defined(ALIGNED) && HEAD_DIMENSION % 8 == 0 && VALUE_DIMENSION % 8 == 0
#define UNIT 8
typedef ushort8 unit_t;
#else
#define UNIT 4
typedef ushort4 unit_t;
#endif

#define KEY_WIDTH ROUNDED_UP(HEAD_DIMENSION, UNIT)
#define VALUE_WIDTH ROUNDED_UP(VALUE_DIMENSION, UNIT)
#define QUERY_WIDTH ROUNDED_UP(HEAD_DIMENSION, DEPTH)
#define KEY_PANELS (QUERY_WIDTH / DEPTH)
#define VALUE_PANELS (TILE_KEYS / VALUE_KEYS)

// Strides of the local tiles, in fours.
#define QUERY_STRIDE (QUERY_WIDTH / 4 + 1)
#define KEY_STRIDE (DEPTH / 4 + 1)
#define VALUE_STRIDE (VALUE_WIDTH / 4 + 1)
#define WEIGHT_STRIDE (TILE_ROWS / 4 + 1)

#define KEY_SIZE (TILE_KEYS * KEY_STRIDE)
#define VALUE_SIZE (VALUE_KEYS * VALUE_STRIDE)

// Units an item carries of a panel.
#define UNITS(rows, width) (((rows) * ((width) / UNIT) + GROUP_ITEMS - 1) / GROUP_ITEMS)
#define KEY_UNITS UNITS(TILE_KEYS, DEPTH)
#define VALUE_UNITS UNITS(VALUE_KEYS, VALUE_WIDTH)

// Floats in the order of signed integers, so that atomic_max finds the larger of two; its own inverse.
static int ordered(int bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

// A rectangle of an operand: what there is of it from an element on, to the right and down.
typedef struct {
  __global const storage_t *from;
  int rows, columns;
  int stride;
} Panel;

// The unit at a row and column; 0 past the last row and column.
static unit_t fetch_unit(const Panel panel, int row, int column) {
  unit_t unit = 0;
  if (row >= panel.rows || column >= panel.columns) return unit;
  __global const storage_t *here = panel.from + row * panel.stride + column;
#ifdef ALIGNED
  return *(__global const unit_t *)here;
#else
  const int left = panel.columns - column;
  unit.x = here[0];
  if (left > 1) unit.y = here[1];
  if (left > 2) unit.z = here[2];
  if (left > 3) unit.w = here[3];
  return unit;
#endif
}

// Writes a unit to a local tile; whether all of it is finite.
static bool store_unit(__local float4 *to, const unit_t unit) {
#if UNIT == 8
  const float4 low = four_from_storage(unit.lo), high = four_from_storage(unit.hi);
  to[0] = low;
  to[1] = high;
  return all(isfinite(low)) && all(isfinite(high));
#else
  const float4 four = four_from_storage(unit);
  to[0] = four;
  return all(isfinite(four));
#endif
}

// The keys from j to `end`, from a panel's first column on; the values from j to `end`.
static Panel key_panel(__global const storage_t *key, int j, int end, int panel) {
  const int column = panel * DEPTH;
  return (Panel){key + (long)j * HEAD_DIMENSION + column, end - j, HEAD_DIMENSION - column, HEAD_DIMENSION};
}

static Panel value_panel(__global const storage_t *value, int j, int end) {
  return (Panel){value + (long)j * VALUE_DIMENSION, end - j, VALUE_DIMENSION, VALUE_DIMENSION};
}

// Copies `rows` rows of `width` columns to a local tile; whether this item's part is finite.
static bool copy_panel(__local float4 *tile, int tile_stride, const Panel panel, int rows, int width, int item) {
  bool finite = true;
  for (int at = item; at < rows * (width / UNIT); at += GROUP_ITEMS) {
    const int row = at / (width / UNIT), column = at % (width / UNIT) * UNIT;
    finite &= store_unit(tile + row * tile_stride + column / 4, fetch_unit(panel, row, column));
  }
  return finite;
}

// The same in two steps, with arithmetic between them: the units wait in registers. Without PREFETCH the first step only
// notes where they are.
typedef struct {
  Panel panel;
  unit_t units[!PREFETCH ? 1 : KEY_UNITS > VALUE_UNITS ? KEY_UNITS : VALUE_UNITS];
} Fetched;

// (Where the items come out even, the first condition is known to the compiler.)
static bool is_unit(int n, int at, int rows, int width) {
  return (n + 1) * GROUP_ITEMS <= rows * (width / UNIT) || at < rows * (width / UNIT);
}

static void fetch(Fetched *fetched, const Panel panel, int rows, int width, int item) {
  fetched->panel = panel;
  for (int n = 0; n < (PREFETCH ? UNITS(rows, width) : 0); n++) {
    const int at = item + n * GROUP_ITEMS;
    fetched->units[n] = 0;
    if (is_unit(n, at, rows, width))
      fetched->units[n] = fetch_unit(panel, at / (width / UNIT), at % (width / UNIT) * UNIT);
  }
}

static bool store(__local float4 *tile, int tile_stride, const Fetched *fetched, int rows, int width, int item) {
  if (!PREFETCH) return copy_panel(tile, tile_stride, fetched->panel, rows, width, item);
  bool finite = true;
  for (int n = 0; n < UNITS(rows, width); n++) {
    const int at = item + n * GROUP_ITEMS;
    if (is_unit(n, at, rows, width))
      finite &= store_unit(tile + at / (width / UNIT) * tile_stride + at % (width / UNIT) * (UNIT / 4),
                           fetched->units[n]);
  }
  return finite;
}

// S += Q·Kᵀ over the columns of a panel. Neighbouring multiply-adds are of different scores, so that none waits for the
// last.
static void add_scores(float s[ROWS][COLUMNS], __local const float4 *query, __local const float4 *key) {
#if PAIRS
  float2 pair[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) pair[r][c] = (float2)(s[r][c], 0.0f);
#endif
#pragma unroll SCORE_UNROLL
  for (int d = 0; d < DEPTH / 4; d++) {
    float4 a[ROWS], b[COLUMNS];
    for (int r = 0; r < ROWS; r++) a[r] = query[r * QUERY_STRIDE + d];
    for (int c = 0; c < COLUMNS; c++) b[c] = key[c * GROUP_X * KEY_STRIDE + d];
#if PAIRS
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) pair[r][c] += a[r].lo * b[c].lo;
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) pair[r][c] += a[r].hi * b[c].hi;
#else
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] += a[r].x * b[c].x;
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] += a[r].y * b[c].y;
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] += a[r].z * b[c].z;
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] += a[r].w * b[c].w;
#endif
  }
#if PAIRS
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) s[r][c] = pair[r][c].x + pair[r][c].y;
#endif
}

// From products to scores; the bit r · COLUMNS + c of what it returns says that the pair is hidden.
static uint modify_scores(float s[ROWS][COLUMNS], const Modifiers modifiers, __global const Head *heads, int visibility,
                          int i, int j) {
  const Head head = *heads;
  if (visibility == TILE_OPEN && only_scales(modifiers.softcap, head.slope)) {
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] *= modifiers.scale;
    return 0;
  }
  // The code of one score, once: each in turn is taken from the front of the line, and comes to its end.
  uint hidden = 0;
#pragma unroll 1
  for (int n = 0; n < ROWS * COLUMNS; n++) {
    // (Rows past the last have no mask; they may be anything, and are the last again.)
    const int row = min(i + n / COLUMNS, head.query_length - 1), key = j + n % COLUMNS * GROUP_X;
    int visible;
    const float score = modified_scores(modifiers, head, row, key, s[0][0], &visible);
#pragma unroll
    for (int k = 1; k < ROWS * COLUMNS; k++)
      s[(k - 1) / COLUMNS][(k - 1) % COLUMNS] = s[k / COLUMNS][k % COLUMNS];
    s[ROWS - 1][COLUMNS - 1] = score;
    hidden |= visible ? 0u : 1u << n;
  }
  return hidden;
}

static void store_weights(__local float *weights, float s[ROWS][COLUMNS]) {
  for (int c = 0; c < COLUMNS; c++) {
    __local float *to = weights + c * GROUP_X * (4 * WEIGHT_STRIDE);
#if ROWS % 4 == 0
    for (int r = 0; r < ROWS; r += 4)
      *(__local float4 *)(to + r) = (float4)(s[r][c], s[r + 1][c], s[r + 2][c], s[r + 3][c]);
#else
    for (int r = 0; r < ROWS; r++) to[r] = s[r][c];
#endif
  }
}

// O += P·V over the keys of a panel. `at` is where the item's fours are in a row of V. `careful` where V holds a NaN or an
// infinity, which must not reach the rows that it is hidden from.
static void add_values(float4 o[ROWS][FOURS], __local const float *weights, __local const float4 *value,
                       const int at[FOURS], bool careful) {
  if (careful) {
// Rare, so small rather than fast: unrolled, it would take more registers than the product itself.
#pragma unroll 1
    for (int j = 0; j < VALUE_KEYS; j++) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const float p = weights[j * (4 * WEIGHT_STRIDE) + r];
        if (is_hidden(p)) continue;
        for (int n = 0; n < FOURS; n++) o[r][n] += p * value[j * VALUE_STRIDE + at[n]];
      }
    }
    return;
  }
#pragma unroll VALUE_UNROLL
  for (int j = 0; j < VALUE_KEYS; j++) {
    float p[ROWS];
    load_floats(p, weights + j * (4 * WEIGHT_STRIDE), ROWS);
    float4 v[FOURS];
    for (int n = 0; n < FOURS; n++) v[n] = value[j * VALUE_STRIDE + at[n]];
    for (int r = 0; r < ROWS; r++)
      for (int n = 0; n < FOURS; n++) o[r][n] += p[r] * v[n];
  }
}

__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void fused_gpu(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const storage_t *value, __global const uchar *mask, __global const uchar *mask_classes,
    __global const uchar *block_mask, __global storage_t *output, __global float *log_sum_exp,
    int first_row, int row_tiles, int head_count, int has_sinks,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride, int mask_class_stride,
    int query_block, int key_block, int block_columns) {
  __local float4 query_tile[TILE_ROWS * QUERY_STRIDE];
#if ONE_BUFFER
  __local float4 buffer[KEY_SIZE > VALUE_SIZE ? KEY_SIZE : VALUE_SIZE];
  __local float4 *key_tile = buffer, *value_tile = buffer;
#else
  __local float4 key_tile[KEY_SIZE], value_tile[VALUE_SIZE];
#endif
  __local float4 weight_tile[TILE_KEYS * WEIGHT_STRIDE];
  __local int row_maximum[TILE_ROWS];  // ordered
  __local int not_finite;              // whether V has held a NaN or an infinity

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  // Where queries see the keys before them, later rows take longer: they go first.
  const int group = get_group_id(0);
  if (group >= head_count * row_tiles) return;
  const int row_tile = row_tiles - 1 - group % row_tiles;
  // (Read again where it is needed, the head need not be in registers in between.)
  heads += group / row_tiles;
  const Head head = *heads;
  const Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};

  const int i0 = first_row + row_tile * TILE_ROWS;
  const int rows = rows_of_tile(head, i0);
  if (rows <= 0) return;

  // The keys that some row sees by position.
  const int begin = first_visible(head, i0) / TILE_KEYS * TILE_KEYS, end = end_visible(head, i0 + rows - 1);
  mask_classes += head.mask_tiles + (mask_query_stride == 0 ? 0 : (long)row_tile * mask_class_stride);
  KeyTile tile = next_tile(modifiers, heads, i0, begin, end, mask_classes);

  // What this item reads and writes of the local tiles.
  __local const float4 *my_query = query_tile + y * ROWS * QUERY_STRIDE;
  __local const float4 *my_key = key_tile + x * KEY_STRIDE;
  __local float *weights = (__local float *)weight_tile;
  __local float *my_weights = weights + y * ROWS;
  int fours[FOURS];
  for (int n = 0; n < FOURS; n++) fours[n] = min(n * GROUP_X + x, VALUE_WIDTH / 4 - 1);

  float maximum[ROWS], sum[ROWS];
  float4 o[ROWS][FOURS];
  for (int r = 0; r < ROWS; r++) {
    maximum[r] = -INFINITY;
    sum[r] = HIDDEN_WEIGHT;
    for (int n = 0; n < FOURS; n++) o[r][n] = 0.0f;
  }
  for (int row = item; row < TILE_ROWS; row += GROUP_ITEMS) row_maximum[row] = ordered(as_int(-INFINITY));
  if (item == 0) not_finite = 0;

  query += head.query + (long)i0 * HEAD_DIMENSION;
  key += head.key;
  value += head.value;
  copy_panel(query_tile, QUERY_STRIDE, (Panel){query, rows, HEAD_DIMENSION, HEAD_DIMENSION}, TILE_ROWS, QUERY_WIDTH,
             item);
  Fetched keys, values;
#if ONE_BUFFER
  fetch(&keys, key_panel(key, tile.j, end, 0), TILE_KEYS, DEPTH, item);
#else
  copy_panel(key_tile, KEY_STRIDE, key_panel(key, tile.j, end, 0), TILE_KEYS, DEPTH, item);
#endif
  barrier(CLK_LOCAL_MEM_FENCE);

  while (tile.j < end) {
    const KeyTile next = next_tile(modifiers, heads, i0, tile.j + TILE_KEYS, end, mask_classes);
    float s[ROWS][COLUMNS];
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) s[r][c] = 0.0f;
#if ONE_BUFFER
    for (int c = 0; c < KEY_PANELS; c++) {
#if KEY_PANELS > 1  // (PoCL 3.1 goes wrong at a barrier that only some rounds of a loop reach.)
      barrier(CLK_LOCAL_MEM_FENCE);
#endif
      store(key_tile, KEY_STRIDE, &keys, TILE_KEYS, DEPTH, item);
      barrier(CLK_LOCAL_MEM_FENCE);
      if (c + 1 < KEY_PANELS)
        fetch(&keys, key_panel(key, tile.j, end, c + 1), TILE_KEYS, DEPTH, item);
      else
        fetch(&values, value_panel(value, tile.j, end), VALUE_KEYS, VALUE_WIDTH, item);
      add_scores(s, my_query + c * (DEPTH / 4), my_key);
    }
#else
    fetch(&values, value_panel(value, tile.j, end), VALUE_KEYS, VALUE_WIDTH, item);
    fetch(&keys, key_panel(key, next.j, end, 0), TILE_KEYS, DEPTH, item);
    add_scores(s, my_query, my_key);
#endif
    const uint hidden = modify_scores(s, modifiers, heads, tile.visibility, i0 + y * ROWS, tile.j + x);

#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      float m = maximum[r];
      for (int c = 0; c < COLUMNS; c++) m = s[r][c] > m ? s[r][c] : m;
      if (m > maximum[r]) atomic_max(row_maximum + y * ROWS + r, ordered(as_int(m)));
    }
    barrier(CLK_LOCAL_MEM_FENCE);  // A: the maxima are known, K is free

#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const float after = as_float(ordered(row_maximum[y * ROWS + r]));
      const float shift = shift_of(after);
      // (Of equal infinities the difference would be NaN.)
      const float factor = maximum[r] == after ? 1.0f : exponential(maximum[r] - after);
      maximum[r] = after;
      sum[r] *= factor;
      for (int n = 0; n < FOURS; n++) o[r][n] *= factor;
      for (int c = 0; c < COLUMNS; c++) {
        s[r][c] = (hidden >> (r * COLUMNS + c)) & 1u ? HIDDEN_WEIGHT : exponential(s[r][c] - shift);
        sum[r] += s[r][c];
      }
    }
    store_weights(my_weights + x * (4 * WEIGHT_STRIDE), s);

#if ONE_BUFFER
    for (int v = 0; v < VALUE_PANELS; v++) {
#if VALUE_PANELS > 1
      barrier(CLK_LOCAL_MEM_FENCE);
#endif
      if (!store(value_tile, VALUE_STRIDE, &values, VALUE_KEYS, VALUE_WIDTH, item))
        atomic_or(&not_finite, 1);
      barrier(CLK_LOCAL_MEM_FENCE);
      if (v + 1 < VALUE_PANELS)
        fetch(&values, value_panel(value, tile.j + (v + 1) * VALUE_KEYS, end), VALUE_KEYS, VALUE_WIDTH, item);
      else
        fetch(&keys, key_panel(key, next.j, end, 0), TILE_KEYS, DEPTH, item);
      const bool careful = tile.visibility != TILE_OPEN && not_finite;
      add_values(o, my_weights + v * VALUE_KEYS * (4 * WEIGHT_STRIDE), value_tile, fours, careful);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#else
    if (!store(value_tile, VALUE_STRIDE, &values, VALUE_KEYS, VALUE_WIDTH, item))
      atomic_or(&not_finite, 1);
    store(key_tile, KEY_STRIDE, &keys, TILE_KEYS, DEPTH, item);
    barrier(CLK_LOCAL_MEM_FENCE);  // B: P, V and the next K are there
    add_values(o, my_weights, value_tile, fours, tile.visibility != TILE_OPEN && not_finite);
#endif
    tile = next;
  }

  // The sums of a row's items meet in the place of P.
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = 0; r < ROWS; r++) my_weights[x * (4 * WEIGHT_STRIDE) + r] = sum[r];
  barrier(CLK_LOCAL_MEM_FENCE);
  const int end_row = rows_of_tile(*heads, i0);
  for (int row = item; row < end_row; row += GROUP_ITEMS) {
    float total = HIDDEN_WEIGHT;
    for (int n = 0; n < GROUP_X; n++) total += weights[n * (4 * WEIGHT_STRIDE) + row];
    const float m = as_float(ordered(row_maximum[row]));
    const RowEnd row_end = end_of_row(m, total, !is_hidden(total), has_sinks, heads->sink);
    log_sum_exp[heads->log_sum_exp + i0 + row] = log_sum_exp_of(row_end);
    row_maximum[row] = as_int(row_end.factor);
  }
  barrier(CLK_LOCAL_MEM_FENCE);

  output += heads->output + (long)i0 * VALUE_DIMENSION;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = y * ROWS + r;
    const float factor = as_float(row_maximum[row]);
#pragma unroll
    for (int n = 0; n < FOURS; n++) {
      const int column = (n * GROUP_X + x) * 4;
      if (row < end_row && column < VALUE_DIMENSION)
        store_four(output, (long)row * VALUE_DIMENSION + column, o[r][n] * factor, VALUE_DIMENSION - column);
    }
  }
}
