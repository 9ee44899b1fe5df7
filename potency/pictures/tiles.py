"""Pictures of a montage and a gallery: whole images with their answers, and single objects cut out on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers import Answer, Labels
from potency.answers.contrast import KINDS
from potency.answers.drawing import as_rgb, barred, font, levels_of, resized, scale_of
from potency.answers.filed import Filed, Window, sampled
from potency.answers.metrics.boundaries import outline
from potency.errors import AnswerError, ImageError
from potency.evaluation.columns import parts_of
from potency.evaluation.wording import clean, count, figure, places_of
from potency.pictures.found import OBJECT, WINDOW, short, unit_of

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.manifest import Manifest

WIDEST = 2048  # pixels: of larger images only the middle is read
SIDE, CUT = 360, 132  # pixels of the longer side of a tile of the montage, and of a cut-out
ROOM = 1.3  # times the largest object that is shown, so that there is something around it
LEAST = 24  # pixels of the image that a cut-out shows at least
LETTERS, CAPTION, GAP = 11, 15, 6  # pixels of letters, of a line of them below a tile, and between tiles
OUTSIDE = 70  # the grey of what is no image, which is not taken for a dark one
OWN, OTHERS = KINDS["missed"], (150, 150, 150)  # the object that is meant, and those beside it


@dataclass(frozen=True)
class Tile:
    """A picture (H, W, 3) with its words; `picture` is None where a file cannot be read, then `lines` say why."""

    picture: NDArray[np.uint8] | None
    title: str
    lines: tuple[str, ...]
    hint: str


def montage(
    manifest: Manifest, rows: Sequence[Mapping[str, Any]], column: str, kind: type[Answer], tracks: bool = False
) -> Iterator[Tile]:
    """Each image with its answer on it and a scale bar; of images wider than 2,048 px only the middle is read."""
    for row in rows:
        title, hint = short(row["id"]), clean(row["id"], 200)
        try:
            picture, part = _whole(manifest, row, column, kind, tracks)
            yield Tile(picture, title, (*_told(row, column, kind), *part), hint)
        except (AnswerError, ImageError, OSError) as fault:
            yield Tile(None, title, (str(getattr(fault, "what", fault)),), hint)


def _told(row: Mapping[str, Any], column: str, kind: type[Answer]) -> tuple[str, ...]:
    if not kind.in_files:
        return (clean(row[column], 40),)
    many = row.get(f"{column}.count")
    return () if many is None or pd.isna(many) else (count(round(float(many)), "object"),)


def _whole(
    manifest: Manifest, row: Mapping[str, Any], column: str, kind: type[Answer], tracks: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The picture of a row, and a line if it is not all of it."""
    image = manifest.open(row)
    given = manifest.window(row) if WINDOW[0] in row else None
    window = _middle(image, given)
    picture = resized(as_rgb(image.crop(_slices(window))), SIDE)
    if issubclass(kind, Filed) and isinstance(row[column], str) and row[column]:
        answer, place = part_of(manifest, row, column, kind, image, window)
        picture = answer.overlay(picture, place, tracks)
    picture = barred(picture, *scale_of(image, (window[1].stop - window[1].start) / picture.shape[1]))
    whole = given or {axis: slice(0, image.sizes[axis]) for axis in "YX"}
    cut = any(part.stop - part.start < whole[axis].stop - whole[axis].start for axis, part in _slices(window).items())
    return picture, (f"the middle {WIDEST:,} px",) if cut else ()


def _middle(image: Image, given: Mapping[str, slice] | None = None) -> Window:
    """A window of an image (else all of it), of the widest its middle."""
    cut = []
    for axis in "YX":
        start, stop, _ = (given or {}).get(axis, slice(None)).indices(image.sizes[axis])
        low = start + max(0, stop - start - WIDEST) // 2
        cut.append(slice(low, min(stop, low + WIDEST)))
    return cut[0], cut[1]


def _slices(window: Window) -> dict[str, slice]:
    return dict(zip("YX", window, strict=True))


def part_of(
    manifest: Manifest, row: Mapping[str, Any], column: str, kind: type[Filed], image: Image, window: Window
) -> tuple[Filed, Window]:
    """The answer of a row in a window of its image, of which no more is read than the format asks for."""
    whole = {name: cell for name, cell in row.items() if not name.startswith("tile.")}
    cells = {str(k): v for k, v in parts_of(pd.DataFrame([whole]), column, kind).iloc[0].items()}
    return kind.part_of(cells, manifest.folder, window, (image.sizes["Y"], image.sizes["X"]))


def cutouts(manifest: Manifest, objects: pd.DataFrame, column: str, kind: type[Filed], show: str) -> Iterator[Tile]:
    """Objects (rows with `object` and their window) cut out, all on one scale, outlined, with their value of `show`.

    The scale is one of um where all images have a pixel size, else of pixels. Each is as bright as it is in its image.
    """
    rows = [{str(name): cell for name, cell in row.items()} for row in objects.to_dict("records")]
    opened = lru_cache(64)(lambda at: manifest.open(rows[at]))  # an object in a thousand is shown: a header each
    scales = []
    for at in range(len(rows)):
        try:
            scales.append(scale_of(opened(at)))
        except ImageError:  # told when it is cut
            scales.append((0.0, "µm"))
    um = [(size if all(unit == "µm" for _, unit in scales) else 1.0) or 1.0 for size, _ in scales]
    sides = (max(row[WINDOW[2]], row[WINDOW[3]]) * size for row, size in zip(rows, um, strict=True))
    width = ROOM * max(sides, default=1.0)
    light: dict[str, tuple[float, float]] = {}
    for at, (row, size) in enumerate(zip(rows, um, strict=True)):
        title = f"{figure(float(row[show]), places_of(float(row[show])))} {unit_of(show)}".rstrip()
        lines = (short(row.get("tile.of", row["id"])), f"object {row[OBJECT]}")
        try:
            image = opened(at)
            name = "|".join(str(row.get(part, "")) for part in ("image", "series", "t", "z", "c"))
            if name not in light:
                light[name] = levels_of(image.crop(_slices(_middle(image))))
            side = max(LEAST, round(width / size))
            picture = _cut(manifest, row, image, (column, kind), side, light[name])
            yield Tile(barred(picture, *scale_of(image, side / CUT)), title, lines, clean(row["id"], 200))
        except (AnswerError, ImageError, OSError) as fault:
            yield Tile(None, title, (str(getattr(fault, "what", fault)),), clean(row["id"], 200))


def _cut(
    manifest: Manifest, row: Mapping[str, Any], image: Image, told: tuple[str, type[Filed]], side: int,
    levels: tuple[float, float],
) -> NDArray[np.uint8]:
    """A square of `side` pixels round an object as CUT x CUT; what lies outside of the image is grey."""
    top, left = (int(row[WINDOW[k]] + row[WINDOW[k + 2]] / 2 - side / 2) for k in (0, 1))
    window = tuple(
        slice(max(0, low), min(low + side, image.sizes[axis])) for low, axis in zip((top, left), "YX", strict=True)
    )
    rgb = as_rgb(image.crop(_slices((window[0], window[1]))), levels)
    picture = resized(rgb, max(1, round(CUT * max(rgb.shape[:2]) / side)))
    answer, place = part_of(manifest, row, *told, image, (window[0], window[1]))
    if isinstance(answer, Labels):
        plane = sampled(answer.known, picture, place)
        edge = outline(plane)
        picture = picture.copy()
        picture[edge] = OTHERS
        picture[edge & (plane == row[OBJECT])] = OWN
    else:
        picture = answer.overlay(picture, place)
    whole = np.full((CUT, CUT, 3), OUTSIDE, np.uint8)
    low = [round((each.start - start) * CUT / side) for each, start in zip(window, (top, left), strict=True)]
    part = picture[: CUT - low[0], : CUT - low[1]]
    whole[low[0] : low[0] + part.shape[0], low[1] : low[1] + part.shape[1]] = part
    return whole


def hung(tiles: Sequence[Tile], columns: int = 0, title: str = "") -> NDArray[np.uint8]:
    """Tiles as one picture with their words below them, in as many columns (else about as wide as high)."""
    from PIL import Image, ImageDraw

    columns = min(columns or max(1, round(np.sqrt(1.3 * len(tiles)))), max(len(tiles), 1))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width = max((tile.picture.shape[1] for tile in tiles if tile.picture is not None), default=CUT)
    heights = [max(_high(tile) + (1 + len(tile.lines)) * CAPTION for tile in row) for row in rows]
    head = CAPTION + 2 if title else 0
    size = columns * (width + GAP) + GAP, head + sum(heights) + GAP * (len(rows) + 1)
    sheet = Image.new("RGB", size, (255, 255, 255))
    pen, y = ImageDraw.Draw(sheet), head + GAP
    letters = font(LETTERS)
    pen.text((GAP, 3), title, fill=(0, 0, 0), font=letters)
    for row, high in zip(rows, heights, strict=True):
        for place, tile in enumerate(row):
            x = GAP + place * (width + GAP)
            if tile.picture is not None:
                sheet.paste(Image.fromarray(tile.picture), (x, y))
            for line, text in enumerate((tile.title, *tile.lines)):
                while len(text) > 4 and pen.textlength(text, letters) > width:  # names differ at their ends
                    half = len(text) // 2
                    text = f"{text[: half - 1]}…{text[half + 1 :]}"
                at = x, y + _high(tile) + 2 + line * CAPTION
                pen.text(at, text, fill=(90, 90, 90) if line else (0, 0, 0), font=letters)
        y += high + GAP
    return np.asarray(sheet)


def _high(tile: Tile) -> int:
    return 0 if tile.picture is None else tile.picture.shape[0]


def stacked(sheets: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures below one another on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    wide = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    return np.concatenate(wide)

