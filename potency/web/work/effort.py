"""How thorough a training is: what a person chose, as a task, a plan and the choices of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from potency.errors import ManifestError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.learning.protocol import Choices
    from potency.tasks import Task
    from potency.web.shelf import Shelf


@dataclass(frozen=True)
class Effort:
    """One offer: how many folds, which share of the steps that the data ask for."""

    title: str
    about: str
    folds: int
    share: float


EFFORTS: Mapping[str, Effort] = {
    "quick": Effort("A quick look", "Is there anything to learn? Fewer steps and folds: figures are rough, and the "
                    "model is not the best that can be had.", 3, 0.25),
    "thorough": Effort("Thorough", "The figures for a decision or a paper: five folds, all the steps that these images "
                       "ask for.", 5, 1.0),
}  # fmt: skip
FEWEST = 200  # steps of a quick look: with fewer the network has hardly begun, and the look says nothing
NETWORKS: Mapping[str, str] = {
    "tiny": "tiny: for single cells and small sets, quick on a laptop",
    "mobilenetv3": "MobileNet v3, small",
    "resnet18": "ResNet 18: for larger images and sets",
    "resnet50": "ResNet 50: for thousands of images and a GPU",
}
SPLITS: Mapping[str, str] = {
    "stratified": "by group, every class in every fold",
    "leave-one-out": "leave one group out, once each",
    "random": "at random: figures flatter, and the report says so",
}


def task_of(manifest: Manifest) -> Task:
    """The task that the truth asks for.

    Raises:
        ManifestError: there is no truth.
    """
    from potency.tasks import task_for

    if "truth" not in manifest.table:
        raise ManifestError("there are no labels to learn from", str(manifest.origin.get("source", "the images")),
                            "put the images of each class into a folder of its own, bring a table, or type labels")
    return task_for(manifest.kinds.get("truth", ""))


def learned(manifest: Manifest) -> Manifest:
    """The rows that decide a plan: with a truth, and not external."""
    known = manifest.table["truth"].notna()
    return manifest.where(known & manifest.table["split"].ne("external") if "split" in manifest.table else known)


def plan_of(manifest: Manifest, task: Task, words: Mapping[str, Any], shelf: Shelf) -> Plan:
    """The plan for an effort, with what was changed by hand (`network`, `start`, `steps`, `side`, `seed`)."""
    from potency.data.plan import Facts
    from potency.learning.planning import continued, planned

    changed: dict[str, Any] = {}
    if words.get("start"):
        changed = continued(shelf.card(str(words["start"])).plan, task)
    elif words.get("network"):
        changed["network"] = words["network"]
    changed |= {name: words[own] for name, own in (("tile", "side"), ("seed", "seed")) if words.get(own)}
    plan = planned(Facts.of(learned(manifest)), task, started=bool(words.get("start")), **changed)
    steps = int(words.get("steps") or 0) or max(min(FEWEST, plan.steps), round(plan.steps * effort(words).share))
    return plan.but(steps=steps)


def choices_of(words: Mapping[str, Any], shelf: Shelf, title: str) -> Choices:
    """How the protocol is run; always so that a run that was stopped goes on."""
    from potency.learning.protocol import Choices

    quick = effort(words) is EFFORTS["quick"]
    start = str(shelf.folder(str(words["start"]))) if words.get("start") else ""
    made = Choices(folds=folds_of(words), split=str(words.get("split") or "stratified"), resume=True, title=title,
                   start=start, command="potency serve", audit=not quick)  # fmt: skip
    return replace(made, draws=200) if quick else made


def folds_of(words: Mapping[str, Any]) -> int:
    """How many folds are asked for."""
    return int(words.get("folds") or 0) or effort(words).folds


def effort(words: Mapping[str, Any]) -> Effort:
    """The effort of a form."""
    return EFFORTS.get(str(words.get("effort") or "quick"), EFFORTS["quick"])
