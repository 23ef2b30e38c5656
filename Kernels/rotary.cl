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
