"""The example bundles in the package: small, labelled, made by a committed recipe, answering offline at once."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as Pillow
from recipe_of import recipe_of

from potency import Bundle, evaluate, predict
from potency.bundle.shipped import SCHEME, labels, located, shipped
from potency.cli import run
from potency.errors import BundleError
from potency.simulate import simulate

SAID = ("title", "about", "licence", "recipe", "simulated")


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return recipe_of("examples")


def test_what_ships_is_what_the_recipe_makes(recipe: ModuleType) -> None:
    assert set(shipped(SCHEME)) == set(recipe.EXAMPLES)
    for name, label in labels(SCHEME).items():
        example = recipe.EXAMPLES[name]
        assert (label["title"], label["about"], label["licence"]) == (example.title, example.about, example.licence)
        assert label["recipe"] == f"python recipes/examples.py {name}"


@pytest.mark.parametrize("name", shipped(SCHEME))
def test_an_example_is_small_labelled_and_honest(name: str) -> None:
    folder = located(f"example:{name}")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8 * 2**20
    bundle = Bundle.load(f"example:{name}")  # checks that it answers its own examples as it did
    assert all(bundle.card.data[part] not in ("", None) for part in SAID) and len(bundle.examples) == 4
    text = (folder / "card.json").read_text("utf-8")
    assert str(Path.home()) not in text and "/tmp" not in text
    if bundle.card.data["simulated"]:
        assert "SIMULATED" in bundle.card.data["about"] and "simulated" in bundle.card.data["title"]
    assert {"temperature", "set", "ood"} <= set(bundle.card.trust) and bundle.members[0].known is not None
    assert (bundle.gallery is not None) == bool(bundle.card.data["simulated"]), "no real image ships"
    accuracy = bundle.card.validation["metrics"]["balanced_accuracy"]
    assert accuracy["low"] > 1 / len(bundle.card.plan.classes), "no better than guessing"


def test_an_example_answers_a_file_at_the_first_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = simulate(tmp_path / "cells", kind="crops", cells=4, groups=4, wells=1, seed=9)
    image = str(next(iter(cells.paths(cells.records()[0]).values())))
    assert run(["predict", "example:medium", image, "--into", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["simulated"] is True and answer["errors"] == 0 and "SIMULATED" in captured.err
    assert "on groups it had not seen: ." in captured.err
    row = answer["predictions"][0]
    assert row["prediction"] in Bundle.load("example:medium").card.plan.classes
    shares = [v for k, v in row.items() if k.startswith("prediction.probability.")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_a_grey_picture_saved_in_colour_is_answered_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.random.default_rng(0).integers(90, 160, (64, 64)).astype(np.uint8)
    Pillow.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "screenshot.png")
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    files = [str(tmp_path / name) for name in ("screenshot.png", "grey.png")]
    assert run(["predict", "example:medium", *files, "--into", str(tmp_path / "out"), "--json"]) == 0
    colour, plain = json.loads(capsys.readouterr().out)["predictions"]
    assert colour["prediction"] == plain["prediction"]


def test_an_example_knows_cells_it_never_saw(tmp_path: Path) -> None:
    cells = simulate(tmp_path / "cells", kind="crops", cells=120, groups=6, wells=2, seed=77)
    told = predict(cells, Bundle.load("example:medium"), into=None)
    assert evaluate(told, draws=0).numbers["prediction"]["balanced_accuracy"].value > 0.5  # of four; simulated


def test_an_example_knows_what_is_unlike_its_images(tmp_path: Path) -> None:
    cells = simulate(tmp_path / "cells", kind="crops", cells=24, groups=6, wells=1, seed=78)
    own, other = (predict(cells, Bundle.load(f"example:{name}"), into=None) for name in ("medium", "cell-cycle"))
    assert own.table["prediction.abstain"].str.contains("ood").mean() < 0.2
    assert other.table["prediction.abstain"].str.contains("ood").all(), "cells of another kind are no Prophase"


def test_an_unknown_example_is_named_with_the_nearest() -> None:
    with pytest.raises(BundleError, match="there is no example 'medum'") as caught:
        Bundle.load("example:medum")
    assert caught.value.mend == "did you mean 'medium'?"
