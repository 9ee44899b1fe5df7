"""The page of an explained set: what the method is worth here, by its tests, and the maps themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from potency.data.whole import replaced
from potency.evaluation import wording
from potency.evaluation.paper import printed
from potency.evaluation.tables import Table
from potency.explanation import METHODS
from potency.explanation.account import shares_of
from potency.explanation.explain import verdict
from potency.explanation.faithful import TESTS
from potency.explanation.picture import face

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.explanation.segments import Part, Segmented

SHOWN = 60
PLACES = ("explained", "segment", "images", "share of the area", "share of the map", "map minus area", "mean there")
PARTS = {
    "input": "of what the score is beyond that of an empty image, the share that reached the image",
    "bias": "the share that constants of the network hold",
    "absorbed": "the share that reached nothing",
    "missing": "the share that the sum over the way leaves",
    "deletion": "area by which the answer falls faster than by chance as the most relevant is hidden; over 0 is better",
    "insertion": "area by which it rises faster than by chance as the most relevant is shown; over 0 is better",
    "stability": "correlation with the map of the image moved by 2 px",
    "likeness": "correlation with the map of a network whose weights were shuffled; near 0 is better",
}


def write_page(
    made: Manifest, bundle: Bundle, folder: Path, method: str, name: str = "explanation",
    segments: Segmented | None = None,
) -> Path:  # fmt: skip
    """Write `explanations.html` beside the maps."""
    done = made.table[made.table[name].notna()]
    text = printed(
        "explanation/page.html", method=method, folder="maps", width="22rem",
        **opening(made, bundle, f"{method}: {METHODS[method].title} ({METHODS[method].source})", name),
        banners=[*learned_from(bundle),
                 *(f"This method FAILS a check on these images: {line}." for line in verdict(done, name))],
        verdict=_headline(done, name), tests=Table(("test", "median", "middle half", "what it is"), _rows(done, name)),
        segments=segments,
        parts=None if segments is None else Table(PLACES, tuple(_part(part) for part in segments.parts)),
        cards=[_card(row, name) for row in done.head(SHOWN).to_dict("records")], left=max(0, len(done) - SHOWN),
    )  # fmt: skip
    path = folder / "explanations.html"
    replaced(path, text.encode())
    return path


def opening(made: Manifest, bundle: Bundle, how: str, name: str) -> dict[str, Any]:
    """What a page of explanations begins with, and how many rows it lacks."""
    rows, done = len(made), int(made.table[name].notna().sum())
    count = f"{done} of {rows} images" if done < rows else wording.count(done, "image")
    title = str(bundle.card.data.get("title", ""))
    return {"title": "Explanations", "subtitle": " · ".join([how, count, *([title] if title else [])]),
            "failed": rows - done}  # fmt: skip


def learned_from(bundle: Bundle) -> list[str]:
    """The banner over what a model of simulated images says; [] over any other."""
    drawn = bool(bundle.card.data.get("simulated"))
    return ["SIMULATED: a program drew the images this model learned from."] if drawn else []


def _headline(done: Any, name: str) -> str:
    if not len(done):
        return "No image could be explained."
    if f"{name}.deletion" not in done:
        return "These maps were not tested; leave out --no-checks to see what they are worth."
    gain = (done[f"{name}.deletion"] + done[f"{name}.insertion"]) / 2
    return f"Of {len(done)} maps, {int((gain > 0).sum())} mark what the answer depends on better than chance does."


def _rows(done: pd.DataFrame, name: str) -> tuple[tuple[str, ...], ...]:
    """A line for each figure that some map has: median, middle half, what it is; of shares, how many maps have one."""
    shares, tests = shares_of(done, name), {part: done[f"{name}.{part}"] for part in TESTS if f"{name}.{part}" in done}
    rows: list[tuple[str, ...]] = []
    for part, values in shares.assign(**tests).items():
        known = int(values.notna().sum())
        left = f" ({known} of {len(done)} maps; in the others parts cancel)" if known < len(done) else ""
        if known:
            rows.append((str(part), *_spread(values), PARTS[str(part)] + left))
    return tuple(rows)


def _spread(values: Any) -> tuple[str, str]:
    low, middle, high = np.nanpercentile(np.asarray(values, float), (25, 50, 75))
    return f"{middle:.3f}", f"{low:.3f} to {high:.3f}"


def _part(part: Part) -> tuple[str, ...]:
    figures = (part.area, part.share, part.beyond, part.mean)
    return part.label or "the value", part.segment, f"{part.images:,}", *map(str, figures)


def _card(row: dict[Any, Any], name: str) -> dict[str, Any]:
    prefix = f"{name}."
    cells = {str(part).removeprefix(prefix): value for part, value in row.items() if str(part).startswith(prefix)}
    path = str(row[name])
    said = face({part: value for part, value in cells.items() if value == value and value is not None})
    return {"row": row["id"], "map": path, "picture": path.removesuffix(".tif") + ".png", "lines": said[:1]}
