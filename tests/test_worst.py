"""The worst images of a report: scores of each image, lines in the colour of the mistake, the table that folds."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from label_zoo import ZOO, random_pair
from pandas import DataFrame

from potency.answers import ANSWERS, Evidence, Labels, Objects, Regions
from potency.answers.contrast import KINDS, TRUTH
from potency.answers.filed import Filed
from potency.evaluation import evaluate, worst
from potency.evaluation.columns import Bare
from potency.evaluation.terms import MAIN, METRICS


def rows_of(folder: Path, count: int = 15) -> DataFrame:
    rows = []
    for k in range(count):
        truth, said = random_pair(k)
        said = truth if k == 1 else np.zeros_like(said) if k == 2 else said
        tifffile.imwrite(folder / f"{k}.tif", (truth * 9 + 5).astype(np.uint16))
        cells = Labels.of(truth).cells(folder, "truth") | Labels.of(said).cells(folder, "prediction")
        rows.append({"id": f"in/{k}.tif", "image": f"{k}.tif", "group": f"g{k}", **cells})
    return DataFrame(rows)


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(map(int, colour)) for colour in np.unique(pixels.reshape(-1, 3), axis=0)}


def colours_in(picture: str) -> set[tuple[int, ...]]:
    from PIL import Image

    return colours(np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB")))


def test_the_worst_images_come_first_with_their_mistakes_in_colour(tmp_path: Path) -> None:
    report = evaluate(Bare(rows_of(tmp_path), folder=tmp_path), draws=0)
    (wall,) = worst.walls(report)
    assert wall.cards[0].title == "AP .00" and "in/2.tif" in wall.cards[0].hint
    scores = [float(card.title.removeprefix("AP ").replace("1.00", "1")) for card in wall.cards]
    assert scores == sorted(scores) and len(scores) == worst.SHOWN
    assert "in/1.tif" not in " ".join(card.hint for card in wall.cards)  # the faultless one
    assert re.match(r"\d+ objects, \d+ missed$", wall.cards[0].lines[0])
    assert KINDS["missed"] in colours_in(wall.cards[0].picture)
    shown = next(card for card in wall.cards if "spurious" in card.lines[0] and "merged" in card.lines[0])
    assert {KINDS["spurious"], KINDS["merged"], KINDS["found"], TRUTH} <= colours_in(shown.picture)
    page = report.write(tmp_path / "report").read_text("utf-8")
    assert page.count("data:image/png") == worst.SHOWN and "All other figures" in page and "in/" not in page[:500]
    kept = pd.read_parquet(tmp_path / "report" / "rows.parquet")
    assert kept["prediction.dsb_ap"].iloc[1] == 1
    assert kept["prediction.missed"].iloc[2] == kept["prediction.true"].iloc[2] > 0


def test_a_picture_that_is_gone_leaves_the_figures(tmp_path: Path) -> None:
    table = rows_of(tmp_path, 4)
    report = evaluate(Bare(table, folder=tmp_path), draws=0)
    (tmp_path / "2.tif").unlink()
    first, *rest = worst.walls(report)[0].cards
    assert first.picture == "" and all(card.picture for card in rest)
    bare = evaluate(Bare(table.drop(columns="image"), folder=tmp_path), draws=0)
    assert not worst.walls(bare) and len(worst.table(bare).rows) == 4  # type: ignore[union-attr]


def test_scores_of_each_image_are_those_of_the_image_alone() -> None:
    for kind, pairs in (
        (Labels, [(Labels.of(truth), Labels.of(said)) for truth, said in ZOO.values()]),
        (Regions, [(Regions(truth > 0), Regions(said > 0)) for truth, said in ZOO.values()]),
        (Objects, [tuple(Objects(Labels.of(each).objects[columns]) for each in pair) for pair in ZOO.values()
                   for columns in (["centroid-0", "centroid-1"],)]),
    ):  # fmt: skip
        each = [said.compare(truth) for truth, said in pairs]  # type: ignore[attr-defined]
        found = kind.each(Evidence.stack(each))[kind.headline].to_numpy()
        alone = [float(kind.summarise(one, np.ones((1, 1)))[kind.headline][0]) for one in each]
        assert found == pytest.approx(alone, nan_ok=True)


def test_lines_of_every_kind_are_drawn() -> None:
    black = np.zeros((24, 32, 3), np.uint8)
    window = slice(0, 12), slice(0, 16)
    wanted = {"perfect": {"found"}, "missed": {"found", "missed"}, "split": {"found", "split"}, "merged": {"merged"},
              "spurious": {"found", "spurious"}, "both empty": set()}  # fmt: skip
    for name, kinds in wanted.items():
        truth, said = (Labels.of(each) for each in ZOO[name])
        drawn = colours(said.contrast(truth, black, window))
        assert drawn - {TRUTH, (0, 0, 0)} == {KINDS[kind] for kind in kinds}, name
    truth, said = (Labels.of(each) for each in ZOO["spurious"])
    lower = slice(6, 12), slice(0, 16)  # without the spurious one, which lies above
    assert KINDS["spurious"] not in colours(said.contrast(truth, black, lower))
    for columns in (["centroid-0", "centroid-1"], [f"bbox-{k}" for k in range(4)]):
        boxes, right = (Objects(each.objects[columns]) for each in (said, truth))
        assert {TRUTH, KINDS["found"], KINDS["spurious"]} <= colours(boxes.contrast(right, black, window))
    maps = Regions(said.instances > 0).contrast(Regions(truth.instances > 0), black, window)
    assert (maps == np.array(KINDS["spurious"]) // 2).all(axis=2).sum() == 4 * 9


def test_main_figures_are_figures() -> None:
    for kind, names in MAIN.items():
        assert ANSWERS[kind].headline in names and (issubclass(ANSWERS[kind], Filed) or kind == "labelset")
        assert {name.partition(".")[0] for name in names} <= set(METRICS)
