"""Reading images into crops, as training and prediction do it, beside the decoder alone on the same threads."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import imagecodecs  # noqa: E402
import numpy as np  # noqa: E402
import tifffile  # noqa: E402
from pandas import DataFrame  # noqa: E402
from side_by_side import interleaved, tell  # noqa: E402

from potency.data.manifest import Manifest  # noqa: E402
from potency.data.plan import Plan  # noqa: E402
from potency.learning.samples import _pieces  # noqa: E402

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# Suffix, px, bits, files, role; 64 px in 16 bit are the crops of our simulator and of most cameras. A small picture of
# 8 bit costs its decoder less time than opening a file with all its checks does.
CASES = (
    ("png", 64, 16, 4096, "target"),
    ("png", 256, 8, 1024, "target"),
    ("png", 1024, 16, 48, "target"),
    ("png", 64, 8, 4096, "other"),
    ("tif", 64, 16, 2048, "other"),
    ("tif", 1024, 16, 48, "other"),
)


def picture(side: int, bits: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """What a camera gives: smooth light and noise, so that it packs as micrographs do."""
    y, x = np.mgrid[:side, :side] / side
    light = (110 + 20 * np.sin(5 * x) * y + random.normal(0, 4, (side, side))).clip(0, 255)
    return (16 * light).astype(np.uint16) if bits == 16 else light.astype(np.uint8)


def png(path: Path, image: np.ndarray[Any, Any]) -> None:
    path.write_bytes(imagecodecs.png_encode(image))


def tiff(path: Path, image: np.ndarray[Any, Any]) -> None:
    tifffile.imwrite(path, image, compression="zlib")


FORMATS: Mapping[str, tuple[Callable[..., None], Callable[[Path], object]]] = {
    "png": (png, lambda path: imagecodecs.png_decode(path.read_bytes())),
    "tif": (tiff, tifffile.imread),
}


def beside_decoder(suffix: str, side: int, bits: int, count: int, role: str, repeats: int) -> dict[str, Any]:
    """From files to crops by what `train` calls, beside nothing but reading the bytes and decoding them."""
    write, decode = FORMATS[suffix]
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(count):
            write(folder / f"{i:05}.{suffix}", picture(side, bits, random))
        files = sorted(folder.glob(f"*.{suffix}"))
        rows = Manifest.of_rows(DataFrame({"image": [file.name for file in files]}), folder)
        plan = Plan(channels=("grey",), tile=side)

        each = 16 if side < 256 else 1  # handing over single small files would slow the decoder down
        parts = [files[i : i + each] for i in range(0, count, each)]

        def plain() -> None:
            with ThreadPoolExecutor(CORES) as threads:
                for _ in threads.map(lambda some: [decode(file) for file in some], parts):
                    pass

        def ours() -> None:
            for _ in _pieces(rows, plan, None):
                pass

        taken = interleaved({"ours": ours, "other": plain}, repeats)
    rates = {which: count / seconds for which, seconds in taken.items()}
    return {
        "name": f"{suffix}-decode, {side} px, {bits} bit", "source": "potency", "role": role, "images": count,
        "threads": CORES, "unit": "images/s", "repeats": repeats, "beside": "its decoder alone",
        **rates, "ratio": rates["ours"] / rates["other"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, an eighth of the files")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    found = [
        beside_decoder(suffix, side, bits, count // (8 if chosen.quick else 1), role, 3 if chosen.quick else 9)
        for suffix, side, bits, count, role in CASES
    ]
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
