"""The answers: cells both ways, evidence, averages, drawings, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame, Series
from prediction_tables import SAMPLES, evidence_of, frames, pairs_of, weightings, world
from sklearn import metrics as other

from potency.answers import ANSWERS, Answer, Category, Evidence, Number, Vector
from potency.answers.category import as_labels, class_names
from potency.answers.ranking import ranking
from potency.data.manifest import Manifest
from potency.errors import AnswerError
from potency.evaluation import evaluate


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_whole_columns_compare_as_row_by_row(answer):
    truth, predicted, whole = pairs_of(answer)
    if answer.in_files:  # a dozen files say as much as two hundred
        truth, predicted, whole = truth.head(12), predicted.head(12), whole.take(np.arange(12))
    rows = [
        answer.of_cells(p, Path()).compare(answer.of_cells(t, Path()))
        for t, p in zip(truth.to_dict("records"), predicted.to_dict("records"), strict=True)
    ]
    default = Answer.compare_columns.__func__(answer, truth, predicted, whole.labels)
    for stacked in (Evidence.stack(rows), default):
        assert stacked.samples == whole.samples and stacked.labels == whole.labels
        assert stacked.arrays.keys() == whole.arrays.keys() and stacked.lists.keys() == whole.lists.keys()
        for name, values in whole.arrays.items():
            np.testing.assert_allclose(stacked.arrays[name], values)
        for name, lists in whole.lists.items():
            np.testing.assert_allclose(stacked.lists[name].values, lists.values)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_cells_make_the_round_trip(answer, tmp_path):
    _, predicted, _ = pairs_of(answer)
    cells = predicted.iloc[0].to_dict()
    back = answer.of_cells(cells, Path()).cells(tmp_path, "prediction")
    assert list(back) == [f"prediction.{part}" if part else "prediction" for part in cells]
    if answer.in_files:  # what is written is called after what it holds, so a second trip ends where the first did
        again = {part.removeprefix("prediction").removeprefix("."): cell for part, cell in back.items()}
        cells = dict(zip(cells, answer.of_cells(again, tmp_path).cells(tmp_path, "prediction").values(), strict=True))
        assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob(".*"))
    for mine, given in zip(back.values(), cells.values(), strict=True):
        assert np.all(np.asarray(mine) == np.asarray(given))
    if not answer.in_files:
        assert "prediction@forest" in answer.of_cells(cells, Path()).cells(Path(), "prediction@forest")


SCALARS = {kind: answer for kind, answer in ANSWERS.items() if not answer.in_files}
IN_FILES = {kind: answer for kind, answer in ANSWERS.items() if answer.in_files}


@pytest.mark.parametrize("answer", IN_FILES.values(), ids=IN_FILES)
def test_every_answer_in_files_can_be_drawn_and_says_what_it_cannot(answer):
    _, predicted, _ = pairs_of(answer)
    some = [answer.of_cells(row, Path()) for row in predicted.head(3).to_dict("records")]
    for image in (np.zeros((1, 12, 16), np.uint16), np.random.default_rng(0).normal(size=(12, 16))):
        drawn = some[1].draw(image)
        assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.shape[1] >= 128
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 3
    with pytest.raises(AnswerError, match="cannot be averaged"):
        answer.average(some)


@pytest.mark.parametrize("answer", SCALARS.values(), ids=SCALARS)
def test_every_answer_can_be_drawn_averaged_and_permuted(answer):
    _, predicted, evidence = pairs_of(answer)
    some = [answer.of_cells(row, Path()) for row in predicted.head(3).to_dict("records")]
    noise = np.random.default_rng(0).normal(size=(200, 300))
    for image in (np.zeros((1, 5, 7), np.uint16), noise, np.ones((3, 4, 5), np.uint8)):
        drawn = some[0].draw(image)
        assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.shape[1] >= 128
    assert isinstance(answer.average(some), answer)
    same = answer.stitch(iter([(None, some[0]), (None, some[0])]), None)
    assert same.cells(Path(), "p") == some[0].cells(Path(), "p")
    as_it_is = answer.reordered(evidence, np.arange(SAMPLES)[None])[0]
    assert as_it_is == pytest.approx(answer.summarise(evidence, np.ones((1, SAMPLES)))[answer.headline][0])
    with pytest.raises(AnswerError, match="no answer to average"):
        answer.average([])


def test_an_average_is_of_probabilities_and_of_votes():
    sure, unsure = (Category.of_probability("ab", p) for p in ((0.9, 0.1), (0.45, 0.55)))
    assert Category.average([sure, unsure, unsure]).label == "a"
    votes = Category.average([Category("b"), Category("a"), Category("b")])
    assert votes.label == "b" and votes.classes == ("a", "b")
    with pytest.raises(AnswerError, match="different classes cannot be averaged"):
        Category.average([sure, Category.of_probability("xy", (0.5, 0.5))])


def test_missing_probability_columns_of_one_class_are_the_rest_of_one():
    truth, predicted = frames(*world(3, ("dead", "live")), ("dead", "live"))
    full = Category.compare_columns(truth, predicted, ("dead", "live"))
    half = Category.compare_columns(truth, predicted.drop(columns="probability.dead"), ("dead", "live"))
    np.testing.assert_allclose(half.arrays["probability"], full.arrays["probability"])
    extra = Category.compare_columns(truth, predicted, ("dead", "live", "blebbing", "lysed"))
    assert (extra.arrays["probability"][:, 2:] == 0).all()
    none = Category.compare_columns(truth, predicted[[""]], ("dead", "live"))
    assert "auc" not in Category.summarise(none, np.ones((1, SAMPLES)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, 0.5], [2.0, 1.0]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.2]], r"sum to 0.7, not to 1: \[0.5, 0.2\]"),
        ([[0.5, 0.5], [np.nan, 1.0]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [-0.2, 1.2]], "lie outside 0 to 1"),
        ([[0.5, 0.5], [np.inf, 0.0]], "lie outside 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_row(values, message):
    truth, predicted = frames(np.array([0, 1]), np.array([0, 1]), np.array(values), ("a", "b"))
    with pytest.raises(AnswerError, match=message) as caught:
        Category.compare_columns(truth, predicted.set_axis(["cell 1", "cell 2"]), ("a", "b"))
    assert "row cell 2 (1 such rows)" in caught.value.where and "softmax" in caught.value.mend


def test_errors_say_what_where_and_how():
    truth, predicted = frames(np.array([0, 1]), np.array([0, 1]), None, ("stem", "astro"))
    with pytest.raises(AnswerError) as caught:
        Category.compare_columns(truth, predicted, ("stem", "astrocyte"))
    assert str(caught.value) == (
        "a truth names the class 'astro', which is not among the classes\n"
        "where: row 1 (1 such rows)\nmend: did you mean 'astrocyte'?"
    )
    with pytest.raises(AnswerError, match="a prediction has no class"):
        Category.compare_columns(truth, DataFrame({"": ["stem", None]}), ("stem", "astro"))
    with pytest.raises(AnswerError, match="a prediction is not a finite number: 'many'"):
        Number.compare_columns(DataFrame({"": [1]}), DataFrame({"": ["many"]}))
    with pytest.raises(AnswerError, match="a truth is not a finite number: inf"):
        Number.compare_columns(DataFrame({"": [np.inf]}), DataFrame({"": [1.0]}))
    with pytest.raises(AnswerError, match="a prediction is not a list of 2 finite numbers"):
        Vector.compare_columns(DataFrame({"": [[1, 2], [1, 2]]}), DataFrame({"": [[1, 2], [1]]}))
    with pytest.raises(AnswerError, match="have 3 values, the true ones 2"):
        Vector.compare_columns(DataFrame({"": [[1, 2]]}), DataFrame({"": [[1, 2, 3]]}))
    with pytest.raises(AnswerError, match="the cell of the class is empty"):
        Category.of_cells({"": None}, Path())
    with pytest.raises(AnswerError, match="'x' is not a number"):
        Number.of_cells({"": "x"}, Path())
    with pytest.raises(AnswerError, match="vectors of different lengths"):
        Vector.average([Vector(np.ones(2)), Vector(np.ones(3))])


def test_evidence_is_checked_joined_and_cut():
    with pytest.raises(AnswerError, match="holds 2 samples but its array 'x' has 3 rows"):
        Evidence(2, {"x": np.zeros(3)})
    one, two = Evidence(1, {"x": np.zeros(1)}, ("a",)), Evidence(1, {"x": np.zeros(1)}, ("b",))
    with pytest.raises(AnswerError, match="different classes or parts"):
        Evidence.stack([one, two])
    with pytest.raises(AnswerError, match="no sample to compare"):
        Evidence.stack([])
    evidence = evidence_of()
    mask = np.arange(SAMPLES) % 3 == 0
    weights = weightings(2)
    cut = Category.summarise(evidence.take(mask), weights[:, mask])
    zeroed = Category.summarise(evidence, weights * mask)
    for name, values in cut.items():
        np.testing.assert_allclose(values, zeroed[name], atol=1e-12, err_msg=name)


def test_class_names_of_columns_that_gaps_made_floating():
    assert as_labels(Series([1.0, np.nan, 2.0])).tolist() == ["1", None, "2"]
    assert as_labels(Series([1, 2])).tolist() == as_labels(Series(["1", "2"])).tolist() == ["1", "2"]
    assert as_labels(Series(["a", None], dtype="category")).tolist() == ["a", None]
    assert as_labels(Series([True, False])).tolist() == ["True", "False"]
    assert as_labels(Series([1, None], dtype="Int64")).tolist() == ["1", None]
    assert class_names(Series([10.0, 9.0, None])) == ("9", "10")


def test_answers_and_evaluation_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import potency.answers, potency.evaluation;"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"  # nor a plotting library, until a page is written


class Tags(Answer):
    """Several classes at once, as a file of its own would add them: "dividing;infected"."""

    kind, headline, parts = "tags", "auc", ("probability",)

    def __init__(self, tags):
        self.tags = tags

    @classmethod
    def of_cells(cls, cells, folder):
        return cls(frozenset(filter(None, str(cells[""]).split(";"))))

    def cells(self, folder, name):
        return {name: ";".join(sorted(self.tags))}

    @classmethod
    def stitch(cls, parts, canvas):
        return cls(frozenset().union(*(answer.tags for _, answer in parts)))

    def compare(self, truth):
        shared = len(self.tags & truth.tags) / max(len(self.tags | truth.tags), 1)
        return Evidence(1, {"truth": np.array([len(truth.tags)]), "overlap": np.array([shared])})

    @classmethod
    def compare_columns(cls, truth, predicted, labels=(), folder=Path()):
        names = sorted(c.removeprefix("probability.") for c in predicted if c)
        true = np.array([[name in cell.split(";") for name in names] for cell in truth[""]])
        scores = predicted[[f"probability.{name}" for name in names]].to_numpy()
        return Evidence(len(truth), {"truth": true, "score": scores}, tuple(names))

    @classmethod
    def summarise(cls, evidence, weights):
        pairs = zip(evidence.arrays["truth"].T, evidence.arrays["score"].T, strict=True)
        areas = [ranking(positive, score, np.ascontiguousarray(weights.T))[0] for positive, score in pairs]
        return {"auc": np.nanmean(areas, axis=0)} | dict(
            zip((f"auc.{name}" for name in evidence.labels), areas, strict=True)
        )

    @classmethod
    def reordered(cls, evidence, orders):
        once = np.ones((1, evidence.samples))
        moved = [{**evidence.arrays, "truth": evidence.arrays["truth"][order]} for order in orders]
        return np.array([cls.summarise(Evidence(evidence.samples, m, evidence.labels), once)["auc"][0] for m in moved])

    def draw(self, image):
        return np.zeros((1, 128, 3), np.uint8)


def test_a_new_answer_is_one_class_and_one_entry(monkeypatch):
    """Several labels a sample, through the seams alone: nothing in evaluation knows the kind."""
    monkeypatch.setitem(ANSWERS, "tags", Tags)
    rng = np.random.default_rng(0)
    true = rng.random((80, 2)) < 0.4
    table = DataFrame({"group": np.arange(80) % 8, "image": "a.png"})
    table["truth"] = [";".join(np.array(["dividing", "infected"])[row]) or "none" for row in true]
    for source, noise in (("prediction", 0.5), ("prediction@blind", 9.0)):
        table[source] = "dividing"
        for k, name in enumerate(("dividing", "infected")):
            table[f"{source}.probability.{name}"] = true[:, k] + rng.normal(0, noise, 80)
    manifest = Manifest.of_rows(table.assign(id=[f"cell {k}" for k in range(80)]), kinds={"truth": "tags"})
    report = evaluate(manifest, predictions=("prediction", "prediction@blind"), draws=60)
    assert report.task == "tags" and set(report.numbers["prediction"]) == {"auc", "auc.dividing", "auc.infected"}
    assert report.contests[0].verdict == "better" and report.contests[0].delong_p is None
    assert report.permutation["prediction"] < 0.05 < report.permutation["prediction@blind"]
    scores = table[["prediction.probability.dividing", "prediction.probability.infected"]].to_numpy()
    areas = [other.roc_auc_score(true[:, k], scores[:, k]) for k in range(2)]
    assert report.numbers["prediction"]["auc"].value == pytest.approx(np.mean(areas))
