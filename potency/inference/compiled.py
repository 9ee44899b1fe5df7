"""OpenVINO: a torch network compiled for this computer's processor, several times faster than eager torch."""

from __future__ import annotations

import hashlib
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from potency.inference.engine import Run, Setting

logger = logging.getLogger(__name__)

# int8 keeps what it does not quantise in float32. Left to itself OpenVINO takes bfloat16 wherever it can.
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}

# Tracing takes seconds, so the last few compiled networks are kept, by a digest of their weights.
KEPT = 4
_LOCK = threading.RLock()
_COMPILED: OrderedDict[tuple[object, ...], tuple[Run, str]] = OrderedDict()


class _Flat(nn.Module):
    """The network with its outputs as a tuple in a known order: what tracing understands."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs[name] for name in self.names)


def has_bfloat16() -> bool:
    """Say whether this processor calculates in bfloat16 by itself (emulated it would be slower than float32)."""
    try:
        import openvino

        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as fault:  # no OpenVINO, or none that knows this processor: float32 is always there
        logger.info("bfloat16 is not asked of OpenVINO: %s", fault)
        return False


def compile_network(network: nn.Module, sample: NDArray[np.float32], setting: Setting, digest: str) -> tuple[Run, str]:
    """Trace and compile `network` for any batch, height and width; kept for the next time.

    Returns the function and the precision it really works in: a processor without bfloat16 keeps to float32.
    """
    names, fitted = setting.names, setting.calibration
    seen = hashlib.sha256(fitted.tobytes()).hexdigest() if fitted is not None else ""
    key = (digest, names, sample.shape[1], setting.precision, seen, torch.get_num_threads())
    with _LOCK:  # threads of one worker must not each trace the same network
        if key not in _COMPILED:
            _COMPILED[key] = _compile(_Flat(network, names), sample, setting)
        _COMPILED.move_to_end(key)
        while len(_COMPILED) > KEPT:
            _COMPILED.popitem(last=False)
        return _COMPILED[key]


def _compile(flat: _Flat, sample: NDArray[np.float32], setting: Setting) -> tuple[Run, str]:
    import openvino

    model = _translated(flat, sample)
    if setting.precision == "int8":
        from potency.inference.int8 import quantised

        model = quantised(model, setting.calibration)
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[setting.precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,  # pinned, all worker processes would crowd onto the same first core
        "PERFORMANCE_HINT": "LATENCY",  # one stream that uses all threads: batches come one after the other
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    names, local = flat.names, threading.local()
    # One row is multiplied by another kernel than several, and rounded otherwise: a row must not depend on its batch.
    alone = any(output.partial_shape.rank.get_length() > 2 for output in compiled.outputs)

    def run(images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()  # a request is not shared between threads
        count = len(images)
        if count == 1 and not alone:
            images = np.repeat(images, 2, axis=0)
        local.request.infer([np.ascontiguousarray(images, np.float32)])
        # Copied, because the request reuses its memory for the next batch.
        found = (np.array(local.request.get_output_tensor(i).data[:count], np.float32) for i in range(len(names)))
        return dict(zip(names, found, strict=True))

    real = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    return run, "int8" if setting.precision == "int8" else {"f32": "float32", "bf16": "bfloat16"}.get(real, real)


def _translated(flat: _Flat, sample: NDArray[np.float32]) -> Any:
    """The network as OpenVINO's own graph, for any batch, height and width."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # The front end is called directly: openvino.convert_model does the same work and reports each use to its makers.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, and still four times faster than exporting
        decoder = TorchScriptPythonDecoder(
            flat, example_input=(torch.from_numpy(sample),), shared_memory=False,
            trace_kwargs={"check_trace": False},  # traces twice; what was compiled is held against eager torch anyway
        )  # fmt: skip
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape({model.inputs[0]: openvino.PartialShape([-1, sample.shape[1], -1, -1])})
    return model
