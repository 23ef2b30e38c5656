"""Seeded operands, the case file that carries them to `attend run`, and its results. Numbers of 16 bits are kept as bits:
numpy has no bfloat16."""

import json
import struct
import zlib

import numpy as np

_NAMES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


def make(shape) -> dict[str, np.ndarray]:
    """query, key and value of a shape, [batch, heads, length, dimension]: float32, float16, or bfloat16's bits as uint16."""
    random = np.random.default_rng(zlib.crc32(shape.title.encode()))
    keys = (shape.kv_heads, shape.length)
    rows = {"query": (shape.heads, shape.queries or shape.length), "key": keys, "value": keys}
    return {
        name: encode(random.standard_normal((shape.batch, *count, shape.dimension), np.float32), shape.dtype)
        for name, count in rows.items()
    }


def encode(numbers: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "f32":
        return numbers
    if dtype == "f16":
        return numbers.astype(np.float16)
    bits = numbers.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # to nearest, ties to even


def decode(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """As float32."""
    if dtype == "bf16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float32)


def write_case(path, shape, operands) -> None:
    """A case file: the length of the header, the header, and the tensors one after the other."""
    options = {"causal": "lower_right" if shape.causal else "none", "outputs": ["output"]}
    if shape.window:
        options["window"] = list(shape.window)
    header = {"__metadata__": {"attention": json.dumps(options)}}
    offset = 0
    for name, numbers in operands.items():
        header[name] = {
            "dtype": _NAMES[shape.dtype],
            "shape": list(numbers.shape),
            "data_offsets": [offset, offset + numbers.nbytes],
        }
        offset += numbers.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for numbers in operands.values():
            file.write(numbers.tobytes())


def read_output(path, shape) -> np.ndarray:
    """The output of a result file as float32."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])["output"]
    begin, end = entry["data_offsets"]
    kind = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[entry["dtype"]]
    return decode(np.frombuffer(data[8 + length + begin : 8 + length + end], kind).reshape(entry["shape"]), shape.dtype)
