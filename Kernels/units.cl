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

#if ROW_STORAGE == 1 || ROW_STORAGE == 2
static float4 four_of_bits(ushort4 bits) {
#if ROW_STORAGE == 1
  return vload_half4(0, (const half *)&bits);
#else
  return as_float4(convert_uint4(bits) << 16);
#endif
}
#endif

// Unit u of a row of `width` elements, 0 past its end. `stored` elements are kept of a row, of which these are the first.
SHARED void load_unit(float4 to[FOURS], __global const uchar *row, int u, int width, int stored) {
  const int row_bytes = ROW_BYTES(stored);
#if ROW_STORAGE <= 2
  if (width % UNIT != 0 && (u + 1) * UNIT > width) {
    for (int n = 0; n < FOURS; n++) {
      const int d = u * UNIT + 4 * n;
      to[n] = (float4)(d < width ? row_element(row, d, stored) : 0.0f, d + 1 < width ? row_element(row, d + 1, stored) : 0.0f,
                       d + 2 < width ? row_element(row, d + 2, stored) : 0.0f,
                       d + 3 < width ? row_element(row, d + 3, stored) : 0.0f);
    }
    return;
  }
#endif
#if ROW_STORAGE == 0
  to[0] = as_float4(load_16_bytes(row + 16 * u, row_bytes));
#elif ROW_STORAGE <= 2
  const ushort8 bits = as_ushort8(load_16_bytes(row + 16 * u, row_bytes));
  to[0] = four_of_bits(bits.lo);
  to[1] = four_of_bits(bits.hi);
#elif ROW_STORAGE == 3
  const float scale = vload_half(u / 4, (__global const half *)(row + stored));
  const char8 bytes = as_char8(load_8_bytes(row + 8 * u, row_bytes));
  to[0] = convert_float4(bytes.lo) * scale;
  to[1] = convert_float4(bytes.hi) * scale;
#else
  const float scale = vload_half(u / 4, (__global const half *)(row + stored / 2));
  const uchar4 bytes = as_uchar4(load_4_bytes(row + 4 * u, row_bytes));
  to[0] = (convert_float4(bytes & (uchar4)15) - 8.0f) * scale;
  to[1] = (convert_float4(bytes >> (uchar4)4) - 8.0f) * scale;
#endif
}
