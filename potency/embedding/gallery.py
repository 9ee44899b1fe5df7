"""The page of `similar`: each image beside the rows that look most like it to the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from potency.data.columns import simulated
from potency.data.manifest import Manifest
from potency.data.whole import replaced
from potency.embedding.sheet import pixels_of, thumbnail, uri_of
from potency.evaluation.paper import printed
from potency.evaluation.wording import clean

SHOWN = 60
SIDE = 128


def write_page(made: Manifest, among: Manifest, folder: Path, count: int) -> Path:
    """Write `similar.html` of what `similar` gave; of more than 60 rows the first."""
    there = {str(row["id"]): row for row in among.records()}
    page = printed(
        "embedding/similar.html", title="The most similar images", left=max(0, len(made) - SHOWN),
        subtitle=f"{len(made)} images · looked for among {len(among)}", verdict=_agreement(made, count),
        simulated=simulated(among.table) or simulated(made.table),
        rows=[_row(made, among, row, there, count) for row in made.records()[:SHOWN]],
    )  # fmt: skip
    path = folder / "similar.html"
    replaced(path, page.encode())
    return path


def _row(made: Manifest, among: Manifest, row: Any, there: Any, count: int) -> dict[str, Any]:
    lines = [clean(Path(str(row["id"])).name, 40)]
    if _known(row.get("prediction")):
        lines.append(f"answer: {_short(row['prediction'])}")
    if _known(row.get("truth")):
        lines.append(f"truth: {_short(row['truth'])}")
    if _known(row.get("embedding.error")):
        lines.append(str(row["embedding.error"]))
    near = []
    for rank in range(1, count + 1):
        name = row.get(f"nearest.{rank}")
        if not _known(name):
            continue
        truth, group = row.get(f"nearest.{rank}.truth"), row.get(f"nearest.{rank}.group")
        odd = _known(truth) and _known(row.get("prediction")) and str(truth) != str(row["prediction"])
        said = [_short(truth)] if _known(truth) else []
        said += [f"{row[f'nearest.{rank}.similarity']:.3f}", f"group {clean(group, 24)}"]
        near.append({"picture": _picture(among, there[str(name)]), "name": str(name), "lines": said, "odd": odd})
    return {"picture": _picture(made, row), "lines": lines, "near": near}


def _picture(manifest: Manifest, row: Any) -> str:
    try:
        return uri_of(thumbnail(pixels_of(manifest, row), SIDE))
    except Exception:  # a row that cannot be read has its error in words
        return ""


def _agreement(made: Manifest, count: int) -> str:
    """How often the nearest rows carry the answer that the model gave."""
    table = made.table
    if "prediction" not in table or "nearest.1.truth" not in table or made.kinds.get("prediction") == "number":
        return ""
    told = table[table["prediction"].notna() & table["nearest.1.truth"].notna()]
    if not len(told):
        return ""
    same = float((told["prediction"].astype(str) == told["nearest.1.truth"].astype(str)).mean())
    return f"Of {len(told)} images, the nearest labelled one carries the model's own answer in {100 * same:.0f} %."


def _known(cell: Any) -> bool:
    return cell is not None and cell == cell


def _short(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
