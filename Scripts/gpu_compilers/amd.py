"""AMD: clang compiles OpenCL C to the machine code of the device."""
import re

from .instructions import Block, mix, number
from .tools import run

MULTIPLY_ADD = re.compile(r"v_(pk_|dual_)?(fma|mac|mad)")


def compile(tools, target, source, kernels, options, folder):
    path, assembly = folder / "kernel.cl", folder / "kernel.s"
    path.write_text(source)
    remarks = run(
        "clang-22", "-x", "cl", "-target", "amdgcn-amd-amdhsa", f"-mcpu={target}", "-nogpulib", "-w", "-O3",
        "-cl-mad-enable", "-Xclang", "-mlink-builtin-bitcode", "-Xclang", tools.path("amdgcn-amd-amdhsa.bc"),
        "-Rpass-analysis=kernel-resource-usage", "-S", "-o", assembly, path, *options)
    text = assembly.read_text()
    for kernel, product_count in kernels.items():
        # clang writes a copy of each kernel under another name: the kernel's own symbol is what counts.
        body = text[text.index(f"\n{kernel}:"):]
        lines = body[:body.index(".Lfunc_end")].split("\n")
        said = remarks[remarks.index(f"Function Name: {kernel} "):]
        yield kernel, {
            "registers": number(r" VGPRs: (\d+)", said),
            "vector spills": number(r" VGPRs Spill: (\d+)", said),
            "scalar spills": number(r" SGPRs Spill: (\d+)", said),
            "stack": number(r" ScratchSize [^:\n]*: (\d+)", said),
            "local bytes": number(r" LDS Size [^:\n]*: (\d+)", said),
            "occupancy": number(r" Occupancy [^:\n]*: (\d+)", said),
            **mix(blocks(lines), product_count),
            "global loads": global_loads(lines),
        }


def blocks(lines):
    found = [Block()]
    for line in lines:
        if re.match(r"\S+:|\s+s_c?branch", line):
            found.append(Block())
        # Instructions that issue together stand in one line, with :: between them.
        for part in line.split("::"):
            name = re.match(r"\s+([vd]\w*_\w+)", part)
            if not name:
                continue
            if name[1].startswith("v_"):
                found[-1].vector += 1
                found[-1].multiply_adds += bool(MULTIPLY_ADD.match(name[1]))
            elif name[1].startswith(("ds_read", "ds_load")):
                found[-1].loads += 1
                found[-1].wide_loads += name[1].endswith("_b128")
    return found


def global_loads(lines):
    names = [match[1] for line in lines if (match := re.match(r"\s+((?:global|flat|buffer)_load_\w+)", line))]
    return f"{sum(name.endswith(('dwordx4', '_b128')) for name in names)}/{len(names)}"
