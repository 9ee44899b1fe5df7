"""The contract of every task in the list: it learns, comes back, evaluates, draws, and names what to explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from zoo import ages, cells, proteins

from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.evaluation.evaluate import evaluate
from potency.inference.predict import predict
from potency.learning.gradient import Lesson, fit
from potency.learning.samples import cut
from potency.learning.train import train
from potency.learning.truths import truths
from potency.tasks import TASKS, Focus, Sample, Task, find_task, task_for
from potency.tasks.classify import Classify

TAUGHT = {name: task for name, task in TASKS.items() if "truth" in task.needs and not task.maps}  # see test_dense.py
WORLDS = {"category": cells, "number": ages, "labelset": proteins}
# The headline of an answer that is always the same: one class, the mean, every class at once (F1 is then 2p / (1 + p)).
CONSTANT: dict[str, Callable[[pd.Series], float]] = {
    "category": lambda truth: 1 / truth.nunique(),
    "number": lambda truth: float((truth - truth.mean()).abs().mean()),
    "labelset": lambda truth: float((2 * (share := _shares(truth)) / (1 + share)).mean()),
}


def _shares(truth: pd.Series) -> pd.Series:
    return truth.str.get_dummies(" | ").mean().drop("none", errors="ignore")


def world(task: Task, into: Path) -> Manifest:
    return WORLDS[task.answer.kind](into)


@pytest.mark.parametrize("task", TAUGHT.values(), ids=TAUGHT)
def test_a_task_learns_saves_answers_evaluates_and_draws(task: Task, tmp_path: Path) -> None:
    rows = world(task, tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task=task.name, steps=80, validations=1, batch=16, average=0.8, test_views=1)
    bundle = train(rows, task, into=tmp_path / "run", plan=plan)
    again = Bundle.load(tmp_path / "run" / "bundle")
    told = predict(rows, again, into=None)
    assert told.kinds["prediction"] == task.answer.kind
    assert told.table["prediction"].notna().all()
    report = evaluate(told, draws=50)
    figure = report.numbers["prediction"][task.answer.headline].value
    constant = CONSTANT[task.answer.kind](rows.table["truth"])
    assert task.answer.better * figure > task.answer.better * constant  # beats a constant answer on what it saw
    image = rows.open(rows.table.iloc[0])
    answer = again([{"image": image.crop()}])[0]
    assert answer.draw(image).shape[2] == 3
    assert bundle.fingerprint == again.fingerprint


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_names_the_scalar_to_explain_or_none(task: Task) -> None:
    settings = {} if task.maps else {"mean": 0.0, "spread": 1.0}
    plan = Plan(channels=("a",), classes=("x", "y", "z"), tile=16).but(**task.usual, settings=settings)
    nets = task.build(plan)
    batch = torch.rand(2, 1, 16, 16, requires_grad=True)
    if not task.scores:  # an embedding has no number of its own; how it resembles another one can be explained
        with pytest.raises(PlanError, match="gives no score"):
            task.focus(task.forward(nets, {"image": batch}), plan, Focus())
        return
    scalar = task.focus(task.forward(nets, {"image": batch}), plan, Focus())
    if scalar is not None:
        assert scalar.shape == (2,)
        assert torch.autograd.grad(scalar.sum(), batch)[0].abs().sum() > 0


def test_tasks_are_found_by_name_and_by_kind() -> None:
    assert task_for("category").name == "classify"
    with pytest.raises(PlanError, match="did you mean 'classify'"):
        find_task("clasify")
    with pytest.raises(PlanError, match="no task learns"):
        task_for("smell")
    with pytest.raises(PlanError, match="no task learns"):
        task_for("vector")  # a truth is never learned by a task that reads none


class Twins(Classify):
    """Two views a sample that must agree: what a contrastive task would ask of the loop."""

    name = "twins"
    views = 2
    seen: list[tuple[int, ...]] = []

    def collate(self, samples: list[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:  # type: ignore[override]
        batch = dict(super().collate(samples))
        batch["both"] = torch.cat([batch.pop("image"), batch.pop("image.1")])
        return batch

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        self.seen.append(tuple(batch["both"].shape))
        embedding = nets["net"](batch["both"])["embedding"]
        first, second = embedding.chunk(2)
        assert not torch.equal(first, second)  # augmented apart
        yield "net", (first - second).square().mean()


class Rivals(Classify):
    """Two parts whose losses are stepped on one after the other, as a generator and its critic need."""

    name = "rivals"
    parts: Mapping[str, str] = {"net": "encoder", "critic": "encoder"}  # type: ignore[misc]

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        before = nets["critic"].linear.weight.detach().clone()  # type: ignore[union-attr, operator]
        yield "critic", nn.functional.cross_entropy(nets["critic"](batch["image"])["output"], batch["target"])
        assert not torch.equal(before, nets["critic"].linear.weight)  # type: ignore[arg-type, union-attr]
        told = nets["net"](batch["image"])["output"]
        judged = nets["critic"](batch["image"] * told.mean())["output"]  # as a generator's pictures pass its critic
        yield "net", nn.functional.cross_entropy(told, batch["target"]) + judged.square().mean()
        assert all(weight.grad is None for weight in nets["critic"].parameters()), "the critic is not taught by this"


@pytest.mark.parametrize("task", [Twins(), Rivals()], ids=["views and collate", "lazy losses of two parts"])
def test_a_new_task_needs_no_change_of_the_loop(task: Task, tmp_path: Path) -> None:
    rows = cells(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task=task.name, steps=3, validations=1, batch=8, augment={"flip": 1, "noise": 0.1})
    samples = cut(rows, plan, tmp_path / "cache")
    where = np.arange(len(samples.crops))
    targets: list[Sample] = [task.encode(truth, plan) for truth in truths(rows, task)]
    member, state = fit(task, plan, Lesson(samples, where, targets), task.build(plan), None, tmp_path / "run")
    assert state.step == 3
    bundle = Bundle(Card("classify", (plan,)), (NetworkMember(task, plan, member.nets),))
    assert len(bundle([{"image": np.asarray(samples.crops[0])}])) == 1
    if task.views == 2:
        assert Twins.seen[0] == (16, 1, *plan.tile)


def test_a_class_that_is_not_in_the_plan_is_refused() -> None:
    from potency.answers import Category

    with pytest.raises(PlanError, match="'c' is not in the plan"):
        TASKS["classify"].encode(Category("c"), Plan(classes=("a", "b")))
