"""Trivial answers on the pixels, by the kind of answer: what any network must beat, with a number or two fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.measurement.quality.ground import otsu

Numbers = Mapping[str, NDArray[np.float64]]
BLUR = 1.0  # px, against noise
BANDS = 4  # grey bands at most: the search of more takes minutes an image
FLAT = 6.0  # the logit of what is sure: 99.8 %
SIZES = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)  # px, sigma of the blobs that are tried


class Seen(NamedTuple):
    """A training image (C, H, W) and its truth as its task has it: `drawn` (K, H, W), or `places` (n, 5)."""

    image: NDArray[Any]
    truth: NDArray[Any]


class Rule(ABC):
    """A way from the grey values of an image to the maps that the decoding of a task reads."""

    title: ClassVar[str]
    changes: ClassVar[Mapping[str, object]] = {}  # what its plan has other than that of the network beside it

    @abstractmethod
    def fit(self, seen: Iterable[Seen], plan: Plan) -> Numbers:
        """The few numbers that it needs, of training images only."""

    @abstractmethod
    def maps(self, image: NDArray[Any], fitted: Numbers, plan: Plan) -> NDArray[np.float32]:
        """Maps (K, H, W) of an image (C, H, W), in place of the output of a network."""


class Threshold(Rule):
    """Objects are what differs from the ground by more than Otsu's threshold; what touches is one."""

    title = "Otsu's threshold, and what hangs together"
    changes: ClassVar[Mapping[str, object]] = {"decoder": "components", "settings": {"smallest": 16.0}}

    def fit(self, seen: Iterable[Seen], plan: Plan) -> Numbers:
        """How often each class is, by pixels."""
        counts = np.zeros(len(plan.classes))
        for one in seen if plan.classes else ():
            kinds = one.truth[1]
            counts += np.bincount(kinds[kinds >= 0], minlength=len(counts))
        return {"classes": counts}

    def maps(self, image: NDArray[Any], fitted: Numbers, plan: Plan) -> NDArray[np.float32]:
        """The logit of an object, and of the commonest class."""
        sure = foreground(image)
        kinds = np.zeros((len(plan.classes), *sure.shape), np.float32)
        if len(kinds):
            kinds[int(fitted["classes"].argmax())] = FLAT
        return np.concatenate([sure[None], kinds])


class Bands(Rule):
    """Grey values fall into as many bands as there are classes (multi-Otsu); each is the class it mostly is."""

    title = "bands of grey values (multi-Otsu)"

    def fit(self, seen: Iterable[Seen], plan: Plan) -> Numbers:
        """Of each channel, how many pixels of each band have each class."""
        counts = np.zeros((len(plan.channels), BANDS, len(plan.classes)))
        for one in seen:
            known = one.truth[0] >= 0
            for c, plane in enumerate(one.image):
                where = bands(plane, len(plan.classes))[known] * len(plan.classes) + one.truth[0][known]
                counts[c] += np.bincount(where, minlength=counts[c].size).reshape(counts[c].shape)
        told = counts.max(axis=2).sum(axis=1)
        return {"channel": np.array([float(told.argmax())]), "bands": counts[told.argmax()]}

    def maps(self, image: NDArray[Any], fitted: Numbers, plan: Plan) -> NDArray[np.float32]:
        found = bands(image[int(fitted["channel"][0])], len(plan.classes))
        kinds = fitted["bands"].argmax(axis=1)[found]
        return np.asarray(kinds == np.arange(len(plan.classes))[:, None, None], np.float32)


class Blobs(Rule):
    """Objects are round spots of one size, brighter or darker than around: peaks of the Laplacian of a Gaussian."""

    title = "round spots of one size (Laplacian of a Gaussian)"

    def fit(self, seen: Iterable[Seen], plan: Plan) -> Numbers:
        """The channel, size and sign whose answer at true centres stands out most from that of all pixels.

        `top` is the answer that is called sure: the 90th percentile at true centres.
        """
        images = list(seen)
        kinds = np.zeros(max(1, len(plan.classes)))
        for one in images:
            known = one.truth[one.truth[:, 4] >= 0, 4].astype(int)
            kinds += np.bincount(known, minlength=len(kinds))
        best, told = -np.inf, {"channel": 0.0, "sigma": SIZES[0], "sign": -1.0, "top": 1.0}
        for c in range(len(plan.channels)):
            for sigma in SIZES:
                answers = [(spots(one.image[c], sigma), _middles(one)) for one in images]
                at = np.concatenate([answer[rows, columns] for answer, (rows, columns) in answers])
                spread = float(np.sqrt(np.mean([np.mean(answer**2) for answer, _ in answers])))
                if not len(at) or not spread:
                    continue
                for sign in (1.0, -1.0):
                    apart = float(np.mean(sign * at)) / spread
                    if apart > best:
                        top = max(float(np.percentile(sign * at, 90)), 1e-6 * spread)
                        best, told = apart, {"channel": float(c), "sigma": sigma, "sign": sign, "top": top}
        return {**{name: np.array([value]) for name, value in told.items()}, "classes": kinds}

    def maps(self, image: NDArray[Any], fitted: Numbers, plan: Plan) -> NDArray[np.float32]:
        """The heat map of the commonest class; places and sizes are as usual."""
        channel, sigma, sign, top = (float(fitted[name][0]) for name in ("channel", "sigma", "sign", "top"))
        share = np.clip(sign * spots(image[int(channel)], sigma) / top, 0.002, 0.998)
        kinds = np.full((max(1, len(plan.classes)), *share.shape), -FLAT, np.float32)
        kinds[int(fitted["classes"].argmax())] = np.log(share / (1 - share))
        rest = np.zeros((4 if plan.settings.get("boxes") else 2, *share.shape), np.float32)
        return np.concatenate([kinds, rest])


class Evenly(Rule):
    """Every image holds as many objects a pixel as the training images do."""

    title = "as many objects a pixel as training images hold"

    def fit(self, seen: Iterable[Seen], plan: Plan) -> Numbers:
        objects = pixels = 0.0
        for one in seen:
            objects += float((one.truth[:, 4] >= 0).sum())
            pixels += float(np.prod(one.image.shape[-2:]))
        return {"density": np.array([objects / max(pixels, 1.0)])}

    def maps(self, image: NDArray[Any], fitted: Numbers, plan: Plan) -> NDArray[np.float32]:
        lone = 2 * np.pi * plan.settings["spread"] ** 2  # a lone object is told with a peak of 1
        return np.full((1, *image.shape[-2:]), float(fitted["density"][0]) * lone, np.float32)


def foreground(image: NDArray[Any]) -> NDArray[np.float32]:
    """The logit (H, W) that a pixel of (C, H, W) is of an object: how far beyond Otsu's threshold it is.

    Brighter or darker than the median does not matter. Specks are taken off, and holes filled.

    >>> image = np.zeros((1, 32, 32))
    >>> image[0, 4:12, 4:12], image[0, 20:28, 16:30] = 9, -9
    >>> [bool(foreground(image)[at] > 0) for at in ((8, 8), (24, 20), (15, 15))]
    [True, True, False]
    """
    from scipy import ndimage

    grey = ndimage.gaussian_filter(image.astype(np.float64).mean(axis=0), BLUR)
    apart = np.abs(grey - np.median(grey))
    limit = otsu(apart)
    inside = ndimage.binary_fill_holes(ndimage.binary_opening(apart > limit))
    sure = np.clip((apart / limit - 1) * FLAT if limit else np.full_like(apart, -FLAT), -FLAT, FLAT)
    return np.asarray(np.where(inside, np.maximum(sure, 0.1), np.minimum(sure, -0.1)), np.float32)


def bands(plane: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Which of at most `BANDS` bands, from dark to bright, each pixel of (H, W) is in."""
    from scipy import ndimage
    from skimage.filters import threshold_multiotsu

    grey = ndimage.gaussian_filter(plane.astype(np.float32), BLUR)
    try:
        limits = threshold_multiotsu(grey, min(BANDS, max(2, count)))  # type: ignore[no-untyped-call]
    except ValueError:  # fewer values than bands: an image of one colour
        limits = np.empty(0)
    return np.asarray(np.digitize(grey, limits), np.intp)


def spots(plane: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """How much a pixel of (H, W) is the middle of a bright spot of `sigma` px, below 0 of a dark one.

    In units of the image's own contrast, so that a brighter picture of the same says the same.
    """
    from scipy import ndimage

    grey = plane.astype(np.float32)
    low, high = np.percentile(grey, [0.2, 99.8])
    return np.asarray(-(sigma**2) * ndimage.gaussian_laplace(grey, sigma) / max(float(high - low), 1e-6), np.float32)


def _middles(one: Seen) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    known = one.truth[one.truth[:, 4] >= 0]
    middle = (known[:, :2] + known[:, 2:4]) / 2 - 0.5
    rows, columns = (np.clip(np.rint(at), 0, side - 1).astype(np.intp)
                     for at, side in zip(middle.T, one.image.shape[-2:], strict=True))  # fmt: skip
    return rows, columns


# By name, then by the kind of answer; a kind without one has no such baseline.
RULES: Mapping[str, Mapping[str, Rule]] = MappingProxyType({
    "trivial": {"labels": Threshold(), "regions": Bands(), "objects": Blobs(), "density": Evenly()},
})  # fmt: skip


def find_rule(name: str, kind: str) -> Rule:
    """The rule of this name for answers of a kind.

    Raises:
        PlanError: there is none.
    """
    known = [one for one, kinds in RULES.items() if kind in kinds]
    if name not in known:
        raise PlanError(f"there is no rule {name!r} for answers of kind {kind!r}", "plan.network", nearest(name, known))
    return RULES[name][kind]


def rules_of(names: Sequence[str], kind: str) -> list[str]:
    """Those of some names of baselines that are rules for answers of a kind."""
    return [name for name in names if kind in RULES.get(name, {})]
