"""The programs that the planner would have a GPU build: `attend plan --as-gpu` tells."""
import collections
import json

from .tools import run

TYPES = ("f32", "f16", "bf16")

# Held to the bars, in every type.
DIMENSIONS = (64, 128)
# Shown and held to the baseline alone, for their tiles may spill; in one type.
WIDE_DIMENSIONS = (192, 256, 576)

# How a cache may be stored, with the type of the queries that it is asked by here.
STORAGES = {"f32": "f32", "f16": "f16", "bf16": "bf16", "q8_0": "f32", "q4_0": "f32"}
# Of a cache's heads, four share a key.
CACHE = ("--query-length", "1", "--key-length", "4096", "--heads", "32", "--kv-heads", "8")

# The products in the inner loops of a kernel: Q·Kᵀ, P·V.
PRODUCTS = {"fused_gpu": 2, "scores": 1, "weighted_values": 1, "row_terms": 1, "top_keys": 1, "received": 1, "linear": 1}

# Kernels whose rows are of the dimension asked for, and those that read what the type in the row is. All others are the
# same whatever was asked for: one row of each.
OF_DIMENSION = ("fused_gpu", "fused_mma", "decode_gpu", "append_rows")
OF_TYPE = OF_DIMENSION + (
    "scores", "softmax_parts", "softmax_normalize", "weighted_values", "row_terms", "top_keys", "received", "merge_pieces",
    "gather_rows", "rotate_rows", "linear", "linear_number", "take_rows")

# One row of the table: a kernel as a device compiles it. The type is that of the operands, a cache's storage or a model's
# weights.
Row = collections.namedtuple("Row", "device kernel dimension type")


def requests():
    """What plans are asked for: a dimension, the type of their rows, and the options that ask."""
    for dimension in DIMENSIONS + WIDE_DIMENSIONS:
        for dtype in TYPES if dimension in DIMENSIONS else TYPES[:1]:
            yield dimension, dtype, ("--dtype", dtype, "--kernel", "fused")
    # The staged kernels are the same for every dimension.
    for dtype in TYPES:
        yield DIMENSIONS[0], dtype, ("--dtype", dtype, "--kernel", "staged", "--outputs", "top_keys,received")
    for dimension in DIMENSIONS:
        for storage, dtype in STORAGES.items():
            yield dimension, storage, ("--dtype", dtype, "--kv-type", storage, "--weights", storage, *CACHE)


def programs(attend, device):
    """Each program with the rows that it makes, as (sources, options, {kernel: row})."""
    known = set()
    for dimension, dtype, options in requests():
        plan = json.loads(run(
            attend, "plan", "--as-gpu", device, "--head-dimension", dimension, "--json", *options))
        for program in plan["parts"][0]["programs"]:
            rows = {}
            for kernel in program["kernels"]:
                # What merges pieces and rotates rows is of the queries' type.
                of = options[1] if kernel in ("merge_pieces", "rotate_rows") else dtype
                row = Row(
                    device, kernel, str(dimension) if kernel in OF_DIMENSION else "any", of if kernel in OF_TYPE else "any")
                if row not in known:
                    rows[kernel] = row
                    known.add(row)
            if rows:
                yield program["sources"], program["options"], rows
