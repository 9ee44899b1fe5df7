"""Single images answered at once: a bundle on its fastest engine, asked for a few files at a time by any thread."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from potency.data.readers import open_image
from potency.data.tiles import Tile
from potency.errors import ImageError, PlanError, PotencyError
from potency.inference.engine import accelerate
from potency.inference.origin import described
from potency.inference.view import View
from potency.inference.work import Batch, Run, Work

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

TOGETHER = 8  # images that go through the networks together
NAME = "prediction"
ENOUGH = 3.0  # seconds of exercise: of a large network the first answers are slow anyway
PIXELS = 2**25  # of an image, all its planes counted: 33.5 million


@dataclass(frozen=True)
class Said:
    """What became of one file: its cells, as `predict` writes them into a table, or its error."""

    cells: Mapping[str, Any]
    error: PotencyError | None = None


class Immediate:
    """A bundle that answers files without a manifest, a folder or a queue; the answers are those of `predict`.

    Args:
        bundle: what answers, made ready for this machine here (seconds).
        pixels: the largest image that is taken.

    Raises:
        PlanError: its answers lie in files, which `predict` writes.
    """

    def __init__(self, bundle: Bundle, pixels: int = PIXELS) -> None:
        if bundle.task.answer.in_files:
            raise PlanError(f"answers of kind {bundle.task.answer.kind} lie in files and are not given at once",
                            str(bundle.folder or "the bundle"), "predict with a folder for them, or ask for a job"
                            )  # fmt: skip
        self.bundle, self.pixels = accelerate(bundle), pixels
        self.engine = described(self.bundle)
        self._work = Work(self.bundle, bundle.folder, "", None, NAME, TOGETHER, "auto")

    def __call__(self, paths: Sequence[str | Path]) -> list[Said]:
        """Answer image files, in their order; one that cannot be read costs the others nothing."""
        return _Asked(self._work, self.bundle, paths, self.pixels).said()


class _Files:
    """Paths as the rows of a batch."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = paths

    def records(self) -> Iterator[Mapping[str, Any]]:
        return ({"image": str(path)} for path in self.paths)


class _Asked(Run):
    """A batch of whole files, whose faults stay errors."""

    def __init__(self, work: Work, bundle: Bundle, paths: Sequence[str | Path], pixels: int) -> None:
        count = len(paths)
        rows = cast("Manifest", _Files(paths))  # a table for each call would cost more than the answer
        super().__init__(work, bundle, Batch(rows, tuple(range(count)), (None,) * count, ("",) * count))
        self.pixels = pixels
        self.faults: dict[int, Exception] = {}

    def said(self) -> list[Said]:
        return [self._said(i, outcome.cells, bool(outcome.tiles)) for i, outcome in enumerate(self.outcomes())]

    def _said(self, i: int, cells: Mapping[str, Any] | None, large: bool) -> Said:
        fault = self.faults.get(i)
        if cells is not None and fault is None:
            return Said(cells)
        if large:
            return Said({}, _large("it would be cut into many tiles"))
        if isinstance(fault, PotencyError):
            return Said({}, fault)
        what = f"the image cannot be answered: {type(fault).__name__}: {fault}"
        return Said({}, ImageError(what, "", "export it again, or ask for a job, whose log tells more"))

    def _view(self, i: int, row: Mapping[str, Any], tile: Tile | None) -> View:
        image = open_image(row["image"])
        if (count := math.prod(image.shape)) > self.pixels:
            raise _large(f"it has {count / 1e6:,.0f} million pixels, at most {self.pixels / 1e6:,.0f} are taken")
        return View.whole(image, self.plan)

    def _fail(self, i: int, fault: Exception) -> None:
        super()._fail(i, fault)
        self.faults[i] = fault


def _large(why: str) -> ImageError:
    return ImageError(f"the image is too large to be answered at once: {why}", "", "ask for a job, or crop it")


def exercised(model: Immediate) -> None:
    """Ask a model once before anybody does: engines take their memory, and what decodes pictures is compiled."""
    import tempfile

    import imagecodecs
    import numpy as np

    from potency.data.readers.pngpixels import decode_plain

    channels = len(model.bundle.card.plan.channels)
    shape = (*model.bundle.card.plan.tile, *((channels,) if channels in (3, 4) else ()))
    drawn = imagecodecs.png_encode(np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    decode_plain(bytes(drawn))
    with tempfile.TemporaryDirectory(prefix="potency-") as place:
        path = Path(place) / "noise.png"
        path.write_bytes(drawn)
        begun = time.monotonic()
        for count in range(1, TOGETHER + 1):  # each size is compiled when it is first met
            if time.monotonic() - begun < ENOUGH:
                model([path] * count)
