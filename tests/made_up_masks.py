"""Labels made up for tests: noise with holes and corners that touch, cells, and what of a volume or of many objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from potency.data import masks
from potency.data.masks import FORMATS, Annotation, Format

SUFFIX = {"labelled": ".tif", "ngff": ".zarr", "geojson": ".geojson", "coco": ".json", "imagej": ".zip", "voc": ".xml",
          "yolo": ".txt", "points": ".csv", "folder": ""}  # fmt: skip
EXACT = ("labelled", "ngff", "geojson", "coco", "imagej", "points", "folder")  # hold labels to the last pixel


def noise(shape: tuple[int, ...] = (24, 31), most: int = 5, seed: int = 0) -> masks.annotation.Labels:
    """Labels in which every pixel is drawn alone: holes, islands in holes, and corners that touch."""
    return np.random.default_rng(seed).integers(0, most, shape).astype(np.uint32)


def cells(count: int, side: int, seed: int = 0) -> masks.annotation.Labels:
    """Ellipses on a grid, in numbers that have gaps; some touch, many lie on the border."""
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(count)))
    step = side / across
    y, x = np.mgrid[:side, :side]
    place = (y // step).astype(int) * across + (x // step).astype(int)
    shift, ratio = rng.uniform(-0.15, 0.15, (2, across**2)) * step, rng.uniform(0.7, 1.4, across**2)
    radius = rng.uniform(0.3, 0.6, across**2) * step
    dy, dx = y - (place // across + 0.5) * step - shift[0][place], x - (place % across + 0.5) * step - shift[1][place]
    inside = (dy**2 * ratio[place] + dx**2 / ratio[place] < radius[place] ** 2) & (place < count)
    return np.where(inside, 3 * place + 2, 0).astype(np.uint32)


def annotated(labels: masks.annotation.Labels) -> Annotation:
    """Labels, two of which have a class and one a score."""
    return masks.of_labels(labels, {2: "dead", 3: "alive"}, {3: 0.25})


def name_of(one: Format) -> str:
    return next(name for name, known in masks.known().items() if known is one)


def written(folder: Path, one: Format, annotation: Annotation) -> Path:
    path = folder / f"truth{SUFFIX[name_of(one)]}"
    masks.write(path, annotation, format=name_of(one))
    return path


assert {name_of(one) for one in FORMATS} == set(SUFFIX)
