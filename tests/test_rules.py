"""Trivial baselines on the pixels: fitted, kept, settled as a network is, and beside every network in a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pandas import DataFrame
from zoo import fields

from potency.answers import Labels, Objects
from potency.bundle import Bundle
from potency.bundle.rule import RuleMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import BundleError, PlanError
from potency.estimators.rules import Blobs, Seen, bands, find_rule, foreground
from potency.evaluation.evaluate import evaluate
from potency.inference.predict import predict
from potency.learning import protocol
from potency.learning.planning import planned
from potency.learning.rule import ruled
from potency.learning.train import train
from potency.tasks import find_task

# Of every task the figure that its trivial baseline must reach on simulated cells, and what it may not exceed.
REACHED = {
    "instances": ("dice", 0.4, 1.0), "segment": ("mean_iou", 0.5, 1.0), "detect": ("recall", 0.3, 1.0),
    "count": ("count_mape", 0.0, 0.6),
}  # fmt: skip
SMALL = {"network": "unet:width=4:depth=2", "tile": 64, "steps": 2, "validations": 1, "batch": 2}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """Six fields by task: every cell with its number, its centre, and cell or background."""
    folder = fields(tmp_path_factory.mktemp("fields"), cells=90, groups=6, wells=1).folder
    labels = Manifest.read(folder, truth="mask")
    names = []
    for path in labels.table["truth"]:
        pixels = tifffile.imread(folder / path)
        tifffile.imwrite(folder / f"{path}.cells.tif", (pixels > 0).astype(np.uint8))
        table = Labels.of(pixels).objects[["centroid-0", "centroid-1"]]
        table.to_csv(folder / f"{path}.csv", index=False)
        names.append(f"{path}.csv")
    maps = replace(labels, table=labels.table.assign(truth=labels.table["truth"] + ".cells.tif"))
    points = replace(labels, table=labels.table.assign(truth=names), kinds={**labels.kinds, "truth": "objects"})
    kinds = {"segment": "regions", "instances": "labels"}
    made = {"instances": labels, "segment": maps, "detect": points, "count": points}
    return {name: replace(rows, kinds={**rows.kinds, "truth": kinds.get(name, "objects")})
            for name, rows in made.items()}  # fmt: skip


@pytest.mark.parametrize("name", REACHED)
def test_a_rule_is_fitted_settled_kept_and_judged(name: str, worlds: dict[str, Manifest], tmp_path: Path) -> None:
    task, world = find_task(name), worlds[name]
    plan = ruled(planned(Facts.of(world), task, **SMALL), "trivial", task)
    train(world, task, into=tmp_path / "run", plan=plan)
    bundle = Bundle.load(tmp_path / "run" / "bundle")
    assert isinstance(bundle.members[0], RuleMember) and bundle.card.plan.halo is not None
    told = predict(world, bundle, into=tmp_path / "told")
    assert told.table["prediction.error"].isna().all() and told.origin["prediction.engine"] == "rule trivial"
    metric, low, high = REACHED[name]
    value = evaluate(told, draws=0).numbers["prediction"][metric].value
    assert low <= value <= high


def test_a_report_of_masks_shows_the_network_beside_what_is_trivial(
    worlds: dict[str, Manifest], tmp_path: Path
) -> None:
    task, world = find_task("instances"), worlds["instances"]
    plan = planned(Facts.of(world), task, **SMALL)
    choices = protocol.Choices(folds=3, holdout=True, draws=50, audit=False, maps=False, gallery=False)
    told = protocol.run(world, task, into=tmp_path / "run", plan=plan, choices=choices)
    assert list(told.report.numbers) == ["prediction", "prediction@trivial"]
    (duel,) = told.report.contests
    assert (duel.first, duel.second) == ("prediction", "prediction@trivial") and "dsb_ap" in duel.differences
    assert told.report.numbers["prediction@trivial"]["dice"].value > 0.4
    card = Bundle.load(next((tmp_path / "run" / "folds").glob("network@trivial-*")) / "bundle").card
    assert card.plan.settings["smallest"] >= 16 and card.plan.halo is not None
    assert "trivial" in told.page.read_text("utf-8")


def test_names_without_a_baseline_are_refused_or_left_out(worlds: dict[str, Manifest], tmp_path: Path) -> None:
    task, world = find_task("segment"), worlds["segment"]
    with pytest.raises(PlanError, match="there is no estimator 'forrest'"):
        protocol.run(world, task, into=tmp_path / "run", choices=protocol.Choices(baselines=("forrest",)))
    with pytest.raises(PlanError, match="there is no rule 'forest' for answers of kind 'labels'"):
        find_rule("forest", "labels")
    with pytest.raises(BundleError, match="the numbers are damaged"):
        RuleMember.loads({".safetensors": b"no numbers"}, task, Plan(network="trivial"), "weights")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("channel", [0, 1])
def test_spots_are_found_whatever_their_colour(sign: int, channel: int) -> None:
    rng, detect = np.random.default_rng(0), find_task("detect")
    image = rng.normal(100, 3, (2, 96, 96)).astype(np.float32)
    middles = np.array([[y, x] for y in (12, 40, 70) for x in (15, 45, 80)])
    y, x = np.indices((96, 96))
    for row, column in middles:
        image[channel] += sign * 60 * (np.hypot(y - row, x - column) < 5)
    plan = Plan(task="detect", channels=("a", "b"), classes=("odd", "usual"), settings={"boxes": 0.0, "near": 25.0})
    places = np.column_stack([middles + 0.5, middles + 0.5, np.ones(9)]).astype(float)
    rule = Blobs()
    fitted = rule.fit([Seen(image, places)], plan)
    answer = detect.decode({"output": rule.maps(image, fitted, plan)}, plan)
    truth = Objects(DataFrame(middles.astype(float), columns=["centroid-0", "centroid-1"]), radius=3)
    assert isinstance(answer, Objects) and set(answer.table["class"]) == {"usual"}
    figures = Objects.summarise(answer.compare(replace(truth, table=truth.table.assign(**{"class": "usual"}))),
                                np.ones((1, 1)))  # fmt: skip
    assert figures["f1"][0] == 1


def test_an_image_without_contrast_holds_nothing() -> None:
    flat = np.full((1, 40, 40), 7, np.uint16)
    assert (foreground(flat) < 0).all() and (bands(flat[0], 3) == 0).all()
    empty = Blobs().fit([Seen(flat, np.empty((0, 5)))], Plan(channels=("a",)))
    assert np.isfinite(Blobs().maps(flat, empty, Plan(channels=("a",)))).all()
