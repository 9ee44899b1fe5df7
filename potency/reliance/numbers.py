"""One plain number of an image as a classifier: variance, brightness, texture, focus, how much of it is cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality import camera, focus
from potency.measurement.shape import foreground
from potency.measurement.texture import LEVELS, SPAN, cooccurrence

Values = NDArray[np.float64]
Planes = NDArray[np.float64]


@dataclass(frozen=True)
class One:
    """One number of a plane: a name, a function of (H, W), and what it tells. NaN: nothing can be said."""

    name: str
    of: Callable[[Planes], float]
    title: str


def _homogeneity(plane: Planes) -> float:
    low, high = np.percentile(plane, SPAN)
    if high <= low:
        return 1.0
    unit = np.clip((plane - low) / (high - low), 0, 1)
    return float(cooccurrence(np.minimum(unit * LEVELS, LEVELS - 1).astype(np.int64)[None])["glcm1_homogeneity"][0])


def _focus(plane: Planes) -> float:
    single = plane.astype(np.float32)
    found = focus.measures(single, camera.noise(single, False))["laplacian"]
    return float(np.log(max(found, focus.LEAST["laplacian"])))


def _density(plane: Planes) -> float:
    import cv2

    mask = foreground(plane)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA] if count > 1 else np.zeros(0)
    return float((sizes >= max(4.0, 0.02 * sizes.max(initial=0))).sum()) / plane.size * 1e6


NUMBERS: Mapping[str, One] = {
    one.name: one
    for one in (
        One("variance", lambda plane: float(plane.var()), "variance of the pixels"),
        One("brightness", lambda plane: float(plane.mean()), "mean of the pixels"),
        One("texture", _homogeneity, "homogeneity of neighbouring grey levels (Haralick 1973)"),
        One("focus", _focus, "variance of the Laplacian over that of the image, logarithm"),
        One("foreground", lambda plane: float(foreground(plane).mean()), "share of pixels unlike the border (Otsu)"),
        One("density", _density, "pieces of foreground per megapixel"),
    )
}
TOGETHER = "all-numbers"


def measured(pixels: NDArray[Any], channels: Sequence[str]) -> dict[str, float]:
    """All numbers of a window (C, H, W), by name; `variance.<channel>` where there are several channels.

    >>> sorted(measured(np.zeros((1, 16, 16)), ("phase",)))[:3]
    ['brightness', 'density', 'focus']
    """
    found = {}
    for plane, channel in zip(pixels.astype(np.float64), channels, strict=True):
        plane = np.where(np.isfinite(plane), plane, 0.0)
        for one in NUMBERS.values():
            found[one.name if len(channels) == 1 else f"{one.name}.{channel}"] = one.of(plane)
    return found


def answers(
    truth: NDArray[Any], values: Values, folds: NDArray[np.intp], name: str, category: bool
) -> Mapping[str, Any]:
    """Columns of the answers of a classifier on numbers (N, P) alone, each fold answered by one fitted to the others.

    Classes: logistic regression, every class of the same weight; of two classes the threshold is that of the best
    balanced accuracy on the rows it is fitted to. Numbers: a straight line. A fold whose other rows hold one class only
    stays empty. A number that is missing takes the median of the rows fitted to.
    """
    classes = sorted(set(map(str, truth))) if category else []
    said: NDArray[Any] = np.full(len(truth), None, object) if category else np.full(len(truth), np.nan)
    chances = np.full((len(truth), len(classes)), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        asked, rows = np.flatnonzero(folds == fold), np.flatnonzero((folds != fold) & (folds >= 0))
        x, y = _ready(values[rows], values), truth[rows]
        if len(set(y)) < 2:
            continue
        if not category:
            from sklearn.linear_model import LinearRegression

            said[asked] = LinearRegression().fit(x[rows], y.astype(float)).predict(x[asked])
            continue
        model = _logistic().fit(x[rows], y.astype(str))
        places = np.array([classes.index(str(label)) for label in model.classes_])
        chances[asked] = 0.0
        chances[np.ix_(asked, places)] = model.predict_proba(x[asked])
        said[asked] = model.classes_[chances[asked][:, places].argmax(1)]
        if len(model.classes_) == 2:
            bar = threshold(y.astype(str) == model.classes_[1], model.predict_proba(x[rows])[:, 1])
            said[asked] = model.classes_[(chances[asked, places[1]] >= bar).astype(int)]
    parts = {f"{name}.probability.{label}": chances[:, k] for k, label in enumerate(classes)}
    return {name: said, **parts}


def _ready(learned: Values, every: Values) -> Values:
    """All rows in units of the learned rows: gaps filled, shifted and scaled by what these hold."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(learned), learned, np.nan)
        middle = np.array([np.nanmedian(c) if np.isfinite(c).any() else 0.0 for c in finite.T])
    filled = np.where(np.isfinite(every), every, middle)
    own = np.where(np.isfinite(learned), learned, middle)
    spread = own.std(0)
    return np.asarray((filled - own.mean(0)) / np.where(spread > 0, spread, 1.0))


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, class_weight="balanced", max_iter=2000)


def threshold(positive: NDArray[np.bool_], chance: Values) -> float:
    """The least probability to be called positive, at which balanced accuracy is best on these rows.

    >>> round(threshold(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.3, 0.9])), 3)
    0.25
    """
    order = np.argsort(chance)
    sorted_, hit = chance[order], positive[order]
    # Cutting before place k calls all from k on positive.
    right = (hit.sum() - np.append(0, np.cumsum(hit))) / max(1, hit.sum())
    left = np.append(0, np.cumsum(~hit)) / max(1, (~hit).sum())
    apart = np.append(True, np.append(np.diff(sorted_) > 0, True))  # equal probabilities cannot be cut apart
    best = int(np.argmax(np.where(apart, right + left, -1)))
    if best == 0:
        return float(sorted_[0])
    return float("inf") if best == len(sorted_) else float((sorted_[best - 1] + sorted_[best]) / 2)
