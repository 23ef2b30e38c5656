// Rotary embedding of a whole tensor: a work-item an element, which goes to the same place of `output`.

__kernel void rotate_rows(__global const storage_t *input, __global const float *cosines, __global const float *sines,
                          __global const int *places, __global storage_t *output, int heads, int length, int width,
                          long batch_stride, long head_stride, long row_stride, int pairs, int interleaved) {
  const long at = get_global_id(0);
  const int d = at % width;
  const int i = at / width % length;
  const int h = at / width / length % heads;
  const long b = at / width / length / heads;
  const long row = b * batch_stride + h * head_stride + i * row_stride;
  const long angles = (long)places[b * length + i] * pairs;
  store_element(output, row + d,
                rotated_element(input + row, d, pairs, interleaved, cosines + angles, sines + angles));
}
