"""Systems: every id is listed, nothing is called built that does not run, and a recipe tells published from ours."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cheap_learner import Learner

from potency import systems
from potency.errors import ManifestError, PlanError
from potency.simulate import simulate
from potency.systems import SYSTEMS, arms, list_systems, nsc_fate, reproduce, sources
from potency.systems.arms import slug
from potency.systems.recipe import AREAS, Arm, Budget, Fact, Order, Recipe

IDS = [
    "nsc-fate", "nsc-web", "beta-efficiency", "ipsc-colony", "ipsc-ec", "early-onset", "lineage-choice",
    "diff-state-map", "multimodal-id", "culture-qc", "vlm-reader", "arch-search", "deep-map", "mixed-culture",
    "cardio-efficiency", "cell-death", "live-dead", "ffocm-viability", "cell-line", "actin", "lineage-panel",
    "uptake", "cecile", "mitosis", "localization", "deepcell", "unet", "keypoint-graph", "mask-rcnn", "watershed",
    "flows", "embedding", "stardist", "ric-unet", "cellvit", "xresnet-count", "tma-if", "mihc", "pdl1", "icos",
    "her2", "rfgan", "denoise", "in-silico-label", "cgan", "multi-stylegan", "track", "deepact", "embryoid",
    "nano-radiomics",
]  # fmt: skip
SMALL = Budget(
    "quick", (Arm("ResNet18", {"network": "resnet18"}, passes=2), Arm("MobileNet (v3)", {"network": "mobilenetv3"})),
    rows=150, cells=150, passes=1, changes={"seed": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learner]:
    learner = Learner()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POTENCY_DATA", raising=False)
        patch.setitem(systems.SYSTEMS, "nsc-fate", replace(SYSTEMS["nsc-fate"], budgets=(SMALL,)))
        page = reproduce("nsc-fate", into=tmp_path_factory.mktemp("nsc") / "out", learn=learner)
    return page, learner


def test_every_system_is_listed_once_in_order() -> None:
    assert [key for key in SYSTEMS if key in IDS] == IDS  # and whatever else somebody has added
    assert len(IDS) == len(set(IDS)) == 50
    for key, recipe in SYSTEMS.items():
        assert key == recipe.id
        assert recipe.area in AREAS
        assert recipe.title


def test_the_list_is_what_machines_expect() -> None:
    listed = list_systems()
    assert json.loads(json.dumps(listed)) == listed
    for entry in listed:
        assert {"id", "status", "missing", "area", "published"} <= set(entry)
        assert entry["published"]
        # A system that is not whole says what it lacks; one that is has nothing left to say.
        assert (entry["status"] == "built") == (not entry["missing"])
    by_id = {entry["id"]: entry for entry in listed}
    assert by_id["lineage-panel"]["status"] == "built" and by_id["actin"]["status"] == "partial"
    assert "99.7 %" in by_id["nsc-fate"]["published"]
    assert by_id["cell-death"]["status"] == "planned"


def test_status_follows_from_what_runs() -> None:
    bare = Recipe("x", "a system", "A")
    runs = replace(bare, run=lambda order: order.into)
    assert [bare.status, runs.status, replace(runs, missing=("a part",)).status] == ["planned", "built", "partial"]


def test_a_value_is_published_only_if_it_is_the_published_one() -> None:
    assert Fact("split", "80/20", "80/20").mark == "published"
    assert Fact("split", "80/20", "five folds").mark == "our choice"
    assert Fact("batch", "", "").mark == "our choice"


def test_wrong_calls_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no system 'nsc-fat'(.|\n)*did you mean 'nsc-fate'"):
        reproduce("nsc-fat", into=tmp_path)
    with pytest.raises(PlanError, match="cell-death is planned(.|\n)*plate heat map(.|\n)*systems that run: nsc-fate"):
        reproduce("cell-death", into=tmp_path)
    with pytest.raises(PlanError, match="nsc-fate has no budget 'weekend'(.|\n)*known: default, full, quick"):
        reproduce("nsc-fate", into=tmp_path, budget="weekend")
    with pytest.raises(ManifestError, match="no such folder(.|\n)*nowhere"):
        reproduce("nsc-fate", into=tmp_path, data=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_nsc_fate_asks_for_every_network_under_both_splits(simulated: tuple[Path, Learner]) -> None:
    asked = [(scene, a.changes["network"], a.random, a.baselines, a.passes) for scene, a in simulated[1].asked]
    assert asked == [
        (scene, network, True, ("forest", "trivial") if network == "resnet18" else (), passes)
        for scene in ("simulated-multiclass", "simulated-binary")
        for network, passes in (("resnet18", 2), ("mobilenetv3", 1))
    ] + [("simulated-stained", "mobilenetv3", True, ("forest",), 1)]


def test_nsc_fate_takes_small_batches_where_rows_are_few(tmp_path: Path) -> None:
    order = Order(tmp_path, None, nsc_fate.DEFAULT, Learner(), print)
    rows: Any = range(nsc_fate.FEW)
    asked = [nsc_fate._stepping(order, arms.Problem("p", "P", "", some, True)).budget for some in (rows, rows[:-1])]
    assert asked[0] is nsc_fate.DEFAULT
    assert asked[1].changes == {**nsc_fate.DEFAULT.changes, "batch": nsc_fate.SMALL}


def test_nsc_fate_prints_published_beside_measured(simulated: tuple[Path, Learner]) -> None:
    page, _ = simulated
    text = page.read_text("utf-8")
    assert "99.7 %" in text
    assert "93.3 %" in text
    assert "No real images were used: everything below is simulated" in text
    assert text.count("SIMULATED: a program drew these images") == 3
    assert "A leak, shown on purpose" in text
    for part in SYSTEMS["nsc-fate"].missing:
        assert part in text
    assert "our choice" in text
    assert "published 93.3 % (four media, ResNet50)" in text and "published .99 (four media" in text
    assert re.search(r'<th scope="row">forest</th><td>\.\d+ \[', text)
    assert text.count("<svg") == 3 and "A quick run" in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert not re.findall(r'(?:src|href)="(?!#|data:|simulated-|real-)', text)  # nothing is fetched from elsewhere
    for scene in ("simulated-binary", "simulated-multiclass"):
        inner = (page.parent / scene / "report.html").read_text("utf-8")
        assert "simulated" in inner.lower()


def test_nsc_fate_report_json_keeps_scenes_apart(simulated: tuple[Path, Learner]) -> None:
    page, _ = simulated
    found = json.loads((page.parent / "report.json").read_text("utf-8"))
    keys = {"task", "rows", "groups", "split", "metrics", "baselines", "random_split", "data_fingerprint", "command"}
    assert keys | {"versions", "system", "status", "missing", "published", "scenes", "protocol"} <= set(found)
    assert (found["system"], found["status"]) == ("nsc-fate", "built")
    assert {scene["simulated"] for scene in found["scenes"].values()} == {True}
    four = found["scenes"]["simulated-multiclass"]
    assert four["published"]["auc.astrocyte"]["value"] == ".99"
    assert four["metrics"]["accuracy"]["low"] is not None  # forty clones: a fifth of them carry an interval
    assert set(four["baselines"]) == {"mobilenet-v3", "averaged", "forest", "trivial"}
    assert set(four["random_split"]) == {"prediction", "mobilenet-v3", "averaged"}
    assert four["metrics"]["accuracy"] != four["random_split"]["prediction"]["accuracy"]
    marks = {fact["what"]: fact["mark"] for fact in found["protocol"]}
    assert marks["split"] == "published"
    assert {marks["batch"], marks["initial weights"], marks["split beside it"]} == {"our choice"}


def test_a_second_call_simulates_nothing_anew(simulated: tuple[Path, Learner]) -> None:
    place, said = simulated[0].parent / "simulated", list[str]()
    order = Order(place.parent, None, SMALL, Learner(), said.append)
    again = sources.simulated(place, order, "cells", kind="crops", cells=10)
    assert len(again) == SMALL.cells
    assert not said


def test_the_mean_of_the_arms_stands_beside_them(simulated: tuple[Path, Learner]) -> None:
    rows = pd.read_parquet(simulated[0].parent / "simulated-binary" / "rows.parquet")
    for label in ("astrocyte", "oligodendrocyte"):
        members = rows[[f"prediction.probability.{label}", f"prediction@mobilenet-v3.probability.{label}"]]
        assert rows[f"prediction@averaged.probability.{label}"].to_numpy() == pytest.approx(members.mean(axis=1))
    assert "all, averaged" in simulated[0].read_text("utf-8")


@pytest.mark.usefixtures("one_figure")
def test_nsc_fate_takes_the_real_relative_where_it_is(
    real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(systems.SYSTEMS, "nsc-fate", replace(SYSTEMS["nsc-fate"], budgets=(SMALL,)))
    monkeypatch.setenv("POTENCY_DATA", str(real_images))
    page = reproduce("nsc-fate", into=tmp_path, learn=Learner())
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [(name, scene["simulated"]) for name, scene in found["scenes"].items()] == [
        ("real-multiclass", False), ("real-binary", False), ("simulated-multiclass", True), ("simulated-binary", True),
        ("real-stained", False), ("simulated-stained", True),
    ]  # fmt: skip
    assert found["scenes"]["real-binary"]["labels"] == ["G1", "G2"]
    assert not found["simulated"]  # the figures at the top are those of the real images
    text = page.read_text("utf-8")
    assert "Jurkat cells by imaging flow cytometry" in text
    assert "everything below is simulated" not in text


def test_the_budgets_of_every_recipe_are_plans_that_there_are() -> None:
    from potency.data.plan import Plan
    from potency.networks import BACKBONES, DENSE, OUTLINED

    known = {**BACKBONES, **DENSE, **OUTLINED}
    for recipe in SYSTEMS.values():
        if recipe.run is None:
            continue
        assert [budget.name for budget in recipe.budgets] == ["quick", "default", "full"]
        for budget in recipe.budgets:
            assert len({slug(arm.name) for arm in budget.arms}) == len(budget.arms)
            for arm in budget.arms:
                plan = Plan().but(**{**budget.changes, **arm.changes})
                assert plan.learner != "gradient" or plan.network.partition(":")[0] in known


@pytest.mark.usefixtures("one_figure")
def test_nsc_fate_reads_a_copy_of_the_published_images_and_shows_their_stains_as_a_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(systems.SYSTEMS, "nsc-fate", replace(SYSTEMS["nsc-fate"], budgets=(SMALL,)))
    cells = simulate(tmp_path / "cells", kind="crops", look="all", classes=4, cells=160, groups=20, wells=2)
    for row in cells.records():
        for channel, folder in (("brightfield", "brightfield"), ("TUBB3", "NeuN")):
            place = tmp_path / "zhu" / folder / {"neuron": "NT-3", "stem": "RA-SHH"}.get(row["truth"], row["truth"])
            place.mkdir(parents=True, exist_ok=True)
            source = cells.folder / str(row[f"image.{channel}"])
            (place / source.name).write_bytes(source.read_bytes())
    learner = Learner()
    reproduce("nsc-fate", into=tmp_path / "out", data=tmp_path / "zhu", learn=learner)
    scenes = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["scenes"]
    assert list(scenes)[:2] == ["real-multiclass", "real-binary"] and "real-stained" in scenes
    areas = {f"auc.{name}" for name in nsc_fate.AREAS_UNDER}
    assert set(scenes["real-multiclass"]["published"]) == {"accuracy"} | areas
    assert scenes["real-binary"]["labels"] == ["astrocyte", "oligodendrocyte"]
    assert [m.channels for scene, m in learner.seen if scene == "real-stained"] == [("brightfield", "NeuN")]
    assert {m.channels for scene, m in learner.seen if scene == "real-multiclass"} == {("brightfield",)}
    (tmp_path / "stains" / "NeuN").mkdir(parents=True)  # a stain alone must never become the input
    assert nsc_fate._markers(Order(tmp_path, tmp_path / "stains", SMALL, learner, print)) == ()


@pytest.mark.usefixtures("one_figure")
def test_an_arm_that_is_searched_is_left_out_where_the_search_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    budget = replace(SMALL, arms=(*SMALL.arms, Arm("ResNet18, searched", {"network": "resnet18"}, trials=3)))
    order = Order(tmp_path, None, budget, Learner(), said.append)
    cells = sources.simulated(tmp_path / "cells", order, "cells", kind="crops", cells=40, groups=10)
    problem = arms.Problem("small", "Small", "Simulated.", cells, True)
    monkeypatch.setattr(arms, "find_spec", lambda name: None)
    assert len(arms.compare(problem, budget.arms, order).plans) == 2
    assert any("ResNet18, searched: left out" in line and "potency[search]" in line for line in said)
    monkeypatch.setattr(arms, "find_spec", lambda name: object())
    assert len(arms.compare(problem, budget.arms, order).plans) == 3
    assert [asked.trials for _, asked in order.learn.asked] == [0, 0, 0, 0, 3]  # type: ignore[attr-defined]


def test_the_page_of_systems_is_the_list() -> None:
    """Each row of the table in docs/systems.md: id, title, status, published, missing."""
    page = Path(__file__).parents[1] / "docs" / "systems.md"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{s['id']}` | {s['title']} | {s['status']} | {s['published']} | {'; '.join(s['missing'])} |"
        for s in list_systems()
    ]
