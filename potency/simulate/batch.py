"""Where cells live: donors, clones, plates and wells, each with its own habits of cells and of the microscope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate.cells import TRAITS
from potency.simulate.optics import Setting

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
FIELD = 2048  # pixels along a side of the field of view that crops are cut from


@dataclass(frozen=True)
class Wells:
    """All wells of an experiment, `W` of them; row w of every array is one well.

    A group is one clone of one donor, grown on a plate of its own: nothing is shared between groups except the donor.
    """

    group: Ints
    donor: Ints
    clone: Ints
    plate: Ints
    name: tuple[str, ...]  # "B04"
    habit: Floats  # (W, traits) shift of the logarithm of every trait
    delay: Floats  # hours by which this clone differentiates later than the others
    taste: Floats  # (W, classes) how often a cell of this clone takes each fate
    focus: Floats  # micrometres
    gain: Floats
    contrast: Floats
    halo: Floats
    shade: Floats  # (W, 5), see Setting
    photons: Floats
    stain: Floats  # (W, 4)
    debris: Floats  # specks per 64 x 64 pixels

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def of(cls, rng: np.random.Generator, groups: int, wells: int, classes: int, strength: float = 1.0) -> Wells:
        """Draw an experiment; `strength` scales every batch effect (0 = all groups alike).

        >>> wells = Wells.of(np.random.default_rng(0), groups=4, wells=2, classes=3)
        >>> len(wells), wells.name[:2]
        (8, ('B02', 'B03'))
        """
        clones = max(1, round(groups / max(2, min(6, groups // 3 or 1))))
        group = np.repeat(np.arange(groups), wells)
        donor, clone = group // clones, group % clones

        def vary(size: float, *tail: int, levels: tuple[float, float, float] = (0.4, 0.8, 0.3)) -> Floats:
            """Sum of a donor, a group and a well effect with standard deviation `size` in all."""
            parts = (rng.standard_normal((groups, *tail))[donor], rng.standard_normal((groups, *tail))[group],
                     rng.standard_normal((groups * wells, *tail)))  # fmt: skip
            total = sum(share * part for share, part in zip(levels, parts, strict=True))
            return (strength * size * np.asarray(total) / np.linalg.norm(levels)).astype(np.float32)

        shade = vary(1.0, 5) * np.array([0.035, 0.035, 0.015, 0.3, 0.3], np.float32)
        shade[:, 2] += 0.035
        taste = np.exp(vary(0.75, classes, levels=(0.3, 1.0, 0.0)))
        columns = np.arange(groups * wells) % wells
        return cls(
            group=group, donor=donor, clone=clone, plate=group,
            name=tuple(f"{'BCDEFG'[c // 10 % 6]}{2 + c % 10:02d}" for c in columns),
            habit=vary(0.16, len(TRAITS), levels=(0.5, 0.9, 0.1)),
            delay=vary(7.0, levels=(0.5, 0.8, 0.2)),
            taste=taste / taste.sum(1, keepdims=True),
            focus=np.maximum(1.5, 4.5 + vary(1.8)),
            gain=np.exp(vary(0.11)),
            contrast=np.exp(vary(0.14)),
            halo=np.clip(0.92 + vary(0.12), 0.5, 1.2),
            shade=shade,
            photons=5000 * np.exp(vary(0.5)),
            stain=np.exp(vary(0.35, 4)),
            debris=0.25 * np.exp(vary(0.7)),
        )  # fmt: skip

    def labels(self, well: Ints) -> dict[str, list[object]]:
        """The columns of a table for cells that live in `well` (N,)."""
        names = [f"d{d + 1}c{c + 1}" for d, c in zip(self.donor, self.clone, strict=True)]
        return {
            "group": [names[w] for w in well],
            "donor": [f"donor{self.donor[w] + 1}" for w in well],
            "clone": [names[w] for w in well],
            "plate": [f"plate{self.plate[w] + 1:02d}" for w in well],
            "well": [self.name[w] for w in well],
        }

    def photograph(self, rng: np.random.Generator, well: Ints, y: Floats, x: Floats, span: float) -> Setting:
        """The setting of one picture a row, at (y, x) in a field of FIELD pixels, `span` pixels wide.

        Light, tilt and focus follow the place in the field, so that two crops of one field are alike.
        """

        def some(size: float) -> Floats:
            return (size * rng.standard_normal(len(well))).astype(np.float32)

        tilt_y, tilt_x, bowl, mid_y, mid_x = self.shade[well].T
        v, u = y / FIELD * 2 - 1, x / FIELD * 2 - 1
        light = 1 + tilt_y * v + tilt_x * u - bowl * ((v - mid_y) ** 2 + (u - mid_x) ** 2 - 0.67)
        share = np.float32(span / FIELD)
        local = np.stack([(tilt_y - 2 * bowl * (v - mid_y)) * share, (tilt_x - 2 * bowl * (u - mid_x)) * share,
                          bowl * share**2, 0 * v, 0 * u], axis=1)  # fmt: skip
        return Setting(
            focus=self.focus[well] + some(0.9) + 9.0 * tilt_y * v,
            gain=self.gain[well] * light * np.exp(some(0.015)),
            contrast=self.contrast[well] * np.exp(some(0.06)),
            halo=self.halo[well],
            shade=local.astype(np.float32),
            photons=self.photons[well] * light,
            stain=self.stain[well],
        )
