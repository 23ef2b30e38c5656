"""The shapes that are compared, in named sets, and the bars that a set is held to."""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Shape:
    """One call: `batch` sequences, `heads` query heads on `kv_heads` key/value heads, `length` queries and keys."""

    heads: int
    kv_heads: int
    length: int
    dimension: int
    dtype: str = "f32"
    causal: bool = False
    window: tuple[int, int] | None = None
    queries: int | None = None  # where they are not as many as the keys
    batch: int = 1

    @property
    def family(self) -> str:
        """Everything but the length: what one plot shows."""
        heads = str(self.heads) if self.heads == self.kv_heads else f"{self.heads}/{self.kv_heads}"
        mask = " causal" if self.causal else ""
        window = f" window {self.window[0]},{self.window[1]}" if self.window else ""
        queries = f" Lq{self.queries}" if self.queries else ""
        batch = f"B{self.batch} " if self.batch > 1 else ""
        return f"{self.dtype} {batch}H{heads} D{self.dimension}{queries}{mask}{window}"

    @property
    def title(self) -> str:
        return f"{self.family} L{self.length}"

    @property
    def scale(self) -> float:
        return 1 / sqrt(self.dimension)

    @property
    def operand_bytes(self) -> int:
        """Queries, keys, values and output, each once."""
        size = 4 if self.dtype == "f32" else 2
        rows = self.heads * (self.queries or self.length) + self.kv_heads * self.length
        return 2 * self.batch * rows * self.dimension * size

    @property
    def options(self) -> list[str]:
        """The shape as options of `attend bench` and `attend plan`."""
        options = ["--heads", self.heads, "--kv-heads", self.kv_heads, "--query-length", self.queries or self.length]
        options += ["--key-length", self.length, "--head-dimension", self.dimension, "--dtype", self.dtype]
        if self.batch > 1:
            options += ["--batch", self.batch]
        if self.causal:
            options.append("--causal")
        if self.window:
            options += ["--window", f"{self.window[0]},{self.window[1]}"]
        return [str(option) for option in options]


@dataclass(frozen=True)
class Bar:
    """What a set's ratios of the peer's time to ours have to reach; None: no bar."""

    geometric_mean: float | None = None
    minimum: float | None = None


# What the peers compute too; the others are our own affair and are done in `ours.py`.
PEER_SETS = ["prefill-d64", "prefill-d128", "small", "decode", "decode-long", "decode-small"]
OWN_SETS = ["window", "memory", "startup", "overhead"]
LENGTHS = [512, 1024, 2048, 4096]
FRACTION_BAR = 0.75  # of the float32 peak: D 64, not causal, the longest
FRACTION_LENGTH = 4096
WINDOW_BAR = 40.0
MEMORY_BAR = 1.10
STARTUP_BAR = 0.020
OVERHEAD_BAR = 50e-6

_BARS = {
    ("PyTorch", "prefill-d64", "f32"): Bar(1.4, 1.05),
    ("PyTorch", "prefill-d128", "f32"): Bar(1.3, 1.0),
    ("PyTorch", "prefill-d64", "f16"): Bar(1.5),
    ("PyTorch", "prefill-d64", "bf16"): Bar(1.5),
    ("PyTorch", "prefill-d128", "f16"): Bar(1.5),
    ("PyTorch", "prefill-d128", "bf16"): Bar(1.5),
    ("PyTorch", "small", "f32"): Bar(1.5),
    ("PyTorch", "decode", "f32"): Bar(minimum=5),
    ("PyTorch", "decode-long", "f32"): Bar(minimum=12),
    ("PyTorch", "decode-small", "f32"): Bar(minimum=1 / 1.5),
    ("llama.cpp", "decode-long", "f32"): Bar(minimum=1.5),
}


def bar(peer: str, set_name: str, dtype: str) -> Bar:
    """Peers without a bar stand beside those that have one."""
    return _BARS.get((peer, set_name, dtype), Bar())


def _decode(name: str, dtype: str, quick: bool) -> list[Shape]:
    """One query a sequence against keys that are there."""
    if quick:
        return [Shape(4, 2, 256, 64, dtype, queries=1)]
    if name == "decode-small":
        return [Shape(9, 3, 512, 64, dtype, queries=1)]
    if name == "decode-long":
        return [Shape(32, 8, 65536, 128, dtype, queries=1)]
    return [Shape(32, 8, 4096, 128, dtype, queries=1), Shape(32, 8, 2048, 128, dtype, queries=1, batch=8)]


def peer_set(name: str, dtype: str, lengths: list[int], quick: bool) -> list[Shape]:
    """A set in one element type."""
    if name.startswith("decode"):
        return _decode(name, dtype, quick)
    if name == "small":
        return [Shape(12, 12, 128, 64, dtype, causal) for causal in (False, True)]
    dimension = 64 if name == "prefill-d64" else 128
    heads = [(8, 8), (32, 32)] if dimension == 64 else [(8, 8), (32, 8)]
    if quick:
        heads = [(4, 4)] if dimension == 64 else [(4, 2)]
    return [
        Shape(hq, hkv, length, dimension, dtype, causal)
        for hq, hkv in heads
        for causal in (False, True)
        for length in lengths
    ]
