"""The page of an embedding: a map to look at, what it shows in numbers, and what stands for each class."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers.drawing import COLOURS
from potency.data.columns import simulated
from potency.data.manifest import Manifest
from potency.data.whole import replaced
from potency.embedding.columns import colours
from potency.embedding.embed import vectors_in
from potency.embedding.exemplars import exemplars
from potency.embedding.layout import Layout, components, layouts
from potency.embedding.reading import Reading, read
from potency.embedding.sheet import pixels_of, sheet, thumbnail, uri_of
from potency.errors import ManifestError, nearest
from potency.evaluation import wording
from potency.evaluation.paper import printed
from potency.evaluation.tables import Table

MOST = 5000  # points of a map
SPAN = 10_000  # places are whole numbers from 0 to this
STANDING, SIDE = 6, 96  # prototypes and as many criticisms of a class; px of each
CLASSES = 24  # that have their rows of pictures
TOLD = ("truth", "prediction", "confidence", "group")  # what the pointer is told beside the chosen column


@dataclass(frozen=True)
class Drawn:
    """What `draw` made.

    Attributes:
        page: the file.
        rows: the manifest with `<name>.pca.1` and so on, the places on the map.
        reading: what the embedding shows.
        answers: figures of the nearest rows' answers beside the network's, by metric; None without a truth.
    """

    page: Path
    rows: Manifest
    reading: Reading
    answers: Any


def draw(
    manifest: Manifest,
    into: Path,
    *,
    name: str = "embedding",
    ways: Sequence[str] = (),
    colour: str = "",
    banners: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Drawn:
    """Write `embedding.html` of an embedded manifest (see `embed`); of more than 5,000 rows a random part is drawn.

    Args:
        ways: of `LAYOUTS`; by default principal components and t-SNE, and UMAP where it is installed.
        colour: the column that colours at first; by default the truth.
        banners: what must be known before anything else.
        seed: of the layouts, and of the part of many rows.

    Raises:
        ManifestError: no embedding, or no such column. PlanError: no such layout, fewer than three rows.
    """
    values, places = vectors_in(manifest, name)
    drawn = np.arange(len(places))
    if len(places) > MOST:
        drawn = np.sort(np.random.default_rng(seed).choice(len(places), MOST, replace=False))
    found = layouts(values[drawn], ways, seed)
    rows = manifest.table.iloc[places].reset_index(drop=True)
    offered = colours(rows.iloc[drawn], (name,))
    if colour and colour not in [each.name for each in offered]:
        known = [each.name for each in offered]
        raise ManifestError(f"no column {colour!r} can colour the points", "--colour", nearest(colour, known))
    reading, answers = read(values, rows, manifest), compared(manifest, name)
    pictures = sheet(manifest, [int(places[k]) for k in drawn], progress)
    data = {
        "layouts": [{"name": each.name, "title": each.title, "note": each.note, **_placed(each)} for each in found],
        "colours": [each.json() for each in offered], "colour": colour, "layout": ways[0] if ways else "",
        "ids": [str(row) for row in rows["id"].iloc[drawn]], "told": TOLD,
        "sheet": {"uri": pictures.uri, "side": pictures.side, "columns": pictures.columns},
    }  # fmt: skip
    left = f"{len(drawn):,} of {len(places):,} rows, drawn at random." if len(drawn) < len(places) else ""
    text = printed(
        "embedding/map.html", title="Embedding", subtitle=_subtitle(manifest, places), data=_safe(data), left=left,
        simulated=simulated(manifest.table), banners=banners, verdict=reading.verdict, mark=reading.mark,
        figures=Table(("figure", "value", "by chance", "what it is"), tuple(figures(values, reading))),
        answers=answers, stands=stands(manifest, values, places, seed), dimensions=f"{values.shape[1]:,}",
        palette=json.dumps(["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in COLOURS[:7]]),
    )  # fmt: skip
    path = into / "embedding.html"
    replaced(path, text.encode())
    return Drawn(path, _with_places(manifest, found, places[drawn], name), reading, answers)


def _safe(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _placed(layout: Layout) -> dict[str, list[int]]:
    low, high = layout.places.min(0), layout.places.max(0)
    scaled = np.rint((layout.places - low) / np.maximum(high - low, 1e-12) * SPAN).astype(int)
    return {"x": scaled[:, 0].tolist(), "y": scaled[:, 1].tolist()}


def _with_places(manifest: Manifest, found: Sequence[Layout], places: NDArray[np.intp], name: str) -> Manifest:
    made = {
        f"{name}.{layout.name}.{axis + 1}": pd.Series(layout.places[:, axis].astype(float), index=places).reindex(
            range(len(manifest))
        )
        for layout in found
        for axis in range(2)
    }
    return manifest.add(pd.DataFrame(made))


def _subtitle(manifest: Manifest, places: NDArray[np.intp]) -> str:
    said = [wording.count(len(places), "image")]
    if manifest.groups_known:
        said.append(wording.count(int(manifest.table["group"].iloc[places].nunique()), "group"))
    missing = len(manifest) - len(places)
    return " · ".join([*said, *([f"{missing} rows could not be embedded"] if missing else [])])


def figures(values: NDArray[np.float32], reading: Reading) -> list[tuple[str, str, str, str]]:
    """What is known of the embedding itself: figure, value, chance, and what it is."""
    told = []
    if reading.classes is not None:
        told.append(("same class", f"{reading.classes.share:.3f}", f"{reading.classes.chance:.3f}",
                     "share of the 10 nearest neighbours from other groups that are of the row's class"))  # fmt: skip
    if reading.groups is not None:
        told.append(("same group", f"{reading.groups.share:.3f}", f"{reading.groups.chance:.3f}",
                     "share of the 10 nearest neighbours of its class that are of the row's own group"))  # fmt: skip
    for kind, value in reading.silhouette.items():
        if np.isfinite(value):
            told.append((f"silhouette by {kind}", f"{value:+.3f}", "about 0",
                         "how much nearer a row is to its own than to the next (cosine), -1 to 1"))  # fmt: skip
    shares = components(values)[1]
    told.append(("variance of 2 and 10 axes", f"{100 * shares[:2].sum():.0f} %, {100 * shares[:10].sum():.0f} %",
                 "-", "what the first principal components hold of it"))  # fmt: skip
    return told


def compared(manifest: Manifest, name: str) -> dict[str, Any] | None:
    """The nearest rows' answers beside the network's, judged alike by `evaluate`; None without a truth to judge by."""
    from potency.embedding.similar import VOTERS, voted
    from potency.errors import PotencyError
    from potency.evaluation.evaluate import evaluate

    if "truth" not in manifest.table or manifest.kinds.get("truth") not in ("category", "ordinal", "number"):
        return None
    try:
        rows = voted(manifest, name)
        columns = [c for c in ("prediction", "prediction@nearest") if c in rows.table and rows.table[c].notna().any()]
        report = evaluate(rows, predictions=columns, draws=500)
    except PotencyError:  # no truth, or answers of another kind: there is nothing to compare
        return None
    metrics = [m for m in ("accuracy", "balanced_accuracy", "mae", "r2") if m in report.numbers[columns[0]]]
    titles = {"prediction": "the network", "prediction@nearest": f"{VOTERS} nearest rows of other groups"}
    if not manifest.groups_known:
        titles["prediction@nearest"] = f"{VOTERS} nearest rows (groups unknown)"
    lines = tuple((titles[c], *(wording.spoken(report.numbers[c].get(m), m) for m in metrics)) for c in columns)
    note = (
        "The nearest rows answer for what they have not seen; the network does so only where its predictions are out "
        "of fold, or of rows that it has not learned from. Its embedding has seen the labels it learned from."
    )
    head = ("answers of", *(wording.known(m)[0] for m in metrics))
    return {"table": Table(head, lines, note),
            "numbers": {c: {m: report.numbers[c][m].value for m in metrics} for c in columns}}  # fmt: skip


def stands(
    manifest: Manifest, values: NDArray[np.float32], places: NDArray[np.intp], seed: int
) -> list[dict[str, Any]]:
    """Of each class the pictures that stand for it and those that do not; without classes, of all rows together."""
    table = manifest.table.iloc[places]
    named = [c for c in ("truth", "prediction") if c in table and manifest.kinds.get(c) in ("category", "ordinal")]
    column = named[0] if named else ""
    cells = table[column].astype("str").where(table[column].notna()) if column else pd.Series("all rows", table.index)
    records, made = manifest.records(), []
    for kind in cells.dropna().value_counts().index[:CLASSES]:
        own = np.flatnonzero((cells == kind).to_numpy())
        found = exemplars(values[own], STANDING, STANDING, seed)
        rows = [
            (title, [_card(manifest, records[int(places[own[k]])]) for k in chosen])
            for title, chosen in (("prototypes", found.prototypes), ("criticisms", found.criticisms))
            if len(chosen)
        ]
        made.append({"title": f"{kind} ({wording.count(len(own), 'image')})", "rows": rows, "kind": str(kind)})
    return sorted(made, key=lambda stand: str(stand["kind"]))


def _card(manifest: Manifest, row: Any) -> dict[str, str]:
    try:
        picture = uri_of(thumbnail(pixels_of(manifest, row), SIDE))
    except Exception:  # the figures do not depend on the picture
        picture = uri_of(np.full((SIDE, SIDE, 3), 128, np.uint8))
    said, truth = row.get("prediction"), row.get("truth")
    wrong = pd.notna(said) and pd.notna(truth) and said != truth
    hint = f"{row['id']} · group {row['group']}" + (f" · taken for {said}" if wrong else "")
    return {"picture": picture, "hint": hint, "line": f"for {said}" if wrong else str(row["group"])}
