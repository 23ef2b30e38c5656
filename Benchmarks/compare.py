#!/usr/bin/env python3
"""Runs this project, PyTorch, onnxruntime and, where it was built, llama.cpp on the same shapes in turn, checks that the
answers agree, and writes a table, a JSON file and plots. See README.md beside this file."""

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

try:
    from comparison import inputs, machine, own, peers, report, shapes
    from comparison.ours import Failed, Ours
    from comparison.peaks import Peaks
except ModuleNotFoundError as error:
    sys.exit(f"compare.py: {error}; Benchmarks/README.md says how to set up the peers")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def words(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def arguments() -> argparse.Namespace:
    root = Path(__file__).resolve().parent.parent
    sets = shapes.PEER_SETS + shapes.OWN_SETS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attend", default=str(root / ".build/release/attend"), help="the program; default: %(default)s")
    devices = ["opencl", "cpu"]
    parser.add_argument("--device", nargs="+", default=devices, help="devices of attend, each timed; default: opencl cpu")
    parser.add_argument("--sets", type=words, default=sets, help=f"of {','.join(sets)}; default: all")
    parser.add_argument("--dtypes", type=words, default=["f32"], help="of f32,f16,bf16; default: f32")
    parser.add_argument("--lengths", type=numbers, help="default: 512,1024,2048,4096")
    known_peers = ["pytorch", "onnxruntime", "llama.cpp"]
    parser.add_argument("--peers", type=words, default=known_peers, help=f"default: {','.join(known_peers)}")
    parser.add_argument("--llama", metavar="FOLDER", type=Path, help="of llama.cpp's libraries; default: llama-cpp-python's")
    parser.add_argument("--rounds", type=int, help="times that everybody has a turn; default: 3")
    parser.add_argument("--seconds", type=float, help="seconds of timed runs a turn; default: 0.1")
    parser.add_argument("--output", type=Path, default=root / "Benchmarks/results", help="folder; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="small shapes and two rounds: does the script work?")
    options = parser.parse_args()
    options.lengths = options.lengths or ([128, 256] if options.quick else shapes.LENGTHS)
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.seconds = options.seconds or (0.01 if options.quick else 0.1)
    for name, known in [("sets", sets), ("dtypes", ["f32", "f16", "bf16"]), ("peers", known_peers)]:
        if unknown := set(getattr(options, name)) - set(known):
            parser.error(f"--{name}: expected some of {','.join(known)}, found {','.join(sorted(unknown))}")
    if not os.access(options.attend, os.X_OK):
        parser.error(f"--attend: expected a program, found none at {options.attend}; `swift build -c release` makes it")
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Comparison:
    """The run: who takes part, and what came out so far."""

    def __init__(self, options, folder: Path):
        self.options, self.folder = options, folder
        cores = machine.cores()
        self.ours = [Ours(options.attend, device) for device in options.device]
        self.peers, self.notes = peers.installed(cores, options.peers, options.llama)
        self.peaks = Peaks(folder, cores)
        self.entries: list[dict] = []
        self.failures: list[str] = []

    def shape(self, set_name: str, shape) -> None:
        """Everybody's answer, then the rounds. One that fails or disagrees is left out of the shape's rounds."""
        say(f"{set_name}: {shape.title}")
        operands = inputs.make(shape)
        contestants, expected = [], None
        # The peers first: ours are held to the first answer, PyTorch's where it is there.
        for one in [*self.peers, *self.ours]:
            if not one.supports(shape):
                continue
            try:
                extra = {"expected": expected} if isinstance(one, peers.ONNXRuntime) else {}
                answer = one.answer(shape, operands, self.folder, **extra)
            except (Failed, RuntimeError) as error:
                self.fail(f"{shape.title}: {one.name}: {error}", by_us=one in self.ours)
                continue
            expected = answer if expected is None else expected
            if not peers.agrees(answer, expected, shape.dtype):
                off = peers.difference(answer, expected)
                self.fail(f"{shape.title}: {one.name} differs by {off:.1e} from the first answer", by_us=one in self.ours)
                continue
            contestants.append(one)
        rounds: dict[str, list[float]] = {one.name: [] for one in contestants}
        details: dict[str, dict] = {}
        for number in range(self.options.rounds):
            # Forth and back, so that nobody always follows the same one.
            for one in contestants if number % 2 == 0 else reversed(contestants):
                try:
                    seconds, details[one.name] = one.time(shape, operands, self.options.seconds)
                    rounds[one.name].append(seconds)
                except (Failed, RuntimeError) as error:
                    self.fail(f"{shape.title}: {one.name}: {error}", by_us=one in self.ours)
        whole = {name: times for name, times in rounds.items() if len(times) == self.options.rounds}
        ours = [one.name for one in self.ours]
        if any(name in whole for name in ours):
            self.entries.append(report.entry(set_name, shape, whole, details, ours))

    def fail(self, text: str, by_us: bool) -> None:
        say(f"  {text}")
        self.notes.append(text)
        if by_us:
            self.failures.append(text)


def main() -> int:
    options = arguments()
    begin = time.time()
    with tempfile.TemporaryDirectory() as name:
        comparison = Comparison(options, Path(name))
        comparison.peaks.measure()
        for set_name in [name for name in shapes.PEER_SETS if name in options.sets]:
            for dtype in options.dtypes:
                for shape in shapes.peer_set(set_name, dtype, options.lengths, options.quick):
                    comparison.shape(set_name, shape)
                comparison.peaks.measure()
        names = [ours.name for ours in comparison.ours]
        found = report.verdicts(comparison.entries, comparison.peaks.gflops, names)
        for ours in comparison.ours:
            found += own.measure(ours, options, comparison, say)
    result = {
        "machine": machine.describe(options.attend, options.device, comparison.peers),
        "peaks": {
            "gflops": comparison.peaks.gflops,
            "gigabytes_per_second": comparison.peaks.gigabytes_per_second,
        },
        "command": shlex.join(["Benchmarks/compare.py", *sys.argv[1:]]),
        # The bars are for all of the shapes and no others.
        "judged": not options.quick and options.lengths == shapes.LENGTHS,
        "seconds": time.time() - begin,
        "ours": names,
        "notes": comparison.notes,
        "entries": comparison.entries,
    }
    report.write(options.output, result, found)
    for verdict in found:
        print("  ".join(verdict.cells(judged=result["judged"])))
    print(f"{options.output / 'table.md'}, after {result['seconds']:.0f} s")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
