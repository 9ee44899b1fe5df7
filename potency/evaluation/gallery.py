"""The gallery of a report: what the classes look like, the surest mistakes and the hardest samples, as thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.evaluation.scores import Scores, scores
from potency.evaluation.wording import clean, figure, first_column, places_of

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.evaluation.results import Report

SHOWN = 18
MOST_TYPICAL = 36
EDGE = 112  # pixels of a thumbnail's longer side
WIDEST = 4096  # of a huge image only the middle is looked at
PALE = (0.5, 99.5)  # percentiles that become black and white


@dataclass(frozen=True)
class Card:
    """A thumbnail and its words; `picture` is a data URI, empty where the image cannot be read."""

    picture: str
    title: str
    lines: tuple[str, ...]
    hint: str
    wrong: bool = False


@dataclass(frozen=True)
class Wall:
    """A titled row of cards."""

    title: str
    look: str
    cards: tuple[Card, ...]
    legend: tuple[tuple[str, str], ...] = ()  # colours as CSS knows them, and what they mean; its cards are large


def walls(report: Report) -> list[Wall]:
    """The walls this report has images for."""
    found = scores(report, first_column(report))
    if found is None or "image" not in report.rows:
        return []
    pick = _telling if found.labels else _largest_errors
    return [
        Wall(title, look, tuple(_card(report, found, int(at)) for at in chosen))
        for title, look, chosen in pick(found)
        if len(chosen)
    ]


Choice = tuple[str, str, NDArray[np.int64]]


def _largest_errors(found: Scores) -> list[Choice]:
    look = "Look for what these have in common: focus, debris, a border, a plate."
    return [("The largest errors", look, np.argsort(-np.abs(found.said - found.truth), kind="stable")[:SHOWN])]


def _telling(found: Scores) -> list[Choice]:
    if found.probability is None:
        return [("Mistakes", "The first mistakes, in the order of the table.", np.flatnonzero(~found.right)[:SHOWN])]
    ranked = np.sort(found.probability, axis=1)
    lead = ranked[:, -1] - (ranked[:, -2] if ranked.shape[1] > 1 else 0)
    surest = np.argsort(-ranked[:, -1], kind="stable")
    each = max(1, min(4, SHOWN // max(1, len(found.labels))))
    right = found.right[surest]
    typical = [surest[right & (found.truth[surest] == k)][:each] for k in range(len(found.labels))]
    return [
        (
            "What it takes the classes to look like",
            "The surest right answers of each class: do they look as the class should, or do they share something that "
            "has nothing to do with it?",
            np.concatenate([np.empty(0, np.int64), *typical])[:MOST_TYPICAL],
        ),
        (
            "Sure and wrong",
            "The most confident mistakes: wrong labels, odd images and shortcuts gather here.",
            surest[~right][:SHOWN],
        ),
        (
            "The hardest to decide",
            "The smallest lead of the first class over the second: would you have known?",
            np.argsort(lead, kind="stable")[:SHOWN],
        ),
    ]


def maps(report: Report) -> tuple[Card, ...]:
    """What the first column's model looked at, as `facts["explanation"]` has it; a picture that is gone is left out."""
    given = report.facts.get("explanation")
    cards = []
    for found in given.get("maps", ()) if isinstance(given, Mapping) else ():
        path, said, true = Path(str(found["picture"])), clean(found["answer"], 18), clean(found["truth"], 18)
        if path.is_file():
            picture = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
            told = () if not said else ("right",) if said == true else (f"truly {true}",)
            cards.append(Card(picture, said or clean(found["id"]), told, clean(found["id"]), said != true))
    return tuple(cards)


def _card(report: Report, found: Scores, at: int) -> Card:
    row = report.rows.iloc[int(found.rows[at])]
    hint = f"{row.get('id', row.name)} · {clean(row['image'])} · group {clean(found.groups[at])}"
    picture = thumbnail(row, Path(str(report.facts.get("folder") or ".")))
    group = clean(found.groups[at], 15)
    if not found.labels:
        truth, said = float(found.truth[at]), float(found.said[at])
        digits = places_of(max(abs(truth), abs(said)))
        lines: tuple[str, ...] = (f"truth {figure(truth, digits)}", group)
        return Card(picture, f"said {figure(said, digits)}", lines, hint, wrong=True)
    true, said_code = int(found.truth[at]), int(found.said[at])
    verdict = f"truly {clean(found.labels[true], 18)}" if true != said_code else "right"
    lines = (verdict, group)
    if found.probability is not None:
        lines = (verdict, _sure(float(found.probability[at, said_code])), group)
    return Card(picture, clean(found.labels[said_code], 18), lines, hint, true != said_code)


def _sure(probability: float) -> str:
    """How sure, never rounded up to certainty.

    >>> _sure(0.9996), _sure(0.314)
    ('over 99 % sure', '31 % sure')
    """
    return "over 99 % sure" if 0.99 < probability < 1 else f"{100 * probability:.0f} % sure"


def thumbnail(row: Any, folder: Path) -> str:
    """The image of a row as a data URI of a small PNG; empty when it cannot be read."""
    try:
        image = opened(row, folder)
        sizes = dict(zip(image.axes, image.shape, strict=True))
        middle = {axis: slice(max(0, (sizes[axis] - WIDEST) // 2), max(0, (sizes[axis] - WIDEST) // 2) + WIDEST)
                  for axis in "YX" if sizes.get(axis, 0) > WIDEST}
        return _uri(image.crop(middle))
    except Exception:  # whatever a broken file does to a decoder, the figures do not depend on its picture
        return ""


def opened(row: Any, folder: Path) -> Image:
    """The image of a row, its channel files put together."""
    from potency.data import parts
    from potency.data.readers import open_image

    channels = {str(c).removeprefix("image."): folder / str(row[c]) for c in row.index
                if str(c).startswith("image.") and isinstance(row[c], str)}
    where: Path | Mapping[str, Path] = channels if len(channels) > 1 else folder / str(row["image"])
    return parts.choose(open_image(where, series=parts.number(row, "series") or 0), row)


def _uri(pixels: NDArray[Any]) -> str:
    from PIL import Image

    colour = pixels.shape[0] == 3 and pixels.dtype == np.uint8
    planes = [stretched(plane) for plane in pixels[:4]] if not colour else []
    if colour:
        picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(stretched(pixels), 0, -1)))
    else:
        picture = Image.fromarray(np.hstack(planes))
    scale = EDGE / max(pixels.shape[1:])
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.BOX)
    return embedded(picture)


def embedded(picture: Any) -> str:
    """A picture of Pillow's as a data URI."""
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def stretched(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as 0..255, the darkest and brightest half per cent cut off; what is no number is 0."""
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, PALE)
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-9), 0, 1) * 255, dtype=np.uint8)
