"""Counting instructions in listings of machine code."""
import dataclasses
import re


@dataclasses.dataclass
class Block:
    """Instructions that run one after the other, without a label or a jump between them."""

    multiply_adds: int = 0
    vector: int = 0  # arithmetic on vector registers, multiply-adds included
    wide_loads: int = 0  # from local memory, of 128 bits
    loads: int = 0  # from local memory


def products(blocks, count):
    """The `count` blocks of most multiply-adds: the loops of the products, unrolled as they may be.

    (Those that load nothing from local memory are the polynomials of tanh or exp.)
    """
    candidates = [block for block in blocks if block.loads > 0 and block.multiply_adds >= 8]
    return sorted(candidates, key=lambda block: -block.multiply_adds)[:count]


def mix(blocks, count):
    """The least percentage of multiply-adds among the products' vector arithmetic, and their 128-bit local loads of all."""
    found = products(blocks, count)
    if count == 0 or len(found) < count:
        return {"multiply-adds": "-", "local loads": "-"}
    return {
        "multiply-adds": min(100 * block.multiply_adds // block.vector for block in found),
        "local loads": f"{sum(b.wide_loads for b in found)}/{sum(b.loads for b in found)}",
    }


def number(pattern, text, otherwise=0):
    """The first group of the first match as a number."""
    match = re.search(pattern, text, re.MULTILINE)
    return int(match[1]) if match else otherwise
