#!/usr/bin/env python3
"""Runs the encoder MiniLM in this project and in PyTorch, in turn: batches of 32 texts of equal length, float32, all cores.
`attend fetch minilm` gets the model. PyTorch computes the same layers as plain modules, with its own attention
(scaled_dot_product_attention), and starts from token numbers; our time has the tokenizer in it. First both embed one
sentence, and embeddings that differ are an error. Prints sentences per second by length, medians of the rounds, and the
ratio; above 1 this project is faster."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
os.environ.setdefault("OMP_NUM_THREADS", str(CORES))

try:
    import torch
    import torch.nn.functional as functional
    from safetensors.torch import load_file
except ModuleNotFoundError as error:
    sys.exit(f"compare_model.py: {error}; Benchmarks/README.md says how to set up the peers")

BATCH = 32  # that of `attend bench --model`
SENTENCE = "the animal crossed the street"  # each word whole in the vocabulary


class Encoder:
    """BERT's layers on a Hugging Face folder's weights."""

    def __init__(self, folder: Path):
        configuration = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.layers = configuration["num_hidden_layers"]
        self.heads = configuration["num_attention_heads"]
        self.epsilon = configuration["layer_norm_eps"]

    def _linear(self, x, name: str):
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x, name: str):
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(x, scale.shape, scale, shift, self.epsilon)

    def embed(self, ids):
        batch, length = ids.shape
        tables = [self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")]
        x = self._norm(tables[0][ids] + tables[1][:length] + tables[2][0], "embeddings.LayerNorm")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            query, key, value = (
                self._linear(x, f"{layer}.attention.self.{part}").view(batch, length, self.heads, -1).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = self._norm(self._linear(attended, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
            inner = functional.gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._norm(self._linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
        return functional.normalize(x.mean(1))


def torch_rate(encoder: Encoder, length: int) -> float:
    ids = torch.randint(1000, 20000, (BATCH, length), generator=torch.Generator().manual_seed(1))
    best = float("inf")
    for _ in range(4):  # the first warms up; the best of the others, as `attend bench` does
        begin = time.perf_counter()
        encoder.embed(ids)
        best = min(best, time.perf_counter() - begin)
    return BATCH / best


def attend_json(*command: str) -> dict:
    """The first object that it prints."""
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"compare_model.py: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[0])


def check(encoder: Encoder, attend: str, model: Path, device: str) -> None:
    """Both embed one sentence."""
    vocabulary = (model / "vocab.txt").read_text().splitlines()
    ids = [vocabulary.index(word) for word in ["[CLS]", *SENTENCE.split(), "[SEP]"]]
    expected = encoder.embed(torch.tensor([ids]))[0]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "sentence.txt"
        text.write_text(SENTENCE + "\n")
        options = ["--model", str(model), "--device", device, "--index", str(Path(folder) / "index")]
        found = torch.tensor(attend_json(attend, "embed", str(text), *options)["embedding"])
    off = (found - expected).abs().max().item()
    if not off < 1e-5:
        sys.exit(f"compare_model.py: the embedding by {device} is {off:.1e} from PyTorch's, expected less than 1e-5")


def attend_rate(attend: str, model: str, device: str, length: int) -> tuple[int, float]:
    """The length that the texts came to in tokens, and sentences per second."""
    line = attend_json(attend, "bench", "--model", model, "--device", device, "--query-length", str(length))
    return line["context"], line["sentences_per_second"]


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attend", default=str(root / ".build/release/attend"), help="the program; default: %(default)s")
    parser.add_argument("--model", type=Path, default=cache / "swift-attention/models/minilm", help="default: %(default)s")
    parser.add_argument("--device", nargs="+", default=["cpu"], help="devices of attend; default: cpu")
    parser.add_argument("--lengths", default="32,128", help="tokens of a text, about; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    if not (options.model / "model.safetensors").exists():
        parser.error(f"--model: expected a folder with model.safetensors, found none at {options.model}")
    torch.set_num_threads(CORES)
    torch.set_grad_enabled(False)
    encoder = Encoder(options.model)
    for device in options.device:
        check(encoder, options.attend, options.model, device)
    print(f"PyTorch {torch.__version__}, {CORES} threads, batches of {BATCH}")
    for asked in (int(part) for part in options.lengths.split(",")):
        rates: dict[str, list[float]] = {name: [] for name in ["PyTorch", *options.device]}
        length = asked
        for _ in range(options.rounds):
            for device in options.device:
                length, rate = attend_rate(options.attend, str(options.model), device, asked)
                rates[device].append(rate)
            rates["PyTorch"].append(torch_rate(encoder, length))
        medians = {name: statistics.median(found) for name, found in rates.items()}
        for device in options.device:
            ratio = medians[device] / medians["PyTorch"]
            print(f"{length} tokens: PyTorch {medians['PyTorch']:.1f}, {device} {medians[device]:.1f} sentences/s, {ratio:.2f}×")


if __name__ == "__main__":
    main()
