"""The table of figures: what it is held to, and the committed one that it may not fall behind."""
from .programs import DIMENSIONS, Row

# Figures in the order of the columns, and whether more of each is worse (1) or better (−1). A fraction is of 128-bit loads
# among all: more of the others are worse.
FIGURES = {
    "registers": 1, "vector spills": 1, "scalar spills": 1, "stack": 1, "local bytes": 1, "occupancy": -1,
    "multiply-adds": -1, "local loads": -1, "global loads": -1,
}

# Where scalar registers are spilled all the same, and how often is the baseline's to say: these devices have 102 of them and
# masks of 64 bits, and the kernels many arguments. They go to lanes of a vector register, not to memory.
SCALAR_SPILLS = {
    (device, kernel)
    for device in ("gfx906", "gfx90a", "gfx942")
    for kernel in ("row_terms", "top_keys", "received", "decode_gpu", "fused_mma")
}

# Loads of 128 bits that a kernel must have. Fused: tiles of queries, keys and values. Decoding: keys and values (and queries).
# Merging: partial sums. A row of weights: what it is multiplied by, and the weights. What is loaded beside those is not wide:
# places, heads and scales. Nor are, each for its reason,
#
#   tiles of the staged kernels, and of linear, in 16 bits   too few units of 128 bits for all items, which load 64 each
#   queries and rows to append in 16 bits                    the same: an item has four elements at a time to rotate
#   keys and values in q8_0 and q4_0                         rows begin at multiples of 4 or 8 bytes, and an item of 128 bits
#                                                            would have more columns than registers: 8 bytes and 4
#   weights in q8_0 and q4_0, on NVIDIA                      blocks of a model's file begin at any even byte: 16 bits
LEAST_WIDE_LOADS = {"fused_gpu": 3, "decode_gpu": 2, "merge_pieces": 1, "linear_number": 2}
QUANTISED = ("q8_0", "q4_0")

# Registers of NVIDIA's fused kernel at dimension 64. An H100 is faster with tiles that take 168 by its own compiler's count and
# 202 to 206 by this one's than with those that take 128 (30.9 against 26.2 TFLOP/s in float32).
MOST_REGISTERS = 208

# Waves of a SIMD that the fused kernel must leave room for at dimension 64.
LEAST_OCCUPANCY = {"gfx90a": 2, "gfx942": 2, "gfx1030": 4, "gfx1100": 4}


def missed_bars(row, figures):
    """What every kernel of GPUs is held to at dimensions 64 and 128, whatever the baseline says."""
    if row.dimension not in ("any", *map(str, DIMENSIONS)):
        return
    for name in ("vector spills", "scalar spills", "stack"):
        if name == "scalar spills" and (row.device, row.kernel) in SCALAR_SPILLS:
            continue
        if figures[name] not in ("0", "-"):
            yield f"{name}: expected none, found {figures[name]}"
    share = figures["multiply-adds"]
    if share != "-" and int(share) < 80:
        yield f"multiply-adds: expected at least 80 %, found {share} %"
    wide, loads = fraction(figures["local loads"]) or (0, 0)
    if wide < loads:
        yield f"local loads: expected 128 bits each, found {figures['local loads']}"
    least = LEAST_WIDE_LOADS.get(row.kernel, 0)
    loads = fraction(figures["global loads"])
    if loads and loads[0] < least and not (row.kernel == "decode_gpu" and row.type in QUANTISED):
        yield f"global loads: expected at least {least} of 128 bits, found {figures['global loads']}"
    if row.kernel == "fused_gpu" and row.dimension == "64":
        if row.device.startswith("sm_") and int(figures["registers"]) > MOST_REGISTERS:
            yield f"registers: expected at most {MOST_REGISTERS}, found {figures['registers']}"
        if int(figures["occupancy"]) < LEAST_OCCUPANCY.get(row.device, 0):
            yield f"occupancy: expected at least {LEAST_OCCUPANCY[row.device]}, found {figures['occupancy']}"


def fraction(text):
    """`wide/all` as two numbers; None of anything else."""
    return tuple(map(int, text.split("/"))) if "/" in text else None


def worse(figures, baseline):
    """The figures that have become worse, in words."""
    for name, direction in FIGURES.items():
        new, old = figures[name], baseline[name]
        if new == old or "-" in (new, old):
            # (A figure that can no longer be read is worse: then the script no longer sees.)
            lost = new == "-" != old
        elif "/" in new:
            (wide, loads), (old_wide, old_loads) = fraction(new), fraction(old)
            lost = loads - wide > old_loads - old_wide or (wide == 0 < old_wide)
        else:
            lost = direction * (float(new) - float(old)) > 0
        if lost:
            yield f"{name}: {new}, was {old}"


def read(path):
    """The rows of a baseline file; none where there is no file."""
    if not path.exists():
        return {}
    rows = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            cells = line.split()
            rows[Row(*cells[:4])] = dict(zip(FIGURES, cells[4:]))
    return rows


HEAD = ("# device", "kernel", "D", "type", *(name.replace(" ", "-") for name in FIGURES))
WIDTHS = (8, 17, 3, 4, *(len(name) for name in FIGURES))


def line(cells):
    """One line of the table, in columns of fixed width."""
    return " ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def table(rows):
    """Rows as text, a line each under a head, which is a comment."""
    lines = [line(HEAD)] + [line((*row, *figures.values())) for row, figures in rows.items()]
    return "".join(text + "\n" for text in lines)
