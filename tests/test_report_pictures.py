"""The pictures of a report: what is drawn for which answer, curves against other implementations, thumbnails."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_reports import FACTS, Elements, category_report, number_report

from potency.evaluation import curves, plots, scores, trust
from potency.evaluation.gallery import thumbnail
from potency.evaluation.page import page
from potency.evaluation.results import Report


@pytest.fixture(scope="module")
def full() -> Report:
    return category_report()


def test_numbers_have_their_own_pictures() -> None:
    numbers = number_report()
    names = [plot.name for plot in plots.draw_all(numbers)]
    assert names == ["glance", "scatter", "bland_altman", "residuals", "groups"]
    text = Elements(page(numbers)).text
    assert "Mean absolute error" in text and "Class by class" not in text and "The largest errors" in text
    doubts = {doubt.question: doubt.mark for doubt in trust.doubts(numbers)}
    assert doubts["Is it better than the forest?"] == "good"


def test_every_kind_of_answer_has_pictures() -> None:
    from potency.answers import ANSWERS

    assert set(ANSWERS) <= set(plots.PLOTS)


def test_every_picture_says_what_to_look_for(full: Report) -> None:
    drawn = plots.draw_all(full)
    names = {"confusion", "reliability", "classes", "roc", "pr", "scores", "groups", "learning"}
    assert names <= {plot.name for plot in drawn}
    for plot in drawn:
        assert plot.look.endswith(".") and len(plot.look) > 40
        assert "#0a0b0" not in plot.svg and "var(--" in plot.svg and 'role="img"' in plot.svg


def test_a_wall_shows_images_and_a_box_where_there_is_none(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(0, 240, 2):
        pixels = random.integers(0, 4096, (150, 90)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    for number, content in ((1, b""), (3, b"\x89PNG\r\n\x1a\n broken"), (5, b"not an image")):
        (tmp_path / f"{number}.png").write_bytes(content)
    seen = Elements(page(category_report(facts={**FACTS, "folder": str(tmp_path)})))
    pictures = [value for tag, a in seen.found if tag == "img" and (value := a.get("src"))]
    assert pictures and "no image" in seen.text
    for picture in pictures[:5]:
        shown = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        assert max(shown.size) == 112 and shown.mode == "L"


def test_channels_in_files_of_their_own_stand_side_by_side(tmp_path: Path) -> None:
    from PIL import Image

    for name, level in (("bright", 10), ("dark", 200)):
        pixels = np.full((20, 20), level, np.uint8)
        pixels[5:9, 5:9] = 90
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    row = pd.Series({"image": "bright.png", "image.bright": "bright.png", "image.dark": "dark.png"})
    shown = Image.open(io.BytesIO(base64.b64decode(thumbnail(row, tmp_path).partition(",")[2])))
    assert shown.size == (40, 20)


def test_curves_agree_with_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_curve, roc_curve

    random = np.random.default_rng(2)
    truth = random.random(300) < 0.3
    score = np.round(truth * 0.4 + random.random(300), 2)  # rounding makes ties
    rates, found, _ = roc_curve(truth, score, drop_intermediate=False)
    line = curves.roc_at(truth, score, None)[0]
    assert line[0] == found[rates == 0].max() and line[-1] == 1
    assert all(line[k] == found[rates <= curves.AT[k] + 1e-12].max() for k in range(101))
    precision, recall, _ = precision_recall_curve(truth, score)
    line = curves.precision_at(truth, score, None)[0]
    for k in range(1, 101):
        first = np.flatnonzero(recall[:-1] >= curves.AT[k] - 1e-12)[-1]  # the highest threshold that reaches the recall
        assert line[k] == pytest.approx(precision[first])


def test_a_weight_is_a_sample_taken_as_often() -> None:
    random = np.random.default_rng(3)
    truth, score, weight = random.random(60) < 0.4, random.random(60), random.integers(0, 4, 60)
    again = np.repeat(np.arange(60), weight)
    for trace in (curves.roc_at, curves.precision_at):
        weighted = trace(truth, score, scores.Resampled(weight[None].astype(float), np.arange(60)))[0]
        np.testing.assert_allclose(weighted, trace(truth[again], score[again], None)[0])
    never = scores.Resampled((~truth)[None].astype(float), np.arange(60))
    assert np.isnan(curves.precision_at(truth, score, never)).all()


def test_bands_of_very_many_rows_need_little_memory_and_hold_the_curve() -> None:
    import tracemalloc

    random = np.random.default_rng(4)
    truth = random.integers(0, 2, 200_000)
    chance = np.clip(truth * 0.2 + random.random(len(truth)) * 0.8, 0, 1)
    both = np.stack([1 - chance, chance], 1)
    found = scores.Scores(truth, truth, both, np.arange(len(truth)), np.arange(len(truth)), ("a", "b"), 0)
    drawn = found.resampled()
    assert drawn is not None and drawn.times.shape == (scores.BANDS, scores.MOST_LOTS)
    tracemalloc.start()
    for trace in (curves.roc_at, curves.precision_at):
        line = trace(truth == 1, chance, None)[0]
        low, high = scores.band(trace(truth == 1, chance, drawn))
        assert (low <= line + 1e-3).all() and (line <= high + 1e-3).all() and (high - low).max() < 0.05
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6, "draws times samples would be 320 MB"


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for right, of in ((0, 5), (3, 7), (40, 41), (9, 9)):
        low, high = scores.wilson(np.array([float(right)]), np.array([float(of)]))
        known = binomtest(right, of).proportion_ci(method="wilson")
        assert (low[0], high[0]) == pytest.approx((known.low, known.high), abs=1e-6)


def test_learning_curves_are_cut_where_steps_begin_anew(full: Report) -> None:
    log = [{"step": s, "train_loss": 1 / s, "validation_log_loss": 2 / s, "validation_balanced_accuracy": 1 - 1 / s,
            "best": s == 3} for _ in range(4) for s in (1, 2, 3)]  # fmt: skip
    (plot,) = [p for p in plots.draw_all(replace(full, facts={**full.facts, "learning": log})) if p.name == "learning"]
    assert plot.svg.count(" at step 3</title>") == 4 and "fold 3: 0.667 at step 3" in plot.svg
    assert "Balanced accuracy on validation rows" in plot.svg


def test_shapes_are_rounded_and_figures_are_not() -> None:
    from potency.evaluation.drawing import sheet

    with sheet(200, 100) as page_:
        (axes,) = page_.axes()
        axes.plot([0, 0.123456], [0, 1])
        page_.tip(axes.text(0.05, 0.5, "told 0.123456"), "hint 0.654321")
        svg = page_.svg("x", "label 0.777777")
    assert "told 0.123456" in svg and "hint 0.654321" in svg and "label 0.777777" in svg
    assert not any(len(number.partition(".")[2]) > 2 for d in re.findall(r' d="([^"]*)"', svg) for number in d.split())


def test_a_scatter_of_many_dots_is_thinned_and_says_so() -> None:
    (scatter,) = [plot for plot in plots.draw_all(number_report(2500)) if plot.name == "scatter"]
    assert "2,000 of 2,500 samples are drawn" in scatter.found and len(scatter.svg) < 400_000
