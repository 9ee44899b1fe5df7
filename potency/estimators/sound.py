"""Saved models that compiled code will walk: every index inside, every size in step, before anything is predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

# Left over from fitting and needed by no prediction.
LEFTOVERS = ("_optimizer", "_random_state", "_best_coefs", "_best_intercepts", "_feature_subsample_rng", "covariance_")


def forget(pipeline: Any) -> None:
    """Drop from a fitted pipeline what only its fitting needed: a file holds a model, not its past."""
    for part in _parts(pipeline[-1]):
        for name in LEFTOVERS:
            if name in vars(part):
                delattr(part, name)
        if "calibrated_classifiers_" in vars(part):
            part.cv = None  # the inner folds: row numbers that mean nothing later


def refuse_unsound(pipeline: Any, features: int, classes: int) -> None:
    """ValueError for a model whose arrays would lead compiled code astray; `features` and `classes` are the card's."""
    if pipeline.n_features_in_ != features:
        raise ValueError(f"the model has {pipeline.n_features_in_} features, its card {features}")
    known = np.asarray(getattr(pipeline[-1], "classes_", ()))
    if not _indices(known, classes):
        raise ValueError("the model knows classes that its card does not")
    for part in _parts(pipeline[-1]):
        for name, check in CHECKS.items():
            if name in vars(part):
                check(part, features, classes)


def _parts(model: Any) -> Iterator[Any]:
    """A fitted model and all fitted models inside it."""
    yield model
    inside = vars(model)
    for name in ("estimators_", "calibrated_classifiers_"):
        for part in inside.get(name, ()):
            yield from _parts(part)
    if "regressor_" in inside:
        yield from _parts(inside["regressor_"])
    if type(model).__name__ == "_CalibratedClassifier":
        yield from _parts(inside["estimator"])


def _indices(values: Any, below: int) -> bool:
    values = np.asarray(values)
    return not values.size or (values.dtype.kind in "iu" and bool((values >= 0).all() and (values < below).all()))


def _tree(part: Any, features: int, classes: int) -> None:
    """Each branch must point forward, inside, to a real feature."""
    tree = part.tree_
    _branches(tree.children_left, tree.children_right, tree.children_left != -1, tree.node_count)
    inner = tree.children_left != -1
    if tree.n_features != features or not _indices(tree.feature[inner], features):
        raise ValueError("a tree asks for a feature that is not there")


def _branches(left: Any, right: Any, inner: Any, count: int) -> None:
    nodes = np.arange(count)
    if not count:
        raise ValueError("a tree has no nodes")
    for children in (np.asarray(left).astype(np.int64), np.asarray(right).astype(np.int64)):
        ahead = (children > nodes) & (children < count) if len(children) == count else np.zeros(1, bool)
        if len(children) != count or not ahead[inner].all():
            raise ValueError("a tree's branches lead nowhere")
    if not np.array_equal(np.asarray(left)[~inner] == -1, np.asarray(right)[~inner] == -1):
        raise ValueError("a tree's branches lead nowhere")


def _boosted(part: Any, features: int, classes: int) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    for predictor in (one for together in part._predictors for one in together):
        nodes = predictor.nodes
        if nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or not len(nodes):
            raise ValueError("a tree's nodes are no nodes")
        inner = nodes["is_leaf"] == 0
        _branches(nodes["left"], nodes["right"], inner, len(nodes))
        if not _indices(nodes["feature_idx"][inner], features):
            raise ValueError("a tree asks for a feature that is not there")
        if nodes["is_categorical"].any():
            raise ValueError("a tree asks for categories, and features are numbers")


def _vectors(part: Any, features: int, classes: int) -> None:
    """What libsvm is handed: it trusts every length."""
    count = len(part._n_support)
    known = len(getattr(part, "classes_", (0, 1)))
    vectors, held = part.support_vectors_.shape, int(np.sum(part._n_support))
    fine = (
        part.kernel == "rbf" and part._sparse is False and count == known and count >= 2
        and (part._n_support >= 0).all() and vectors == (len(part.support_), features)
        and ("classes_" not in vars(part) or held == vectors[0])
        and part._dual_coef_.shape == (count - 1, vectors[0]) and len(part._intercept_) == count * (count - 1) // 2
        and len(part._probA) == len(part._probB) == 0 and np.isfinite(part._gamma)
    )  # fmt: skip
    if not fine:
        raise ValueError("the support vectors do not fit together")


def _neighbours(part: Any, features: int, classes: int) -> None:
    rows = part._fit_X.shape
    labels = np.asarray(part._y)
    fine = (
        len(rows) == 2 and rows[1] == features and part._fit_X.dtype == np.float64 and labels.shape == rows[:1]
        and part.n_samples_fit_ == rows[0] and 1 <= part.n_neighbors <= rows[0] and part._fit_method == "brute"
        and part.metric == part.effective_metric_ == "euclidean" and part.weights == "uniform"
        and ("classes_" not in vars(part) or _indices(labels, len(part.classes_)))
    )  # fmt: skip
    if not fine:
        raise ValueError("the neighbours do not fit together")


# Attribute that a fitted model has -> what must hold before compiled code sees it.
CHECKS: Mapping[str, Callable[[Any, int, int], None]] = {
    "tree_": _tree, "_predictors": _boosted, "support_vectors_": _vectors, "_fit_X": _neighbours,
}  # fmt: skip
