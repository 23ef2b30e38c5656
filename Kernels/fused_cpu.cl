// Fused attention on a CPU: one pass over the keys, no score matrix in memory. A work-item, alone in its work-group, owns
// a tile of queries of one head and walks the tiles of keys that they see:
//
//   for each tile of keys that is not hidden:
//     S = Q·Kᵀ            a panel of keys at a time, which stays in the first-level cache
//     S = modifiers(S), m', P = exp(S − m'), l'        row by row (online_softmax.cl)
//     O = O · exp(m − m') + P·V                        a panel of columns at a time
//   output = O · factor
//
// Both products are one micro-kernel, ROWS × PANEL accumulators in registers, fed by one broadcast a row and COLUMNS
// vectors a step:
//
//                  PANEL = COLUMNS · VECTOR
//                 ┌────────────────────────┐
//               k │ b[k][…], unit stride   │ depth
//                 └────────────────────────┘
//        ┌──────┐ ┌────────────────────────┐
//   ROWS │a(r,k)│ │ c[r][…], in registers  │
//        └──────┘ └────────────────────────┘
//
// For unit strides, keys and values are packed first, once a key/value head, into float32 panels (pack_keys_values):
//
//   keys    [panel of PANEL keys][d][PANEL]           values  [panel of PANEL columns][key][PANEL]
//
// padded with zeros to whole panels of keys and of columns. (There is room for whole tiles of keys; no span reaches it.)

// MARK: Packing

// panels[p][d][x] = rows[p · PANEL + x][d] for one tile of keys: blocks of VECTOR × VECTOR are turned over in registers.
static void pack_key_tile(__global float *panels, __global const storage_t *rows, int row_count, int width) {
  for (int row = 0; row < ROUNDED_UP(row_count, PANEL); row += VECTOR) {
    __global float *to = panels + (long)(row / PANEL) * PANEL * width + row % PANEL;
    for (int d = 0; d < width; d += VECTOR, to += VECTOR * PANEL) {
      WIDE(uint) v[VECTOR];
      for (int x = 0; x < VECTOR; x++)
        v[x] = row + x < row_count ? WIDE(as_uint)(load_vector(rows + (long)(row + x) * width + d, width - d)) : (WIDE(uint))0;
      transpose(v);
#pragma unroll
      for (int n = 0; n < VECTOR; n++)
        if (n < width - d) *(__global vector_t *)(to + n * PANEL) = WIDE(as_float)(v[n]);
    }
  }
}

// panels[c][row][x] = rows[row][c · PANEL + x] for one tile of keys, panels `panel_stride` apart; whether all are finite.
static bool pack_value_tile(__global float *panels, long panel_stride, __global const storage_t *rows, int row_count,
                            int width) {
  WIDE(int) finite = -1;
  for (int row = 0; row < ROUNDED_UP(row_count, PANEL); row++)
    for (int n = 0; n < ROUNDED_UP(width, PANEL); n += VECTOR) {
      const vector_t v = row < row_count ? load_vector(rows + (long)row * width + n, width - n) : (vector_t)0.0f;
      finite &= isfinite(v);
      *(__global vector_t *)(panels + n / PANEL * panel_stride + row * PANEL + n % PANEL) = v;
    }
  return all(finite);
}

__kernel ALONE void pack_keys_values(
    __global const KeyValueHead *heads, __global const storage_t *key, __global const storage_t *value,
    __global float *packed_key, __global float *packed_value, __global uchar *finite,
    int head_dimension, int value_dimension, int first_key, int key_tiles) {
  const KeysToPack keys = keys_to_pack(heads, first_key, key_tiles);
  if (keys.rows <= 0) return;
  const KeyValueHead head = keys.head;
  const long panel_stride = (long)ROUNDED_UP(head.key_length, TILE_KEYS) * PANEL;
  pack_key_tile(packed_key + head.packed_key + (long)keys.place * head_dimension,
                key + head.key + (long)keys.first * head_dimension, keys.rows, head_dimension);
  finite[keys.tile] =
      pack_value_tile(packed_value + head.packed_value + (long)keys.place * PANEL, panel_stride,
                      value + head.value + (long)keys.first * value_dimension, keys.rows, value_dimension);
}

// MARK: The micro-kernel

// c[r] += Σ_k a[r · row_stride + k] · b[k]
static void multiply(vector_t c[ROWS][COLUMNS], __local const float *a, int row_stride, __global const vector_t *b,
                     int depth) {
  for (int k = 0; k < depth; k++) {
    vector_t row[COLUMNS];
#pragma unroll
    for (int v = 0; v < COLUMNS; v++) row[v] = b[k * COLUMNS + v];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const vector_t factor = a[r * row_stride + k];
#pragma unroll
      for (int v = 0; v < COLUMNS; v++) c[r][v] = fma(factor, row[v], c[r][v]);
    }
  }
}

// MARK: The tile

// What a work-item keeps in local memory.
typedef struct {
  __local float *query;       // [TILE_ROWS][head_dimension]
  __local float *weight;      // [TILE_ROWS][TILE_KEYS]: the tile's scores, then its weights
  __local float *output;      // [TILE_ROWS][value columns, padded]
  __local vector_t *largest;  // [TILE_ROWS], each: the largest of the tile's scores, lane by lane
  __local float *maximum;
  __local float *sum;
  __local float *rescale;
  __local int *seen;
} Tile;

// Rows of zeros fill the last block.
static void load_queries(Tile t, __global const storage_t *query, int rows, int head_dimension) {
  const int elements = rows * head_dimension, end = ROUNDED_UP(rows, ROWS) * head_dimension;
  int n = 0;
  for (; n + VECTOR <= elements; n += VECTOR) *(__local vector_t *)(t.query + n) = load_vector(query + n, VECTOR);
  for (; n < end; n++) t.query[n] = n < elements ? load_element(query, n) : 0.0f;
}

// S = Q·Kᵀ of one block of rows and one panel of keys. Plain scores are finished here, and their maxima begun.
static void score_panel(Tile t, const Modifiers m, bool plain, int block, int key, __global const float *panel,
                        int head_dimension) {
  vector_t c[ROWS][COLUMNS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int v = 0; v < COLUMNS; v++) c[r][v] = 0.0f;
  multiply(c, t.query + block * ROWS * head_dimension, head_dimension, (__global const vector_t *)panel,
           head_dimension);
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    __local vector_t *to = (__local vector_t *)(t.weight + (block * ROWS + r) * TILE_KEYS + key);
    if (plain) {
      vector_t largest = t.largest[block * ROWS + r];
#pragma unroll
      for (int v = 0; v < COLUMNS; v++) {
        c[r][v] *= m.scale;
        largest = LARGER(c[r][v], largest);
      }
      t.largest[block * ROWS + r] = largest;
    }
#pragma unroll
    for (int v = 0; v < COLUMNS; v++) to[v] = c[r][v];
  }
}

// One step of the online softmax of one block of rows: S becomes P.
static void softmax_block(Tile t, int block, Span span) {
  float shift[ROWS];
  vector_t sum[ROWS];
  __local vector_t *s = (__local vector_t *)(t.weight + block * ROWS * TILE_KEYS);
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = block * ROWS + r;
    const float before = t.maximum[row], largest = largest_of(t.largest[row]);
    const float after = LARGER(largest, before);
    t.maximum[row] = after;
    t.rescale[row] = before == after ? 1.0f : rescaling(before, after);
    shift[r] = shift_of(after);
    sum[r] = 0.0f;
  }
  for (int v = span.begin / VECTOR; v < span.end / VECTOR; v++) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const vector_t p = exponential(s[r * (TILE_KEYS / VECTOR) + v] - shift[r]);
      s[r * (TILE_KEYS / VECTOR) + v] = p;
      sum[r] += p;
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = block * ROWS + r;
    t.sum[row] = t.sum[row] * t.rescale[row] + sum_of(sum[r]);
    t.largest[row] = -INFINITY;
  }
}

// O = O · rescale + P·V of one block of rows and one panel of columns.
static void weigh_panel(Tile t, int block, int column, int columns, Span span, __global const float *panel) {
  vector_t c[ROWS][COLUMNS];
  __local float *output = t.output + block * ROWS * columns + column;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const float rescale = t.rescale[block * ROWS + r];
#pragma unroll
    for (int v = 0; v < COLUMNS; v++) c[r][v] = ((__local vector_t *)(output + r * columns))[v] * rescale;
  }
  multiply(c, t.weight + block * ROWS * TILE_KEYS + span.begin, TILE_KEYS,
           (__global const vector_t *)(panel + span.begin * PANEL), span.end - span.begin);
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int v = 0; v < COLUMNS; v++) ((__local vector_t *)(output + r * columns))[v] = c[r][v];
}

// The same for a tile of which some value is not finite: there 0 · V is not 0, and visibility decides. Rare, so small
// rather than fast.
static void weigh_visible(Tile t, const Modifiers m, const Head head, int row, int i, int j0, int columns, Span span,
                          __global const float *panels, long panel_stride) {
  for (int n = 0; n < columns; n++) {
    __global const float *value = panels + n / PANEL * panel_stride + n % PANEL;
    float o = t.output[row * columns + n] * t.rescale[row];
    for (int j = span.begin; j < span.end; j++)
      if (is_visible(m, head, i, j0 + j)) o += t.weight[row * TILE_KEYS + j] * value[j * PANEL];
    t.output[row * columns + n] = o;
  }
}

__kernel ALONE void fused_cpu(
    __global const Head *heads, __global const storage_t *query, __global const float *packed_key,
    __global const float *packed_value, __global const uchar *finite, __global const uchar *mask,
    __global const uchar *mask_classes, __global const uchar *block_mask, __global storage_t *output,
    __global float *log_sum_exp, __local vector_t *scratch, int head_dimension, int value_dimension,
    int first_row, int row_tiles, int first_key, int has_sinks,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride, int mask_class_stride,
    int query_block, int key_block, int block_columns) {
  const int group = get_group_id(0);
  const Head head = heads[group / row_tiles];
  const int row_tile = balanced(group % row_tiles, row_tiles);
  const int i0 = first_row + row_tile * TILE_ROWS;
  const int rows = min(TILE_ROWS, head.query_length - i0);
  if (rows <= 0) return;
  const int blocks = (rows + ROWS - 1) / ROWS;
  const int columns = ROUNDED_UP(value_dimension, PANEL);
  const long panel_stride = (long)ROUNDED_UP(head.key_length, TILE_KEYS) * PANEL;
  const Modifiers m = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                       query_block, key_block, block_columns, block_mask};

  // Whole vectors first: their places must be multiples of one.
  Tile t;
  t.largest = scratch;
  t.weight = (__local float *)(t.largest + TILE_ROWS);
  t.output = t.weight + TILE_ROWS * TILE_KEYS;
  t.query = t.output + TILE_ROWS * columns;
  t.maximum = t.query + TILE_ROWS * head_dimension;
  t.sum = t.maximum + TILE_ROWS;
  t.rescale = t.sum + TILE_ROWS;
  t.seen = (__local int *)(t.rescale + TILE_ROWS);
  load_queries(t, query + head.query + (long)i0 * head_dimension, rows, head_dimension);
  for (int n = 0; n < blocks * ROWS * columns; n++) t.output[n] = 0.0f;
  for (int row = 0; row < blocks * ROWS; row++) {
    t.largest[row] = -INFINITY;
    t.maximum[row] = -INFINITY;
    t.sum[row] = 0.0f;
    t.seen[row] = 0;
  }

  const int last = i0 + rows - 1;
  __global const uchar *classes =
      mask_classes + head.mask_tiles + (mask_query_stride == 0 ? 0 : (long)row_tile * mask_class_stride);
  for (int j0 = first_visible(head, i0) / TILE_KEYS * TILE_KEYS; j0 < end_visible(head, last); j0 += TILE_KEYS) {
    const int tile = j0 / TILE_KEYS;
    const int mask_class = mask_kind == MASK_NONE ? TILE_OPEN : classes[tile];
    if (tile_visibility(m, head, i0, rows, j0, TILE_KEYS, mask_class) == TILE_HIDDEN) continue;

    // The keys that each block of rows sees, the panels that hold them, and which of those are plain. A block that sees nothing
    // has no part in the tile.
    const Span nothing = {0, 0};
    Span keys[ROW_BLOCKS], panels[ROW_BLOCKS], plain[ROW_BLOCKS];
    for (int b = 0; b < blocks; b++) {
      const int first = i0 + b * ROWS, end = min(first + ROWS, last + 1);
      keys[b] = span_of_block(head, first, end - 1, j0);
      panels[b] = whole(keys[b], PANEL);
      const int visibility = tile_visibility(m, head, first, end - first, j0 + panels[b].begin,
                                             panels[b].end - panels[b].begin, mask_class);
      if (visibility == TILE_HIDDEN) panels[b] = keys[b] = nothing;
      plain[b] = plain_span(m, head, first, end - 1, j0, panels[b], visibility);
    }
    const Span all = whole(span_of_block(head, i0, last, j0), PANEL);

    __global const float *key = packed_key + head.key + (long)(j0 - first_key) * head_dimension;
    for (int j = all.begin; j < all.end; j += PANEL)
      for (int b = 0; b < blocks; b++)
        if (holds(panels[b], j)) score_panel(t, m, holds(plain[b], j), b, j, key + (long)j * head_dimension, head_dimension);

    for (int b = 0; b < blocks; b++) {
      const Span vectors = whole(keys[b], VECTOR);  // (the rest of their panels stays unread)
      const Span before = {vectors.begin, plain[b].begin}, after = {max(plain[b].end, vectors.begin), vectors.end};
      for (int row = b * ROWS; row < b * ROWS + ROWS; row++) {
        if (!is_empty(plain[b])) t.seen[row] = 1;
        __local vector_t *scores = (__local vector_t *)(t.weight + row * TILE_KEYS);
        const int i = min(i0 + row, last);
        if (!is_empty(before)) modify_row(scores, t.largest + row, t.seen + row, m, head, i, j0, before);
        if (!is_empty(after)) modify_row(scores, t.largest + row, t.seen + row, m, head, i, j0, after);
      }
      softmax_block(t, b, vectors);
    }

    __global const float *value = packed_value + head.value + (long)(j0 - first_key) * PANEL;
    if (finite[head.key_tiles + tile - first_key / TILE_KEYS]) {
      for (int n = 0; n < columns; n += PANEL)
        for (int b = 0; b < blocks; b++) weigh_panel(t, b, n, columns, keys[b], value + n / PANEL * panel_stride);
    } else {
      for (int row = 0; row < rows; row++)
        weigh_visible(t, m, head, row, i0 + row, j0, columns, keys[row / ROWS], value, panel_stride);
    }
  }

  for (int row = 0; row < rows; row++) {
    const RowEnd end = end_of_row(t.maximum[row], t.sum[row], t.seen[row], has_sinks, head.sink);
    t.maximum[row] = end.maximum;
    t.sum[row] = end.sum;
    for (int n = 0; n < value_dimension; n += 4)
      store_four(output, head.output + (long)(i0 + row) * value_dimension + n,
                 vload4(0, t.output + row * columns + n) * end.factor, value_dimension - n);
  }
  // (Logarithms of a vector of rows take as long as one.)
  for (int row = 0; row < rows; row += VECTOR) {
    const int count = min(VECTOR, rows - row);
    float maxima[VECTOR], some[VECTOR];
    for (int n = 0; n < VECTOR; n++) {
      maxima[n] = n < count ? t.maximum[row + n] : 0.0f;
      some[n] = n < count ? t.sum[row + n] : 1.0f;
    }
    WIDE(vstore)(WIDE(vload)(0, maxima) + log(WIDE(vload)(0, some)), 0, some);
    for (int n = 0; n < count; n++) log_sum_exp[head.log_sum_exp + i0 + row + n] = some[n];
  }
}
