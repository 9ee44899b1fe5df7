"""Early prediction: the known first time is found, false alarms are rare, nothing later is seen, bad times are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency.errors import AnswerError, ManifestError, PlanError
from potency.evaluation.evaluate import evaluate
from potency.pooling.units import times_of
from potency.timing import MODELS, early, timed
from potency.timing.looks import sign_flips, step_down
from potency.timing.points import binned, points_of, so_far


def wells(
    seed: int = 0, groups: int = 12, per: int = 6, times: int = 8, onset: float = 4, strength: float = 3.0
) -> pd.DataFrame:
    """Wells of clones over time: until `onset` their probabilities know nothing, afterwards they do."""
    rng = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        habit = 0.4 * rng.standard_normal()
        for well in range(per):
            truth = int(rng.integers(2)) if well > 1 else well
            for time in range(times):
                score = habit + rng.standard_normal() + strength * (truth - 0.5) * (time >= onset)
                p = 1 / (1 + np.exp(-score))
                rows.append((f"g{group:02d}", f"B{well:02d}", float(time), "ny"[truth], "ny"[int(p > 0.5)], 1 - p, p))
    names = ["group", "well", "time", "truth", "prediction", "prediction.probability.n", "prediction.probability.y"]
    return pd.DataFrame(rows, columns=names).sample(frac=1, random_state=seed).reset_index(drop=True)


def test_the_known_first_time_is_found_and_stays() -> None:
    found = early(wells(1), chance=(400, 0))
    assert found.first == found.curves[0].stays == 4.0
    assert found.mark == "good" and "from 4 on" in found.verdict
    auc = early(wells(1), score="auc", chance=(400, 0))
    assert auc.first == 4.0 and auc.curves[0].points[0].trivial.value == pytest.approx(0.5)


def test_each_point_is_what_evaluate_says_of_the_rows_of_that_time() -> None:
    table = wells()
    found = early(table, chance=(300, 5))
    for point in found.curves[0].points:
        report = evaluate(table[table["time"] == point.time], draws=300, seed=5)
        assert point.figure == report.numbers["prediction"]["balanced_accuracy"]
        assert point.others["auc"] == report.numbers["prediction"]["auc"]
        assert (point.groups, point.units) == (12, 72) and point.trivial.value == 0.5


def test_where_nothing_can_be_told_a_first_time_is_rare() -> None:
    """Eight looks at correlated nothing: at most one curve in twenty may claim a first time (40 seeds, so up to 6)."""
    alarms = sum(early(wells(seed, onset=99, per=4), chance=(100, seed)).first is not None for seed in range(40))
    assert alarms <= 6


def test_step_down_finds_more_than_one_band_and_never_fewer() -> None:
    rng = np.random.default_rng(0)
    both = one_step = naive = 0
    for _ in range(200):
        gain = np.array([0, 0, 0, 0, 0.27, 0.4, 0.4, 0.4]) + 0.1 * rng.standard_normal(8)
        drawn = gain + 0.1 * rng.standard_normal((400, 8))
        lower, beats = step_down(gain, drawn, 40, np.zeros(8))
        assert (beats >= (lower > 0)).all()
        both, one_step = both + int(beats.sum()), one_step + int((lower > 0).sum())
        naive += int((gain[:4] - 1.645 * 0.1 > 0).any())
    assert both > one_step and naive > 20, "without payment for the looks a fifth of the curves would be fooled"


def test_sign_flips_keep_their_promise_with_few_groups_and_skewed_ones() -> None:
    rng = np.random.default_rng(1)
    alarms = found = 0
    for seed in range(300):
        shares = rng.standard_normal((8, 1)) * 0.5 + rng.standard_normal((8, 6)) * rng.uniform(0.2, 3, (8, 1))
        alarms += bool(sign_flips(shares, 200, seed).any())
        shares[:, 3:] += 4
        found += int(sign_flips(shares, 200, seed)[3:].sum())
    assert alarms <= 27, "5 % of 300 and three standard errors"
    assert found > 300


def test_perfect_answers_of_few_groups_are_not_certain() -> None:
    table = wells(groups=5, per=2, strength=1e3, onset=0)
    table["truth"] = np.where(table["well"] == "B00", "n", "y")
    table["prediction"] = table["truth"]
    for label in "ny":
        table[f"prediction.probability.{label}"] = (table["truth"] == label).astype(float)
    found = early(table, chance=(200, 0))
    assert found.curves[0].points[0].figure.value == 1 and found.first is None


def test_answers_so_far_pool_the_past_and_know_nothing_of_the_future() -> None:
    table = wells()
    points = points_of(table, "time", "well", ["prediction"], "logodds")
    whole = so_far(points, "prediction", "logodds").set_index(["unit", "point"])
    column = "prediction.probability.y"
    for (unit, point), row in whole.sample(20, random_state=0).iterrows():
        past = points.table[(points.table["unit"] == unit) & (points.table["point"] <= point)][column].astype(float)
        odds = np.log(past / (1 - past)).mean()
        assert row[column] == pytest.approx(1 / (1 + np.exp(-odds)))
    changed = table.copy()
    later = changed["time"] > 3
    changed.loc[later, [column, "prediction.probability.n"]] = [0.99, 0.01]
    changed.loc[later, "prediction"] = "y"
    other = so_far(points_of(changed, "time", "well", ["prediction"], "logodds"), "prediction", "logodds")
    other = other.set_index(["unit", "point"])
    early_rows = whole.index.get_level_values("point") <= 3
    assert (whole.loc[early_rows, column] == other.loc[early_rows, column]).all()
    assert (whole.loc[~early_rows, column] != other.loc[~early_rows, column]).any()


def features(seed: int = 0, onset: float = 4) -> pd.DataFrame:
    table = wells(seed, onset=onset)
    rng = np.random.default_rng(seed)
    known = (table["truth"] == "y") & (table["time"] >= onset)
    return table[["group", "well", "time", "truth"]].assign(
        **{f"embedding.{k}": rng.standard_normal(len(table)) + (k == 0) * 2.0 * known for k in range(3)}
    )


@pytest.mark.parametrize("model", MODELS)
def test_models_over_time_are_out_of_fold_and_forward_only(model: str) -> None:
    table = features()
    made = timed(table, "embedding", models=[model])
    name = f"prediction@{model}"
    right = made[name] == made["truth"]
    assert right[made["time"] >= 6].mean() > 0.7 > 0.6 > right[made["time"] < 4].mean()
    # What is seen of a row: a changed future of its unit changes nothing of it.
    from potency.timing.models import Seen

    see, _ = MODELS[model]
    unit = pd.factorize(table["group"] + table["well"])[0]
    values = table[[f"embedding.{k}" for k in range(3)]].to_numpy()
    time = table["time"].to_numpy()
    later = time > 3
    other = np.where(later[:, None], 100.0, values)
    one, two = (see(Seen(v, time, np.zeros(len(v), int), unit)) for v in (values, other))
    assert np.array_equal(one[~later], two[~later]) and not np.array_equal(one[later], two[later])


def test_rows_of_a_fold_are_answered_by_models_that_never_saw_their_group() -> None:
    table = features().assign(fold=lambda t: t["group"].str[1:].astype(int) % 3)
    one = timed(table, "embedding", models=["with-time"])
    flipped = table.copy()
    own = flipped["fold"] == 1
    flipped.loc[own, "truth"] = np.where(flipped.loc[own, "truth"] == "y", "n", "y")
    two = timed(flipped, "embedding", models=["with-time"])
    column = "prediction@with-time.probability.y"
    assert np.array_equal(one.loc[own, column], two.loc[own, column])
    assert not np.array_equal(one.loc[~own, column], two.loc[~own, column])


def test_ways_to_answer_are_compared_and_written_as_one_page(tmp_path: Path) -> None:
    table = timed(features(), "embedding").assign(simulated=True)
    found = early(table, chance=(200, 0))
    assert [curve.column for curve in found.curves] == [
        "prediction@each-time", "prediction@each-time", "prediction@with-time", "prediction@so-far"
    ]  # fmt: skip
    assert set(found.compared) == {curve.name for curve in found.curves[1:]}
    page = found.write(tmp_path / "out").read_text("utf-8")
    assert "SIMULATED images" in page and "<svg" in page and "beats it" in page and "http://" not in page.replace(
        "http://www.w3.org", ""
    )
    told = json.loads((tmp_path / "out/early.json").read_text("utf-8"))
    assert told["first"] == found.first and len(told["curves"]) == 4
    rows = pd.read_csv(tmp_path / "out/early.csv")
    assert len(rows) == 4 * 8 and rows["groups"].eq(12).all()


def test_numbers_have_a_curve_too() -> None:
    rng = np.random.default_rng(0)
    table = wells()[["group", "well", "time"]]
    of_well = pd.Series(rng.uniform(0, 1, 200)).loc[pd.factorize(table["group"] + table["well"])[0]].to_numpy()
    noise = np.where(table["time"] >= 4, 0.05, 1.0) * rng.standard_normal(len(table))
    found = early(table.assign(truth=of_well, prediction=of_well + noise), chance=(200, 0))
    assert found.score == "mae" and found.better == -1 and found.first == 4.0
    assert found.curves[0].points[-1].figure.value < 0.1


def test_a_trivial_column_is_the_rival_where_there_is_one() -> None:
    table = wells(onset=2)
    rng = np.random.default_rng(9)
    good = np.where(rng.random(len(table)) < 0.95, table["truth"], "n")
    found = early(table.assign(**{"prediction@trivial": good}), chance=(200, 0))
    assert found.first is None, "what a trivial model knows as well is not early prediction"
    assert "prediction@trivial" in found.lines[1]


def test_times_with_too_few_groups_or_one_class_are_left_out_and_said() -> None:
    table = wells()
    one_class = (table["time"] == 5) & (table["truth"] == "y")
    few = (table["time"] == 6) & (table["group"] > "g03")
    found = early(table[~one_class & ~few], chance=(200, 0))
    left = {point.time: point.left for point in found.curves[0].points if point.left}
    assert left == {5.0: "one class only (n)", 6.0: "4 groups, fewer than 5"}
    assert any("Not every well was seen" in note for note in found.notes)
    assert not any(point.left for point in found.curves[1].points), "what was seen before is still known"
    assert "left out: one class only (n)" in found.markdown()


def test_a_unit_seen_twice_at_one_time_is_pooled_and_a_unit_seen_once_is_told() -> None:
    table = wells()
    again = pd.concat([table, table[table["time"] == 2]], ignore_index=True)
    lonely = again[(again["group"] != "g00") | (again["well"] != "B00") | (again["time"] == 0)]
    found = early(lonely, chance=(100, 0))
    said = " ".join(found.notes)
    assert "hold several rows of one well (at the same time); they are pooled" in said
    assert "1 were seen once only" in said
    assert found.curves[0].points[2].units == 71


def test_dates_are_hours_and_bins_end_where_they_are_known() -> None:
    dates = pd.DataFrame({"time": ["2024-05-01T06:00", "2024-05-01 18:00", "2024-05-02T06:30"]})
    assert times_of(dates, "time").tolist() == [0, 12, 24.5]
    point, times = binned(np.array([0.0, 0.1, 12.0, 12.1]), every=12)
    assert times.tolist() == [0, 12, 24] and point.tolist() == [0, 1, 1, 2]
    found = early(wells().assign(time=lambda t: t["time"] + 0.3), every=2, chance=(100, 0))
    assert [point.time for point in found.curves[0].points] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("change", "how", "error", "words"),
    [
        (lambda t: t.assign(time=t["time"].where(t.index > 2)), {}, AnswerError, "3 rows of 576 have no time"),
        (lambda t: t.assign(time=t["time"].astype(str).where(t.index > 0, "soon")), {}, AnswerError, "the time 'soon'"),
        (lambda t: t.assign(time=np.arange(len(t)) * 1.0), {}, PlanError, "576 times are too many"),
        (lambda t: t, {"time": "tyme"}, ManifestError, "did you mean 'time'"),
        (lambda t: t, {"unit": "wel"}, ManifestError, "did you mean 'well'"),
        (lambda t: t, {"score": "balanced_acuracy"}, AnswerError, "did you mean 'balanced_accuracy'"),
        (lambda t: t, {"every": -1.0}, PlanError, "make no sense"),
        (lambda t: t.assign(truth=np.where(t.index % 2, "n", "y")), {}, AnswerError, "differ in their truth"),
        (lambda t: t.assign(truth=None), {}, AnswerError, "no row has a truth"),
        (lambda t: t, {"predictions": ["prediction@gru"]}, AnswerError, "no prediction column"),
        (lambda t: t.drop(columns="group"), {}, AnswerError, "no group column"),
    ],
)  # fmt: skip
def test_bad_input_says_what_where_and_how_to_mend_it(
    change: Callable[[pd.DataFrame], pd.DataFrame], how: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        early(change(wells()), **how)  # type: ignore[arg-type]
    assert caught.value.where and caught.value.mend  # type: ignore[attr-defined]


def test_a_score_of_which_less_is_better_is_judged_so_and_one_without_a_better_is_refused() -> None:
    table = wells(1)
    found, usual = early(table, score="log_loss", chance=(300, 0)), early(table, chance=(300, 0))
    assert found.better == -1 and usual.better == 1 and found.first == usual.first == 4
    numbers = table[["group", "well", "time"]].assign(prediction=table["prediction.probability.y"])
    numbers["truth"] = np.where(table["truth"] == "y", 1.0, 0.0)
    with pytest.raises(AnswerError, match="neither more nor less is better"):
        early(numbers, score="bias", chance=(300, 0))
