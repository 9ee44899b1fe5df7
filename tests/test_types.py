"""Classes of objects, as a head more of the network that outlines them: learned, decoded, joined over tiles, judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import nn

from potency.answers import Labels
from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.tiles import cover
from potency.errors import PlanError
from potency.evaluation.evaluate import evaluate
from potency.inference.predict import predict
from potency.learning.planning import planned
from potency.learning.train import train
from potency.tasks import find_task

TASK = find_task("instances")
SIDE = 64


def world(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Nine objects of 10 px: full ones and rings, in places that a little chance has moved."""
    pixels, labels = rng.normal(20, 3, (SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint16)
    y, x = np.mgrid[:SIDE, :SIDE]
    kinds = rng.permutation(["full", "ring"] * 4 + ["full"])
    for number, kind in enumerate(kinds, 1):
        at = np.array([12 + 20 * ((number - 1) // 3), 12 + 20 * ((number - 1) % 3)]) + rng.integers(-2, 3, 2)
        far = np.hypot(y - at[0], x - at[1])
        labels[far <= 6] = number
        pixels[(far <= 6) & ((kind == "full") | (far > 3))] += 150
    return pixels.clip(0, 255).astype(np.uint8), labels, pd.DataFrame({"label": range(1, 10), "class": kinds})


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six images; of one nobody has classified the objects, and one is empty."""
    folder, rng, rows = tmp_path_factory.mktemp("typed"), np.random.default_rng(0), []
    for k in range(6):
        pixels, labels, objects = world(rng)
        if k == 5:
            labels[:], pixels, objects = 0, rng.normal(20, 3, pixels.shape).clip(0).astype(np.uint8), objects[:0]
        tifffile.imwrite(folder / f"{k}.tif", pixels)
        tifffile.imwrite(folder / f"{k}.mask.tif", labels)
        (objects.assign(**{"class": "unclassified"}) if k == 4 else objects).to_parquet(folder / f"{k}.parquet")
        rows.append({"id": str(k), "image": f"{k}.tif", "truth": f"{k}.mask.tif", "truth.objects": f"{k}.parquet",
                     "group": str(k)})  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return Manifest.read(folder / "rows.csv")


def test_classes_are_learned_in_the_same_pass_and_judged(typed: Manifest, tmp_path: Path) -> None:
    # Thresholds settle whatever classes an image has: of the two that choose them one has none that are known.
    rows = typed.add({"split": ["train"] * 3 + ["validation"] * 2 + ["train"]})
    changes = {"network": "unet:width=6:depth=2", "decoder": "distance", "augment": {}, "tile": SIDE, "batch": 6}
    plan = planned(Facts.of(rows), TASK, steps=50, average=0.8, rate=0.02, validations=1, **changes)
    train(rows, TASK, into=tmp_path / "run", plan=plan)
    bundle = Bundle.load(tmp_path / "run" / "bundle")
    assert bundle.card.plan.classes == ("full", "ring") and TASK.heads(bundle.card.plan)[-1] == 2
    told = predict(rows, bundle, into=tmp_path / "out")
    first = bundle([{"image": tifffile.imread(typed.folder / "0.tif")[None]}])[0]
    assert isinstance(first, Labels) and set(first.objects["class"]) <= {"full", "ring"}
    assert first.objects["class_probability"].between(0.5, 1).all()
    figures = evaluate(told.where(told.table["id"] != "4"), draws=0).numbers["prediction"]
    assert figures["dsb_ap.50"].value > 0.8 and figures["f_c"].value > 0.8
    assert {"f_c.full", "f_c.ring", "mpq", "coco_ap"} <= set(figures)


def answered(labels: np.ndarray, kinds: np.ndarray, plan: Plan) -> Labels:
    """What the task makes of the output of a network that is nearly perfect."""
    from potency.decoding import DECODERS

    maps = DECODERS["distance"].encode(labels)
    maps[0] = 8 * maps[0] - 4
    answer = TASK.decode({"output": np.concatenate([maps, kinds]).astype(np.float32)}, plan)
    assert isinstance(answer, Labels)
    return answer


def test_an_object_has_the_mean_of_its_pixels_and_keeps_it_over_tiles() -> None:
    plan = Plan(channels=("a",), classes=("a", "b"), decoder="distance")
    labels = np.zeros((40, 60), np.int32)
    labels[4:14, 4:14], labels[20:30, 25:40] = 1, 2
    kinds = np.zeros((2, 40, 60))
    kinds[1, 20:30, 25:33], kinds[0, 20:30, 33:40] = 2.0, 1.0  # 80 pixels say b, 70 say a
    answer = answered(labels, kinds, plan)
    share = (80 / (1 + np.exp(-2)) + 70 / (1 + np.exp(1))) / 150
    assert answer.objects["class"].tolist() == ["a", "b"]
    assert answer.objects["class_probability"].tolist() == pytest.approx([0.5, share])
    parts = []
    for tile in cover(labels.shape, 44, 12):
        y, x = tile.window(labels.shape).values()
        parts.append((tile, answered(labels[y, x], kinds[:, y, x], plan)))
    whole = Labels.stitch(parts, labels.shape)
    pd.testing.assert_frame_equal(whole.objects, answer.objects, check_dtype=False)
    # Without an object the table still has the column, or no image of the set would be judged by class.
    none = answered(labels * 0, kinds, plan)
    for empty in (none, Labels.stitch([(cover((40, 60), 64)[0], none)], (40, 60))):
        assert empty.count == 0 and {"class", "score"} <= set(empty.objects.columns)


def test_what_nobody_classified_teaches_outlines_alone(typed: Manifest) -> None:
    _, labels, objects = world(np.random.default_rng(1))
    plan = Plan(channels=("a",), classes=("full", "ring"), decoder="distance", tile=SIDE, network="unet")
    names = objects["class"].to_list()
    truth = Labels.of(labels, objects.assign(**{"class": [None, "unclassified", *names[2:]]}))
    drawn = TASK.drawn(truth, plan)
    assert (drawn[1][labels <= 2] == -1).all() and not (drawn[1][labels > 2] == -1).any()
    for number in (3, 9):
        assert (drawn[1][labels == number] == plan.classes.index(names[number - 1])).all()
    assert (TASK.drawn(Labels.of(labels), plan)[1] == -1).all()
    assert TASK.prepare(plan.but(classes=()), [truth, Labels.of(labels)]).classes == ("full", "ring")
    one = Labels.of(labels, objects.assign(**{"class": "nucleus"}))
    for truths in ([Labels.of(labels)], [one]):  # nothing to tell apart: nothing changes
        plain = TASK.prepare(plan.but(classes=()), truths)
        assert plain.classes == () and TASK.heads(plain) == (1, 1) and len(TASK.drawn(truths[0], plain)) == 1
    with pytest.raises(PlanError, match="the class 'nucleus' of an object is not in the plan"):
        TASK.drawn(one, plan)
    batch = {name: torch.as_tensor(value)[None] for name, value in TASK.target(drawn, plan).items()}
    output = torch.randn(1, 4, SIDE, SIDE, requires_grad=True)

    class Said(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"output": output}

    next(TASK.losses(nn.ModuleDict({"net": Said()}), batch | {"image": output}, plan))[1].backward()  # type: ignore[no-untyped-call]
    slope = output.grad[0, 2:].abs().sum(0).numpy()  # type: ignore[index]
    assert (slope[labels > 2] > 0).all() and (slope[labels <= 2] == 0).all()
