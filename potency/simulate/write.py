"""Writing a simulated experiment: a new folder that appears whole or not at all, plainly marked as simulated."""

from __future__ import annotations

import csv
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ManifestError


@contextmanager
def new_folder(into: Path) -> Iterator[Path]:
    """A hidden folder beside `into` that takes its name when the block ends well, and is removed when it does not.

    Raises ManifestError if `into` already holds something or cannot be written.
    """
    into = Path(into).resolve()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ManifestError("the folder to simulate into is not empty", str(into), "name a new folder or empty it")
    draft = into.parent / f".{into.name}.{os.getpid()}.partial"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if into.exists():
            into.rmdir()
        draft.rename(into)
    except OSError as error:
        raise ManifestError(f"cannot write the simulated images: {error.strerror or error}", str(into),
                            "choose a folder that can be written and a disk with room") from error  # fmt: skip
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def png(path: Path, pixels: NDArray[Any]) -> None:
    """Write one grey picture, uint8 or uint16, as PNG."""
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1))


def microscope(path: Path, pictures: Mapping[str, NDArray[Any]], pixel: float, seed: int) -> None:
    """Write the channels of one picture, (H, W) each, as an OME-TIFF with channel names and the pixel size in um."""
    import tifffile

    stack = np.stack(list(pictures.values()))
    axes = "CYX" if len(stack) > 1 else "YX"
    # A random identity would make other bytes each time.
    identity = uuid.UUID(int=zlib.crc32(path.name.encode()) << 64 | seed & (1 << 63) - 1)
    about = {"axes": axes, "Channel": {"Name": list(pictures)}, "UUID": f"urn:uuid:{identity}",
             "PhysicalSizeX": pixel, "PhysicalSizeY": pixel,
             "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}  # fmt: skip
    tifffile.imwrite(path, stack if len(stack) > 1 else stack[0], ome=True, photometric="minisblack", metadata=about)


def mask(path: Path, labels: NDArray[Any]) -> None:
    """Write a mask or a map as compressed TIFF."""
    import tifffile

    tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack", metadata=None)


def table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV in UTF-8; the columns are those of the first row."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def describe(folder: Path, kind: str, parameters: Mapping[str, object], lines: Sequence[str]) -> None:
    """Write README.txt and parameters.json, both of which say that everything here is simulated."""
    text = json.dumps({"kind": kind, **parameters}, indent=2)
    (folder / "parameters.json").write_text(text + "\n", encoding="utf-8")
    head = ["SIMULATED IMAGES. No microscope took them and no cell lived: a program drew them; their truth is exact.",
            f"Made by potency.simulate, kind '{kind}'; the parameters are in parameters.json.", ""]  # fmt: skip
    (folder / "README.txt").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
