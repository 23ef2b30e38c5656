// What a tile of the mask does to its scores: hides all of them (TILE_HIDDEN), leaves all as they are (TILE_OPEN), or
// something between (TILE_MIXED). Asked once a tile, so that the fused kernels skip the first and need not look at the
// mask in the second. A work-group a tile; the mask's planes follow one another.

#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif
#ifndef CLASSIFY_ITEMS
#define CLASSIFY_ITEMS 1
#endif

__kernel __attribute__((reqd_work_group_size(CLASSIFY_ITEMS, 1, 1))) void classify_mask(
    __global const uchar *mask, __global uchar *mask_classes, int mask_kind, long mask_query_stride,
    long mask_key_stride, long plane_elements, int rows, int keys, int row_tiles, int key_tiles) {
  __local int found;  // bit 0: some pair is hidden, bit 1: some is as it was, bit 2: some is changed
  const int item = get_local_id(0);
  const long group = get_group_id(0);
  const int key_tile = group % key_tiles;
  const int row_tile = group / key_tiles % row_tiles;
  const long plane = group / key_tiles / row_tiles;
  const Modifiers m = {0.0f, 0.0f, mask_kind, 0, mask_query_stride, mask_key_stride, mask,
                       0, 0, 0, mask};
  Head head = {0};
  head.mask = plane * plane_elements;
  if (item == 0) found = 0;
  barrier(CLK_LOCAL_MEM_FENCE);

  const int row_end = min(rows, (row_tile + 1) * TILE_ROWS), key_end = min(keys, (key_tile + 1) * TILE_KEYS);
  int seen = 0;
  for (int i = row_tile * TILE_ROWS; i < row_end; i++)
    for (int j = key_tile * TILE_KEYS + item; j < key_end; j += CLASSIFY_ITEMS) {
      const float bias = mask_bias(m, head, i, j);
      seen |= bias == -INFINITY ? 1 : bias == 0.0f ? 2 : 4;
    }
  atomic_or(&found, seen);
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item == 0) mask_classes[group] = found == 1 ? TILE_HIDDEN : found == 2 ? TILE_OPEN : TILE_MIXED;
}
