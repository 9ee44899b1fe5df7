"""Relevance maps of a recipe: each by the network of the fold that left its row out, with the account of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from potency.bundle import Bundle
    from potency.bundle.member import NetworkMember
    from potency.data.manifest import Manifest
    from potency.explanation.segments import Segmented

CHECKED = 3  # images of each fold whose account is followed step by step


@dataclass(frozen=True)
class Mapped:
    """The rows with their maps, the folder of these, and how exact the account is: worst step, worst sum, images."""

    made: Manifest
    folder: Path
    bundle: Bundle  # of one fold; all have one plan
    books: tuple[float, float, int]

    def over(self, column: str) -> Segmented:
        """The maps summed over segments: "auto", or a column of label images (see `segmented`)."""
        from potency.explanation.segments import segmented

        return segmented(self.made, self.bundle, self.folder, column)


def folds_of(run: Path) -> pd.Series | None:
    """The fold of every row of a training by id; None where it left no networks behind."""
    if not (run / "predictions.parquet").is_file() or not (run / "folds").is_dir():
        return None
    table = pd.read_parquet(run / "predictions.parquet", columns=["id", "fold"])
    return table.set_index(table["id"].astype(str))["fold"]


def spread(table: pd.DataFrame, most: int, seed: int) -> NDArray[np.bool_]:
    """Which of the rows (N,) are taken: as many of each truth and group as can be, drawn at random.

    A number counts as high or low.
    """
    truth = table["truth"]
    kind = truth.astype(str) if truth.dtype.kind not in "fi" else (truth > truth.median()).astype(str)
    turn = np.random.default_rng([seed, 53]).permutation(len(table))
    order = pd.DataFrame({"kind": kind.to_numpy(), "group": table["group"].astype(str).to_numpy(), "turn": turn})
    order = order.sort_values("turn")
    order["layer"] = order.groupby(["kind", "group"]).cumcount()  # one of each group, then a second one
    order = order.sort_values(["layer", "turn"])
    order["place"] = order.groupby("kind").cumcount()
    chosen = order.sort_values(["place", "kind"]).index[:most]
    return np.isin(np.arange(len(table)), chosen)


def holding(rows: Manifest, column: str, least: float = 0.02) -> Manifest:
    """The rows in whose window the mask of that column covers at least this share of the pixels; all, if none does."""
    from potency.explanation.segments import read_labels
    from potency.inference.view import View

    inside = []
    for row in rows.records():
        shape = View.of(rows, row, None).shape
        inside.append(bool((read_labels(rows, row, column, shape) > 0).mean() >= least))
    return rows.where(inside) if any(inside) else rows


def mapped(rows: Manifest, run: Path, into: Path, most: int, seed: int) -> Mapped | None:
    """Maps of at most so many rows, each by the network of the fold that left it out; None without networks."""
    from potency.bundle import Bundle
    from potency.explanation.explain import explain

    folds = folds_of(run)
    if folds is None:
        return None
    rows = rows.where(spread(rows.table, most, seed).tolist())
    own = folds.reindex(rows.table["id"].astype(str)).to_numpy()
    made: list[Manifest] = []
    told: list[tuple[float, float, int]] = []
    bundle = None
    for fold in sorted({int(each) for each in own}):
        bundle = Bundle.load(run / "folds" / f"network-{fold}" / "bundle")
        found = explain(rows.where((own == fold).tolist()), bundle, into=into / f"fold-{fold}")
        told.append(books(found, bundle))
        made.append(found.placed(into))
    if bundle is None:
        return None
    layer, total, images = zip(*told, strict=True)
    together = replace(made[0], table=pd.concat([part.table for part in made], ignore_index=True))
    return Mapped(together, into, bundle, (max(layer), max(total), sum(images)))


def books(made: Manifest, bundle: Bundle, name: str = "explanation") -> tuple[float, float, int]:
    """The worst step of the account (of what entered it), the worst sum (of the score), and of how many images."""
    import torch

    from potency.bundle.member import NetworkMember
    from potency.explanation import background, propagate
    from potency.explanation.rules import LADDER
    from potency.inference.view import View, windows
    from potency.tasks import Focus

    member = next(one for one in bundle.members if isinstance(one, NetworkMember))
    layer, total, images = 0.0, 0.0, 0
    for row in made.where(made.table[name].notna()).records()[:CHECKED]:
        view = View.of(made, row, member.plan)
        crops = member.crops([{"image": np.asarray(view.crop(windows(view.shape, member.plan)[0]))}])
        pixels = torch.from_numpy(crops)
        run = partial(_run, bundle, member)
        score = partial(bundle.task.focus, plan=member.plan, what=Focus(label=str(row[f"{name}.label"])))
        way = LADDER.get(str(row.get(f"{name}.way")))
        found = propagate(run, score, pixels, way, background(pixels).expand_as(pixels))
        layer, total = max(layer, found.layer_error), max(total, float(found.sum_error.max()))
        images += 1
    return layer, total, images


def _run(bundle: Bundle, member: NetworkMember, images: Tensor) -> Mapping[str, Tensor]:
    """What the member's network gives for images, as in inference."""
    from torch import nn

    assert isinstance(member.nets, nn.ModuleDict)
    return bundle.task.forward(member.nets, {"image": images})
