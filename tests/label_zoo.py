"""Tiny named pairs of label images, one for each way in which an answer can differ from the truth, and random ones."""

from __future__ import annotations

import numpy as np


def _image(*boxes, shape=(12, 16)):
    """Boxes (number, top, left, bottom, right) on an empty image."""
    made = np.zeros(shape, np.uint32)
    for number, top, left, bottom, right in boxes:
        made[top:bottom, left:right] = number
    return made


EMPTY = _image()
TWO = _image((1, 1, 1, 6, 7), (2, 7, 8, 11, 15))
ZOO = {
    "perfect": (TWO, TWO),
    "renumbered": (TWO, _image((9, 1, 1, 6, 7), (4, 7, 8, 11, 15))),
    "missed": (TWO, _image((1, 1, 1, 6, 7))),
    "split": (TWO, _image((1, 1, 1, 6, 4), (3, 1, 4, 6, 7), (2, 7, 8, 11, 15))),
    "chipped": (TWO, _image((1, 1, 1, 6, 6), (3, 1, 6, 6, 7), (2, 7, 8, 11, 15))),
    "merged": (_image((1, 1, 1, 6, 7), (2, 1, 7, 6, 13)), _image((1, 1, 1, 6, 13))),
    "swallowed": (_image((1, 1, 1, 6, 10), (2, 1, 10, 6, 12)), _image((1, 1, 1, 6, 12))),
    "shifted": (TWO, np.roll(TWO, 1, 1)),
    "shifted far": (TWO, np.roll(TWO, 3, 0)),
    "spurious": (TWO, _image((1, 1, 1, 6, 7), (2, 7, 8, 11, 15), (3, 1, 10, 4, 13))),
    "empty truth": (EMPTY, TWO),
    "empty prediction": (TWO, EMPTY),
    "both empty": (EMPTY, EMPTY),
    "one fills the image": (np.ones((12, 16), np.uint32), np.ones((12, 16), np.uint32)),
    "one fills the truth": (np.ones((12, 16), np.uint32), TWO),
    "on every border": (np.indices((12, 16)).sum(0) // 7 + 1, np.indices((12, 16)).sum(0) // 6 + 1),
    "numbers with gaps": (TWO * 70_000, TWO * 1_000_000_007 % 4_000_000_000),
    "half and half": (_image((1, 0, 0, 2, 2)), _image((1, 0, 0, 2, 1), (2, 0, 1, 2, 2))),
}


def random_pair(seed, objects=14, shape=(40, 50)):
    """Discs, and the same discs moved, grown, lost, joined and invented."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape)

    def discs(centres, radii, numbers):
        made = np.zeros(shape, np.uint32)
        for (y, x), radius, number in zip(centres, radii, numbers, strict=True):
            made[(grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= radius**2] = number
        return made

    centres, radii = rng.uniform((0, 0), shape, (objects, 2)), rng.uniform(2, 7, objects)
    truth = discs(centres, radii, np.arange(1, objects + 1))
    kept = rng.random(objects) < 0.85
    moved = centres[kept] + rng.normal(0, 1, (kept.sum(), 2))
    numbers = rng.permutation(np.arange(5, 5 + kept.sum()))
    numbers[: len(numbers) // 5] = numbers[0]
    return truth, discs(moved, radii[kept] * rng.uniform(0.8, 1.2, kept.sum()), numbers)


def cases():
    return ZOO | {f"random {seed}": random_pair(seed) for seed in range(6)}
