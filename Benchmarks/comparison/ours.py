"""This project, through its command line."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from . import inputs


class Failed(Exception):
    """`attend` ended with an error; what it said."""


class Ours:
    """`attend` on one device."""

    def __init__(self, program: str, device: str, environment: dict[str, str] | None = None):
        self.program, self.device = program, device
        self.name = f"attend {device}"
        self._environment = {**os.environ, **(environment or {})}

    def call(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [self.program, command, *options, "--device", self.device],
            capture_output=True, text=True, env=self._environment,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}")
        return done.stdout

    def supports(self, shape) -> bool:
        return True

    def answer(self, shape, operands, folder: Path):
        """The output for these operands, by way of a case file."""
        case, result = folder / "case.safetensors", folder / "result.safetensors"
        inputs.write_case(case, shape, operands)
        self.call("run", str(case), "-o", str(result))
        output = inputs.read_output(result, shape)
        case.unlink()
        result.unlink()
        return output

    def bench(self, shape, seconds: float) -> dict:
        """A row of `attend bench --json`."""
        options = [*shape.options, "--json", "--repetitions", "1", "--minimum-seconds", str(seconds)]
        return json.loads(self.call("bench", *options).splitlines()[-1])

    def time(self, shape, operands, seconds: float) -> tuple[float, dict]:
        row = self.bench(shape, seconds)
        return row["kernel_seconds_median"], row

    def planned_bytes(self, shape) -> int:
        plan = json.loads(self.call("plan", *shape.options, "--json").splitlines()[-1])
        return sum(part.get("device_bytes") or 0 for part in plan["parts"])


def startup(program: str, device: str, shape, seconds: float) -> list[float] | None:
    """Seconds spent on building kernels by a first and a second process that share an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        ours = Ours(program, device, {"XDG_CACHE_HOME": cache, "ATTENTION_CACHE": ""})
        rows = [ours.bench(shape, seconds) for _ in range(2)]
    built = [row.get("kernel_build_seconds") for row in rows]
    return None if None in built else built
