// What the fused kernels of CPU-class devices share: a work-item, alone in its work-group, owns a tile of queries of one head,
// blocks of ROWS of them, and walks the tiles of keys that they see, a panel of PANEL keys at a time.

#ifndef ROWS
#define ROWS 6
#endif
#ifndef COLUMNS
#define COLUMNS 2
#endif
#ifndef ROW_BLOCKS
#define ROW_BLOCKS 8
#endif
#ifndef KEY_PANELS
#define KEY_PANELS 8
#endif

#define VECTOR SCORE_WIDTH
#define PANEL (COLUMNS * VECTOR)
#define TILE_ROWS (ROWS * ROW_BLOCKS)
#define TILE_KEYS (PANEL * KEY_PANELS)

typedef WIDE(float) vector_t;

// A work-item is a whole work-group, and its vectors are explicit: no compiler need look for parallelism.
#define ALONE __attribute__((reqd_work_group_size(1, 1, 1))) __attribute__((vec_type_hint(vector_t)))

// A key/value head: where its rows begin, in elements, and where its panels do, in floats.
typedef struct {
  long key, value;
  long packed_key, packed_value;
  long tiles;  // its first tile of keys, among all packed ones
  int key_length;
  int padding;
} KeyValueHead;

// What a work-group packs: of a head, `rows` keys from `first` on, none past the last. They are the tile of keys that is `tile`
// among all packed ones, and `place` keys of the head are packed before them.
typedef struct {
  KeyValueHead head;
  long tile;
  int first, rows, place;
} KeysToPack;

static KeysToPack keys_to_pack(__global const KeyValueHead *heads, int first_key, int key_tiles) {
  const int tile = get_group_id(0) % key_tiles;
  KeysToPack keys;
  keys.head = heads[get_group_id(0) / key_tiles];
  keys.tile = keys.head.tiles + tile;
  keys.place = tile * TILE_KEYS;
  keys.first = first_key + keys.place;
  keys.rows = min(TILE_KEYS, keys.head.key_length - keys.first);
  return keys;
}

// MARK: Rows

// The first `count` of VECTOR neighbours, zeros for the others.
static vector_t load_vector(__global const storage_t *from, int count) {
  if (count >= VECTOR) {
#if STORAGE == 0
    return LOAD_WIDE(float, from);
#elif STORAGE == 1
    return LOAD_WIDE_HALF((__global const half *)from);
#else
    return WIDE(as_float)(WIDE(convert_uint)(LOAD_WIDE(ushort, from)) << 16);
#endif
  }
  float some[VECTOR];
  for (int n = 0; n < VECTOR; n++) some[n] = n < count ? load_element(from, n) : 0.0f;
  return WIDE(vload)(0, some);
}

// A block of VECTOR × VECTOR words turned over: where a word is, its row's number and its column's, written one after the other
// in binary, is rotated by one place in each step.
static void transpose(WIDE(uint) v[VECTOR]) {
#pragma unroll
  for (int step = 1; step < VECTOR; step *= 2) {
    WIDE(uint) to[VECTOR];
#pragma unroll
    for (int n = 0; n < VECTOR / 2; n++) {
      to[2 * n].even = v[n].lo;
      to[2 * n].odd = v[n + VECTOR / 2].lo;
      to[2 * n + 1].even = v[n].hi;
      to[2 * n + 1].odd = v[n + VECTOR / 2].hi;
    }
#pragma unroll
    for (int n = 0; n < VECTOR; n++) v[n] = to[n];
  }
}

static float largest_of(vector_t v) { return REDUCE(v, LARGER); }
static float sum_of(vector_t v) { return REDUCE(v, SUM); }

// MARK: What is visible

// A range of keys of the tile.
typedef struct {
  int begin, end;
} Span;

static bool is_empty(Span span) { return span.begin >= span.end; }
static bool holds(Span span, int key) { return key >= span.begin && key < span.end; }

// The smallest range of whole units that holds a span.
static Span whole(Span span, int unit) {
  const Span units = {span.begin / unit * unit, ROUNDED_UP(span.end, unit)};
  return units;
}

// The keys of first … first + TILE_KEYS − 1 that some row of the block sees by position.
static Span span_of_block(const Head head, int i0, int last, int first) {
  const Span span = {max(first_visible(head, i0) - first, 0), clamp(end_visible(head, last) - first, 0, TILE_KEYS)};
  return span;
}

// What every row of a block sees of a span, whole panels, and only the scale modifies. Without mask and blocks that is the
// middle of it, between the edges that causal masks and windows have there; with them all or nothing.
static Span plain_span(const Modifiers m, const Head head, int i0, int last, int first, Span span, int visibility) {
  Span plain = {span.begin, span.begin};
  if (!only_scales(m.softcap, head.slope) || !(m.scale > 0.0f)) return plain;
  if (visibility == TILE_OPEN) plain.end = span.end;
  if (visibility != TILE_MIXED || m.mask_kind != MASK_NONE || m.query_block != 0) return plain;
  const int begin = max(ROUNDED_UP(first_visible(head, last) - first, PANEL), span.begin);
  const int end = min((end_visible(head, i0) - first) / PANEL * PANEL, span.end);
  if (begin < end) {
    plain.begin = begin;
    plain.end = end;
  }
  return plain;
}

// Products to scores, in place, and the largest so far, of what is not plain of one row.
static void modify_row(__local vector_t *s, __local vector_t *largest_so_far, __local int *seen_so_far, const Modifiers m,
                       const Head head, int i, int j0, Span span) {
  vector_t largest = *largest_so_far;
  WIDE(int) seen = 0;
  for (int v = span.begin / VECTOR; v < span.end / VECTOR; v++) {
    WIDE(int) visible;
    s[v] = modified_scores(m, head, i, j0 + v * VECTOR, s[v], &visible);
    seen |= visible;
    largest = LARGER(s[v], largest);
  }
  *seen_so_far |= any(seen);
  *largest_so_far = largest;
}

// Tiles 0, T−1, 1, T−2, …: of a causal head any run of neighbours is about the same work, however a driver deals them out.
static int balanced(int tile, int tiles) { return tile % 2 == 0 ? tile / 2 : tiles - 1 - tile / 2; }
