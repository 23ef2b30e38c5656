// The tiles of keys that a work-group of a fused kernel for GPUs walks over: those that are not hidden from all its rows.

#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif

SHARED int rows_of_tile(const Head head, int i0) { return min(TILE_ROWS, head.query_length - i0); }

// The first tile of keys from j on that is not hidden, and its visibility; j is `end` or more where there is none.
typedef struct {
  int j, visibility;
} KeyTile;

SHARED KeyTile next_tile(const Modifiers modifiers, __global const Head *heads, int i0, int j, int end,
                         __global const uchar *mask_classes) {
  const Head head = *heads;
  const int rows = rows_of_tile(head, i0);
  KeyTile tile = {j, TILE_HIDDEN};
  for (; tile.j < end; tile.j += TILE_KEYS) {
    const int mask_class = modifiers.mask_kind != MASK_NONE ? mask_classes[tile.j / TILE_KEYS] : TILE_OPEN;
    tile.visibility = tile_visibility(modifiers, head, i0, rows, tile.j, TILE_KEYS, mask_class);
    if (tile.visibility != TILE_HIDDEN) break;
  }
  return tile;
}
