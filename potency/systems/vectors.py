"""Feature vectors as virtual images: ranked on the learning rows of each fold, laid out, and learned by any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.evaluation.tables import Grid
from potency.systems.recipe import Asked, Learn, Learned
from potency.systems.sources import SEED

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

Values = NDArray[np.float64]
BLOCK = 4  # px a side that a feature has in a virtual image
REACH = 3.0  # standard deviations from the mean that the grey levels span
UNKNOWN = 2**15  # grey of blocks without a feature: the mean
SPLITS = {"prediction": "stratified", "prediction@random": "random"}


def fisher(values: Values, truth: NDArray[Any]) -> Values:
    """The Fisher score (F,) of each of (N, F) features: variance between the classes over that within them.

    Sum of n_k (m_k - m)^2 over sum of n_k s_k^2 (Duda, Hart and Stork 2001, section 3.8); 0 for a constant feature.

    >>> fisher(np.array([[0.0, 1], [2, 1], [10, 1], [12, 1]]), np.array(["a", "a", "b", "b"])).tolist()
    [25.0, 0.0]
    """
    _, code = np.unique(truth.astype(str), return_inverse=True)
    share = np.bincount(code) / len(code)
    means = np.stack([values[code == k].mean(axis=0) for k in range(len(share))])
    within = share @ np.stack([values[code == k].var(axis=0) for k in range(len(share))])
    between = share @ (means - values.mean(axis=0)) ** 2
    return np.asarray(np.where(within > 0, between / np.where(within > 0, within, 1.0), 0.0))


def side(features: int) -> int:
    """Height and width in px of the virtual image of so many features.

    >>> side(11), side(24)
    (16, 20)
    """
    return BLOCK * int(np.ceil(np.sqrt(features)))


def virtual(values: Values, truth: NDArray[Any], learned: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Virtual images (N, S, S) of feature vectors (N, F): a grey block a feature, the highest Fisher score first.

    Scores, means and deviations are those of the `learned` (N,) rows only. Blocks go row by row from the upper left.
    """
    known = values[learned]
    order = np.argsort(-fisher(known, truth[learned]), kind="stable")
    spread = known.std(axis=0)
    units = (values - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    grey = np.clip(UNKNOWN + units * UNKNOWN / REACH, 0, 2**16 - 1).astype(np.uint16)
    across = side(values.shape[1]) // BLOCK
    blocks = np.full((len(values), across * across), UNKNOWN, np.uint16)
    blocks[:, : len(order)] = grey[:, order]
    return blocks.reshape(-1, across, across).repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)


def vectors_of(rows: Manifest, families: Sequence[str]) -> tuple[list[str], Values]:
    """Names and values (N, F) of what `measure` has measured of these families."""
    names = [name for name in map(str, rows.table) if name.startswith(tuple(f"measure.{one}." for one in families))]
    return names, rows.table[names].to_numpy(np.float64)


def folds(rows: Manifest, asked: Asked, kind: str) -> Iterator[NDArray[np.bool_]]:
    """Which rows (N,) each fold tests, dealt as the protocol deals them."""
    dealt = rows.split("group", asked.folds, SEED, kind).table["fold"].to_numpy()
    for k in range(1 if asked.holdout else asked.folds):
        yield dealt == k


@dataclass(frozen=True)
class OnVectors:
    """Learns arms on virtual images of the families they name (by the folder of the arm), and hands others on."""

    inner: Learn
    families: Mapping[str, tuple[str, ...]]

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: Callable[[str], None]) -> Learned:
        if into.name not in self.families:
            return self.inner(manifest, asked, into, say)
        _, values = vectors_of(manifest, self.families[into.name])
        answers, facts = manifest.table[["id"]], dict[str, Any]()
        for column, kind in SPLITS.items():
            if kind == "random" and not asked.random:
                continue
            told = []
            for k, tested in enumerate(folds(manifest, asked, kind)):
                place = into / f"{kind}-{k}"
                rows = written(manifest, values, tested, place / "images", alone=kind == "random")
                one = replace(asked, holdout=True, random=False, arm=f"{asked.arm}, {kind} fold {k + 1}")
                learned = self.inner(rows, one, place / "run", say)
                facts = facts or dict(learned.facts)
                told.append(_renamed(learned.rows, column))
            answers = answers.merge(pd.concat(told), on="id", how="left")
        split = manifest.split("group", asked.folds, SEED, "stratified").origin["split"]
        own = {"split": split, "split_kind": "stratified", "fingerprint": manifest.fingerprint()}
        return Learned(answers, {**facts, **own})


def written(manifest: Manifest, values: Values, tested: NDArray[np.bool_], place: Path, alone: bool) -> Manifest:
    """The rows with virtual images in place of theirs, written to a folder, and the fold's own division.

    `alone` makes each row a group of its own, as a split of single images takes them to be.
    """
    import tifffile

    from potency.data.manifest import Manifest

    truth = manifest.table["truth"].to_numpy()
    place.mkdir(parents=True, exist_ok=True)
    names = [f"{number:06d}.tif" for number in range(len(values))]
    for name, pixels in zip(names, virtual(values, truth, ~tested), strict=True):
        tifffile.imwrite(place / name, pixels, photometric="minisblack", metadata=None)
    kept = [name for name in ("id", "truth", "group", "simulated") if name in manifest.table]
    table = manifest.table[kept].assign(image=names, split=np.where(tested, "test", "train"))
    if alone:
        table = table.assign(group=table["id"].astype(str))
    return Manifest.of_rows(table, place, {"truth": "category"})


def _renamed(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The answers to the tested rows, under the column of their split."""
    names = {str(name): str(name).replace("prediction", column, 1) for name in rows
             if str(name) == "prediction" or str(name).startswith("prediction.")}  # fmt: skip
    return rows[rows["prediction"].notna()][["id", *names]].rename(columns=names)


def ranking(rows: Manifest, families: Sequence[str], asked: Asked) -> Grid:
    """Every feature with its Fisher score on the learning rows of the folds by group, the highest first."""
    names, values = vectors_of(rows, families)
    truth = rows.table["truth"].to_numpy()
    scores = np.stack([fisher(values[~tested], truth[~tested]) for tested in folds(rows, asked, "stratified")])
    places = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    order = np.argsort(-scores.mean(axis=0))
    lines = tuple(
        (names[at].removeprefix("measure."), f"{scores[:, at].mean():.2f}",
         "–".join(dict.fromkeys((str(places[:, at].min()), str(places[:, at].max())))))
        for at in order
    )  # fmt: skip
    note = "Ranked anew in every fold, on its learning rows; the place is that of the folds."
    return Grid("Fisher scores", ("feature", "Fisher score", "place"), lines, note)
