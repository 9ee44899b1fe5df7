"""Images one by one, the worst first: a table, and pictures with truth and answer in lines by kind of mistake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from potency.answers import ANSWERS
from potency.answers.contrast import KINDS, TRUTH
from potency.answers.drawing import as_rgb, barred, resized, scale_of
from potency.answers.filed import Filed
from potency.evaluation.columns import parts_of
from potency.evaluation.gallery import Card, Wall, embedded, opened
from potency.evaluation.tables import Table
from potency.evaluation.terms import UNIT
from potency.evaluation.wording import clean, count, figure, first_column, known

if TYPE_CHECKING:
    from potency.evaluation.results import Report

SHOWN, LISTED = 12, 100
SIDE = 480  # pixels of a picture's longer side
WIDEST = 1600  # of larger images only the middle is shown
COUNTS = ("true", "answered", "missed", "split", "merged", "spurious")
MEANING = {"found": "answer, found", "missed": "truth, missed", "split": "answer, splits an object",
           "merged": "answer, merges objects", "spurious": "answer, spurious"}  # fmt: skip


def walls(report: Report) -> list[Wall]:
    """The worst images of an answer in files, where there are images and their files can be compared."""
    kind, rows = ANSWERS.get(report.task), _sorted(report)
    if rows is None or "image" not in rows or kind is None or not issubclass(kind, Filed):
        return []
    cards = tuple(_card(report, kind, row) for _, row in rows.head(SHOWN).iterrows())
    shown = [name for name in KINDS if name in MEANING and (name in ("found",) or f"{_column(report)}.{name}" in rows)]
    legend = [("rgb({}, {}, {})".format(*TRUTH), "truth (dashed)")] if kind.kind != "objects" else [
        ("rgb({}, {}, {})".format(*TRUTH), "truth")]  # fmt: skip
    legend += [("rgb({}, {}, {})".format(*KINDS[name]), MEANING[name]) for name in shown]
    if kind.kind == "density":
        tint = "rgb({}, {}, {})".format(*KINDS["spurious"])
        legend = [("rgb({}, {}, {})".format(*TRUTH), "truth"), (tint, "density")]
    if kind.kind == "regions":
        legend = [legend[0], ("rgb({}, {}, {})".format(*KINDS["spurious"]), "another class than the truth")]
    look = ("What do these have in common: are they faint or crowded, of another magnification, or is the truth wrong? "
            "Of several channels the first is shown, of images wider than "
            f"{WIDEST:,} pixels the middle.")  # fmt: skip
    return [Wall("The worst images", look, cards, tuple(legend))]


def table(report: Report) -> Table | None:
    """Score and counts of every image, the worst first."""
    rows = _sorted(report)
    if rows is None:
        return None
    lead, column = report.headline, _column(report)
    counts = [name for name in COUNTS if f"{column}.{name}" in rows]
    lines = tuple(
        (clean(_short(row["id"]), 60), clean(_short(row["group"]), 30),
         figure(float(row[f"{column}.{lead}"]), 2, unit=lead in UNIT),
         *(f"{int(row[f'{column}.{name}']):,}" for name in counts))
        for _, row in rows.head(LISTED).iterrows()
    )  # fmt: skip
    note = f"The worst {LISTED} of {len(rows):,}; all are in rows.parquet." if len(rows) > LISTED else ""
    return Table(("image", "group", known(lead)[0], *counts), lines, note)


def _short(name: object) -> str:
    """The last part of a path: what tells images apart within a report."""
    return str(name).replace("\\", "/").rpartition("/")[2]


def _column(report: Report) -> str:
    return first_column(report)


def _sorted(report: Report) -> DataFrame | None:
    """The rows that have a figure of their own, the worst first."""
    score = f"{_column(report)}.{report.headline}"
    if score not in report.rows or report.rows[score].isna().all():
        return None
    kind = ANSWERS.get(report.task)
    high = kind is not None and kind.better < 0  # of an error the largest is the worst
    return report.rows[report.rows[score].notna()].sort_values(score, ascending=not high, kind="stable")


def _card(report: Report, kind: type[Filed], row: Any) -> Card:
    column = _column(report)
    score = figure(float(row[f"{column}.{report.headline}"]), 2, unit=report.headline in UNIT)
    wrong = [f"{int(row[f'{column}.{name}']):,} {name}" for name in COUNTS[2:] if row.get(f"{column}.{name}", 0) > 0]
    of = [count(int(row[f"{column}.true"]), "object")] if f"{column}.true" in row else []
    lines = tuple(line for line in (", ".join([*of, *wrong]), clean(_short(row["id"]), 40)) if line)
    hint = f"{row['id']} · {clean(row['image'])} · group {clean(row['group'])}"
    title = known(report.headline)[0].partition(" (")[0]
    return Card(_picture(report, kind, row), f"{title} {score}", lines, hint, wrong=bool(wrong))


def _picture(report: Report, kind: type[Filed], row: Any) -> str:
    """Truth and answer on the image, as a data URI; empty where a file cannot be read any more."""
    from PIL import Image

    folder, one = Path(str(report.facts.get("folder") or ".")), DataFrame([row])
    try:
        image = opened(row, folder)
        sizes = image.sizes
        window = tuple(slice(max(0, (sizes[axis] - WIDEST) // 2), min(sizes[axis], (sizes[axis] + WIDEST) // 2))
                       for axis in "YX")  # fmt: skip
        picture = resized(as_rgb(image.crop(dict(zip("YX", window, strict=True)))), SIDE)
        true, said = (
            kind.of_cells({str(k): v for k, v in parts_of(one, name, kind).iloc[0].items()}, folder)
            for name in (report.truth, _column(report))
        )
        drawn = said.contrast(true, picture, (window[0], window[1]))
        drawn = barred(drawn, *scale_of(image, (window[1].stop - window[1].start) / drawn.shape[1]))
        return embedded(Image.fromarray(drawn).quantize(128, dither=Image.Dither.NONE))
    except Exception:  # whatever a broken file does to a decoder, the figures do not depend on its picture
        return ""
