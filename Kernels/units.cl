// Rows of keys and values by units of UNIT elements, which are FOURS float4 in registers: 16 bytes of a row of floats, 8 of
// q8_0 and 4 of q4_0, for more columns would be more registers than a work-item has. A unit's elements follow one another,
// but for q4_0, whose bytes hold two elements that stand 16 apart:
//
//   unit 4b + n, of block b     bytes 4n … 4n + 3     elements 4n … 4n + 3 and 16 + 4n … 19 + 4n of the block
//
// NVIDIA's compiler loads as many bytes at once as the type says, and that has to divide the address: 16 bytes of rows of
// floats, where they are that long, and of quantised ones, of 34 or 18 bytes a block, what divides the row.

#if ROW_STORAGE == 0
#define UNIT 4
#else
#define UNIT 8
#endif
#define FOURS (UNIT / 4)

#define KEY_UNITS ((KEY_WIDTH + UNIT - 1) / UNIT)
#define VALUE_UNITS ((VALUE_WIDTH + UNIT - 1) / UNIT)

// Which four of its row is four n of unit u.
SHARED int four_of_unit(int u, int n) {
#if ROW_STORAGE == 4
  return u / 4 * 8 + u % 4 + n * 4;
#else
  return u * FOURS + n;
#endif
}

// 4, 8 or 16 bytes at a multiple of what divides `row_bytes`: so does it all rows of a buffer.
SHARED uint load_4_bytes(__global const uchar *at, int row_bytes) {
  return row_bytes % 4 == 0 ? *(__global const uint *)at : as_uint(vload4(0, at));
}
SHARED uint2 load_8_bytes(__global const uchar *at, int row_bytes) {
  if (row_bytes % 8 == 0) return *(__global const uint2 *)at;
  return (uint2)(load_4_bytes(at, row_bytes), load_4_bytes(at + 4, row_bytes));
}
SHARED uint4 load_16_bytes(__global const uchar *at, int row_bytes) {
  if (row_bytes % 16 == 0) return *(__global const uint4 *)at;
  return (uint4)(load_8_bytes(at, row_bytes), load_8_bytes(at + 8, row_bytes));
}

// A unit as it lies in memory, so that several wait in few registers until they are needed: of q8_0 the bytes and in z the
// bits of their scale, of q4_0 the bytes and the scale's bits.
#if ROW_STORAGE == 4
typedef uint2 packed_t;
#else
typedef uint4 packed_t;
#endif

#if ROW_STORAGE <= 2
// Word n of unit u of a row that ends within it; 0 past the end.
SHARED uint word_before_end(__global const uchar *row, int u, int n, int width) {
#if ROW_STORAGE == 0
  const int d = u * UNIT + n;
  return d < width ? ((__global const uint *)row)[d] : 0;
#else
  const int d = u * UNIT + 2 * n;
  const uint low = d < width ? ((__global const ushort *)row)[d] : 0;
  const uint high = d + 1 < width ? ((__global const ushort *)row)[d + 1] : 0;
  return low | high << 16;
#endif
}
#endif

// Unit u of a row of `width` elements, 0 past its end. `stored` elements are kept of a row, of which these are the first.
SHARED packed_t load_unit(__global const uchar *row, int u, int width, int stored) {
  const int row_bytes = ROW_BYTES(stored);
#if ROW_STORAGE <= 2
  if (width % UNIT != 0 && (u + 1) * UNIT > width)
    return (uint4)(word_before_end(row, u, 0, width), word_before_end(row, u, 1, width), word_before_end(row, u, 2, width),
                   word_before_end(row, u, 3, width));
  return load_16_bytes(row + 16 * u, row_bytes);
#elif ROW_STORAGE == 3
  return (uint4)(load_8_bytes(row + 8 * u, row_bytes), ((__global const ushort *)(row + stored))[u / 4], 0);
#else
  return (uint2)(load_4_bytes(row + 4 * u, row_bytes), ((__global const ushort *)(row + stored / 2))[u / 4]);
#endif
}

#if ROW_STORAGE >= 3
SHARED float scale_of_bits(uint bits) {
  const ushort half_bits = (ushort)bits;
  return vload_half(0, (const half *)&half_bits);
}
#endif

// Four n of a unit.
SHARED float4 four_of_packed(packed_t unit, int n) {
#if ROW_STORAGE == 0
  (void)n;
  return as_float4(unit);
#elif ROW_STORAGE == 1
  const ushort4 bits = as_ushort4(n == 0 ? unit.lo : unit.hi);
  return vload_half4(0, (const half *)&bits);
#elif ROW_STORAGE == 2
  const uint2 words = n == 0 ? unit.lo : unit.hi;
  return as_float4((uint4)(words.x << 16, words.x & 0xffff0000u, words.y << 16, words.y & 0xffff0000u));
#elif ROW_STORAGE == 3
  return convert_float4(as_char4(n == 0 ? unit.x : unit.y)) * scale_of_bits(unit.z);
#else
  const uchar4 bytes = as_uchar4(n == 0 ? unit.x : unit.x >> 4) & (uchar4)15;
  return (convert_float4(bytes) - 8.0f) * scale_of_bits(unit.y);
#endif
}
