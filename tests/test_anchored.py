"""Detectors of torchvision: they learn, save and answer; misfits are refused, and a full answer is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pandas import DataFrame
from test_detect import SETTINGS, boxed
from torch import Generator

from potency.answers import Objects
from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PlanError
from potency.inference.predict import predict
from potency.learning.planning import planned
from potency.learning.train import train
from potency.networks import ANCHORED, Anchored
from potency.tasks import find_task


@pytest.mark.parametrize("name", [f"{name}:body=resnet18" for name in ANCHORED])
def test_a_detector_of_torchvision_learns_saves_and_answers(name: str, tmp_path: Path) -> None:
    folder = boxed(tmp_path)
    detect, rows = find_task("detect"), Manifest.read(folder / "boxes.csv")
    rows = rows.add({"split": ["train"] * len(rows)})
    plan = planned(Facts.of(rows), detect, network=name, tile=64, steps=1, batch=2, settings={"least": 0.02})
    bundle = train(rows, detect, into=folder / "run", plan=plan)
    assert bundle.card.plan.halo == 32 and bundle.card.plan.settings["most"] == 2
    again = Bundle.load(folder / "run" / "bundle")
    told = predict(rows, again, into=folder / "told")
    assert told.table["prediction.error"].isna().all() and told.origin["prediction.engine"].startswith("torch on cpu")
    # Its losses lead downhill, also while its body is frozen.
    net = again.members[0].nets["net"].train()  # type: ignore[attr-defined]
    assert isinstance(net, Anchored)
    net.model.backbone.body.eval()  # type: ignore[union-attr]
    image = torch.rand(1, 1, 64, 64, generator=Generator().manual_seed(0))
    objects = torch.tensor([[[8.0, 8, 40, 40, 1], [20, 30, 60, 62, 0], [-1, -1, -1, -1, -1]]])
    optimiser, seen = torch.optim.SGD(net.parameters(), 1e-3), []
    for _ in range(3):
        torch.manual_seed(0)  # which boxes are judged is drawn
        told = net.losses(image, objects)
        # Not of the boxes proposed: with these change the questions.
        loss = torch.stack([told[k] for k in told if k not in ("loss_classifier", "loss_box_reg")]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        seen.append(float(loss.detach()))
    assert seen[2] < seen[1] < seen[0] and net.exercise(image).requires_grad  # what a step costs can be told


def test_a_detector_that_cannot_be_is_refused_and_a_full_answer_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, plan = find_task("detect"), Plan(task="detect", channels=("a",), classes=("x",), network="retinanet")
    for name, what in (("retinanet:body=vgg", "body=vgg"), ("retinanet:width=3", "width")):
        with pytest.raises(PlanError, match=f"cannot be built with {what}"):
            detect.build(plan.but(network=name))
    points = Objects(DataFrame({"centroid-0": [1.0], "centroid-1": [1.0]}))
    with pytest.raises(PlanError, match="retinanet learns boxes, the truth holds points"):
        detect.prepare(plan.but(fitting="extend", classes=()), [points])
    net = detect.build(plan.but(network="retinanet:body=resnet18", settings={**SETTINGS, "most": 1.0}))["net"]
    assert isinstance(net, Anchored)
    edges = torch.tensor([[0.0, 0, 4, 4], [1, 1, 6, 6]]).repeat(net.most // 2, 1)
    for scores, said in ((0.2, False), (0.4, True)):
        told = {"boxes": edges, "scores": torch.full((net.most,), scores), "labels": torch.zeros(net.most)}
        monkeypatch.setattr(net, "told", lambda image, told=told: [told])
        answer = detect.decode({"output": net(torch.zeros(1, 1, 64, 64))["output"][0].numpy()}, plan)
        assert (answer.count, len(answer.faint)) == ((net.most, 0) if said else (0, net.most))  # type: ignore[attr-defined]
        assert (f"more objects than {net.most}" in caplog.text) == said
