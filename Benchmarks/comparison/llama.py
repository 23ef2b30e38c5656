"""llama.cpp, where its `test-backend-ops` was built. Its shapes are its own, so that we compute those."""

import re
import subprocess

from .shapes import Shape

_LINE = re.compile(r"FLASH_ATTN_EXT\((?P<arguments>.*?)\):.*?(?P<microseconds>[0-9.]+) us/run")


def measure(program: str, cores: int, limit: int) -> tuple[list[dict], list[str]]:
    """Rows of `perf -o FLASH_ATTN_EXT` on the CPU that our `attend bench` can repeat, with llama.cpp's seconds a run, and
    notes on what was left out."""
    try:
        done = subprocess.run(
            [program, "perf", "-o", "FLASH_ATTN_EXT", "-b", "CPU"], capture_output=True, text=True, timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], [f"llama.cpp is left out: {error}"]
    rows = []
    for match in _LINE.finditer(done.stdout):
        shape = _shape(match["arguments"])
        if shape is not None and len(rows) < limit:
            rows.append({**shape, "seconds": float(match["microseconds"]) * 1e-6, "case": match["arguments"]})
    return rows, [] if rows else ["llama.cpp is left out: no case in its output that this script can repeat"]


def _shape(arguments: str) -> dict | None:
    """hsk=64,hsv=64,nh=8,nr23=[4,1],kv=4096,nb=1,…: head sizes, key/value heads, query heads of each, keys, queries."""
    values = dict(re.findall(r"(\w+)=(\[[^\]]*\]|[^,\[]+)", arguments))
    try:
        size, heads, keys, queries = (int(values[name]) for name in ("hsk", "nh", "kv", "nb"))
        group = int(re.findall(r"\d+", values.get("nr23") or values["nr"])[0])
        plain = values.get("sinks", "0") == "0" and float(values.get("logit_softcap", "0")) == 0
        plain = plain and float(values.get("max_bias", "0")) == 0 and int(values["hsv"]) == size
        kind = values.get("type_KV") or values.get("type_K", "f16")
    except (KeyError, ValueError, IndexError):
        return None
    if not plain or kind not in ("f16", "f32", "bf16"):
        return None
    return {"shape": Shape(heads * group, heads, keys, size, kind, queries=queries)}
