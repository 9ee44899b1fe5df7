"""Rank the rows without a label by what a label of theirs would teach a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from potency.answers import Category
from potency.bundle import Bundle, Member, NetworkMember
from potency.data.manifest import Manifest
from potency.errors import ManifestError, PlanError
from potency.labelling.choose import LEAST, Pool, Values, entropy, find_how
from potency.labelling.lossy import FEWEST
from potency.learning.estimate import crops_of
from potency.learning.unlabelled import embedded

DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
PASSES = 16  # through a network with dropout, where there is one member only
AT_ONCE = 128
Progress = Callable[[int, int], object]


def suggest(
    manifest: Manifest,
    bundle: Bundle,
    *,
    count: int = 50,
    how: str = "entropy",
    passes: int = PASSES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Manifest:
    """The rows without a truth that are worth a label next, best first, with the columns that say why.

    `suggestion` is the rank from 1, `suggestion.score` what it is ranked by, `suggestion.how` and `suggestion.reason`
    say it in words; `suggestion.prediction` is the model's answer where it gives one. Rows marked test or external are
    never suggested: they are what the model is judged by.

    Args:
        manifest: rows; those without a truth are the pool, those with one are what `coreset` keeps away from.
        bundle: a classifier; for `coreset` any bundle with a network, such as one of `potency pretrain`.
        count: how many are suggested.
        how: a name of `HOWS`; `loss` needs labelled rows too.
        passes: through the network with dropout, where `bald` has one member only to ask.
        seed: of ties, of dropout and of random choice.

    Raises:
        ManifestError: no row without a label, or an image that cannot be read. PlanError: the model has no opinions, or
        one only, or no embedding.
    """
    way = find_how(how)
    if count < 1 or passes < 2:
        what = f"{count} suggestions by {passes} passes"
        raise PlanError(what, "suggest", "ask for one or more, by two passes or more")
    left, labelled = parted(manifest)
    if way.needs in ("opinions", "members", "losses") and not issubclass(bundle.task.answer, Category):
        mend = "use coreset, which needs an embedding only, or a bundle that tells classes"
        what = f"{how} needs class probabilities, the bundle answers with a {bundle.task.answer.kind}"
        raise PlanError(what, str(bundle.folder or "the bundle"), mend)
    pool = Pool(len(left))
    if way.needs == "opinions":
        pool = Pool(len(left), calibrated(opinions(left, bundle, progress=progress), bundle))
    elif way.needs == "members":
        pool = Pool(len(left), opinions(left, bundle, passes=passes, seed=seed, progress=progress))
    elif way.needs in ("embedding", "losses"):
        known = embedded(labelled, bundle).to_numpy() if len(labelled) else None
        losses = _losses(labelled, bundle) if way.needs == "losses" else None
        pool = Pool(len(left), None, embedded(left, bundle).to_numpy(), known, losses, seed)
    order, scores = way.rank(pool, count, np.random.default_rng([seed, 13]))
    chosen = left.table.iloc[order].reset_index(drop=True)
    words = [_reason(how, pool, k, score, bundle.card.plan.classes) for k, score in zip(order, scores, strict=True)]
    told: dict[str, Any] = {"suggestion": np.arange(1, len(order) + 1), "suggestion.score": scores}
    told |= {"suggestion.how": how, "suggestion.reason": words}
    if pool.opinions is not None:
        told["suggestion.prediction"] = np.array(bundle.card.plan.classes)[pool.probability[order].argmax(1)]
    fresh = chosen.drop(columns=[name for name in chosen if str(name).split(".")[0] == "suggestion"])
    return Manifest(fresh.assign(**told), manifest.kinds, manifest.folder, manifest.origin)


def parted(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """The rows to choose from and those that have a label; test and external rows are in neither."""
    table = manifest.table
    open_rows = ~table["split"].isin(["test", "external"]) if "split" in table else table["id"].notna()
    known = table["truth"].notna() if "truth" in table else pd.Series(False, index=table.index)
    left, labelled = manifest.where(open_rows & ~known), manifest.where(open_rows & known)
    if not len(left):
        raise ManifestError("every row that may be learned from has a label already", "column 'truth'",
                            "add rows whose truth is empty; for rows with labels, potency rehearse")  # fmt: skip
    return left, labelled


def opinions(
    rows: Manifest, bundle: Bundle, *, passes: int = 0, seed: int = 0, progress: Progress | None = None
) -> Values:
    """(M, N, K) class probabilities of each member of the bundle, the mean over the crops of a row.

    With `passes` and one member only, that many passes through its network with dropout (Gal 2016, arXiv 1506.02142).

    Raises:
        PlanError: one member, and it has no dropout: it cannot contradict itself.
    """
    asked = [_asking(member, bundle) for member in bundle.members]
    if passes and len(asked) < 2:
        asked = [_dropping(bundle.members[0], bundle, passes, seed)]
    ids: list[str] = []
    crops: list[NDArray[Any]] = []
    found: list[Values] = []
    for done, (name, pieces) in enumerate(crops_of(rows, _widest(bundle)), 1):
        ids += [name] * len(pieces)
        crops += pieces
        if len(crops) >= AT_ONCE or done == len(rows):
            found.append(np.concatenate([ask(crops) for ask in asked]))
            crops = []
        if progress is not None:
            progress(done, len(rows))
    whole = np.concatenate(found, axis=1)
    places = pd.Index(rows.table["id"].astype(str)).get_indexer(pd.Index(ids))
    sums = np.zeros((len(whole), len(rows), whole.shape[2]))
    for member in range(len(whole)):
        np.add.at(sums[member], places, whole[member])
    return np.asarray(sums / np.bincount(places, minlength=len(rows))[None, :, None])


def calibrated(found: Values, bundle: Bundle) -> Values:
    """(1, N, K): the mean of the members after the bundle's own calibration, as it answers."""
    kind, classes = bundle.task.answer, bundle.card.plan.classes
    assert issubclass(kind, Category)
    answers = [kind.of_probability(classes, row).calibrated(bundle.card.trust) for row in found.mean(0)]
    return np.stack([np.asarray(answer.probability) for answer in answers])[None]


def _losses(labelled: Manifest, bundle: Bundle) -> Values:
    """What the bundle loses on each labelled row; those that it learned from are easier for it than new ones."""
    classes = bundle.card.plan.classes
    truth = pd.Index(classes).get_indexer(pd.Index(labelled.table["truth"].astype(str)))
    if len(labelled) < FEWEST or (truth < 0).any():
        what = f"{len(labelled)} rows have a label" if len(labelled) < FEWEST else "a label is no class of the bundle"
        mend = f"give {FEWEST} or more rows with a label of the bundle's classes, or use entropy"
        raise PlanError(f"{what}, and loss learns from what the model loses on labelled rows", "loss", mend)
    said = calibrated(opinions(labelled, bundle), bundle)[0]
    return np.asarray(-np.log(np.maximum(said[np.arange(len(said)), truth], LEAST)))


def _widest(bundle: Bundle) -> Any:
    plans = bundle.card.plans
    return plans[0].but(tile=tuple(max(plan.window[axis] for plan in plans) for axis in (0, 1)))


def _asking(member: Member, bundle: Bundle) -> Callable[[list[NDArray[Any]]], Values]:
    def ask(crops: list[NDArray[Any]]) -> Values:
        return _told(member.outputs([{"image": crop} for crop in crops]), member, bundle)[None]

    return ask


def _dropping(member: Member, bundle: Bundle, passes: int, seed: int) -> Callable[[list[NDArray[Any]]], Values]:
    parts = list(member.nets.modules()) if isinstance(member, NetworkMember) else []
    drops = [part for part in parts if isinstance(part, DROPPING) and part.p > 0]
    if not isinstance(member, NetworkMember) or not drops:
        mend = "train with --keep-folds, join bundles with potency ensemble, or use entropy"
        raise PlanError("the model has one member without dropout, so nothing can disagree", "bald", mend)
    once = NetworkMember(member.task, member.plan.but(test_views=1), member.nets)  # one view: dropout alone differs

    def run(images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        member.nets.eval()
        for drop in drops:
            drop.train()
        with torch.inference_mode():
            told = member.task.forward(member.nets, {"image": torch.from_numpy(images)})
        member.nets.eval()
        return {name: value.float().numpy() for name, value in told.items()}

    once.run = run

    def ask(crops: list[NDArray[Any]]) -> Values:
        samples, found = [{"image": crop} for crop in crops], []
        for number in range(passes):
            torch.manual_seed(seed * 1_000_003 + number)
            found.append(_told(once.outputs(samples), once, bundle))
        return np.stack(found)

    return ask


def _told(outputs: Any, member: Member, bundle: Bundle) -> Values:
    answers = [bundle.task.decode(output, member.plan) for output in outputs]
    return np.array([answer.probability for answer in answers if isinstance(answer, Category)], np.float64)


def _reason(how: str, pool: Pool, row: int, score: float, classes: tuple[str, ...]) -> str:
    if pool.opinions is None:
        if how == "random":
            return "drawn at random"
        if how == "loss":
            return "its loss is expected to be among the largest"
        near = f"{score:.3g} from the nearest labelled or chosen one"
        return "the first, drawn at random" if np.isinf(score) else near
    said = pool.probability[row]
    first, second = np.argsort(-said)[:2]
    leading = f"{classes[first]} {said[first]:.2f}, {classes[second]} {said[second]:.2f}"
    if how == "bald":
        whole = entropy(pool)[row]
        return f"{len(pool.opinions)} opinions differ by {score:.3f} of an uncertainty of {whole:.3f}: {leading}"
    return leading

