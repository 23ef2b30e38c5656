// Rotary embedding of whole tensors: a work-item an element of `output`, which is dense, [batch, heads, length, width].

__kernel void rotate_rows(__global const storage_t *input, __global const float *cosines, __global const float *sines,
                          __global const int *positions, __global storage_t *output, int heads, int length, int width,
                          long batch_stride, long head_stride, long row_stride, int pairs, int interleaved) {
  const long at = get_global_id(0);
  const int d = at % width;
  const long row = at / width;
  const int i = row % length;
  const int h = row / length % heads;
  const long b = row / length / heads;
  const long angles = (long)positions[b * length + i] * pairs;
  store_element(output, at,
                rotated_element(input + b * batch_stride + h * head_stride + i * row_stride, d, pairs, interleaved,
                                cosines + angles, sines + angles));
}
