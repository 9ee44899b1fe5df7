"""The visible list of classical learners: for each, its pipeline for labels and, where there is one, for numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import ManifestError
from potency.estimators.estimator import Estimator, Learned

TREES = 300
FULL = ("intensity", "texture", "shape")
Steps = list[tuple[str, Any]]


def _scaled(model: Any) -> Steps:
    from sklearn.preprocessing import StandardScaler

    return [("scale", StandardScaler()), ("model", model)]


def _scaled_number(model: Any) -> Steps:
    """For learners whose settings mean something only on targets of mean 0 and spread 1."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return _scaled(TransformedTargetRegressor(model, transformer=StandardScaler()))


def _forest(leaf: int, number: bool) -> Callable[[Learned], Steps]:
    def steps(learned: Learned) -> Steps:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestRegressor if number else RandomForestClassifier
        return [("model", kind(TREES, min_samples_leaf=leaf, max_features="sqrt", random_state=learned.seed))]

    return steps


def _logistic(learned: Learned) -> Steps:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(C=0.03, max_iter=5000, random_state=learned.seed))


def _ridge(learned: Learned) -> Steps:
    from sklearn.linear_model import RidgeCV

    return _scaled(RidgeCV(alphas=np.logspace(-1, 4, 11)))


def _lda(learned: Learned) -> Steps:
    """Shrunk covariance (Ledoit and Wolf 2004): there may be more features than rows."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return _scaled(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))


def _neighbours(learned: Learned) -> Steps:
    from sklearn.neighbors import KNeighborsClassifier

    return _scaled(KNeighborsClassifier(min(15, len(learned.target)), algorithm="brute", metric="euclidean"))


def _neighbours_number(learned: Learned) -> Steps:
    from sklearn.neighbors import KNeighborsRegressor

    return _scaled(KNeighborsRegressor(min(15, len(learned.target)), algorithm="brute", metric="euclidean"))


def _svm(learned: Learned) -> Steps:
    """Platt's sigmoids, fitted on decisions about rows that the machine behind them had not learned from."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    return _scaled(CalibratedClassifierCV(SVC(), method="sigmoid", ensemble=False, cv=_folds(learned)))


def _folds(learned: Learned) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Inner folds in whole groups, where each of them leaves every class to learn from; else of single rows."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    target, groups = learned.target, learned.groups
    least = int(np.unique(target, return_counts=True)[1].min())
    if least < 2:
        raise ManifestError(
            "a class has a single row: its probabilities cannot be calibrated", "training rows", "give it two or more"
        )
    everything = np.zeros(len(target))
    if groups is not None and len(np.unique(groups)) >= 3:
        count = min(5, len(np.unique(groups)))
        split = StratifiedGroupKFold(count, shuffle=True, random_state=learned.seed)
        folds = list(split.split(everything, target, groups))
        known = set(target)
        if all(len(tested) and set(target[kept]) == known for kept, tested in folds):
            return folds
    split = StratifiedKFold(min(5, least), shuffle=True, random_state=learned.seed)
    return list(split.split(everything, target))


def _svm_number(learned: Learned) -> Steps:
    from sklearn.svm import SVR

    return _scaled_number(SVR())


def _tree(number: bool) -> Callable[[Learned], Steps]:
    def steps(learned: Learned) -> Steps:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        kind = DecisionTreeRegressor if number else DecisionTreeClassifier
        return [("model", kind(max_depth=8, min_samples_leaf=5, random_state=learned.seed))]

    return steps


def _adaboost(number: bool) -> Callable[[Learned], Steps]:
    def steps(learned: Learned) -> Steps:
        from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        options = {"n_estimators": min(100, TREES), "random_state": learned.seed}
        if number:
            return [("model", AdaBoostRegressor(DecisionTreeRegressor(max_depth=3), **options))]
        return [("model", AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), learning_rate=0.5, **options))]

    return steps


def _boosting(number: bool) -> Callable[[Learned], Steps]:
    """No early stopping: its inner split would tear groups apart."""

    def steps(learned: Learned) -> Steps:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
        settings = {"max_iter": min(150, TREES), "max_leaf_nodes": 15, "learning_rate": 0.08, "l2_regularization": 1.0}
        return [("model", kind(**settings, early_stopping=False, random_state=learned.seed))]

    return steps


def _bayes(learned: Learned) -> Steps:
    from sklearn.naive_bayes import GaussianNB

    return _scaled(GaussianNB(var_smoothing=1e-3))  # of the largest variance: features that hardly vary decide nothing


def _perceptron(learned: Learned) -> Steps:
    from sklearn.neural_network import MLPClassifier

    return _scaled(MLPClassifier((64,), alpha=0.1, max_iter=200, random_state=learned.seed))


def _perceptron_number(learned: Learned) -> Steps:
    from sklearn.neural_network import MLPRegressor

    return _scaled_number(MLPRegressor(hidden_layer_sizes=(64,), alpha=0.1, max_iter=200, random_state=learned.seed))


def _both(steps: Callable[[bool], Callable[[Learned], Steps]]) -> Mapping[str, Callable[[Learned], Steps]]:
    return {"label": steps(False), "value": steps(True)}


ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({
    estimator.name: estimator
    for estimator in (
        Estimator("forest", "random forest", FULL, {"label": _forest(2, False), "value": _forest(2, True)}),
        Estimator("logistic", "logistic regression; ridge for numbers", FULL, {"label": _logistic, "value": _ridge}),
        Estimator("lda", "linear discriminant analysis, shrunk; labels only", FULL, {"label": _lda}),
        Estimator("knn", "15 nearest neighbours", FULL, {"label": _neighbours, "value": _neighbours_number}),
        Estimator("svm", "support vector machine (RBF), calibrated", FULL, {"label": _svm, "value": _svm_number}),
        Estimator("tree", "one decision tree", FULL, _both(_tree)),
        Estimator("adaboost", "AdaBoost on shallow trees", FULL, _both(_adaboost)),
        Estimator("boosting", "gradient boosting on histograms", FULL, _both(_boosting)),
        Estimator("bayes", "Gaussian naive Bayes; labels only", FULL, {"label": _bayes}),
        Estimator("mlp", "perceptron with one hidden layer", FULL, {"label": _perceptron, "value": _perceptron_number}),
        Estimator(
            "trivial", "random forest on size, mean intensity and variance", ("trivial",),
            {"label": _forest(10, False), "value": _forest(10, True)},
        ),
    )
})  # fmt: skip
