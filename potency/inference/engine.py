"""The one engine seam: a network becomes the fastest trusted function from batches to outputs."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.bundle import Bundle, NetworkMember
from potency.errors import PotencyError, nearest

logger = logging.getLogger(__name__)

Outputs = dict[str, NDArray[np.float32]]
Run = Callable[[NDArray[Any]], Outputs]
Faster = Callable[[NetworkMember], NetworkMember]

# Largest deviation from eager float32 on the CPU, as a share of the largest output, that is still the same network.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
ENGINES = ("auto", "openvino", "torch")


@dataclass(frozen=True)
class Engine:
    """A network ready to run: (N, C, H, W) float32 in, named float32 arrays out, never any gradient.

    Attributes:
        name: "openvino" or "torch".
        device: where it runs, e.g. "cpu", "cuda:0".
        precision: of the arithmetic, "float32" or "bfloat16".
        error: largest deviation from eager torch seen at the check, as a share of the largest output.
        note: why it is not the fastest choice; empty when it is.
    """

    name: str
    device: str
    precision: str
    error: float
    note: str
    run: Run = field(repr=False)

    def __call__(self, images: NDArray[Any]) -> Outputs:
        return self.run(images)

    @property
    def facts(self) -> dict[str, object]:
        """What a report records: name, device, precision, error, note."""
        return {k: getattr(self, k) for k in ("name", "device", "precision", "error", "note")}


def start_engine(
    network: nn.Module,
    sample: NDArray[Any],
    *,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "float32",
) -> Engine:
    """Choose, build and check the fastest engine for `network`: a GPU, else OpenVINO, else eager torch.

    Args:
        network: returns a tensor or a mapping of tensors for a batch (N, C, H, W) float32.
        sample: a batch (N, C, H, W) as the network will meet it; agreement with eager torch is checked on it.
        device: "auto", "cpu", "cuda", "cuda:1", "mps". A device asked for by name and absent is an error.
        engine: "auto", "openvino" or "torch" (eager, whatever the speed).
        precision: "float32" or "bfloat16" (twice as fast where the processor has it; top-1 is checked as well).

    Raises:
        PotencyError: the device is not there, or a name is unknown.

    >>> run = start_engine(nn.Conv2d(1, 2, 3), np.ones((2, 1, 8, 8), np.float32), engine="torch")
    >>> run.name, run(np.ones((5, 1, 8, 8)))["output"].shape
    ('torch', (5, 2, 6, 6))
    """
    for what, value, known in (("engine", engine, ENGINES), ("precision", precision, tuple(TOLERANCE))):
        if value not in known:
            raise PotencyError(f"there is no {what} {value!r}", f"{what}=", nearest(value, known))
    where = find_device(device)
    sample = np.nan_to_num(sample[:4].astype(np.float32))  # one damaged image is no reason to distrust an engine
    sample = np.concatenate([sample, sample[:, :, ::-1, ::-1]]) if len(sample) < 2 else sample
    # Built outside inference mode, or the weights could never again be asked for a gradient.
    with torch.inference_mode(False), torch.no_grad(), _evaluating(network):
        expected = eager(network)(sample)
        notes: list[str] = []
        for candidate in _candidates(where, engine):
            try:
                found = candidate(network, tuple(expected), sample, where, precision)
                error = disagreement(expected, found.run(sample), TOLERANCE[precision])
                return replace(found, error=error, note="; ".join(notes))
            except Exception as fault:  # whatever a compiler or a driver throws, eager torch still gives the answer
                notes.append(f"{candidate.__name__.lstrip('_')} not used: {_first_line(fault)}")
                logger.warning("%s", notes[-1])
        return Engine("torch", "cpu", "float32", 0.0, "; ".join(notes), eager(network))


def accelerate(bundle: Bundle, device: str = "auto", *, engine: str = "auto", precision: str = "float32") -> Bundle:
    """The same bundle with its networks on the fastest checked engine; the bundle given stays as it was.

    Engines are built and checked on the bundle's own examples, or on the first batch where it has none. A bundle that
    was accelerated before is left as it is.
    """
    members = tuple(member.with_networks(running(device, engine, precision)) for member in bundle.members)
    for before, member in zip(bundle.members, members, strict=True):
        if bundle.examples and member is not before:
            member.outputs(bundle.examples)
    return replace(bundle, members=members)


def running(device: str = "auto", engine: str = "auto", precision: str = "float32") -> Faster:
    """How a member's network is put on the fastest checked engine; one that is on an engine already is left there."""

    def faster(member: NetworkMember) -> NetworkMember:
        if isinstance(member.run, Runner):
            return member
        run = Runner(member.module(), device, engine, precision)
        return NetworkMember(member.task, member.plan, member.nets, run)

    return faster


class Runner:
    """What stands in `NetworkMember.run`: builds its engine on the first batch, and answers through it."""

    def __init__(self, network: nn.Module, device: str, engine: str, precision: str) -> None:
        find_device(device)  # refused now, not in the first batch
        self.network, self.settings = network, {"device": device, "engine": engine, "precision": precision}
        self.engine: Engine | None = None

    def __call__(self, images: NDArray[Any]) -> Outputs:
        if self.engine is None:
            self.engine = start_engine(self.network, images, **self.settings)
            logger.info("%s", self.engine)
        return self.engine(images)


def find_device(device: str = "auto") -> torch.device:
    """The torch device to use: CUDA, else MPS, else the CPU, or the one named if it is there."""
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise PotencyError(f"there is no device {device!r}", "device=", "use auto, cpu, cuda, cuda:1 or mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (wanted.index or 0) < torch.cuda.device_count(),
        "mps": has_mps,
    }
    if not there.get(wanted.type, False):
        raise PotencyError(f"device {device!r} is not there", "device=", "use device='auto'; `potency doctor` says why")
    return wanted


def eager(network: nn.Module, device: torch.device | None = None, precision: str = "float32") -> Run:
    """Plain torch on `device`; a batch too large for the memory of a GPU is halved until it fits."""
    device = device or torch.device("cpu")
    automatic = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def run(images: NDArray[Any]) -> Outputs:
        batch = torch.from_numpy(np.require(images, np.float32, ["C", "W"]))
        try:
            with torch.inference_mode(), automatic, _exact(), _evaluating(network):
                return _named(network(batch.to(device)))
        except torch.OutOfMemoryError:
            if len(images) < 2:
                raise
        half = len(images) // 2
        first, second = run(images[:half]), run(images[half:])
        return {name: np.concatenate([first[name], second[name]]) for name in first}

    return run


def disagreement(expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], tolerance: float) -> float:
    """Largest deviation as a share of each output's largest value; ValueError beyond `tolerance` or when a top-1 moves.

    >>> disagreement({"output": np.array([[0.0, 2.0]])}, {"output": np.array([[0.0, 2.5]])}, 0.3)
    0.25
    """
    worst = 0.0
    for name, truth in expected.items():
        value = found[name]
        if truth.shape != value.shape:
            raise ValueError(f"{name}: shape {value.shape} instead of {truth.shape}")
        if not (np.isfinite(truth).all() and np.isfinite(value).all()):
            raise ValueError(f"{name}: not finite on the sample, so agreement cannot be checked")
        scale = max(float(np.abs(truth).max(initial=0)), 1e-12)
        error = float(np.abs(value - truth).max(initial=0)) / scale
        if error > tolerance:
            raise ValueError(f"{name}: differs from eager torch by {error:.2g} of its size (at most {tolerance:g})")
        if truth.ndim > 1 and truth.shape[1] > 1:
            ranked = np.sort(truth, axis=1)
            clear = ranked[:, -1] - ranked[:, -2] > tolerance * scale  # a nearer lead than that is a tie
            if (truth.argmax(1) != value.argmax(1))[clear].any():
                raise ValueError(f"{name}: another top-1 than eager torch")
        worst = max(worst, error)
    return worst


def digest(network: nn.Module) -> str:
    """A hash of the layers and of all weights and buffers by name, so that a stale compilation is noticed."""
    total = hashlib.blake2b(repr(network).encode(), digest_size=16)
    for name, value in network.state_dict().items():
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _torch(
    network: nn.Module, names: Sequence[str], sample: NDArray[Any], device: torch.device, precision: str
) -> Engine:
    if device.type != "cpu":  # a copy, because the bundle's own network stays where explain and save expect it
        network = copy.deepcopy(network).to(device)
    return Engine("torch", str(device), precision, 0.0, "", eager(network, device, precision))


def _openvino(
    network: nn.Module, names: Sequence[str], sample: NDArray[Any], device: torch.device, precision: str
) -> Engine:
    from potency.inference.compiled import compile_network

    fast, real = compile_network(network, names, sample, precision, digest(network))
    plain, trusted = eager(network), {sample.shape[2:]: True}

    def run(images: NDArray[Any]) -> Outputs:
        size = images.shape[2:]
        if size not in trusted:  # tracing may have frozen something that depends on the size
            noise = np.random.default_rng(0).random((2, *images.shape[1:]), np.float32)
            try:
                disagreement(plain(noise), fast(noise), TOLERANCE[real])
                trusted[size] = True
            except Exception as fault:
                logger.warning("openvino not used at %s px: %s", "x".join(map(str, size)), _first_line(fault))
                trusted[size] = False
        return fast(images) if trusted[size] else plain(images)

    return Engine("openvino", "cpu", real, 0.0, "", run)


def _candidates(device: torch.device, engine: str) -> tuple[Callable[..., Engine], ...]:
    if engine == "torch":
        return (_torch,)
    if engine == "openvino":
        return (_openvino,)
    return (_openvino, _torch) if device.type == "cpu" else (_torch, _openvino)


def _named(outputs: Tensor | Mapping[str, Tensor]) -> Outputs:
    tensors = {"output": outputs} if isinstance(outputs, Tensor) else outputs
    return {name: value.float().cpu().numpy() for name, value in tensors.items()}


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Dropout and batch norm as at prediction, each part put back as it was (some parts may be frozen)."""
    learning = [part for part in network.modules() if part.training]
    for part in learning:
        part.training = False
    try:
        yield
    finally:
        for part in learning:
            part.training = True


@contextmanager
def _exact() -> Iterator[None]:
    """TF32 off: it would be quietly less exact than the float32 that was asked for."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _first_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {(str(fault).strip() or 'no message').splitlines()[0][:200]}"
