"""The programs that the planner would have a GPU build: `attend plan --as-gpu` tells."""
import collections
import json

from .tools import run

TYPES = ("f32", "f16", "bf16")

# Held to the bars, in every type.
DIMENSIONS = (64, 128)
# Shown and held to the baseline alone, for their tiles may spill; in one type.
WIDE_DIMENSIONS = (192, 256, 576)

# The products in the inner loops of a kernel: Q·Kᵀ, P·V.
PRODUCTS = {"fused_gpu": 2, "scores": 1, "weighted_values": 1, "top_keys": 1, "received": 1}

# What the plan is asked for, and the options that ask for it.
REQUESTS = (
    (DIMENSIONS, TYPES, ("--kernel", "fused")),
    (WIDE_DIMENSIONS, TYPES[:1], ("--kernel", "fused")),
    # The staged kernels are the same for every dimension.
    (DIMENSIONS[:1], TYPES, ("--kernel", "staged", "--outputs", "top_keys,received")),
)

# One row of the table: a kernel as a device compiles it.
Row = collections.namedtuple("Row", "device kernel dimension type")


def programs(attend, device):
    """Each program with the rows that it makes, as (sources, options, {kernel: row})."""
    for dimensions, types, options in REQUESTS:
        for dimension in dimensions:
            for dtype in types:
                plan = json.loads(run(
                    attend, "plan", "--as-gpu", device, "--head-dimension", dimension, "--dtype", dtype, "--json",
                    *options))
                for program in plan["parts"][0]["programs"]:
                    of = dimension if "fused_gpu" in program["kernels"] else "any"
                    # (Mask classes are the same for every dimension and type.)
                    rows = {
                        kernel: Row(device, kernel, str(of), dtype)
                        for kernel in program["kernels"]
                        if kernel != "classify_mask" or (dimension, dtype) == (DIMENSIONS[0], TYPES[0])
                    }
                    yield program["sources"], program["options"], rows
