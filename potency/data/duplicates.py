"""Finds near-duplicates (rescaled, recompressed, brightened, flipped copies) among images that look alike anyway.

Cells look alike, so no fixed similarity tells a copy from a neighbour. What does is a gap: under chance the distances
of an image to its nearest others, d1 <= d2 <= ..., have spacings j * log(d(j+1) / dj) that all follow one exponential
law whose scale is set by the images themselves (Renyi's representation of order statistics). A copy, or j of them,
leaves a gap behind rank j that this law does not explain. The law's tail is fitted on the set's own spacings, twice:
a pair is a candidate by plain correlation and is confirmed, or not, by correlation after registration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of a thumbnail's side
NEIGHBOURS = 16  # of each image, from which the law is learned
EXACT = 20_000  # up to so many images all pairs are compared
CANDIDATES = 0.003  # share of images that may stand in a gap by chance, before and after registration
CONFIRMED = 0.05
_RANKS = 8  # behind which a gap is looked for: one image and up to eight copies of it
_FLOOR = 2e-3  # below this distance two thumbnails are equal for all purposes
_BLOCK = 2**23  # similarities held at once
_BACK = np.array([0, 3, 2, 1, 4, 5, 6, 7])  # which of the eight turns undoes which

Thumbnails = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Two images (by number) that are near-duplicates; `similarity` is their registered correlation."""

    first: int
    second: int
    similarity: float


def thumbnail(pixels: NDArray[np.generic]) -> Thumbnails:
    """A (C, Y, X) image as (SIDE, SIDE): channels to a common scale and averaged, sharp detail and shading taken out.

    The band kept is the one that a copy at half the size still has.
    """
    import cv2

    planes = np.nan_to_num(np.asarray(pixels, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    total = np.zeros((SIDE, SIDE), dtype=np.float32)
    for plane in planes:
        small = min(plane.shape) < SIDE
        grid = cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR if small else cv2.INTER_AREA)
        grid = cv2.GaussianBlur(grid, (0, 0), 1.2)
        grid = grid - cv2.GaussianBlur(grid, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT)
        spread = float(grid.std())
        total += grid / spread if spread > 1e-6 * max(1.0, float(np.abs(plane).max())) else 0.0
    return total


def near_duplicates(thumbnails: Thumbnails, shapes: Sequence[tuple[int, int]], groups: Sequence[str]) -> list[Pair]:
    """All pairs of near-duplicates that stand in two groups, the most alike first.

    Up to 20,000 images every pair is compared in all eight flips and turns; beyond that each image is compared with
    the 20,000 or so whose thumbnails, averaged over flips and turns, are the nearest to its own. Pairs whose ratio of
    height to width no common image could have are left out.

    Args:
        thumbnails: (N, SIDE, SIDE), see `thumbnail`; an image without any structure (all 0) is left out.
        shapes: (N,) height and width of the images in pixels.
        groups: (N,); pairs within one group are not looked for.
    """
    usable = np.flatnonzero(np.abs(thumbnails).max(axis=(1, 2), initial=0) > 0)
    if len(usable) < 4:
        return []
    half = _halved(thumbnails[usable])
    codes = np.unique(np.asarray(groups, dtype=str)[usable], return_inverse=True)[1]
    neighbours, turns, plain = _candidates(half, np.array(shapes, dtype=np.float64)[usable], codes)
    registered = _registered(half, neighbours, turns)
    confirmed = _in_gaps(registered, neighbours, CONFIRMED)
    found = [(pair, value) for pair, value in _in_gaps(plain, neighbours, CANDIDATES).items() if pair in confirmed]
    return [Pair(int(usable[pair[0]]), int(usable[pair[1]]), round(confirmed[pair], 4))
            for pair, _ in sorted(found, key=lambda item: (-confirmed[item[0]], item[0]))]


def _turn(images: Thumbnails, turn: int) -> Thumbnails:
    """The images in one of eight flips and turns; 0 leaves them as they are."""
    return np.rot90(images[:, :, ::-1] if turn > 3 else images, turn, (1, 2))


def _turned(images: Thumbnails) -> Iterator[Thumbnails]:
    """The images in all eight flips and turns, as they are first."""
    return (_turn(images, turn) for turn in range(8))


def _unit(rows: Thumbnails) -> Thumbnails:
    rows = rows.reshape(len(rows), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _halved(images: Thumbnails) -> Thumbnails:
    return np.asarray(images.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)), dtype=np.float32)


def _candidates(half: Thumbnails, shapes: NDArray[np.float64],
                codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The nearest images of other groups, (N, k) each: their numbers, how they turn to fit, and the correlation.

    Where an image has fewer than k possible ones the rest has correlation -1.
    """
    k = min(NEIGHBOURS, len(half) - 1)
    flat = _unit(half)
    ratio, slack = np.log(shapes[:, 0] / shapes[:, 1]), (0.6 / shapes).sum(axis=1)  # sizes are rounded to pixels
    numbers, turns = np.zeros((2, len(half), k), dtype=np.int64)
    values = np.full((len(half), k), -1.0)
    for rows, columns in _cells(half):
        step = max(1, _BLOCK // (8 * len(columns)))
        for start in range(0, len(rows), step):
            some = rows[start:start + step]
            turned = np.stack([_unit(turn) for turn in _turned(half[some])])
            product = (turned.reshape(-1, flat.shape[1]) @ flat[columns].T).reshape(8, len(some), len(columns))
            # Even turns keep height and width, odd ones swap them.
            best = np.where(_alike(ratio[some], ratio[columns], slack[some], slack[columns]),
                            product[0::2].max(axis=0), -1)
            swapped = np.where(_alike(ratio[some], -ratio[columns], slack[some], slack[columns]),
                               product[1::2].max(axis=0), -1)
            odd = swapped > best
            best[odd] = swapped[odd]
            best[codes[some][:, None] == codes[columns]] = -1.0
            there = min(k, len(columns))
            nearest = np.argpartition(-best, there - 1, axis=1)[:, :there]
            numbers[some, :there] = columns[nearest]
            values[some, :there] = np.take_along_axis(best, nearest, 1)
            each = np.take_along_axis(product, nearest[None], 2)
            each[0::2] -= 4 * np.take_along_axis(odd, nearest, 1)
            turns[some, :there] = _BACK[each.argmax(axis=0)]
    return numbers, turns, values


def _alike(first: NDArray[np.float64], second: NDArray[np.float64], slack: NDArray[np.float64],
           other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(first[:, None] - second) <= slack[:, None] + other)


def _cells(half: Thumbnails) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and the columns they are compared with: all with all, or in cells of images that look alike on the whole."""
    count = 1 if len(half) <= EXACT else len(half) * 8 // EXACT
    everything = np.arange(len(half))
    if count == 1:
        yield everything, everything
        return
    mean = _unit(np.mean(np.stack(list(_turned(half))), axis=0))
    centres = mean[np.random.default_rng(0).choice(len(half), count, replace=False)]
    home = np.concatenate([(mean[at:at + 4096] @ centres.T).argmax(axis=1) for at in range(0, len(mean), 4096)])
    for cell in range(count):
        rows = everything[home == cell]
        near = np.argsort(-(centres @ centres[cell]), kind="stable")[:8]
        if len(rows):
            yield rows, everything[np.isin(home, near)]


def _registered(half: Thumbnails, neighbours: NDArray[np.int64], turns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The correlation of each image with its turned neighbours after the best small shift.

    To first order a shifted image is itself plus multiples of its two slopes (Lucas and Kanade 1981), so the best
    shift and its correlation come out of one small regression a pair.
    """
    one = _unit(half)
    image = np.repeat(np.arange(len(half)), neighbours.shape[1])
    other, result = neighbours.ravel(), np.empty(len(image))
    for turn in range(8):
        pairs = np.flatnonzero(turns.ravel() == turn)
        for start in range(0, len(pairs), 4096):
            part = pairs[start:start + 4096]
            two = _turn(half[other[part]], turn)
            down, right = np.gradient(two, axis=1), np.gradient(two, axis=2)
            base = np.stack([_unit(two), _unit(down), _unit(right)], axis=1)
            along = np.einsum("ikp,ip->ik", base, one[image[part]])
            gram = base @ np.swapaxes(base, 1, 2) + 1e-6 * np.eye(3, dtype=np.float32)
            weight = np.linalg.solve(gram, along[:, :, None])[:, :, 0]
            explained = np.sqrt(np.clip((along * weight).sum(axis=1), 0, 1))
            result[part] = np.where(along[:, 0] > 0, explained, along[:, 0])
    return result.reshape(neighbours.shape)


def _in_gaps(similarity: NDArray[np.float64], neighbours: NDArray[np.int64],
             share: float) -> dict[tuple[int, int], float]:
    """The pairs (lower number first) that stand before a gap which chance explains in a share of images only."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    similarity = np.take_along_axis(similarity, order, 1)
    neighbours = np.take_along_axis(neighbours, order, 1)
    wide = _wide(similarity, share)
    told: dict[int, dict[int, float]] = {}
    for image in np.flatnonzero(wide.any(axis=1)):
        behind = wide.shape[1] - int(wide[image, ::-1].argmax())  # the last gap counts: all before it are copies
        values = [float(value) for value in similarity[image, :behind]]
        told[int(image)] = dict(zip(map(int, neighbours[image, :behind]), values, strict=True))
    found: dict[tuple[int, int], float] = {}
    for one, others in told.items():
        for other, value in others.items():
            # A common looking image is near to many that are not near to it: several copies must each say so too.
            if len(others) == 1 or one in told.get(other, {}):
                pair = (min(one, other), max(one, other))
                found[pair] = max(found.get(pair, -1.0), value)
    return found


def _wide(similarity: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Where the spacing behind rank 1, 2, ... (columns) is wider than chance explains; rows of falling similarity."""
    distance = np.maximum(1.0 - similarity, _FLOOR)
    # The law holds for near neighbours only, so in a small set for few ranks.
    ranks = np.arange(1, min(_RANKS, distance.shape[1] - 1, max(1, len(distance) // 8)) + 1)
    spacing = ranks * np.log(distance[:, 1:len(ranks) + 1] / distance[:, :len(ranks)])
    spacing[similarity[:, 1:len(ranks) + 1] <= -1.0] = np.nan
    tails = []
    for values in (column[np.isfinite(column)] for column in spacing.T):
        edge = float(np.quantile(values, 0.9)) if len(values) >= 10 else np.inf
        if (values > edge).any():
            tails.append((edge, float((values[values > edge] - edge).mean())))
    if not tails:
        return np.zeros(spacing.shape, dtype=bool)
    # Copies fill the first ranks; the median over the ranks resists them. Few images tell little of a tail, so it is
    # never taken to be lighter than that of the exponential law with the same median.
    edge, scale = (float(np.median(part)) for part in zip(*tails, strict=True))
    law = float(np.nanmedian(spacing)) / np.log(2)
    edge, scale = max(edge, law * np.log(10)), max(scale, law)
    weight = ranks**-2.0
    limit = edge + scale * np.log(0.1 * (weight * (ranks + 1) / 2).sum() / (share * weight))
    return np.asarray(np.nan_to_num(spacing, nan=-np.inf) > limit)
