"""What a network of a training looked at, for its report: maps of a few images it had not seen, and their tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.bundle import Bundle, NetworkMember
from potency.errors import PotencyError
from potency.explanation.account import shares_of
from potency.explanation.explain import explain, verdict
from potency.inference.view import View, windows

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

SHOWN = 6
MOST_WINDOWS = 4  # an image of more tiles would take minutes
FEWEST_STEPS = 50  # a network that hardly learned has nothing to show


def brief(
    manifest: Manifest, ids: Sequence[str], bundle: Path, into: Path, *,
    progress: Callable[[float, float, str], object] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the report says of maps, as its fact "explanation"; no fact where there is no network, or nothing to show.

    Args:
        manifest: the rows with their truths.
        ids: of rows that the bundle had not learned from.
        bundle: the folder of one fold's model.
        into: where the maps go.
    """
    step = None if progress is None else lambda done, total: progress(done, total, "explaining")
    try:
        model = Bundle.load(bundle)
        networks = [member for member in model.members if isinstance(member, NetworkMember)]
        rows = _few(manifest, set(ids))
        if not networks or not len(rows) or max(member.plan.steps for member in networks) < FEWEST_STEPS:
            return {}
        shape = View.of(rows, rows.records()[0], networks[0].plan).shape
        if len(windows(shape, networks[0].plan)) > MOST_WINDOWS:
            return {}
        made = explain(rows, model, into=into, progress=step)
    except PotencyError:  # a report is no place to fail for want of a picture
        return {}
    done = made.table[made.table["explanation"].notna()]
    if not len(done):
        return {}
    figures = {part: float(done[f"explanation.{part}"].median()) for part in ("deletion", "insertion")}
    figures["input"] = float(shares_of(done)["input"].median())
    truths = done["truth"].astype(str) if model.task.answer.labelled else [""] * len(done)
    cells = zip(done["explanation"], done["id"], done["explanation.label"], truths, strict=True)
    maps = [
        {"picture": str((into / path).with_suffix(".png")), "id": str(row), "answer": str(label), "truth": truth}
        for path, row, label, truth in cells
    ]
    return {"explanation": {"method": "relevance", **figures, "failing": verdict(done), "maps": maps}}


def _few(manifest: Manifest, unseen: set[str]) -> Manifest:
    """Some of the unseen rows: one of each class in turn, each of another group where there are enough."""
    table = manifest.table[manifest.table["id"].isin(unseen)]
    first = table.drop_duplicates(["truth", "group"]) if "group" in table else table
    pool = first if len(first) >= SHOWN else table
    turn = pool.groupby(pool["truth"].astype(str), sort=True).cumcount()
    kept = pool.assign(turn=turn).sort_values(["turn", "truth"], kind="stable").index[:SHOWN]
    return manifest.where(manifest.table.index.isin(kept).tolist())
