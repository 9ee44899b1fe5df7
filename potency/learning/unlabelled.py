"""Learning without truth: a watch on collapse, a card that says which images were seen, a probe that tests nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from potency.bundle import Bundle, Card, Features, NetworkMember
from potency.bundle.learned import DIGITS, shortened
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.errors import PlanError
from potency.evaluation.evaluate import evaluate
from potency.learning import gradient
from potency.learning.estimate import measured
from potency.learning.samples import Samples
from potency.tasks import Task

WATCHED = 512  # crops that every look is taken at
AT_ONCE = 128
NUMBER = 2**40  # of the batch that is watched: augmented as no batch of learning is
NEIGHBOURS, SHARPNESS = 20, 0.07  # as Wu 2018 (arXiv 1805.01978) votes


def watching(task: Task, plan: Plan, samples: Samples, where: NDArray[np.intp]) -> gradient.Judge:
    """Looks at the same views of the same crops each time, and tells what `task.watch` makes of their outputs."""
    chosen = where[np.unique(np.linspace(0, len(where) - 1, min(WATCHED, len(where))).astype(int))]
    lesson = gradient.Lesson(samples, chosen, [{}] * len(chosen))
    drawn = list(gradient.views(task, plan, lesson, np.arange(len(chosen)), NUMBER))
    names = ("image", *(f"image.{k}" for k in range(1, task.views)))
    views = [torch.stack([sample[name] for sample in drawn]) for name in names]

    def judge(member: NetworkMember) -> Mapping[str, float]:
        member.nets.eval()
        with torch.inference_mode():
            told = [[task.forward(member.nets, {"image": part}) for part in torch.split(view, AT_ONCE)]
                    for view in views]  # fmt: skip
            joined = [{name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in told]
            found = task.watch(joined, plan)
        return {name if name == "score" else f"watch_{name}": value for name, value in found.items()}

    return judge


def seen_images(rows: Manifest) -> dict[str, Any]:
    """For the card: digests of the images that were learned from, in one string, and the names of their groups."""
    return {"seen": " ".join(shortened(rows.digests)), "seen_groups": sorted(map(str, rows.table["group"].unique()))}


def was_seen(card: Card, rows: Manifest) -> NDArray[np.bool_] | None:
    """Which rows show an image that the model learned from; None where its card does not say.

    A file is known by its contents, so a row is seen too when the model learned from another part of its file.
    """
    if "seen" not in card.data:
        return None
    known = set(str(card.data["seen"]).split())
    return np.array([digest[:DIGITS] in known for digest in rows.digests], bool)


def probe(bundle: Bundle, learned: Manifest, held_out: Manifest) -> dict[str, str]:
    """How often the nearest learned-from images have the class of a held-out one, with intervals over groups.

    The labels, where there are any, choose nothing; {} where there are none on both sides, or numbers.
    """
    if "truth" not in learned.table or learned.kinds.get("truth") != "category":
        return {}
    known, asked = (rows.where(rows.table["truth"].notna()) for rows in (learned, held_out))
    if not len(asked) or known.table["truth"].nunique() < 2:
        return {}
    tables = [embedded(rows, bundle) for rows in (known, asked)]
    said = neighbours(tables[0].to_numpy(), known.table["truth"].to_numpy(), tables[1].to_numpy())
    told = evaluate(asked.add({"prediction": said}, "category"), draws=500).numbers["prediction"]
    usual = float(asked.table["truth"].value_counts(normalize=True).iloc[0])
    figures = {name: str(told[name]) for name in ("accuracy", "balanced_accuracy") if name in told}
    return {**figures, "most_common": f"{usual:.3f}", "images": str(len(asked)),
            "groups": str(asked.table["group"].nunique())}  # fmt: skip


def embedded(rows: Manifest, bundle: Bundle) -> pd.DataFrame:
    """The embeddings of the bundle's networks, one row a row of the manifest in its order: the mean over its crops.

    Raises:
        PlanError: the bundle holds no network that gives an embedding.
    """
    networks = networks_of(bundle)
    if not networks:
        mend = "give a bundle with a network, such as one of potency pretrain"
        raise PlanError("the bundle holds no network, so no embedding", str(bundle.folder or "the bundle"), mend)
    base = bundle.card.plan.but(learner="estimator", network="logistic", families=(), members=())
    see = Features(base.of_members([network.plan for network in networks]), networks)
    found = measured(rows, see)
    return found.groupby(level=0).mean().loc[list(rows.table["id"].astype(str))]


def networks_of(bundle: Bundle) -> tuple[NetworkMember, ...]:
    """All networks of a bundle, those an estimator stands on too."""
    found: list[NetworkMember] = []

    def look(network: NetworkMember) -> NetworkMember:
        found.append(network)
        return network

    for member in bundle.members:
        member.with_networks(look)
    return tuple(found)


def neighbours(
    known: NDArray[Any], labels: NDArray[Any], asked: NDArray[Any], count: int = NEIGHBOURS
) -> NDArray[np.object_]:
    """The class that the nearest known rows (N, F) vote for, by cosine, for each asked row (M, F).

    >>> neighbours(np.eye(2), np.array(["a", "b"]), np.array([[2.0, 0.1]]), 1).tolist()
    ['a']
    """
    first, second = (_unit(rows) for rows in (known, asked))
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    likeness = second @ first.T
    near = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    votes = np.zeros((len(asked), len(names)))
    weights = np.exp((np.take_along_axis(likeness, near, 1) - 1) / SHARPNESS)
    np.add.at(votes, (np.arange(len(asked))[:, None], codes[near]), weights)
    return np.array(names[votes.argmax(1)], dtype=object)


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, np.finfo(np.float64).tiny))
