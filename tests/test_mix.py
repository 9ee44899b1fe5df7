"""Mixing: pictures and targets in the same share, repeatable, resumed to the same weights, refused where it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from zoo import ages, cells

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.learning import gradient
from potency.learning.mix import MIXINGS, mixed
from potency.learning.train import train
from potency.tasks import TASKS
from potency.tasks.classify import Classify

PLAN = Plan(channels=("a",), classes=("x", "y", "z"), tile=16, seed=3)


def batch(count: int = 8) -> dict[str, torch.Tensor]:
    """Images as flat as their target: image k holds the value k everywhere, and its target is that number."""
    value = torch.arange(count, dtype=torch.float32)
    return {"image": value[:, None, None, None].expand(-1, 1, 16, 16).clone(), "target": value.clone()}


@pytest.mark.parametrize("name", MIXINGS)
def test_the_target_is_mixed_in_the_share_of_the_pixels(name: str) -> None:
    made = mixed(batch(64), TASKS["quantify"], PLAN.but(mix={name: 1.0}), 5)
    torch.testing.assert_close(made["image"].mean((1, 2, 3)), made["target"])
    assert not torch.equal(made["target"], batch(64)["target"])
    flat = made["image"].flatten(1)
    whole = (flat == flat[:, :1]).all(1)
    assert whole.all() if name == "mixup" else not whole.all()  # a mean everywhere, or pixels of one and of the other


def test_a_small_alpha_leaves_most_samples_nearly_alone() -> None:
    share = {}
    two = {key: value % 2 for key, value in batch(512).items()}
    for alpha in (0.1, 5.0):
        made = mixed(two, TASKS["quantify"], PLAN.but(mix={"mixup": alpha}), 0)["target"]
        share[alpha] = float(((made - made.round()).abs() < 0.05).float().mean())
    assert share[0.1] > 0.75 and share[5.0] < 0.6  # half of the pairs are of one kind and stay whatever is drawn


def test_views_of_a_sample_are_mixed_alike_and_the_batch_alone_decides() -> None:
    plan = PLAN.but(mix={"mixup": 0.4, "cutmix": 1.0})
    two = batch()
    two["image.1"] = two["image"] + 100
    names = set()
    for number in range(12):
        first, again = (mixed(two, TASKS["quantify"], plan, number) for _ in range(2))
        assert all(torch.equal(first[key], again[key]) for key in two)
        torch.testing.assert_close(first["image.1"], first["image"] + 100)
        names.add(bool((first["image"].flatten(1).std(1) > 0).any()))
    assert names == {True, False}  # both ways are drawn
    here, there = (mixed(two, TASKS["quantify"], plan, number)["image"] for number in (0, 1))
    assert not torch.equal(here, there)
    assert mixed(two, TASKS["quantify"], PLAN, 0) is two


def test_classes_are_encoded_as_probabilities_that_mix() -> None:
    from potency.answers import Category

    task = TASKS["classify"]
    encoded = [task.encode(Category(label), PLAN)["target"] for label in ("z", "x")]
    np.testing.assert_array_equal(encoded, [[0, 0, 1], [1, 0, 0]])
    both = {"image": torch.zeros(2, 1, 16, 16), "target": torch.from_numpy(np.stack(encoded))}
    target = mixed(both, task, PLAN.but(mix={"mixup": 1.0}), 1)["target"]
    torch.testing.assert_close(target.sum(1), torch.ones(2))
    # The loss of an unmixed target is what it was with class numbers.
    nets = task.build(PLAN)
    output = nets["net"].eval()(both["image"])["output"]
    loss = next(task.losses(nets, both, PLAN))[1]
    expected = torch.nn.functional.cross_entropy(output, torch.tensor([2, 0]), label_smoothing=PLAN.smoothing)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("world, task", [(cells, "classify"), (ages, "quantify")])
def test_a_mixed_training_stopped_and_resumed_ends_in_the_same_weights(
    world: Any, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient, "CHECKPOINT_EVERY", 0.0)
    rows: Manifest = world(tmp_path / "cells")
    short = {"steps": 6, "validations": 2, "batch": 8, "test_views": 1}
    plan = Plan.of(Facts.of(rows), task=task, mix={"mixup": 0.2, "cutmix": 1.0}, **short)
    kinds = {"whole": plan, "stopped": plan, "plain": plan.but(mix={})}

    def stop(done: int, total: int) -> None:
        if (done, total) == (4, plan.steps):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(rows, task, into=tmp_path / "stopped", plan=plan, progress=stop)
    for name, one in kinds.items():
        train(rows, task, into=tmp_path / name, plan=one)
    weights = {name: (tmp_path / name / "bundle" / "weights.safetensors").read_bytes() for name in kinds}
    assert weights["whole"] == weights["stopped"] != weights["plain"]


class Ranked(Classify):
    """A task whose targets are names of places: half of one and half of another is no place."""

    name = "ranked"
    mixable: ClassVar[tuple[str, ...]] = ()


class Packed(Classify):
    """A task that packs its images under another name."""

    name = "packed"

    def collate(self, samples: Any) -> Any:
        made = dict(super().collate(samples))
        return {"pack": made.pop("image"), **made}


def test_what_cannot_be_mixed_is_refused_before_learning(tmp_path: Path) -> None:
    rows = cells(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), steps=2, mix={"mixup": 0.2})
    with pytest.raises(PlanError, match="targets of ranked cannot be mixed") as raised:
        train(rows, Ranked(), into=tmp_path / "a", plan=plan)
    assert raised.value.where == "plan.mix" and "mixup" in raised.value.mend
    with pytest.raises(PlanError, match="no mixing 'mixip'.*\n.*\n.*did you mean 'mixup'"):
        train(rows, "classify", into=tmp_path / "b", plan=plan.but(mix={"mixip": 0.2}))
    with pytest.raises(PlanError, match="alpha above 0, not 0"):
        train(rows, "classify", into=tmp_path / "c", plan=plan.but(mix={"cutmix": 0}))
    with pytest.raises(PlanError, match="packed collates its images"):
        train(rows, Packed(), into=tmp_path / "d", plan=plan)
