"""The one engine seam: a network becomes the fastest trusted function from batches to outputs."""

from __future__ import annotations

import copy
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
from potency.inference.agreement import agreement, digest, disagreement
from potency.tasks import Sample

logger = logging.getLogger(__name__)

Outputs = dict[str, NDArray[np.float32]]
Run = Callable[[NDArray[Any]], Outputs]
Faster = Callable[[NetworkMember], NetworkMember]

# Largest deviation from eager float32 on the CPU, as a share of the largest output, that is still the same network.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "int8": 0.5}
SAME = 0.99  # share of the top-1 of the sample that a precision nobody asked for must leave as they are
CHECKED = 8  # images of the sample that are compared
LOOK = 512  # px a side at which a size that was not traced is compared, unless it is smaller
ENGINES = ("auto", "openvino", "torch")
PRECISIONS = ("auto", *TOLERANCE)


@dataclass(frozen=True)
class Engine:
    """A network ready to run: (N, C, H, W) float32 in, named float32 arrays out, never any gradient.

    Attributes:
        name: "openvino" or "torch".
        device: where it runs, e.g. "cpu", "cuda:0".
        precision: of the arithmetic, "float32", "bfloat16" or "int8".
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

    def __str__(self) -> str:
        return f"{self.name} on {self.device} in {self.precision}"

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
    calibration: NDArray[np.float32] | None = None,
) -> Engine:
    """Choose, build and check the fastest engine for `network`: a GPU, else OpenVINO, else eager torch.

    Args:
        network: returns a tensor or a mapping of tensors for a batch (N, C, H, W) float32.
        sample: a batch (N, C, H, W) as the network will meet it; agreement with eager torch is checked on it.
        device: "auto", "cpu", "cuda", "cuda:1", "mps". A device asked for by name and absent is an error.
        engine: "auto", "openvino" or "torch" (eager, whatever the speed).
        precision: "float32", "bfloat16" (twice as fast where the processor has it), "int8" (needs `calibration`), or
            "auto": bfloat16 where the processor has it and the top-1 of the sample stay as they are, else float32.
        calibration: a batch from which the ranges of int8 are taken.

    Raises:
        PotencyError: the device is not there, a name is unknown, or int8 was asked for and cannot be had.

    >>> run = start_engine(nn.Conv2d(1, 2, 3), np.ones((2, 1, 8, 8), np.float32), engine="torch")
    >>> run.name, run(np.ones((5, 1, 8, 8)))["output"].shape
    ('torch', (5, 2, 6, 6))
    """
    for what, value, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise PotencyError(f"there is no {what} {value!r}", f"{what}=", nearest(value, known))
    where = find_device(device)
    sample = np.nan_to_num(sample[:CHECKED].astype(np.float32))  # one damaged image is no reason to distrust an engine
    sample = np.concatenate([sample, sample[:, :, ::-1, ::-1]]) if len(sample) < 2 else sample
    # Built outside inference mode, or the weights could never again be asked for a gradient.
    with torch.inference_mode(False), torch.no_grad(), _evaluating(network):
        plain = Engine("torch", "cpu", "float32", 0.0, "", eager(network))
        if engine == "torch" and where.type == "cpu" and precision in ("auto", "float32"):
            return plain  # nothing to compare: it is what all others are compared with
        expected = plain(sample)
        notes: list[str] = []
        for candidate, wanted in _attempts(where, engine, precision):
            try:
                setting = Setting(tuple(expected), where, wanted, calibration)
                found = candidate(network, sample, setting)
                seen = found(sample)
                error = disagreement(expected, seen, TOLERANCE[wanted])
                if precision == "auto" and agreement(expected, seen) < SAME:
                    raise ValueError("another top-1 than eager torch")
                return replace(found, error=error, note="; ".join(notes))
            except PotencyError:
                raise
            except Exception as fault:  # whatever a compiler or a driver throws, eager torch still gives the answer
                how = "" if wanted == "float32" else f" in {wanted}"
                notes.append(f"{candidate.__name__.lstrip('_')} not used{how}: {_first_line(fault)}")
                # Of a precision that nobody asked for the note in run.json is enough: every fold would say it again.
                logger.log(logging.INFO if precision == "auto" and how else logging.WARNING, "%s", notes[-1])
        return replace(plain, note="; ".join(notes))


@dataclass(frozen=True)
class Setting:
    """What a candidate is to become: the names of its outputs, its device, its precision, and what int8 fits."""

    names: tuple[str, ...]
    device: torch.device
    precision: str
    calibration: NDArray[np.float32] | None = None


def accelerate(bundle: Bundle, device: str = "auto", *, engine: str = "auto", precision: str = "auto") -> Bundle:
    """The same bundle with its networks on the fastest checked engine; the bundle given stays as it was.

    Engines are built and checked on the bundle's own examples, or on noise where it has none: never on the images at
    hand, so that every process comes to the same engine. A member that runs on an engine is left as it is unless
    another precision is asked for.
    """
    change = running(device, engine, precision, examples=bundle.examples, calibration=bundle.calibration)
    return replace(bundle, members=tuple(member.with_networks(change) for member in bundle.members))


def running(
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    *,
    examples: Sequence[Sample] = (),
    calibration: Sequence[Sample] = (),
) -> Faster:
    """How a member's network is put on the fastest engine, checked on `examples` or on noise where there are none."""

    def faster(member: NetworkMember) -> NetworkMember:
        if isinstance(member.run, Engine) and precision in ("auto", member.run.precision):
            return member
        own = engine if all(getattr(net, "compiles", True) for net in member.nets.values()) else "torch"
        fitted = member.crops(calibration) if calibration and precision == "int8" else None
        run = start_engine(member.module(), _looked_at(member, examples), device=device, engine=own,
                           precision=precision, calibration=fitted)  # fmt: skip
        logger.info("%s", run)
        return NetworkMember(member.task, member.plan, member.nets, run).knowing(member.known)

    return faster


def _looked_at(member: NetworkMember, examples: Sequence[Sample]) -> NDArray[np.float32]:
    """The crops on which an engine of this member is checked."""
    if examples:
        return member.crops(examples)
    empty = member.crops([{"image": np.zeros((len(member.plan.channels), 1, 1), np.uint8)}])
    return np.random.default_rng(0).random((4, *empty.shape[1:]), np.float32)


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


def _torch(network: nn.Module, sample: NDArray[Any], setting: Setting) -> Engine:
    device, precision = setting.device, setting.precision
    if device.type != "cpu":  # a copy, because the bundle's own network stays where explain and save expect it
        network = copy.deepcopy(network).to(device)
    return Engine("torch", str(device), precision, 0.0, "", eager(network, device, precision))


def _openvino(network: nn.Module, sample: NDArray[Any], setting: Setting) -> Engine:
    from potency.inference.compiled import compile_network

    fast, real = compile_network(network, sample, setting, digest(network))
    plain, traced = eager(network), sample.shape[2:]
    trusted, look = {traced: True}, LOOK // 2 if LOOK in traced else LOOK

    def run(images: NDArray[Any]) -> Outputs:
        # Tracing may have frozen something that depends on the size. That shows at any other size, so a large one is
        # not looked at whole: eager torch would need seconds and gigabytes for it.
        own = images.shape[2:]
        size = own if own == traced else tuple(min(side, look) for side in own)
        if size not in trusted:
            noise = np.random.default_rng(0).random((2, images.shape[1], *size), np.float32)
            try:
                disagreement(plain(noise), fast(noise), TOLERANCE[real])
                trusted[size] = True
            except Exception as fault:
                logger.warning("openvino not used at %s px: %s", "x".join(map(str, own)), _first_line(fault))
                trusted[size] = False
        return fast(images) if trusted[size] else plain(images)

    return Engine("openvino", "cpu", real, 0.0, "", run)


def _attempts(device: torch.device, engine: str, precision: str) -> list[tuple[Callable[..., Engine], str]]:
    """What is tried in turn: engines, fastest first, each with a precision."""
    both = {"torch": (_torch,), "openvino": (_openvino,)}
    candidates = both.get(engine, (_openvino, _torch) if device.type == "cpu" else (_torch, _openvino))
    if precision == "int8":
        return [(_openvino, "int8")]
    if precision != "auto":
        return [(candidate, precision) for candidate in candidates]
    plain = [(candidate, "float32") for candidate in candidates]
    if device.type == "cpu" and _openvino in candidates:
        from potency.inference.compiled import has_bfloat16

        return [(_openvino, "bfloat16"), *plain] if has_bfloat16() else plain
    return plain


def _named(outputs: Tensor | Mapping[str, Tensor]) -> Outputs:
    tensors = {"output": outputs} if isinstance(outputs, Tensor) else outputs
    told = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return {name: value.cpu().numpy() for name, value in told.items()}


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
