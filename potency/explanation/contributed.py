"""The page of images explained by their features: for each class what counts, over all its images, and the images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.whole import replaced
from potency.evaluation import wording
from potency.evaluation.drawing import MUTED, Plot, ruled, sheet
from potency.evaluation.intervals import FEWEST_GROUPS, group_weights
from potency.evaluation.paper import printed
from potency.evaluation.tables import Table
from potency.evaluation.wording import clean
from potency.explanation.contributions import METHOD, table_of
from potency.explanation.page import learned_from, opening

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

SOURCE = "Shapley 1953; Strumbelj and Kononenko 2014; Lundberg 2017"
HEAD = ("feature", "mean size of its value", "share of all", "mean value")
SHOWN, CARDS, DRAWS = 12, 40, 1000
DOTS = 400  # of one feature
OFF = 1e-6  # of the score: more than this is no rounding
NOISY = 0.5  # median error beside the size of the strongest value


def write_page(made: Manifest, bundle: Bundle, folder: Path, name: str = "explanation") -> Path:
    """Write `explanations.html` beside the pictures."""
    done = made.table[made.table[name].notna()]
    text = printed(
        "explanation/contributed.html", method=METHOD, folder="bars", width="31rem",
        **opening(made, bundle, f"{METHOD}: what each feature brings to the answer ({SOURCE})", name),
        banners=[*learned_from(bundle), *failing(made, name)], verdict=_headline(made, name),
        plots=[_plot(made, label, rows, name, k) for k, (label, rows) in enumerate(_by_label(done, name))],
        cards=[{"row": row["id"], "picture": str(row[name]), "map": "", "lines": ()}
               for row in done.head(CARDS).to_dict("records")],
        left=max(0, len(done) - CARDS),
    )  # fmt: skip
    path = folder / "explanations.html"
    replaced(path, text.encode())
    return path


def failing(made: Manifest, name: str = "explanation") -> list[str]:
    """What speaks against the values, in words: a sum that is not the score, errors as large as what they are of."""
    done = made.table[made.table[name].notna()]
    if not len(done):
        return []
    said = []
    size = (done[f"{name}.score"] - done[f"{name}.base"]).abs().clip(lower=1e-3)
    worst = float((done[f"{name}.missing"].abs() / size).max())
    if worst > OFF:
        said.append(f"The values of an image do not add up: {100 * worst:.2g} % of its score is missing.")
    values, errors = table_of(made, name).to_numpy(), table_of(made, name, "spread").to_numpy()
    first = np.abs(values).argmax(1)
    at = np.arange(len(values))
    noise = float(np.median(errors[at, first] / np.maximum(np.abs(values[at, first]), 1e-12)))
    if noise > NOISY:
        said.append(f"The strongest value of an image is uncertain by {100 * noise:.0f} % of itself: too few orders.")
    return said


def _by_label(done: pd.DataFrame, name: str) -> list[tuple[str, pd.DataFrame]]:
    labels = done[f"{name}.label"].fillna("").astype(str) if len(done) else pd.Series(dtype=str)
    return [(label, done[labels == label]) for label in sorted(labels.unique())]


def _headline(made: Manifest, name: str) -> str:
    done = made.table[made.table[name].notna()]
    if not len(done):
        return "No image could be explained."
    sizes = table_of(made, name).abs().mean().sort_values(ascending=False)
    share = sizes.iloc[:3].sum() / max(float(sizes.sum()), 1e-12)
    exact = not bool((table_of(made, name, "spread") > 0).any(axis=None))
    way = "exactly" if exact else "from sampled orders, with errors"
    return (
        f"{', '.join(sizes.index[:3])}: these {min(3, len(sizes))} of {len(sizes)} features hold {100 * share:.0f} % "
        f"of what features bring to {wording.count(len(done), 'answer')}, computed {way}."
    )


def sizes(values: NDArray[Any], groups: NDArray[Any]) -> list[tuple[float, float | None, float | None]]:
    """The mean size of each column (N, P), with a 95 % interval over draws of whole groups."""
    size, code = np.abs(values), pd.factorize(groups)[0]
    count = int(code.max()) + 1
    if count < FEWEST_GROUPS:
        return [(float(mean), None, None) for mean in size.mean(0)]
    sums = np.stack([size[code == k].sum(0) for k in range(count)])
    weights = group_weights(count, 0, range(DRAWS)).astype(np.float64)
    drawn = weights @ sums / (weights @ np.bincount(code))[:, None]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return [(float(m), float(a), float(b)) for m, a, b in zip(size.mean(0), low, high, strict=True)]


def _plot(made: Manifest, label: str, rows: pd.DataFrame, name: str, number: int) -> tuple[Plot, Table]:
    own = table_of(made, name).loc[rows.index]
    order = own.abs().mean().sort_values(ascending=False).index[:SHOWN]
    told = sizes(own[order].to_numpy(), rows["group"].astype(str).to_numpy())
    whole = max(float(own.abs().mean().sum()), 1e-12)
    lines = tuple(
        (feature, f"{mean:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]"), f"{100 * mean / whole:.0f} %",
         f"{own[feature].mean():+.3f}")
        for feature, (mean, low, high) in zip(order, told, strict=True)
    )  # fmt: skip
    title = f"{label}: {wording.count(len(rows), 'image')}" if label else wording.count(len(rows), "image")
    measured = table_of(made, name, "measured").loc[rows.index]
    look = (
        "A point is an image: right of the line the feature speaks for the answer, left against it. Yellow: the "
        "feature is high there, blue: low; grey: several numbers in one. From blue to yellow: used in one direction."
    )
    svg = beeswarm(own[list(order)], measured[list(order)], f"swarm-{number}")
    return Plot(f"swarm-{number}", title, look, svg, wide=True), Table(HEAD, lines)


def beeswarm(values: pd.DataFrame, measured: pd.DataFrame, name: str) -> str:
    """A row of points for each feature: where it stands is its value, its colour how high the feature is."""
    from matplotlib import colormaps

    draw, high = np.random.default_rng(0), 26.0 * len(values.columns) + 50
    with sheet(720, high) as page:
        (axes,) = page.axes()
        for place, feature in enumerate(values.columns):
            cells, level = values[feature].to_numpy(float), measured[feature].to_numpy(float)
            kept = draw.permutation(len(cells))[:DOTS]
            known = np.isfinite(level).all() and len(np.unique(level)) > 1
            rank = pd.Series(level).rank(pct=True).to_numpy() if known else np.zeros(len(level))
            colour = colormaps["cividis"](rank[kept]) if known else MUTED
            away = draw.uniform(-0.28, 0.28, len(kept))
            axes.scatter(cells[kept], place + away, s=14, c=colour, linewidths=0, alpha=0.85, rasterized=False)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(values.columns)), [clean(feature, 34) for feature in values.columns])
        axes.set_ylim(len(values.columns) - 0.5, -0.5)
        ruled(axes, x="what it brings to the score", grid="x")
        return page.svg(name, "what each feature brings, image by image")
