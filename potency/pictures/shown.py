"""Puts together what `show` makes: a page, a montage and a gallery as pictures, and the spreads as a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from potency.answers import Answer, Labels, Objects
from potency.data.columns import simulated
from potency.data.folders import natural
from potency.data.whole import replaced
from potency.errors import AnswerError, PotencyError, nearest
from potency.evaluation.columns import kind_of
from potency.evaluation.gallery import Card, Wall, embedded
from potency.evaluation.paper import printed
from potency.evaluation.wording import count, spoken
from potency.pictures import spread
from potency.pictures.found import WINDOW, Found, called, find_objects, kept_where, numbers_in, short, size_column
from potency.pictures.tiles import Tile, cutouts, hung, montage, stacked

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

GUESSED = ("prediction", "truth", "mask", "masks", "labels")  # columns of answers, the first that is there
FEW = 4  # levels that the first sentence names; of more the ends
LOOK = "All on one scale, each as bright as it is in its image. Debris, mergers and cells at the border gather here."
COLOURED = "The colour of an outline tells neighbours apart and means nothing else."
FIXED = "An object's number decides its colour, so that it is the same in every image."


@dataclass(frozen=True)
class Asked:
    """What to show: a column of answers, measured columns, and how objects are chosen.

    `answers` is else the first of GUESSED; `of` are columns whose spread is shown (else the size), at each level of
    `by`, the `first` of which may be named; `largest` and `smallest` are columns by which objects are cut out; `where`
    are rules as `area>=50`; `number` says how many images, and objects of each kind. `tracks`: the numbers of objects
    are those of tracks.
    """

    answers: str = ""
    of: tuple[str, ...] = ()
    by: str = ""
    first: str = ""
    largest: tuple[str, ...] = ()
    smallest: tuple[str, ...] = ()
    where: str = ""
    number: int = 24
    tracks: bool = False
    draws: int = 1000
    seed: int = 0


def show(manifest: Manifest, into: str | Path, asked: Asked) -> dict[str, Any]:
    """Write `shown.html` and `montage.png`, of objects `objects.png` and `spread.csv` too, and say what was written.

    The rows are images with a column of answers (any kind), or objects as `measure` has written them. Errors:
    AnswerError for no such column or one that cannot be read, PlanError for a measured column that is not there.
    """
    column = asked.answers or next((name for name in GUESSED if name in manifest.table), "")
    if column not in manifest.table:
        raise AnswerError(f"there is no column {column!r}" if column else "no column holds answers", "--answers",
                          nearest(column, [str(name) for name in manifest.table]))  # fmt: skip
    kind = kind_of(manifest, column, (column,))
    if asked.by and asked.by not in manifest.table:
        raise AnswerError(f"there is no column {asked.by!r}", "--by", nearest(asked.by, map(str, manifest.table)))
    found = find_objects(manifest, column, kind) if kind in (Labels, Objects) else None
    objects = None if found is None else kept_where(found.table, asked.where)
    if found is not None and objects is not None and not len(objects) and len(found.table):
        raise AnswerError(f"none of {len(found.table):,} objects is left", f"--where {asked.where}", "ask for less")
    spreads = {} if objects is None or not len(objects) else _spreads(objects, asked)
    images = list(montage(manifest, _images(manifest, column, found, asked), column, kind, asked.tracks))
    walls = [] if objects is None else _walls(manifest, objects, column, kind, asked)
    into = Path(into)
    into.mkdir(parents=True, exist_ok=True)
    written: dict[str, Any] = {"page": into / "shown.html", "montage": _png(hung(images), into / "montage.png")}
    if walls:
        sheets = [hung(tiles, min(len(tiles), 8), title) for title, _, tiles in walls]
        written["objects"] = _png(stacked(sheets), into / "objects.png")
    if spreads:
        replaced(into / "spread.csv", _csv(spreads).encode())
        written["spread"] = into / "spread.csv"
    told = _page(manifest, (column, kind), asked, (found, objects), images, walls, spreads)
    replaced(into / "shown.html", told.encode())
    figures = {
        name: {one.level: {"objects": one.objects, "groups": one.groups, "median": one.median.value,
                           "low": one.median.low, "high": one.median.high} for one in of}
        for name, of in spreads.items()
    }  # fmt: skip
    return {**written, "images": len(images), "found": 0 if objects is None else len(objects),
            "errors": {} if found is None else found.wrong, "medians": figures}  # fmt: skip


def _images(manifest: Manifest, column: str, found: Found | None, asked: Asked) -> list[dict[str, Any]]:
    """As many whole images as asked for, evenly spread over the table, sorted by the level that is compared."""
    table = manifest.table
    if "tile.of" in table:  # rows are objects, their images stand once
        table = table.drop_duplicates("tile.of")
        table = table.assign(id=table["tile.of"]).drop(columns=list(WINDOW))
    if found is not None:
        counts = found.table["tile.of"].astype(str).value_counts()
        table = table.assign(**{f"{column}.count": table["id"].astype(str).map(counts).fillna(0)})
    if asked.by:
        order = sorted(range(len(table)), key=lambda at: natural(str(table[asked.by].iloc[at])))
        table = table.iloc[order]
    chosen = np.unique(np.linspace(0, len(table) - 1, min(asked.number, len(table))).round().astype(int))
    return [{str(name): cell for name, cell in row.items()} for row in table.iloc[chosen].to_dict("records")]


def _spreads(objects: pd.DataFrame, asked: Asked) -> dict[str, tuple[spread.Spread, ...]]:
    names = asked.of or tuple(filter(None, (size_column(objects),)))
    return {
        name: spread.spreads(objects, name, asked.by, asked.draws, asked.seed, asked.first)
        for name in names
    }  # fmt: skip


def _walls(
    manifest: Manifest, objects: pd.DataFrame, column: str, kind: Any, asked: Asked
) -> list[tuple[str, str, list[Tile]]]:
    """The galleries: title, what to look for, and the objects of each."""
    size, made = size_column(objects), []
    wanted = [(name, True) for name in asked.largest] + [(name, False) for name in asked.smallest]
    wanted = wanted or [(size, True), (size, False)] if size or wanted else []
    for name, large in wanted:
        values = numbers_in(objects, name)
        chosen = objects[values.notna()].sort_values(name, ascending=not large, kind="stable").head(asked.number)
        if len(chosen):
            title = f"The {'largest' if large else 'smallest'} by {called(name).partition(',')[0]}"
            made.append((title, LOOK, list(cutouts(manifest, chosen, column, kind, name))))
    return made


def _csv(spreads: dict[str, tuple[spread.Spread, ...]]) -> str:
    rows = [
        {"column": name, "level": one.level, "objects": one.objects, "groups": one.groups,
         **{f"p{percent}": value for percent, value in one.percentiles.items()}, "low": one.median.low,
         "high": one.median.high, **{f"less{end}": None if one.less is None else getattr(one.less, part)
                                     for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))}}
        for name, found in spreads.items() for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows).to_csv(index=False)


def _png(picture: Any, path: Path) -> Path:
    """Write a picture (H, W, 3), whole or not at all."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(picture).save(held, format="PNG", optimize=True)
    try:
        replaced(path, held.getvalue())
    except OSError as fault:
        raise PotencyError(f"the picture cannot be written: {fault.strerror or fault}", str(path),
                           "free some space, or choose another --into") from fault  # fmt: skip
    return path


def _page(
    manifest: Manifest, answers: tuple[str, type[Answer]], asked: Asked,
    objects: tuple[Found | None, pd.DataFrame | None], images: Sequence[Tile],
    walls: Sequence[tuple[str, str, list[Tile]]], spreads: dict[str, tuple[spread.Spread, ...]],
) -> str:  # fmt: skip
    (column, kind), (found, table) = answers, objects
    many = len(manifest) if found is None else found.images
    words = [count(many, "image")] + ([count(len(table), "object")] if table is not None else [])
    banners = [] if manifest.groups_known else ["groups unknown: intervals assume independent images"]
    if found is not None and found.wrong:
        name, what = next(iter(found.wrong.items()))
        banners.append(f"{len(found.wrong)} images could not be read; the first, {name}: {what}")
    notes = [f"Left out: whatever does not meet {asked.where}."] if asked.where else []
    if found is not None and found.empty:
        notes.append(f"{count(found.empty, 'image')} without any object.")
    said = (FIXED if asked.tracks else COLOURED) if kind is Labels else f"The answer is {kind.title}."
    legend = (("rgb(86, 180, 233)", said),)
    look = f"{len(images)} of {count(many, 'image')}, each stretched on its own, so brightness cannot be compared."
    hang = [Wall(f"Images with {column}", look, tuple(map(_card, images)), legend)]
    hang += [Wall(title, told, tuple(map(_card, tiles))) for title, told, tiles in walls]
    return printed(
        "pictures/shown.html", title="What was found", subtitle=" · ".join(words), banners=banners,
        simulated=simulated(manifest.table), verdict=_verdict(spreads), notes=notes, walls=hang,
        plots=[spread.picture(table, name, asked.by, of) for name, of in spreads.items() if table is not None],
        tables=[spread.table_of(name, asked.by, of) for name, of in spreads.items()],
    )  # fmt: skip


def _verdict(spreads: dict[str, tuple[spread.Spread, ...]]) -> str:
    for name, found in spreads.items():
        ends = sorted(found, key=lambda one: one.median.value)
        shown = found if len(found) <= FEW else (ends[0], ends[-1])
        said = [f"{short(one.level)}: {spoken(one.median, name)}" for one in shown]
        told = spoken(found[0].median, name) if len(found) == 1 else ("; " if shown is found else " to ").join(said)
        what, _, unit = called(name).rpartition(", ")
        return f"Median {what or unit}{f' in {unit}' if what else ''}: {told}."
    return ""


def _card(tile: Tile) -> Card:
    from PIL import Image

    if tile.picture is None:
        return Card("", tile.title, tile.lines, tile.hint)
    shown = Image.fromarray(tile.picture).quantize(128, dither=Image.Dither.NONE)
    return Card(embedded(shown), tile.title, tile.lines, tile.hint)
