"""Reads thousands of damaged files of every format: pixels or a refusal in three parts, and nothing else.

`python tests/fuzz.py --each 3000` goes through all readers, `--reader tiff` through one; `--only 17 --keep a.bin` makes
one file again. A crash, a hang, more memory than the limit or any other exception is a finding, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import imagecodecs
import numpy as np
import tifffile
from damage import damage_folder, damaged, headers
from example_images import EXAMPLES, numbers
from PIL import Image as Pillow

from potency.data.readers import READERS, open_image
from potency.errors import ImageError

SECONDS = 2.0  # of the processor that one file may cost
PATIENCE = 30.0  # seconds on the clock, should it wait without working
ROOM = 2 * 2**30  # bytes of memory beyond what the libraries take
WHOLE = 2**28  # bytes; of an image that says it is larger a corner is read, as people do
HANGS = {-signal.SIGPROF: "hang", -signal.SIGALRM: "hang"}

# ------------------------------------------------------------------------------------------------------ what is damaged


def tiffs() -> Iterator[Callable[[Path], object]]:
    """TIFFs in every compression that is read: each has a decoder of its own in another language."""
    smooth = np.linspace(0, 250, 48 * 64 * 3).reshape(48, 64, 3).astype("uint8")
    grey = numbers(40, 48)
    for name in ("lzw", "packbits", "zstd", "lzma", "png", "lerc"):
        yield lambda path, name=name: tifffile.imwrite(path, grey, compression=name, tile=(16, 16))
    for name in ("jpeg2000", "webp", "jpegxl", "jpeg"):
        yield lambda path, name=name: tifffile.imwrite(path, smooth, compression=name, tile=(32, 32), photometric="rgb")
    yield lambda path: tifffile.imwrite(path, grey.astype("f4"), compression="zlib", predictor=True)
    yield lambda path: Pillow.fromarray(smooth).convert("P").save(path, "TIFF")
    yield lambda path: Pillow.fromarray(smooth).convert("CMYK").save(path, "TIFF")
    yield lambda path: Pillow.fromarray(smooth[..., 0] > 99).save(path, "TIFF", compression="group4")


def photos() -> Iterator[Callable[[Path], object]]:
    """PNG, JPEG and BMP in the colours and orders that exist."""
    smooth = Pillow.fromarray(np.linspace(0, 250, 48 * 64 * 3).reshape(48, 64, 3).astype("uint8"))
    for kind, mode in (("PNG", "P"), ("PNG", "1"), ("PNG", "RGBA"), ("JPEG", "CMYK"), ("BMP", "P"), ("BMP", "L")):
        yield lambda path, kind=kind, mode=mode: smooth.convert(mode).save(path, kind)
    yield lambda path: smooth.save(path, "JPEG", progressive=True)
    yield lambda path: path.write_bytes(imagecodecs.webp_encode(np.asarray(smooth), level=60))


def dicoms() -> Iterator[Callable[[Path], object]]:
    """DICOM compressed as scanners do."""
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    def rle(path: Path) -> None:
        EXAMPLES["dicom"][0](path)
        made = dcmread(path)
        made.compress(RLELossless)
        made.save_as(path)

    yield rle


def czis() -> Iterator[Callable[[Path], object]]:
    """CZI compressed as ZEN does."""
    from pylibCZIrw import czi

    def compressed(path: Path, how: str) -> None:
        with czi.create_czi(str(path), compression_options=how) as file:
            for number in range(3):
                file.write(numbers(30, 41, 1), plane={"T": number})

    for how in ("zstd0:ExplicitLevel=3", "zstd1:ExplicitLevel=3;PreProcess=HiLoByteUnpack"):
        yield lambda path, how=how: compressed(path, how)


Writers = Callable[[], Iterator[Callable[[Path], object]]]
MORE: dict[str, Writers] = {"tiff": tiffs, "photo": photos, "czi": czis, "dicom": dicoms}


def name_of(reader: object) -> str:
    return cast(ModuleType, reader).__name__.rsplit(".", 1)[-1]


NAMES = [name_of(reader) for reader in READERS]


def written(name: str, folder: Path) -> list[Path]:
    """Valid files of one reader."""
    writers = [*EXAMPLES[name], *MORE.get(name, lambda: iter(()))()]
    suffix = next(reader.suffixes[0] for reader in READERS if name_of(reader) == name)
    paths = [folder / f"valid {i}{suffix}" for i in range(len(writers))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for write, path in zip(writers, paths, strict=True):
            write(path)
    return paths


# --------------------------------------------------------------------------------------------- one process for a reader


@dataclass
class Tally:
    """What became of the damaged files of one reader."""

    reader: str
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        said = ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
        return f"{self.reader}: {said}; {len(self.findings)} findings"


def work(name: str, numbers: range, seed: int, folder: Path, keep: Path | None = None) -> None:
    """Read damaged files of one reader; each is told of in `folder`/told, the number in hand is in `folder`/at."""
    paths = written(name, folder)
    sound = {path: path.read_bytes() for path in paths if path.is_file()}
    places = {path: headers(data) for path, data in sound.items()}
    for path in paths:
        assert open_image(path)[{}].size, path  # brings the libraries in before their memory is measured
    if sys.platform == "linux":  # elsewhere nobody tells how much memory is taken
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
    with (folder / "told").open("a", encoding="utf-8") as told, (folder / "at").open("w", encoding="utf-8") as at:
        for number in numbers:
            at.seek(0)
            at.write(f"{number:09}")
            at.flush()
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            path, mend = paths[number % len(paths)], None
            if path in sound:
                target = folder / f"damaged{path.suffix}"
                target.write_bytes(damaged(sound[path], places[path], rng))
            else:
                target, mend = path, damage_folder(path, rng)
            if keep:
                (shutil.copytree if target.is_dir() else shutil.copy)(target, keep)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            outcome = outcome_of(target)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            told.write(json.dumps({"number": number, **outcome}) + "\n")
            told.flush()
            if mend:
                mend()


def outcome_of(path: Path) -> dict[str, str]:
    """Read one file: "read", "refused", or what should never be."""
    try:
        image = open_image(path)
        large = np.prod(image.shape, dtype=float) * image.dtype.itemsize > WHOLE
        array = image[{axis: slice(0, 64) for axis in image.axes} if large else {}]
        assert array.dtype == image.dtype
        assert large or array.shape == image.shape
    except ImageError as error:
        if not (error.what and error.where and error.mend):
            return {"outcome": "mute", "why": repr(error)}
        chain = [error.__cause__, getattr(error.__cause__, "__cause__", None)]
        if any(isinstance(one, MemoryError) for one in chain):
            return {"outcome": "memory", "why": "".join(traceback.format_exception(error))}
        return {"outcome": "refused"}
    except Exception:
        return {"outcome": "exception", "why": traceback.format_exc()}
    return {"outcome": "read"}


def fuzz(name: str, numbers: range, seed: int = 0, script: str = __file__) -> Tally:
    """Read the damaged files of these numbers in a process (`script`) of its own, and in another after each crash."""
    tally = Tally(name)
    with tempfile.TemporaryDirectory(prefix="potency-fuzz-") as place:
        folder = Path(place)
        (folder / "told").touch()
        while len(numbers):
            call = [sys.executable, "-W", "ignore", script, "--child", name, "--each", str(numbers.stop)]
            call += ["--first", str(numbers.start), "--seed", str(seed), "--folder", place]
            quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            ended = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False, env=quiet)
            if ended.returncode == 0:
                break
            if not (folder / "at").exists():
                raise RuntimeError(f"the files of {name} cannot be made: {ended.stderr[-3000:]}")
            number = int((folder / "at").read_text())
            kind = HANGS.get(ended.returncode, f"crash {ended.returncode}")
            tally.findings.append({"number": number, "outcome": kind, "why": ended.stderr[-2000:]})
            tally.outcomes[kind] += 1
            numbers = range(number + 1, numbers.stop)
        for line in (folder / "told").read_text("utf-8").splitlines():
            told = json.loads(line)
            tally.outcomes[told["outcome"]] += 1
            if told["outcome"] not in ("read", "refused"):
                tally.findings.append(told)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=3000, help="damaged files of each reader")
    parser.add_argument("--reader", choices=NAMES, action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file, read here")
    parser.add_argument("--keep", type=Path, help="where that file is kept")
    for hidden, kind in (("--child", str), ("--first", int), ("--folder", Path)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        work(asked.child, range(asked.first, asked.each), asked.seed, asked.folder)
        return 0
    names, findings = asked.reader or NAMES, 0
    if asked.only is not None:
        with tempfile.TemporaryDirectory(prefix="potency-fuzz-") as folder:
            work(names[0], range(asked.only, asked.only + 1), asked.seed, Path(folder), asked.keep)
            print((Path(folder) / "told").read_text("utf-8"))
        return 0
    for name in names:
        tally = fuzz(name, range(asked.each), asked.seed)
        print(tally, flush=True)
        for finding in tally.findings:
            print(f"  --reader {name} --seed {asked.seed} --only {finding['number']}: {finding['outcome']}\n"
                  + finding["why"][-1500:], flush=True)  # fmt: skip
        findings += len(tally.findings)
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
