// Rows of weights as a model's file has them, read as float32: a build option, WEIGHTS. 0 float32, 1 float16, 2 bfloat16;
// the others are GGUF's, blocks of 32 numbers:
//
//   3  Q8_0   half d, 32 × int8 q                           d · q
//   4  Q4_0   half d, 16 bytes                              d · (q − 8)      the low half of byte i is number i,
//   5  Q4_1   halves d and m, 16 bytes                      d · q + m        the high half number i + 16

#ifndef WEIGHTS
#define WEIGHTS 0
#endif

// Four weights of a row that follow one another, from number k on: a multiple of 4.
SHARED float4 load_weights(__global const uchar *row, uint k) {
#if WEIGHTS == 0
  return vload4(0, (__global const float *)row + k);
#elif WEIGHTS == 1
  return vload_half4(0, (__global const half *)row + k);
#elif WEIGHTS == 2
  return as_float4(convert_uint4(vload4(0, (__global const ushort *)row + k)) << 16);
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
