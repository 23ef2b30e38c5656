"""The peers. Each computes a shape's output and times it with operands in memory, on as many threads as the machine has
cores. What is not installed is left out."""

import time
from pathlib import Path

import numpy as np

from . import inputs
from .llama import LlamaCpp
from .timing import repeat


class PyTorch:
    name = "PyTorch"

    def __init__(self, cores: int):
        import torch

        self._torch, self.version = torch, torch.__version__
        torch.set_num_threads(cores)
        torch.set_grad_enabled(False)

    def supports(self, shape) -> bool:
        return shape.window is None

    def _call(self, shape, operands):
        torch = self._torch
        tensors = [torch.from_numpy(operands[name]) for name in ("query", "key", "value")]
        if shape.dtype == "bf16":
            tensors = [tensor.view(torch.bfloat16) for tensor in tensors]
        # Equal lengths: PyTorch's upper-left causal mask and the lower-right one are the same.
        grouped = shape.heads != shape.kv_heads
        attention = torch.nn.functional.scaled_dot_product_attention
        return lambda: attention(*tensors, is_causal=shape.causal, enable_gqa=grouped)

    def answer(self, shape, operands, folder):
        return self._call(shape, operands)().float().numpy()

    def time(self, shape, operands, seconds: float):
        return repeat(self._call(shape, operands), seconds), {}


class ONNXRuntime:
    """Three operators do the work; for each shape the one that is right and fastest in a trial stands for all."""

    name = "onnxruntime"

    def __init__(self, cores: int):
        import onnx
        import onnxruntime

        self._onnx, self._runtime, self.version = onnx, onnxruntime, onnxruntime.__version__
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = cores
        self._options.log_severity_level = 4
        self._best: dict = {}

    # An operator that writes its score matrix would take more than this.
    _largest_scores = 6 << 30

    def supports(self, shape) -> bool:
        if shape.batch > 1:
            return False
        scores = 4 * shape.heads * (shape.queries or shape.length) * shape.length
        return shape.dtype != "bf16" and shape.window is None and scores <= self._largest_scores

    def _operators(self, shape) -> list[str]:
        operators = ["Attention"]
        if shape.queries:
            return operators
        if shape.heads == shape.kv_heads:
            operators.append("MultiHeadAttention")
        if shape.causal:
            operators.append("GroupQueryAttention")
        return operators

    def _model(self, operator: str, shape) -> bytes:
        """A graph of one node. Attention takes [B, H, L, D], the others [B, L, H · D]."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        kind = types.FLOAT if shape.dtype == "f32" else types.FLOAT16
        length, width = shape.length, shape.dimension

        def dense(name, heads, length=length):
            dims = [1, heads, length, width] if operator == "Attention" else [1, length, heads * width]
            return helper.make_tensor_value_info(name, kind, dims)

        queries = shape.queries or length
        taken = [dense("query", shape.heads, queries), dense("key", shape.kv_heads), dense("value", shape.kv_heads)]
        given = [dense("output", shape.heads, queries)]
        names = ["query", "key", "value"]
        if operator == "Attention":
            attributes = {"is_causal": int(shape.causal)}
        elif operator == "MultiHeadAttention":
            attributes = {"num_heads": shape.heads, "unidirectional": int(shape.causal), "domain": "com.microsoft"}
        else:
            attributes = {"num_heads": shape.heads, "kv_num_heads": shape.kv_heads, "domain": "com.microsoft"}
            names += ["", "", "last_key", "total_length"]
            taken += [helper.make_tensor_value_info(name, types.INT32, [1]) for name in names[-2:]]
            given += [
                helper.make_tensor_value_info(name, kind, [1, shape.kv_heads, length, width])
                for name in ("present_key", "present_value")
            ]
        node = helper.make_node(operator, names, [value.name for value in given], **attributes)
        graph = helper.make_graph([node], "attention", taken, given)
        opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()

    def _call(self, operator: str, shape, operands):
        session = self._runtime.InferenceSession(
            self._model(operator, shape), self._options, providers=["CPUExecutionProvider"]
        )
        feed = dict(operands)
        if operator != "Attention":
            # To [B, L, H · D], before the clock runs.
            feed = {
                name: np.ascontiguousarray(numbers.transpose(0, 2, 1, 3)).reshape(1, shape.length, -1)
                for name, numbers in operands.items()
            }
        if operator == "GroupQueryAttention":
            feed["last_key"] = np.array([shape.length - 1], np.int32)
            feed["total_length"] = np.array([shape.length], np.int32)
        return lambda: session.run(["output"], feed)[0]

    def _dense(self, output, shape):
        if output.ndim == 3:
            output = output.reshape(1, shape.length, shape.heads, shape.dimension).transpose(0, 2, 1, 3)
        return inputs.decode(output, shape.dtype)

    def answer(self, shape, operands, folder, expected=None):
        """The output of the fastest operator that agrees with `expected`."""
        best, slowest = None, []
        for operator in self._operators(shape):
            try:
                call = self._call(operator, shape, operands)
                output = self._dense(call(), shape)
            except Exception as error:  # onnxruntime's own errors have no common base
                slowest.append(f"{operator}: {str(error).splitlines()[0][:120]}")
                continue
            if expected is not None and not agrees(output, expected, shape.dtype):
                slowest.append(f"{operator}: another answer")
                continue
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if best is None or elapsed < best[0]:
                best = (elapsed, operator, output)
        if best is None:
            raise RuntimeError("; ".join(slowest))
        self._best[shape] = best[1]
        return best[2]

    def time(self, shape, operands, seconds: float):
        operator = self._best[shape]
        return repeat(self._call(operator, shape, operands), seconds), {"operator": operator}


# The rounding of a result of about 1 in the type, and of the weights where a peer rounds those too.
TOLERANCE = {"f32": 2e-5, "f16": 4e-3, "bf16": 3e-2}


def difference(output, expected) -> float:
    return float(np.max(np.abs(output - expected))) if output.shape == expected.shape else float("inf")


def agrees(output, expected, dtype: str) -> bool:
    return difference(output, expected) <= TOLERANCE[dtype]


def installed(cores: int, wanted: list[str], llama: Path | None) -> tuple[list, list[str]]:
    """The peers there are, and a line on each that is missing. `llama`: where llama.cpp's libraries are."""
    peers, missing = [], []
    for kind, more in [(PyTorch, {}), (ONNXRuntime, {}), (LlamaCpp, {"folder": llama})]:
        if kind.name.lower() not in wanted:
            continue
        try:
            peers.append(kind(cores, **more))
        except ImportError as error:
            missing.append(f"{kind.name} is left out: {error}")
    return peers, missing
