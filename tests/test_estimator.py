"""Estimators: they learn, repeat themselves from a seed, survive the disk without pickle and refuse hostile files."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from potency.errors import BundleError, ManifestError, PlanError
from potency.estimators import ESTIMATORS, Fitted, pipelines
from potency.estimators.archive import CARD
from potency.estimators.estimator import Learned
from potency.estimators.trees import NAME, felled
from potency.measurement import FAMILIES

RANDOM = np.random.default_rng(3)
TABLE = pd.DataFrame(RANDOM.normal(size=(120, 5)), columns=list("vwxyz"))
LABELS = np.where(TABLE["v"] + 0.2 * TABLE["w"] > 0, "stem", "astro")
NUMBERS = 3 * TABLE["x"].to_numpy() + 5
CLASSES = ("stem", "astro", "absent")


@pytest.fixture(autouse=True)
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("potency.estimators.pipelines.TREES", 20)


def fitted(name: str = "forest", estimates: str = "label") -> Fitted:
    if estimates == "label":
        return ESTIMATORS[name].fit(TABLE, LABELS, classes=CLASSES)
    return ESTIMATORS[name].fit(TABLE, NUMBERS, estimates="value")


def rewritten(data: bytes, **changes: Callable[[bytes], bytes]) -> bytes:
    """The archive with some members passed through a function (`card`, `schema`)."""
    names = {"card": CARD, "schema": "schema.json"}
    edits = {names[key]: edit for key, edit in changes.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            new.writestr(member, edits.get(member, bytes)(old.read(member)))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_names_known_families(name: str) -> None:
    estimator = ESTIMATORS[name]
    assert estimator.name == name
    assert set(estimator.families) <= set(FAMILIES)
    assert "label" in estimator.steps
    crops = [RANDOM.random((1, 12, 12)) for _ in range(3)]
    assert estimator.features(crops, ("phase",)).shape[0] == 3


@pytest.mark.parametrize("name", ESTIMATORS)
def test_labels_are_learned_and_come_in_the_order_of_the_classes(name: str) -> None:
    probability = fitted(name).predict(TABLE)["probability"]
    assert probability.shape == (120, 3)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert (probability[:, 2] == 0).all()  # no training row was of this class; its place is kept
    assert (np.array(CLASSES)[probability.argmax(1)] == LABELS).mean() > 0.85


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "value" in ESTIMATORS[name].steps])
def test_numbers_are_learned(name: str) -> None:
    value = fitted(name, "value").predict(TABLE)["value"]
    assert value.shape == (120,)
    assert np.corrcoef(value, NUMBERS)[0, 1] > 0.85


@pytest.mark.parametrize(
    ("name", "estimates"), [(name, what) for name, one in ESTIMATORS.items() for what in one.steps]
)
def test_the_same_seed_gives_the_same_and_the_disk_changes_nothing(name: str, estimates: str) -> None:
    first, second = fitted(name, estimates), fitted(name, estimates)
    again = Fitted.loads(first.dumps())
    assert first.dumps() == second.dumps() == again.dumps()
    assert (again.name, again.estimates, again.classes, again.columns) == (
        name, estimates, first.classes, tuple("vwxyz")
    )  # fmt: skip
    for key, value in first.predict(TABLE).items():
        np.testing.assert_array_equal(value, second.predict(TABLE)[key])
        np.testing.assert_array_equal(value, again.predict(TABLE)[key])


def test_workers_change_time_and_not_the_answer() -> None:
    one = ESTIMATORS["forest"].fit(TABLE, LABELS, seed=5, workers=1).predict(TABLE)["probability"]
    two = ESTIMATORS["forest"].fit(TABLE, LABELS, seed=5, workers=2).predict(TABLE)["probability"]
    np.testing.assert_array_equal(one, two)


def test_weights_count() -> None:
    weights = np.where(LABELS == "stem", 100.0, 0.01)
    heavy = ESTIMATORS["logistic"].fit(TABLE, LABELS, weights, classes=CLASSES).predict(TABLE)["probability"]
    assert heavy[:, 0].mean() > fitted("logistic").predict(TABLE)["probability"][:, 0].mean() + 0.2


def test_an_embedding_is_a_table_too() -> None:
    probe = ESTIMATORS["logistic"].fit(TABLE.to_numpy(), LABELS)
    assert probe.classes == ("astro", "stem")
    assert probe.columns == ("e0", "e1", "e2", "e3", "e4")
    assert probe.predict(TABLE.to_numpy())["probability"].shape == (120, 2)
    assert probe.predict(np.zeros((0, 5)))["probability"].shape == (0, 2)


def test_columns_are_taken_by_name() -> None:
    forest = fitted()
    shuffled = TABLE[list("zyxwv")].assign(more=1.0)
    np.testing.assert_array_equal(forest.predict(shuffled)["probability"], forest.predict(TABLE)["probability"])
    with pytest.raises(PlanError, match="1 features the estimator was fitted on are missing, the first is 'w'"):
        forest.predict(TABLE.drop(columns="w"))
    with pytest.raises(PlanError, match="3 features were given, 5 fitted"):
        forest.predict(TABLE.to_numpy()[:, :3])


def test_what_cannot_be_learned_is_explained() -> None:
    forest = ESTIMATORS["forest"]
    with pytest.raises(ManifestError, match="only one class to learn from: 'stem'"):
        forest.fit(TABLE, ["stem"] * 120)
    with pytest.raises(ManifestError, match="no rows to learn from"):
        forest.fit(TABLE[:0], [])
    with pytest.raises(ManifestError, match="label 'stme' is no class of the plan(.|\n)*did you mean 'stem'"):
        forest.fit(TABLE[:2], ["stme", "astro"], classes=CLASSES)
    with pytest.raises(ManifestError, match="missing or infinite"):
        forest.fit(TABLE, np.where(NUMBERS > 5, np.nan, NUMBERS), estimates="value")
    with pytest.raises(PlanError, match="linear discriminant analysis(.|\n)*none that estimates 'value'"):
        ESTIMATORS["lda"].fit(TABLE, NUMBERS, estimates="value")
    with pytest.raises(PlanError, match="takes no weights"):
        ESTIMATORS["knn"].fit(TABLE, LABELS, np.ones(120))
    with pytest.raises(ManifestError, match="a class has a single row"):
        ESTIMATORS["svm"].fit(TABLE, ["odd", *LABELS[1:]])
    with pytest.raises(PlanError, match="none that estimates 'picture'"):
        forest.fit(TABLE, LABELS, estimates="picture")
    with pytest.raises(PlanError, match="1 features are not finite numbers(.|\n)*row 4, column 'x'"):
        forest.fit(TABLE.mask((TABLE.index.to_numpy() == 4)[:, None] & (TABLE.columns == "x")), LABELS)
    with pytest.raises(PlanError, match="120 rows of features, but targets of shape"):
        forest.fit(TABLE, LABELS[:7])


HOSTILE = {
    "a function": Pipeline([("scale", FunctionTransformer(np.sqrt)), ("model", LogisticRegression())]),
    "another estimator": Pipeline([("scale", StandardScaler()), ("model", GaussianProcessClassifier())]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_foreign_type_is_named_and_not_built(kind: str) -> None:
    model = HOSTILE[kind].fit(np.abs(TABLE), LABELS)
    with pytest.raises(BundleError, match=r"foreign type: (numpy.sqrt|numpy|sklearn\.)"):
        Fitted.loads(archived(model, fitted("logistic")))


def test_a_schema_that_calls_the_shell_is_refused() -> None:
    def attack(schema: bytes) -> bytes:
        found = json.loads(schema)
        found["content"] = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "id"}
        return json.dumps(found).encode()

    with pytest.raises(BundleError, match=r"foreign type: os\.system(.|\n)*where: model\.skops(.|\n)*people you trust"):
        Fitted.loads(rewritten(fitted("logistic").dumps(), schema=attack), "model.skops")


def test_damaged_files_are_errors_and_pickle_is_not_read() -> None:
    data = fitted("logistic").dumps()
    for broken in (b"", b"PK", data[: len(data) // 2], pickle.dumps({"a": 1}), skops.io.dumps({"a": 1})):
        with pytest.raises(BundleError, match="no saved estimator, or a damaged one"):
            Fitted.loads(broken)
    for edit, words in [
        (lambda _: b"[]", "the card of the saved estimator is wrong"),
        (lambda card: card.replace(b'"label"', b'"verse"'), "the saved estimator estimates 'verse'"),
        (lambda card: card.replace(b'"v", ', b""), "cannot be read: the model has 5 features, its card 4"),
    ]:
        with pytest.raises(BundleError, match=words):
            Fitted.loads(rewritten(data, card=edit))


def test_trees_that_would_lead_compiled_code_astray_are_refused() -> None:
    for field, value, words in [("left_child", 10**6, "lead nowhere"), ("feature", 10**6, "a feature that is not")]:
        forest = fitted("trivial")
        tree = forest.model[-1].estimators_[0].tree_
        state = tree.__getstate__()
        state["nodes"][field][0] = value
        tree.__setstate__(state)
        with pytest.raises(BundleError, match=words):
            Fitted.loads(forest.dumps())


def archived(model: Any, card: Fitted) -> bytes:
    """A pipeline as skops writes it, with the card of another."""
    buffer = io.BytesIO(skops.io.dumps(model))
    with zipfile.ZipFile(io.BytesIO(card.dumps())) as good, zipfile.ZipFile(buffer, "a") as made:
        made.writestr(CARD, good.read(CARD))
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "estimates"), [("forest", "label"), ("forest", "value"), ("adaboost", "label")])
def test_trees_lie_end_to_end_in_the_file_and_stand_again(name: str, estimates: str) -> None:
    forest = fitted(name, estimates)
    count = len(forest.model[-1].estimators_)
    with zipfile.ZipFile(io.BytesIO(forest.dumps())) as file:
        assert count == 20 and len(file.namelist()) < count
    assert len(forest.model[-1].estimators_) == count  # what was written is left as it was
    asked = TABLE.to_numpy(np.float32)
    for data in (forest.dumps(), archived(forest.model, forest)):  # the latter as it was before, tree by tree
        again = Fitted.loads(data)
        for old, new in zip(forest.model[-1].estimators_, again.model[-1].estimators_, strict=True):
            np.testing.assert_array_equal(old.predict(asked), new.predict(asked))
            np.testing.assert_array_equal(old.decision_path(asked).indices, new.decision_path(asked).indices)


@pytest.mark.parametrize("part", ["counts", "depths", "nodes", "values", "first"])
def test_trees_that_do_not_add_up_are_refused(part: str) -> None:
    forest = fitted()
    model = felled(forest.model)
    lying = vars(model[-1])[NAME]
    lying[part] = LogisticRegression() if part == "first" else lying[part][:-1]
    with pytest.raises(BundleError, match="cannot be read"):
        Fitted.loads(archived(model, forest))


def test_a_tree_without_nodes_is_refused() -> None:
    forest = fitted()
    model = felled(forest.model)
    lying = vars(model[-1])[NAME]
    lying["counts"][:2] = 0, lying["counts"][:2].sum()
    with pytest.raises(BundleError, match="cannot be read: a tree has no nodes"):
        Fitted.loads(archived(model, forest))


SPOILED: dict[tuple[str, str], Callable[[Any], object]] = {
    ("boosting", "lead nowhere"): lambda model: model._predictors[0][0].nodes["left"].__setitem__(0, 10**6),
    ("boosting", "a feature that"): lambda model: model._predictors[0][0].nodes["feature_idx"].__setitem__(0, 99),
    ("boosting", "categories"): lambda model: model._predictors[0][0].nodes["is_categorical"].__setitem__(0, 1),
    ("adaboost", "lead nowhere"): lambda model: _rooted(model.estimators_[0].tree_, "right_child", 10**6),
    ("tree", "a feature that is not"): lambda model: _rooted(model.tree_, "feature", -7),
    ("svm", "support vectors do not fit"): lambda model: _of_svm(model)._n_support.__setitem__(0, 10**6),
    ("knn", "neighbours do not fit"): lambda model: model._y.__setitem__(0, 10**6),
    ("bayes", "classes that its card does not"): lambda model: setattr(model, "classes_", np.array([0, 99])),
}


def _rooted(tree: Any, field: str, value: int) -> None:
    state = tree.__getstate__()
    state["nodes"][field][0] = value
    tree.__setstate__(state)


def _of_svm(model: Any) -> Any:
    return model.calibrated_classifiers_[0].estimator


@pytest.mark.parametrize(("name", "words"), SPOILED)
def test_arrays_that_compiled_code_would_trust_are_refused(name: str, words: str) -> None:
    spoiled = fitted(name)
    SPOILED[name, words](spoiled.model[-1])
    with pytest.raises(BundleError, match=words):
        Fitted.loads(spoiled.dumps())


def test_a_machine_is_calibrated_on_whole_groups_where_it_can_be() -> None:
    groups = np.repeat(np.arange(6), 20)
    for learned in (Learned(0, (LABELS == "stem").astype(int), groups), Learned(0, (LABELS == "stem").astype(int))):
        folds = pipelines._folds(learned)
        assert np.array_equal(np.sort(np.concatenate([tested for _, tested in folds])), np.arange(120))
        if learned.groups is not None:
            assert all(not set(groups[kept]) & set(groups[tested]) for kept, tested in folds)
    lone = Learned(0, (groups == 3).astype(int), groups)  # a class in one group only: rows, or it could not be learned
    assert all(set(lone.target[kept]) == {0, 1} for kept, _ in pipelines._folds(lone))
    probability = ESTIMATORS["svm"].fit(TABLE, LABELS, groups=groups).predict(TABLE)["probability"].max(1)
    assert 0.6 < probability.mean() < 1 and len(np.unique(probability.round(6))) > 60


def test_another_version_of_scikit_learn_is_explained() -> None:
    data = fitted("logistic").dumps()

    def older(card: bytes) -> bytes:
        return json.dumps(json.loads(card) | {"sklearn": "0.24.1"}).encode()

    with pytest.warns(UserWarning, match="written by scikit-learn 0.24.1, this is"):
        again = Fitted.loads(rewritten(data, card=older))
    assert again.sklearn == "0.24.1"

    def unreadable(schema: bytes) -> bytes:
        return schema.replace(b'"file"', b'"fail"')

    with pytest.raises(BundleError, match="cannot be read(.|\n)*written by scikit-learn 0.24.1(.|\n)*train again"):
        Fitted.loads(rewritten(data, card=older, schema=unreadable))
