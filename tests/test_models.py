"""The models that come with the program: small, labelled, what their recipe makes, and answering at the first try."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from recipe_of import recipe_of

from potency.answers import Labels
from potency.bundle import Bundle
from potency.bundle.shipped import labels, located, shipped
from potency.cli import run

PARAMETERS, SEEN = 4e6, 96  # at most, of a network; px that it sees each way


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return recipe_of("models")


def test_what_ships_is_what_the_recipe_makes(recipe: ModuleType) -> None:
    assert shipped("") and set(shipped("")) <= set(recipe.MODELS)
    for name, label in labels("").items():
        model = recipe.MODELS[name]
        assert (label["title"], label["about"], label["licence"]) == (model.title, model.about, model.licence)
        plan = Bundle.load(name).card.plan
        made = {**model.changes, **(model.further if "--start" in label["recipe"] else {})}
        fields = ("network", "batch", "steps", "rate", "validations")
        assert {each: getattr(plan, each) for each in fields} == {each: made[each] for each in fields}


@pytest.mark.parametrize("name", shipped(""))
def test_a_model_is_small_sees_little_and_holds_no_image_of_anybody(name: str, recipe: ModuleType) -> None:
    folder = located(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8 * 2**20
    bundle = Bundle.load(name)  # checks that it answers its own examples as it did
    for at, example in enumerate(bundle.examples):
        np.testing.assert_array_equal(example["image"], recipe.field(at))
    (net,) = bundle.members[0].nets.values()  # type: ignore[attr-defined]
    assert sum(weight.numel() for weight in net.parameters()) <= PARAMETERS and net.halo <= SEEN
    text = (folder / "card.json").read_text("utf-8")
    assert str(Path.home()) not in text and "/tmp" not in text


def discs(side: int, radius: float, dark: bool) -> tuple[np.ndarray, int]:
    """Bright or dark discs apart from each other on a noisy ground, and how many there are."""
    rng, step = np.random.default_rng(0), int(3.2 * radius)
    y, x = np.mgrid[:side, :side]
    light, count = np.full((side, side), 30.0), 0
    for v in range(step // 2, side - step // 2 + 1, step):
        for u in range(step // 2, side - step // 2 + 1, step):
            light += 120 * np.clip(radius - np.hypot(y - v, x - u), 0, 1)
            count += 1
    light += rng.normal(0, 3, light.shape)
    return (255 - light if dark else light).clip(0, 255).astype(np.uint8), count


@pytest.mark.parametrize("radius, dark", [(5, False), (12, False), (30, False), (12, True)])
def test_nuclei_finds_discs_of_any_size_bright_or_dark(radius: float, dark: bool) -> None:
    image, count = discs(256, radius, dark)
    (answer,) = Bundle.load("nuclei")([{"image": image[None]}])
    assert isinstance(answer, Labels)
    areas = answer.objects["area"].to_numpy()
    right = np.abs(np.sqrt(areas / np.pi) / radius - 1) < 0.25
    assert right.sum() >= 0.9 * count and answer.count <= 1.15 * count


def test_a_stack_of_channels_is_asked_for_one_and_a_picture_in_colour_is_seen_in_grey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, count = discs(128, 8, False)
    stack = np.stack([np.full_like(image, 9), image])
    tifffile.imwrite(tmp_path / "stack.tif", stack, ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["a", "b"]}})
    tifffile.imwrite(tmp_path / "colour.tif", np.stack([image] * 3, -1), photometric="rgb")
    call = ["predict", "nuclei", str(tmp_path / "stack.tif"), "--into", str(tmp_path / "out"), "--json"]
    assert run(call) != 0
    assert "2 channels (a, b)" in capsys.readouterr().err
    for more, file in ((["--channel", "b"], "stack"), ([], "colour")):
        into = ["--into", str(tmp_path / f"out-{file}"), "--json"]
        assert run(["predict", "nuclei", str(tmp_path / f"{file}.tif"), *more, *into]) == 0
        (row,) = json.loads(capsys.readouterr().out)["predictions"]
        assert abs(row["prediction.count"] - count) <= 2
    assert run(["predict", "nuclei", str(tmp_path / "colour.tif"), "--into", str(tmp_path / "said")]) == 0
    said = "".join(capsys.readouterr()).split()
    assert said[said.index("objects") + 1 :][:2] == ["colour.tif", str(row["prediction.count"])]
    assert said[said.index("show") + 1] == str(tmp_path / "said/predictions.parquet")
