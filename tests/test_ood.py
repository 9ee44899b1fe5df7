"""What is unlike anything learned: distances against truth by construction, rarity by group, and the whole way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from scipy.stats import chi2
from sklearn.covariance import LedoitWolf
from small_bundle import bundle_of
from zoo import ages, cells

from potency.answers import Category, Number
from potency.answers.rarity import RARITIES, fit_rarity, limit_of, rarity
from potency.bundle import Bundle
from potency.bundle.known import Known
from potency.cli import run
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import BundleError
from potency.evaluation.trust import doubts
from potency.inference.predict import predict
from potency.learning import protocol
from potency.tasks import TASKS

RNG = np.random.default_rng(5)


def test_the_distance_is_that_of_mahalanobis_with_the_covariance_of_ledoit_and_wolf() -> None:
    values = RNG.normal(size=(600, 12)) @ RNG.normal(size=(12, 12)) + 3
    asked = RNG.normal(size=(50, 12)) * 4
    scaled = (values - values.mean(0)) / values.std(0)
    theirs = LedoitWolf(assume_centered=True).fit(scaled)
    expected = theirs.mahalanobis((asked - values.mean(0)) / values.std(0)) / 12
    np.testing.assert_allclose(np.exp(Known.of(values).distance(asked)), expected, rtol=1e-3)


def test_distances_of_normal_samples_follow_chi_square() -> None:
    known = Known.of(RNG.normal(size=(20000, 6)))
    squares = np.exp(known.distance(RNG.normal(size=(4000, 6)))) * 6
    for share in (0.5, 0.9, 0.99):
        assert np.mean(squares <= chi2(6).ppf(share)) == pytest.approx(share, abs=0.02)


def test_a_sample_between_two_classes_is_far_from_both() -> None:
    values = RNG.normal(size=(400, 4))
    values[200:, 0] += 30
    middle, inside = np.array([[15.0, 0, 0, 0]]), np.array([[30.0, 0, 0, 0]])
    apart, one = Known.of(values, ["a"] * 200 + ["b"] * 200), Known.of(values)
    assert apart.distance(middle)[0] > apart.distance(inside)[0] + 3
    assert one.distance(middle)[0] < one.distance(inside)[0]  # without classes the middle is the most usual place


def test_directions_that_are_not_kept_still_count_together() -> None:
    """Few samples of a wide embedding: a step in a direction that no axis holds must not be lost."""
    values = np.zeros((80, 300))
    values[:, :10] = RNG.normal(size=(80, 10)) * 5
    values[:, 10:] = RNG.normal(size=(80, 290)) * 0.1
    known = Known.of(values)
    assert known.axes.shape == (300, 20) and known.rest[0] == 280
    odd = np.zeros((1, 300))
    odd[0, 200:220] = 0.8  # eight spreads
    assert known.distance(odd)[0] > known.distance(values).max()


def test_constant_missing_and_infinite_numbers_do_no_harm() -> None:
    values = RNG.normal(size=(100, 5))
    values[:, 2] = 7.0
    values[3, 1] = np.nan
    odd = np.array([[0, np.nan, 7, 0, 0], [0, 0, 9, 0, 0], [0, 0, 7, 40, 0], [0, 0, 7, np.inf, 0]])
    told = Known.of(values).distance(odd)
    assert np.isfinite(told).all() and told[0] < 1 and told[1] < 1 < told[2] == pytest.approx(told[3], abs=0.1)
    assert np.isfinite(Known.of(np.ones((3, 4))).distance(np.zeros((1, 4)))).all()


def test_rarity_gives_the_share_of_known_images_and_goes_on_beyond_them() -> None:
    known = RNG.exponential(size=20000)
    found = rarity(-np.log(np.array([0.5, 0.1, 0.01, 0.001, 1e-5])), fit_rarity(known))
    np.testing.assert_allclose(found, [0.301, 1, 2, 3, 5], atol=0.15)
    few = [fit_rarity(RNG.exponential(size=60)) for _ in range(100)]  # too few to see one in a hundred: by the tail
    told = [float(rarity(np.array(-np.log(0.01)), table)) for table in few]
    assert np.median(told) == pytest.approx(2, abs=0.15) and np.std(told) < 0.6
    assert len(few[0]) == len(RARITIES) and (np.diff(few[0]) > 0).all()


def test_every_group_weighs_alike() -> None:
    values = np.concatenate([RNG.normal(size=5000), RNG.normal(6, 1, size=50)])
    groups = np.array(["large"] * 5000 + ["small"] * 50)
    alone, together = (rarity(np.array(6.0), fit_rarity(values, units)) for units in (None, groups))
    assert alone > 2 and together == pytest.approx(-np.log10(0.25), abs=0.1)
    assert limit_of(np.concatenate([np.zeros(5000), np.full(50, 3.0)]), groups) == 3.0
    assert limit_of(np.zeros(9)) == 2.0


def test_the_limit_holds_on_groups_that_it_was_not_set_on() -> None:
    """Groups shift their images; the scale of some groups, the limit of others: at most about one in a hundred."""
    flagged = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 40)
        values = rng.normal(size=2400) + rng.normal(0, 0.5, 60)[group]
        first, second, last = (group % 3 == k for k in range(3))
        scale = fit_rarity(values[first], group[first])
        limit = limit_of(rarity(values[second], scale), group[second])
        flagged.append(np.mean(rarity(values[last], scale) > limit))
    assert 0.001 < np.mean(flagged) < 0.015


@pytest.mark.parametrize("answer", [Category("a", ("a", "b"), np.array([0.7, 0.3]), ("a", "b")), Number(2.5)])
def test_doubts_go_through_a_table_and_back(answer: Category | Number) -> None:
    trust = {"ood": [k / 10 for k in range(16)], "ood.limit": 2.0}
    odd, usual = (replace(answer, oddity=value).calibrated(trust) for value in (9.0, 0.1))
    assert odd.unlike and not usual.unlike and odd.ood is not None and usual.ood is not None
    assert odd.ood > 10 * usual.ood
    cells = odd.cells(Path(), "prediction")
    assert cells["prediction.abstain"] == ("set, ood" if isinstance(answer, Category) else "ood")
    assert usual.cells(Path(), "p")["p.abstain"] == ("set" if isinstance(answer, Category) else "no")
    parts = {name.removeprefix("prediction").removeprefix("."): value for name, value in cells.items()}
    again = type(answer).of_cells(parts, Path())
    assert again.unlike and again.ood == odd.ood and again.oddity is None
    whole = type(answer).stitch(zip(range(3), [odd, odd, usual], strict=True), None)
    assert whole.unlike and whole.ood == odd.ood
    assert not type(answer).stitch(zip(range(3), [odd, usual, usual], strict=True), None).unlike


def test_an_answer_that_knows_nothing_of_it_has_no_such_cells() -> None:
    assert Number(1.0).cells(Path(), "prediction") == {"prediction": 1.0}
    assert Number(1.0).calibrated({"ood": [0.0] * 16}).ood is None


EXAMPLES = [{"image": RNG.integers(0, 255, (1, 20, 20), dtype=np.uint8)} for _ in range(40)]


@pytest.fixture
def knowing(tmp_path: Path) -> Path:
    plain = bundle_of()
    member = plain.members[0]
    seen = np.stack([one["embedding"] for one in member.outputs(EXAMPLES)])
    far = fit_rarity(Known.of(seen).distance(seen))
    made = replace(plain, members=(member.knowing(Known.of(seen)),)).but(trust={"ood": far, "ood.limit": 2.0})
    made.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_keeps_what_its_members_know_as_numbers(knowing: Path) -> None:
    bundle = Bundle.load(knowing)
    assert (knowing / "known.safetensors").is_file() and json.loads((knowing / "card.json").read_text())["schema"] == 2
    own, noise = bundle(EXAMPLES), bundle([{"image": np.full((1, 20, 20), 255, np.uint8)}])
    assert all(answer.ood is not None and answer.oddity is None for answer in own)
    assert np.mean([answer.unlike for answer in own]) <= 0.05 and noise[0].ood is not None
    two = replace(bundle, members=bundle.members * 2, card=replace(bundle.card, plans=bundle.card.plans * 2))
    assert two(EXAMPLES)[0].ood == pytest.approx(own[0].ood)
    other = replace(bundle, members=(bundle.members[0].knowing(None),))
    assert other.fingerprint != bundle.fingerprint and other(EXAMPLES)[0].ood is None


@pytest.mark.parametrize("spoil", ["missing", "shape", "nan", "zero"])
def test_damage_to_what_is_known_is_told(knowing: Path, spoil: str) -> None:
    arrays = load_file(knowing / "known.safetensors")
    if spoil == "missing":
        del arrays["0.axes"]
    elif spoil == "shape":
        arrays["0.centres"] = arrays["0.centres"][:, 1:].copy()
    elif spoil == "nan":
        arrays["0.axes"][0, 0] = np.nan
    else:
        arrays["0.shift"][1, 0] = 0.0
    save_file(arrays, knowing / "known.safetensors")
    with pytest.raises(BundleError, match=r"what the model knows is damaged(.|\n)*known\.safetensors(.|\n)*copy the"):
        Bundle.load(knowing)


@pytest.mark.parametrize("value", ['"a"', "[]", "[1, null]", "Infinity"])
def test_garbled_numbers_of_a_card_are_told(knowing: Path, value: str) -> None:
    text = (knowing / "card.json").read_text()
    (knowing / "card.json").write_text(text.replace('"ood.limit": 2.0', f'"ood.limit": {value}'))
    with pytest.raises(BundleError, match="lacks or garbles"):
        Bundle.load(knowing)


def test_older_bundles_load_and_answer_as_before(knowing: Path) -> None:
    (knowing / "known.safetensors").unlink()
    card = json.loads((knowing / "card.json").read_text())
    (knowing / "card.json").write_text(json.dumps({**card, "schema": 1, "trust": {"temperature": 2.0}}))
    answer = Bundle.load(knowing)(EXAMPLES)[0]
    assert set(answer.cells(Path(), "p")) == {"p", "p.probability.dim", "p.probability.bright"} and answer.ood is None


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> protocol.Outcome:
    place = tmp_path_factory.mktemp("whole")
    rows = cells(place / "cells", cells=120, groups=6, batch=0.0)
    plan = Plan.of(Facts.of(rows), steps=30, validations=2, batch=16, average=0.5, test_views=1)
    choices = protocol.Choices(folds=3, draws=50, baselines=(), licences=("CC0", ""), audit=False, maps=False)
    return protocol.run(rows, TASKS["classify"], into=place / "out", plan=plan, choices=choices)


def test_a_training_leaves_a_scale_by_rows_that_were_not_learned_from(outcome: protocol.Outcome) -> None:
    table, bundle = outcome.manifest.table, Bundle.load(outcome.bundle)
    assert {"ood", "ood.limit"} <= set(bundle.card.trust) and bundle.members[0].known is not None
    assert not any("oddity" in str(name) for name in table)
    shares = table["prediction.abstain"].str.contains("ood").groupby(table["group"]).mean()
    assert table["prediction.ood"].notna().all() and shares.mean() <= 0.0101
    told = bundle.card.validation["ood"]
    assert told["images"] == 120 and told["groups"] == 6 and told["flagged"] <= 0.0101
    asked = {doubt.question: doubt for doubt in doubts(outcome.report)}
    assert "abstains" in asked["Does it notice images unlike any it learned from?"].answer


def test_a_folder_of_foreign_images_is_warned_of(
    outcome: protocol.Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    (tmp_path / "foreign").mkdir()
    for k in range(12):
        pixels = np.kron(RNG.integers(0, 2, (8, 8)), np.ones((4, 4))) * 60000  # a checkerboard, no cell
        Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "foreign" / f"{k}.png")
    call = ["predict", str(outcome.bundle), str(tmp_path / "foreign"), "--into", str(tmp_path / "p"), "--json"]
    assert run(call) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out.splitlines()[-1])
    assert told["unlike"] == 12 and "12 of 12 images look unlike anything this model learned from" in " ".join(
        captured.err.split()
    )
    table = pd.read_csv(tmp_path / "p" / "predictions.csv")
    assert table["prediction.abstain"].str.contains("ood").all() and (table["prediction.ood"] > 2).all()


def test_numbers_and_classical_learners_tell_it_too(tmp_path: Path) -> None:
    rows = ages(tmp_path / "ages", cells=60, groups=5)
    plan = Plan.of(Facts.of(rows)).but(task="quantify", learner="estimator", network="forest", families=())
    run_ = protocol.run(rows, TASKS["quantify"], into=tmp_path / "out", plan=plan,
                        choices=protocol.Choices(folds=5, draws=0, baselines=(), audit=False, maps=False))  # fmt: skip
    told = predict(rows, Bundle.load(run_.bundle), into=None).table
    assert told["prediction.ood"].notna().all() and set(told["prediction.abstain"]) <= {"no", "ood"}
    assert {"prediction.ood", "prediction.abstain"} <= set(run_.manifest.table)


def test_a_column_of_reasons_can_be_read_whatever_wrote_it() -> None:
    cells_ = {"": 1.0, "ood": np.nan, "abstain": True}
    again = Number.of_cells(cells_, Path())
    assert again.ood is None and not again.unlike
    assert isinstance(Manifest.of_rows(pd.DataFrame({"image": ["a.png"], "prediction.abstain": ["no"]})), Manifest)
