"""Intel: ocloc, the compiler of Intel's driver as a command, with dumps of what it makes."""
import collections
import os
import re

from .instructions import Block, mix, number
from .tools import run

# Threads that an execution unit holds, at 128 registers each; half as many at 256.
THREADS = {"tgllp": 7, "dg2": 8, "pvc": 8}

INSTRUCTION = re.compile(r"(?:\([^)]*\))?\s+([a-z][a-z0-9.]*) \((\d+)\|")


def compile(tools, target, source, kernels, options, folder):
    path = folder / "kernel.cl"
    path.write_text(source)
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(tools.libraries), "IGC_ShaderDumpEnable": "1", "IGC_DumpToCustomDir": str(folder)}
    run(tools.path("ocloc"), "compile", "-file", path, "-device", target, "-options", " ".join(options), "-out_dir",
        folder, env=environment)
    attempts = collections.defaultdict(list)
    for file in sorted(folder.glob("*.asm")):
        text = file.read_text()
        if kernel := re.search(r"//\.kernel (\S+)", text):
            attempts[kernel[1]].append(text)
    for kernel, product_count in kernels.items():
        # An attempt that spills is followed by another with less unrolling, or a smaller sub-group, and ocloc is content
        # with either. The first counts: it has the most multiply-adds.
        text = max(attempts[kernel], key=lambda text: len(re.findall(r"\bmad\b", text)))
        registers = number(r"numGRF=(\d+)", text)
        # Local loads are messages, without a width that means the same as elsewhere.
        counted = mix(blocks(text.split("\n")), product_count) | {"local loads": "-"}
        yield kernel, {
            "registers": registers,
            "vector spills": number(r"//\.spill size (\d+)", text) + len(attempts[kernel]) - 1,
            "scalar spills": "-",
            "stack": number(r"//\.private memory size (\d+)", text),
            "local bytes": "-",
            "occupancy": THREADS[target] * 128 // max(128, registers),
            **counted,
            "global loads": "-",
        }


def blocks(lines):
    found = [Block()]
    for line in lines:
        match = INSTRUCTION.match(line)
        if re.match(r"\w+:", line) or (match and match[1].startswith(("goto", "join", "jmpi", "while", "else", "endif"))):
            found.append(Block())
        elif not match:
            continue
        elif match[1].startswith(("send", "load")):
            found[-1].loads += 1
        elif int(match[2]) >= 8 and not match[1].startswith(("sync", "store")):
            found[-1].vector += 1
            found[-1].multiply_adds += match[1] == "mad"
    return found
