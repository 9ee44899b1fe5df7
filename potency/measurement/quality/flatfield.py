"""Uneven light, learned from many images: the flat field, the offset of the camera, and images freed of both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ImageError, PlanError

Plane = NDArray[Any]
GRID = 64  # pixels of the longer side in which the light is learned: it is smooth
WAVES = 7  # cosines along each side
STIFF = 1e-3  # the ridge on a cosine, times its frequency to the fourth
ROUNDS, SEARCH = 40, 12  # of the last fit, and of each while an offset is looked for
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Light:
    """How a microscope lights its field: image = `flat` (H, W; mean 1) x brightness + `offset` + cells.

    `brightness` (N,) is that of the ground of each image.
    """

    flat: NDArray[np.float32]
    offset: float = 0.0
    brightness: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def unevenness(self) -> float:
        """The brightest place of the field less the darkest (99th and 1st percentile), over the mean."""
        low, high = np.percentile(self.flat, (1, 99))
        return float(high - low)

    def correct(self, plane: Plane) -> NDArray[np.float32]:
        """A (H, W) plane without the uneven light, in its own units; the mean brightness stays.

        Raises:
            ImageError: the plane has another size than the light was learned at.
        """
        if plane.shape != self.flat.shape:
            what = f"an image of {plane.shape} pixels cannot be corrected by light learned at {self.flat.shape}"
            raise ImageError(what, "correct", "learn the light from images of the same size and binning")
        return np.asarray((plane.astype(np.float32) - self.offset) / self.flat, np.float32)

    def write(self, path: str | Path) -> Path:
        """Write the flat field as a float32 TIFF, with the offset in its description."""
        import tifffile

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"flat_field": True, "offset": self.offset, "unevenness": self.unevenness,
                 "images": len(self.brightness)}  # fmt: skip
        tifffile.imwrite(path, self.flat, photometric="minisblack", metadata=None, description=json.dumps(about))
        return path

    @classmethod
    def read(cls, path: str | Path) -> Light:
        """Read what `write` wrote.

        Raises:
            ImageError: no such file, or another one: not finite, not above 0, without an offset.
        """
        import tifffile

        try:
            with tifffile.TiffFile(Path(path)) as file:
                flat, about = file.asarray(), json.loads(file.pages.first.description)
        except (OSError, ValueError, LookupError, tifffile.TiffFileError) as fault:
            raise ImageError(f"the flat field cannot be read: {fault}", str(path), "check the path") from fault
        offset = about.get("offset") if isinstance(about, dict) else None
        sound = flat.ndim == 2 and flat.dtype.kind == "f" and np.isfinite(flat).all() and float(flat.min()) > 0
        if not sound or not isinstance(offset, int | float):
            raise ImageError("this is no flat field", str(path), "use a file that Light.write wrote")
        return cls(np.asarray(flat, np.float32), float(offset))


def learn_light(planes: Iterable[Plane], *, offset: float | None = 0.0) -> Light:
    """Learn the light from (H, W) planes of one size, channel and microscope, ten or more of them, better fifty.

    As BaSiC (Peng et al. 2017, doi 10.1038/ncomms14836) takes it: every image is one smooth flat field times its own
    brightness, plus few large residuals, the cells. The field is a low polynomial and low cosines, and the L1 norm of
    the residuals is made small by reweighted least squares (in place of BaSiC's augmented Lagrangian: with so few
    unknowns each round is one small system). Not-a-number pixels count for nothing.

    `offset` is what the camera gives in the dark. None finds the constant that leaves the least residual, for which
    brightness must vary between images; a dark field with a shape cannot be told from light (for any c, the flat
    field may be put into it c times), and is better taken with the shutter closed.

    Where cells stand in the same places in every image, they pass for light.

    Raises:
        PlanError: fewer than three planes, planes of several sizes, or nothing but darkness.

    >>> y, x = np.mgrid[-1:1:90j, -1:1:120j]
    >>> shade = 1 - 0.3 * (x**2 + y**2)
    >>> light = learn_light([shade * level for level in (90.0, 100.0, 130.0)])
    >>> float(np.abs(light.flat / (shade / shade.mean()) - 1).mean()) < 0.005
    True
    """
    small, shape = _grid(planes)
    terms = _terms(small.shape[1:])
    if offset is None:
        from scipy.optimize import minimize_scalar

        top = float(np.nanpercentile(small, 1))
        if top > 0:
            found = minimize_scalar(lambda at: _fit(small, terms, at, SEARCH)[2], bounds=(0, top), method="bounded",
                                    options={"xatol": 0.003 * top})  # fmt: skip
            offset = float(found.x)
    flat, bright, _ = _fit(small, terms, offset or 0.0, ROUNDS)
    return Light(_enlarged(flat, shape), float(offset or 0.0), bright)


def _fit(
    small: NDArray[np.float64], terms: tuple[NDArray[np.float64], NDArray[np.float64]], offset: float, rounds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The flat field (h, w) and brightness (N,) at a given offset, and the share of the images they leave over."""
    basis, ridge = terms
    stack = small.reshape(len(small), -1) - offset
    known = np.isfinite(stack)
    stack = np.where(known, stack, 0.0)
    bright = np.array([np.median(row[there]) if there.any() else 0.0 for row, there in zip(stack, known, strict=True)])
    usual = float(np.median(bright))
    if usual <= 0:
        raise PlanError("the images hold no light to learn from", "learn_light", "leave out empty and black images")
    flat = np.ones(stack.shape[1])
    for _ in range(rounds):
        away = np.abs(stack - bright[:, None] * flat)
        scale = float(np.median(away[known])) + 1e-9 * usual
        weight = known / np.maximum(away, 0.1 * scale)
        squares, products = (weight * bright[:, None] ** 2).sum(0), (weight * bright[:, None] * stack).sum(0)
        stiff = np.diag(ridge) * float(squares.mean()) + 1e-12 * float(squares.sum()) * np.eye(len(ridge))
        flat = basis @ np.linalg.solve((basis * squares[:, None]).T @ basis + stiff, basis.T @ products)
        flat = np.maximum(flat, 0.02)
        flat /= flat.mean()
        square = (weight * flat**2).sum(1)
        bright = (weight * stack * flat).sum(1) / np.where(square > 0, square, 1.0)
    left = float(np.abs(stack - bright[:, None] * flat)[known].mean())
    return flat.reshape(small.shape[1:]), bright, left


def _grid(planes: Iterable[Plane]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """The planes on a coarse grid (N, h, w), and their own size."""
    import cv2

    coarse, shapes = [], set()
    for plane in planes:
        shapes.add(plane.shape)
        scale = min(1.0, GRID / max(plane.shape))
        size = (max(2, round(plane.shape[1] * scale)), max(2, round(plane.shape[0] * scale)))
        values = plane.astype(np.float32)
        values[~np.isfinite(values)] = np.nan  # an average with one of them is none
        coarse.append(cv2.resize(values, size, interpolation=cv2.INTER_AREA).astype(np.float64))
    if len(coarse) < FEWEST:
        raise PlanError(f"{len(coarse)} images cannot tell light from cells", "learn_light",
                        f"give {FEWEST} or more, better fifty")  # fmt: skip
    if len(shapes) > 1:
        raise PlanError(f"the images have {len(shapes)} sizes: {sorted(shapes)[:3]}", "learn_light",
                        "learn from images of one microscope and binning at a time")  # fmt: skip
    return np.stack(coarse), shapes.pop()


def _terms(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A polynomial of second order and low cosines (pixels, terms), and the ridge of each: the faster, the stiffer.

    Cosines alone are level at the border, where real light falls steepest.
    """
    parts = []
    for side in shape:
        waves = np.arange(min(WAVES, side))
        parts.append(np.cos(np.pi * (np.arange(side)[:, None] + 0.5) * waves / side))
    cosines = np.einsum("yi,xj->yxij", *parts).reshape(shape[0] * shape[1], -1)
    pace = np.hypot(np.arange(parts[0].shape[1])[:, None], np.arange(parts[1].shape[1])[None]).ravel()
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j])
    bends = np.stack([y, x, y * y, y * x, x * x], axis=1)
    return np.hstack([bends, cosines]), np.concatenate([np.zeros(5), STIFF * pace**4])


def _enlarged(field: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    import cv2

    wide = cv2.resize(field.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide, np.float32)
