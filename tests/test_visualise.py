"""Pictures that a network answers to: known optima are found, scores rise above real images, nothing is hidden."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from zoo import ages, cells

from potency.bundle import Bundle
from potency.cli import run as command
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.readers import open_image
from potency.errors import PlanError
from potency.explanation.ascent import Ascent, ascend, blurred, moved, rough
from potency.explanation.visualise import channel_goals, goals_of, visualise
from potency.explanation.visualised import verdict, write_page
from potency.learning.train import train
from potency.tasks import TASKS

BARE = Ascent(steps=300, seeds=2, rate=0.1, decay=0, shift=0, turn=0, zoom=0, variation=0, energy=0, clip=1e9)
GREY = torch.full((1, 12, 10), 0.5)


def linear(seed: int = 0) -> Tensor:
    return torch.randn(1, 12, 10, generator=torch.Generator().manual_seed(seed))


def test_the_optimum_of_a_linear_network_is_black_and_white_where_its_weights_say_so() -> None:
    weights = linear()
    found = ascend(lambda images: (images * weights).sum((1, 2, 3)), GREY, BARE)
    best = float(weights.clamp_min(0).sum())
    clear = weights.abs() > 0.3
    for picture, score in zip(found.pictures, found.scores, strict=True):
        assert torch.equal((picture > 0.5)[clear], (weights > 0)[clear])
        assert float(score) > 0.97 * best
    assert (found.way[-1] > found.way[0]).all()


def test_with_a_weight_on_energy_the_optimum_is_the_known_one() -> None:
    """score / size - energy * mean((x - 0.5)^2) is largest at x = 0.5 + weights * pixels / (2 * energy * size)."""
    weights, pixels = linear(1), 120
    energy, size = 40.0, float(pixels)
    expected = 0.5 + weights * pixels / (2 * energy * size)
    settings = Ascent(**{**vars(BARE), "energy": energy, "steps": 500, "rate": 0.02})
    found = ascend(lambda images: (images * weights).sum((1, 2, 3)), GREY, settings, spread=size)
    np.testing.assert_allclose(found.pictures, expected.expand_as(found.pictures), atol=0.01)


def test_regularisers_do_what_they_are_for() -> None:
    weights = linear(2)

    def score(images: Tensor) -> Tensor:
        return (images * weights).sum((1, 2, 3))

    bare = ascend(score, GREY, BARE).pictures
    smooth = ascend(score, GREY, Ascent(**{**vars(BARE), "variation": 20.0})).pictures
    low = ascend(score, GREY, Ascent(**{**vars(BARE), "decay": 2.0, "steps": 40})).pictures
    early = ascend(score, GREY, Ascent(**{**vars(BARE), "steps": 40})).pictures
    assert rough(smooth).mean() < 0.6 * rough(bare).mean() and rough(low).mean() < rough(early).mean()
    image = torch.rand(2, 3, 20, 24)
    expected = gaussian_filter(image.numpy(), (0, 0, 1.5, 1.5), mode="nearest", truncate=10 / 3)
    np.testing.assert_allclose(blurred(image, 1.5), expected, atol=1e-3)
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    assert float(rough(step)) == pytest.approx(4 / 12)


def test_moves_are_small_seeded_and_turn_by_true_angles() -> None:
    image = torch.zeros(1, 1, 31, 61)
    image[0, 0, 15, 40] = 1  # ten pixels right of the middle
    quarter = Ascent(shift=0, zoom=0, turn=90)

    class Full(torch.Generator):
        pass

    draw = Full().manual_seed(3)
    chance = float(torch.rand((4, 1), generator=torch.Generator().manual_seed(3))[0, 0]) * 2 - 1
    place = moved(image, quarter, draw)[0, 0]
    y, x = np.unravel_index(int(place.argmax()), place.shape)
    angle = np.radians(90 * chance)
    assert abs((x - 30) - 10 * np.cos(angle)) < 1 and abs(abs(y - 15) - 10 * abs(np.sin(angle))) < 1
    assert torch.equal(moved(image, BARE, draw), image)
    wide = moved(torch.rand(64, 1, 20, 20), Ascent(shift=0.1), torch.Generator().manual_seed(0))
    assert wide.shape == (64, 1, 20, 20) and float(wide.min()) >= 0


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others() -> None:
    weights = linear()

    def told(seed: int) -> Tensor:
        return ascend(lambda images: (images * weights).sum((1, 2, 3)).tanh(), GREY, Ascent(steps=5), seed).pictures

    assert torch.equal(told(1), told(1))
    assert not torch.allclose(told(1), told(2), atol=0.01)
    assert not torch.allclose(told(1)[0], told(1)[1], atol=0.01)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"steps": 0}, {"decay": -1.0}, {"rate": float("nan")}):
        with pytest.raises(PlanError, match=f"{next(iter(wrong))} .* is impossible"):
            Ascent(**wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("visualised")
    rows = cells(folder / "cells")
    plan = Plan.of(Facts.of(rows), task="classify", steps=60, validations=1, batch=16, average=0.8, test_views=1)
    one = train(rows, TASKS["classify"], into=folder / "one", plan=plan)
    return rows, one, train(rows, TASKS["classify"], into=folder / "two", plan=plan.but(seed=5))


def test_scores_rise_far_above_real_images_and_a_second_model_is_asked(
    learned: tuple[Manifest, Bundle, Bundle], tmp_path: Path
) -> None:
    rows, bundle, other = learned
    ascent = Ascent(steps=120, seeds=2)
    found = visualise(bundle, goals_of(bundle), into=tmp_path, images=rows, other=other, ascent=ascent)
    assert [shown.goal.name for shown in found] == ["neuron", "stem"]
    for shown in found:
        assert shown.compared == 48 and shown.high <= shown.best
        for picture in shown.pictures:
            assert picture.score > shown.best + (shown.best - shown.high)
            assert picture.answer == shown.goal.name and picture.probability > 0.5
            assert picture.other in ("neuron", "stem") and 0 <= picture.agreed <= 1
            kept = open_image(tmp_path / picture.path).crop()
            np.testing.assert_array_equal(kept, picture.pixels)
            low, high = bundle.card.plan.scaling[bundle.card.plan.channels[0]]
            assert low <= picture.pixels.min() and picture.pixels.max() <= high  # the values of the images
    member = bundle.members[0]
    crop = member.crops([{"image": found[0].pictures[0].pixels}])  # type: ignore[attr-defined]
    again = goals_of(bundle)[0].score(member.nets, torch.from_numpy(crop))  # type: ignore[attr-defined]
    assert float(again.detach()) == pytest.approx(found[0].pictures[0].score, rel=1e-3)
    table = pd.read_csv(tmp_path / "visualised.csv")
    assert len(table) == 4 and set(table["goal"]) == {"neuron", "stem"}
    assert len(Manifest.read(tmp_path / "visualised.csv")) == 4  # what `predict` reads
    text = write_page(found, bundle, tmp_path, ascent, "noise").read_text("utf-8")
    assert "4 of 4 pictures score higher than the best of 48 real images" in text
    assert "What they are not" in text and "no cell looks like this" in text and "SIMULATED" in text
    assert text.count("<b>best real image</b>") == 2 and "second model: " in text


def test_a_mean_start_an_ensemble_a_difference_and_no_images(
    learned: tuple[Manifest, Bundle, Bundle], tmp_path: Path
) -> None:
    from dataclasses import replace

    rows, bundle, other = learned
    quick = Ascent(steps=2, seeds=1, contrast=0.01)
    goals = goals_of(bundle, ["stem"], against="neuron")
    (mean,) = visualise(bundle, goals, into=tmp_path, images=rows, start="mean", ascent=quick)
    crops = bundle.members[0].crops([{"image": rows.open(row).crop()} for row in rows.records()])  # type: ignore[attr-defined]
    seen = bundle.members[0].crops([{"image": mean.pictures[0].pixels}])[0]  # type: ignore[attr-defined]
    assert np.corrcoef(seen.ravel(), crops.mean(0).ravel())[0, 1] > 0.9
    card = replace(bundle.card, plans=bundle.card.plans + other.card.plans)
    both = replace(bundle, members=bundle.members + other.members, card=card, folder=None)
    (shown,) = visualise(both, goals_of(both, ["stem"]), into=tmp_path, ascent=quick)
    assert shown.compared == len(both.examples) and "example" in shown.best_image
    assert "No second model was asked" in verdict([shown])
    bare = replace(bundle, examples=())
    with pytest.raises(PlanError, match="no image to take the mean of"):
        visualise(bare, goals, into=tmp_path, start="mean", ascent=quick)
    with pytest.raises(PlanError, match="no start 'mea'(.|\n)*did you mean 'mean'"):
        visualise(bundle, goals, into=tmp_path, start="mea", ascent=quick)
    with pytest.raises(PlanError, match="knows no class 'stemm'(.|\n)*'stem'"):
        goals_of(bundle, ["stemm"])
    with pytest.raises(PlanError, match="no score 'logitt'"):
        goals_of(bundle, score="logitt")


def test_channels_of_a_layer_are_goals_too(learned: tuple[Manifest, Bundle, Bundle], tmp_path: Path) -> None:
    rows, bundle, _ = learned
    layer = next(name for name, part in bundle.members[0].nets.named_modules()  # type: ignore[attr-defined]
                 if isinstance(part, torch.nn.Conv2d))  # fmt: skip
    (goal,) = channel_goals(bundle, layer, [1])
    edges = Ascent(steps=100, seeds=1, variation=0.1, energy=0.1)  # what a first layer answers to is rough
    (shown,) = visualise(bundle, [goal], into=tmp_path, images=rows, ascent=edges)
    assert shown.pictures[0].score > shown.best and np.isnan(shown.pictures[0].probability)
    assert not bundle.members[0].nets.get_submodule(layer)._forward_hooks  # type: ignore[attr-defined]
    with pytest.raises(PlanError, match="there is no channel 9999(.|\n)*from 0 to"):
        channel_goals(bundle, layer, [9999])
    with pytest.raises(PlanError, match="no layer 'net.lineaar'(.|\n)*net.linear"):
        channel_goals(bundle, "net.lineaar", [0])


def test_a_number_has_a_highest_and_a_lowest_picture(tmp_path: Path) -> None:
    rows = ages(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), task="quantify", steps=20, validations=1, batch=16, average=0.8, test_views=1)
    bundle = train(rows, TASKS["quantify"], into=tmp_path / "run", plan=plan)
    high, low = visualise(bundle, goals_of(bundle), into=tmp_path, images=rows, ascent=Ascent(steps=40, seeds=1))
    assert float(high.pictures[0].answer) > float(low.pictures[0].answer)
    with pytest.raises(PlanError, match="knows no classes"):
        goals_of(bundle, ["old"])


def test_visualise_on_the_command_line(
    learned: tuple[Manifest, Bundle, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, bundle, other = learned
    words = ["visualise", str(bundle.folder), "--images", str(rows.folder), "--steps", "3"]
    words += ["--other", str(other.folder)]
    assert command([*words, "--classes", "stem", "--pictures", "2", "--into", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["goals"]) == ["stem"] and len(told["goals"]["stem"]["scores"]) == 2
    assert Path(told["page"]).is_file() and Path(told["table"]).is_file()
    for extra, message in (
        (["--classes", "stm"], "did you mean 'stem'"), (["--layer", "x"], "no layer 'x'"),
        (["--layer", "net", "--units", "a"], "no number of a channel"), (["--start", "nose"], "did you mean 'noise'"),
    ):  # fmt: skip
        assert command([*words, *extra]) == 2
        assert message in capsys.readouterr().err
