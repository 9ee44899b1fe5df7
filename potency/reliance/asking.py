"""Reads every row once, measures its pixels, and asks the model for each of their alterations."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import PotencyError
from potency.reliance import numbers, power
from potency.reliance.alterations import Alteration

if TYPE_CHECKING:
    from potency.answers import Answer
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.data.tiles import Tile

VALUES, MOST, LEAST = 2**22, 128, 8  # values looked at together, rows at most and at least
MAIN = "prediction"
Progress = Callable[[int, int], object]
Values = NDArray[np.float64]


@dataclass
class Seen:
    """What was found of the rows, in their order.

    Attributes:
        answers: cells by position: the model's answers to the pixels as they are, and to every alteration.
        numbers: the plain numbers by position.
        spectra: power density (C, R) by position, in units of the plan's scaling.
        unread: why a row could not be read, by position.
        pixel_sizes: um a pixel of each row that was read, None where unknown.
    """

    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    numbers: dict[int, dict[str, float]] = field(default_factory=dict)
    spectra: dict[int, Values] = field(default_factory=dict)
    unread: dict[int, str] = field(default_factory=dict)
    pixel_sizes: list[float | None] = field(default_factory=list)

    @property
    def pixel_size(self) -> float | None:
        """um a pixel where all rows agree within 1 %."""
        known = [size for size in self.pixel_sizes if size]
        agreed = known and len(known) == len(self.pixel_sizes) and max(known) <= 1.01 * min(known)
        return float(np.median(known)) if agreed else None

    def told(self, positions: Sequence[int]) -> pd.DataFrame:
        """The answers as columns, a row a position."""
        return pd.DataFrame([self.answers.get(place, {}) for place in positions])


@dataclass(frozen=True)
class Asking:
    """Rows looked at through a plan and, where there is one, asked of a bundle under each alteration."""

    rows: Manifest
    plan: Plan
    alterations: Sequence[Alteration]
    edges: Values
    seed: int = 0

    def ask(
        self, bundle: Bundle | None, positions: NDArray[np.intp], seen: Seen, step: Callable[[int], object]
    ) -> None:
        """Look at these rows; what is found is added to `seen`, and `step` told how many rows are done."""
        size = self.plan.window[0] * self.plan.window[1] * max(1, len(self.plan.channels))
        some = int(np.clip(VALUES // size, LEAST, MOST))
        for start in range(0, len(positions), some):
            chunk = positions[start : start + some]
            read = {int(place): parts for place in chunk if (parts := self.read(int(place), seen))}
            for place, parts in read.items():
                self._measure(place, [pixels for _, pixels in parts], seen)
            if bundle is not None:
                self._answers(bundle, read, seen)
            step(len(chunk))

    def read(self, place: int, seen: Seen) -> list[tuple[Tile, NDArray[Any]]]:
        """The tiles of a row with their pixels (C, H, W); none where it cannot be read."""
        from potency.inference.view import View, windows

        try:
            row = {str(name): cell for name, cell in self.rows.table.iloc[place].items()}
            view = View.of(self.rows, row, self.plan)
            parts = [(tile, np.asarray(view.crop(tile))) for tile in windows(view.shape, self.plan)]
            size = view.image.pixel_size
        except (PotencyError, OSError, ValueError) as fault:
            seen.unread[place] = "; ".join(str(fault).splitlines())
            return []
        if not all(np.isfinite(pixels).all() for _, pixels in parts):
            seen.unread[place] = "it holds pixels that are no numbers"
            return []
        seen.pixel_sizes.append(None if size is None else float(size["Y"]))
        return parts

    def _measure(self, place: int, parts: Sequence[NDArray[Any]], seen: Seen) -> None:
        """Numbers and spectra of a row: the mean over its tiles."""
        channels = self.plan.channels or tuple(f"c{c}" for c in range(len(parts[0])))
        if len(parts[0]) != len(channels):
            parts = [pixels[: len(channels)] for pixels in parts]
        found = [numbers.measured(pixels, channels) for pixels in parts]
        seen.numbers[place] = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        ranges = self.plan.ranges() if self.plan.scaling else np.array([[0.0, 1.0]] * len(channels))
        whole = [pixels for pixels in parts if min(pixels.shape[1:]) >= power.SMALLEST]
        if whole:
            scaled = (pixels / (ranges[:, 1] - ranges[:, 0])[:, None, None] for pixels in whole)
            density = [[power.radial(plane, self.edges) for plane in one] for one in scaled]
            seen.spectra[place] = np.mean(density, axis=0)

    def _answers(self, bundle: Bundle, read: Mapping[int, list[tuple[Tile, NDArray[Any]]]], seen: Seen) -> None:
        """The answers of these rows, untouched and altered."""
        for alteration in (None, *self.alterations):
            name = MAIN if alteration is None else f"{MAIN}@{alteration.name}"
            owners: list[tuple[int, Tile]] = []
            samples = []
            for place, parts in read.items():
                made = [self.altered(alteration, pixels, place) for _, pixels in parts]
                altered = [pixels for pixels in made if pixels is not None]
                if len(altered) == len(parts):
                    owners += [(place, tile) for tile, _ in parts]
                    samples += [{"image": pixels} for pixels in altered]
            parts_of: dict[int, list[tuple[Tile, Answer]]] = {}
            for (place, tile), answer in zip(owners, bundle(samples) if samples else (), strict=True):
                parts_of.setdefault(place, []).append((tile, answer))
            for place, answers in parts_of.items():
                first = answers[0][1]
                whole = first if len(answers) == 1 else type(first).stitch(iter(answers), (0, 0))
                cells = whole.cells(self.rows.folder, name)
                kept = {k: v for k, v in cells.items() if k == name or k.startswith(f"{name}.probability.")}
                seen.answers.setdefault(place, {}).update(kept)

    def altered(self, alteration: Alteration | None, pixels: NDArray[Any], place: int) -> NDArray[Any] | None:
        """The pixels (C, H, W) of a tile of a row under an alteration: always the same for the same row and seed."""
        if alteration is None:
            return pixels
        salt = zlib.crc32(f"{alteration.name} {self.rows.table['id'].iloc[place]}".encode())
        return alteration.of(pixels, np.random.default_rng([self.seed, salt]))
