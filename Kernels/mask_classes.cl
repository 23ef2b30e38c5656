// Classifies the tiles of a mask, once a call: a tile that hides every pair is skipped by the fused kernels, and in one
// that leaves every score as it is the mask is not read again. A work-group a tile; each element is read once.
//
//   class[plane][row tile][key tile] = TILE_HIDDEN   every element is false or −∞
//                                      TILE_OPEN     every element is true or 0
//                                      TILE_MIXED    otherwise

#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 16
#endif
#ifndef CLASSIFY_ITEMS
#define CLASSIFY_ITEMS 64
#endif

enum { HIDES_SOME = 1, LEAVES_SOME = 2, CHANGES_SOME = 4 };

// One plane follows the other by `plane_elements`; row_tiles is 1 where every query has the same row.
__kernel __attribute__((reqd_work_group_size(CLASSIFY_ITEMS, 1, 1))) void classify_mask(
    __global const uchar *mask, __global uchar *mask_classes, int mask_kind,
    long mask_query_stride, long mask_key_stride, long plane_elements,
    int rows, int keys, int row_tiles, int key_tiles) {
  __local int found;

  const int item = get_local_id(0);
  const int group = get_group_id(0);
  const int j0 = group % key_tiles * TILE_KEYS;
  const int i0 = group / key_tiles % row_tiles * TILE_ROWS;
  const int plane = group / key_tiles / row_tiles;
  const Modifiers modifiers = {0.0f, 0.0f, mask_kind, 0, mask_query_stride, mask_key_stride, mask};
  Head head;
  head.mask = plane * plane_elements;

  // A dimension along which the mask does not change is read at one place.
  const int tile_rows = mask_query_stride == 0 ? min(1, rows) : min(TILE_ROWS, rows - i0);
  const int tile_keys = mask_key_stride == 0 ? min(1, keys - j0) : min(TILE_KEYS, keys - j0);

  if (item == 0) found = 0;
  barrier(CLK_LOCAL_MEM_FENCE);
  int mine = 0;
  for (int at = item; at < tile_rows * tile_keys; at += CLASSIFY_ITEMS) {
    const float bias = mask_bias(modifiers, head, i0 + at / tile_keys, j0 + at % tile_keys);
    mine |= bias == 0.0f ? LEAVES_SOME : bias == -INFINITY ? HIDES_SOME : CHANGES_SOME;
  }
  if (mine != 0) atomic_or(&found, mine);
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item == 0)
    mask_classes[group] = found == LEAVES_SOME ? TILE_OPEN : found == HIDES_SOME ? TILE_HIDDEN : TILE_MIXED;
}
