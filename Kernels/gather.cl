// Rows of a cache (key_value_rows.cl) side by side, in the type that the fused kernels read.

// Rows that follow one another: the first where they are and where it goes, counted in rows.
typedef struct {
  long from, to;
  int count;
  int padding;
} Stretch;

// A work-group a row of a stretch, of `block_rows` at most. `stored` elements of a row are there, `width` are wanted.
__kernel void gather_rows(__global const Stretch *stretches, __global const uchar *rows, __global storage_t *gathered,
                          int block_rows, int width, int stored) {
  const Stretch stretch = stretches[get_group_id(0) / block_rows];
  const int n = get_group_id(0) % block_rows;
  if (n >= stretch.count) return;
  __global const uchar *from = rows + (stretch.from + n) * ROW_BYTES(stored);
  __global storage_t *to = gathered + (stretch.to + n) * width;
  for (int d = get_local_id(0); d < width; d += get_local_size(0)) store_element(to, d, row_element(from, d, stored));
}
