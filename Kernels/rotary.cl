// Rotary embedding (Su et al. 2021): pairs of elements of a row are turned by the angles of the row's position. A pair is
// elements p and p + pairs of the part that is rotated, or two neighbours; what is past the pairs stays as it is.
//
//   x' = x · cos − y · sin        y' = y · cos + x · sin

SHARED float rotated_element(__global const storage_t *row, int d, int pairs, int interleaved,
                             __global const float *cosines, __global const float *sines) {
  const float x = load_element(row, d);
  if (d >= 2 * pairs) return x;
  const int pair = interleaved ? d / 2 : d % pairs;
  const bool second = interleaved ? d % 2 : d >= pairs;
  const float y = load_element(row, interleaved ? d ^ 1 : second ? d - pairs : d + pairs);
  return second ? x * cosines[pair] + y * sines[pair] : x * cosines[pair] - y * sines[pair];
}

// Elements d … d + 3, of which the first `left` are there and the others 0; d is a multiple of 4. ALIGNED says of the pairs
// too that they are a multiple of 4: then the partners of four elements are among themselves, or four of the other half.
SHARED float4 rotated_four(__global const storage_t *row, int d, int left, int pairs, int interleaved,
                           __global const float *cosines, __global const float *sines) {
#ifdef ALIGNED
  (void)left;
  const float4 x = load_four(row, d);
  if (d >= 2 * pairs) return x;
  if (interleaved) {
    const float2 c = *(__global const float2 *)(cosines + d / 2), s = *(__global const float2 *)(sines + d / 2);
    return (float4)(x.x * c.x - x.y * s.x, x.y * c.x + x.x * s.x, x.z * c.y - x.w * s.y, x.w * c.y + x.z * s.y);
  }
  const bool second = d >= pairs;
  const int pair = second ? d - pairs : d;
  const float4 y = load_four(row, second ? pair : d + pairs);
  const float4 c = *(__global const float4 *)(cosines + pair), s = *(__global const float4 *)(sines + pair);
  return second ? x * c + y * s : x * c - y * s;
#else
  float four[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int n = 0; n < 4; n++)
    if (n < left) four[n] = rotated_element(row, d + n, pairs, interleaved, cosines, sines);
  return (float4)(four[0], four[1], four[2], four[3]);
#endif
}
