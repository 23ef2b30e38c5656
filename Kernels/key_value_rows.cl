// Rows of keys and values where they lie: in the caller's tensor, in pages, or in the blocks of a cache.
//
// Rows are counted, not bytes: key j of a piece is row `table[entry] + place · row_step` of its buffer, where `entry` is
// the block that holds it and `place` its place there. An array is one large block. The upper 16 bits of a table's entry
// say which of the buffers it is in: past keys and the call's own, or the parts in which a cache has grown.
//
//   ROW_STORAGE    a row of WIDTH elements
//   0              WIDTH float32
//   1, 2           WIDTH float16, bfloat16
//   3  (q8_0)      WIDTH signed bytes, then WIDTH / 32 float16 scales:   x = scale · byte
//   4  (q4_0)      WIDTH / 2 bytes, then WIDTH / 32 scales:              x = scale · (nibble − 8); of the 16 bytes of a
//                  block of 32, the low nibbles are its first 16 elements and the high nibbles its last

#ifndef ROW_STORAGE
#define ROW_STORAGE STORAGE
#endif
#ifndef KEY_WIDTH
#define KEY_WIDTH 64
#endif
#ifndef VALUE_WIDTH
#define VALUE_WIDTH 64
#endif
// Elements of a stored row of values: more than VALUE_WIDTH where the values are the beginnings of the keys' rows.
#ifndef VALUE_STORED
#define VALUE_STORED VALUE_WIDTH
#endif

#if ROW_STORAGE == 0
#define ROW_BYTES(width) ((width) * 4)
#elif ROW_STORAGE <= 2
#define ROW_BYTES(width) ((width) * 2)
#elif ROW_STORAGE == 3
#define ROW_BYTES(width) ((width) / 32 * 34)
#else
#define ROW_BYTES(width) ((width) / 32 * 18)
#endif

#define SOURCES 16
#define EACH_SOURCE(f, name)                                                                                         \
  f(name##0), f(name##1), f(name##2), f(name##3), f(name##4), f(name##5), f(name##6), f(name##7), f(name##8),        \
      f(name##9), f(name##10), f(name##11), f(name##12), f(name##13), f(name##14), f(name##15)
#define SOURCE_ARGUMENT(name) __global const uchar *name
#define SOURCE_ITSELF(name) name
#define SOURCE_ARGUMENTS(name) EACH_SOURCE(SOURCE_ARGUMENT, name)
#define SOURCE_LIST(name) {EACH_SOURCE(SOURCE_ITSELF, name)}

// Work of one work-item (CPU) or work-group (GPU): some rows of queries, which share a key/value head, against a range of
// keys. Row r is query r % queries of the query head `head + r / (queries · group) · query_heads + r / queries % group`:
// the heads of a group in one sequence or, of a prefix that sequences share, in several.
typedef struct {
  int head;
  int first_row, rows;
  int begin, end;    // keys
  int table, place;  // the entry of the block that holds key `begin`, and its place there
  int partial;       // where row 0's partial result goes; −1: this is all that the rows see
} Piece;

// Where the keys of a tile are.
typedef struct {
  __global const long *table;
  int block_rows, row_step;
  int place;
} Walk;

// The rows of so many next keys stand at equal distances.
SHARED int places_left(const Walk *walk) {
  return walk->place == walk->block_rows ? walk->block_rows : walk->block_rows - walk->place;
}

// The row of the next key, with its buffer in the upper bits.
SHARED long next_row(Walk *walk) {
  if (walk->place == walk->block_rows) {
    walk->place = 0;
    walk->table++;
  }
  return *walk->table + (long)walk->place++ * walk->row_step;
}

SHARED int source_of(long row) { return (int)(row >> 48); }
SHARED long place_of(long row) { return row & 0xffffffffffffL; }

// Element d of a row of `width` stored elements.
SHARED float row_element(__global const uchar *row, int d, int width) {
#if ROW_STORAGE == 0
  (void)width;
  return ((__global const float *)row)[d];
#elif ROW_STORAGE == 1
  (void)width;
  return vload_half(d, (__global const half *)row);
#elif ROW_STORAGE == 2
  (void)width;
  return float_from_brain(((__global const ushort *)row)[d]);
#elif ROW_STORAGE == 3
  return vload_half(d / 32, (__global const half *)(row + width)) * (float)((__global const char *)row)[d];
#else
  const int byte = row[d / 32 * 16 + d % 16];
  return vload_half(d / 32, (__global const half *)(row + width / 2)) * (float)((d % 32 < 16 ? byte & 15 : byte >> 4) - 8);
#endif
}
