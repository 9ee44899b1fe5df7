"""The page of an explained set: what the method is worth here, by its tests, and the maps themselves."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
    from jinja2 import Environment, StrictUndefined

    table = made.table
    done = table[table[name].notna()]
    paper = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    room, style = resources.files("potency.explanation"), resources.files("potency.evaluation") / "page.css"
    text = paper.from_string((room / "page.html").read_text("utf-8")).render(
        style=style.read_text("utf-8"),
        method=method,
        title=METHODS[method].title,
        source=METHODS[method].source,
        count=f"{len(done)} of {len(table)} images" if len(done) < len(table) else f"{len(done)} images",
        bundle=str(bundle.card.data.get("title", "")),
        simulated=bool(bundle.card.data.get("simulated")),
        failing=verdict(done, name),
        verdict=_headline(done, name),
        rows=_rows(done, name),
        segments=segments,
        parts=[] if segments is None else [_part(part) for part in segments.parts],
        cards=[_card(row, name) for row in done.head(SHOWN).to_dict("records")],
        left=max(0, len(done) - SHOWN),
        failed=len(table) - len(done),
    )  # fmt: skip
    path = folder / "explanations.html"
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path


def _headline(done: Any, name: str) -> str:
    if not len(done):
        return "No image could be explained."
    if f"{name}.deletion" not in done:
        return "These maps were not tested; leave out --no-checks to see what they are worth."
    gain = (done[f"{name}.deletion"] + done[f"{name}.insertion"]) / 2
    return f"Of {len(done)} maps, {int((gain > 0).sum())} mark what the answer depends on better than chance does."


def _rows(done: pd.DataFrame, name: str) -> list[tuple[str, ...]]:
    """A line for each figure that some map has: median, middle half, what it is; of shares, how many maps have one."""
    shares, tests = shares_of(done, name), {part: done[f"{name}.{part}"] for part in TESTS if f"{name}.{part}" in done}
    rows: list[tuple[str, ...]] = []
    for part, values in shares.assign(**tests).items():
        known = int(values.notna().sum())
        left = f" ({known} of {len(done)} maps; in the others parts cancel)" if known < len(done) else ""
        if known:
            rows.append((str(part), *_spread(values), PARTS[str(part)] + left))
    return rows


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
