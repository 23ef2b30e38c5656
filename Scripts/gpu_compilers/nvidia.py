"""NVIDIA: clang, opt and llc make PTX, and ptxas the machine code of the device, as the driver would."""
import re

from .instructions import Block, mix, number
from .tools import run

# What libclc leaves to NVIDIA's own library, which is not here; the driver's compiler has instructions for them, or a
# handful of multiply-adds.
BUILTINS = """
int __nv_isinff(float x) { return __builtin_isinf(x); }
float __nv_sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
float __nv_logf(float x) { return __nvvm_lg2_approx_ftz_f(x) * 0.693147181f; }
"""

# Bytes of local memory, and threads, of a multiprocessor. Each has 65,536 registers.
LIMITS = {"sm_70": (96 << 10, 2048), "sm_80": (164 << 10, 2048), "sm_89": (100 << 10, 1536), "sm_90": (228 << 10, 2048)}

# Of a group whose size the driver chooses, as occupancy is told.
ITEMS = 256

# The disassembler no longer knows it: loads are counted in its PTX.
NOT_DISASSEMBLED = ("sm_70",)

INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")
# Everything else is arithmetic on vector registers.
OTHER = re.compile(r"LD|ST|BRA|U[A-Z]|BAR|NOP|BSYNC|BSSY|ATOM|WARP|R2UR|S2|EXIT")


def compile(tools, target, source, kernels, options, folder):
    path = folder / "kernel.cl"
    path.write_text(source + BUILTINS)
    whole, one, ptx, binary = (folder / f"kernel.{end}" for end in ("whole.ll", "one.bc", "ptx", "cubin"))
    run("clang-22", "-x", "cl", "-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", target, "-Xclang",
        "-target-feature", "-Xclang", "+ptx78", "-nogpulib", "-w", "-O3", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
        tools.path("nvptx64--nvidiacl.bc"), "-Xclang", "-disable-llvm-passes",
        # It has no lowering of its own.
        "-Dnative_exp2=__nvvm_ex2_approx_ftz_f", "-emit-llvm", "-S", "-o", whole, path, *options)
    for kernel, product_count in kernels.items():
        items = work_group_items(whole.read_text(), kernel)
        run("opt-22", "-passes=forceattrs,internalize,always-inline,globaldce,default<O3>",
            "-force-remove-attribute=noinline", *([f"-force-attribute={kernel}:nvvm.reqntid={items}"] if items else []),
            f"-internalize-public-api-list={kernel}", "-o", one, whole)
        run("llc-22", "-O3", f"-mcpu={target}", "-mattr=+ptx78", "-o", ptx, one)
        said = run(tools.path("ptxas"), "-v", f"-arch={target}", "-o", binary, ptx)
        text = ptx.read_text()
        registers, local_bytes = number(r"Used (\d+) registers", said), number(r"(\d+) bytes smem", said)
        if target in NOT_DISASSEMBLED:
            counted = {"multiply-adds": "-", "local loads": "-", "global loads": ptx_loads(text)}
        else:
            lines = run(tools.path("nvdisasm"), "-c", binary).split("\n")
            counted = mix(blocks(lines), product_count) | {"global loads": global_loads(lines)}
        yield kernel, {
            "registers": registers,
            "vector spills": number(r"(\d+) bytes spill stores", said),
            "scalar spills": "-",
            "stack": number(r"(\d+) bytes stack", said),
            "local bytes": local_bytes,
            "occupancy": occupancy(target, registers, local_bytes, items or ITEMS),
            **counted,
        }


def work_group_items(text, kernel):
    """The work-items of a kernel's groups, which its attribute demands; none where the driver may choose."""
    size = re.search(rf"^define .*@{kernel}\(.*!reqd_work_group_size (!\d+)", text, re.MULTILINE)
    return number(rf"^{size[1]} = !{{i32 (\d+)", text) if size else None


def occupancy(target, registers, local_bytes, items):
    """Warps of a multiprocessor's scheduler, of which there are four, as registers and local memory allow."""
    local_memory, threads = LIMITS[target]
    warps = (items + 31) // 32
    by_registers = 65536 // (warps * 32 * max(8, (registers + 7) // 8 * 8))
    by_local_memory = local_memory // (local_bytes + 1024)
    return min(by_registers, by_local_memory, threads // (warps * 32)) * warps // 4


def blocks(lines):
    found = [Block()]
    for line in lines:
        if re.match(r"\.L\w+:", line):
            found.append(Block())
        match = INSTRUCTION.match(line)
        if not match:
            continue
        name = match[1]
        if name.startswith("LDS"):
            found[-1].loads += 1
            found[-1].wide_loads += name.endswith(".128")
        elif name.startswith("BRA"):
            found.append(Block())
        elif not OTHER.match(name):
            found[-1].vector += 1
            found[-1].multiply_adds += name.startswith("FFMA")
    return found


def global_loads(lines):
    names = [match[1] for line in lines if (match := INSTRUCTION.match(line)) and match[1].startswith("LDG")]
    return f"{sum('.128' in name for name in names)}/{len(names)}"


def ptx_loads(text):
    loads = re.findall(r"\bld\.global(?:\.nc)?(\.v\d)?\.\w?(\d+)", text)
    return f"{sum(int(vector[2:] or 1) * int(bits) == 128 for vector, bits in loads)}/{len(loads)}"
