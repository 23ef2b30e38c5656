// Rows of weights as a model's file has them, read as float32: a build option, WEIGHTS. 0 float32, 1 float16, 2 bfloat16;
// rows are of a multiple of 4 numbers, and so begin at a multiple of 4. The others are GGUF's, blocks of 32 numbers:
//
//   3  Q8_0   half d, 32 × int8 q                           d · q
//   4  Q4_0   half d, 16 bytes                              d · (q − 8)      the low half of byte i is number i,
//   5  Q4_1   halves d and m, 16 bytes                      d · q + m        the high half number i + 16

#ifndef WEIGHTS
#define WEIGHTS 0
#endif

#if WEIGHTS == 1 || WEIGHTS == 2
SHARED float4 weights_from_bits(ushort4 bits) {
#if WEIGHTS == 1
  return vload_half4(0, (const half *)&bits);
#else
  return as_float4(convert_uint4(bits) << 16);
#endif
}
#endif

// Four weights of a row that follow one another, from number k on: a multiple of 4.
SHARED float4 load_weights(__global const uchar *row, uint k) {
#if WEIGHTS == 0
  return *(__global const float4 *)(row + 4 * k);
#elif WEIGHTS <= 2
  return weights_from_bits(*(__global const ushort4 *)(row + 2 * k));
#elif WEIGHTS == 3
  __global const uchar *block = row + k / 32 * 34;
  return vload_half(0, (__global const half *)block) *
         convert_float4(vload4(0, (__global const char *)(block + 2 + k % 32)));
#else
  const uint head = WEIGHTS == 5 ? 4 : 2;
  __global const uchar *block = row + k / 32 * (16 + head);
  const uchar4 pairs = vload4(0, block + head + k % 16);
  const float4 q = convert_float4(k % 32 < 16 ? pairs & (uchar4)15 : pairs >> (uchar4)4);
  const float d = vload_half(0, (__global const half *)block);
#if WEIGHTS == 5
  return d * q + vload_half(1, (__global const half *)block);
#else
  return d * (q - 8.0f);
#endif
#endif
}

// The 32 weights from number 32 · b on, of a row of a multiple of 32. (GGUF's blocks begin at any even byte: NVIDIA's
// compiler makes 16 loads of 16 bits of them, AMD's one.)
SHARED void load_weight_block(float4 to[8], __global const uchar *row, uint b) {
#if WEIGHTS == 0
  __global const float4 *fours = (__global const float4 *)(row + 128 * b);
  for (int n = 0; n < 8; n++) to[n] = fours[n];
#elif WEIGHTS <= 2
  __global const uint4 *eights = (__global const uint4 *)(row + 64 * b);
  for (int n = 0; n < 4; n++) {
    const ushort8 bits = as_ushort8(eights[n]);
    to[2 * n] = weights_from_bits(bits.lo);
    to[2 * n + 1] = weights_from_bits(bits.hi);
  }
#elif WEIGHTS == 3
  __global const ushort *block = (__global const ushort *)(row + 34 * b);
  const float d = vload_half(0, (__global const half *)block);
  for (int n = 0; n < 2; n++) {
    const char16 q = as_char16(vload8(n, block + 1));
    to[4 * n] = d * convert_float4(q.s0123);
    to[4 * n + 1] = d * convert_float4(q.s4567);
    to[4 * n + 2] = d * convert_float4(q.s89ab);
    to[4 * n + 3] = d * convert_float4(q.scdef);
  }
#else
  const uint head = WEIGHTS == 5 ? 2 : 1;
  __global const ushort *block = (__global const ushort *)(row + (16 + 2 * head) * b);
  const float d = vload_half(0, (__global const half *)block);
#if WEIGHTS == 5
  const float m = vload_half(1, (__global const half *)block);
#else
  const float m = -8.0f * d;
#endif
  const uchar16 pairs = as_uchar16(vload8(0, block + head));
  const uchar16 low = pairs & (uchar16)15, high = pairs >> (uchar16)4;
  to[0] = d * convert_float4(low.s0123) + m;
  to[1] = d * convert_float4(low.s4567) + m;
  to[2] = d * convert_float4(low.s89ab) + m;
  to[3] = d * convert_float4(low.scdef) + m;
  to[4] = d * convert_float4(high.s0123) + m;
  to[5] = d * convert_float4(high.s4567) + m;
  to[6] = d * convert_float4(high.s89ab) + m;
  to[7] = d * convert_float4(high.scdef) + m;
#endif
}
