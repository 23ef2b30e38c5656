"""llama.cpp: the flash attention of its library for processors, ggml, through ctypes."""

import ctypes
import importlib.util
from pathlib import Path

import numpy as np

from . import inputs
from .timing import repeat

_F32, _F16, _BF16 = 0, 1, 30  # ggml_type
_KINDS = {"f32": _F32, "f16": _F16, "bf16": _BF16}
_DONE = 0  # GGML_STATUS_SUCCESS


class _Parameters(ctypes.Structure):
    """ggml_init_params"""

    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, cores: int, folder: Path | None = None):
        """`folder` has the shared libraries; without one they are those of the Python package llama-cpp-python."""
        if folder is None:
            package = importlib.util.find_spec("llama_cpp")
            if package is None or package.origin is None:
                raise ImportError("no Python package llama_cpp, and no --llama FOLDER")
            folder = Path(package.origin).parent / "lib"
        try:
            base = ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
            processor = ctypes.CDLL(str(folder / "libggml-cpu.so"), ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise ImportError(error) from error

        def function(library, name: str, result, *arguments):
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        pointer, count, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        self._init = function(base, "ggml_init", pointer, _Parameters)
        self._free = function(base, "ggml_free", None, pointer)
        self._tensor = function(base, "ggml_new_tensor_4d", pointer, pointer, ctypes.c_int, *[count] * 4)
        self._attention = function(base, "ggml_flash_attn_ext", pointer, *[pointer] * 5, *[real] * 3)
        self._graph = function(base, "ggml_new_graph", pointer, pointer)
        self._expand = function(base, "ggml_build_forward_expand", None, pointer, pointer)
        self._set = function(base, "ggml_backend_tensor_set", None, *[pointer] * 2, *[ctypes.c_size_t] * 2)
        self._get = function(base, "ggml_backend_tensor_get", None, *[pointer] * 2, *[ctypes.c_size_t] * 2)
        self._allocate = function(base, "ggml_backend_alloc_ctx_tensors", pointer, pointer, pointer)
        self._free_buffer = function(base, "ggml_backend_buffer_free", None, pointer)
        self._compute = function(base, "ggml_backend_graph_compute", ctypes.c_int, pointer, pointer)
        self._backend = function(processor, "ggml_backend_cpu_init", pointer)()
        function(processor, "ggml_backend_cpu_set_n_threads", None, pointer, ctypes.c_int)(self._backend, cores)
        self.version = "ggml " + function(base, "ggml_version", ctypes.c_char_p)().decode()

    def supports(self, shape) -> bool:
        return shape.window is None

    def _with_call(self, shape, operands, body):
        """`body` with the call and what reads its result; ggml's memory is given back afterwards. Its queries and its
        results are always float32, and its result is [B, Lq, H, D]."""
        numbers = {**operands, "query": inputs.decode(operands["query"], shape.dtype)}
        kinds = {"query": _F32, "key": _KINDS[shape.dtype], "value": _KINDS[shape.dtype]}
        if shape.causal:
            # Query i sees keys 0 … i: as many queries as keys.
            hidden = np.triu(np.full((shape.length, shape.length), -np.inf, np.float16), 1)
            numbers["mask"], kinds["mask"] = hidden[None, None], _F16
        context = self._init(_Parameters(1 << 20, None, True))
        buffer = None
        try:
            tensors = {name: self._tensor(context, kinds[name], *array.shape[::-1]) for name, array in numbers.items()}
            attention = self._attention(
                context, tensors["query"], tensors["key"], tensors["value"], tensors.get("mask"), shape.scale, 0, 0
            )
            graph = self._graph(context)
            self._expand(graph, attention)
            buffer = self._allocate(context, self._backend)
            if not buffer:
                raise RuntimeError("no memory for the operands")
            for name, array in numbers.items():
                array = np.ascontiguousarray(array)
                self._set(tensors[name], array.ctypes.data, 0, array.nbytes)

            def call():
                status = self._compute(self._backend, graph)
                if status != _DONE:
                    raise RuntimeError(f"ggml_backend_graph_compute: status {status}")

            def output():
                batch, heads, queries, dimension = numbers["query"].shape
                found = np.empty((batch, queries, heads, dimension), np.float32)
                self._get(attention, found.ctypes.data, 0, found.nbytes)
                return found.transpose(0, 2, 1, 3)

            return body(call, output)
        finally:
            if buffer:
                self._free_buffer(buffer)
            self._free(context)

    def answer(self, shape, operands, folder):
        def body(call, output):
            call()
            return output()

        return self._with_call(shape, operands, body)

    def time(self, shape, operands, seconds: float):
        return self._with_call(shape, operands, lambda call, output: repeat(call, seconds)), {}
