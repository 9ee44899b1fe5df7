"""What this machine can do, and why not: GPU, wheel, precision, memory, disk, and whether pixel sizes are known."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import Options, command
from potency.errors import PotencyError

app = typer.Typer()
GIB = 2**30
NEEDED = (
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "numpy",
    "pandas",
    "scikit-learn",
    "scikit-image",
    "zarr",
    "tifffile",
)
EXTRAS = {
    "web": "fastapi",
    "track": "laptrack",
    "vendor": "bioio",
    "napari": "napari",
    "bench": "torchmetrics",
    "dev": "pytest",
}
CPU_WHEEL = "the README names the line that installs the CPU-only torch (0.2 GB instead of 3)"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is fine, note (worth knowing) or poor (mend it)."""

    name: str
    state: str
    what: str
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    folder: Annotated[
        Path | None, typer.Argument(help="Images to look at: can they be read, is their pixel size known?")
    ] = None


@command(
    app,
    ("", "the GPU, or why there is none; memory, disk, versions"),
    ("cells/", "and whether these images say how large a pixel is"),
    ("--json", "for a bug report"),
)
def doctor(options: Doctor, say: Console) -> dict[str, Any]:
    """Look at the machine: does torch see a GPU and if not why, which wheel would match, is anything set badly?"""
    if options.folder and not options.folder.exists():
        raise PotencyError("there is no such folder", str(options.folder), "check the path")
    findings: list[Finding] = []
    for finding in examine(options.folder):
        findings.append(finding)
        style = {"fine": "green", "note": "cyan", "poor": "yellow"}[finding.state]
        say.print(
            f"[{style}]{finding.state:5}[/{style}] [bold]{finding.name:11}[/bold] {escape(finding.what)}",
            soft_wrap=True,
        )
        if finding.mend:
            say.print(f"{'':18}{escape(finding.mend)}", style="dim", soft_wrap=True)
    return {"findings": [asdict(f) for f in findings], "poor": sum(f.state == "poor" for f in findings)}


def examine(folder: Path | None = None) -> Iterator[Finding]:
    """All findings, one by one, the cheap ones first."""
    yield Finding(
        "potency", "fine", f"{version('potency')} on Python {platform.python_version()}, {platform.platform()}"
    )
    found = ", ".join(f"{name} {_version(name)}" for name in NEEDED)
    missing = [name for name in NEEDED if not _version(name)]
    yield Finding("libraries", "poor" if missing else "fine", found, "pip install --upgrade potency" if missing else "")
    have = [name for name, library in EXTRAS.items() if find_spec(library)]
    yield Finding(
        "extras",
        "note",
        f"installed: {', '.join(have) or 'none'}; others: {', '.join(sorted(set(EXTRAS) - set(have)))}",
    )
    yield from memory_and_disk(folder or Path())
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    if policy.upper() == "PASSIVE":
        yield Finding("threads", "fine", "OMP_WAIT_POLICY=PASSIVE: idle threads sleep")
    else:
        mend = "export OMP_WAIT_POLICY=PASSIVE before Python starts; a busy machine is up to 25 times slower without"
        yield Finding("threads", "poor", f"OMP_WAIT_POLICY={policy or 'unset'}: idle threads spin", mend)
    yield processor()
    yield gpu()
    if folder:
        yield pixels(folder)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def memory_and_disk(folder: Path) -> Iterator[Finding]:
    """Free memory (under 2 GiB is poor) and free disk where results would go (under 5 GiB is poor)."""
    import psutil

    memory = psutil.virtual_memory()
    what = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    low = memory.available < 2 * GIB
    yield Finding(
        "memory", "poor" if low else "fine", what, "close other programs: training needs about 2 GiB" if low else ""
    )
    disk = shutil.disk_usage(folder)
    low = disk.free < 5 * GIB
    what = f"{disk.free / GIB:.1f} of {disk.total / GIB:.1f} GiB free at {folder.resolve()}"
    yield Finding(
        "disk", "poor" if low else "fine", what, "crops are cached beside the results: make room" if low else ""
    )


def processor() -> Finding:
    """The cores this process may use, their vector instructions, and whether bfloat16 is fast on them."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    capability = torch.backends.cpu.get_cpu_capability()
    abilities = compiled_abilities()
    fast = "BF16" in abilities
    half = "bfloat16 in hardware" if fast else "no bfloat16 in hardware (float32 is used)"
    return Finding(
        "processor", "fine", f"{cores} cores, {capability}, {half}; OpenVINO: {', '.join(abilities) or 'not usable'}"
    )


def compiled_abilities() -> list[str]:
    """What the compiled engine says this CPU can do, as in ["BF16", "FP32", "INT8"]."""
    try:
        from openvino import Core

        return sorted(str(a) for a in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") if "_" not in str(a))
    except (ImportError, RuntimeError):
        return []


def driver() -> tuple[str, str]:
    """The NVIDIA driver's version and the newest CUDA it can run, both empty where there is no driver."""
    try:
        ran = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    installed = re.search(r"Driver Version:\s*([\d.]+)", ran.stdout)
    newest = re.search(r"CUDA Version:\s*([\d.]+)", ran.stdout)
    return (installed.group(1) if installed else "", newest.group(1) if newest else "")


def gpu() -> Finding:
    """The GPU torch sees, or the reason why it sees none and the wheel that would match."""
    import torch

    built = torch.version.cuda
    if torch.cuda.is_available():
        names = []
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            names.append(f"{card.name} ({card.total_memory / GIB:.0f} GiB, compute {card.major}.{card.minor})")
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16: float16 or float32"
        return Finding("gpu", "fine", f"{'; '.join(names)}; {half}; torch {torch.__version__} for CUDA {built}")
    if torch.backends.mps.is_available():
        return Finding("gpu", "fine", f"Apple GPU (MPS); torch {torch.__version__}")
    if getattr(torch.version, "hip", None):
        return Finding("gpu", "note", f"torch {torch.__version__} is built for ROCm and sees no AMD GPU")
    return no_gpu(built, *driver())


def no_gpu(built: str | None, installed: str, newest: str) -> Finding:
    """Why torch, built for CUDA `built` (None: CPU only), sees no GPU though driver `installed` runs CUDA `newest`.

    >>> no_gpu(None, "570.10", "12.8").mend
    'pip install --force-reinstall torch torchvision with the wheel for CUDA 12.8 or older'
    """
    if built is None and not installed:
        return Finding("gpu", "note", "none: no NVIDIA driver, and torch is the CPU-only wheel, which fits")
    if built is None:
        mend = f"pip install --force-reinstall torch torchvision with the wheel for CUDA {newest or installed} or older"
        return Finding("gpu", "poor", f"not used: driver {installed} is there, but torch is the CPU-only wheel", mend)
    if not installed:
        return Finding("gpu", "note", f"none: no NVIDIA driver; torch for CUDA {built} works on the CPU", CPU_WHEEL)
    if newest and _numbers(newest)[:1] < _numbers(built)[:1]:
        mend = f"update the driver, or install the torch wheel for CUDA {newest} or older"
        return Finding(
            "gpu", "poor", f"not used: torch needs CUDA {built}, driver {installed} runs up to {newest}", mend
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Finding("gpu", "poor", f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}", "unset CUDA_VISIBLE_DEVICES")
    what = f"not seen: driver {installed} and torch for CUDA {built} fit, but no GPU answers"
    return Finding("gpu", "poor", what, "check `nvidia-smi`; in a container, start it with access to the GPU")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def pixels(folder: Path, look: int = 32) -> Finding:
    """Whether up to `look` images of a folder or table can be read and say how large a pixel is."""
    from potency.data.manifest import Manifest

    table = Manifest.read(folder)
    rows = table.table.iloc[:: max(1, len(table.table) // look)].head(look)
    sizes: list[float | None] = []
    for _, row in rows.iterrows():
        size = table.open(row).pixel_size
        sizes.append(size.get("X") if size else None)
    known = sorted(size for size in sizes if size)
    if len(known) == len(sizes):
        return Finding(
            "pixel size", "fine", f"known for all {len(sizes)} images looked at: {known[0]:g} to {known[-1]:g} um"
        )
    what = f"known for {len(known)} of {len(sizes)} images looked at"
    mend = "fine while one microscope and one lens took all of them; else export OME-TIFF, which keeps the pixel size"
    return Finding("pixel size", "note", what, mend)
