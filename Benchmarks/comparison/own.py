"""The sets that concern this project alone: a window's cost, memory, starting up, and what a call costs beside its kernels."""

from .ours import Failed, startup
from .report import Verdict
from .shapes import MEMORY_BAR, OVERHEAD_BAR, STARTUP_BAR, WINDOW_BAR, Shape


def measure(ours, options, comparison, say) -> list[Verdict]:
    """A verdict for each set asked for that the program's rows have the numbers for."""
    found = []
    for name, body in [("window", _window), ("memory", _memory), ("startup", _startup), ("overhead", _overhead)]:
        if name not in options.sets:
            continue
        say(f"{name}: {ours.name}")
        try:
            verdict = body(ours, options)
        except Failed as error:
            comparison.fail(f"{name}: {ours.name}: {error}", by_us=True)
            continue
        if isinstance(verdict, Verdict):
            found.append(verdict)
        else:
            comparison.notes.append(f"{name}: {ours.name}: {verdict}")
    return found


def _window(ours, options) -> Verdict:
    length = 4096 if options.quick else 32768
    full, windowed = (
        min(ours.time(Shape(2, 2, length, 64, causal=True, window=window), None, 0)[0] for _ in range(options.rounds))
        for window in (None, (256, 0))
    )
    return Verdict(f"full causal over window 256 at L {length}, {ours.name}: time", full / windowed, WINDOW_BAR)


def _memory(ours, options) -> Verdict:
    """The larger of what is planned without a mask and what was taken with a window, which is quicker to compute."""
    length = 2048 if options.quick else 65536
    plain = Shape(8, 8, length, 64)
    row = ours.bench(Shape(8, 8, length, 64, causal=True, window=(256, 0)), 0)
    taken = max(ours.planned_bytes(plain), row["device_bytes_peak"])
    what = f"device memory over operands and output at 8 × {length} × 64, {ours.name}"
    return Verdict(what, taken / plain.operand_bytes, MEMORY_BAR, at_most=True)


def _startup(ours, options) -> Verdict | str:
    built = startup(ours.program, ours.device, Shape(8, 8, 256, 64), 0)
    if built is None:
        return "its rows do not say how long kernels took to build"
    what = f"second process, {ours.name}: building kernels (first: {1e3 * built[0]:.0f} ms)"
    return Verdict(what, 1e3 * built[1], 1e3 * STARTUP_BAR, at_most=True, form="{:.2g} ms")


def _overhead(ours, options) -> Verdict | str:
    row = ours.bench(Shape(1, 1, 16, 16), 0.1)
    if row.get("call_overhead_seconds") is None:
        return "its rows do not say what a call costs beside its kernels"
    what = f"call overhead above kernel time, {ours.name}"
    return Verdict(what, 1e6 * row["call_overhead_seconds"], 1e6 * OVERHEAD_BAR, at_most=True, form="{:.3g} µs")
