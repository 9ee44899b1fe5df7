"""Pre-training without labels: its losses against other implementations, a watch that sees collapse, weights to use."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run
from potency.data.manifest import Manifest
from potency.data.plan import Facts
from potency.errors import PlanError
from potency.learning.account import SEEN, begun
from potency.learning.planning import planned
from potency.learning.protocol import Choices
from potency.learning.protocol import run as protocol
from potency.learning.train import train
from potency.learning.unlabelled import embedded, neighbours, was_seen
from potency.networks.weights import load_weights
from potency.tasks import find_task
from potency.tasks.resemble import agreement, contrast, sphere


def rows_of(folder: Path) -> Manifest:
    """The zoo without its truth, as images come that nobody has labelled."""
    made = cells(folder)
    return replace(made, table=made.table.drop(columns=["truth"]), kinds={})


@pytest.fixture(scope="module", params=["simclr", "vicreg"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Manifest, Path]:
    place = tmp_path_factory.mktemp(request.param)
    rows, task = rows_of(place / "cells"), find_task(request.param)
    plan = planned(Facts.of(rows), task, steps=40, batch=16, validations=4)
    return train(rows, task, into=place / "run", plan=plan), rows, place / "run"


def test_nt_xent_is_what_its_formula_says() -> None:
    one, other = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).unbind()
    both = [*one, *other]
    total = 0.0
    for i in range(12):  # equation 1 of the paper, term by term
        like = [math.exp(float(torch.cosine_similarity(both[i], both[k], dim=0)) / 0.3) for k in range(12)]
        total -= math.log(like[(i + 6) % 12] / sum(like[k] for k in range(12) if k != i))
    assert float(contrast(one, other, 0.3)) == pytest.approx(total / 12, rel=1e-5)


def test_vicreg_terms_are_what_numpy_says() -> None:
    one, other = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(1)).unbind()
    invariance, variance, covariance = map(float, agreement(one, other))
    assert invariance == pytest.approx(float(((one - other) ** 2).mean()), rel=1e-5)
    short = [np.maximum(0, 1 - np.sqrt(v.numpy().var(0, ddof=1) + 1e-4)).mean() for v in (one, other)]
    assert variance == pytest.approx(np.mean(short), abs=1e-5)
    matrices = [np.cov(v.numpy().T) for v in (one, other)]
    off = sum((m[~np.eye(4, dtype=bool)] ** 2).sum() / 4 for m in matrices)
    assert covariance == pytest.approx(off, rel=1e-4)


def test_the_sphere_is_measured_right_where_it_is_known() -> None:
    rng = torch.Generator().manual_seed(0)
    full = torch.randn(2000, 16, generator=rng)
    found = sphere(full, full)
    assert found["alignment"] == 0 and not found["collapsed"]
    assert found["spread"] == pytest.approx(1, abs=0.01) and found["rank"] == pytest.approx(16, rel=0.05)
    # Of points spread evenly, the mean of exp(-2 d^2) = exp(-4) * E[exp(4 t)]; t is nearly normal with variance 1/16.
    assert found["uniformity"] == pytest.approx(-4 + 8 / 16, abs=0.1)
    flat = full * torch.tensor([1.0, 1.0] + [0.0] * 14)
    assert sphere(flat, flat)["rank"] == pytest.approx(2, rel=0.05)
    opposite = sphere(full, -full)
    assert opposite["alignment"] == pytest.approx(4)


@pytest.mark.parametrize("collapsed", ["a point", "a line"])
def test_collapse_is_seen_and_never_kept(collapsed: str) -> None:
    rng = torch.Generator().manual_seed(0)
    base = torch.rand(1, 8, generator=rng)
    drift = torch.rand(64, 1, generator=rng) * torch.rand(1, 8, generator=rng)
    point = base + (1e-4 if collapsed == "a point" else 0.5) * drift
    task, plan = find_task("simclr"), planned_for("simclr")
    outputs = {"output": point, "embedding": point}
    watched = task.watch([outputs, outputs], plan)
    assert watched["collapsed"] == 1 and watched["score"] == -math.inf
    sound = torch.randn(64, 8, generator=rng)
    assert "score" not in task.watch([{"output": sound, "embedding": sound}] * 2, plan)


def planned_for(name: str) -> object:
    facts = Facts(100, ("a",), 32, None, {"a": (0.0, 1.0)}, ("x", "y"))
    return planned(facts, find_task(name))


def test_the_task_says_what_suits_it_and_people_say_otherwise() -> None:
    facts = Facts(100, ("a",), 32, None, {"a": (0.0, 1.0)}, ("x", "y"))
    plan = planned(facts, find_task("simclr"))
    assert plan.classes == () and plan.augment["crop"] > 0 and plan.dropout == 0
    assert planned(facts, find_task("simclr"), augment={"flip": 1}).augment == {"flip": 1.0}
    assert planned(facts, find_task("classify")).augment == {}


def test_a_table_without_labels_is_learned_from_and_watched(encoder: tuple[Bundle, Manifest, Path]) -> None:
    bundle, rows, into = encoder
    log = bundle.card.validation["log"]
    assert log[-1]["watch_loss"] < log[0]["watch_loss"]  # on views of groups that were not learned from
    assert not log[-1]["watch_collapsed"] and log[-1]["best"]
    assert {"watch_alignment", "watch_uniformity", "watch_spread", "watch_rank"} <= set(log[-1])
    assert bundle.card.validation["probe"] == {}
    again = Bundle.load(into / "bundle")
    assert again.fingerprint == bundle.fingerprint
    answer = again([{"image": rows.open(rows.table.iloc[0]).crop()}])[0]
    assert answer.kind == "vector" and len(answer.values) == embedded(rows, again).shape[1]


def test_on_screen_an_embedding_is_told_in_short_and_the_files_hold_it_whole(
    encoder: tuple[Bundle, Manifest, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, rows, into = encoder
    older = {"prediction": ["a"] * 3, "prediction.probability.a": [0.9] * 3}
    rows.where(lambda table: table.index < 3).add(older).write(tmp_path / "rows.csv")
    assert run(["predict", str(into / "bundle"), str(tmp_path / "rows.csv"), "--into", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    width = embedded(rows, bundle).shape[1]
    assert sum(f" {width} numbers: " in line and line.rstrip().endswith("...") for line in said) == 3
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert table["prediction"].map(len).eq(width).all()
    assert "prediction.probability.a" not in table and not any("0.900" in line for line in said)  # of the older answer


def test_the_card_says_which_images_were_seen(encoder: tuple[Bundle, Manifest, Path]) -> None:
    bundle, rows, _ = encoder
    seen = was_seen(bundle.card, rows)
    assert seen is not None and seen.sum() == bundle.card.data["rows"]
    assert set(rows.table["group"][seen]) == set(bundle.card.data["seen_groups"])
    assert set(rows.table["group"][~seen]).isdisjoint(bundle.card.data["seen_groups"])


def test_a_report_says_what_its_start_had_seen(encoder: tuple[Bundle, Manifest, Path]) -> None:
    bundle, rows, _ = encoder
    seen = was_seen(bundle.card, rows)
    assert seen is not None
    assert begun([bundle.card], rows) == [
        f"the encoder started from had seen {seen.mean():.0%} of these images, without their labels"
    ]
    assert begun([bundle.card], rows.where((~seen).tolist())) == []
    older = replace(bundle.card, data={"fingerprint": rows.fingerprint()})  # of a training that saw the labels too
    assert begun([older, older], rows) == [SEEN]


def test_its_folder_is_a_weights_file_for_any_later_training(
    encoder: tuple[Bundle, Manifest, Path], tmp_path: Path
) -> None:
    bundle, rows, into = encoder
    labelled = Manifest.read(rows.folder)
    task, facts = find_task("classify"), Facts.of(labelled)
    plan = planned(facts, task, weights=str(into / "bundle"))
    assert plan.tile == bundle.card.plan.tile and plan.freeze > 0  # what is known already is not washed away
    net = task.build(plan)["net"]
    load_weights(net, str(plan.weights))  # type: ignore[arg-type]
    theirs = bundle.members[0].nets["net"].body.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, theirs[name]) for name, value in net.body.state_dict().items())  # type: ignore[union-attr, operator]
    made = train(labelled, task, into=tmp_path, plan=plan.but(steps=2, validations=1))
    assert made.card.plan.weights == str(into / "bundle")


def test_neighbours_agree_with_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    known, asked, labels = rng.normal(size=(80, 6)), rng.normal(size=(40, 6)), rng.choice(["a", "b", "c"], 80)
    theirs = KNeighborsClassifier(7, metric="cosine", weights=lambda far: np.exp(-far / 0.07)).fit(known, labels)
    assert neighbours(known, labels, asked, 7).tolist() == theirs.predict(asked).tolist()


def test_the_protocol_refuses_what_has_no_truth_to_test(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="folds have nothing to test"):
        protocol(cells(tmp_path / "cells"), find_task("simclr"), into=tmp_path / "run", choices=Choices())


def test_the_command_keeps_rows_out_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = cells(tmp_path / "cells")
    group = str(rows.table["group"].iloc[0])
    words = ["pretrain", str(rows.folder), "--steps", "4", "--set", "validations=1", "--set", "batch=8",
             "--leave-out", f"group={group}", "--into", str(tmp_path / "run")]  # fmt: skip
    assert run(words) == 0
    card = Bundle.load(tmp_path / "run" / "bundle").card
    seen = was_seen(card, rows)
    assert seen is not None and not seen[rows.table["group"].eq(group)].any() and seen.any()
    assert "accuracy" in card.validation["probe"]  # labels that are there are asked, and only after learning
    capsys.readouterr()
    for wrong, said in (("group=nobody", "no row has group nobody"), ("grup=1", "no column 'grup'"), ("x", "COLUMN=")):
        assert run([*words[:-4], "--leave-out", wrong, "--into", str(tmp_path / "other")]) == 2
        assert said in capsys.readouterr().err
    assert run(["pretrain", str(rows.folder), "--task", "classify", "--into", str(tmp_path / "other")]) == 2
    assert "simclr or vicreg" in capsys.readouterr().err
