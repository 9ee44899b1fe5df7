"""Calibrates the combined focus measure by simulated defocus and prints `calibration.py`; reads real sharp images.

`python recipes/focus.py` needs POTENCY_DATA. Every other image of five real sets, and simulated fields whose blur is
known in full, are blurred by known amounts. MitoCheck is left out altogether: its class OutOfFocus is the judge.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from potency.data.readers import open_image
from potency.measurement.quality import camera, focus
from potency.simulate.defocus import blurred, sigma_of, through_focus
from potency.simulate.world import World

AMOUNTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # px, what is added to real images
AWAY = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)  # um, of simulated fields
MOST = 60  # images of a set
RIDGE = 3.0  # measures that say much the same share the weight; left-out sets are told as well as with 0.3
OWN = np.geomspace(0.4, 3.0, 21)  # px: the blur a set may have had before
SETS = {
    "jurkat": ("classify/jurkat_ifc_cellcycle/brightfield", "*/*.png"),
    "293a": ("classify/bf_293a_ht1080", "*/*.jpg"),
    "wbc": ("classify/wbc5_tecom", "[!m]*/*.png"),
    "dsb": ("segment/dsb2018", "train/images/*"),
    "usiigaci": ("segment/usiigaci_phase", "train/images/*.png"),
}
Floats = NDArray[np.float64]
Rows = list[tuple[Floats, float]]


def sharp(root: Path, name: str) -> Iterator[NDArray[np.float32]]:
    """Every other image of a set as one plane, evenly over the set, at most 256 or (every second) 64 pixels wide."""
    folder, pattern = SETS[name]
    files = sorted((root / folder).glob(pattern))[::2]
    for number, path in enumerate(files[:: max(1, len(files) // MOST)]):
        wide = (256, 64)[number % 2]
        plane = open_image(path).crop().mean(axis=0, dtype=np.float32)
        top, left = (max(0, side - wide) // 2 for side in plane.shape)
        yield plane[top : top + wide, left : left + wide]


def measured(plane: NDArray[np.float32]) -> Floats:
    return focus.logarithms(focus.measures(plane, camera.noise(plane, True)))


def real(root: Path, name: str) -> Rows:
    """Logarithms of the measures and the blur that was added."""
    rng = np.random.default_rng(0)
    rows = []
    for plane in sharp(root, name):
        grain = camera.noise(plane, True)
        rows += [(measured(blurred(plane, amount, grain, rng)), amount) for amount in AMOUNTS]
    return [(values, amount) for values, amount in rows if np.isfinite(values).all()]


def simulated(look: str, pixel: float) -> Rows:
    """The same of simulated fields, with the whole blur."""
    rows = []
    for seed in range(12):
        cells, side = ((30, 256), (5, 96))[seed % 2]
        world = World(look=look, cells=cells, groups=1, wells=1, field=side, seed=seed, pixel_size=pixel)
        for away, taken in zip(AWAY, through_focus(world, AWAY), strict=True):
            for picture in list(taken.pictures.values())[:2]:
                rows.append((measured(picture.astype(np.float32)), sigma_of(look, away, pixel)))
    return [(values, amount) for values, amount in rows if np.isfinite(values).all()]


def fitted(sets: dict[str, Rows]) -> tuple[Floats, Floats, Floats, float, dict[str, float]]:
    """Centre, spread, weights and constant of log2(blur), and the blur each real set is found to have had before."""
    own = {name: 0.8 if name in SETS else 0.0 for name in sets}
    values = np.concatenate([[v for v, _ in rows] for rows in sets.values()])
    weight = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows in sets.values()])
    centre, spread = values.mean(0), values.std(0)
    normal = np.hstack([(values - centre) / spread, np.ones((len(values), 1))])
    parts = np.split(np.arange(len(values)), np.cumsum([len(rows) for rows in sets.values()])[:-1])
    for _ in range(10):
        target = np.concatenate([target_of(rows, own[name]) for name, rows in sets.items()])
        beta = falling(normal, target, weight)
        said = normal @ beta
        for (name, rows), part in zip(sets.items(), parts, strict=True):
            if name in SETS:
                own[name] = float(min(OWN, key=lambda o: np.square(said[part] - target_of(rows, o)).mean()))
    return centre, spread, beta[:-1], float(beta[-1]), own


def falling(normal: Floats, target: Floats, weight: Floats) -> Floats:
    """Weights of which none may say that a sharper image is more blurred; the last one is the constant, and free."""
    from scipy.optimize import lsq_linear

    root = np.sqrt(weight)[:, None]
    ridge = RIDGE * np.eye(normal.shape[1])[:-1]
    above = [0.0] * (normal.shape[1] - 1) + [np.inf]
    wide = np.vstack([normal * root, ridge]), np.concatenate([target * root[:, 0], np.zeros(len(ridge))])
    return np.asarray(lsq_linear(*wide, bounds=(-np.inf, above)).x)


def target_of(rows: Rows, own: float) -> Floats:
    return np.log2([max(np.hypot(amount, own), 0.3) for _, amount in rows])


def knots(score: Floats, target: Floats, count: int = 9) -> tuple[Floats, Floats]:
    """A rising line: medians of score and of the true blur, from one part of the scores to the next."""
    from sklearn.isotonic import IsotonicRegression

    rising = IsotonicRegression(out_of_bounds="clip").fit(score, target)
    at = np.quantile(score, np.linspace(0.01, 0.99, count))
    return at, 2 ** np.maximum.accumulate(rising.predict(at) + 1e-6 * np.arange(count))


def judged(name: str, sets: dict[str, Rows]) -> str:
    """How well the others foretell one set: correlation of ranks, and the usual factor between said and true."""
    from scipy.stats import spearmanr

    rest = {key: rows for key, rows in sets.items() if key != name}
    centre, spread, beta, constant, _ = fitted(rest)
    values = np.array([v for v, _ in sets[name]])
    said = (values - centre) / spread @ beta + constant
    own = min(OWN, key=lambda o: np.square(said - target_of(sets[name], o)).mean()) if name in SETS else 0.0
    true = target_of(sets[name], own)
    factor = 2 ** float(np.median(np.abs(said - true)))
    return f"{name:22} rank correlation {spearmanr(said, true).statistic:.3f}, median factor {factor:.2f}"


def line(name: str, values: Sequence[float] | Floats) -> str:
    return f"{name} = ({', '.join(f'{value:.4f}' for value in values)})"


def main() -> None:
    if "POTENCY_DATA" not in os.environ:
        sys.exit("POTENCY_DATA names no folder of real images: nothing to learn from")
    cv2.setNumThreads(1)
    root = Path(os.environ["POTENCY_DATA"])
    sets = {name: real(root, name) for name in SETS}
    for look in ("fluorescence", "phase"):
        sets |= {f"simulated {look} {pixel}": simulated(look, pixel) for pixel in (0.325, 0.65)}
    for name in sets:
        print("# left out:", judged(name, sets), file=sys.stderr)
    centre, spread, beta, constant, own = fitted(sets)
    print("# blur before, px:", {k: round(v, 2) for k, v in own.items() if k in SETS}, file=sys.stderr)
    score = np.concatenate([[(v - centre) / spread @ beta + constant for v, _ in rows] for rows in sets.values()])
    at, levels = knots(score, np.concatenate([target_of(rows, own[name]) for name, rows in sets.items()]))
    about = "Constants of the combined focus measure, as `python recipes/focus.py` prints them; not written by hand."
    print(f'"""{about}"""\n')
    print("from __future__ import annotations\n")
    print(f"NAMES = {focus.NAMES!r}".replace("'", '"'))
    for name, values in (("CENTRE", centre), ("SPREAD", spread), ("WEIGHTS", beta), ("KNOTS", at - constant)):
        print(line(name, values))
    print(line("LEVELS", levels))


if __name__ == "__main__":
    main()
